use std::time::Duration;

use gristmill_core::{Ack, Retention, State, TaskMeta, Timestamp};
use serde::Serialize;

const FOREVER: i64 = -1;
const NONE: i64 = -2;

pub(crate) fn retention_of(retention: Retention) -> i64 {
    match retention {
        Retention::Forever => FOREVER,
        Retention::None => NONE,
        Retention::For(period) => i64::try_from(period.as_millis()).unwrap_or(i64::MAX),
    }
}

/// A number that no version wrote is read as the default, which forgets nothing too early.
pub(crate) fn retention_from(ms: i64) -> Retention {
    match ms {
        FOREVER => Retention::Forever,
        NONE => Retention::None,
        ms => u64::try_from(ms).map_or(Retention::default(), |ms| Retention::For(Duration::from_millis(ms))),
    }
}

/// When a task that ended in `state` may be forgotten.
pub(crate) fn keep_until(retention: Retention, now: Timestamp) -> Option<i64> {
    let period = match retention {
        Retention::Forever => return None,
        Retention::For(period) => period,
        // Nobody could learn of a failure that left no trace.
        Retention::None => match Retention::default() {
            Retention::For(period) => period,
            _ => return None,
        },
    };
    Some(now.saturating_add(period).as_millis())
}

pub(crate) fn ack_of(ack: Ack) -> i64 {
    match ack {
        Ack::Late => 0,
        Ack::Early => 1,
    }
}

pub(crate) fn ack_from(code: i64) -> Ack {
    if code == 1 { Ack::Early } else { Ack::Late }
}

/// The code of a final state in `outcome.ended`; 0 for one that is not final.
pub(crate) fn ended_of(state: State) -> i64 {
    match state {
        State::Succeeded => 1,
        State::Failed => 2,
        State::Cancelled => 3,
        State::Expired => 4,
        _ => 0,
    }
}

pub(crate) fn ended_from(code: i64) -> State {
    match code {
        1 => State::Succeeded,
        3 => State::Cancelled,
        4 => State::Expired,
        _ => State::Failed,
    }
}

pub(crate) fn meta_of(meta: Option<&TaskMeta>) -> Option<String> {
    meta.map(to_json)
}

/// Text of our own plain types, which have no keys but strings and so can't fail.
pub(crate) fn to_json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
