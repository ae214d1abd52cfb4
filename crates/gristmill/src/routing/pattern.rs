use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::core::{InvalidInput, limits};

/// Names of task types: one by itself, or all that look alike. `*` stands for any number of characters, a dot included, `?` for one of
/// them; there is no other way to write it.
///
/// ```
/// use gristmill::routing::Pattern;
///
/// let pattern: Pattern = "app.tasks.*".parse()?;
/// assert!(pattern.fits("app.tasks.notify") && pattern.fits("app.tasks.sync.repos") && !pattern.fits("app.cron.notify"));
/// # Ok::<(), gristmill::core::InvalidInput>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(String);

impl Pattern {
    /// One that no name fits.
    pub(super) const fn nothing() -> Self {
        Self(String::new())
    }

    /// Whether it is of one name alone.
    pub fn is_exact(&self) -> bool {
        !self.0.contains(['*', '?'])
    }

    /// Whether a name is one of them. Costs at most the product of both lengths.
    pub fn fits(&self, name: &str) -> bool {
        if self.is_exact() {
            return self.0 == name;
        }
        let (pattern, name): (Vec<char>, Vec<char>) = (self.0.chars().collect(), name.chars().collect());
        // Where the last `*` stands, and how far what it stands for reaches: it is made longer where the rest does not fit.
        let (mut at, mut of, mut star) = (0, 0, None);
        while of < name.len() {
            match pattern.get(at) {
                Some('*') => {
                    star = Some((at, of));
                    at += 1;
                }
                Some(wanted) if *wanted == '?' || *wanted == name[of] => (at, of) = (at + 1, of + 1),
                _ => {
                    let Some((starred, reach)) = star else { return false };
                    star = Some((starred, reach + 1));
                    (at, of) = (starred + 1, reach + 1);
                }
            }
        }
        pattern[at..].iter().all(|left| *left == '*')
    }
}

impl FromStr for Pattern {
    type Err = InvalidInput;

    fn from_str(text: &str) -> Result<Self, InvalidInput> {
        limits::check_name("match", text)?;
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Pattern {
    type Error = InvalidInput;

    fn try_from(text: String) -> Result<Self, InvalidInput> {
        text.parse()
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_number_of_characters() {
        for (pattern, fits, does_not) in [
            ("a", &["a"][..], &["", "b", "ab", "A"][..]),
            ("a.*", &["a.", "a.b", "a.b.c", "a.*"], &["a", "b.a."]),
            ("*", &["a", "a.b"], &[]),
            ("*.end", &[".end", "a.end", "a.end.end"], &["end", "a.end."]),
            ("a*b*c", &["abc", "a1b2c", "abbbc", "abcbc"], &["ab", "abcb", "xabc"]),
            ("a?c", &["abc", "aéc"], &["ac", "abbc"]),
            ("**a", &["a", "ba"], &["b"]),
        ] {
            let pattern: Pattern = pattern.parse().unwrap();
            assert!(fits.iter().all(|name| pattern.fits(name)), "{pattern}");
            assert!(!does_not.iter().any(|name| pattern.fits(name)), "{pattern}");
        }
        assert!("".parse::<Pattern>().is_err() && "a\n*".parse::<Pattern>().is_err());
    }

    #[test]
    fn a_pattern_of_stars_costs_no_more_than_both_lengths() {
        let pattern: Pattern = "*a".repeat(120).parse().unwrap();
        assert!(!pattern.fits(&"a".repeat(119)) && pattern.fits(&"a".repeat(255)));
    }
}
