//! The arguments of one task: JSON on the command line, in a file or on standard input, or one by one.

use serde_json::Value;
use serde_json::value::RawValue;

use crate::commands::elsewhere;
use crate::commands::values::{argument, key_value};
use crate::exit::CliError;

#[derive(Debug, clap::Args)]
#[group(conflicts_with = "jsonl")]
pub(super) struct Arguments {
    /// The arguments, a JSON object; @FILE reads it from a file, - from standard input
    #[arg(long, default_value = "{}", value_name = "JSON|@FILE|-")]
    args: String,
    /// One argument, beside those of --args; VALUE is JSON or text. May be given more than once
    #[arg(long = "arg", value_name = "KEY=VALUE", value_parser = key_value)]
    single: Vec<(String, String)>,
}

impl Arguments {
    /// Reads what is elsewhere, so that a file that is not there is told before a store is asked.
    ///
    /// # Errors
    /// A file or standard input that can't be read, is too large or is no text.
    pub(super) fn read(mut self) -> Result<Self, CliError> {
        self.args = elsewhere::text("--args", self.args)?;
        Ok(self)
    }

    /// Whether a task type's schema has a say in what they are.
    pub(super) fn needs_schema(&self) -> bool {
        !self.single.is_empty()
    }

    /// All of them as the text of one JSON object. What stands in --args stays as it is written.
    ///
    /// # Errors
    /// Arguments beside which no others can stand, as they are no object.
    pub(super) fn text(self, schema: Option<&Value>) -> Result<String, CliError> {
        if self.single.is_empty() {
            return Ok(self.args);
        }
        let all = self.args.trim();
        let object: Result<&RawValue, _> = serde_json::from_str(all);
        let inner = object.ok().and_then(|_| all.strip_prefix('{')?.strip_suffix('}'));
        let inner = inner.ok_or_else(|| CliError::usage("--args is not a JSON object, to which --arg could add something"))?;
        let mut parts = vec![inner.trim().to_owned()];
        parts.retain(|part| !part.is_empty());
        for (key, value) in &self.single {
            let property = schema.and_then(|schema| schema.get("properties")?.get(key));
            parts.push(format!("{}: {}", Value::from(key.as_str()), argument(value, property)));
        }
        Ok(format!("{{{}}}", parts.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(args: &str, single: &[&str], schema: Option<&Value>) -> Result<String, CliError> {
        Arguments { args: args.to_owned(), single: single.iter().map(|text| key_value(text).unwrap()).collect() }.text(schema)
    }

    #[test]
    fn single_arguments_stand_beside_the_others() {
        assert_eq!(text(" [1.50 ", &[], None).unwrap(), " [1.50 ");
        assert_eq!(
            text("{}", &["a=1.50", "b=x=y", "c=", "d=[1"], None).unwrap(),
            r#"{"a": 1.50, "b": "x=y", "c": "", "d": "[1"}"#
        );
        assert_eq!(text(" { \"n\": 1e400 }\n", &["\"=true"], None).unwrap(), r#"{"n": 1e400, "\"": true}"#);
        for args in ["[1]", "{", "", "{} {}"] {
            assert!(text(args, &["a=1"], None).is_err(), "{args}");
        }
    }

    #[test]
    fn what_the_schema_wants_as_text_is_text() {
        let schema = json!({ "properties": { "zip": { "type": "string" }, "note": { "type": ["string", "null"] }, "n": { "type": "integer" } } });
        let given = ["zip=12345", "zip=null", "note=null", "note=5", "n=5", "other=5"];
        let each = given.map(|one| text("{}", &[one], Some(&schema)).unwrap());
        let expected = [
            r#"{"zip": "12345"}"#,
            r#"{"zip": "null"}"#,
            r#"{"note": null}"#,
            r#"{"note": "5"}"#,
            r#"{"n": 5}"#,
            r#"{"other": 5}"#,
        ];
        assert_eq!(each, expected);
    }
}
