use std::collections::HashMap;
use std::time::Duration;

use gristmill_core::{
    AttemptRecord, AttemptState, Ending, Flags, Held, Keep, LeaseKey, LeaseRef, NewTask, Next, Note, Retention, Settled,
    Settlement, State, TaskId, Timestamp, ended, judge,
};

use super::tables::{End, Lease, Place, Tables};

/// How an attempt's end goes down in the history, where that differs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StartedAt {
    /// `ran_for` before now: the worker says how long the handler ran.
    Reported,
    /// With the claim: nobody can say better.
    Claimed,
}

impl Tables {
    pub(super) fn settle(&mut self, settlement: Settlement, now: Timestamp) -> Settled {
        let held =
            self.by_id(settlement.lease.id).filter(|(_, task)| task.lease().is_some_and(|l| l.fence == settlement.lease.fence));
        let Some((seq, _)) = held else { return Settled::LeaseLost };
        let settlement = match self.refused_child(&settlement) {
            Some(child) => settlement.refused(child),
            None => settlement,
        };
        let idle = settlement.ending == Ending::Released && settlement.ran_for.is_zero();
        self.end_attempt(seq, settlement, StartedAt::Reported, !idle, now)
    }

    /// A task that a success has enqueued and whose id is another's.
    pub(super) fn refused_child<'c>(&self, settlement: &'c Settlement) -> Option<TaskId> {
        let mut siblings: HashMap<TaskId, &'c NewTask> = HashMap::new();
        let is_refused = |child: &&'c NewTask| {
            let first = siblings.entry(child.id).or_insert(child);
            let same = |kept: &NewTask| kept.kind == child.kind && kept.args == child.args;
            !same(first) || self.by_id(child.id).is_some_and(|(_, task)| !same(&task.new))
        };
        let mut succeeded = settlement.children.iter().filter(|_| settlement.ending == Ending::Succeeded);
        succeeded.find(is_refused).map(|child| child.id)
    }

    /// Ends the attempt of a worker that is gone (it crashed) or goes (it releases what it holds).
    pub(super) fn end_for_worker(&mut self, seq: i64, ending: Ending, now: Timestamp) {
        let Some(task) = self.tasks.get(&seq) else { return };
        let Some(lease) = task.lease() else { return };
        let (started, lease) = (lease.started, LeaseRef { id: task.new.id, fence: lease.fence, key: LeaseKey::of_number(seq) });
        self.end_attempt(seq, Settlement::new(lease, ending), StartedAt::Claimed, started, now);
    }

    /// Ends an attempt that goes on later.
    pub(super) fn suspend(&mut self, seq: i64, settlement: Settlement, noted: bool, now: Timestamp) -> Settled {
        self.end_attempt(seq, settlement, StartedAt::Reported, noted, now)
    }

    /// Does what the verdict says. A row goes into the history if `noted`, and in any case if the task ends with it.
    fn end_attempt(&mut self, seq: i64, settlement: Settlement, from: StartedAt, noted: bool, now: Timestamp) -> Settled {
        let Some((held, retention)) = self.tasks.get(&seq).and_then(|task| {
            let lease = task.lease()?;
            let held = Held {
                attempt: task.attempt,
                crashes: task.crashes,
                max_attempts: task.new.max_attempts,
                max_crashes: task.new.max_crashes,
                ack: task.new.ack,
                started: lease.started,
                cancel_requested: lease.cancel_requested,
                flags: task.new.flags(),
            };
            Some((held, task.new.retention))
        }) else {
            return Settled::LeaseLost;
        };
        let verdict = judge(&held, settlement.ending);
        let error = settlement.failure.map(|failure| *failure).or_else(|| verdict.default_failure());
        let state = match verdict.next {
            Next::End(state) => state,
            Next::Again { place, .. } => place.state(),
        };
        self.update(seq, |task| {
            let ended = match verdict.next {
                Next::End(state) => {
                    task.crashes += u32::from(verdict.attempt == AttemptState::Crashed);
                    Place::Ended(End {
                        state,
                        at: now,
                        keep_until: keep_until(state, held.flags, retention, now),
                        result: settlement.result.filter(|_| state == State::Succeeded),
                    })
                }
                Next::Again { attempt, crashes, delay, place } => {
                    task.attempt = attempt;
                    task.crashes = crashes;
                    // Where it arrived, whatever its place was meanwhile.
                    task.line = seq;
                    Place::in_(place, now.saturating_add(delay))
                }
            };
            let lease = std::mem::replace(&mut task.place, ended);
            let Place::Running(lease) = lease else { return };
            if noted || state.is_final() {
                task.history.push(AttemptRecord {
                    attempt: held.attempt,
                    claim_no: task.claim_no,
                    state: verdict.attempt,
                    started_at: Some(started_at(&lease, from, settlement.ran_for, now)),
                    finished_at: Some(now),
                    worker: Some(lease.worker_name),
                    error,
                    logs: settlement.logs.or(lease.logs),
                    progress: settlement.progress.map(|progress| *progress).or(lease.progress),
                });
            }
        });
        if state == State::Succeeded {
            for child in settlement.children.iter() {
                self.enqueue(child.clone(), now);
            }
        }
        self.forget_if_unwanted(seq);
        Settled::Done(state)
    }

    /// Drops a success of which nothing is to be kept.
    fn forget_if_unwanted(&mut self, seq: i64) {
        let unwanted = |task: &super::tables::Task| {
            ended(task.state(), task.new.flags(), task.new.retention, Timestamp::from_millis(0)).keep == Keep::Nothing
        };
        if self.tasks.get(&seq).is_some_and(unwanted) {
            self.remove(seq);
        }
    }

    /// Replaces what is kept of the running attempt's logs and progress; false if the lease is lost.
    pub(super) fn note(&mut self, note: Note) -> bool {
        self.with_lease(&note.lease, |lease| {
            lease.logs = note.logs.or(lease.logs.take());
            lease.progress = note.progress.or(lease.progress.take());
        })
    }
}

/// Until when an ended task is kept; `None` for ever. One of which nothing is kept is dropped beside this.
pub(super) fn keep_until(state: State, flags: Flags, retention: Retention, now: Timestamp) -> Option<Timestamp> {
    match ended(state, flags, retention, now).keep {
        Keep::Until(at) => Some(at),
        Keep::Forever | Keep::Nothing => None,
    }
}

fn started_at(lease: &Lease, from: StartedAt, ran_for: Duration, now: Timestamp) -> Timestamp {
    match from {
        StartedAt::Reported => lease.claimed_at.max(now.saturating_sub(ran_for)),
        StartedAt::Claimed => lease.claimed_at,
    }
}
