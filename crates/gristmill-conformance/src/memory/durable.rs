use std::collections::{BTreeMap, HashMap};

use gristmill_core::durable::{
    Awaits, Checkpoint, EventRecord, Kept, MISMATCH_AT, Memories, Memory, NewEvent, Resume, Resumed, Sent, Waiter,
};
use gristmill_core::limits::PAGE_ITEMS_MAX;
use gristmill_core::workflow::{Order, Started};
use gristmill_core::{
    Cursor, Ending, EnqueueOutcome, InvalidInput, Page, Settled, Settlement, State, StoreError, TaskId, Timestamp, WorkflowId,
};

use super::tables::{Place, Tables};

/// What tasks remember of their steps, and what has happened that they may wait for.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    of: HashMap<TaskId, BTreeMap<u32, Memory>>,
    events: BTreeMap<i64, EventRecord>,
    last_event: i64,
}

impl Tables {
    pub(super) fn memories(&self, id: TaskId, now: Timestamp) -> Memories {
        Memories { now, kept: self.remembered.of.get(&id).into_iter().flat_map(BTreeMap::values).cloned().collect() }
    }

    pub(super) fn checkpoint(&mut self, checkpoint: Checkpoint, now: Timestamp) -> Result<Settled, StoreError> {
        checkpoint.check()?;
        let id = checkpoint.lease.id;
        let lease = self.by_id(id).and_then(|(seq, task)| Some((seq, task.lease()?)));
        let Some((seq, lease)) = lease.filter(|(_, lease)| lease.fence == checkpoint.lease.fence) else {
            return Ok(Settled::LeaseLost);
        };
        if checkpoint.suspend.is_some() && lease.cancel_requested {
            return Ok(self.settle(Settlement::new(checkpoint.lease, Ending::Cancelled), now));
        }
        self.keep_with(&checkpoint, now)?;
        for memory in checkpoint.memories {
            self.remembered.of.entry(id).or_default().insert(memory.position, memory);
        }
        let Some(due) = checkpoint.suspend else { return Ok(Settled::Done(State::Running)) };
        let settlement =
            Settlement { logs: checkpoint.logs, ..Settlement::new(checkpoint.lease, Ending::Snooze { delay: due.delay(now) }) };
        let noted = settlement.logs.is_some();
        let settled = self.suspend(seq, settlement, noted, now);
        self.update(seq, |task| task.expires_at = None);
        if self.take_what_came(id) {
            self.make_due(id, now);
        }
        Ok(self.by_id(id).map_or(settled, |(_, task)| Settled::Done(task.state())))
    }

    /// Enqueues and starts what comes with a checkpoint, or nothing of it.
    fn keep_with(&mut self, checkpoint: &Checkpoint, now: Timestamp) -> Result<(), StoreError> {
        let settlement =
            Settlement { children: checkpoint.children.clone(), ..Settlement::new(checkpoint.lease, Ending::Succeeded) };
        if let Some(child) = self.refused_child(&settlement) {
            return Err(InvalidInput::new("children", format!("have the id {child}, which is another task's")).into());
        }
        if let Some(workflow) = &checkpoint.workflow
            && self.start_workflow((**workflow).clone(), now)? == Started::Conflict
        {
            return Err(InvalidInput::new("workflow", "has members whose ids are other tasks'").into());
        }
        for child in checkpoint.children.iter() {
            let _: EnqueueOutcome = self.enqueue(child.clone(), now);
        }
        Ok(())
    }

    /// Gives a task that waits what has come already of what it waits for; whether anything has.
    fn take_what_came(&mut self, id: TaskId) -> bool {
        let mut came = false;
        let mut memories = self.remembered.of.remove(&id).unwrap_or_default();
        for memory in memories.values_mut() {
            match memory.kept.awaits() {
                Some(Awaits::Event(name)) => {
                    if let Some(event) = self.remembered.events.values().find(|event| event.name == name) {
                        memory.kept = Kept::Value(event.payload.clone());
                        came = true;
                    }
                }
                Some(Awaits::Workflow(workflow)) => came |= !self.goes_on(workflow),
                None => {}
            }
        }
        self.remembered.of.insert(id, memories);
        came
    }

    /// Lets a task that waits run now.
    fn make_due(&mut self, id: TaskId, now: Timestamp) {
        if matches!(self.by_id(id), Some((_, task)) if matches!(task.place, Place::Scheduled(_))) {
            self.release(id, now);
        }
    }

    fn waiting_for(&self, awaits: &Awaits) -> Vec<TaskId> {
        let waits =
            |memories: &BTreeMap<u32, Memory>| memories.values().any(|memory| memory.kept.awaits().as_ref() == Some(awaits));
        let mut all: Vec<_> = self.remembered.of.iter().filter(|(_, memories)| waits(memories)).map(|(id, _)| *id).collect();
        all.sort_unstable();
        all
    }

    /// A workflow has ended: who started it and waits for it goes on.
    pub(super) fn tell_of_end(&mut self, id: WorkflowId, now: Timestamp) {
        for task in self.waiting_for(&Awaits::Workflow(id)) {
            self.make_due(task, now);
        }
    }

    /// Cancels what was started by tasks that have ended before it, and forgets what tasks that are gone remembered, and events whose time is over.
    pub(super) fn sweep_memories(&mut self, now: Timestamp) {
        let mut left = Vec::new();
        for (id, memories) in &self.remembered.of {
            let ended = self.by_id(*id).is_some_and(|(_, task)| task.state().is_final() && task.state() != State::Succeeded);
            if ended {
                left.extend(memories.values().filter_map(|memory| match memory.kept.awaits() {
                    Some(Awaits::Workflow(workflow)) => Some(workflow),
                    Some(Awaits::Event(_)) | None => None,
                }));
            }
        }
        for workflow in left {
            self.order_workflow(workflow, Order::Cancel, now);
        }
        let by_id = &self.by_id;
        self.remembered.of.retain(|id, _| by_id.contains_key(id));
        self.remembered.events.retain(|_, event| event.keep_until > now);
    }

    /// What it tried and failed at is tried again when it is retried.
    pub(super) fn forget_failures(&mut self, id: TaskId) {
        if let Some(memories) = self.remembered.of.get_mut(&id) {
            memories.retain(|_, memory| !memory.kept.is_of_a_failure());
        }
    }

    pub(super) fn send_event(&mut self, event: &NewEvent, now: Timestamp) -> Sent {
        self.remembered.events.retain(|_, event| event.keep_until > now);
        if self.remembered.events.values().any(|kept| kept.name == event.name()) {
            return Sent::Exists;
        }
        self.remembered.last_event += 1;
        let keep_until = now.saturating_add(event.kept());
        let record = EventRecord { name: event.name().to_owned(), payload: event.payload().to_owned(), sent_at: now, keep_until };
        self.remembered.events.insert(self.remembered.last_event, record);
        for task in self.waiting_for(&Awaits::Event(event.name().to_owned())) {
            // One that runs finds it when it comes to wait.
            if matches!(self.by_id(task), Some((_, task)) if matches!(task.place, Place::Scheduled(_))) {
                self.take_what_came(task);
                self.make_due(task, now);
            }
        }
        self.news.changed = true;
        Sent::Stored
    }

    pub(super) fn list_events(&self, name: Option<&str>, after: Option<Cursor>, limit: usize) -> Page<EventRecord> {
        let limit = limit.clamp(1, PAGE_ITEMS_MAX);
        let below = after.map_or(i64::MAX, Cursor::key);
        let mut rows =
            self.remembered.events.range(..below).rev().filter(|(_, event)| name.is_none_or(|name| event.name == name));
        let page: Vec<_> = rows.by_ref().take(limit).collect();
        let next = page.last().map(|(seq, _)| Cursor::after(**seq)).filter(|_| rows.next().is_some());
        Page { next, items: page.into_iter().map(|(_, event)| event.clone()).collect() }
    }

    pub(super) fn list_waiters(&self, name: Option<&str>, limit: usize) -> Vec<Waiter> {
        let waits = |id: &TaskId, memory: &Memory| match &memory.kept {
            Kept::Event { name: event, until } if name.is_none_or(|name| name == event) && self.is_live(*id) => {
                Some(Waiter { event: event.clone(), task: *id, until: *until })
            }
            _ => None,
        };
        let all = self.remembered.of.iter().flat_map(|(id, memories)| memories.values().filter_map(|memory| waits(id, memory)));
        let mut all: Vec<_> = all.collect();
        all.sort_unstable_by(|a, b| (&a.event, a.task).cmp(&(&b.event, b.task)));
        all.truncate(limit.clamp(1, PAGE_ITEMS_MAX));
        all
    }

    pub(super) fn resume_task(&mut self, id: TaskId, how: Resume, now: Timestamp) -> Resumed {
        if self.by_id(id).is_none() {
            return Resumed::NotFound;
        }
        let Some(memories) = self.remembered.of.get_mut(&id) else { return Resumed::NotPaused };
        let Some(Kept::Mismatch(mismatch)) = memories.get(&MISMATCH_AT).map(|memory| memory.kept.clone()) else {
            return Resumed::NotPaused;
        };
        match how {
            Resume::Again => _ = memories.remove(&MISMATCH_AT),
            Resume::Forget => memories.retain(|position, _| *position < mismatch.position),
            Resume::Fail => {
                if let Some(Memory { kept: Kept::Mismatch(mismatch), .. }) = memories.get_mut(&MISMATCH_AT) {
                    mismatch.fails = true;
                }
            }
        }
        self.make_due(id, now);
        Resumed::Done
    }
}
