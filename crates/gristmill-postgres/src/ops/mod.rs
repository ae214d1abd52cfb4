//! What is done to tasks, each operation on one connection.

mod aging;
mod by_hand;
mod cancel;
mod chores;
mod claim;
mod concurrency;
mod encode;
mod ended;
mod enqueue;
mod facts;
mod flow;
mod lock;
mod memory;
mod place;
mod repair;
mod rerun;
mod schedule;
mod settle;
mod specs;
mod sweep;
mod taken;
mod unique;
mod waits;
mod worker;
mod workflow;
mod writes;

pub(crate) use aging::age;
pub(crate) use by_hand::{bury_worker, delete, drain_worker, lose_worker, move_to, release};
pub(crate) use cancel::{cancel, retry};
pub(crate) use claim::claim;
pub(crate) use concurrency::{
    Admission, Firsts, SlotsWalked, admit_touched, key_state, next_rate, repair_slots, set_limit, set_remaining,
};
pub(crate) use encode::{is_alone, limit, storable, wait};
pub(crate) use enqueue::enqueue;
#[cfg(any(feature = "sqlx-0_8", feature = "sqlx-0_9", feature = "tokio-postgres", feature = "diesel"))]
pub(crate) use enqueue::{check as check_tasks, know};
pub(crate) use flow::{row_of as step_row, run_of};
pub(crate) use lock::{prune_locks, release_lock, take_lock};
pub(crate) use memory::{Checkpointed, bury_memories, check_memories, checkpoint, kept, resume};
pub(crate) use place::{admit, place_of, unblock};
pub(crate) use repair::{Due, bury_reports, due, has_to_go_on, look_later, postpone, repair, take_owed};
pub(crate) use rerun::{retry_workflow, tolerate};
#[cfg(any(feature = "sqlx-0_8", feature = "sqlx-0_9", feature = "tokio-postgres", feature = "diesel"))]
pub(crate) use schedule::Edits;
pub(crate) use schedule::{advance_schedules, edit_schedules, lead_beats, resign_beat};
pub(crate) use settle::{note, note_free, settle, settle_free, start};
pub(crate) use specs::{Specs, spec as step_spec};
pub(crate) use sweep::{
    Promoted, Rescued, expire, fill_labels, lose_the_dead, park, parked_pairs, promote, prune, rescue, served, unpark,
};
pub(crate) use unique::{KeysWalked, prune_keys};
#[cfg(any(feature = "sqlx-0_8", feature = "sqlx-0_9", feature = "tokio-postgres", feature = "diesel"))]
pub(crate) use waits::sent;
pub(crate) use waits::{
    Awaited, Child, Children, Stop, Telling, WALKS, Walk, Walked, awaited_workflows, came, cancel_child, children, events_untold,
    forget_children, let_go, send_event, tell, walk,
};
pub(crate) use worker::{Which, cancelled, declare, enter, heartbeat, leave, pause, pause_kind};
pub(crate) use workflow::{Conducted, Starting, conduct, conduct_told, extend, order, reported, start_workflow};
