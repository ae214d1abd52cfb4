use gristmill_core::kit::encode::ended_from;
use gristmill_core::{CancelOutcome, Flags, RetryOutcome, Standing, State, TaskId, place as place_of};
use rusqlite::{OptionalExtension, params};

use super::durable;
use super::ended::end_unstarted;
use super::facts::{Facts, facts_of};
use super::place::place;
use super::workflow;
use crate::error::Fault;
use crate::sql;
use crate::tx::Tx;
use crate::whereabouts::{self, Waiter};

/// Cancels one task: at once if it waits, by request if it runs.
pub(crate) fn cancel(tx: &mut Tx<'_>, id: TaskId) -> Result<CancelOutcome, Fault> {
    tx.effects.changed = true;
    let Some(facts) = facts_of(tx.conn, id)? else { return Ok(CancelOutcome::NotFound) };
    cancel_known(tx, &facts)
}

/// The same for one that is known.
pub(super) fn cancel_known(tx: &mut Tx<'_>, facts: &Facts) -> Result<CancelOutcome, Fault> {
    if tx.conn.prepare_cached(sql::LEASE_CANCEL)?.execute([facts.key])? > 0 {
        tx.effects.cancelled = true;
        return Ok(CancelOutcome::CancelRequested);
    }
    let Some(waiter) = take_waiting(tx, facts)? else { return Ok(CancelOutcome::AlreadyEnded) };
    end_unstarted(tx, State::Cancelled, &waiter, facts.id, facts.retention)?;
    Ok(CancelOutcome::Cancelled)
}

/// Makes one ended task run again, as soon as its limit admits it if it has one.
pub(crate) fn retry(tx: &mut Tx<'_>, id: TaskId) -> Result<RetryOutcome, Fault> {
    let Some(facts) = facts_of(tx.conn, id)? else { return Ok(RetryOutcome::NotFound) };
    let again = retry_known(tx, &facts, None, false)?;
    Ok(if again.is_some() { RetryOutcome::Ready } else { RetryOutcome::NotEnded })
}

/// The same for one that is known, with or without its history: the state in which it had ended, `None` if it has not. `blocked`: whether it
/// waits for others then; else that is looked up.
pub(super) fn retry_known(tx: &mut Tx<'_>, facts: &Facts, blocked: Option<bool>, forgets: bool) -> Result<Option<State>, Fault> {
    let last = tx.conn.prepare_cached(sql::OUTCOME_FINAL)?.query_row([facts.key], |row| {
        Ok((row.get::<_, u32>(0)?, ended_from(row.get(3)?), Flags::from_bits(row.get(5)?), Flags::from_bits(row.get(6)?)))
    });
    // What is owed a newer version has yet to finish.
    let Some((claim_no, state, flags, _)) = last.optional()?.filter(|(.., owed)| owed.is_none()) else { return Ok(None) };
    tx.conn.prepare_cached(sql::OUTCOME_REOPEN)?.execute(params![facts.key, claim_no])?;
    if let Some(id) = facts.id {
        durable::forget_for_retry(tx, id, state, forgets)?;
    }
    if forgets {
        tx.conn.prepare_cached(sql::OUTCOME_DELETE)?.execute([facts.key])?;
    }
    // Whoever retries wants it to run, however late it is.
    tx.conn.prepare_cached(sql::TASK_UNEXPIRE)?.execute([facts.key])?;
    let blocked = match blocked {
        Some(blocked) => blocked,
        None => flags.has(Flags::MEMBER) && workflow::waits(tx.conn, facts.key)?,
    };
    let waits = place_of(Standing { blocked, limited: flags.has(Flags::LIMITED), ..Standing::default() });
    place(tx, waits, &facts.waiter((0, claim_no, 0), flags))?;
    Ok(Some(state))
}

/// Takes a task that waits out of wherever it does; `None` if it does not wait.
pub(super) fn take_waiting(tx: &mut Tx<'_>, facts: &Facts) -> Result<Option<Waiter>, Fault> {
    let Some((place, waiter)) = whereabouts::find(tx.conn, &facts.address())? else { return Ok(None) };
    whereabouts::remove(tx.conn, place, &waiter)?;
    if let Some(at) = facts.expires_at {
        tx.conn.prepare_cached(sql::EXPIRY_DELETE)?.execute(params![at, facts.key])?;
    }
    Ok(Some(waiter))
}
