use crate::client::Client;
use crate::core::{StoreError, WorkerId, WorkerInfo};

/// The workers on a store, in whatever process: look, drain, forget. Made by [`Client::workers`].
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

    /// Asks a worker to end, wherever it runs: it claims no more, what it runs has its [grace](crate::worker::WorkerBuilder::grace)
    /// period, and then it leaves and its [`Running::ended`](crate::worker::Running::ended) resolves, as at a first signal to stop. False
    /// if there is no such worker, or it was taken for dead.
    ///
    /// It hears that with its next heartbeat, within 5 seconds (a third of its lease, if that is less), and goes on as before until
    /// then. [`WorkerInfo::drain`] tells whether it has heard, and once it has ended it is no longer listed. The wish is for this
    /// worker alone, and can't be taken back: what starts its process anew starts a worker that knows nothing of it.
    ///
    /// ```
    /// # use gristmill::{Client, Result};
    /// # async fn example(client: Client) -> Result<()> {
    /// for worker in client.workers().list().await? {
    ///     if worker.name.starts_with("old-host:")
    ///         && let Ok(id) = worker.id.parse()
    ///     {
    ///         client.workers().drain(id).await?;
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A worker that is taken for dead before it hears of it, as one that is cut off for longer than its lease, goes on under a new id
    /// and has to be asked again.
    ///
    /// # Errors
    /// If the store can't be written; a repetition is safe. See [`Store::drain_worker`](crate::core::Store::drain_worker).
    pub async fn drain(&self, worker: WorkerId) -> Result<bool, StoreError> {
        self.client.store().drain_worker(worker).await
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
