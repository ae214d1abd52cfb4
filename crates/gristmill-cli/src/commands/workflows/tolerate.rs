use gristmill::Client;
use gristmill::core::json::ToleratedJson;
use gristmill::core::workflow::{StepWord, Tolerance, Tolerated};

use super::{find, none_such};
use crate::commands::ids::WorkflowText;
use crate::exit::CliError;
use crate::output::Out;

/// Arguments of `workflows tolerate`.
#[derive(Debug, clap::Args)]
pub(crate) struct Tolerate {
    /// The workflow's id, or its beginning
    #[arg(value_name = "ID")]
    id: WorkflowText,
    /// The step
    #[arg(value_name = "STEP")]
    step: String,
    /// How many of its tasks need not succeed: a number, or a share such as 20%
    #[arg(value_name = "N|N%")]
    tolerance: Tolerance,
}

pub(super) async fn run(args: &Tolerate, client: &Client, out: &Out) -> Result<(), CliError> {
    let workflow = find(&args.id, client).await?;
    let id = workflow.id;
    let tolerated = client.workflows().tolerate(id, &args.step, args.tolerance).await?;
    match tolerated {
        Tolerated::Done(_) => {}
        Tolerated::AlreadyEnded => {
            return Err(CliError::failed(format!("the step `{}` has ended, and keeps its end", args.step))
                .with_hint(format!("`workflows retry {id}` runs again what failed")));
        }
        Tolerated::NoSuchStep => return Err(super::members::no_such_step(&workflow, &args.step)),
        Tolerated::NotFound => return Err(none_such(id)),
    }
    let row = ToleratedJson::of(id, tolerated);
    out.value(&row, |row| format!("the step `{}` is {}\n", args.step, row.state.map(StepWord::as_str).unwrap_or_default()))
}
