use std::time::Duration;

use gristmill_core::kit::Word;
use gristmill_core::kit::encode::{NONE, ms, to_json};
use gristmill_core::kit::served::Serves;
use gristmill_core::{Ending, Fence, Flags, Fleet, KindSpec, LeaseRef, Points, Pulse, TaskId, WorkerId, WorkerSpec};
use serde_json::json;
use tokio_postgres::Row;
use uuid::Uuid;

use super::ended::end_attempt;
use super::settle::key;
use super::storable;
use super::sweep::unpark;
use super::taken::Taken;
use super::writes::Writes;
use crate::error::Fault;
use crate::names::Sort;
use crate::session::Session;
use crate::sql::Q;
use crate::workers::{Fleets, Workers};

/// Parked tasks that a worker's entering brings back at once; sweeps bring the rest.
const UNPARKED_MAX: usize = 10_000;

/// Makes a worker known.
pub(crate) async fn enter(s: &mut Session<'_>, workers: &Workers, spec: &WorkerSpec) -> Result<(), Fault> {
    s.effects.changed = true;
    let serves = to_json(&Serves { kinds: spec.kind_names().map(str::to_owned).collect(), queues: spec.queues.clone() });
    let (name, version) = (storable(&spec.name), storable(&spec.version));
    s.execute(Q::WorkerEnter, &[&s.now, &spec.id.as_uuid(), &name, &version, &serves, &ms(spec.lease)]).await?;
    workers.forget(spec.id);
    workers.enter(spec);
    unpark(s, UNPARKED_MAX).await?;
    Ok(())
}

/// Which tasks of a worker are released when it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    All,
    /// Those that nobody else has in hand. A sweep finds the rest, as its worker is lost.
    Free,
}

/// Ends a worker and releases what it holds. Needs a transaction. If some of it may be left, its row stays, by which a sweep finds that.
pub(crate) async fn leave(s: &mut Session<'_>, workers: &Workers, worker: WorkerId, which: Which) -> Result<u64, Fault> {
    let row = match which {
        Which::All => s.row(Q::WorkerLeave, &[&worker.as_uuid()]).await?,
        Which::Free => s.row(Q::WorkerLoseOne, &[&s.now, &worker.as_uuid()]).await?,
    };
    let Some(row) = row else { return Ok(0) };
    let (worker_key, name): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
    let query = if which == Which::All { Q::LeaseOfWorker } else { Q::LeaseFreeOfWorker };
    let found = s.rows(query, &[&worker_key]).await?;
    let mut writes = Writes::default();
    for mut taken in Taken::take_found(s, &found).await? {
        taken.name_worker(&name);
        let word = Word::without(Ending::Released, taken.started);
        end_attempt(taken, &word, &mut writes, &mut s.effects);
    }
    writes.flush(s).await?;
    workers.leave(worker);
    s.effects.left.push(worker);
    s.effects.points.add(Points::RELEASE);
    Ok(found.len() as u64)
}

/// Extends a worker's lease, unless it ran out, and counts those that live. `is_told`: whether the worker hears the answer.
pub(crate) async fn heartbeat(
    s: &mut Session<'_>,
    worker: WorkerId,
    lease: Duration,
    is_told: bool,
) -> Result<(Pulse, Fleets), Fault> {
    let rows = s.rows(Q::WorkerBeat, &[&s.now, &worker.as_uuid(), &ms(lease), &is_told]).await?;
    let mut pulse = Pulse { alive: !rows.is_empty(), ..Pulse::default() };
    let mut fleets = Fleets::default();
    for row in &rows {
        let fleet = |size: i64, rank: i64| {
            let [others, rank] = [size, rank].map(|count| u32::try_from(count).unwrap_or(u32::MAX));
            Fleet { size: others.saturating_add(1), rank }
        };
        fleets.all = fleet(row.try_get(4)?, row.try_get(5)?);
        fleets.alike = fleet(row.try_get(6)?, row.try_get(7)?);
        pulse.drain = row.try_get::<_, i16>(8)? != 0;
        if row.try_get::<_, Option<Uuid>>(0)?.is_some() {
            pulse.cancel.push(lease_of(row, 9)?);
        }
    }
    Ok((pulse, fleets))
}

/// Which of the tasks that a worker holds are to stop.
pub(crate) async fn cancelled(s: &Session<'_>, worker: WorkerId) -> Result<Vec<LeaseRef>, Fault> {
    s.rows(Q::LeaseCancelled, &[&worker.as_uuid()]).await?.iter().map(|row| lease_of(row, 4)).collect()
}

/// The lease of a row, in which this column has its flags.
fn lease_of(row: &Row, flags: usize) -> Result<LeaseRef, Fault> {
    let (seq, retention): (i64, i64) = (row.try_get(2)?, row.try_get(3)?);
    let (id, fence) = (TaskId::from_uuid(row.try_get(0)?), Fence::from_uuid(row.try_get(1)?));
    Ok(LeaseRef { id, fence, key: key(seq, Flags::from_bits(row.try_get(flags)?), retention == NONE) })
}

/// Records what task types declare.
pub(crate) async fn declare(s: &mut Session<'_>, kinds: &[KindSpec]) -> Result<(), Fault> {
    s.effects.changed = true;
    // The newest wins, within one call too; and one statement can't write a row twice.
    let mut newest = std::collections::BTreeMap::new();
    for kind in kinds {
        newest.insert(kind.name.as_str(), kind);
    }
    if newest.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = newest.keys().copied().collect();
    let spec = |kind: &&KindSpec| json!({"schema": kind.schema, "fields": kind.fields, "policy": kind.policy}).to_string();
    let specs: Vec<String> = newest.values().map(spec).collect();
    match s.execute(Q::KindDeclare, &[&names, &specs, &s.lock_wait]).await {
        // A program that may only look has task types too, which those that run them declare.
        Err(fault) if fault.is_forbidden() => tracing::debug!("task types are not declared: this role may not write"),
        done => drop(done?),
    }
    Ok(())
}

/// Stops or resumes the claims from a queue.
pub(crate) async fn pause(s: &mut Session<'_>, queue: &str, paused: bool) -> Result<(), Fault> {
    s.effects.changed = true;
    if queue.contains('\0') {
        return Err(Fault::invalid("a queue's name holds a NUL character, which PostgreSQL can't keep"));
    }
    s.execute(Q::QueuePause, &[&queue, &paused]).await?;
    // So that the next enqueue need not.
    s.find(Sort::Queue, queue).await?;
    s.effects.readied |= !paused;
    Ok(())
}

/// Stops or resumes the claims of a task type. Two transactions: a worker that does not hear of the second has read what is paused after the first.
pub(crate) async fn pause_kind(s: &mut Session<'_>, kind: &str, paused: bool) -> Result<(), Fault> {
    s.effects.changed = true;
    if kind.contains('\0') {
        return Err(Fault::invalid("a task type's name holds a NUL character, which PostgreSQL can't keep"));
    }
    s.execute(Q::KindPause, &[&kind, &paused]).await?;
    s.execute(Q::WorkerEpochs, &[]).await?;
    s.find(Sort::Kind, kind).await?;
    s.effects.readied |= !paused;
    Ok(())
}
