use gristmill_core::durable::{Durable, EventRecord, NewEvent, Resume, Resumed, Sent, Waiter};
use gristmill_core::{Cursor, Page, StoreError, StoreErrorKind, TaskId, async_trait};

use crate::store::PostgresStore;

fn not_yet<T>() -> Result<T, StoreError> {
    Err(StoreError::new(StoreErrorKind::Invalid, "this store keeps no durable steps yet"))
}

#[async_trait]
impl Durable for PostgresStore {
    async fn send_event(&self, _event: NewEvent) -> Result<Sent, StoreError> {
        not_yet()
    }

    async fn list_events(
        &self,
        _name: Option<&str>,
        _after: Option<Cursor>,
        _limit: usize,
    ) -> Result<Page<EventRecord>, StoreError> {
        not_yet()
    }

    async fn list_waiters(&self, _name: Option<&str>, _limit: usize) -> Result<Vec<Waiter>, StoreError> {
        not_yet()
    }

    async fn resume_task(&self, _id: TaskId, _how: Resume) -> Result<Resumed, StoreError> {
        not_yet()
    }
}
