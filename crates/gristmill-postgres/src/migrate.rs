use std::collections::BTreeMap;

use gristmill_core::{Env, StoreError, StoreErrorKind, Timestamp};
use tokio_util::task::TaskTracker;

use crate::conn::{Conn, Connect};
use crate::days;
use crate::error::{Fault, explain};
use crate::options::PostgresOptions;
use crate::sql::{Q, quote};

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
    (2, "functions", include_str!("../migrations/0002_functions.sql")),
    (3, "days", include_str!("../migrations/0003_days.sql")),
    (4, "values", include_str!("../migrations/0004_values.sql")),
    (5, "enqueue", include_str!("../migrations/0005_enqueue.sql")),
    (6, "nudge", include_str!("../migrations/0006_nudge.sql")),
    (7, "schedules", include_str!("../migrations/0007_schedules.sql")),
];

const CREATE: &str = include_str!("../queries/migration_create.sql");

/// Brings the schema up to date, making it if there is none, and returns every migration.
///
/// Safe to call from several processes at once, and while workers run.
///
/// # Errors
/// As [`PostgresStore::connect`](crate::PostgresStore::connect).
pub async fn migrate(url: &str) -> Result<Vec<Migration>, StoreError> {
    let options: PostgresOptions = url.parse()?;
    let connect = Connect::new(options, TaskTracker::new())?;
    let conn = connect.open().await?;
    apply(&conn, &connect, &Env::system()).await?;
    status(&conn, &connect).await
}

/// Which migrations the schema has, and which it lacks. Writes nothing.
///
/// # Errors
/// If the database can't be read, the schema is not ours, or has migrations that differ from those known.
pub async fn migration_status(url: &str) -> Result<Vec<Migration>, StoreError> {
    let options: PostgresOptions = url.parse()?;
    let connect = Connect::new(options, TaskTracker::new())?;
    status(&connect.open().await?, &connect).await
}

/// The statements that [`migrate`] would run on an empty database, for those whose databases others change. They name
/// `schema`, and have to be run in one transaction.
///
/// # Errors
/// If `url` can't be read.
pub fn migration_sql(url: &str) -> Result<String, StoreError> {
    let options: PostgresOptions = url.parse()?;
    let connect = Connect::new(options, TaskTracker::new())?;
    let mut sql = format!("CREATE SCHEMA IF NOT EXISTS {};\n{};\n", quote(connect.texts.schema()), connect.texts.fill(CREATE));
    for (number, name, text) in MIGRATIONS {
        sql.push_str(&connect.texts.fill(text));
        sql.push_str(&format!(
            "\nINSERT INTO {}.migration(number, name, checksum, applied_at)\n  VALUES ({number}, '{name}', '{}', \
             floor(extract(epoch FROM statement_timestamp()) * 1000)::bigint);\n",
            quote(connect.texts.schema()),
            checksum(text)
        ));
    }
    Ok(sql)
}

async fn status(conn: &Conn, connect: &Connect) -> Result<Vec<Migration>, StoreError> {
    let applied = applied(conn, connect).await?;
    let known = MIGRATIONS.iter().map(|(number, name, _)| Migration {
        number: *number,
        name: (*name).to_owned(),
        applied_at: applied.get(number).copied(),
    });
    Ok(known.collect())
}

/// Applies what is missing.
pub(crate) async fn apply(conn: &Conn, connect: &Connect, env: &Env) -> Result<(), StoreError> {
    if applied(conn, connect).await?.len() == MIGRATIONS.len() {
        return Ok(());
    }
    let what = &connect.what;
    let lock = format!("BEGIN; SELECT pg_advisory_xact_lock({})", lock_key(connect.texts.schema()));
    conn.batch(&lock).await.map_err(|error| explain(error, what))?;
    let done = run(conn, connect, env).await;
    match done {
        Ok(()) => conn.batch("COMMIT").await.map_err(|error| explain(error, what)),
        Err(fault) => {
            // If that fails too, the connection is gone, and the transaction with it.
            let _ = conn.batch("ROLLBACK").await;
            Err(fault.explain(what))
        }
    }
}

async fn run(conn: &Conn, connect: &Connect, env: &Env) -> Result<(), Fault> {
    // Again, now that nobody else can: another process may have been faster.
    let done = applied(conn, connect).await?;
    let texts = &connect.texts;
    if done.len() == MIGRATIONS.len() {
        return Ok(());
    }
    if done.is_empty() {
        conn.batch(&format!("CREATE SCHEMA IF NOT EXISTS {}; {}", quote(texts.schema()), texts.fill(CREATE))).await?;
    }
    let now = env.virtual_now().map(Timestamp::as_millis);
    for (number, name, text) in MIGRATIONS.iter().filter(|(number, ..)| !done.contains_key(number)) {
        conn.batch(&texts.fill(text)).await?;
        conn.execute(texts, Q::MigrationInsert, &[&now, number, name, &checksum(text)]).await?;
    }
    // Later days are made by whoever sweeps, who can wait for the locks that it takes.
    if done.is_empty() {
        days::make_ahead(conn, texts, env.now()).await?;
    }
    Ok(())
}

/// The migrations that the schema has, after a look at whether it is ours at all.
async fn applied(conn: &Conn, connect: &Connect) -> Result<BTreeMap<i64, Timestamp>, StoreError> {
    let (texts, what) = (&connect.texts, &connect.what);
    let read = async || -> Result<_, Fault> {
        let row = conn.rows(texts, Q::MigrationExists, &[&texts.schema()]).await?.pop();
        let (ours, filled) = match row {
            Some(row) => (row.try_get(0)?, row.try_get::<_, bool>(1)?),
            None => (false, false),
        };
        let rows = if ours { conn.rows(texts, Q::MigrationList, &[]).await? } else { Vec::new() };
        Ok((ours, filled, rows))
    };
    let (ours, filled, rows) = read().await.map_err(|fault| fault.explain(what))?;
    if !ours && filled {
        let message = format!(
            "{what}: the schema {} has tables and none of gristmill's; name another with ?schema=NAME",
            quote(texts.schema())
        );
        return Err(StoreError::new(StoreErrorKind::NotOurs, message));
    }
    let mut applied = BTreeMap::new();
    for row in rows {
        let read = || -> Result<(i64, String, String, i64), tokio_postgres::Error> {
            Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?))
        };
        let (number, name, sum, at) = read().map_err(|error| explain(error, what))?;
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
                    "{what}: migration {number} ({name}) was applied with another text (checksum {sum}, here {}); the schema was \
                     made by a different build",
                    checksum(text)
                ),
            ));
        }
        applied.insert(number, Timestamp::from_millis(at));
    }
    Ok(applied)
}

/// What migrators of one schema lock; others' locks are elsewhere in the 64 bits.
pub(crate) fn lock_key(schema: &str) -> i64 {
    i64::from_be_bytes(fnv(format!("gristmill migration of {schema}").bytes()).to_be_bytes())
}

/// FNV-1a of a migration's text, without carriage returns, which some checkouts add.
fn checksum(text: &str) -> String {
    format!("{:016x}", fnv(text.bytes().filter(|byte| *byte != b'\r')))
}

pub(crate) fn fnv(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
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
