use gristmill::Client;
use gristmill::core::concurrency::{Limit, OF_QUEUE};
use gristmill::core::json::PausedJson;
use gristmill::core::limits::{CONCURRENCY_MAX, COUNT_MAX, check_name};
use gristmill::near::did_you_mean;

use super::confirm::Confirm;
use super::unserved::{tell_new_queues, tell_whole_queue};
use super::{limits, tasks};
use crate::connect::Session;
use crate::exit::CliError;
use crate::output::{self, Out};

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
    /// Move all that waits in a queue to another one; what runs goes on
    Move(Move),
    /// Say how many tasks of a queue may run at once, over what the configuration says
    Set(Set),
}

/// Arguments of `queues set`.
#[derive(Debug, clap::Args)]
pub(crate) struct Set {
    /// The queue
    #[arg(value_name = "QUEUE")]
    name: String,
    #[command(flatten)]
    to: SetTo,
}

/// One of them.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct SetTo {
    /// So many of its tasks at once, in all workers together; 0 lets none start
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=i64::from(CONCURRENCY_MAX)))]
    concurrency: Option<u32>,
    /// As many as the configuration says, again
    #[arg(long)]
    no_concurrency: bool,
}

/// Arguments of `queues move`.
#[derive(Debug, clap::Args)]
pub(crate) struct Move {
    /// The queue
    #[arg(value_name = "FROM")]
    from: String,
    /// The queue to which it goes
    #[arg(value_name = "TO")]
    to: String,
    /// Only what is of this task type
    #[arg(long, value_name = "TYPE")]
    kind: Option<String>,
    #[command(flatten)]
    confirm: Confirm,
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
        Args::Move(args) => move_to(&args, session, out).await,
        Args::Set(args) => set(&args, session, out).await,
    }
}

async fn purge<S: Send + Sync + 'static>(args: &Purge, session: Session<S>, out: &Out) -> Result<(), CliError> {
    check_name("queue", &args.name).map_err(|error| CliError::usage(error.to_string()))?;
    args.confirm.check("to purge a queue")?;
    let client = session.connect_to_look().await?;
    find(&args.name, &client).await?;
    tasks::purge(&args.name, &args.confirm, &client, out).await
}

async fn move_to<S: Send + Sync + 'static>(args: &Move, session: Session<S>, out: &Out) -> Result<(), CliError> {
    let Move { from, to, kind, confirm } = args;
    let names = [("queue", Some(from)), ("queue", Some(to)), ("task type", kind.as_ref())];
    for (what, name) in names.iter().filter_map(|(what, name)| Some((what, (*name)?))) {
        check_name(what, name).map_err(|error| CliError::usage(error.to_string()))?;
    }
    if from == to {
        return Err(CliError::usage(format!("`{from}` is both the queue from which and the one to which tasks are to be moved")));
    }
    confirm.check("to move a queue's tasks")?;
    let client = session.connect_to_look().await?;
    find(from, &client).await?;
    tell_whole_queue(to, &client).await;
    tasks::move_to((from, to), kind.as_deref(), confirm, &client, out).await
}

/// The limit of the key that a queue has, by the queue's name.
async fn set<S: Send + Sync + 'static>(args: &Set, session: Session<S>, out: &Out) -> Result<(), CliError> {
    check_name("queue", &args.name).map_err(|error| CliError::usage(error.to_string()))?;
    let key = format!("{OF_QUEUE}{}", args.name);
    output::note(&format!("the concurrency of a queue is the limit of its key, `{key}`; `limits show {key}` tells more"));
    limits::change(&key, args.to.concurrency.map(Limit::from), None, session, out).await
}

/// Refuses a queue that the store does not know.
async fn find(name: &str, client: &Client) -> Result<(), CliError> {
    let known = client.queues().list().await?;
    if known.iter().any(|queue| queue.name == name) {
        return Ok(());
    }
    let near = did_you_mean(name, known.iter().map(|queue| queue.name.as_str()));
    Err(CliError::failed(format!("there is no queue `{name}` in this store{near}")))
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
