use gristmill::Client;
use gristmill::core::json::{MemberJson, PageJson};
use gristmill::core::limits;
use gristmill::core::workflow::WorkflowRecord;
use gristmill::near::did_you_mean;

use super::find;
use crate::commands::ids::WorkflowText;
use crate::commands::tasks::{failure_line, short};
use crate::exit::CliError;
use crate::output::Out;

/// Arguments of `workflows members`.
#[derive(Debug, clap::Args)]
pub(crate) struct Members {
    /// The workflow's id, or its beginning
    #[arg(value_name = "ID")]
    id: WorkflowText,
    /// The step
    #[arg(value_name = "STEP")]
    step: String,
    /// How many; fewer come if their results are large
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=limits::PAGE_ITEMS_MAX as i64))]
    limit: u16,
    /// Go on where an earlier page ended: its `next`, the place of its last one
    #[arg(long, value_name = "PLACE")]
    cursor: Option<u32>,
}

pub(super) async fn run(args: &Members, client: &Client, out: &Out) -> Result<(), CliError> {
    let workflow = find(&args.id, client).await?;
    let Some(step) = workflow.steps.iter().find(|step| step.spec.name == args.step) else {
        return Err(no_such_step(&workflow, &args.step));
    };
    let members = client.workflows().members(workflow.id, &args.step, args.cursor, args.limit.into()).await?;
    let is_more = |last: &u32| last.saturating_add(1) < step.row.tally.members;
    let next = members.last().map(|last| last.place).filter(is_more).map(|place| place.to_string());
    let page = PageJson::new(members.into_iter().map(MemberJson::from).collect(), next);
    out.page(&page, &["place", "id", "state", "attempt", "result", "error"], |member| {
        vec![
            member.place.to_string(),
            member.id.to_string(),
            member.state.to_string(),
            member.attempt.to_string(),
            short(member.result.as_ref().map_or("", |result| result.get())),
            short(&member.error.as_ref().map(failure_line).unwrap_or_default()),
        ]
    })
}

pub(super) fn no_such_step(workflow: &WorkflowRecord, step: &str) -> CliError {
    let near = did_you_mean(step, workflow.steps.iter().map(|step| step.spec.name.as_str()));
    CliError::failed(format!("workflow {} has no step `{step}`{near}", workflow.id))
}
