//! What is read for clients and operators.

mod concurrency;
mod durable;
mod list;
mod lock;
mod overview;
mod record;
mod schedule;
mod workflow;

pub(crate) use concurrency::{limit, list_limits, stands_by};
pub(crate) use durable::{
    Lost, Walk, list_events, list_waiters, look_for_lost, lost_waits, memories, memory, of_memory, unreadable,
};
pub(crate) use list::{ids_between, list, list_ids};
pub(crate) use lock::{locks, locks_of};
pub(crate) use overview::{kinds, pending, queues, workers};
pub(crate) use record::{are_held, get};
pub(crate) use schedule::{due_schedules, schedule, schedules, task_states, ticks};
pub(crate) use workflow::{
    Counted, Counting, count_members, kept_members, list_workflows, members, quiet_workflows, steps, workflow,
};
