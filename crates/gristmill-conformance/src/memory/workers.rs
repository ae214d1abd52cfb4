use std::time::Duration;

use gristmill_core::kit::watch::Beat;
use gristmill_core::{Drain, Ending, LeaseKey, LeaseRef, Pulse, Timestamp, WorkerId, WorkerSpec};

use super::tables::{Tables, Worker};

impl Tables {
    pub(super) fn enter(&mut self, spec: &WorkerSpec, now: Timestamp) {
        let (lease, expires_at) = (spec.lease, now.saturating_add(spec.lease));
        // One that says anew what it serves began when it began.
        let (key, started_at, drain) = (self.workers.get(&spec.id))
            .map_or((self.last_worker + 1, now, None), |worker| (worker.key, worker.started_at, worker.drain));
        self.last_worker = self.last_worker.max(key);
        self.workers.insert(spec.id, Worker { spec: spec.clone(), started_at, expires_at, key, lease, lost: false, drain });
        // Tasks that nobody served may be claimed from now on.
        self.news.ready = true;
    }

    pub(super) fn leave(&mut self, worker: WorkerId, now: Timestamp) -> u64 {
        let held = self.held_by(worker);
        for seq in &held {
            self.end_for_worker(*seq, Ending::Released, now);
        }
        self.workers.remove(&worker);
        held.len() as u64
    }

    /// Extends a worker's lease, however late. One that was taken for dead stays dead: its tasks may be somebody else's already.
    pub(super) fn heartbeat(&mut self, id: WorkerId, lease: Duration, now: Timestamp) -> Pulse {
        let Some(worker) = self.workers.get_mut(&id).filter(|worker| !worker.lost) else {
            return Pulse::default();
        };
        worker.expires_at = now.saturating_add(lease);
        worker.lease = lease;
        worker.drain = worker.drain.map(|_| Drain::Heard);
        Pulse { alive: true, drain: worker.drain.is_some(), cancel: self.cancelled(id) }
    }

    /// Which of the tasks that a worker holds are to stop.
    pub(super) fn cancelled(&self, worker: WorkerId) -> Vec<LeaseRef> {
        let to_cancel = |seq: i64| {
            let task = self.tasks.get(&seq)?;
            let lease = task.lease().filter(|lease| lease.cancel_requested)?;
            Some(LeaseRef { id: task.new.id, fence: lease.fence, key: LeaseKey::of_number(seq) })
        };
        self.held_by(worker).into_iter().filter_map(to_cancel).collect()
    }

    /// Takes for dead who is. `passed` is the monotonic clock.
    pub(super) fn lose_the_dead(&mut self, now: Timestamp, passed: Duration) {
        let living = self.workers.values().filter(|worker| !worker.lost);
        let beats: Vec<_> =
            living.map(|worker| Beat { worker: worker.key, expires_at: worker.expires_at, lease: Some(worker.lease) }).collect();
        let dead = self.watch.dead(now, passed, &beats);
        for worker in self.workers.values_mut().filter(|worker| dead.iter().any(|beat| beat.worker == worker.key)) {
            worker.lose(now);
        }
    }

    /// Takes a worker for dead by hand; how many tasks it held.
    pub(super) fn forget_worker(&mut self, id: WorkerId, now: Timestamp) -> Option<u64> {
        self.workers.get_mut(&id)?.lose(now);
        let held = self.held_by(id).len() as u64;
        self.rescue(usize::MAX, now);
        self.workers.remove(&id);
        self.news.changed = true;
        Some(held)
    }

    /// Asks a worker to end; false if there is none that was not taken for dead.
    pub(super) fn drain_worker(&mut self, id: WorkerId) -> bool {
        let Some(worker) = self.workers.get_mut(&id).filter(|worker| !worker.lost) else { return false };
        worker.drain = worker.drain.or(Some(Drain::Asked));
        self.news.changed = true;
        true
    }

    /// As a process that begins anew, and has seen nothing of the workers.
    #[cfg(feature = "suite")]
    pub(super) fn forget_looks(&mut self) {
        self.watch = Default::default();
    }
}

impl Worker {
    fn lose(&mut self, now: Timestamp) {
        self.lost = true;
        self.expires_at = self.expires_at.min(now);
    }
}
