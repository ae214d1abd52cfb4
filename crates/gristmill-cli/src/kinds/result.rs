//! What comes back from outside as a task's result: it has to be JSON, and nothing is taken for granted about it.

use gristmill::core::limits;
use serde_json::value::RawValue;

/// Reads a result. Nothing at all means `null`.
///
/// # Errors
/// A message that names `what` and shows how it began.
pub(super) fn parse(bytes: &[u8], what: &str) -> Result<String, String> {
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
    }
}
