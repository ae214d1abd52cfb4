use serde::Serialize;

use crate::{TaskId, TickOutcome, TickRecord, Timestamp};

/// What became of a schedule's tick.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TickJson {
    /// The instant that the rule names.
    pub tick: Timestamp,
    /// The task that was made.
    pub task: Option<TaskId>,
    /// How long after its instant it was dealt with.
    pub lateness_ms: u64,
    /// What became of it.
    pub outcome: TickOutcome,
    /// Why.
    pub reason: Option<String>,
}

impl TickJson {
    /// A tick of a schedule.
    pub fn of(tick: TickRecord) -> Self {
        Self {
            tick: tick.at,
            task: tick.task,
            lateness_ms: u64::try_from(tick.lateness().as_millis()).unwrap_or(u64::MAX),
            outcome: tick.outcome,
            reason: tick.reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_is_exactly_this() {
        let (at, written_at) = (Timestamp::from_millis(1_000), Timestamp::from_millis(1_250));
        let tick = TickRecord { at, written_at, task: None, outcome: TickOutcome::Skipped, reason: Some("busy".to_owned()) };
        let expected = r#"{"tick":"1970-01-01T00:00:01.000Z","task":null,"lateness_ms":250,"outcome":"skipped","reason":"busy"}"#;
        assert_eq!(serde_json::to_string(&TickJson::of(tick)).unwrap(), expected);
    }

    #[test]
    fn an_outcome_is_written_as_people_read_it() {
        for outcome in TickOutcome::ALL {
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.as_str());
        }
    }
}
