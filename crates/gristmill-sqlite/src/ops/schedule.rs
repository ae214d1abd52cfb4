use std::time::Duration;

use gristmill_core::{
    Advance, Advanced, Edit, Lead, NewSchedule, Points, Schedule, ScheduleEdit, TICKS_KEPT, Tick, TickOutcome, TickRecord,
    Timestamp, WorkerId,
};
use rusqlite::{Connection, OptionalExtension, params};

use super::{cancel, enqueue};
use crate::error::Fault;
use crate::sql;
use crate::tx::Tx;
use crate::view::schedule;

/// Decides about all before anything is written, so that a refusal takes nobody's work with it.
pub(crate) fn edit_schedules(tx: &mut Tx<'_>, names: &[String], edit: &ScheduleEdit) -> Result<Vec<Option<Schedule>>, Fault> {
    Edit::check(names)?;
    let mut edits = Vec::with_capacity(names.len());
    for name in names {
        let found = schedule(tx.conn, name)?;
        edits.push((Edit::ask(edit, name, found.as_ref(), tx.now)?, found));
    }
    let mut standing = Vec::with_capacity(names.len());
    for (name, (edit, found)) in names.iter().zip(edits) {
        standing.push(match edit {
            Edit::Keep => found,
            Edit::Put(new) => Some(put(tx, name, new, found)?),
            Edit::Remove => {
                let gone = tx.conn.prepare_cached(sql::SCHEDULE_DELETE)?.execute([name])?;
                tx.effects.scheduled |= gone > 0;
                None
            }
        });
    }
    Ok(standing)
}

fn put(tx: &mut Tx<'_>, name: &str, new: NewSchedule, found: Option<Schedule>) -> Result<Schedule, Fault> {
    let standing = standing(name, new, found, next_revision(tx.conn)?, tx.now);
    let Schedule { owner, body, due_at, memory, revision, .. } = &standing;
    let due = due_at.map(Timestamp::as_millis);
    tx.conn.prepare_cached(sql::SCHEDULE_PUT)?.execute(params![name, owner, body, due, memory, revision, tx.now.as_millis()])?;
    tx.effects.scheduled = true;
    Ok(standing)
}

/// How a schedule stands once it is put.
pub(crate) fn standing(name: &str, new: NewSchedule, found: Option<Schedule>, revision: i64, now: Timestamp) -> Schedule {
    let NewSchedule { owner, body, due_at, memory } = new;
    let created_at = found.map_or(now, |found| found.created_at);
    Schedule { name: name.to_owned(), owner, body, due_at, memory, revision, created_at, edited_at: now }
}

/// Writes what a beat decided about each schedule that is still as it was.
pub(crate) fn advance_schedules(tx: &mut Tx<'_>, advances: &[Advance]) -> Result<Vec<Advanced>, Fault> {
    advances.iter().map(|advance| advance_one(tx, advance)).collect()
}

fn advance_one(tx: &mut Tx<'_>, advance: &Advance) -> Result<Advanced, Fault> {
    let Advance { name, revision, due_at, memory, ticks, cancel: ids } = advance;
    let mut unchanged = tx.conn.prepare_cached(sql::SCHEDULE_UNCHANGED)?;
    if !unchanged.query_row(params![name, revision], |row| row.get(0))? {
        return Ok(Advanced::Stale);
    }
    let (due, next) = (due_at.map(Timestamp::as_millis), next_revision(tx.conn)?);
    tx.conn.prepare_cached(sql::SCHEDULE_ADVANCE)?.execute(params![name, due, memory, next])?;
    tx.effects.points.add(Points::ADVANCE);
    for id in ids {
        cancel(tx, *id)?;
    }
    let new = ticks.iter().map(|tick| write_tick(tx, name, tick)).collect::<Result<_, _>>()?;
    Ok(Advanced::Done(new))
}

/// Makes a tick's task and writes what became of it; false if it was written before.
fn write_tick(tx: &mut Tx<'_>, name: &str, tick: &Tick) -> Result<bool, Fault> {
    let conn = tx.conn;
    let at = tick.at.as_millis();
    if conn.prepare_cached(sql::TICK_KNOWN)?.query_row(params![name, at, tx.now.as_millis()], |row| row.get(0))? {
        return Ok(false);
    }
    let made = match &tick.task {
        Some(task) => enqueue(tx, std::slice::from_ref(task))?.pop(),
        None => None,
    };
    let TickRecord { written_at, task, outcome, reason, .. } = TickRecord::of(tick, made, tx.now);
    let task = task.as_ref().map(|id| id.as_bytes().as_slice());
    let code = TickOutcome::ALL.iter().position(|known| *known == outcome).and_then(|code| i64::try_from(code).ok());
    conn.prepare_cached(sql::TICK_INSERT)?.execute(params![name, at, written_at.as_millis(), code, task, reason])?;
    Ok(true)
}

/// Gives or extends the lead among beats.
pub(crate) fn lead_beats(tx: &mut Tx<'_>, beat: WorkerId, lease: Duration) -> Result<Lead, Fault> {
    let (now, until) = (tx.now.as_millis(), tx.now.saturating_add(lease).as_millis());
    let mut lead = tx.conn.prepare_cached(sql::BEAT_LEAD)?;
    let term = lead.query_row(params![beat.as_bytes().as_slice(), now, until], |row| row.get(0)).optional()?;
    if let Some(term) = term {
        return Ok(Lead { leads: true, term });
    }
    let term = tx.conn.prepare_cached(sql::BEAT_TERM)?.query_row([], |row| row.get(0))?;
    Ok(Lead { leads: false, term })
}

/// Ends a beat's lead, if it has it.
pub(crate) fn resign_beat(tx: &mut Tx<'_>, beat: WorkerId) -> Result<(), Fault> {
    tx.conn.prepare_cached(sql::BEAT_RESIGN)?.execute([beat.as_bytes().as_slice()])?;
    Ok(())
}

/// Deletes the oldest ticks that are kept no longer.
pub(super) fn prune_ticks(tx: &mut Tx<'_>, limit: i64) -> Result<usize, Fault> {
    let kept_ms = i64::try_from(TICKS_KEPT.as_millis()).unwrap_or(i64::MAX);
    let until = tx.now.as_millis().saturating_sub(kept_ms);
    Ok(tx.conn.prepare_cached(sql::TICK_PRUNE)?.execute(params![until, limit])?)
}

fn next_revision(conn: &Connection) -> Result<i64, Fault> {
    Ok(conn.prepare_cached(sql::REVISION_NEXT)?.query_row([], |row| row.get(0))?)
}
