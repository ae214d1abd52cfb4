use gristmill::Client;
use gristmill::core::json::WorkflowJson;
use gristmill::core::workflow::WorkflowRecord;
use gristmill::record::TaskRecord;

use super::{dot, find, tree};
use crate::commands::ids::WorkflowText;
use crate::exit::CliError;
use crate::output::{Format, Out};

/// Of larger steps only the numbers are shown.
const MEMBERS_SHOWN: u32 = 20;
/// So many tasks of one workflow are shown at most: each is read.
const TASKS_SHOWN: u32 = 200;

/// Arguments of `workflows show`.
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// The workflow's id, or its beginning
    #[arg(value_name = "ID")]
    id: WorkflowText,
    /// Its graph in the language of Graphviz, for `dot -Tsvg`
    #[arg(long)]
    dot: bool,
}

pub(super) async fn run(args: &Show, client: &Client, out: &Out) -> Result<(), CliError> {
    let workflow = find(&args.id, client).await?;
    if args.dot {
        return out.raw(&dot::text(&workflow));
    }
    if out.format != Format::Table {
        return out.value(&WorkflowJson::with_steps(workflow), |_| String::new());
    }
    let members = members(&workflow, client).await?;
    out.raw(&tree::text(&workflow, &members))
}

/// The tasks of each step that has few, in their order.
async fn members(workflow: &WorkflowRecord, client: &Client) -> Result<Vec<Vec<TaskRecord>>, CliError> {
    let (mut all, mut room) = (Vec::with_capacity(workflow.steps.len()), TASKS_SHOWN);
    for step in &workflow.steps {
        let mut tasks = Vec::new();
        if let Some(left) = room.checked_sub(step.row.tally.members).filter(|_| step.row.tally.members <= MEMBERS_SHOWN) {
            room = left;
            for member in client.workflows().members(workflow.id, &step.spec.name, None, MEMBERS_SHOWN as usize).await? {
                tasks.extend(client.tasks().get(member.task).await?);
            }
        }
        all.push(tasks);
    }
    Ok(all)
}
