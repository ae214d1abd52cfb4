use jsonschema::error::{TypeKind, ValidationErrorKind};
use serde_json::Value;

use crate::core::InvalidInput;

/// A compiled JSON Schema of a task type's arguments.
pub(crate) struct Schema {
    validator: jsonschema::Validator,
    /// Whether it demands more than types and presence, which deserializing checks anyway.
    pub(crate) is_demanding: bool,
}

impl Schema {
    pub(crate) fn compile(schema: &Value) -> Result<Self, String> {
        let validator = jsonschema::validator_for(schema).map_err(|error| error.to_string())?;
        Ok(Self { validator, is_demanding: demands(schema) })
    }

    /// Checks arguments. The error names the field and never repeats a value: it goes to callers who may not see it.
    pub(crate) fn check(&self, args: &Value) -> Result<(), InvalidInput> {
        let Some(error) = self.validator.iter_errors(args).next() else { return Ok(()) };
        let path = format!("args{}", error.instance_path());
        Err(match error.kind() {
            ValidationErrorKind::Required { property } => {
                InvalidInput::new(format!("{path}/{}", property.as_str().unwrap_or_default()), "is missing")
            }
            ValidationErrorKind::Type { kind: TypeKind::Single(kind) } => {
                InvalidInput::new(path, format!("is not of type {kind}"))
            }
            _ => InvalidInput::new(path, error.masked_with("the value").to_string()),
        })
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
        Value::Object(map) => map.iter().any(|(key, value)| {
            let natural = value.as_i64().is_some_and(|bound| NATURAL.contains(&bound)) && map.contains_key("format");
            (KEYWORDS.contains(&key.as_str()) && !natural) || demands(value)
        }),
        Value::Array(items) => items.iter().any(demands),
        _ => false,
    }
}
