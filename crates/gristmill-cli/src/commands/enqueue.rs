use std::path::PathBuf;
use std::time::Duration;

use gristmill::client::AwaitError;
use gristmill::core::{Overrides, WorkerInfo};
use gristmill::options::Retention;
use gristmill::record::State;
use gristmill::{Client, TaskId, Timestamp};
use serde::Serialize;
use serde_json::value::RawValue;

use super::jsonl;
use super::values::{attempts, duration, priority};
use crate::connect::Session;
use crate::exit::CliError;
use crate::output::{self, Out};

/// For so long at least is kept what somebody waits for, so that its end can't go by unseen.
const RETENTION_MIN: Duration = Duration::from_secs(60);

/// Arguments of `enqueue`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The task type
    #[arg(required_unless_present = "jsonl", conflicts_with = "jsonl")]
    name: Option<String>,
    /// The arguments, a JSON object
    #[arg(long, default_value = "{}", value_name = "JSON", conflicts_with = "jsonl")]
    args: String,
    /// Another queue than the task type's
    #[arg(long, value_name = "QUEUE", conflicts_with = "jsonl")]
    queue: Option<String>,
    /// 0 is served first, 9 last
    #[arg(long, value_name = "N", value_parser = priority, allow_hyphen_values = true, conflicts_with = "jsonl")]
    priority: Option<u8>,
    /// Wait this long first
    #[arg(long = "in", value_name = "DURATION", value_parser = duration, allow_hyphen_values = true, conflicts_with_all = ["at", "jsonl"])]
    delay: Option<Duration>,
    /// Wait until then, such as 2027-01-31T09:00:00Z
    #[arg(long, value_name = "RFC3339", conflicts_with = "jsonl")]
    at: Option<Timestamp>,
    /// The id; again with the same id, task type and arguments, nothing changes
    #[arg(long, value_name = "UUID", conflicts_with = "jsonl")]
    id: Option<TaskId>,
    /// How many attempts may fail before the task does
    #[arg(long, value_name = "N", value_parser = attempts, allow_hyphen_values = true, conflicts_with = "jsonl")]
    max_attempts: Option<u32>,
    /// Wait for the end and print the result's JSON; exit 1 if the task failed
    #[arg(long, conflicts_with = "jsonl")]
    wait: bool,
    /// How long to wait at most; then exit 4, and the task goes on
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true, requires = "wait")]
    timeout: Option<Duration>,
    /// Accept a task type that is not known here, for another program that has it
    #[arg(long)]
    force: bool,
    /// Many tasks: a file with one {"task": NAME, "args": {...}, ...options} a line, or - for standard input
    #[arg(long, value_name = "FILE")]
    jsonl: Option<PathBuf>,
    /// Commit nothing if any line is bad; holds all lines in memory
    #[arg(long, requires = "jsonl", conflicts_with = "name")]
    strict: bool,
}

pub(crate) async fn run<S: Send + Sync + 'static>(mut args: Args, session: Session<S>, out: &Out) -> Result<(), CliError> {
    if let Some(path) = args.jsonl.take() {
        // A file that is not there should not make a database.
        let input = jsonl::Input::open(&path)?;
        let client = session.connect_to_enqueue().await?;
        return jsonl::run(input, args.strict, args.force, &client, out).await;
    }
    let client = session.connect_to_enqueue().await?;
    one(args, &client, out).await
}

async fn one(args: Args, client: &Client, out: &Out) -> Result<(), CliError> {
    #[derive(Serialize)]
    struct Answer {
        id: TaskId,
    }
    let name = args.name.unwrap_or_default();
    let declared = if args.wait { declared_retention(client, &name).await? } else { None };
    let is_short = matches!(declared, Some(Retention::For(period)) if period < RETENTION_MIN);
    let unkept = declared == Some(Retention::None);
    let retention = (is_short || unkept).then_some(Retention::For(RETENTION_MIN));
    let options = Overrides {
        id: args.id,
        queue: args.queue,
        priority: args.priority,
        delay: args.delay,
        run_at: args.at,
        max_attempts: args.max_attempts,
        retention,
        ..Overrides::default()
    };
    let json = RawValue::from_string(args.args).map_err(|error| CliError::usage(format!("args: are not JSON: {error}")))?;
    let handle = client.enqueue_named(&name, json).options(options).force(args.force).await?;
    if !args.wait {
        return out.value(&Answer { id: handle.id() }, |answer| format!("{}\n", answer.id));
    }
    tell_unserved(client, handle.id()).await?;
    let ended = match args.timeout {
        None => handle.ended().await,
        Some(timeout) => match tokio::time::timeout(timeout, handle.ended()).await {
            Ok(ended) => ended,
            Err(_) => {
                return Err(CliError::timed_out(format!("task {} did not end in time", handle.id()))
                    .with_hint("it goes on; `tasks show` tells where it stands, and whether a `worker` runs is in `workers`"));
            }
        },
    };
    let task = match ended {
        // Enqueued before under this id, by somebody who did not wait. Only of successes is nothing kept.
        Err(AwaitError::NotKept { id }) if unkept => {
            output::note(&format!("task {id} succeeded; it was enqueued before, and nothing of it is kept"));
            return Ok(());
        }
        ended => ended?,
    };
    let (id, state) = (task.id, task.state);
    match state {
        State::Succeeded => out.json_text(task.result.as_deref().unwrap_or("null")),
        State::Failed => {
            let why = task.error.map(|failure| format!(": {}", failure.message)).unwrap_or_default();
            Err(CliError::failed(format!("task {id} failed{why}")))
        }
        state => Err(CliError::failed(format!("task {id} is {state}"))),
    }
}

/// How long tasks of this type are kept, as far as the store knows.
async fn declared_retention(client: &Client, name: &str) -> Result<Option<Retention>, CliError> {
    let kinds = client.kinds().list().await?;
    Ok(kinds.into_iter().find(|kind| kind.name == name).and_then(|kind| kind.policy).map(|policy| policy.retention))
}

/// Says that the wait may be long, if nobody is there to end it.
async fn tell_unserved(client: &Client, id: TaskId) -> Result<(), CliError> {
    let Some(task) = client.tasks().get(id).await?.filter(|task| !task.state.is_final()) else { return Ok(()) };
    let serves =
        |worker: &WorkerInfo| worker.alive && worker.queues.contains_key(&task.queue) && worker.kinds.contains(&task.kind);
    if !client.workers().list().await?.iter().any(serves) {
        output::note(&format!("no live worker serves `{}` in the queue `{}`; waiting for one", task.kind, task.queue));
    } else if client.queues().list().await?.iter().any(|queue| queue.paused && queue.name == task.queue) {
        output::note(&format!("the queue `{}` is paused; waiting for it to be resumed", task.queue));
    }
    Ok(())
}
