use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::client::{Cancel, Client, Watch};
use crate::core::{
    Cursor, Failure, FailureReason, Filter, Page, Progress, RetryOutcome, State, StoreError, TaskId, TaskRecord, Wake,
};
use crate::{Error, panics};

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
        self.client.tasks().get(self.id).await
    }

    /// How far its last attempt has come, by its own account; `None` if it said nothing, or the task is not kept.
    ///
    /// ```
    /// # use gristmill::{Client, Result, TaskId, task};
    /// # #[task(name = "index")] async fn index() -> Result<()> { Ok(()) }
    /// # async fn example(client: Client, id: TaskId) -> Result<()> {
    /// if let Some(progress) = client.handle_of::<Index>(id).progress().await? {
    ///     println!("{} of {:?}: {}", progress.done, progress.total, progress.message);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the store can't be read.
    pub async fn progress(&self) -> Result<Option<Progress>, StoreError> {
        Ok(self.status().await?.and_then(|mut task| task.attempts.pop()?.progress))
    }

    /// Watches what becomes of the task, up to its end: its states, its attempts, their progress and logs.
    ///
    /// ```
    /// # use gristmill::{Client, Result, TaskId, task};
    /// # #[task(name = "index")] async fn index() -> Result<()> { Ok(()) }
    /// # async fn example(client: Client, id: TaskId) -> Result<()> {
    /// let mut watch = client.handle_of::<Index>(id).watch();
    /// while let Some(task) = watch.next().await? {
    ///     println!("{}, attempt {}", task.state, task.attempt);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn watch(&self) -> Watch {
        Watch::new(self.client.clone(), self.id)
    }

    /// A page of the tasks that its handler enqueued, newest first, without their histories; at most `limit` or 1,000. They are
    /// there once it has succeeded.
    ///
    /// # Errors
    /// If the store can't be read.
    pub async fn children(&self, after: Option<Cursor>, limit: usize) -> Result<Page<TaskRecord>, StoreError> {
        let filter = Filter { parent: Some(self.id), ..Filter::default() };
        self.client.tasks().list(&filter, after, limit).await
    }

    /// Cancels the task; see [`Tasks::cancel`](crate::client::Tasks::cancel).
    ///
    /// Awaiting it fails if the store can't be written.
    pub fn cancel(&self) -> Cancel<'_> {
        self.client.tasks().cancel(self.id)
    }

    /// Makes the ended task ready again; see [`Tasks::retry`](crate::client::Tasks::retry).
    ///
    /// # Errors
    /// If the store can't be written.
    pub async fn retry(&self) -> Result<RetryOutcome, StoreError> {
        self.client.tasks().retry(self.id).await
    }

    /// Waits until the task has ended, however long that takes.
    ///
    /// # Errors
    /// If the store can't be read, or the task is not (or no longer) there; [`AwaitError::InHandler`] in a handler, unless it has ended already.
    ///
    /// # Cancel safety
    /// Nothing is lost; await again.
    pub async fn ended(&self) -> Result<TaskRecord, AwaitError> {
        /// Below what a person notices; the store wakes us long before this in most cases.
        const LOOK_AGAIN: Duration = Duration::from_millis(500);
        let id = self.id;
        let (not_kept, unread) = (|| AwaitError::NotKept { id }, |error| AwaitError::Store { id, error });
        loop {
            // Only where it stands, as long as that is all that counts: its record has every attempt with its log.
            let state = self.client.store().task_states(&[id]).await.map_err(unread)?.first().copied().flatten();
            if !state.ok_or_else(not_kept)?.is_final() {
                if panics::is_in_handler() {
                    return Err(AwaitError::InHandler { id });
                }
                self.client.store().wait(Wake::Ended(id), LOOK_AGAIN).await;
                continue;
            }
            let task = self.client.store().get(id).await.map_err(unread)?.ok_or_else(not_kept)?;
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
    /// There is no such task, or it is no longer kept. So it is told to a handler, too, that awaits what it enqueued itself.
    #[error(
        "task {id} is not kept: its retention is over, or \"none\", or the handler that enqueued it has not ended yet, and can't \
         await it"
    )]
    NotKept {
        /// The task.
        id: TaskId,
    },
    /// A handler awaits it, which would hold its worker's slot for as long; should all slots do so, nothing would ever run.
    #[error(
        "task {id} can't be awaited by a handler, which would hold a slot of its worker for as long: let the handler run both as a workflow \
         (`cx.workflow`), or let the other one send an event"
    )]
    InHandler {
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
    #[error("where task {id} stands could not be read: {error}")]
    Store {
        /// The task.
        id: TaskId,
        /// Why.
        #[source]
        error: StoreError,
    },
}
