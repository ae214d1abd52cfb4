//! The shape of the file with all that is wrong with it: what can't be read is left out, and the rest is read.

use std::collections::BTreeSet;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::file::File;
use super::mistake::{ConfigError, Source};

/// Whoever made more mistakes mends these first.
const MISTAKES_MAX: usize = 20;

/// The file, as far as it can be read.
pub(super) struct Shape {
    pub(super) file: File,
    pub(super) mistakes: Vec<ConfigError>,
    /// The entries of which something is left out, by their keys: what they lack may only be what could not be read.
    broken: BTreeSet<[String; 2]>,
}

impl Shape {
    /// # Errors
    /// A text behind whose mistakes nothing can be told for certain.
    pub(super) fn read(source: Source<'_>) -> Result<Self, Vec<ConfigError>> {
        let (mut text, mut mistakes, mut broken) = (source.text.to_owned(), Vec::new(), BTreeSet::new());
        loop {
            let error = match toml::from_str::<File>(&text) {
                Ok(file) => return Ok(Self { file, mistakes, broken }),
                Err(error) => error,
            };
            mistakes.push(source.explain(&error));
            let found = error.span().filter(|_| mistakes.len() < MISTAKES_MAX).and_then(|span| part(&text, span.start));
            let Some((keys, part)) = found else { return Err(mistakes) };
            blank(&mut text, part);
            if DeTable::parse(&text).is_err() {
                return Err(mistakes);
            }
            let mut keys = keys.into_iter();
            broken.extend(keys.next().zip(keys.next()).map(|(section, entry)| [section, entry]));
        }
    }

    /// Whether something of this entry could not be read: of `tasks` by its name, of `schedule` by its number.
    pub(super) fn is_broken(&self, section: &str, entry: &str) -> bool {
        self.broken.iter().any(|[other, name]| other == section && name == entry)
    }
}

/// The smallest part of the text around a place that can be left out, and its keys, with numbers for tables of a list.
fn part(text: &str, at: usize) -> Option<(Vec<String>, Range<usize>)> {
    fn look(text: &str, table: &DeTable<'_>, at: usize, keys: &mut Vec<String>) -> Option<Range<usize>> {
        for (name, value) in table {
            keys.push(name.get_ref().to_string());
            let inside = match value.get_ref() {
                DeValue::Table(inner) => look(text, inner, at, keys),
                DeValue::Array(items) => items.iter().enumerate().find_map(|(number, item)| {
                    let inner = item.get_ref().as_table()?;
                    keys.push(number.to_string());
                    let found = look(text, inner, at, keys);
                    if found.is_none() {
                        keys.pop();
                    }
                    found
                }),
                _ => None,
            };
            if inside.is_some() {
                return inside;
            }
            if name.span().contains(&at) || value.span().contains(&at) {
                let start = name.span().start;
                return Some(section(text, start).unwrap_or(start..value.span().end.max(name.span().end)));
            }
            keys.pop();
        }
        None
    }
    let table = DeTable::parse(text).ok()?;
    let mut keys = Vec::new();
    let part = look(text, table.get_ref(), at, &mut keys)?;
    Some((keys, part))
}

/// The whole section, if a key stands in its head: up to the next one.
fn section(text: &str, key: usize) -> Option<Range<usize>> {
    let start = text[..key].rfind('\n').map_or(0, |end| end + 1);
    if !text[start..key].trim_start().starts_with('[') {
        return None;
    }
    let next = text[key..]
        .match_indices('\n')
        .map(|(at, _)| key + at + 1)
        .find(|at| text[*at..].trim_start_matches(' ').starts_with('['));
    Some(start..next.unwrap_or(text.len()))
}

/// Makes blanks of a part, so that all else stays where it is.
fn blank(text: &mut String, part: Range<usize>) {
    let blanks: String =
        text[part.clone()].bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { char::from(byte) } else { ' ' }).collect();
    text.replace_range(part, &blanks);
}
