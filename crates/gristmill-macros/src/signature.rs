use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::spanned::Spanned;
use syn::{Attribute, Error, FnArg, GenericArgument, Ident, Pat, PatType, Path, PathArguments, Result, ReturnType, Type};

/// What a function says about its task.
pub(crate) struct Signature {
    /// `None` without a context; `Some(None)` for a context without a state.
    pub(crate) state: Option<Option<Type>>,
    pub(crate) arguments: Vec<Argument>,
    pub(crate) output: Type,
    /// Where the return type is written.
    pub(crate) returns: Span,
    /// One that is not blocks its thread and gets one of its own.
    pub(crate) is_async: bool,
}

/// One argument of the task: a parameter of the function, a field of the struct.
pub(crate) struct Argument {
    pub(crate) name: Ident,
    pub(crate) ty: Type,
    /// The attributes of the field.
    pub(crate) attributes: Vec<Attribute>,
    /// What it is if nobody says, as for an `Option` or by `#[task(default)]`.
    pub(crate) default: Option<TokenStream>,
}

impl Signature {
    /// Reads `signature`, whose parameters had these attributes.
    pub(crate) fn read(signature: &syn::Signature, attributes: &[Vec<Attribute>]) -> Result<Self> {
        check_qualifiers(signature)?;
        let (mut state, mut arguments) = (None, Vec::new());
        for (nth, (input, attributes)) in signature.inputs.iter().zip(attributes).enumerate() {
            let parameter = match input {
                FnArg::Typed(parameter) => parameter,
                FnArg::Receiver(receiver) => {
                    let message = "a task is a function of its own, outside any `impl`; take what it needs as arguments";
                    return Err(Error::new_spanned(receiver, message));
                }
            };
            let Some(context) = context(&parameter.ty)? else {
                arguments.push(argument(parameter, attributes)?);
                continue;
            };
            if let Some(attribute) = attributes.first() {
                return Err(Error::new_spanned(attribute, "the context is no argument and has no options; remove this"));
            }
            match (nth, &state) {
                (0, _) => state = Some(context),
                (_, Some(_)) => return Err(Error::new_spanned(parameter, "a task has one context; remove this one")),
                (_, None) => return Err(Error::new_spanned(parameter, "the context comes first; move it before the arguments")),
            }
        }
        let (output, returns) = output(signature)?;
        Ok(Self { state, arguments, output, returns, is_async: signature.asyncness.is_some() })
    }
}

fn check_qualifiers(signature: &syn::Signature) -> Result<()> {
    let refuse = |at: &dyn ToTokens, message: &str| Err(Error::new_spanned(at.to_token_stream(), message));
    if let Some(qualifier) = &signature.constness {
        return refuse(qualifier, "a task can't be `const`; remove it");
    }
    if let Some(qualifier) = &signature.unsafety {
        return refuse(qualifier, "a task can't be `unsafe`, since a worker calls it with any arguments; remove it");
    }
    if let Some(qualifier) = &signature.abi {
        return refuse(qualifier, "a task can't be `extern`; remove it");
    }
    if let Some(variadic) = &signature.variadic {
        return refuse(variadic, "a task has a fixed list of arguments; take a `Vec`");
    }
    let generics = &signature.generics;
    let message = "a task can't have generics or lifetimes, since its arguments are stored; use concrete, owned types";
    if generics.lt_token.is_some() {
        return refuse(generics, message);
    }
    if let Some(clause) = &generics.where_clause {
        return refuse(clause, message);
    }
    Ok(())
}

/// `None` if the type is not a context; otherwise its state, if it names one.
fn context(ty: &Type) -> Result<Option<Option<Type>>> {
    let (reference, inner) = match bare(ty) {
        Type::Reference(reference) => (Some(reference), bare(&reference.elem)),
        ty => (None, ty),
    };
    let Type::Path(path) = inner else { return Ok(None) };
    let Some(last) = path.path.segments.last().filter(|last| last.ident == "Context") else { return Ok(None) };
    let state = type_argument(&path.path);
    if reference.is_none_or(|reference| reference.mutability.is_some()) {
        return Err(Error::new_spanned(ty, format!("the context is a shared reference: write `&{}`", written(last))));
    }
    Ok(Some(state.cloned()))
}

fn argument(parameter: &PatType, attributes: &[Attribute]) -> Result<Argument> {
    let name = match &*parameter.pat {
        Pat::Ident(name) if name.by_ref.is_none() && name.subpat.is_none() => name.ident.clone(),
        pattern => {
            let message = "an argument is a plain name, which becomes a field of the struct; take it apart in the body";
            return Err(Error::new_spanned(pattern, message));
        }
    };
    check_owned(&parameter.ty)?;
    let (attributes, default) = field_attributes(attributes)?;
    let none = || is_option(&parameter.ty).then(|| quote!(::core::default::Default::default()));
    let default = default.or_else(none);
    Ok(Argument { name, ty: (*parameter.ty).clone(), attributes, default })
}

/// Whether serde lets an argument of this type be missing.
fn is_option(ty: &Type) -> bool {
    matches!(bare(ty), Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "Option"))
}

/// `#[task(default)]` in serde's words and as an expression; the others as they are.
fn field_attributes(attributes: &[Attribute]) -> Result<(Vec<Attribute>, Option<TokenStream>)> {
    let mut default = None;
    let mut others = Vec::new();
    for attribute in attributes {
        if attribute.path().is_ident("cfg") {
            return Err(Error::new_spanned(
                attribute,
                "an argument can't be conditional; make the whole task so, or use `Option`",
            ));
        }
        if !attribute.path().is_ident("task") {
            others.push(attribute.clone());
            continue;
        }
        let usage = "an argument takes `#[task(default)]`, or `#[task(default = path::to::function)]`";
        attribute.meta.require_list().map_err(|_| Error::new_spanned(attribute, usage))?;
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("default") {
                return Err(meta.error(usage));
            }
            let (serde, value) = if meta.input.peek(syn::Token![=]) {
                let path: Path = meta.value()?.call(Path::parse_mod_style).map_err(|error| Error::new(error.span(), usage))?;
                let text = path.to_token_stream().to_string().replace(' ', "");
                let text = syn::LitStr::new(&text, path.span());
                (syn::parse_quote!(#[serde(default = #text)]), quote!(#path()))
            } else {
                (syn::parse_quote!(#[serde(default)]), quote!(::core::default::Default::default()))
            };
            match default.replace((serde, value)) {
                Some(_) => Err(meta.error("`default` is given twice; keep one")),
                None => Ok(()),
            }
        })?;
    }
    let (serde, value) = default.unzip();
    others.extend(serde);
    Ok((others, value))
}

fn output(signature: &syn::Signature) -> Result<(Type, Span)> {
    let message = "a task returns a `Result`: write `-> gristmill::Result<T>`, with `()` for no output";
    let ty = match &signature.output {
        ReturnType::Default => return Err(Error::new_spanned(&signature.ident, message)),
        ReturnType::Type(_, ty) => bare(ty),
    };
    let output = match ty {
        Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "Result") => type_argument(&path.path),
        _ => None,
    };
    let output = output.ok_or_else(|| Error::new_spanned(ty, message))?;
    check_owned(output)?;
    Ok((output.clone(), ty.span()))
}

/// The first type between the angle brackets at the end of a path.
fn type_argument(path: &Path) -> Option<&Type> {
    let PathArguments::AngleBracketed(arguments) = &path.segments.last()?.arguments else { return None };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}

/// Refuses types that can't be read back from JSON, wherever they stand within `ty`: the compiler's own errors would speak
/// of lifetimes in a struct that the reader does not see.
fn check_owned(ty: &Type) -> Result<()> {
    if let Type::Reference(reference) = bare(ty) {
        let owned = match bare(&reference.elem) {
            Type::Path(path) if path.path.is_ident("str") => "`String`".to_owned(),
            Type::Slice(slice) => format!("`Vec<{}>`", written(&slice.elem)),
            elem => format!("`{}`", written(elem)),
        };
        let message = format!("arguments and output are stored, so they own their data: use {owned}");
        return Err(Error::new_spanned(ty, message));
    }
    check_tokens(ty.to_token_stream())
}

fn check_tokens(tokens: TokenStream) -> Result<()> {
    for token in tokens {
        match &token {
            TokenTree::Group(group) => check_tokens(group.stream())?,
            TokenTree::Ident(word) if word == "impl" => {
                return Err(Error::new(
                    word.span(),
                    "arguments and output are stored, so their types have names: not `impl Trait`",
                ));
            }
            TokenTree::Punct(mark) if mark.as_char() == '&' => {
                let message =
                    "arguments and output are stored, so they own their data: use `String`, `Vec` or another owned type";
                return Err(Error::new(mark.span(), message));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Tokens as a person would write them.
fn written(tokens: &impl ToTokens) -> String {
    let text = tokens.to_token_stream().to_string();
    [(" :: ", "::"), (":: ", "::"), (" < ", "<"), (" >", ">"), (" ,", ",")]
        .iter()
        .fold(text, |text, (from, to)| text.replace(from, to))
}

/// A type without the invisible brackets that `macro_rules` puts around what it passes on.
fn bare(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => bare(&group.elem),
        Type::Paren(paren) => bare(&paren.elem),
        ty => ty,
    }
}
