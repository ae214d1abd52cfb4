//! What the PostgreSQL store has beyond the common contract: its server, its connections, its wake-ups.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod blocked;
mod cluster;
mod common;
mod conformance;
mod connections;
mod day;
mod days;
mod faults;
mod proxy;
mod replies;
mod restart;
mod servers;
mod tls;
mod wakes;
