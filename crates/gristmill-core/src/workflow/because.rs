use super::{Because, Graph, Role, StepEnd, StepRecord, StepRow, StepState, WorkflowRecord};

/// Why a step was skipped, found again from how all steps stand, as no store keeps it; `None` if it was not.
///
/// `steps` are those of one workflow by their numbers, and `graph` what they wait for, as for [`advance`](super::advance). A step that
/// was skipped when its workflow was cancelled is told so only if nothing that it waits for ended otherwise than it needs; else that
/// is named, and kept it back as well.
pub fn because(steps: &[StepRow], graph: &Graph, number: u32) -> Option<Because> {
    let step = steps.get(number as usize).filter(|step| step.state == StepState::Ended(StepEnd::Skipped))?;
    if step.role != Role::Work {
        return Some(Because::NotNeeded);
    }
    let hindrance = graph.after(number).iter().find(|(from, needs)| match steps.get(*from as usize).map(|step| step.state) {
        Some(StepState::Ended(end)) => !needs.is_met_by(end),
        Some(StepState::Waits | StepState::Goes | StepState::Stops) | None => false,
    });
    Some(hindrance.map_or(Because::Cancelled, |(from, _)| Because::Of(*from)))
}

/// The step with which it began that this one was skipped: that did not end as the next one needs, and was itself no skipped one.
/// `None` if no step is to blame.
pub fn began_with(steps: &[StepRow], graph: &Graph, number: u32) -> Option<u32> {
    let mut at = number;
    // Each is one that the step before waits for, so that there are at most as many as steps.
    for _ in 0..steps.len() {
        match because(steps, graph, at) {
            Some(Because::Of(from)) => at = from,
            Some(Because::Cancelled | Because::NotNeeded) | None => break,
        }
    }
    (at != number).then_some(at)
}

impl WorkflowRecord {
    /// The number of the step with which it began that this one was skipped; see [`began_with`].
    pub fn began_with(&self, number: u32) -> Option<u32> {
        let rows: Vec<_> = self.steps.iter().map(|step| step.row).collect();
        began_with(&rows, &Graph::of(self.steps.iter().map(|step| &step.spec)), number)
    }
}

/// The steps that have to end before this one goes, by their numbers; none if it has gone, or was skipped.
pub fn waits_for(steps: &[StepRecord], number: u32) -> Vec<u32> {
    let Some(step) = steps.get(number as usize).filter(|step| step.row.state == StepState::Waits) else { return Vec::new() };
    let is_open =
        |number: u32| !matches!(steps.get(number as usize).map(|step| step.row.state), None | Some(StepState::Ended(_)));
    let open = |is: &dyn Fn(u32, Role) -> bool| {
        let numbered = (0..).zip(steps);
        numbered.filter(|(number, step)| is_open(*number) && is(*number, step.row.role)).map(|(number, _)| number).collect()
    };
    match step.row.role {
        Role::Work => step.spec.after.iter().map(|(from, _)| *from).filter(|from| is_open(*from)).collect(),
        Role::Handler(_) => open(&|_, role| role == Role::Work),
        // What was done last is undone first.
        Role::Undo(_) => open(&|other, role| role == Role::Work || matches!(role, Role::Undo(_)) && other > number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::{Edge, Needs, StepSpec, Tolerance};

    fn step(role: Role, state: StepState) -> StepRow {
        StepRow { state, ..StepRow::new(role, 1) }
    }

    fn ended(end: StepEnd) -> StepRow {
        step(Role::Work, StepState::Ended(end))
    }

    #[test]
    fn what_was_skipped_is_traced_to_what_failed() {
        let skipped = ended(StepEnd::Skipped);
        let handler = step(Role::Handler(Needs::Success), StepState::Ended(StepEnd::Skipped));
        let steps = [ended(StepEnd::Succeeded), ended(StepEnd::Failed), skipped, skipped, handler];
        let edge = |from, to| Edge { from, to, needs: Needs::Success };
        let graph = Graph::new(5, &[edge(0, 2), edge(1, 2), edge(2, 3)]);
        assert_eq!((because(&steps, &graph, 2), because(&steps, &graph, 3)), (Some(Because::Of(1)), Some(Because::Of(2))));
        assert_eq!((began_with(&steps, &graph, 3), began_with(&steps, &graph, 2)), (Some(1), Some(1)));
        assert_eq!((because(&steps, &graph, 4), began_with(&steps, &graph, 4)), (Some(Because::NotNeeded), None));
        assert_eq!((because(&steps, &graph, 1), because(&steps, &graph, 9)), (None, None));
    }

    #[test]
    fn what_nothing_kept_back_was_cancelled() {
        let steps = [ended(StepEnd::Succeeded), ended(StepEnd::Skipped)];
        let graph = Graph::new(2, &[Edge { from: 0, to: 1, needs: Needs::Success }]);
        assert_eq!((because(&steps, &graph, 1), began_with(&steps, &graph, 1)), (Some(Because::Cancelled), None));
        let stops = [step(Role::Work, StepState::Stops), ended(StepEnd::Skipped)];
        assert_eq!(because(&stops, &graph, 1), Some(Because::Cancelled));
    }

    /// Rows that a store could not have written are no reason to hang.
    #[test]
    fn a_circle_ends() {
        let steps = [ended(StepEnd::Skipped), ended(StepEnd::Skipped)];
        let edge = |from, to| Edge { from, to, needs: Needs::Success };
        assert!(began_with(&steps, &Graph::new(2, &[edge(0, 1), edge(1, 0)]), 0).is_none_or(|number| number < 2));
    }

    #[test]
    fn handlers_wait_for_all_work_and_what_undoes_a_step_for_what_undoes_later_ones() {
        let record = |role, after: &[u32], state| {
            let after = after.iter().map(|from| (*from, Needs::Success)).collect();
            let spec =
                StepSpec { name: String::new(), kind: String::new(), role, after, group: false, tolerance: Tolerance::NONE };
            StepRecord { spec, row: step(role, state) }
        };
        let mut steps = [
            record(Role::Work, &[], StepState::Goes),
            record(Role::Work, &[0], StepState::Waits),
            record(Role::Undo(0), &[], StepState::Waits),
            record(Role::Undo(1), &[], StepState::Waits),
            record(Role::Handler(Needs::End), &[], StepState::Waits),
        ];
        let all = |steps: &[StepRecord]| (0..5).map(|number| waits_for(steps, number)).collect::<Vec<_>>();
        assert_eq!(all(&steps), [vec![], vec![0], vec![0, 1, 3], vec![0, 1], vec![0, 1]]);
        steps[..2].iter_mut().for_each(|step| step.row.state = StepState::Ended(StepEnd::Failed));
        assert_eq!(all(&steps), [vec![], vec![], vec![3], vec![], vec![]]);
        assert_eq!(waits_for(&steps, 9), Vec::<u32>::new());
    }
}
