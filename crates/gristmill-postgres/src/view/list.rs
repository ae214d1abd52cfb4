use gristmill_core::{Cursor, Filter, Page, State, TaskRecord, limits};
use tokio_postgres::Row;
use uuid::Uuid;

use super::record::records;
use crate::error::Fault;
use crate::names::Sort;
use crate::ops::{ended_of, limit as bound};
use crate::session::Session;
use crate::sql::Q;

/// Rows that are read at once.
const CHUNK: usize = 1_000;

/// Tasks that match, newest first.
pub(crate) async fn list(
    s: &mut Session<'_>,
    filter: &Filter,
    after: Option<Cursor>,
    limit: usize,
) -> Result<Page<TaskRecord>, Fault> {
    let limit = limit.clamp(1, limits::PAGE_ITEMS_MAX);
    let mut page = Page { items: Vec::new(), next: None };
    let Some(wanted) = Wanted::new(s, filter).await? else { return Ok(page) };
    let sources = sources(filter);
    let mut cursor = after.map_or(i64::MAX, Cursor::key);
    let mut budget = limits::PAGE_ROWS_MAX;
    loop {
        // One more than is wanted tells whether there is a next page.
        let size = if Wanted::is_everything(filter) { (limit - page.items.len() + 1).min(CHUNK) } else { CHUNK }.min(budget);
        let chunk = newest(s, &sources, cursor, size).await?;
        let exhausted = chunk.len() < size;
        let likely: Vec<Uuid> = chunk.iter().filter(|row| wanted.may_match(row)).map(|row| row.id).collect();
        let mut found = matching(s, filter, &likely).await?.into_iter().peekable();
        for row in chunk {
            if page.items.len() == limit || budget == 0 {
                page.next = Some(Cursor::after(cursor));
                return Ok(page);
            }
            cursor = row.seq;
            budget -= 1;
            page.items.extend(found.next_if(|record| record.id.as_uuid() == row.id));
        }
        if exhausted {
            return Ok(page);
        }
        if budget == 0 {
            page.next = Some(Cursor::after(cursor));
            return Ok(page);
        }
    }
}

async fn matching(s: &mut Session<'_>, filter: &Filter, ids: &[Uuid]) -> Result<Vec<TaskRecord>, Fault> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut found = records(s, ids, filter.worker.is_some()).await?;
    found.retain_mut(|record| {
        let last = std::mem::take(&mut record.attempts).pop();
        filter.admits_state(record.state)
            && filter.admits(&record.kind, &record.meta)
            && filter.admits_time(record.created_at)
            && filter.worker.as_ref().is_none_or(|name| last.is_some_and(|last| last.worker.as_ref() == Some(name)))
    });
    Ok(found)
}

/// The filter's names as numbers.
struct Wanted {
    queue: Option<i32>,
    kind: Option<i32>,
}

impl Wanted {
    /// `None` if a name was never used, so that nothing can match.
    async fn new(s: &mut Session<'_>, filter: &Filter) -> Result<Option<Self>, Fault> {
        let mut wanted = Self { queue: None, kind: None };
        if let Some(queue) = &filter.queue {
            wanted.queue = s.find(Sort::Queue, queue).await?;
            if wanted.queue.is_none() {
                return Ok(None);
            }
        }
        if let Some(kind) = &filter.kind {
            wanted.kind = s.find(Sort::Kind, kind).await?;
            if wanted.kind.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(wanted))
    }

    fn is_everything(filter: &Filter) -> bool {
        *filter == Filter::default()
    }

    /// The cheap questions first: most rows of a long history fail one of them.
    fn may_match(&self, row: &Found) -> bool {
        self.queue.is_none_or(|queue| queue == row.queue) && self.kind.is_none_or(|kind| kind == row.kind)
    }
}

/// A list of tasks, newest first, that holds all tasks of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Tasks,
    Leases,
    Scheduled,
    Ended(State),
}

/// The shortest lists that hold every task in the wanted states, so that few that run are not looked for in a long history.
fn sources(filter: &Filter) -> Vec<Source> {
    let all = filter.states.iter().map(|state| match state {
        State::Running => Some(Source::Leases),
        State::Scheduled => Some(Source::Scheduled),
        State::Failed | State::Cancelled | State::Expired => Some(Source::Ended(*state)),
        _ => None,
    });
    match all.collect::<Option<Vec<_>>>() {
        Some(sources) if !sources.is_empty() => sources,
        _ => vec![Source::Tasks],
    }
}

/// A task in a list, by what the list knows of it.
struct Found {
    id: Uuid,
    seq: i64,
    queue: i32,
    kind: i32,
}

/// At most `size` tasks below `below`, newest first. Fewer mean that there are no more.
async fn newest(s: &Session<'_>, sources: &[Source], below: i64, size: usize) -> Result<Vec<Found>, Fault> {
    let mut found = Vec::new();
    for source in sources {
        let rows = match source {
            Source::Tasks => s.rows(Q::TaskPage, &[&below, &bound(size)]).await?,
            Source::Leases => s.rows(Q::LeasePage, &[&below, &bound(size)]).await?,
            Source::Scheduled => s.rows(Q::ScheduledPage, &[&below, &bound(size)]).await?,
            Source::Ended(state) => s.rows(Q::OutcomePage, &[&below, &bound(size), &ended_of(*state)]).await?,
        };
        for row in &rows {
            found.push(read(row)?);
        }
    }
    found.sort_unstable_by_key(|row| std::cmp::Reverse(row.seq));
    found.dedup_by_key(|row| row.seq);
    found.truncate(size);
    Ok(found)
}

fn read(row: &Row) -> Result<Found, Fault> {
    Ok(Found { id: row.try_get(0)?, seq: row.try_get(1)?, queue: row.try_get(2)?, kind: row.try_get(3)? })
}
