//! The PostgreSQL store: its options, its migrations, and its bare statements for measurements.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = gristmill::App::new(()).connect("postgres://app@db.internal/shop?sslmode=verify-full").await?;
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "tokio-postgres")]
pub use gristmill_postgres::Lent;
pub use gristmill_postgres::{
    Migration, PostgresOptions, PostgresStore, Roles, SslMode, grant_roles, lacks_right, migrate, migration_sql,
    migration_status, raw, roles_sql,
};

#[cfg(feature = "tokio-postgres")]
impl<S> crate::Context<S> {
    /// One of the store's own connections, for [`transaction`](Self::transaction) in an application that has no pool of its
    /// own. It is taken when the transaction begins. As many handlers can have one at once as the option `transactions` of the
    /// store's URL says, 4 unless it is given; the others wait.
    ///
    /// ```
    /// # use gristmill::{Context, Result, task};
    /// #[task(name = "account.credit")]
    /// async fn credit(cx: &Context, account: i64, cents: i64) -> Result<i64> {
    ///     let add = "UPDATE account SET cents = cents + $2 WHERE id = $1 RETURNING cents";
    ///     cx.transaction(cx.postgres()?, async |tx| Ok(tx.query_one(add, &[&account, &cents]).await?.get(0))).await
    /// }
    /// ```
    ///
    /// # Errors
    /// If the tasks are not in PostgreSQL.
    pub fn postgres(&self) -> crate::Result<Lent<'_>> {
        Ok(crate::core::store_of::<PostgresStore>(self.inner().store()?, "PostgreSQL")?.lend())
    }
}
