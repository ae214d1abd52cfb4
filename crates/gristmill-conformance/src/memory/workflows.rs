use std::collections::{BTreeMap, HashMap, HashSet};

use gristmill_core::limits::{self, PAGE_ITEMS_MAX, RESULTS_BYTES_MAX};
use gristmill_core::workflow::{
    Chore, Extended, Extension, Flow, KEPT_MIN, Member, NewWorkflow, Order, Ordered, Rerun, Retried, Started, StepRecord,
    StepState, StepWord, Tolerance, Tolerated, WorkflowFilter, WorkflowRecord, WorkflowState,
};
use gristmill_core::{
    CancelOutcome, Cursor, NewTask, Page, Retention, RetryOutcome, State, StoreError, Timestamp, WorkflowId, kept_after,
};

use super::tables::{Place, Tables};

/// The workflows, and what they have yet to be told.
#[derive(Debug, Default)]
pub(super) struct Workflows {
    last_seq: i64,
    kept: BTreeMap<WorkflowId, Kept>,
    /// The members of each step by their places, as keys of tasks.
    members: HashMap<(WorkflowId, u32), BTreeMap<u32, i64>>,
    reports: Vec<Report>,
}

#[derive(Debug)]
struct Kept {
    seq: i64,
    /// As it was started, without its members.
    new: NewWorkflow,
    flow: Flow,
    /// How often it was begun.
    attempt: u32,
    created_at: Timestamp,
    deadline: Option<Timestamp>,
    /// It was cancelled for its deadline.
    overdue: bool,
    finished_at: Option<Timestamp>,
}

/// What became of a member.
#[derive(Clone, Copy, Debug)]
pub(super) struct Report {
    pub(super) workflow: WorkflowId,
    pub(super) step: u32,
    /// The state in which it ended, or had ended before it was retried.
    pub(super) state: State,
    pub(super) back: bool,
}

impl Workflows {
    pub(super) fn report(&mut self, report: Report) {
        self.reports.push(report);
    }

    /// Of those that have to end by some time.
    fn deadlines(&self) -> impl Iterator<Item = (Timestamp, WorkflowId)> {
        let open = self.kept.values().filter(|kept| kept.flow.end.is_none() && !kept.flow.run.cancelled);
        open.filter_map(|kept| Some((kept.deadline?, kept.new.id)))
    }
}

impl Tables {
    pub(super) fn start_workflow(&mut self, mut new: NewWorkflow, now: Timestamp) -> Result<Started, StoreError> {
        new.check()?;
        if self.workflows.kept.contains_key(&new.id) {
            return Ok(Started::Exists(new.id));
        }
        let holds = |kept: &&Kept| new.key.is_some() && kept.new.key == new.key && kept.flow.end.is_none();
        if let Some(holder) = self.workflows.kept.values().find(holds) {
            return Ok(Started::Exists(holder.new.id));
        }
        if !self.are_new(&new.members) {
            return Ok(Started::Conflict);
        }
        let flow = Flow::begin(&new);
        new.place_members(&flow);
        for member in std::mem::take(&mut new.members) {
            self.add_member(member, now);
        }
        self.workflows.last_seq += 1;
        let (seq, finished_at) = (self.workflows.last_seq, flow.end.map(|_| now));
        let (id, deadline) = (new.id, new.deadline.map(|deadline| now.saturating_add(deadline)));
        self.workflows
            .kept
            .insert(id, Kept { seq, new, flow, attempt: 1, created_at: now, deadline, overdue: false, finished_at });
        self.go_on_with(id, now);
        self.news.changed = true;
        Ok(Started::Created)
    }

    pub(super) fn extend_workflow(&mut self, extension: Extension, now: Timestamp) -> Result<Extended, StoreError> {
        limits::check_batch(extension.members.len())?;
        let Extension { workflow, step, from, mut members, close } = extension;
        let Some(kept) = self.workflows.kept.get(&workflow) else { return Ok(Extended::NotFound) };
        let Some(here) = kept.flow.steps.get(step as usize) else { return Ok(Extended::NotFound) };
        let count = here.row.tally.members;
        let Some(done) = count.checked_sub(from) else { return Ok(Extended::Gap(count)) };
        members.drain(..members.len().min(done as usize));
        let Some(blocked) = kept.flow.takes_members(step) else {
            // What is repeated is done already.
            return Ok(if members.is_empty() && here.row.state != StepState::Stops {
                Extended::Added(count)
            } else {
                Extended::Closed
            });
        };
        if !self.are_new(&members) {
            return Ok(Extended::Conflict);
        }
        let count = count + members.len() as u32;
        for mut member in members {
            member.hold.blocked = blocked;
            self.add_member(member, now);
        }
        if let Some(here) = self.flow(workflow).and_then(|flow| flow.steps.get_mut(step as usize)) {
            here.row.tally.members = count;
            here.row.tally.closed |= close;
        }
        self.go_on_with(workflow, now);
        Ok(Extended::Added(count))
    }

    /// Whether none of these is another task's id, nor there twice.
    fn are_new(&self, members: &[NewTask]) -> bool {
        let mut seen = HashSet::new();
        members.iter().all(|member| seen.insert(member.id) && !self.by_id.contains_key(&member.id))
    }

    fn add_member(&mut self, member: NewTask, now: Timestamp) {
        let of = member.membership().cloned();
        let id = member.id;
        self.enqueue(member, now);
        if let (Some(of), Some(seq)) = (of, self.by_id.get(&id)) {
            self.workflows.members.entry((of.workflow, of.number)).or_default().insert(of.place, *seq);
        }
    }

    pub(super) fn order_workflow(&mut self, id: WorkflowId, order: Order, now: Timestamp) -> Ordered {
        let Some(flow) = self.flow(id) else { return Ordered::NotFound };
        if flow.end.is_some() {
            return Ordered::AlreadyEnded;
        }
        flow.order(order);
        self.go_on_with(id, now);
        self.news.changed = true;
        self.workflows.kept.get(&id).map_or(Ordered::NotFound, |kept| Ordered::Done(kept.state()))
    }

    pub(super) fn retry_workflow(&mut self, id: WorkflowId, rerun: Rerun, now: Timestamp) -> Retried {
        let Some(kept) = self.workflows.kept.get(&id) else { return Retried::NotFound };
        let key = kept.new.key.clone();
        let is_kept = |seq: &&i64| match self.tasks.get(*seq).map(|task| &task.place) {
            Some(Place::Ended(end)) => end.keep_until.is_none_or(|until| until > now.saturating_add(KEPT_MIN)),
            _ => false,
        };
        let members = |step| self.workflows.members.get(&(id, step)).into_iter().flat_map(BTreeMap::values);
        let counts: Vec<u32> =
            (0..kept.flow.steps.len() as u32).map(|step| members(step).filter(is_kept).count() as u32).collect();
        let mut others = self.workflows.kept.values().filter(|other| other.new.id != id && other.flow.end.is_none());
        let holder = others.find(|other| key.is_some() && other.new.key == key).map(|other| other.new.id);
        let Some(kept) = self.workflows.kept.get_mut(&id) else { return Retried::NotFound };
        let mut flow = kept.flow.clone();
        if let Err(refused) = flow.retry(rerun, &counts) {
            return refused;
        }
        if let Some(holder) = holder {
            return Retried::KeyHeld(holder);
        }
        kept.attempt += 1;
        let attempt = kept.attempt;
        (kept.flow, kept.overdue, kept.finished_at) = (flow, false, None);
        kept.deadline = kept.new.deadline.map(|deadline| now.saturating_add(deadline));
        self.go_on_with(id, now);
        self.news.changed = true;
        Retried::Done(attempt)
    }

    pub(super) fn tolerate(&mut self, id: WorkflowId, step: &str, tolerance: Tolerance, now: Timestamp) -> Tolerated {
        let Some(flow) = self.flow(id) else { return Tolerated::NotFound };
        let Some(number) = flow.steps.iter().position(|of| of.spec.name == step) else { return Tolerated::NoSuchStep };
        if !flow.tolerate(number as u32, tolerance) {
            return Tolerated::AlreadyEnded;
        }
        self.go_on_with(id, now);
        self.news.changed = true;
        let state = self.flow(id).and_then(|flow| flow.steps.get(number)).map(|step| step.row.state);
        state.map_or(Tolerated::NotFound, |state| Tolerated::Done(StepWord::of(state)))
    }

    /// Cancels what has not ended by its deadline.
    pub(super) fn cancel_overdue(&mut self, now: Timestamp) {
        let over: Vec<WorkflowId> = self.workflows.deadlines().filter(|(at, _)| *at <= now).map(|(_, id)| id).collect();
        for id in over {
            if let Some(kept) = self.workflows.kept.get_mut(&id) {
                kept.overdue = true;
            }
            self.order_workflow(id, Order::Cancel, now);
        }
    }

    /// When the next of them has to end.
    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.workflows.deadlines().map(|(at, _)| at).min()
    }

    /// Tells workflows of what became of their members, and does what follows, until nothing more does.
    pub(super) fn advance_workflows(&mut self, now: Timestamp) {
        while !self.workflows.reports.is_empty() {
            for id in self.tell() {
                self.go_on_with(id, now);
            }
        }
    }

    /// Tells workflows of what became of their members. Which these are.
    fn tell(&mut self) -> HashSet<WorkflowId> {
        let mut told = HashSet::new();
        for report in std::mem::take(&mut self.workflows.reports) {
            let Some(flow) = self.flow(report.workflow) else { continue };
            if report.back {
                flow.reopened(report.step, report.state);
            } else {
                flow.ended(report.step, report.state);
            }
            told.insert(report.workflow);
        }
        told
    }

    fn go_on_with(&mut self, id: WorkflowId, now: Timestamp) {
        loop {
            let Some(flow) = self.flow(id) else { return };
            flow.go_on();
            let chores: Vec<_> = (0..).zip(&flow.steps).filter_map(|(number, step)| Some((number, step.chore?.0))).collect();
            if chores.is_empty() {
                break;
            }
            for (step, chore) in chores {
                self.do_chore(id, step, chore, now);
                if chore.is_of_retry() {
                    // Whoever is blocked again has not ended any more, before anything follows.
                    self.tell();
                }
                self.flow(id).into_iter().for_each(|flow| flow.did(step, None));
            }
        }
        if let Some(kept) = self.workflows.kept.get_mut(&id)
            && kept.finished_at.is_none()
            && kept.flow.end.is_some()
        {
            kept.finished_at = Some(now);
            self.tell_of_end(id, now);
        }
    }

    /// To all members at once: nobody waits for a store in memory.
    fn do_chore(&mut self, id: WorkflowId, step: u32, chore: Chore, now: Timestamp) {
        let members: Vec<i64> = self.workflows.members.get(&(id, step)).into_iter().flat_map(BTreeMap::values).copied().collect();
        let forgets = self.flow(id).is_some_and(|flow| flow.run.forgets);
        for seq in members {
            let Some(task) = self.tasks.get(&seq) else { continue };
            let (task_id, retention, state) = (task.new.id, task.new.retention, task.state());
            match chore {
                Chore::LetGo => _ = self.unblock(task_id, now),
                Chore::Cancel => {
                    let _: CancelOutcome = self.cancel(task_id, now);
                }
                Chore::Unkeep => self.update(seq, |task| {
                    if let Place::Ended(end) = &mut task.place {
                        end.keep_until = Some(kept_after(end.state, retention, end.at)).filter(|at| *at != Timestamp::MAX);
                    }
                }),
                Chore::Again | Chore::Mend if state.is_final() && (chore == Chore::Again || state != State::Succeeded) => {
                    let _: RetryOutcome = self.retry(task_id, forgets);
                }
                Chore::Again | Chore::Mend | Chore::Keep => self.update(seq, |task| {
                    if let Place::Ended(end) = &mut task.place {
                        end.keep_until = None;
                    }
                }),
            }
        }
    }

    fn flow(&mut self, id: WorkflowId) -> Option<&mut Flow> {
        self.workflows.kept.get_mut(&id).map(|kept| &mut kept.flow)
    }

    /// Whether one is there that has not ended.
    pub(super) fn goes_on(&self, id: WorkflowId) -> bool {
        self.workflows.kept.get(&id).is_some_and(|kept| kept.flow.end.is_none())
    }

    /// Whether a member still waits for other steps, if it is retried.
    pub(super) fn is_member_blocked(&self, task: &NewTask) -> bool {
        let step = task.membership().and_then(|of| {
            let kept = self.workflows.kept.get(&of.workflow)?;
            kept.flow.steps.get(of.number as usize)
        });
        step.is_some_and(|step| step.row.state == StepState::Waits)
    }

    /// Whether the workflow of a task goes on, and may want its result.
    pub(super) fn is_wanted(&self, task: &NewTask) -> bool {
        let kept = task.membership().and_then(|of| self.workflows.kept.get(&of.workflow));
        kept.is_some_and(|kept| kept.flow.end.is_none())
    }

    pub(super) fn workflow(&self, id: WorkflowId) -> Option<WorkflowRecord> {
        let kept = self.workflows.kept.get(&id)?;
        let steps = kept.flow.steps.iter().map(|step| StepRecord { spec: (*step.spec).clone(), row: step.row });
        Some(WorkflowRecord { steps: steps.collect(), definition: kept.new.definition.clone(), ..kept.record() })
    }

    pub(super) fn list_workflows(&self, filter: &WorkflowFilter, after: Option<Cursor>, limit: usize) -> Page<WorkflowRecord> {
        let limit = limit.clamp(1, PAGE_ITEMS_MAX);
        let before = after.map_or(i64::MAX, Cursor::key);
        let mut all: Vec<&Kept> = self.workflows.kept.values().filter(|kept| kept.seq < before && kept.fits(filter)).collect();
        all.sort_unstable_by_key(|kept| std::cmp::Reverse(kept.seq));
        let next = all.get(limit.wrapping_sub(1)).filter(|_| all.len() > limit).map(|kept| Cursor::after(kept.seq));
        Page { items: all.into_iter().take(limit).map(Kept::record).collect(), next }
    }

    pub(super) fn members(&self, id: WorkflowId, step: &str, after: Option<u32>, limit: usize) -> Vec<Member> {
        let kept = self.workflows.kept.get(&id);
        let number = kept.and_then(|kept| kept.flow.steps.iter().position(|of| of.spec.name == step));
        let Some(number) = number.and_then(|number| u32::try_from(number).ok()) else { return Vec::new() };
        let from = after.map_or(0, |place| place.saturating_add(1));
        let places = self.workflows.members.get(&(id, number)).into_iter().flat_map(|members| members.range(from..));
        let mut bytes = 0;
        let mut page = Vec::new();
        for (place, seq) in places.take(limit.clamp(1, PAGE_ITEMS_MAX)) {
            let Some(task) = self.tasks.get(seq) else { continue };
            let result = match &task.place {
                Place::Ended(end) => end.result.clone(),
                _ => None,
            };
            bytes += result.as_ref().map_or(0, String::len);
            if bytes > RESULTS_BYTES_MAX && !page.is_empty() {
                break;
            }
            let error = task.history.last().filter(|_| task.state() != State::Succeeded).and_then(|last| last.error.clone());
            page.push(Member { place: *place, task: task.new.id, state: task.state(), attempt: task.attempt, result, error });
        }
        page
    }

    /// Forgets workflows whose time is over.
    pub(super) fn prune_workflows(&mut self, now: Timestamp) {
        let is_over = |kept: &Kept| {
            let kept_for = match kept.new.retention {
                Retention::For(period) => period,
                Retention::None => std::time::Duration::ZERO,
                Retention::Forever => return false,
            };
            kept.finished_at.is_some_and(|at| at.saturating_add(kept_for) <= now)
        };
        let over: Vec<WorkflowId> = self.workflows.kept.values().filter(|kept| is_over(kept)).map(|kept| kept.new.id).collect();
        for id in over {
            self.workflows.kept.remove(&id);
            self.workflows.members.retain(|(workflow, _), _| *workflow != id);
        }
    }
}

impl Kept {
    fn state(&self) -> WorkflowState {
        WorkflowState::of(self.flow.run, self.flow.end)
    }

    fn fits(&self, filter: &WorkflowFilter) -> bool {
        (filter.states.is_empty() || filter.states.contains(&self.state()))
            && filter.name.as_ref().is_none_or(|name| *name == self.new.name)
            && filter.key.as_ref().is_none_or(|key| self.new.key.as_ref() == Some(key))
    }

    fn record(&self) -> WorkflowRecord {
        WorkflowRecord {
            id: self.new.id,
            name: self.new.name.clone(),
            key: self.new.key.clone(),
            tags: self.new.tags.clone(),
            state: self.state(),
            unhandled: self.flow.end.is_some_and(|end| end.unhandled),
            attempt: self.attempt,
            created_at: self.created_at,
            deadline: self.deadline,
            overdue: self.overdue,
            finished_at: self.finished_at,
            definition: String::new(),
            steps: Vec::new(),
        }
    }
}
