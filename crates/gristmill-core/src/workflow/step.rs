use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::State;

/// A step of a workflow, as a store keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepRow {
    /// What it is there for.
    pub role: Role,
    /// Where it stands.
    pub state: StepState,
    /// How many members it has, and what became of them.
    pub tally: Tally,
    /// How many of them need not succeed.
    pub tolerance: Tolerance,
}

impl StepRow {
    /// A step that waits, with so many members, all of which are known.
    pub const fn new(role: Role, members: u32) -> Self {
        let tally = Tally { members, closed: true, succeeded: 0, failed: 0, cancelled: 0 };
        Self { role, state: StepState::Waits, tally, tolerance: Tolerance::NONE }
    }
}

/// What a step is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It is part of the work.
    Work,
    /// It runs when the work is over, whatever became of it, or only if it came out so.
    Handler(Needs),
    /// It undoes the step with this number, if that was done and the work as a whole was not.
    Undo(u32),
}

/// Where a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StepState {
    /// For others.
    Waits,
    /// Its members may run, or have ended.
    Goes,
    /// Its workflow was cancelled: so are its members, those that run by request.
    Stops,
    /// All of it is over.
    Ended(StepEnd),
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepEnd {
    /// As many of its members succeeded as had to.
    Succeeded,
    /// Too many failed.
    Failed,
    /// Too many did not succeed, and none of them failed.
    Cancelled,
    /// It never went, as what it waits for can't be any more.
    Skipped,
}

/// What a step needs of another that it waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Needs {
    /// That it succeeds; else this one never goes.
    #[default]
    Success,
    /// That it fails; else this one never goes.
    Failure,
    /// That it ends, however it does.
    End,
}

impl Needs {
    /// Whether an end is what is needed.
    pub const fn is_met_by(self, end: StepEnd) -> bool {
        match (self, end) {
            (Self::Success, StepEnd::Succeeded) | (Self::Failure, StepEnd::Failed) | (Self::End, _) => true,
            (Self::Success, StepEnd::Failed | StepEnd::Cancelled | StepEnd::Skipped)
            | (Self::Failure, StepEnd::Succeeded | StepEnd::Cancelled | StepEnd::Skipped) => false,
        }
    }
}

/// That a step waits for another; both by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Edge {
    /// The one that is waited for.
    pub from: u32,
    /// The one that waits.
    pub to: u32,
    /// What for.
    pub needs: Needs,
}

/// How many members a step has, and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// So far.
    pub members: u32,
    /// Whether these are all; a group whose members are still being handed in is not.
    pub closed: bool,
    /// So many succeeded.
    pub succeeded: u32,
    /// So many failed.
    pub failed: u32,
    /// So many were cancelled, or not started in time.
    pub cancelled: u32,
}

impl Tally {
    /// Counts an end of a member: every state that a task ends in, so that a new one does not compile until it is counted.
    ///
    /// A state that is no end changes nothing.
    pub const fn add(&mut self, state: State) {
        match state {
            State::Succeeded => self.succeeded += 1,
            State::Failed => self.failed += 1,
            State::Cancelled | State::Expired => self.cancelled += 1,
            State::Blocked | State::Scheduled | State::Waiting | State::Ready | State::Running => {}
        }
    }

    /// Takes one back, of a member that was retried.
    pub const fn take(&mut self, state: State) {
        let mut one = Self { members: 0, closed: false, succeeded: 0, failed: 0, cancelled: 0 };
        one.add(state);
        self.succeeded = self.succeeded.saturating_sub(one.succeeded);
        self.failed = self.failed.saturating_sub(one.failed);
        self.cancelled = self.cancelled.saturating_sub(one.cancelled);
    }

    /// Counts several at once. Of what can't be, as if more were taken back than there are, nothing is left.
    pub const fn change(&mut self, change: Change) {
        self.succeeded = changed(self.succeeded, change.succeeded);
        self.failed = changed(self.failed, change.failed);
        self.cancelled = changed(self.cancelled, change.cancelled);
    }

    /// So many have ended.
    pub const fn ended(self) -> u32 {
        self.succeeded + self.failed + self.cancelled
    }

    /// How it ended; `None` as long as it has not.
    pub fn end(self, tolerance: Tolerance) -> Option<StepEnd> {
        let is_over = self.closed && self.ended() >= self.members;
        is_over.then(|| match (self.failed + self.cancelled <= tolerance.of(self.members), self.failed) {
            (true, _) => StepEnd::Succeeded,
            (false, 0) => StepEnd::Cancelled,
            (false, _) => StepEnd::Failed,
        })
    }
}

const fn changed(count: u32, by: i64) -> u32 {
    let sum = (count as i64).saturating_add(by);
    if sum <= 0 {
        0
    } else if sum > u32::MAX as i64 {
        u32::MAX
    } else {
        sum as u32
    }
}

/// What became of members of a step since they were last counted, in sums: less than nothing, where more were retried than ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// So many succeeded.
    pub succeeded: i64,
    /// So many failed.
    pub failed: i64,
    /// So many were cancelled, or not started in time.
    pub cancelled: i64,
}

/// What a look at all members of a step found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// So many succeeded.
    pub succeeded: u32,
    /// So many failed.
    pub failed: u32,
    /// So many were cancelled, or not started in time.
    pub cancelled: u32,
    /// So many have not ended.
    pub open: u32,
    /// So many of these are blocked.
    pub blocked: u32,
}

/// How many members of a step need not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tolerance {
    /// So many.
    Count(u32),
    /// So many in a hundred, rounded down.
    Percent(u8),
}

impl Tolerance {
    /// All have to.
    pub const NONE: Self = Self::Count(0);

    /// Of so many members.
    pub const fn of(self, members: u32) -> u32 {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => (members as u64 * percent as u64 / 100) as u32,
        }
    }
}

impl fmt::Display for Tolerance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => count.fmt(f),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

/// A number such as `3`, or a share such as `20%`.
impl FromStr for Tolerance {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let percent = text.strip_suffix('%').map(|percent| percent.trim().parse());
        match (text.parse(), percent) {
            (Ok(count), _) => Ok(Self::Count(count)),
            (_, Some(Ok(percent @ 0..=100))) => Ok(Self::Percent(percent)),
            _ => Err("is neither a number of members such as 3 nor a share of them such as 20%".to_owned()),
        }
    }
}

/// How the run of a workflow stands, beside its steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Nothing that waits goes.
    pub paused: bool,
    /// Somebody wants it to end: what waits never goes.
    pub cancelled: bool,
    /// It is being retried [without the history](super::Retry::without_history) of what runs again; until all members have been dealt with.
    pub forgets: bool,
}

/// Why a step never goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Because {
    /// This step did not end as it needs.
    Of(u32),
    /// The workflow was cancelled.
    Cancelled,
    /// The work came out in another way than it is there for, or there is nothing to undo.
    NotNeeded,
}

/// How a workflow ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WorkflowEnd {
    /// How the work ended: never as skipped.
    pub work: StepEnd,
    /// Whether a handler or what undoes a step did not succeed, so that a person has to look.
    pub unhandled: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_fail_is_read_as_it_is_shown() {
        for (text, tolerance) in [("0", Tolerance::NONE), ("3", Tolerance::Count(3)), ("20%", Tolerance::Percent(20))] {
            assert_eq!((text.parse(), tolerance.to_string().as_str()), (Ok(tolerance), text));
        }
        for text in ["", "%", "-1", "101%", "256%", "2.5", "4294967296", "many"] {
            let error = text.parse::<Tolerance>().unwrap_err();
            assert!(error.contains("such as 20%"), "{text}: {error}");
        }
    }
}
