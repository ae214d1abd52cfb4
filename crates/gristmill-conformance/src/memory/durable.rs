use std::collections::{BTreeMap, BTreeSet, HashMap};

use gristmill_core::durable::{
    Awaits, Checkpoint, EventRecord, Kept, MISMATCH_AT, Memories, Memory, NewEvent, Resume, Resumed, Sent, Waiter,
};
use gristmill_core::limits::PAGE_ITEMS_MAX;
use gristmill_core::workflow::{Order, Started, WorkflowState};
use gristmill_core::{
    Cursor, Ending, EnqueueOutcome, InvalidInput, Page, Settled, Settlement, State, StoreError, TaskId, Timestamp, WorkflowId,
};

use super::tables::{Place, Tables};

/// What tasks remember of their steps, and what has happened that they may wait for.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    of: HashMap<TaskId, OfTask>,
    events: BTreeMap<i64, EventRecord>,
    last_event: i64,
    /// Workflows that tasks had started of which nothing is remembered any more, and that nobody wants.
    left: Vec<WorkflowId>,
}

/// What one task remembers.
#[derive(Debug, Default)]
struct OfTask {
    memories: BTreeMap<u32, Memory>,
    /// Where it waits for what is remembered there.
    awaits: BTreeSet<u32>,
    /// The claim that ended as it began to wait: one that is put off after a later one has failed, and is not to be woken.
    suspended: u32,
}

impl OfTask {
    /// Keeps this in the stead of what was there, unless that is the value that it only waits for; whether it is.
    fn keep(&mut self, memory: Memory) -> bool {
        let position = memory.position;
        let is_late = matches!(memory.kept, Kept::Event { .. })
            && self.same(&memory).is_some_and(|there| matches!(there.kept, Kept::Value(_)));
        if memory.kept.awaits().is_some() && !is_late {
            self.awaits.insert(position);
        } else {
            self.awaits.remove(&position);
        }
        if !is_late {
            self.memories.insert(position, memory);
        }
        is_late
    }

    /// What is there of the same step.
    fn same(&self, memory: &Memory) -> Option<&Memory> {
        let there = self.memories.get(&memory.position);
        there.filter(|there| there.name == memory.name && there.occurrence == memory.occurrence)
    }

    /// Whether this was kept before, by a repetition of who does not know it.
    fn has(&self, memory: &Memory) -> bool {
        self.same(memory).is_some_and(|there| there.kept.to_row().code == memory.kept.to_row().code)
    }

    fn awaited(&self) -> impl Iterator<Item = (&Memory, Awaits)> {
        let there = self.awaits.iter().filter_map(|position| self.memories.get(position));
        there.filter_map(|memory| Some((memory, memory.kept.awaits()?)))
    }

    fn forget(&mut self, is_forgotten: impl Fn(&Memory) -> bool) -> Vec<Memory> {
        let forgotten: Vec<_> = self.memories.values().filter(|memory| is_forgotten(memory)).cloned().collect();
        for Memory { position, .. } in &forgotten {
            self.memories.remove(position);
            self.awaits.remove(position);
        }
        forgotten
    }
}

/// The workflow that was started there.
fn child(memory: &Memory) -> Option<WorkflowId> {
    match memory.kept.awaits()? {
        Awaits::Workflow(id) => Some(id),
        Awaits::Event(_) => None,
    }
}

impl Tables {
    pub(super) fn memories(&self, id: TaskId, now: Timestamp) -> Memories {
        let all = self.remembered.of.get(&id).into_iter().flat_map(|of| of.memories.values());
        Memories { now, kept: all.map(|memory| self.with_what_came(memory, now)).collect() }
    }

    /// The value of an event that was sent in time, even if the task has not been told of it.
    fn with_what_came(&self, memory: &Memory, now: Timestamp) -> Memory {
        let mut memory = memory.clone();
        if let Kept::Event { name, until } = &memory.kept
            && let Some(event) = self.event(name, now)
            // One that seems to be sent later than now was so by a clock that was ahead.
            && until.is_none_or(|until| event.sent_at.min(now) <= until)
        {
            memory.kept = Kept::Value(event.payload.clone());
        }
        memory
    }

    fn event(&self, name: &str, now: Timestamp) -> Option<&EventRecord> {
        self.remembered.events.values().find(|event| event.name == name && event.keep_until > now)
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
        let is_repeated = |of: &OfTask| checkpoint.memories.iter().all(|memory| of.has(memory));
        let is_repeated = checkpoint.suspend.is_none()
            && !checkpoint.memories.is_empty()
            && self.remembered.of.get(&id).is_some_and(is_repeated);
        // What came with it may have run since, and be gone.
        if !is_repeated {
            self.keep_with(&checkpoint, now)?;
        }
        let claim_no = self.by_id(id).map_or(0, |(_, task)| task.claim_no);
        let of = self.remembered.of.entry(id).or_default();
        if checkpoint.suspend.is_some() {
            of.awaits.clear();
            of.suspended = claim_no;
        }
        let mut has_come = false;
        for memory in checkpoint.memories {
            has_come |= of.keep(memory);
        }
        let Some(due) = checkpoint.suspend else { return Ok(Settled::Done(State::Running)) };
        let settlement =
            Settlement { logs: checkpoint.logs, ..Settlement::new(checkpoint.lease, Ending::Snooze { delay: due.delay(now) }) };
        let noted = settlement.logs.is_some();
        let settled = self.suspend(seq, settlement, noted, now);
        self.update(seq, |task| task.expires_at = None);
        if self.take_what_came(id, now) || has_come {
            self.wake(id, now);
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
    fn take_what_came(&mut self, id: TaskId, now: Timestamp) -> bool {
        let Some(of) = self.remembered.of.get(&id) else { return false };
        let (mut came, mut told) = (false, Vec::new());
        for (memory, awaits) in of.awaited() {
            match awaits {
                // One that came too late is not what was awaited, and nothing is awaited any more.
                Awaits::Event(name) if self.event(&name, now).is_some() => told.push(self.with_what_came(memory, now)),
                Awaits::Event(_) => {}
                Awaits::Workflow(workflow) => came |= !self.goes_on(workflow),
            }
        }
        came |= !told.is_empty();
        let of = self.remembered.of.entry(id).or_default();
        for memory in told {
            of.awaits.remove(&memory.position);
            of.memories.insert(memory.position, memory);
        }
        came
    }

    /// Whether a task stands still until something comes. What an attempt that failed put off does not.
    fn stands_still(&self, id: TaskId) -> bool {
        let suspended = self.remembered.of.get(&id).map(|of| of.suspended);
        self.by_id(id).is_some_and(|(_, task)| matches!(task.place, Place::Scheduled(_)) && suspended == Some(task.claim_no))
    }

    /// Those that do as their code has changed.
    pub(super) fn stand_still(&self) -> Vec<TaskId> {
        let parted = |(id, of): (&TaskId, &OfTask)| of.memories.contains_key(&MISMATCH_AT).then_some(*id);
        let mut tasks: Vec<_> = self.remembered.of.iter().filter_map(parted).filter(|id| self.stands_still(*id)).collect();
        tasks.sort_unstable();
        tasks
    }

    /// Lets a task that waits run now.
    fn wake(&mut self, id: TaskId, now: Timestamp) {
        if self.stands_still(id) {
            self.release(id, now);
        }
    }

    fn waiting_for(&self, awaits: &Awaits) -> Vec<TaskId> {
        let waits = |of: &OfTask| of.awaited().any(|(_, awaited)| awaited == *awaits);
        let mut all: Vec<_> = self.remembered.of.iter().filter(|(_, of)| waits(of)).map(|(id, _)| *id).collect();
        all.sort_unstable();
        all
    }

    /// A workflow has ended: who started it and waits for it goes on.
    pub(super) fn tell_of_end(&mut self, id: WorkflowId, now: Timestamp) {
        for task in self.waiting_for(&Awaits::Workflow(id)) {
            self.wake(task, now);
        }
    }

    /// Cancels what was started by tasks that have ended before it, and forgets what tasks that are gone remembered, and events whose time is over.
    pub(super) fn sweep_memories(&mut self, now: Timestamp) {
        let mut left = std::mem::take(&mut self.remembered.left);
        for (id, of) in &self.remembered.of {
            let ended = self.by_id(*id).is_some_and(|(_, task)| task.state().is_final() && task.state() != State::Succeeded);
            if ended {
                left.extend(of.memories.values().filter_map(child));
            }
        }
        for workflow in left {
            self.order_workflow(workflow, Order::Cancel, now);
        }
        let by_id = &self.by_id;
        self.remembered.of.retain(|id, _| by_id.contains_key(id));
        self.remembered.events.retain(|_, event| event.keep_until > now);
    }

    /// What it tried and failed at is tried again when it is retried; all of it, if it had succeeded, or its history is not wanted any more. A
    /// failure that led to something that was done stays: that would be done again, or found where it does not belong.
    pub(super) fn forget_for_retry(&mut self, id: TaskId, from: State, forgets: bool) {
        if forgets {
            return self.leave_children(id);
        }
        let Some(mut of) = self.remembered.of.remove(&id) else { return };
        let last =
            of.memories.values().filter(|memory| matches!(memory.kept, Kept::Value(_))).map(|memory| memory.position).max();
        of.forget(|memory| match &memory.kept {
            _ if from == State::Succeeded => true,
            Kept::Workflow(workflow) | Kept::Replaced { by: workflow, .. } => !self.is_wanted_again(*workflow),
            kept => kept.is_of_a_failure() && last.is_none_or(|last| last < memory.position),
        });
        self.remembered.of.insert(id, of);
    }

    /// Forgets all that a task remembers; what it had started nobody wants any more.
    pub(super) fn leave_children(&mut self, id: TaskId) {
        if let Some(of) = self.remembered.of.remove(&id) {
            self.remembered.left.extend(of.memories.values().filter_map(child));
        }
    }

    /// Whether a workflow goes on and may succeed yet.
    fn is_wanted_again(&self, id: WorkflowId) -> bool {
        self.workflow(id).is_some_and(|workflow| !workflow.state.is_final() && workflow.state != WorkflowState::Cancelling)
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
            // One that runs just now is told as well: it may come to wait when the event is no longer kept.
            self.take_what_came(task, now);
            if self.stands_still(task) {
                self.wake(task, now);
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
        let all = self.remembered.of.iter().flat_map(|(id, of)| of.awaited().filter_map(|(memory, _)| waits(id, memory)));
        let mut all: Vec<_> = all.collect();
        all.sort_unstable_by(|a, b| (&a.event, a.task).cmp(&(&b.event, b.task)));
        all.truncate(limit.clamp(1, PAGE_ITEMS_MAX));
        all
    }

    pub(super) fn resume_task(&mut self, id: TaskId, how: Resume, now: Timestamp) -> Resumed {
        if self.by_id(id).is_none() {
            return Resumed::NotFound;
        }
        let stands_still = self.stands_still(id);
        let Some(of) = self.remembered.of.get_mut(&id).filter(|_| stands_still) else { return Resumed::NotPaused };
        let Some(Kept::Mismatch(mismatch)) = of.memories.get(&MISMATCH_AT).map(|memory| memory.kept.clone()) else {
            return Resumed::NotPaused;
        };
        let mut left = Vec::new();
        match how {
            Resume::Again => _ = of.memories.remove(&MISMATCH_AT),
            Resume::Forget => left = of.forget(|memory| memory.position >= mismatch.position),
            Resume::Fail => {
                if let Some(Memory { kept: Kept::Mismatch(mismatch), .. }) = of.memories.get_mut(&MISMATCH_AT) {
                    mismatch.fails = true;
                }
            }
        }
        for workflow in left.iter().filter_map(child) {
            self.order_workflow(workflow, Order::Cancel, now);
        }
        self.wake(id, now);
        Resumed::Done
    }
}
