use std::future::{Future, IntoFuture, Ready};
use std::pin::Pin;

use crate::client::{Client, InTransaction, Own};
use crate::core::{CancelOutcome, CancelWithin, StoreError, TaskId};

/// A task about to be cancelled: `.await` it. See [`Tasks::cancel`](crate::client::Tasks::cancel).
#[must_use = "nothing is cancelled until it is awaited"]
#[derive(Debug)]
pub struct Cancel<'c, W = Own<'c>> {
    client: &'c Client,
    id: TaskId,
    place: W,
}

impl<'c> Cancel<'c> {
    pub(super) fn new(client: &'c Client, id: TaskId) -> Self {
        Self { client, id, place: Own(client) }
    }

    /// Cancels it in the caller's own open transaction on gristmill's database: it is cancelled with the commit, and not at all
    /// otherwise. The answer is the same, and holds from the commit on. Transactions are those of
    /// [`Enqueue::within`](crate::client::Enqueue::within), but for sqlx on SQLite.
    ///
    /// Awaiting it fails if the transaction can't write, its database has no tables of gristmill, or the client's store is of
    /// another sort.
    ///
    /// ```
    /// # #[cfg(feature = "sqlite")] {
    /// use gristmill::sqlite::rusqlite::{Connection, TransactionBehavior};
    /// # use gristmill::{Client, Result, TaskId};
    /// # fn example(client: Client, connection: &mut Connection, reminder: TaskId) -> Result<()> {
    /// let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    /// tx.execute("DELETE FROM customer WHERE name = ?1", ["world"])?;
    /// client.tasks().cancel(reminder).within(&tx).run()?;
    /// tx.commit()?;
    /// # Ok(())
    /// # }
    /// # }
    /// ```
    pub fn within<X: CancelWithin<D>, D>(self, transaction: X) -> Cancel<'c, InTransaction<'c, X, D>> {
        let Self { client, id, place: _ } = self;
        Cancel { client, id, place: InTransaction::new(client, transaction) }
    }
}

impl<'c> IntoFuture for Cancel<'c> {
    type Output = Result<CancelOutcome, StoreError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'c>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let outcomes = self.client.store().cancel(&[self.id]).await?;
            Ok(outcomes.first().copied().unwrap_or(CancelOutcome::NotFound))
        })
    }
}

impl<'c, X: CancelWithin<D>, D> IntoFuture for Cancel<'c, InTransaction<'c, X, D>> {
    type Output = Result<CancelOutcome, StoreError>;
    type IntoFuture = X::Doing<CancelOutcome>;

    fn into_future(self) -> Self::IntoFuture {
        self.place.into_inner().cancel(self.client.store().as_ref(), self.id)
    }
}

impl<'c, X, D> Cancel<'c, InTransaction<'c, X, D>>
where
    X: CancelWithin<D, Doing<CancelOutcome> = Ready<Result<CancelOutcome, StoreError>>>,
{
    /// Cancels without `.await`, for a driver that is synchronous.
    ///
    /// # Errors
    /// As awaiting it.
    pub fn run(self) -> Result<CancelOutcome, StoreError> {
        self.into_future().into_inner()
    }
}
