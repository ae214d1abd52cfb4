//! A task as `tasks list` and `tasks show` print it, taken as a line of an import: what has not run in one store goes on in another.

use gristmill::core::{NewTask, Overrides};
use gristmill::record::State;
use gristmill::written::{self, Entries, read_option, unknown};
use serde_json::value::RawValue;

use super::jsonl::Line;

/// What a listed task says about a new one as any other line does.
const OPTIONS: [&str; 8] = ["id", "queue", "priority", "max_attempts", "max_crashes", "title", "tags", "headers"];
/// What says whether there is to be one.
const STANDING: [&str; 3] = ["state", "cancel_requested", "workflow"];
/// What says nothing about that.
const PAST: [&str; 9] = ["unique", "attempt", "crashes", "result", "error", "created_at", "ended_at", "attempts", "step"];

/// Reads a line; `None` if it is no listed task: only that has both of these keys, and any other line with one of them is one in which
/// such a key is misspelt or out of place.
pub(super) fn read<'a>(entries: &Entries<'a>) -> Option<Result<Line<'a>, String>> {
    let (kind, state) = (entries.get("kind")?, entries.get("state")?);
    Some(line(entries, kind, state))
}

fn line<'a>(entries: &Entries<'a>, kind: &'a RawValue, state: &'a RawValue) -> Result<Line<'a>, String> {
    let mut options = Overrides::default();
    for (key, value) in entries.iter() {
        let in_field = |why: String| format!("{key}: {why}");
        match key {
            // It is due when it was, and not a wait from now on.
            "run_at" => (options.run_at, options.debounce) = (written::read(value).map_err(in_field)?, Some(None)),
            "parent" => options.parent = written::read(value).map_err(in_field)?,
            "kind" | "args" => {}
            _ if OPTIONS.contains(&key) => _ = read_option(&mut options, key, value).map_err(in_field)?,
            _ if STANDING.contains(&key) || PAST.contains(&key) => {}
            _ => {
                let known = ["run_at", "parent", "kind", "args"].into_iter().chain(OPTIONS).chain(STANDING).chain(PAST);
                return Err(unknown(key, known));
            }
        }
    }
    check(written::read(state).map_err(|why| format!("state: {why}"))?, entries)?;
    let task = written::read(kind).map_err(|why| format!("kind: {why}"))?;
    Ok(Line { task, args: entries.get("args").filter(|args| args.get() != "null"), options, is_listed: true })
}

/// Refuses a task that has run, or runs: nobody wants it done twice.
fn check(state: State, entries: &Entries<'_>) -> Result<(), String> {
    match state {
        state if state.is_final() => {
            return Err(format!("is a task that has ended ({state}), and would be run again; leave it out"));
        }
        State::Running => {
            return Err("is a task that runs; stop its worker, or `tasks release` it, and list it anew".to_owned());
        }
        State::Blocked => return Err("is a task that waits for others, which no line can say".to_owned()),
        State::Scheduled
        | State::Waiting
        | State::Ready
        | State::Succeeded
        | State::Failed
        | State::Cancelled
        | State::Expired => {}
    }
    let is_cancelled = entries.get("cancel_requested").map_or(Ok(false), written::read);
    if is_cancelled.map_err(|why| format!("cancel_requested: {why}"))? {
        return Err("is a task that somebody cancelled; leave it out".to_owned());
    }
    if entries.get("workflow").is_some_and(|workflow| workflow.get() != "null") {
        return Err("is a task of a workflow, which no line can say; start the workflow there".to_owned());
    }
    Ok(())
}

/// Takes away labels that are there twice: a listed task has those of its type among its own, and a new one gets them anew.
pub(super) fn merge_tags(task: &mut NewTask) {
    let Some(meta) = &mut task.meta else { return };
    let mut seen = std::collections::HashSet::new();
    meta.tags.retain(|tag| seen.insert(tag.clone()));
}
