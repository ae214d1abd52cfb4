//! How the stores keep values as numbers and texts. Shared, as the same task may be moved from one to the other.

use std::time::Duration;

use serde::Serialize;

use crate::workflow::{Chore, StepEnd, StepState, WorkflowEnd};
use crate::{Ack, AttemptState, Drain, Keep, Retention, State, Timestamp};

const FOREVER: i64 = -1;
/// A retention of nothing.
pub const NONE: i64 = -2;
/// Times and durations are cut to this many milliseconds, so that no sum of two leaves the numbers.
const MS_MAX: i64 = 1 << 61;

/// Milliseconds; -1 for ever, -2 none.
pub fn retention_of(retention: Retention) -> i64 {
    match retention {
        Retention::Forever => FOREVER,
        Retention::None => NONE,
        Retention::For(period) => ms(period),
    }
}

/// A number that no version wrote is read as the default, which forgets nothing too early.
pub fn retention_from(ms: i64) -> Retention {
    match ms {
        FOREVER => Retention::Forever,
        NONE => Retention::None,
        ms => u64::try_from(ms).map_or(Retention::default(), |ms| Retention::For(Duration::from_millis(ms))),
    }
}

/// Until when an ended task is kept; the largest number is for ever. `None` if nothing is.
pub fn keep_until_of(keep: Keep) -> Option<i64> {
    match keep {
        Keep::Until(at) => Some(at.as_millis().min(MS_MAX)),
        Keep::Forever => Some(i64::MAX),
        Keep::Nothing => None,
    }
}

/// A duration in milliseconds.
pub fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).map_or(MS_MAX, |ms| ms.min(MS_MAX))
}

/// A moment in milliseconds since 1970.
pub fn at(time: Timestamp) -> i64 {
    time.as_millis().clamp(-MS_MAX, MS_MAX)
}

/// 0 late, 1 early.
pub fn ack_of(ack: Ack) -> i16 {
    match ack {
        Ack::Late => 0,
        Ack::Early => 1,
    }
}

/// What [`ack_of`] gave; late for a number that no version wrote.
pub fn ack_from(code: i64) -> Ack {
    if code == 1 { Ack::Early } else { Ack::Late }
}

/// The code of a final state: 1 succeeded, 2 failed, 3 cancelled, 4 expired; 0 for one that is not final.
pub fn ended_of(state: State) -> i16 {
    match state {
        State::Succeeded => 1,
        State::Failed => 2,
        State::Cancelled => 3,
        State::Expired => 4,
        State::Blocked | State::Scheduled | State::Waiting | State::Ready | State::Running => 0,
    }
}

/// What [`ended_of`] gave; failed for a number that no version wrote.
pub fn ended_from(code: i64) -> State {
    match code {
        1 => State::Succeeded,
        3 => State::Cancelled,
        4 => State::Expired,
        _ => State::Failed,
    }
}

/// The code of how an attempt ended: its place in [`AttemptState::ALL`].
pub fn attempt_state_of(state: AttemptState) -> i16 {
    AttemptState::ALL.iter().position(|known| *known == state).and_then(|place| i16::try_from(place).ok()).unwrap_or_default()
}

/// What [`attempt_state_of`] gave; failed for a number that no version wrote.
pub fn attempt_state_from(code: i64) -> AttemptState {
    usize::try_from(code).ok().and_then(|place| AttemptState::ALL.get(place).copied()).unwrap_or(AttemptState::Failed)
}

/// 0 not asked to end, 1 asked, 2 heard. Asked for a number that no version wrote, so that it is told again.
pub fn drain_from(code: i64) -> Option<Drain> {
    match code {
        0 => None,
        2 => Some(Drain::Heard),
        _ => Some(Drain::Asked),
    }
}

/// 0 waits, 1 goes, 2 stops, 3 succeeded, 4 failed, 5 cancelled, 6 skipped.
pub fn step_state_of(state: StepState) -> i16 {
    match state {
        StepState::Waits => 0,
        StepState::Goes => 1,
        StepState::Stops => 2,
        StepState::Ended(StepEnd::Succeeded) => 3,
        StepState::Ended(StepEnd::Failed) => 4,
        StepState::Ended(StepEnd::Cancelled) => 5,
        StepState::Ended(StepEnd::Skipped) => 6,
    }
}

/// What [`step_state_of`] gave; failed for a number that no version wrote.
pub fn step_state_from(code: i64) -> StepState {
    match code {
        0 => StepState::Waits,
        1 => StepState::Goes,
        2 => StepState::Stops,
        3 => StepState::Ended(StepEnd::Succeeded),
        5 => StepState::Ended(StepEnd::Cancelled),
        6 => StepState::Ended(StepEnd::Skipped),
        _ => StepState::Ended(StepEnd::Failed),
    }
}

/// How a workflow ended: 0 not yet, 1 succeeded, 2 failed, 3 cancelled, and 4 more if something was left unhandled.
pub fn workflow_end_of(end: Option<WorkflowEnd>) -> i16 {
    let Some(end) = end else { return 0 };
    let work = match end.work {
        StepEnd::Succeeded => 1,
        StepEnd::Failed => 2,
        StepEnd::Cancelled | StepEnd::Skipped => 3,
    };
    work + if end.unhandled { 4 } else { 0 }
}

/// What [`workflow_end_of`] gave; failed for a number that no version wrote.
pub fn workflow_end_from(code: i64) -> Option<WorkflowEnd> {
    let work = match code & 3 {
        _ if code == 0 => return None,
        1 => StepEnd::Succeeded,
        3 => StepEnd::Cancelled,
        _ => StepEnd::Failed,
    };
    Some(WorkflowEnd { work, unhandled: code & 4 != 0 })
}

/// 0 none, 1 let go, 2 cancel, 3 unkeep.
pub fn chore_of(chore: Option<Chore>) -> i16 {
    match chore {
        None => 0,
        Some(Chore::LetGo) => 1,
        Some(Chore::Cancel) => 2,
        Some(Chore::Unkeep) => 3,
    }
}

/// What [`chore_of`] gave; none for a number that no version wrote.
pub fn chore_from(code: i64) -> Option<Chore> {
    match code {
        1 => Some(Chore::LetGo),
        2 => Some(Chore::Cancel),
        3 => Some(Chore::Unkeep),
        _ => None,
    }
}

/// Text of our own plain types, which have no keys but strings and so can't fail.
pub fn to_json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_survive_a_round_trip() {
        for code in 0..7 {
            assert_eq!(step_state_of(step_state_from(code)), code as i16);
            assert_eq!(workflow_end_of(workflow_end_from(code)), if code == 4 { 6 } else { code as i16 });
            assert_eq!(chore_of(chore_from(code)), if code > 3 { 0 } else { code as i16 });
        }
        for state in State::ALL.into_iter().filter(|state| state.is_final()) {
            assert_eq!(ended_from(ended_of(state).into()), state);
        }
        for state in AttemptState::ALL {
            assert_eq!(attempt_state_from(attempt_state_of(state).into()), state);
        }
        for retention in [Retention::None, Retention::Forever, Retention::default()] {
            assert_eq!(retention_from(retention_of(retention)), retention);
        }
        assert_eq!(retention_of(Retention::For(Duration::MAX)), MS_MAX);
        assert_eq!(retention_from(-9), Retention::default());
        for ack in [Ack::Late, Ack::Early] {
            assert_eq!(ack_from(ack_of(ack).into()), ack);
        }
    }
}
