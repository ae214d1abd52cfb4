//! What schedules are there, when they tick, and what became of their ticks.

use std::time::Duration;

use gristmill::Client;
use gristmill::beat::{Definition, ScheduleJson, ScheduleState};
use gristmill::core::json::{PageJson, TickJson};
use gristmill::core::rough_duration;

use super::view::{runs_left, standing, text, upcoming};
use super::{History, List, find};
use crate::exit::CliError;
use crate::output::{self, Format, Out};

pub(super) async fn list(args: &List, client: &Client, out: &Out) -> Result<(), CliError> {
    let limit = usize::from(args.limit);
    let found = client.schedules().list(args.owner.as_deref(), args.cursor.as_deref(), limit).await?;
    let next = found.last().filter(|_| found.len() == limit).map(|last| last.name.clone());
    let page = PageJson::new(found.into_iter().map(ScheduleJson::of).collect(), next);
    out.page(&page, &["name", "when", "task", "state", "next", "last run"], |schedule| {
        let time = schedule.last.as_ref().and_then(|last| last.at).map(|at| at.to_string());
        vec![
            schedule.name.clone(),
            schedule.when.clone().unwrap_or_default(),
            schedule.definition.as_ref().map(|definition| definition.task.clone()).unwrap_or_default(),
            standing(schedule),
            schedule.next.as_ref().map(|next| local(&next.local, schedule.definition.as_ref())).unwrap_or_default(),
            time.unwrap_or_default(),
        ]
    })
}

pub(super) async fn one(name: &str, client: &Client, out: &Out) -> Result<(), CliError> {
    out.value(&ScheduleJson::of(find(name, client).await?), text)
}

pub(super) async fn next(name: &str, count: usize, client: &Client, out: &Out) -> Result<(), CliError> {
    let view = ScheduleJson::of(find(name, client).await?);
    let count = runs_left(&view).map_or(count, |left| usize::try_from(left).unwrap_or(count).min(count));
    let ticks = client.schedules().next(name, count).await?;
    if view.state != ScheduleState::Active {
        output::note(&format!("`{name}` is {}: it has these ticks only if it is active then", standing(&view)));
    }
    match out.format {
        Format::Jsonl => out.lines(&ticks),
        _ => out.value(&ticks, |ticks| upcoming(ticks)),
    }
}

pub(super) async fn history(args: &History, client: &Client, out: &Out) -> Result<(), CliError> {
    let name = &args.which.name;
    let page = client.schedules().history(name, args.cursor, args.limit.into()).await?;
    // A schedule's ticks outlive it, so its name need not be there any more.
    if page.items.is_empty() && args.cursor.is_none() {
        find(name, client).await?;
    }
    out.page(&PageJson::of(page, TickJson::of), &["tick", "outcome", "late by", "task", "reason"], |tick| {
        vec![
            tick.tick.to_string(),
            tick.outcome.as_str().to_owned(),
            rough_duration(Duration::from_millis(tick.lateness_ms)),
            tick.task.map(|id| id.to_string()).unwrap_or_default(),
            tick.reason.clone().unwrap_or_default(),
        ]
    })
}

/// A local time with the zone that it is local to.
fn local(time: &str, definition: Option<&Definition>) -> String {
    let zone = definition.map(|definition| definition.timing.timezone.as_str()).unwrap_or_default();
    format!("{time} {zone}").trim_end().to_owned()
}
