use std::time::Duration;

use gristmill_core::concurrency::{KeyLimits, Limit, LimitInfo, LimitRecord, Standby};
use gristmill_core::{StoreError, TaskId, async_trait};

use crate::store::SqliteStore;
use crate::{ops, view};

#[async_trait]
impl KeyLimits for SqliteStore {
    async fn list_limits(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<LimitInfo>, StoreError> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        self.read(move |view| view::list_limits(view, &prefix, after.as_deref(), limit)).await
    }

    async fn get_limit(&self, key: &str, most: usize) -> Result<Option<LimitRecord>, StoreError> {
        let key = key.to_owned();
        self.read(move |view| view::limit(view, &key, most)).await
    }

    async fn set_limit(&self, key: &str, limit: Option<Limit>) -> Result<(), StoreError> {
        let key = key.to_owned();
        self.write(1, move |tx| ops::set_limit(tx, &key, limit)).await
    }

    async fn set_remaining(&self, key: &str, left: u32, within: Duration) -> Result<(), StoreError> {
        let key = key.to_owned();
        self.write(1, move |tx| ops::set_remaining(tx, &key, left, within)).await
    }

    async fn stands_by(&self, id: TaskId) -> Result<Option<Standby>, StoreError> {
        self.read(move |view| view::stands_by(view, id)).await
    }
}
