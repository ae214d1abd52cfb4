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
    if is_repeated(tx.conn, checkpoint)? {
        return Ok(Ok(Settled::Done(State::Running)));
    }
    let kept = keep_what_comes_with_it(tx, checkpoint)?;
    Ok(kept.map(|_| Settled::Done(State::Running)))
}

/// Whether all of it was kept before, and what came with it may have run since, and be gone. Without that, to keep it again is as good.
fn is_repeated(conn: &Connection, checkpoint: &Checkpoint) -> Result<bool, Fault> {
    let Checkpoint { lease, memories, children, workflow, .. } = checkpoint;
    if memories.is_empty() || (children.is_empty() && workflow.is_none()) {
        return Ok(false);
    }
    let mut same = conn.prepare_cached(sql::MEMORY_SAME)?;
    for Memory { position, name, occurrence, kept } in memories {
        if !same.exists(params![lease.id.as_bytes().as_slice(), position, name, occurrence, kept.to_row().code])? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Ends the attempt so that nothing remains of it but what it remembers.
fn suspend(tx: &mut Tx<'_>, checkpoint: &Checkpoint, due: Due) -> Result<Result<Settled, InvalidInput>, Fault> {
    let Some((key, lease)) = take(tx, &checkpoint.lease)? else { return Ok(Ok(Settled::LeaseLost)) };
    let settlement = |ending| Settlement { logs: checkpoint.logs.clone(), ..Settlement::new(checkpoint.lease, ending) };
    if lease.cancel {
        return Ok(Ok(Settled::Done(write_end(tx, key, &lease, &settlement(Ending::Cancelled))?)));
    }
    let id = checkpoint.lease.id;
    tx.conn.prepare_cached(sql::MEMORY_SUSPEND)?.execute([id.as_bytes().as_slice()])?;
    let has_come = match keep_what_comes_with_it(tx, checkpoint)? {
        Ok(has_come) => has_come,
        Err(refused) => return Ok(Err(refused)),
    };
    // It was started in time.
    tx.conn.prepare_cached(sql::TASK_UNEXPIRE)?.execute([key])?;
    let delay = if take_what_came(tx, id)? || has_come { Duration::ZERO } else { due.delay(tx.now) };
    let settlement = settlement(Ending::Snooze { delay });
    let word = Word { silent: true, ..Word::of(&settlement, lease.started) };
    tx.effects.points.add(Points::SETTLE);
    Ok(Ok(Settled::Done(finish(tx, key, Some(id), &lease, &word)?)))
}

/// Writes the tasks, the workflow and the memories of a checkpoint; the caller takes them back if one is refused. Whether something of what it
/// waits for has come.
fn keep_what_comes_with_it(tx: &mut Tx<'_>, checkpoint: &Checkpoint) -> Result<Result<bool, InvalidInput>, Fault> {
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
    let mut has_come = false;
    for memory in memories {
        has_come |= !remember(tx.conn, lease.id, memory)?;
    }
    Ok(Ok(has_come))
}

/// Writes a memory in the stead of what was at its position; false if that is the value that it only waits for.
pub(super) fn remember(conn: &Connection, id: TaskId, memory: &Memory) -> Result<bool, Fault> {
    let Memory { position, name, occurrence, kept } = memory;
    let row = kept.to_row();
    let values = params![id.as_bytes().as_slice(), position, name, occurrence, row.code, row.until, row.awaits, row.text];
    Ok(conn.prepare_cached(sql::MEMORY_PUT)?.execute(values)? > 0)
}
