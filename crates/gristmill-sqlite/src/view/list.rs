use gristmill_core::kit::Sift;
use gristmill_core::kit::encode::ended_of;
use gristmill_core::kit::list::{Ask, CLOCK_SLACK_MS, LABELS_COUNTED, Lane, Plan, Read, Walk};
use gristmill_core::{Cursor, Filter, Page, State, TaskId, TaskMeta, TaskRecord, Timestamp};
use rusqlite::{OptionalExtension, Row, params};

use super::record::{json, last_worker, load, locate};
use crate::error::Fault;
use crate::reader::View;
use crate::sql;
use crate::text::Lossy;

/// Tasks that match, newest first.
pub(crate) fn list(view: &mut View<'_>, filter: &Filter, after: Option<Cursor>, limit: usize) -> Result<Page<TaskRecord>, Fault> {
    let mut sift = Sift::new(filter, after, limit);
    while let Some((after, count)) = sift.ask() {
        let (found, next) = find(view, sift.filter(), after, count)?;
        let mut items = Vec::with_capacity(found.len());
        for seq in found {
            if let Some(place) = locate(view, seq)? {
                items.extend(load(view, seq, &place)?.map(|task| (seq, task)));
            }
        }
        sift.take(items, next);
    }
    Ok(sift.end())
}

/// The ids of tasks that match, newest first. Reads no body, unless each task has to be asked.
pub(crate) fn list_ids(view: &mut View<'_>, filter: &Filter, after: Option<Cursor>, limit: usize) -> Result<Page<TaskId>, Fault> {
    let mut sift = Sift::new(filter, after, limit);
    if sift.asks() {
        return Ok(list(view, filter, after, limit)?.map(|task| task.id));
    }
    let Some((after, limit)) = sift.ask() else { return Ok(Page::last(Vec::new())) };
    let (found, next) = find(view, sift.filter(), after, limit)?;
    let mut items = Vec::with_capacity(found.len());
    for seq in found {
        let id = view
            .conn
            .prepare_cached(sql::LIST_ID)?
            .query_row([seq], |row| Ok(row.get_ref(0)?.as_blob().ok().and_then(TaskId::from_slice)));
        items.extend(id.optional()?.flatten());
    }
    Ok(Page { items, next })
}

/// The ids between two, in their order.
pub(crate) fn ids_between(view: &View<'_>, first: TaskId, last: TaskId, limit: usize) -> Result<Vec<TaskId>, Fault> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut between = view.conn.prepare_cached(sql::IDS_BETWEEN)?;
    let bounds = params![first.as_bytes().as_slice(), last.as_bytes().as_slice(), limit];
    let ids = between.query_map(bounds, |row| Ok(row.get_ref(0)?.as_blob().ok().and_then(TaskId::from_slice)))?;
    Ok(ids.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// The keys of tasks that match, newest first, and where the next page begins.
fn find(view: &mut View<'_>, filter: &Filter, after: Option<Cursor>, limit: usize) -> Result<(Vec<i64>, Option<Cursor>), Fault> {
    let kinds = match filter.text {
        Some(_) => names(view)?,
        None => Vec::new(),
    };
    let mut plan = Plan::of(filter, &kinds);
    let mut counts = Vec::new();
    for label in plan.choice() {
        let count = view.conn.prepare_cached(sql::LIST_RAREST)?.query_row(params![label, LABELS_COUNTED], |row| row.get(0))?;
        counts.push(count);
    }
    plan.choose(&counts);
    let Some(mut look) = Look::new(view, filter, &plan)? else { return Ok((Vec::new(), None)) };
    let range = range(look.view, filter)?;
    let mut walk = Walk::new(after, limit, range, look.weight());
    while let Some(ask) = walk.ask() {
        let mut reads = Vec::new();
        for lane in &plan.lanes {
            look.read(lane, ask, &mut reads)?;
        }
        walk.take(reads);
    }
    let (found, next) = walk.end();
    Ok((found.into_iter().map(|(seq, _)| seq).collect(), next))
}

/// The names of all task types.
fn names(view: &View<'_>) -> Result<Vec<String>, Fault> {
    let mut names = view.conn.prepare_cached(sql::KIND_NAMES)?;
    Ok(names.query_map([], |row| Ok(row.get::<_, Lossy>(0)?.0))?.collect::<Result<_, _>>()?)
}

/// The keys between which everything is that was enqueued in the filter's time.
fn range(view: &View<'_>, filter: &Filter) -> Result<(i64, i64), Fault> {
    let at = |at: i64| view.conn.prepare_cached(sql::LIST_SINCE)?.query_row([at], |row| row.get::<_, i64>(0));
    let above = match filter.from {
        Some(from) => at(from.as_millis() - CLOCK_SLACK_MS)? - 1,
        None => -1,
    };
    let below = match filter.until {
        Some(until) => at(until.as_millis() + CLOCK_SLACK_MS)?,
        None => i64::MAX,
    };
    Ok((above, below))
}

/// A task of a lane, by what the lane knows of it.
#[derive(Clone, Copy, Default)]
struct Found {
    seq: i64,
    queue: Option<i64>,
    kind: Option<i64>,
    created_at: Option<i64>,
}

/// What is looked for, with names as numbers.
struct Look<'a, 'v> {
    view: &'a mut View<'v>,
    filter: &'a Filter,
    plan: &'a Plan,
    queue: Option<i64>,
    kind: Option<i64>,
    /// Whether some tasks lack their labels.
    lacking: bool,
}

impl<'a, 'v> Look<'a, 'v> {
    /// `None` if a name was never used, so that nothing can match.
    fn new(view: &'a mut View<'v>, filter: &'a Filter, plan: &'a Plan) -> Result<Option<Self>, Fault> {
        let queue = match &filter.queue {
            Some(queue) => view.names.queues.find(view.conn, queue)?,
            None => None,
        };
        let kind = match &filter.kind {
            Some(kind) => view.names.kinds.find(view.conn, kind)?,
            None => None,
        };
        if queue.is_none() && filter.queue.is_some() || kind.is_none() && filter.kind.is_some() {
            return Ok(None);
        }
        let lacking = view.conn.prepare_cached(sql::LABEL_LACKS)?.query_row([], |row| row.get(0))?;
        Ok(Some(Self { view, filter, plan, queue, kind, lacking }))
    }

    /// How much work a row is, in those of a list that is only read along.
    fn weight(&self) -> usize {
        let by_state = self.plan.any_state && !self.filter.states.is_empty();
        let in_task = self.plan.lanes != [Lane::Tasks] && (self.queue.is_some() || self.kind.is_some() || self.has_time());
        1 + 8 * usize::from(in_task)
            + 4 * self.plan.labels.len()
            + 16 * usize::from(by_state)
            + 24 * usize::from(self.filter.worker.is_some())
            + 8 * usize::from(self.says() && self.lacking)
    }

    fn has_time(&self) -> bool {
        self.filter.from.is_some() || self.filter.until.is_some()
    }

    /// Whether the filter asks for something that a task says of itself.
    fn says(&self) -> bool {
        let Filter { tag, parent, title, schedule, text, .. } = self.filter;
        tag.is_some() || parent.is_some() || title.is_some() || schedule.is_some() || text.is_some()
    }

    /// Reads the newest rows of a lane. One that is kept in parts brings each of them.
    fn read(&mut self, lane: &Lane, ask: Ask, reads: &mut Vec<Read<i64>>) -> Result<(), Fault> {
        let all = |row: &Row<'_>| {
            Ok(Found { seq: row.get(0)?, queue: Some(row.get(1)?), kind: Some(row.get(2)?), created_at: Some(row.get(3)?) })
        };
        let in_queue = |row: &Row<'_>| Ok(Found { seq: row.get(0)?, queue: Some(row.get(1)?), ..Found::default() });
        let alone = |row: &Row<'_>| Ok(Found { seq: row.get(0)?, ..Found::default() });
        let each = |_: &Row<'_>, _: &Found| Ok(true);
        match lane {
            Lane::Tasks => reads.push(self.part(sql::LIST_TASKS, ask, &[], all, each)?),
            Lane::Kinds(names) => {
                let mut kinds = Vec::new();
                for name in names {
                    kinds.extend(self.view.names.kinds.find(self.view.conn, name)?);
                }
                let wanted = |_: &Row<'_>, found: &Found| Ok(found.kind.is_some_and(|kind| kinds.contains(&kind)));
                reads.push(self.part(sql::LIST_TASKS, ask, &[], all, wanted)?);
            }
            Lane::Label(label) => {
                reads.push(self.part(sql::LIST_LABELLED, ask, &[label], alone, each)?);
                if self.lacking {
                    reads.push(self.part(sql::LIST_UNLABELLED, ask, &[], all, each)?);
                }
            }
            Lane::In(state) => match state {
                State::Blocked => reads.push(self.part(sql::LIST_BLOCKED, ask, &[], in_queue, each)?),
                State::Waiting => reads.push(self.part(sql::LIST_WAITING, ask, &[], in_queue, each)?),
                State::Ready => self.read_ready(ask, reads)?,
                State::Scheduled => reads.push(self.part(sql::LIST_SCHEDULED, ask, &[], in_queue, each)?),
                State::Running => reads.push(self.part(sql::LIST_LEASED, ask, &[], in_queue, each)?),
                State::Succeeded => reads.push(self.part(sql::LIST_SUCCEEDED, ask, &[], alone, |row, _| row.get(1))?),
                State::Failed | State::Cancelled | State::Expired => {
                    reads.push(self.part(sql::LIST_ENDED, ask, &[&ended_of(*state)], alone, each)?);
                }
            },
        }
        Ok(())
    }

    /// Ready tasks lie by queue and priority, and those that nobody serves by queue, type and priority.
    fn read_ready(&mut self, ask: Ask, reads: &mut Vec<Read<i64>>) -> Result<(), Fault> {
        let ready = self.ready_places()?;
        let parked = self.parked_places()?;
        let each = |_: &Row<'_>, _: &Found| Ok(true);
        let ask = Ask { count: (ask.count / (ready.len() + parked.len()).max(1)).max(8), ..ask };
        for (queue, priority) in ready {
            let found =
                |row: &Row<'_>| Ok(Found { seq: row.get(0)?, queue: Some(queue), kind: Some(row.get(1)?), ..Found::default() });
            reads.push(self.part(sql::LIST_READY, ask, &[&queue, &priority], found, each)?);
        }
        for (queue, kind, priority) in parked {
            let found = |row: &Row<'_>| Ok(Found { seq: row.get(0)?, queue: Some(queue), kind: Some(kind), ..Found::default() });
            reads.push(self.part(sql::LIST_PARKED, ask, &[&queue, &kind, &priority], found, each)?);
        }
        // Whatever stands elsewhere in line than at its arrival.
        let all =
            |row: &Row<'_>| Ok(Found { seq: row.get(0)?, queue: Some(row.get(1)?), kind: Some(row.get(2)?), ..Found::default() });
        for moved in [sql::LIST_READY_MOVED, sql::LIST_PARKED_MOVED] {
            reads.push(self.part(moved, ask, &[], all, each)?);
        }
        Ok(())
    }

    fn ready_places(&self) -> Result<Vec<(i64, i64)>, Fault> {
        let mut places = Vec::new();
        let mut next = self.view.conn.prepare_cached(sql::LIST_QUEUE_PRIORITIES)?;
        let mut last = (self.queue.unwrap_or(i64::MIN), i64::MIN);
        while let Some(place) = next.query_row(params![last.0, last.1], |row| Ok((row.get(0)?, row.get(1)?))).optional()? {
            if self.queue.is_some_and(|queue| queue != place.0) {
                break;
            }
            places.push(place);
            last = place;
        }
        Ok(places)
    }

    fn parked_places(&self) -> Result<Vec<(i64, i64, i64)>, Fault> {
        let mut places = Vec::new();
        let mut next = self.view.conn.prepare_cached(sql::LIST_PARKED_PLACES)?;
        let mut last = (self.queue.unwrap_or(i64::MIN), i64::MIN, i64::MIN);
        let place = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        while let Some(place) = next.query_row(params![last.0, last.1, last.2], place).optional()? {
            if self.queue.is_some_and(|queue| queue != place.0) {
                break;
            }
            if self.kind.is_none_or(|kind| kind == place.1) {
                places.push(place);
            }
            last = place;
        }
        Ok(places)
    }

    /// Reads one list of keys.
    fn part(
        &mut self,
        sql: &str,
        ask: Ask,
        of: &[&dyn rusqlite::ToSql],
        found: impl Fn(&Row<'_>) -> rusqlite::Result<Found>,
        wanted: impl Fn(&Row<'_>, &Found) -> rusqlite::Result<bool>,
    ) -> Result<Read<i64>, Fault> {
        let count = i64::try_from(ask.count).unwrap_or(i64::MAX);
        let mut read = Read::end();
        let mut statement = self.view.conn.prepare_cached(sql)?;
        let bounds: [&dyn rusqlite::ToSql; 3] = [&ask.below, &ask.above, &count];
        let mut rows = statement.query(rusqlite::params_from_iter(bounds.iter().chain(of)))?;
        let mut lowest = None;
        while let Some(row) = rows.next()? {
            let mut found = found(row)?;
            read.rows += 1;
            lowest = Some(found.seq);
            if wanted(row, &found)? && self.matches(&mut found)? {
                read.found.push((found.seq, found.seq));
            }
        }
        read.lowest = lowest.filter(|_| read.rows == ask.count);
        Ok(read)
    }

    /// The cheap questions first.
    fn matches(&mut self, found: &mut Found) -> Result<bool, Fault> {
        let conn = self.view.conn;
        let unknown = found.queue.is_none() && self.queue.is_some()
            || found.kind.is_none() && self.kind.is_some()
            || found.created_at.is_none() && self.has_time();
        if unknown {
            let place =
                |row: &Row<'_>| Ok(Found { seq: found.seq, queue: row.get(0)?, kind: row.get(1)?, created_at: row.get(2)? });
            let Some(place) = conn.prepare_cached(sql::LIST_PLACE)?.query_row([found.seq], place).optional()? else {
                return Ok(false);
            };
            *found = place;
        }
        if self.queue.is_some_and(|queue| found.queue != Some(queue)) || self.kind.is_some_and(|kind| found.kind != Some(kind)) {
            return Ok(false);
        }
        if let Some(at) = found.created_at
            && !self.filter.admits_time(Timestamp::from_millis(at))
        {
            return Ok(false);
        }
        if !self.lacking {
            for label in &self.plan.labels {
                if !conn.prepare_cached(sql::LABEL_HAS)?.query_row(params![label, found.seq], |row| row.get(0))? {
                    return Ok(false);
                }
            }
        }
        let by_state = self.plan.any_state && !self.filter.states.is_empty();
        if by_state || self.filter.worker.is_some() {
            let Some(stands) = locate(self.view, found.seq)? else { return Ok(false) };
            if by_state && !self.filter.admits_state(stands.state()) {
                return Ok(false);
            }
            if let Some(worker) = &self.filter.worker
                && last_worker(self.view, found.seq, &stands)?.as_ref() != Some(worker)
            {
                return Ok(false);
            }
        }
        // Last, as it may be behind long arguments. Labels have left hardly any that does not match.
        if !self.says() {
            return Ok(true);
        }
        let says = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, json::<TaskMeta>(row, 1).unwrap_or_default()));
        let Some((kind, meta)) = conn.prepare_cached(sql::LIST_SAYS)?.query_row([found.seq], says).optional()? else {
            return Ok(false);
        };
        let kind = self.view.names.kinds.name(conn, kind)?;
        Ok(self.filter.admits(kind.as_deref().unwrap_or("?"), &meta))
    }
}
