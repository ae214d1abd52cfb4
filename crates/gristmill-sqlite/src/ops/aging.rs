use gristmill_core::limits::PRIORITY_MAX;
use gristmill_core::{Aging, Flags, Place, Timestamp};
use rusqlite::{Params, Row, params};

use super::lines;
use super::place::{beside, place};
use super::sweep::UNKNOWN;
use crate::error::Fault;
use crate::sql;
use crate::tx::Tx;
use crate::whereabouts::{self, Line, Waiter};

/// Not all of the first are old that stand before those who are: who was due later than he came, or has come from elsewhere. So many of them are passed over.
const FRESH_MAX: usize = 50;

/// Puts what has been ready for too long in a queue to the front of it: into the most urgent line, at its place there. What stands in the lines by type stays
/// in that of its type. Mostly this is a look at the first of each line.
pub(crate) fn age(tx: &mut Tx<'_>, aging: &Aging, limit: usize) -> Result<usize, Fault> {
    let Some(queue) = tx.memory.names.queues.find(tx.conn, &aging.queue)? else { return Ok(0) };
    let until = tx.now.saturating_sub(aging.after);
    let kinds = lines::kinds(tx.conn, queue)?;
    let mut old = Vec::new();
    for priority in 1..=i64::from(PRIORITY_MAX) {
        let line = params![queue, priority, UNKNOWN];
        old.extend(heads(tx, sql::READY_AGES, line, (queue, priority), until, limit)?.into_iter().map(|of| (Place::Ready, of)));
        for kind in &kinds {
            let line = params![queue, priority, UNKNOWN, kind];
            let heads = heads(tx, sql::PARKED_AGES, line, (queue, priority), until, limit)?;
            old.extend(heads.into_iter().map(|of| (Place::Parked, of)));
        }
    }
    // The oldest, if there are more.
    old.sort_by_key(|(_, waiter)| waiter.line);
    old.truncate(limit);
    for (from, waiter) in &old {
        whereabouts::remove(tx.conn, *from, waiter)?;
        tx.conn.prepare_cached(sql::TASK_AGE)?.execute([waiter.key])?;
        let waiter = beside(tx, *from, Waiter { priority: 0, ..*waiter })?;
        place(tx, *from, &waiter)?;
        tx.effects.changed = true;
    }
    Ok(old.len())
}

/// The first of a line, as far as they have been there for so long.
fn heads(
    tx: &Tx<'_>,
    sql: &str,
    line: impl Params,
    (queue, priority): (i64, i64),
    until: Timestamp,
    limit: usize,
) -> Result<Vec<Waiter>, Fault> {
    let mut statement = tx.conn.prepare_cached(sql)?;
    let mut rows = statement.query(line)?;
    let mut heads = Vec::new();
    let mut fresh = 0;
    while heads.len() < limit
        && fresh < FRESH_MAX
        && let Some(row) = rows.next()?
    {
        if row.get::<_, i64>(8)? <= until.as_millis() {
            heads.push(waiter(row, queue, priority)?);
        } else {
            fresh += 1;
        }
    }
    Ok(heads)
}

fn waiter(row: &Row<'_>, queue: i64, priority: i64) -> rusqlite::Result<Waiter> {
    Ok(Waiter {
        queue,
        kind: row.get(2)?,
        priority,
        line: Line { seq: row.get(0)?, turn: row.get(1)? },
        attempt: row.get(3)?,
        claim_no: row.get(4)?,
        crashes: row.get(5)?,
        flags: Flags::from_bits(row.get(6)?),
        ..Waiter::unread(row.get(7)?)
    })
}
