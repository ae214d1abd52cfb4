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
pub(crate) use durable::{events, memories, waiters};
pub(crate) use list::{ids_between, list, list_ids};
pub(crate) use lock::{locks, locks_of};
pub(crate) use overview::{kinds, pending, queues, workers};
pub(crate) use record::{OF_DAYS, get};
pub(crate) use schedule::{due_schedules, schedule, schedules, task_states, ticks};
pub(crate) use workflow::{members, workflow, workflows};
