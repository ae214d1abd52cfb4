use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Run, StepEnd, StepRow, StepSpec, StepState, WorkflowEnd};
use crate::{Failure, State, TaskId, Timestamp, WorkflowId};

/// All that a store knows of one run of a workflow.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkflowRecord {
    /// Its id.
    pub id: WorkflowId,
    /// What sort of workflow it is.
    pub name: String,
    /// The key that it holds, or held while it went on.
    pub key: Option<String>,
    /// Labels.
    pub tags: Vec<String>,
    /// Where it stands.
    pub state: WorkflowState,
    /// Whether a handler, or what undoes a step, did not succeed, so that a person has to look.
    pub unhandled: bool,
    /// How often it was begun: 1, and one more for each retry of the whole.
    pub attempt: u32,
    /// When it was started.
    pub created_at: Timestamp,
    /// When it is cancelled if it has not ended.
    pub deadline: Option<Timestamp>,
    /// Whether it was cancelled for that.
    pub overdue: bool,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// How it was defined, as JSON text.
    pub definition: String,
    /// Its steps by their numbers; empty in lists.
    pub steps: Vec<StepRecord>,
}

/// A step of it.
#[derive(Clone, Debug, PartialEq)]
pub struct StepRecord {
    /// What it is.
    pub spec: StepSpec,
    /// How it stands.
    pub row: StepRow,
}

impl StepRecord {
    /// In one word.
    pub const fn state(&self) -> StepWord {
        StepWord::of(self.row.state)
    }

    /// How many of its members have not ended.
    pub const fn open(&self) -> u32 {
        self.row.tally.members.saturating_sub(self.row.tally.ended())
    }
}

/// Where a step stands, in the word that people see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepWord {
    /// For other steps.
    Waiting,
    /// Its members may run.
    Running,
    /// As many succeeded as had to.
    Succeeded,
    /// Too many failed.
    Failed,
    /// Too many did not succeed, and none failed.
    Cancelled,
    /// It never ran.
    Skipped,
}

impl StepWord {
    /// Of where a step stands.
    pub const fn of(state: StepState) -> Self {
        match state {
            StepState::Waits => Self::Waiting,
            StepState::Goes | StepState::Stops => Self::Running,
            StepState::Ended(StepEnd::Succeeded) => Self::Succeeded,
            StepState::Ended(StepEnd::Failed) => Self::Failed,
            StepState::Ended(StepEnd::Cancelled) => Self::Cancelled,
            StepState::Ended(StepEnd::Skipped) => Self::Skipped,
        }
    }

    /// As people and JSON have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
        }
    }
}

/// Where a workflow stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkflowState {
    /// It goes on.
    Running,
    /// What runs goes on, and nothing that waits does.
    Paused,
    /// Somebody wants it to end, and something of it still runs.
    Cancelling,
    /// All of its work was done.
    Succeeded,
    /// Something failed.
    Failed,
    /// It was cancelled.
    Cancelled,
}

impl WorkflowState {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Running, Self::Paused, Self::Cancelling, Self::Succeeded, Self::Failed, Self::Cancelled];

    /// As people and JSON have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Cancelling => "cancelling",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// By what is kept of it.
    pub const fn of(run: Run, end: Option<WorkflowEnd>) -> Self {
        match end {
            Some(WorkflowEnd { work: StepEnd::Succeeded, .. }) => Self::Succeeded,
            Some(WorkflowEnd { work: StepEnd::Failed, .. }) => Self::Failed,
            Some(WorkflowEnd { work: StepEnd::Cancelled | StepEnd::Skipped, .. }) => Self::Cancelled,
            None if run.cancelled => Self::Cancelling,
            None if run.paused => Self::Paused,
            None => Self::Running,
        }
    }

    /// Whether it goes on no more.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

impl fmt::Display for WorkflowState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A member of a step: what is known of that task.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Its place among those of the step.
    pub place: u32,
    /// The task.
    pub task: TaskId,
    /// Where it stands.
    pub state: State,
    /// The number of its current or last attempt.
    pub attempt: u32,
    /// Its result as JSON text, if it succeeded.
    pub result: Option<String>,
    /// What went wrong last, if it did not.
    pub error: Option<Failure>,
}

/// Which workflows a list is about. Empty fields match everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkflowFilter {
    /// In any of these states.
    pub states: Vec<WorkflowState>,
    /// Of this name.
    pub name: Option<String>,
    /// With this key, now or in the past.
    pub key: Option<String>,
}

/// What a person may want of a workflow that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// That nothing of it goes on that waits, but for its handlers and what undoes steps; what runs is asked to end. It is no longer paused.
    Cancel,
    /// That nothing goes on that waits, until it is resumed. Not of one that is cancelling.
    Pause,
    /// That it goes on.
    Resume,
}

/// What became of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ordered {
    /// It stands so now.
    Done(WorkflowState),
    /// It had ended before.
    AlreadyEnded,
    /// There is no such workflow.
    NotFound,
}

/// What became of a change of how many members of a step may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tolerated {
    /// So many may from now on, and this is where the step stands.
    Done(StepWord),
    /// The step had ended before, and keeps its end.
    AlreadyEnded,
    /// The workflow has no such step.
    NoSuchStep,
    /// There is no such workflow.
    NotFound,
}

/// How long members have to be kept at least for a retry of their workflow, which keeps them from then on: some time passes until it has gone
/// through all of them.
pub const KEPT_MIN: Duration = Duration::from_secs(60);

/// How long a workflow may stand still, with nothing of it that could end, before a sweep counts its members anew.
pub const QUIET_MAX: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_written_as_its_json_is() {
        for state in WorkflowState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        use StepWord::{Cancelled, Failed, Running, Skipped, Succeeded, Waiting};
        for word in [Waiting, Running, Succeeded, Failed, Cancelled, Skipped] {
            assert_eq!(serde_json::to_value(word).unwrap(), word.as_str());
        }
    }
}
