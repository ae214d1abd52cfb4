//! What stands behind the colon: a pattern, or a range.

use std::ops::Range;

/// A text in which `*` stands for anything, unless it was quoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    /// What stands between the stars; one part if there is none.
    parts: Vec<String>,
}

impl Pattern {
    pub(super) fn new(written: &Written) -> Self {
        let parts = match written.quoted {
            true => vec![written.text.clone()],
            false => written.text.split('*').map(str::to_owned).collect(),
        };
        Self { parts }
    }

    /// The text, if it has no star.
    pub(super) fn exact(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [text] => Some(text),
            _ => None,
        }
    }

    pub(super) fn fits(&self, text: &str) -> bool {
        let [first, middle @ .., last] = self.parts.as_slice() else { return self.exact() == Some(text) };
        let Some(mut rest) = text.strip_prefix(first.as_str()).and_then(|rest| rest.strip_suffix(last.as_str())) else {
            return false;
        };
        for part in middle {
            // The first place is always right: what it leaves is the longest.
            let Some(at) = rest.find(part.as_str()) else { return false };
            rest = &rest[at + part.len()..];
        }
        true
    }
}

/// A value as it is written, with its place in the query.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub(super) text: String,
    /// Whether it stood in quotes, where nothing has a meaning of its own.
    pub(super) quoted: bool,
    pub(super) at: Range<usize>,
}

/// What a comparison asks for: `>1h`, `<=3`, `1..5`, or one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bounds<T> {
    /// At least this; the flag excludes the value itself.
    pub(super) low: Option<(T, bool)>,
    /// At most this; the flag excludes the value itself.
    pub(super) high: Option<(T, bool)>,
}

/// How a comparison is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison<'a> {
    Equal(&'a str),
    /// Both sides, either of which may be open.
    Between(&'a str, &'a str),
    Above(&'a str, bool),
    Below(&'a str, bool),
}

impl Written {
    pub(super) fn comparison(&self) -> Comparison<'_> {
        let text = self.text.as_str();
        if self.quoted {
            return Comparison::Equal(text);
        }
        if let Some(rest) = text.strip_prefix('>') {
            return rest.strip_prefix('=').map_or(Comparison::Above(rest, true), |rest| Comparison::Above(rest, false));
        }
        if let Some(rest) = text.strip_prefix('<') {
            return rest.strip_prefix('=').map_or(Comparison::Below(rest, true), |rest| Comparison::Below(rest, false));
        }
        text.split_once("..").map_or(Comparison::Equal(text), |(low, high)| Comparison::Between(low, high))
    }

    /// Reads each side by `read`.
    pub(super) fn bounds<T: Clone + PartialOrd>(&self, read: impl Fn(&str) -> Result<T, String>) -> Result<Bounds<T>, String> {
        let side = |text: &str| if text.is_empty() { Ok(None) } else { read(text).map(|value| Some((value, false))) };
        match self.comparison() {
            Comparison::Equal(text) => read(text).map(Bounds::only),
            Comparison::Above(text, without) => Ok(Bounds { low: Some((read(text)?, without)), high: None }),
            Comparison::Below(text, without) => Ok(Bounds { low: None, high: Some((read(text)?, without)) }),
            Comparison::Between(low, high) => {
                let bounds = Bounds { low: side(low)?, high: side(high)? };
                match (&bounds.low, &bounds.high) {
                    (None, None) => Err("`..` needs a value on one side at least".to_owned()),
                    (Some((first, _)), Some((last, _))) if first > last => {
                        Err(format!("`{}` begins above its end, so that nothing is in it", self.text))
                    }
                    _ => Ok(bounds),
                }
            }
        }
    }
}

impl<T: Clone + PartialOrd> Bounds<T> {
    pub(super) fn only(value: T) -> Self {
        Self { low: Some((value.clone(), false)), high: Some((value, false)) }
    }

    pub(super) fn hold(&self, value: &T) -> bool {
        let above = |(low, without): &(T, bool)| if *without { value > low } else { value >= low };
        let below = |(high, without): &(T, bool)| if *without { value < high } else { value <= high };
        self.low.as_ref().is_none_or(above) && self.high.as_ref().is_none_or(below)
    }
}
