use gristmill_core::{Flags, Place};
use rusqlite::{Connection, OptionalExtension, Row};

use crate::sql;

/// A task that waits, as its row in whatever place has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiter {
    /// The task's key.
    pub(crate) key: i64,
    pub(crate) queue: i64,
    pub(crate) kind: i64,
    pub(crate) priority: i64,
    /// Its place in line; asked only where there is one.
    pub(crate) line: Line,
    /// When it is due; asked only where that is still to come.
    pub(crate) run_at: i64,
    pub(crate) attempt: u32,
    pub(crate) claim_no: u32,
    pub(crate) crashes: u32,
    pub(crate) flags: Flags,
}

/// A place in line. That of a task's arrival is its key; those who come into the line later share one with whoever is the last
/// then, and stand behind it in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Line {
    pub(crate) seq: i64,
    pub(crate) turn: i64,
}

impl Line {
    /// That of the arrival of the task with this key.
    pub(crate) fn of_arrival(key: i64) -> Self {
        Self { seq: key, turn: 0 }
    }

    /// The one behind this one, and before that of whoever arrives later.
    pub(crate) fn behind(self) -> Self {
        Self { turn: self.turn.saturating_add(1), ..self }
    }
}

impl Waiter {
    /// By what those that are ready in a queue are ordered.
    pub(crate) fn order(&self) -> (i64, Line) {
        (self.priority, self.line)
    }

    /// One of which only the key is known so far.
    pub(crate) fn unread(key: i64) -> Self {
        Self {
            key,
            queue: 0,
            kind: 0,
            priority: 0,
            line: Line::of_arrival(key),
            run_at: 0,
            attempt: 0,
            claim_no: 0,
            crashes: 0,
            flags: Flags::NONE,
        }
    }
}

/// What the body says of where a task can be found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address {
    pub(crate) key: i64,
    pub(crate) queue: i64,
    pub(crate) kind: i64,
    pub(crate) priority: i64,
}

/// Where a task waits, if it does. Every place is looked at, for whoever asks: who cancels, what expires, who looks.
pub(crate) fn find(conn: &Connection, address: &Address) -> rusqlite::Result<Option<(Place, Waiter)>> {
    for place in Place::ALL {
        if let Some(waiter) = look(conn, place, address)? {
            return Ok(Some((place, waiter)));
        }
    }
    Ok(None)
}

/// Whether, and how, a task waits in one place.
pub(crate) fn look(conn: &Connection, place: Place, address: &Address) -> rusqlite::Result<Option<Waiter>> {
    let &Address { key, queue, kind, priority } = address;
    let row = |row: &Row<'_>| {
        Ok(Waiter {
            queue,
            kind,
            priority,
            attempt: row.get(0)?,
            claim_no: row.get(1)?,
            crashes: row.get(2)?,
            flags: Flags::from_bits(row.get(3)?),
            ..Waiter::unread(key)
        })
    };
    let due = |at: &Row<'_>| Ok(Waiter { run_at: at.get(4)?, ..row(at)? });
    let lined = |at: &Row<'_>| Ok(Waiter { line: Line { seq: at.get(4)?, turn: at.get(5)? }, ..row(at)? });
    let found = match place {
        Place::Blocked => conn.prepare_cached(sql::BLOCKED_GET)?.query_row([key], due),
        Place::Scheduled => conn.prepare_cached(sql::SCHEDULED_GET)?.query_row([key], due),
        Place::Waiting => conn.prepare_cached(sql::WAITING_GET)?.query_row([key], row),
        Place::Ready => conn.prepare_cached(sql::READY_GET)?.query_row([queue, priority, key], lined),
        Place::Parked => conn.prepare_cached(sql::PARKED_GET)?.query_row([queue, kind, priority, key], lined),
    };
    found.optional()
}

/// Takes a task out of the place where it was found; what [`place`](crate::ops::place) wrote.
pub(crate) fn remove(conn: &Connection, place: Place, waiter: &Waiter) -> rusqlite::Result<()> {
    let &Waiter { key, queue, kind, priority, line: Line { seq, turn }, .. } = waiter;
    match place {
        Place::Blocked => conn.prepare_cached(sql::BLOCKED_DELETE)?.execute([key]),
        Place::Scheduled => conn.prepare_cached(sql::SCHEDULED_DELETE)?.execute([key]),
        Place::Waiting => conn.prepare_cached(sql::WAITING_DELETE)?.execute([key]),
        Place::Ready => {
            if waiter.flags.has(Flags::MOVED) {
                conn.prepare_cached(sql::MOVED_DELETE)?.execute([key])?;
            }
            conn.prepare_cached(sql::READY_DELETE)?.execute([queue, priority, seq, turn])
        }
        Place::Parked => conn.prepare_cached(sql::PARKED_DELETE)?.execute([queue, kind, priority, seq, turn]),
    }?;
    Ok(())
}
