//! What happens when a task ends, whoever ends it: the door out. An attempt that ends is judged here first; if its task goes on, it
//! leaves by the door [in](super::place).
//!
//! The statements that end tasks without a word from here take their text from [`doors`](crate::doors): plain successes
//! (`settle_plain.sql`, with what is written for members of workflows besides, and `settle_forget.sql`), expiries that a claim finds (`claim.sql`), cancellations and the settlement in a handler's
//! transaction (the newest text of each function in `additions/`).

use std::collections::HashMap;

use gristmill_core::kit::Word;
use gristmill_core::kit::encode::{attempt_state_of, ended_of, keep_until_of, retention_from, to_json};
use gristmill_core::{
    AttemptState, Effects, Ended, Failure, FailureReason, Flags, Follower, Keep, Next, State, TaskId, Timestamp, ended, judge,
};
use tokio_postgres::Row;
use uuid::Uuid;

use super::concurrency::Returns;
use super::facts::{Facts, Step, facts};
use super::place::Placed;
use super::storable;
use super::taken::Taken;
use super::writes::{Outcome, Reports, Writes};
use crate::conn::Params;
use crate::error::Fault;
use crate::session::Session;
use crate::sql::Q;

/// Decides what becomes of a task whose lease was taken, and what has to be written for it. Returns its state after.
pub(super) fn end_attempt(taken: Taken, word: &Word<'_>, writes: &mut Writes, effects: &mut Effects) -> State {
    let verdict = judge(&taken.held(), word.ending);
    let (state, crashes) = match (verdict.next, &taken.facts) {
        (Next::End(state), _) => (state, taken.crashes + u32::from(verdict.attempt == AttemptState::Crashed)),
        (Next::Again { attempt, crashes, delay, place }, Some(facts)) => {
            writes.place(place, Placed::again(&taken, facts, (attempt, crashes), delay));
            (place.state(), crashes)
        }
        // Its body is gone, so that nobody could run it again.
        (Next::Again { crashes, .. }, None) => (State::Failed, crashes),
    };
    if taken.flags.has(Flags::LIMITED) {
        writes.returns.add(taken.id, state.is_final(), taken.claimed_at);
    }
    let ended = state.is_final().then(|| ended(state, taken.flags, retention_from(taken.retention), taken.now));
    if let Some(ended) = &ended {
        let step = taken.facts.and_then(|facts| facts.member);
        tell(ended.followers(), (taken.id, state), step, &mut writes.reports, effects);
    }
    if ended.is_some_and(|ended| ended.keep == Keep::Nothing) {
        writes.tasks_gone.push(taken.id);
        if taken.claim_no > 1 {
            writes.histories_gone.push(taken.id);
        }
    } else if ended.is_some() || !word.silent {
        let claimed_at = Timestamp::from_millis(taken.claimed_at);
        let default = || verdict.default_failure();
        writes.outcome(Outcome {
            id: taken.id,
            seq: taken.seq,
            claim_no: taken.claim_no,
            attempt: taken.attempt,
            crashes,
            state: verdict.attempt,
            end: ended.map(|ended| (state, ended)),
            finished_at: taken.now,
            started_at: Some(word.ran_for.map_or(claimed_at, |ran| taken.now.saturating_sub(ran).max(claimed_at))),
            worker: taken.worker,
            result: word.result.filter(|_| state == State::Succeeded).map(|result| storable(result).into_owned()),
            error: word.failure.cloned().or_else(default),
            logs: word.logs.map(|logs| storable(logs).into_owned()).or(taken.logs),
            progress: word.progress.map(to_json).or(taken.progress),
        });
    }
    state
}

/// What a row that ends a task says of it: the code of its state, until when it is kept, and what is owed.
pub(super) fn end_columns(state: State, ended: &Ended) -> (i16, Option<i64>, i32) {
    (ended_of(state), keep_until_of(ended.keep), ended.owed.bits())
}

/// Lets everybody know who waits for the end of a task.
fn tell(
    followers: impl Iterator<Item = Follower>,
    (id, state): (Uuid, State),
    step: Option<Step>,
    reports: &mut Reports,
    effects: &mut Effects,
) {
    for follower in followers {
        match (follower, step) {
            (Follower::Awaiter, _) => effects.ended.push(TaskId::from_uuid(id)),
            (Follower::Step, Some(step)) => reports.ended(step, state),
            // Its body is gone, and with it whose member it was: that is found when members are counted anew.
            (Follower::Step, None) => {}
        }
    }
}

/// A task that was taken out of where it waited, with its counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waited {
    pub(super) id: Uuid,
    pub(super) attempt: i32,
    pub(super) claim_no: i32,
    pub(super) crashes: i32,
    pub(super) flags: i32,
}

impl Waited {
    pub(super) fn read(row: &Row) -> Result<Self, Fault> {
        Ok(Self {
            id: row.try_get(0)?,
            attempt: row.try_get(1)?,
            claim_no: row.try_get(2)?,
            crashes: row.try_get(3)?,
            flags: row.try_get(4)?,
        })
    }
}

/// Why a task ends that was not started.
pub(super) enum Unstarted {
    /// Not by its deadline.
    Expired,
    /// It is not to wait for a key that is full; of each why.
    Dropped(HashMap<Uuid, Failure>),
    /// It can't be read.
    Corrupt(String),
}

/// Ends tasks that waited and are out of their places.
pub(super) async fn end_unstarted(s: &mut Session<'_>, waited: &[Waited], why: &Unstarted) -> Result<(), Fault> {
    if waited.is_empty() {
        return Ok(());
    }
    // Of what can't be read nobody can say whether it holds anything.
    let is_known = !matches!(why, Unstarted::Corrupt(_));
    let (attempt_state, state) = match why {
        Unstarted::Expired => (AttemptState::Expired, State::Expired),
        Unstarted::Dropped(_) => (AttemptState::Cancelled, State::Cancelled),
        Unstarted::Corrupt(_) => (AttemptState::Failed, State::Failed),
    };
    let failure = |id: &Uuid| match why {
        Unstarted::Expired => to_json(&expired()),
        Unstarted::Dropped(why) => why.get(id).map(to_json).unwrap_or_default(),
        Unstarted::Corrupt(why) => to_json(&Failure::new(FailureReason::Corrupt, format!("the task can't be read: {why}"))),
    };
    s.spare_days().await?;
    let ids: Vec<Uuid> = waited.iter().map(|task| task.id).collect();
    let facts = facts(s, &ids).await?;
    // One whose body is missing has nothing that could end.
    let ending: Vec<(&Waited, &Facts)> = waited.iter().filter_map(|task| Some((task, facts.get(&task.id)?))).collect();
    let ids: Vec<Uuid> = ending.iter().map(|(task, _)| task.id).collect();
    let seqs: Vec<i64> = ending.iter().map(|(_, facts)| facts.seq).collect();
    let retentions: Vec<i64> = ending.iter().map(|(_, facts)| facts.retention).collect();
    let attempts: Vec<i32> = ending.iter().map(|(task, _)| task.attempt).collect();
    let claims: Vec<i32> = ending.iter().map(|(task, _)| task.claim_no).collect();
    let crashes: Vec<i32> = ending.iter().map(|(task, _)| task.crashes).collect();
    // A claim does not bring those of what it could not read.
    let flags: Vec<i32> = ending.iter().map(|(task, facts)| task.flags | facts.flags.bits()).collect();
    let whys: Vec<String> = ids.iter().map(failure).collect();
    let (how, ended) = (attempt_state_of(attempt_state), ended_of(state));
    let params: Params<'_> = &[&s.now, &ids, &seqs, &retentions, &attempts, &claims, &crashes, &flags, &how, &ended, &whys];
    s.execute(Q::OutcomeUnstarted, params).await?;
    let (mut reports, mut limited) = (Reports::default(), Vec::new());
    for task in waited {
        let facts = facts.get(&task.id);
        let flags = Flags::from_bits(task.flags).with(facts.map_or(Flags::NONE, |facts| facts.flags));
        limited.extend((flags.has(Flags::LIMITED) || !is_known).then_some(task.id));
        tell(Follower::of(flags), (task.id, state), facts.and_then(|facts| facts.member), &mut reports, &mut s.effects);
    }
    Returns::of_ended(limited).write(s).await?;
    reports.write(s).await
}

/// What the history says of a task that was not started in time.
pub(super) fn expired() -> Failure {
    Failure::new(FailureReason::Expired, "not started by its deadline")
}
