//! Transactions on the embedded store: enqueue in the caller's, and settle together with a handler's own writes.
//!
//! The tables of gristmill may live in the application's own database file. Then a transaction on that file can hold the
//! application's rows and gristmill's, and both are committed together or not at all.

use serde::Serialize;

pub use gristmill_sqlite::{
    Migration, Rusqlite, SqliteOptions, SqliteStore, Synchronous, migrate, migration_status, raw, rusqlite,
};

use crate::attempt::OwnSettlement;
use crate::core::{Ending, Settled, Settlement, store_of};
use crate::{Context, Error, LeaseLost, Result};
use rusqlite::Connection;

impl<S> Context<S> {
    /// Runs the handler's writes in a transaction that the worker opens, and commits them together with the settlement of
    /// this attempt: the effect happens exactly once. `work` gets the connection but not the commit. What it returns is the
    /// task's result, and the handler should return just that.
    ///
    /// If `work` fails, everything it wrote is rolled back, and the handler's error is written outside of the transaction.
    /// If the task was lost to another worker meanwhile, everything is rolled back too.
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
    /// What `work` returned, [`LeaseLost`], or the store's error.
    pub fn transaction<T: Serialize>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let store = self.sqlite()?;
        let (output, state) = store.transaction(|connection| {
            let output = work(connection)?;
            let state = self.settle_on(store, connection, &output)?;
            Ok::<_, Error>((output, state))
        })?;
        if let Some(state) = state {
            self.inner().set_settled(OwnSettlement::Committed(state));
        }
        Ok(output)
    }

    /// Settles this attempt as succeeded, in a transaction that the handler opened on gristmill's database file and will
    /// commit itself. After the commit the handler should return `output`. If it rolls back instead, nothing was settled,
    /// and what it returns counts as usual.
    ///
    /// # Errors
    /// [`LeaseLost`], in which case the handler has to roll back; or the store's error.
    pub fn settle_in<T: Serialize>(&self, connection: &Connection, output: &T) -> Result<()> {
        let store = self.sqlite()?;
        if self.settle_on(store, connection, output)?.is_some() {
            self.inner().set_settled(OwnSettlement::Perhaps);
        }
        Ok(())
    }

    fn settle_on<T: Serialize>(&self, store: &SqliteStore, connection: &Connection, output: &T) -> Result<Option<crate::State>> {
        // A synchronous call has nothing to settle; its writes stand alone.
        let Some(lease) = self.inner().lease else { return Ok(None) };
        let mut settlement = Settlement::new(lease, Ending::Succeeded);
        settlement.result = Some(serde_json::to_string(output)?);
        self.inner().leave_in(&mut settlement);
        match store.settle_within(connection, settlement)? {
            Settled::Done(state) => Ok(Some(state)),
            Settled::LeaseLost => Err(LeaseLost { id: self.id() }.into()),
        }
    }

    fn sqlite(&self) -> Result<&SqliteStore> {
        Ok(store_of(self.inner().client.store().as_ref(), "SQLite")?)
    }
}
