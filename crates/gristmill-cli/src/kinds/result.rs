//! What comes back from outside as a task's result: nothing is taken for granted about it.

use gristmill::core::limits;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// What a command writes to standard output, or a target answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Output {
    /// JSON, which is the result.
    #[default]
    Json,
    /// Text, which is the result as a JSON string.
    Text,
    /// Nothing that anybody wants to keep: the result is `null`.
    None,
}

impl Output {
    /// As it is written in the file.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "text",
            Self::None => "none",
        }
    }

    /// The result that these bytes are. `what` names where they come from, and `or_else` is what else to do about those that
    /// are no JSON.
    ///
    /// # Errors
    /// A message that shows how they began.
    pub(super) fn read(self, bytes: &[u8], what: &str, or_else: &str) -> Result<String, String> {
        match self {
            Self::Json => parse(bytes, what)
                .map_err(|why| format!("{why}; {or_else}`output = \"text\"` in its task type keeps plain text as the result")),
            // Without its last ends of lines, as a shell's `$(...)` has it.
            Self::Text => Ok(Value::from(String::from_utf8_lossy(bytes).trim_end_matches(['\n', '\r'])).to_string()),
            Self::None => Ok("null".to_owned()),
        }
    }
}

/// Reads JSON. Nothing at all means `null`.
fn parse(bytes: &[u8], what: &str) -> Result<String, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| format!("{what} is not JSON: it is not even UTF-8"))?.trim();
    if text.is_empty() {
        return Ok("null".to_owned());
    }
    limits::check_depth(what, text).map_err(|error| error.to_string())?;
    match serde_json::from_str::<&RawValue>(text) {
        Ok(json) => Ok(json.get().to_owned()),
        Err(error) => Err(format!("{what} is not JSON: {error}; it begins with {:?}", excerpt(text, 80))),
    }
}

/// The first `max` characters of a text.
pub(super) fn excerpt(text: &str, max: usize) -> &str {
    text.char_indices().nth(max).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_is_a_result() {
        assert_eq!(parse(b"", "x").unwrap(), "null");
        assert_eq!(parse(b" {\"a\": 1}\n", "x").unwrap(), "{\"a\": 1}");
        assert!(parse(b"hello world", "x").unwrap_err().contains("begins with \"hello world\""));
        assert!(parse(b"1 2", "x").is_err());
        assert!(parse(&[0xff, 0xfe], "x").unwrap_err().contains("UTF-8"));
        let deep = "[".repeat(200) + &"]".repeat(200);
        assert!(parse(deep.as_bytes(), "x").unwrap_err().contains("128"));
        assert!(Output::Json.read(b"done", "x", "").unwrap_err().contains("`output = \"text\"`"));
    }

    #[test]
    fn any_bytes_are_text() {
        let text = |bytes: &[u8]| Output::Text.read(bytes, "x", "").unwrap();
        assert_eq!(text(b"a \"b\"\n  c\r\n\n"), r#""a \"b\"\n  c""#);
        assert_eq!((text(b"").as_str(), text(b"{}").as_str()), ("\"\"", "\"{}\""));
        assert_eq!(text(b"\xffx"), "\"\u{fffd}x\"");
        assert_eq!(Output::None.read(b"\xff", "x", "").unwrap(), "null");
    }
}
