//! What is wrong with the file, and where.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

/// A mistake in the configuration: `FILE:LINE:COLUMN: message`, and what would be right.
#[derive(Debug)]
pub(crate) struct ConfigError {
    path: PathBuf,
    place: Option<(usize, usize)>,
    message: String,
}

impl ConfigError {
    pub(crate) fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        Self { path: path.to_owned(), place: None, message: format!("the configuration can't be read: {error}") }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for ConfigError {}

/// The file that is read, to point into.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
}

impl Source<'_> {
    /// A mistake in the entry with these keys, or in the nearest one around it that is written down.
    pub(super) fn at(&self, keys: &[&str], message: impl fmt::Display) -> ConfigError {
        self.mistake(self.find(keys), message.to_string())
    }

    /// A mistake that the parser found.
    pub(super) fn explain(&self, error: &toml::de::Error) -> ConfigError {
        let mut message = error.message().trim().to_owned();
        if let Some(near) = near_key(&message) {
            message.push_str(&format!("; did you mean `{near}`?"));
        }
        self.mistake(error.span(), message)
    }

    fn mistake(&self, span: Option<Range<usize>>, message: String) -> ConfigError {
        let place = span.map(|span| {
            let before = self.text.get(..span.start).unwrap_or(self.text);
            let line_start = before.rfind('\n').map_or(0, |end| end + 1);
            (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
        });
        ConfigError { path: self.path.to_owned(), place, message }
    }

    fn find(&self, keys: &[&str]) -> Option<Range<usize>> {
        let table = DeTable::parse(self.text).ok()?.into_inner();
        let mut table = &table;
        let mut found = None;
        for key in keys {
            let Some((name, value)) = table.iter().find(|(name, _)| name.get_ref() == key) else { break };
            found = Some(name.span());
            let DeValue::Table(inner) = value.get_ref() else { break };
            table = inner;
        }
        found
    }
}

/// The known key that looks most like the unknown one, from serde's message "unknown field `a`, expected one of `b`, `c`".
fn near_key(message: &str) -> Option<&str> {
    let mut names = message.strip_prefix("unknown field ")?.split('`').skip(1).step_by(2);
    let unknown = names.next()?;
    let (distance, near) = names.map(|name| (strsim::damerau_levenshtein(unknown, name), name)).min()?;
    (distance <= 2.max(near.len() / 3)).then_some(near)
}
