use gristmill_core::limits::VERSION_MAX;
use gristmill_core::version::split;
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, Expr, ExprPath, Ident, Lit, LitStr, Path, Result};

use crate::implement::{converted, shown_at};
use crate::options::example;
use crate::value;

/// `version` and `upgrade`.
#[derive(Default)]
pub(crate) struct Version {
    /// With its number, if that is a literal.
    version: Option<(Ident, TokenStream, Option<u32>)>,
    upgrade: Option<(Ident, Upgrade)>,
}

enum Upgrade {
    /// Tasks of older versions are left to programs that have their code.
    None,
    By(ExprPath),
}

impl Version {
    pub(crate) fn read(&mut self, key: &Ident, value: &Expr) -> Result<()> {
        let range = format!("is from 1 to {VERSION_MAX}");
        let tokens = value::integer(key, value, 1, VERSION_MAX.into(), &range)?;
        let number = match value::literal(value) {
            Some(Lit::Int(number)) => number.base10_parse().ok(),
            _ => None,
        };
        self.version = Some((key.clone(), tokens, number));
        Ok(())
    }

    pub(crate) fn read_upgrade(&mut self, key: &Ident, value: &Expr) -> Result<()> {
        let upgrade = match value::bare(value) {
            Expr::Path(path) if path.path.is_ident("none") => Upgrade::None,
            Expr::Path(path) => Upgrade::By(path.clone()),
            value => {
                let message = format!("`{key}` is the path of a function, or `none`; {}", example(key));
                return Err(Error::new_spanned(value, message));
            }
        };
        self.upgrade = Some((key.clone(), upgrade));
        Ok(())
    }

    /// Checks them beside the rest. Where the version is no literal, the registration sees what it is.
    pub(crate) fn check(&self, name: &LitStr, elsewhere: bool) -> Result<()> {
        let later = self.version.as_ref().filter(|(_, _, number)| *number != Some(1));
        if let Some((key, ..)) = later
            && let (plain, 2..) = split(&name.value())
        {
            let message =
                format!("a name that ends in `@` and a number has its version there; with `{key}` write `name = {plain:?}`");
            return Err(Error::new(name.span(), message));
        }
        match (later, &self.upgrade) {
            (None, Some((key, _))) => Err(Error::new(
                key.span(),
                format!("`{key}` is for tasks of versions before this one: write `version = 2`, or leave it out"),
            )),
            (Some(_), Some((key, Upgrade::By(_)))) if elsewhere => Err(Error::new(
                key.span(),
                "tasks of older versions are upgraded by the program that has the code; leave `upgrade` out",
            )),
            (Some((key, ..)), None) if !elsewhere => {
                let message = "tasks of the versions before wait in the store: write `upgrade = function`, which makes their arguments \
                               into those of this version, or `upgrade = none` to leave them to programs that have their code";
                Err(Error::new(key.span(), message))
            }
            _ => Ok(()),
        }
    }

    /// The constants of `Task`.
    pub(crate) fn write(&self, krate: &Path) -> TokenStream {
        let version = self.version.as_ref().map(|(_, version, _)| quote!(const VERSION: u32 = #version;));
        let upgrade = match &self.upgrade {
            Some((_, Upgrade::By(function))) => {
                let at = function.span();
                let call = quote_spanned!(shown_at(at)=> #function(from, args));
                let converted = converted(&call, at);
                Some(quote! {
                    const UPGRADE: ::core::option::Option<#krate::options::Upgrade> =
                        ::core::option::Option::Some(|from, args| #converted);
                })
            }
            _ => None,
        };
        quote!(#version #upgrade)
    }
}
