//! What an operator does to schedules. Beats that run see it within a second.

use gristmill::beat::{Removed, ScheduleError};
use gristmill::core::limits::check_name;
use gristmill::{Client, TaskId, Timestamp};
use serde::Serialize;

use super::view::ScheduleView;
use super::{Add, Edit, explain, find};
use crate::exit::CliError;
use crate::output::Out;

pub(super) async fn add(args: Add, client: &Client, out: &Out) -> Result<(), CliError> {
    let name = args.which.name;
    check_name("a schedule's name", &name).map_err(|error| CliError::usage(error.to_string()))?;
    let definition = args.said.define(args.task)?;
    client.schedules().create(&name, definition).await?;
    shown(&name, client, out).await
}

pub(super) async fn edit(args: Edit, client: &Client, out: &Out) -> Result<(), CliError> {
    let name = args.which.name;
    let Some(mut definition) = find(&name, client).await?.definition else {
        return Err(CliError::failed(format!("what is stored of `{name}` can't be read"))
            .with_hint("remove it and add it anew; a newer version may have written it"));
    };
    if let Some(task) = args.task {
        definition.task = task;
    }
    args.said.apply(&mut definition)?;
    client.schedule(&name, definition).await?;
    shown(&name, client, out).await
}

pub(super) async fn pause(name: &str, paused: bool, client: &Client, out: &Out) -> Result<(), CliError> {
    let schedules = client.schedules();
    let changed = if paused { schedules.pause(name).await } else { schedules.resume(name).await };
    match changed {
        Ok(record) => out.value(&ScheduleView::of(record), ScheduleView::line),
        Err(error) => Err(explain(error, name, client).await),
    }
}

pub(super) async fn run_now(name: &str, client: &Client, out: &Out) -> Result<(), CliError> {
    #[derive(Serialize)]
    struct Run<'a> {
        name: &'a str,
        task: TaskId,
    }
    match client.schedules().run_now(name).await {
        Ok(task) => out.value(&Run { name, task }, |run| format!("{}\n", run.task)),
        Err(error) => Err(explain(error, name, client).await),
    }
}

pub(super) async fn remove(name: &str, client: &Client, out: &Out) -> Result<(), CliError> {
    #[derive(Serialize)]
    struct Gone<'a> {
        name: &'a str,
        outcome: &'static str,
        /// The tick that does not come any more.
        next: Option<Timestamp>,
        last_task: Option<TaskId>,
    }
    match client.schedules().remove(name).await {
        Ok(Removed::Removed { next, last_task }) => {
            out.value(&Gone { name, outcome: "removed", next, last_task }, |_| "removed\n".to_owned())
        }
        Ok(_) => Err(explain(ScheduleError::NotFound { name: name.to_owned() }, name, client).await),
        Err(error) => Err(error.into()),
    }
}

/// Says how a schedule stands that was just written.
async fn shown(name: &str, client: &Client, out: &Out) -> Result<(), CliError> {
    out.value(&ScheduleView::of(find(name, client).await?), ScheduleView::line)
}
