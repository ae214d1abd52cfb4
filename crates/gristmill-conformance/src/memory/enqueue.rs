use gristmill_core::{EnqueueOutcome, KindSpec, NewTask, StoreError, Timestamp, limits};

use super::tables::{Place, Tables, Task};

impl Tables {
    pub(super) fn enqueue_batch(&mut self, tasks: Vec<NewTask>, now: Timestamp) -> Result<Vec<EnqueueOutcome>, StoreError> {
        limits::check_batch(tasks.len())?;
        Ok(tasks.into_iter().map(|task| self.enqueue(task, now)).collect())
    }

    /// Keeps one task, unless its id is taken.
    pub(super) fn enqueue(&mut self, new: NewTask, now: Timestamp) -> EnqueueOutcome {
        if let Some((_, kept)) = self.by_id(new.id) {
            let same = kept.new.kind == new.kind && kept.new.args == new.args;
            return if same { EnqueueOutcome::Exists(new.id) } else { EnqueueOutcome::Conflict };
        }
        self.queues.entry(new.queue.clone()).or_default();
        self.kinds.entry(new.kind.clone()).or_default();
        let due = new.due(now);
        self.insert(Task {
            created_at: now,
            due,
            expires_at: new.deadline(now),
            attempt: 0,
            crashes: 0,
            claim_no: 0,
            place: Place::at_first(new.hold, due, now),
            line: 0,
            history: Vec::new(),
            new,
        });
        EnqueueOutcome::Created
    }

    pub(super) fn declare(&mut self, kinds: &[KindSpec]) {
        for kind in kinds {
            self.kinds.insert(kind.name.clone(), Some(kind.clone()));
        }
    }
}
