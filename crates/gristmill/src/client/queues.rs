use crate::client::Client;
use crate::core::{QueueInfo, StoreError};

/// The queues of a store: look, pause, resume. Made by [`Client::queues`].
#[derive(Clone, Copy, Debug)]
pub struct Queues<'c> {
    client: &'c Client,
}

impl<'c> Queues<'c> {
    pub(super) fn new(client: &'c Client) -> Self {
        Self { client }
    }

    /// All queues.
    ///
    /// # Errors
    /// If the store can't be read.
    pub async fn list(&self) -> Result<Vec<QueueInfo>, StoreError> {
        self.client.store().queues().await
    }

    /// Stops the claims from a queue until it is resumed; what runs goes on.
    ///
    /// # Errors
    /// If the store can't be written.
    pub async fn pause(&self, queue: &str) -> Result<(), StoreError> {
        self.client.store().pause(queue, true).await
    }

    /// Resumes a queue.
    ///
    /// # Errors
    /// If the store can't be written.
    pub async fn resume(&self, queue: &str) -> Result<(), StoreError> {
        self.client.store().pause(queue, false).await
    }
}
