//! One task system for a backend.
//!
//! A task is defined once, as an `async fn` under [`#[task]`](macro@task). It then runs in the caller ([`Client::call`]),
//! in the background ([`Client::enqueue`]), inside the caller's own database transaction ([`Enqueue::within`](client::Enqueue::within)), later
//! ([`Enqueue::delay`](client::Enqueue::delay), [`Enqueue::at`](client::Enqueue::at)), or again and again ([`App::cron`], [`App::every`]). Its outcome is never lost. It is kept in a SQLite file or, with the feature `postgres`, in a PostgreSQL database.
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
//! - A task runs at least once; with [`Ack::Early`](options::Ack::Early) at most once; and its effects are exactly once where they share a
//!   transaction with its settlement.
//! - A worker that was paused, cut off or declared dead changes nothing any more: every write carries a fence.
//! - A task that kills its worker ends as `failed` after its crash limit, and never loops.
//! - Each tick of a schedule makes at most one task, for any number of [beats](beat), and one that makes none is recorded.

pub mod app;
mod attempt;
pub mod beat;
mod child;
pub mod client;
pub mod codec;
pub mod context;
pub mod error;
mod from_ref;
mod handler;
pub mod hooks;
#[cfg(feature = "log-capture")]
pub mod log_capture;
pub mod middleware;
pub mod options;
mod panics;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod record;
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

/// The seam below, for who writes a store or a source of tasks. Applications find what they need in the other modules.
pub use gristmill_core as core;

#[doc(inline)]
pub use self::{
    app::App,
    client::{Client, Handle},
    context::Context,
    error::{Error, Result, ResultExt},
};
pub use from_ref::FromRef;
pub use gristmill_core::{TaskId, Timestamp};
pub use gristmill_macros::{Task, task};
pub use task::Task;

/// What the macros' output names; not for other use.
#[doc(hidden)]
pub mod __private {
    pub use schemars;
    pub use serde;
}
