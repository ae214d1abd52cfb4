use gristmill_core::State;
use gristmill_core::TaskId;
use gristmill_core::durable::{Kept, MISMATCH_AT, Memory, Mismatch, Resume, Resumed};
use rusqlite::{OptionalExtension, params};

use super::super::facts::facts_of;
use super::super::release::make_due;
use super::super::workflow::leave_behind;
use super::checkpoint::remember;
use super::repair::leave_children;
use super::wait::{Child, children, stands_still};
use crate::error::Fault;
use crate::sql;
use crate::tx::Tx;
use crate::view::{of_memory, unreadable};

/// Lets a task go on whose code no longer asks for what it did.
pub(crate) fn resume_task(tx: &mut Tx<'_>, id: TaskId, how: Resume) -> Result<Resumed, Fault> {
    let Some(facts) = facts_of(tx.conn, id)? else { return Ok(Resumed::NotFound) };
    if !stands_still(tx.conn, facts.key)? {
        return Ok(Resumed::NotPaused);
    }
    let mut stands = tx.conn.prepare_cached(sql::MEMORY_AT)?;
    let stands = stands.query_row(params![id.as_bytes().as_slice(), MISMATCH_AT], |row| Ok(of_memory(row, 0))).optional()?;
    let mismatch = match stands {
        Some(Some(Kept::Mismatch(mismatch))) => mismatch,
        Some(None) => return Err(unreadable(id, MISMATCH_AT.into()).into()),
        _ => return Ok(Resumed::NotPaused),
    };
    tx.effects.changed = true;
    match how {
        Resume::Again => forget(tx, id, MISMATCH_AT)?,
        Resume::Forget => {
            let left = children(tx.conn, id, mismatch.position)?;
            forget(tx, id, mismatch.position)?;
            for child in left {
                leave_behind(tx, child.workflow)?;
            }
        }
        Resume::Fail => {
            let kept = Kept::Mismatch(Mismatch { fails: true, ..mismatch });
            remember(tx.conn, id, &Memory { position: MISMATCH_AT, name: String::new(), occurrence: 0, kept })?;
        }
    }
    make_due(tx, &facts)?;
    Ok(Resumed::Done)
}

/// Forgets all that a task remembers from a position on.
pub(super) fn forget(tx: &Tx<'_>, id: TaskId, from: u32) -> Result<(), Fault> {
    tx.conn.prepare_cached(sql::MEMORY_FORGET)?.execute(params![id.as_bytes().as_slice(), from])?;
    Ok(())
}

/// What a task that is retried tried and failed at is tried again; all of it, if it had succeeded, or its history is not wanted any more. A
/// failure that led to something that was done stays: that would be done again, or found where it does not belong.
pub(in super::super) fn forget_for_retry(tx: &mut Tx<'_>, id: TaskId, from: State, forgets: bool) -> Result<(), Fault> {
    // Where none remembers anything, none pays for it.
    if !tx.conn.prepare_cached(sql::MEMORY_ANY)?.query_row([], |row| row.get::<_, bool>(0))? {
        return Ok(());
    }
    if forgets {
        leave_children(tx, id)?;
    }
    if forgets || from == State::Succeeded {
        return forget(tx, id, 0);
    }
    let key = id.as_bytes().as_slice();
    tx.conn.prepare_cached(sql::MEMORY_RETRY)?.execute([key])?;
    for Child { position, workflow } in children(tx.conn, id, 0)? {
        // One that goes on is awaited again.
        if !tx.conn.prepare_cached(sql::WORKFLOW_WANTED)?.exists([workflow.as_bytes().as_slice()])? {
            tx.conn.prepare_cached(sql::MEMORY_REMOVE)?.execute(params![key, position])?;
        }
    }
    tx.conn.prepare_cached(sql::MEMORY_UNDROP)?.execute([key])?;
    Ok(())
}
