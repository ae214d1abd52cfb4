//! The names of arguments in JSON, which serde's attributes may change. Positional callers are told these names, so a
//! rename that went unseen here would send their arguments to fields that do not exist.

use syn::ext::IdentExt;
use syn::meta::ParseNestedMeta;
use syn::{Attribute, Ident, LitStr, Result, Token};

/// The rule of `#[serde(rename_all = "...")]` above the struct.
pub(crate) fn rename_all(attributes: &[Attribute]) -> Option<String> {
    let mut rule = None;
    each_serde(attributes, |meta| {
        if meta.path.is_ident("rename_all") {
            rule = for_reading(meta)?.or(rule.take());
            return Ok(());
        }
        skip(meta)
    });
    rule
}

/// The name under which a field is read; `None` for one that has no name of its own: skipped, or flattened.
pub(crate) fn name(field: &Ident, attributes: &[Attribute], rename_all: Option<&str>) -> Option<String> {
    let (mut renamed, mut hidden) = (None, false);
    each_serde(attributes, |meta| {
        if meta.path.is_ident("rename") {
            renamed = for_reading(meta)?.or(renamed.take());
            return Ok(());
        }
        hidden |= ["skip", "skip_deserializing", "flatten"].iter().any(|word| meta.path.is_ident(word));
        skip(meta)
    });
    if hidden {
        return None;
    }
    let name = field.unraw().to_string();
    Some(renamed.unwrap_or_else(|| rename_all.map_or_else(|| name.clone(), |rule| apply(rule, &name))))
}

/// Whether serde writes a field as its type does, under a name of its own.
pub(crate) fn is_plain_field(attributes: &[Attribute]) -> bool {
    has_only(attributes, &["rename", "default", "alias", "skip_serializing_if", "bound"])
}

/// Whether serde writes a struct field by field.
pub(crate) fn is_plain_struct(attributes: &[Attribute]) -> bool {
    has_only(attributes, &["rename", "rename_all", "default", "deny_unknown_fields", "crate", "expecting", "bound"])
}

fn has_only(attributes: &[Attribute], words: &[&str]) -> bool {
    let mut only = true;
    each_serde(attributes, |meta| {
        only &= words.iter().any(|word| meta.path.is_ident(word));
        skip(meta)
    });
    only
}

/// Visits serde's attributes. What is wrong with them is serde's to say, with its own words.
fn each_serde(attributes: &[Attribute], mut visit: impl FnMut(&ParseNestedMeta<'_>) -> Result<()>) {
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        let _ = attribute.parse_nested_meta(|meta| visit(&meta));
    }
}

/// The name in `rename = "name"` or `rename(deserialize = "name")`.
fn for_reading(meta: &ParseNestedMeta<'_>) -> Result<Option<String>> {
    if meta.input.peek(Token![=]) {
        return Ok(Some(meta.value()?.parse::<LitStr>()?.value()));
    }
    let mut name = None;
    meta.parse_nested_meta(|side| {
        let value = side.value()?.parse::<LitStr>()?;
        if side.path.is_ident("deserialize") {
            name = Some(value.value());
        }
        Ok(())
    })?;
    Ok(name)
}

fn skip(meta: &ParseNestedMeta<'_>) -> Result<()> {
    if meta.input.peek(Token![=]) {
        meta.value()?.parse::<syn::Expr>()?;
    } else if meta.input.peek(syn::token::Paren) {
        meta.parse_nested_meta(|inner| skip(&inner))?;
    }
    Ok(())
}

/// serde's rules for fields, which are written in snake_case.
fn apply(rule: &str, field: &str) -> String {
    match rule {
        "UPPERCASE" | "SCREAMING_SNAKE_CASE" => field.to_ascii_uppercase(),
        "kebab-case" => field.replace('_', "-"),
        "SCREAMING-KEBAB-CASE" => field.to_ascii_uppercase().replace('_', "-"),
        "PascalCase" => pascal(field),
        "camelCase" => {
            let name = pascal(field);
            let first = name.chars().next().map_or(0, char::len_utf8);
            name[..first].to_ascii_lowercase() + &name[first..]
        }
        _ => field.to_owned(),
    }
}

/// `send_email` as `SendEmail`.
pub(crate) fn pascal(snake: &str) -> String {
    let mut name = String::with_capacity(snake.len());
    for word in snake.split('_') {
        let mut letters = word.chars();
        name.extend(letters.next().into_iter().flat_map(char::to_uppercase));
        name.push_str(letters.as_str());
    }
    name
}
