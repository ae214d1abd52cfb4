//! Makes visible what a terminal or a reader of lines would obey. What a task is called, logs or fails with comes from
//! anywhere: printed as it is, it could forge a line of the log, move the cursor, or show its text in another order.

use std::borrow::Cow;
use std::fmt::{self, Write};

/// Whether a character does something instead of being seen: control characters, ends of lines, and marks that turn the
/// direction of the text around them.
pub(crate) fn is_hidden(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') || c.is_control()
}

/// The text in one line, with escapes as Rust writes them: `\n`, `\u{1b}`.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    // Writing to a String cannot fail.
    let _ = Visible(&mut escaped).write_str(text);
    escaped
}

/// A text, or the beginning and the end of one with more than `most` characters: what was typed may be a whole file.
pub(crate) fn excerpt(text: &str, most: usize) -> Cow<'_, str> {
    let length = text.chars().count();
    if length <= most {
        return Cow::Borrowed(text);
    }
    let (head, tail) = (most / 4 * 3, most / 4);
    let begin: String = text.chars().take(head).collect();
    let end: String = text.chars().skip(length - tail).collect();
    Cow::Owned(format!("{begin}... ({} more) ...{end}", length - head - tail))
}

/// JSON text, which means the same afterwards: what is hidden can only stand in its strings, and is escaped there as JSON does;
/// white space between values becomes blanks, but for the ends of lines if `lines` is set.
pub(crate) fn json(text: String, lines: bool) -> String {
    if !text.chars().any(is_hidden) {
        return text;
    }
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' if lines => escaped.push(c),
            // JSON has none of these within a string.
            '\0'..='\u{1f}' => escaped.push(' '),
            c if is_hidden(c) => escaped.extend(format!("\\u{:04x}", u32::from(c)).chars()),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Escapes what is written through it.
pub(crate) struct Visible<W>(pub(crate) W);

impl<W: Write> Write for Visible<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some((at, hidden)) = rest.char_indices().find(|(_, c)| is_hidden(*c)) {
            self.0.write_str(&rest[..at])?;
            match hidden {
                '\n' | '\r' | '\t' => write!(self.0, "{}", hidden.escape_default())?,
                _ => write!(self.0, "{}", hidden.escape_unicode())?,
            }
            rest = &rest[at + hidden.len_utf8()..];
        }
        self.0.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_seen() {
        assert_eq!(escape("a\n\t\r\u{1b}[2J\u{7f}\u{9b}\u{202e}\u{2028}z"), r"a\n\t\r\u{1b}[2J\u{7f}\u{9b}\u{202e}\u{2028}z");
        assert_eq!(escape("grüße \u{5d0}\\n 👍🏽"), "grüße \u{5d0}\\n 👍🏽");
    }

    #[test]
    fn of_a_long_text_both_ends_are_shown() {
        assert_eq!(excerpt("grüße", 5), "grüße");
        assert_eq!(excerpt(&format!("{}ü{}", "a".repeat(30), "b".repeat(30)), 8), "aaaaaa... (53 more) ...bb");
    }

    #[test]
    fn json_means_the_same() {
        let text = "{\"a\u{202e}\":\r\n [\"\u{9b}\u{7f}ü\", 1.50]}".to_owned();
        let one = json(text.clone(), false);
        assert_eq!(one, r#"{"a\u202e":   ["\u009b\u007fü", 1.50]}"#);
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&one), value(&text));
        assert!(json(text, true).contains(": \n ["));
    }
}
