//! Indexes that tables get while they are in use and large: each partition by itself, without keeping anybody from writing, and at
//! last the table as a whole, which only takes over what its partitions have.
//!
//! They are no steps of the schema: programs work without them, only slower. Whoever keeps house as the owner of the tables builds
//! them in the background, one process at a time, and `gristmill migrate` to the end. What a process that died has left half made is
//! dropped and made anew. A day that is made meanwhile, by whatever version, gets its part like the others; once the table has the
//! index, days are copied with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use gristmill_core::kit::fnv;
use gristmill_core::{Env, StoreError};
use tokio_postgres::error::SqlState;

use crate::conn::{Conn, Connect};
use crate::error::{Fault, explain, sqlstate};
use crate::inner::Inner;
use crate::locks::Turns;
use crate::migrate;
use crate::sql::{Q, Texts, quote};

/// An index as data. It is called `TABLE_NAME`, and that of a partition `PARTITION_NAME`.
#[derive(Clone, Copy, Debug)]
pub struct Index {
    /// What it is called after its table's name.
    pub name: &'static str,
    /// The table.
    pub table: &'static str,
    /// Its columns, as SQL has them.
    pub columns: &'static str,
    /// Of which rows it is, if not of all.
    pub predicate: Option<&'static str>,
}

/// All of them. A later version adds one here; none is ever changed.
pub(crate) const INDEXES: &[Index] = &[
    // Ends of which a program that knows more has its part still to do: hardly ever any.
    Index { name: "owed", table: "outcome", columns: "id", predicate: Some("owed <> 0") },
    // The members of workflows, in their order: what is done to all of a step, and what is read of it. Tasks that are none are not in it.
    Index { name: "member", table: "task", columns: "workflow, step, place", predicate: Some("workflow IS NOT NULL") },
];

/// Leads past what other services have ready in the same queue. A store gets it once that is so much that a worker's looks become dear:
/// it would cost all others a tenth of the server's work for an enqueue, for nothing.
/// The priority is written as only that look writes it: the planner, which has no idea what is in the table, would as soon take the
/// primary key for it.
pub(crate) const BY_KIND: Index =
    Index { name: "by_kind", table: "ready", columns: "queue, kind, (priority::integer), seq", predicate: None };

/// How often a process looks whether there is something to build.
const LOOK_EVERY_MS: i64 = 60_000;
/// How long it leaves that to others after it could not.
const FAILED_FOR_MS: i64 = 600_000;
/// How long `migrate` waits before it asks again whether the process that builds is done.
const OTHERS_BUILD_FOR: Duration = Duration::from_millis(500);
/// A build may take hours, and waits for old transactions, by which it holds up nobody.
const SETTINGS: &str = "SET statement_timeout = 0; SET lock_timeout = 0";
/// The transaction that keeps the turn. It may be idle for as long as that takes, and is to hold no snapshot, as a build would wait for
/// it for ever: this simple statement, after the query for the lock, also closes that one's portal, which still holds one.
const KEEP: &str = "SET LOCAL idle_in_transaction_session_timeout = 0";

/// What a process remembers of indexes.
#[derive(Debug)]
pub(crate) struct Building {
    done: AtomicBool,
    at: AtomicI64,
    by_kind_at: AtomicI64,
}

impl Default for Building {
    fn default() -> Self {
        Self { done: AtomicBool::new(INDEXES.is_empty()), at: AtomicI64::new(i64::MIN), by_kind_at: AtomicI64::new(i64::MIN) }
    }
}

impl Index {
    /// What it is called.
    pub(crate) fn full_name(&self) -> String {
        self.of(self.table)
    }

    /// What its part for a partition is called.
    fn of(&self, partition: &str) -> String {
        format!("{partition}_{}", self.name)
    }

    /// Whether an index of this name is that of one of our partitions.
    pub(crate) fn is_part(&self, name: &str) -> bool {
        name.strip_suffix(self.name).and_then(|rest| rest.strip_suffix('_')).is_some_and(|part| part.starts_with(self.table))
    }

    /// Whether the table has it, and it is of use.
    pub(crate) async fn is_whole(&self, conn: &Conn, texts: &Texts) -> Result<bool, Fault> {
        Ok(is_whole(conn, texts, self).await? == Some(true))
    }

    /// The statement that makes it for a table or a partition; `how` is empty or `CONCURRENTLY`.
    pub(crate) fn create(&self, texts: &Texts, how: &str, table: &str) -> String {
        let (schema, name, columns) = (quote(texts.schema()), quote(&self.of(table)), self.columns);
        let rows = self.predicate.map(|rows| format!(" WHERE {rows}")).unwrap_or_default();
        format!("CREATE INDEX {how} {name} ON {schema}.{} ({columns}){rows}", quote(table))
    }
}

impl Inner {
    /// Builds what is missing, if it is time to look, apart from the caller.
    pub(crate) fn build_indexes(self: &Arc<Self>) {
        if self.building.done.load(Ordering::Relaxed) || !self.is_time(&self.building.at, LOOK_EVERY_MS) {
            return;
        }
        let inner = self.clone();
        self.tasks.spawn(async move {
            let built = tokio::select! {
                biased;
                () = inner.closing.cancelled() => return,
                built = build(&inner.connect, &inner.env, INDEXES) => built,
            };
            match built {
                Ok(true) => inner.building.done.store(true, Ordering::Relaxed),
                Ok(false) => {}
                Err(error) => {
                    inner.building.at.store(inner.env.now().as_millis() + FAILED_FOR_MS, Ordering::Relaxed);
                    // Who does not own the tables leaves it to who does.
                    if error.is_transient() || sqlstate(&error) == Some(&SqlState::INSUFFICIENT_PRIVILEGE) {
                        tracing::debug!(%error, "an index could not be built now");
                    } else {
                        tracing::warn!(%error, "an index could not be built");
                    }
                }
            }
        });
    }
}

impl Inner {
    /// Builds the index for queues that several services share, which somebody needs now, apart from the caller.
    pub(crate) fn build_by_kind(self: &Arc<Self>) {
        if !self.is_time(&self.building.by_kind_at, LOOK_EVERY_MS) {
            return;
        }
        let inner = self.clone();
        self.tasks.spawn(async move {
            let built = tokio::select! {
                biased;
                () = inner.closing.cancelled() => return,
                built = build(&inner.connect, &inner.env, &[BY_KIND]) => built,
            };
            if let Err(error) = built {
                inner.building.by_kind_at.store(inner.env.now().as_millis() + FAILED_FOR_MS, Ordering::Relaxed);
                let make = BY_KIND.create(&inner.connect.texts, "CONCURRENTLY", BY_KIND.table);
                tracing::warn!(%error, "claims read what other services have ready in the same queue; as the owner of the tables run: {make}");
            }
        });
    }
}

/// Builds what is missing, and waits for another process that does.
///
/// # Errors
/// What the server said; what was built until then stays.
pub(crate) async fn build_all(connect: &Connect, env: &Env, indexes: &[Index]) -> Result<(), StoreError> {
    while !build(connect, env, indexes).await? {
        tokio::time::sleep(OTHERS_BUILD_FOR).await;
    }
    Ok(())
}

/// Builds what is missing; false if another process is at it.
async fn build(connect: &Connect, env: &Env, indexes: &[Index]) -> Result<bool, StoreError> {
    let texts = &connect.texts;
    let explained = |fault: Fault| fault.explain(&connect.what);
    let guard = connect.open().await?;
    let mut missing = Vec::new();
    for index in indexes {
        if !index.is_whole(&guard, texts).await.map_err(explained)? {
            missing.push(index);
        }
    }
    if missing.is_empty() {
        return Ok(true);
    }
    guard.batch("BEGIN ISOLATION LEVEL READ COMMITTED").await.map_err(|error| explain(error, &connect.what))?;
    if !is_our_turn(&guard, texts).await.map_err(explained)? {
        return Ok(false);
    }
    guard.batch(KEEP).await.map_err(|error| explain(error, &connect.what))?;
    let conn = connect.open().await?;
    if !connect.options.pgbouncer {
        // A pooler's session is others' as well; there it is as the role or the database says.
        conn.batch(SETTINGS).await.map_err(|error| explain(error, &connect.what))?;
    }
    for index in missing {
        one(&conn, connect, env, index).await?;
        tracing::info!(index = index.full_name(), "built an index");
    }
    // If that fails, its connection is gone, and the turn with it.
    let _ = guard.batch("ROLLBACK").await;
    Ok(true)
}

async fn one(conn: &Conn, connect: &Connect, env: &Env, index: &Index) -> Result<(), StoreError> {
    let (texts, schema) = (&connect.texts, quote(connect.texts.schema()));
    let what = format!("{}: index {}", connect.what, index.full_name());
    let mut turns = Turns::new(conn, connect, env, migrate::lock_key(texts.schema()));
    loop {
        match is_whole(conn, texts, index).await.map_err(|fault| fault.explain(&what))? {
            Some(true) => return Ok(()),
            // One whose parts are not all of use: nobody's but a person's hand makes it.
            Some(false) => {
                let name = quote(&index.full_name());
                turns.begin(&what).await?;
                let dropped = conn.batch(&format!("DROP INDEX IF EXISTS {schema}.{name}")).await;
                turns.end(&what, dropped.map_err(Fault::from)).await?;
            }
            None => {
                for (part, half_made) in lacking(conn, texts, index).await.map_err(|fault| fault.explain(&what))? {
                    let made = build_part(conn, texts, index, &part, half_made).await;
                    made.or_else(|error| if is_gone(&error) { Ok(()) } else { Err(explain(error, &what)) })?;
                }
                turns.begin(&what).await?;
                let joined = join(conn, texts, index).await;
                turns.end(&what, joined).await?;
            }
        }
    }
}

/// Makes a partition's part, or a table's that has no partitions, while others write to it.
async fn build_part(conn: &Conn, texts: &Texts, index: &Index, part: &str, half_made: bool) -> Result<(), tokio_postgres::Error> {
    if half_made {
        let name = quote(&index.of(part));
        conn.batch(&format!("DROP INDEX CONCURRENTLY IF EXISTS {}.{name}", quote(texts.schema()))).await?;
    }
    conn.batch(&index.create(texts, "CONCURRENTLY", part)).await
}

/// Makes the table's index of those of its partitions, which it takes over without a look at their rows. Not if a partition came
/// meanwhile, whose rows everybody would wait for.
async fn join(conn: &Conn, texts: &Texts, index: &Index) -> Result<(), Fault> {
    let lock = format!("LOCK TABLE ONLY {}.{} IN SHARE MODE", quote(texts.schema()), quote(index.table));
    conn.batch(&lock).await?;
    if lacking(conn, texts, index).await?.is_empty() && is_whole(conn, texts, index).await?.is_none() {
        conn.batch(&index.create(texts, "", index.table)).await?;
    }
    Ok(())
}

/// The partitions without their part, and whether one is half made.
async fn lacking(conn: &Conn, texts: &Texts, index: &Index) -> Result<Vec<(String, bool)>, Fault> {
    let rows = conn.rows(texts, Q::IndexLacking, &[&index.table, &index.name]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Whether the table has it, and it is of use.
async fn is_whole(conn: &Conn, texts: &Texts, index: &Index) -> Result<Option<bool>, Fault> {
    let row = conn.rows(texts, Q::IndexWhole, &[&index.full_name()]).await?.pop();
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

async fn is_our_turn(guard: &Conn, texts: &Texts) -> Result<bool, Fault> {
    let key = i64::from_be_bytes(fnv(format!("gristmill indexes of {}", texts.schema()).bytes()).to_be_bytes());
    let row = guard.rows(texts, Q::MigrationLock, &[&key]).await?.pop();
    Ok(row.map_or(Ok(false), |row| row.try_get(0))?)
}

/// Whether the partition was dropped meanwhile.
fn is_gone(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::UNDEFINED_TABLE)
}
