//! How the stores keep values as numbers and texts. Shared, as the same task may be moved from one to the other.

use std::time::Duration;

use serde::Serialize;

use crate::workflow::{Chore, Run, StepEnd, StepState, Tolerance, WorkflowEnd};
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

/// What [`step_state_of`] gave; `None` for a number that this version does not know. What would follow from it nobody here can say, so that
/// its workflow is left alone.
pub fn step_state_from(code: i64) -> Option<StepState> {
    let state = match code {
        0 => StepState::Waits,
        1 => StepState::Goes,
        2 => StepState::Stops,
        3 => StepState::Ended(StepEnd::Succeeded),
        4 => StepState::Ended(StepEnd::Failed),
        5 => StepState::Ended(StepEnd::Cancelled),
        6 => StepState::Ended(StepEnd::Skipped),
        _ => return None,
    };
    Some(state)
}

/// Whether a workflow is paused: 0 it goes on, 1 it is paused; 2 and 3 the same of one that is [held](crate::workflow::Flow::is_held), and 4 more if
/// that [forgets](Run::forgets). A program that knows of no retry takes that for a pause, too, and lets nothing go that has yet to be blocked
/// again; one that knows of no forgetting leaves that out of what it goes on with.
pub fn paused_of(run: Run, held: bool) -> i16 {
    let forgets = if run.forgets { 4 } else { 0 };
    i16::from(run.paused) + if held { 2 + forgets } else { 0 }
}

/// What [`paused_of`] gave: whether it is paused, and whether it forgets; whether it is held, its steps say.
pub fn paused_from(code: i64) -> (bool, bool) {
    (code & 1 != 0, code & 4 != 0)
}

/// How many may fail of a step, if that was changed: a count, or -1 for 0 percent, -2 for 1 percent and so on.
pub fn tolerance_of(tolerance: Tolerance) -> i64 {
    match tolerance {
        Tolerance::Count(count) => count.into(),
        Tolerance::Percent(percent) => -1 - i64::from(percent),
    }
}

/// What [`tolerance_of`] gave; `None` for a number that no version wrote.
pub fn tolerance_from(code: i64) -> Option<Tolerance> {
    match u32::try_from(code) {
        Ok(count) => Some(Tolerance::Count(count)),
        Err(_) => u8::try_from(code.checked_neg()? - 1).ok().filter(|percent| *percent <= 100).map(Tolerance::Percent),
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

/// 0 none, 1 let go, 2 cancel, 3 unkeep, 4 again, 5 mend, 6 keep.
pub fn chore_of(chore: Option<Chore>) -> i16 {
    match chore {
        None => 0,
        Some(Chore::LetGo) => 1,
        Some(Chore::Cancel) => 2,
        Some(Chore::Unkeep) => 3,
        Some(Chore::Again) => 4,
        Some(Chore::Mend) => 5,
        Some(Chore::Keep) => 6,
    }
}

/// What [`chore_of`] gave; none for a number that no version wrote.
pub fn chore_from(code: i64) -> Option<Chore> {
    match code {
        1 => Some(Chore::LetGo),
        2 => Some(Chore::Cancel),
        3 => Some(Chore::Unkeep),
        4 => Some(Chore::Again),
        5 => Some(Chore::Mend),
        6 => Some(Chore::Keep),
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
            assert_eq!(step_state_from(code).map(step_state_of), Some(code as i16));
            assert_eq!(workflow_end_of(workflow_end_from(code)), if code == 4 { 6 } else { code as i16 });
            assert_eq!(chore_of(chore_from(code)), code as i16);
        }
        assert_eq!((step_state_from(7), step_state_from(-1)), (None, None));
        for (paused, held, forgets) in (0..8).map(|n| (n & 1 != 0, n & 2 != 0, n & 4 != 0)) {
            let code = paused_of(Run { paused, forgets, ..Run::default() }, held);
            assert_eq!((paused_from(code.into()), code != 0), ((paused, held && forgets), paused || held));
        }
        for tolerance in [Tolerance::NONE, Tolerance::Count(u32::MAX), Tolerance::Percent(0), Tolerance::Percent(100)] {
            assert_eq!(tolerance_from(tolerance_of(tolerance)), Some(tolerance));
        }
        assert_eq!([tolerance_from(-102), tolerance_from(i64::MIN), tolerance_from(i64::MAX)], [None; 3]);
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
