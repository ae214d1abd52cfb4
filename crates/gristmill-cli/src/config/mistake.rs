//! What is wrong with the file, and where.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::plain::plain;
use gristmill::near::near;

/// A mistake in the configuration: `FILE:LINE:COLUMN: message`, and what would be right; and those that were found beside it.
#[derive(Debug)]
pub(crate) struct ConfigError {
    path: PathBuf,
    place: Option<(usize, usize)>,
    message: String,
    /// The wrong text with marks below it, as lines.
    pointer: String,
    more: Vec<Self>,
}

impl ConfigError {
    pub(crate) fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        Self::new(path, None, format!("the configuration can't be read: {error}"))
    }

    fn new(path: &Path, place: Option<(usize, usize)>, message: String) -> Self {
        Self { path: path.to_owned(), place, message, pointer: String::new(), more: Vec::new() }
    }

    /// Several mistakes as one error, in the order of the file; `None` if there are none.
    pub(super) fn all(mut mistakes: Vec<Self>) -> Option<Self> {
        mistakes.sort_by_key(|mistake| mistake.place);
        let mut mistakes = mistakes.into_iter();
        let first = mistakes.next()?;
        Some(Self { more: mistakes.collect(), ..first })
    }

    pub(super) fn pointing(self, pointer: Option<String>) -> Self {
        Self { pointer: pointer.unwrap_or_default(), ..self }
    }

    /// Each mistake with its place, and the lines that belong below it.
    pub(crate) fn mistakes(&self) -> impl Iterator<Item = (String, Vec<String>)> {
        std::iter::once(self).chain(&self.more).map(|mistake| {
            let place = mistake.place.map(|(line, column)| format!(":{line}:{column}")).unwrap_or_default();
            let text = format!("{}{place}: {}", mistake.path.display(), mistake.message);
            (text, mistake.pointer.lines().map(str::to_owned).collect())
        })
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.mistakes().flat_map(|(text, below)| std::iter::once(text).chain(below));
        f.write_str(&lines.collect::<Vec<_>>().join("\n"))
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
    /// A mistake in the entry with these keys, or in the nearest one around it that is written down. In an array of tables
    /// the number of a table stands for its key.
    pub(super) fn at(&self, keys: &[&str], message: impl fmt::Display) -> ConfigError {
        self.mistake(self.find(keys), message.to_string())
    }

    /// Where these keys are, if all of them are there.
    pub(super) fn place_if_there(&self, keys: &[&str]) -> Option<String> {
        let table = DeTable::parse(self.text).ok()?.into_inner();
        let mut at = &table;
        for (depth, key) in keys.iter().enumerate() {
            let (_, value) = at.iter().find(|(name, _)| name.get_ref() == key)?;
            if depth + 1 < keys.len() {
                at = value.get_ref().as_table()?;
            }
        }
        Some(self.place_of(keys))
    }

    /// Where these keys are: `FILE:LINE:COLUMN`.
    pub(super) fn place_of(&self, keys: &[&str]) -> String {
        let (line, column) = self.find(keys).map_or((1, 1), |span| self.place(&span));
        format!("{}:{line}:{column}", self.path.display())
    }

    /// A mistake that the parser found.
    pub(super) fn explain(&self, error: &toml::de::Error) -> ConfigError {
        let said = error.message().lines().map(str::trim).collect::<Vec<_>>().join("; ");
        let said = said.as_str();
        if let (true, Some(span)) = (said.starts_with("duplicate key"), error.span()) {
            return self.duplicate(span);
        }
        let path = error.span().map(|span| self.path_of(&span)).unwrap_or_default();
        let mut message = plain(said, &path);
        if let Some(near) = near_key(said) {
            message.push_str(&format!("; did you mean `{near}`?"));
        }
        self.mistake(error.span(), message)
    }

    /// A key that is there twice, with the place of the first.
    fn duplicate(&self, second: Range<usize>) -> ConfigError {
        let written = self.text.get(second.clone()).unwrap_or_default();
        let first = self.first_of(&second).map(|span| self.place(&span));
        let message = match first {
            Some((line, column)) => format!("the key `{written}` is there twice; the first one is at {line}:{column}"),
            None => format!("the key `{written}` is there twice"),
        };
        self.mistake(Some(second), message)
    }

    /// Where the key was first written. With another name in its place the second one is found in the table of the first.
    fn first_of(&self, second: &Range<usize>) -> Option<Range<usize>> {
        const STAND_IN: &str = "gristmill-stand-in";
        let alone = format!("{} = 0", self.text.get(second.clone())?);
        let key = DeTable::parse(&alone).ok()?.into_inner().keys().next()?.get_ref().to_string();
        let text = format!("{}{STAND_IN}{}", self.text.get(..second.start)?, self.text.get(second.end..)?);
        let (table, _) = DeTable::parse_recoverable(&text);
        fn look(table: &DeTable<'_>, key: &str) -> Option<Range<usize>> {
            if table.contains_key(STAND_IN) {
                return table.keys().find(|name| name.get_ref() == key).map(|name| name.span());
            }
            table.values().find_map(|value| match value.get_ref() {
                DeValue::Table(inner) => look(inner, key),
                DeValue::Array(items) => items.iter().find_map(|item| look(item.get_ref().as_table()?, key)),
                _ => None,
            })
        }
        look(table.get_ref(), &key)
    }

    /// The keys above a value.
    fn path_of(&self, span: &Range<usize>) -> Vec<String> {
        fn look(table: &DeTable<'_>, span: &Range<usize>, path: &mut Vec<String>) -> bool {
            table.iter().any(|(name, value)| {
                path.push(name.get_ref().to_string());
                let inside = match value.get_ref() {
                    DeValue::Table(inner) => look(inner, span, path),
                    // Of an array of tables the number is left out: it is no key.
                    DeValue::Array(items) => {
                        items.iter().any(|item| item.get_ref().as_table().is_some_and(|inner| look(inner, span, path)))
                    }
                    _ => false,
                };
                let found = inside || (value.span().start <= span.start && span.end <= value.span().end);
                if !found {
                    path.pop();
                }
                found
            })
        }
        let mut path = Vec::new();
        if let Ok(table) = DeTable::parse(self.text) {
            look(table.get_ref(), span, &mut path);
        }
        path
    }

    fn mistake(&self, span: Option<Range<usize>>, message: String) -> ConfigError {
        ConfigError::new(self.path, span.map(|span| self.place(&span)), message)
    }

    /// Line and column.
    fn place(&self, span: &Range<usize>) -> (usize, usize) {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    fn find(&self, keys: &[&str]) -> Option<Range<usize>> {
        let table = DeTable::parse(self.text).ok()?.into_inner();
        let mut table = &table;
        let mut found = None;
        let mut keys = keys.iter();
        while let Some(key) = keys.next() {
            let Some((name, value)) = table.iter().find(|(name, _)| name.get_ref() == key) else { break };
            found = Some(name.span());
            table = match value.get_ref() {
                DeValue::Table(inner) => inner,
                DeValue::Array(items) => {
                    let item = keys.next().and_then(|number| items.get(number.parse::<usize>().ok()?));
                    let Some(inner) = item.and_then(|item| item.get_ref().as_table()) else { break };
                    found = item.map(toml::Spanned::span);
                    inner
                }
                _ => break,
            };
        }
        found
    }
}

/// The known key that looks most like the unknown one, from serde's message "unknown field `a`, expected one of `b`, `c`".
fn near_key(message: &str) -> Option<&str> {
    let mut names = message.strip_prefix("unknown field ")?.split('`').skip(1).step_by(2);
    let unknown = names.next()?;
    near(unknown, names)
}
