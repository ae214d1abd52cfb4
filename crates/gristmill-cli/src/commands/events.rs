//! `events`: what tasks with durable steps await.

use std::time::Duration;

use gristmill::core::json::PageJson;
use gristmill::core::{Cursor, limits};
use gristmill::durable::{EventRecord, Sent};
use serde::Serialize;
use serde_json::value::RawValue;

use super::elsewhere;
use super::values::duration;
use crate::connect::Session;
use crate::exit::CliError;
use crate::output::{self, Out};

/// Arguments of `events`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Args {
    /// Send an event: tasks that await it go on, now or when they come to wait for it
    Send(Send),
    /// List the events that are kept, newest first, or who awaits one
    List(List),
}

/// Arguments of `events send`.
#[derive(Debug, clap::Args)]
pub(crate) struct Send {
    /// The name by which tasks await it, such as paid:17
    #[arg(value_name = "NAME")]
    name: String,
    /// What it tells, as JSON; @FILE reads it from a file, - from standard input
    #[arg(value_name = "JSON|@FILE|-", default_value = "null", allow_hyphen_values = true)]
    payload: String,
    /// How long it is kept for who comes to wait for it later [default: 7d]
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    keep: Option<Duration>,
}

/// Arguments of `events list`.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Of this name
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// List the tasks that await an event instead
    #[arg(long, conflicts_with = "cursor")]
    waiting: bool,
    /// How many
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=limits::PAGE_ITEMS_MAX as i64))]
    limit: u16,
    /// Go on where an earlier page ended: its `next`
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<Cursor>,
}

fn json(given: String) -> Result<Box<RawValue>, CliError> {
    let text = elsewhere::text("JSON", given)?;
    serde_json::from_str(&text)
        .map_err(|error| CliError::usage(format!("JSON: it is no JSON: {error}; a text has quotes, such as '\"yes\"'")))
}

pub(crate) async fn run<S: std::marker::Send + Sync + 'static>(
    args: Args,
    session: Session<S>,
    out: &Out,
) -> Result<(), CliError> {
    match args {
        Args::Send(args) => send(args, session, out).await,
        Args::List(args) => list(args, session, out).await,
    }
}

#[derive(Serialize)]
struct Answer {
    name: String,
    outcome: Sent,
}

async fn send<S: std::marker::Send + Sync + 'static>(args: Send, session: Session<S>, out: &Out) -> Result<(), CliError> {
    let Send { name, payload, keep } = args;
    limits::check_name("event", &name).map_err(|error| CliError::usage(error.to_string()))?;
    let payload = json(payload)?;
    let client = session.connect_to_look().await?;
    let mut event = client.events().send(name.as_str(), &payload);
    if let Some(keep) = keep {
        event = event.kept_for(keep);
    }
    let outcome = event.await?;
    if outcome == Sent::Exists {
        output::note(&format!("there is an event `{name}` already, which is the one that counts; nothing has changed"));
    }
    out.value(&Answer { name, outcome }, |answer| match answer.outcome {
        Sent::Stored => format!("{}\n", output::escape(&answer.name)),
        Sent::Exists => String::new(),
    })
}

/// An event as JSON.
#[derive(Serialize)]
struct EventJson {
    name: String,
    payload: Box<RawValue>,
    sent_at: String,
    keep_until: String,
}

impl From<EventRecord> for EventJson {
    fn from(event: EventRecord) -> Self {
        // As it was written: numbers that no program here can hold are somebody's all the same.
        let payload = RawValue::from_string(event.payload).unwrap_or_default();
        Self { name: event.name, payload, sent_at: event.sent_at.to_string(), keep_until: event.keep_until.to_string() }
    }
}

async fn list<S: std::marker::Send + Sync + 'static>(args: List, session: Session<S>, out: &Out) -> Result<(), CliError> {
    let List { name, waiting, limit, cursor } = args;
    let client = session.connect_to_look().await?;
    let events = client.events();
    if waiting {
        let waiters = events.waiters(name.as_deref(), limit.into()).await?;
        return out.list(&waiters, &["event", "task", "until"], |waiter| {
            vec![waiter.event.clone(), waiter.task.to_string(), waiter.until.map(|at| at.to_string()).unwrap_or_default()]
        });
    }
    let page = events.list(name.as_deref(), cursor, limit.into()).await?;
    let next = page.next.map(|next| next.to_string());
    let page = PageJson::new(page.items.into_iter().map(EventJson::from).collect(), next);
    out.page(&page, &["name", "sent", "kept until", "payload"], |event| {
        vec![event.name.clone(), event.sent_at.clone(), event.keep_until.clone(), super::tasks::short(&event.payload.to_string())]
    })
}
