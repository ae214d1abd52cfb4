use gristmill_core::{StoreError, StoreErrorKind};
use rusqlite::ErrorCode;

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
    use StoreErrorKind::{Busy, Corrupt, Full, NotOurs, Other, ReadOnly, Unreachable};
    let (kind, hint) = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            (Busy, "another process holds a transaction open; try again, and keep write transactions short".to_owned())
        }
        Some(ErrorCode::DiskFull) => (Full, "no space is left; nothing was written, try again when there is some".to_owned()),
        Some(ErrorCode::ReadOnly) => {
            (ReadOnly, "the file or its directory can't be written; check its owner and permissions".to_owned())
        }
        Some(ErrorCode::PermissionDenied) => (ReadOnly, "permission denied; check the file's owner and permissions".to_owned()),
        Some(ErrorCode::DatabaseCorrupt) => {
            (Corrupt, "the file is damaged; stop all writers, keep a copy, and restore it from a backup".to_owned())
        }
        Some(ErrorCode::NotADatabase) => (
            NotOurs,
            "the file is not a SQLite database, or its first page is damaged; name another file, or restore it from a backup"
                .to_owned(),
        ),
        Some(ErrorCode::CannotOpen) => {
            (Unreachable, "the file can't be opened; its directory has to exist and be accessible".to_owned())
        }
        None if is_about_a_value(&error) => {
            (Corrupt, format!("a value in the file can't be read, which no gristmill has written; `doctor` names more: {error}"))
        }
        _ => match &error {
            // Without the statement, which is of no use to anybody and may be a whole migration.
            rusqlite::Error::SqlInputError { msg, .. } => (Other, msg.clone()),
            _ => (Other, error.to_string()),
        },
    };
    StoreError::new(kind, format!("{what}: {hint}")).with_source(error)
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
