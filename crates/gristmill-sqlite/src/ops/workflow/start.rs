use gristmill_core::kit::encode::{at, chore_of, ms, retention_of, step_state_of, to_json, workflow_end_of};
use gristmill_core::workflow::{Flow, NewWorkflow};
use gristmill_core::{NewTask, StoreError, Timestamp};

use super::kept::keep_until;
use crate::step::{Statement, Step, Value};

/// The rows of a new workflow, which every driver writes alike: that of the run, those of its steps, and its members as tasks. Pure: it
/// reads no clock and touches no file.
pub(crate) struct Start {
    new: NewWorkflow,
    flow: Flow,
    tags: String,
    specs: Vec<String>,
    now: Timestamp,
}

impl Start {
    /// Decides how its steps begin.
    ///
    /// # Errors
    /// If it is out of a limit.
    pub(crate) fn new(mut new: NewWorkflow, now: Timestamp) -> Result<Self, StoreError> {
        new.check()?;
        let flow = Flow::begin(&new);
        new.place_members(&flow);
        let (tags, specs) = (to_json(&new.tags), new.steps.iter().map(|step| to_json(&step.spec)).collect());
        Ok(Self { new, flow, tags, specs, now })
    }

    /// As it is started.
    pub(crate) fn workflow(&self) -> &NewWorkflow {
        &self.new
    }

    /// When it is started.
    #[cfg(any(feature = "sqlx-0_8", feature = "sqlx-0_9"))]
    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    /// The tasks to be enqueued.
    pub(crate) fn members(&self) -> &[NewTask] {
        &self.new.members
    }

    /// When it is cancelled if it has not ended.
    pub(super) fn deadline_at(&self) -> Option<i64> {
        self.new.deadline.map(|deadline| at(self.now.saturating_add(deadline)))
    }

    /// Whether something is to be done to members when all is written.
    pub(crate) fn has_chores(&self) -> bool {
        self.flow.steps.iter().any(|step| step.chore.is_some())
    }

    /// The first statement: it changes nothing if another run stands for this one.
    pub(crate) fn run(&self) -> Step<'_> {
        let NewWorkflow { id, name, key, retention, deadline, definition, .. } = &self.new;
        let retention = retention_of(*retention);
        let finished_at = self.flow.end.map(|_| at(self.now));
        let values = [
            Value::Blob(id.as_bytes()),
            Value::Text(name),
            key.as_deref().into(),
            Value::Text(&self.tags),
            Value::Int(retention),
            Value::Int(workflow_end_of(self.flow.end).into()),
            Value::Int(at(self.now)),
            finished_at.into(),
            keep_until(retention, finished_at).into(),
            Value::Text(definition),
            deadline.map(ms).into(),
            self.deadline_at().into(),
        ];
        Step::new(Statement::WorkflowInsert, values)
    }

    /// Those of its steps.
    pub(crate) fn steps(&self) -> impl Iterator<Item = Step<'_>> {
        let steps = self.new.steps.iter().zip(&self.flow.steps).zip(&self.specs).zip(0_i64..);
        steps.map(|(((new, step), spec), number)| {
            let tally = step.row.tally;
            let values = [
                Value::Blob(self.new.id.as_bytes()),
                Value::Int(number),
                Value::Text(&new.spec.name),
                Value::Int(step_state_of(step.row.state).into()),
                Value::Int(tally.members.into()),
                Value::Int(tally.closed.into()),
                Value::Int(chore_of(step.chore.map(|(chore, _)| chore)).into()),
                Value::Text(spec),
            ];
            Step::new(Statement::StepInsert, values)
        })
    }
}
