use std::collections::BTreeMap;

use gristmill_core::{Env, StoreError, StoreErrorKind, Timestamp};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use crate::open;
use crate::options::SqliteOptions;
use crate::sql;
use crate::text::Lossy;

/// One step of the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    /// Its number; they are applied in order and never undone.
    pub number: i64,
    /// What it is about.
    pub name: String,
    /// When it was applied; `None` if it was not.
    pub applied_at: Option<Timestamp>,
}

const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "tables", include_str!("../migrations/0001_tables.sql")),
    (2, "schedules", include_str!("../migrations/0002_schedules.sql")),
    (3, "places", include_str!("../migrations/0003_places.sql")),
];

/// Brings the file's tables up to date, making them if there are none, and returns every migration.
///
/// Blocks. Safe to call from several processes at once.
///
/// # Errors
/// As [`SqliteStore::connect`](crate::SqliteStore::connect).
pub fn migrate(url: &str) -> Result<Vec<Migration>, StoreError> {
    let options: SqliteOptions = url.parse()?;
    let mut conn = open::writer(&options)?;
    apply(&mut conn, &options, Env::system().now())?;
    migration_status(url)
}

/// Which migrations the file has, and which it lacks. Writes nothing: a file that is not there is not made.
///
/// # Errors
/// If the file is there and can't be read, is not ours, or has migrations that differ from those known.
pub fn migration_status(url: &str) -> Result<Vec<Migration>, StoreError> {
    let options: SqliteOptions = url.parse()?;
    let applied = if options.path.exists() { applied(&open::reader(&options)?, &options)? } else { BTreeMap::new() };
    let known = MIGRATIONS.iter().map(|(number, name, _)| Migration {
        number: *number,
        name: (*name).to_owned(),
        applied_at: applied.get(number).copied(),
    });
    Ok(known.collect())
}

/// Applies what is missing.
pub(crate) fn apply(conn: &mut Connection, options: &SqliteOptions, now: Timestamp) -> Result<(), StoreError> {
    // Looked at before anything is changed, the journal mode included: the file may be somebody else's.
    let done = applied(conn, options)?;
    open::tune(conn, options).map_err(|error| open::explain(error, options))?;
    if done.len() == MIGRATIONS.len() {
        return Ok(());
    }
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(|error| open::explain(error, options))?;
    // Again, now that nobody else can: another process may have been faster.
    let done = applied(&tx, options)?;
    let run = || {
        tx.execute_batch(sql::MIGRATION_CREATE)?;
        for (number, name, text) in MIGRATIONS.iter().filter(|(number, ..)| !done.contains_key(number)) {
            tx.execute_batch(text)?;
            tx.execute(sql::MIGRATION_INSERT, params![number, name, checksum(text), now.as_millis()])?;
        }
        Ok(())
    };
    run().map_err(|error| open::explain(error, options))?;
    tx.commit().map_err(|error| open::explain(error, options))
}

/// The migrations that the file has, after a look at whether it is ours at all.
fn applied(conn: &Connection, options: &SqliteOptions) -> Result<BTreeMap<i64, Timestamp>, StoreError> {
    let what = options.location();
    let (ours, others): (i64, i64) = conn
        .query_row(sql::SCHEMA_TABLES, [], |row| Ok((row.get(0)?, row.get(1)?)))
        .map_err(|error| open::explain(error, options))?;
    if ours == 0 && others > 0 && !options.adopt {
        return Err(StoreError::new(
            StoreErrorKind::NotOurs,
            format!(
                "{what}: this database has {others} tables and none of gristmill's; name another file, or add ?adopt=true to \
                 put gristmill's tables beside them"
            ),
        ));
    }
    let mut applied = BTreeMap::new();
    if ours == 0 {
        return Ok(applied);
    }
    let Some(rows) = read(conn).map_err(|error| open::explain(error, options))? else {
        // Ours come with their list, in one transaction.
        return Err(StoreError::new(
            StoreErrorKind::NotOurs,
            format!(
                "{what}: this database has tables named gristmill_... that gristmill did not make, as its list of migrations is \
                 not there; name another file"
            ),
        ));
    };
    for (number, name, sum, at) in rows {
        let Some((_, _, text)) = MIGRATIONS.iter().find(|known| known.0 == number) else {
            return Err(StoreError::new(
                StoreErrorKind::TooNew,
                format!("{what}: it has migration {number} ({name}), which this version does not know; use a newer gristmill"),
            ));
        };
        if sum != checksum(text) {
            return Err(StoreError::new(
                StoreErrorKind::Corrupt,
                format!(
                    "{what}: migration {number} ({name}) was applied with another text (checksum {sum}, here {}); the file was \
                     made by a different build",
                    checksum(text)
                ),
            ));
        }
        applied.insert(number, Timestamp::from_millis(at));
    }
    Ok(applied)
}

/// A row of the list of migrations: number, name, checksum and when.
type Row = (i64, String, String, i64);

/// The list of migrations, if there is one.
fn read(conn: &Connection) -> rusqlite::Result<Option<Vec<Row>>> {
    let table = "SELECT 1 FROM sqlite_schema WHERE name = 'gristmill_migration'";
    if conn.query_row(table, [], |_| Ok(())).optional()?.is_none() {
        return Ok(None);
    }
    let mut list = conn.prepare(sql::MIGRATION_LIST)?;
    let rows = list.query_map([], |row| Ok((row.get(0)?, row.get::<_, Lossy>(1)?.0, row.get::<_, Lossy>(2)?.0, row.get(3)?)))?;
    rows.collect::<Result<_, _>>().map(Some)
}

/// FNV-1a of a migration's text, without carriage returns, which some checkouts add.
fn checksum(text: &str) -> String {
    let bytes = text.bytes().filter(|byte| *byte != b'\r');
    let sum = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{sum:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_grow_by_one_and_sums_ignore_line_ends() {
        assert!(MIGRATIONS.iter().map(|known| known.0).eq(1..=MIGRATIONS.len() as i64));
        assert_eq!(checksum("a\r\nb"), checksum("a\nb"));
        assert_ne!(checksum("a"), checksum("b"));
    }
}
