use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Batch, BatchHandler, BatchTask};
use crate::attempt::Attempt;
use crate::context::Stateless;
use crate::core::{FailureReason, InvalidInput, Template};
use crate::error::What;
use crate::handler::{Run, misfit};
use crate::{Error, FromRef, Result};

/// What is said of one call of a handler that takes many tasks.
#[derive(Debug, Default)]
pub(crate) struct Call {
    pub(crate) key: Option<Arc<str>>,
    pub(crate) deadline: Option<Instant>,
    /// Cancelled when the call should end.
    pub(crate) ending: CancellationToken,
}

/// A task that takes part in a call, with its arguments.
pub(crate) type Seated = (Arc<Attempt>, String);

/// The outcomes of a call, one for each that takes part.
pub(crate) type Outcomes = Vec<Result<String>>;

/// The form in which the engine holds a handler that takes many tasks.
pub(crate) trait RunMany: Send + Sync + 'static {
    /// As many outcomes as there are tasks, in their order.
    fn run_many(&self, call: Arc<Call>, tasks: Vec<Seated>) -> Pin<Box<dyn Future<Output = Outcomes> + Send + '_>>;
}

/// A [`BatchTask`] with the state of its application.
pub(crate) struct TypedMany<T, S> {
    pub(crate) state: Arc<S>,
    pub(crate) task: PhantomData<fn() -> T>,
}

impl<T, S> RunMany for TypedMany<T, S>
where
    T: BatchTask,
    T::State: FromRef<S>,
    S: Send + Sync + 'static,
{
    fn run_many(&self, call: Arc<Call>, all: Vec<Seated>) -> Pin<Box<dyn Future<Output = Outcomes> + Send + '_>> {
        Box::pin(async move {
            let (mut outcomes, mut attempts, mut tasks) = (Vec::with_capacity(all.len()), Vec::new(), Vec::new());
            for (attempt, args) in all {
                match serde_json::from_str::<T>(&args) {
                    Ok(task) => {
                        attempts.push(attempt);
                        tasks.push(task);
                        outcomes.push(None);
                    }
                    Err(error) => outcomes.push(Some(Err(misfit(&attempt, &args, &error)))),
                }
            }
            let mut answers = Vec::new();
            if !tasks.is_empty() {
                let size = tasks.len();
                let cx = Batch::new(T::State::from_ref(&self.state), attempts, call);
                answers = each_of(size, T::run_batch(&cx, tasks).await, written);
            }
            let mut answers = answers.into_iter();
            outcomes.into_iter().map(|outcome| outcome.or_else(|| answers.next()).unwrap_or_else(|| Err(unanswered()))).collect()
        })
    }
}

fn written<T: serde::Serialize>(output: T) -> Result<String> {
    serde_json::to_string(&output).map_err(|error| Error::fail(format!("the result can't be written as JSON: {error}")))
}

/// A [`BatchHandler`].
pub(crate) struct DynamicMany<H>(pub(crate) H);

impl<H: BatchHandler> RunMany for DynamicMany<H> {
    fn run_many(&self, call: Arc<Call>, all: Vec<Seated>) -> Pin<Box<dyn Future<Output = Outcomes> + Send + '_>> {
        Box::pin(async move {
            let (attempts, args): (Vec<_>, Vec<_>) = all.into_iter().unzip();
            let cx = Batch::new(Stateless, attempts, call);
            each_of(args.len(), self.0.run(&cx, &args).await, Ok)
        })
    }
}

/// What an answer means for each of the tasks.
fn each_of<T>(size: usize, answer: Result<Vec<Result<T>>>, written: impl Fn(T) -> Result<String>) -> Outcomes {
    let error = match answer {
        Ok(results) if results.len() == size => return results.into_iter().map(|result| result.and_then(&written)).collect(),
        Ok(results) => {
            let got = results.len();
            Error::retry(format!(
                "the batch has {size} tasks, and its handler gave {got} results: it has to give one for each, in order"
            ))
        }
        Err(error) => error,
    };
    let mut common = error.common();
    (0..size).map(|_| common()).map(Err).collect()
}

fn unanswered() -> Error {
    Error::retry("the batch ended without a result for this task")
}

/// The handler of a type that takes many, as that of one task: a batch of one, unless the task has a seat in a call.
pub(crate) struct Alone(pub(crate) Arc<dyn RunMany>);

impl Run for Alone {
    fn run(&self, attempt: Arc<Attempt>, args: String) -> Pin<Box<dyn Future<Output = Result<String>> + Send + '_>> {
        Box::pin(async move {
            if let Some(seat) = attempt.seat.get() {
                return seat.take(args).await;
            }
            let key = match attempt.batching_key() {
                Some(key) => Some(key_of(key, &args)?.into()),
                None => None,
            };
            let call = Call { key, deadline: attempt.deadline, ending: attempt.token.clone() };
            self.0.run_many(Arc::new(call), vec![(attempt, args)]).await.pop().unwrap_or_else(|| Err(unanswered()))
        })
    }
}

/// The key of these arguments.
pub(crate) fn key_of(key: &Template, args: &str) -> Result<String> {
    let invalid =
        |why: InvalidInput| Error::new(What::Fail, FailureReason::InvalidArgs, InvalidInput::new("batch key", why.to_string()));
    let args: serde_json::Value =
        serde_json::from_str(args).map_err(|error| invalid(InvalidInput::new("args", format!("are no JSON: {error}"))))?;
    key.fill(|name| args.get(name)).map_err(invalid)
}

/// Where the tasks of a call come together, each from within what stands around it.
#[derive(Debug, Default)]
pub(crate) struct Table {
    seats: Mutex<Vec<Taken>>,
}

/// A task that waits for the call to give it its outcome.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) place: usize,
    pub(crate) args: String,
    pub(crate) outcome: oneshot::Sender<Result<String>>,
}

impl Table {
    /// How many have come.
    pub(crate) fn taken(&self) -> usize {
        self.seats().len()
    }

    /// Those that have come, in their order; others may still.
    pub(crate) fn take(&self) -> Vec<Taken> {
        let mut seats = std::mem::take(&mut *self.seats());
        seats.sort_unstable_by_key(|taken| taken.place);
        seats
    }

    fn seats(&self) -> MutexGuard<'_, Vec<Taken>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of an attempt at a table.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) table: Arc<Table>,
    pub(crate) place: usize,
}

impl Seat {
    /// Hands the arguments over, and waits for the outcome.
    async fn take(&self, args: String) -> Result<String> {
        let (outcome, answered) = oneshot::channel();
        self.table.seats().push(Taken { place: self.place, args, outcome });
        answered.await.unwrap_or_else(|_| Err(unanswered()))
    }
}
