use std::future::{Future, IntoFuture, Ready};
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::client::enqueue::{Enqueue, EnqueueError, Own, outcome_of};
use crate::client::many::EnqueueMany;
use crate::client::{Client, Handle};
use crate::core::{CancelOutcome, CancelWithin, EnqueueOutcome, StoreError, TaskId, Within};

/// Done in the caller's transaction; lives and dies with it.
#[derive(Debug)]
pub struct InTransaction<'c, X, D> {
    client: &'c Client,
    transaction: X,
    driver: PhantomData<fn() -> D>,
}

impl<'c, X, D> InTransaction<'c, X, D> {
    pub(super) fn new(client: &'c Client, transaction: X) -> Self {
        Self { client, transaction, driver: PhantomData }
    }

    pub(super) fn into_inner(self) -> X {
        self.transaction
    }
}

impl<'c, O> Enqueue<'c, O> {
    /// Puts the task into the caller's own open transaction: it commits and rolls back with it.
    ///
    /// Pass `&transaction` of rusqlite or of tokio-postgres (feature `tokio-postgres`), `&mut transaction` of sqlx (`sqlx-sqlite`,
    /// `sqlx-postgres`), or `&mut *connection` within a transaction of diesel-async (`diesel-postgres`). The database must be the
    /// one that holds gristmill's tables, and the client's store must be in it.
    ///
    /// Workers find the task within about 40 ms of the commit on PostgreSQL; [`Client::nudge`] after the commit tells them at once.
    /// Awaiting it fails with [`EnqueueError::Store`] if the driver does, whose own error is the source, or if the client's
    /// store is of another sort (`Invalid`). On PostgreSQL the transaction can only be rolled back after the driver's error.
    ///
    /// # Cancel safety
    /// Dropped before its end, it is not known whether the task is in the transaction: roll back.
    ///
    /// ```
    /// # #[cfg(feature = "sqlite")] {
    /// use gristmill::sqlite::rusqlite::{Connection, TransactionBehavior};
    /// # use gristmill::{Client, Result, task};
    /// # #[task(name = "greet")] async fn greet(name: String) -> Result<String> { Ok(name) }
    /// # async fn example(client: Client, connection: &mut Connection) -> Result<()> {
    /// let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    /// tx.execute("INSERT INTO customer (name) VALUES (?1)", ["world"])?;
    /// client.enqueue(Greet { name: "world".into() }).within(&tx).await?;
    /// tx.commit()?;
    /// # Ok(())
    /// # }
    /// # }
    /// ```
    pub fn within<X: Within<D>, D>(self, transaction: X) -> Enqueue<'c, O, InTransaction<'c, X, D>> {
        self.at_place(|Own(client)| InTransaction::new(client, transaction))
    }
}

impl<'a, I> EnqueueMany<'a, I> {
    /// Puts the tasks into the caller's own open transaction, any number of them: they commit and roll back with it. As
    /// [`Enqueue::within`], but the answer is one for all: the handles in order, or the first refusal. What arguments or options
    /// refuse is found before anything is sent. After a conflict the others stand in the transaction: roll it back, or commit
    /// without the one.
    pub fn within<X: Within<D>, D>(self, transaction: X) -> EnqueueMany<'a, I, InTransaction<'a, X, D>> {
        EnqueueMany { client: self.client, tasks: self.tasks, place: InTransaction::new(self.client, transaction) }
    }
}

impl Client {
    /// Cancels a task in the caller's own open transaction on gristmill's database: it is cancelled with the commit, and not at
    /// all otherwise. The answer is that of [`cancel`](Self::cancel), and holds from the commit on. Transactions are those of
    /// [`Enqueue::within`], but for sqlx on SQLite.
    ///
    /// ```
    /// # #[cfg(feature = "sqlite")] {
    /// use gristmill::sqlite::rusqlite::{Connection, TransactionBehavior};
    /// # use gristmill::{Client, Result, TaskId};
    /// # fn example(client: Client, connection: &mut Connection, reminder: TaskId) -> Result<()> {
    /// let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    /// tx.execute("DELETE FROM customer WHERE name = ?1", ["world"])?;
    /// client.cancel_within(&tx, reminder).run()?;
    /// tx.commit()?;
    /// # Ok(())
    /// # }
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the transaction can't write, its database has no tables of gristmill, or the client's store is of another sort.
    pub fn cancel_within<X: CancelWithin<D>, D>(&self, transaction: X, id: TaskId) -> Cancel<'_, X, D> {
        Cancel { id, place: InTransaction::new(self, transaction) }
    }
}

/// A task about to be cancelled in the caller's transaction: `.await` it. See [`Client::cancel_within`].
#[must_use = "nothing is cancelled until it is awaited"]
#[derive(Debug)]
pub struct Cancel<'c, X, D> {
    id: TaskId,
    place: InTransaction<'c, X, D>,
}

impl<X: CancelWithin<D>, D> IntoFuture for Cancel<'_, X, D> {
    type Output = Result<CancelOutcome, StoreError>;
    type IntoFuture = X::Doing<CancelOutcome>;

    fn into_future(self) -> Self::IntoFuture {
        self.place.transaction.cancel(self.place.client.store().as_ref(), self.id)
    }
}

impl<X, D> Cancel<'_, X, D>
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

type Outcomes = Vec<EnqueueOutcome>;
/// What a caller is told, once the driver has written.
type Answer<'c, T> = Box<dyn FnOnce(Outcomes) -> Result<T, EnqueueError> + Send + 'c>;
/// The driver's part and then ours; or why nothing is sent.
type Begun<'c, F, T> = Result<(F, Answer<'c, T>), EnqueueError>;

impl<'c, O: 'c, X: Within<D>, D> Enqueue<'c, O, InTransaction<'c, X, D>> {
    fn begin(self) -> Begun<'c, X::Doing<Outcomes>, Handle<O>> {
        let (task, InTransaction { client, transaction, driver: _ }) = self.resolve()?;
        let id = task.id;
        let insert = transaction.insert(client.store().as_ref(), vec![task]);
        Ok((insert, Box::new(move |outcomes| outcome_of(client, id, outcomes.first()))))
    }
}

impl<'a, 'c, O, I, X: Within<D>, D> EnqueueMany<'a, I, InTransaction<'a, X, D>>
where
    I: IntoIterator<Item = Enqueue<'c, O>>,
{
    fn begin(self) -> Begun<'a, X::Doing<Outcomes>, Vec<Handle<O>>> {
        let Self { client, tasks, place } = self;
        let tasks = tasks.into_iter().map(|task| task.resolve_for(client)).collect::<Result<Vec<_>, EnqueueError>>()?;
        let ids: Vec<_> = tasks.iter().map(|task| task.id).collect();
        let insert = place.transaction.insert(client.store().as_ref(), tasks);
        let answer = move |outcomes: Outcomes| {
            ids.into_iter().enumerate().map(|(nth, id)| outcome_of(client, id, outcomes.get(nth))).collect()
        };
        Ok((insert, Box::new(answer)))
    }
}

impl<'c, O: 'c, X: Within<D>, D> IntoFuture for Enqueue<'c, O, InTransaction<'c, X, D>> {
    type Output = Result<Handle<O>, EnqueueError>;
    type IntoFuture = Inserting<'c, X::Doing<Outcomes>, Handle<O>>;

    fn into_future(self) -> Self::IntoFuture {
        Inserting::new(self.begin())
    }
}

impl<'a, 'c, O, I, X: Within<D>, D> IntoFuture for EnqueueMany<'a, I, InTransaction<'a, X, D>>
where
    I: IntoIterator<Item = Enqueue<'c, O>>,
{
    type Output = Result<Vec<Handle<O>>, EnqueueError>;
    type IntoFuture = Inserting<'a, X::Doing<Outcomes>, Vec<Handle<O>>>;

    fn into_future(self) -> Self::IntoFuture {
        Inserting::new(self.begin())
    }
}

impl<'c, O: 'c, X, D> Enqueue<'c, O, InTransaction<'c, X, D>>
where
    X: Within<D, Doing<Outcomes> = Ready<Result<Outcomes, StoreError>>>,
{
    /// Inserts without `.await`, for a driver that is synchronous.
    ///
    /// # Errors
    /// As awaiting it.
    pub fn run(self) -> Result<Handle<O>, EnqueueError> {
        let (insert, answer) = self.begin()?;
        answer(insert.into_inner()?)
    }
}

impl<'a, 'c, O, I, X, D> EnqueueMany<'a, I, InTransaction<'a, X, D>>
where
    I: IntoIterator<Item = Enqueue<'c, O>>,
    X: Within<D, Doing<Outcomes> = Ready<Result<Outcomes, StoreError>>>,
{
    /// Inserts without `.await`, for a driver that is synchronous.
    ///
    /// # Errors
    /// As awaiting it.
    pub fn run(self) -> Result<Vec<Handle<O>>, EnqueueError> {
        let (insert, answer) = self.begin()?;
        answer(insert.into_inner()?)
    }
}

/// The future of an enqueue in the caller's transaction; as `Send` as the driver's own.
pub struct Inserting<'c, F, T>(Step<'c, F, T>);

enum Step<'c, F, T> {
    Refused(EnqueueError),
    Running(Pin<Box<F>>, Answer<'c, T>),
    Over,
}

impl<'c, F, T> Inserting<'c, F, T> {
    fn new(begun: Begun<'c, F, T>) -> Self {
        Self(match begun {
            Ok((insert, answer)) => Step::Running(Box::pin(insert), answer),
            Err(error) => Step::Refused(error),
        })
    }
}

impl<F: Future<Output = Result<Outcomes, StoreError>>, T> Future for Inserting<'_, F, T> {
    type Output = Result<T, EnqueueError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let written = match &mut self.0 {
            Step::Running(insert, _) => match insert.as_mut().poll(cx) {
                Poll::Ready(written) => Some(written),
                Poll::Pending => return Poll::Pending,
            },
            _ => None,
        };
        match (std::mem::replace(&mut self.0, Step::Over), written) {
            (Step::Refused(error), _) => Poll::Ready(Err(error)),
            (Step::Running(_, answer), Some(Ok(outcomes))) => Poll::Ready(answer(outcomes)),
            (Step::Running(..), Some(Err(error))) => Poll::Ready(Err(error.into())),
            // Polled after its end.
            (Step::Running(..), None) | (Step::Over, _) => Poll::Pending,
        }
    }
}

impl<F, T> std::fmt::Debug for Inserting<'_, F, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inserting")
    }
}
