use std::future::{Future, IntoFuture, Ready};
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::Poll;

use serde::Serialize;

use crate::attempt::{Attempt, OwnSettlement};
use crate::core::{SettleWithin, Settled, Settlement, StoreError};
use crate::{Context, Result};

impl<S> Context<S> {
    /// Settles this attempt as succeeded, in a transaction that the handler opened on gristmill's database and will commit
    /// itself. After the commit the handler should return `output`. If it rolls back instead, nothing was settled, and what it
    /// returns counts as usual.
    ///
    /// Do it last, right before the commit: from then on whoever writes about this attempt, its progress for one, waits for the
    /// end of the transaction.
    ///
    /// With rusqlite, pass `&transaction`, and end with `.run()?` instead of `.await?`; with sqlx on PostgreSQL (feature
    /// `sqlx-0_8` or `sqlx-0_9`), pass `&mut transaction`; with tokio-postgres (feature `tokio-postgres`), pass `&transaction`.
    ///
    /// ```
    /// # #[cfg(all(feature = "postgres", feature = "sqlx-0_8"))] {
    /// # use gristmill::{Context, Result, task};
    /// # use sqlx::PgPool;
    /// #[task(name = "account.credit")]
    /// async fn credit(cx: &Context<PgPool>, account: i64, cents: i64) -> Result<i64> {
    ///     let mut tx = cx.state.begin().await?;
    ///     let add = sqlx::query_scalar("UPDATE account SET cents = cents + $2 WHERE id = $1 RETURNING cents");
    ///     let now: i64 = add.bind(account).bind(cents).fetch_one(&mut *tx).await?;
    ///     cx.settle_in(&mut tx, &now).await?;
    ///     tx.commit().await?;
    ///     Ok(now)
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`LeaseLost`](crate::error::LeaseLost), in which case the handler has to roll back; or the store's error.
    pub fn settle_in<X: SettleWithin<D>, D, T: Serialize>(&self, transaction: X, output: &T) -> SettleIn<'_, X, D> {
        let attempt = self.inner();
        // A synchronous call has nothing to settle; its writes stand alone.
        let settlement = attempt.lease.map(|lease| attempt.success(lease, output));
        SettleIn { attempt, settlement, transaction, driver: PhantomData }
    }
}

/// An attempt about to be settled in its handler's transaction: `.await` it, or `.run()` it if the driver is synchronous. See
/// [`Context::settle_in`].
#[must_use = "nothing is settled until it is awaited"]
pub struct SettleIn<'a, X, D> {
    attempt: &'a Attempt,
    settlement: Option<Result<Settlement>>,
    transaction: X,
    driver: PhantomData<fn() -> D>,
}

impl<'a, X: SettleWithin<D>, D> IntoFuture for SettleIn<'a, X, D> {
    type Output = Result<()>;
    type IntoFuture = Settling<'a, X::Doing<Settled>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { attempt, settlement, transaction, driver: _ } = self;
        let step = match settlement {
            None => Step::Over(Some(Ok(()))),
            Some(settlement) => match settlement.and_then(|settlement| Ok((attempt.store()?, settlement))) {
                Ok((store, settlement)) => Step::Running(Box::pin(transaction.settle(store, settlement))),
                Err(error) => Step::Over(Some(Err(error))),
            },
        };
        Settling { attempt, step }
    }
}

impl<X, D> SettleIn<'_, X, D>
where
    X: SettleWithin<D, Doing<Settled> = Ready<Result<Settled, StoreError>>>,
{
    /// Settles without `.await`, for a driver that is synchronous.
    ///
    /// # Errors
    /// As awaiting it.
    pub fn run(self) -> Result<()> {
        let Self { attempt, settlement, transaction, driver: _ } = self;
        let Some(settlement) = settlement else { return Ok(()) };
        attempt.settled_within(transaction.settle(attempt.store()?, settlement?).into_inner())
    }
}

/// The future of a settlement in a handler's transaction; as `Send` as the driver's own.
pub struct Settling<'a, F> {
    attempt: &'a Attempt,
    step: Step<F>,
}

enum Step<F> {
    Running(Pin<Box<F>>),
    Over(Option<Result<()>>),
}

impl<F: Future<Output = Result<Settled, StoreError>>> Future for Settling<'_, F> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<Self::Output> {
        let attempt = self.attempt;
        match &mut self.step {
            Step::Running(settle) => settle.as_mut().poll(cx).map(|settled| attempt.settled_within(settled)),
            Step::Over(answer) => answer.take().map_or(Poll::Pending, Poll::Ready),
        }
    }
}

impl Attempt {
    fn settled_within(&self, settled: Result<Settled, StoreError>) -> Result<()> {
        self.check_settled(settled).or_else(|undo| undo.end(Ok(())))?;
        self.set_settled(OwnSettlement::Perhaps);
        Ok(())
    }
}

impl<X, D> std::fmt::Debug for SettleIn<'_, X, D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SettleIn").field("task", &self.attempt.id).finish_non_exhaustive()
    }
}

impl<F> std::fmt::Debug for Settling<'_, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settling").field("task", &self.attempt.id).finish_non_exhaustive()
    }
}
