use gristmill::core::json::PausedJson;
use gristmill::core::limits::{COUNT_MAX, check_name};
use gristmill::near::did_you_mean;

use super::confirm::Confirm;
use super::tasks;
use super::unserved::tell_new_queues;
use crate::connect::Session;
use crate::exit::CliError;
use crate::output::Out;

/// Arguments of `queues`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Args {
    /// List the queues and what waits in them
    List,
    /// Stop the claims from queues; what runs goes on
    Pause(Names),
    /// Resume queues
    Resume(Names),
    /// Cancel all that waits in a queue; what runs goes on
    Purge(Purge),
}

/// Arguments of `queues purge`.
#[derive(Debug, clap::Args)]
pub(crate) struct Purge {
    /// The queue
    #[arg(value_name = "QUEUE")]
    name: String,
    #[command(flatten)]
    confirm: Confirm,
}

/// Which queues.
#[derive(Debug, clap::Args)]
pub(crate) struct Names {
    /// The queues
    #[arg(required = true, value_name = "QUEUE")]
    names: Vec<String>,
}

pub(crate) async fn run<S: Send + Sync + 'static>(args: Args, session: Session<S>, out: &Out) -> Result<(), CliError> {
    match args {
        Args::List => {
            let queues = session.connect_to_look().await?.queues().list().await?;
            out.list(
                &queues,
                &["queue", "state", "ready", "scheduled", "running", "buffered", "unserved", "oldest ready"],
                |queue| {
                    vec![
                        queue.name.clone(),
                        if queue.paused { "paused" } else { "active" }.to_owned(),
                        count(queue.ready),
                        count(queue.scheduled),
                        queue.running.to_string(),
                        queue.buffered.to_string(),
                        count(queue.unserved),
                        queue.oldest_ready_at.map(|at| at.to_string()).unwrap_or_default(),
                    ]
                },
            )
        }
        Args::Pause(names) => pause(names, true, session, out).await,
        Args::Resume(names) => pause(names, false, session, out).await,
        Args::Purge(args) => purge(&args, session, out).await,
    }
}

async fn purge<S: Send + Sync + 'static>(args: &Purge, session: Session<S>, out: &Out) -> Result<(), CliError> {
    check_name("queue", &args.name).map_err(|error| CliError::usage(error.to_string()))?;
    args.confirm.check("to purge a queue")?;
    let client = session.connect_to_look().await?;
    let known = client.queues().list().await?;
    if !known.iter().any(|queue| queue.name == args.name) {
        let near = did_you_mean(&args.name, known.iter().map(|queue| queue.name.as_str()));
        return Err(CliError::failed(format!("there is no queue `{}` in this store{near}", args.name)));
    }
    tasks::purge(&args.name, &args.confirm, &client, out).await
}

async fn pause<S: Send + Sync + 'static>(names: Names, paused: bool, session: Session<S>, out: &Out) -> Result<(), CliError> {
    for name in &names.names {
        check_name("queue", name).map_err(|error| CliError::usage(error.to_string()))?;
    }
    let declared: Vec<_> = session.kinds().into_iter().map(|kind| kind.policy.queue).collect();
    let client = session.connect().await?;
    tell_new_queues(names.names.iter().map(String::as_str), &declared, true, &client).await;
    let mut changed = Vec::new();
    for queue in names.names {
        if paused {
            client.queues().pause(&queue).await?
        } else {
            client.queues().resume(&queue).await?
        }
        changed.push(PausedJson { queue, paused });
    }
    out.list(&changed, &["queue", "state"], |row| {
        vec![row.queue.clone(), if row.paused { "paused" } else { "active" }.to_owned()]
    })
}

/// A count of the store, which stops counting at a limit.
pub(super) fn count(count: u64) -> String {
    if count >= COUNT_MAX { format!("{COUNT_MAX}+") } else { count.to_string() }
}
