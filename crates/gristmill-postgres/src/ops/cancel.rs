use std::collections::{HashMap, HashSet};

use gristmill_core::kit::encode::attempt_state_of;
use gristmill_core::kit::row::count;
use gristmill_core::{AttemptState, CancelOutcome, RetryOutcome, TaskId, Timestamp};
use uuid::Uuid;

use super::facts::{Facts, Step, facts};
use super::memory::cancel_children;
use super::place::{Placed, Places};
use super::specs::Specs;
use crate::error::Fault;
use crate::session::Session;
use crate::sql::Q;

/// Cancels tasks: at once those that wait, by request those that run.
pub(crate) async fn cancel(s: &mut Session<'_>, ids: &[TaskId]) -> Result<Vec<CancelOutcome>, Fault> {
    s.effects.changed = true;
    let asked: Vec<Uuid> = ids.iter().map(TaskId::as_uuid).collect();
    let Some(row) = s.row(Q::Cancel, &[&s.now, &asked]).await? else { return Ok(Vec::new()) };
    let answers: Vec<&str> = row.try_get(0)?;
    let outcomes: Vec<CancelOutcome> = answers.into_iter().map(outcome_of).collect();
    s.own.reported |= row.try_get::<_, bool>(1)?;
    s.own.touched |= row.try_get::<_, bool>(2)?;
    let cancelled = ids.iter().zip(&outcomes).filter(|(_, outcome)| **outcome == CancelOutcome::Cancelled);
    s.effects.ended.extend(cancelled.map(|(id, _)| *id));
    s.effects.cancelled |= outcomes.contains(&CancelOutcome::CancelRequested);
    Ok(outcomes)
}

fn outcome_of(answer: &str) -> CancelOutcome {
    match answer {
        "cancelled" => CancelOutcome::Cancelled,
        "cancel_requested" => CancelOutcome::CancelRequested,
        "not_found" => CancelOutcome::NotFound,
        _ => CancelOutcome::AlreadyEnded,
    }
}

/// Lets ended tasks run again. Needs a transaction.
pub(crate) async fn retry(s: &mut Session<'_>, ids: &[TaskId]) -> Result<Vec<RetryOutcome>, Fault> {
    let mut all: Vec<Uuid> = ids.iter().map(TaskId::as_uuid).collect();
    all.sort_unstable();
    all.dedup();
    s.spare_days().await?;
    let facts = facts(s, &all).await?;
    let waiting = waiting_steps(s, facts.values().filter_map(|facts| facts.member)).await?;
    let mut again = again(s, &all, &facts, None, |facts| facts.member.is_some_and(|step| waiting.contains(&step))).await?;
    let answer = |id: &TaskId| match id.as_uuid() {
        // A second time in one call it waits already.
        id if again.remove(&id) => RetryOutcome::Ready,
        id if facts.contains_key(&id) => RetryOutcome::NotEnded,
        _ => RetryOutcome::NotFound,
    };
    Ok(ids.iter().map(answer).collect())
}

/// Puts tasks that have ended back to where they wait; without their history, if what workflows are is given to end what they had started. Which
/// these were.
async fn again(
    s: &mut Session<'_>,
    ids: &[Uuid],
    facts: &HashMap<Uuid, Facts>,
    forgets: Option<&Specs>,
    is_blocked: impl Fn(&Facts) -> bool,
) -> Result<HashSet<Uuid>, Fault> {
    let rows = s.rows(Q::OutcomeReopen, &[&s.now, &ids]).await?;
    let (mut again, mut had_succeeded, mut places) = (HashSet::new(), Vec::new(), Places::default());
    let mut reopened: Vec<Uuid> = Vec::new();
    for row in &rows {
        let (id, claim_no, now) = (row.try_get(0)?, count(row.try_get(1)?), Timestamp::from_millis(row.try_get(2)?));
        let Some(facts) = facts.get(&id) else { continue };
        let (place, task) = Placed::anew((id, claim_no), facts, is_blocked(facts), now);
        places.push(place, task);
        again.insert(id);
        reopened.push(id);
        had_succeeded.push(forgets.is_some() || row.try_get::<_, i16>(3)? == attempt_state_of(AttemptState::Succeeded));
    }
    if !again.is_empty() {
        s.execute(Q::TaskUnexpire, &[&reopened]).await?;
        if let Some(specs) = forgets {
            for row in s.rows(Q::MemoryStarters, &[&reopened]).await? {
                Box::pin(cancel_children(s, specs, row.try_get(0)?, 0)).await?;
            }
            s.execute(Q::OutcomeDelete, &[&reopened]).await?;
        }
        let forgotten = s.row(Q::MemoryForget, &[&reopened, &had_succeeded]).await?;
        if forgotten.map_or(Ok(false), |row| row.try_get(0))? {
            s.execute(Q::MemoryForgetChildren, &[&reopened]).await?;
        }
    }
    places.write(s).await?;
    Ok(again)
}

/// Blocks members again that have ended, with or without their history. That they have not any more is told by a trigger. Says whether there
/// were any.
pub(super) async fn block_again(s: &mut Session<'_>, ids: &[Uuid], forgets: Option<&Specs>) -> Result<bool, Fault> {
    let facts = facts(s, ids).await?;
    Ok(!again(s, ids, &facts, forgets, |_| true).await?.is_empty())
}

/// Which of these steps still wait for others. Their workflows are locked, so that none of them goes until this commits.
async fn waiting_steps(s: &mut Session<'_>, steps: impl Iterator<Item = Step>) -> Result<HashSet<Step>, Fault> {
    let steps: HashSet<Step> = steps.collect();
    if steps.is_empty() {
        return Ok(HashSet::new());
    }
    let (workflows, numbers): (Vec<Uuid>, Vec<i32>) = steps.into_iter().unzip();
    s.rows(Q::WorkflowWait, &[&workflows]).await?;
    // That members run again is told by a trigger; and those who conduct have passed their workflows over meanwhile.
    s.own.reported = true;
    let rows = s.rows(Q::StepWaiting, &[&workflows, &numbers]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}
