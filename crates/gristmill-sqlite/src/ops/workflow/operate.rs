use gristmill_core::workflow::{Extended, Extension, NewWorkflow, Order, Ordered, Started, StepState, WorkflowState};
use gristmill_core::{EnqueueOutcome, WorkflowId, limits};
use rusqlite::{OptionalExtension, params};

use super::super::enqueue;
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
