use std::collections::HashMap;
use std::time::Duration;

use gristmill_core::{
    Ack, AttemptState, Effects, Ending, Failure, Held, Next, Progress, Retention, State, TaskId, Timestamp, judge,
};
use tokio_postgres::Row;
use uuid::Uuid;

use super::encode::{ack_from, count, keep_until, retention_from, storable, to_json};
use super::writes::{Outcome, Place, Writes};
use crate::error::Fault;
use crate::session::Session;
use crate::sql::Q;

/// A lease that was just taken away, with what the other tables say of its task.
pub(super) struct Taken {
    pub(super) id: Uuid,
    pub(super) fence: Uuid,
    seq: i64,
    retention: i64,
    claimed_at: i64,
    attempt: u32,
    claim_no: u32,
    crashes: u32,
    pub(super) started: bool,
    cancel: bool,
    noted: bool,
    worker: Option<String>,
    logs: Option<String>,
    progress: Option<String>,
    /// `None` if its body is missing.
    facts: Option<Facts>,
    now: Timestamp,
}

/// What the body says that settling needs.
struct Facts {
    queue: i32,
    kind: i32,
    priority: i16,
    max_attempts: u32,
    max_crashes: u32,
    ack: Ack,
    expires_at: Option<i64>,
}

impl Taken {
    /// For a worker whose row is gone already.
    pub(super) fn name_worker(&mut self, name: &str) {
        self.worker = Some(name.to_owned());
    }

    /// Reads what a statement took, and takes what was noted of it.
    pub(super) async fn all(s: &Session<'_>, rows: &[Row]) -> Result<Vec<Self>, Fault> {
        let mut all = rows.iter().map(Self::read).collect::<Result<Vec<_>, _>>()?;
        let noted: Vec<Uuid> = all.iter().filter(|taken| taken.noted).map(|taken| taken.id).collect();
        if noted.is_empty() {
            return Ok(all);
        }
        let mut notes: HashMap<Uuid, _> = HashMap::with_capacity(noted.len());
        for row in s.rows(Q::LiveTake, &[&noted]).await? {
            notes.insert(row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?));
        }
        for taken in &mut all {
            (taken.logs, taken.progress) = notes.remove(&taken.id).unwrap_or_default();
        }
        Ok(all)
    }

    fn read(row: &Row) -> Result<Self, Fault> {
        let facts = match row.try_get::<_, Option<i32>>(11)? {
            None => None,
            Some(queue) => Some(Facts {
                queue,
                kind: row.try_get(12)?,
                priority: row.try_get(13)?,
                max_attempts: count(row.try_get(14)?),
                max_crashes: count(row.try_get(15)?),
                ack: ack_from(row.try_get(16)?),
                expires_at: row.try_get(17)?,
            }),
        };
        Ok(Self {
            id: row.try_get(0)?,
            fence: row.try_get(19)?,
            seq: row.try_get(1)?,
            retention: row.try_get(2)?,
            claimed_at: row.try_get(3)?,
            attempt: count(row.try_get(4)?),
            claim_no: count(row.try_get(5)?),
            crashes: count(row.try_get(6)?),
            started: row.try_get(7)?,
            cancel: row.try_get(8)?,
            noted: row.try_get(9)?,
            worker: row.try_get(10)?,
            logs: None,
            progress: None,
            facts,
            now: Timestamp::from_millis(row.try_get(18)?),
        })
    }
}

/// How an attempt ended, whoever says so.
pub(super) struct Word<'a> {
    pub(super) ending: Ending,
    /// `None`: since it was claimed, as nobody measured.
    pub(super) ran_for: Option<Duration>,
    /// Nothing ran: leave no trace in the history.
    pub(super) silent: bool,
    pub(super) result: Option<&'a str>,
    pub(super) failure: Option<&'a Failure>,
    pub(super) logs: Option<&'a str>,
    pub(super) progress: Option<&'a Progress>,
}

impl Word<'_> {
    /// Without a word from the handler.
    pub(super) fn of(ending: Ending, silent: bool) -> Self {
        Word { ending, ran_for: None, silent, result: None, failure: None, logs: None, progress: None }
    }
}

/// Decides what becomes of a task whose lease was taken, and what has to be written for it. Returns its state after.
pub(super) fn finish(taken: Taken, word: &Word<'_>, writes: &mut Writes, effects: &mut Effects) -> State {
    let facts = taken.facts.as_ref();
    let held = Held {
        attempt: taken.attempt,
        crashes: taken.crashes,
        max_attempts: facts.map_or(1, |facts| facts.max_attempts),
        max_crashes: facts.map_or(1, |facts| facts.max_crashes),
        ack: facts.map_or(Ack::Late, |facts| facts.ack),
        started: taken.started,
        cancel_requested: taken.cancel,
    };
    let verdict = judge(&held, word.ending);
    let retention = retention_from(taken.retention);
    let (state, crashes) = match (verdict.next, facts) {
        (Next::End(state), _) => (state, taken.crashes + u32::from(verdict.attempt == AttemptState::Crashed)),
        (Next::Again { attempt, crashes, delay }, Some(facts)) => {
            (put_back(&taken, facts, (attempt, crashes), delay, writes), crashes)
        }
        // Its body is gone, so that nobody could run it again.
        (Next::Again { crashes, .. }, None) => (State::Failed, crashes),
    };
    if state == State::Succeeded && retention == Retention::None {
        writes.tasks_gone.push(taken.id);
        if taken.claim_no > 1 {
            writes.histories_gone.push(taken.id);
        }
    } else if state.is_final() || !word.silent {
        let claimed_at = Timestamp::from_millis(taken.claimed_at);
        let default = || verdict.default_failure();
        writes.outcome(Outcome {
            id: taken.id,
            seq: taken.seq,
            claim_no: taken.claim_no,
            attempt: taken.attempt,
            crashes,
            state: verdict.attempt,
            end: state.is_final().then(|| (state, keep_until(retention, taken.now))),
            finished_at: taken.now,
            started_at: Some(word.ran_for.map_or(claimed_at, |ran| taken.now.saturating_sub(ran).max(claimed_at))),
            worker: taken.worker,
            result: word.result.filter(|_| state == State::Succeeded).map(|result| storable(result).into_owned()),
            error: word.failure.cloned().or_else(default),
            logs: word.logs.map(|logs| storable(logs).into_owned()).or(taken.logs),
            progress: word.progress.map(to_json).or(taken.progress),
        });
    }
    if state.is_final() {
        effects.ended.push(TaskId::from_uuid(taken.id));
    }
    state
}

/// Makes a task wait again: ready, or scheduled if there is a delay.
fn put_back(taken: &Taken, facts: &Facts, (attempt, crashes): (u32, u32), delay: Duration, writes: &mut Writes) -> State {
    let place = Place {
        id: taken.id,
        seq: taken.seq,
        // What was attempted once no longer expires.
        expires_at: facts.expires_at.filter(|_| attempt == 0),
        queue: facts.queue,
        kind: facts.kind,
        attempt,
        claim_no: taken.claim_no,
        crashes,
        priority: facts.priority,
    };
    if delay.is_zero() {
        writes.ready(place);
        return State::Ready;
    }
    writes.scheduled(place, taken.now.saturating_add(delay).as_millis());
    State::Scheduled
}
