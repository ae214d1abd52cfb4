//! `workers drain`: asks a worker to end, and says how far it is.

use std::time::{Duration, Instant};

use gristmill::Client;
use gristmill::core::{WorkerId, format_duration};
use gristmill::record::{Drain, WorkerInfo};
use serde::Serialize;

use crate::commands::ids::find_living_worker;
use crate::commands::values::duration;
use crate::exit::CliError;
use crate::output::{self, Out};

/// Twice the longest between two heartbeats.
const HEARS_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(100);
const DEAF: &str =
    "it hears with its next heartbeat, at most 5s later; one that hangs, or of a version that knows no such wish, never does";

/// Arguments of `workers drain`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The worker's id, its beginning, or its name, as `workers` shows them
    #[arg(value_name = "WORKER")]
    worker: String,
    /// Wait until it has ended, and not only until it has heard
    #[arg(long)]
    wait: bool,
    /// How long to wait at most; then exit 4, and it stays asked [default: 10s until it has heard, no limit with --wait]
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    wait_timeout: Option<Duration>,
}

/// How far it is.
#[derive(Serialize)]
struct Drained {
    worker: String,
    drain: Stage,
    /// How many tasks it still runs.
    running: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Stage {
    Heard,
    Ended,
}

pub(super) async fn run(args: &Args, client: &Client, out: &Out) -> Result<(), CliError> {
    let id = find_living_worker(&args.worker, client).await?;
    // Should it have left by now, the look finds that out.
    client.workers().drain(id).await?;
    let (name, until) = (&args.worker, if args.wait { Stage::Ended } else { Stage::Heard });
    let limit = args.wait_timeout.or((!args.wait).then_some(HEARS_WITHIN));
    let mut last = None;
    let reached = reach(id, name, until, &mut last, client);
    let drained = match limit {
        None => reached.await?,
        Some(limit) => match tokio::time::timeout(limit, reached).await {
            Ok(drained) => drained?,
            Err(_) => return Err(too_late(name, limit, last.as_ref())),
        },
    };
    out.value(&drained, |drained| match drained.drain {
        Stage::Ended => "it has ended\n".to_owned(),
        Stage::Heard => format!("it claims no more, and ends after the {} tasks that it runs\n", drained.running),
    })
}

/// Looks until it is so far; `last` is what was seen of it meanwhile.
async fn reach(
    id: WorkerId,
    name: &str,
    until: Stage,
    last: &mut Option<WorkerInfo>,
    client: &Client,
) -> Result<Drained, CliError> {
    let (id, began) = (id.to_string(), Instant::now());
    let mut is_told = false;
    loop {
        let found = client.workers().list().await?.into_iter().find(|worker| worker.id == id);
        let Some(worker) = found else { return Ok(Drained { worker: id, drain: Stage::Ended, running: 0 }) };
        if !worker.alive {
            return Err(CliError::failed(format!("the worker `{name}` was asked, and its lease ended before it left"))
                .with_hint(
                    "what it held goes to others; if it still lives, it goes on under a new id, which is to be asked again",
                ));
        }
        let has_heard = worker.drain == Some(Drain::Heard);
        if has_heard && until == Stage::Heard {
            return Ok(Drained { worker: id, drain: Stage::Heard, running: worker.running });
        }
        if !has_heard && !is_told && began.elapsed() > HEARS_WITHIN {
            output::note(&format!("the worker `{name}` was asked, and has not heard of it yet: {DEAF}"));
            is_told = true;
        }
        *last = Some(worker);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn too_late(name: &str, limit: Duration, last: Option<&WorkerInfo>) -> CliError {
    let limit = format_duration(limit);
    match last.filter(|worker| worker.drain == Some(Drain::Heard)) {
        Some(worker) => CliError::timed_out(format!(
            "the worker `{name}` has heard, and did not end within {limit}: it runs {} tasks",
            worker.running
        ))
        .with_hint("it ends when they have ended, or when its grace period is over"),
        None => {
            CliError::timed_out(format!("the worker `{name}` was asked, and has not heard of it within {limit}")).with_hint(DEAF)
        }
    }
}
