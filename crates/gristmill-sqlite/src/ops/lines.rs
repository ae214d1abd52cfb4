//! The lines by type, in `gristmill_parked`: what stood in the way of a worker that does not serve it, because nobody does or because
//! another service's backlog fills the queue. It keeps its place in line, and whoever serves it finds it as if it were in `ready`.
//!
//! An index on `ready` by type would do that, too, but each enqueue would pay for it, and nobody could write while it is built, which
//! takes a second for a million tasks. What is moved is moved once, a little at a time.

use std::collections::BTreeSet;

use gristmill_core::Flags;
use rusqlite::{Connection, OptionalExtension, params};

use super::sweep::UNKNOWN;
use crate::error::Fault;
use crate::sql;
use crate::whereabouts::{Line, Waiter};

/// Whether there are any in a queue.
pub(super) fn any(conn: &Connection, queue: i64) -> Result<bool, Fault> {
    Ok(next(conn, queue, i64::MIN)?.is_some())
}

/// The first `room` tasks of these types, in the order of the queue.
pub(super) fn first(conn: &Connection, queue: i64, own: &BTreeSet<i64>, room: usize) -> Result<Vec<Waiter>, Fault> {
    let mut first = Vec::new();
    let mut after = i64::MIN;
    // Both lists are gone through by leaps, so that many types on one side cost nothing if the other has few.
    while let Some(parked) = next(conn, queue, after)? {
        let Some(&kind) = own.range(parked..).next() else { break };
        if kind == parked {
            line(conn, queue, kind, room, &mut first)?;
        }
        after = if kind == parked { kind } else { kind - 1 };
    }
    first.sort_by_key(Waiter::order);
    first.truncate(room);
    Ok(first)
}

/// The types of the lines of a queue.
pub(super) fn kinds(conn: &Connection, queue: i64) -> Result<Vec<i64>, Fault> {
    let (mut kinds, mut after) = (Vec::new(), i64::MIN);
    while let Some(kind) = next(conn, queue, after)? {
        kinds.push(kind);
        after = kind;
    }
    Ok(kinds)
}

/// The type of the next line of a queue.
fn next(conn: &Connection, queue: i64, after: i64) -> Result<Option<i64>, Fault> {
    let mut next = conn.prepare_cached(sql::PARKED_NEXT)?;
    let pair = next.query_row([queue, after], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?))).optional()?;
    Ok(pair.filter(|(of, _)| *of == queue).map(|(_, kind)| kind))
}

/// The first tasks of one line.
fn line(conn: &Connection, queue: i64, kind: i64, room: usize, first: &mut Vec<Waiter>) -> Result<(), Fault> {
    let mut scan = conn.prepare_cached(sql::PARKED_SCAN)?;
    let room = i64::try_from(room).unwrap_or(i64::MAX);
    let rows = scan.query_map(params![queue, kind, room, UNKNOWN], |row| {
        let line = Line { seq: row.get(1)?, turn: row.get(6)? };
        let flags = Flags::from_bits(row.get(5)?);
        let key = if flags.has(Flags::MOVED) { row.get(7)? } else { line.seq };
        Ok(Waiter {
            queue,
            kind,
            priority: row.get(0)?,
            attempt: row.get(2)?,
            claim_no: row.get(3)?,
            crashes: row.get(4)?,
            line,
            flags,
            ..Waiter::unread(key)
        })
    })?;
    for waiter in rows {
        first.push(waiter?);
    }
    Ok(())
}
