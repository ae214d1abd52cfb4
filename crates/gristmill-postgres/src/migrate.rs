use gristmill_core::kit::fnv;
use gristmill_core::kit::migrate::{Applied, Effect, Standing, Step, not_ours};
use gristmill_core::{Env, StoreError, StoreErrorKind, Timestamp};
use tokio_postgres::error::SqlState;
use tokio_util::task::TaskTracker;

pub use gristmill_core::kit::migrate::Migration;

use crate::conn::{Conn, Connect};
use crate::days;
use crate::error::{Fault, sqlstate};
use crate::indexes::{self, INDEXES};
use crate::locks::Turns;
use crate::options::PostgresOptions;
use crate::sql::{Q, Texts, quote};

/// In the order in which they are applied.
const STEPS: &[Step] = &[
    Step::breaks(1, "tables", include_str!("../migrations/0001_tables.sql")),
    Step::breaks(2, "functions", include_str!("../migrations/0002_functions.sql")),
    Step::breaks(3, "days", include_str!("../migrations/0003_days.sql")),
    Step::breaks(4, "values", include_str!("../migrations/0004_values.sql")),
    Step::breaks(5, "enqueue", include_str!("../migrations/0005_enqueue.sql")),
    Step::breaks(6, "nudge", include_str!("../migrations/0006_nudge.sql")),
    Step::breaks(7, "schedules", include_str!("../migrations/0007_schedules.sql")),
    Step::adds(1, "places", include_str!("../additions/0001_places.sql")),
    Step::adds(2, "doors", include_str!("../additions/0002_doors.sql")),
    Step::adds(3, "lists", include_str!("../additions/0003_lists.sql")),
    Step::adds(4, "checks", include_str!("../additions/0004_checks.sql")),
    Step::adds(5, "clocks", include_str!("../additions/0005_clocks.sql")),
    Step::adds(6, "days", include_str!("../additions/0006_days.sql")),
    Step::adds(7, "values", include_str!("../additions/0007_values.sql")),
    Step::adds(8, "spared", include_str!("../additions/0008_spared.sql")),
    Step::adds(9, "drain", include_str!("../additions/0009_drain.sql")),
    Step::adds(10, "thin", include_str!("../additions/0010_thin.sql")),
    Step::adds(11, "workflows", include_str!("../additions/0011_workflows.sql")),
    Step::adds(12, "reruns", include_str!("../additions/0012_reruns.sql")),
    Step::adds(13, "durable", include_str!("../additions/0013_durable.sql")),
    Step::adds(14, "children", include_str!("../additions/0014_children.sql")),
    Step::adds(15, "concurrency", include_str!("../additions/0015_concurrency.sql")),
    Step::adds(16, "locks", include_str!("../additions/0016_locks.sql")),
    Step::adds(17, "unique", include_str!("../additions/0017_unique.sql")),
    Step::adds(18, "rates", include_str!("../additions/0018_rates.sql")),
    Step::adds(19, "merge", include_str!("../additions/0019_merge.sql")),
    Step::adds(20, "fair", include_str!("../additions/0020_fair.sql")),
    Step::adds(21, "queues", include_str!("../additions/0021_queues.sql")),
];

const MIGRATION_CREATE: &str = include_str!("../queries/migration_create.sql");
const ADDITION_CREATE: &str = include_str!("../queries/addition_create.sql");

/// Brings the schema up to date, making it if there is none, and returns every migration.
///
/// Safe to call from several processes at once, and while workers run, also those of older versions: it waits for locks in short
/// turns and leaves the tables alone in between, for as long as `lock_timeout` says. Then it builds the indexes that large tables
/// lack, for which it waits as long as that takes; other programs work meanwhile, and it may be ended and begun again at any time.
///
/// # Errors
/// As [`PostgresStore::connect`](crate::PostgresStore::connect).
pub async fn migrate(url: &str) -> Result<Vec<Migration>, StoreError> {
    // Whoever says so wants the tables, whatever the URL says to those who only use them.
    let options = PostgresOptions { create: true, ..url.parse()? };
    let connect = Connect::new(options, TaskTracker::new())?;
    let conn = connect.open().await?;
    let env = Env::system();
    apply(&conn, &connect, &env).await?;
    indexes::build_all(&connect, &env, INDEXES).await?;
    Ok(standing(&conn, &connect).await?.migrations())
}

/// Which migrations the schema has, and which it lacks. Writes nothing.
///
/// # Errors
/// If the database can't be read, the schema is not ours, or has migrations that differ from those known.
pub async fn migration_status(url: &str) -> Result<Vec<Migration>, StoreError> {
    let options: PostgresOptions = url.parse()?;
    let connect = Connect::new(options, TaskTracker::new())?;
    Ok(standing(&connect.open().await?, &connect).await?.migrations())
}

/// The statements that [`migrate`] would run on an empty database, for those whose databases others change. They name
/// `schema`, and have to be run in one transaction. Each step is headed by its name, so that those which a database lacks can be
/// picked out: see [`migration_status`].
///
/// # Errors
/// If `url` can't be read.
pub fn migration_sql(url: &str) -> Result<String, StoreError> {
    let options: PostgresOptions = url.parse()?;
    let connect = Connect::new(options, TaskTracker::new())?;
    let texts = &connect.texts;
    let mut sql = create(texts);
    for step in STEPS {
        sql.push_str(&format!("\n-- {}\n{}", step.title(), texts.fill(step.text)));
        sql.push_str(&format!(
            "\nINSERT INTO {}.{}(number, name, checksum, applied_at)\n  VALUES ({}, '{}', '{}', \
             floor(extract(epoch FROM statement_timestamp()) * 1000)::bigint);\n",
            quote(texts.schema()),
            step.effect.word(),
            step.number,
            step.name,
            step.checksum(),
        ));
    }
    for index in INDEXES {
        sql.push_str(&format!("\n-- index {}\n{};\n", index.full_name(), index.create(texts, "", index.table)));
    }
    Ok(sql)
}

/// The schema with its two lists.
fn create(texts: &Texts) -> String {
    let lists = [MIGRATION_CREATE, ADDITION_CREATE].map(|text| texts.fill(text) + ";\n");
    format!("CREATE SCHEMA IF NOT EXISTS {};\n{}", quote(texts.schema()), lists.concat())
}

/// Applies what is missing. Each step by itself, so that what waits for a lock has held none for long.
pub(crate) async fn apply(conn: &Conn, connect: &Connect, env: &Env) -> Result<(), StoreError> {
    let mut turns = Turns::new(conn, connect, env, lock_key(connect.texts.schema()));
    loop {
        let standing = standing(conn, connect).await?;
        let Some(next) = standing.missing().next() else { return Ok(()) };
        if standing.is_empty() && !connect.options.create {
            return Err(not_there(connect));
        }
        let what = format!("{}: {}", connect.what, next.title());
        turns.begin(&what).await?;
        let done = go_on(conn, connect, env).await;
        turns.end(&what, done).await.map_err(with_advice)?;
    }
}

fn not_there(connect: &Connect) -> StoreError {
    let (what, schema) = (&connect.what, quote(connect.texts.schema()));
    let message = format!(
        "{what}: there is no gristmill in the schema {schema}; `gristmill migrate` makes it, and ?schema=NAME names another"
    );
    StoreError::new(StoreErrorKind::Unreachable, message)
}

/// Whose tables they are may not be whose programs they are.
fn with_advice(error: StoreError) -> StoreError {
    if sqlstate(&error) != Some(&SqlState::INSUFFICIENT_PRIVILEGE) {
        return error;
    }
    let message = format!("{error}; run `gristmill migrate` as the role that owns the tables");
    StoreError::new(error.kind(), message).with_source(error)
}

/// The next step, in the transaction of a turn; all of them if there is nothing yet, which nobody should see half made.
async fn go_on(conn: &Conn, connect: &Connect, env: &Env) -> Result<(), Fault> {
    // Again, now that nobody else can: another process may have been faster.
    let standing = standing(conn, connect).await?;
    let texts = &connect.texts;
    let now = env.virtual_now().map(Timestamp::as_millis);
    let all = standing.is_empty();
    if all {
        conn.batch(&create(texts)).await?;
    } else {
        // The programs before additions made none for them.
        conn.batch(&texts.fill(ADDITION_CREATE)).await?;
    }
    for step in standing.missing().take(if all { STEPS.len() } else { 1 }) {
        conn.batch(&texts.fill(step.text)).await?;
        let insert = match step.effect {
            Effect::Breaks => Q::MigrationInsert,
            Effect::Adds => Q::AdditionInsert,
        };
        conn.execute(texts, insert, &[&now, &step.number, &step.name, &step.checksum()]).await?;
    }
    // Later days are made by whoever sweeps, who can wait for the locks that it takes.
    if all {
        for index in INDEXES {
            conn.batch(&index.create(texts, "", index.table)).await?;
        }
        days::make_ahead(conn, texts, env.now(), now).await?;
    }
    Ok(())
}

/// How far the schema is, after a look at whether it is ours at all.
async fn standing(conn: &Conn, connect: &Connect) -> Result<Standing, StoreError> {
    let (texts, what) = (&connect.texts, &connect.what);
    let read = async || -> Result<_, Fault> {
        let (migrations, additions, filled) = match conn.rows(texts, Q::MigrationExists, &[&texts.schema()]).await?.pop() {
            Some(row) => (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?),
            None => (false, false, false),
        };
        if !migrations {
            return Ok((filled, Vec::new()));
        }
        let mut applied = list(conn, texts, Effect::Breaks, Q::MigrationList).await?;
        if additions {
            applied.extend(list(conn, texts, Effect::Adds, Q::AdditionList).await?);
        }
        Ok((false, applied))
    };
    let (foreign, applied) = read().await.map_err(|fault: Fault| fault.explain(what))?;
    if foreign {
        let holds = format!("the schema {} has tables and none of gristmill's", quote(texts.schema()));
        return Err(not_ours(what, &holds, "name another with ?schema=NAME"));
    }
    Standing::of(what, STEPS, applied)
}

async fn list(conn: &Conn, texts: &Texts, effect: Effect, query: Q) -> Result<Vec<Applied>, Fault> {
    let mut applied = Vec::new();
    for row in conn.rows(texts, query, &[]).await? {
        applied.push(Applied {
            effect,
            number: row.try_get(0)?,
            name: row.try_get(1)?,
            checksum: row.try_get(2)?,
            at: Timestamp::from_millis(row.try_get(3)?),
        });
    }
    Ok(applied)
}

/// What migrators of one schema lock; others' locks are elsewhere in the 64 bits.
pub(crate) fn lock_key(schema: &str) -> i64 {
    i64::from_be_bytes(fnv(format!("gristmill migration of {schema}").bytes()).to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_are_in_order() {
        assert_eq!(gristmill_core::kit::migrate::check_steps(STEPS), Ok(()));
    }
}
