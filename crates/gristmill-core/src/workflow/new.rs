use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Flow, Needs, Role, StepRow, StepState, Tolerance};
use crate::kind::check_labels;
use crate::limits::{BATCH_TASKS_MAX, STEPS_MAX};
use crate::{InvalidInput, NewTask, Retention, WorkflowId, limits};

/// A workflow on its way into a store: everything is decided, nothing is yet kept. Made from a [`Draft`](super::Draft), which finds
/// what is wrong with a graph and says where.
#[derive(Clone, Debug, PartialEq)]
pub struct NewWorkflow {
    /// Known before the commit; starting the same id again changes nothing.
    pub id: WorkflowId,
    /// What sort of workflow it is.
    pub name: String,
    /// Held by one run at a time, if there is one: as long as it goes on, another start with it changes nothing.
    pub key: Option<String>,
    /// Labels.
    pub tags: Vec<String>,
    /// How long it is kept once it has ended. Its members have their own, counted from their end, and are kept until it has ended.
    pub retention: Retention,
    /// How long after its start, and after each retry, it is cancelled if it has not ended.
    pub deadline: Option<Duration>,
    /// How it was defined, as JSON text, for people and for export.
    pub definition: String,
    /// Its steps; a step's number is its place here.
    pub steps: Vec<NewStep>,
    /// The members that are known, in the order of their steps and places: tasks with a [`Membership`](crate::Membership).
    pub members: Vec<NewTask>,
}

/// A step of a new workflow.
#[derive(Clone, Debug, PartialEq)]
pub struct NewStep {
    /// What it is.
    pub spec: StepSpec,
    /// How many members come with it.
    pub members: u32,
    /// Whether more of them are to come, by [`Workflows::extend_workflow`](super::Workflows::extend_workflow); it can't end before.
    pub open: bool,
}

/// What a step is, as it was defined; kept as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepSpec {
    /// Its name, of which the workflow has no other.
    pub name: String,
    /// The task type of its members.
    pub kind: String,
    /// What it is there for.
    pub role: Role,
    /// The steps that it waits for, by their numbers, and what it needs of each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<(u32, Needs)>,
    /// Whether it is a group, whose results are an array, however many members it has.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub group: bool,
    /// How many of its members need not succeed.
    #[serde(default = "all", skip_serializing_if = "is_all")]
    pub tolerance: Tolerance,
}

const fn all() -> Tolerance {
    Tolerance::NONE
}

fn is_all(tolerance: &Tolerance) -> bool {
    *tolerance == Tolerance::NONE
}

impl NewWorkflow {
    /// Checks what has a limit, whoever made it. Stores ask it first.
    ///
    /// # Errors
    /// What is out of range, and what would be right.
    pub fn check(&self) -> Result<(), InvalidInput> {
        limits::check_name("workflow", &self.name)?;
        if let Some(key) = &self.key {
            limits::check_name("key", key)?;
        }
        check_labels("tags", self.tags.iter())?;
        check_deadline(self.deadline)?;
        if self.steps.len() > STEPS_MAX {
            return Err(InvalidInput::new("steps", format!("are {}; at most {STEPS_MAX} are allowed", self.steps.len())));
        }
        if self.members.len() > BATCH_TASKS_MAX {
            let message = format!("are {} at once; start with at most {BATCH_TASKS_MAX}, and add the others", self.members.len());
            return Err(InvalidInput::new("members", message));
        }
        let strange = self
            .members
            .iter()
            .find(|member| member.membership().is_none_or(|of| of.workflow != self.id || of.number as usize >= self.steps.len()));
        strange.map_or(Ok(()), |member| {
            Err(InvalidInput::new("members", format!("have the task {}, which is of no step of this workflow", member.id)))
        })
    }

    /// Blocks the members of all steps that do not go at once, given [how it begins](super::Flow::begin).
    pub fn place_members(&mut self, flow: &Flow) {
        for member in &mut self.members {
            let step = member.membership().and_then(|of| flow.steps.get(of.number as usize));
            member.hold.blocked = step.is_none_or(|step| step.row.state != StepState::Goes);
        }
    }
}

impl NewStep {
    /// How it stands before anything has followed.
    pub(super) fn row(&self) -> StepRow {
        let mut row = StepRow::new(self.spec.role, self.members);
        row.tally.closed = !self.open;
        row.tolerance = self.spec.tolerance;
        row
    }
}

/// A deadline of nothing would cancel whatever is started.
pub(super) fn check_deadline(deadline: Option<Duration>) -> Result<(), InvalidInput> {
    match deadline {
        Some(deadline) if deadline.as_millis() == 0 => {
            Err(InvalidInput::new("deadline", "is less than a millisecond; leave it out for none"))
        }
        _ => Ok(()),
    }
}

/// More members for a step that is open.
#[derive(Clone, Debug, PartialEq)]
pub struct Extension {
    /// The workflow.
    pub workflow: WorkflowId,
    /// The number of the step.
    pub step: u32,
    /// The place of the first of them: as many as the step has so far. One that is less has been added before, and is passed over, so
    /// that a repetition after a lost reply adds nothing twice.
    pub from: u32,
    /// At most [`BATCH_TASKS_MAX`], at the places from `from` on: tasks with a [`Membership`](crate::Membership).
    pub members: Vec<NewTask>,
    /// That these are the last: the step can end, and takes no more.
    pub close: bool,
}

/// What became of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    /// It is kept, and goes on.
    Created,
    /// This run stands for it: it was started before under the same id, or holds the key. Nothing changed.
    Exists(WorkflowId),
    /// One of its members has the id of another task; nothing changed.
    Conflict,
}

/// What became of more members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extended {
    /// They are kept; so many the step has now.
    Added(u32),
    /// The step takes no more, or has ended; nothing changed.
    Closed,
    /// The step has only so many: others have to be added before these. Nothing changed.
    Gap(u32),
    /// One of them has the id of another task; nothing changed.
    Conflict,
    /// There is no such workflow or step.
    NotFound,
}
