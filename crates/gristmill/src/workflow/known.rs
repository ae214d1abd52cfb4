use std::collections::BTreeMap;

use super::member::Prepared;
use super::plan::Need;
use crate::core::InvalidInput;
use crate::core::workflow::{Needs, Role, StepSpec, Wanted};

/// What the members of a group can refer to that are added once its workflow is started: they are checked against its steps as the first
/// ones are by the graph.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// By their names those that have ended when a member goes.
    steps: BTreeMap<String, Ended>,
    is_work: bool,
}

#[derive(Debug)]
struct Ended {
    /// How, as far as that is certain.
    needs: Needs,
    /// Whether somebody said that in particular, which holds whatever a member takes of it.
    said: bool,
    group: bool,
}

impl Known {
    /// Those of a step, of which was said `said` in particular.
    pub(super) fn of(number: u32, specs: &[&StepSpec], said: &[String]) -> Self {
        let Some(own) = specs.get(number as usize) else { return Self::default() };
        let is_work = own.role == Role::Work;
        let mut found = BTreeMap::new();
        let mut next = match is_work {
            true => own.after.clone(),
            // What runs when all work is over may refer to all of it.
            false => (0..).zip(specs).filter(|(_, spec)| spec.role == Role::Work).map(|(from, _)| (from, Needs::End)).collect(),
        };
        while let Some((from, needs)) = next.pop() {
            let before = found.get(&from).copied();
            let now = before.map_or(needs, |before| both(before, needs).unwrap_or(before));
            if before != Some(now) {
                found.insert(from, now);
                let after = specs.get(from as usize).into_iter().flat_map(|spec| &spec.after);
                // One that may have been skipped says nothing of what it waited for.
                next.extend(after.map(|(from, needs)| (*from, if now == Needs::End { Needs::End } else { *needs })));
            }
        }
        let steps = found.into_iter().filter_map(|(from, needs)| {
            let spec = specs.get(from as usize)?;
            Some((spec.name.clone(), Ended { needs, said: said.contains(&spec.name), group: spec.group }))
        });
        Self { steps: steps.collect(), is_work }
    }

    /// Whether a member refers only to what has ended by then, and as it needs it.
    pub(super) fn check(&self, member: &Prepared) -> Result<(), InvalidInput> {
        let refused = |problem: String| Err(InvalidInput::new("args", problem));
        let strange = |name: &str| {
            format!("refer to the step `{name}`, and the group was started without waiting for it; let it come `after` that step")
        };
        for reference in &member.refers {
            let Some(name) = &reference.step else {
                if self.is_work {
                    return refused(
                        "refer to the failure of the workflow, which only its handlers can know; name a step".to_owned(),
                    );
                }
                continue;
            };
            match self.steps.get(name) {
                None => return refused(strange(name)),
                Some(of) if of.group && reference.wanted == Wanted::Result => {
                    return refused(format!(
                        "refer to the result of `{name}`, which is a group and has many; ask for `$results`"
                    ));
                }
                Some(_) => {}
            }
        }
        for Need { step: name, needs, .. } in &member.after {
            match self.steps.get(name) {
                None => return refused(strange(name)),
                Some(of) if self.is_work && !of.said && both(of.needs, *needs) != Some(of.needs) => {
                    let needs = if *needs == Needs::Failure { "failure" } else { "success" };
                    return refused(format!(
                        "need the {needs} of the step `{name}`, and the group was started without waiting for that; let it come `after` \
                         that step"
                    ));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}

/// What somebody needs of a step who needs both; `None` if that can't be.
pub(super) fn both(one: Needs, other: Needs) -> Option<Needs> {
    match (one, other) {
        (Needs::End, needs) | (needs, Needs::End) => Some(needs),
        (one, other) => (one == other).then_some(one),
    }
}
