//! Transactions on the embedded store: enqueue in the caller's, and settle together with a handler's own writes.
//!
//! The tables of gristmill may live in the application's own database file. Then a transaction on that file can hold the
//! application's rows and gristmill's, and both are committed together or not at all.

use serde::Serialize;

pub use gristmill_sqlite::{
    Migration, Rusqlite, SqliteOptions, SqliteStore, Synchronous, migrate, migration_status, raw, rusqlite,
};

use crate::attempt::OwnSettlement::{Committed, Perhaps};
use crate::core::{SettleWithin, State, failpoint, store_of};
use crate::transaction::{Plan, Undo};
use crate::{Context, Error, Result};
use rusqlite::Connection;

impl<S> Context<S> {
    /// Runs the handler's writes in a transaction that the worker opens, and commits them together with the settlement of
    /// this attempt: the effect happens exactly once. `work` gets the connection but not the commit. What it returns is the
    /// task's result, and the handler should return just that.
    ///
    /// If `work` returns an error, everything that it wrote is rolled back, or committed if the task type says
    /// [`on_error = commit`](crate::options::OnError); the error is recorded outside of the transaction in either case. If it panics, or
    /// if the task was lost to another worker meanwhile, everything is rolled back.
    ///
    /// It blocks its thread: call it from a task that is a plain `fn`. Only one transaction writes to a SQLite file at a
    /// time, so keep it short.
    ///
    /// ```
    /// # use gristmill::{Context, Result, task};
    /// #[task(name = "account.credit")]
    /// fn credit(cx: &Context, account: i64, cents: i64) -> Result<i64> {
    ///     cx.transaction(|db| {
    ///         db.execute("UPDATE account SET cents = cents + ?2 WHERE id = ?1", [account, cents])?;
    ///         Ok(db.query_row("SELECT cents FROM account WHERE id = ?1", [account], |row| row.get(0))?)
    ///     })
    /// }
    /// ```
    ///
    /// # Errors
    /// What `work` returned, [`LeaseLost`](crate::error::LeaseLost), or the store's error.
    pub fn transaction<T: Serialize>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let attempt = self.inner();
        let store = attempt.store()?;
        let (mut outcome, mut settles) = (None, false);
        let mut ended = store_of::<SqliteStore>(store, "SQLite")?.transaction(|connection| {
            let plan = attempt.plan(outcome.insert(work(connection)))?;
            if connection.is_autocommit() && !matches!(plan, Plan::Rollback) {
                // What is written now would stand alone.
                let why = "the transaction has ended before its time, by a statement of the task or by SQLite after an error";
                return Err(Error::retry(why).into());
            }
            settles = matches!(plan, Plan::Settle(_));
            match plan {
                Plan::Settle(settlement) => attempt.check_settled(connection.settle(store, settlement).into_inner())?,
                Plan::Hold(lease) => attempt.check_held(connection.hold(store, lease).into_inner())?,
                Plan::Commit => {}
                Plan::Rollback => return Err(Undo::AsPlanned),
            }
            Ok(failpoint::pass("settle.before_commit")?)
        });
        if ended.is_ok() {
            ended = failpoint::pass("settle.after_commit").map_err(Undo::from);
            if settles {
                attempt.set_settled(if ended.is_ok() { Committed(State::Succeeded) } else { Perhaps });
            }
        }
        match (ended, outcome) {
            (Ok(()), Some(outcome)) => outcome,
            (Err(undo), Some(outcome)) => undo.end(outcome),
            // It could not even begin.
            (Err(Undo::Because(why)), None) => Err(why),
            (_, None) => Err(Error::retry("the transaction did not begin")),
        }
    }
}
