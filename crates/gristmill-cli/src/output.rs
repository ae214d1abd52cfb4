//! Where everything is written: data to standard output, the rest to standard error.

use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use gristmill::core::json::{ListJson, PageJson};
use serde::Serialize;

use crate::exit::CliError;
use crate::visible;
pub(crate) use crate::visible::escape;

/// The form of the data on standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// One JSON value.
    Json,
    /// One JSON value a line.
    Jsonl,
}

/// Standard output.
#[derive(Debug)]
pub(crate) struct Out {
    pub(crate) format: Format,
}

impl Out {
    pub(crate) fn new(format: Format) -> Self {
        Self { format }
    }

    /// Writes text as it is.
    ///
    /// # Errors
    /// [`CliError::unread`] if the reader is gone, which ends the command quietly.
    pub(crate) fn raw(&self, text: &str) -> Result<(), CliError> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(CliError::unread()),
            Err(error) => Err(CliError::failed(format!("standard output can't be written: {error}"))),
        }
    }

    /// Writes a line of text.
    pub(crate) fn line(&self, text: &str) -> Result<(), CliError> {
        self.raw(&format!("{text}\n"))
    }

    /// Writes a value that is JSON text already.
    pub(crate) fn json_text(&self, text: &str) -> Result<(), CliError> {
        self.line(&visible::json(text.to_owned(), self.format != Format::Jsonl))
    }

    /// Writes a value that is JSON whatever the form.
    pub(crate) fn any_json(&self, value: &impl Serialize) -> Result<(), CliError> {
        self.line(&json(value, self.format != Format::Jsonl)?)
    }

    /// Writes one value: as JSON, or as what `table` makes of it.
    pub(crate) fn value<T: Serialize>(&self, value: &T, table: impl FnOnce(&T) -> String) -> Result<(), CliError> {
        match self.format {
            Format::Table => self.raw(&table(value)),
            Format::Json => self.line(&json(value, true)?),
            Format::Jsonl => self.line(&json(value, false)?),
        }
    }

    /// Writes a list: `{"items": [...]}`, a line an item, or a table.
    pub(crate) fn list<T: Serialize>(
        &self,
        items: &[T],
        headers: &[&str],
        row: impl Fn(&T) -> Vec<String>,
    ) -> Result<(), CliError> {
        match self.format {
            Format::Json => self.line(&json(&ListJson { items }, true)?),
            Format::Jsonl => self.lines(items),
            Format::Table => self.raw(&table(headers, items.iter().map(row))),
        }
    }

    /// Writes a page of a list, and to those who don't see its `next` where the next one begins.
    pub(crate) fn page<T: Serialize>(
        &self,
        page: &PageJson<T>,
        headers: &[&str],
        row: impl Fn(&T) -> Vec<String>,
    ) -> Result<(), CliError> {
        match self.format {
            Format::Json => return self.line(&json(page, true)?),
            Format::Jsonl => self.lines(&page.items)?,
            Format::Table => self.raw(&table(headers, page.items.iter().map(row)))?,
        }
        if let Some(next) = &page.next {
            note(&format!("there is more: --cursor {next}"));
        }
        Ok(())
    }

    /// Writes a line of JSON an item.
    pub(crate) fn lines<T: Serialize>(&self, items: &[T]) -> Result<(), CliError> {
        let lines = items.iter().map(|item| json(item, false)).collect::<Result<Vec<_>, _>>()?;
        self.raw(&lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect::<String>())
    }
}

/// Whether nobody wants to hear anything but errors.
static QUIET: AtomicBool = AtomicBool::new(false);

pub(crate) fn set_quiet(quiet: bool) {
    QUIET.store(quiet, Ordering::Relaxed);
}

pub(crate) fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Says something to the person at the terminal, unless nobody wants to hear it: one line on standard error. Never fails; there may
/// be nobody.
pub(crate) fn note(text: &str) {
    if !is_quiet() {
        complain(text);
    }
}

/// So many characters of a line for people are shown: it may repeat what was typed, and that may be anything.
const LINE_SHOWN_MAX: usize = 2_000;

/// Says what is wrong, to whoever there is.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", escape(&visible::excerpt(text, LINE_SHOWN_MAX)));
}

/// How many there are of something: `1 task`, `2 tasks`.
pub(crate) fn number_of(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// The same as the subject of a sentence: `1 task is`, `2 tasks are`.
pub(crate) fn number_are(count: u64, what: &str) -> String {
    format!("{} {}", number_of(count, what), if count == 1 { "is" } else { "are" })
}

/// Asks something, and leaves the line open for the answer.
pub(crate) fn ask(question: &str) {
    let mut stderr = io::stderr().lock();
    let _ = write!(stderr, "{}", escape(question)).and_then(|()| stderr.flush());
}

fn json(value: &impl Serialize, pretty: bool) -> Result<String, CliError> {
    let text = if pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
    let text = text.map_err(|error| CliError::failed(format!("the answer can't be written as JSON: {error}")))?;
    Ok(visible::json(text, pretty))
}

/// A table in columns. Without rows, only its header.
pub(crate) fn table(headers: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let head = headers.iter().map(|header| header.to_uppercase()).collect();
    let rows: Vec<Vec<String>> =
        std::iter::once(head).chain(rows.map(|row| row.iter().map(|cell| escape(cell)).collect())).collect();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..headers.len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let line: String = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}  ")).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned_and_harmless() {
        let rows = [vec!["a\x1b[31m".to_owned(), "b".to_owned()], vec!["longer than that".to_owned(), "c".to_owned()]];
        let text = table(&["one", "two"], rows.into_iter());
        assert_eq!(text, "ONE               TWO\na\\u{1b}[31m       b\nlonger than that  c\n");
    }
}
