//! What every store of gristmill must pass, and the model that they are all compared with.
//!
//! - [`MemoryStore`] is the reference: the whole contract of a store, in memory and as plainly as possible. Applications test
//!   with it too.
//! - [`MemoryBroker`] is the reference of a source of tasks that is no store: what a worker needs, and no more.
//! - [`exercise_source`] (feature `suite`) runs the checks that every source passes, store or not.
//! - [`exercise`] (feature `suite`) runs the [`suite`]: one small check for each promise of a store. A check that fails
//!   names the promise that was broken.
//! - [`check_against_model`] (feature `suite`) drives random operations, crashes and lost answers on a store and on the
//!   model, compares every answer, and prints the shortest sequence on which they differ.
//!
//! Whoever writes a store runs both against it, and then knows that gristmill runs on it. All they need is a [`Subject`], which
//! gives them empty stores: a closure, or a type that can also [reopen](Subject::reopen) a store after its process died.
//!
//! ```
//! # #[cfg(feature = "suite")] {
//! use std::sync::Arc;
//!
//! use gristmill_conformance::{MemoryStore, Subject, check_against_model, exercise};
//! use gristmill_core::{Env, Store, async_trait};
//!
//! struct InMemory;
//!
//! #[async_trait]
//! impl Subject for InMemory {
//!     async fn fresh(&self, env: Env) -> Arc<dyn Store> {
//!         MemoryStore::new(env)
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! // In a test of its own: every promise.
//! exercise(InMemory).await;
//!
//! // Or each as a case of its own, for test runners that make cases at run time.
//! for check in gristmill_conformance::suite::checks().filter(|check| check.name.starts_with("lease::")) {
//!     check.run(&InMemory).await;
//! }
//! # });
//!
//! // A closure will do for a store that has nothing to reopen.
//! check_against_model(4, async |env| MemoryStore::new(env));
//! # }
//! ```

mod broker;
#[cfg(feature = "suite")]
#[expect(clippy::expect_used, reason = "the test fails by panicking")]
mod graphs;
mod memory;
#[cfg(feature = "suite")]
#[expect(clippy::expect_used, reason = "the test fails by panicking")]
mod model;
#[cfg(feature = "suite")]
#[expect(clippy::expect_used, reason = "a check fails by panicking, and a source that gives an error fails it")]
pub mod source;
#[cfg(feature = "suite")]
mod subject;
#[cfg(feature = "suite")]
#[expect(clippy::expect_used, reason = "a check fails by panicking, and a store that gives an error fails it")]
pub mod suite;

pub use broker::MemoryBroker;
#[cfg(feature = "suite")]
pub use graphs::{check_graphs, graphs_asked_for};
pub use memory::MemoryStore;
#[cfg(feature = "suite")]
pub use model::check_against_model;
#[cfg(feature = "suite")]
pub use source::exercise_source;
#[cfg(feature = "suite")]
pub use subject::Subject;
#[cfg(feature = "suite")]
pub use suite::exercise;
