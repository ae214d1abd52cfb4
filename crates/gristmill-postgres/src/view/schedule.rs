use std::time::Duration;

use gristmill_core::kit::encode::ended_from;
use gristmill_core::{Cursor, DueSchedules, Page, Schedule, State, TaskId, TickOutcome, TickRecord, Timestamp, limits};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::Fault;
use crate::ops::place_of;
use crate::session::Session;
use crate::sql::Q;
use crate::view::OF_DAYS;

/// One schedule.
pub(crate) async fn schedule(s: &mut Session<'_>, name: &str) -> Result<Option<Schedule>, Fault> {
    if name.contains('\0') {
        return Ok(None);
    }
    s.row(Q::ScheduleGet, &[&name]).await?.map(|row| read(&row)).transpose()
}

/// Schedules by name, those behind `after`.
pub(crate) async fn schedules(
    s: &mut Session<'_>,
    owner: Option<&str>,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<Schedule>, Fault> {
    // No name is empty.
    let (after, limit) = (after.unwrap_or_default(), bounded(limit));
    let rows = match owner {
        Some(owner) => s.rows(Q::ScheduleOwned, &[&after, &limit, &owner]).await?,
        None => s.rows(Q::SchedulePage, &[&after, &limit]).await?,
    };
    rows.iter().map(read).collect()
}

/// Schedules that are due, the longest due first.
pub(crate) async fn due_schedules(s: &mut Session<'_>, limit: usize) -> Result<DueSchedules, Fault> {
    let limit = bounded(limit);
    // One more, which tells whether others are due.
    let rows = s.rows(Q::ScheduleDue, &[&s.now, &(limit + 1)]).await?;
    let (now, next) = match rows.first() {
        Some(row) => (Timestamp::from_millis(row.try_get(8)?), row.try_get::<_, Option<i64>>(9)?),
        None => (Timestamp::MIN, None),
    };
    let mut schedules = Vec::with_capacity(rows.len());
    for row in &rows {
        if row.try_get::<_, Option<&str>>(0)?.is_some() {
            schedules.push(read(row)?);
        }
    }
    let more = schedules.len() as i64 > limit;
    if more {
        schedules.pop();
    }
    let next_due = if more { Some(Duration::ZERO) } else { next.map(|at| Timestamp::from_millis(at).since(now)) };
    Ok(DueSchedules { now, schedules, next_due })
}

/// A schedule's ticks, the latest first.
pub(crate) async fn ticks(
    s: &mut Session<'_>,
    schedule: &str,
    after: Option<Cursor>,
    limit: usize,
) -> Result<Page<TickRecord>, Fault> {
    if schedule.contains('\0') {
        return Ok(Page { items: Vec::new(), next: None });
    }
    let limit = bounded(limit);
    let rows = s.rows(Q::TickPage, &[&schedule, &after.map_or(i64::MAX, Cursor::key), &(limit + 1)]).await?;
    let mut items = rows.iter().map(tick).collect::<Result<Vec<_>, _>>()?;
    let more = items.len() as i64 > limit;
    if more {
        items.pop();
    }
    let next = items.last().filter(|_| more).map(|last| Cursor::after(last.at.as_millis()));
    Ok(Page { items, next })
}

/// Where tasks stand.
pub(crate) async fn task_states(s: &mut Session<'_>, ids: &[TaskId]) -> Result<Vec<Option<State>>, Fault> {
    let ids: Vec<Uuid> = ids.iter().map(TaskId::as_uuid).collect();
    let mut rows = Vec::with_capacity(ids.len());
    if s.spare_days().await? {
        for some in ids.chunks(OF_DAYS) {
            rows.extend(s.rows(Q::TaskStatesOfDays, &[&some]).await?);
        }
    } else {
        rows = s.rows(Q::TaskStates, &[&ids]).await?;
    }
    let state = |row: &Row| {
        Ok(match row.try_get::<_, Option<i32>>(0)? {
            Some(-2) => None,
            Some(-1) => Some(State::Running),
            Some(code @ ..=-10) => Some(ended_from((-10 - code).into())),
            Some(code) => Some(place_of(i16::try_from(code).unwrap_or_default()).state()),
            // No table has it, which can't be unless something else wrote to ours.
            None => Some(State::Failed),
        })
    };
    rows.iter().map(state).collect()
}

fn bounded(limit: usize) -> i64 {
    limit.clamp(1, limits::PAGE_ITEMS_MAX) as i64
}

fn read(row: &Row) -> Result<Schedule, Fault> {
    Ok(Schedule {
        name: row.try_get(0)?,
        owner: row.try_get(1)?,
        body: row.try_get(2)?,
        due_at: row.try_get::<_, Option<i64>>(3)?.map(Timestamp::from_millis),
        memory: row.try_get(4)?,
        revision: row.try_get(5)?,
        created_at: Timestamp::from_millis(row.try_get(6)?),
        edited_at: Timestamp::from_millis(row.try_get(7)?),
    })
}

fn tick(row: &Row) -> Result<TickRecord, Fault> {
    let code = usize::try_from(row.try_get::<_, i16>(2)?).ok();
    Ok(TickRecord {
        at: Timestamp::from_millis(row.try_get(0)?),
        written_at: Timestamp::from_millis(row.try_get(1)?),
        // A code that no version wrote.
        outcome: code.and_then(|code| TickOutcome::ALL.get(code).copied()).unwrap_or(TickOutcome::Failed),
        task: row.try_get::<_, Option<Uuid>>(3)?.map(TaskId::from_uuid),
        reason: row.try_get(4)?,
    })
}
