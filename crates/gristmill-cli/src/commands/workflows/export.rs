use gristmill::Client;
use gristmill::core::json::WorkflowJson;
use gristmill::core::limits::PAGE_ITEMS_MAX;
use gristmill::durable::Recorded;
use serde::Serialize;

use super::find;
use crate::commands::ids::WorkflowText;
use crate::exit::CliError;
use crate::output::{Out, number_of};

/// So many tasks of one workflow are exported: each is read.
const TASKS_MAX: u64 = 10_000;

/// Arguments of `workflows export`.
#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// The workflow's id, or its beginning
    #[arg(value_name = "ID")]
    id: WorkflowText,
}

/// A workflow with its tasks, each of which the test kit replays.
#[derive(Serialize)]
struct Exported {
    workflow: WorkflowJson,
    tasks: Vec<OfStep>,
}

#[derive(Serialize)]
struct OfStep {
    step: String,
    place: u32,
    #[serde(flatten)]
    task: Recorded,
}

pub(super) async fn run(args: &Export, client: &Client, out: &Out) -> Result<(), CliError> {
    let workflow = find(&args.id, client).await?;
    let count = workflow.steps.iter().map(|step| u64::from(step.row.tally.members)).sum();
    if count > TASKS_MAX {
        let all = number_of(count, "task");
        return Err(CliError::failed(format!("workflow {} has {all}; at most {TASKS_MAX} are exported", workflow.id))
            .with_hint("`workflows members` lists those of a step, and `tasks export` exports one"));
    }
    let mut tasks = Vec::new();
    for step in &workflow.steps {
        let mut after = None;
        loop {
            let page = client.workflows().members(workflow.id, &step.spec.name, after, PAGE_ITEMS_MAX).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.place);
            for member in page {
                // One that is gone meanwhile is none of it.
                if let Some(task) = client.tasks().export(member.task).await? {
                    tasks.push(OfStep { step: step.spec.name.clone(), place: member.place, task });
                }
            }
        }
    }
    out.any_json(&Exported { workflow: WorkflowJson::with_steps(workflow), tasks })
}
