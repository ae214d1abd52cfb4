use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, Ident, Path, Type, Visibility};

use crate::wire;

/// `Merge::with(...)`, which makes a signature: a task whose arguments may come from steps of a workflow.
pub(crate) struct With {
    vis: Visibility,
    arguments: Vec<Argument>,
}

struct Argument {
    name: Ident,
    ty: Type,
    /// The name in JSON.
    wire: String,
}

impl With {
    /// `None` if serde writes the struct otherwise than field by field: what stands for one would then not be where serde reads it.
    pub(crate) fn of<'a>(
        vis: &Visibility,
        container: &[Attribute],
        fields: impl Iterator<Item = (&'a Ident, &'a Type, &'a [Attribute])>,
    ) -> Option<Self> {
        if !wire::is_plain_struct(container) {
            return None;
        }
        let rule = wire::rename_all(container);
        let argument = |(name, ty, attributes): (&Ident, &Type, &[Attribute])| {
            let wire = wire::is_plain_field(attributes).then(|| wire::name(name, attributes, rule.as_deref()))??;
            Some(Argument { name: name.clone(), ty: ty.clone(), wire })
        };
        Some(Self { vis: vis.clone(), arguments: fields.map(argument).collect::<Option<Vec<_>>>()? })
    }

    pub(crate) fn write(self, krate: &Path, ty: &Ident, cfgs: &[&Attribute]) -> TokenStream {
        let Self { vis, arguments } = self;
        let takes = arguments.iter().map(|Argument { name, ty, .. }| quote!(#name: impl #krate::workflow::Gives<#ty>));
        let gives = arguments.iter().map(|Argument { name, ty, wire }| quote!(.give::<#ty>(#wire, #name)));
        quote! {
            #(#cfgs)*
            #[automatically_derived]
            #[allow(dead_code, missing_docs, private_bounds, private_interfaces, unreachable_pub, clippy::too_many_arguments)]
            impl #ty {
                /// The task for a step of a workflow: each argument is a value, or what an earlier step gives, such as `step.result()`.
                #vis fn with(#(#takes),*) -> #krate::workflow::Signature<Self> {
                    #krate::workflow::Signature::begin() #(#gives)*
                }
            }
        }
    }
}
