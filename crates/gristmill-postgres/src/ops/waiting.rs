use std::collections::{HashMap, HashSet};

use gristmill_core::{AttemptState, CancelOutcome, Failure, FailureReason, RetryOutcome, State, TaskId};
use tokio_postgres::Row;
use uuid::Uuid;

use super::encode::{attempt_state_of, ended_of, to_json};
use crate::error::Fault;
use crate::session::Session;
use crate::sql::Q;

/// How often a task is looked for that moves each time.
const LOOKS: usize = 20;

/// A task that was taken out of its place in line, with its counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waited {
    pub(super) id: Uuid,
    pub(super) seq: i64,
    pub(super) attempt: i32,
    pub(super) claim_no: i32,
    pub(super) crashes: i32,
}

impl Waited {
    pub(super) fn read(row: &Row) -> Result<Self, Fault> {
        Ok(Self {
            id: row.try_get(0)?,
            seq: row.try_get(1)?,
            attempt: row.try_get(2)?,
            claim_no: row.try_get(3)?,
            crashes: row.try_get(4)?,
        })
    }
}

/// Ends tasks that waited and are out of their places: cancelled or expired.
pub(super) async fn end_unstarted(s: &mut Session<'_>, waited: &[Waited], state: State) -> Result<(), Fault> {
    let failure = match state {
        State::Expired => Failure::new(FailureReason::Expired, "not started by its deadline"),
        _ => Failure::new(FailureReason::Cancelled, "cancelled before it started"),
    };
    end_unstarted_as(s, waited, state, &failure).await
}

/// As [`end_unstarted`], and says why.
pub(super) async fn end_unstarted_as(s: &mut Session<'_>, waited: &[Waited], state: State, why: &Failure) -> Result<(), Fault> {
    if waited.is_empty() {
        return Ok(());
    }
    let attempt_state = match state {
        State::Expired => AttemptState::Expired,
        State::Failed => AttemptState::Failed,
        _ => AttemptState::Cancelled,
    };
    let ids: Vec<Uuid> = waited.iter().map(|task| task.id).collect();
    let seqs: Vec<i64> = waited.iter().map(|task| task.seq).collect();
    let attempts: Vec<i32> = waited.iter().map(|task| task.attempt).collect();
    let claims: Vec<i32> = waited.iter().map(|task| task.claim_no).collect();
    let crashes: Vec<i32> = waited.iter().map(|task| task.crashes).collect();
    let (how, ended, why) = (attempt_state_of(attempt_state), ended_of(state), to_json(why));
    s.execute(Q::OutcomeUnstarted, &[&s.now, &ids, &seqs, &attempts, &claims, &crashes, &how, &ended, &why]).await?;
    s.effects.ended.extend(ids.into_iter().map(TaskId::from_uuid));
    Ok(())
}

/// Cancels tasks: at once those that wait, by request those that run. Needs a transaction.
pub(crate) async fn cancel(s: &mut Session<'_>, ids: &[TaskId]) -> Result<Vec<CancelOutcome>, Fault> {
    let mut outcomes: HashMap<Uuid, CancelOutcome> = HashMap::new();
    let mut open: Vec<Uuid> = ids.iter().map(TaskId::as_uuid).collect();
    open.sort_unstable();
    open.dedup();
    for look in 0.. {
        let places = Places::of(s, &open).await?;
        open.retain(|id| {
            let there = places.ids.contains(id);
            if !there {
                outcomes.insert(*id, CancelOutcome::NotFound);
            }
            there
        });
        if open.is_empty() {
            break;
        }
        for row in s.rows(Q::LeaseCancel, &[&open]).await? {
            outcomes.insert(row.try_get(0)?, CancelOutcome::CancelRequested);
        }
        let waited = places.take(s).await?;
        end_unstarted(s, &waited, State::Cancelled).await?;
        for task in &waited {
            outcomes.insert(task.id, CancelOutcome::Cancelled);
        }
        open.retain(|id| !outcomes.contains_key(id));
        for row in s.rows(Q::OutcomeEnded, &[&open]).await? {
            outcomes.insert(row.try_get(0)?, CancelOutcome::AlreadyEnded);
        }
        // What is in no place was moved by somebody else while we looked from one to the next.
        open.retain(|id| !outcomes.contains_key(id));
        if open.is_empty() {
            break;
        }
        if look == LOOKS {
            // In no place at all, which only damage explains.
            outcomes.extend(open.iter().map(|id| (*id, CancelOutcome::AlreadyEnded)));
            break;
        }
    }
    let mut said = HashSet::new();
    let answer = |id: &TaskId| {
        let id = id.as_uuid();
        match outcomes.get(&id).copied().unwrap_or(CancelOutcome::NotFound) {
            CancelOutcome::Cancelled if !said.insert(id) => CancelOutcome::AlreadyEnded,
            outcome => outcome,
        }
    };
    Ok(ids.iter().map(answer).collect())
}

/// Makes ended tasks ready again. Needs a transaction.
pub(crate) async fn retry(s: &mut Session<'_>, ids: &[TaskId]) -> Result<Vec<RetryOutcome>, Fault> {
    let mut all: Vec<Uuid> = ids.iter().map(TaskId::as_uuid).collect();
    all.sort_unstable();
    all.dedup();
    let mut again = HashSet::new();
    for row in s.rows(Q::OutcomeReopen, &[&all]).await? {
        again.insert(row.try_get::<_, Uuid>(0)?);
    }
    let reopened: Vec<Uuid> = again.iter().copied().collect();
    if !reopened.is_empty() {
        s.execute(Q::TaskUnexpire, &[&reopened]).await?;
        s.effects.readied = true;
        s.own.returned_somewhere = true;
    }
    let there = Places::of(s, &all).await?.ids;
    let answer = |id: &TaskId| match id.as_uuid() {
        // A second time in one call it is ready already.
        id if again.remove(&id) => RetryOutcome::Ready,
        id if there.contains(&id) => RetryOutcome::NotEnded,
        _ => RetryOutcome::NotFound,
    };
    Ok(ids.iter().map(answer).collect())
}

/// Where tasks are if they wait, column by column.
#[derive(Default)]
struct Places {
    ids: HashSet<Uuid>,
    seq: Vec<i64>,
    queue: Vec<i32>,
    kind: Vec<i32>,
    priority: Vec<i16>,
}

impl Places {
    async fn of(s: &Session<'_>, ids: &[Uuid]) -> Result<Self, Fault> {
        let mut places = Self::default();
        for row in s.rows(Q::TaskPlaces, &[&ids]).await? {
            places.ids.insert(row.try_get(0)?);
            places.seq.push(row.try_get(1)?);
            places.queue.push(row.try_get(2)?);
            places.kind.push(row.try_get(3)?);
            places.priority.push(row.try_get(4)?);
        }
        Ok(places)
    }

    /// Takes those out of their places that are in one.
    async fn take(&self, s: &Session<'_>) -> Result<Vec<Waited>, Fault> {
        let Self { seq, queue, kind, priority, .. } = self;
        let mut rows = s.rows(Q::ReadyTake, &[queue, priority, seq]).await?;
        rows.extend(s.rows(Q::ScheduledTake, &[seq]).await?);
        rows.extend(s.rows(Q::ParkedTake, &[queue, kind, priority, seq]).await?);
        rows.iter().map(Waited::read).collect()
    }
}
