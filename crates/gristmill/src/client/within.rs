use std::future::{Future, IntoFuture, Ready};
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::client::enqueue::{Asked, Enqueue, EnqueueError, Own, outcome_of};
use crate::client::many::{EnqueueMany, IntoEnqueue, OutputOf};
use crate::client::{Client, Handle};
use crate::core::{EnqueueOutcome, StoreError, TaskId, Within};

/// Done in the caller's transaction; lives and dies with it.
#[derive(Debug)]
pub struct InTransaction<'c, X, D> {
    client: &'c Client,
    transaction: X,
    driver: PhantomData<fn() -> D>,
}

impl<'c, X, D> InTransaction<'c, X, D> {
    pub(crate) fn new(client: &'c Client, transaction: X) -> Self {
        Self { client, transaction, driver: PhantomData }
    }

    pub(crate) fn into_inner(self) -> X {
        self.transaction
    }
}

impl<'c, O> Enqueue<'c, O> {
    /// Puts the task into the caller's own open transaction: it commits and rolls back with it.
    ///
    /// Pass `&transaction` of rusqlite or of tokio-postgres (feature `tokio-postgres`), `&mut transaction` of sqlx (`sqlx-0_8` or
    /// `sqlx-0_9`), or `&mut *connection` within a transaction of diesel-async (`diesel-postgres`). The database must be the
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

impl<'a, I> EnqueueMany<I, Own<'a>> {
    /// Puts the tasks into the caller's own open transaction, any number of them: they commit and roll back with it. As
    /// [`Enqueue::within`], but the answer is one for all: the handles in order, or the first refusal. What arguments or options
    /// refuse is found before anything is sent. After a conflict the others stand in the transaction: roll it back, or commit
    /// without the one.
    pub fn within<X: Within<D>, D>(self, transaction: X) -> EnqueueMany<I, InTransaction<'a, X, D>> {
        let Self { tasks, place: Own(client) } = self;
        EnqueueMany { tasks, place: InTransaction::new(client, transaction) }
    }
}

type Outcomes = Vec<EnqueueOutcome>;
/// What a caller is told, once the driver has written.
type Answer<'c, T> = Box<dyn FnOnce(Outcomes) -> Result<T, EnqueueError> + Send + 'c>;
/// Or why nothing is sent.
type Begun<'c, F, T> = Result<Doing<'c, F, T>, EnqueueError>;
/// Those of many, in their order.
type Handles<'a, I> = Vec<Handle<OutputOf<'a, I, Own<'a>>>>;

/// The driver's part and then ours.
struct Doing<'c, F, T> {
    insert: F,
    /// The first of its tasks, for the driver's error.
    first: TaskId,
    answer: Answer<'c, T>,
}

impl<F, T> Doing<'_, F, T> {
    fn end(self, written: Result<Outcomes, StoreError>) -> Result<T, EnqueueError> {
        (self.answer)(written.map_err(|error| EnqueueError::Store { id: self.first, error })?)
    }
}

impl<'c, O: 'c, X: Within<D>, D> Enqueue<'c, O, InTransaction<'c, X, D>> {
    fn begin(self) -> Begun<'c, X::Doing<Outcomes>, Handle<O>> {
        let (task, InTransaction { client, transaction, driver: _ }) = self.resolve()?;
        let asked = Asked::of(&task);
        let insert = transaction.insert(client.store().as_ref(), vec![task]);
        Ok(Doing { insert, first: asked.id, answer: Box::new(move |outcomes| outcome_of(client, asked, outcomes.first())) })
    }
}

impl<'a, I, X: Within<D>, D> EnqueueMany<I, InTransaction<'a, X, D>>
where
    I: IntoIterator<Item: IntoEnqueue<'a, Own<'a>>>,
{
    fn begin(self) -> Begun<'a, X::Doing<Outcomes>, Handles<'a, I>> {
        let Self { tasks, place: InTransaction { client, transaction, driver: _ } } = self;
        let tasks = tasks.into_iter().map(|task| task.into_enqueue(Own(client)).resolve_for(client));
        let tasks = tasks.collect::<Result<Vec<_>, EnqueueError>>()?;
        let asked: Vec<_> = tasks.iter().map(Asked::of).collect();
        let first = asked.first().map_or_else(TaskId::new, |asked| asked.id);
        let insert = transaction.insert(client.store().as_ref(), tasks);
        let answer = move |outcomes: Outcomes| {
            asked.into_iter().enumerate().map(|(nth, asked)| outcome_of(client, asked, outcomes.get(nth))).collect()
        };
        Ok(Doing { insert, first, answer: Box::new(answer) })
    }
}

impl<'c, O: 'c, X: Within<D>, D> IntoFuture for Enqueue<'c, O, InTransaction<'c, X, D>> {
    type Output = Result<Handle<O>, EnqueueError>;
    type IntoFuture = Inserting<'c, X::Doing<Outcomes>, Handle<O>>;

    fn into_future(self) -> Self::IntoFuture {
        Inserting::new(self.begin())
    }
}

impl<'a, I, X: Within<D>, D> IntoFuture for EnqueueMany<I, InTransaction<'a, X, D>>
where
    I: IntoIterator<Item: IntoEnqueue<'a, Own<'a>>>,
{
    type Output = Result<Handles<'a, I>, EnqueueError>;
    type IntoFuture = Inserting<'a, X::Doing<Outcomes>, Handles<'a, I>>;

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
        run(self.begin()?)
    }
}

impl<'a, I, X, D> EnqueueMany<I, InTransaction<'a, X, D>>
where
    I: IntoIterator<Item: IntoEnqueue<'a, Own<'a>>>,
    X: Within<D, Doing<Outcomes> = Ready<Result<Outcomes, StoreError>>>,
{
    /// Inserts without `.await`, for a driver that is synchronous.
    ///
    /// # Errors
    /// As awaiting it.
    pub fn run(self) -> Result<Handles<'a, I>, EnqueueError> {
        run(self.begin()?)
    }
}

/// The whole of it, of a driver that is ready at once.
fn run<T>(doing: Doing<'_, Ready<Result<Outcomes, StoreError>>, T>) -> Result<T, EnqueueError> {
    let Doing { insert, first, answer } = doing;
    Doing { insert: (), first, answer }.end(insert.into_inner())
}

/// The future of an enqueue in the caller's transaction; as `Send` as the driver's own.
pub struct Inserting<'c, F, T>(Step<'c, F, T>);

enum Step<'c, F, T> {
    Refused(EnqueueError),
    Running(Doing<'c, Pin<Box<F>>, T>),
    Over,
}

impl<'c, F, T> Inserting<'c, F, T> {
    fn new(begun: Begun<'c, F, T>) -> Self {
        Self(match begun {
            Ok(Doing { insert, first, answer }) => Step::Running(Doing { insert: Box::pin(insert), first, answer }),
            Err(error) => Step::Refused(error),
        })
    }
}

impl<F: Future<Output = Result<Outcomes, StoreError>>, T> Future for Inserting<'_, F, T> {
    type Output = Result<T, EnqueueError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let written = match &mut self.0 {
            Step::Running(doing) => match doing.insert.as_mut().poll(cx) {
                Poll::Ready(written) => Some(written),
                Poll::Pending => return Poll::Pending,
            },
            _ => None,
        };
        match (std::mem::replace(&mut self.0, Step::Over), written) {
            (Step::Refused(error), _) => Poll::Ready(Err(error)),
            (Step::Running(doing), Some(written)) => Poll::Ready(doing.end(written)),
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
