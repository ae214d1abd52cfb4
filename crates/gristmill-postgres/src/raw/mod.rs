//! For measurements: the bare statements without pool and engine, a caller with a transaction of its own, and a look at the
//! server meanwhile. For tests: an index that no table has by itself,
//! and the other way to claim. Not for applications; it may change with any version.

mod caller;
mod counts;
mod index;
mod server;
mod statements;

pub use crate::indexes::Index;
pub use caller::Caller;
pub use counts::Counts;
pub use index::{build_index, claim_by_kind};
pub use server::Server;
pub use statements::RawBench;
