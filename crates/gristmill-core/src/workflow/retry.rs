use serde::{Deserialize, Serialize};

use super::{Chore, Flow, FlowStep, Role, Run, StepEnd, StepState};
use crate::WorkflowId;

/// What of a workflow that has ended is done once more.
///
/// Whatever it is, handlers and what undoes steps wait again, and run again when they are needed. A step that was undone counts as one that
/// failed. The members are those that there were: to a group that was left open, none are added any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// All of it, the steps that succeeded too.
    All,
    /// Of the steps that did not succeed the members that did not; the others keep their results. What was skipped for want of them, or
    /// as the workflow was cancelled, waits again.
    #[default]
    Failed,
    /// The same, and all steps that wait for one of these, by whatever way, run again as a whole.
    FailedAndAfter,
}

impl Retry {
    /// The same without the history of what runs again: its attempts with their errors, logs and results, and all that its durable steps
    /// remember, are deleted, so that each task begins as if it had never run. A workflow that such a task had started is
    /// cancelled if it goes on. What keeps its result keeps its history, too. Programs of the version before that take part in it delete nothing.
    ///
    /// ```
    /// use gristmill_core::workflow::{Rerun, Retry};
    ///
    /// let rerun = Retry::All.without_history();
    /// assert_eq!(rerun, Rerun { what: Retry::All, forgets: true });
    /// assert_eq!(Rerun::from(Retry::All), Rerun { what: Retry::All, forgets: false });
    /// ```
    pub const fn without_history(self) -> Rerun {
        Rerun { what: self, forgets: true }
    }
}

/// A retry, and what is to become of the history of what runs again. A [`Retry`] is one that keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rerun {
    /// What is done once more.
    pub what: Retry,
    /// Whether that is without the history, as [`Retry::without_history`] says.
    pub forgets: bool,
}

impl From<Retry> for Rerun {
    fn from(what: Retry) -> Self {
        Self { what, forgets: false }
    }
}

/// What became of a retry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retried {
    /// It goes on, and this is its attempt.
    Done(u32),
    /// It has not ended, or a member of it has not that was retried by hand, or is still to be cancelled. Nothing changed.
    NotEnded,
    /// All of its work was done, so that there is nothing to retry but [all](Retry::All) of it. Nothing changed.
    Nothing,
    /// Another run goes on that holds its key now. Nothing changed.
    KeyHeld(WorkflowId),
    /// Members of this step are no longer kept, or for less than a minute, as their retention says. Nothing changed.
    Gone(String),
    /// There is no such workflow.
    NotFound,
}

impl Flow {
    /// Begins it anew, if it has ended: what runs again waits, and the workflow goes on once all of its members have been dealt with. `kept` says
    /// of each step how many members have ended and are kept for [long enough](super::KEPT_MIN).
    ///
    /// # Errors
    /// Why it can't; nothing changed then.
    pub fn retry(&mut self, rerun: impl Into<Rerun>, kept: &[u32]) -> Result<(), Retried> {
        let Rerun { what: retry, forgets } = rerun.into();
        let Some(end) = self.end else { return Err(Retried::NotEnded) };
        // One that runs would count for a step that has yet to begin.
        if self.steps.iter().any(|step| step.row.tally.ended() < step.row.tally.members) {
            return Err(Retried::NotEnded);
        }
        if end.work == StepEnd::Succeeded && retry != Retry::All {
            return Err(Retried::Nothing);
        }
        let mut counted = self.steps.iter().zip(kept.iter().copied().chain(std::iter::repeat(0)));
        if let Some((step, _)) = counted.find(|(step, kept)| *kept < step.row.tally.members) {
            return Err(Retried::Gone(step.spec.name.clone()));
        }
        let chores = self.of_retry(retry);
        (self.end, self.run) = (None, Run { forgets, ..Run::default() });
        for (step, chore) in self.steps.iter_mut().zip(chores) {
            if chore != Chore::Keep {
                step.row.state = StepState::Waits;
            }
            // Whoever added members believes it closed, as one that never went answered him so.
            step.row.tally.closed = true;
            step.chore = (step.row.tally.members > 0).then_some((chore, 0));
        }
        Ok(())
    }

    /// What is done to the members of each step.
    fn of_retry(&self, retry: Retry) -> Vec<Chore> {
        let mut chores = vec![Chore::Again; self.steps.len()];
        if retry == Retry::All {
            return chores;
        }
        let was_undone = |number: usize| {
            let undid = |step: &&FlowStep| matches!(step.spec.role, Role::Undo(done) if done as usize == number);
            self.steps.iter().filter(undid).any(|step| step.row.state != StepState::Ended(StepEnd::Skipped))
        };
        for number in self.graph.in_order().iter().map(|number| *number as usize) {
            let Some(step) = self.steps.get(number).filter(|step| step.spec.role == Role::Work) else { continue };
            let mut before = step.spec.after.iter().filter_map(|(from, _)| chores.get(*from as usize));
            let follows = before.any(|chore| *chore != Chore::Keep);
            chores[number] = match step.row.state {
                _ if follows && retry == Retry::FailedAndAfter => Chore::Again,
                StepState::Ended(StepEnd::Succeeded) if !was_undone(number) => Chore::Keep,
                StepState::Ended(StepEnd::Failed | StepEnd::Cancelled) => Chore::Mend,
                // As what it waits for came out, and does again, it never goes.
                StepState::Ended(StepEnd::Skipped) if !follows && !self.had_all(step) => Chore::Keep,
                // Its members may have succeeded before a retry that was cancelled.
                StepState::Ended(StepEnd::Skipped) => Chore::Mend,
                StepState::Ended(StepEnd::Succeeded) | StepState::Waits | StepState::Goes | StepState::Stops => Chore::Again,
            };
        }
        chores
    }

    /// Whether all that a step waits for ended as it needs.
    fn had_all(&self, step: &FlowStep) -> bool {
        step.spec.after.iter().all(|(from, needs)| match self.steps.get(*from as usize).map(|step| step.row.state) {
            Some(StepState::Ended(end)) => needs.is_met_by(end),
            Some(StepState::Waits | StepState::Goes | StepState::Stops) | None => false,
        })
    }

    /// Whether it is retried, and members have yet to be dealt with before it goes on.
    pub fn is_held(&self) -> bool {
        self.steps.iter().any(|step| step.chore.is_some_and(|(chore, _)| chore.is_of_retry()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::State;
    use crate::workflow::{Graph, Needs, StepRow, StepSpec, Tolerance, WorkflowEnd};

    /// Steps of one member each.
    fn flow(steps: &[(Role, &[(u32, Needs)])]) -> Flow {
        let step = |(role, after): &(Role, &[(u32, Needs)])| {
            let (name, kind) = (String::new(), "t".to_owned());
            let spec = StepSpec { name, kind, role: *role, after: after.to_vec(), group: false, tolerance: Tolerance::NONE };
            FlowStep { spec: Arc::new(spec), row: StepRow::new(*role, 1), chore: None }
        };
        let steps: Vec<FlowStep> = steps.iter().map(step).collect();
        let graph = Arc::new(Graph::of(steps.iter().map(|step| &*step.spec)));
        let mut flow = Flow { run: Run::default(), end: None, graph, steps };
        flow.go_on();
        flow
    }

    /// Lets all that goes end so, and what is to be done to members be done, until nothing goes any more. Which went, in their order.
    fn play(flow: &mut Flow, fails: &[usize]) -> Vec<usize> {
        let mut went = Vec::new();
        loop {
            for number in 0..flow.steps.len() {
                while let Some((chore, _)) = flow.steps[number].chore {
                    let ended = flow.steps[number].row.tally;
                    match chore {
                        Chore::Cancel if ended.ended() == 0 => flow.ended(number as u32, State::Cancelled),
                        Chore::Again | Chore::Mend => {
                            [(State::Failed, ended.failed), (State::Cancelled, ended.cancelled)].iter().for_each(
                                |(state, count)| {
                                    (0..*count).for_each(|_| flow.reopened(number as u32, *state));
                                },
                            );
                            if chore == Chore::Again && ended.succeeded > 0 {
                                flow.reopened(number as u32, State::Succeeded);
                            }
                        }
                        _ => {}
                    }
                    flow.did(number as u32, None);
                }
            }
            flow.go_on();
            let goes = |step: &FlowStep| step.row.state == StepState::Goes && step.row.tally.ended() == 0;
            let Some(number) = flow.steps.iter().position(goes) else {
                if flow.steps.iter().all(|step| step.chore.is_none()) {
                    return went;
                }
                continue;
            };
            went.push(number);
            flow.ended(number as u32, if fails.contains(&number) { State::Failed } else { State::Succeeded });
            flow.go_on();
        }
    }

    /// Of each step all members are kept.
    const ALL: [u32; 4] = [1; 4];
    const WORK: Role = Role::Work;
    const NEEDS: Needs = Needs::Success;

    #[test]
    fn what_failed_runs_again_and_what_was_skipped_for_want_of_it() {
        let mut flow = flow(&[(WORK, &[]), (WORK, &[(0, NEEDS)]), (WORK, &[(1, NEEDS)]), (Role::Handler(Needs::Failure), &[])]);
        assert_eq!(play(&mut flow, &[1]), [0, 1, 3]);
        assert_eq!(flow.retry(Retry::Failed, &ALL), Ok(()));
        assert_eq!((flow.end, flow.is_held()), (None, true));
        assert_eq!(play(&mut flow, &[]), [1, 2], "the handler of failures is not needed any more");
        assert_eq!(flow.end, Some(WorkflowEnd { work: StepEnd::Succeeded, unhandled: false }));
        assert_eq!(
            (flow.retry(Retry::Failed, &ALL), flow.retry(Retry::FailedAndAfter, &ALL)),
            (Err(Retried::Nothing), Err(Retried::Nothing))
        );
        assert_eq!(flow.retry(Retry::All, &[1, 0]), Err(Retried::Gone(String::new())));
        assert_eq!(flow.retry(Retry::All, &ALL), Ok(()));
        assert_eq!(flow.retry(Retry::All, &ALL), Err(Retried::NotEnded));
        assert_eq!(play(&mut flow, &[]), [0, 1, 2]);
    }

    #[test]
    fn what_follows_runs_again_if_it_is_wanted() {
        let steps: &[(Role, &[(u32, Needs)])] = &[(WORK, &[]), (WORK, &[(0, Needs::End)]), (WORK, &[(1, NEEDS)]), (WORK, &[])];
        let mut flow = flow(steps);
        assert_eq!(play(&mut flow, &[0]).len(), 4);
        let mut with_what_follows = flow.clone();
        flow.retry(Retry::Failed, &ALL).unwrap();
        assert_eq!(play(&mut flow, &[]), [0]);
        with_what_follows.retry(Retry::FailedAndAfter, &ALL).unwrap();
        assert_eq!(play(&mut with_what_follows, &[]), [0, 1, 2], "the other one has nothing to do with it");
    }

    #[test]
    fn a_step_that_was_undone_counts_as_one_that_failed() {
        let mut flow = flow(&[(WORK, &[]), (WORK, &[(0, NEEDS)]), (Role::Undo(0), &[]), (Role::Undo(1), &[])]);
        assert_eq!(play(&mut flow, &[1]), [0, 1, 2]);
        flow.retry(Retry::Failed, &ALL).unwrap();
        assert_eq!(play(&mut flow, &[1]), [0, 1, 2], "it is done, and undone once more");
        flow.retry(Retry::Failed, &ALL).unwrap();
        assert_eq!(play(&mut flow, &[]), [0, 1]);
    }

    #[test]
    fn what_was_cancelled_waits_again_and_a_branch_that_is_not_taken_does_not() {
        let mut flow = flow(&[(WORK, &[]), (WORK, &[(0, Needs::Failure)]), (WORK, &[(0, NEEDS)]), (WORK, &[(2, NEEDS)])]);
        flow.did(0, None);
        flow.ended(0, State::Succeeded);
        flow.go_on();
        flow.order(crate::workflow::Order::Cancel);
        flow.go_on();
        flow.ended(2, State::Cancelled);
        flow.ended(1, State::Cancelled);
        assert_eq!(flow.retry(Retry::Failed, &ALL), Err(Retried::NotEnded), "the last of its members is still to be cancelled");
        flow.ended(3, State::Cancelled);
        flow.go_on();
        assert_eq!(flow.retry(Retry::Failed, &ALL), Ok(()));
        let chores: Vec<_> = flow.steps.iter().map(|step| step.chore.map(|(chore, _)| chore)).collect();
        assert_eq!(chores, [Chore::Keep, Chore::Keep, Chore::Mend, Chore::Mend].map(Some));
        assert_eq!(flow.run, Run::default());
        assert_eq!(play(&mut flow, &[]), [2, 3]);
    }

    #[test]
    fn nothing_goes_before_all_members_have_been_dealt_with() {
        let mut flow = flow(&[(WORK, &[]), (WORK, &[(0, NEEDS)])]);
        play(&mut flow, &[0]);
        flow.retry(Retry::All, &ALL).unwrap();
        flow.go_on();
        flow.reopened(0, State::Failed);
        flow.did(0, None);
        flow.go_on();
        assert_eq!(flow.steps[0].row.state, StepState::Waits, "the other one's is still ended");
        flow.reopened(1, State::Cancelled);
        flow.did(1, None);
        flow.go_on();
        assert_eq!((flow.steps[0].row.state, flow.is_held()), (StepState::Goes, false));
    }

    #[test]
    fn what_runs_again_forgets_until_all_of_it_has_been_dealt_with() {
        let mut flow = flow(&[(WORK, &[])]);
        play(&mut flow, &[]);
        flow.retry(Retry::All.without_history(), &ALL).unwrap();
        flow.order(crate::workflow::Order::Cancel);
        assert!(flow.run.forgets && flow.run.cancelled);
        play(&mut flow, &[]);
        assert_eq!((flow.run, flow.end.is_some()), (Run { cancelled: true, ..Run::default() }, true));
    }

    /// Kept for long enough when it was begun, and yet gone when all programs were away in between.
    #[test]
    fn one_that_is_gone_can_not_succeed_again() {
        let mut flow = flow(&[(WORK, &[])]);
        play(&mut flow, &[]);
        flow.retry(Retry::All, &ALL).unwrap();
        flow.did(0, None);
        flow.go_on();
        assert_eq!(flow.end, Some(WorkflowEnd { work: StepEnd::Failed, unhandled: false }));
    }
}
