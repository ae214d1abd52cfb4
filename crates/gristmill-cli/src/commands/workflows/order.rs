use gristmill::Client;
use gristmill::core::json::OrderedJson;
use gristmill::core::workflow::{Ordered, WorkflowState};

use crate::commands::ids::WorkflowText;
use crate::exit::CliError;
use crate::output::{Out, number_of};

#[derive(Clone, Copy, Debug)]
pub(super) enum Verb {
    Cancel,
    Pause,
    Resume,
}

pub(super) async fn run(verb: Verb, ids: &[WorkflowText], client: &Client, out: &Out) -> Result<(), CliError> {
    // A beginning that means none or several is told before anything is done.
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        found.push(id.find(client).await?);
    }
    let (mut rows, mut left) = (Vec::with_capacity(found.len()), 0);
    for id in found {
        let workflows = client.workflows();
        let ordered = match verb {
            Verb::Cancel => workflows.cancel(id).await?,
            Verb::Pause => workflows.pause(id).await?,
            Verb::Resume => workflows.resume(id).await?,
        };
        left += u64::from(!matches!(ordered, Ordered::Done(_)));
        rows.push(OrderedJson::of(id, ordered));
    }
    out.list(&rows, &["id", "outcome", "state"], |row| {
        vec![row.id.to_string(), row.outcome.to_owned(), row.state.map(WorkflowState::as_str).unwrap_or_default().to_owned()]
    })?;
    let done = match verb {
        Verb::Cancel => "cancelled",
        Verb::Pause => "paused",
        Verb::Resume => "resumed",
    };
    match left {
        0 => Ok(()),
        left => Err(CliError::failed(format!("{} could not be {done}, as ended or not there", number_of(left, "workflow")))),
    }
}
