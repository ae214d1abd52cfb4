//! A schedule as it is shown: the JSON that scripts depend on, and the text for people.

use gristmill::beat::{Definition, Origin, ScheduleRecord, ScheduleState};
use gristmill::core::{TickRecord, format_duration};
use gristmill::schedule::Upcoming;
use gristmill::{TaskId, Timestamp};
use serde::Serialize;

use crate::output::{escape, table};
use crate::policies::{catch_up_text, overlap_text};

/// A schedule.
#[derive(Debug, Serialize)]
pub(super) struct ScheduleView {
    pub(super) name: String,
    /// When, in words; `null` if the definition can't be read.
    pub(super) when: Option<String>,
    pub(super) state: ScheduleState,
    /// Why it has ended or was set aside.
    pub(super) reason: Option<String>,
    pub(super) next: Option<Upcoming>,
    pub(super) last: Option<LastRun>,
    runs: u64,
    /// In a row.
    failures: u32,
    pub(super) owner: Option<String>,
    created_at: Timestamp,
    edited_at: Timestamp,
    pub(super) definition: Option<Definition>,
}

#[derive(Debug, Serialize)]
pub(super) struct LastRun {
    tick: Option<Timestamp>,
    task: Option<TaskId>,
    pub(super) at: Option<Timestamp>,
}

/// One line of a history.
#[derive(Debug, Serialize)]
pub(super) struct TickView {
    pub(super) tick: Timestamp,
    pub(super) task: Option<TaskId>,
    pub(super) lateness_ms: u64,
    pub(super) outcome: &'static str,
    pub(super) reason: Option<String>,
}

impl ScheduleView {
    pub(super) fn of(record: ScheduleRecord) -> Self {
        let plan = record.definition.as_ref().and_then(|definition| definition.timing.plan().ok());
        let memory = record.memory;
        let last = LastRun { tick: memory.last_tick, task: memory.last_task, at: memory.last_run_at };
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

    /// State and reason, for people.
    pub(super) fn standing(&self) -> String {
        match &self.reason {
            Some(reason) => format!("{}: {reason}", self.word()),
            None => self.word(),
        }
    }

    fn word(&self) -> String {
        self.state.to_string().replace('_', " ")
    }

    /// The text for people.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: &str| {
            if !value.is_empty() {
                text.push_str(&format!("{name:<12}{}\n", escape(value)));
            }
        };
        line("name", &self.name);
        line("when", self.when.as_deref().unwrap_or_default());
        line("state", &self.standing());
        if let Some(next) = &self.next {
            line("next", &format!("{} ({})", next.local, next.utc));
            line("", next.remark.as_deref().unwrap_or_default());
        }
        if let Some(LastRun { at: Some(at), task, .. }) = &self.last {
            line("last run", &format!("{at} {}", task.map(|id| id.to_string()).unwrap_or_default()));
        }
        line("runs", &format!("{}, {} failures in a row", self.runs, self.failures));
        if let Some(definition) = &self.definition {
            describe(definition, &mut line);
            line("from", &origin(definition, self.owner.as_deref()));
        }
        line("created", &self.created_at.to_string());
        line("edited", &self.edited_at.to_string());
        text
    }

    /// How many runs its bound leaves; `None` if it has none.
    pub(super) fn runs_left(&self) -> Option<u64> {
        Some(self.definition.as_ref()?.max_runs?.saturating_sub(self.runs))
    }

    /// One line about what was done to it.
    pub(super) fn line(&self) -> String {
        let next = self.next.as_ref().map(|next| format!("; next {}", next.local)).unwrap_or_default();
        let when = self.when.as_deref().unwrap_or("?");
        format!("{}: {when}; {}{next}\n", escape(&self.name), escape(&self.standing()))
    }
}

impl From<TickRecord> for TickView {
    fn from(tick: TickRecord) -> Self {
        Self {
            tick: tick.at,
            task: tick.task,
            lateness_ms: u64::try_from(tick.written_at.since(tick.at).as_millis()).unwrap_or(u64::MAX),
            outcome: tick.outcome.as_str(),
            reason: tick.reason,
        }
    }
}

/// Ticks to come, for people.
pub(super) fn upcoming(ticks: &[Upcoming]) -> String {
    let row = |tick: &Upcoming| vec![tick.local.clone(), tick.utc.to_string(), tick.remark.clone().unwrap_or_default()];
    table(&["local", "utc", "remark"], ticks.iter().map(row))
}

fn describe(definition: &Definition, line: &mut impl FnMut(&str, &str)) {
    let Definition { timing, options, .. } = definition;
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    line("about", &definition.description);
    line("task", &definition.task);
    line("args", &serde_json::Value::Object(definition.args.clone()).to_string());
    line("tick arg", definition.tick_arg.as_deref().unwrap_or_default());
    line("queue", options.queue.as_deref().unwrap_or_default());
    line("priority", &options.priority.map(|priority| priority.to_string()).unwrap_or_default());
    line("expires", &options.expires.map(format_duration).unwrap_or_default());
    line("start", &time(timing.start));
    line("end", &time(timing.end));
    if !timing.jitter.is_zero() {
        line("jitter", &format_duration(timing.jitter));
    }
    line("catch up", &catch_up_text(definition.catch_up));
    line("overlap", &overlap_text(definition.overlap));
    line("distance", &definition.min_distance.map(format_duration).unwrap_or_default());
    if definition.penalty > 0 {
        line("penalty", &format!("at most {} ticks", definition.penalty));
    }
    line("max runs", &definition.max_runs.map(|runs| runs.to_string()).unwrap_or_default());
}

fn origin(definition: &Definition, owner: Option<&str>) -> String {
    let from = match definition.origin {
        Origin::Operator => "made at run time".to_owned(),
        Origin::Code => format!("the code of {}", owner.unwrap_or("a program")),
        Origin::Config => owner.unwrap_or("a configuration").to_owned(),
    };
    if definition.edited { format!("{from}, edited since") } else { from }
}
