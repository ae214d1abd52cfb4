use crate::client::Client;
use crate::core::{KindInfo, StoreError};

/// The task types of a store: look. Made by [`Client::kinds`].
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
}
