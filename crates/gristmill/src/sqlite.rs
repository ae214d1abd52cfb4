//! The embedded store: its options, its migrations, its driver, and its bare statements for measurements.
//!
//! The tables of gristmill may live in the application's own database file. Then a transaction on that file can hold the
//! application's rows and gristmill's, and both are committed together or not at all.

pub use gristmill_sqlite::{
    Lent, Migration, Opened, Rusqlite, SqliteOptions, SqliteStore, Synchronous, damage, migrate, migration_status, raw, rusqlite,
};

impl<S> crate::Context<S> {
    /// One of the store's own connections, for [`transaction`](Self::transaction). It is taken when the transaction begins, which
    /// is a `BEGIN IMMEDIATE`: only one transaction writes to a SQLite file at a time, so keep it short, and await nothing in it
    /// that writes to the store.
    ///
    /// Statements block the thread on which the handler runs, which matters little as long as they are short: what waits, for the
    /// file's lock or for the disk at the commit, does so on another. Long ones are for a task that is a plain `fn`, which
    /// has a thread of its own, with [`block_on`](Self::block_on).
    ///
    /// ```
    /// # use gristmill::{Context, Result, task};
    /// #[task(name = "account.credit")]
    /// async fn credit(cx: &Context, account: i64, cents: i64) -> Result<i64> {
    ///     cx.transaction(cx.sqlite()?, async |db| {
    ///         db.execute("UPDATE account SET cents = cents + ?2 WHERE id = ?1", [account, cents])?;
    ///         Ok(db.query_row("SELECT cents FROM account WHERE id = ?1", [account], |row| row.get(0))?)
    ///     })
    ///     .await
    /// }
    /// ```
    ///
    /// # Errors
    /// If the tasks are not in SQLite.
    pub fn sqlite(&self) -> crate::Result<Lent<'_>> {
        Ok(crate::core::store_of::<SqliteStore>(self.inner().store()?, "SQLite")?.lend())
    }
}
