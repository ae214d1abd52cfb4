use std::time::Duration;

use gristmill_core::kit::Word;
use gristmill_core::kit::encode::{ms, to_json};
use gristmill_core::kit::served::Serves;
use gristmill_core::{Ending, KindSpec, LeaseKey, LeaseRef, Points, Pulse, TaskId, WorkerId, WorkerSpec};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::json;

use super::budget::Budget;
use super::settle::{fence_of, finish, take_lease};
use crate::driver::Driver;
use crate::error::Fault;
use crate::memory::Serving;
use crate::sql;
use crate::tx::Tx;

/// Tasks that a worker that leaves gives back at once.
const RELEASED_AT_ONCE: usize = 1_000;

/// Makes a worker known.
pub(crate) fn enter(tx: &mut Tx<'_>, spec: &WorkerSpec) -> Result<(), Fault> {
    tx.effects.changed = true;
    let serves = Serves { kinds: spec.kind_names().map(str::to_owned).collect(), queues: spec.queues.clone() };
    tx.conn.prepare_cached(sql::WORKER_ENTER)?.execute(params![
        spec.id.as_bytes().as_slice(),
        spec.name,
        spec.version,
        to_json(&Serving { serves, by_kind: true }),
        tx.now.as_millis(),
        tx.now.saturating_add(spec.lease).as_millis(),
        ms(spec.lease),
    ])?;
    if let Some(key) = key(tx.conn, spec.id)? {
        tx.memory.forget_worker(spec.id, key);
    }
    // It may serve what others have moved out of their way, which was news before it came.
    tx.effects.readied |= tx.conn.prepare_cached(sql::PARKED_NEXT)?.exists([i64::MIN; 2])?;
    Ok(())
}

/// Releases what a worker holds, as much as may be done at once, and ends it when that was all. Returns how many tasks that were, and
/// whether it has left.
pub(crate) fn leave(tx: &mut Tx<'_>, worker: WorkerId) -> Result<(u64, bool), Fault> {
    let Some(key) = key(tx.conn, worker)? else { return Ok((0, true)) };
    let held: Vec<(i64, Vec<u8>)> = {
        let mut held = tx.conn.prepare_cached(sql::LEASE_OF_WORKER)?;
        let rows = held.query_map([key], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<Result<_, _>>()?
    };
    tx.effects.points.add(Points::RELEASE);
    let mut budget = Budget::new(RELEASED_AT_ONCE);
    for (seq, mark) in &held {
        if !budget.take() {
            return Ok((budget.done() as u64, false));
        }
        if let Some(lease) = take_lease(tx, *seq, mark)? {
            finish(tx, *seq, None, &lease, &Word::without(Ending::Released, lease.started))?;
        }
    }
    tx.conn.prepare_cached(sql::WORKER_DELETE)?.execute([key])?;
    tx.memory.forget_worker(worker, key);
    tx.effects.left.push(worker);
    Ok((held.len() as u64, true))
}

/// Extends a worker's lease, unless it was taken for dead.
pub(crate) fn heartbeat(tx: &mut Tx<'_>, worker: WorkerId, lease: Duration) -> Result<Pulse, Fault> {
    let until = tx.now.saturating_add(lease).as_millis();
    let beat = params![worker.as_bytes().as_slice(), until, ms(lease)];
    let drain: Option<i64> = tx.conn.prepare_cached(sql::WORKER_BEAT)?.query_row(beat, |row| row.get(0)).optional()?;
    let Some(drain) = drain else { return Ok(Pulse::default()) };
    Ok(Pulse { alive: true, cancel: cancelled(tx.conn, worker)?, drain: drain != 0 })
}

/// Which of the tasks that a worker holds are to stop.
pub(crate) fn cancelled(conn: &Connection, worker: WorkerId) -> Result<Vec<LeaseRef>, Fault> {
    let Some(key) = key(conn, worker)? else { return Ok(Vec::new()) };
    let mut cancelled = conn.prepare_cached(sql::LEASE_CANCELLED)?;
    let rows = cancelled.query_map([key], |row| {
        let Some(id) = TaskId::from_slice(row.get_ref(2)?.as_blob()?) else { return Ok(None) };
        let (key, fence) = (LeaseKey::of_number(row.get(0)?), fence_of(id, row.get_ref(1)?.as_blob()?));
        Ok(fence.map(|fence| LeaseRef { id, fence, key }))
    })?;
    Ok(rows.filter_map(Result::transpose).collect::<Result<_, _>>()?)
}

/// Records what task types declare.
pub(crate) fn declare(tx: &mut Tx<'_>, kinds: &[KindSpec]) -> Result<(), Fault> {
    tx.effects.changed = true;
    let mut declare = tx.conn.prepare_cached(sql::KIND_DECLARE)?;
    for kind in kinds {
        let spec = json!({"schema": kind.schema, "fields": kind.fields, "policy": kind.policy});
        declare.execute(params![kind.name, spec.to_string()])?;
    }
    Ok(())
}

/// Stops or resumes the claims from a queue.
pub(crate) fn pause(tx: &mut Tx<'_>, queue: &str, paused: bool) -> Result<(), Fault> {
    tx.effects.changed = true;
    let id = Driver::new(tx.conn).name(&mut tx.memory.names.queues, queue)?;
    tx.conn.prepare_cached(sql::QUEUE_PAUSE)?.execute(params![id, paused])?;
    tx.effects.readied |= !paused;
    Ok(())
}

/// Stops or resumes the claims of a task type. The writer is alone, so that no worker enters between the two.
pub(crate) fn pause_kind(tx: &mut Tx<'_>, kind: &str, paused: bool) -> Result<(), Fault> {
    tx.effects.changed = true;
    let id = Driver::new(tx.conn).name(&mut tx.memory.names.kinds, kind)?;
    tx.conn.prepare_cached(sql::KIND_PAUSE)?.execute(params![id, paused])?;
    tx.conn.prepare_cached(sql::WORKER_EPOCH)?.execute([])?;
    tx.effects.readied |= !paused;
    Ok(())
}

pub(super) fn key(conn: &Connection, worker: WorkerId) -> Result<Option<i64>, Fault> {
    let mut get = conn.prepare_cached(sql::WORKER_GET)?;
    Ok(get.query_row([worker.as_bytes().as_slice()], |row| row.get(0)).optional()?)
}
