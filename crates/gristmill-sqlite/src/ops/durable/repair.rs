use gristmill_core::kit::encode::ended_from;
use gristmill_core::{State, TaskId};
use rusqlite::OptionalExtension;

use super::super::budget::Budget;
use super::super::facts::facts_of;
use super::super::workflow::leave_behind;
use super::event::tell;
use super::resume::forget;
use super::wait::{children, take_what_came, wake};
use crate::error::Fault;
use crate::sql;
use crate::tx::Tx;
use crate::view::Lost;
use crate::whereabouts;

/// What sweeps do for tasks with durable steps: they tell those who wait of events, and see to what was found lost. True if there may be more of
/// the first.
pub(in super::super) fn sweep(tx: &mut Tx<'_>, limit: usize, lost: &Lost) -> Result<bool, Fault> {
    mend(tx, limit, lost)?;
    tell(tx, limit)
}

/// Lets those go on to whom nobody told what has come, cancels workflows that were started by tasks that ended before them, and forgets what
/// tasks remembered that are gone; at most so many tasks, and not what has changed since it was found.
fn mend(tx: &mut Tx<'_>, limit: usize, lost: &Lost) -> Result<(), Fault> {
    let mut budget = Budget::new(limit);
    for task in &lost.ended {
        if !budget.take() {
            return Ok(());
        }
        drop_waits(tx, *task)?;
    }
    for task in &lost.waits {
        if !budget.take() {
            return Ok(());
        }
        if take_what_came(tx, *task)? && wake(tx, *task)? {
            tracing::warn!(%task, "what a task waited for had come, and it had not been told");
        }
    }
    for task in &lost.gone {
        if !budget.take() {
            return Ok(());
        }
        if has_done_nothing(tx, *task)? {
            forget(tx, *task, 0)?;
        }
    }
    Ok(())
}

/// Whether no attempt of a task of this id can have remembered anything. One may have come since it was gone, and is to begin with nothing, too.
fn has_done_nothing(tx: &Tx<'_>, id: TaskId) -> Result<bool, Fault> {
    let Some(facts) = facts_of(tx.conn, id)? else { return Ok(true) };
    let waits = whereabouts::find(tx.conn, &facts.address())?;
    Ok(waits.is_some_and(|(_, waiter)| waiter.claim_no == 0))
}

/// A task has ended that awaited something, or had started a workflow: it does no more, nor would anybody want what it has started.
fn drop_waits(tx: &mut Tx<'_>, id: TaskId) -> Result<(), Fault> {
    let Some(facts) = facts_of(tx.conn, id)? else { return Ok(()) };
    let last =
        tx.conn.prepare_cached(sql::OUTCOME_FINAL)?.query_row([facts.key], |row| Ok(ended_from(row.get(3)?))).optional()?;
    let Some(state) = last else { return Ok(()) };
    if state != State::Succeeded {
        leave_children(tx, id)?;
    }
    tx.conn.prepare_cached(sql::MEMORY_DROP)?.execute([id.as_bytes().as_slice()])?;
    Ok(())
}

/// Cancels the workflows that a task has started, if they go on.
pub(in super::super) fn leave_children(tx: &mut Tx<'_>, id: TaskId) -> Result<(), Fault> {
    children(tx.conn, id, 0)?.iter().try_for_each(|child| leave_behind(tx, child.workflow))
}
