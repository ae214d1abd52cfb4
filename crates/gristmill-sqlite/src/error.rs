use gristmill_core::{StoreError, StoreErrorKind};

/// What can go wrong inside an operation, before it is known which file it was about.
#[derive(Debug)]
pub(crate) enum Fault {
    Sqlite(rusqlite::Error),
    Store(StoreError),
}

impl Fault {
    /// A request that no store could fulfil. Raised before anything is written.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::Store(StoreError::new(StoreErrorKind::Invalid, message))
    }

    /// The error for callers; `what` names what was tried and on which file.
    pub(crate) fn explain(self, what: &str) -> StoreError {
        match self {
            Self::Store(error) => error,
            Self::Sqlite(error) => explain(error, what),
        }
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Says in words what SQLite said in a code, and what to do about it.
pub(crate) fn explain(error: rusqlite::Error, what: &str) -> StoreError {
    let meaning = error.sqlite_error().and_then(|error| meaning(error.extended_code));
    let (kind, hint) = match (meaning, &error) {
        (Some((kind, hint)), _) => (kind, hint.to_owned()),
        (None, error) if error.sqlite_error().is_none() && is_about_a_value(error) => {
            let hint = "a value in the file can't be read, which no gristmill has written; `doctor` names more";
            (StoreErrorKind::Corrupt, format!("{hint}: {error}"))
        }
        // Without the statement, which is of no use to anybody and may be a whole migration.
        (None, rusqlite::Error::SqlInputError { msg, .. }) => (StoreErrorKind::Other, msg.clone()),
        (None, error) => (StoreErrorKind::Other, error.to_string()),
    };
    StoreError::new(kind, format!("{what}: {hint}")).with_source(error)
}

/// What an extended [result code](https://www.sqlite.org/rescode.html) means, and what to do about it; `None` if SQLite's own words say it
/// better.
pub(crate) fn meaning(code: i32) -> Option<(StoreErrorKind, &'static str)> {
    use StoreErrorKind::{Busy, Corrupt, Full, NotOurs, Other, ReadOnly, Unreachable};
    // The low byte is the primary code.
    Some(match (code, code & 0xff) {
        (517, _) => (
            Busy,
            "somebody else has committed since this transaction first read, so that it can't write any more; run it again, and begin it with \
             `BEGIN IMMEDIATE`, which waits for its turn",
        ),
        (_, 5 | 6) => (
            Busy,
            "another connection holds a transaction open; keep those short and try again, or, if it is your own, do this in it: `.within(&mut tx)`",
        ),
        (_, 13) => (Full, "no space is left; nothing was written, try again when there is some"),
        (_, 8) => (ReadOnly, "the file or its directory can't be written; check its owner and permissions"),
        (_, 3) => (ReadOnly, "permission denied; check the file's owner and permissions"),
        (_, 11) => (Corrupt, "the file is damaged; stop all writers, keep a copy, and restore it from a backup"),
        // Beside a file on a full disk the shared memory can't be made; the others are of a quota, or of a disk that fails.
        (1034 | 1290, _) => (
            Other,
            "the disk did not confirm the write: no space or quota is left on it, or it fails; whether it was written is not certain, so \
             repeat it with the same id, and see the system's log",
        ),
        (778 | 1546 | 4874, _) => (
            Full,
            "the disk can't be written: no space or quota is left on it, or it fails; nothing was written, make room, or see the system's log",
        ),
        (266 | 522, _) => {
            (Other, "the disk can't be read: it fails, or the file was cut short; see the system's log and `doctor`")
        }
        (_, 10) => (Other, "the file system refused what was asked of the file (disk I/O error); see the system's log"),
        (_, 26) => (
            NotOurs,
            "the file is not a SQLite database, or its first page is damaged; name another file, or restore it from a backup",
        ),
        (_, 14) => (Unreachable, "the file can't be opened; its directory has to exist and be accessible"),
        _ => return None,
    })
}

/// What is in a column is not what belongs there.
fn is_about_a_value(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType};
    matches!(error, FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_full_or_fails_is_named_as_such() {
        use rusqlite::ffi::{
            SQLITE_IOERR, SQLITE_IOERR_DIR_FSYNC, SQLITE_IOERR_FSYNC, SQLITE_IOERR_LOCK, SQLITE_IOERR_READ, SQLITE_IOERR_SHMSIZE,
            SQLITE_IOERR_SHORT_READ, SQLITE_IOERR_TRUNCATE, SQLITE_IOERR_WRITE,
        };
        for code in [SQLITE_IOERR_WRITE, SQLITE_IOERR_TRUNCATE, SQLITE_IOERR_SHMSIZE] {
            let (kind, says) = meaning(code).unwrap();
            assert!(kind == StoreErrorKind::Full && says.contains("no space"), "{code}: {says}");
        }
        for code in [SQLITE_IOERR_FSYNC, SQLITE_IOERR_DIR_FSYNC] {
            let (kind, says) = meaning(code).unwrap();
            assert!(kind == StoreErrorKind::Other && says.contains("not certain"), "{code}: {says}");
        }
        for code in [SQLITE_IOERR, SQLITE_IOERR_READ, SQLITE_IOERR_SHORT_READ, SQLITE_IOERR_LOCK] {
            let (kind, says) = meaning(code).unwrap();
            assert!(kind == StoreErrorKind::Other && says.contains("system's log"), "{code}: {says}");
        }
    }

    #[test]
    fn a_write_to_a_read_only_connection_is_called_read_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE t(x)").unwrap();
        let conn = rusqlite::Connection::open_with_flags(&path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let error = explain(conn.execute("INSERT INTO t VALUES (1)", []).unwrap_err(), "sqlite:a.db");
        assert_eq!(error.kind(), StoreErrorKind::ReadOnly);
        assert!(error.to_string().contains("permissions"), "{error}");
    }
}
