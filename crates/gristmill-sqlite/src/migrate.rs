use gristmill_core::kit::migrate::{Applied, Effect, Standing, Step, not_ours};
use gristmill_core::{Env, StoreError, Timestamp};
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

pub use gristmill_core::kit::migrate::Migration;

use crate::open;
use crate::options::SqliteOptions;
use crate::sql;
use crate::text::Lossy;

/// In the order in which they are applied.
const STEPS: &[Step] = &[
    Step::breaks(1, "tables", include_str!("../migrations/0001_tables.sql")),
    Step::breaks(2, "schedules", include_str!("../migrations/0002_schedules.sql")),
    Step::adds(1, "places", include_str!("../additions/0001_places.sql")),
    Step::adds(2, "lists", include_str!("../additions/0002_lists.sql")),
    Step::adds(3, "clocks", include_str!("../additions/0003_clocks.sql")),
    Step::adds(4, "drain", include_str!("../additions/0004_drain.sql")),
    Step::adds(5, "workflows", include_str!("../additions/0005_workflows.sql")),
    Step::adds(6, "reruns", include_str!("../additions/0006_reruns.sql")),
    Step::adds(7, "durable", include_str!("../additions/0007_durable.sql")),
    Step::adds(8, "concurrency", include_str!("../additions/0008_concurrency.sql")),
    Step::adds(9, "locks", include_str!("../additions/0009_locks.sql")),
    Step::adds(10, "unique", include_str!("../additions/0010_unique.sql")),
    Step::adds(11, "rates", include_str!("../additions/0011_rates.sql")),
    Step::adds(12, "fair", include_str!("../additions/0012_fair.sql")),
    Step::adds(13, "queues", include_str!("../additions/0013_queues.sql")),
];

/// Brings the file's tables up to date, making them if there are none, and returns every migration.
///
/// Blocks. Safe to call from several processes at once, and while workers run, also those of older versions.
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
    let standing = if options.path.exists() {
        standing(&open::reader(&options)?, &options)?
    } else {
        Standing::of(&options.location(), STEPS, Vec::new())?
    };
    Ok(standing.migrations())
}

/// Applies what is missing.
pub(crate) fn apply(conn: &mut Connection, options: &SqliteOptions, now: Timestamp) -> Result<(), StoreError> {
    // Looked at before anything is changed, the journal mode included: the file may be somebody else's.
    let mut standing = standing(conn, options)?;
    open::tune(conn, options).map_err(|error| open::explain(error, options))?;
    while !standing.is_complete() {
        standing = go_on(conn, options, now)?;
    }
    Ok(())
}

/// One step in a transaction of its own, so that workers wait for no more than one; all of them where there is nothing yet, which
/// nobody should see half made.
fn go_on(conn: &mut Connection, options: &SqliteOptions, now: Timestamp) -> Result<Standing, StoreError> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(|error| open::explain(error, options))?;
    // Again, now that nobody else can: another process may have been faster.
    let before = standing(&tx, options)?;
    let count = if before.is_empty() { STEPS.len() } else { 1 };
    take(&tx, before.missing().take(count), now).map_err(|error| open::explain(error, options))?;
    let after = standing(&tx, options)?;
    tx.commit().map_err(|error| open::explain(error, options))?;
    Ok(after)
}

fn take<'a>(tx: &Transaction<'_>, steps: impl Iterator<Item = &'a Step>, now: Timestamp) -> rusqlite::Result<()> {
    tx.execute_batch(sql::MIGRATION_CREATE)?;
    tx.execute_batch(sql::ADDITION_CREATE)?;
    for step in steps {
        tx.execute_batch(step.text)?;
        let insert = match step.effect {
            Effect::Breaks => sql::MIGRATION_INSERT,
            Effect::Adds => sql::ADDITION_INSERT,
        };
        tx.execute(insert, params![step.number, step.name, step.checksum(), now.as_millis()])?;
    }
    Ok(())
}

/// How far the file is, after a look at whether it is ours at all.
fn standing(conn: &Connection, options: &SqliteOptions) -> Result<Standing, StoreError> {
    let what = options.location();
    let (ours, others): (i64, i64) = conn
        .query_row(sql::SCHEMA_TABLES, [], |row| Ok((row.get(0)?, row.get(1)?)))
        .map_err(|error| open::explain(error, options))?;
    if ours == 0 && others > 0 && !options.adopt {
        let holds = format!("this database has {others} tables and none of gristmill's");
        return Err(not_ours(&what, &holds, "name another file, or add ?adopt=true to put gristmill's tables beside them"));
    }
    if ours == 0 {
        return Standing::of(&what, STEPS, Vec::new());
    }
    let Some(applied) = read(conn).map_err(|error| open::explain(error, options))? else {
        // Ours come with their list, in one transaction.
        let holds =
            "this database has tables named gristmill_... that gristmill did not make, as its list of migrations is not there";
        return Err(not_ours(&what, holds, "name another file"));
    };
    Standing::of(&what, STEPS, applied)
}

/// What the two lists hold, if the file has the first one.
fn read(conn: &Connection) -> rusqlite::Result<Option<Vec<Applied>>> {
    let (migrations, additions): (bool, bool) =
        conn.query_row(sql::MIGRATION_TABLES, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if !migrations {
        return Ok(None);
    }
    let mut applied = Vec::new();
    let lists = [(Effect::Breaks, sql::MIGRATION_LIST, true), (Effect::Adds, sql::ADDITION_LIST, additions)];
    for (effect, list, _) in lists.into_iter().filter(|(_, _, exists)| *exists) {
        let mut list = conn.prepare(list)?;
        let rows = list.query_map([], |row| {
            Ok(Applied {
                effect,
                number: row.get(0)?,
                name: row.get::<_, Lossy>(1)?.0,
                checksum: row.get::<_, Lossy>(2)?.0,
                at: Timestamp::from_millis(row.get(3)?),
            })
        })?;
        for row in rows {
            applied.push(row?);
        }
    }
    Ok(Some(applied))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_are_in_order() {
        assert_eq!(gristmill_core::kit::migrate::check_steps(STEPS), Ok(()));
    }
}
