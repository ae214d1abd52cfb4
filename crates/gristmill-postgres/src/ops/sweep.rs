use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use gristmill_core::kit::Word;
use gristmill_core::kit::served::{Served, Serves};
use gristmill_core::kit::watch::{Beat, Watch};
use gristmill_core::{Ending, Place, Points, TaskId, Timestamp};

use super::ended::{Unstarted, Waited, end_attempt, end_unstarted};
use super::place::{arrived_somewhere, came, place_of};
use super::schedule::prune_ticks;
use super::taken::Taken;
use super::writes::Writes;
use super::{is_alone, limit, wait};
use crate::error::Fault;
use crate::names::Sort;
use crate::session::Session;
use crate::sql::Q;
use crate::time_floor::{TimeFloor, TimeFloors};
use crate::workers::{HEADS, PRIORITIES, Workers};

/// How long a dead worker's row is kept for people to see.
const WORKER_KEPT_MS: i64 = 3_600_000;
/// So many tasks of the version before are looked through in a sweep: tens of milliseconds, and nobody waits for it.
const LABELLED_AT_ONCE: i64 = 5_000;
/// Where a queue begins of which nothing is known.
const NO_FLOOR: [i64; PRIORITIES] = [i64::MIN; PRIORITIES];
/// How far a sweep looks into a queue for tasks that nobody serves.
const HEAD: i64 = 2_000;

/// What was made ready, as it was due.
#[derive(Debug)]
pub(crate) struct Promoted {
    /// How many.
    pub(crate) count: usize,
    /// How long it is until the next.
    pub(crate) next: Option<Duration>,
    /// How long it is until somebody may begin who waits for a rate.
    pub(crate) rate: Option<Duration>,
}

/// Makes ready what is due.
pub(crate) async fn promote(s: &mut Session<'_>, floors: &TimeFloor, most: usize) -> Result<Promoted, Fault> {
    s.effects.swept = true;
    let (mut promoted, mut next) = (0, None);
    let (floor, since) = (floors.floor(), Instant::now());
    let rows = s.rows(Q::Promote, &[&s.now, &limit(most), &floor]).await?;
    if let Some(run_at) = rows.first().map(|row| row.try_get(5)).transpose()?.flatten() {
        floors.raise(floor, run_at, since.elapsed());
    }
    s.own.untold_events = rows.first().map_or(Ok(false), |row| row.try_get(6))?;
    let rate = rows.first().map_or(Ok(None), |row| row.try_get::<_, Option<i64>>(7))?.map(wait);
    for row in &rows {
        next = row.try_get::<_, Option<i64>>(4)?;
        let (Some(place), Some(count)) = (row.try_get(0)?, row.try_get::<_, Option<i64>>(3)?) else { continue };
        promoted += usize::try_from(count).unwrap_or_default();
        if place_of(place) == Place::Ready {
            came(s, (row.try_get(1)?, row.try_get(2)?), u32::try_from(count).unwrap_or(u32::MAX));
        } else {
            arrived_somewhere(s, place_of(place));
        }
    }
    if promoted > 0 {
        s.own.returned_somewhere = true;
        s.effects.points.add(Points::PROMOTE);
    }
    let next = if promoted >= most { Some(Duration::ZERO) } else { next.map(wait) };
    Ok(Promoted { count: promoted, next, rate })
}

/// Takes for dead who is, whatever was done to the server's clock meanwhile. Returns all that were and still have their rows.
pub(crate) async fn lose_the_dead(s: &Session<'_>, watch: &Mutex<Watch>, passed: Duration) -> Result<Vec<i64>, Fault> {
    let rows = s.rows(Q::WorkerLook, &[&s.now]).await?;
    let Some(now) = rows.first().map(|row| row.try_get(0)).transpose()? else { return Ok(Vec::new()) };
    let mut lost = Vec::new();
    let mut beats = Vec::with_capacity(rows.len());
    for row in &rows {
        let Some(worker) = row.try_get(1)? else { continue };
        if row.try_get(4)? {
            lost.push(worker);
            continue;
        }
        let lease: Option<i64> = row.try_get(3)?;
        let lease = lease.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis);
        beats.push(Beat { worker, expires_at: Timestamp::from_millis(row.try_get(2)?), lease });
    }
    let dead = watch.lock().unwrap_or_else(PoisonError::into_inner).dead(Timestamp::from_millis(now), passed, &beats);
    if !dead.is_empty() {
        let (keys, seen): (Vec<i64>, Vec<i64>) = dead.iter().map(|beat| (beat.worker, beat.expires_at.as_millis())).unzip();
        for row in s.rows(Q::WorkerLose, &[&s.now, &keys, &seen]).await? {
            lost.push(row.try_get(0)?);
        }
    }
    Ok(lost)
}

/// What a rescue took back.
pub(crate) struct Rescued {
    pub(crate) tasks: usize,
    /// Whether that was all there is.
    pub(crate) is_all: bool,
}

/// Takes back what workers held that were taken for dead. Needs a transaction.
pub(crate) async fn rescue(s: &mut Session<'_>, most: usize) -> Result<Rescued, Fault> {
    let mut found = s.rows(Q::LeaseLost, &[&limit(most)]).await?;
    let held = found.first().map_or(Ok(0), |row| row.try_get::<_, i64>(2))?;
    found.retain(|row| !is_alone(row, 0));
    let mut writes = Writes::default();
    for taken in Taken::take_found(s, &found).await? {
        let id = TaskId::from_uuid(taken.id);
        let word = Word::without(Ending::Crashed, taken.started);
        let state = end_attempt(taken, &word, &mut writes, &mut s.effects);
        s.own.untold.extend(state.is_final().then_some(id));
    }
    writes.flush(s).await?;
    if !found.is_empty() {
        s.effects.points.add(Points::RESCUE);
    }
    Ok(Rescued { tasks: found.len(), is_all: found.len() as i64 >= held })
}

/// Ends what was not started in time. Needs a transaction.
pub(crate) async fn expire(s: &mut Session<'_>, floors: &TimeFloors, most: usize) -> Result<usize, Fault> {
    let mut waited: Vec<Waited> = Vec::new();
    for (place, known) in floors.expiries() {
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
        // By a clock that a test sets, each look is exact, however slow the machine is.
        let (floor, since) = (if s.now.is_some() { i64::MIN } else { known.floor() }, Instant::now());
        let rows = s.rows(query, &[&s.now, &limit(left), &floor]).await?;
        if let Some(at) = rows.first().map(|row| row.try_get(5)).transpose()? {
            // Should all of this be undone after all, a later look at all of them finds it.
            known.raise(floor, at, since.elapsed());
        }
        for row in rows.iter().filter(|row| !is_alone(row, 0)) {
            waited.push(Waited::read(row)?);
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
pub(crate) async fn park(s: &mut Session<'_>, workers: &Workers) -> Result<(), Fault> {
    s.effects.changed = true;
    let served = served(s).await?;
    for name in served.queues() {
        let Some(queue) = s.find(Sort::Queue, name).await? else { continue };
        let floor = workers.floor(HEADS, queue);
        let kinds = head_kinds(s, workers, queue, floor).await?;
        s.read_names(Sort::Kind, kinds.iter().copied()).await?;
        let unserved = |kind: &i32| s.name(Sort::Kind, *kind).is_some_and(|kind| !served.covers(name, &kind));
        let unserved: Vec<i32> = kinds.into_iter().filter(unserved).collect();
        if !unserved.is_empty() {
            s.execute(Q::Park, &[&queue, &HEAD, &&floor.unwrap_or(NO_FLOOR)[..], &unserved]).await?;
        }
    }
    Ok(())
}

/// The types at the head of a queue, which begins at that floor.
async fn head_kinds(
    s: &Session<'_>,
    workers: &Workers,
    queue: i32,
    floor: Option<[i64; PRIORITIES]>,
) -> Result<HashSet<i32>, Fault> {
    let since = Instant::now();
    let rows = s.rows(Q::ReadyHeadKinds, &[&queue, &HEAD, &&floor.unwrap_or(NO_FLOOR)[..]]).await?;
    let (mut kinds, mut lowest, mut count) = (HashSet::new(), [None; PRIORITIES], 0);
    let arrived: Option<i64> = rows.first().map(|row| row.try_get(4)).transpose()?.flatten();
    for row in rows.iter().filter(|row| !matches!(row.try_get::<_, Option<i32>>(0), Ok(None))) {
        kinds.insert(row.try_get(0)?);
        if let Some(lowest) = usize::try_from(row.try_get::<_, i32>(1)?).ok().and_then(|priority| lowest.get_mut(priority)) {
            let seq: i64 = row.try_get(2)?;
            *lowest = Some(lowest.map_or(seq, |known: i64| known.min(seq)));
        }
        count += row.try_get::<_, i64>(3)?;
    }
    if floor.is_none() {
        workers.looked(HEADS, queue, since.elapsed());
    }
    if count < HEAD {
        // All of it was seen: where nothing is left, whatever comes stands behind what has arrived.
        lowest.iter_mut().for_each(|lowest| *lowest = lowest.or(arrived));
    }
    workers.raise(HEADS, queue, lowest);
    Ok(kinds)
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
    s.execute(Q::WorkflowPrune, &[&s.now, &limit(most)]).await?;
    let events = s.execute(Q::EventPrune, &[&s.now, &limit(most)]).await?;
    let pruned = tasks.saturating_add(usize::try_from(events).unwrap_or(usize::MAX));
    Ok(pruned + prune_ticks(s, most.saturating_sub(pruned)).await?)
}
