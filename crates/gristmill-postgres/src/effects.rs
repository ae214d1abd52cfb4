use std::collections::BTreeMap;
use std::time::Duration;

use gristmill_core::{Effects, TaskId};
use uuid::Uuid;

/// What an operation has to tell once it is committed; nothing, if it is not.
#[derive(Debug, Default)]
pub(crate) struct Tidings {
    /// To whoever waits, here and in other processes.
    pub(crate) effects: Effects,
    /// To this process.
    pub(crate) own: Own,
}

/// A queue and a task type, by their numbers.
pub(crate) type Line = (i32, i32);

/// What is told in this store's own terms, or to its own process only.
#[derive(Debug, Default)]
pub(crate) struct Own {
    /// So many tasks became ready in these lines. Where it is not known, [`Effects::readied`] says so.
    pub(crate) came: BTreeMap<Line, u32>,
    /// The soonest of the tasks that were scheduled is due in this time. Where it is not known, [`Effects::scheduled`] says so.
    pub(crate) due: Option<Duration>,
    /// These ended and nobody who made it happen says so, as they expired or crashed once too often.
    pub(crate) untold: Vec<TaskId>,
    /// Tasks came back to these places in line, which the floors of claims may have passed: queue, priority, number.
    pub(crate) returned: Vec<(i32, i16, i64)>,
    /// Tasks came back, and nobody says where.
    pub(crate) returned_somewhere: bool,
    /// Workflows have to learn what became of their members.
    pub(crate) reported: bool,
    /// Slots of keys were freed, or tasks have come to wait for some.
    pub(crate) touched: bool,
    /// More is left to be done to members of workflows.
    pub(crate) chored: bool,
    /// These workflows have ended.
    pub(crate) finished: Vec<Uuid>,
    /// Events were sent of which nobody was told yet.
    pub(crate) untold_events: bool,
    /// These members of workflows were claimed.
    pub(crate) claimed_members: Vec<TaskId>,
    /// A queue is crowded with what other services have to do, and an index would lead past it.
    pub(crate) crowded: bool,
}
