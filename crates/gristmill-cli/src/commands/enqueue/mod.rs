mod arguments;
mod jsonl;
mod listed;
mod options;

use std::path::PathBuf;
use std::time::Duration;

use gristmill::client::{AwaitError, EnqueueError};
use gristmill::core::KindInfo;
use gristmill::options::Retention;
use gristmill::record::State;
use gristmill::{Client, TaskId};
use serde::Serialize;
use serde_json::value::RawValue;

use self::arguments::Arguments;
use self::options::TaskOptions;
use super::unserved::{tell_forced, tell_queues};
use super::values::duration;
use super::wait;
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
    #[command(flatten)]
    arguments: Arguments,
    /// Wait for the end and print the result's JSON; exit 1 if the task failed
    #[arg(long, conflicts_with = "jsonl")]
    wait: bool,
    /// How long to wait at most; then exit 4, and the task goes on
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true, requires = "wait")]
    wait_timeout: Option<Duration>,
    /// Accept a task type that is not known here, for another program that has it
    #[arg(long)]
    force: bool,
    /// Many tasks: a file with one {"task": NAME, "args": {...}, ...options} a line, or - for standard input
    #[arg(long, value_name = "FILE")]
    jsonl: Option<PathBuf>,
    /// Commit nothing if any line is bad; holds all lines in memory
    #[arg(long, requires = "jsonl", conflicts_with = "name")]
    strict: bool,
    #[command(flatten)]
    options: TaskOptions,
}

pub(crate) async fn run<S: Send + Sync + 'static>(mut args: Args, mut session: Session<S>, out: &Out) -> Result<(), CliError> {
    if let Some(path) = args.jsonl.take() {
        // A file that is not there should not make a database.
        let input = jsonl::Input::open(&path)?;
        if !args.force && session.kinds().is_empty() {
            session.make_no_store()?;
        }
        let client = session.connect_to_enqueue().await?;
        return jsonl::run(input, args.strict, args.force, &client, out).await;
    }
    args.arguments = args.arguments.read()?;
    if let (Some(name), false) = (&args.name, args.force) {
        session.make_no_store_unless_known(name)?;
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
    let mut options = args.options.overrides()?;
    let declared = if args.wait || args.arguments.needs_schema() { declared(client, &name).await? } else { None };
    let policy = declared.as_ref().and_then(|kind| kind.policy.as_ref());
    let retention = options.retention.or(policy.map(|policy| policy.retention));
    let unkept = args.wait && retention == Some(Retention::None);
    let is_short = matches!(retention, Some(Retention::For(period)) if period < RETENTION_MIN);
    if unkept || args.wait && is_short {
        options.retention = Some(Retention::For(RETENTION_MIN));
    }
    let queue = options.queue.clone();
    let text = args.arguments.text(declared.as_ref().and_then(|kind| kind.schema.as_ref()))?;
    let no_json = |error| CliError::usage(format!("args: are not JSON: {error}")).with_hint(FORMS_OF_ARGS);
    let json = RawValue::from_string(text).map_err(no_json)?;
    let handle = client.enqueue_named(&name, json).options(options).force(args.force).await.map_err(explain)?;
    // Who waits is told more.
    if !args.wait {
        tell_queues(queue.as_deref(), client).await;
        if args.force {
            tell_forced(&name, client).await;
        }
        let written = out.value(&Answer { id: handle.id() }, |answer| format!("{}\n", answer.id));
        return written.map_err(|error| error.although(format!("the task is enqueued: {}", handle.id())));
    }
    let task = match wait::ended(client, handle.id(), args.wait_timeout).await? {
        // Enqueued before under this id, by somebody who did not wait. Only of successes is nothing kept.
        Err(AwaitError::NotKept { id }) if unkept => {
            output::note(&format!("task {id} succeeded; it was enqueued before, and nothing of it is kept"));
            return Ok(());
        }
        ended => ended?,
    };
    match task.state {
        State::Succeeded => {
            let written = out.json_text(task.result.as_deref().unwrap_or("null"));
            written.map_err(|error| error.although(format!("task {} has succeeded", task.id)))
        }
        _ => Err(wait::not_succeeded(&task)),
    }
}

/// What the store knows of a task type.
async fn declared(client: &Client, name: &str) -> Result<Option<KindInfo>, CliError> {
    Ok(client.kinds().list().await?.into_iter().find(|kind| kind.name == name))
}

const FORMS_OF_ARGS: &str = "--args '{\"key\": \"value\"}', --args @FILE or --args - for standard input; or --arg KEY=VALUE";

fn explain(error: EnqueueError) -> CliError {
    let is_args = matches!(&error, EnqueueError::Invalid(input) if input.field == "args");
    let error = CliError::from(error);
    match is_args {
        true => error.with_hint(FORMS_OF_ARGS),
        false => error,
    }
}
