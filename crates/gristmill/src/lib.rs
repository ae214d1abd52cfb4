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
//! # What to write in Cargo.toml
//!
//! ```toml
//! [dependencies]
//! gristmill = "0.1"                                              # on SQLite
//! serde = { version = "1", features = ["derive"] }
//! tokio = { version = "1", features = ["macros", "rt-multi-thread"] }
//!
//! [dev-dependencies]
//! gristmill = { version = "0.1", features = ["testing"] }
//! ```
//!
//! On PostgreSQL with sqlx 0.8 instead, and without SQLite:
//!
//! ```toml
//! gristmill = { version = "0.1", default-features = false, features = ["postgres", "sqlx-0_8"] }
//! ```
//!
//! | feature | for |
//! | --- | --- |
//! | `sqlite` | the embedded store, and transactions of rusqlite; on by default |
//! | `postgres` | the store on a PostgreSQL server |
//! | `sqlx-0_8` | transactions of sqlx 0.8, on each of the stores that are enabled |
//! | `sqlx-0_9` | the same of sqlx 0.9, which cargo holds for another crate: enable that of the application's own version |
//! | `tokio-postgres` | transactions of tokio-postgres 0.7; brings `postgres` |
//! | `diesel-postgres` | transactions of diesel-async 0.9 on PostgreSQL; brings `postgres` |
//! | `testing` | the test kit, `gristmill::testing`; for `[dev-dependencies]` |
//! | `log-capture` | a layer of `tracing` that keeps what a handler logs with its attempt |
//! | `uuid` | arguments of the types of uuid 1, which needs its own feature `serde`, too |
//! | `chrono` | the same of chrono 0.4 |
//! | `jiff` | the same of jiff 0.2 |
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
pub mod batch;
pub mod beat;
mod child;
pub mod client;
pub mod codec;
pub mod context;
pub mod durable;
pub mod error;
mod from_ref;
mod handler;
pub mod hooks;
mod lock;
#[cfg(feature = "log-capture")]
pub mod log_capture;
pub mod middleware;
#[doc(hidden)]
pub mod near;
mod older;
pub mod options;
mod panics;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod record;
mod registry;
pub mod routing;
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
pub mod workflow;
#[doc(hidden)]
pub mod written;

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
pub use gristmill_core::{TaskId, Timestamp, WorkflowId};
pub use gristmill_macros::{Task, task};
pub use task::Task;

/// JSON Schema, in the version that arguments need. A type of one's own derives it without a dependency of one's own:
///
/// ```
/// use gristmill::schemars::JsonSchema;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
/// #[schemars(crate = "gristmill::schemars")]
/// struct Address {
///     street: String,
/// }
///
/// #[gristmill::task(name = "parcel.send")]
/// async fn send_parcel(to: Address) -> gristmill::Result<()> {
///     println!("to {}", to.street);
///     Ok(())
/// }
/// ```
pub use schemars;

/// What the macros' output names; not for other use.
#[doc(hidden)]
pub mod __private {
    use std::fmt::Debug;

    pub use serde;
    use serde::Serialize;
    use serde::de::DeserializeOwned;

    use crate::schemars::JsonSchema;

    /// What a parameter of a function under `#[task]` has to be. A trait of our own for the words of the compiler.
    #[diagnostic::on_unimplemented(
        message = "`{Self}` can't be an argument of a task",
        label = "is not all of `Clone`, `Debug`, `Serialize`, `Deserialize` and `JsonSchema`",
        note = "above a type of your own write `#[derive(Clone, Debug, serde::Serialize, serde::Deserialize, \
                gristmill::schemars::JsonSchema)]` and `#[schemars(crate = \"gristmill::schemars\")]`",
        note = "for types of uuid, chrono or jiff enable the feature `uuid`, `chrono` or `jiff` of gristmill, and that crate's own \
                `serde`"
    )]
    pub trait Argument {}

    #[diagnostic::do_not_recommend]
    impl<T: Clone + Debug + Serialize + DeserializeOwned + JsonSchema> Argument for T {}

    pub fn is_argument<T: Argument>() {}

    /// A text that the macro has read before. Were it none after all, what it stands for would take no argument of this name, which is told when
    /// the task is registered.
    pub fn template(text: &str) -> crate::options::Template {
        text.parse().unwrap_or_default()
    }

    /// A rate that was checked when it was compiled.
    pub fn per_time(text: &str) -> crate::options::PerTime {
        text.parse().unwrap_or(crate::options::PerTime { count: 1, period: std::time::Duration::from_secs(1) })
    }
}
