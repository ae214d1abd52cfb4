use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::core::State;

/// What a worker did between its start and its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExitReport {
    /// Tasks claimed.
    pub claimed: u64,
    /// Attempts that ended with the task succeeded.
    pub succeeded: u64,
    /// Attempts that ended with the task failed for good.
    pub failed: u64,
    /// Attempts that ended with the task put off to a later one: retries and snoozes. They may be long over.
    pub rescheduled: u64,
    /// Attempts that ended with the task cancelled.
    pub cancelled: u64,
    /// Tasks given back without burning an attempt.
    pub released: u64,
    /// Attempts whose lease was lost: another worker has or had the task.
    pub leases_lost: u64,
    /// Tasks of dead workers that this one made ready again.
    pub rescued: u64,
    /// Handlers that could not be ended, such as those that block a thread of the runtime. Their leases run out.
    pub abandoned: Vec<String>,
    /// Whether the last outcomes could not be written; their tasks will be run again.
    pub unsettled: u64,
    /// Ends that the application's hooks were not told, because they were slower than what ended.
    pub untold: u64,
    /// Parts of the worker itself that panicked, and what they said. That stopped it: start another. It is a mistake of gristmill
    /// or of the source of tasks, never of a handler, whose panics end its attempt.
    pub panicked: Vec<String>,
    /// Why the store can't be used any more, if that ended the worker: it has to be opened anew, as its file was removed or replaced;
    /// or, in a drain, somebody has to mend it.
    pub store_error: Option<String>,
    /// The bytes of memory that the process took, if the worker ended as that was more than [its limit](super::WorkerBuilder::memory_limit): the
    /// process is to be started anew.
    pub outgrown: Option<u64>,
}

impl fmt::Display for ExitReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} claimed: {} succeeded, {} failed", self.claimed, self.succeeded, self.failed)?;
        for (count, what) in [
            (self.rescheduled, "put off to another attempt"),
            (self.cancelled, "cancelled"),
            (self.released, "released"),
            (self.leases_lost, "leases lost"),
            (self.unsettled, "not settled"),
            (self.abandoned.len() as u64, "abandoned"),
            (self.untold, "not told to hooks"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        if self.rescued > 0 {
            write!(f, "; {} rescued from dead workers", self.rescued)?;
        }
        if let Some(taken) = self.outgrown {
            write!(f, "; stopped as its process took {} MB of memory", taken / 1_000_000)?;
        }
        for part in &self.panicked {
            write!(f, "; stopped by a panic: {part}")?;
        }
        Ok(())
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) claimed: AtomicU64,
    succeeded: AtomicU64,
    failed: AtomicU64,
    rescheduled: AtomicU64,
    cancelled: AtomicU64,
    released: AtomicU64,
    pub(crate) leases_lost: AtomicU64,
    pub(crate) rescued: AtomicU64,
    pub(crate) unsettled: AtomicU64,
    pub(crate) untold: AtomicU64,
}

impl Counts {
    /// Counts a settled attempt by the state of its task after it.
    pub(crate) fn settled(&self, state: State) {
        let count = match state {
            State::Succeeded => &self.succeeded,
            State::Failed => &self.failed,
            State::Scheduled => &self.rescheduled,
            State::Ready => &self.released,
            _ => &self.cancelled,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn report(&self, abandoned: Vec<String>) -> ExitReport {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        ExitReport {
            claimed: read(&self.claimed),
            succeeded: read(&self.succeeded),
            failed: read(&self.failed),
            rescheduled: read(&self.rescheduled),
            cancelled: read(&self.cancelled),
            released: read(&self.released),
            leases_lost: read(&self.leases_lost),
            rescued: read(&self.rescued),
            unsettled: read(&self.unsettled),
            untold: read(&self.untold),
            abandoned,
            panicked: Vec::new(),
            store_error: None,
            outgrown: None,
        }
    }
}
