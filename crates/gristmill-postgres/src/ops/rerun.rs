//! A workflow that has ended is begun anew, or how many of a step may fail is changed.

use gristmill_core::WorkflowId;
use gristmill_core::kit::encode::tolerance_of;
use gristmill_core::kit::row::{count, int};
use gristmill_core::workflow::{KEPT_MIN, Rerun, Retried, StepWord, Tolerance, Tolerated};
use uuid::Uuid;

use super::chores;
use super::flow::{self, Locked};
use super::specs::Specs;
use super::workflow::wait;
use crate::error::Fault;
use crate::session::Session;
use crate::sql::Q;

/// Begins one anew that has ended. Needs a transaction.
pub(crate) async fn retry_workflow(
    s: &mut Session<'_>,
    specs: &Specs,
    id: WorkflowId,
    rerun: Rerun,
    chores: bool,
) -> Result<Retried, Fault> {
    let Some(mut flows) = wait(s, specs, id).await? else { return Ok(Retried::NotFound) };
    let Some(locked) = flows.get_mut(&id.as_uuid()) else { return Ok(Retried::NotFound) };
    // What was told of it since may be its end.
    locked.flow.go_on();
    let retried = begin(s, locked, id.as_uuid(), rerun).await?;
    locked.flow.go_on();
    if chores {
        chores::work(s, specs, &mut flows).await?;
    } else {
        s.own.chored = true;
    }
    // Whatever was answered: what had been told of the members is in it.
    flow::write(s, &flows).await?;
    Ok(retried)
}

async fn begin(s: &mut Session<'_>, locked: &mut Locked, id: Uuid, rerun: Rerun) -> Result<Retried, Fault> {
    let mut again = locked.flow.clone();
    let kept = if again.end.is_some() { kept(s, locked, id).await? } else { Vec::new() };
    if let Err(refused) = again.retry(rerun, &kept) {
        return Ok(refused);
    }
    if let Some(rival) = s.row(Q::WorkflowRival, &[&id]).await? {
        return Ok(Retried::KeyHeld(WorkflowId::from_uuid(rival.try_get(0)?)));
    }
    let Some(row) = s.row(Q::WorkflowAgain, &[&s.now, &id]).await? else { return Ok(Retried::NotFound) };
    locked.flow = again;
    // Nobody was passed over yet.
    locked.aside.iter_mut().for_each(|aside| (aside.held_from, aside.again) = (None, false));
    Ok(Retried::Done(count(row.try_get(0)?)))
}

/// Of each step how many members are kept for long enough.
async fn kept(s: &mut Session<'_>, locked: &Locked, id: Uuid) -> Result<Vec<u32>, Fault> {
    let (mut steps, mut firsts, mut lasts) = (Vec::new(), Vec::new(), Vec::new());
    for (number, aside) in (0_i32..).zip(&locked.aside) {
        if let Some((first, last)) = aside.bounds {
            steps.push(number);
            firsts.push(first);
            lasts.push(last);
        }
    }
    let mut kept = vec![0; locked.flow.steps.len()];
    let (Some(least), Some(greatest)) = (firsts.iter().min(), lasts.iter().max()) else { return Ok(kept) };
    s.spare_days().await?;
    let for_more_than = i64::try_from(KEPT_MIN.as_millis()).unwrap_or(i64::MAX);
    for row in s.rows(Q::StepKept, &[&s.now, &id, &steps, &firsts, &lasts, least, greatest, &for_more_than]).await? {
        if let Some(of_step) = kept.get_mut(count(row.try_get(0)?) as usize) {
            *of_step = u32::try_from(row.try_get::<_, i64>(1)?).unwrap_or(u32::MAX);
        }
    }
    Ok(kept)
}

/// Changes how many members of a step need not succeed. Needs a transaction.
pub(crate) async fn tolerate(
    s: &mut Session<'_>,
    specs: &Specs,
    id: WorkflowId,
    (step, tolerance): (&str, Tolerance),
    chores: bool,
) -> Result<Tolerated, Fault> {
    let Some(mut flows) = wait(s, specs, id).await? else { return Ok(Tolerated::NotFound) };
    let Some(locked) = flows.get_mut(&id.as_uuid()) else { return Ok(Tolerated::NotFound) };
    let number = (0_u32..).zip(&locked.flow.steps).find(|(_, of)| of.spec.name == step).map(|(number, _)| number);
    let changed = number.filter(|number| locked.flow.tolerate(*number, tolerance));
    if let Some(number) = changed {
        s.execute(Q::StepTolerate, &[&id.as_uuid(), &int(number), &tolerance_of(tolerance)]).await?;
    }
    locked.flow.go_on();
    let state = changed.and_then(|number| locked.flow.steps.get(number as usize)).map(|step| StepWord::of(step.row.state));
    if chores {
        chores::work(s, specs, &mut flows).await?;
    }
    flow::write(s, &flows).await?;
    Ok(match (number, state) {
        (_, Some(state)) => Tolerated::Done(state),
        (Some(_), None) => Tolerated::AlreadyEnded,
        (None, None) => Tolerated::NoSuchStep,
    })
}
