//! `workflows`: what an operator starts and sees of workflows, and does to them.

mod doctor;
mod dot;
mod export;
mod list;
mod members;
mod order;
mod progress;
mod retry;
mod show;
mod start;
mod tolerate;
mod tree;

use gristmill::Client;
use gristmill::core::WorkflowId;
use gristmill::core::workflow::WorkflowRecord;

use super::ids::WorkflowText;
use crate::connect::Session;
use crate::exit::CliError;
use crate::output::Out;

/// Arguments of `workflows`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Args {
    /// Start a workflow from its JSON form, and print its id or, with --wait, its result
    Start(start::Start),
    /// List workflows, newest first
    List(list::List),
    /// Show one workflow with its steps
    Show(show::Show),
    /// List the tasks of a step in their order
    Members(members::Members),
    /// Cancel workflows: what waits never starts, and what runs is told to end
    Cancel(Which),
    /// Hold workflows: what runs goes on, and no step begins until they are resumed
    Pause(Which),
    /// Let paused workflows go on
    Resume(Which),
    /// Begin workflows anew that have ended: what failed of them, or all of it
    Retry(retry::Again),
    /// Change how many tasks of a step may fail, while it runs
    Tolerate(tolerate::Tolerate),
    /// Print a workflow with its steps, its tasks, and what they remember of durable steps, as JSON
    Export(export::Export),
    /// Look for workflows that stand still, and say what each waits for
    Doctor(doctor::Doctor),
}

/// Which workflows.
#[derive(Debug, clap::Args)]
pub(crate) struct Which {
    /// The workflows' ids, or their beginnings
    #[arg(value_name = "ID", required = true)]
    ids: Vec<WorkflowText>,
}

pub(crate) async fn run<S: Send + Sync + 'static>(args: Args, session: Session<S>, out: &Out) -> Result<(), CliError> {
    let args = match args {
        Args::Start(args) => return start::run(args, session, out).await,
        other => other,
    };
    let client = session.connect_to_look().await?;
    match args {
        Args::Start(_) => Ok(()),
        Args::List(args) => list::run(args, &client, out).await,
        Args::Show(args) => show::run(&args, &client, out).await,
        Args::Members(args) => members::run(&args, &client, out).await,
        Args::Cancel(which) => order::run(order::Verb::Cancel, &which.ids, &client, out).await,
        Args::Pause(which) => order::run(order::Verb::Pause, &which.ids, &client, out).await,
        Args::Resume(which) => order::run(order::Verb::Resume, &which.ids, &client, out).await,
        Args::Retry(args) => retry::run(&args, &client, out).await,
        Args::Tolerate(args) => tolerate::run(&args, &client, out).await,
        Args::Export(args) => export::run(&args, &client, out).await,
        Args::Doctor(args) => doctor::run(&args, &client, out).await,
    }
}

async fn find(id: &WorkflowText, client: &Client) -> Result<WorkflowRecord, CliError> {
    let id = id.find(client).await?;
    client.workflows().get(id).await?.ok_or_else(|| none_such(id))
}

fn none_such(id: WorkflowId) -> CliError {
    CliError::failed(format!("there is no workflow {id}")).with_hint("it may have ended longer ago than its retention")
}
