use std::collections::HashSet;

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind};
use serde_json::Value;

use crate::core::InvalidInput;

/// A compiled JSON Schema of a task type's arguments.
pub(crate) struct Schema {
    validator: jsonschema::Validator,
    /// Whether it demands more than types and presence, which deserializing checks anyway.
    pub(crate) is_demanding: bool,
    /// The names of fields that it knows, at whatever place.
    fields: HashSet<String>,
}

impl Schema {
    pub(crate) fn compile(schema: &Value) -> Result<Self, String> {
        let validator = jsonschema::validator_for(schema).map_err(|error| error.to_string())?;
        let mut fields = HashSet::new();
        collect_fields(schema, &mut fields);
        Ok(Self { validator, is_demanding: demands(schema), fields })
    }

    /// Checks arguments for whoever sends them. The error names the field and never repeats a value: it goes to logs and
    /// to callers who may not see it.
    pub(crate) fn check(&self, args: &Value) -> Result<(), InvalidInput> {
        let Some(error) = self.validator.iter_errors(args).next() else { return Ok(()) };
        Err(told(&error, format!("args{}", error.instance_path())))
    }

    /// The same of arguments in which something else will stand at these places, which are JSON Pointers: what is not known yet is not
    /// refused, nor is what depends on it.
    pub(crate) fn check_around(&self, args: &Value, open: &[String]) -> Result<(), InvalidInput> {
        let is_open = |error: &ValidationError<'_>| {
            let place = error.instance_path().to_string();
            let is_within =
                |inner: &str, outer: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            let at_one = open.iter().any(|open| is_within(&place, open));
            at_one || (open.iter().any(|open| is_within(open, &place)) && depends_on_parts(error.kind()))
        };
        match self.validator.iter_errors(args).find(|error| !is_open(error)) {
            Some(error) => Err(told(&error, format!("args{}", error.instance_path()))),
            None => Ok(()),
        }
    }

    /// Checks arguments that were kept. The error repeats nothing that only the arguments say, the names of fields that
    /// the schema does not know included: such a name may be a customer's (a map's key) or a slip.
    pub(crate) fn check_kept(&self, args: &Value) -> Result<(), InvalidInput> {
        use ValidationErrorKind as Kind;
        let Some(error) = self.validator.iter_errors(args).next() else { return Ok(()) };
        let path = self.known_path(args, &error.instance_path().to_string());
        Err(match error.kind() {
            Kind::AdditionalProperties { .. } | Kind::UnevaluatedProperties { .. } | Kind::UnevaluatedItems { .. } => {
                InvalidInput::new(path, "has fields that the task type does not know")
            }
            // The errors within these repeat what they are about.
            Kind::PropertyNames { .. } => InvalidInput::new(path, "has a field whose name is not allowed"),
            Kind::Custom { .. } | Kind::FromUtf8 { .. } => InvalidInput::new(path, "is not allowed"),
            _ => told(&error, path),
        })
    }

    /// The place of an error, with a star for what the schema has no name for.
    fn known_path(&self, args: &Value, path: &str) -> String {
        let (mut shown, mut at) = (String::from("args"), Some(args));
        for segment in path.split('/').skip(1) {
            let name = segment.replace("~1", "/").replace("~0", "~");
            let is_index = at.is_some_and(Value::is_array);
            at = match at {
                Some(Value::Array(items)) => name.parse::<usize>().ok().and_then(|index| items.get(index)),
                Some(Value::Object(map)) => map.get(&name),
                _ => None,
            };
            shown.push('/');
            shown.push_str(if is_index || self.fields.contains(&name) { segment } else { "*" });
        }
        shown
    }
}

/// Whether an error about an object or an array may be gone once one of its parts is another.
fn depends_on_parts(kind: &ValidationErrorKind) -> bool {
    use ValidationErrorKind as Kind;
    !matches!(
        kind,
        Kind::Type { .. }
            | Kind::Required { .. }
            | Kind::AdditionalProperties { .. }
            | Kind::AdditionalItems { .. }
            | Kind::MinProperties { .. }
            | Kind::MaxProperties { .. }
            | Kind::MinItems { .. }
            | Kind::MaxItems { .. }
            | Kind::PropertyNames { .. }
    )
}

fn told(error: &ValidationError<'_>, path: String) -> InvalidInput {
    match error.kind() {
        ValidationErrorKind::Required { property } => {
            InvalidInput::new(format!("{path}/{}", property.as_str().unwrap_or_default()), "is missing")
        }
        ValidationErrorKind::Type { kind: TypeKind::Single(kind) } => InvalidInput::new(path, format!("is not of type {kind}")),
        _ => InvalidInput::new(path, error.masked_with("the value").to_string()),
    }
}

/// Whether a schema demands something that deserializing into the Rust type would not notice.
fn demands(schema: &Value) -> bool {
    const KEYWORDS: [&str; 12] = [
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "minLength",
        "maxLength",
        "pattern",
        "minItems",
        "maxItems",
        "uniqueItems",
        "multipleOf",
        "minProperties",
    ];
    /// The bounds of Rust's own integers, which are written into their schemas.
    const NATURAL: [i64; 7] = [0, 255, 65_535, 127, -128, 32_767, -32_768];
    match schema {
        Value::Object(map) => map.iter().any(|(key, value)| match (key.as_str(), value) {
            // These hold names of the user's own, which may be a keyword's.
            (PROPERTIES | "$defs" | "definitions" | "patternProperties", Value::Object(named)) => named.values().any(demands),
            ("default" | "examples" | "const" | "enum", _) => false,
            (key, value) => {
                let natural = value.as_i64().is_some_and(|bound| NATURAL.contains(&bound)) && map.contains_key("format");
                (KEYWORDS.contains(&key) && !natural) || demands(value)
            }
        }),
        Value::Array(items) => items.iter().any(demands),
        _ => false,
    }
}

const PROPERTIES: &str = "properties";

fn collect_fields(schema: &Value, fields: &mut HashSet<String>) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::Object(properties)) = map.get(PROPERTIES) {
                fields.extend(properties.keys().cloned());
            }
            map.values().for_each(|value| collect_fields(value, fields));
        }
        Value::Array(items) => items.iter().for_each(|value| collect_fields(value, fields)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_rust_does_not_check_is_demanding() {
        let properties = |field: Value| json!({"type": "object", "properties": {"pattern": field}});
        assert!(!demands(&properties(json!({"type": "integer", "format": "uint8", "minimum": 0, "maximum": 255}))));
        assert!(!demands(&properties(json!({"type": "string", "default": {"maxLength": 1}}))));
        assert!(demands(&properties(json!({"type": "string", "maxLength": 1}))));
        assert!(demands(&json!({"properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"minimum": 5}}})));
    }

    #[test]
    fn around_what_is_not_known_yet_the_rest_is_checked() {
        let schema = json!({
            "type": "object", "required": ["n"], "additionalProperties": false, "properties": {
                "n": {"type": "integer"}, "list": {"type": "array", "items": {"type": "integer"}, "maxItems": 2},
                "any": {"anyOf": [{"type": "null"}, {"type": "object", "properties": {"x": {"type": "integer"}}}]},
            },
        });
        let schema = Schema::compile(&schema).expect("it is a schema");
        let later = json!({"$result": "a"});
        let check = |args: Value, open: &[&str]| {
            let open: Vec<_> = open.iter().map(|place| (*place).to_owned()).collect();
            schema.check_around(&args, &open).map_err(|error| error.to_string()).err().unwrap_or_default()
        };
        assert_eq!(check(json!({"n": later, "list": [1, later], "any": {"x": later}}), &["/n", "/list/1", "/any/x"]), "");
        assert_eq!(check(later.clone(), &[""]), "");
        assert_eq!(check(json!({"list": [later]}), &["/list/0"]), "args/n: is missing");
        assert_eq!(check(json!({"n": later, "list": ["x"]}), &["/n"]), "args/list/0: is not of type integer");
        assert!(check(json!({"n": 1, "list": [1, 2, later]}), &["/list/2"]).starts_with("args/list: "));
        assert!(check(json!({"n": later, "nn": 1}), &["/n"]).starts_with("args: "), "its names are known");
        assert_eq!(check(json!({"n": later}), &["/nn"]), "args/n: is not of type integer");
    }

    /// Whatever is wrong, nothing that only the arguments say is in the error that is kept.
    #[test]
    fn kept_errors_repeat_nothing_of_the_arguments() {
        const MARKER: &str = "hunter2";
        let strict = json!({"type": "object", "additionalProperties": false, "properties": {"a": {}}});
        let cases = [
            (json!({"properties": {"a": {"type": "integer"}}}), json!({"a": MARKER}), "args/a: is not of type integer"),
            (json!({"properties": {"a": {"enum": ["b"]}}}), json!({"a": MARKER}), "args/a: "),
            (json!({"properties": {"a": {"const": "b"}}}), json!({"a": MARKER}), "args/a: "),
            (json!({"properties": {"a": {"pattern": "^b"}}}), json!({"a": MARKER}), "args/a: "),
            (json!({"properties": {"a": {"maxLength": 1}}}), json!({"a": MARKER}), "args/a: "),
            (json!({"properties": {"a": {"format": "date"}}}), json!({"a": [MARKER, MARKER]}), ""),
            (json!({"properties": {"a": {"uniqueItems": true}}}), json!({"a": [MARKER, MARKER]}), "args/a: "),
            (json!({"properties": {"a": {"contains": {"type": "null"}}}}), json!({"a": [MARKER]}), "args/a: "),
            (json!({"properties": {"a": {"oneOf": [true, true]}}}), json!({"a": MARKER}), "args/a: "),
            (json!({"properties": {"a": {"anyOf": [{"type": "null"}]}}}), json!({"a": MARKER}), "args/a: "),
            (json!({"properties": {"a": {"not": true}}}), json!({"a": MARKER}), "args/a: "),
            (json!({"properties": {"a": {"type": ["null", "integer"]}}}), json!({"a": MARKER}), "args/a: "),
            (json!({"properties": {"a": false}}), json!({"a": MARKER}), "args/a: "),
            (strict, json!({"a": 1, MARKER: 2}), "args: has fields"),
            (json!({"unevaluatedProperties": false}), json!({MARKER: 2}), "args"),
            (json!({"propertyNames": {"maxLength": 1}}), json!({MARKER: 2}), "args"),
            (json!({"additionalProperties": {"type": "null"}}), json!({MARKER: {"a/b": 1}}), "args/*: is not of type null"),
            (json!({"properties": {"a": {"items": {"type": "null"}}}}), json!({"a": [null, 1]}), "args/a/1: is not of type null"),
            (json!({"additionalProperties": {"items": {"type": "null"}}}), json!({"12": [1]}), "args/*/0: is not of type null"),
            (json!({"required": ["b"]}), json!({"a": MARKER}), "args/b: is missing"),
            (json!({"dependentRequired": {"a": ["b"]}}), json!({"a": MARKER}), "args"),
        ];
        for (schema, args, told) in cases {
            let Err(error) = Schema::compile(&schema).expect("it is a schema").check_kept(&args) else {
                assert_eq!(told, "", "{schema} refuses {args}");
                continue;
            };
            assert!(!error.to_string().contains(MARKER), "{error}");
            assert!(error.to_string().starts_with(told), "{error}");
        }
    }
}
