//! What the PostgreSQL store has beyond the common contract: its server, its connections, its wake-ups.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod common;
mod conformance;
mod proxy;
mod replies;
mod servers;
mod wakes;
