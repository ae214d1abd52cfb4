//! What is done to tasks, each operation on one connection.

mod claim;
mod encode;
mod enqueue;
mod finish;
mod schedule;
mod settle;
mod sweep;
mod waiting;
mod worker;
mod writes;

pub(crate) use claim::claim;
#[cfg(any(feature = "sqlx", feature = "tokio-postgres", feature = "diesel"))]
pub(crate) use encode::storable;
pub(crate) use encode::{NewRow, count, ended_from, ended_of, limit, ms, to_json};
pub(crate) use enqueue::enqueue;
#[cfg(any(feature = "sqlx", feature = "tokio-postgres", feature = "diesel"))]
pub(crate) use enqueue::{check as check_tasks, know};
#[cfg(any(feature = "sqlx", feature = "tokio-postgres", feature = "diesel"))]
pub(crate) use schedule::Edits;
pub(crate) use schedule::{advance_schedules, edit_schedules, lead_beats, resign_beat};
pub(crate) use settle::{note, settle, start};
pub(crate) use sweep::{expire, fill_labels, next_due, park, parked_pairs, promote, prune, rescue, served, unpark};
pub(crate) use waiting::{cancel, retry};
pub(crate) use worker::{declare, enter, heartbeat, leave, pause};
