//! Transactions of handlers: what they write commits together with the end of their attempt.

mod plan;
mod settle_in;

use serde::Serialize;

pub use settle_in::{SettleIn, Settling};

use crate::attempt::OwnSettlement;
use crate::core::{Driver, State, Transact, failpoint};
use crate::{Context, Result};
pub(crate) use plan::{Plan, Undo};

impl<S> Context<S> {
    /// Runs the handler's writes in a transaction that is opened on `db`, and commits them together with the settlement of this
    /// attempt: the effect happens exactly once. `work` gets the connection but not the commit. What it returns is the task's
    /// result, and the handler should return just that.
    ///
    /// `db` is a pool of, or a connection to, the database that holds gristmill's tables: `&pool` or `&mut connection` of sqlx
    /// (feature `sqlx-0_8` or `sqlx-0_9`), `&mut client` of tokio-postgres (feature `tokio-postgres`), or one of the store's own connections:
    /// `cx.postgres()?` or `cx.sqlite()?`. `work` then gets `&mut PgConnection` of sqlx, `&mut Transaction` of tokio-postgres or
    /// `&mut Connection` of rusqlite, on which it can open savepoints. In a task that is a plain `fn`,
    /// [`block_on`](Self::block_on) waits for it.
    ///
    /// If `work` returns an error, everything that it wrote is rolled back, or committed if the task type says
    /// [`on_error = commit`](crate::options::OnError); the error is recorded outside of the transaction in either case. If it panics or
    /// is dropped, or if the task was lost to another worker, everything is rolled back.
    ///
    /// A synchronous call has no attempt that could be settled: its writes are committed alone.
    ///
    /// ```
    /// # #[cfg(all(feature = "postgres", feature = "sqlx-0_8"))] {
    /// # use gristmill::{Context, Result, task};
    /// use sqlx::{PgConnection, PgPool};
    ///
    /// #[task(name = "account.credit")]
    /// async fn credit(cx: &Context<PgPool>, account: i64, cents: i64) -> Result<i64> {
    ///     cx.transaction(&cx.state, async |db| Ok(add(db, account, cents).await?)).await
    /// }
    ///
    /// /// Knows nothing of tasks, and can't commit.
    /// async fn add(db: &mut PgConnection, account: i64, cents: i64) -> sqlx::Result<i64> {
    ///     let add = sqlx::query_scalar("UPDATE account SET cents = cents + $2 WHERE id = $1 RETURNING cents");
    ///     add.bind(account).bind(cents).fetch_one(db).await
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// What `work` returned, [`LeaseLost`](crate::error::LeaseLost), or the database's. If the answer to the commit is lost, it is the
    /// connection's error, and the worker looks whether the task has succeeded.
    ///
    /// # Cancel safety
    /// Dropped before the commit, nothing is kept of it.
    pub async fn transaction<X, D, T, W>(&self, mut db: X, work: W) -> Result<T>
    where
        X: Transact<D>,
        D: Driver,
        T: Serialize,
        W: for<'t> AsyncFnOnce(&mut D::Conn<'t>) -> Result<T>,
    {
        let attempt = self.inner();
        let store = attempt.store()?;
        let mut open = db.open().await?;
        let outcome = work(D::conn(&mut open)).await;
        let plan = attempt.plan(&outcome);
        let (settles, effects) = (matches!(plan, Ok(Plan::Settle(_))), attempt.effects(&plan));
        let ready = match plan {
            Ok(Plan::Settle(settlement)) => attempt.check_settled(D::settle(&mut open, store, settlement).await),
            Ok(Plan::Hold(lease)) => attempt.check_held(D::hold(&mut open, store, lease).await),
            Ok(Plan::Commit) => Ok(()),
            Ok(Plan::Rollback) => Err(Undo::AsPlanned),
            Err(error) => Err(error.into()),
        };
        if let Err(undo) = ready.and_then(|()| Ok(failpoint::pass("settle.before_commit")?)) {
            if D::rollback(open).await.is_ok() {
                db.ended();
            }
            return undo.end(outcome);
        }
        if settles {
            // Before the commit: its answer may get lost, or this future be dropped while it waits for it.
            attempt.set_settled(OwnSettlement::Perhaps);
        }
        if let Err(lost) = D::commit(open).await.and_then(|()| failpoint::pass("settle.after_commit")) {
            return Undo::from(lost).end(outcome);
        }
        db.ended();
        if outcome.is_ok() {
            attempt.set_settled(if settles { OwnSettlement::Committed(State::Succeeded) } else { OwnSettlement::Alone });
        }
        D::committed(store, effects);
        outcome
    }
}
