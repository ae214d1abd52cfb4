use gristmill_core::durable::{Awaits, EventRecord, Memories, Memory, Waiter};
use gristmill_core::kit::row::count;
use gristmill_core::limits::PAGE_ITEMS_MAX;
use gristmill_core::{Cursor, Page, TaskId, Timestamp};
use tokio_postgres::Row;
use uuid::Uuid;

use super::task_states;
use crate::error::Fault;
use crate::ops::{kept, limit as bound};
use crate::session::Session;
use crate::sql::Q;

/// All that a task remembers.
pub(crate) async fn memories(s: &Session<'_>, id: TaskId) -> Result<Memories, Fault> {
    let task = id.as_uuid();
    let mut memories = Memories::default();
    for row in s.rows(Q::MemoryList, &[&s.now, &task]).await? {
        memories.now = Timestamp::from_millis(row.try_get(0)?);
        let Some(position) = row.try_get::<_, Option<i32>>(1)? else { continue };
        let kept = kept(task, position, &row, 4)?;
        memories.kept.push(Memory { position: count(position), name: row.try_get(2)?, occurrence: count(row.try_get(3)?), kept });
    }
    memories.kept.sort_unstable_by_key(|memory| memory.position);
    Ok(memories)
}

/// Events that are kept, newest first.
pub(crate) async fn events(
    s: &Session<'_>,
    name: Option<&str>,
    after: Option<Cursor>,
    limit: usize,
) -> Result<Page<EventRecord>, Fault> {
    let limit = limit.clamp(1, PAGE_ITEMS_MAX);
    let below = after.map_or(i64::MAX, Cursor::key);
    let mut rows = match name {
        Some(name) => s.rows(Q::EventNamed, &[&s.now, &name]).await?,
        None => s.rows(Q::EventList, &[&s.now, &below, &bound(limit + 1)]).await?,
    };
    let is_more = rows.len() > limit;
    rows.truncate(limit);
    let mut page = Page::last(Vec::with_capacity(rows.len()));
    for row in &rows {
        let id: i64 = row.try_get(0)?;
        if id < below {
            page.items.push(event(row)?);
            page.next = Some(Cursor::after(id)).filter(|_| is_more);
        }
    }
    Ok(page)
}

fn event(row: &Row) -> Result<EventRecord, Fault> {
    Ok(EventRecord {
        name: row.try_get(1)?,
        payload: row.try_get(2)?,
        sent_at: Timestamp::from_millis(row.try_get(3)?),
        keep_until: Timestamp::from_millis(row.try_get(4)?),
    })
}

/// Who awaits an event, in the order of names and tasks.
pub(crate) async fn waiters(s: &mut Session<'_>, name: Option<&str>, limit: usize) -> Result<Vec<Waiter>, Fault> {
    let limit = limit.clamp(1, PAGE_ITEMS_MAX);
    let text = |name: &str| Awaits::Event(name.to_owned()).to_text();
    let low = text(name.unwrap_or_default());
    // Behind all names.
    let high = name.map_or_else(|| "event;".to_owned(), text);
    let (mut after, mut waiters) = ((low, Uuid::nil()), Vec::new());
    loop {
        let rows = s.rows(Q::WaiterList, &[&high, &after.0, &after.1, &bound(limit)]).await?;
        let ids = rows.iter().map(|row| Ok(TaskId::from_uuid(row.try_get(1)?))).collect::<Result<Vec<_>, Fault>>()?;
        // Those that have ended are found and let go by a sweep.
        let states = task_states(s, &ids).await?;
        for ((row, task), state) in rows.iter().zip(ids).zip(states) {
            after = (row.try_get(0)?, task.as_uuid());
            let Some(event) = row.try_get(2)? else { continue };
            if state.is_some_and(|state| !state.is_final()) {
                let until: Option<i64> = row.try_get(3)?;
                waiters.push(Waiter { event, task, until: until.map(Timestamp::from_millis) });
            }
        }
        if waiters.len() >= limit || rows.len() < limit {
            waiters.truncate(limit);
            return Ok(waiters);
        }
    }
}
