use std::time::Duration;

use gristmill_core::durable::{Checkpoint, Due, Memory};
use gristmill_core::kit::Word;
use gristmill_core::workflow::Started;
use gristmill_core::{Ending, EnqueueOutcome, InvalidInput, Points, Settled, Settlement, State, TaskId};
use rusqlite::{Connection, params};

use super::super::enqueue;
use super::super::settle::{finish, remembers, take, write_end};
use super::super::workflow::start_workflow;
use super::wait::take_what_came;
use crate::error::Fault;
use crate::sql;
use crate::tx::{Tx, whole};

/// Keeps what an attempt has done so far, if its claim is still the newest; or nothing of it, and says why.
pub(crate) fn checkpoint(tx: &mut Tx<'_>, checkpoint: &Checkpoint) -> Result<Result<Settled, InvalidInput>, Fault> {
    if let Err(refused) = checkpoint.check() {
        return Ok(Err(refused));
    }
    if checkpoint.children.is_empty() && checkpoint.workflow.is_none() {
        return keep(tx, checkpoint);
    }
    whole(tx, |tx| keep(tx, checkpoint))
}

fn keep(tx: &mut Tx<'_>, checkpoint: &Checkpoint) -> Result<Result<Settled, InvalidInput>, Fault> {
    if let Some(due) = checkpoint.suspend {
        return suspend(tx, checkpoint, due);
    }
    if !remembers(tx.conn, &checkpoint.lease)? {
        return Ok(Ok(Settled::LeaseLost));
    }
    let kept = keep_what_comes_with_it(tx, checkpoint)?;
    Ok(kept.map(|()| Settled::Done(State::Running)))
}

/// Ends the attempt so that nothing remains of it but what it remembers.
fn suspend(tx: &mut Tx<'_>, checkpoint: &Checkpoint, due: Due) -> Result<Result<Settled, InvalidInput>, Fault> {
    let Some((key, lease)) = take(tx, &checkpoint.lease)? else { return Ok(Ok(Settled::LeaseLost)) };
    let settlement = |ending| Settlement { logs: checkpoint.logs.clone(), ..Settlement::new(checkpoint.lease, ending) };
    if lease.cancel {
        return Ok(Ok(Settled::Done(write_end(tx, key, &lease, &settlement(Ending::Cancelled))?)));
    }
    if let Err(refused) = keep_what_comes_with_it(tx, checkpoint)? {
        return Ok(Err(refused));
    }
    // It was started in time.
    tx.conn.prepare_cached(sql::TASK_UNEXPIRE)?.execute([key])?;
    let id = checkpoint.lease.id;
    let delay = if take_what_came(tx, id)? { Duration::ZERO } else { due.delay(tx.now) };
    let settlement = settlement(Ending::Snooze { delay });
    let word = Word { silent: true, ..Word::of(&settlement, lease.started) };
    tx.effects.points.add(Points::SETTLE);
    Ok(Ok(Settled::Done(finish(tx, key, Some(id), &lease, &word)?)))
}

/// Writes the tasks, the workflow and the memories of a checkpoint; the caller takes them back if one is refused.
fn keep_what_comes_with_it(tx: &mut Tx<'_>, checkpoint: &Checkpoint) -> Result<Result<(), InvalidInput>, Fault> {
    let Checkpoint { lease, memories, children, workflow, .. } = checkpoint;
    let outcomes = enqueue(tx, children)?;
    if let Some((child, _)) = children.iter().zip(outcomes).find(|(_, outcome)| *outcome == EnqueueOutcome::Conflict) {
        return Ok(Err(InvalidInput::new("children", format!("have the id {}, which is another task's", child.id))));
    }
    if let Some(workflow) = workflow
        && start_workflow(tx, (**workflow).clone())? == Started::Conflict
    {
        return Ok(Err(InvalidInput::new("workflow", "has members whose ids are other tasks'")));
    }
    memories.iter().try_for_each(|memory| remember(tx.conn, lease.id, memory))?;
    Ok(Ok(()))
}

/// Writes a memory in the stead of what was at its position.
pub(super) fn remember(conn: &Connection, id: TaskId, memory: &Memory) -> Result<(), Fault> {
    let Memory { position, name, occurrence, kept } = memory;
    let row = kept.to_row();
    let values = params![id.as_bytes().as_slice(), position, name, occurrence, row.code, row.until, row.awaits, row.text];
    conn.prepare_cached(sql::MEMORY_PUT)?.execute(values)?;
    Ok(())
}
