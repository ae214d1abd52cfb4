use std::borrow::Cow;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Task;
use crate::attempt::Attempt;
use crate::client::{Client, draft};
use crate::core::{EnqueueOutcome, Failure, FailureReason, InvalidInput, NewTask, Overrides, StoreError, TaskId, limits};
use crate::registry::Registered;
use crate::task::stored_name;
use crate::worker::execute;

/// A task about to be run in the caller: set options, then `.await`. Made by [`Client::call`] and [`Client::call_named`].
///
/// # Cancel safety
/// If the future is dropped, so is the handler's.
#[must_use = "nothing runs until it is awaited"]
pub struct Call<'c, O> {
    client: &'c Client,
    /// The name and the arguments, if they could be written.
    task: Result<(Cow<'static, str>, String), InvalidInput>,
    /// Whether the arguments come from a Rust type, which has checked types and presence.
    typed: bool,
    over: Overrides,
    output: PhantomData<fn() -> O>,
}

impl<'c, O: DeserializeOwned> Call<'c, O> {
    pub(crate) fn typed<T: Task<Output = O>>(client: &'c Client, task: &T) -> Self {
        let task = draft::json(task).map(|args| (stored_name::<T>(), args));
        Self { client, task, typed: true, over: Overrides::default(), output: PhantomData }
    }
}

impl<'c> Call<'c, Value> {
    pub(crate) fn named(client: &'c Client, name: &str, args: &impl Serialize) -> Self {
        let task = draft::json_of_named(args).map(|args| (name.to_owned().into(), args));
        Self { client, task, typed: false, over: Overrides::default(), output: PhantomData }
    }
}

impl<O> Call<'_, O> {
    /// The longest that it may run, instead of its type's timeout: the deadline of the request that it is part of. At the
    /// deadline the handler is asked to end, and a tenth of this time later (or the type's `kill_after`) it is dropped; the
    /// call then fails with the reason [`Timeout`](FailureReason::Timeout).
    ///
    /// ```
    /// # use gristmill::client::CallError;
    /// # use gristmill::{Client, Result, task};
    /// # use std::time::Duration;
    /// # #[task(name = "greet")] async fn greet(name: String) -> Result<String> { Ok(name) }
    /// # async fn example(client: Client) -> Result<(), CallError> {
    /// let greeting = client.call(Greet { name: "world".into() }).timeout(Duration::from_secs(2)).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.over.timeout = Some(timeout);
        self
    }

    async fn run(self) -> Result<O, CallError>
    where
        O: DeserializeOwned,
    {
        let (name, args) = self.task?;
        let kind = known(self.client, &name)?;
        if !self.typed || kind.schema.is_demanding {
            kind.check_args(&args, self.client.size_limits())?;
        }
        let result = run(self.client, kind, args, self.over).await?;
        serde_json::from_str(&result).map_err(|error| {
            let message = format!("the result can't be read back: {error}");
            CallError::Failed(Box::new(Failure::new(FailureReason::Error, message)))
        })
    }
}

impl<'c, O: DeserializeOwned + 'c> IntoFuture for Call<'c, O> {
    type Output = Result<O, CallError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'c>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<O> fmt::Debug for Call<'_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.task.as_ref().map_or("", |(name, _)| name);
        f.debug_struct("Call").field("task", &name).field("timeout", &self.over.timeout).finish_non_exhaustive()
    }
}

fn known<'c>(client: &'c Client, name: &str) -> Result<&'c Registered, CallError> {
    client
        .runtime()
        .registry
        .get(name)
        .ok_or_else(|| CallError::UnknownTask { name: name.to_owned(), near: client.runtime().registry.near(name) })
}

async fn run(client: &Client, kind: &Registered, args: String, mut over: Overrides) -> Result<String, CallError> {
    client.runtime().pass_outward(&kind.spec.name, &args, &mut over)?;
    let timeout = over.timeout.or(kind.spec.policy.timeout);
    let mut task = NewTask::of(&kind.spec, args, over, client.runtime().env.task_id(), client.size_limits())?;
    let args = std::mem::take(&mut task.args);
    let attempt = Arc::new(Attempt::of_call(task, timeout, client.ground()));
    let args = if kind.is_older() { kind.whole(args, client.size_limits()) } else { Ok(args) };
    let result = execute::run_handler(kind, &attempt, args).await.map_err(|error| match error.failure() {
        Some(failure) if !error.is_no_failure() => CallError::Failed(Box::new(failure)),
        _ => CallError::Snoozed,
    })?;
    // The children of a call have no settlement to be committed with; they follow its success.
    let children = attempt.take_children();
    for batch in children.chunks(limits::BATCH_TASKS_MAX) {
        let outcomes = client.store().enqueue(batch.to_vec()).await?;
        let refused = batch.iter().zip(outcomes).find(|(_, outcome)| *outcome == EnqueueOutcome::Conflict);
        if let Some((child, _)) = refused {
            return Err(CallError::Refused { id: child.id });
        }
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
    /// The task succeeded, but another task has the id of one that it enqueued. The others of its children are kept, at most
    /// up to the next thousand.
    #[error("the task ran, but another task has the id {id} of one that it enqueued")]
    Refused {
        /// The id.
        id: TaskId,
    },
    /// The task succeeded, but what it enqueued could not be kept.
    #[error("the task ran, but its children could not be kept: {0}")]
    Store(#[from] StoreError),
}
