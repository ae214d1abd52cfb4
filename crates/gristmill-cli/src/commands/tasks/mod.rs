//! `tasks`: what an operator sees of tasks, and does to them.

mod bulk;
mod columns;
mod list;
mod logs;
mod record;
mod resume;
mod wait;
mod which;

use gristmill::core::json::TaskJson;
use gristmill::{Client, TaskId};

use self::bulk::{Bulk, Verb};
pub(super) use self::bulk::{move_to, purge};
pub(super) use self::columns::short;
pub(super) use self::record::failure_line;
use super::ids::IdText;
use crate::connect::Session;
use crate::exit::CliError;
use crate::output::{Out, escape};

/// Arguments of `tasks`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Args {
    /// List tasks, newest first
    List(Box<list::List>),
    /// Show one task with its history
    Show(Show),
    /// Say why a task does not run now
    Why(Show),
    /// Print what a task's attempts logged
    Logs(logs::Logs),
    /// Wait until tasks have ended; exit 1 if one did not succeed
    Wait(wait::Wait),
    /// Cancel tasks: those that wait never start, those that run are told to end
    Cancel(Box<Bulk>),
    /// Make ended tasks ready again, with fresh attempts and their history
    Retry(Box<Bulk>),
    /// Let tasks run now: take those that run from their workers, at the cost of no attempt, and those that are scheduled from their time
    Release(Release),
    /// Let tasks go on that stand still, as their code no longer asks for what they remember
    Resume(resume::Args),
    /// Print a task with all that it remembers of its durable steps, as JSON for the test kit's replay
    Export(Show),
    /// Delete ended tasks with results and history, before their retention is over
    Delete(Box<Bulk>),
}

/// Arguments of `tasks show`, `tasks why` and `tasks export`.
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// The task's id, or its beginning
    #[arg(value_name = "ID")]
    id: IdText,
}

/// Arguments of `tasks release`.
#[derive(Debug, clap::Args)]
pub(crate) struct Release {
    /// The tasks' ids, or their beginnings
    #[arg(value_name = "ID", required = true)]
    ids: Vec<IdText>,
}

pub(crate) async fn run<S: Send + Sync + 'static>(args: Args, session: Session<S>, out: &Out) -> Result<(), CliError> {
    // What can be refused is refused before a store is asked.
    let mut filter = match &args {
        Args::List(args) => args.filter()?,
        Args::Cancel(bulk) => bulk.check(Verb::Cancel)?,
        Args::Retry(bulk) => bulk.check(Verb::Retry)?,
        Args::Delete(bulk) => bulk.check(Verb::Delete)?,
        Args::Show(_) | Args::Why(_) | Args::Export(_) | Args::Logs(_) | Args::Wait(_) | Args::Release(_) | Args::Resume(_) => {
            Default::default()
        }
    };
    let client = session.connect_to_look().await?;
    let which = match &args {
        Args::List(args) => Some(&args.filter),
        Args::Cancel(bulk) | Args::Retry(bulk) | Args::Delete(bulk) => Some(&bulk.filter),
        Args::Show(_) | Args::Why(_) | Args::Export(_) | Args::Logs(_) | Args::Wait(_) | Args::Release(_) | Args::Resume(_) => {
            None
        }
    };
    if let Some(parent) = which.and_then(|which| which.parent.as_ref()) {
        filter.parent = Some(parent.find(&client).await?);
    }
    match args {
        Args::List(args) => list::run(&args, &filter, &client, out).await,
        Args::Show(args) => show(&args.id, &client, out).await,
        Args::Why(args) => why(&args.id, &client, out).await,
        Args::Logs(args) => logs::run(&args, &client, out).await,
        Args::Wait(args) => wait::run(&args, &client, out).await,
        Args::Cancel(args) => bulk::run(Verb::Cancel, &args, &filter, &client, out).await,
        Args::Retry(args) => bulk::run(Verb::Retry, &args, &filter, &client, out).await,
        Args::Release(args) => bulk::release(&args.ids, &client, out).await,
        Args::Resume(args) => resume::run(&args, &client, out).await,
        Args::Export(args) => export(&args.id, &client, out).await,
        Args::Delete(args) => bulk::run(Verb::Delete, &args, &filter, &client, out).await,
    }
}

async fn show(id: &IdText, client: &Client, out: &Out) -> Result<(), CliError> {
    let id = id.find(client).await?;
    let task = client.tasks().get(id).await?.ok_or_else(|| none_such(id))?;
    out.value(&TaskJson::with_attempts(task), record::text)
}

async fn why(id: &IdText, client: &Client, out: &Out) -> Result<(), CliError> {
    let id = id.find(client).await?;
    let why = client.tasks().why(id).await?.ok_or_else(|| none_such(id))?;
    out.value(&why, |why| why.reasons.iter().map(|reason| format!("{}\n", escape(&reason.to_string()))).collect())
}

async fn export(id: &IdText, client: &Client, out: &Out) -> Result<(), CliError> {
    let id = id.find(client).await?;
    let recorded = client.tasks().export(id).await?.ok_or_else(|| none_such(id))?;
    out.any_json(&recorded)
}

fn none_such(id: TaskId) -> CliError {
    CliError::failed(format!("there is no task {id}")).with_hint("it may have ended longer ago than its retention")
}
