use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::InvalidInput;
use crate::limits::NAME_BYTES_MAX;

/// A text with places that are filled from values: `openstack:{settings_id}`. Within braces stands the name of a value, or a way to a
/// part of it: `{owner.id}`. A brace that is meant as one is written twice: `{{`.
///
/// At most [`NAME_BYTES_MAX`] bytes, filled or not.
///
/// ```
/// use gristmill_core::Template;
/// use serde_json::json;
///
/// let template: Template = "sync:{repo.id}".parse()?;
/// let args = json!({ "repo": { "id": 7 } });
/// assert_eq!(template.fill(|name| args.get(name))?, "sync:7");
/// assert_eq!(template.fields().collect::<Vec<_>>(), ["repo.id"]);
/// assert!("sync:{repo".parse::<Template>().is_err());
/// # Ok::<(), gristmill_core::InvalidInput>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Part {
    Text(String),
    /// What stands between braces.
    Field(String),
}

impl Template {
    /// The names within braces, with the ways to their parts, in their order.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Field(field) => Some(field.as_str()),
            Part::Text(_) => None,
        })
    }

    /// The text with the values that `of` has for the names.
    ///
    /// # Errors
    /// A name or a part that has no value, or one that is null, a list or an object; more bytes than a name may have, or a control
    /// character. The value itself is not repeated: it may be a secret in a wrong place.
    pub fn fill<'v>(&self, of: impl Fn(&str) -> Option<&'v Value>) -> Result<String, InvalidInput> {
        let mut filled = String::with_capacity(self.text.len());
        for part in &self.parts {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Field(field) => self.push(&mut filled, field, &of)?,
            }
            if filled.len() > NAME_BYTES_MAX {
                return Err(self.wrong(format!("has more than {NAME_BYTES_MAX} bytes once it is filled; take a shorter value")));
            }
        }
        if filled.is_empty() || filled.chars().any(char::is_control) {
            return Err(self.wrong("is empty or has a control character once it is filled".to_owned()));
        }
        Ok(filled)
    }

    fn push<'v>(&self, filled: &mut String, field: &str, of: &impl Fn(&str) -> Option<&'v Value>) -> Result<(), InvalidInput> {
        let mut names = field.split('.');
        let first = of(names.next().unwrap_or_default());
        let value = names.try_fold(first, |value, name| Some(value?.get(name))).flatten();
        match value {
            Some(Value::String(text)) => filled.push_str(text),
            Some(Value::Number(number)) => filled.push_str(&number.to_string()),
            Some(Value::Bool(is)) => filled.push_str(if *is { "true" } else { "false" }),
            Some(Value::Null) => return Err(self.wrong(format!("takes `{field}`, which is null"))),
            Some(Value::Array(_) | Value::Object(_)) => {
                return Err(self.wrong(format!(
                    "takes `{field}`, which is a list or an object; take a part of it, such as `{{{field}.id}}`"
                )));
            }
            None => return Err(self.wrong(format!("takes `{field}`, which is not there"))),
        }
        Ok(())
    }

    fn wrong(&self, problem: String) -> InvalidInput {
        InvalidInput::new(self.text.clone(), problem)
    }
}

impl FromStr for Template {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        let refused = |problem: &str| InvalidInput::new(if text.is_empty() { "the text" } else { text }, problem);
        if text.is_empty() || text.len() > NAME_BYTES_MAX || text.chars().any(char::is_control) {
            return Err(refused(&format!("is empty, has more than {NAME_BYTES_MAX} bytes or a control character")));
        }
        let (mut parts, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            let (before, brace) = rest.split_at(at);
            plain.push_str(before);
            if brace.starts_with("{{") || brace.starts_with("}}") {
                plain.push_str(&brace[..1]);
                rest = &brace[2..];
                continue;
            }
            let field = brace.strip_prefix('{').and_then(|brace| brace.split_once('}'));
            let Some((field, behind)) = field else {
                return Err(refused("has a brace without its other one; write `{{` or `}}` for a brace that is meant as one"));
            };
            if field.contains('{') || field.split('.').any(|name| name.is_empty() || name != name.trim()) {
                return Err(refused("has a place that names no value; write `{name}`, or `{name.part}`"));
            }
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::Field(field.to_owned()));
            rest = behind;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self { text: text.to_owned(), parts })
    }
}

impl TryFrom<String> for Template {
    type Error = InvalidInput;

    fn try_from(text: String) -> Result<Self, InvalidInput> {
        text.parse()
    }
}

impl From<Template> for String {
    fn from(template: Template) -> Self {
        template.text
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fill(template: &str, args: &Value) -> Result<String, String> {
        let template: Template = template.parse().map_err(|error: InvalidInput| error.to_string())?;
        template.fill(|name| args.get(name)).map_err(|error| error.to_string())
    }

    #[test]
    fn values_stand_where_they_are_named() {
        let args = json!({ "a": "x", "n": 7, "f": 1.5, "yes": true, "deep": { "er": { "id": "y" } } });
        for (template, filled) in [
            ("{a}", "x"),
            ("k:{a}-{n}/{f}/{yes}", "k:x-7/1.5/true"),
            ("{deep.er.id}", "y"),
            ("{{{a}}}", "{x}"),
            ("plain", "plain"),
            ("}}{{", "}{"),
        ] {
            assert_eq!(fill(template, &args), Ok(filled.to_owned()), "{template}");
        }
    }

    #[test]
    fn what_has_no_such_value_is_refused_by_name() {
        let args = json!({ "o": {}, "l": [1], "nil": null, "long": "x".repeat(300), "bad": "a\nb", "empty": "" });
        for (template, says) in [
            ("{missing}", "takes `missing`, which is not there"),
            ("{o.part}", "takes `o.part`, which is not there"),
            ("{o}", "a list or an object; take a part of it, such as `{o.id}`"),
            ("{l}", "a list or an object"),
            ("{nil}", "which is null"),
            ("{long}", "more than 255 bytes"),
            ("{bad}", "control character"),
            ("{empty}", "is empty"),
            ("{", "a brace without its other one"),
            ("a}", "a brace without its other one"),
            ("{a{b}", "names no value"),
            ("{}", "names no value"),
            ("{a..b}", "names no value"),
            ("{ a }", "names no value"),
            ("", "is empty"),
        ] {
            let error = fill(template, &args).unwrap_err();
            assert!(error.contains(says), "{template}: {error}");
        }
        assert!(!fill("{long}", &args).unwrap_err().contains("xxx"));
    }

    #[test]
    fn it_is_kept_as_its_text() {
        let template: Template = serde_json::from_str("\"a:{b}\"").unwrap();
        assert_eq!((serde_json::to_string(&template).unwrap().as_str(), template.to_string().as_str()), ("\"a:{b}\"", "a:{b}"));
        assert!(serde_json::from_str::<Template>("\"{\"").is_err());
    }
}
