use gristmill_core::kit::encode::{ended_of, keep_until_of};
use gristmill_core::{AttemptState, Failure, FailureReason, Flags, Follower, Keep, Retention, State, TaskId, ended};

use super::concurrency::give_back;
use super::history::{Attempt, Mark, write};
use super::label;
use super::workflow::Report;
use crate::error::Fault;
use crate::sql;
use crate::tx::Tx;
use crate::whereabouts::Waiter;

/// That a task ends, and how.
pub(super) struct End<'a> {
    /// `None` if it can't be read, so that nobody can ask for it.
    pub(super) id: Option<TaskId>,
    pub(super) state: State,
    pub(super) flags: Flags,
    pub(super) retention: Retention,
    /// Whether it may remember something.
    pub(super) remembers: bool,
    /// Its last attempt, or what stands for one that never began.
    pub(super) attempt: Attempt<'a>,
}

/// The one door out: what happens when a task ends, whatever ended it (a settlement, a cancellation, its expiry, a rescue, a
/// worker that leaves, damage). What its end sets off, [`gristmill_core::ended`] says. It has left its place or its lease.
pub(super) fn end(tx: &mut Tx<'_>, end: &End<'_>) -> Result<(), Fault> {
    // A place in line is of no meaning any more.
    let flags = end.flags.without(Flags::MOVED);
    if flags.has(Flags::LIMITED) {
        give_back(tx, end.attempt.key, true)?;
    }
    let ended = ended(end.state, flags, end.retention, tx.now);
    match ended.keep {
        Keep::Until(_) | Keep::Forever => {
            let keep_until = keep_until_of(ended.keep);
            write(tx, &end.attempt, &Mark { ended: ended_of(end.state), keep_until, flags, owed: ended.owed })?;
        }
        Keep::Nothing => {
            if end.remembers {
                tx.conn.prepare_cached(sql::MEMORY_DELETE)?.execute([end.attempt.key])?;
            }
            label::delete(tx.conn, end.attempt.key)?;
            // Before its first claim it has no history.
            if end.attempt.claim_no > 1 {
                tx.conn.prepare_cached(sql::OUTCOME_DELETE)?.execute([end.attempt.key])?;
            }
        }
    }
    for follower in ended.followers() {
        match follower {
            // After the commit; those in other processes look.
            Follower::Awaiter => tx.effects.ended.extend(end.id),
            // Before the commit.
            Follower::Step => tx.reports.push(Report { key: end.attempt.key, state: end.state }),
        }
    }
    Ok(())
}

/// Ends a task that waits: cancelled or expired. It has left its place.
pub(super) fn end_unstarted(
    tx: &mut Tx<'_>,
    state: State,
    waiter: &Waiter,
    id: Option<TaskId>,
    retention: Retention,
) -> Result<(), Fault> {
    let (attempt, failure) = match state {
        State::Expired => (AttemptState::Expired, Failure::new(FailureReason::Expired, "not started by its deadline")),
        _ if waiter.claim_no > 0 => {
            (AttemptState::Cancelled, Failure::new(FailureReason::Cancelled, "cancelled while it waited"))
        }
        _ => (AttemptState::Cancelled, Failure::new(FailureReason::Cancelled, "cancelled before it started")),
    };
    end_waiter(tx, state, attempt, waiter, id, retention, &failure)
}

/// Ends a task that waits and is not to wait any more.
pub(super) fn end_dropped(
    tx: &mut Tx<'_>,
    waiter: &Waiter,
    id: Option<TaskId>,
    retention: Retention,
    why: &Failure,
) -> Result<(), Fault> {
    end_waiter(tx, State::Cancelled, AttemptState::Cancelled, waiter, id, retention, why)
}

/// Ends a task that waits and can't be read.
pub(super) fn end_damaged(
    tx: &mut Tx<'_>,
    waiter: &Waiter,
    id: Option<TaskId>,
    retention: Retention,
    why: &str,
) -> Result<(), Fault> {
    let failure = Failure::new(FailureReason::Corrupt, format!("the task can't be read: {why}"));
    end_waiter(tx, State::Failed, AttemptState::Failed, waiter, id, retention, &failure)
}

fn end_waiter(
    tx: &mut Tx<'_>,
    state: State,
    attempt_state: AttemptState,
    waiter: &Waiter,
    id: Option<TaskId>,
    retention: Retention,
    failure: &Failure,
) -> Result<(), Fault> {
    let attempt = Attempt {
        key: waiter.key,
        claim_no: waiter.claim_no.saturating_add(1),
        attempt: waiter.attempt,
        crashes: waiter.crashes,
        state: attempt_state,
        started_at: None,
        worker: None,
        result: None,
        error: Some(failure),
        logs: None,
        progress: None,
    };
    let remembers = waiter.claim_no > 0;
    end(tx, &End { id, state, flags: waiter.flags, retention, remembers, attempt })
}
