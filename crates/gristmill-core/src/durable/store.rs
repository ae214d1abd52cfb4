use async_trait::async_trait;
use serde::Serialize;

use super::{EventRecord, NewEvent, Sent, Waiter};
use crate::{Cursor, Page, StoreError, TaskId};

/// What a store does for those who are not the worker of a task with durable steps: events, and what a person says of a task that stands still. What
/// a worker needs is [`Source::memories`](crate::Source::memories) and [`Source::checkpoint`](crate::Source::checkpoint).
#[async_trait]
pub trait Durable {
    /// Keeps an event, and lets those who await it go on. Acknowledged when it returns; those who wait may be told a moment after it.
    ///
    /// # Errors
    /// If the store can't be written; a repetition is safe.
    async fn send_event(&self, event: NewEvent) -> Result<Sent, StoreError>;

    /// Events that are kept, newest first, of one name or of all. At most [`PAGE_ITEMS_MAX`](crate::limits::PAGE_ITEMS_MAX) a page.
    ///
    /// # Errors
    /// If the store can't be read.
    async fn list_events(&self, name: Option<&str>, after: Option<Cursor>, limit: usize)
    -> Result<Page<EventRecord>, StoreError>;

    /// Who awaits an event of this name, or of any, in the order of the names and tasks, at most `limit`.
    ///
    /// # Errors
    /// If the store can't be read.
    async fn list_waiters(&self, name: Option<&str>, limit: usize) -> Result<Vec<Waiter>, StoreError>;

    /// Lets a task go on whose code no longer asks for what it did.
    ///
    /// # Errors
    /// If the store can't be written; a repetition is safe.
    async fn resume_task(&self, id: TaskId, how: Resume) -> Result<Resumed, StoreError>;
}

/// How such a task goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// As it is: by now it may be run by code that does ask for what is remembered.
    Again,
    /// From there on as if nothing were remembered: what follows is done anew, and workflows that were started there are cancelled.
    Forget,
    /// Not at all: it fails, and says why.
    Fail,
}

/// What became of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Resumed {
    /// It goes on.
    Done,
    /// It does not stand still: it runs or is about to, is put off after a failure, or has ended.
    NotPaused,
    /// There is no such task.
    NotFound,
}
