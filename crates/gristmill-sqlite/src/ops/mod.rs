//! What is done to tasks inside one write transaction. A task comes to wherever it waits through [`place`], and ends through
//! [`ended`]; what its end means for a workflow is in [`workflow`], and what it remembers of its steps and waits for in [`durable`].

mod aging;
mod aside;
mod budget;
mod by_hand;
mod cancel;
mod claim;
mod concurrency;
mod durable;
mod ended;
mod enqueue;
mod facts;
mod history;
mod label;
mod lines;
mod lock;
mod place;
mod release;
mod schedule;
mod settle;
mod sweep;
mod unique;
mod worker;
mod workflow;

pub(crate) use aging::age;
pub(crate) use budget::Budget;
pub(crate) use by_hand::{bury_worker, delete, drain_worker, lose_worker, move_to, release};
pub(crate) use cancel::{cancel, retry};
pub(crate) use claim::claim;
pub(crate) use concurrency::{Walked, admit_touched, key_state, set_limit, set_remaining};
#[cfg(any(feature = "sqlx-0_8", feature = "sqlx-0_9"))]
pub(crate) use durable::rows_of_event;
pub(crate) use durable::{checkpoint, resume_task, send_event};
pub(crate) use enqueue::enqueue;
pub(crate) use lock::{Looked, look_at_lock, prune_locks, release_lock, take_lock};
pub(crate) use place::{Lasts, entry};
pub(crate) use release::{admit, unblock};
#[cfg(any(feature = "sqlx-0_8", feature = "sqlx-0_9"))]
pub(crate) use schedule::standing;
pub(crate) use schedule::{advance_schedules, edit_schedules, lead_beats, resign_beat};
pub(crate) use settle::{mark, note, settle, settle_within, start};
pub(crate) use sweep::{RESCUED_AT_ONCE, UNKNOWN, count, promote, prune, rescue_for_hand, sweep};
pub(crate) use worker::{cancelled, declare, enter, heartbeat, leave, pause, pause_kind};
pub(crate) use workflow::{Report, Specs, extend_workflow, follow, order_workflow, retry_workflow, start_workflow, tolerate};
#[cfg(any(feature = "sqlx-0_8", feature = "sqlx-0_9"))]
pub(crate) use workflow::{Start, are_new};
