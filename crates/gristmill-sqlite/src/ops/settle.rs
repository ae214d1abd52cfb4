use std::borrow::Cow;
use std::time::Duration;

use gristmill_core::kit::Word;
use gristmill_core::kit::encode::{retention_from, to_json};
use gristmill_core::{
    Ack, AttemptState, Ending, EnqueueOutcome, Fence, Flags, Held, LeaseRef, Next, Note, Place, Points, Retention, Settled,
    Settlement, State, TaskId, Timestamp, judge,
};
use rusqlite::{Connection, OptionalExtension, params};

use super::concurrency::{give_back, spend};
use super::ended::{End, end};
use super::enqueue;
use super::facts::{Facts, facts};
use super::history::{Attempt, Mark, write};
use super::place::place;
use crate::error::Fault;
use crate::sql;
use crate::text::Lossy;
use crate::tx::{Tx, whole};

/// Writes the end of one attempt, if its claim is still the newest. If one of its children is refused, as its id is another
/// task's, none is kept and the attempt has failed.
pub(crate) fn settle(tx: &mut Tx<'_>, settlement: &Settlement) -> Result<Settled, Fault> {
    let Some((key, lease)) = take(tx, &settlement.lease)? else { return Ok(Settled::LeaseLost) };
    let state = match write_all(tx, key, &lease, settlement)? {
        Ok(state) => state,
        Err(child) => write_end(tx, key, &lease, &settlement.refused(child))?,
    };
    Ok(Settled::Done(state))
}

/// As [`settle`], in a transaction that the attempt itself may commit: if a child is refused, it is an error and nothing is
/// written, as what else is in the transaction belongs to a success.
pub(crate) fn settle_within(tx: &mut Tx<'_>, settlement: &Settlement) -> Result<Settled, Fault> {
    let settled = whole(tx, |tx| {
        let Some((key, lease)) = take(tx, &settlement.lease)? else { return Ok(Ok(Settled::LeaseLost)) };
        Ok(write_all(tx, key, &lease, settlement)?.map(Settled::Done))
    })?;
    settled.map_err(|child| {
        Fault::invalid(format!(
            "the attempt enqueued a task with the id {child}, which is another task's; nothing was written: choose another id, and \
             settle again"
        ))
    })
}

/// Takes the lease, if it is the one of this claim; with the task's key.
pub(super) fn take(tx: &mut Tx<'_>, lease: &LeaseRef) -> Result<Option<(i64, Lease)>, Fault> {
    let Some(key) = lease.key.number() else { return Ok(None) };
    let held = take_lease(tx, key, &mark(lease.id, lease.fence))?;
    Ok(held.map(|held| (key, held)))
}

/// Writes what becomes of the task, and with a success what its handler enqueued: all of it or, if a child is refused, nothing.
fn write_all(tx: &mut Tx<'_>, key: i64, lease: &Lease, settlement: &Settlement) -> Result<Result<State, TaskId>, Fault> {
    let Settlement { ending, children, .. } = settlement;
    if children.is_empty() || *ending != Ending::Succeeded {
        return write_end(tx, key, lease, settlement).map(Ok);
    }
    whole(tx, |tx| {
        let state = write_end(tx, key, lease, settlement)?;
        let outcomes = enqueue(tx, children)?;
        let refused = children.iter().zip(outcomes).find(|(_, outcome)| *outcome == EnqueueOutcome::Conflict);
        Ok(refused.map_or(Ok(state), |(child, _)| Err(child.id)))
    })
}

pub(super) fn write_end(tx: &mut Tx<'_>, key: i64, lease: &Lease, settlement: &Settlement) -> Result<State, Fault> {
    tx.effects.points.add(Points::SETTLE);
    finish(tx, key, Some(settlement.lease.id), lease, &Word::of(settlement, lease.started))
}

/// Records that handlers are about to run.
pub(crate) fn start(tx: &mut Tx<'_>, leases: &[LeaseRef]) -> Result<Vec<bool>, Fault> {
    let mut update = tx.conn.prepare_cached(sql::LEASE_START)?;
    tx.effects.points.add(Points::START);
    let held = leases.iter().map(|lease| match lease.key.number() {
        Some(key) => Ok(update.execute(params![key, mark(lease.id, lease.fence)])? > 0),
        None => Ok(false),
    });
    held.collect()
}

/// What a lease's `noted` says is kept beside it: logs and progress, until it ends.
const NOTES: i64 = 1;
/// And what the task is to remember when it has.
const MEMORIES: i64 = 2;

/// Says that a running attempt remembers something; false if its claim is no longer the newest.
pub(super) fn remembers(conn: &Connection, lease: &LeaseRef) -> Result<bool, Fault> {
    let Some(key) = lease.key.number() else { return Ok(false) };
    Ok(conn.prepare_cached(sql::LEASE_NOTE)?.execute(params![key, mark(lease.id, lease.fence), MEMORIES])? > 0)
}

/// Keeps logs and progress of running attempts.
pub(crate) fn note(tx: &mut Tx<'_>, notes: &[Note]) -> Result<Vec<bool>, Fault> {
    tx.effects.changed = true;
    let mut flag = tx.conn.prepare_cached(sql::LEASE_NOTE)?;
    let mut set = tx.conn.prepare_cached(sql::LIVE_SET)?;
    let mut held = Vec::with_capacity(notes.len());
    for note in notes {
        let Some(key) = note.lease.key.number() else {
            held.push(false);
            continue;
        };
        let ours = flag.execute(params![key, mark(note.lease.id, note.lease.fence), NOTES])? > 0;
        if ours {
            set.execute(params![key, note.logs, note.progress.as_ref().map(to_json)])?;
        }
        held.push(ours);
    }
    Ok(held)
}

/// What a lease keeps of its fence: folded with the task's id, so that one comparison of sixteen bytes finds out both that
/// the claim is the right one and that the task is (all tasks of a claim share its fence).
pub(crate) fn mark(id: TaskId, fence: Fence) -> [u8; 16] {
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
    pub(super) cancel: bool,
    noted: i64,
    retention: Retention,
    claimed_at: Timestamp,
    flags: Flags,
}

/// Ends a lease; `None` if there is none with this mark.
pub(super) fn take_lease(tx: &mut Tx<'_>, key: i64, mark: &[u8]) -> Result<Option<Lease>, Fault> {
    let lease = tx.kept(sql::LEASE_TAKE)?.query_row(params![key, mark], |row| {
        Ok(Lease {
            worker: row.get(0)?,
            attempt: row.get(1)?,
            claim_no: row.get(2)?,
            crashes: row.get(3)?,
            started: row.get(4)?,
            cancel: row.get(5)?,
            noted: row.get(6)?,
            retention: retention_from(row.get(7)?),
            claimed_at: Timestamp::from_millis(row.get(8)?),
            flags: Flags::from_bits(row.get(9)?),
        })
    });
    Ok(lease.optional()?)
}

/// Decides and writes what becomes of a task whose lease was taken. Returns its state after.
pub(super) fn finish(tx: &mut Tx<'_>, key: i64, id: Option<TaskId>, lease: &Lease, word: &Word<'_>) -> Result<State, Fault> {
    let (noted_logs, noted_progress) = if lease.noted & NOTES != 0 { take_notes(tx.conn, key)? } else { (None, None) };
    // A success needs nothing that only the body knows.
    let facts = match word.ending {
        Ending::Succeeded => None,
        _ => facts(tx.conn, key)?,
    };
    let held = Held {
        attempt: lease.attempt,
        crashes: lease.crashes,
        max_attempts: facts.as_ref().map_or(1, |facts| facts.max_attempts),
        max_crashes: facts.as_ref().map_or(1, |facts| facts.max_crashes),
        ack: facts.as_ref().map_or(Ack::Late, |facts| facts.ack),
        started: lease.started,
        cancel_requested: lease.cancel,
        flags: lease.flags,
    };
    let verdict = judge(&held, word.ending);
    let default = if word.failure.is_none() { verdict.default_failure() } else { None };
    let id = id.or(facts.as_ref().and_then(|facts| facts.id));
    let mut attempt = Attempt {
        key,
        claim_no: lease.claim_no,
        attempt: lease.attempt,
        crashes: lease.crashes,
        state: verdict.attempt,
        started_at: Some(word.ran_for.map_or(lease.claimed_at, |ran| tx.now.saturating_sub(ran).max(lease.claimed_at))),
        worker: Some(lease.worker),
        result: None,
        error: word.failure.or(default.as_ref()),
        logs: word.logs.or(noted_logs.as_deref()),
        progress: word.progress.map(|progress| Cow::Owned(to_json(progress))).or(noted_progress.map(Cow::Owned)),
    };
    if lease.flags.has(Flags::RATED) {
        spend(tx, key, lease.claimed_at)?;
    }
    let state = match (verdict.next, &facts) {
        (Next::Again { attempt: used, crashes, delay, place }, Some(facts)) => {
            attempt.crashes = crashes;
            // To wait leaves no trace but for logs, which have no other place.
            let has_waited = matches!(word.ending, Ending::Snooze { .. });
            if !word.silent || (has_waited && attempt.logs.is_some()) {
                write(tx, &attempt, &Mark::default())?;
            }
            return put_back(tx, place, facts, (used, lease.claim_no, crashes), lease.flags, delay);
        }
        // Its body is gone, so that nobody could run it again.
        (Next::Again { crashes, .. }, None) => {
            attempt.crashes = crashes;
            State::Failed
        }
        (Next::End(state), _) => {
            attempt.crashes = attempt.crashes.saturating_add(u32::from(verdict.attempt == AttemptState::Crashed));
            state
        }
    };
    if state == State::Succeeded {
        attempt.result = word.result;
    }
    let remembers = lease.claim_no > 1 || lease.noted & MEMORIES != 0;
    end(tx, &End { id, state, flags: lease.flags, retention: lease.retention, remembers, attempt })?;
    Ok(state)
}

/// Logs and progress that were kept while it ran; they go with the lease.
fn take_notes(conn: &Connection, key: i64) -> Result<(Option<String>, Option<String>), Fault> {
    let notes = conn.prepare_cached(sql::LIVE_GET)?.query_row([key], |row| Ok((row.get(0)?, row.get(1)?)));
    let (logs, progress) = notes.optional()?.unwrap_or_default();
    conn.prepare_cached(sql::LIVE_DELETE)?.execute([key])?;
    let text = |text: Option<Lossy>| text.map(|Lossy(text)| text);
    Ok((text(logs), text(progress)))
}

/// Makes a task wait again after an attempt. `counts` are attempt, claim number and crashes.
fn put_back(
    tx: &mut Tx<'_>,
    waits: Place,
    facts: &Facts,
    counts: (u32, u32, u32),
    flags: Flags,
    delay: Duration,
) -> Result<State, Fault> {
    if counts.0 == 0
        && let Some(at) = facts.expires_at
    {
        tx.conn.prepare_cached(sql::EXPIRY_INSERT)?.execute(params![at, facts.key])?;
    }
    if flags.has(Flags::LIMITED) {
        give_back(tx, facts.key, false)?;
    }
    let mut waiter = facts.waiter(counts, flags);
    waiter.run_at = tx.now.saturating_add(delay).as_millis();
    place(tx, waits, &waiter)
}
