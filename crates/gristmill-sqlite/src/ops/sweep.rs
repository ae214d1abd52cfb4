use std::time::Duration;

use gristmill_core::kit::Word;
use gristmill_core::kit::watch::Beat;
use gristmill_core::{Ending, Flags, Place, Points, Standing, State, Swept, TaskId, Timestamp, place as place_of};
use rusqlite::{Connection, OptionalExtension, params};

use super::aside::set_aside;
use super::budget::Budget;
use super::cancel::take_waiting;
use super::concurrency::{self, admit_touched};
use super::durable;
use super::ended::end_unstarted;
use super::facts::facts;
use super::label;
use super::place::place;
use super::schedule::prune_ticks;
use super::settle::{finish, take_lease};
use super::{unique, workflow};
use crate::error::Fault;
use crate::sql;
use crate::tx::Tx;
use crate::view::{Counting, Lost};
use crate::whereabouts::{self, Waiter};

/// The flags that this version does not know: what has one is left to those that do.
pub(crate) const UNKNOWN: i32 = !Flags::KNOWN.bits();

/// How long a dead worker's row is kept for people to see.
const WORKER_KEPT_MS: i64 = 3_600_000;

/// What a worker held that is forgotten by hand comes back so many tasks at once.
pub(crate) const RESCUED_AT_ONCE: usize = 1_000;

/// Does the work that no task waits for in particular, at most `limit` tasks of each and as much as may be done at once.
///
/// `quiet` are the workflows that were found to stand still, `lost` are tasks with durable steps that somebody has to see to.
pub(crate) fn sweep(tx: &mut Tx<'_>, limit: usize, quiet: &[Counting], lost: &Lost) -> Result<Swept, Fault> {
    let promoted = due(tx, limit)?;
    let mut ended = tx.memory.take_untold();
    lose_the_dead(tx)?;
    let rescued = rescue(tx, limit, &mut ended)?;
    let (expiring, expired) = expire(tx, limit, &mut ended)?;
    label::fill(tx.conn)?;
    concurrency::repair(tx)?;
    admit_touched(tx)?;
    let is_left = durable::sweep(tx, limit, lost)? | workflow::sweep(tx, limit, quiet)? | workflow::cancel_overdue(tx, limit)?;
    if rescued.done() > 0 {
        tx.effects.points.add(Points::RESCUE);
    }
    let next_due = next_due(tx, is_left || [&promoted, &rescued, &expiring].iter().any(|part| part.is_spent()))?;
    let [promoted, rescued] = [promoted, rescued].map(|part| part.done());
    // What is parked is found there by whoever serves it.
    Ok(Swept { promoted, rescued, expired, ended, unparked: 0, next_due })
}

/// The part of it that cannot wait: makes ready what is due, and what a workflow or an event lets go.
pub(crate) fn promote(tx: &mut Tx<'_>, limit: usize) -> Result<Swept, Fault> {
    let promoted = due(tx, limit)?;
    concurrency::touch_due(tx)?;
    admit_touched(tx)?;
    let is_left = workflow::go_on_with_chores(tx, limit)? | workflow::cancel_overdue(tx, limit)? | durable::tell(tx, limit)?;
    let next_due = next_due(tx, is_left || promoted.is_spent())?;
    Ok(Swept { promoted: promoted.done(), next_due, ..Swept::default() })
}

/// How long until the next task is due, or the next workflow has to end; no time at all if more is left to do.
fn next_due(tx: &mut Tx<'_>, is_spent: bool) -> Result<Option<Duration>, Fault> {
    tx.effects.swept = true;
    let next: Option<i64> = if is_spent {
        Some(tx.now.as_millis())
    } else {
        // What is due and still there is not for this version to promote.
        let task: Option<i64> = tx.conn.prepare_cached(sql::SCHEDULED_NEXT)?.query_row([tx.now.as_millis()], |row| row.get(0))?;
        let workflow: Option<i64> = tx.conn.prepare_cached(sql::WORKFLOW_DEADLINE_NEXT)?.query_row([], |row| row.get(0))?;
        let rate: Option<i64> = tx.conn.prepare_cached(sql::KEY_NEXT)?.query_row([], |row| row.get(0))?;
        [task, workflow, rate].into_iter().flatten().min()
    };
    tx.memory.told_next_due(next);
    Ok(next.map(|at| Timestamp::from_millis(at).since(tx.now)))
}

/// Deletes what is kept no longer.
pub(crate) fn prune(tx: &mut Tx<'_>, limit: usize) -> Result<usize, Fault> {
    let conn = tx.conn;
    conn.prepare_cached(sql::WORKER_PRUNE)?.execute([tx.now.as_millis().saturating_sub(WORKER_KEPT_MS)])?;
    let is_retried = conn.prepare_cached(sql::STEP_RETRIED)?.exists([])?;
    let over = if is_retried { sql::OUTCOME_OVER_UNHELD } else { sql::OUTCOME_OVER };
    let over: Vec<i64> = column(conn, over, tx.now.as_millis(), limit)?;
    let (mut outcome, mut memory) = (conn.prepare_cached(sql::OUTCOME_DELETE)?, conn.prepare_cached(sql::MEMORY_DELETE)?);
    // Where none remembers anything, none pays for it.
    let remembers: bool = conn.prepare_cached(sql::MEMORY_ANY)?.query_row([], |row| row.get(0))?;
    // Of rows, as some have many more than others.
    let mut budget = Budget::new(usize::MAX);
    let mut rows = 0;
    for (nth, seq) in over.iter().enumerate() {
        if !budget.take_as(rows) {
            return Ok(nth);
        }
        if remembers && let Some(id) = starter(conn, *seq)? {
            durable::leave_children(tx, id)?;
        }
        rows = outcome.execute([seq])? + if remembers { memory.execute([seq])? } else { 0 };
        rows += label::delete(conn, *seq)?;
    }
    concurrency::prune(tx)?;
    unique::prune(tx)?;
    let mut done = over.len() + workflow::prune(tx, limit - over.len())?;
    done += durable::prune(tx, limit - done)?;
    Ok(done + prune_ticks(tx, count(limit - done))?)
}

/// The id of a task that did not succeed, and had started workflows which nobody has seen to.
fn starter(conn: &Connection, seq: i64) -> Result<Option<TaskId>, Fault> {
    let mut starter = conn.prepare_cached(sql::MEMORY_STARTER)?;
    let found = starter.query_row([seq], |row| Ok(row.get_ref(0)?.as_blob().ok().and_then(TaskId::from_slice)));
    Ok(found.optional()?.flatten())
}

/// Makes ready what is due, within a budget.
fn due(tx: &mut Tx<'_>, limit: usize) -> Result<Budget, Fault> {
    let due: Vec<(i64, u32, u32, u32, Flags)> = {
        let mut due = tx.conn.prepare_cached(sql::SCHEDULED_DUE)?;
        let rows = due.query_map(params![tx.now.as_millis(), count(limit), UNKNOWN], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, Flags::from_bits(row.get(4)?)))
        })?;
        rows.collect::<Result<_, _>>()?
    };
    let mut budget = Budget::new(limit);
    for &(key, attempt, claim_no, crashes, flags) in &due {
        if !budget.take() {
            break;
        }
        let facts = facts(tx.conn, key)?;
        let waiter = match &facts {
            Some(facts) => facts.waiter((attempt, claim_no, crashes), flags),
            None => Waiter { attempt, claim_no, crashes, flags, ..Waiter::unread(key) },
        };
        whereabouts::remove(tx.conn, Place::Scheduled, &waiter)?;
        if facts.is_some() {
            place(tx, place_of(Standing { limited: flags.has(Flags::LIMITED), ..Standing::default() }), &waiter)?;
        } else {
            set_aside(tx, &waiter, "its body is missing")?;
        }
    }
    if budget.done() > 0 {
        tx.effects.points.add(Points::PROMOTE);
    }
    Ok(budget)
}

/// Takes for dead who is, whatever was done to the clock meanwhile.
fn lose_the_dead(tx: &mut Tx<'_>) -> Result<(), Fault> {
    let beats: Vec<Beat> = {
        let mut look = tx.conn.prepare_cached(sql::WORKER_LOOK)?;
        let rows = look.query_map([], |row| {
            // Not as `u64`, which newer versions of rusqlite read only with a feature that 0.32 lacks.
            let lease = row.get::<_, Option<i64>>(2)?.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis);
            Ok(Beat { worker: row.get(0)?, expires_at: Timestamp::from_millis(row.get(1)?), lease })
        })?;
        rows.collect::<Result<_, _>>()?
    };
    for dead in tx.memory.watch.dead(tx.now, tx.passed, &beats) {
        tx.conn.prepare_cached(sql::WORKER_LOSE)?.execute(params![dead.worker, tx.now.as_millis()])?;
    }
    Ok(())
}

fn rescue(tx: &mut Tx<'_>, limit: usize, ended: &mut Vec<TaskId>) -> Result<Budget, Fault> {
    let lost: Vec<(i64, Vec<u8>)> = {
        let mut lost = tx.conn.prepare_cached(sql::LEASE_LOST)?;
        let rows = lost.query_map(params![count(limit), UNKNOWN], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<Result<_, _>>()?
    };
    let mut budget = Budget::new(limit);
    for (seq, mark) in &lost {
        if !budget.take() {
            break;
        }
        if let Some(lease) = take_lease(tx, *seq, mark)? {
            let state = finish(tx, *seq, None, &lease, &Word::without(Ending::Crashed, lease.started))?;
            if state.is_final() {
                ended.extend(facts(tx.conn, *seq)?.and_then(|facts| facts.id));
            }
        }
    }
    Ok(budget)
}

/// Takes back what lost workers held, for whoever has just lost one by hand; true if there may be more. The next sweep tells what
/// ended so.
pub(crate) fn rescue_for_hand(tx: &mut Tx<'_>) -> Result<bool, Fault> {
    let mut ended = Vec::new();
    let rescued = rescue(tx, RESCUED_AT_ONCE, &mut ended)?;
    ended.into_iter().for_each(|id| tx.memory.note_ended(id));
    if rescued.done() > 0 {
        tx.effects.points.add(Points::RESCUE);
    }
    Ok(rescued.is_spent())
}

fn expire(tx: &mut Tx<'_>, limit: usize, ended: &mut Vec<TaskId>) -> Result<(Budget, usize), Fault> {
    let due: Vec<(i64, i64)> = {
        let mut due = tx.conn.prepare_cached(sql::EXPIRY_DUE)?;
        let rows = due.query_map(params![tx.now.as_millis(), count(limit)], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<Result<_, _>>()?
    };
    let (mut budget, mut expired) = (Budget::new(limit), 0);
    for (at, seq) in due {
        if !budget.take() {
            break;
        }
        tx.conn.prepare_cached(sql::EXPIRY_DELETE)?.execute(params![at, seq])?;
        let Some(facts) = facts(tx.conn, seq)? else { continue };
        let (Some(id), Some(waiter)) = (facts.id, take_waiting(tx, &facts)?) else { continue };
        end_unstarted(tx, State::Expired, &waiter, Some(id), facts.retention)?;
        ended.push(id);
        expired += 1;
    }
    Ok((budget, expired))
}

fn column(conn: &Connection, sql: &str, until: i64, limit: usize) -> Result<Vec<i64>, Fault> {
    let mut statement = conn.prepare_cached(sql)?;
    let rows = statement.query_map(params![until, count(limit)], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(crate) fn count(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
