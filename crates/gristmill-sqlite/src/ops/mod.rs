//! What is done to tasks inside one write transaction.

mod cancel;
mod claim;
mod encode;
mod enqueue;
mod schedule;
mod settle;
mod sweep;
mod worker;

pub(crate) use cancel::{cancel, retry};
pub(crate) use claim::claim;
pub(crate) use encode::{ack_from, ack_of, ended_from, ended_of, meta_of, retention_from, retention_of, to_json};
pub(crate) use enqueue::enqueue;
#[cfg(feature = "sqlx")]
pub(crate) use schedule::standing;
pub(crate) use schedule::{advance_schedules, edit_schedules, lead_beats, resign_beat};
pub(crate) use settle::{note, settle, start};
pub(crate) use sweep::{prune, sweep};
pub(crate) use worker::{declare, enter, heartbeat, leave, pause};
