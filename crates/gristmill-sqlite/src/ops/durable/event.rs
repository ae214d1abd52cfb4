use gristmill_core::Timestamp;
use gristmill_core::durable::{Awaits, NewEvent, Sent};
use gristmill_core::kit::encode::at;
use rusqlite::{OptionalExtension, params};

use super::super::budget::Budget;
use super::super::sweep::count;
use super::wait::{TOLD_AT_ONCE, give, waiting, wake};
use crate::driver::Driver;
use crate::error::Fault;
use crate::sql;
use crate::step::{Statement, Step, Value};
use crate::text::Lossy;
use crate::tx::Tx;

/// Waiting tasks that are read at a time.
const READ_AT_ONCE: usize = 256;

/// Keeps an event, unless one of its name is there, and lets those who await it go on, as many as one transaction may; sweeps do the rest.
pub(crate) fn send_event(tx: &mut Tx<'_>, event: &NewEvent) -> Result<Sent, Fault> {
    tx.effects.changed = true;
    let mut driver = Driver::new(tx.conn);
    let mut changed = 0;
    for step in rows_of_event(event, tx.now) {
        changed = driver.run(&step)?.changed;
    }
    if changed == 0 {
        return Ok(Sent::Exists);
    }
    if tell(tx, TOLD_AT_ONCE)? {
        // Whoever sweeps is to do it now.
        tx.effects.scheduled |= tx.memory.is_due_sooner(tx.now.as_millis());
    }
    Ok(Sent::Stored)
}

/// How every driver writes an event: the last statement changes nothing if one of its name is there.
pub(crate) fn rows_of_event(event: &NewEvent, now: Timestamp) -> [Step<'_>; 2] {
    let (name, sent_at) = (Value::Text(event.name()), Value::Int(at(now)));
    let keep_until = Value::Int(at(now.saturating_add(event.kept())));
    [
        Step::new(Statement::EventOver, [name, sent_at]),
        Step::new(Statement::EventInsert, [name, sent_at, keep_until, Value::Text(event.payload())]),
    ]
}

/// Tells who waits of events of which not all are told, at most so many. True if there may be more.
pub(in super::super) fn tell(tx: &mut Tx<'_>, limit: usize) -> Result<bool, Fault> {
    let mut budget = Budget::new(limit);
    loop {
        let untold = tx.conn.prepare_cached(sql::EVENT_UNTOLD)?.query_row([], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Lossy>(1)?, (row.get::<_, Lossy>(2)?, row.get::<_, i64>(3)?)))
        });
        let Some((seq, Lossy(name), (Lossy(payload), sent_at))) = untold.optional()? else { return Ok(false) };
        if !tell_of(tx, &Awaits::Event(name), (&payload, sent_at.min(tx.now.as_millis())), &mut budget)? || !budget.take() {
            return Ok(true);
        }
        tx.conn.prepare_cached(sql::EVENT_TOLD)?.execute([seq])?;
    }
}

/// Whether all who await an event are told of it.
fn tell_of(tx: &mut Tx<'_>, awaits: &Awaits, event: (&str, i64), budget: &mut Budget) -> Result<bool, Fault> {
    loop {
        let tasks = waiting(tx.conn, awaits, READ_AT_ONCE)?;
        for task in &tasks {
            if !budget.take() {
                return Ok(false);
            }
            give(tx.conn, *task, awaits, event)?;
            wake(tx, *task)?;
        }
        if tasks.len() < READ_AT_ONCE {
            return Ok(true);
        }
    }
}

/// Deletes events whose time is over. Returns how many.
pub(in super::super) fn prune(tx: &Tx<'_>, limit: usize) -> Result<usize, Fault> {
    Ok(tx.conn.prepare_cached(sql::EVENT_PRUNE)?.execute(params![tx.now.as_millis(), count(limit)])?)
}
