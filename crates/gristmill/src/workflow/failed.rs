use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::core::workflow::Member;
use crate::core::{Failure, FailureReason, State, TaskId};

/// What went wrong in a workflow, as its handlers get it: the member that did not succeed, and why.
///
/// As JSON, which `{"$failure": "STEP"}` stands for, it is one object: `step`, `task`, `kind`, `state`, `attempt`, `reason`, `message`, and
/// `chain` and `trace` where there are any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// The name of its step.
    pub step: String,
    /// The task.
    pub task: TaskId,
    /// Its task type.
    pub kind: String,
    /// [`Failed`](State::Failed), [`Cancelled`](State::Cancelled) or [`Expired`](State::Expired).
    pub state: State,
    /// The number of its last attempt; 0 if there was none.
    pub attempt: u32,
    /// Why.
    #[serde(flatten)]
    pub failure: Failure,
}

impl Failed {
    /// That of a member, if it has ended and did not succeed.
    pub(crate) fn of(step: &str, kind: &str, member: Member) -> Option<Self> {
        let (reason, message) = match member.state {
            State::Failed => (FailureReason::Error, "no reason was kept"),
            State::Cancelled => (FailureReason::Cancelled, "it was cancelled"),
            State::Expired => (FailureReason::Expired, "it was not started in time"),
            State::Succeeded | State::Blocked | State::Scheduled | State::Waiting | State::Ready | State::Running => return None,
        };
        Some(Self {
            step: step.to_owned(),
            task: member.task,
            kind: kind.to_owned(),
            state: member.state,
            attempt: member.attempt,
            failure: member.error.unwrap_or_else(|| Failure::new(reason, message)),
        })
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, task, kind, state, failure, .. } = self;
        write!(f, "step `{step}`, task {task} of type `{kind}` {state}: {}", failure.message)
    }
}

impl JsonSchema for Failed {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Failed".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "What went wrong in a workflow",
            "properties": {
                "step": { "type": "string" },
                "task": generator.subschema_for::<TaskId>(),
                "kind": { "type": "string" },
                "state": { "type": "string" },
                "attempt": { "type": "integer", "format": "uint32", "minimum": 0 },
                "reason": { "type": "string" },
                "message": { "type": "string" },
                "chain": { "type": "array", "items": { "type": "string" } },
                "trace": { "type": ["string", "null"] },
            },
            "required": ["step", "task", "kind", "state", "attempt", "reason", "message"],
        })
    }
}
