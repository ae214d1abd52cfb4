use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use serde_json::Value;

use super::new::check_deadline;
use super::{Needs, NewStep, NewWorkflow, References, Role, StepSpec, Tolerance, Wanted, pointer_part, references};
use crate::kind::check_labels;
use crate::limits::STEPS_MAX;
use crate::{Membership, NewTask, Retention, TaskMeta, WorkflowId, limits};

/// A workflow as somebody wrote it: steps by names, which may be wrong in every way. [`Draft::resolve`] makes a [`NewWorkflow`] of it, or
/// says what is wrong and where.
#[derive(Clone, Debug, Default)]
pub struct Draft<M> {
    /// What sort of workflow it is.
    pub name: String,
    /// Held by one run at a time.
    pub key: Option<String>,
    /// Labels.
    pub tags: Vec<String>,
    /// How long it is kept once it has ended.
    pub retention: Retention,
    /// How long after its start, and after each retry, it is cancelled if it has not ended.
    pub deadline: Option<Duration>,
    /// The steps, in the order in which they were written.
    pub steps: Vec<StepDraft<M>>,
}

/// A step of it. `M` is whatever its members are made of.
#[derive(Clone, Debug)]
pub struct StepDraft<M> {
    /// Its name.
    pub name: String,
    /// The task type of its members.
    pub kind: String,
    /// What it is there for; an undo says which step it undoes by [`undoes`](Self::undoes) instead.
    pub role: Role,
    /// The step that it undoes.
    pub undoes: Option<String>,
    /// What it waits for, and what it needs of it.
    pub after: Vec<(String, Needs)>,
    /// How many of its members need not succeed.
    pub tolerance: Tolerance,
    /// Its members; one, unless it is a group.
    pub members: Vec<M>,
    /// Whether it is a group, whose results are an array, however many members it has.
    pub group: bool,
    /// Whether more members are to come.
    pub open: bool,
    /// What the arguments of its members refer to, where they are not looked through here: each with the place at which it stands.
    pub refers: References,
}

/// What is wrong with a workflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DraftError {
    /// Where, as a JSON Pointer into its JSON form: `/steps/merge/after/0`.
    pub place: String,
    /// What.
    pub why: String,
}

impl fmt::Display for DraftError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.why)
    }
}

impl std::error::Error for DraftError {}

impl DraftError {
    /// At a place of a step.
    fn of(step: &str, part: &str, why: impl Into<String>) -> Self {
        Self { place: format!("/steps/{}{part}", pointer_part(step)), why: why.into() }
    }
}

impl<M> Draft<M> {
    /// Checks the graph: names, references, circles, limits. What is right about it is said by numbers then.
    ///
    /// # Errors
    /// The first thing that is wrong, and where.
    pub fn check(&self) -> Result<Vec<StepSpec>, DraftError> {
        let at = |place: &str, why: String| Err(DraftError { place: place.to_owned(), why });
        if let Err(error) = limits::check_name("name", &self.name) {
            return at("/name", error.problem);
        }
        if let Some(Err(error)) = self.key.as_deref().map(|key| limits::check_name("key", key)) {
            return at("/key", error.problem);
        }
        if let Err(error) = check_labels("tags", self.tags.iter()) {
            return at("/tags", error.problem);
        }
        if let Err(error) = check_deadline(self.deadline) {
            return at("/deadline", error.problem);
        }
        if self.steps.len() > STEPS_MAX {
            return at("/steps", format!("has {} steps; at most {STEPS_MAX} are allowed", self.steps.len()));
        }
        let mut numbers = HashMap::new();
        for (step, number) in self.steps.iter().zip(0_u32..) {
            if let Err(error) = limits::check_name("step", &step.name) {
                return Err(DraftError::of(&step.name, "", format!("its name {}", error.problem)));
            }
            if numbers.insert(step.name.as_str(), number).is_some() {
                return Err(DraftError::of(&step.name, "", "is there twice; a step's name is its own"));
            }
        }
        let specs = self.steps.iter().map(|step| step.spec(&numbers)).collect::<Result<Vec<_>, _>>()?;
        let ancestors = self.ancestors(&specs)?;
        for (step, ancestors) in self.steps.iter().zip(&ancestors) {
            self.check_references(step, &numbers, ancestors)?;
        }
        Ok(specs)
    }

    /// Makes the workflow of it. `member` makes a task of each member, `refers` tells what its arguments refer to.
    ///
    /// # Errors
    /// As [`check`](Self::check), or what `member` says, whichever comes first.
    pub fn resolve<E: From<DraftError>>(
        self,
        id: WorkflowId,
        definition: String,
        mut member: impl FnMut(&StepDraft<M>, u32, &M) -> Result<NewTask, E>,
    ) -> Result<NewWorkflow, E> {
        let specs = self.check()?;
        let Self { name, key, tags, retention, deadline, steps } = self;
        let (mut new_steps, mut members) = (Vec::with_capacity(steps.len()), Vec::new());
        for ((step, spec), number) in steps.iter().zip(specs).zip(0_u32..) {
            for (made_of, place) in step.members.iter().zip(0_u32..) {
                let mut task = member(step, place, made_of)?;
                let refers = !step.refers.is_empty();
                let of = Membership { workflow: id, number, step: step.name.clone(), place, refers };
                task.meta.get_or_insert_with(|| Box::new(TaskMeta::default())).member = Some(of);
                members.push(task);
            }
            let count = u32::try_from(step.members.len()).unwrap_or(u32::MAX);
            new_steps.push(NewStep { spec, members: count, open: step.open });
        }
        Ok(NewWorkflow { id, name, key, tags, retention, deadline, definition, steps: new_steps, members })
    }

    /// Of each step all those that have ended when it goes.
    fn ancestors(&self, specs: &[StepSpec]) -> Result<Vec<Vec<bool>>, DraftError> {
        let count = specs.len();
        let mut left: Vec<usize> = specs.iter().map(|spec| spec.after.len()).collect();
        let mut next = vec![Vec::new(); count];
        for (spec, number) in specs.iter().zip(0_usize..) {
            for (from, _) in &spec.after {
                if let Some(of) = next.get_mut(*from as usize) {
                    of.push(number);
                }
            }
        }
        let mut ancestors = vec![vec![false; count]; count];
        let mut ready: Vec<usize> = (0..count).filter(|number| left[*number] == 0).collect();
        let mut at = 0;
        while let Some(number) = ready.get(at).copied() {
            at += 1;
            for to in next[number].clone() {
                let before = ancestors[number].clone();
                for (is, was) in ancestors[to].iter_mut().zip(before) {
                    *is |= was;
                }
                ancestors[to][number] = true;
                left[to] -= 1;
                if left[to] == 0 {
                    ready.push(to);
                }
            }
        }
        match (0..count).find(|number| left[*number] > 0).and_then(|number| self.steps.get(number)) {
            Some(step) => Err(DraftError::of(&step.name, "/after", "waits for itself, by way of what it waits for")),
            None => Ok(ancestors),
        }
    }

    fn check_references(&self, step: &StepDraft<M>, numbers: &HashMap<&str, u32>, ancestors: &[bool]) -> Result<(), DraftError> {
        for reference in &step.refers {
            let Some(name) = &reference.step else {
                if step.is_work() {
                    let why = "refers to the failure of the workflow, which only its handlers can know; name a step";
                    return Err(DraftError::of(&step.name, "/args", why));
                }
                continue;
            };
            let Some(number) = numbers.get(name.as_str()) else {
                return Err(DraftError::of(&step.name, "/args", format!("refers to the step `{name}`, which is not there")));
            };
            let other = self.steps.get(*number as usize);
            // Handlers and what undoes a step run when all work is over.
            let is_over = match step.is_work() {
                true => ancestors.get(*number as usize) == Some(&true),
                false => other.is_some_and(StepDraft::is_work),
            };
            if !is_over {
                let why = format!("refers to the step `{name}`, which need not have ended then; it has to come `after` it");
                return Err(DraftError::of(&step.name, "/args", why));
            }
            if reference.wanted == Wanted::Result && other.is_some_and(|other| other.group) {
                let why = format!("refers to the result of `{name}`, which is a group and has many; ask for `$results`");
                return Err(DraftError::of(&step.name, "/args", why));
            }
        }
        Ok(())
    }
}

impl<M> StepDraft<M> {
    /// A step with one member, which waits for nothing.
    pub fn one(name: impl Into<String>, kind: impl Into<String>, member: M) -> Self {
        Self { members: vec![member], ..Self::none(name, kind) }
    }

    fn none(name: impl Into<String>, kind: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            kind: kind.into(),
            role: Role::Work,
            undoes: None,
            after: Vec::new(),
            tolerance: Tolerance::NONE,
            members: Vec::new(),
            group: false,
            open: false,
            refers: References::new(),
        }
    }

    /// A group, which may be empty: it is over as soon as it may go, then, and has succeeded.
    pub fn group(name: impl Into<String>, kind: impl Into<String>, members: Vec<M>) -> Self {
        Self { members, group: true, ..Self::none(name, kind) }
    }

    /// Adds what some arguments refer to.
    ///
    /// # Errors
    /// If a reference in them can't be read.
    pub fn refer(&mut self, args: &Value) -> Result<(), DraftError> {
        let found = references(args).map_err(|error| DraftError::of(&self.name, "/args", error.to_string()))?;
        for reference in found {
            if !self.refers.contains(&reference) {
                self.refers.push(reference);
            }
        }
        Ok(())
    }

    /// Whether it is part of the work, and neither a handler nor what undoes a step.
    pub fn is_work(&self) -> bool {
        self.role == Role::Work && self.undoes.is_none()
    }

    fn spec(&self, numbers: &HashMap<&str, u32>) -> Result<StepSpec, DraftError> {
        let number = |part: &str, of: &str| {
            let number = numbers.get(of).copied();
            number.ok_or_else(|| DraftError::of(&self.name, part, format!("names the step `{of}`, which is not there")))
        };
        let role = match &self.undoes {
            Some(undoes) => Role::Undo(number("", undoes)?),
            None => self.role,
        };
        let mut named = HashSet::new();
        let after = self.after.iter().zip(0..).map(|((of, needs), at)| {
            let part = format!("/after/{at}");
            if !named.insert(of) {
                return Err(DraftError::of(&self.name, &part, format!("names the step `{of}` twice")));
            }
            Ok((number(&part, of)?, *needs))
        });
        let after = after.collect::<Result<Vec<_>, _>>()?;
        if role != Role::Work && !after.is_empty() {
            return Err(DraftError::of(&self.name, "/after", "is not for what runs when all is over"));
        }
        Ok(StepSpec {
            name: self.name.clone(),
            kind: self.kind.clone(),
            role,
            after,
            group: self.group,
            tolerance: self.tolerance,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn step(name: &str, after: &[&str]) -> StepDraft<()> {
        let after = after.iter().map(|name| ((*name).to_owned(), Needs::Success)).collect();
        StepDraft { after, ..StepDraft::one(name, "t", ()) }
    }

    fn draft(steps: Vec<StepDraft<()>>) -> Draft<()> {
        Draft { name: "w".to_owned(), key: None, tags: Vec::new(), retention: Retention::default(), deadline: None, steps }
    }

    fn refers(name: &str, after: &[&str], args: &Value) -> StepDraft<()> {
        let mut step = step(name, after);
        step.refer(args).unwrap();
        step
    }

    #[test]
    fn steps_are_numbered_in_the_order_in_which_they_were_written() {
        let specs = draft(vec![step("b", &["a"]), step("a", &[])]).check().unwrap();
        assert_eq!((specs[0].after.clone(), specs[1].after.clone()), (vec![(1, Needs::Success)], vec![]));
    }

    #[test]
    fn whatever_is_wrong_is_told_with_its_place() {
        let group = StepDraft { after: vec![], ..StepDraft::group("g", "t", vec![(); 2]) };
        let result = |of: &str| json!({ "n": { "$result": of } });
        let failure = json!({ "why": { "$failure": true } });
        for (steps, says) in [
            (vec![step("a", &["b"]), step("b", &["a"])], "/steps/a/after: waits for itself"),
            (vec![step("a", &["a"])], "/steps/a/after: waits for itself"),
            (vec![step("a", &["b", "c"]), step("b", &[])], "/steps/a/after/1: names the step `c`"),
            (vec![step("a", &["b", "b"]), step("b", &[])], "/steps/a/after/1: names the step `b` twice"),
            (vec![step("a", &[]), step("a", &[])], "/steps/a: is there twice"),
            (vec![step("", &[])], "/steps/: its name "),
            (vec![step("a/b", &["x"])], "/steps/a~1b/after/0: names the step `x`"),
            (vec![refers("a", &[], &result("x"))], "/steps/a/args: refers to the step `x`, which is not there"),
            (vec![step("x", &[]), refers("a", &[], &result("x"))], "/steps/a/args: refers to the step `x`, which need not"),
            (vec![group, refers("a", &["g"], &result("g"))], "/steps/a/args: refers to the result of `g`, which is a group"),
            (vec![refers("a", &[], &failure)], "/steps/a/args: refers to the failure of the workflow"),
            (vec![StepDraft { undoes: Some("x".to_owned()), ..step("u", &[]) }], "/steps/u: names the step `x`"),
            ((0..=STEPS_MAX).map(|n| step(&n.to_string(), &[])).collect(), "/steps: has 1001 steps"),
        ] {
            let error = draft(steps).check().unwrap_err().to_string();
            assert!(error.starts_with(says), "{error}");
        }
        assert!(Draft { name: String::new(), ..draft(vec![]) }.check().unwrap_err().to_string().starts_with("/name: "));
    }

    #[test]
    fn an_ancestor_of_an_ancestor_may_be_referred_to_and_a_handler_may_refer_to_all() {
        let far = refers("c", &["b"], &json!({ "n": { "$result": "a" } }));
        let mut handler = refers("h", &[], &json!({ "why": { "$failure": true }, "n": { "$result": "c" } }));
        handler.role = Role::Handler(Needs::Failure);
        let args = json!({ "why": { "$failure": true }, "n": { "$result": "a" } });
        let undo = StepDraft { undoes: Some("a".to_owned()), ..refers("u", &[], &args) };
        assert!(draft(vec![step("a", &[]), step("b", &["a"]), far, handler, undo]).check().is_ok());
    }
}
