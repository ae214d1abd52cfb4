use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use gristmill_core::{StoreError, StoreErrorKind};

use crate::options::SqliteOptions;

/// Which file was opened, as the file system knows it. A connection goes on with a file that was removed or replaced as if
/// nothing had happened, and whatever it acknowledges there is lost.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// Absolute: the process may change its directory.
    path: PathBuf,
    opened: Option<(u64, u64)>,
    what: String,
}

impl Identity {
    /// That of the file that has just been opened.
    pub(crate) fn of(options: &SqliteOptions) -> Self {
        let path = std::path::absolute(&options.path).unwrap_or_else(|_| options.path.clone());
        Self { opened: look(&path).ok().flatten(), path, what: options.location() }
    }

    /// Asks the file system, which takes about a microsecond.
    ///
    /// # Errors
    /// `Unreachable`, if the path leads to another file or to none.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let moved = match look(&self.path) {
            Ok(found) => found != self.opened,
            // Another error says nothing about the file, and SQLite can do without the path.
            Err(error) => matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
        };
        if self.opened.is_none() || !moved {
            return Ok(());
        }
        let message =
            "the file was removed or replaced while it was open; nothing is written to it any more, start this program anew";
        Err(StoreError::new(StoreErrorKind::Unreachable, format!("{}: {message}", self.what)).lasting())
    }
}

/// Device and inode; `None` where files have none (and can't be removed while they are open).
#[cfg(unix)]
fn look(path: &Path) -> std::io::Result<Option<(u64, u64)>> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).map(|meta| Some((meta.dev(), meta.ino())))
}

#[cfg(not(unix))]
fn look(_: &Path) -> std::io::Result<Option<(u64, u64)>> {
    Ok(None)
}
