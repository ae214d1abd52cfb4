//! The in-memory store of gristmill.

mod memory;
#[cfg(feature = "suite")]
#[expect(clippy::expect_used, reason = "the test fails by panicking")]
mod model;
#[cfg(feature = "suite")]
mod subject;
#[cfg(feature = "suite")]
#[expect(clippy::expect_used, reason = "a check fails by panicking, and a store that gives an error fails it")]
pub mod suite;

pub use memory::MemoryStore;
#[cfg(feature = "suite")]
pub use model::check_against_model;
#[cfg(feature = "suite")]
pub use subject::Subject;
#[cfg(feature = "suite")]
pub use suite::exercise;
