use gristmill::Client;
use gristmill::core::json::RetriedJson;
use gristmill::core::workflow::{Rerun, Retry};

use crate::commands::ids::WorkflowText;
use crate::exit::CliError;
use crate::output::{Out, number_of};

/// Arguments of `workflows retry`.
#[derive(Debug, clap::Args)]
pub(crate) struct Again {
    /// The workflows' ids, or their beginnings
    #[arg(value_name = "ID", required = true)]
    ids: Vec<WorkflowText>,
    #[command(flatten)]
    what: What,
    /// What runs again begins as if it had never run: its attempts, their errors and logs, and what its durable steps remember are deleted
    #[arg(long)]
    without_history: bool,
}

impl Again {
    fn rerun(&self) -> Rerun {
        Rerun { what: self.what.retry(), forgets: self.without_history }
    }
}

/// What of them.
#[derive(Clone, Copy, Debug, clap::Args)]
#[group(multiple = false)]
struct What {
    /// Of the steps that did not succeed the tasks that did not; the default
    #[arg(long)]
    failed: bool,
    /// The same, and all steps that wait for these, as a whole
    #[arg(long)]
    failed_and_after: bool,
    /// All of it, what succeeded too
    #[arg(long)]
    all: bool,
}

impl What {
    fn retry(self) -> Retry {
        match (self.all, self.failed_and_after) {
            (true, _) => Retry::All,
            (false, true) => Retry::FailedAndAfter,
            (false, false) => Retry::Failed,
        }
    }
}

pub(super) async fn run(args: &Again, client: &Client, out: &Out) -> Result<(), CliError> {
    // A beginning that means none or several is told before anything is done.
    let mut found = Vec::with_capacity(args.ids.len());
    for id in &args.ids {
        found.push(id.find(client).await?);
    }
    let mut rows = Vec::with_capacity(found.len());
    for id in found {
        rows.push(RetriedJson::of(id, client.workflows().retry(id, args.rerun()).await?));
    }
    out.list(&rows, &["id", "outcome", "attempt"], |row| {
        vec![row.id.to_string(), row.outcome.to_owned(), row.attempt.map(|attempt| attempt.to_string()).unwrap_or_default()]
    })?;
    let refused: Vec<_> = rows.iter().filter_map(|row| Some((row, why(row)?))).collect();
    match refused.as_slice() {
        [] => Ok(()),
        [(row, why)] => Err(CliError::failed(format!("the workflow {} could not be retried: {why}", row.id))),
        several => Err(CliError::failed(format!("{} could not be retried", number_of(several.len() as u64, "workflow")))),
    }
}

/// Why one could not be, and what to do.
fn why(row: &RetriedJson) -> Option<String> {
    let (step, holder) = (row.step.as_deref().unwrap_or_default(), row.holder.map(|id| id.to_string()).unwrap_or_default());
    Some(match row.outcome {
        "done" => return None,
        "not_ended" => "it, or a task of it that was retried, has not ended; wait for it, or cancel it".to_owned(),
        "nothing" => "all of it was done; --all runs all of it again".to_owned(),
        "key_held" => format!("the workflow {holder} holds its key now; wait for that one"),
        "gone" => format!("tasks of its step `{step}` are no longer kept, or for less than a minute; start another one"),
        _ => "it is not there; it may have ended longer ago than its retention".to_owned(),
    })
}
