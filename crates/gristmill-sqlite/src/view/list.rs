use gristmill_core::{Cursor, Filter, Page, State, TaskRecord, limits};
use rusqlite::params;

use super::record::{last_worker, load, locate};
use crate::error::Fault;
use crate::ops::ended_of;
use crate::reader::View;
use crate::sql;

/// Rows that are fetched at once.
const CHUNK: usize = 512;

/// Tasks that match, newest first.
pub(crate) fn list(view: &mut View<'_>, filter: &Filter, after: Option<Cursor>, limit: usize) -> Result<Page<TaskRecord>, Fault> {
    let limit = limit.clamp(1, limits::PAGE_ITEMS_MAX);
    let mut page = Page { items: Vec::new(), next: None };
    let Some(wanted) = Wanted::new(view, filter)? else { return Ok(page) };
    let sources = sources(filter);
    let mut cursor = after.map_or(i64::MAX, Cursor::key);
    let mut budget = limits::PAGE_ROWS_MAX;
    loop {
        let chunk = newest(view, &sources, cursor, CHUNK.min(budget))?;
        let exhausted = chunk.len() < CHUNK.min(budget);
        for seq in chunk {
            if page.items.len() == limit || budget == 0 {
                page.next = Some(Cursor::after(cursor));
                return Ok(page);
            }
            cursor = seq;
            budget -= 1;
            page.items.extend(wanted.read(view, filter, seq)?);
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

/// The filter's names as numbers.
struct Wanted {
    queue: Option<i64>,
    kind: Option<i64>,
}

impl Wanted {
    /// `None` if a name was never used, so that nothing can match.
    fn new(view: &mut View<'_>, filter: &Filter) -> Result<Option<Self>, Fault> {
        let mut wanted = Self { queue: None, kind: None };
        if let Some(queue) = &filter.queue {
            wanted.queue = view.names.queues.find(view.conn, queue)?;
            if wanted.queue.is_none() {
                return Ok(None);
            }
        }
        if let Some(kind) = &filter.kind {
            wanted.kind = view.names.kinds.find(view.conn, kind)?;
            if wanted.kind.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(wanted))
    }

    fn read(&self, view: &mut View<'_>, filter: &Filter, seq: i64) -> Result<Option<TaskRecord>, Fault> {
        // The cheap questions first: most rows of a long history fail one of them.
        if self.queue.is_some() || self.kind.is_some() {
            let mut place = view.conn.prepare_cached(sql::TASK_PLACE)?;
            let mut rows = place.query([seq])?;
            let Some(row) = rows.next()? else { return Ok(None) };
            let (queue, kind): (i64, i64) = (row.get(0)?, row.get(1)?);
            if self.queue.is_some_and(|wanted| wanted != queue) || self.kind.is_some_and(|wanted| wanted != kind) {
                return Ok(None);
            }
        }
        let Some(place) = locate(view, seq)? else { return Ok(None) };
        if !filter.admits_state(place.state()) {
            return Ok(None);
        }
        if let Some(worker) = &filter.worker
            && last_worker(view, seq, &place)?.as_ref() != Some(worker)
        {
            return Ok(None);
        }
        let record = load(view, seq, &place)?;
        Ok(record.filter(|record| filter.admits(&record.kind, &record.meta) && filter.admits_time(record.created_at)))
    }
}

/// A list of keys, newest first, that holds all tasks of a state.
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

/// At most `count` keys below `below`, newest first. Fewer mean that there are no more.
fn newest(view: &View<'_>, sources: &[Source], below: i64, count: usize) -> Result<Vec<i64>, Fault> {
    let limit = i64::try_from(count).unwrap_or(i64::MAX);
    let mut keys = Vec::new();
    for source in sources {
        let (sql, ended) = match source {
            Source::Tasks => (sql::TASK_PAGE, None),
            Source::Leases => (sql::LEASE_PAGE, None),
            Source::Scheduled => (sql::SCHEDULED_PAGE, None),
            Source::Ended(state) => (sql::OUTCOME_PAGE, Some(ended_of(*state))),
        };
        let mut statement = view.conn.prepare_cached(sql)?;
        let key = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
        match ended {
            None => keys.extend(statement.query_map(params![below, limit], key)?.collect::<Result<Vec<_>, _>>()?),
            Some(code) => keys.extend(statement.query_map(params![below, limit, code], key)?.collect::<Result<Vec<_>, _>>()?),
        }
    }
    keys.sort_unstable_by(|a, b| b.cmp(a));
    keys.dedup();
    keys.truncate(count);
    Ok(keys)
}
