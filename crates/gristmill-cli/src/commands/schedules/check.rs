//! What is wrong with schedules, for `doctor`.

use std::time::Duration;

use gristmill::Client;
use gristmill::beat::{ScheduleError, ScheduleRecord, ScheduleState};
use gristmill::core::{Finding, limits};

/// A beat that lives deals with what is due within seconds, though it may have to take over from a dead one first.
const OVERDUE: Duration = Duration::from_secs(60);
/// Names that one finding repeats.
const NAMES_SHOWN: usize = 10;

/// Schedules that nobody can read, and those that no beat looks at.
///
/// # Errors
/// If the store can't be read.
pub(crate) async fn check(client: &Client) -> Result<Vec<Finding>, ScheduleError> {
    let mut findings = Vec::new();
    let aside = names(client, |record| record.state == ScheduleState::SetAside).await?;
    if !aside.is_empty() {
        let message = format!("{} schedules are set aside and do not tick: {}", aside.len(), some(&aside));
        let hint = "`schedules show` says why; edit them, or delete them and add them anew";
        findings.push(Finding::error("schedules_aside", message, hint));
    }
    let kinds = client.kinds().list().await?;
    let is_declared = |task: &str| kinds.iter().any(|kind| kind.name == task && kind.policy.is_some());
    let is_idle = |record: &ScheduleRecord| {
        let task =
            record.definition.as_ref().filter(|_| record.state == ScheduleState::Active).map(|definition| &definition.task);
        task.is_some_and(|task| !is_declared(task))
    };
    let undeclared = names(client, is_idle).await?;
    if !undeclared.is_empty() {
        let message =
            format!("{} schedules make tasks of a type that no program has declared: {}", undeclared.len(), some(&undeclared));
        let hint = "their ticks fail; start the program that has the type, or name another by `schedules edit --task`";
        findings.push(Finding::warning("schedules_undeclared", message, hint));
    }
    let due = client.store().due_schedules(1).await?;
    let ahead = names(client, |record| record.is_ahead(due.now)).await?;
    if !ahead.is_empty() {
        let message = format!(
            "{} schedules wait for a time to which the clock was set by mistake, or have ended by then: {}",
            ahead.len(),
            some(&ahead)
        );
        let hint = "a beat brings them back within a minute, if one runs; `schedules reset` does it now";
        findings.push(Finding::warning("schedules_ahead", message, hint));
    }
    let first = due.schedules.first().and_then(|schedule| Some((&schedule.name, due.now.since(schedule.due_at?))));
    if let Some((name, _)) = first.filter(|(_, since)| *since > OVERDUE) {
        let message = format!("the schedule `{name}` is due for more than a minute: no beat runs");
        findings.push(Finding::warning("schedules_overdue", message, "start `beat`, or a worker without --no-beat"));
    }
    Ok(findings)
}

/// The first of them.
pub(super) fn some(names: &[String]) -> String {
    let more = if names.len() > NAMES_SHOWN { ", ..." } else { "" };
    names.iter().take(NAMES_SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ") + more
}

async fn names(client: &Client, which: impl Fn(&ScheduleRecord) -> bool) -> Result<Vec<String>, ScheduleError> {
    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let page = client.schedules().list(None, after.as_deref(), limits::PAGE_ITEMS_MAX).await?;
        let is_last = page.len() < limits::PAGE_ITEMS_MAX;
        after = page.last().map(|last| last.name.clone());
        names.extend(page.into_iter().filter(&which).map(|record| record.name));
        if is_last {
            return Ok(names);
        }
    }
}
