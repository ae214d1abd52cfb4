//! What follows for workflows from what happens to their members. `gristmill_core::workflow` decides it; here it is read and written.

mod chore;
mod follow;
mod kept;
mod operate;
mod repair;
mod specs;
mod start;

pub(super) use chore::go_on_with_chores;
pub(super) use follow::{waits, wants};
pub(super) use kept::prune;
pub(super) use operate::{cancel_overdue, leave_behind};
pub(super) use repair::sweep;

pub(crate) use follow::{Report, follow};
#[cfg(any(feature = "sqlx-0_8", feature = "sqlx-0_9"))]
pub(crate) use operate::are_new;
pub(crate) use specs::Specs;

pub(crate) use operate::{extend_workflow, order_workflow, retry_workflow, start_workflow, tolerate};
#[cfg(any(feature = "sqlx-0_8", feature = "sqlx-0_9"))]
pub(crate) use start::Start;
