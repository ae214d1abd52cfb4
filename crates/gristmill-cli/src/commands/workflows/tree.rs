//! A workflow as text for people; scripts read its JSON form, [`WorkflowJson`].

use gristmill::core::json::{RoleWord, SkipJson, StepJson, WorkflowJson};
use gristmill::core::workflow::{Needs, StepWord, WorkflowRecord, WorkflowState, waits_for};
use gristmill::record::TaskRecord;

use super::list::standing;
use crate::output::{escape, number_of};

/// So many steps are named that another one waits for.
const STEPS_TOLD: usize = 5;

/// A workflow and its steps, each below the last one that it waits for. `tasks` are those of each step that are shown one by one.
pub(super) fn text(workflow: &WorkflowRecord, tasks: &[Vec<TaskRecord>]) -> String {
    let form = WorkflowJson::with_steps(workflow.clone());
    let mut text = head(&form);
    let steps = form.steps.unwrap_or_default();
    let tree = Tree { workflow, steps: &steps, tasks, below: below(workflow) };
    let roots: Vec<_> = (0..steps.len()).filter(|number| !tree.below.iter().any(|steps| steps.contains(number))).collect();
    for number in roots {
        tree.step(number, "", "", &mut text);
    }
    text
}

fn head(workflow: &WorkflowJson) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            text.push_str(&format!("{name:<12}{}\n", escape(value)));
        }
    };
    line("id", &workflow.id.to_string());
    line("workflow", &workflow.name);
    line("key", workflow.key.as_deref().unwrap_or_default());
    line("state", &standing(workflow));
    line("attempt", &workflow.attempt.to_string());
    line("created", &workflow.created_at.to_string());
    let deadline =
        workflow.deadline.map(|at| if workflow.overdue { format!("{at}, and was cancelled for it") } else { at.to_string() });
    line("deadline", &deadline.unwrap_or_default());
    line("finished", &workflow.finished_at.map(|at| at.to_string()).unwrap_or_default());
    line("tags", &workflow.tags.join(", "));
    text.push('\n');
    text
}

/// Of each step those that are shown below it: what waits for several is below the last of them.
fn below(workflow: &WorkflowRecord) -> Vec<Vec<usize>> {
    let mut below = vec![Vec::new(); workflow.steps.len()];
    for (step, number) in workflow.steps.iter().zip(0..) {
        let last = step.spec.after.iter().map(|(from, _)| *from as usize).max();
        if let Some(steps) = last.and_then(|last| below.get_mut(last)) {
            steps.push(number);
        }
    }
    below
}

struct Tree<'a> {
    workflow: &'a WorkflowRecord,
    steps: &'a [StepJson],
    tasks: &'a [Vec<TaskRecord>],
    below: Vec<Vec<usize>>,
}

impl Tree<'_> {
    /// A step, its tasks, and the steps below it. `first` stands before its own line, and `rest` before the others.
    fn step(&self, number: usize, first: &str, rest: &str, text: &mut String) {
        let (Some(step), Some(below)) = (self.steps.get(number), self.below.get(number)) else { return };
        let line = [step.name.clone(), step.state.as_str().to_owned(), tally(step), self.about(number, step)];
        let line: Vec<_> = line.iter().filter(|part| !part.is_empty()).map(|part| escape(part)).collect();
        text.push_str(&format!("{first}{}\n", line.join("  ")));
        let bar = if below.is_empty() { "  " } else { "│ " };
        for task in self.tasks.get(number).into_iter().flatten() {
            text.push_str(&format!("{rest}{bar}· {}\n", escape(&of_task(task))));
        }
        for (nth, child) in below.iter().enumerate() {
            let (branch, more) = if nth + 1 == below.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            self.step(*child, &format!("{rest}{branch}"), &format!("{rest}{more}"), text);
        }
    }

    /// What it waits for, or why it was skipped, and what it is there for if it is no work.
    fn about(&self, number: usize, step: &StepJson) -> String {
        let role = match (step.role, &step.undoes) {
            (RoleWord::Work, _) => String::new(),
            (RoleWord::OnSuccess, _) => "when all is done".to_owned(),
            (RoleWord::OnFailure, _) => "when something failed".to_owned(),
            (RoleWord::Always, _) => "when all is over".to_owned(),
            (RoleWord::Undo, undoes) => format!("undoes {}", undoes.as_deref().unwrap_or_default()),
        };
        let why = match (&step.reason, step.state) {
            (Some(SkipJson::After(other)), _) => format!("as {other} {}", self.came_out(other)),
            (Some(SkipJson::Cancelled), _) => "as the workflow was cancelled".to_owned(),
            (Some(SkipJson::NotNeeded), _) => "as it is not needed".to_owned(),
            // What else it is there for says when it goes.
            (None, StepWord::Waiting) if step.role == RoleWord::Work => self.waits(number, step),
            (None, _) => String::new(),
        };
        [role, why].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
    }

    fn waits(&self, number: usize, step: &StepJson) -> String {
        if self.workflow.state == WorkflowState::Paused {
            return "until the workflow is resumed".to_owned();
        }
        let numbers = waits_for(&self.workflow.steps, u32::try_from(number).unwrap_or(u32::MAX));
        let names: Vec<_> = numbers.iter().filter_map(|number| Some(self.steps.get(*number as usize)?.name.as_str())).collect();
        let needs = |name: &str| match step.after.iter().find(|(after, _)| after == name) {
            Some((_, Needs::Failure)) => " (to fail)",
            Some((_, Needs::End)) => " (to end)",
            Some((_, Needs::Success)) | None => "",
        };
        let told: Vec<_> = names.iter().take(STEPS_TOLD).map(|name| format!("{name}{}", needs(name))).collect();
        match (names.len() - told.len(), told.as_slice()) {
            (_, []) => String::new(),
            (0, told) => format!("for {}", told.join(", ")),
            (more, told) => format!("for {} and {more} more", told.join(", ")),
        }
    }

    /// How another step ended.
    fn came_out(&self, name: &str) -> &'static str {
        match self.steps.iter().find(|step| step.name == name).map(|step| step.state) {
            Some(StepWord::Failed) => "failed",
            Some(StepWord::Cancelled) => "was cancelled",
            Some(StepWord::Skipped) => "was skipped",
            Some(StepWord::Succeeded) => "succeeded",
            Some(StepWord::Waiting | StepWord::Running) | None => "did not end as it had to",
        }
    }
}

/// How many tasks it has, and what became of them; of one alone, the state of the step says it.
fn tally(step: &StepJson) -> String {
    if step.tasks == 1 && !step.open {
        return String::new();
    }
    let more = if step.open { ", and more to come" } else { "" };
    let parts = [("succeeded", step.succeeded), ("failed", step.failed), ("cancelled", step.cancelled)];
    let parts: Vec<_> = parts.iter().filter(|(_, count)| *count > 0).map(|(what, count)| format!("{count} {what}")).collect();
    let ended = if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) };
    format!("{}{more}{ended}", number_of(step.tasks.into(), "task"))
}

/// A task of a step in one line.
fn of_task(task: &TaskRecord) -> String {
    let started = task.attempts.last().and_then(|attempt| attempt.started_at).map(|at| format!(" from {at}"));
    let ended = task.ended_at.map(|at| format!(" to {at}"));
    let error = task.error.as_ref().map(|error| format!(": {}", error.message));
    let parts = [started, ended, error].map(Option::unwrap_or_default);
    format!("{} {}{}", task.id, task.state, parts.concat())
}
