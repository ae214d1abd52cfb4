use std::collections::{HashMap, HashSet};

use gristmill_core::{
    AttemptState, CancelOutcome, EnqueueOutcome, FailureReason, Fence, LockOutcome, ReleaseOutcome, RetryOutcome, Settled, State,
    TaskId, TaskRecord, Timestamp, WorkerId,
};

use super::call::{Answer, Call};
use super::op::LEASE;

/// What must hold in any history, whatever a model says of it.
#[derive(Default)]
pub(super) struct Invariants {
    /// Tasks that were acknowledged as ended, and not retried since.
    ended: HashSet<TaskId>,
    /// The number of the last claim of each task.
    claim_no: HashMap<TaskId, u32>,
    /// Who holds a task by the answers so far, and by which claim. Only what is certain is in it.
    held: HashMap<TaskId, (WorkerId, Fence)>,
    /// Until when each worker lives.
    alive_until: HashMap<WorkerId, Timestamp>,
    /// The last token of each lock, and whose it is.
    tokens: HashMap<&'static str, (u64, (TaskId, Fence))>,
}

impl Invariants {
    /// Learns from an answer, lost ones too: the store has given it.
    pub(super) fn observe(&mut self, call: &Call, answer: &Answer, now: Timestamp) -> Result<(), String> {
        match (call, answer) {
            (Call::Enqueue(tasks), Answer::Enqueued(outcomes)) => {
                for (task, outcome) in tasks.iter().zip(outcomes) {
                    if *outcome == EnqueueOutcome::Created {
                        // Nothing was kept of an earlier task under this id.
                        self.ended.remove(&task.id);
                        self.claim_no.remove(&task.id);
                    }
                }
            }
            (Call::Enter(spec), Answer::Done) => {
                self.alive_until.insert(spec.id, now.saturating_add(spec.lease));
            }
            (Call::Leave(worker), Answer::Left(_)) => {
                self.alive_until.remove(worker);
                self.held.retain(|_, (holder, _)| holder != worker);
            }
            (Call::Heartbeat(worker), Answer::Pulse(pulse)) if pulse.alive => {
                self.alive_until.insert(*worker, now.saturating_add(LEASE));
            }
            (Call::Claim(claim), Answer::Claimed(claimed)) => {
                for claimed in claimed {
                    let id = claimed.lease.id;
                    if self.ended.contains(&id) {
                        return Err(format!("{id} was acknowledged as ended and is claimed again"));
                    }
                    let holder = self.held.insert(id, (claim.worker, claim.fence));
                    if holder == Some((claim.worker, claim.fence)) && claim.again {
                        continue;
                    }
                    if let Some((holder, _)) = holder {
                        return Err(format!("{id} is claimed by {} while {holder} holds it", claim.worker));
                    }
                    let last = self.claim_no.insert(id, claimed.claim_no).unwrap_or(0);
                    if claimed.claim_no <= last {
                        return Err(format!("the claim of {id} has the number {} after {last}", claimed.claim_no));
                    }
                }
            }
            (Call::Settle(ends), Answer::Settled(settled)) => {
                for ((held, _), settled) in ends.iter().zip(settled) {
                    if let Settled::Done(state) = settled {
                        self.held.remove(&held.id);
                        self.ended.extend(state.is_final().then_some(held.id));
                    }
                }
            }
            (Call::Lock(held, name), Answer::Locked(LockOutcome::Held { token, .. })) => {
                let holder = (held.id, held.fence);
                let (last, before) = self.tokens.insert(name, (*token, holder)).unwrap_or((0, holder));
                if *token < last || (*token == last && holder != before) {
                    return Err(format!("the lock `{name}` is given with the token {token} after {last}"));
                }
            }
            (Call::Cancel(ids), Answer::Cancelled(outcomes)) => {
                let ended = |(id, outcome): (&TaskId, &CancelOutcome)| (*outcome == CancelOutcome::Cancelled).then_some(*id);
                self.ended.extend(ids.iter().zip(outcomes).filter_map(ended));
            }
            (Call::Retry(ids), Answer::Retried(outcomes)) => {
                for (id, outcome) in ids.iter().zip(outcomes) {
                    if *outcome == RetryOutcome::Ready {
                        self.ended.remove(id);
                    }
                }
            }
            (Call::Release(ids), Answer::Released(outcomes)) => {
                for (id, outcome) in ids.iter().zip(outcomes) {
                    if matches!(outcome, ReleaseOutcome::Released | ReleaseOutcome::Ended) {
                        self.held.remove(id);
                    }
                    if *outcome == ReleaseOutcome::Ended {
                        self.ended.insert(*id);
                    }
                }
            }
            (Call::Forget(worker), Answer::Forgot(_)) => {
                self.alive_until.remove(worker);
                self.held.retain(|_, (holder, _)| holder != worker);
                // What others held that were taken for dead before goes with it.
                self.swept(now);
            }
            (Call::Sweep(_), Answer::Swept(_)) => self.swept(now),
            _ => {}
        }
        Ok(())
    }

    /// A sweep may have taken everything from workers that are not alive.
    pub(super) fn swept(&mut self, now: Timestamp) {
        // A lease that ends later than it can is from a clock that was ahead.
        let can_be = |until: &Timestamp| *until > now && *until <= now.saturating_add(LEASE);
        let alive = |worker: &WorkerId| self.alive_until.get(worker).is_some_and(can_be);
        self.held.retain(|_, (holder, _)| alive(holder));
    }

    /// What every record keeps to.
    pub(super) fn check_record(task: &TaskRecord) -> Result<(), String> {
        let broken = |what: &str| Err(format!("{what}: {task:#?}"));
        if task.attempt > task.max_attempts.saturating_add(task.crashes) {
            return broken("there were more attempts than allowed");
        }
        if task.crashes > task.max_crashes {
            return broken("there were more crashes than allowed");
        }
        if !task.attempts.is_sorted_by(|a, b| a.claim_no < b.claim_no) {
            return broken("the attempts are not in the order of their claims");
        }
        if task.state.is_final() != task.ended_at.is_some() {
            return broken("a task that ended says when, and no other");
        }
        let running = task.attempts.iter().filter(|row| row.state == AttemptState::Running).count();
        if running != usize::from(task.state == State::Running) {
            return broken("a running task has one running attempt, and no other task has any");
        }
        let crashed_last = task.attempts.last().is_some_and(|row| row.state == AttemptState::Crashed);
        let reason = task.error.as_ref().map(|error| error.reason);
        if task.state == State::Failed && crashed_last && reason != Some(FailureReason::Crashed) {
            return broken("a task that failed by crashing says so");
        }
        Ok(())
    }
}
