use async_trait::async_trait;
use serde::Serialize;

use crate::{StoreError, TaskId, Timestamp};

/// What operators see of keys with a limit, and change.
#[async_trait]
pub trait KeyLimits: Send + Sync {
    /// The keys whose names begin so, by name: those that tasks hold slots of or wait for, and those that an operator has set. `after` is the last
    /// name of the page before. At most [`PAGE_ITEMS_MAX`](crate::limits::PAGE_ITEMS_MAX) a page.
    ///
    /// # Errors
    /// If the store can't be read.
    async fn list_limits(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<LimitInfo>, StoreError>;

    /// One key, with at most so many of those who hold its slots, and of those who wait in its line; `None` if nobody knows of it.
    ///
    /// # Errors
    /// If the store can't be read.
    async fn get_limit(&self, key: &str, most: usize) -> Result<Option<LimitRecord>, StoreError>;

    /// Says how many slots a key has, whatever tasks say, until it is said otherwise; 0 admits nobody; with `None` what tasks say holds again. What
    /// runs goes on, though it be more than that. The key need not be known yet.
    ///
    /// # Errors
    /// If the store can't be written.
    async fn set_limit(&self, key: &str, limit: Option<u32>) -> Result<(), StoreError>;

    /// Where a task waits for slots; `None` if it does not.
    ///
    /// # Errors
    /// If the store can't be read.
    async fn stands_by(&self, id: TaskId) -> Result<Option<Standby>, StoreError>;
}

/// A key with a limit. Counts stop at [`COUNT_MAX`](crate::limits::COUNT_MAX).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LimitInfo {
    /// The key.
    pub key: String,
    /// How many slots it has now.
    pub limit: u32,
    /// How many it would have if no operator had set it: what the newest task says. `None` if no task has said it yet.
    pub declared: Option<u32>,
    /// What an operator has set.
    pub set: Option<u32>,
    /// How many slots are taken. More than there are, if there were more before.
    pub used: u64,
    /// How many tasks wait in its line.
    pub waiting: u64,
}

/// A key with who holds its slots, and who waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LimitRecord {
    /// The key.
    #[serde(flatten)]
    pub info: LimitInfo,
    /// Who holds its slots: those that run, and those that may.
    pub holders: Vec<Holder>,
    /// The first of its line.
    pub line: Vec<TaskId>,
}

/// A task that holds slots of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// The task.
    pub task: TaskId,
    /// How many.
    pub cost: u32,
    /// Since when it runs; `None` if it waits for a worker, or for its next attempt.
    pub running_since: Option<Timestamp>,
}

/// Where a task waits for slots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Standby {
    /// The key in whose line it stands.
    pub key: String,
    /// How many slots of it the task needs.
    pub cost: u32,
    /// How many slots the key has.
    pub limit: u32,
    /// How many are taken.
    pub used: u64,
    /// How many stand before it, at most [`COUNT_MAX`](crate::limits::COUNT_MAX).
    pub before: u64,
    /// Some of those who hold the key's slots.
    pub holders: Vec<TaskId>,
}

impl Standby {
    /// So many holders are named.
    pub const HOLDERS_MAX: usize = 5;
}
