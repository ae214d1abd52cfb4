//! For measurements: the bare statements without pool and engine, a caller with a transaction of its own, and a look at the
//! server meanwhile. Not for applications; it may change with any version.

mod caller;
mod server;
mod statements;

pub use caller::Caller;
pub use server::Server;
pub use statements::RawBench;
