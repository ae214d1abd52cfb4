use std::collections::{HashMap, HashSet};

use gristmill_core::{CancelOutcome, RetryOutcome, TaskId};
use uuid::Uuid;

use super::place::{arrived_somewhere, place_of};
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
    let mut again = HashMap::new();
    for row in s.rows(Q::OutcomeReopen, &[&s.now, &all]).await? {
        again.insert(row.try_get::<_, Uuid>(0)?, place_of(row.try_get(1)?));
    }
    let reopened: Vec<Uuid> = again.keys().copied().collect();
    if !reopened.is_empty() {
        s.execute(Q::TaskUnexpire, &[&reopened]).await?;
        s.own.returned_somewhere = true;
    }
    for place in again.values() {
        arrived_somewhere(s, *place);
    }
    let rows = s.rows(Q::TaskKnown, &[&all]).await?;
    let there = rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<HashSet<Uuid>, Fault>>()?;
    let answer = |id: &TaskId| match id.as_uuid() {
        // A second time in one call it waits already.
        id if again.remove(&id).is_some() => RetryOutcome::Ready,
        id if there.contains(&id) => RetryOutcome::NotEnded,
        _ => RetryOutcome::NotFound,
    };
    Ok(ids.iter().map(answer).collect())
}
