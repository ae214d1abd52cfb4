use std::sync::Arc;

use gristmill_core::{Ack, Claim, Claimed, LeaseKey, LeaseRef, StoreError, StoreErrorKind, Timestamp, Wanted, WorkerId};

use super::tables::{Lease, Place, Tables};

impl Tables {
    pub(super) fn claim(&mut self, claim: &Claim, now: Timestamp) -> Result<Vec<Claimed>, StoreError> {
        let Some(worker) = self.workers.get(&claim.worker).filter(|worker| worker.is_alive(now)) else {
            let message =
                format!("can't claim tasks: worker {} is not alive; it has to enter again under a new id", claim.worker);
            return Err(StoreError::new(StoreErrorKind::Invalid, message));
        };
        if claim.again {
            let mut given: Vec<_> =
                self.held_by(claim.worker).into_iter().filter_map(|seq| self.given(seq, claim, now)).collect();
            if !given.is_empty() {
                given.sort_by_key(|(priority, claimed)| (*priority, claimed.lease.key.number()));
                return Ok(given.into_iter().map(|(_, claimed)| claimed).collect());
            }
        }
        let is_active = |kind: &&str| !self.paused_kinds.contains(*kind);
        let kinds: Vec<_> = worker.spec.kind_names().filter(is_active).map(str::to_owned).collect();
        let name = worker.spec.name.clone();
        let mut claimed = Vec::new();
        for wanted in &claim.wanted {
            if self.queues.get(&*wanted.queue) == Some(&true) {
                continue;
            }
            self.claim_from(wanted, claim, &name, &kinds, now, &mut claimed);
        }
        Ok(claimed)
    }

    fn claim_from(
        &mut self,
        wanted: &Wanted,
        claim: &Claim,
        worker_name: &str,
        kinds: &[String],
        now: Timestamp,
        claimed: &mut Vec<Claimed>,
    ) {
        let mut left = wanted.limit;
        while left > 0 {
            let Some(seq) = self.first_ready(&wanted.queue, kinds) else { return };
            if self.tasks.get(&seq).is_some_and(|task| task.is_expired(now)) {
                self.expire(seq, now);
                continue;
            }
            self.update(seq, |task| {
                task.attempt += 1;
                task.claim_no += 1;
                task.place = Place::Running(Lease {
                    worker: claim.worker,
                    worker_name: worker_name.to_owned(),
                    fence: claim.fence,
                    claimed_at: now,
                    started: task.crashes == 0 && task.new.ack == Ack::Late,
                    cancel_requested: false,
                    logs: None,
                    progress: None,
                });
            });
            claimed.extend(self.claimed(seq, claim, now));
            left -= 1;
        }
    }

    fn first_ready(&self, queue: &str, kinds: &[String]) -> Option<i64> {
        let first_of = |kind: &String| self.ready.get(&(queue.to_owned(), kind.clone()))?.first().copied();
        kinds.iter().filter_map(first_of).min().map(|(_, _, seq)| seq)
    }

    fn claimed(&self, seq: i64, claim: &Claim, now: Timestamp) -> Option<Claimed> {
        let task = self.tasks.get(&seq)?;
        Some(Claimed {
            lease: LeaseRef { id: task.new.id, fence: claim.fence, key: LeaseKey::of_number(seq) },
            kind: Arc::from(task.new.kind.as_str()),
            queue: Arc::from(task.new.queue.as_str()),
            attempt: task.attempt,
            claim_no: task.claim_no,
            crashes: task.crashes,
            max_attempts: task.new.max_attempts,
            report_start: !task.lease()?.started,
            created_at: task.created_at,
            expires_in: task.expires_at.filter(|_| task.attempt == 1).map(|at| at.since(now)),
            args: task.new.args.clone(),
            meta: task.new.meta.clone(),
        })
    }

    /// What this very claim took, if it did.
    fn given(&self, seq: i64, claim: &Claim, now: Timestamp) -> Option<(u8, Claimed)> {
        let task = self.tasks.get(&seq).filter(|task| task.lease().is_some_and(|lease| lease.fence == claim.fence))?;
        Some((task.new.priority, self.claimed(seq, claim, now)?))
    }

    /// Records that the handler is about to run; false if the lease is lost.
    pub(super) fn start(&mut self, lease: &LeaseRef) -> bool {
        self.with_lease(lease, |lease| lease.started = true)
    }

    /// Runs `change` on the lease that `lease` names, if it is still the task's. This is the fence.
    pub(super) fn with_lease(&mut self, lease: &LeaseRef, change: impl FnOnce(&mut Lease)) -> bool {
        let task = self.by_id.get(&lease.id).copied().and_then(|seq| self.tasks.get_mut(&seq));
        match task.map(|task| &mut task.place) {
            Some(Place::Running(held)) if held.fence == lease.fence => {
                change(held);
                true
            }
            _ => false,
        }
    }

    /// The tasks that a worker holds, in the order of their keys.
    pub(super) fn held_by(&self, worker: WorkerId) -> Vec<i64> {
        self.held.get(&worker).into_iter().flatten().copied().collect()
    }
}
