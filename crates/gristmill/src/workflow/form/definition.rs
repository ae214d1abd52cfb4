use serde_json::value::RawValue;

use crate::written::Entries;

/// A definition is kept beside its run, for people: longer ones are kept without what members take, which are tasks of their own.
const DEFINITION_BYTES_MAX: usize = 256 * 1024;

/// What is kept of the text of a form: all of it, or as much as there is room for.
pub(super) fn of(text: &str) -> String {
    if text.len() <= DEFINITION_BYTES_MAX {
        return text.trim().to_owned();
    }
    [false, true]
        .into_iter()
        .map(|without_args| shortened(text, without_args).unwrap_or_default())
        .find(|short| short.len() <= DEFINITION_BYTES_MAX)
        .unwrap_or_else(|| "{}".to_owned())
}

/// With the numbers of the members in the place of groups.
fn shortened(text: &str, without_args: bool) -> Option<String> {
    let step = |text: &str| {
        object(text, |key, value| match key {
            "each" => {
                let members = serde_json::from_str::<Vec<&RawValue>>(value).map_or(0, |items| items.len());
                Some(("tasks".to_owned(), members.to_string()))
            }
            "args" if without_args => None,
            _ => Some((key.to_owned(), value.to_owned())),
        })
    };
    object(text, |key, value| match key {
        "steps" => Some((key.to_owned(), object(value, |name, value| Some((name.to_owned(), step(value)?)))?)),
        _ => Some((key.to_owned(), value.to_owned())),
    })
}

/// An object anew, with other entries.
fn object(text: &str, mut entry: impl FnMut(&str, &str) -> Option<(String, String)>) -> Option<String> {
    let entries = Entries::read(text).ok()?;
    let parts = entries.iter().filter_map(|(key, value)| {
        let (key, value) = entry(key, value.get())?;
        Some(format!("{}:{value}", serde_json::Value::from(key)))
    });
    Some(format!("{{{}}}", parts.collect::<Vec<_>>().join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_definition_is_kept_without_its_members() {
        let form = |members: usize, args: usize| {
            let each = vec![r#"{"n": 1.50}"#; members].join(", ");
            format!(
                r#" {{"name": "w", "steps": {{"a\"b": {{"task": "t", "each": [{each}]}}, "c": {{"task": "t", "args": {{"x": "{}"}}}}}}}} "#,
                "x".repeat(args)
            )
        };
        assert_eq!(of(&form(1, 0)), form(1, 0).trim());
        let expected = r#"{"name":"w","steps":{"a\"b":{"task":"t","tasks":100000},"c":{"task":"t","args":{"x": "x"}}}}"#;
        assert_eq!(of(&form(100_000, 1)), expected);
        let short = of(&form(2, 300_000));
        assert_eq!(short, r#"{"name":"w","steps":{"a\"b":{"task":"t","tasks":2},"c":{"task":"t"}}}"#);
    }
}
