use std::future::{Future, IntoFuture, Ready, ready};
use std::pin::{Pin, pin};

use futures_util::future::poll_immediate;

use crate::Task;
use crate::client::enqueue::{Asked, Enqueue, EnqueueError, InAttempt, Own, outcome_of};
use crate::client::{Client, Handle};
use crate::context::Child;
use crate::core::{NewTask, limits};

/// Many tasks about to be enqueued: `.await` it. See [`Client::enqueue_many`] and
/// [`Context::enqueue_many`](crate::Context::enqueue_many).
#[must_use = "nothing is enqueued until it is awaited"]
#[derive(Debug)]
pub struct EnqueueMany<I, W> {
    pub(super) tasks: I,
    pub(super) place: W,
}

impl<I, W> EnqueueMany<I, W> {
    pub(crate) fn new(tasks: I, place: W) -> Self {
        Self { tasks, place }
    }
}

/// What can be enqueued with others: a task, or a task with its options. `Place` is [`Own`] for a client's, and [`InAttempt`] for
/// those of a handler's context.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither a task nor a task with its options, and can't be enqueued with others",
    label = "neither a task nor one with options",
    note = "give tasks such as `Greet {{ name }}`, or what `enqueue` of the same client or context returns for them before it is \
            awaited; tasks of several types need `.untyped()`"
)]
pub trait IntoEnqueue<'a, Place>: Send + Sized {
    /// What the task gives.
    type Output;

    /// The task with its options.
    fn into_enqueue(self, place: Place) -> Enqueue<'a, Self::Output, Place>;
}

impl<'a, T: Task> IntoEnqueue<'a, Own<'a>> for T {
    type Output = T::Output;

    fn into_enqueue(self, Own(client): Own<'a>) -> Enqueue<'a, T::Output, Own<'a>> {
        client.enqueue(self)
    }
}

impl<'a, 'c: 'a, O> IntoEnqueue<'a, Own<'a>> for Enqueue<'c, O, Own<'c>> {
    type Output = O;

    fn into_enqueue(self, _: Own<'a>) -> Enqueue<'a, O, Own<'a>> {
        self
    }
}

impl<'a, T: Task> IntoEnqueue<'a, InAttempt<'a>> for T {
    type Output = T::Output;

    fn into_enqueue(self, place: InAttempt<'a>) -> Enqueue<'a, T::Output, InAttempt<'a>> {
        Enqueue::typed(place.0.runtime(), &self, place)
    }
}

impl<'a, 'c: 'a, O> IntoEnqueue<'a, InAttempt<'a>> for Enqueue<'c, O, InAttempt<'c>> {
    type Output = O;

    fn into_enqueue(self, _: InAttempt<'a>) -> Enqueue<'a, O, InAttempt<'a>> {
        self
    }
}

/// What one of the tasks gives.
pub(super) type OutputOf<'a, I, W> = <<I as IntoIterator>::Item as IntoEnqueue<'a, W>>::Output;

impl<'a, I> IntoFuture for EnqueueMany<I, Own<'a>>
where
    I: IntoIterator<Item: IntoEnqueue<'a, Own<'a>, Output: 'a> + 'a, IntoIter: Send + 'a>,
{
    type Output = Vec<Result<Handle<OutputOf<'a, I, Own<'a>>>, EnqueueError>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { tasks, place: Own(client) } = self;
        let tasks = tasks.into_iter().map(move |task| task.into_enqueue(Own(client)));
        Box::pin(many(client, tasks))
    }
}

impl<'a, I> IntoFuture for EnqueueMany<I, InAttempt<'a>>
where
    I: IntoIterator<Item: IntoEnqueue<'a, InAttempt<'a>>>,
{
    type Output = Result<Vec<Child<OutputOf<'a, I, InAttempt<'a>>>>, EnqueueError>;
    type IntoFuture = Ready<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { tasks, place } = self;
        // Of all, so that a refused one leaves none behind.
        let children: Result<Vec<_>, _> =
            tasks.into_iter().map(|task| task.into_enqueue(place).child().map(|(child, _)| child)).collect();
        ready(children.and_then(|children| {
            let handles = children.iter().map(|child| Child::new(child.id)).collect();
            place.0.add_children(children)?;
            Ok(handles)
        }))
    }
}

async fn many<'c, O>(client: &Client, tasks: impl Iterator<Item = Enqueue<'c, O>>) -> Vec<Result<Handle<O>, EnqueueError>> {
    let (mut answers, mut tasks) = (Vec::new(), tasks.fuse());
    let mut batch = Batch::next(client, &mut tasks, &mut answers);
    while !batch.places.is_empty() {
        let (places, tasks_of_batch) = (batch.places, batch.tasks);
        let mut written = pin!(client.store().enqueue(tasks_of_batch));
        // On its way to the store, which works while the next is made.
        let early = poll_immediate(&mut written).await;
        tokio::task::yield_now().await;
        batch = Batch::next(client, &mut tasks, &mut answers);
        let outcomes = match early {
            Some(outcomes) => outcomes,
            None => written.await,
        };
        for (nth, (place, asked)) in places.into_iter().enumerate() {
            answers[place] = match &outcomes {
                Ok(outcomes) => outcome_of(client, asked, outcomes.get(nth)),
                Err(error) => Err(EnqueueError::Store { id: asked.id, error: error.duplicate() }),
            };
        }
    }
    #[cfg(feature = "testing")]
    if let Some(inline) = client.inline().get()
        && let Err(error) = inline.drain(client).await
    {
        let id = answers.iter().flatten().map(Handle::id).next_back().unwrap_or_else(crate::TaskId::new);
        answers.push(Err(EnqueueError::Store { id, error: error.into() }));
    }
    answers
}

/// What is written in one go.
struct Batch {
    tasks: Vec<NewTask>,
    /// Where the answer about each belongs.
    places: Vec<(usize, Asked)>,
}

impl Batch {
    /// The next that can be written; those that can't are answered at once. Empty at the end.
    fn next<'c, O>(
        client: &Client,
        tasks: &mut impl Iterator<Item = Enqueue<'c, O>>,
        answers: &mut Vec<Result<Handle<O>, EnqueueError>>,
    ) -> Self {
        let (mut batch, mut bytes) = (Self { tasks: Vec::new(), places: Vec::new() }, 0);
        while batch.tasks.len() < limits::BATCH_TASKS_MAX
            && bytes < limits::BATCH_BYTES_MAX
            && let Some(task) = tasks.next()
        {
            match task.resolve_for(client) {
                Ok(task) => {
                    bytes += task.bytes();
                    batch.places.push((answers.len(), Asked::of(&task)));
                    answers.push(Ok(Handle::new(client.clone(), task.id)));
                    batch.tasks.push(task);
                }
                Err(error) => answers.push(Err(error)),
            }
        }
        batch
    }
}
