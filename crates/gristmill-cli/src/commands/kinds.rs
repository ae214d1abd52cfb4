//! `kinds`: which task types there are, and which of them nobody is to claim.

use gristmill::core::json::PausedKindJson;
use gristmill::core::limits::check_name;
use gristmill::near::did_you_mean;

use crate::connect::Session;
use crate::exit::CliError;
use crate::output::{self, Out};

/// Arguments of `kinds`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the task types
    List,
    /// Stop the claims of task types, in all queues; what runs goes on
    Pause(Names),
    /// Resume task types
    Resume(Names),
}

/// Which task types.
#[derive(Debug, clap::Args)]
struct Names {
    /// The task types
    #[arg(required = true, value_name = "TYPE")]
    names: Vec<String>,
}

pub(crate) async fn run<S: Send + Sync + 'static>(args: Args, session: Session<S>, out: &Out) -> Result<(), CliError> {
    match args.command {
        None | Some(Command::List) => list(session, out).await,
        Some(Command::Pause(names)) => pause(names, true, session, out).await,
        Some(Command::Resume(names)) => pause(names, false, session, out).await,
    }
}

async fn list<S: Send + Sync + 'static>(session: Session<S>, out: &Out) -> Result<(), CliError> {
    let kinds = session.connect_to_look().await?.kinds().list().await?;
    out.list(&kinds, &["task type", "state", "queue", "max attempts", "workers", "arguments"], |kind| {
        let (queue, attempts) = match &kind.policy {
            Some(policy) => (policy.queue.clone(), policy.max_attempts.to_string()),
            None => ("(never declared)".to_owned(), String::new()),
        };
        let properties = kind.schema.as_ref().and_then(|schema| schema.get("properties")?.as_object());
        let arguments = properties.map(|map| map.keys().map(String::as_str).collect::<Vec<_>>().join(", ")).unwrap_or_default();
        vec![kind.name.clone(), state(kind.paused), queue, attempts, kind.workers.to_string(), arguments]
    })
}

async fn pause<S: Send + Sync + 'static>(names: Names, paused: bool, session: Session<S>, out: &Out) -> Result<(), CliError> {
    for name in &names.names {
        check_name("task type", name).map_err(|error| CliError::usage(error.to_string()))?;
    }
    let own: Vec<_> = session.kinds().into_iter().map(|kind| kind.name).collect();
    let client = session.connect().await?;
    let known = client.kinds().list().await?;
    let known: Vec<&str> = known.iter().map(|kind| kind.name.as_str()).chain(own.iter().map(String::as_str)).collect();
    for name in names.names.iter().filter(|name| !known.contains(&name.as_str())) {
        let near = did_you_mean(name, known.iter().copied());
        output::note(&format!("the task type `{name}` is new: no task, program or worker has named it so far{near}"));
    }
    let mut changed = Vec::new();
    for kind in names.names {
        if paused {
            client.kinds().pause(&kind).await?;
        } else {
            client.kinds().resume(&kind).await?;
        }
        changed.push(PausedKindJson { kind, paused });
    }
    out.list(&changed, &["task type", "state"], |row| vec![row.kind.clone(), state(row.paused)])
}

fn state(paused: bool) -> String {
    if paused { "paused" } else { "active" }.to_owned()
}
