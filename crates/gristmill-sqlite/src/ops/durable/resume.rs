use gristmill_core::TaskId;
use gristmill_core::durable::{Kept, MISMATCH_AT, Memory, Mismatch, Resume, Resumed};
use rusqlite::{OptionalExtension, params};

use super::super::facts::facts_of;
use super::super::release::make_due;
use super::checkpoint::remember;
use crate::error::Fault;
use crate::sql;
use crate::tx::Tx;
use crate::view::{of_memory, unreadable};

/// Lets a task go on whose code no longer asks for what it did.
pub(crate) fn resume_task(tx: &mut Tx<'_>, id: TaskId, how: Resume) -> Result<Resumed, Fault> {
    let Some(facts) = facts_of(tx.conn, id)? else { return Ok(Resumed::NotFound) };
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
        Resume::Forget => forget(tx, id, mismatch.position)?,
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
