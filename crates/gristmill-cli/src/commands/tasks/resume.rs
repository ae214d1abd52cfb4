use gristmill::Client;
use gristmill::core::TaskId;
use gristmill::durable::{Resume, Resumed};
use serde::Serialize;

use crate::commands::ids::{IdText, find_all};
use crate::exit::CliError;
use crate::output::{Out, number_of};

/// Arguments of `tasks resume`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The tasks' ids, or their beginnings
    #[arg(value_name = "ID", required = true)]
    ids: Vec<IdText>,
    /// As if they remembered nothing from the place on where the code has changed: what follows is done anew
    #[arg(long, conflicts_with = "fail")]
    forget: bool,
    /// Not at all: they fail, and say why
    #[arg(long)]
    fail: bool,
}

#[derive(Serialize)]
struct Answer {
    id: TaskId,
    outcome: Resumed,
}

pub(super) async fn run(args: &Args, client: &Client, out: &Out) -> Result<(), CliError> {
    let how = match (args.forget, args.fail) {
        (true, _) => Resume::Forget,
        (_, true) => Resume::Fail,
        _ => Resume::Again,
    };
    let (mut answers, mut left) = (Vec::new(), 0);
    for id in find_all(&args.ids, client).await? {
        let outcome = client.tasks().resume(id, how).await?;
        left += u64::from(outcome != Resumed::Done);
        answers.push(Answer { id, outcome });
    }
    out.list(&answers, &["id", "outcome"], |answer| {
        let outcome = match answer.outcome {
            Resumed::Done => "done",
            Resumed::NotPaused => "not paused",
            Resumed::NotFound => "not found",
        };
        vec![answer.id.to_string(), outcome.to_owned()]
    })?;
    match left {
        0 => Ok(()),
        left => {
            Err(CliError::failed(format!("{} could not be resumed, as not standing still or not there", number_of(left, "task"))))
        }
    }
}
