//! What is done to tasks, each operation on one connection.

mod by_hand;
mod cancel;
mod claim;
mod encode;
mod ended;
mod enqueue;
mod facts;
mod place;
mod schedule;
mod settle;
mod sweep;
mod taken;
mod worker;
mod writes;

pub(crate) use by_hand::{bury_worker, delete, drain_worker, lose_worker, release};
pub(crate) use cancel::{cancel, retry};
pub(crate) use claim::claim;
pub(crate) use encode::{is_alone, limit, storable, wait};
pub(crate) use enqueue::enqueue;
#[cfg(any(feature = "sqlx-0_8", feature = "sqlx-0_9", feature = "tokio-postgres", feature = "diesel"))]
pub(crate) use enqueue::{check as check_tasks, know};
pub(crate) use place::{admit, place_of, unblock};
#[cfg(any(feature = "sqlx-0_8", feature = "sqlx-0_9", feature = "tokio-postgres", feature = "diesel"))]
pub(crate) use schedule::Edits;
pub(crate) use schedule::{advance_schedules, edit_schedules, lead_beats, resign_beat};
pub(crate) use settle::{note, note_free, settle, settle_free, start};
pub(crate) use sweep::{Rescued, expire, fill_labels, lose_the_dead, park, parked_pairs, promote, prune, rescue, served, unpark};
pub(crate) use worker::{Which, cancelled, declare, enter, heartbeat, leave, pause};
