use std::collections::BTreeSet;
use std::fs::File;
use std::future::IntoFuture;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use gristmill::Client;
use gristmill::core::{Env, WorkflowId};
use gristmill::workflow::{FORM_BYTES_MAX, Form, WorkflowHandle};
use serde::Serialize;
use serde_json::Value;

use super::progress;
use crate::commands::signals;
use crate::commands::unserved::tell_queues;
use crate::commands::values::duration;
use crate::connect::Session;
use crate::exit::CliError;
use crate::output::{self, Out};

/// Arguments of `workflows start`.
#[derive(Debug, clap::Args)]
pub(crate) struct Start {
    /// The workflow in its JSON form, {"name": NAME, "steps": {NAME: {"task": NAME, ...}}}; - reads standard input
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
    /// As long as another run with this key goes on, start none, and answer with that one; instead of the file's `key`
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Wait for the end and print the result's JSON, that of the last step or, if there are several, of each by its name; exit 1 if the
    /// workflow failed
    #[arg(long)]
    wait: bool,
    /// How long to wait at most; then exit 4, and the workflow goes on
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true, requires = "wait")]
    timeout: Option<Duration>,
    /// Accept task types that are not known here, for another program that has them
    #[arg(long)]
    force: bool,
}

pub(super) async fn run<S: Send + Sync + 'static>(args: Start, mut session: Session<S>, out: &Out) -> Result<(), CliError> {
    // What is wrong with it should not make a database.
    let mut form = Form::read(&read(&args.file)?)?.force(args.force);
    if let Some(key) = args.key {
        form = form.key(key)?;
    }
    for kind in form.kinds().into_iter().filter(|_| !args.force) {
        session.make_no_store_unless_known(kind)?;
    }
    let client = session.connect_to_enqueue().await?;
    let queues: Vec<_> = form.queues().into_iter().map(str::to_owned).collect();
    let id = Env::system().workflow_id();
    // From now on there may be something that somebody has to find again.
    let mut signals = signals::listen()?;
    let handle = tokio::select! {
        biased;
        handle = client.workflows().form(form).id(id).into_future() => handle?,
        () = signals.next() => {
            return Err(CliError::interrupted(format!("the start of workflow {id} was interrupted")).with_hint(format!(
                "it may be there, with a group that was left open; `workflows show {id}` tells, and `workflows cancel {id}` ends it"
            )));
        }
    };
    if handle.id() != id {
        output::note(&format!("workflow {} holds the key and goes on; nothing new was started", handle.id()));
    }
    // Who waits is told more.
    if args.wait {
        let id = handle.id();
        return tokio::select! {
            biased;
            ended = wait(&handle, args.timeout, &client, out) => ended,
            () = signals.next() => Err(CliError::interrupted(format!("the wait for workflow {id} was interrupted"))
                .with_hint(format!("it goes on; `workflows show {id}` tells where it stands, and `workflows cancel {id}` ends it"))),
        };
    }
    tell_queues(queues.iter().map(String::as_str), &client).await;
    let written = out.value(&Answer { id: handle.id() }, |answer| format!("{}\n", answer.id));
    written.map_err(|error| error.although(format!("the workflow is started: {}", handle.id())))
}

#[derive(Serialize)]
struct Answer {
    id: WorkflowId,
}

async fn wait(handle: &WorkflowHandle<Value>, limit: Option<Duration>, client: &Client, out: &Out) -> Result<(), CliError> {
    tell_unserved(handle, client).await;
    let ended = async {
        tokio::select! {
            result = handle.result() => result,
            () = progress::show(handle) => std::future::pending().await,
        }
    };
    let id = handle.id();
    let result = match limit {
        None => ended.await?,
        Some(limit) => tokio::time::timeout(limit, ended).await.map_err(|_| {
            CliError::timed_out(format!("workflow {id} did not end in time"))
                .with_hint("it goes on; `workflows show` tells where it stands, and `tasks why` what a task of it waits for")
        })??,
    };
    out.json_text(&result.to_string()).map_err(|error| error.although(format!("workflow {id} has succeeded")))
}

/// Says that the wait may be long, if nobody is there to run it. Only said: where it can't be found out, nothing is.
async fn tell_unserved(handle: &WorkflowHandle<Value>, client: &Client) {
    let (Ok(Some(workflow)), Ok(workers)) = (handle.status().await, client.workers().list().await) else { return };
    if workflow.state.is_final() {
        return;
    }
    let kinds: BTreeSet<_> = workflow.steps.iter().map(|step| step.spec.kind.as_str()).collect();
    let is_served = |kind: &&str| workers.iter().any(|worker| worker.alive && worker.kinds.iter().any(|known| known == kind));
    for kind in kinds.into_iter().filter(|kind| !is_served(kind)) {
        output::note(&format!("no live worker serves `{kind}`; waiting for one"));
    }
}

/// The text of a file, or of standard input for `-`.
fn read(path: &Path) -> Result<String, CliError> {
    let is_input = path == Path::new("-");
    let name = if is_input { "standard input".to_owned() } else { path.display().to_string() };
    let from: io::Result<Box<dyn Read>> =
        if is_input { Ok(Box::new(io::stdin())) } else { File::open(path).map(|file| Box::new(file) as Box<dyn Read>) };
    let mut text = String::new();
    // One byte more shows that there is more than is read.
    let read = from.and_then(|from| from.take(FORM_BYTES_MAX as u64 + 1).read_to_string(&mut text));
    read.map_err(|error| CliError::usage(format!("{name} can't be read: {error}")))?;
    Ok(text)
}
