use crate::client::Client;
use crate::core::limits::check_name;
use crate::core::{KindInfo, StoreError};

/// The task types of a store: look, pause, resume. Made by [`Client::kinds`].
#[derive(Clone, Copy, Debug)]
pub struct Kinds<'c> {
    client: &'c Client,
}

impl<'c> Kinds<'c> {
    pub(super) fn new(client: &'c Client) -> Self {
        Self { client }
    }

    /// All task types that the store has heard of, from any program.
    ///
    /// # Errors
    /// If the store can't be read.
    pub async fn list(&self) -> Result<Vec<KindInfo>, StoreError> {
        self.client.store().kinds().await
    }

    /// Stops the claims of a task type, in all queues, until it is resumed; what runs goes on, and tasks of other types pass by. Takes
    /// effect before it returns, and holds for programs that start later.
    ///
    /// ```no_run
    /// # async fn example(client: gristmill::Client) -> gristmill::Result<()> {
    /// client.kinds().pause("mail.send").await?;
    /// client.kinds().resume("mail.send").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Invalid` for a name that no task type can have; or if the store can't be written.
    pub async fn pause(&self, kind: &str) -> Result<(), StoreError> {
        check_name("task type", kind)?;
        self.client.store().pause_kind(kind, true).await
    }

    /// Resumes a task type.
    ///
    /// # Errors
    /// As of [`pause`](Self::pause).
    pub async fn resume(&self, kind: &str) -> Result<(), StoreError> {
        check_name("task type", kind)?;
        self.client.store().pause_kind(kind, false).await
    }
}
