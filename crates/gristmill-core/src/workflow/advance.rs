use super::{Because, Graph, Needs, Role, Run, StepEnd, StepRow, StepState, WorkflowEnd};

/// What follows for the steps of a workflow: each by its number, in the order in which it is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advance {
    /// These are over, and how.
    pub ended: Vec<(u32, StepEnd)>,
    /// These never go, and why.
    pub skipped: Vec<(u32, Because)>,
    /// These go now.
    pub released: Vec<u32>,
    /// These went: no more members come to them, and those that have not ended are to be cancelled.
    pub stopped: Vec<u32>,
    /// All of it is over.
    pub end: Option<WorkflowEnd>,
}

/// Decides what follows once members of a workflow have ended, or somebody has cancelled, paused or resumed it. Every store asks this, in the
/// transaction in which the members end.
///
/// `steps` are those of one workflow by their numbers, from 0 on, `graph` what they wait for. The answer holds only what is new, so that asking
/// again after it was written answers nothing.
///
/// - A step goes when all that it waits for has ended as it needs. One that can't get what it needs is skipped at once, and so are those
///   that need its success.
/// - An empty group is over as soon as it goes, and has succeeded.
/// - When all work is over, handlers go, and what was done is undone if the work as a whole failed or was cancelled: one step after the
///   other, the last one first. Their own failure does not change what the work came to, and is told.
/// - What is paused is told of ends, and lets nothing go.
pub fn advance(run: Run, steps: &[StepRow], graph: &Graph) -> Advance {
    let mut walk = Walk { run, steps: steps.to_vec(), out: Advance::default() };
    for number in graph.in_order() {
        if matches!(walk.role(*number as usize), Some(Role::Work)) {
            walk.look(*number as usize, graph.after(*number));
        }
    }
    let Some(work) = walk.outcome(graph) else { return walk.out };
    for number in 0..steps.len() {
        if let Some(Role::Handler(needs)) = walk.role(number) {
            let is_needed = needs.is_met_by(work);
            walk.go_on(number, if is_needed { Ok(true) } else { Err(Because::NotNeeded) });
        }
    }
    walk.undo(work);
    walk.finish(work);
    walk.out
}

impl Advance {
    /// Whether there is nothing new.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// How the steps stand when it is done.
    pub fn apply(&self, steps: &mut [StepRow]) {
        let mut set = |number: u32, state| {
            if let Some(step) = steps.get_mut(number as usize) {
                step.state = state;
            }
        };
        self.released.iter().for_each(|number| set(*number, StepState::Goes));
        self.stopped.iter().for_each(|number| set(*number, StepState::Stops));
        self.skipped.iter().for_each(|(number, _)| set(*number, StepState::Ended(StepEnd::Skipped)));
        self.ended.iter().for_each(|(number, end)| set(*number, StepState::Ended(*end)));
        for number in &self.stopped {
            if let Some(step) = steps.get_mut(*number as usize) {
                step.tally.closed = true;
            }
        }
    }
}

struct Walk {
    run: Run,
    steps: Vec<StepRow>,
    out: Advance,
}

impl Walk {
    fn role(&self, number: usize) -> Option<Role> {
        self.steps.get(number).map(|step| step.role)
    }

    fn end(&self, number: u32) -> Option<StepEnd> {
        match self.steps.get(number as usize)?.state {
            StepState::Ended(end) => Some(end),
            StepState::Waits | StepState::Goes | StepState::Stops => None,
        }
    }

    /// A step of the work.
    fn look(&mut self, number: usize, after: &[(u32, Needs)]) {
        let mut may_go = Ok(true);
        // Who has gone waits for nothing any more.
        let waits = self.steps.get(number).is_some_and(|step| step.state == StepState::Waits);
        for (from, needs) in after.iter().filter(|_| waits) {
            match self.end(*from) {
                Some(end) if needs.is_met_by(end) => {}
                Some(_) => {
                    may_go = Err(Because::Of(*from));
                    break;
                }
                None => may_go = Ok(false),
            }
        }
        if self.run.cancelled {
            may_go = Err(Because::Cancelled);
            self.stop(number);
        }
        self.go_on(number, may_go);
    }

    /// Cancels what goes. One whose members have all ended has nothing to cancel, and ends as they did.
    fn stop(&mut self, number: usize) {
        let Some(step) = self.steps.get_mut(number).filter(|step| step.state == StepState::Goes) else { return };
        if step.tally.end(step.tolerance).is_none() {
            step.state = StepState::Stops;
            // No more members come to what is cancelled.
            step.tally.closed = true;
            self.out.stopped.extend(u32::try_from(number));
        }
    }

    /// Takes a step as far as it gets.
    fn go_on(&mut self, number: usize, may_go: Result<bool, Because>) {
        let paused = self.run.paused;
        let (Some(step), Ok(name)) = (self.steps.get_mut(number), u32::try_from(number)) else { return };
        if step.state == StepState::Waits {
            match may_go {
                Err(because) => {
                    step.state = StepState::Ended(StepEnd::Skipped);
                    self.out.skipped.push((name, because));
                }
                Ok(true) if !paused => {
                    step.state = StepState::Goes;
                    self.out.released.push(name);
                }
                Ok(_) => {}
            }
        }
        if matches!(step.state, StepState::Goes | StepState::Stops)
            && let Some(end) = step.tally.end(step.tolerance)
        {
            step.state = StepState::Ended(end);
            self.out.ended.push((name, end));
        }
    }

    /// What the work came to; `None` as long as it goes on. A step that was skipped as another one did not end as it needs says
    /// nothing of its own: that one does, or its end was wanted. One that was skipped although all did was cancelled.
    fn outcome(&self, graph: &Graph) -> Option<StepEnd> {
        let mut outcome = StepEnd::Succeeded;
        for (step, number) in self.steps.iter().zip(0..).filter(|(step, _)| step.role == Role::Work) {
            let had_all =
                || graph.after(number).iter().all(|(from, needs)| self.end(*from).is_some_and(|end| needs.is_met_by(end)));
            match step.state {
                StepState::Waits | StepState::Goes | StepState::Stops => return None,
                StepState::Ended(StepEnd::Failed) => outcome = StepEnd::Failed,
                StepState::Ended(StepEnd::Cancelled) if outcome == StepEnd::Succeeded => outcome = StepEnd::Cancelled,
                StepState::Ended(StepEnd::Skipped) if outcome == StepEnd::Succeeded && had_all() => outcome = StepEnd::Cancelled,
                StepState::Ended(_) => {}
            }
        }
        Some(outcome)
    }

    /// Undoes what was done, one step after the other, the last one first.
    fn undo(&mut self, work: StepEnd) {
        for number in (0..self.steps.len()).rev() {
            let Some(Role::Undo(done)) = self.role(number) else { continue };
            let is_needed = work != StepEnd::Succeeded && self.end(done) == Some(StepEnd::Succeeded);
            self.go_on(number, if is_needed { Ok(true) } else { Err(Because::NotNeeded) });
            if !matches!(self.steps.get(number), Some(StepRow { state: StepState::Ended(_), .. })) {
                return;
            }
        }
    }

    fn finish(&mut self, work: StepEnd) {
        let is_over = self.steps.iter().all(|step| matches!(step.state, StepState::Ended(_)));
        let is_new = !(self.out.ended.is_empty() && self.out.skipped.is_empty()) || self.steps.is_empty();
        if is_over && is_new {
            let is_unhandled = |step: &StepRow| {
                let failed = matches!(step.state, StepState::Ended(StepEnd::Failed | StepEnd::Cancelled));
                step.role != Role::Work && failed
            };
            self.out.end = Some(WorkflowEnd { work, unhandled: self.steps.iter().any(is_unhandled) });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::State;
    use crate::workflow::{Edge, Tally, Tolerance};

    fn edge(from: u32, to: u32, needs: Needs) -> Edge {
        Edge { from, to, needs }
    }

    /// What a store does with the answer; nothing may be left to say then.
    fn write(run: Run, steps: &mut [StepRow], edges: &[Edge]) -> Advance {
        let graph = Graph::new(steps.len() as u32, edges);
        let advance = super::advance(run, steps, &graph);
        advance.apply(steps);
        for (number, because) in advance.skipped.iter().filter(|_| !run.cancelled) {
            assert_eq!(crate::workflow::because(steps, &graph, *number), Some(*because), "found again");
        }
        if !steps.is_empty() {
            assert_eq!(super::advance(run, steps, &graph), Advance::default(), "asked again");
        }
        advance
    }

    fn end(steps: &mut [StepRow], number: usize, state: State) {
        steps[number].tally.add(state);
    }

    /// A group, what joins it, and what follows.
    #[test]
    fn a_chord_goes_once_all_of_its_members_have_ended() {
        let mut steps = [StepRow::new(Role::Work, 2), StepRow::new(Role::Work, 1), StepRow::new(Role::Work, 1)];
        let edges = [edge(0, 1, Needs::Success), edge(1, 2, Needs::Success)];
        let run = Run::default();
        assert_eq!(write(run, &mut steps, &edges).released, [0]);
        end(&mut steps, 0, State::Succeeded);
        assert_eq!(write(run, &mut steps, &edges), Advance::default());
        end(&mut steps, 0, State::Succeeded);
        let next = write(run, &mut steps, &edges);
        assert_eq!((next.ended, next.released), (vec![(0, StepEnd::Succeeded)], vec![1]));
        end(&mut steps, 1, State::Succeeded);
        assert_eq!(write(run, &mut steps, &edges).released, [2]);
        end(&mut steps, 2, State::Succeeded);
        let done = WorkflowEnd { work: StepEnd::Succeeded, unhandled: false };
        assert_eq!(write(run, &mut steps, &edges).end, Some(done));
    }

    #[test]
    fn empty_groups_and_empty_workflows_are_over_at_once() {
        let done = Some(WorkflowEnd { work: StepEnd::Succeeded, unhandled: false });
        assert_eq!(super::advance(Run::default(), &[], &Graph::default()).end, done);
        let mut steps = [StepRow::new(Role::Work, 0), StepRow::new(Role::Work, 1)];
        let next = write(Run::default(), &mut steps, &[edge(0, 1, Needs::Success)]);
        assert_eq!((next.ended, next.released), (vec![(0, StepEnd::Succeeded)], vec![0, 1]));
        let mut open = [StepRow::new(Role::Work, 0)];
        open[0].tally.closed = false;
        assert_eq!(write(Run::default(), &mut open, &[]).ended, []);
        open[0].tally.closed = true;
        assert_eq!(write(Run::default(), &mut open, &[]).end, done);
    }

    #[test]
    fn what_needs_a_success_is_skipped_after_a_failure_and_what_needs_an_end_is_not() {
        let mut steps = [StepRow::new(Role::Work, 1); 5];
        let edges = [edge(0, 1, Needs::Success), edge(1, 2, Needs::Success), edge(1, 3, Needs::End), edge(0, 4, Needs::Failure)];
        write(Run::default(), &mut steps, &edges);
        end(&mut steps, 0, State::Failed);
        let next = write(Run::default(), &mut steps, &edges);
        assert_eq!(next.skipped, [(1, Because::Of(0)), (2, Because::Of(1))]);
        let mut released = next.released;
        released.sort_unstable();
        assert_eq!((released, next.end), (vec![3, 4], None));
        [3, 4].into_iter().for_each(|number| end(&mut steps, number, State::Succeeded));
        let end = write(Run::default(), &mut steps, &edges).end;
        assert_eq!(end, Some(WorkflowEnd { work: StepEnd::Failed, unhandled: false }), "a failure that was told is one");
    }

    #[test]
    fn some_may_fail_as_was_said() {
        let tally = |succeeded, failed, cancelled| Tally { members: 10, closed: true, succeeded, failed, cancelled };
        assert_eq!(tally(8, 1, 0).end(Tolerance::Percent(20)), None);
        assert_eq!(tally(8, 1, 1).end(Tolerance::Percent(29)), Some(StepEnd::Succeeded));
        assert_eq!(tally(7, 2, 1).end(Tolerance::Count(2)), Some(StepEnd::Failed));
        assert_eq!(tally(7, 0, 3).end(Tolerance::Count(2)), Some(StepEnd::Cancelled));
    }

    #[test]
    fn what_was_done_is_undone_from_its_end_and_handlers_are_told() {
        let work = StepRow::new(Role::Work, 1);
        let mut steps = [
            work,
            work,
            work,
            StepRow::new(Role::Undo(0), 1),
            StepRow::new(Role::Undo(1), 1),
            StepRow::new(Role::Undo(2), 1),
            StepRow::new(Role::Handler(Needs::Failure), 1),
            StepRow::new(Role::Handler(Needs::Success), 1),
        ];
        let edges = [edge(0, 1, Needs::Success), edge(1, 2, Needs::Success)];
        let run = Run::default();
        write(run, &mut steps, &edges);
        for number in 0..2 {
            end(&mut steps, number, State::Succeeded);
            write(run, &mut steps, &edges);
        }
        end(&mut steps, 2, State::Failed);
        let next = write(run, &mut steps, &edges);
        assert_eq!(next.released, [6, 4], "the handler, and the last that was done");
        assert_eq!(next.skipped, [(7, Because::NotNeeded), (5, Because::NotNeeded)]);
        end(&mut steps, 4, State::Failed);
        end(&mut steps, 6, State::Succeeded);
        assert_eq!(write(run, &mut steps, &edges).released, [3], "one that can't be undone holds up no other");
        end(&mut steps, 3, State::Succeeded);
        assert_eq!(write(run, &mut steps, &edges).end, Some(WorkflowEnd { work: StepEnd::Failed, unhandled: true }));
    }

    #[test]
    fn a_paused_run_lets_nothing_go_and_a_cancelled_one_nothing_more() {
        let mut steps = [StepRow::new(Role::Work, 1), StepRow::new(Role::Work, 1)];
        let edges = [edge(0, 1, Needs::Success)];
        write(Run::default(), &mut steps, &edges);
        end(&mut steps, 0, State::Succeeded);
        let paused = Run { paused: true, ..Run::default() };
        let next = write(paused, &mut steps, &edges);
        assert_eq!((next.ended, next.released), (vec![(0, StepEnd::Succeeded)], vec![]));
        let next = write(Run { cancelled: true, ..paused }, &mut steps, &edges);
        assert_eq!(next.skipped, [(1, Because::Cancelled)]);
        assert_eq!(next.end, Some(WorkflowEnd { work: StepEnd::Cancelled, unhandled: false }));
    }

    #[test]
    fn what_goes_is_stopped_by_a_cancel_and_ends_as_its_members_do() {
        let mut steps = [StepRow::new(Role::Work, 2), StepRow::new(Role::Work, 0), StepRow::new(Role::Handler(Needs::End), 1)];
        steps[1].tally.closed = false;
        let (run, cancelled) = (Run::default(), Run { cancelled: true, ..Run::default() });
        write(run, &mut steps, &[]);
        end(&mut steps, 0, State::Succeeded);
        let next = write(cancelled, &mut steps, &[]);
        assert_eq!((next.stopped, next.ended), (vec![0, 1], vec![(1, StepEnd::Succeeded)]), "an open group is closed by it");
        end(&mut steps, 0, State::Cancelled);
        let next = write(cancelled, &mut steps, &[]);
        assert_eq!(
            (next.ended, next.released),
            (vec![(0, StepEnd::Cancelled)], vec![2]),
            "who is told of any end is told of this"
        );
        end(&mut steps, 2, State::Succeeded);
        let end = write(cancelled, &mut steps, &[]).end;
        assert_eq!(end, Some(WorkflowEnd { work: StepEnd::Cancelled, unhandled: false }));
    }

    #[test]
    fn a_cancel_when_all_work_was_done_changes_nothing_of_it() {
        let mut steps = [StepRow::new(Role::Work, 1), StepRow::new(Role::Work, 1), StepRow::new(Role::Handler(Needs::End), 1)];
        let edges = [edge(0, 1, Needs::Failure)];
        write(Run::default(), &mut steps, &edges);
        end(&mut steps, 0, State::Succeeded);
        assert_eq!(write(Run::default(), &mut steps, &edges).released, [2]);
        let cancelled = Run { cancelled: true, ..Run::default() };
        assert_eq!(write(cancelled, &mut steps, &edges), Advance::default());
        end(&mut steps, 2, State::Succeeded);
        let end = write(cancelled, &mut steps, &edges).end;
        assert_eq!(end, Some(WorkflowEnd { work: StepEnd::Succeeded, unhandled: false }));
    }

    #[test]
    fn a_circle_or_a_strange_number_is_no_panic() {
        let mut steps = [StepRow::new(Role::Work, 1), StepRow::new(Role::Work, 1)];
        let circle = [edge(0, 1, Needs::End), edge(1, 0, Needs::End), edge(7, 0, Needs::End), edge(0, 9, Needs::End)];
        assert_eq!(write(Run::default(), &mut steps, &circle), Advance::default());
    }

    fn graphs() -> impl Strategy<Value = (Vec<StepRow>, Vec<Edge>)> {
        let needs = prop_oneof![Just(Needs::Success), Just(Needs::Failure), Just(Needs::End)];
        let steps = prop::collection::vec(0_u32..4, 1..9);
        (steps, prop::collection::vec((any::<(u32, u32)>(), needs), 0..16)).prop_map(|(members, pairs)| {
            let count = members.len() as u32;
            let steps = members.into_iter().map(|members| StepRow::new(Role::Work, members)).collect();
            let edges = pairs.into_iter().map(|((a, b), needs)| (a % count, b % count, needs)).filter(|(a, b, _)| a != b);
            // Names may be in any order: an edge may lead from a high number to a low one, but never in a circle.
            (steps, edges.map(|(a, b, needs)| edge(a.max(b), a.min(b), needs)).collect())
        })
    }

    proptest! {
        /// Whatever the graph and however members end: no step goes before what it waits for has ended as it needs, each ends once, and
        /// all of it is over once all members have ended.
        #[test]
        fn every_graph_comes_to_its_end((mut steps, edges) in graphs(), ends in prop::collection::vec(0_usize..3, 64), at in any::<u64>()) {
            let (mut ends, mut at) = (ends.into_iter().cycle(), at);
            let mut over = None;
            loop {
                let next = write(Run::default(), &mut steps, &edges);
                for number in &next.released {
                    for edge in edges.iter().filter(|edge| edge.to == *number) {
                        let StepState::Ended(end) = steps[edge.from as usize].state else { panic!("{edge:?} is open") };
                        prop_assert!(edge.needs.is_met_by(end), "{edge:?} after {end:?}");
                    }
                }
                over = over.or(next.end);
                let going: Vec<usize> = (0..steps.len()).filter(|number| steps[*number].state == StepState::Goes).collect();
                if going.is_empty() {
                    break;
                }
                at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let number = going[(at >> 33) as usize % going.len()];
                end(&mut steps, number, [State::Succeeded, State::Failed, State::Expired][ends.next().unwrap()]);
            }
            prop_assert!(steps.iter().all(|step| matches!(step.state, StepState::Ended(_))), "{steps:?}");
            prop_assert!(over.is_some());
        }
    }
}
