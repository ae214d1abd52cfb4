use std::time::Duration;

use gristmill_core::{Cursor, DueSchedules, Page, Schedule, State, TaskId, TickOutcome, TickRecord, Timestamp, limits};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::record::locate;
use crate::error::Fault;
use crate::reader::View;
use crate::sql;
use crate::text::Lossy;

/// One schedule.
pub(crate) fn schedule(conn: &Connection, name: &str) -> Result<Option<Schedule>, Fault> {
    Ok(conn.prepare_cached(sql::SCHEDULE_GET)?.query_row([name], read).optional()?)
}

/// Schedules by name, those behind `after`.
pub(crate) fn schedules(view: &View<'_>, owner: Option<&str>, after: Option<&str>, limit: usize) -> Result<Vec<Schedule>, Fault> {
    // No name is empty.
    let after = after.unwrap_or_default();
    let limit = bounded(limit);
    match owner {
        Some(owner) => all(view, sql::SCHEDULE_OWNED, params![after, limit, owner]),
        None => all(view, sql::SCHEDULE_PAGE, params![after, limit]),
    }
}

/// Schedules that are due, the longest due first.
pub(crate) fn due_schedules(view: &View<'_>, limit: usize) -> Result<DueSchedules, Fault> {
    let limit = bounded(limit);
    let now = view.now;
    // One more, which tells whether others are due.
    let mut schedules = all(view, sql::SCHEDULE_DUE, params![now.as_millis(), limit + 1])?;
    if schedules.len() as i64 > limit {
        schedules.pop();
        return Ok(DueSchedules { now, schedules, next_due: Some(Duration::ZERO) });
    }
    let next: Option<i64> = view.conn.prepare_cached(sql::SCHEDULE_NEXT)?.query_row([now.as_millis()], |row| row.get(0))?;
    Ok(DueSchedules { now, schedules, next_due: next.map(|at| Timestamp::from_millis(at).since(now)) })
}

/// A schedule's ticks, the latest first.
pub(crate) fn ticks(view: &View<'_>, schedule: &str, after: Option<Cursor>, limit: usize) -> Result<Page<TickRecord>, Fault> {
    let limit = bounded(limit);
    let mut page = view.conn.prepare_cached(sql::TICK_PAGE)?;
    let rows = page.query_map(params![schedule, after.map_or(i64::MAX, Cursor::key), limit + 1], tick)?;
    let mut items = rows.collect::<Result<Vec<_>, _>>()?;
    let more = items.len() as i64 > limit;
    if more {
        items.pop();
    }
    let next = items.last().filter(|_| more).map(|last| Cursor::after(last.at.as_millis()));
    Ok(Page { items, next })
}

/// Where tasks stand.
pub(crate) fn task_states(view: &View<'_>, ids: &[TaskId]) -> Result<Vec<Option<State>>, Fault> {
    let state = |id: &TaskId| {
        let mut find = view.conn.prepare_cached(sql::TASK_FIND)?;
        let key = find.query_row([id.as_bytes().as_slice()], |row| row.get(0)).optional()?;
        Ok(key.map_or(Ok(None), |key| locate(view, key))?.map(|stands| stands.state()))
    };
    ids.iter().map(state).collect()
}

fn bounded(limit: usize) -> i64 {
    limit.clamp(1, limits::PAGE_ITEMS_MAX) as i64
}

fn all(view: &View<'_>, sql: &str, params: &[&dyn rusqlite::ToSql]) -> Result<Vec<Schedule>, Fault> {
    let mut statement = view.conn.prepare_cached(sql)?;
    let rows = statement.query_map(params, read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Schedule> {
    let text = |index| row.get::<_, Lossy>(index).map(|Lossy(text)| text);
    Ok(Schedule {
        name: text(0)?,
        owner: row.get::<_, Option<Lossy>>(1)?.map(|Lossy(text)| text),
        body: text(2)?,
        due_at: row.get::<_, Option<i64>>(3)?.map(Timestamp::from_millis),
        memory: text(4)?,
        revision: row.get(5)?,
        created_at: Timestamp::from_millis(row.get(6)?),
        edited_at: Timestamp::from_millis(row.get(7)?),
    })
}

fn tick(row: &Row<'_>) -> rusqlite::Result<TickRecord> {
    let code = usize::try_from(row.get::<_, i64>(2)?).ok();
    Ok(TickRecord {
        at: Timestamp::from_millis(row.get(0)?),
        written_at: Timestamp::from_millis(row.get(1)?),
        // A code that no version wrote.
        outcome: code.and_then(|code| TickOutcome::ALL.get(code).copied()).unwrap_or(TickOutcome::Failed),
        task: row.get::<_, Option<Vec<u8>>>(3)?.and_then(|id| TaskId::from_slice(&id)),
        reason: row.get::<_, Option<Lossy>>(4)?.map(|Lossy(text)| text),
    })
}
