use std::time::Duration;

use gristmill_core::{Ending, LeaseKey, LeaseRef, Pulse, Timestamp, WorkerId, WorkerSpec};

use super::tables::{Tables, Worker};

impl Tables {
    pub(super) fn enter(&mut self, spec: &WorkerSpec, now: Timestamp) {
        let worker = Worker { spec: spec.clone(), started_at: now, expires_at: now.saturating_add(spec.lease) };
        self.workers.insert(spec.id, worker);
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

    /// Extends a live worker's lease. A dead one stays dead: its tasks may be somebody else's already.
    pub(super) fn heartbeat(&mut self, id: WorkerId, lease: Duration, now: Timestamp) -> Pulse {
        let Some(worker) = self.workers.get_mut(&id).filter(|worker| worker.is_alive(now)) else {
            return Pulse { alive: false, cancel: Vec::new() };
        };
        worker.expires_at = now.saturating_add(lease);
        let to_cancel = |seq: i64| {
            let task = self.tasks.get(&seq)?;
            let lease = task.lease().filter(|lease| lease.cancel_requested)?;
            Some(LeaseRef { id: task.new.id, fence: lease.fence, key: LeaseKey::of_number(seq) })
        };
        Pulse { alive: true, cancel: self.held_by(id).into_iter().filter_map(to_cancel).collect() }
    }
}
