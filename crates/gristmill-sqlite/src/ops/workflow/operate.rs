use gristmill_core::kit::encode::tolerance_of;
use gristmill_core::workflow::{
    Extended, Extension, NewWorkflow, Order, Ordered, QUIET_MAX, Rerun, Retried, Started, StepState, StepWord, Tolerance,
    Tolerated, WorkflowState,
};
use gristmill_core::{EnqueueOutcome, WorkflowId, limits};
use rusqlite::{OptionalExtension, params};

use super::super::enqueue;
use super::super::sweep::count;
use super::chore::go_on;
use super::kept::{Missing, damaged, read};
use super::start::Start;
use crate::driver::Driver;
use crate::error::Fault;
use crate::sql;
use crate::tx::{Tx, whole};

/// Writes a workflow with its members, all of it or nothing.
pub(crate) fn start_workflow(tx: &mut Tx<'_>, new: NewWorkflow) -> Result<Started, Fault> {
    let start = Start::new(new, tx.now)?;
    tx.effects.changed = true;
    let started = whole(tx, |tx| {
        let mut driver = Driver::new(tx.conn);
        if driver.run(&start.run())?.changed == 0 {
            return Ok(Err(Started::Exists(holder(tx, start.workflow())?)));
        }
        for step in start.steps() {
            driver.run(&step)?;
        }
        let outcomes = enqueue(tx, start.members())?;
        Ok(if are_new(&outcomes) { Ok(Started::Created) } else { Err(Started::Conflict) })
    })?;
    if started.is_ok()
        && start.has_chores()
        && let Ok(mut kept) = read(tx, start.workflow().id)?
    {
        go_on(tx, &mut kept)?;
    }
    if started.is_ok() {
        is_due(tx, start.deadline_at());
    }
    let (Ok(started) | Err(started)) = started;
    Ok(started)
}

/// The run that stands for one that is to be started.
fn holder(tx: &Tx<'_>, new: &NewWorkflow) -> Result<WorkflowId, Fault> {
    let mut holder = tx.conn.prepare_cached(sql::WORKFLOW_HOLDER)?;
    let found = holder.query_row(params![new.id.as_bytes().as_slice(), new.key], |row| {
        Ok(row.get_ref(0)?.as_blob().ok().and_then(WorkflowId::from_slice))
    });
    Ok(found.optional()?.flatten().unwrap_or(new.id))
}

/// Adds members to a step that is open, or closes it, or both.
pub(crate) fn extend_workflow(tx: &mut Tx<'_>, extension: &Extension) -> Result<Extended, Fault> {
    limits::check_batch(extension.members.len())?;
    let Extension { workflow, step, from, members, close } = extension;
    let mut kept = match read(tx, *workflow)? {
        Ok(kept) => kept,
        Err(Missing::Gone) => return Ok(Extended::NotFound),
        Err(Missing::Damaged) => return Err(damaged(*workflow)),
    };
    let Some(here) = kept.flow.steps.get(*step as usize) else { return Ok(Extended::NotFound) };
    let (count, state) = (here.row.tally.members, here.row.state);
    let Some(done) = count.checked_sub(*from) else { return Ok(Extended::Gap(count)) };
    let members = members.get(done as usize..).unwrap_or_default();
    let Some(blocked) = kept.flow.takes_members(*step) else {
        // What is repeated is done already.
        let is_done = members.is_empty() && state != StepState::Stops;
        return Ok(if is_done { Extended::Added(count) } else { Extended::Closed });
    };
    let mut members = members.to_vec();
    members.iter_mut().for_each(|member| member.hold.blocked = blocked);
    let added = whole(tx, |tx| Ok(if are_new(&enqueue(tx, &members)?) { Ok(()) } else { Err(Extended::Conflict) }))?;
    if let Err(refused) = added {
        return Ok(refused);
    }
    let count = count.saturating_add(u32::try_from(members.len()).unwrap_or(u32::MAX));
    if let Some(here) = kept.flow.steps.get_mut(*step as usize) {
        here.row.tally.members = count;
        here.row.tally.closed |= close;
    }
    go_on(tx, &mut kept)?;
    Ok(Extended::Added(count))
}

/// Whether each of these is there now and was not before.
pub(crate) fn are_new(outcomes: &[EnqueueOutcome]) -> bool {
    outcomes.iter().all(|outcome| *outcome == EnqueueOutcome::Created)
}

/// Begins one anew that has ended. `kept` says of each step how many members are kept for long enough.
pub(crate) fn retry_workflow(tx: &mut Tx<'_>, id: WorkflowId, rerun: Rerun, kept: &[u32]) -> Result<Retried, Fault> {
    let counts = kept;
    let mut kept = match read(tx, id)? {
        Ok(kept) => kept,
        Err(Missing::Gone) => return Ok(Retried::NotFound),
        Err(Missing::Damaged) => return Err(damaged(id)),
    };
    if let Err(refused) = kept.flow.retry(rerun, counts) {
        return Ok(refused);
    }
    let rival = tx
        .conn
        .prepare_cached(sql::WORKFLOW_RIVAL)?
        .query_row([id.as_bytes().as_slice()], |row| Ok(row.get_ref(0)?.as_blob().ok().and_then(WorkflowId::from_slice)));
    if let Some(holder) = rival.optional()? {
        return Ok(Retried::KeyHeld(holder.unwrap_or(id)));
    }
    let mut again = tx.conn.prepare_cached(sql::WORKFLOW_AGAIN)?;
    let (attempt, deadline_at): (u32, Option<i64>) =
        again.query_row(params![id.as_bytes().as_slice(), tx.now.as_millis()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    is_due(tx, deadline_at);
    kept.finished_at = None;
    go_on(tx, &mut kept)?;
    Ok(Retried::Done(attempt))
}

/// Whoever sweeps is told when it has to end.
fn is_due(tx: &mut Tx<'_>, deadline_at: Option<i64>) {
    if let Some(at) = deadline_at {
        tx.effects.scheduled |= tx.memory.is_due_sooner(at);
    }
}

/// Changes how many members of a step need not succeed.
pub(crate) fn tolerate(tx: &mut Tx<'_>, id: WorkflowId, step: &str, tolerance: Tolerance) -> Result<Tolerated, Fault> {
    let mut kept = match read(tx, id)? {
        Ok(kept) => kept,
        Err(Missing::Gone) => return Ok(Tolerated::NotFound),
        Err(Missing::Damaged) => return Err(damaged(id)),
    };
    let mut numbered = (0_u32..).zip(&kept.flow.steps);
    let Some(number) = numbered.find(|(_, of)| of.spec.name == step).map(|(number, _)| number) else {
        return Ok(Tolerated::NoSuchStep);
    };
    if !kept.flow.tolerate(number, tolerance) {
        return Ok(Tolerated::AlreadyEnded);
    }
    let mut write = tx.conn.prepare_cached(sql::STEP_TOLERATE)?;
    write.execute(params![id.as_bytes().as_slice(), number, tolerance_of(tolerance)])?;
    tx.effects.changed = true;
    go_on(tx, &mut kept)?;
    let step = kept.flow.steps.get(number as usize);
    Ok(step.map_or(Tolerated::NoSuchStep, |step| Tolerated::Done(StepWord::of(step.row.state))))
}

/// Cancels workflows whose deadline has passed. True if there may be more of them.
pub(in super::super) fn cancel_overdue(tx: &mut Tx<'_>, limit: usize) -> Result<bool, Fault> {
    let over: Vec<Option<WorkflowId>> = {
        let mut over = tx.conn.prepare_cached(sql::WORKFLOW_OVERDUE)?;
        let rows = over.query_map(params![tx.now.as_millis(), count(limit)], |row| {
            Ok(row.get_ref(0)?.as_blob().ok().and_then(WorkflowId::from_slice))
        })?;
        rows.collect::<Result<_, _>>()?
    };
    for id in over.into_iter().flatten() {
        if !tx.members().take() {
            return Ok(true);
        }
        let kept = read(tx, id)?;
        let look_again = kept.is_err().then(|| tx.now.saturating_add(QUIET_MAX).as_millis());
        tx.conn.prepare_cached(sql::WORKFLOW_END_LATE)?.execute(params![id.as_bytes().as_slice(), look_again])?;
        if let Ok(mut kept) = kept {
            kept.flow.order(Order::Cancel);
            go_on(tx, &mut kept)?;
        }
    }
    Ok(false)
}

/// Cancels one that nobody wants any more, if it is there and goes on.
pub(in super::super) fn leave_behind(tx: &mut Tx<'_>, id: WorkflowId) -> Result<(), Fault> {
    if let Ok(mut kept) = read(tx, id)?
        && kept.flow.end.is_none()
    {
        kept.flow.order(Order::Cancel);
        go_on(tx, &mut kept)?;
    }
    Ok(())
}

/// Cancels, pauses or resumes one.
pub(crate) fn order_workflow(tx: &mut Tx<'_>, id: WorkflowId, order: Order) -> Result<Ordered, Fault> {
    let mut kept = match read(tx, id)? {
        Ok(kept) => kept,
        Err(Missing::Gone) => return Ok(Ordered::NotFound),
        Err(Missing::Damaged) => return Err(damaged(id)),
    };
    if kept.flow.end.is_some() {
        return Ok(Ordered::AlreadyEnded);
    }
    kept.flow.order(order);
    go_on(tx, &mut kept)?;
    Ok(Ordered::Done(WorkflowState::of(kept.flow.run, kept.flow.end)))
}
