/// The words of a text, as [`Filter::text`](crate::Filter::text) looks for them: runs of characters that are neither white space
/// nor punctuation nor control characters of ASCII, with its letters made small. Other alphabets stay as they are: a store splits
/// text by itself, and this is what all of them can do alike.
///
/// ```
/// let words: Vec<_> = gristmill_core::words("Rechnung für Zoë: mail.send#42").collect();
/// assert_eq!(words, ["rechnung", "für", "zoë", "mail", "send", "42"]);
/// ```
pub fn words(text: &str) -> impl Iterator<Item = String> {
    let between = |c: char| c.is_ascii() && !c.is_ascii_alphanumeric();
    text.split(between).filter(|word| !word.is_empty()).map(str::to_ascii_lowercase)
}
