//! Changing tables while others work on them. Whoever waits for a table's lock holds up all who come after it, also those who could
//! go on beside its holder; so nobody waits for long, and all are let through before the next try.

use std::time::Duration;

use gristmill_core::{Env, StoreError, StoreErrorKind};
use tokio::time::Instant;
use tokio_postgres::error::SqlState;

use crate::conn::{Conn, Connect};
use crate::error::Fault;
use crate::sql::Q;

/// What a transaction that changes tables begins with: it waits 50 ms for each lock, and nothing else ends it. All of it is undone
/// with the transaction, so that it holds behind a pooler, too, and stays on no session that others get.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '50ms'; SET LOCAL statement_timeout = 0; \
                     SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL search_path = pg_catalog";
/// Pauses between tries grow from the first to the last. The shortest is as long as a try may hold up others.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(1)];

/// Transactions that change tables, one at a time for a key; tried again while others hold locks that they need, for as long as the
/// store's `lock_timeout` says.
pub(crate) struct Turns<'a> {
    conn: &'a Conn,
    connect: &'a Connect,
    env: &'a Env,
    key: i64,
    since: Instant,
    pause: Duration,
}

impl<'a> Turns<'a> {
    pub(crate) fn new(conn: &'a Conn, connect: &'a Connect, env: &'a Env, key: i64) -> Self {
        Self { conn, connect, env, key, since: Instant::now(), pause: PAUSES[0] }
    }

    /// Begins a transaction when nobody else is in one; `what` names the work.
    ///
    /// # Errors
    /// `Busy` if others are for too long.
    pub(crate) async fn begin(&mut self, what: &str) -> Result<(), StoreError> {
        while !self.try_to_begin().await.map_err(|fault| fault.explain(what))? {
            if self.is_over() {
                return Err(busy(what, "another process changes the tables; try again when it is done"));
            }
            self.step_aside().await;
        }
        Ok(())
    }

    /// Ends it: commits what was done. If others hold a lock that it needs, nothing was, and it has to be begun again after
    /// the pause that is made here.
    ///
    /// # Errors
    /// `Busy` if they do for too long, naming them; else what was met. Nothing is kept then.
    pub(crate) async fn end(&mut self, what: &str, done: Result<(), Fault>) -> Result<(), StoreError> {
        let done = match done {
            Ok(()) => self.conn.batch("COMMIT").await.map_err(Fault::from),
            Err(fault) => Err(fault),
        };
        let Err(fault) = done else {
            (self.since, self.pause) = (Instant::now(), PAUSES[0]);
            return Ok(());
        };
        // If that fails too, the connection is gone, and the transaction with it.
        let _ = self.conn.batch("ROLLBACK").await;
        if !is_locked(&fault) {
            return Err(fault.explain(what));
        }
        if self.is_over() {
            return Err(busy(what, &holders(self.conn, self.connect).await));
        }
        self.step_aside().await;
        Ok(())
    }

    async fn try_to_begin(&self) -> Result<bool, Fault> {
        self.conn.batch(BEGIN).await?;
        let row = self.conn.rows(&self.connect.texts, Q::MigrationLock, &[&self.key]).await?.pop();
        let begun = row.map_or(Ok(false), |row| row.try_get(0))?;
        if !begun {
            self.conn.batch("ROLLBACK").await?;
        }
        Ok(begun)
    }

    fn is_over(&self) -> bool {
        let patience = self.connect.options.lock_timeout;
        !patience.is_zero() && self.since.elapsed() >= patience
    }

    /// Lets the others through. Uneven, so that two that do the same do not meet again and again.
    async fn step_aside(&mut self) {
        tokio::time::sleep(self.pause.mul_f64(0.5 + self.env.random())).await;
        self.pause = self.pause.saturating_mul(2).min(PAUSES[1]);
    }
}

/// Whether it failed only because of what others do now.
pub(crate) fn is_locked(fault: &Fault) -> bool {
    let locked = |code: &SqlState| *code == SqlState::LOCK_NOT_AVAILABLE;
    fault.is_collision() || matches!(fault, Fault::Postgres(error) if error.code().is_some_and(locked))
}

fn busy(what: &str, why: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Busy, format!("{what}: {why}"))
}

/// Who holds locks on our tables, in words, and what to do about it.
async fn holders(conn: &Conn, connect: &Connect) -> String {
    let who = match read_holders(conn, connect).await {
        Ok(who) if !who.is_empty() => who.join(", "),
        // They may have ended just now, or belong to whom we may not see.
        _ => "look into pg_locks and pg_stat_activity".to_owned(),
    };
    format!(
        "others hold locks that it needs: {who}; wait for these transactions or end them, or raise ?lock_timeout=, and try again"
    )
}

async fn read_holders(conn: &Conn, connect: &Connect) -> Result<Vec<String>, Fault> {
    let mut said = Vec::new();
    for row in conn.rows(&connect.texts, Q::LockHolders, &[&connect.texts.schema()]).await? {
        let (pid, user, name): (i32, String, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let (state, age, query): (String, i64, String) = (row.try_get(3)?, row.try_get(4)?, row.try_get(5)?);
        said.push(format!("pid {pid} (user {user}, application {name:?}, {state} for {age} s: {query:?})"));
    }
    Ok(said)
}
