use rusqlite::types::{FromSql, FromSqlResult, ValueRef};

/// Text as far as it can be read, with U+FFFD for what is not UTF-8. SQLite keeps any bytes as text; one such value, which
/// only another program can have written, must not take its neighbours with it. `check` names it.
pub(crate) struct Lossy(pub(crate) String);

impl FromSql for Lossy {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Ok(Self(String::from_utf8_lossy(value.as_bytes()?).into_owned()))
    }
}
