use std::collections::HashMap;

use gristmill_core::durable::{Awaits, EventRecord, Kept, Memories, Memory, Waiter};
use gristmill_core::kit::encode::attempt_state_of;
use gristmill_core::limits::{PAGE_ITEMS_MAX, RESULTS_BYTES_MAX};
use gristmill_core::{AttemptState, Cursor, Page, StoreError, StoreErrorKind, TaskId, Timestamp};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};

use crate::error::Fault;
use crate::reader::View;
use crate::sql;
use crate::text::Lossy;

/// Of what is awaited, events and workflows each, a sweep looks at so much, some milliseconds beside whoever writes; the next one goes on there.
const WAITS_AT_ONCE: i64 = 1_000;
/// And at so many tasks that remember something.
const TASKS_AT_ONCE: usize = 100;

/// All that a task remembers.
pub(crate) fn memories(view: &View<'_>, id: TaskId) -> Result<Memories, Fault> {
    let mut list = view.conn.prepare_cached(sql::MEMORY_LIST)?;
    let mut rows = list.query([id.as_bytes().as_slice()])?;
    let mut kept = Vec::new();
    while let Some(row) = rows.next()? {
        let memory = memory(row, 0).ok_or_else(|| unreadable(id, row.get(0).unwrap_or(-1)))?;
        kept.push(with_what_came(view, memory)?);
    }
    Ok(Memories { now: view.now, kept })
}

/// The value of an event that was sent in time, even if the task has not been told of it.
fn with_what_came(view: &View<'_>, memory: Memory) -> Result<Memory, Fault> {
    let Kept::Event { name, until } = &memory.kept else { return Ok(memory) };
    let mut sent = view.conn.prepare_cached(sql::EVENT_PAYLOAD)?;
    let sent = sent
        .query_row(params![name, view.now.as_millis()], |row| Ok((row.get::<_, Lossy>(0)?, Timestamp::from_millis(row.get(1)?))));
    Ok(match sent.optional()? {
        Some((Lossy(payload), at)) if until.is_none_or(|until| at <= until) => Memory { kept: Kept::Value(payload), ..memory },
        _ => memory,
    })
}

/// A row from its position on; `None` if it can't be read.
pub(crate) fn memory(row: &Row<'_>, first: usize) -> Option<Memory> {
    let (position, name, occurrence) = (row.get(first).ok()?, row.get(first + 4).ok()?, row.get(first + 5).ok()?);
    Some(Memory { position, name, occurrence, kept: of_memory(row, first + 1)? })
}

/// What came of a step, from its code on; `None` if it can't be read.
pub(crate) fn of_memory(row: &Row<'_>, first: usize) -> Option<Kept> {
    Kept::of_row(row.get(first).ok()?, row.get(first + 1).ok()?, row.get(first + 2).ok()?)
}

/// What is said of a task of which something can't be read.
pub(crate) fn unreadable(id: TaskId, position: i64) -> StoreError {
    let message = format!(
        "what the task {id} remembers at position {position} can't be read: a newer version has written it, or something else has; run the task \
         by that version, or correct the row in gristmill_memory; `doctor` names more"
    );
    StoreError::new(StoreErrorKind::Corrupt, message)
}

/// Events that are kept, newest first.
pub(crate) fn list_events(
    view: &View<'_>,
    name: Option<&str>,
    after: Option<Cursor>,
    limit: usize,
) -> Result<Page<EventRecord>, Fault> {
    let limit = limit.clamp(1, PAGE_ITEMS_MAX);
    let (before, now, most) = (after.map_or(i64::MAX, Cursor::key), view.now.as_millis(), limit as i64 + 1);
    let mut list = view.conn.prepare_cached(if name.is_some() { sql::EVENT_NAMED } else { sql::EVENT_LIST })?;
    let mut rows = match name {
        Some(name) => list.query(params![before, now, most, name])?,
        None => list.query(params![before, now, most])?,
    };
    let (mut page, mut bytes, mut last) = (Page { items: Vec::new(), next: None }, 0, 0);
    while let Some(row) = rows.next()? {
        if page.items.len() == limit || bytes > RESULTS_BYTES_MAX {
            page.next = Some(Cursor::after(last));
            break;
        }
        let (Lossy(name), Lossy(payload)) = (row.get(1)?, row.get(2)?);
        bytes += payload.len();
        last = row.get(0)?;
        let (sent_at, keep_until) = (Timestamp::from_millis(row.get(3)?), Timestamp::from_millis(row.get(4)?));
        page.items.push(EventRecord { name, payload, sent_at, keep_until });
    }
    Ok(page)
}

/// Who awaits an event of this name, or any.
pub(crate) fn list_waiters(view: &View<'_>, name: Option<String>, limit: usize) -> Result<Vec<Waiter>, Fault> {
    let most = limit.clamp(1, PAGE_ITEMS_MAX) as i64;
    let awaits = name.map(|name| Awaits::Event(name).to_text());
    let mut list = view.conn.prepare_cached(if awaits.is_some() { sql::WAITER_OF } else { sql::WAITER_LIST })?;
    let mut rows = match awaits {
        Some(awaits) => list.query(params![most, awaits])?,
        None => list.query([most])?,
    };
    let mut waiters = Vec::new();
    while let Some(row) = rows.next()? {
        // What can't be read, `doctor` names.
        if let (Some(task), Some(Kept::Event { name: event, until })) = (task(row, 0), of_memory(row, 1)) {
            waiters.push(Waiter { event, task, until });
        }
    }
    Ok(waiters)
}

fn task(row: &Row<'_>, column: usize) -> Option<TaskId> {
    row.get_ref(column).ok()?.as_blob().ok().and_then(TaskId::from_slice)
}

/// Whether an event is there of which sweeps have yet to tell somebody.
pub(crate) fn has_untold(conn: &Connection) -> Result<bool, Fault> {
    Ok(conn.prepare_cached(sql::EVENT_UNTOLD)?.exists([])?)
}

/// Tasks with durable steps that somebody has to see to.
#[derive(Default)]
pub(crate) struct Lost {
    /// They stand still for what has come.
    pub(crate) waits: Vec<TaskId>,
    /// They have ended, and await something or have started a workflow.
    pub(crate) ended: Vec<TaskId>,
    /// They are no more, and something of what they remembered is.
    pub(crate) gone: Vec<TaskId>,
}

/// How far the looks for them have come, sweep after sweep.
#[derive(Clone, Default)]
pub(crate) struct Walk {
    events: At,
    workflows: At,
    children: (Vec<u8>, i64),
    tasks: Vec<u8>,
}

/// A place in the order of what is awaited: that, the task, and the position.
#[derive(Clone, Default)]
struct At(Vec<u8>, Vec<u8>, i64);

/// Looks at the next part of what is awaited and remembered.
pub(crate) fn look_for_lost(view: &View<'_>, walk: Walk) -> Result<(Lost, Walk), Fault> {
    let Walk { mut events, mut workflows, mut children, mut tasks } = walk;
    let mut lost = Lost::default();
    next_waits(view, WORKFLOWS, &mut workflows, WAITS_AT_ONCE, &mut lost)?;
    next_waits(view, EVENTS, &mut events, WAITS_AT_ONCE, &mut lost)?;
    next_left(view.conn, &mut children, &mut lost)?;
    next_gone(view.conn, &mut tasks, &mut lost)?;
    // A task that has started a thousand workflows is found as often.
    lost.ended.sort_unstable();
    lost.ended.dedup();
    Ok((lost, Walk { events, workflows, children, tasks }))
}

/// How many of those that wait stand still for what has come, of so many that await an event and as many that await a workflow.
pub(crate) fn lost_waits(view: &View<'_>, most: i64) -> Result<usize, Fault> {
    let mut lost = Lost::default();
    next_waits(view, WORKFLOWS, &mut At::default(), most, &mut lost)?;
    next_waits(view, EVENTS, &mut At::default(), most, &mut lost)?;
    Ok(lost.waits.len())
}

/// Before and behind all that [`Awaits::to_text`] gives.
type Range = (&'static str, &'static str);
const EVENTS: Range = ("event:", "event;");
const WORKFLOWS: Range = ("workflow:", "workflow;");

fn next_waits(view: &View<'_>, range: Range, from: &mut At, most: i64, lost: &mut Lost) -> Result<(), Fault> {
    let (first, end) = range;
    if from.0.is_empty() {
        from.0 = first.into();
    }
    let At(awaits, id, position) = std::mem::take(from);
    let put_off = attempt_state_of(AttemptState::Snoozed);
    let mut waits = view.conn.prepare_cached(sql::MEMORY_WAITS)?;
    let mut rows = waits.query(params![Text(&awaits), id, position, end, put_off, most])?;
    let mut known = HashMap::new();
    let mut count = 0;
    while let Some(row) = rows.next()? {
        count += 1;
        let (is_gone, has_ended, stands_still) = (row.get(6)?, row.get(7)?, row.get(8)?);
        if let Some(task) = task(row, 1) {
            if is_gone {
                lost.gone.push(task);
            } else if has_ended {
                lost.ended.push(task);
            } else if stands_still && let Some(awaits) = of_memory(row, 3).and_then(|kept| kept.awaits()) {
                let came = match known.get(&awaits) {
                    Some(came) => *came,
                    None => has_come(view, &awaits)?,
                };
                known.insert(awaits, came);
                if came {
                    lost.waits.push(task);
                }
            }
        }
        if count == most {
            *from = At(
                row.get_ref(0)?.as_bytes().unwrap_or_default().into(),
                row.get_ref(1)?.as_blob().unwrap_or_default().into(),
                row.get(2)?,
            );
        }
    }
    Ok(())
}

/// Whether it has, and nobody is about to tell.
fn has_come(view: &View<'_>, awaits: &Awaits) -> Result<bool, Fault> {
    let conn = view.conn;
    Ok(match awaits {
        Awaits::Event(name) => {
            let there = conn.prepare_cached(sql::EVENT_THERE)?.query_row(params![name, view.now.as_millis()], |row| row.get(0));
            there.optional()?.unwrap_or(false)
        }
        Awaits::Workflow(id) => !conn.prepare_cached(sql::WORKFLOW_GOES_ON)?.exists([id.as_bytes().as_slice()])?,
    })
}

fn next_left(conn: &Connection, from: &mut (Vec<u8>, i64), lost: &mut Lost) -> Result<(), Fault> {
    let (id, position) = std::mem::take(from);
    let mut left = conn.prepare_cached(sql::MEMORY_LEFT)?;
    let mut rows = left.query(params![id, position, WAITS_AT_ONCE])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        count += 1;
        if row.get(2)? {
            lost.ended.extend(task(row, 0));
        }
        if count == WAITS_AT_ONCE {
            *from = (row.get_ref(0)?.as_blob().unwrap_or_default().into(), row.get(1)?);
        }
    }
    Ok(())
}

fn next_gone(conn: &Connection, after: &mut Vec<u8>, lost: &mut Lost) -> Result<(), Fault> {
    let mut next = conn.prepare_cached(sql::MEMORY_NEXT)?;
    let mut find = conn.prepare_cached(sql::TASK_FIND)?;
    for _ in 0..TASKS_AT_ONCE {
        let Some(id) = next.query_row([&*after], |row| row.get::<_, Vec<u8>>(0)).optional()? else {
            after.clear();
            return Ok(());
        };
        if !find.exists([&id])? {
            lost.gone.extend(TaskId::from_slice(&id));
        }
        *after = id;
    }
    Ok(())
}

/// Text as it is, whether or not it is UTF-8.
struct Text<'a>(&'a [u8]);

impl ToSql for Text<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(self.0)))
    }
}
