//! Durable steps: what a handler has done stays done, whatever becomes of its attempt; and what it waits for holds no slot, no lease and no
//! attempt.
//!
//! A handler asks for one thing after the other (to run a step, to sleep, to await an event or a workflow), and each gets a
//! [`Memory`] in the order of the asking, which is written on the attempt's fence by a [`Checkpoint`]. The next attempt asks anew, from the
//! beginning, and is answered from these. To wait is to end the attempt so that nothing of it remains but its memories; the task is scheduled
//! then, and whatever it waits for makes it due.

mod checkpoint;
mod event;
mod memory;
mod store;

pub use checkpoint::{Checkpoint, Due, NEVER};
pub use event::{EVENT_KEPT, EventRecord, NewEvent, Sent, Waiter};
pub use memory::{Awaits, Kept, KeptRow, MISMATCH_AT, Memories, Memory, Mismatch};
pub use store::{Durable, Resume, Resumed};
