use serde::Serialize;

use crate::TaskId;

/// What became of one task that an operation named: `{"id": ..., "outcome": "cancelled"}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct OutcomeJson<O> {
    /// The task.
    pub id: TaskId,
    /// A [`CancelOutcome`](crate::CancelOutcome) or a [`RetryOutcome`](crate::RetryOutcome).
    pub outcome: O,
}

/// How a queue stands after it was paused or resumed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PausedJson {
    /// The queue.
    pub queue: String,
    /// Whether claims are stopped.
    pub paused: bool,
}

/// How a task type stands after it was paused or resumed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PausedKindJson {
    /// The task type.
    pub kind: String,
    /// Whether claims of it are stopped.
    pub paused: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CancelOutcome, RetryOutcome};

    #[test]
    fn answers_are_exactly_these() {
        let id: TaskId = "019a0000-0000-7000-8000-000000000001".parse().unwrap();
        let text = |outcome| serde_json::to_string(&OutcomeJson { id, outcome }).unwrap();
        let expected = r#"{"id":"019a0000-0000-7000-8000-000000000001","outcome":"cancel_requested"}"#;
        assert_eq!(text(CancelOutcome::CancelRequested), expected);
        let retried = serde_json::to_string(&OutcomeJson { id, outcome: RetryOutcome::NotEnded }).unwrap();
        assert!(retried.ends_with(r#""outcome":"not_ended"}"#), "{retried}");
        let paused = PausedJson { queue: "mail".to_owned(), paused: true };
        assert_eq!(serde_json::to_string(&paused).unwrap(), r#"{"queue":"mail","paused":true}"#);
        let paused = PausedKindJson { kind: "mail.send".to_owned(), paused: true };
        assert_eq!(serde_json::to_string(&paused).unwrap(), r#"{"kind":"mail.send","paused":true}"#);
    }
}
