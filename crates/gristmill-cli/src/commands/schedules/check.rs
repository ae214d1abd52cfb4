//! What is wrong with schedules, for `doctor`.

use std::time::Duration;

use gristmill::Client;
use gristmill::beat::{ScheduleError, ScheduleState};
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
    let aside = set_aside(client).await?;
    if !aside.is_empty() {
        let more = if aside.len() > NAMES_SHOWN { ", ..." } else { "" };
        let names = aside.iter().take(NAMES_SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
        let message = format!("{} schedules are set aside and do not tick: {names}{more}", aside.len());
        let hint = "`schedules show` says why; edit them, or remove them and add them anew";
        findings.push(Finding::error("schedules_aside", message, hint));
    }
    let due = client.store().due_schedules(1).await?;
    let first = due.schedules.first().and_then(|schedule| Some((&schedule.name, due.now.since(schedule.due_at?))));
    if let Some((name, _)) = first.filter(|(_, since)| *since > OVERDUE) {
        let message = format!("the schedule `{name}` is due for more than a minute: no beat runs");
        findings.push(Finding::warning("schedules_overdue", message, "start `beat`, or a worker without --no-beat"));
    }
    Ok(findings)
}

async fn set_aside(client: &Client) -> Result<Vec<String>, ScheduleError> {
    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let page = client.schedules().list(None, after.as_deref(), limits::PAGE_ITEMS_MAX).await?;
        let is_last = page.len() < limits::PAGE_ITEMS_MAX;
        after = page.last().map(|last| last.name.clone());
        names.extend(page.into_iter().filter(|record| record.state == ScheduleState::SetAside).map(|record| record.name));
        if is_last {
            return Ok(names);
        }
    }
}
