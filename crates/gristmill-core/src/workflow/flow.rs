use std::sync::Arc;

use super::{
    Change, Chore, Counted, Graph, NewWorkflow, Order, Run, StepEnd, StepRow, StepSpec, StepState, Tally, Tolerance, WorkflowEnd,
    advance,
};
use crate::State;

/// One run of a workflow as a store has read it to go on with it: told what happened, it says what has to be written. Every store works on
/// this, so that none decides otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// What people want of it.
    pub run: Run,
    /// How it ended, if it has.
    pub end: Option<WorkflowEnd>,
    /// What its steps wait for.
    pub graph: Arc<Graph>,
    /// Its steps by their numbers.
    pub steps: Vec<FlowStep>,
}

/// A step of it, with all that changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowStep {
    /// What it is.
    pub spec: Arc<StepSpec>,
    /// How it stands.
    pub row: StepRow,
    /// What is still to be done to its members, from this place on.
    pub chore: Option<(Chore, u32)>,
}

impl Flow {
    /// That of a new workflow: its first steps go at once, and their members are written as such and need not be let go. What never goes,
    /// such as a handler of something that is over already, has its members cancelled.
    pub fn begin(new: &NewWorkflow) -> Self {
        let steps = new.steps.iter().map(|step| FlowStep { spec: Arc::new(step.spec.clone()), row: step.row(), chore: None });
        let graph = Arc::new(Graph::of(new.steps.iter().map(|step| &step.spec)));
        let mut flow = Self { run: Run::default(), end: None, graph, steps: steps.collect() };
        flow.go_on();
        for step in &mut flow.steps {
            step.chore = step.chore.filter(|(chore, _)| *chore != Chore::LetGo);
        }
        flow
    }

    /// Somebody wants this of it. What is cancelled is no longer paused, and can't be: its handlers have to run for it to end.
    pub fn order(&mut self, order: Order) {
        match order {
            Order::Cancel => self.run = Run { paused: false, cancelled: true, ..self.run },
            Order::Pause => self.run.paused = !self.run.cancelled,
            Order::Resume => self.run.paused = false,
        }
    }

    /// A member has ended.
    pub fn ended(&mut self, step: u32, state: State) {
        self.count(step, |step| step.row.tally.add(state));
    }

    /// The same, of a store that lets such a member of a workflow that has ended be kept no longer than others itself: of a thousand that were
    /// retried by hand, each would have all members of the step gone through.
    pub fn ended_alone(&mut self, step: u32, state: State) {
        self.steps.get_mut(step as usize).into_iter().for_each(|step| step.row.tally.add(state));
    }

    /// One that had ended in this state was retried, and has not ended any more. How long it is kept is said when it has.
    pub fn reopened(&mut self, step: u32, state: State) {
        self.steps.get_mut(step as usize).into_iter().for_each(|step| step.row.tally.take(state));
    }

    /// Several have, or have not any more.
    pub fn changed(&mut self, step: u32, change: Change) {
        self.count(step, |step| step.row.tally.change(change));
    }

    /// All members of a step were [counted anew](FlowStep::recounted).
    pub fn recounted(&mut self, step: u32, counted: Counted) {
        self.steps.get_mut(step as usize).into_iter().for_each(|step| step.recounted(counted));
    }

    fn count(&mut self, step: u32, count: impl FnOnce(&mut FlowStep)) {
        let has_ended = self.end.is_some();
        if let Some(step) = self.steps.get_mut(step as usize) {
            count(step);
            if has_ended {
                // It is kept as a member is, and nobody will come by and end that.
                step.set(Chore::Unkeep);
            }
        }
    }

    /// So many members of a step need not succeed from now on. Says whether the step still goes by it: one that has ended keeps its end.
    pub fn tolerate(&mut self, step: u32, tolerance: Tolerance) -> bool {
        let open = self.steps.get_mut(step as usize).filter(|step| !matches!(step.row.state, StepState::Ended(_)));
        let Some(open) = open.filter(|_| self.end.is_none()) else { return false };
        open.row.tolerance = tolerance;
        true
    }

    /// Draws the conclusions from whatever was said since the last time. A workflow that has ended stays as it is, and one that is retried
    /// does until all of its members have been dealt with.
    pub fn go_on(&mut self) {
        if self.end.is_some() || self.is_held() {
            return;
        }
        self.run.forgets = false;
        let mut rows: Vec<StepRow> = self.steps.iter().map(|step| step.row).collect();
        let next = advance(self.run, &rows, &self.graph);
        next.apply(&mut rows);
        for (step, row) in self.steps.iter_mut().zip(rows) {
            step.row = row;
        }
        let skipped = next.skipped.iter().map(|(number, _)| (*number, Chore::Cancel));
        let released = next.released.iter().map(|number| (*number, Chore::LetGo));
        for (number, chore) in released.chain(skipped).chain(next.stopped.iter().map(|number| (*number, Chore::Cancel))) {
            if let Some(step) = self.steps.get_mut(number as usize) {
                step.set(chore);
            }
        }
        if next.end.is_some() {
            self.end = next.end;
            self.steps.iter_mut().for_each(|step| step.set(Chore::Unkeep));
        }
    }

    /// A chore was done to the members of a step before this place; to all of them, if it is `None`.
    pub fn did(&mut self, step: u32, before: Option<u32>) {
        let has_ended = self.end.is_some();
        let Some(step) = self.steps.get_mut(step as usize) else { return };
        if matches!((step.chore, before), (Some((Chore::Again, _)), None)) {
            // Whoever had succeeded, and has not been blocked again, is gone.
            let tally = &mut step.row.tally;
            tally.failed += std::mem::take(&mut tally.succeeded);
        }
        step.chore = match (step.chore, before) {
            (Some((chore, _)), Some(place)) => Some((chore, place)),
            (Some((chore, _)), None) => chore.then(has_ended).map(|chore| (chore, 0)),
            (None, _) => None,
        };
    }

    /// Whether new members of a step wait for other steps; `None` if it takes none.
    pub fn takes_members(&self, step: u32) -> Option<bool> {
        let row = self.steps.get(step as usize)?.row;
        match row.state {
            StepState::Waits if !row.tally.closed => Some(true),
            StepState::Goes if !row.tally.closed => Some(false),
            StepState::Waits | StepState::Goes | StepState::Stops | StepState::Ended(_) => None,
        }
    }
}

impl FlowStep {
    /// All of its members were counted anew, as reports or a chore may have been lost. One that is gone altogether ended as was counted
    /// before, and if nobody knows how, it failed.
    pub fn recounted(&mut self, counted: Counted) {
        let before = self.row.tally;
        let Counted { succeeded, failed, cancelled, open, blocked } = counted;
        let found = succeeded.saturating_add(failed).saturating_add(cancelled).saturating_add(open);
        let members = before.members.max(found);
        let mut gone = members - found;
        let mut known = |before: u32, now: u32| {
            let known = before.saturating_sub(now).min(gone);
            gone -= known;
            now + known
        };
        let (succeeded, cancelled) = (known(before.succeeded, succeeded), known(before.cancelled, cancelled));
        self.row.tally = Tally { members, succeeded, cancelled, failed: failed + gone, ..before };
        match self.row.state {
            StepState::Goes if blocked > 0 => self.set(Chore::LetGo),
            StepState::Stops | StepState::Ended(StepEnd::Skipped) if open > 0 => self.set(Chore::Cancel),
            StepState::Waits | StepState::Goes | StepState::Stops | StepState::Ended(_) => {}
        }
    }

    fn set(&mut self, chore: Chore) {
        if self.row.tally.members == 0 {
            return;
        }
        let next = self.chore.map_or(chore, |(before, _)| before.replaced_by(chore));
        // What is under way already goes on, and is not begun again.
        if self.chore.is_none_or(|(before, _)| before != next || next == Chore::Unkeep) {
            self.chore = Some((next, 0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::{Needs, NewStep, Role, StepEnd};
    use crate::{Retention, WorkflowId};

    fn flow(members: &[u32], after: &[(u32, u32)]) -> Flow {
        let step = |(members, number): (&u32, u32)| {
            let after = after.iter().filter(|(_, to)| *to == number).map(|(from, _)| (*from, Needs::Success)).collect();
            let (name, kind) = (number.to_string(), "t".to_owned());
            let spec = StepSpec { name, kind, role: Role::Work, after, group: false, tolerance: Tolerance::NONE };
            FlowStep { spec: Arc::new(spec), row: StepRow::new(Role::Work, *members), chore: None }
        };
        let steps: Vec<FlowStep> = members.iter().zip(0..).map(step).collect();
        let graph = Arc::new(Graph::of(steps.iter().map(|step| &*step.spec)));
        let mut flow = Flow { run: Run::default(), end: None, graph, steps };
        flow.go_on();
        flow
    }

    #[test]
    fn members_are_let_go_and_in_the_end_kept_no_longer() {
        let mut flow = flow(&[2, 1], &[(0, 1)]);
        assert_eq!(flow.steps[0].chore, Some((Chore::LetGo, 0)));
        flow.did(0, Some(1));
        assert_eq!(flow.steps[0].chore, Some((Chore::LetGo, 1)));
        flow.did(0, None);
        flow.ended(0, State::Succeeded);
        flow.ended(0, State::Failed);
        flow.go_on();
        assert_eq!(flow.end, Some(WorkflowEnd { work: StepEnd::Failed, unhandled: false }));
        let chores: Vec<_> = flow.steps.iter().map(|step| step.chore).collect();
        assert_eq!(chores, [Some((Chore::Unkeep, 0)), Some((Chore::Cancel, 0))], "one that never went is cancelled first");
        flow.did(1, None);
        flow.ended(1, State::Cancelled);
        flow.go_on();
        assert_eq!(flow.steps[1].chore, Some((Chore::Unkeep, 0)));
        assert_eq!(flow.end, Some(WorkflowEnd { work: StepEnd::Failed, unhandled: false }), "what has ended stays so");
    }

    #[test]
    fn a_retry_by_hand_after_the_end_changes_counts_alone() {
        let mut flow = flow(&[1], &[]);
        flow.ended(0, State::Failed);
        flow.go_on();
        flow.did(0, None);
        let end = flow.end;
        flow.reopened(0, State::Failed);
        flow.go_on();
        assert_eq!(flow.steps[0].chore, None);
        let mut alone = flow.clone();
        flow.ended(0, State::Succeeded);
        flow.go_on();
        assert_eq!((flow.end, flow.steps[0].row.tally.succeeded, flow.steps[0].row.tally.failed), (end, 1, 0));
        assert_eq!(flow.steps[0].chore, Some((Chore::Unkeep, 0)));
        alone.ended_alone(0, State::Succeeded);
        alone.go_on();
        assert_eq!((alone.steps[0].row, alone.steps[0].chore), (flow.steps[0].row, None));
    }

    #[test]
    fn how_many_may_fail_can_change_until_the_step_has_ended() {
        let mut flow = flow(&[2, 1], &[]);
        flow.ended(0, State::Failed);
        flow.ended(0, State::Failed);
        assert!(flow.tolerate(0, Tolerance::Percent(100)) && !flow.tolerate(7, Tolerance::NONE));
        flow.go_on();
        assert_eq!(flow.steps[0].row.state, StepState::Ended(StepEnd::Succeeded));
        assert!(!flow.tolerate(0, Tolerance::NONE), "it keeps its end");
        flow.ended(1, State::Failed);
        flow.go_on();
        assert!(!flow.tolerate(1, Tolerance::Count(1)));
        assert_eq!(flow.end, Some(WorkflowEnd { work: StepEnd::Failed, unhandled: false }));
    }

    #[test]
    fn sums_count_as_the_ends_do_one_by_one() {
        let mut flow = flow(&[3], &[]);
        flow.changed(0, Change { succeeded: 2, failed: 1, cancelled: 0 });
        flow.changed(0, Change { succeeded: 0, failed: -1, cancelled: -7 });
        assert_eq!((flow.steps[0].row.tally.succeeded, flow.steps[0].row.tally.ended()), (2, 2));
        flow.changed(7, Change::default());
        flow.changed(0, Change { succeeded: 0, failed: 1, cancelled: 0 });
        flow.go_on();
        assert_eq!(flow.end, Some(WorkflowEnd { work: StepEnd::Failed, unhandled: false }));
    }

    #[test]
    fn what_was_lost_is_found_when_members_are_counted_anew() {
        let mut flow = flow(&[4, 2], &[(0, 1)]);
        flow.did(0, None);
        flow.recounted(0, Counted { succeeded: 1, open: 3, blocked: 2, ..Counted::default() });
        assert_eq!((flow.steps[0].row.tally.ended(), flow.steps[0].chore), (1, Some((Chore::LetGo, 0))));
        flow.did(0, None);
        flow.steps[0].row.tally.succeeded = 2;
        flow.recounted(0, Counted { succeeded: 1, cancelled: 1, ..Counted::default() });
        let tally = flow.steps[0].row.tally;
        assert_eq!((tally.succeeded, tally.cancelled, tally.failed), (2, 1, 1), "one that is gone was known, and one was not");
        flow.go_on();
        flow.did(1, None);
        flow.recounted(1, Counted { open: 2, blocked: 2, ..Counted::default() });
        assert_eq!(flow.steps[1].chore, Some((Chore::Cancel, 0)), "it was skipped");
        flow.recounted(9, Counted::default());
    }

    /// A handler for what can't be any more when the workflow begins.
    #[test]
    fn what_nobody_needs_from_the_start_is_cancelled_and_never_goes() {
        let step = |name: &str, role, members| {
            let (name, kind) = (name.to_owned(), "t".to_owned());
            let spec = StepSpec { name, kind, role, after: Vec::new(), group: false, tolerance: Tolerance::NONE };
            NewStep { spec, members, open: false }
        };
        let mut new = NewWorkflow {
            id: WorkflowId::from_uuid(uuid::Uuid::nil()),
            name: "w".to_owned(),
            key: None,
            tags: Vec::new(),
            retention: Retention::default(),
            deadline: None,
            definition: String::new(),
            steps: vec![step("g", Role::Work, 0), step("bad", Role::Handler(Needs::Failure), 1), step("any", Role::Work, 1)],
            members: Vec::new(),
        };
        let flow = Flow::begin(&new);
        assert_eq!(flow.steps.iter().map(|step| step.chore).collect::<Vec<_>>(), [None; 3], "the work goes on");
        new.steps.pop();
        let flow = Flow::begin(&new);
        assert_eq!(flow.end, Some(WorkflowEnd { work: StepEnd::Succeeded, unhandled: false }));
        assert_eq!(flow.steps[1].chore, Some((Chore::Cancel, 0)));
    }

    #[test]
    fn what_is_cancelled_is_not_paused() {
        let mut flow = flow(&[1], &[]);
        flow.order(Order::Pause);
        assert_eq!(flow.run, Run { paused: true, ..Run::default() });
        for order in [Order::Cancel, Order::Pause, Order::Resume] {
            flow.order(order);
            assert_eq!(flow.run, Run { cancelled: true, ..Run::default() }, "{order:?}");
        }
    }

    #[test]
    fn members_come_only_to_what_is_open() {
        let mut flow = flow(&[0, 0], &[(0, 1)]);
        assert_eq!((flow.takes_members(0), flow.takes_members(7)), (None, None));
        let mut open = StepRow::new(Role::Work, 1);
        open.tally.closed = false;
        flow.steps[1].row = open;
        assert_eq!(flow.takes_members(1), Some(true));
        flow.steps[1].row.state = StepState::Goes;
        assert_eq!(flow.takes_members(1), Some(false));
        flow.steps[1].row.state = StepState::Stops;
        assert_eq!(flow.takes_members(1), None);
    }
}
