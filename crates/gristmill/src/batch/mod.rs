//! Batches: a handler that takes many tasks in one call.
//!
//! A worker gathers the tasks of such a type that it has claimed. Once there are `size` of them, or the first has waited for `wait`, its handler gets
//! all of them in one call, and answers with one result for each, in their order. Everything else is as it would be alone: each of them is a
//! task of its own, with its own id, attempts, retries and result, and one that is bad holds up none of the others.
//!
//! ```
//! use gristmill::batch::Batch;
//! use gristmill::{App, Error, Result, Task};
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//! # type Db = ();
//!
//! #[derive(Serialize, Deserialize, JsonSchema, Task)]
//! #[task(name = "log.write", state = Db, output = u64, batch(size = 1000, wait = "200ms"))]
//! struct WriteLog {
//!     tenant: String,
//!     line: String,
//! }
//!
//! impl WriteLog {
//!     async fn handle(cx: &Batch<Db>, entries: Vec<Self>) -> Result<Vec<Result<u64>>> {
//!         // One round trip for all of them; `?` here is an error of all.
//!         Ok(entries.iter().map(|entry| if entry.line.is_empty() { Err(Error::fail("no text")) } else { Ok(1) }).collect())
//!     }
//! }
//!
//! let app = App::new(()).register_batch::<WriteLog>();
//! assert!(app.mistake().is_none());
//! ```
//!
//! It is a struct with a derive, and not a function under `#[task]`, as the handler takes many of what one enqueue makes: the arguments need a name.
//!
//! # When a call begins
//! With `size` tasks (at most [`BATCH_SIZE_MAX`](crate::core::limits::BATCH_SIZE_MAX)), or `wait` after the first of them was claimed (at most
//! [`BATCH_WAIT_MAX`](crate::core::limits::BATCH_WAIT_MAX)). Sooner when their arguments reach 16 MiB; when the worker is asked to stop and has a slot
//! free; and when a worker that drains finds nothing more. With a `key`, a text that is filled from the arguments (`key = "{tenant}"`), one call has only
//! tasks with the same key; one whose arguments do not have it fails alone. A call takes one slot of its queue; if none is free by then, its tasks are given back
//! after at most a second, as others are that were claimed ahead. Each worker gathers by itself. While a task is gathered it counts as
//! running, its worker's heartbeat keeps its lease, and a crash costs it what it costs any claimed task.
//!
//! # What an answer means
//! - A list of results, as long as that of the tasks: each is the outcome of its task, as if that had run alone. A list of any other length fails all, and each is
//!   tried again by its backoff.
//! - An error of the whole call, or a panic, is that of each of them.
//! - Arguments that do not fit fail their task alone; it never gets to the handler.
//! - The timeout is one for the call: the longest that any of its tasks has, which is that of the type unless an enqueue or a route says otherwise.
//!   After it each of them has timed out.
//! - A task that is cancelled before the call begins is left out. One that is cancelled while it runs hinders no other: its
//!   own [context](Batch::tasks) says so, and it ends as cancelled unless the handler has a result for it all the same. The call is asked to end
//!   when all of its tasks are.
//!
//! # Contexts
//! Each task has its own [`Context`] in the order of the tasks: what it enqueues is kept with the success of that task alone, its lines
//! are in that task's log, and [`settle_in`](Context::settle_in) settles that task in a transaction of the handler's: so all of a call can be. [Durable
//! steps](crate::durable) are refused there, as one task can't wait while the others go on; what has to wait is a task of its own, which this one
//! enqueues. [Middleware](crate::middleware) stands around each task. The call begins once all of them have been let in, or those that have when no other was for
//! another `wait`: the rest get the next call.
//!
//! A synchronous [call](crate::Client::call), and a test that drains, run a batch of one.

mod run;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub(crate) use run::{Alone, Call, DynamicMany, RunMany, Seat, Table, Taken, TypedMany, key_of};

use crate::attempt::Attempt;
use crate::context::Stateless;
use crate::{Context, Result, Task};

/// What a handler that takes many tasks knows beside their arguments.
pub struct Batch<S = Stateless> {
    /// The application's state, or the part of it that the task type asked for.
    pub state: S,
    tasks: Vec<Context>,
    call: Arc<Call>,
}

impl<S> Batch<S> {
    pub(crate) fn new(state: S, attempts: Vec<Arc<Attempt>>, call: Arc<Call>) -> Self {
        let tasks = attempts.into_iter().map(|attempt| Context::new(Stateless, attempt)).collect();
        Self { state, tasks, call }
    }

    /// The contexts of the tasks, in the order in which the handler gets them; at least one. What is said or enqueued by one of them is that task's.
    ///
    /// ```
    /// # use gristmill::batch::Batch;
    /// # use gristmill::{Result, task};
    /// # #[task(name = "index")] async fn index(line: String) -> Result<()> { let _ = line; Ok(()) }
    /// async fn handle(cx: &Batch, lines: Vec<String>) -> Result<Vec<Result<()>>> {
    ///     let mut results = Vec::new();
    ///     for (task, line) in cx.tasks().iter().zip(lines) {
    ///         task.log("written");
    ///         results.push(task.enqueue(Index { line }).await.map(drop).map_err(Into::into));
    ///     }
    ///     Ok(results)
    /// }
    /// ```
    pub fn tasks(&self) -> &[Context] {
        &self.tasks
    }

    /// How many tasks there are.
    pub fn size(&self) -> usize {
        self.tasks.len()
    }

    /// What their arguments have in common, if the task type has a key.
    pub fn key(&self) -> Option<&str> {
        self.call.key.as_deref()
    }

    /// How much time is left before the call times out; `None` without a limit.
    pub fn time_left(&self) -> Option<Duration> {
        self.call.deadline.map(|deadline| deadline.saturating_duration_since(tokio::time::Instant::now()))
    }

    /// Cancelled when the call should end: its timeout is over, the worker stops, or none of its tasks is wanted here any more. A handler that
    /// ignores it is dropped a little later. That one of them is cancelled, [its own](Context::cancellation) says.
    pub fn cancellation(&self) -> &CancellationToken {
        &self.call.ending
    }

    /// Runs blocking or CPU-bound work on a thread of its own, as [`Context::blocking`] does, which says what there is to know of it.
    ///
    /// # Errors
    /// What `work` returns, or its panic.
    ///
    /// # Cancel safety
    /// As there: the thread goes on until `work` returns, and takes up the slot for as long.
    pub async fn blocking<T, F>(&self, work: F) -> Result<T>
    where
        F: FnOnce() -> Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let Some(first) = self.tasks.first() else { return work() };
        first.blocking(work).await
    }
}

impl<S> fmt::Debug for Batch<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.tasks.first().map_or("", Context::name);
        f.debug_struct("Batch").field("name", &name).field("size", &self.size()).field("key", &self.key()).finish_non_exhaustive()
    }
}

/// A task type whose handler takes many tasks in one call: see the [module](self). Usually written by `#[derive(Task)]` with the option `batch`, and
/// added with [`App::register_batch`](crate::App::register_batch). How many it takes at once says its [policy](crate::options::Policy::batch).
///
/// ```
/// use gristmill::batch::{Batch, BatchTask};
/// use gristmill::context::Stateless;
/// use gristmill::options::{Batching, Policy};
/// use gristmill::{App, Context, Error, Result, Task};
/// use schemars::JsonSchema;
/// use serde::{Deserialize, Serialize};
/// use std::time::Duration;
///
/// #[derive(Serialize, Deserialize, JsonSchema)]
/// struct Index {
///     document: u64,
/// }
///
/// impl Task for Index {
///     const NAME: &'static str = "index";
///     type State = Stateless;
///     type Output = ();
///
///     fn policy() -> Policy {
///         Policy { batch: Some(Batching::new(100, Duration::from_secs(1))), ..Policy::default() }
///     }
///
///     // Never called: one that is run alone is a batch of one.
///     async fn run(self, _: &Context) -> Result<()> {
///         Err(Error::fail("runs in batches"))
///     }
/// }
///
/// impl BatchTask for Index {
///     async fn run_batch(cx: &Batch, tasks: Vec<Self>) -> Result<Vec<Result<()>>> {
///         cx.tasks()[0].log(format!("indexing {} documents", tasks.len()));
///         Ok(tasks.iter().map(|_| Ok(())).collect())
///     }
/// }
///
/// assert!(App::new(()).register_batch::<Index>().mistake().is_none());
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a task type that takes many at once",
    label = "has no handler for a batch",
    note = "add the option `batch(size = 1000, wait = \"200ms\")` to its `#[derive(Task)]`, or register it with `App::register`"
)]
pub trait BatchTask: Task {
    /// The handler: one result for each of the tasks, in their order. It may be run more than once for one of them, and then beside others.
    ///
    /// # Cancel safety
    /// As that of [`Task::run`].
    fn run_batch(cx: &Batch<Self::State>, tasks: Vec<Self>) -> impl Future<Output = Result<Vec<Result<Self::Output>>>> + Send;
}

/// The code of a task type that takes many at once without its Rust types, as [`Handler`](crate::app::Handler) is that of others. It is registered with
/// [`App::register_batch_handler`](crate::App::register_batch_handler).
pub trait BatchHandler: Send + Sync + 'static {
    /// Runs one call. Each of `args` is the JSON text of an object that fits the task type's schema; each result is JSON text.
    ///
    /// # Errors
    /// As a task's handler, for all of them.
    fn run<'a>(&'a self, cx: &'a Batch, args: &'a [String]) -> BatchHandlerFuture<'a>;
}

/// What [`BatchHandler::run`] returns.
pub type BatchHandlerFuture<'a> = Pin<Box<dyn Future<Output = Result<Vec<Result<String>>>> + Send + 'a>>;
