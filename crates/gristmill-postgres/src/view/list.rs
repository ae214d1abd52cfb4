use std::collections::HashMap;

use gristmill_core::kit::Sift;
use gristmill_core::kit::encode::ended_of;
use gristmill_core::kit::list::{Ask, CLOCK_SLACK_MS, LABELS_COUNTED, Lane, Plan, Read, Walk};
use gristmill_core::{Cursor, Filter, Page, Place, State, TaskId, TaskMeta, TaskRecord};
use tokio_postgres::Row;
use uuid::Uuid;

use super::record::records;
use crate::conn::Params;
use crate::doors::code;
use crate::error::Fault;
use crate::names::Sort;
use crate::ops::limit as bound;
use crate::session::Session;
use crate::sql::Q;

/// To how much of what a page may read a row comes that is only read along.
const READ: usize = 2;
/// And one for which others have to be looked up, so that a page that finds nothing takes as long as before.
const LOOKED_UP: usize = 32;
/// How many rows of one place in `ready` are sorted among those of the others at once.
const SORTED: usize = 4_000;

/// Tasks that match, newest first.
pub(crate) async fn list(
    s: &mut Session<'_>,
    filter: &Filter,
    after: Option<Cursor>,
    limit: usize,
) -> Result<Page<TaskRecord>, Fault> {
    let mut sift = Sift::new(filter, after, limit);
    while let Some((after, count)) = sift.ask() {
        let (found, next) = find(s, sift.filter(), after, count).await?;
        let ids: Vec<Uuid> = found.iter().map(|(_, id)| *id).collect();
        let keys: HashMap<TaskId, i64> = found.into_iter().map(|(key, id)| (TaskId::from_uuid(id), key)).collect();
        let mut items = if ids.is_empty() { Vec::new() } else { records(s, &ids, false).await? };
        // They may have gone on since they were found.
        items.retain(|task| sift.filter().admits_state(task.state));
        sift.take(items.into_iter().filter_map(|task| Some((*keys.get(&task.id)?, task))).collect(), next);
    }
    Ok(sift.end())
}

/// The ids of tasks that match, newest first. Reads no body, unless each task has to be asked.
pub(crate) async fn list_ids(
    s: &mut Session<'_>,
    filter: &Filter,
    after: Option<Cursor>,
    limit: usize,
) -> Result<Page<TaskId>, Fault> {
    let mut sift = Sift::new(filter, after, limit);
    if sift.asks() {
        return Ok(list(s, filter, after, limit).await?.map(|task| task.id));
    }
    let Some((after, limit)) = sift.ask() else { return Ok(Page::last(Vec::new())) };
    let (found, next) = find(s, sift.filter(), after, limit).await?;
    Ok(Page { items: found.into_iter().map(|(_, id)| TaskId::from_uuid(id)).collect(), next })
}

/// The ids between two, in their order.
pub(crate) async fn ids_between(s: &mut Session<'_>, first: TaskId, last: TaskId, limit: usize) -> Result<Vec<TaskId>, Fault> {
    s.spare_days().await?;
    let rows = s.rows(Q::IdsBetween, &[&first.as_uuid(), &last.as_uuid(), &bound(limit)]).await?;
    rows.iter().map(|row| Ok(TaskId::from_uuid(row.try_get(0)?))).collect()
}

/// The ids of tasks that match with their places in the order of arrival, newest first, and where the next page begins.
async fn find(
    s: &mut Session<'_>,
    filter: &Filter,
    after: Option<Cursor>,
    limit: usize,
) -> Result<(Vec<(i64, Uuid)>, Option<Cursor>), Fault> {
    let kinds = match filter.text {
        Some(_) => kinds(s).await?,
        None => HashMap::new(),
    };
    let mut plan = Plan::of(filter, &kinds.values().cloned().collect::<Vec<_>>());
    let choice = plan.choice();
    if !choice.is_empty() {
        let rows = s.rows(Q::ListRarest, &[&choice, &LABELS_COUNTED]).await?;
        plan.choose(&rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<_>, _>>()?);
    }
    let Some(look) = Look::new(s, filter, &plan, kinds).await? else { return Ok((Vec::new(), None)) };
    let range = range(s, filter).await?;
    let mut walk = Walk::new(after, limit, range, look.weight());
    while let Some(ask) = walk.ask() {
        let mut reads = Vec::new();
        for lane in &plan.lanes {
            look.read(s, lane, ask, &mut reads).await?;
        }
        walk.take(reads);
    }
    Ok(walk.end())
}

/// The names of all task types, with their numbers.
async fn kinds(s: &Session<'_>) -> Result<HashMap<i32, String>, Fault> {
    let rows = s.rows(Q::ListKinds, &[]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// The places between which everything is that was enqueued in the filter's time.
async fn range(s: &Session<'_>, filter: &Filter) -> Result<(i64, i64), Fault> {
    let at =
        async |at: i64| -> Result<i64, Fault> { s.row(Q::ListSince, &[&at]).await?.map_or(Ok(0), |row| Ok(row.try_get(0)?)) };
    let above = match filter.from {
        Some(from) => at(from.as_millis() - CLOCK_SLACK_MS).await? - 1,
        None => -1,
    };
    let below = match filter.until {
        Some(until) => at(until.as_millis() + CLOCK_SLACK_MS).await?,
        None => i64::MAX,
    };
    Ok((above, below))
}

/// How deep a list was read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// To its end, if there were fewer rows than these.
    Asked(usize),
    /// It says so itself.
    Told,
}

/// What a lane has told of its tasks, so that it need not be asked again.
#[derive(Clone, Copy, Default)]
struct Told {
    queue: bool,
    kind: bool,
    time: bool,
    state: bool,
}

/// What is looked for, with names as numbers.
struct Look<'a> {
    filter: &'a Filter,
    plan: &'a Plan,
    queue: Option<i32>,
    kinds: Option<Vec<i32>>,
    time: (i64, i64),
    /// Below this place tasks may lack their labels.
    gap: i64,
    names: HashMap<i32, String>,
}

impl<'a> Look<'a> {
    /// `None` if a name was never used, so that nothing can match.
    async fn new(
        s: &mut Session<'_>,
        filter: &'a Filter,
        plan: &'a Plan,
        names: HashMap<i32, String>,
    ) -> Result<Option<Self>, Fault> {
        let mut look = Self {
            filter,
            plan,
            queue: None,
            kinds: None,
            time: (filter.from.map_or(i64::MIN, |at| at.as_millis()), filter.until.map_or(i64::MAX, |at| at.as_millis())),
            gap: 0,
            names,
        };
        if let Some(queue) = &filter.queue {
            let Some(queue) = s.find(Sort::Queue, queue).await? else { return Ok(None) };
            look.queue = Some(queue);
        }
        if let Some(kind) = &filter.kind {
            let Some(kind) = s.find(Sort::Kind, kind).await? else { return Ok(None) };
            look.kinds = Some(vec![kind]);
        }
        if look.says() {
            look.gap = s.row(Q::LabelGap, &[]).await?.map_or(Ok(0), |row| row.try_get(0))?;
        }
        Ok(Some(look))
    }

    /// How much work a row is.
    fn weight(&self) -> usize {
        let mut told = self.plan.lanes.iter().map(|lane| self.told(lane));
        let looked_up = told.any(|told| self.has_more(told)) || self.says() && self.gap > 0;
        match looked_up {
            // The last attempt lies in no list.
            true if self.filter.worker.is_some() => 2 * LOOKED_UP,
            true => LOOKED_UP,
            false => READ,
        }
    }

    /// What a lane tells of its tasks by itself.
    fn told(&self, lane: &Lane) -> Told {
        let state = !self.plan.any_state;
        match lane {
            Lane::Tasks | Lane::Kinds(_) => Told { queue: true, kind: true, time: true, state },
            Lane::Label(_) => Told { state, ..Told::default() },
            Lane::In(State::Blocked | State::Scheduled | State::Waiting | State::Ready) => {
                Told { queue: true, kind: true, time: false, state }
            }
            Lane::In(State::Running) => Told { queue: true, kind: false, time: false, state },
            Lane::In(State::Succeeded) => Told { queue: true, kind: true, time: true, state: false },
            Lane::In(State::Failed | State::Cancelled | State::Expired) => Told { state, ..Told::default() },
        }
    }

    /// Whether something is left to ask after that.
    fn has_more(&self, told: Told) -> bool {
        !told.queue && self.queue.is_some()
            || !told.kind && self.kinds.is_some()
            || !told.time && self.time != (i64::MIN, i64::MAX)
            || !told.state && !self.filter.states.is_empty()
            || !self.plan.labels.is_empty()
            || self.filter.worker.is_some()
    }

    /// Whether the filter asks for something that a task says of itself.
    fn says(&self) -> bool {
        let Filter { tag, parent, title, schedule, text, .. } = self.filter;
        tag.is_some() || parent.is_some() || title.is_some() || schedule.is_some() || text.is_some()
    }

    /// Reads the newest rows of a lane. One that is kept in parts brings each of them.
    async fn read(&self, s: &Session<'_>, lane: &Lane, ask: Ask, reads: &mut Vec<Read<Uuid>>) -> Result<(), Fault> {
        let count = bound(ask.count);
        let Ask { below, above, .. } = ask;
        let told = self.told(lane);
        match lane {
            Lane::Tasks | Lane::In(State::Succeeded) => {
                let params: Params<'_> = &[&below, &above, &count, &self.queue, &self.kinds, &self.time.0, &self.time.1];
                // No list holds those that succeeded: they are looked for among all, and hardly any is not one of them.
                let states = matches!(lane, Lane::In(_)).then(|| vec![State::Succeeded]);
                reads.push(self.part(s, Q::ListTasks, params, Depth::Asked(ask.count), told, states.as_deref()).await?);
            }
            Lane::Kinds(named) => {
                let wanted = |id: &i32| self.kinds.as_ref().is_none_or(|kinds| kinds.contains(id));
                let kinds = self.names.iter().filter(|(_, name)| named.contains(name)).map(|(id, _)| *id);
                let kinds: Vec<i32> = kinds.filter(wanted).collect();
                let params: Params<'_> = &[&below, &above, &count, &self.queue, &Some(kinds), &self.time.0, &self.time.1];
                reads.push(self.part(s, Q::ListTasks, params, Depth::Asked(ask.count), told, None).await?);
            }
            Lane::Label(label) => {
                reads.push(
                    self.part(s, Q::ListLabelled, &[&below, &above, &count, label], Depth::Asked(ask.count), told, None).await?,
                );
                let below = below.min(self.gap);
                if below > above + 1 {
                    let params: Params<'_> = &[&below, &above, &count];
                    reads.push(self.part(s, Q::ListUnlabelled, params, Depth::Asked(ask.count), told, None).await?);
                }
            }
            Lane::In(state) => match state {
                State::Blocked => {
                    let params: Params<'_> = &[&below, &above, &count, &self.queue, &self.kinds];
                    reads.push(self.part(s, Q::ListBlocked, params, Depth::Asked(ask.count), told, None).await?);
                }
                State::Waiting => {
                    let params: Params<'_> = &[&below, &above, &count, &self.queue, &self.kinds];
                    reads.push(self.part(s, Q::ListWaiting, params, Depth::Asked(ask.count), told, None).await?);
                }
                State::Ready => {
                    let queues = self.queue.map_or((i32::MIN, i32::MAX), |queue| (queue, queue));
                    let size = ask.count.min(SORTED);
                    let count = bound(size);
                    let params: Params<'_> = &[&below, &above, &count, &queues.0, &queues.1, &self.kinds];
                    reads.push(self.part(s, Q::ListReady, params, Depth::Told, told, None).await?);
                    reads.push(self.part(s, Q::ListParked, params, Depth::Told, told, None).await?);
                    reads.push(self.part(s, Q::ListMoved, params, Depth::Asked(size), told, None).await?);
                }
                State::Scheduled => {
                    let params: Params<'_> = &[&below, &above, &count, &self.queue, &self.kinds];
                    reads.push(self.part(s, Q::ListScheduled, params, Depth::Asked(ask.count), told, None).await?);
                }
                State::Running => {
                    let params: Params<'_> = &[&below, &above, &count, &self.queue];
                    reads.push(self.part(s, Q::ListLeased, params, Depth::Asked(ask.count), told, None).await?);
                }
                State::Failed | State::Cancelled | State::Expired => {
                    let params: Params<'_> = &[&below, &above, &count, &ended_of(*state)];
                    reads.push(self.part(s, Q::ListEnded, params, Depth::Asked(ask.count), told, None).await?);
                }
                State::Succeeded => {}
            },
        }
        Ok(())
    }

    /// Reads one list, and asks of what it has whatever it does not tell. `states`: in which of these a task has to be, if that
    /// is not what the filter says.
    async fn part(
        &self,
        s: &Session<'_>,
        query: Q,
        params: Params<'_>,
        depth: Depth,
        told: Told,
        states: Option<&[State]>,
    ) -> Result<Read<Uuid>, Fault> {
        let Some(row) = s.row(query, params).await? else { return Ok(Read::end()) };
        let rows = usize::try_from(row.try_get::<_, i64>(0)?).unwrap_or_default();
        let lowest = row.try_get::<_, Option<i64>>(1)?.filter(|_| depth == Depth::Told || depth == Depth::Asked(rows));
        let mut found = pairs(&row, 2)?;
        if !found.is_empty() && self.has_more(told) {
            let ids: Vec<Uuid> = found.iter().map(|(_, id)| *id).collect();
            let labels = Some(&self.plan.labels).filter(|labels| !labels.is_empty());
            let states = states.unwrap_or(&self.filter.states);
            let codes = (!told.state && !states.is_empty()).then(|| codes(states));
            let params: Params<'_> =
                &[&ids, &self.queue, &self.kinds, &self.time.0, &self.time.1, &labels, &self.gap, &codes, &self.filter.worker];
            found = match s.row(Q::ListNarrow, params).await? {
                Some(row) => pairs(&row, 0)?,
                None => Vec::new(),
            };
        }
        if !found.is_empty() && self.says() {
            self.retain_saying(s, &mut found).await?;
        }
        Ok(Read { found, lowest, rows })
    }

    /// Keeps the tasks that say what is looked for: labels have left hardly any others.
    async fn retain_saying(&self, s: &Session<'_>, found: &mut Vec<(i64, Uuid)>) -> Result<(), Fault> {
        let ids: Vec<Uuid> = found.iter().map(|(_, id)| *id).collect();
        let mut matching = HashMap::new();
        for row in s.rows(Q::ListSays, &[&ids]).await? {
            let (id, kind): (Uuid, i32) = (row.try_get(0)?, row.try_get(1)?);
            let meta = row.try_get::<_, Option<&str>>(2)?.and_then(|meta| serde_json::from_str::<TaskMeta>(meta).ok());
            let known = self.names.get(&kind).map(String::as_str);
            // Without words, the type is known by its number.
            let kind = known.or(self.filter.kind.as_deref()).unwrap_or_default();
            matching.insert(id, self.filter.admits(kind, &meta.unwrap_or_default()));
        }
        found.retain(|(_, id)| matching.get(id).copied().unwrap_or_default());
        Ok(())
    }
}

/// The states, as `list_narrow` counts them: what waits by its place, what has ended by its end.
fn codes(states: &[State]) -> Vec<i32> {
    let code = |state: &State| match state {
        State::Succeeded | State::Failed | State::Cancelled | State::Expired => vec![10 + i32::from(ended_of(*state))],
        State::Running => vec![1],
        waits => Place::ALL.into_iter().filter(|place| place.state() == *waits).map(|place| 2 + i32::from(code(place))).collect(),
    };
    states.iter().flat_map(code).collect()
}

/// Two columns of arrays: ids, and their places in the order of arrival.
fn pairs(row: &Row, column: usize) -> Result<Vec<(i64, Uuid)>, Fault> {
    let ids: Option<Vec<Uuid>> = row.try_get(column)?;
    let places: Option<Vec<i64>> = row.try_get(column + 1)?;
    Ok(places.unwrap_or_default().into_iter().zip(ids.unwrap_or_default()).collect())
}
