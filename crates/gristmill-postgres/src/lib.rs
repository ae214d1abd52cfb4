//! The PostgreSQL store of gristmill: any number of processes, on any number of machines, on one schema of a database.
//!
//! - **Narrow tables.** A task's body is written once, in a partition of its day; what moves is small. See `migrations/`.
//! - **One statement.** Enqueues, claims and settlements of a batch are one statement each; enqueues of many callers share
//!   one while another is under way.
//! - **The server's clock** and its order of arrival count, never a client's.
//! - **Woken, and never dependent on it.** Commits of this process wake at once, those of others by a notification after the
//!   commit, on a connection and a thread of its own; and a cheap look every 40 ms finds what gave none. Of many idle workers a few listen
//!   for all.
//! - **In your own transaction.** [`Within`](gristmill_core::Within) is implemented for transactions and connections of sqlx,
//!   tokio-postgres and diesel-async, each with its feature: `sqlx-0_8`, `sqlx-0_9`, `tokio-postgres`, `diesel`. It calls our SQL
//!   functions, one statement each; nothing is notified inside the transaction unless `?notify=inside` asks for it.
//! - **Servers go away.** Restarts, failovers, poolers and full servers are waited out; what was lost on the way is asked again,
//!   and is safe to ask again.
//!
//! ```no_run
//! # async fn example() -> Result<(), gristmill_core::StoreError> {
//! use gristmill_core::{Env, Store};
//! let store = gristmill_postgres::PostgresStore::connect("postgres://app@db.internal/shop", Env::system()).await?;
//! assert_eq!(store.location(), "postgres://db.internal:5432/shop");
//! # Ok(())
//! # }
//! ```

mod apart;
mod check;
mod concurrency;
mod conn;
mod days;
mod doors;
mod dues;
mod durable;
mod effects;
mod error;
mod gather;
mod herald;
mod hints;
mod indexes;
mod inner;
mod locks;
mod lookout;
mod migrate;
mod names;
mod news;
mod ops;
mod options;
mod origin;
mod pool;
mod pooled;
mod pooler;
pub mod raw;
mod rescues;
mod roles;
#[cfg(feature = "testing")]
mod sandbox;
mod schedules;
mod session;
mod sql;
#[cfg(any(feature = "sqlx-0_8", feature = "sqlx-0_9"))]
mod sqlx;
mod store;
mod time_floor;
mod tls;
#[cfg(any(feature = "sqlx-0_8", feature = "sqlx-0_9", feature = "tokio-postgres"))]
mod transact;
mod unique;
mod view;
#[cfg(any(feature = "sqlx-0_8", feature = "sqlx-0_9", feature = "tokio-postgres", feature = "diesel"))]
mod within;
mod workers;
mod workflows;

pub use error::lacks_right;
pub use migrate::{Migration, migrate, migration_sql, migration_status};
pub use options::{PostgresOptions, SslMode};
pub use roles::{Roles, grant_roles, roles_sql};
#[cfg(feature = "testing")]
pub use sandbox::Sandbox;
#[cfg(feature = "sqlx-0_8")]
pub use sqlx::v0_8::Sqlx as Sqlx08;
#[cfg(feature = "sqlx-0_9")]
pub use sqlx::v0_9::Sqlx as Sqlx09;
pub use store::PostgresStore;
#[cfg(feature = "tokio-postgres")]
pub use transact::Lent;
#[cfg(feature = "diesel")]
pub use within::diesel::Diesel;
#[cfg(feature = "tokio-postgres")]
pub use within::tokio_postgres::TokioPostgres;
