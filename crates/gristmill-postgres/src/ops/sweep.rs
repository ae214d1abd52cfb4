use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use gristmill_core::kit::Word;
use gristmill_core::kit::served::{Served, Serves};
use gristmill_core::kit::watch::{Beat, Watch};
use gristmill_core::{Ending, Place, Points, TaskId, Timestamp};

use super::ended::{Unstarted, Waited, end_attempt, end_unstarted};
use super::place::{came, place_of};
use super::schedule::prune_ticks;
use super::taken::Taken;
use super::writes::Writes;
use super::{limit, wait};
use crate::due_floor::DueFloor;
use crate::error::Fault;
use crate::names::Sort;
use crate::session::Session;
use crate::sql::Q;

/// How long a dead worker's row is kept for people to see.
const WORKER_KEPT_MS: i64 = 3_600_000;
/// So many tasks of the version before are looked through in a sweep: tens of milliseconds, and nobody waits for it.
const LABELLED_AT_ONCE: i64 = 5_000;
/// How far a sweep looks into a queue for tasks that nobody serves.
const HEAD: i64 = 2_000;

/// Makes ready what is due. Returns how many, and how long it is until the next.
pub(crate) async fn promote(s: &mut Session<'_>, floors: &DueFloor, most: usize) -> Result<(usize, Option<Duration>), Fault> {
    s.effects.swept = true;
    let (mut promoted, mut next) = (0, None);
    let (floor, since) = (floors.floor(), Instant::now());
    let rows = s.rows(Q::Promote, &[&s.now, &limit(most), &floor]).await?;
    if let Some(run_at) = rows.first().map(|row| row.try_get(5)).transpose()?.flatten() {
        floors.raise(floor, run_at, since.elapsed());
    }
    for row in &rows {
        next = row.try_get::<_, Option<i64>>(4)?;
        let (Some(place), Some(count)) = (row.try_get(0)?, row.try_get::<_, Option<i64>>(3)?) else { continue };
        promoted += usize::try_from(count).unwrap_or_default();
        if place_of(place) == Place::Ready {
            came(s, (row.try_get(1)?, row.try_get(2)?), u32::try_from(count).unwrap_or(u32::MAX));
        }
    }
    if promoted > 0 {
        s.own.returned_somewhere = true;
        s.effects.points.add(Points::PROMOTE);
    }
    let next = if promoted >= most { Some(Duration::ZERO) } else { next.map(wait) };
    Ok((promoted, next))
}

/// Takes for dead who is, whatever was done to the server's clock meanwhile. Needs a transaction, for what follows.
pub(crate) async fn lose_the_dead(s: &Session<'_>, watch: &Mutex<Watch>, passed: Duration) -> Result<(), Fault> {
    let rows = s.rows(Q::WorkerLook, &[&s.now]).await?;
    let Some(now) = rows.first().map(|row| row.try_get(0)).transpose()? else { return Ok(()) };
    let mut beats = Vec::with_capacity(rows.len());
    for row in &rows {
        let Some(worker) = row.try_get(1)? else { continue };
        let lease: Option<i64> = row.try_get(3)?;
        let lease = lease.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis);
        beats.push(Beat { worker, expires_at: Timestamp::from_millis(row.try_get(2)?), lease });
    }
    let dead = watch.lock().unwrap_or_else(PoisonError::into_inner).dead(Timestamp::from_millis(now), passed, &beats);
    if !dead.is_empty() {
        let (keys, seen): (Vec<i64>, Vec<i64>) = dead.iter().map(|beat| (beat.worker, beat.expires_at.as_millis())).unzip();
        s.execute(Q::WorkerLose, &[&s.now, &keys, &seen]).await?;
    }
    Ok(())
}

/// Takes back what workers held that were taken for dead. Needs a transaction.
pub(crate) async fn rescue(s: &mut Session<'_>, most: usize) -> Result<usize, Fault> {
    let rows = s.rows(Q::LeaseTakeLost, &[&s.now, &limit(most)]).await?;
    let mut writes = Writes::default();
    for taken in Taken::all(s, &rows).await? {
        let id = TaskId::from_uuid(taken.id);
        let word = Word::without(Ending::Crashed, taken.started);
        let state = end_attempt(taken, &word, &mut writes, &mut s.effects);
        s.own.untold.extend(state.is_final().then_some(id));
    }
    writes.flush(s).await?;
    if !rows.is_empty() {
        s.effects.points.add(Points::RESCUE);
    }
    Ok(rows.len())
}

/// Ends what was not started in time. Needs a transaction.
pub(crate) async fn expire(s: &mut Session<'_>, most: usize) -> Result<usize, Fault> {
    let mut waited: Vec<Waited> = Vec::new();
    for place in Place::ALL {
        let query = match place {
            Place::Blocked => Q::BlockedExpire,
            Place::Scheduled => Q::ScheduledExpire,
            Place::Waiting => Q::WaitingExpire,
            Place::Ready => Q::ReadyExpire,
            Place::Parked => Q::ParkedExpire,
        };
        let left = most - waited.len();
        if left == 0 {
            break;
        }
        for row in s.rows(query, &[&s.now, &limit(left)]).await? {
            waited.push(Waited::read(&row)?);
        }
    }
    end_unstarted(s, &waited, &Unstarted::Expired).await?;
    s.own.untold.extend(waited.iter().map(|task| TaskId::from_uuid(task.id)));
    Ok(waited.len())
}

/// What live workers serve.
pub(crate) async fn served(s: &Session<'_>) -> Result<Served, Fault> {
    let rows = s.rows(Q::WorkerServes, &[&s.now]).await?;
    let serves = rows.iter().map(|row| Ok(serde_json::from_str::<Serves>(row.try_get(0)?).unwrap_or_default()));
    Ok(Served(serves.collect::<Result<_, Fault>>()?))
}

/// The types that are parked, as pairs of queue and type.
pub(crate) async fn parked_pairs(s: &mut Session<'_>) -> Result<Vec<(i32, i32)>, Fault> {
    let rows = s.rows(Q::ParkedPairs, &[]).await?;
    let pairs = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<Vec<(i32, i32)>, Fault>>()?;
    s.read_names(Sort::Queue, pairs.iter().map(|pair| pair.0)).await?;
    s.read_names(Sort::Kind, pairs.iter().map(|pair| pair.1)).await?;
    Ok(pairs)
}

/// Brings back what a live worker serves again.
pub(crate) async fn unpark(s: &mut Session<'_>, most: usize) -> Result<usize, Fault> {
    let pairs = parked_pairs(s).await?;
    if pairs.is_empty() {
        return Ok(0);
    }
    let served = served(s).await?;
    let mut unparked = 0;
    for (queue, kind) in pairs {
        let (Some(queue_name), Some(kind_name)) = (s.name(Sort::Queue, queue), s.name(Sort::Kind, kind)) else { continue };
        if unparked >= most || !served.covers(&queue_name, &kind_name) {
            continue;
        }
        let moved = s.execute(Q::Unpark, &[&queue, &kind, &limit(most - unparked)]).await?;
        if moved > 0 {
            came(s, (queue, kind), u32::try_from(moved).unwrap_or(u32::MAX));
        }
        unparked += usize::try_from(moved).unwrap_or(usize::MAX);
    }
    if unparked > 0 {
        s.own.returned_somewhere = true;
    }
    Ok(unparked)
}

/// Puts out of the way what nobody serves, at the heads of the queues that somebody does.
pub(crate) async fn park(s: &mut Session<'_>) -> Result<(), Fault> {
    s.effects.changed = true;
    let served = served(s).await?;
    for name in served.queues() {
        let Some(queue) = s.find(Sort::Queue, name).await? else { continue };
        let rows = s.rows(Q::ReadyHeadKinds, &[&queue, &HEAD]).await?;
        let kinds = rows.iter().map(|row| row.try_get::<_, i32>(0)).collect::<Result<Vec<_>, _>>()?;
        s.read_names(Sort::Kind, kinds.iter().copied()).await?;
        let unserved = |kind: &i32| s.name(Sort::Kind, *kind).is_some_and(|kind| !served.covers(name, &kind));
        let unserved: Vec<i32> = kinds.into_iter().filter(unserved).collect();
        if !unserved.is_empty() {
            s.execute(Q::Park, &[&queue, &unserved, &HEAD]).await?;
        }
    }
    Ok(())
}

/// Labels tasks that came before there were labels, the newest first, so that lists need not look through them any more.
pub(crate) async fn fill_labels(s: &mut Session<'_>) -> Result<(), Fault> {
    // A look at one row, mostly; this runs for as long as the tasks of the version before are kept.
    let below: i64 = s.row(Q::LabelGap, &[]).await?.map_or(Ok(0), |row| row.try_get(0))?;
    if below > 0 {
        s.execute(Q::LabelFill, &[&LABELLED_AT_ONCE]).await?;
    }
    Ok(())
}

/// Deletes what is kept no longer.
pub(crate) async fn prune(s: &mut Session<'_>, most: usize) -> Result<usize, Fault> {
    s.execute(Q::WorkerPrune, &[&s.now, &WORKER_KEPT_MS]).await?;
    let pruned = s.row(Q::Prune, &[&s.now, &limit(most)]).await?.map_or(Ok(0), |row| row.try_get::<_, i64>(0))?;
    let tasks = usize::try_from(pruned).unwrap_or_default();
    Ok(tasks + prune_ticks(s, most.saturating_sub(tasks)).await?)
}
