//! What a store knows about tasks, attempts, queues, workers and task types, how lists of it are asked for, and
//! [the JSON](TaskJson) that scripts and services answer with.

pub use crate::core::json::{AttemptJson, PageJson, TaskJson, TickJson};
pub use crate::core::{
    AttemptRecord, AttemptState, Cursor, CursorError, Drain, Filter, KindInfo, LockInfo, Page, Progress, QueueInfo, Reason,
    State, TaskMeta, TaskRecord, TickOutcome, TickRecord, Why, WorkerId, WorkerInfo,
};
