use crate::client::Client;
use crate::core::{StoreError, WorkerId, WorkerInfo};

/// The workers on a store, in whatever process: look, forget. Made by [`Client::workers`].
#[derive(Clone, Copy, Debug)]
pub struct Workers<'c> {
    client: &'c Client,
}

impl<'c> Workers<'c> {
    pub(super) fn new(client: &'c Client) -> Self {
        Self { client }
    }

    /// All workers that beat, and those that stopped beating a short time ago.
    ///
    /// # Errors
    /// If the store can't be read.
    pub async fn list(&self) -> Result<Vec<WorkerInfo>, StoreError> {
        self.client.store().workers().await
    }

    /// Takes a worker for dead, by hand and at once: what it held runs again, and an attempt that had started has crashed. How many
    /// tasks it held; `None` if there is no such worker. See [`Store::forget_worker`](crate::core::Store::forget_worker).
    ///
    /// # Errors
    /// If the store can't be written; a repetition takes what is left.
    pub async fn forget(&self, worker: WorkerId) -> Result<Option<u64>, StoreError> {
        self.client.store().forget_worker(worker).await
    }
}
