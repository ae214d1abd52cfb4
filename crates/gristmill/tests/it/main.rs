//! Behaviour of the crate, through its public face only.

mod client;
mod macros;
#[cfg(feature = "sqlite")]
mod sqlite;
mod support;
mod worker;
