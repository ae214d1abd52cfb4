use std::collections::HashMap;
use std::future::{Future, IntoFuture};
use std::pin::Pin;

use crate::client::enqueue::{Enqueue, EnqueueError, Own, outcome_of};
use crate::client::{Client, Handle};
use crate::core::limits;

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

async fn many<'c, O>(client: &Client, tasks: impl Iterator<Item = Enqueue<'c, O>>) -> Vec<Result<Handle<O>, EnqueueError>> {
    let mut answers = Vec::new();
    let mut batch = Vec::new();
    let mut places = HashMap::new();
    let mut tasks = tasks.peekable();
    while tasks.peek().is_some() {
        let mut bytes = 0;
        while batch.len() < limits::BATCH_TASKS_MAX
            && bytes < limits::BATCH_BYTES_MAX
            && let Some(task) = tasks.next()
        {
            match task.resolve_for(client) {
                Ok(task) => {
                    bytes += task.bytes();
                    places.insert(batch.len(), answers.len());
                    answers.push(Ok(Handle::new(client.clone(), task.id)));
                    batch.push(task);
                }
                Err(error) => answers.push(Err(error)),
            }
        }
        let ids: Vec<_> = batch.iter().map(|task| task.id).collect();
        let outcomes = client.store().enqueue(std::mem::take(&mut batch)).await;
        for (nth, place) in places.drain() {
            answers[place] = match &outcomes {
                Ok(outcomes) => outcome_of(client, ids[nth], outcomes.get(nth)),
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
