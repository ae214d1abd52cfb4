use gristmill_core::durable::{Durable, EventRecord, NewEvent, Resume, Resumed, Sent, Waiter};
use gristmill_core::{Cursor, Page, StoreError, TaskId, async_trait};

use crate::store::SqliteStore;
use crate::{ops, view};

#[async_trait]
impl Durable for SqliteStore {
    async fn send_event(&self, event: NewEvent) -> Result<Sent, StoreError> {
        self.write(1, move |tx| ops::send_event(tx, &event)).await
    }

    async fn list_events(
        &self,
        name: Option<&str>,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<EventRecord>, StoreError> {
        let name = name.map(str::to_owned);
        self.read(move |view| view::list_events(view, name.as_deref(), after, limit)).await
    }

    async fn list_waiters(&self, name: Option<&str>, limit: usize) -> Result<Vec<Waiter>, StoreError> {
        let name = name.map(str::to_owned);
        self.read(move |view| view::list_waiters(view, name, limit)).await
    }

    async fn resume_task(&self, id: TaskId, how: Resume) -> Result<Resumed, StoreError> {
        self.write(1, move |tx| ops::resume_task(tx, id, how)).await
    }
}
