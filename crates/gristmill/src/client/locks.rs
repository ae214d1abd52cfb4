use crate::client::Client;
use crate::core::{LockInfo, StoreError, TaskId};

/// The [locks](crate::Context::lock) that attempts hold: look. Made by [`Client::locks`].
///
/// There is no way to take one from its holder: to cancel or to release its task ends the attempt, and with it the lock is free.
#[derive(Clone, Copy, Debug)]
pub struct Locks<'c> {
    client: &'c Client,
}

impl<'c> Locks<'c> {
    pub(super) fn new(client: &'c Client) -> Self {
        Self { client }
    }

    /// Locks that are held and whose names begin so, in the order of the names and from behind `after` on; at most `limit` or 1,000.
    ///
    /// ```
    /// # use gristmill::{Client, core::StoreError};
    /// # async fn example(client: Client) -> Result<(), StoreError> {
    /// for lock in client.locks().list("tally:", None, 100).await? {
    ///     println!("{} is held by {} since {}", lock.name, lock.task, lock.since);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the store can't be read.
    pub async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<LockInfo>, StoreError> {
        self.client.store().locks(prefix, after, limit).await
    }

    /// What the running attempt of a task holds, by name.
    ///
    /// # Errors
    /// If the store can't be read.
    pub async fn of(&self, task: TaskId) -> Result<Vec<LockInfo>, StoreError> {
        self.client.store().locks_of(task).await
    }
}
