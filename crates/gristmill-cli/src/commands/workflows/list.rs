use clap::builder::{PossibleValuesParser, TypedValueParser};
use gristmill::Client;
use gristmill::core::json::{PageJson, WorkflowJson};
use gristmill::core::workflow::{WorkflowFilter, WorkflowState};
use gristmill::core::{Cursor, limits};

use crate::exit::CliError;
use crate::output::Out;

/// Arguments of `workflows list`.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// In this state; may be given more than once
    #[arg(long, value_name = "STATE", value_parser = state())]
    state: Vec<WorkflowState>,
    /// Of this name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// With this key, now or in the past
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// How many
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=limits::PAGE_ITEMS_MAX as i64))]
    limit: u16,
    /// Go on where an earlier page ended: its `next`
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<Cursor>,
}

fn state() -> impl TypedValueParser<Value = WorkflowState> {
    let words = PossibleValuesParser::new(WorkflowState::ALL.map(WorkflowState::as_str));
    words.try_map(|word| WorkflowState::ALL.into_iter().find(|state| state.as_str() == word).ok_or("no state"))
}

pub(super) async fn run(args: List, client: &Client, out: &Out) -> Result<(), CliError> {
    let filter = WorkflowFilter { states: args.state, name: args.name, key: args.key };
    let page = client.workflows().list(&filter, args.cursor, args.limit.into()).await?;
    out.page(
        &PageJson::of(page, WorkflowJson::of),
        &["id", "workflow", "key", "state", "attempt", "created", "finished"],
        |workflow| {
            vec![
                workflow.id.to_string(),
                workflow.name.clone(),
                workflow.key.clone().unwrap_or_default(),
                standing(workflow),
                workflow.attempt.to_string(),
                workflow.created_at.to_string(),
                workflow.finished_at.map(|at| at.to_string()).unwrap_or_default(),
            ]
        },
    )
}

/// Its state, and that a person has to look.
pub(super) fn standing(workflow: &WorkflowJson) -> String {
    format!("{}{}", workflow.state, if workflow.unhandled { " (unhandled)" } else { "" })
}
