use std::collections::{HashMap, HashSet};

use gristmill_core::kit::Word;
use gristmill_core::{DeleteOutcome, Ending, MoveOutcome, Points, ReleaseOutcome, State, TaskId, WorkerId};
use uuid::Uuid;

use super::ended::end_attempt;
use super::place::{arrived_somewhere, place_of, went};
use super::sweep::unpark;
use super::taken::Taken;
use super::writes::Writes;
use crate::error::Fault;
use crate::names::Sort;
use crate::session::Session;
use crate::sql::Q;
use crate::view;
use crate::workers::Workers;

/// Takes running tasks from their workers, and scheduled ones from their time. Needs a transaction.
pub(crate) async fn release(s: &mut Session<'_>, ids: &[TaskId]) -> Result<Vec<ReleaseOutcome>, Fault> {
    s.effects.changed = true;
    let mut asked: Vec<Uuid> = ids.iter().map(TaskId::as_uuid).collect();
    asked.sort_unstable();
    asked.dedup();
    let mut released = HashMap::new();
    let found = s.rows(Q::LeaseFind, &[&asked]).await?;
    let mut writes = Writes::default();
    for taken in Taken::take_found(s, &found).await? {
        let (id, word) = (taken.id, Word::without(Ending::Released, taken.started));
        let state = end_attempt(taken, &word, &mut writes, &mut s.effects);
        released.insert(id, if state.is_final() { ReleaseOutcome::Ended } else { ReleaseOutcome::Released });
    }
    writes.flush(s).await?;
    if !released.is_empty() {
        s.effects.points.add(Points::RELEASE);
    }
    asked.retain(|id| !released.contains_key(id));
    let mut early: Vec<Uuid> = Vec::new();
    s.spare_days().await?;
    // A statement for no ids opens all days.
    let waiting = if asked.is_empty() { Vec::new() } else { s.rows(Q::ScheduledRelease, &[&s.now, &asked]).await? };
    for row in waiting {
        early.push(row.try_get(0)?);
        released.insert(row.try_get(0)?, ReleaseOutcome::Released);
        arrived_somewhere(s, place_of(row.try_get(1)?));
        s.own.returned_somewhere = true;
    }
    if !early.is_empty() {
        s.execute(Q::TaskDue, &[&early, &s.now]).await?;
    }
    let states = view::task_states(s, ids).await?;
    let answer = |(id, state): (&TaskId, Option<State>)| match (released.remove(&id.as_uuid()), state) {
        (Some(outcome), _) => outcome,
        (None, None) => ReleaseOutcome::NotFound,
        (None, Some(state)) if state.is_final() => ReleaseOutcome::AlreadyEnded,
        (None, Some(_)) => ReleaseOutcome::Waits,
    };
    Ok(ids.iter().zip(states).map(answer).collect())
}

/// Moves tasks that wait to another queue.
pub(crate) async fn move_to(s: &mut Session<'_>, ids: &[TaskId], queue: &str) -> Result<Vec<MoveOutcome>, Fault> {
    s.effects.changed = true;
    if queue.contains('\0') {
        return Err(Fault::invalid("a queue's name holds a NUL character, which PostgreSQL can't keep"));
    }
    // By itself: whoever else wants this name is not to wait for all of them to be moved.
    s.intern(Sort::Queue, [queue].into_iter(), true).await?;
    let Some(number) = s.find(Sort::Queue, queue).await? else { return Err(Fault::invalid("a queue has no number")) };
    s.begin().await?;
    s.spare_days().await?;
    let mut asked: Vec<Uuid> = ids.iter().map(TaskId::as_uuid).collect();
    asked.sort_unstable();
    asked.dedup();
    let mut moved = HashSet::new();
    // A statement for no ids opens all days.
    let rows = if asked.is_empty() { Vec::new() } else { s.rows(Q::Requeue, &[&asked, &number]).await? };
    for row in rows {
        moved.insert(row.try_get::<_, Uuid>(0)?);
        went(s, place_of(row.try_get(1)?), (number, row.try_get(2)?), 1);
    }
    if !moved.is_empty() {
        let all: Vec<Uuid> = moved.iter().copied().collect();
        s.execute(Q::TaskRequeue, &[&all, &number]).await?;
        s.own.returned_somewhere = true;
        // What nobody served there somebody may serve here.
        unpark(s, ids.len()).await?;
    }
    let states = view::task_states(s, ids).await?;
    let answer = |(id, state): (&TaskId, Option<State>)| match state {
        // A second time in one call it is there already.
        _ if moved.remove(&id.as_uuid()) => MoveOutcome::Moved,
        Some(_) => MoveOutcome::Unchanged,
        None => MoveOutcome::NotFound,
    };
    Ok(ids.iter().zip(states).map(answer).collect())
}

/// Deletes ended tasks with all that is kept of them. Needs a transaction.
pub(crate) async fn delete(s: &mut Session<'_>, ids: &[TaskId]) -> Result<Vec<DeleteOutcome>, Fault> {
    let mut all: Vec<Uuid> = ids.iter().map(TaskId::as_uuid).collect();
    all.sort_unstable();
    all.dedup();
    s.spare_days().await?;
    let mut wanted = HashSet::new();
    for row in s.rows(Q::TaskWanted, &[&all]).await? {
        wanted.insert(row.try_get::<_, Uuid>(0)?);
    }
    all.retain(|id| !wanted.contains(id));
    let mut deleted = HashSet::with_capacity(all.len());
    for row in s.rows(Q::Delete, &[&all]).await? {
        deleted.insert(row.try_get::<_, Uuid>(0)?);
    }
    s.effects.changed |= !deleted.is_empty();
    let states = view::task_states(s, ids).await?;
    let answer = |(id, state): (&TaskId, Option<State>)| match state {
        // A second time in one call there is none any more.
        _ if deleted.remove(&id.as_uuid()) => DeleteOutcome::Deleted,
        Some(state) if state.is_final() && wanted.contains(&id.as_uuid()) => DeleteOutcome::Wanted,
        Some(_) => DeleteOutcome::NotEnded,
        None => DeleteOutcome::NotFound,
    };
    Ok(ids.iter().zip(states).map(answer).collect())
}

/// Takes a worker for dead; how many tasks it holds, `None` if there is none of this id.
pub(crate) async fn lose_worker(s: &mut Session<'_>, worker: WorkerId) -> Result<Option<u64>, Fault> {
    let Some(row) = s.row(Q::WorkerLoseOne, &[&s.now, &worker.as_uuid()]).await? else { return Ok(None) };
    s.effects.changed = true;
    Ok(Some(row.try_get::<_, i64>(2)?.unsigned_abs()))
}

/// Asks a worker to end; false if there is none of this id that was not taken for dead.
pub(crate) async fn drain_worker(s: &mut Session<'_>, worker: WorkerId) -> Result<bool, Fault> {
    let is_there = s.execute(Q::WorkerDrain, &[&worker.as_uuid()]).await? > 0;
    s.effects.changed |= is_there;
    Ok(is_there)
}

/// Deletes the row of a worker from which everything was taken.
pub(crate) async fn bury_worker(s: &mut Session<'_>, workers: &Workers, worker: WorkerId) -> Result<(), Fault> {
    s.row(Q::WorkerLeave, &[&worker.as_uuid()]).await?;
    workers.forget(worker);
    s.effects.left.push(worker);
    Ok(())
}
