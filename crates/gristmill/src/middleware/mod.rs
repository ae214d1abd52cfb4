//! Code of the application around every attempt, and around every enqueue.
//!
//! A [`Middleware`] sees each attempt from before its handler to after it, and each task before it is enqueued. It is the place
//! for what many task types have in common: the context of a request that goes along with its tasks, measurements, a switch that
//! puts work off. [`App::middleware`] adds one for all task types, [`App::middleware_for`] for one,
//! [`App::middleware_if`] for those whose names fit. The one that was added first is the outermost. The span of an attempt is
//! made by a middleware, too, around all others.
//!
//! ```
//! use gristmill::core::InvalidInput;
//! use gristmill::middleware::{Middleware, Next, Outgoing};
//! use gristmill::{App, Context, Result, task};
//!
//! tokio::task_local! {
//!     static REQUEST: String;
//! }
//!
//! /// Carries the id of the request that a task comes from to its handler, and on to the tasks that this one enqueues.
//! struct Request;
//!
//! impl Middleware for Request {
//!     fn enqueue(&self, task: &mut Outgoing<'_>) -> Result<(), InvalidInput> {
//!         if let Ok(request) = REQUEST.try_with(Clone::clone) {
//!             task.header("request", request);
//!         }
//!         Ok(())
//!     }
//!
//!     async fn run(&self, cx: &Context, next: Next<'_>) -> Result<String> {
//!         match cx.meta().headers.get("request") {
//!             Some(request) => REQUEST.scope(request.clone(), next.run()).await,
//!             None => next.run().await,
//!         }
//!     }
//! }
//!
//! #[task(name = "greet")]
//! async fn greet(name: String) -> Result<String> {
//!     Ok(format!("hello {name}, says {}", REQUEST.with(Clone::clone)))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let url = format!("sqlite:{}", dir.path().join("app.db").display());
//! let client = App::new(()).middleware(Request).register::<Greet>().connect(&url).await?;
//! let worker = client.worker().queue("default", 4).start().await?;
//! let greet = async { client.enqueue(Greet { name: "ann".into() }).await };
//! let handle = REQUEST.scope("r-17".into(), greet).await?;
//! assert_eq!(handle.result().await?, "hello ann, says r-17");
//! worker.stop().await;
//! # Ok(())
//! # }
//! ```

mod extensions;
mod next;
mod outgoing;
mod stack;
mod trace;

use std::future::Future;
use std::sync::Arc;

use crate::core::InvalidInput;
use crate::{App, Context, Result, Task};
pub(crate) use extensions::Extensions;
pub use next::Next;
pub use outgoing::Outgoing;
pub(crate) use stack::{Applies, Around, Layers};
pub(crate) use trace::Trace;

/// Code around each attempt and each enqueue; see the [module](self). Both methods do nothing by default.
///
/// It belongs to the attempt: what it takes counts against the timeout, its panic is a failed attempt, and it is cancelled with the
/// handler. It also stands around the handler of a synchronous call ([`Client::call`](crate::Client::call)).
pub trait Middleware: Send + Sync + 'static {
    /// Called once for each task that is about to be enqueued: by a client, in a transaction of the caller's own, by a handler
    /// through its context, or by a schedule's tick; and for a synchronous call, whose handler finds the same in its context. It
    /// can add to the task, or refuse it. When a schedule is defined, it is asked about the task that its tick would make.
    ///
    /// It runs in the caller, in whatever task-local or span is there, so keep it short. A tick's task is made by whichever program
    /// leads the beat; tasks that come from SQL or from another program's client never pass through here.
    ///
    /// # Errors
    /// What is wrong with the task: the caller gets it and nothing is enqueued. A panic is such an error, too.
    fn enqueue(&self, task: &mut Outgoing<'_>) -> Result<(), InvalidInput> {
        let _ = task;
        Ok(())
    }

    /// Called for each attempt; `next.run()` runs what is inside, which is the handler in the end. Written as an
    /// `async fn`:
    ///
    /// ```
    /// # use gristmill::middleware::{Middleware, Next};
    /// # use gristmill::{Context, Result};
    /// # use std::time::Instant;
    /// struct Took;
    ///
    /// impl Middleware for Took {
    ///     async fn run(&self, cx: &Context, next: Next<'_>) -> Result<String> {
    ///         let started = Instant::now();
    ///         let outcome = next.run().await;
    ///         let how = if outcome.is_ok() { "succeeded" } else { "did not succeed" };
    ///         cx.log(format!("{how} after {:?}", started.elapsed()));
    ///         outcome
    ///     }
    /// }
    /// ```
    ///
    /// What it returns is what the attempt comes to: the result as JSON text, which has to be one of the task type's output, or the
    /// error that says what happens next. That of a handler that panicked is an error here. It need not run `next` at all:
    /// returning [`Error::snooze`](crate::Error::snooze) puts the task off.
    ///
    /// The outcome is not written yet when this returns. What is to happen once it is, belongs into a hook
    /// ([`App::on_succeeded`], [`App::on_failed_attempt`], [`App::on_ended`]).
    ///
    /// # Errors
    /// As a task's handler.
    ///
    /// # Cancel safety
    /// The future is dropped where it waits when the attempt has to end and its handler does not: after a timeout or a
    /// cancellation, or when the worker stops. What has to be undone in any case belongs into a `Drop`.
    fn run(&self, cx: &Context, next: Next<'_>) -> impl Future<Output = Result<String>> + Send {
        let _ = cx;
        next.run()
    }
}

/// One that the application keeps a hand on.
impl<M: Middleware> Middleware for Arc<M> {
    fn enqueue(&self, task: &mut Outgoing<'_>) -> Result<(), InvalidInput> {
        M::enqueue(self, task)
    }

    fn run(&self, cx: &Context, next: Next<'_>) -> impl Future<Output = Result<String>> + Send {
        M::run(self, cx, next)
    }
}

impl<S: Send + Sync + 'static> App<S> {
    /// Puts a middleware around all task types, inside of those that were added before.
    #[must_use]
    pub fn middleware(self, middleware: impl Middleware) -> Self {
        self.around(Applies::ToAll, middleware)
    }

    /// The same around one task type.
    ///
    /// ```
    /// # use gristmill::middleware::{Middleware, Next};
    /// # use gristmill::{App, Context, Error, Result, task};
    /// # use std::sync::Arc;
    /// # use std::sync::atomic::{AtomicBool, Ordering};
    /// # use std::time::Duration;
    /// # #[task(name = "card.charge")] async fn charge(cents: i64) -> Result<()> { let _ = cents; Ok(()) }
    /// /// Puts tasks off while the payment service is down.
    /// struct Breaker(Arc<AtomicBool>);
    ///
    /// impl Middleware for Breaker {
    ///     async fn run(&self, _: &Context, next: Next<'_>) -> Result<String> {
    ///         if self.0.load(Ordering::Relaxed) {
    ///             return Err(Error::snooze_because(Duration::from_secs(30), "the payment service is down"));
    ///         }
    ///         next.run().await
    ///     }
    /// }
    ///
    /// let app = App::new(()).register::<Charge>().middleware_for::<Charge>(Breaker(Arc::default()));
    /// ```
    #[must_use]
    pub fn middleware_for<T: Task>(self, middleware: impl Middleware) -> Self {
        self.around(Applies::To(T::NAME), middleware)
    }

    /// The same around all task types whose name `applies` says yes to. It is asked for each task and should be quick.
    ///
    /// ```
    /// # use gristmill::{App, middleware::Middleware};
    /// # struct Timed;
    /// # impl Middleware for Timed {}
    /// let app = App::new(()).middleware_if(|name| name.starts_with("email."), Timed);
    /// ```
    #[must_use]
    pub fn middleware_if(self, applies: impl Fn(&str) -> bool + Send + Sync + 'static, middleware: impl Middleware) -> Self {
        self.around(Applies::If(Box::new(applies)), middleware)
    }

    fn around(mut self, applies: Applies, middleware: impl Middleware) -> Self {
        self.layers.middleware.push(applies, Arc::new(middleware));
        self
    }
}
