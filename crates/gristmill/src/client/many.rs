use std::future::{Future, IntoFuture};
use std::pin::{Pin, pin};

use futures_util::future::poll_immediate;

use crate::client::enqueue::{Enqueue, EnqueueError, Own, outcome_of};
use crate::client::{Client, Handle};
use crate::core::{NewTask, TaskId, limits};

/// Many tasks about to be enqueued: `.await` it. See [`Client::enqueue_many`].
#[must_use = "nothing is enqueued until it is awaited"]
#[derive(Debug)]
pub struct EnqueueMany<'a, I, W = Own<'a>> {
    pub(super) client: &'a Client,
    pub(super) tasks: I,
    pub(super) place: W,
}

impl<'a, 'c, O, I> IntoFuture for EnqueueMany<'a, I, Own<'a>>
where
    'c: 'a,
    O: 'a,
    I: IntoIterator<Item = Enqueue<'c, O>>,
    I::IntoIter: Send + 'a,
{
    type Output = Vec<Result<Handle<O>, EnqueueError>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(many(self.client, self.tasks.into_iter()))
    }
}

async fn many<'c, O>(client: &Client, mut tasks: impl Iterator<Item = Enqueue<'c, O>>) -> Vec<Result<Handle<O>, EnqueueError>> {
    let mut answers = Vec::new();
    let mut batch = Batch::next(client, &mut tasks, &mut answers);
    while !batch.places.is_empty() {
        let (places, tasks_of_batch) = (batch.places, batch.tasks);
        let mut written = pin!(client.store().enqueue(tasks_of_batch));
        // On its way to the store, which works while the next is made.
        let early = poll_immediate(&mut written).await;
        batch = Batch::next(client, &mut tasks, &mut answers);
        let outcomes = match early {
            Some(outcomes) => outcomes,
            None => written.await,
        };
        for (nth, (place, id)) in places.into_iter().enumerate() {
            answers[place] = match &outcomes {
                Ok(outcomes) => outcome_of(client, id, outcomes.get(nth)),
                Err(error) => Err(error.duplicate().into()),
            };
        }
    }
    #[cfg(feature = "testing")]
    if let Some(inline) = client.inline().get()
        && let Err(error) = inline.drain(client).await
    {
        answers.push(Err(error.into()));
    }
    answers
}

/// What is written in one go.
struct Batch {
    tasks: Vec<NewTask>,
    /// Where the answer about each belongs.
    places: Vec<(usize, TaskId)>,
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
                    batch.places.push((answers.len(), task.id));
                    answers.push(Ok(Handle::new(client.clone(), task.id)));
                    batch.tasks.push(task);
                }
                Err(error) => answers.push(Err(error)),
            }
        }
        batch
    }
}
