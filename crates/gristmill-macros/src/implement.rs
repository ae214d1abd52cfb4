use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Attribute, Expr, Ident, Type};

use crate::options::Options;
use crate::with::With;

/// What the implementation of `Task` is made of, whichever macro asks for it.
pub(crate) struct Implementation<'a> {
    pub(crate) options: &'a Options,
    /// The arguments struct.
    pub(crate) ty: &'a Ident,
    /// `#[cfg]` attributes that decide whether the task exists.
    pub(crate) cfgs: Vec<&'a Attribute>,
    pub(crate) state: TokenStream,
    pub(crate) output: Type,
    /// The names of the arguments in Rust.
    pub(crate) members: Vec<Ident>,
    /// The names of the arguments in JSON.
    pub(crate) fields: Vec<String>,
    /// What makes a signature of it, if its fields can be given one by one.
    pub(crate) with: Option<With>,
    /// How the body of `run` calls its context.
    pub(crate) cx: Ident,
    /// The body of `run`.
    pub(crate) body: TokenStream,
    /// The body of `run_batch`, if the handler takes many tasks in one call.
    pub(crate) batch: Option<TokenStream>,
}

impl Implementation<'_> {
    pub(crate) fn write(self) -> TokenStream {
        let Self { options, ty, cfgs, state, output, members, fields, with, cx, body, batch } = self;
        let Options { krate, name, policy, title, elsewhere, version, .. } = options;
        let version = version.write(krate);
        let elsewhere = elsewhere.then(|| {
            quote!(
                const ELSEWHERE: bool = true;
            )
        });
        let title = title.as_ref().map(|title| {
            let made = match title {
                // Braces name arguments, which the text finds as variables; most texts name few of them.
                Expr::Lit(text) => quote! {{
                    let Self { #(#members,)* } = self;
                    ::std::format!(#text)
                }},
                function => quote!(#function(self)),
            };
            quote! {
                #[allow(unused_variables)]
                fn title(&self) -> ::core::option::Option<::std::string::String> {
                    ::core::convert::Into::into(#made)
                }
            }
        });
        let policy = (!policy.is_empty()).then(|| {
            let (keys, values): (Vec<_>, Vec<_>) = policy.iter().map(|(key, value)| (key, value)).unzip();
            quote! {
                #[allow(clippy::needless_update)]
                fn policy() -> #krate::options::Policy {
                    #krate::options::Policy { #(#keys: #values,)* ..::core::default::Default::default() }
                }
            }
        });
        let fields = (!fields.is_empty()).then(|| {
            quote! {
                fn fields() -> &'static [&'static str] {
                    &[#(#fields),*]
                }
            }
        });
        let batch = batch.map(|body| {
            quote! {
                #[automatically_derived]
                impl #krate::batch::BatchTask for #ty {
                    async fn run_batch(
                        #cx: &#krate::batch::Batch<Self::State>,
                        tasks: ::std::vec::Vec<Self>,
                    ) -> #krate::Result<::std::vec::Vec<#krate::Result<Self::Output>>> {
                        #body
                    }
                }
            }
        });
        let with = with.map(|with| with.write(krate, ty, &cfgs));
        quote! {
            #with
            #batch
            #(#cfgs)*
            #[automatically_derived]
            impl #krate::Task for #ty {
                const NAME: &'static str = #name;
                #elsewhere
                #version
                type State = #state;
                type Output = #output;
                #policy
                #fields
                #title
                async fn run(self, #cx: &#krate::Context<Self::State>) -> #krate::Result<Self::Output> {
                    #body
                }
            }
        }
    }
}

/// `result` with whatever error it has as gristmill's own. An error that does not convert is shown at `at`.
pub(crate) fn converted(result: &TokenStream, at: Span) -> TokenStream {
    let at = shown_at(at);
    quote_spanned!(at=> ::core::result::Result::map_err(#result, ::core::convert::Into::into))
}

/// A span whose errors are shown in the user's code, and whose names, `self` among them, are resolved where all that is
/// written here is.
pub(crate) fn shown_at(span: Span) -> Span {
    Span::call_site().located_at(span)
}
