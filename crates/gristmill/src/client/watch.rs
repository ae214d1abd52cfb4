use std::time::Duration;

use crate::client::{AwaitError, Client};
use crate::core::{TaskId, TaskRecord, Wake};

/// How often a task that runs is looked at: what it says of itself is kept as often.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// What becomes of one task, as it happens. Made by [`Handle::watch`](crate::Handle::watch).
#[derive(Debug)]
pub struct Watch {
    client: Client,
    id: TaskId,
    last: Option<TaskRecord>,
}

impl Watch {
    pub(super) fn new(client: Client, id: TaskId) -> Self {
        Self { client, id, last: None }
    }

    /// The task's record: at the first call as it is now, then once it has changed in anything: its state, its attempts, their
    /// progress and logs. `None` after the record of its end. Changes that follow one another within a quarter of a second may
    /// be told as one, as may those between two calls.
    ///
    /// # Errors
    /// If the task is not (or no longer) there, or the store can't be read.
    ///
    /// # Cancel safety
    /// Nothing is lost; call it again.
    pub async fn next(&mut self) -> Result<Option<TaskRecord>, AwaitError> {
        let id = self.id;
        if self.last.as_ref().is_some_and(|last| last.state.is_final()) {
            return Ok(None);
        }
        loop {
            let now = self.client.store().get(id).await.map_err(|error| AwaitError::Store { id, error })?;
            let now = now.ok_or(AwaitError::NotKept { id })?;
            if self.last.as_ref() != Some(&now) {
                return Ok(Some(self.last.insert(now).clone()));
            }
            self.client.store().wait(Wake::Ended(id), LOOK_AGAIN).await;
        }
    }
}
