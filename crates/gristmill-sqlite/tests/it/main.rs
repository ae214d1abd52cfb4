//! What the SQLite store has beyond the common contract: its file, its threads, its transactions.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "tests fail by panicking")]

mod budgets;
mod common;
mod conformance;
mod corrupt;
mod durable;
mod files;
mod groups;
mod lists;
mod migrations;
mod places;
mod processes;
mod reruns;
mod schedules;
mod transactions;
mod unserved;
#[cfg(any(feature = "sqlx-0_8", feature = "sqlx-0_9"))]
mod within_sqlx;
mod workflows;
