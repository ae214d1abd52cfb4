use std::time::Duration;

use gristmill_core::{Ack, AttemptState, NewTask, Retention, State, TaskMeta, Timestamp};
use serde::Serialize;
use uuid::Uuid;

/// A new task as the tables keep it, with the names of its queue and type. As JSON it is what our SQL functions take.
#[derive(Serialize)]
pub(crate) struct NewRow<'a> {
    pub(crate) id: Uuid,
    pub(crate) queue: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) priority: i16,
    pub(crate) max_attempts: i32,
    pub(crate) max_crashes: i32,
    pub(crate) ack: i16,
    pub(crate) retention: i64,
    pub(crate) at: Option<i64>,
    pub(crate) delay: i64,
    pub(crate) expires: Option<i64>,
    pub(crate) deadline: Option<i64>,
    pub(crate) args: &'a str,
    pub(crate) meta: Option<String>,
}

impl<'a> NewRow<'a> {
    pub(crate) fn of(task: &'a NewTask) -> Self {
        Self {
            id: task.id.as_uuid(),
            queue: &task.queue,
            kind: &task.kind,
            priority: task.priority.into(),
            max_attempts: int(task.max_attempts),
            max_crashes: int(task.max_crashes),
            ack: ack_of(task.ack),
            retention: retention_of(task.retention),
            at: task.run_at.map(at),
            delay: ms(task.delay),
            expires: task.expires.map(ms),
            deadline: task.meta.as_ref().and_then(|meta| meta.expires_at).map(at),
            args: &task.args,
            meta: meta_of(task.meta.as_deref()),
        }
    }
}

const FOREVER: i64 = -1;
pub(crate) const NONE: i64 = -2;
/// Times and durations are cut to this many milliseconds, so that no sum of two leaves the numbers.
const MS_MAX: i64 = 1 << 61;

pub(crate) fn retention_of(retention: Retention) -> i64 {
    match retention {
        Retention::Forever => FOREVER,
        Retention::None => NONE,
        Retention::For(period) => ms(period),
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

/// Until when a task that ended now is kept.
pub(crate) fn keep_until(retention: Retention, now: Timestamp) -> i64 {
    let period = match retention {
        Retention::Forever => return i64::MAX,
        Retention::For(period) => period,
        // Nobody could learn of a failure that left no trace.
        Retention::None => match Retention::default() {
            Retention::For(period) => period,
            _ => return i64::MAX,
        },
    };
    now.saturating_add(period).as_millis()
}

pub(crate) fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).map_or(MS_MAX, |ms| ms.min(MS_MAX))
}

pub(crate) fn at(time: Timestamp) -> i64 {
    time.as_millis().clamp(-MS_MAX, MS_MAX)
}

pub(crate) fn ack_of(ack: Ack) -> i16 {
    match ack {
        Ack::Late => 0,
        Ack::Early => 1,
    }
}

pub(crate) fn ack_from(code: i16) -> Ack {
    if code == 1 { Ack::Early } else { Ack::Late }
}

/// The code of a final state in `outcome.ended`; 0 for one that is not final.
pub(crate) fn ended_of(state: State) -> i16 {
    match state {
        State::Succeeded => 1,
        State::Failed => 2,
        State::Cancelled => 3,
        State::Expired => 4,
        _ => 0,
    }
}

pub(crate) fn ended_from(code: i16) -> State {
    match code {
        1 => State::Succeeded,
        3 => State::Cancelled,
        4 => State::Expired,
        _ => State::Failed,
    }
}

pub(crate) fn attempt_state_of(state: AttemptState) -> i16 {
    AttemptState::ALL.iter().position(|known| *known == state).and_then(|place| i16::try_from(place).ok()).unwrap_or_default()
}

/// A count as the tables keep it.
pub(crate) fn int(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

pub(crate) fn count(int: i32) -> u32 {
    u32::try_from(int).unwrap_or_default()
}

pub(crate) fn limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

pub(crate) fn meta_of(meta: Option<&TaskMeta>) -> Option<String> {
    meta.map(to_json)
}

/// Text of our own plain types, which have no keys but strings and so can't fail.
pub(crate) fn to_json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// What a handler logged, without the one character that PostgreSQL can't keep.
pub(crate) fn storable(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() }
}
