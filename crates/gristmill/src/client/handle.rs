use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::Error;
use crate::client::Client;
use crate::core::{CancelOutcome, Failure, FailureReason, RetryOutcome, State, StoreError, TaskId, TaskRecord, Wake};

/// A hand on one task: await its typed result, look at it, cancel it, retry it.
pub struct Handle<O> {
    client: Client,
    id: TaskId,
    output: PhantomData<fn() -> O>,
}

impl<O> Handle<O> {
    pub(crate) fn new(client: Client, id: TaskId) -> Self {
        Self { client, id, output: PhantomData }
    }

    /// The task's id.
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// All that is known about the task.
    ///
    /// # Errors
    /// If the store can't be read.
    pub async fn status(&self) -> Result<Option<TaskRecord>, StoreError> {
        self.client.get(self.id).await
    }

    /// Cancels the task; see [`Client::cancel`].
    ///
    /// # Errors
    /// If the store can't be written.
    pub async fn cancel(&self) -> Result<CancelOutcome, StoreError> {
        self.client.cancel(self.id).await
    }

    /// Makes the ended task ready again; see [`Client::retry`].
    ///
    /// # Errors
    /// If the store can't be written.
    pub async fn retry(&self) -> Result<RetryOutcome, StoreError> {
        self.client.retry(self.id).await
    }

    /// Waits until the task has ended, however long that takes.
    ///
    /// # Errors
    /// If the store can't be read, or the task is not (or no longer) there.
    ///
    /// # Cancel safety
    /// Nothing is lost; await again.
    pub async fn ended(&self) -> Result<TaskRecord, AwaitError> {
        /// Below what a person notices; the store wakes us long before this in most cases.
        const LOOK_AGAIN: Duration = Duration::from_millis(500);
        let not_kept = || AwaitError::NotKept { id: self.id };
        loop {
            // Only where it stands, as long as that is all that counts: its record has every attempt with its log.
            let state = self.client.store().task_states(&[self.id]).await?.first().copied().flatten();
            if !state.ok_or_else(not_kept)?.is_final() {
                self.client.store().wait(Wake::Ended(self.id), LOOK_AGAIN).await;
                continue;
            }
            let task = self.client.get(self.id).await?.ok_or_else(not_kept)?;
            // Unless somebody has just retried it.
            if task.state.is_final() {
                return Ok(task);
            }
        }
    }
}

impl<O: DeserializeOwned> Handle<O> {
    /// Waits for the task's result, however long that takes.
    ///
    /// # Errors
    /// If the task failed, was cancelled or expired; if its result is not kept or is not an `O`; if the store can't be read.
    ///
    /// # Cancel safety
    /// Nothing is lost; await again.
    pub async fn result(&self) -> Result<O, AwaitError> {
        let mut task = self.ended().await?;
        let undecoded = |error: Error| AwaitError::Undecoded { id: self.id, problem: error.to_string() };
        self.client.runtime().decode_result(&mut task).map_err(undecoded)?;
        let json = result_of(task)?;
        serde_json::from_str(&json).map_err(|source| AwaitError::Unreadable { id: self.id, source })
    }

    /// As [`result`](Self::result), but for at most `timeout`. The task goes on.
    ///
    /// # Errors
    /// As there, and [`AwaitError::TimedOut`].
    pub async fn result_within(&self, timeout: Duration) -> Result<O, AwaitError> {
        match tokio::time::timeout(timeout, self.result()).await {
            Ok(result) => result,
            Err(_) => Err(AwaitError::TimedOut { id: self.id, timeout }),
        }
    }
}

/// The result of an ended task as JSON text, or why there is none.
pub(crate) fn result_of(task: TaskRecord) -> Result<String, AwaitError> {
    let id = task.id;
    let failure = |reason| task.error.clone().unwrap_or_else(|| Failure::new(reason, "no reason was kept"));
    match task.state {
        State::Succeeded => Ok(task.result.unwrap_or_else(|| "null".to_owned())),
        State::Cancelled => Err(AwaitError::Cancelled { id }),
        State::Expired => Err(AwaitError::Expired { id }),
        _ => Err(AwaitError::Failed { id, failure: Box::new(failure(FailureReason::Error)) }),
    }
}

impl<O> Clone for Handle<O> {
    fn clone(&self) -> Self {
        Self::new(self.client.clone(), self.id)
    }
}

impl<O> fmt::Debug for Handle<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({})", self.id)
    }
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AwaitError {
    /// The task failed for good.
    #[error("task {id} failed: {}", failure.message)]
    Failed {
        /// The task.
        id: TaskId,
        /// What went wrong in its last attempt.
        failure: Box<Failure>,
    },
    /// The task was cancelled.
    #[error("task {id} was cancelled")]
    Cancelled {
        /// The task.
        id: TaskId,
    },
    /// The task was not started by its deadline.
    #[error("task {id} expired before it was started")]
    Expired {
        /// The task.
        id: TaskId,
    },
    /// It did not end in time; it goes on.
    #[error("task {id} did not end within {timeout:?}")]
    TimedOut {
        /// The task.
        id: TaskId,
        /// How long was waited.
        timeout: Duration,
    },
    /// There is no such task, or it is no longer kept.
    #[error("task {id} is not kept; its retention may be over, or \"none\"")]
    NotKept {
        /// The task.
        id: TaskId,
    },
    /// The result is of another type.
    #[error("the result of task {id} is not what was expected: {source}")]
    Unreadable {
        /// The task.
        id: TaskId,
        /// Why.
        source: serde_json::Error,
    },
    /// The application's codec could not undo the form in which the result is stored: for want of a key, for one.
    #[error("the result of task {id} can't be decoded: {problem}")]
    Undecoded {
        /// The task.
        id: TaskId,
        /// What the codec says.
        problem: String,
    },
    /// The store can't be read.
    #[error("the task's state could not be read: {0}")]
    Store(#[from] StoreError),
}
