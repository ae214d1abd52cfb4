//! What tasks remember of their durable steps, and what lets those go on that wait. `gristmill_core::durable` says what it means; here it is
//! read and written.

mod checkpoint;
mod event;
mod repair;
mod resume;
mod wait;

pub(super) use event::{prune, tell};
pub(super) use repair::{leave_children, sweep};
pub(super) use resume::forget_for_retry;
pub(super) use wait::tell_of_end;

pub(crate) use checkpoint::checkpoint;
#[cfg(any(feature = "sqlx-0_8", feature = "sqlx-0_9"))]
pub(crate) use event::rows_of_event;
pub(crate) use event::send_event;
pub(crate) use resume::resume_task;
