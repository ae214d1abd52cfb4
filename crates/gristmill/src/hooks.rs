//! What an application is told about the ends of attempts, in the process that wrote them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::attempt::Attempt;
use crate::core::{Ending, Failure, Settlement, Source, State, TaskId, TaskMeta};
use crate::{Error, panics};

/// A task that succeeded, as [`App::on_succeeded`](crate::App::on_succeeded) is told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SucceededTask {
    /// The task.
    pub id: TaskId,
    /// Its task type.
    pub kind: String,
    /// The queue that it came from.
    pub queue: String,
    /// The number of the attempt that succeeded.
    pub attempt: u32,
    /// Parent, tags and headers of the task.
    pub meta: TaskMeta,
    /// How long that attempt ran.
    pub ran_for: Duration,
}

/// An attempt that failed, as [`App::on_failed_attempt`](crate::App::on_failed_attempt) is told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FailedAttempt {
    /// The task.
    pub id: TaskId,
    /// Its task type.
    pub kind: String,
    /// The queue that it came from.
    pub queue: String,
    /// The number of the attempt.
    pub attempt: u32,
    /// Failed attempts until the task fails.
    pub max_attempts: u32,
    /// Parent, tags and headers of the task.
    pub meta: TaskMeta,
    /// What went wrong, with its sources, and for a panic with its trace.
    pub failure: Failure,
    /// What happens next.
    pub next: AfterFailure,
}

/// What becomes of a task after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AfterFailure {
    /// It is run again after this wait; zero means at once.
    Retry {
        /// The wait, from the moment at which the failure was written.
        after: Duration,
    },
    /// It has ended in this state.
    Ended(State),
}

/// A task that ended other than well, as [`App::on_ended`](crate::App::on_ended) is told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EndedTask {
    /// The task.
    pub id: TaskId,
    /// Its task type.
    pub kind: String,
    /// Its queue.
    pub queue: String,
    /// [`Failed`](State::Failed), [`Cancelled`](State::Cancelled) or [`Expired`](State::Expired).
    pub state: State,
    /// The number of its last attempt; 0 if there was none.
    pub attempt: u32,
    /// Parent, tags and headers of the task.
    pub meta: TaskMeta,
    /// Why, as it is kept with the task.
    pub failure: Option<Failure>,
}

type Hook<E> = Arc<dyn Fn(&E) + Send + Sync>;

/// The hooks of an application.
#[derive(Clone, Default)]
pub(crate) struct Hooks {
    pub(crate) on_succeeded: Vec<Hook<SucceededTask>>,
    pub(crate) on_failed_attempt: Vec<Hook<FailedAttempt>>,
    pub(crate) on_ended: Vec<Hook<EndedTask>>,
}

/// What a worker knows of an end that hooks may want to be told; made while it settles, so cheap.
#[derive(Debug)]
pub(crate) enum Notice {
    /// An attempt that was run here and succeeded.
    Succeeded { attempt: Arc<Attempt>, ran_for: Duration },
    /// One that did not.
    Attempt { attempt: Arc<Attempt>, ending: Ending, failure: Option<Box<Failure>>, state: State },
    /// A task of which only the store knows more.
    Ended(TaskId),
}

/// What hooks are called with.
#[derive(Debug)]
pub(crate) enum Event {
    Succeeded(SucceededTask),
    Failed(FailedAttempt),
    Ended(EndedTask),
}

impl Hooks {
    pub(crate) fn is_empty(&self) -> bool {
        self.on_succeeded.is_empty() && self.on_failed_attempt.is_empty() && self.on_ended.is_empty()
    }

    /// Tells one event. A panic ends one hook's call and nothing else.
    pub(crate) fn tell(&self, event: &Event) {
        match event {
            Event::Succeeded(event) => self.on_succeeded.iter().for_each(|hook| call(hook, event, event.id)),
            Event::Failed(event) => self.on_failed_attempt.iter().for_each(|hook| call(hook, event, event.id)),
            Event::Ended(event) => self.on_ended.iter().for_each(|hook| call(hook, event, event.id)),
        }
    }
}

fn call<E>(hook: &Hook<E>, event: &E, id: TaskId) {
    if let Err(panicked) = panics::catch(|| hook(event)) {
        tracing::error!(task = %id, error = %Error::from(panicked), "a hook panicked");
    }
}

impl Notice {
    /// What there may be to tell of a settlement that left its task in `state`. `attempt` is missing if it was never
    /// started here.
    pub(crate) fn of(settlement: Settlement, attempt: Option<Arc<Attempt>>, state: State) -> Option<Self> {
        let Settlement { lease, ending, failure, ran_for, .. } = settlement;
        match attempt {
            attempt if state == State::Succeeded => attempt.map(|attempt| Self::Succeeded { attempt, ran_for }),
            // The store has written a reason of its own.
            _ if state.is_final() && failure.is_none() => Some(Self::Ended(lease.id)),
            Some(attempt) => Some(Self::Attempt { attempt, ending, failure, state }),
            None => None,
        }
    }

    /// The events in it; asks the source for what only that knows.
    pub(crate) async fn events(self, source: &dyn Source) -> Vec<Event> {
        match self {
            Self::Ended(id) => match source.record(id).await {
                // Somebody may have retried it meanwhile.
                Ok(Some(task)) if task.state.is_final() && task.state != State::Succeeded => vec![Event::Ended(EndedTask {
                    id,
                    kind: task.kind,
                    queue: task.queue,
                    state: task.state,
                    attempt: task.attempt,
                    meta: task.meta,
                    failure: task.error,
                })],
                Ok(_) => Vec::new(),
                Err(error) => {
                    tracing::warn!(task = %id, error = %error, "hooks are not told of this end: the task can't be read");
                    Vec::new()
                }
            },
            Self::Succeeded { attempt, ran_for } => vec![Event::Succeeded(SucceededTask {
                id: attempt.id,
                kind: attempt.kind.to_string(),
                queue: attempt.queue.to_string(),
                attempt: attempt.attempt,
                meta: TaskMeta::clone(&attempt.meta),
                ran_for,
            })],
            Self::Attempt { attempt, ending, failure, state } => {
                let next = match ending {
                    _ if state.is_final() => AfterFailure::Ended(state),
                    Ending::Retry { delay } => AfterFailure::Retry { after: delay },
                    _ => AfterFailure::Retry { after: Duration::ZERO },
                };
                let failed = matches!(ending, Ending::Retry { .. } | Ending::Failed);
                let failed = failure.as_deref().filter(|_| failed).map(|failure| {
                    Event::Failed(FailedAttempt {
                        id: attempt.id,
                        kind: attempt.kind.to_string(),
                        queue: attempt.queue.to_string(),
                        attempt: attempt.attempt,
                        max_attempts: attempt.max_attempts,
                        meta: TaskMeta::clone(&attempt.meta),
                        failure: failure.clone(),
                        next,
                    })
                });
                let ended = state.is_final().then(|| {
                    Event::Ended(EndedTask {
                        id: attempt.id,
                        kind: attempt.kind.to_string(),
                        queue: attempt.queue.to_string(),
                        state,
                        attempt: attempt.attempt,
                        meta: TaskMeta::clone(&attempt.meta),
                        failure: failure.map(|failure| *failure),
                    })
                });
                failed.into_iter().chain(ended).collect()
            }
        }
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("on_succeeded", &self.on_succeeded.len())
            .field("on_failed_attempt", &self.on_failed_attempt.len())
            .field("on_ended", &self.on_ended.len())
            .finish()
    }
}
