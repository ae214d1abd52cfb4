use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::core::{TaskId, Timestamp};

/// How the reason begins why a schedule that could not be read or written ticks no more.
pub(crate) const SET_ASIDE: &str = "set aside: ";

/// Ticks that were dealt with so much later than now were so while the clock was ahead. Less is a clock that was set right by a
/// little: its ticks come again soon enough.
pub(crate) const AHEAD_MAX: Duration = Duration::from_secs(60);

/// What the beats remember of a schedule, between one look and the next; stored beside it as JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Memory {
    /// The last instant that is dealt with; ticks after it are not.
    pub after: Timestamp,
    /// The task of the last run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_task: Option<TaskId>,
    /// The tick of the last run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_tick: Option<Timestamp>,
    /// When the last run was made, by the store's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run_at: Option<Timestamp>,
    /// Whether the end of the last run has been counted.
    pub judged: bool,
    /// Runs so far, those by hand left out.
    pub runs: u64,
    /// Failures in a row.
    pub failures: u32,
    /// Ticks that are still to be suppressed for them.
    pub skip: u32,
    /// A tick that waits for the end of the last run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buffered: Option<Timestamp>,
    /// Why it ticks no more, or why it was set aside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
}

impl Memory {
    /// Whether it is from a time to which the clock was set by mistake.
    pub(crate) fn is_ahead(&self, now: Timestamp) -> bool {
        self.after > now.saturating_add(AHEAD_MAX)
    }

    /// Lets the schedule go on if the clock was ahead when it last ticked: it would be silent until then. Ticks that were made too
    /// early have their tasks, and get no other when their time comes.
    pub(crate) fn come_back(&mut self, now: Timestamp) {
        if self.is_ahead(now) {
            self.after = now;
            self.last_run_at = self.last_run_at.map(|at| at.min(now));
        }
    }

    /// Counts from now on, whatever was before. How often it ran and what its last task is stay.
    pub(crate) fn reset(&mut self, now: Timestamp) {
        (self.after, self.last_run_at, self.buffered, self.ended) = (now, None, None, None);
        (self.failures, self.skip, self.judged) = (0, 0, true);
    }

    /// Whether a beat could not read the schedule, or the store not take what it decided.
    pub(crate) fn is_set_aside(&self) -> bool {
        self.ended.as_ref().is_some_and(|why| why.starts_with(SET_ASIDE))
    }
}
