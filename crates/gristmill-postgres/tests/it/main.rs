//! What the PostgreSQL store has beyond the common contract: its server, its connections, its wake-ups.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
#![expect(clippy::disallowed_methods, reason = "what a test spawns ends with the test's runtime")]

mod blocked;
mod children;
mod cluster;
mod common;
mod concurrency;
mod conformance;
mod connections;
mod day;
mod days;
mod doors;
mod drivers;
mod durable;
mod faults;
mod functions;
mod held;
mod horizon;
mod house;
mod indexes;
mod inputs;
mod languages;
mod lists;
mod migrations;
mod mixed;
mod nudges;
mod pooler;
mod proxy;
mod races;
mod repair;
mod replies;
mod restart;
mod roles;
#[cfg(feature = "testing")]
mod sandbox;
mod seats;
mod servers;
mod shared;
mod thin;
mod tls;
mod unique;
mod waits;
mod wakes;
#[cfg(any(feature = "sqlx-0_8", feature = "sqlx-0_9", feature = "tokio-postgres", feature = "diesel"))]
mod within;
#[cfg(feature = "diesel")]
mod within_diesel;
#[cfg(any(feature = "sqlx-0_8", feature = "sqlx-0_9"))]
mod within_sqlx;
#[cfg(feature = "tokio-postgres")]
mod within_tokio_postgres;
mod workflows;
