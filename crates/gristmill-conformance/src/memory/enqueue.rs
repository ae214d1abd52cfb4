use gristmill_core::unique::{COLLECTED_BYTES_MAX, Merge, UniqueKey, Until};
use gristmill_core::{EnqueueOutcome, KindSpec, NewTask, StoreError, TaskId, Timestamp, limits};

use super::tables::{Place, Tables, Task};

/// Who took a unique key last.
#[derive(Debug)]
pub(super) struct Unique {
    task: TaskId,
    until: Until,
    /// The end of its period, if it has one.
    over_at: Option<Timestamp>,
}

impl Tables {
    pub(super) fn enqueue_batch(&mut self, tasks: Vec<NewTask>, now: Timestamp) -> Result<Vec<EnqueueOutcome>, StoreError> {
        limits::check_batch(tasks.len())?;
        Ok(tasks.into_iter().map(|task| self.enqueue(task, now)).collect())
    }

    /// Keeps one task, unless its id is taken.
    pub(super) fn enqueue(&mut self, new: NewTask, now: Timestamp) -> EnqueueOutcome {
        if let Some((_, kept)) = self.by_id(new.id) {
            let is_merged = new.unique().is_some_and(|unique| unique.merge.is_some());
            let same = kept.new.kind == new.kind && (is_merged || kept.new.args == new.args);
            return if same { EnqueueOutcome::Exists(new.id) } else { EnqueueOutcome::Conflict };
        }
        if let Some(holder) = self.holder(&new, now) {
            match new.unique().and_then(|unique| unique.merge.clone()) {
                Some(merge) => {
                    if self.merge(holder, &new, &merge) {
                        return EnqueueOutcome::Exists(holder);
                    }
                }
                None => {
                    self.debounce(holder, new, now);
                    return EnqueueOutcome::Exists(holder);
                }
            }
        }
        let task = new.id;
        let unique = new.unique().map(|unique| (new.kind.clone(), unique.clone()));
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
        if let Some((kind, UniqueKey { key, until, .. })) = unique {
            self.unique
                .insert((kind, key), Unique { task, until, over_at: until.period().map(|period| now.saturating_add(period)) });
        }
        EnqueueOutcome::Created
    }

    /// Who has the key of a task.
    fn holder(&self, new: &NewTask, now: Timestamp) -> Option<TaskId> {
        let key = (new.kind.clone(), new.unique()?.key.clone());
        let held = self.unique.get(&key)?;
        let has_it = match held.over_at {
            Some(over_at) => over_at > now,
            None if new.unique()?.debounce.is_some() => self
                .by_id(held.task)
                .is_some_and(|(_, task)| matches!(task.place, Place::Scheduled(at) if at > now) && task.claim_no == 0),
            None => self.by_id(held.task).is_some_and(|(_, task)| match task.place {
                Place::Ended(_) => false,
                Place::Running(_) => held.until != Until::Started,
                _ => held.until != Until::Started || task.claim_no == 0,
            }),
        };
        has_it.then_some(held.task)
    }

    /// A debounced task that waits gets the arguments of the last enqueue with its key, and waits from then on.
    fn debounce(&mut self, holder: TaskId, new: NewTask, now: Timestamp) {
        let Some(waits) = new.unique().and_then(|unique| unique.debounce) else { return };
        let Some((seq, _)) = self.by_id(holder) else { return };
        self.update(seq, |task| {
            let due = waits.due(task.created_at, now);
            task.expires_at = task.expires_at.map(|at| due.saturating_add(at.since(task.due)));
            (task.due, task.place) = (due, Place::Scheduled(due));
            task.new.args = new.args;
        });
    }

    /// Writes into a task that waits, if that has its key until it starts; whether it did.
    fn merge(&mut self, holder: TaskId, new: &NewTask, merge: &Merge) -> bool {
        let until_started = |held: &Unique| held.task == holder && held.until == Until::Started;
        let key = new.unique().map(|unique| (new.kind.clone(), unique.key.clone()));
        if !key.and_then(|key| self.unique.get(&key)).is_some_and(until_started) {
            return false;
        }
        let Some((seq, task)) = self.by_id(holder) else { return false };
        if task.new.unique().and_then(|unique| unique.merge.as_ref()) != Some(merge) {
            return false;
        }
        let Some(args) = merged(&task.new.args, &new.args, merge) else { return false };
        self.update(seq, |task| task.new.args = args);
        true
    }

    pub(super) fn declare(&mut self, kinds: &[KindSpec]) {
        for kind in kinds {
            self.kinds.insert(kind.name.clone(), Some(kind.clone()));
        }
    }
}

/// The arguments of a task into which another is written; `None` if they can't be put together.
fn merged(old: &str, new: &str, merge: &Merge) -> Option<String> {
    let Merge::Collect(list) = merge else { return Some(new.to_owned()) };
    if old.len() + new.len() > COLLECTED_BYTES_MAX {
        return None;
    }
    let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    let (old, mut new) = (read(old)?, read(new)?);
    let all = [old.get(list)?.as_array()?.as_slice(), new.get(list)?.as_array()?].concat();
    *new.get_mut(list)? = all.into();
    Some(new.to_string())
}
