//! Behaviour of the crate, through its public face only.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on has failed")]

mod client;
mod macros;
#[cfg(feature = "sqlite")]
mod sqlite;
mod support;
mod worker;
