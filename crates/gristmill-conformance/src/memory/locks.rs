use std::collections::BTreeMap;

use gristmill_core::limits::{LOCKS_MAX, PAGE_ITEMS_MAX};
use gristmill_core::{
    Fence, LOCK_KEPT_MS, LeaseRef, LockHolder, LockInfo, LockOutcome, StoreError, TaskId, Timestamp, check_lock, too_many_locks,
};

use super::tables::Tables;

/// The locks that somebody has taken, by name. One whose holder's lease is gone is free.
#[derive(Debug, Default)]
pub(super) struct Locks {
    taken: BTreeMap<String, Taken>,
    last_token: u64,
}

#[derive(Clone, Copy, Debug)]
struct Taken {
    token: u64,
    task: TaskId,
    fence: Fence,
    since: Timestamp,
}

impl Tables {
    pub(super) fn take_lock(&mut self, lease: &LeaseRef, name: &str, now: Timestamp) -> Result<LockOutcome, StoreError> {
        check_lock(name)?;
        if !self.stands(lease.id, lease.fence) {
            return Ok(LockOutcome::LeaseLost);
        }
        let held = self.locks.taken.get(name).copied().filter(|taken| self.stands(taken.task, taken.fence));
        match held {
            Some(Taken { token, task, fence, since }) if (task, fence) == (lease.id, lease.fence) => {
                return Ok(LockOutcome::Held { token, since });
            }
            Some(Taken { task, since, .. }) => return Ok(LockOutcome::Busy(LockHolder { task, since })),
            None => {}
        }
        if self.held_locks(lease.id).count() >= LOCKS_MAX {
            return Err(too_many_locks(name));
        }
        self.locks.last_token += 1;
        let token = self.locks.last_token;
        self.locks.taken.insert(name.to_owned(), Taken { token, task: lease.id, fence: lease.fence, since: now });
        Ok(LockOutcome::Held { token, since: now })
    }

    pub(super) fn release_lock(&mut self, lease: &LeaseRef, name: &str) -> bool {
        let is_held = self.held_locks(lease.id).any(|(held, taken)| held == name && taken.fence == lease.fence);
        if is_held {
            self.locks.taken.remove(name);
        }
        is_held
    }

    pub(super) fn locks(&self, prefix: &str, after: Option<&str>, limit: usize) -> Vec<LockInfo> {
        let held = self.locks.taken.iter().filter(|(_, taken)| self.stands(taken.task, taken.fence));
        let asked = held.filter(|(name, _)| name.starts_with(prefix) && after.is_none_or(|after| name.as_str() > after));
        asked.take(limit.clamp(1, PAGE_ITEMS_MAX)).map(|(name, taken)| self.lock_info(name, taken)).collect()
    }

    pub(super) fn locks_of(&self, id: TaskId) -> Vec<LockInfo> {
        self.held_locks(id).map(|(name, taken)| self.lock_info(name, taken)).collect()
    }

    /// Forgets those that nobody has held for long.
    pub(super) fn prune_locks(&mut self, now: Timestamp) {
        let mut taken = std::mem::take(&mut self.locks.taken);
        let over = now.as_millis().saturating_sub(LOCK_KEPT_MS);
        taken.retain(|_, taken| taken.since.as_millis() > over || self.stands(taken.task, taken.fence));
        self.locks.taken = taken;
    }

    /// Those of the attempt of a task that runs.
    fn held_locks(&self, id: TaskId) -> impl Iterator<Item = (&str, &Taken)> {
        let of_task = self.locks.taken.iter().filter(move |(_, taken)| taken.task == id);
        of_task.filter(|(_, taken)| self.stands(taken.task, taken.fence)).map(|(name, taken)| (name.as_str(), taken))
    }

    fn stands(&self, id: TaskId, fence: Fence) -> bool {
        self.by_id(id).is_some_and(|(_, task)| task.lease().is_some_and(|lease| lease.fence == fence))
    }

    fn lock_info(&self, name: &str, taken: &Taken) -> LockInfo {
        let task = self.by_id(taken.task).map(|(_, task)| task);
        LockInfo {
            name: name.to_owned(),
            token: taken.token,
            task: taken.task,
            kind: task.map(|task| task.new.kind.clone()),
            worker: task.and_then(|task| Some(task.lease()?.worker_name.clone())),
            since: taken.since,
        }
    }
}
