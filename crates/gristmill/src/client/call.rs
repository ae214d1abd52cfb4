use std::sync::Arc;

use crate::Task;
use crate::attempt::Attempt;
use crate::client::Client;
use crate::core::{Failure, FailureReason, InvalidInput, NewTask, Overrides, StoreError, limits};
use crate::registry::Registered;
use crate::worker::execute;

/// Runs a typed task in the caller.
pub(crate) async fn typed<T: Task>(client: &Client, task: T) -> Result<T::Output, CallError> {
    let args =
        serde_json::to_string(&task).map_err(|error| InvalidInput::new("args", format!("can't be written as JSON: {error}")))?;
    let kind = known(client, T::NAME)?;
    if kind.schema.is_demanding {
        kind.check_args(&args, client.limits())?;
    }
    let result = run(client, kind, args).await?;
    serde_json::from_str(&result).map_err(|error| {
        CallError::Failed(Box::new(Failure::new(FailureReason::Error, format!("the result can't be read back: {error}"))))
    })
}

/// Runs a task by name in the caller.
pub(crate) async fn named(client: &Client, name: &str, args: String) -> Result<String, CallError> {
    let kind = known(client, name)?;
    kind.check_args(&args, client.limits())?;
    run(client, kind, args).await
}

fn known<'c>(client: &'c Client, name: &str) -> Result<&'c Registered, CallError> {
    client
        .registry()
        .get(name)
        .ok_or_else(|| CallError::UnknownTask { name: name.to_owned(), near: client.registry().near(name) })
}

async fn run(client: &Client, kind: &Registered, args: String) -> Result<String, CallError> {
    let task = NewTask::of(&kind.spec, args, Overrides::default(), client.env().task_id(), client.limits())?;
    let args = task.args.clone();
    let deadline = kind.spec.policy.timeout.map(|timeout| tokio::time::Instant::now() + timeout);
    let attempt = Arc::new(Attempt::of_call(task, deadline, client));
    let result = execute::run_handler(kind, &attempt, args).await.map_err(|error| match error.failure() {
        Some(failure) => CallError::Failed(Box::new(failure)),
        None => CallError::Snoozed,
    })?;
    // The children of a call have no settlement to be committed with; they follow its success.
    let children = attempt.take_children();
    for batch in children.chunks(limits::BATCH_TASKS_MAX) {
        client.store().enqueue(batch.to_vec()).await?;
    }
    Ok(result)
}

/// Why a synchronous call gave no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// Arguments are out of range or do not fit the schema.
    #[error(transparent)]
    Invalid(#[from] InvalidInput),
    /// This program has no handler of that name.
    #[error("there is no task type `{name}` in this program")]
    UnknownTask {
        /// The name.
        name: String,
        /// Names like it.
        near: Vec<String>,
    },
    /// The handler failed, panicked, or ran too long.
    #[error("{}", .0.message)]
    Failed(Box<Failure>),
    /// The handler wants to be run later, which a call can't do.
    #[error("the task is not ready to run yet; enqueue it rather than calling it")]
    Snoozed,
    /// The task succeeded, but what it enqueued could not be kept.
    #[error("the task ran, but its children could not be kept: {0}")]
    Store(#[from] StoreError),
}
