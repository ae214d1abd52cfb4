use std::path::{Path, PathBuf};
use std::time::Duration;

use gristmill_core::{StoreError, StoreErrorKind, parse_duration};

/// Where the file is and how it is opened; read from `sqlite:PATH?option=value&...`.
///
/// | option | values | default |
/// | --- | --- | --- |
/// | `synchronous` | `full`; `normal`: a power loss may take the last commits | `full` |
/// | `busy_timeout` | how long to wait for another process's transaction | `5s` |
/// | `adopt` | `true`: put the tables into a database that has others | `false` |
/// | `create` | `false`: refuse to make a file that is not there | `true` |
/// | `max_pages` | the most pages of 4 KiB that the file may have | no limit |
///
/// ```
/// let options: gristmill_sqlite::SqliteOptions = "sqlite:app.db?synchronous=normal".parse()?;
/// assert_eq!(options.path, std::path::Path::new("app.db"));
/// assert!("sqlite:app.db?journal=off".parse::<gristmill_sqlite::SqliteOptions>().is_err());
/// # Ok::<(), gristmill_core::StoreError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SqliteOptions {
    /// The file.
    pub path: PathBuf,
    /// When a commit is on the disk.
    pub synchronous: Synchronous,
    /// How long a write waits for another process's transaction.
    pub busy_timeout: Duration,
    /// Whether the tables may be put into a database that holds others.
    pub adopt: bool,
    /// Whether a file that is not there is made.
    pub create: bool,
    /// The most pages that the file may have; beyond it, writes answer `Full` as on a full disk.
    pub max_pages: Option<u32>,
}

/// When a commit is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Synchronous {
    /// Before it is acknowledged.
    Full,
    /// Soon: a power loss may take the last commits. A crash of the process takes none.
    Normal,
}

impl SqliteOptions {
    /// The defaults, for the file at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            synchronous: Synchronous::Full,
            busy_timeout: Duration::from_secs(5),
            adopt: false,
            create: true,
            max_pages: None,
        }
    }

    /// Where it is, for people and logs.
    pub(crate) fn location(&self) -> String {
        format!("sqlite:{}", self.path.display())
    }
}

impl std::str::FromStr for SqliteOptions {
    type Err = StoreError;

    fn from_str(url: &str) -> Result<Self, StoreError> {
        let rest = url
            .strip_prefix("sqlite:")
            .ok_or_else(|| invalid(format!("`{url}` does not name a SQLite file: write sqlite:PATH, such as sqlite:app.db")))?;
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        if path.is_empty() {
            return Err(invalid(format!("`{url}` names no file: write sqlite:PATH, such as sqlite:app.db")));
        }
        if path.starts_with(":memory:") || query.contains("mode=memory") {
            return Err(invalid(
                "a SQLite database in memory is gone with its connection and can't be shared: name a file, \
                 or use the in-memory store for tests",
            ));
        }
        let mut options = Self::new(Path::new(path));
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            options.set(name, value)?;
        }
        Ok(options)
    }
}

impl SqliteOptions {
    fn set(&mut self, name: &str, value: &str) -> Result<(), StoreError> {
        match name {
            "synchronous" => {
                self.synchronous = match value {
                    "full" => Synchronous::Full,
                    "normal" => Synchronous::Normal,
                    _ => return Err(invalid(format!("synchronous={value}: it is full or normal"))),
                }
            }
            "busy_timeout" => {
                self.busy_timeout = parse_duration(value).map_err(|why| invalid(format!("busy_timeout: {why}")))?;
            }
            "adopt" => self.adopt = switch(name, value)?,
            "create" => self.create = switch(name, value)?,
            "max_pages" => match value.parse() {
                Ok(pages @ 1..) => self.max_pages = Some(pages),
                _ => return Err(invalid(format!("max_pages={value}: it is a number of pages of 4 KiB, from 1"))),
            },
            _ => {
                return Err(invalid(format!(
                    "there is no option `{name}` for a SQLite store; there are synchronous, busy_timeout, adopt, create, \
                     max_pages"
                )));
            }
        }
        Ok(())
    }
}

fn switch(name: &str, value: &str) -> Result<bool, StoreError> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(invalid(format!("{name}={value}: it is true or false"))),
    }
}

fn invalid(message: impl Into<String>) -> StoreError {
    StoreError::new(StoreErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<SqliteOptions, StoreError> {
        url.parse()
    }

    #[test]
    fn urls_are_read() {
        let options = read("sqlite:/var/app.db?synchronous=normal&busy_timeout=250ms&adopt=true").unwrap();
        assert_eq!(options.path, Path::new("/var/app.db"));
        assert_eq!((options.synchronous, options.busy_timeout), (Synchronous::Normal, Duration::from_millis(250)));
        assert!(options.adopt && options.create);
        assert_eq!(read("sqlite:///var/app.db").unwrap().path, Path::new("/var/app.db"));
        assert_eq!(read("sqlite://app.db").unwrap().path, Path::new("app.db"));
    }

    #[test]
    fn bad_urls_are_refused_by_name() {
        for (url, says) in [
            ("sqlite:", "names no file"),
            ("postgres:x", "sqlite:PATH"),
            ("sqlite::memory:", "in memory"),
            ("sqlite:x?mode=memory", "in memory"),
            ("sqlite:x?journal=off", "`journal`"),
            ("sqlite:x?synchronous=off", "full or normal"),
            ("sqlite:x?busy_timeout=5", "busy_timeout"),
            ("sqlite:x?adopt=yes", "true or false"),
            ("sqlite:x?max_pages=many", "number of pages"),
            ("sqlite:x?max_pages=0", "from 1"),
        ] {
            let error = read(url).unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Invalid, "{url}");
            assert!(error.to_string().contains(says), "{url}: {error}");
        }
    }
}
