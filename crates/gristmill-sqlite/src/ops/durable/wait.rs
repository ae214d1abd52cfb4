use gristmill_core::durable::{Awaits, Kept};
use gristmill_core::kit::encode::attempt_state_of;
use gristmill_core::{AttemptState, TaskId, WorkflowId};
use rusqlite::{Connection, OptionalExtension, params};

use super::super::facts::facts_of;
use super::super::release::make_due;
use super::super::sweep::{UNKNOWN, count};
use crate::error::Fault;
use crate::sql;
use crate::text::Lossy;
use crate::tx::Tx;
use crate::view::of_memory;

/// Tasks that are told of one thing at once, at most, where nobody says how many; sweeps tell the rest.
pub(super) const TOLD_AT_ONCE: usize = 1_000;

/// Gives a task what has come already of what it waits for; whether anything has. What can't be read comes by nobody: the next attempt says so.
pub(super) fn take_what_came(tx: &Tx<'_>, id: TaskId) -> Result<bool, Fault> {
    let mut came = false;
    for awaits in awaited(tx.conn, id)? {
        came |= match &awaits {
            Awaits::Event(name) => {
                let now = tx.now.as_millis();
                let mut sent = tx.conn.prepare_cached(sql::EVENT_PAYLOAD)?;
                let sent = sent.query_row(params![name, now], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
                match sent {
                    Some((Lossy(payload), sent_at)) => give(tx.conn, id, &awaits, (&payload, sent_at))?,
                    None => false,
                }
            }
            Awaits::Workflow(workflow) => !goes_on(tx.conn, *workflow)?,
        };
    }
    Ok(came)
}

/// What a task waits for, as far as it can be read.
fn awaited(conn: &Connection, id: TaskId) -> Result<Vec<Awaits>, Fault> {
    let mut awaiting = conn.prepare_cached(sql::MEMORY_AWAITING)?;
    let rows = awaiting.query_map([id.as_bytes().as_slice()], |row| Ok(of_memory(row, 1)))?;
    let kept = rows.collect::<Result<Vec<Option<Kept>>, _>>()?;
    Ok(kept.iter().flatten().filter_map(Kept::awaits).collect())
}

/// A workflow that a task has started.
pub(super) struct Child {
    pub(super) position: u32,
    pub(super) workflow: WorkflowId,
}

/// Those of a task, from a position on, as far as they can be read.
pub(super) fn children(conn: &Connection, id: TaskId, from: u32) -> Result<Vec<Child>, Fault> {
    let mut children = conn.prepare_cached(sql::MEMORY_CHILDREN)?;
    let rows = children.query_map(params![id.as_bytes().as_slice(), from], |row| Ok((row.get(0)?, of_memory(row, 1))))?;
    let kept = rows.collect::<Result<Vec<(u32, Option<Kept>)>, _>>()?;
    let child = |(position, kept): (u32, Option<Kept>)| match kept.as_ref()?.awaits()? {
        Awaits::Workflow(workflow) => Some(Child { position, workflow }),
        Awaits::Event(_) => None,
    };
    Ok(kept.into_iter().filter_map(child).collect())
}

/// Turns what awaits an event into its value, if that was sent in time; it is awaited no more in any case.
pub(super) fn give(conn: &Connection, id: TaskId, awaits: &Awaits, (payload, sent_at): (&str, i64)) -> Result<bool, Fault> {
    let value = Kept::Value(payload.to_owned()).to_row();
    let mut came = conn.prepare_cached(sql::MEMORY_CAME)?;
    Ok(came.execute(params![id.as_bytes().as_slice(), awaits.to_text(), value.code, value.text, sent_at])? > 0)
}

/// A workflow has ended: who started it and waits for it goes on.
pub(in super::super) fn tell_of_end(tx: &mut Tx<'_>, id: WorkflowId) -> Result<(), Fault> {
    for task in waiting(tx.conn, &Awaits::Workflow(id), TOLD_AT_ONCE)? {
        wake(tx, task)?;
    }
    Ok(())
}

/// Tasks that stand still for something, at most so many.
pub(super) fn waiting(conn: &Connection, awaits: &Awaits, limit: usize) -> Result<Vec<TaskId>, Fault> {
    let mut told = conn.prepare_cached(sql::MEMORY_TOLD)?;
    let task = |row: &rusqlite::Row<'_>| Ok(row.get_ref(0)?.as_blob().ok().and_then(TaskId::from_slice));
    let rows = told.query_map(params![awaits.to_text(), UNKNOWN, count(limit)], task)?;
    let tasks = rows.collect::<Result<Vec<_>, _>>()?;
    Ok(tasks.into_iter().flatten().collect())
}

/// Lets a task that waits run now; false if it does not.
pub(super) fn wake(tx: &mut Tx<'_>, id: TaskId) -> Result<bool, Fault> {
    let Some(facts) = facts_of(tx.conn, id)? else { return Ok(false) };
    Ok(stands_still(tx.conn, facts.key)? && make_due(tx, &facts)?)
}

/// Whether a task stands still until something comes. What an attempt that failed put off does not.
pub(super) fn stands_still(conn: &Connection, key: i64) -> Result<bool, Fault> {
    Ok(conn.prepare_cached(sql::MEMORY_STANDS)?.exists(params![key, attempt_state_of(AttemptState::Snoozed)])?)
}

/// Whether a workflow is there that has not ended.
fn goes_on(conn: &Connection, id: WorkflowId) -> Result<bool, Fault> {
    Ok(conn.prepare_cached(sql::WORKFLOW_GOES_ON)?.exists([id.as_bytes().as_slice()])?)
}
