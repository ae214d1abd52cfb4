//! What an operator does to schedules. Beats that run see it within a second.

use gristmill::beat::{Definition, Deleted, ScheduleError, ScheduleJson, ScheduleRecord, ScheduleState};
use gristmill::core::limits::{PAGE_ITEMS_MAX, check_name};
use gristmill::core::rough_duration;
use gristmill::{Client, TaskId, Timestamp};
use serde::Serialize;
use serde_json::Value;

use super::args::Said;
use super::check::some;
use super::view::line;
use super::{Add, Edit, Reset, explain, find};
use crate::commands::unserved::tell_queues;
use crate::connect::Session;
use crate::exit::CliError;
use crate::output::{self, Out, note, number_of};

/// Refuses what can be refused without the store, so that it makes none.
pub(super) fn check_new<S: Send + Sync + 'static>(args: &Add, session: &mut Session<S>) -> Result<(), CliError> {
    check_name("a schedule's name", &args.which.name).map_err(|error| CliError::usage(error.to_string()))?;
    args.said.define(args.task.clone(), None)?.timing.plan()?;
    session.make_no_store_unless_known(&args.task)
}

pub(super) async fn add(args: Add, client: &Client, out: &Out) -> Result<(), CliError> {
    let name = args.which.name;
    let schema = schema(&args.said, &args.task, client).await?;
    let definition = args.said.define(args.task, schema.as_ref())?;
    check_date(&args.said, client).await?;
    let notices = [definition.timing.plan()?.notice(), definition.notice()];
    let queue = definition.options.queue.clone();
    client.schedules().create(&name, definition).await?;
    notices.into_iter().flatten().for_each(output::note);
    tell_queues(queue.as_deref(), client).await;
    out.value(&ScheduleJson::of(find(&name, client).await?), line)
}

pub(super) async fn edit(args: Edit, client: &Client, out: &Out) -> Result<(), CliError> {
    let Edit { which, task, said } = args;
    if task.is_none() && said == Said::default() {
        let error = CliError::usage("nothing to change: say a rule, --task, --args or another option");
        return Err(error.with_hint("`schedules edit --help` lists them"));
    }
    check_date(&said, client).await?;
    let of = match &task {
        None if said.needs_schema() => find(&which.name, client).await?.definition.map(|definition| definition.task),
        task => task.clone(),
    };
    let schema = schema(&said, &of.unwrap_or_default(), client).await?;
    let change = |definition: &mut Definition| {
        if let Some(task) = &task {
            definition.task.clone_from(task);
        }
        said.apply(definition, schema.as_ref());
    };
    let edited = client.schedules().edit(&which.name, change).await;
    if let Some(definition) = edited.as_ref().ok().and_then(|record| record.definition.as_ref()) {
        let rule = definition.timing.plan().ok().and_then(|plan| plan.notice());
        rule.into_iter().chain(definition.notice()).for_each(output::note);
        tell_queues(definition.options.queue.as_deref(), client).await;
    }
    answer(edited, &which.name, client, out).await
}

/// What a task type's arguments are, if somebody has to know.
async fn schema(said: &Said, task: &str, client: &Client) -> Result<Option<Value>, CliError> {
    if !said.needs_schema() {
        return Ok(None);
    }
    Ok(client.kinds().list().await?.into_iter().find(|kind| kind.name == task).and_then(|kind| kind.schema))
}

/// Refuses a date that has passed, which mostly is a slip and would be run at once, unless it is said what becomes of it.
async fn check_date(said: &Said, client: &Client) -> Result<(), CliError> {
    let Some((at, wanted)) = said.date() else { return Ok(()) };
    let now = client.store().due_schedules(1).await?.now;
    if at > now {
        return Ok(());
    }
    let ago = rough_duration(now.since(at));
    if wanted {
        output::note(&format!("{at} was {ago} ago: a beat does with it at once what --catch-up says"));
        return Ok(());
    }
    Err(CliError::usage(format!("{at} has passed, {ago} ago"))
        .with_hint("`enqueue` makes a task now; with --catch-up latest the schedule makes one as soon as a beat runs"))
}

pub(super) async fn pause(name: &str, paused: bool, client: &Client, out: &Out) -> Result<(), CliError> {
    let schedules = client.schedules();
    let changed = if paused { schedules.pause(name).await } else { schedules.resume(name).await };
    answer(changed, name, client, out).await
}

pub(super) async fn reset(args: Reset, client: &Client, out: &Out) -> Result<(), CliError> {
    let schedules = client.schedules();
    if let Some(name) = args.name {
        return answer(schedules.reset(&name).await, &name, client, out).await;
    }
    args.confirm.check("to reset all schedules")?;
    let names = all_names(client).await?;
    if args.confirm.dry_run {
        return out.list(&names, &["name"], |name| vec![name.clone()]);
    }
    args.confirm.ask(&format!("reset {}: {}?", number_of(names.len() as u64, "schedule"), some(&names)))?;
    let mut all = Vec::with_capacity(names.len());
    for name in names {
        match schedules.reset(&name).await {
            Ok(record) => all.push(ScheduleJson::of(record)),
            // Somebody has deleted it meanwhile, or only that helps; the doctor names it.
            Err(error @ (ScheduleError::NotFound { .. } | ScheduleError::Unreadable { .. })) => note(&error.to_string()),
            Err(error) => return Err(error.into()),
        }
    }
    out.list(&all, &["name", "state", "next"], |schedule| {
        let next = schedule.next.as_ref().map(|next| next.local.clone()).unwrap_or_default();
        vec![schedule.name.clone(), schedule.state.to_string(), next]
    })
}

async fn all_names(client: &Client) -> Result<Vec<String>, CliError> {
    let mut names = Vec::new();
    loop {
        let page = client.schedules().list(None, names.last().map(String::as_str), PAGE_ITEMS_MAX).await?;
        let is_last = page.len() < PAGE_ITEMS_MAX;
        names.extend(page.into_iter().map(|record| record.name));
        if is_last {
            return Ok(names);
        }
    }
}

pub(super) async fn run_now(name: &str, client: &Client, out: &Out) -> Result<(), CliError> {
    #[derive(Serialize)]
    struct Run<'a> {
        name: &'a str,
        task: TaskId,
    }
    match client.schedules().run_now(name).await {
        Ok(task) => {
            let written = out.value(&Run { name, task }, |run| format!("{}\n", run.task));
            written.map_err(|error| error.although(format!("the task is made: {task}")))
        }
        Err(error) => Err(explain(error, name, client).await),
    }
}

pub(super) async fn delete(name: &str, client: &Client, out: &Out) -> Result<(), CliError> {
    #[derive(Serialize)]
    struct Gone<'a> {
        name: &'a str,
        outcome: &'static str,
        /// The tick that does not come any more.
        next: Option<Timestamp>,
        last_task: Option<TaskId>,
    }
    let before = client.schedules().get(name).await?;
    match client.schedules().delete(name).await {
        Ok(Deleted::Deleted { next, last_task }) => {
            if let Some(owner) = before.filter(|before| before.state != ScheduleState::Withdrawn).and_then(|before| before.owner)
            {
                note(&format!(
                    "`{owner}` defines it, and makes it anew at its next start unless it is taken out there; `schedules pause` lasts"
                ));
            }
            out.value(&Gone { name, outcome: "deleted", next, last_task }, |_| "deleted\n".to_owned())
        }
        Ok(_) => Err(explain(ScheduleError::NotFound { name: name.to_owned() }, name, client).await),
        Err(error) => Err(error.into()),
    }
}

/// Says how a schedule stands now, or why it was not changed.
async fn answer(changed: Result<ScheduleRecord, ScheduleError>, name: &str, client: &Client, out: &Out) -> Result<(), CliError> {
    match changed {
        Ok(record) => out.value(&ScheduleJson::of(record), line),
        Err(error) => Err(explain(error, name, client).await),
    }
}
