use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use gristmill_core::kit::encode::{drain_from, ms};
use gristmill_core::kit::served::{Holding, Served, Serves};
use gristmill_core::{KindInfo, Pending, Policy, QueueInfo, Timestamp, WorkerId, WorkerInfo, limits};
use serde::Deserialize;

use crate::error::Fault;
use crate::names::Sort;
use crate::ops::{Specs, has_to_go_on, parked_pairs, served};
use crate::session::Session;
use crate::sql::Q;

const CAP: i64 = limits::COUNT_MAX as i64;

/// All queues, by name.
pub(crate) async fn queues(s: &mut Session<'_>) -> Result<Vec<QueueInfo>, Fault> {
    let served = served(s).await?;
    let mut parked: HashMap<i32, Vec<i32>> = HashMap::new();
    for (queue, kind) in parked_pairs(s).await? {
        parked.entry(queue).or_default().push(kind);
    }
    let held = held(s, |_, queue| queue.into()).await?;
    let mut queues = Vec::new();
    for row in s.rows(Q::QueueList, &[]).await? {
        let (id, name, paused): (i32, String, bool) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let Holding { running, buffered } = held.get(&id.into()).copied().unwrap_or_default();
        let info = queue(s, &served, parked.get(&id).map_or(&[], Vec::as_slice), id, name).await?;
        queues.push(QueueInfo { paused, running, buffered, ..info });
    }
    Ok(queues)
}

async fn queue(s: &mut Session<'_>, served: &Served, parked: &[i32], id: i32, name: String) -> Result<QueueInfo, Fault> {
    let mut counts: BTreeMap<i32, i64> = BTreeMap::new();
    for row in s.rows(Q::ReadyCounts, &[&id, &CAP]).await? {
        *counts.entry(row.try_get(0)?).or_default() += row.try_get::<_, i64>(1)?;
    }
    let oldest = s.row(Q::ReadyOldest, &[&id]).await?;
    let mut first: Option<i64> = oldest.map_or(Ok(None), |row| row.try_get(0))?;
    for kind in parked {
        let Some(row) = s.row(Q::ParkedCounts, &[&id, kind, &CAP]).await? else { continue };
        *counts.entry(*kind).or_default() += row.try_get::<_, i64>(0)?;
        first = first.into_iter().chain(row.try_get::<_, Option<i64>>(1)?).min();
    }
    let oldest_ready_at: Option<i64> = match first {
        Some(seq) => s.row(Q::TaskCreated, &[&seq]).await?.map(|row| row.try_get(0)).transpose()?,
        None => None,
    };
    s.read_names(Sort::Kind, counts.keys().copied()).await?;
    let unserved = |kind: i32| !s.name(Sort::Kind, kind).is_some_and(|kind| served.covers(&name, &kind));
    let unserved: i64 = counts.iter().filter(|(kind, _)| unserved(**kind)).map(|(_, count)| count).sum();
    let ready: i64 = counts.values().sum();
    let mut held = [0; 3];
    for (count, query) in held.iter_mut().zip([Q::ScheduledCount, Q::BlockedCount, Q::WaitingCount]) {
        *count = s.row(query, &[&id, &CAP]).await?.map_or(Ok(0), |row| row.try_get(0))?;
    }
    let [scheduled, blocked, waiting] = held;
    let count = |n: i64| u64::try_from(n.min(CAP)).unwrap_or(0);
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
async fn held(s: &Session<'_>, by: impl Fn(i64, i32) -> i64) -> Result<HashMap<i64, Holding>, Fault> {
    let mut held: HashMap<i64, Holding> = HashMap::new();
    for row in s.rows(Q::LeaseHeld, &[]).await? {
        let (queue, serves): (Option<&str>, Option<&str>) = (row.try_get(2)?, row.try_get(3)?);
        let serves: Serves = serves.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let count: i64 = row.try_get(4)?;
        *held.entry(by(row.try_get(0)?, row.try_get(1)?)).or_default() +=
            serves.holding(queue.unwrap_or_default(), count.unsigned_abs());
    }
    Ok(held)
}

/// What is left to do in these queues.
pub(crate) async fn pending(s: &mut Session<'_>, specs: &Specs, queues: &[String], within: Duration) -> Result<Pending, Fault> {
    let served = served(s).await?;
    let mut pending = Pending::default();
    let rows = s.rows(Q::Pending, &[&s.now, &queues, &ms(within)]).await?;
    for row in &rows {
        let (queue, name, paused): (i32, &str, bool) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        pending.scheduled |= row.try_get::<_, bool>(3)?;
        pending.running |= row.try_get::<_, bool>(4)?;
        pending.held |= row.try_get::<_, bool>(5)?;
        pending.ready = pending.ready || (!paused && something_to_claim(s, &served, queue, name).await?);
    }
    // It looks at a thousand tasks, and is asked often by whoever waits.
    if pending.is_idle() && pending.held {
        pending.scheduled = is_to_be_admitted(s, queues, within).await? || has_to_go_on(s, specs, queues).await?;
    }
    Ok(pending)
}

/// Whether somebody may soon begin by a rate, or slots are being given: those of who has just ended go on to the next by a transaction of its own, before which nobody is ready.
async fn is_to_be_admitted(s: &Session<'_>, queues: &[String], within: Duration) -> Result<bool, Fault> {
    s.row(Q::TouchedAny, &[&s.now, &queues, &ms(within)]).await?.map_or(Ok(false), |row| Ok(row.try_get(0)?))
}

/// Whether a live worker serves something that is ready in a queue.
async fn something_to_claim(s: &mut Session<'_>, served: &Served, queue: i32, name: &str) -> Result<bool, Fault> {
    let mut kinds: Vec<i32> = Vec::new();
    if let Some(row) = s.row(Q::ReadySomeKinds, &[&queue, &CAP]).await? {
        kinds = row.try_get::<_, Option<Vec<i32>>>(0)?.unwrap_or_default();
        // Nothing is known of the rest; a worker that looks parks what nobody serves.
        if row.try_get(1)? {
            return Ok(true);
        }
    }
    kinds.extend(parked_pairs(s).await?.into_iter().filter(|pair| pair.0 == queue).map(|pair| pair.1));
    for row in s.rows(Q::KindPaused, &[]).await? {
        let paused: i32 = row.try_get(0)?;
        kinds.retain(|kind| *kind != paused);
    }
    s.read_names(Sort::Kind, kinds.iter().copied()).await?;
    Ok(kinds.into_iter().any(|kind| s.name(Sort::Kind, kind).is_some_and(|kind| served.covers(name, &kind))))
}

/// All workers that have a row, newest first.
pub(crate) async fn workers(s: &mut Session<'_>) -> Result<Vec<WorkerInfo>, Fault> {
    let held = held(s, |worker, _| worker).await?;
    let rows = s.rows(Q::WorkerList, &[&s.now]).await?;
    let worker = |row: &tokio_postgres::Row| {
        let serves: Serves = serde_json::from_str(row.try_get(3)?).unwrap_or_default();
        let Holding { running, buffered } = held.get(&row.try_get(7)?).copied().unwrap_or_default();
        Ok(WorkerInfo {
            id: WorkerId::from_uuid(row.try_get(0)?).to_string(),
            name: row.try_get(1)?,
            version: row.try_get(2)?,
            alive: row.try_get(6)?,
            drain: drain_from(row.try_get::<_, i16>(8)?.into()),
            started_at: Timestamp::from_millis(row.try_get(4)?),
            expires_at: Timestamp::from_millis(row.try_get(5)?),
            queues: serves.queues,
            kinds: serves.kinds,
            running,
            buffered,
        })
    };
    rows.iter().map(worker).collect()
}

/// All task types, by name.
pub(crate) async fn kinds(s: &mut Session<'_>) -> Result<Vec<KindInfo>, Fault> {
    #[derive(Default, Deserialize)]
    struct Spec {
        schema: Option<serde_json::Value>,
        policy: Option<Policy>,
    }
    let served = served(s).await?;
    let rows = s.rows(Q::KindList, &[]).await?;
    let kind = |row: &tokio_postgres::Row| {
        let name: String = row.try_get(0)?;
        // Options that a newer version wrote must not hide the type.
        let spec: Option<&str> = row.try_get(1)?;
        let spec: Spec = spec.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let (workers, paused) = (served.workers_of(&name), row.try_get(2)?);
        Ok(KindInfo { schema: spec.schema, policy: spec.policy, workers, paused, name })
    };
    rows.iter().map(kind).collect()
}
