use std::sync::Arc;
use std::time::Duration;

use super::Memory;
use crate::limits::{BATCH_TASKS_MAX, DURATION_MAX, NAME_BYTES_MAX};
use crate::workflow::NewWorkflow;
use crate::{InvalidInput, LeaseRef, NewTask, Timestamp};

/// For as long does a task wait that waits for no time: 100 years.
pub const NEVER: Duration = DURATION_MAX;

/// What a running attempt has done so far, to be kept whatever becomes of it: all of it or nothing, on its fence.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// The claim.
    pub lease: LeaseRef,
    /// What is remembered from now on, each in the stead of what was at its position.
    pub memories: Vec<Memory>,
    /// Tasks that are enqueued with it.
    pub children: Arc<[NewTask]>,
    /// A workflow that is started with it.
    pub workflow: Option<Box<NewWorkflow>>,
    /// If the attempt ends here: when the task is due again, should nothing that its memories await come before.
    pub suspend: Option<Due>,
    /// What the attempt logged, if it ends here; a row of the history is written for that alone.
    pub logs: Option<String>,
}

/// When a task that waits is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// So long from now on.
    In(Duration),
    /// Then, by the store's clock.
    At(Timestamp),
    /// Not by time.
    Never,
}

impl Due {
    /// How long that is, by a store where it is now so late.
    pub fn delay(self, now: Timestamp) -> Duration {
        match self {
            Self::In(delay) => delay.min(NEVER),
            Self::At(at) => at.since(now).min(NEVER),
            Self::Never => NEVER,
        }
    }
}

impl Checkpoint {
    /// One that keeps nothing yet.
    pub fn new(lease: LeaseRef) -> Self {
        Self { lease, memories: Vec::new(), children: Arc::default(), workflow: None, suspend: None, logs: None }
    }

    /// Checks what has a limit, whoever made it. Stores ask it first.
    ///
    /// # Errors
    /// What is out of range.
    pub fn check(&self) -> Result<(), InvalidInput> {
        if self.children.len() > BATCH_TASKS_MAX || self.memories.len() > BATCH_TASKS_MAX {
            return Err(InvalidInput::new("checkpoint", format!("has more than {BATCH_TASKS_MAX} tasks or memories")));
        }
        if let Some(memory) = self.memories.iter().find(|memory| memory.name.len() > NAME_BYTES_MAX) {
            let name: String = memory.name.chars().take(40).collect();
            return Err(InvalidInput::new("step", format!("`{name}...` has a name of more than {NAME_BYTES_MAX} bytes")));
        }
        self.workflow.as_ref().map_or(Ok(()), |workflow| workflow.check())
    }
}
