use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, Error, FnArg, Ident, Item, ItemFn, Result, Token};

use crate::implement::{Implementation, converted, shown_at};
use crate::options::{Given, Options};
use crate::signature::{self, Signature};
use crate::wire;
use crate::with::With;

/// `#[task(...)]` above a function.
pub(crate) fn expand(options: TokenStream, item: TokenStream) -> TokenStream {
    let mut function: ItemFn = match syn::parse2(item.clone()) {
        Ok(function) => function,
        Err(error) => {
            let error = misplaced(&item).unwrap_or(error).into_compile_error();
            return quote!(#item #error);
        }
    };
    let attributes = Attributes::take(&mut function);
    // The function itself stays even if its task can't be made: one mistake then makes one error.
    let task = write(options, &function, &attributes).unwrap_or_else(Error::into_compile_error);
    quote!(#function #task)
}

fn misplaced(item: &TokenStream) -> Option<Error> {
    let message = match syn::parse2::<Item>(item.clone()).ok()? {
        Item::Struct(_) => "`#[task]` stands above a function; above an arguments struct write `#[derive(Task)]`",
        _ => "`#[task]` stands above a function with a body: `async fn`, or `fn` for blocking work",
    };
    Some(Error::new_spanned(item, message))
}

/// The attributes of a function that belong to its task.
struct Attributes {
    /// Of serde and schemars, for the struct.
    container: Vec<Attribute>,
    /// Of each parameter.
    parameters: Vec<Vec<Attribute>>,
}

impl Attributes {
    /// Takes them off the function, on which the compiler would refuse them.
    fn take(function: &mut ItemFn) -> Self {
        let is_data = |attribute: &mut Attribute| ["serde", "schemars"].iter().any(|name| attribute.path().is_ident(name));
        let is_lint = |attribute: &Attribute| {
            ["allow", "expect", "warn", "deny", "forbid"].iter().any(|name| attribute.path().is_ident(name))
        };
        let container = function.attrs.extract_if(.., is_data).collect();
        let parameters = function.sig.inputs.iter_mut().map(|input| match input {
            FnArg::Receiver(_) => Vec::new(),
            FnArg::Typed(parameter) => parameter.attrs.extract_if(.., |attribute| !is_lint(attribute)).collect(),
        });
        Self { container, parameters: parameters.collect() }
    }
}

fn write(options: TokenStream, function: &ItemFn, attributes: &Attributes) -> Result<TokenStream> {
    let signature = Signature::read(&function.sig, &attributes.parameters)?;
    let given = Punctuated::<Given, Token![,]>::parse_terminated.parse2(options)?;
    let called = &function.sig.ident;
    let options = Options::read(given.into_iter().collect(), false, &called.unraw().to_string(), Span::call_site())?;
    let krate = &options.krate;

    let ty = struct_name(called)?;
    let cfgs: Vec<_> = function.attrs.iter().filter(|attribute| attribute.path().is_ident("cfg")).collect();
    let docs = function.attrs.iter().filter(|attribute| attribute.path().is_ident("doc"));
    let container = &attributes.container;
    let vis = &function.vis;
    let fields = signature.arguments.iter().map(|argument| {
        let signature::Argument { name, ty, attributes, .. } = argument;
        quote!(#(#attributes)* pub #name: #ty)
    });
    let (serde, schemars) = (quote!(#krate::__private::serde), quote!(#krate::schemars));
    let [serde_path, schemars_path] = [&serde, &schemars].map(|path| path.to_string().replace(' ', ""));
    let rule = wire::rename_all(container);
    let names =
        signature.arguments.iter().filter_map(|argument| wire::name(&argument.name, &argument.attributes, rule.as_deref()));

    let arguments: Vec<_> = signature.arguments.iter().map(|argument| &argument.name).collect();
    let cx = Ident::new(if signature.state.is_some() || !signature.is_async { "cx" } else { "_cx" }, Span::call_site());
    let passed = signature.state.as_ref().map(|_| quote!(#cx,));
    let call = quote_spanned!(shown_at(called.span())=> #called(#passed #(self.#arguments),*));
    let body = if signature.is_async {
        converted(&quote!(#call.await), signature.returns)
    } else {
        let result = converted(&call, signature.returns);
        match passed {
            Some(_) => quote!(#cx.blocking_with(move |#cx| #result).await),
            None => quote!(#cx.blocking(move || #result).await),
        }
    };
    let implementation = Implementation {
        options: &options,
        ty: &ty,
        cfgs: cfgs.clone(),
        state: signature.state.flatten().map_or_else(|| quote!(#krate::context::Stateless), |state| quote!(#state)),
        output: signature.output.clone(),
        members: signature.arguments.iter().map(|argument| argument.name.clone()).collect(),
        fields: names.collect(),
        with: With::of(
            vis,
            container,
            signature.arguments.iter().map(|argument| (&argument.name, &argument.ty, &*argument.attributes)),
        ),
        cx,
        body,
        batch: None,
    }
    .write();
    let defaults = signature.arguments.iter().map(|argument| argument.default.as_ref()).collect::<Option<Vec<_>>>();
    let default = defaults.map(|defaults| {
        quote! {
            #(#cfgs)*
            impl ::core::default::Default for #ty {
                fn default() -> Self {
                    Self { #(#arguments: #defaults,)* }
                }
            }
        }
    });
    // Says of an argument that can't be one what it lacks, which the errors of the derives do in the words of other crates.
    let checks = signature
        .arguments
        .iter()
        .map(|signature::Argument { ty, .. }| quote_spanned!(shown_at(ty.span())=> #krate::__private::is_argument::<#ty>();));
    let checks = (!signature.arguments.is_empty()).then(|| quote!(#(#cfgs)* const _: fn() = || { #(#checks)* };));
    Ok(quote! {
        #checks
        #(#cfgs)*
        #(#docs)*
        #[derive(
            ::core::clone::Clone,
            ::core::fmt::Debug,
            #serde::Serialize,
            #serde::Deserialize,
            #schemars::JsonSchema,
        )]
        #[serde(crate = #serde_path)]
        #[schemars(crate = #schemars_path)]
        #(#container)*
        #[allow(missing_docs)]
        #vis struct #ty {
            #(#fields,)*
        }
        #default
        #implementation
    })
}

/// `SendEmail` of `send_email`.
fn struct_name(function: &Ident) -> Result<Ident> {
    let name = wire::pascal(&function.unraw().to_string());
    syn::parse_str::<Ident>(&name).map(|_| Ident::new(&name, function.span())).map_err(|_| {
        Error::new(function.span(), format!("no struct can be named after `{function}`; name the function like `send_email`"))
    })
}
