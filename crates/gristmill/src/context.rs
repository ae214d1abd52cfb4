//! What a handler knows and can do beside its arguments.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::attempt::Attempt;
use crate::client::{Enqueue, EnqueueMany, InAttempt, IntoEnqueue};
use crate::core::version::split;
use crate::core::{InvalidInput, Progress, TaskId, TaskMeta, Timestamp, limits};
use crate::{Result, Task, panics};

pub use crate::child::Child;
pub use crate::from_ref::Stateless;
pub use crate::lock::{Lock, LockGuard};
pub use crate::transaction::{SettleIn, Settling};

/// What a handler knows and can do beside its arguments.
pub struct Context<S = Stateless> {
    /// The application's state, or the part of it that the task asked for.
    pub state: S,
    attempt: Arc<Attempt>,
}

impl<S> Context<S> {
    pub(crate) fn new(state: S, attempt: Arc<Attempt>) -> Self {
        Self { state, attempt }
    }

    /// The task's id.
    pub fn id(&self) -> TaskId {
        self.attempt.id
    }

    /// The name of the task type, whatever the version.
    pub fn name(&self) -> &str {
        split(&self.attempt.kind).0
    }

    /// The [version](crate::Task::VERSION) of its arguments under which it was enqueued; the handler gets those of the current one.
    pub fn version(&self) -> u32 {
        split(&self.attempt.kind).1
    }

    /// The queue that it came from.
    pub fn queue(&self) -> &str {
        &self.attempt.queue
    }

    /// The number of this attempt; the first is 1. After a snooze or a clean stop of the worker the number repeats.
    pub fn attempt(&self) -> u32 {
        self.attempt.attempt
    }

    /// Whether a failure of this attempt would be the last.
    pub fn is_last_attempt(&self) -> bool {
        self.attempt.attempt.saturating_sub(self.attempt.crashes) >= self.attempt.max_attempts
    }

    /// The number of this claim of the task. It only grows, whatever happens, so an outside resource that remembers the
    /// largest number it saw can refuse a worker that lost the task: the fencing token of
    /// [How to do distributed locking](https://martin.kleppmann.com/2016/02/08/how-to-do-distributed-locking.html).
    pub fn fencing_token(&self) -> u32 {
        self.attempt.claim_no
    }

    /// When the task was enqueued, by the store's clock.
    pub fn enqueued_at(&self) -> Timestamp {
        self.attempt.created_at
    }

    /// Parent, tags and headers of the task.
    pub fn meta(&self) -> &TaskMeta {
        &self.attempt.meta
    }

    /// How much time is left before this attempt times out; `None` without a limit.
    pub fn time_left(&self) -> Option<Duration> {
        self.attempt.deadline.map(|deadline| deadline.saturating_duration_since(tokio::time::Instant::now()))
    }

    /// Cancelled when the handler should end: somebody cancelled the task, its timeout is over, the worker stops, or the
    /// lease is lost. A handler that ignores it is dropped a little later; one that honours it can clean up first.
    pub fn cancellation(&self) -> &CancellationToken {
        &self.attempt.token
    }

    /// Says how far the work has come. Kept with the attempt and visible within a quarter of a second; the last call wins.
    /// The message is cut at 1 KiB.
    pub fn progress(&self, done: u64, total: impl Into<Option<u64>>, message: impl Into<String>) {
        let mut message = message.into();
        limits::truncate(&mut message, 1024);
        self.attempt.set_progress(Progress { done, total: total.into(), message, data: None });
    }

    /// As [`progress`](Self::progress), with data for whoever watches: what there is of the result so far, say.
    ///
    /// ```
    /// # use gristmill::{Context, Result, task};
    /// #[task(name = "index")]
    /// async fn index(cx: &Context, pages: Vec<String>) -> Result<()> {
    ///     for (done, page) in (1..).zip(&pages) {
    ///         cx.progress_data(done, pages.len() as u64, "indexing", &serde_json::json!({ "last_page": page }))?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// If the data can't be written as JSON, or has more than 16 KiB of it
    /// ([`PROGRESS_BYTES_MAX`](crate::core::limits::PROGRESS_BYTES_MAX)). Then what was said before stands.
    pub fn progress_data(
        &self,
        done: u64,
        total: impl Into<Option<u64>>,
        message: impl Into<String>,
        data: &impl Serialize,
    ) -> Result<(), InvalidInput> {
        let refused = |problem: String| InvalidInput::new("progress data", problem);
        let unwritten = |error: serde_json::Error| refused(format!("can't be written as JSON: {error}"));
        // Written first: a text can be measured, and is the one form whose depth is checked.
        let text = serde_json::to_string(data).map_err(unwritten)?;
        if text.len() > limits::PROGRESS_BYTES_MAX {
            let max = limits::PROGRESS_BYTES_MAX;
            return Err(refused(format!("has {} bytes of JSON; at most {max} are kept", text.len())));
        }
        limits::check_depth("progress data", &text)?;
        let data = serde_json::from_str(&text).map_err(unwritten)?;
        let mut message = message.into();
        limits::truncate(&mut message, 1024);
        self.attempt.set_progress(Progress { done, total: total.into(), message, data: Some(data) });
        Ok(())
    }

    /// Adds a line to the attempt's log, which is kept with it, visible within a quarter of a second, and survives a
    /// rollback of the handler's own transaction. Bounded by [`Limits::log_bytes`](crate::options::Limits::log_bytes); the oldest
    /// lines give way.
    pub fn log(&self, line: impl AsRef<str>) {
        self.attempt.log(line.as_ref());
    }

    /// Enqueues a child, committed together with this attempt's success and not at all otherwise: a handler that is run
    /// again never doubles its children. The options are those of [`Client::enqueue`](crate::Client::enqueue); awaiting
    /// does not wait for anything, and gives a [`Child`], which has the id.
    ///
    /// A child that can't be kept, as another task has its id, fails the attempt of its parent. Of a source that is no store
    /// ([`App::worker_on`](crate::App::worker_on)), a crash at the end of the parent may double its children.
    ///
    /// ```
    /// # use gristmill::{task, Context, Result};
    /// # #[task(name = "child")] async fn child(n: u32) -> Result<()> { let _ = n; Ok(()) }
    /// #[task(name = "parent")]
    /// async fn parent(cx: &Context) -> Result<()> {
    ///     for n in 0..3 {
    ///         cx.enqueue(Child { n }).priority(7).await?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn enqueue<T: Task>(&self, task: T) -> Enqueue<'_, T::Output, InAttempt<'_>> {
        Enqueue::typed(self.attempt.runtime(), &task, InAttempt(&self.attempt))
    }

    /// Enqueues a child by name, with arguments that are written as JSON; see [`enqueue`](Self::enqueue) and
    /// [`Client::enqueue_named`](crate::Client::enqueue_named).
    pub fn enqueue_named(&self, name: &str, args: impl Serialize) -> Enqueue<'_, serde_json::Value, InAttempt<'_>> {
        Enqueue::named(self.attempt.runtime(), name, &args, InAttempt(&self.attempt))
    }

    /// Enqueues many children, all or none: tasks, or what [`enqueue`](Self::enqueue) returned for them with options. If one is
    /// refused, that is the answer, and none is added.
    ///
    /// ```
    /// # use gristmill::{task, Context, Result};
    /// # #[task(name = "child")] async fn child(n: u32) -> Result<()> { let _ = n; Ok(()) }
    /// #[task(name = "parent")]
    /// async fn parent(cx: &Context) -> Result<()> {
    ///     cx.enqueue_many((0..100).map(|n| Child { n })).await?;
    ///     cx.enqueue_many((100..200).map(|n| cx.enqueue(Child { n }).priority(7))).await?;
    ///     Ok(())
    /// }
    /// ```
    pub fn enqueue_many<'a, I>(&'a self, tasks: I) -> EnqueueMany<I, InAttempt<'a>>
    where
        I: IntoIterator<Item: IntoEnqueue<'a, InAttempt<'a>>>,
    {
        EnqueueMany::new(tasks, InAttempt(&self.attempt))
    }

    /// Asks the store whether the task is still ours, which extends nothing. A worker that was paused for longer than its lease finds out here
    /// before it touches something that it can't take back.
    ///
    /// # Errors
    /// [`LeaseLost`](crate::error::LeaseLost) if it is not, or the store's error.
    pub async fn confirm(&self) -> Result<()> {
        self.attempt.confirm().await
    }

    /// Runs blocking or CPU-bound work on a thread of its own, so that the worker's other tasks go on. What `#[task]`
    /// does for a function that is not `async`.
    ///
    /// # Errors
    /// What `work` returns, or its panic.
    ///
    /// # Cancel safety
    /// A thread can't be stopped from outside: if the attempt times out or is cancelled, it counts as ended and the
    /// thread goes on until `work` returns, which takes up the attempt's slot in its worker for as long. Long work should look at
    /// [`cancellation`](Self::cancellation).
    pub async fn blocking<T, F>(&self, work: F) -> Result<T>
    where
        F: FnOnce() -> Result<T> + Send + 'static,
        T: Send + 'static,
    {
        match self.attempt.spawn_blocking(move || panics::catch(work)).await {
            Ok(Ok(result)) => result,
            Ok(Err(panicked)) => Err(panicked.into()),
            Err(error) => Err(error.into()),
        }
    }

    /// Runs blocking work with this context on a thread of its own; see [`blocking`](Self::blocking).
    ///
    /// # Errors
    /// What `work` returns.
    pub async fn blocking_with<T, F>(&self, work: F) -> Result<T>
    where
        S: crate::FromRef<S> + Send + Sync + 'static,
        F: FnOnce(&Context<S>) -> Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let cx = Context { state: S::from_ref(&self.state), attempt: self.attempt.clone() };
        self.blocking(move || work(&cx)).await
    }

    /// Waits for a future in a task that is a plain `fn`, which has a thread of its own: for a
    /// [`transaction`](Self::transaction), or for what [`enqueue`](Self::enqueue) returns. An `async fn` writes `.await` instead; in
    /// that it panics.
    ///
    /// ```
    /// # use gristmill::{task, Context, Result};
    /// # #[task(name = "child")] async fn child(n: u32) -> Result<()> { let _ = n; Ok(()) }
    /// #[task(name = "parent")]
    /// fn parent(cx: &Context) -> Result<()> {
    ///     cx.block_on(cx.enqueue(Child { n: 1 }))?;
    ///     Ok(())
    /// }
    /// ```
    pub fn block_on<F: IntoFuture>(&self, future: F) -> F::Output {
        let future = std::pin::pin!(future.into_future());
        tokio::runtime::Handle::current().block_on(OnThread {
            attempt: &self.attempt,
            _waits: self.attempt.journal.on_thread(),
            future,
        })
    }

    pub(crate) fn inner(&self) -> &Arc<Attempt> {
        &self.attempt
    }
}

/// What a thread waits for. Should it be something that ends the attempt, the thread itself is to say so: nobody else polls it.
struct OnThread<'a, F> {
    attempt: &'a Attempt,
    _waits: crate::durable::OnThread<'a>,
    future: Pin<&'a mut F>,
}

impl<F: Future> Future for OnThread<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<F::Output> {
        let polled = self.future.as_mut().poll(cx);
        if polled.is_pending() {
            self.attempt.end_if_it_waits(true);
        }
        polled
    }
}

impl<S> fmt::Debug for Context<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("id", &self.id())
            .field("name", &self.name())
            .field("attempt", &self.attempt())
            .finish_non_exhaustive()
    }
}
