use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Fields, FieldsNamed, Ident, Result, Token};

use crate::implement::{Implementation, converted, shown_at};
use crate::options::{Given, Options};
use crate::wire;
use crate::with::With;

/// `#[derive(Task)]`.
pub(crate) fn expand(item: TokenStream) -> Result<TokenStream> {
    let input: DeriveInput = syn::parse2(item)?;
    let ty = &input.ident;
    let fields = named_fields(&input)?;
    if input.generics.lt_token.is_some() || input.generics.where_clause.is_some() {
        let message = "a task can't have generics or lifetimes, since its arguments are stored; use concrete, owned types";
        return Err(Error::new(input.generics.span(), message));
    }
    let mut attributes = fields.named.iter().flat_map(|field| &field.attrs);
    if let Some(attribute) = attributes.find(|attribute| attribute.path().is_ident("task")) {
        return Err(Error::new_spanned(attribute, "a field has no task options; write serde's own, such as `#[serde(default)]`"));
    }

    let mut given = Vec::new();
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("task")) {
        given.extend(attribute.parse_args_with(Punctuated::<Given, Token![,]>::parse_terminated)?);
    }
    let options = Options::read(given, true, &ty.to_string().to_lowercase(), ty.span())?;
    let krate = &options.krate;
    let rule = wire::rename_all(&input.attrs);
    let named = |field: &syn::Field| wire::name(field.ident.as_ref()?, &field.attrs, rule.as_deref());
    let cx = Ident::new("cx", Span::call_site());
    // Without this span a missing `handle` would be reported at the word `Task` of the derive.
    let call = quote_spanned!(shown_at(ty.span())=> Self::handle(self, #cx).await);
    if options.elsewhere
        && let Some(state) = &options.state
    {
        return Err(Error::new_spanned(state, "a task whose code is elsewhere needs no state; leave it out"));
    }
    if options.elsewhere && options.batch {
        return Err(Error::new(ty.span(), "how tasks are gathered says the program that has the code; leave `batch` out"));
    }
    let many = options.batch.then(|| {
        let call = quote_spanned!(shown_at(ty.span())=> Self::handle(#cx, tasks).await);
        converted(&call, ty.span())
    });
    let body = if options.batch {
        quote!({
            let _ = (self, #cx);
            ::core::result::Result::Err(#krate::Error::fail("it takes many tasks at once: `App::register_batch` adds it"))
        })
    } else if options.elsewhere {
        quote!({
            let _ = (self, #cx);
            ::core::result::Result::Err(#krate::Error::fail("its code is in another program"))
        })
    } else {
        converted(&call, ty.span())
    };
    Ok(Implementation {
        options: &options,
        ty,
        cfgs: Vec::new(),
        state: options.state.as_ref().map_or_else(|| quote!(#krate::context::Stateless), |state| quote!(#state)),
        output: options.output.clone().unwrap_or_else(|| syn::parse_quote!(())),
        members: fields.named.iter().filter_map(|field| field.ident.clone()).collect(),
        fields: fields.named.iter().filter_map(named).collect(),
        with: With::of(
            &input.vis,
            &input.attrs,
            fields.named.iter().filter_map(|field| Some((field.ident.as_ref()?, &field.ty, &*field.attrs))),
        ),
        cx,
        body,
        batch: many,
    }
    .write())
}

fn named_fields(input: &DeriveInput) -> Result<&FieldsNamed> {
    let message = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(fields) => return Ok(fields),
            Fields::Unnamed(_) => "arguments have names: write a struct with named fields".to_owned(),
            Fields::Unit => {
                format!("arguments are a JSON object, and a unit struct is `null`: write `struct {} {{}}`", input.ident)
            }
        },
        Data::Enum(_) | Data::Union(_) => "a task is a struct with named fields; put the enum or union into a field".to_owned(),
    };
    Err(Error::new(input.ident.span(), message))
}
