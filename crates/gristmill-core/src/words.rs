/// The words of a text, as [`Filter::text`](crate::Filter::text) looks for them: what stands between spaces and the punctuation of
/// ASCII, with the letters A to Z made small. Other alphabets stay as they are: a store splits text by itself, too, and this is
/// what all of them can do alike.
///
/// ```
/// let words: Vec<_> = gristmill_core::words("Rechnung für Zoë: mail.send#42").collect();
/// assert_eq!(words, ["rechnung", "für", "zoë", "mail", "send", "42"]);
/// ```
pub fn words(text: &str) -> impl Iterator<Item = String> {
    let between = |c: char| c == ' ' || c.is_ascii_punctuation();
    text.split(between).filter(|word| !word.is_empty()).map(str::to_ascii_lowercase)
}
