use serde::{Deserialize, Serialize};

use crate::core::{TaskId, Timestamp};

/// How the reason begins why a schedule that could not be read or written ticks no more.
pub(crate) const SET_ASIDE: &str = "set aside: ";

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
    /// Whether a beat could not read the schedule, or the store not take what it decided.
    pub(crate) fn is_set_aside(&self) -> bool {
        self.ended.as_ref().is_some_and(|why| why.starts_with(SET_ASIDE))
    }
}
