//! The seam of gristmill: what a task is, which states it passes through, and what a store promises.
//!
//! Nothing here does I/O or knows a runtime, and only [`Env`] reads a clock or draws a random number. Stores implement
//! [`Source`] (what a worker needs), [`Schedules`] (what a beat needs) and [`Store`] (what clients and operators need); all
//! are exercised by `gristmill-conformance`, which third-party stores can run as well. Applications depend on the crate
//! `gristmill` and never on this one.

mod backoff;
mod batching;
mod changes;
pub mod concurrency;
pub mod durable;
mod effects;
mod end;
mod env;
mod error;
pub mod failpoint;
mod failure;
mod filter;
mod id;
pub mod json;
mod kind;
pub mod kit;
mod lease;
pub mod limits;
mod lock;
mod place;
pub mod query;
mod schedule;
#[cfg(feature = "schemars")]
mod schema;
mod settlement;
mod signals;
mod source;
mod state;
mod store;
mod task;
mod template;
mod time;
mod transact;
pub mod unique;
pub mod version;
mod why;
mod within;
mod words;
pub mod workflow;

pub use async_trait::async_trait;
pub use backoff::Backoff;
pub use batching::Batching;
pub use changes::{ChangeLog, Changes, Mark};
pub use effects::{Effects, Points};
pub use end::{Ended, Follower, Keep, ended, kept_after};
pub use env::{Env, VirtualTime};
pub use error::{StoreError, StoreErrorKind};
pub use failure::{Failure, FailureReason};
pub use filter::{Cursor, CursorError, Filter, Page};
pub use id::{Fence, TaskId, WorkerId, WorkflowId};
pub use kind::{Ack, KindSpec, OnError, Oversize, Policy, Retention};
pub use lease::{LeaseKey, LeaseRef};
pub use limits::{InvalidInput, Limits};
pub use lock::{LOCK_KEPT_MS, LockHolder, LockInfo, LockOutcome, check_lock, too_many_locks};
pub use place::{Flags, Hold, Place, Standing, place};
pub use query::{Query, QueryError};
pub use schedule::{
    Advance, Advanced, DueSchedules, Edit, Lead, NewSchedule, SCHEDULE_HEADER, Schedule, ScheduleEdit, Schedules, TICKS_KEPT,
    Tick, TickOutcome, TickRecord,
};
pub use settlement::{Ending, Held, Next, Settled, Settlement, Verdict, judge};
pub use signals::{Signals, Waiter};
pub use source::{Aging, Claim, Claimed, Fleet, Note, Pending, Pulse, ServedKind, Source, Swept, Wake, Wanted, WorkerSpec};
pub use state::{AttemptState, Event, Illegal, State, step};
pub use store::{
    CancelOutcome, DeleteOutcome, Drain, EnqueueOutcome, Finding, KindInfo, MoveOutcome, QueueInfo, ReleaseOutcome, RetryOutcome,
    Severity, Store, WorkerInfo,
};
pub use task::{AttemptRecord, Membership, NewTask, Overrides, Progress, TaskMeta, TaskRecord};
pub use template::Template;
pub use time::{Timestamp, TimestampError, format_duration, parse_duration, rough_duration};
pub use transact::{Doing, Driver, Transact};
pub use why::{Reason, Why, WhyMember};
pub use within::{CancelWithin, ScheduleWithin, SendWithin, SettleWithin, StartWithin, Within, store_of};
pub use words::words;
