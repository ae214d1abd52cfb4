use std::sync::Arc;
use std::time::Duration;

use gristmill_core::{
    Ack, AttemptState, Ending, Failure, FailureReason, Fence, Held, LeaseRef, NewTask, Next, Note, Points, Progress, Retention,
    Settled, Settlement, State, TaskId, Timestamp, judge,
};
use rusqlite::{Connection, OptionalExtension, params};

use super::encode::keep_until;
use super::{ack_from, ended_of, enqueue, retention_from, to_json};
use crate::error::Fault;
use crate::sql;
use crate::text::Lossy;
use crate::tx::Tx;

/// Writes the end of one attempt, if its claim is still the newest.
pub(crate) fn settle(tx: &mut Tx<'_>, settlement: &Settlement) -> Result<Settled, Fault> {
    let Settlement { lease, ending, ran_for, result, failure, logs, progress, children } = settlement;
    let Some(held) = take_lease(tx.conn, lease.key, &mark(lease.id, lease.fence))? else { return Ok(Settled::LeaseLost) };
    tx.effects.points.add(Points::SETTLE);
    let silent = match ending {
        // It sat in a buffer and never ran.
        Ending::Released => ran_for.is_zero(),
        Ending::Crashed => !held.started,
        _ => false,
    };
    let word = Word {
        ending: *ending,
        ran_for: (*ending != Ending::Crashed).then_some(*ran_for),
        silent,
        result: result.as_deref(),
        failure: failure.as_deref(),
        logs: logs.as_deref(),
        progress: progress.as_deref(),
        children,
    };
    let state = finish(tx, lease.key, Some(lease.id), &held, &word)?;
    Ok(Settled::Done(state))
}

/// Records that handlers are about to run.
pub(crate) fn start(tx: &mut Tx<'_>, leases: &[LeaseRef]) -> Result<Vec<bool>, Fault> {
    let mut update = tx.conn.prepare_cached(sql::LEASE_START)?;
    tx.effects.points.add(Points::START);
    let held = leases.iter().map(|lease| Ok(update.execute(params![lease.key, mark(lease.id, lease.fence)])? > 0));
    held.collect()
}

/// Keeps logs and progress of running attempts.
pub(crate) fn note(tx: &mut Tx<'_>, notes: &[Note]) -> Result<Vec<bool>, Fault> {
    let mut flag = tx.conn.prepare_cached(sql::LEASE_NOTE)?;
    let mut set = tx.conn.prepare_cached(sql::LIVE_SET)?;
    let mut held = Vec::with_capacity(notes.len());
    for note in notes {
        let ours = flag.execute(params![note.lease.key, mark(note.lease.id, note.lease.fence)])? > 0;
        if ours {
            set.execute(params![note.lease.key, note.logs, note.progress.as_ref().map(to_json)])?;
        }
        held.push(ours);
    }
    Ok(held)
}

/// What a lease keeps of its fence: folded with the task's id, so that one comparison of sixteen bytes finds out both that
/// the claim is the right one and that the task is (all tasks of a claim share its fence).
pub(super) fn mark(id: TaskId, fence: Fence) -> [u8; 16] {
    fold(id, fence.as_bytes())
}

/// The fence behind a mark.
pub(super) fn fence_of(id: TaskId, mark: &[u8]) -> Option<Fence> {
    Fence::from_slice(&fold(id, mark.try_into().ok()?))
}

fn fold(id: TaskId, other: &[u8; 16]) -> [u8; 16] {
    std::array::from_fn(|i| id.as_bytes()[i] ^ other[i])
}

/// A lease that was just taken away.
pub(super) struct Lease {
    worker: i64,
    attempt: u32,
    claim_no: u32,
    crashes: u32,
    pub(super) started: bool,
    cancel: bool,
    noted: bool,
    retention: i64,
    claimed_at: i64,
}

/// Ends a lease; `None` if there is none with this mark.
pub(super) fn take_lease(conn: &Connection, seq: i64, mark: &[u8]) -> Result<Option<Lease>, Fault> {
    let lease = conn.prepare_cached(sql::LEASE_TAKE)?.query_row(params![seq, mark], |row| {
        Ok(Lease {
            worker: row.get(0)?,
            attempt: row.get(1)?,
            claim_no: row.get(2)?,
            crashes: row.get(3)?,
            started: row.get(4)?,
            cancel: row.get(5)?,
            noted: row.get(6)?,
            retention: row.get(7)?,
            claimed_at: row.get(8)?,
        })
    });
    Ok(lease.optional()?)
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
    pub(super) children: &'a [NewTask],
}

impl Word<'_> {
    /// Without a word from the handler.
    pub(super) fn of(ending: Ending, silent: bool) -> Self {
        Word { ending, ran_for: None, silent, result: None, failure: None, logs: None, progress: None, children: &[] }
    }
}

/// Decides and writes what becomes of a task whose lease was taken. Returns its state after.
pub(super) fn finish(tx: &mut Tx<'_>, seq: i64, id: Option<TaskId>, lease: &Lease, word: &Word<'_>) -> Result<State, Fault> {
    let conn = tx.conn;
    let (mut logs, mut progress) = (None, None);
    if lease.noted {
        let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, Option<Lossy>>(0)?, row.get::<_, Option<Lossy>>(1)?));
        let live = conn.prepare_cached(sql::LIVE_GET)?.query_row([seq], row).optional()?.unwrap_or_default();
        (logs, progress) = (live.0.map(|Lossy(text)| text), live.1.map(|Lossy(text)| text));
        conn.prepare_cached(sql::LIVE_DELETE)?.execute([seq])?;
    }
    // A plain success needs nothing that only the body knows.
    let facts = match word.ending {
        Ending::Succeeded => None,
        _ => facts(conn, seq)?,
    };
    let held = Held {
        attempt: lease.attempt,
        crashes: lease.crashes,
        max_attempts: facts.as_ref().map_or(1, |facts| facts.max_attempts),
        max_crashes: facts.as_ref().map_or(1, |facts| facts.max_crashes),
        ack: facts.as_ref().map_or(Ack::Late, |facts| facts.ack),
        started: lease.started,
        cancel_requested: lease.cancel,
    };
    let verdict = judge(&held, word.ending);
    let retention = retention_from(lease.retention);
    let id = id.or(facts.as_ref().and_then(|facts| facts.id));
    let (state, crashes) = match (verdict.next, &facts) {
        (Next::End(state), _) => (state, lease.crashes + u32::from(verdict.attempt == AttemptState::Crashed)),
        (Next::Again { attempt, crashes, delay }, Some(facts)) => {
            (put_back(tx, seq, facts, (attempt, lease.claim_no, crashes), delay)?, crashes)
        }
        // Its body is gone, so that nobody could run it again.
        (Next::Again { crashes, .. }, None) => (State::Failed, crashes),
    };
    if state == State::Succeeded && retention == Retention::None {
        conn.prepare_cached(sql::TASK_DELETE)?.execute([seq])?;
        if lease.claim_no > 1 {
            conn.prepare_cached(sql::OUTCOME_DELETE)?.execute([seq])?;
        }
        tx.effects.ended.extend(id);
    } else if state.is_final() || !word.silent {
        let default = if word.failure.is_none() { verdict.default_failure() } else { None };
        let claimed_at = Timestamp::from_millis(lease.claimed_at);
        let worker = tx.memory.worker_name(conn, lease.worker)?;
        let end = match id {
            Some(id) if state.is_final() => Some(End { state, retention, id }),
            _ => None,
        };
        write_outcome(
            tx,
            &Outcome {
                seq,
                claim_no: lease.claim_no,
                attempt: lease.attempt,
                crashes,
                state: verdict.attempt,
                end,
                started_at: Some(word.ran_for.map_or(claimed_at, |ran| tx.now.saturating_sub(ran).max(claimed_at))),
                worker,
                result: if state == State::Succeeded { word.result } else { None },
                error: word.failure.or(default.as_ref()),
                logs: word.logs.or(logs.as_deref()),
                progress: word.progress.map(to_json).or(progress),
            },
        )?;
    }
    if state == State::Succeeded && !word.children.is_empty() {
        enqueue(tx, word.children)?;
    }
    Ok(state)
}

/// What the body says that settling and cancelling need.
pub(super) struct Facts {
    /// `None` if it is damaged.
    pub(super) id: Option<TaskId>,
    pub(super) queue: i64,
    pub(super) kind: i64,
    pub(super) priority: i64,
    max_attempts: u32,
    max_crashes: u32,
    ack: Ack,
    pub(super) retention: i64,
    pub(super) expires_at: Option<i64>,
}

pub(super) fn facts(conn: &Connection, seq: i64) -> Result<Option<Facts>, Fault> {
    let facts = conn.prepare_cached(sql::TASK_FACTS)?.query_row([seq], |row| {
        Ok(Facts {
            id: row.get_ref(0)?.as_blob().ok().and_then(TaskId::from_slice),
            queue: row.get(1)?,
            kind: row.get(2)?,
            priority: row.get(3)?,
            max_attempts: row.get(4).unwrap_or(1),
            max_crashes: row.get(5).unwrap_or(1),
            ack: ack_from(row.get(6)?),
            retention: row.get(7)?,
            expires_at: row.get(8)?,
        })
    });
    Ok(facts.optional()?)
}

/// Makes a task wait again: ready, or scheduled if there is a delay. `counts` are attempt, claim number and crashes.
pub(super) fn put_back(
    tx: &mut Tx<'_>,
    seq: i64,
    facts: &Facts,
    counts: (u32, u32, u32),
    delay: Duration,
) -> Result<State, Fault> {
    let (attempt, claim_no, crashes) = counts;
    if attempt == 0
        && let Some(at) = facts.expires_at
    {
        tx.conn.prepare_cached(sql::EXPIRY_INSERT)?.execute(params![at, seq])?;
    }
    if delay.is_zero() {
        make_ready(tx, (facts.queue, facts.priority, seq, facts.kind), counts)?;
        return Ok(State::Ready);
    }
    let run_at = tx.now.saturating_add(delay).as_millis();
    tx.conn.prepare_cached(sql::SCHEDULED_INSERT)?.execute(params![seq, run_at, facts.queue, attempt, claim_no, crashes])?;
    tx.effects.scheduled = true;
    Ok(State::Scheduled)
}

/// Puts a task that was there before back into its place in the queue.
pub(super) fn make_ready(
    tx: &mut Tx<'_>,
    (queue, priority, seq, kind): (i64, i64, i64, i64),
    (attempt, claim_no, crashes): (u32, u32, u32),
) -> Result<(), Fault> {
    tx.conn.prepare_cached(sql::READY_INSERT)?.execute(params![queue, priority, seq, kind, attempt, claim_no, crashes])?;
    tx.memory.forget_floors();
    tx.effects.readied = true;
    Ok(())
}

/// One row of the history.
pub(super) struct Outcome<'a> {
    pub(super) seq: i64,
    pub(super) claim_no: u32,
    pub(super) attempt: u32,
    pub(super) crashes: u32,
    pub(super) state: AttemptState,
    pub(super) end: Option<End>,
    pub(super) started_at: Option<Timestamp>,
    pub(super) worker: Option<Arc<str>>,
    pub(super) result: Option<&'a str>,
    pub(super) error: Option<&'a Failure>,
    pub(super) logs: Option<&'a str>,
    pub(super) progress: Option<String>,
}

/// That the task ended with it.
pub(super) struct End {
    pub(super) state: State,
    pub(super) retention: Retention,
    pub(super) id: TaskId,
}

pub(super) fn write_outcome(tx: &mut Tx<'_>, outcome: &Outcome<'_>) -> Result<(), Fault> {
    let state = AttemptState::ALL.iter().position(|state| *state == outcome.state).unwrap_or_default();
    tx.conn.prepare_cached(sql::OUTCOME_INSERT)?.execute(params![
        outcome.seq,
        outcome.claim_no,
        outcome.attempt,
        outcome.crashes,
        state as i64,
        outcome.end.as_ref().map_or(0, |end| ended_of(end.state)),
        tx.now.as_millis(),
        outcome.started_at.map(Timestamp::as_millis),
        outcome.end.as_ref().and_then(|end| keep_until(end.retention, tx.now)),
        outcome.worker,
        outcome.result,
        outcome.error.map(to_json),
        outcome.logs,
        outcome.progress,
    ])?;
    tx.effects.ended.extend(outcome.end.as_ref().map(|end| end.id));
    Ok(())
}

/// Ends a task that waits: cancelled or expired. It has left its place in the queue before.
pub(super) fn end_unstarted(
    tx: &mut Tx<'_>,
    seq: i64,
    id: TaskId,
    retention: i64,
    state: State,
    (attempt, claim_no, crashes): (u32, u32, u32),
) -> Result<(), Fault> {
    let (attempt_state, failure) = match state {
        State::Expired => (AttemptState::Expired, Failure::new(FailureReason::Expired, "not started by its deadline")),
        _ => (AttemptState::Cancelled, Failure::new(FailureReason::Cancelled, "cancelled before it started")),
    };
    write_outcome(
        tx,
        &Outcome {
            seq,
            claim_no: claim_no.saturating_add(1),
            attempt,
            crashes,
            state: attempt_state,
            end: Some(End { state, retention: retention_from(retention), id }),
            started_at: None,
            worker: None,
            result: None,
            error: Some(&failure),
            logs: None,
            progress: None,
        },
    )
}
