//! Behaviour of the crate, through its public face only.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on has failed")]

#[cfg(all(unix, feature = "postgres", feature = "sqlx-0_8", feature = "tokio-postgres"))]
mod bank;
mod batches;
#[cfg(feature = "sqlite")]
mod beat;
#[cfg(all(unix, feature = "postgres", feature = "sqlx-0_8", feature = "tokio-postgres"))]
mod beat_postgres;
mod beat_time;
mod cancelled;
mod client;
mod codec;
mod computing;
#[cfg(all(unix, feature = "postgres", feature = "sqlx-0_8", feature = "tokio-postgres"))]
mod cut;
mod durable;
mod enqueueing;
mod faulty;
mod features;
mod forms;
mod hooks;
mod kit;
mod lanes;
mod limits;
mod locks;
mod macros;
mod middleware;
mod overdue;
mod programs;
mod put_off;
mod queues;
mod recorded;
mod routing;
mod schedule;
#[cfg(unix)]
mod signals;
mod source;
#[cfg(feature = "sqlite")]
mod sqlite;
mod supervision;
mod support;
#[cfg(all(unix, feature = "postgres", feature = "sqlx-0_8", feature = "tokio-postgres"))]
mod transactions;
mod versions;
mod worker;
mod workflows;
