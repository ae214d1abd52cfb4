use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::core::durable::{Kept, Memories, Memory, Mismatch};
use crate::core::{Failure, State, TaskId, TaskRecord, Timestamp, WorkflowId};

/// A task with what it remembers of its durable steps, as `gristmill tasks export` writes it. Arguments and values are in the form in which they are
/// stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// The task.
    pub id: TaskId,
    /// Its task type.
    pub kind: String,
    /// Where it stood.
    pub state: State,
    /// The number of its last attempt.
    pub attempt: u32,
    /// Its arguments.
    pub args: Value,
    /// When it was enqueued.
    pub created_at: Timestamp,
    /// The time of its store.
    pub now: Timestamp,
    /// What it has asked for, in the order of the positions.
    pub steps: Vec<RecordedStep>,
}

/// Something that a task has asked for, and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordedStep {
    /// Its position, from 0 on.
    pub position: u32,
    /// Its name.
    pub name: String,
    /// The how-manieth of that name it was, from 0 on.
    #[serde(default)]
    pub occurrence: u32,
    #[serde(flatten)]
    kept: KeptJson,
}

/// [`Kept`] as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kept", rename_all = "snake_case")]
enum KeptJson {
    Value { value: Value },
    Failed { failure: Failure },
    Patched,
    Sleeps { until: Timestamp },
    Event { event: String, until: Option<Timestamp> },
    TimedOut,
    Workflow { workflow: WorkflowId },
    Replaced { workflow: WorkflowId, result: Option<Value> },
    Mismatch { mismatch: Mismatch },
}

impl Recorded {
    pub(crate) fn of(task: TaskRecord, memories: Memories) -> Self {
        let TaskRecord { id, kind, state, attempt, args, created_at, .. } = task;
        let steps = memories.kept.into_iter().map(RecordedStep::of).collect();
        Self { id, kind, state, attempt, args: json(args), created_at, now: memories.now, steps }
    }

    /// What it remembers.
    #[cfg(feature = "testing")]
    pub(crate) fn memories(&self) -> Memories {
        Memories { now: self.now, kept: self.steps.iter().cloned().map(RecordedStep::into_memory).collect() }
    }
}

impl RecordedStep {
    fn of(memory: Memory) -> Self {
        let Memory { position, name, occurrence, kept } = memory;
        let kept = match kept {
            Kept::Value(value) => KeptJson::Value { value: json(value) },
            Kept::Failed(failure) => KeptJson::Failed { failure },
            Kept::Patched => KeptJson::Patched,
            Kept::Sleeps(until) => KeptJson::Sleeps { until },
            Kept::Event { name, until } => KeptJson::Event { event: name, until },
            Kept::TimedOut => KeptJson::TimedOut,
            Kept::Workflow(workflow) => KeptJson::Workflow { workflow },
            Kept::Replaced { by, result } => KeptJson::Replaced { workflow: by, result: result.map(json) },
            Kept::Mismatch(mismatch) => KeptJson::Mismatch { mismatch },
        };
        Self { position, name, occurrence, kept }
    }

    #[cfg(feature = "testing")]
    fn into_memory(self) -> Memory {
        let Self { position, name, occurrence, kept } = self;
        let kept = match kept {
            KeptJson::Value { value } => Kept::Value(value.to_string()),
            KeptJson::Failed { failure } => Kept::Failed(failure),
            KeptJson::Patched => Kept::Patched,
            KeptJson::Sleeps { until } => Kept::Sleeps(until),
            KeptJson::Event { event, until } => Kept::Event { name: event, until },
            KeptJson::TimedOut => Kept::TimedOut,
            KeptJson::Workflow { workflow } => Kept::Workflow(workflow),
            KeptJson::Replaced { workflow, result } => {
                Kept::Replaced { by: workflow, result: result.map(|result| result.to_string()) }
            }
            KeptJson::Mismatch { mismatch } => Kept::Mismatch(mismatch),
        };
        Memory { position, name, occurrence, kept }
    }
}

/// Text that is JSON, or should be.
fn json(text: String) -> Value {
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}
