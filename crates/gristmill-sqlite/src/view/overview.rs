use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use gristmill_core::kit::encode::drain_from;
use gristmill_core::kit::served::{Holding, Served, Serves};
use gristmill_core::{Flags, KindInfo, Pending, Policy, QueueInfo, Timestamp, WorkerId, WorkerInfo, WorkflowId, limits};
use rusqlite::{Connection, OptionalExtension, params};
use serde::Deserialize;

use super::durable::has_untold;
use super::workflow::steps;
use crate::error::Fault;
use crate::memory::{paused_kinds, served};
use crate::ops::UNKNOWN;
use crate::reader::View;
use crate::sql;
use crate::text::Lossy;

/// So many blocked tasks of a queue are asked for their workflows.
const BLOCKED_ASKED: i64 = 1_000;

/// All queues, by name.
pub(crate) fn queues(view: &mut View<'_>) -> Result<Vec<QueueInfo>, Fault> {
    let mut list = view.conn.prepare_cached(sql::QUEUE_LIST)?;
    let rows = list.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Lossy>(1)?.0, row.get::<_, bool>(2)?)))?;
    let rows: Vec<_> = rows.collect::<Result<_, _>>()?;
    let served = served(view.conn, view.now)?;
    let parked = parked(view)?;
    let held = held(view, |_, queue| queue)?;
    let info = |(id, name, paused)| {
        let Holding { running, buffered } = held.get(&id).copied().unwrap_or_default();
        Ok(QueueInfo { paused, running, buffered, ..queue(view, &served, &parked, id, name)? })
    };
    rows.into_iter().map(info).collect()
}

fn queue(
    view: &mut View<'_>,
    served: &Served,
    parked: &HashMap<i64, Vec<i64>>,
    id: i64,
    name: String,
) -> Result<QueueInfo, Fault> {
    let conn = view.conn;
    let cap = limits::COUNT_MAX as i64;
    let mut counts = ready_kinds(view, id)?;
    let mut first: Option<i64> = None;
    for kind in parked.get(&id).into_iter().flatten() {
        let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?));
        let (count, seq) = conn.prepare_cached(sql::PARKED_COUNT)?.query_row(params![id, kind, cap], row)?;
        counts.push((*kind, count));
        first = earlier(first, seq);
    }
    for priority in 0..=limits::PRIORITY_MAX {
        let seq = conn.prepare_cached(sql::READY_OLDEST)?.query_row(params![id, priority], |row| row.get(0)).optional()?;
        first = earlier(first, seq);
    }
    first = earlier(first, conn.prepare_cached(sql::MOVED_OLDEST)?.query_row(params![id, cap], |row| row.get(0)).optional()?);
    let oldest_ready_at: Option<i64> = match first {
        Some(seq) => conn.prepare_cached(sql::TASK_CREATED)?.query_row([seq], |row| row.get(0)).optional()?,
        None => None,
    };
    let mut unserved = 0;
    for (kind, count) in &counts {
        let kind = view.names.kinds.name(conn, *kind)?;
        if !kind.is_some_and(|kind| served.covers(&name, &kind)) {
            unserved += count;
        }
    }
    let ready = counts.iter().map(|(_, count)| count).sum::<i64>();
    let capped = |sql| conn.prepare_cached(sql)?.query_row(params![id, cap], |row| row.get::<_, i64>(0));
    let scheduled = capped(sql::SCHEDULED_COUNT)?;
    let (blocked, waiting) = (capped(sql::BLOCKED_COUNT)?, capped(sql::WAITING_COUNT)?);
    let count = |n: i64| u64::try_from(n.min(cap)).unwrap_or(0);
    Ok(QueueInfo {
        name,
        paused: false,
        ready: count(ready),
        scheduled: count(scheduled),
        blocked: count(blocked),
        waiting: count(waiting),
        running: 0,
        buffered: 0,
        unserved: count(unserved),
        oldest_ready_at: oldest_ready_at.map(Timestamp::from_millis),
    })
}

/// What workers hold, summed up by worker or by queue.
fn held(view: &View<'_>, by: impl Fn(i64, i64) -> i64) -> Result<HashMap<i64, Holding>, Fault> {
    let mut list = view.conn.prepare_cached(sql::LEASE_HELD)?;
    let mut rows = list.query([])?;
    let mut held: HashMap<i64, Holding> = HashMap::new();
    while let Some(row) = rows.next()? {
        let text = |at| Ok::<_, rusqlite::Error>(row.get::<_, Option<Lossy>>(at)?.map(|Lossy(text)| text).unwrap_or_default());
        let serves: Serves = serde_json::from_str(&text(3)?).unwrap_or_default();
        *held.entry(by(row.get(0)?, row.get(1)?)).or_default() += serves.holding(&text(2)?, row.get::<_, i64>(4)?.unsigned_abs());
    }
    Ok(held)
}

fn earlier(a: Option<i64>, b: Option<i64>) -> Option<i64> {
    a.into_iter().chain(b).min()
}

/// How many ready tasks of which type a queue has, counting no further than the limit of counts.
fn ready_kinds(view: &View<'_>, queue: i64) -> Result<Vec<(i64, i64)>, Fault> {
    let mut kinds = view.conn.prepare_cached(sql::READY_KINDS)?;
    let rows = kinds.query_map(params![queue, limits::COUNT_MAX as i64], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The types that are parked, by queue.
fn parked(view: &View<'_>) -> Result<HashMap<i64, Vec<i64>>, Fault> {
    let mut next = view.conn.prepare_cached(sql::PARKED_NEXT)?;
    let mut parked: HashMap<i64, Vec<i64>> = HashMap::new();
    let mut pair = (i64::MIN, i64::MIN);
    while let Some(found) = next.query_row(params![pair.0, pair.1], |row| Ok((row.get(0)?, row.get(1)?))).optional()? {
        pair = found;
        parked.entry(pair.0).or_default().push(pair.1);
    }
    Ok(parked)
}

/// What is left to do in these queues.
pub(crate) fn pending(view: &mut View<'_>, queues: &[String], within: Duration) -> Result<Pending, Fault> {
    let conn = view.conn;
    let served = served(conn, view.now)?;
    let until = view.now.saturating_add(within).as_millis();
    let mut pending = Pending::default();
    for name in queues {
        let Some(queue) = view.names.queues.find(conn, name)? else { continue };
        pending.scheduled |=
            conn.prepare_cached(sql::SCHEDULED_ANY)?.query_row(params![queue, until], |row| row.get::<_, bool>(0))?;
        let any = |sql| conn.prepare_cached(sql)?.query_row([queue], |row| row.get::<_, bool>(0));
        pending.running |= any(sql::LEASE_ANY)?;
        pending.held = pending.held || any(sql::BLOCKED_ANY)? || any(sql::WAITING_ANY)?;
        pending.scheduled = pending.scheduled || has_to_go_on(conn, queue)?;
        pending.scheduled = pending.scheduled
            || conn.prepare_cached(sql::RATE_SOON)?.query_row(params![queue, until], |row| row.get::<_, bool>(0))?;
        if any(sql::QUEUE_PAUSED)? {
            continue;
        }
        pending.ready = pending.ready || something_to_claim(view, &served, queue, name)?;
    }
    pending.scheduled = pending.scheduled || has_untold(conn)?;
    Ok(pending)
}

/// Whether what is blocked in a queue waits for a sweep alone, and not for other tasks. What can't be read goes on by no sweep.
fn has_to_go_on(conn: &Connection, queue: i64) -> Result<bool, Fault> {
    let workflows: Vec<Option<WorkflowId>> = {
        let mut undone = conn.prepare_cached(sql::STEP_UNDONE)?;
        let rows = undone.query_map(params![queue, BLOCKED_ASKED], |row| {
            Ok(row.get_ref(0)?.as_blob().ok().and_then(WorkflowId::from_slice))
        })?;
        rows.collect::<Result<_, _>>()?
    };
    for id in workflows.into_iter().flatten() {
        if steps(conn, id, None)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a live worker serves something that is ready in a queue; looks no further than the first such task.
fn something_to_claim(view: &mut View<'_>, served: &Served, queue: i64, name: &str) -> Result<bool, Fault> {
    let mut kinds = HashSet::new();
    let paused = paused_kinds(view.conn)?;
    let is_claimed = |kind: Arc<str>| !paused.contains(&*kind) && served.covers(name, &kind);
    let mut ready = view.conn.prepare_cached(sql::READY_SCAN)?;
    let mut rows = ready.query([queue])?;
    let mut seen = 0;
    while let Some(row) = rows.next()? {
        let kind: i64 = row.get(2)?;
        // What only newer versions can claim is not for those that ask here.
        let known = Flags::from_bits(row.get(6)?).unknown().is_none();
        if known && kinds.insert(kind) && view.names.kinds.name(view.conn, kind)?.is_some_and(is_claimed) {
            return Ok(true);
        }
        seen += 1;
        // Nothing is known of the rest; a worker that looks parks what nobody serves.
        if seen >= limits::COUNT_MAX {
            return Ok(true);
        }
    }
    for kind in parked(view)?.remove(&queue).unwrap_or_default() {
        let is_claimed = view.names.kinds.name(view.conn, kind)?.is_some_and(is_claimed);
        if is_claimed && view.conn.prepare_cached(sql::PARKED_SCAN)?.exists(params![queue, kind, 1, UNKNOWN])? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// All workers that have a row, newest first.
pub(crate) fn workers(view: &mut View<'_>) -> Result<Vec<WorkerInfo>, Fault> {
    let held = held(view, |worker, _| worker)?;
    let mut list = view.conn.prepare_cached(sql::WORKER_LIST)?;
    let now = view.now.as_millis();
    let rows = list.query_map([], |row| {
        let id = row.get_ref(0)?.as_blob().ok().and_then(WorkerId::from_slice);
        let serves: Serves = serde_json::from_str(&row.get::<_, Lossy>(3)?.0).unwrap_or_default();
        let expires_at: i64 = row.get(5)?;
        let Holding { running, buffered } = held.get(&row.get(6)?).copied().unwrap_or_default();
        Ok(WorkerInfo {
            id: id.map_or_else(|| "?".to_owned(), |id| id.to_string()),
            name: row.get::<_, Lossy>(1)?.0,
            version: row.get::<_, Lossy>(2)?.0,
            alive: expires_at > now && !row.get::<_, bool>(7)?,
            drain: drain_from(row.get(8)?),
            started_at: Timestamp::from_millis(row.get(4)?),
            expires_at: Timestamp::from_millis(expires_at),
            queues: serves.queues,
            kinds: serves.kinds,
            running,
            buffered,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// All task types, by name.
pub(crate) fn kinds(view: &mut View<'_>) -> Result<Vec<KindInfo>, Fault> {
    #[derive(Default, Deserialize)]
    struct Spec {
        schema: Option<serde_json::Value>,
        policy: Option<Policy>,
    }
    let served = served(view.conn, view.now)?;
    let mut list = view.conn.prepare_cached(sql::KIND_LIST)?;
    let rows = list.query_map([], |row| {
        let (Lossy(name), text) = (row.get(0)?, row.get::<_, Option<Lossy>>(1)?);
        // Options that a newer version wrote must not hide the type.
        let spec: Spec = text.and_then(|Lossy(text)| serde_json::from_str(&text).ok()).unwrap_or_default();
        let (workers, paused) = (served.workers_of(&name), row.get(2)?);
        Ok(KindInfo { schema: spec.schema, policy: spec.policy, workers, paused, name })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
