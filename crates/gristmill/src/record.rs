//! What a store knows about tasks, attempts, queues, workers and task types, and how lists of it are asked for.

pub use crate::core::{
    AttemptRecord, AttemptState, Cursor, Filter, KindInfo, Page, Progress, QueueInfo, State, TaskMeta, TaskRecord, TickOutcome,
    TickRecord, WorkerId, WorkerInfo,
};
