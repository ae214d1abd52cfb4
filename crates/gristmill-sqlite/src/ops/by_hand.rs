use gristmill_core::concurrency::fair::is_by_turn;
use gristmill_core::kit::Word;
use gristmill_core::kit::encode::ended_from;
use gristmill_core::{DeleteOutcome, Ending, Flags, MoveOutcome, Place, Points, ReleaseOutcome, State, TaskId, WorkerId};
use rusqlite::{OptionalExtension, params};

use super::durable;
use super::facts::facts_of;
use super::label;
use super::place::{behind, beside, place};
use super::release::make_due;
use super::settle::{finish, take_lease};
use super::sweep::UNKNOWN;
use super::worker::key;
use super::workflow;
use crate::error::Fault;
use crate::sql;
use crate::tx::Tx;
use crate::whereabouts::{self, Waiter};

/// Takes a running task from its worker, or a scheduled one from its time.
pub(crate) fn release(tx: &mut Tx<'_>, id: TaskId) -> Result<ReleaseOutcome, Fault> {
    tx.effects.changed = true;
    let Some(facts) = facts_of(tx.conn, id)? else { return Ok(ReleaseOutcome::NotFound) };
    let held: Option<(Vec<u8>, i32)> =
        tx.conn.prepare_cached(sql::LEASE_MARK)?.query_row([facts.key], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    // What has a flag that only newer versions know is left to them, wherever it is.
    if let Some((mark, _)) = held.filter(|(_, flags)| flags & UNKNOWN == 0)
        && let Some(lease) = take_lease(tx, facts.key, &mark)?
    {
        tx.effects.points.add(Points::RELEASE);
        let state = finish(tx, facts.key, Some(id), &lease, &Word::without(Ending::Released, lease.started))?;
        return Ok(if state.is_final() { ReleaseOutcome::Ended } else { ReleaseOutcome::Released });
    }
    if make_due(tx, &facts)? {
        return Ok(ReleaseOutcome::Released);
    }
    let ended = tx.conn.prepare_cached(sql::OUTCOME_FINAL)?.exists([facts.key])?;
    Ok(if ended { ReleaseOutcome::AlreadyEnded } else { ReleaseOutcome::Waits })
}

/// Moves a task that waits to another queue.
pub(crate) fn move_to(tx: &mut Tx<'_>, id: TaskId, queue: i64) -> Result<MoveOutcome, Fault> {
    tx.effects.changed = true;
    let Some(facts) = facts_of(tx.conn, id)? else { return Ok(MoveOutcome::NotFound) };
    let found = whereabouts::find(tx.conn, &facts.address())?.filter(|(_, waiter)| waiter.flags.unknown().is_none());
    let Some((from, waiter)) = found.filter(|_| facts.queue != queue) else { return Ok(MoveOutcome::Unchanged) };
    whereabouts::remove(tx.conn, from, &waiter)?;
    tx.conn.prepare_cached(sql::TASK_REQUEUE)?.execute([facts.key, queue])?;
    // What nobody served there somebody may serve here.
    let to = if from == Place::Parked { Place::Ready } else { from };
    let waiter = Waiter { queue, ..waiter };
    // A turn is one among those of its queue, and would stand behind all arrivals of another.
    let by_turn = matches!(from, Place::Ready | Place::Parked) && is_by_turn(waiter.line.seq);
    let waiter = if by_turn { behind(tx, waiter)? } else { beside(tx, to, waiter)? };
    place(tx, to, &waiter)?;
    Ok(MoveOutcome::Moved)
}

/// Deletes an ended task with all that is kept of it.
pub(crate) fn delete(tx: &mut Tx<'_>, id: TaskId) -> Result<DeleteOutcome, Fault> {
    let key = tx.conn.prepare_cached(sql::TASK_FIND)?.query_row([id.as_bytes().as_slice()], |row| row.get::<_, i64>(0));
    let Some(key) = key.optional()? else { return Ok(DeleteOutcome::NotFound) };
    let last = tx
        .conn
        .prepare_cached(sql::OUTCOME_FINAL)?
        .query_row([key], |row| Ok((ended_from(row.get(3)?), Flags::from_bits(row.get(5)?), Flags::from_bits(row.get(6)?))));
    // What is owed a newer version has yet to do.
    let Some((state, flags, _)) = last.optional()?.filter(|(.., owed)| owed.is_none()) else {
        return Ok(DeleteOutcome::NotEnded);
    };
    if flags.has(Flags::MEMBER) && workflow::wants(tx.conn, key)? {
        return Ok(DeleteOutcome::Wanted);
    }
    tx.effects.changed = true;
    if state != State::Succeeded {
        durable::leave_children(tx, id)?;
    }
    tx.conn.prepare_cached(sql::OUTCOME_DELETE)?.execute([key])?;
    tx.conn.prepare_cached(sql::MEMORY_DELETE)?.execute([key])?;
    label::delete(tx.conn, key)?;
    Ok(DeleteOutcome::Deleted)
}

/// Takes a worker for dead; how many tasks it holds, `None` if there is none of this id.
pub(crate) fn lose_worker(tx: &mut Tx<'_>, worker: WorkerId) -> Result<Option<u64>, Fault> {
    let Some(key) = key(tx.conn, worker)? else { return Ok(None) };
    tx.effects.changed = true;
    tx.conn.prepare_cached(sql::WORKER_LOSE)?.execute(params![key, tx.now.as_millis()])?;
    Ok(Some(tx.conn.prepare_cached(sql::WORKER_HELD)?.query_row([key], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)?))
}

/// Asks a worker to end; false if there is none of this id that was not taken for dead.
pub(crate) fn drain_worker(tx: &mut Tx<'_>, worker: WorkerId) -> Result<bool, Fault> {
    let is_there = tx.conn.prepare_cached(sql::WORKER_DRAIN)?.execute([worker.as_bytes().as_slice()])? > 0;
    tx.effects.changed |= is_there;
    Ok(is_there)
}

/// Deletes the row of a worker from which everything was taken.
pub(crate) fn bury_worker(tx: &mut Tx<'_>, worker: WorkerId) -> Result<(), Fault> {
    let Some(key) = key(tx.conn, worker)? else { return Ok(()) };
    tx.conn.prepare_cached(sql::WORKER_DELETE)?.execute([key])?;
    tx.memory.forget_worker(worker, key);
    tx.effects.left.push(worker);
    Ok(())
}
