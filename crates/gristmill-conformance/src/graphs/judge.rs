use std::collections::HashMap;
use std::fmt::Write as _;

use gristmill_core::workflow::{Needs, NewStep, Retry, Role, StepWord, Tolerance, WorkflowRecord, WorkflowState};
use gristmill_core::{State, TaskId};

/// What must be true of one run, by what was seen of its members from outside. It knows the graph and the states of tasks, and
/// decides everything anew and in another way than a store.
pub(super) struct Judge {
    steps: Vec<Step>,
    paused: bool,
    cancelled: bool,
}

struct Step {
    new: NewStep,
    members: Vec<Member>,
    closed: bool,
    /// All that it waits for came out as it needs, while nobody had paused it.
    gone: bool,
    /// How it ended, once it has; that never changes but by a retry of the whole.
    end: Option<StepWord>,
}

struct Member {
    id: TaskId,
    state: State,
    /// Somebody has retried it by hand.
    by_hand: bool,
}

impl Judge {
    pub(super) fn new(steps: &[NewStep]) -> Self {
        let step = |new: &NewStep| Step { new: new.clone(), members: Vec::new(), closed: !new.open, gone: false, end: None };
        Self { steps: steps.iter().map(step).collect(), paused: false, cancelled: false }
    }

    pub(super) fn add(&mut self, step: usize, id: TaskId) {
        self.steps[step].members.push(Member { id, state: State::Blocked, by_hand: false });
    }

    pub(super) fn close(&mut self, step: usize) {
        self.steps[step].closed = true;
    }

    pub(super) fn paused(&mut self, paused: bool) {
        // What is cancelled can't be held.
        self.paused = paused && !self.cancelled;
    }

    pub(super) fn cancelled(&mut self) {
        (self.paused, self.cancelled) = (false, true);
    }

    pub(super) fn retried(&mut self, id: TaskId) {
        self.member(id).by_hand = true;
    }

    /// All of it was begun anew, or what failed; says whether there was anything to begin.
    pub(super) fn began_anew(&mut self, retry: Retry) -> bool {
        if retry != Retry::All && self.work() == Some(StepWord::Succeeded) {
            return false;
        }
        let mut anew = vec![false; self.steps.len()];
        // As often as there are steps: what follows is found from what it follows.
        for _ in 0..=self.steps.len() {
            for number in 0..self.steps.len() {
                let step = &self.steps[number];
                let undone = |other: &Step| matches!(other.new.spec.role, Role::Undo(of) if of as usize == number) && other.gone;
                let follows = step.new.spec.after.iter().any(|(from, _)| anew[*from as usize]);
                anew[number] |= retry == Retry::All
                    || step.new.spec.role != Role::Work
                    || match step.end {
                        Some(StepWord::Succeeded) => self.steps.iter().any(undone) || follows && retry == Retry::FailedAndAfter,
                        Some(StepWord::Skipped) => follows || self.may_work(number) == Some(true),
                        _ => true,
                    };
            }
        }
        for (step, anew) in self.steps.iter_mut().zip(anew) {
            step.closed = true;
            if anew {
                (step.gone, step.end) = (false, None);
                step.members.iter_mut().for_each(|member| member.by_hand = false);
            }
        }
        (self.paused, self.cancelled) = (false, false);
        true
    }

    pub(super) fn members(&self) -> Vec<TaskId> {
        self.steps.iter().flat_map(|step| &step.members).map(|member| member.id).collect()
    }

    pub(super) fn members_of(&self, step: usize) -> u32 {
        self.steps[step].members.len() as u32
    }

    pub(super) fn takes_members(&self, step: usize) -> bool {
        let step = &self.steps[step];
        !step.closed && step.end.is_none()
    }

    fn member(&mut self, id: TaskId) -> &mut Member {
        let mut members = self.steps.iter_mut().flat_map(|step| &mut step.members);
        members.find(|member| member.id == id).expect("a member")
    }

    /// A worker has taken it: nothing may have spoken against that.
    pub(super) fn claimed(&mut self, id: TaskId) -> Result<(), String> {
        let step = self.steps.iter().find(|step| step.members.iter().any(|member| member.id == id)).expect("a member");
        let by_hand = step.members.iter().any(|member| member.id == id && member.by_hand);
        if !by_hand && step.members.iter().any(|member| member.id == id && member.state.is_final()) {
            return Err(format!("a member of {} was claimed that has ended", step.new.spec.name));
        }
        if step.gone || by_hand && step.end.is_some() {
            return Ok(());
        }
        Err(format!("a member of {} was claimed, which must not go yet", step.new.spec.name))
    }

    /// How the members stand now, in the order of [`members`](Self::members). What has followed from it is thought over.
    pub(super) fn saw(&mut self, states: &[Option<State>]) -> Result<(), String> {
        let mut states = states.iter();
        for step in &mut self.steps {
            for member in &mut step.members {
                let state = states.next().copied().flatten();
                member.state = state.ok_or_else(|| format!("a member of {} is gone", step.new.spec.name))?;
            }
        }
        // As often as there are steps: each time at least one gets further, or none does any more.
        for _ in 0..=self.steps.len() {
            self.think();
        }
        Ok(())
    }

    fn think(&mut self) {
        for number in 0..self.steps.len() {
            let verdict = match self.steps[number].new.spec.role {
                Role::Work => self.may_work(number),
                Role::Handler(needs) => self.work().map(|work| is_met(needs, work)),
                Role::Undo(done) => self.may_undo(number, done as usize),
            };
            let (paused, stopped) = (self.paused, self.cancelled && self.steps[number].new.spec.role == Role::Work);
            let step = &mut self.steps[number];
            if step.end.is_some() {
                continue;
            }
            if !step.gone {
                match verdict {
                    _ if stopped => step.end = Some(StepWord::Skipped),
                    Some(false) => step.end = Some(StepWord::Skipped),
                    Some(true) if !paused => step.gone = true,
                    _ => {}
                }
            }
            if step.gone {
                step.closed |= stopped;
                step.end = step.come_out();
            }
        }
    }

    /// Whether a step of the work may go; `None` if that is not known yet.
    fn may_work(&self, number: usize) -> Option<bool> {
        let after = &self.steps[number].new.spec.after;
        let met: Vec<_> = after.iter().map(|(from, needs)| Some(is_met(*needs, self.steps[*from as usize].end?))).collect();
        if met.contains(&Some(false)) {
            return Some(false);
        }
        (!met.contains(&None)).then_some(true)
    }

    /// What the work came to.
    fn work(&self) -> Option<StepWord> {
        let mut came_to = StepWord::Succeeded;
        for number in 0..self.steps.len() {
            let step = &self.steps[number];
            if step.new.spec.role != Role::Work {
                continue;
            }
            came_to = match (step.end?, came_to) {
                (StepWord::Failed, _) | (_, StepWord::Failed) => StepWord::Failed,
                (StepWord::Cancelled, _) => StepWord::Cancelled,
                (StepWord::Skipped, _) if self.may_work(number) == Some(true) => StepWord::Cancelled,
                (_, before) => before,
            };
        }
        Some(came_to)
    }

    fn may_undo(&self, number: usize, done: usize) -> Option<bool> {
        let work = self.work()?;
        if work == StepWord::Succeeded || self.steps[done].end != Some(StepWord::Succeeded) {
            // In its turn.
            return self.turn_has_come(number).then_some(false);
        }
        self.turn_has_come(number).then_some(true)
    }

    /// Whether all that is undone before it has been.
    fn turn_has_come(&self, number: usize) -> bool {
        let mut later = self.steps.iter().skip(number + 1).filter(|step| matches!(step.new.spec.role, Role::Undo(_)));
        later.all(|step| step.end.is_some())
    }

    /// Whether there is nothing left of it.
    pub(super) fn is_over(&self) -> bool {
        self.steps.iter().all(|step| step.end.is_some())
    }

    /// What is told of it must be what was seen.
    pub(super) fn compare(&self, record: &WorkflowRecord) -> Result<(), String> {
        let mut wrong = String::new();
        for (step, told) in self.steps.iter().zip(&record.steps) {
            let name = &step.new.spec.name;
            let seen = step.end.unwrap_or(if step.gone { StepWord::Running } else { StepWord::Waiting });
            if told.state() != seen {
                _ = writeln!(wrong, "{name} is {:?}, and should be {seen:?}", told.state());
            }
            let tally = told.row.tally;
            let counted = (tally.members, tally.succeeded, tally.failed, tally.cancelled);
            if counted != step.count() {
                _ = writeln!(
                    wrong,
                    "{name} has {counted:?} members, succeeded, failed, cancelled, and should have {:?}",
                    step.count()
                );
            }
        }
        let expected = match self.work() {
            Some(work) if self.is_over() => match work {
                StepWord::Succeeded => WorkflowState::Succeeded,
                StepWord::Failed => WorkflowState::Failed,
                _ => WorkflowState::Cancelled,
            },
            _ if self.cancelled => WorkflowState::Cancelling,
            _ if self.paused => WorkflowState::Paused,
            _ => WorkflowState::Running,
        };
        let unhandled = self.is_over() && self.steps.iter().any(Step::is_unhandled);
        if (record.state, record.unhandled) != (expected, unhandled) {
            _ = writeln!(
                wrong,
                "it is {:?} (unhandled: {}), and should be {expected:?} ({unhandled})",
                record.state, record.unhandled
            );
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }
}

impl Step {
    /// Members, and how many of them succeeded, failed and were cancelled.
    fn count(&self) -> (u32, u32, u32, u32) {
        let mut ended: HashMap<State, u32> = HashMap::new();
        for member in &self.members {
            *ended.entry(member.state).or_default() += 1;
        }
        let of = |state| ended.get(&state).copied().unwrap_or_default();
        (self.members.len() as u32, of(State::Succeeded), of(State::Failed), of(State::Cancelled) + of(State::Expired))
    }

    /// How it came out, if all of it has ended.
    fn come_out(&self) -> Option<StepWord> {
        let (members, succeeded, failed, cancelled) = self.count();
        if !self.closed || succeeded + failed + cancelled < members {
            return None;
        }
        let may_fail = match self.new.spec.tolerance {
            Tolerance::Count(count) => count,
            Tolerance::Percent(percent) => members * u32::from(percent) / 100,
        };
        Some(match (members - succeeded <= may_fail, failed) {
            (true, _) => StepWord::Succeeded,
            (false, 0) => StepWord::Cancelled,
            (false, _) => StepWord::Failed,
        })
    }

    fn is_unhandled(&self) -> bool {
        self.new.spec.role != Role::Work && matches!(self.end, Some(StepWord::Failed | StepWord::Cancelled))
    }
}

fn is_met(needs: Needs, end: StepWord) -> bool {
    match needs {
        Needs::Success => end == StepWord::Succeeded,
        Needs::Failure => end == StepWord::Failed,
        Needs::End => true,
    }
}
