//! The embedded store of gristmill: one SQLite file that several processes share.
//!
//! - **One writer thread a process.** It takes every operation that waits, runs all in one transaction, commits, and
//!   only then answers each caller. The group is whatever queued up while the last commit ran, so that a lone caller
//!   waits for nothing and a crowd shares one `fsync`.
//! - **Durable by default.** `synchronous=FULL`: what was acknowledged survives power loss. With
//!   `?synchronous=normal` a power loss may take the last commits (never their order, never the file).
//! - **Narrow tables.** A task's body is written once; what moves is small. See `migrations/`.
//! - **In your own transaction.** [`Within`](gristmill_core::Within) is implemented for [`rusqlite::Connection`] and
//!   [`rusqlite::Transaction`] and, with the features `sqlx-0_8` and `sqlx-0_9`, for sqlx's connection and transaction. Open it with
//!   `BEGIN IMMEDIATE`: a deferred transaction that has read is refused its first write if another connection committed
//!   in between, and no timeout helps.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let url = format!("sqlite:{}", dir.path().join("app.db").display());
//! use gristmill_core::{Env, Store};
//! let store = gristmill_sqlite::SqliteStore::connect(&url, Env::system())?;
//! assert_eq!(store.location(), url);
//! # Ok(())
//! # }
//! ```

mod check;
mod concurrency;
mod directory;
mod driver;
mod durable;
mod error;
mod identity;
mod memory;
mod migrate;
mod names;
mod open;
mod ops;
mod options;
mod plan;
pub mod raw;
mod reader;
mod schedules;
mod sql;
#[cfg(any(feature = "sqlx-0_8", feature = "sqlx-0_9"))]
mod sqlx;
mod step;
mod store;
mod text;
mod transact;
mod tx;
mod view;
mod watch;
mod whereabouts;
mod within;
mod workflows;
mod writer;

pub use check::damage;
pub use migrate::{Migration, migrate, migration_status};
/// The driver, in the version that [`Rusqlite`]'s connections have.
pub use rusqlite;

pub use options::{SqliteOptions, Synchronous};
#[cfg(feature = "sqlx-0_8")]
pub use sqlx::v0_8::Sqlx as Sqlx08;
#[cfg(feature = "sqlx-0_9")]
pub use sqlx::v0_9::Sqlx as Sqlx09;
pub use store::SqliteStore;
pub use transact::{Lent, Opened};
pub use within::Rusqlite;
