//! Waiting for the end of a task.

use std::time::Duration;

use gristmill::client::AwaitError;
use gristmill::core::WorkerInfo;
use gristmill::record::{State, TaskRecord};
use gristmill::{Client, TaskId};

use crate::exit::CliError;
use crate::output;

/// Waits for the end, no longer than `limit`. Says so if nobody is there to end it.
///
/// # Errors
/// A task that is not there, a store that can't be read, or the end of the wait, whose code is its own.
pub(super) async fn ended(
    client: &Client,
    id: TaskId,
    limit: Option<Duration>,
) -> Result<Result<TaskRecord, AwaitError>, CliError> {
    tell_unserved(client, id).await?;
    let handle = client.handle(id);
    let Some(limit) = limit else { return Ok(handle.ended().await) };
    tokio::time::timeout(limit, handle.ended()).await.map_err(|_| {
        CliError::timed_out(format!("task {id} did not end in time"))
            .with_hint("it goes on; `tasks why` tells what it waits for, and `tasks show` where it stands")
    })
}

/// Says that the wait may be long, if nobody is there to end it.
async fn tell_unserved(client: &Client, id: TaskId) -> Result<(), CliError> {
    let Some(task) = client.tasks().get(id).await?.filter(|task| !task.state.is_final()) else { return Ok(()) };
    let serves =
        |worker: &WorkerInfo| worker.alive && worker.queues.contains_key(&task.queue) && worker.kinds.contains(&task.kind);
    if !client.workers().list().await?.iter().any(serves) {
        output::note(&format!("no live worker serves `{}` in the queue `{}`; waiting for one", task.kind, task.queue));
    } else if client.queues().list().await?.iter().any(|queue| queue.paused && queue.name == task.queue) {
        output::note(&format!("the queue `{}` is paused; waiting for it to be resumed", task.queue));
    }
    Ok(())
}

/// Why an ended task is no success.
pub(super) fn not_succeeded(task: &TaskRecord) -> CliError {
    let (id, state) = (task.id, task.state);
    let why = task.error.as_ref().map(|failure| format!(": {}", failure.message)).unwrap_or_default();
    if state != State::Failed {
        return CliError::failed(format!("task {id} is {state}{why}"));
    }
    CliError::failed(format!("task {id} failed{why}"))
}
