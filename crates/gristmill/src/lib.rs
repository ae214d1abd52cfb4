//! One task system for a backend.
//!
//! A task is defined once, as an `async fn` under [`#[task]`](macro@task). It then runs in the caller ([`Client::call`]),
//! in the background ([`Client::enqueue`]), inside the caller's own database transaction ([`Enqueue::within`]), later
//! ([`Enqueue::delay`], [`Enqueue::at`]), or again and again ([`App::schedule`], [`Client::schedule`]). Its outcome is never
//! lost. It is kept in a SQLite file or, with the feature `postgres`, in a PostgreSQL database.
//!
//! ```
//! use gristmill::{App, Result, task};
//!
//! #[task(name = "greet", max_attempts = 3)]
//! async fn greet(name: String) -> Result<String> {
//!     Ok(format!("hello {name}"))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let url = format!("sqlite:{}", dir.path().join("app.db").display());
//! let client = App::new(()).register::<Greet>().connect(&url).await?;
//! let worker = client.worker().queue("default", 4).start().await?;
//! let handle = client.enqueue(Greet { name: "world".into() }).await?;
//! assert_eq!(handle.result().await?, "hello world");
//! worker.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! # What is promised
//! - An acknowledged enqueue is never lost, and a settled task never runs again.
//! - A task runs at least once; with [`Ack::Early`] at most once; and its effects are exactly once where they share a
//!   transaction with its settlement.
//! - A worker that was paused, cut off or declared dead changes nothing any more: every write carries a fence.
//! - A task that kills its worker ends as `failed` after its crash limit, and never loops.
//! - Each tick of a schedule makes at most one task, for any number of [beats](beat), and one that makes none is recorded.

mod app;
mod attempt;
pub mod beat;
mod child;
mod client;
pub mod codec;
mod context;
mod error;
mod from_ref;
mod handler;
pub mod hooks;
#[cfg(feature = "log-capture")]
pub mod log_capture;
pub mod middleware;
mod panics;
#[cfg(feature = "postgres")]
pub mod postgres;
mod registry;
mod runtime;
pub mod schedule;
mod schema;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod task;
#[cfg(feature = "testing")]
pub mod testing;
mod transaction;
mod twins;
pub mod worker;

/// The seam below: what stores implement, and the plain types that this crate uses.
pub use gristmill_core as core;

pub use app::{App, ConnectError, check_store_url, open_store};
pub use child::Child;
pub use client::{
    AwaitError, BulkReport, Call, CallError, Cancel, Changing, Client, Enqueue, EnqueueError, EnqueueMany, Handle, InAttempt,
    InTransaction, Inserting, Own, ScheduleChange, Timetable,
};
pub use context::Context;
pub use error::{BoxError, Error, Result, ResultExt};
pub use from_ref::{FromRef, Stateless};
pub use gristmill_core::{
    Ack, Backoff, CancelOutcome, Failure, FailureReason, Filter, InvalidInput, KindSpec, Limits, OnError, Oversize, Policy,
    ReleaseOutcome, Retention, RetryOutcome, State, TaskId, TaskRecord, Timestamp, parse_duration,
};
pub use gristmill_macros::{Task, task};
pub use handler::{Handler, HandlerFuture};
pub use hooks::{AfterFailure, EndedTask, FailedAttempt};
pub use registry::RegisterError;
pub use task::Task;
pub use transaction::{SettleIn, Settling};
pub use worker::{ExitReport, Running, Stop, WorkerBuilder, WorkerError};

/// The worker that made this call no longer has the task; whatever it would write is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lease on task {id} is lost: another worker may have it")]
pub struct LeaseLost {
    /// The task.
    pub id: TaskId,
}

/// What the macros' output names; not for other use.
#[doc(hidden)]
pub mod __private {
    pub use schemars;
    pub use serde;
}
