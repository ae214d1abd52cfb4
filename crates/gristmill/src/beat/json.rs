use serde::Serialize;

use super::definition::Definition;
use super::record::{ScheduleRecord, ScheduleState};
use crate::core::{TaskId, Timestamp};
use crate::schedule::Upcoming;

/// The one JSON form of a schedule: what the command line prints and an HTTP API answers. See [`core::json`](crate::core::json)
/// for the others, and for what scripts may rely on.
///
/// ```
/// # use gristmill::beat::{ScheduleJson, ScheduleRecord};
/// fn line(schedule: ScheduleRecord) -> serde_json::Result<String> {
///     serde_json::to_string(&ScheduleJson::of(schedule))
/// }
/// ```
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ScheduleJson {
    /// Its name.
    pub name: String,
    /// When, in words; `null` if the definition can't be read.
    pub when: Option<String>,
    /// Whether it ticks.
    pub state: ScheduleState,
    /// Why it has ended or was set aside.
    pub reason: Option<String>,
    /// The tick to come; `null` while it does not tick.
    pub next: Option<Upcoming>,
    /// The last run; `null` before the first.
    pub last: Option<LastRunJson>,
    /// How often it ran.
    pub runs: u64,
    /// How many runs have failed since the last that did not.
    pub failures: u32,
    /// The program or the file that defines it; `null` for one made at run time.
    pub owner: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last edited.
    pub edited_at: Timestamp,
    /// What it is; `null` if it can't be read.
    pub definition: Option<Definition>,
}

/// The last run of a schedule.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct LastRunJson {
    /// The tick that it was for.
    pub tick: Option<Timestamp>,
    /// Its task.
    pub task: Option<TaskId>,
    /// When its task was made.
    pub at: Option<Timestamp>,
}

impl ScheduleJson {
    /// A schedule as it stands.
    pub fn of(record: ScheduleRecord) -> Self {
        let plan = record.definition.as_ref().and_then(|definition| definition.timing.plan().ok());
        let memory = record.memory;
        let last = LastRunJson { tick: memory.last_tick, task: memory.last_task, at: memory.last_run_at };
        Self {
            next: record.next.and_then(|tick| Some(plan.as_ref()?.upcoming(tick))),
            when: plan.map(|_| record.rule),
            state: record.state,
            // The state says already that it was set aside.
            reason: record.why.map(|why| why.strip_prefix("set aside: ").map_or(why.clone(), str::to_owned)),
            last: last.at.is_some().then_some(last),
            runs: memory.runs,
            failures: memory.failures,
            name: record.name,
            owner: record.owner,
            created_at: record.created_at,
            edited_at: record.edited_at,
            definition: record.definition,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::beat::stored;
    use crate::core::Schedule;
    use crate::schedule::Rule;

    #[test]
    fn a_schedule_is_exactly_this() {
        let at = Timestamp::from_millis(1_000);
        let definition = Definition::named(Rule::cron("0 3 * * *"), "report", serde_json::json!({})).tz("Europe/Rome");
        let schedule = Schedule {
            name: "nightly".to_owned(),
            owner: None,
            body: stored::json(&definition),
            due_at: None,
            memory: r#"{"after":"1970-01-01T00:00:01.000Z"}"#.to_owned(),
            revision: 1,
            created_at: at,
            edited_at: at,
        };
        let text = serde_json::to_string(&ScheduleJson::of(ScheduleRecord::of(schedule.clone()))).unwrap();
        let expected = concat!(
            r#"{"name":"nightly","when":"at 03:00 every day, Europe/Rome","state":"active","reason":null,"#,
            r#""next":{"utc":"1970-01-01T02:00:00.000Z","local":"1970-01-01T03:00:00+01:00","remark":null},"last":null,"#,
            r#""runs":0,"failures":0,"owner":null,"created_at":"1970-01-01T00:00:01.000Z","#,
            r#""edited_at":"1970-01-01T00:00:01.000Z","definition":"#,
        );
        assert!(text.starts_with(expected), "{text}");
        let broken = Schedule { body: "{".to_owned(), owner: Some("app".to_owned()), ..schedule };
        let text = serde_json::to_string(&ScheduleJson::of(ScheduleRecord::of(broken))).unwrap();
        assert!(text.starts_with(r#"{"name":"nightly","when":null,"state":"set_aside","reason":""#), "{text}");
        assert!(text.ends_with(r#""definition":null}"#), "{text}");
    }
}
