//! `workers`: which there are, and what an operator asks of them.

mod drain;

use gristmill::Client;
use gristmill::core::WorkerId;
use gristmill::record::{Drain, WorkerInfo};
use serde::Serialize;

use super::ids::find_worker;
use crate::connect::Session;
use crate::exit::CliError;
use crate::output::{Out, number_of};

/// Arguments of `workers`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the workers
    List,
    /// Ask a worker to end: it claims no more, finishes what it runs within its grace period, and leaves
    Drain(drain::Args),
    /// Take a worker for dead, at once: what it held runs again, and what had started counts as a crash
    Forget(Forget),
}

/// Arguments of `workers forget`.
#[derive(Debug, clap::Args)]
struct Forget {
    /// The worker's id, its beginning, or its name, as `workers` shows them
    #[arg(value_name = "WORKER")]
    worker: String,
}

pub(crate) async fn run<S: Send + Sync + 'static>(args: Args, session: Session<S>, out: &Out) -> Result<(), CliError> {
    let client = session.connect_to_look().await?;
    match args.command {
        None | Some(Command::List) => list(&client, out).await,
        Some(Command::Drain(args)) => drain::run(&args, &client, out).await,
        Some(Command::Forget(args)) => forget(find_worker(&args.worker, &client).await?, &client, out).await,
    }
}

async fn list(client: &Client, out: &Out) -> Result<(), CliError> {
    let workers = client.workers().list().await?;
    out.list(&workers, &["worker", "name", "state", "running", "buffered", "queues", "since", "version"], |worker| {
        let queues: Vec<_> = worker.queues.iter().map(|(name, concurrency)| format!("{name}={concurrency}")).collect();
        vec![
            worker.id.clone(),
            worker.name.clone(),
            state(worker).to_owned(),
            worker.running.to_string(),
            worker.buffered.to_string(),
            queues.join(","),
            worker.started_at.to_string(),
            worker.version.clone(),
        ]
    })
}

const fn state(worker: &WorkerInfo) -> &'static str {
    match worker.drain {
        _ if !worker.alive => "dead",
        None => "alive",
        Some(Drain::Asked) => "asked to end",
        Some(Drain::Heard) => "draining",
    }
}

async fn forget(id: WorkerId, client: &Client, out: &Out) -> Result<(), CliError> {
    #[derive(Serialize)]
    struct Forgotten {
        worker: String,
        /// How many tasks it held.
        tasks: u64,
    }
    let Some(tasks) = client.workers().forget(id).await? else {
        return Err(CliError::failed(format!("there is no worker {id}")).with_hint("`workers` lists them"));
    };
    out.value(&Forgotten { worker: id.to_string(), tasks }, |_| {
        format!("forgotten; taken from it: {}\n", number_of(tasks, "task"))
    })
}
