//! A schedule as text for people; scripts read its JSON form, [`ScheduleJson`].

use gristmill::Timestamp;
use gristmill::beat::{Definition, LastRunJson, Origin, ScheduleJson};
use gristmill::core::format_duration;
use gristmill::schedule::Upcoming;

use crate::output::{escape, table};
use crate::policies::{catch_up_text, overlap_text};

/// A schedule with all that is set.
pub(super) fn text(schedule: &ScheduleJson) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            text.push_str(&format!("{name:<12}{}\n", escape(value)));
        }
    };
    line("name", &schedule.name);
    line("when", schedule.when.as_deref().unwrap_or_default());
    line("state", &standing(schedule));
    if let Some(next) = &schedule.next {
        line("next", &format!("{} ({})", next.local, next.utc));
        line("", next.remark.as_deref().unwrap_or_default());
    }
    if let Some(LastRunJson { at: Some(at), task, .. }) = &schedule.last {
        line("last run", &format!("{at} {}", task.map(|id| id.to_string()).unwrap_or_default()));
    }
    line("runs", &format!("{}, {} failures in a row", schedule.runs, schedule.failures));
    if let Some(definition) = &schedule.definition {
        describe(definition, &mut line);
        line("from", &origin(definition, schedule.owner.as_deref()));
    }
    line("created", &schedule.created_at.to_string());
    line("edited", &schedule.edited_at.to_string());
    text
}

/// One line about what was done to it.
pub(super) fn line(schedule: &ScheduleJson) -> String {
    let next = schedule.next.as_ref().map(|next| format!("; next {}", next.local)).unwrap_or_default();
    let when = schedule.when.as_deref().unwrap_or("?");
    format!("{}\n", escape(&format!("{}: {when}; {}{next}", schedule.name, standing(schedule))))
}

/// State and reason.
pub(super) fn standing(schedule: &ScheduleJson) -> String {
    let word = schedule.state.to_string().replace('_', " ");
    match &schedule.reason {
        Some(reason) => format!("{word}: {reason}"),
        None => word,
    }
}

/// How many runs its bound leaves; `None` if it has none.
pub(super) fn runs_left(schedule: &ScheduleJson) -> Option<u64> {
    Some(schedule.definition.as_ref()?.max_runs?.saturating_sub(schedule.runs))
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
    line("timeout", &options.timeout.map(format_duration).unwrap_or_default());
    line("attempts", &options.max_attempts.map(|attempts| attempts.to_string()).unwrap_or_default());
    line("tags", &options.tags.join(", "));
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
