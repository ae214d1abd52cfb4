//! Durable steps: one handler that goes on where it was, after a crash, a deployment, or three days.
//!
//! A handler asks its [`Context`](crate::Context) for one thing after the other: to run a [step](crate::Context::step), to [sleep](crate::Context::sleep), to await an
//! [event](crate::Context::event) or a [workflow](crate::Context::workflow). What came of each is remembered. The next attempt runs the handler from its beginning,
//! and each thing that it asks for again is answered from there, without being done again.
//!
//! ```
//! use gristmill::{App, Context, Result, task};
//! use std::time::Duration;
//!
//! const DAY: Duration = Duration::from_secs(86_400);
//!
//! #[task(name = "order")]
//! async fn order(cx: &Context, order: u32) -> Result<String> {
//!     let invoice = cx.step("invoice", async || Ok(format!("invoice {order}"))).await?;   // once, whatever happens
//!     let Some(payer) = cx.event::<String>(format!("paid:{order}"), 3 * DAY).await? else { // without a slot, for days
//!         return Ok(format!("{invoice} was never paid"));
//!     };
//!     cx.sleep(DAY).await?;
//!     cx.step("thank", async || Ok(println!("thank you, {payer}"))).await?;
//!     Ok(format!("{invoice}, paid by {payer}"))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # #[cfg(feature = "testing")] {
//! let test = gristmill::testing::Harness::new(App::new(()).register::<Order>()).await?;
//! let handle = test.client().enqueue(Order { order: 7 }).await?;
//! test.drain().await?;                                             // waits for the event
//! test.client().events().send("paid:7", "ann").await?;
//! test.drain().await?;                                             // sleeps
//! test.advance(DAY).await?;
//! test.drain().await?;
//! assert_eq!(handle.result().await?, "invoice 7, paid by ann");
//! # }
//! # Ok(())
//! # }
//! ```
//!
//! # To wait
//! A handler that waits ends its attempt: the call does not return in that one, and the handler is dropped where it stands. It holds no slot
//! of a worker then, no lease, and no attempt; when what it waits for has come, another attempt comes to that place again. So what is
//! done outside of steps is done by each attempt, and what is to be done once belongs into a step. A handler that is a plain `fn` has a thread,
//! which can't be dropped: there the call fails, and the handler should return that error. It fails there, too, when the attempt is to end in another way,
//! as by a cancel or its timeout.
//!
//! Several things may be asked for at once (`tokio::join!`, `select!`), one in each branch: where two branches ask for several things each, these
//! come in another order once some are remembered, and the task stands still. An attempt ends to wait once nothing but waiting is left
//! of it, steps that run included. A time that was given stays, also if a step beside it fails and is tried again. Whatever else goes on beside
//! them, such as a timer of the runtime, is not waited for. Which of several came first is not remembered: where the handler goes on by that, a
//! step should say it.
//!
//! [Middleware](crate::middleware) is dropped with the handler, and [hooks](crate::App::on_failed_attempt) are not told: an attempt that ends to wait has
//! neither failed nor succeeded.
//!
//! # The order
//! Each thing has its *position* in the order of the asking, which is when the method is called. An attempt has to ask for the same things in the same
//! order, so what decides on that has to come out of arguments and steps, and not of the time, of chance, or of what some other service says
//! just now. Where the code has changed so that something else is asked for than is remembered, or it succeeds without asking for all of it, the task stands still and
//! does nothing more: `gristmill tasks why` shows the place, and a person [says](crate::client::Tasks::resume) how it goes on.
//! [`Context::patched`](crate::Context::patched) is for changes that tasks on their way do not see.
//!
//! # Limits
//! A task has at most [`MEMORIES_MAX`](crate::core::limits::MEMORIES_MAX) things; the value of one has at most
//! [`RESULTS_BYTES_MAX`](crate::core::limits::RESULTS_BYTES_MAX) bytes of JSON, and all together
//! [`MEMORIES_BYTES_MAX`](crate::core::limits::MEMORIES_BYTES_MAX), where what events tell counts once they have come. What one step enqueues is bounded in bytes as
//! what an attempt does ([`Limits::children_bytes`](crate::options::Limits::children_bytes)). A task that has to go on for ever enqueues itself anew.

mod child;
mod current;
mod journal;
mod keep;
mod recorded;
mod step;
mod wait;

use std::fmt;

pub use crate::core::durable::{EVENT_KEPT, EventRecord, Mismatch, Resume, Resumed, Sent, Waiter};
use crate::core::{Failure, TaskId};
pub(crate) use current::in_step_of_thread;
pub(crate) use journal::{Begin, Journal, OnThread};
pub use recorded::{Recorded, RecordedStep};

/// What something that a task asked for failed with for good: a [step](crate::Context::step) with
/// [`Error::fail`](crate::Error::fail), or a workflow. Each attempt is told the same, so that a handler that goes on by it does so each time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .failure.message)]
pub struct StepFailed {
    /// What it is called.
    pub name: String,
    /// Why.
    pub failure: Failure,
}

/// The attempt has ended to wait, and nothing more can be asked for in it; or it is to end in another way, and waits for nothing. Told to a handler on a
/// thread of its own, which should return it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspended {
    /// The task.
    pub id: TaskId,
}

impl fmt::Display for Suspended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the attempt of task {} is over, and nothing is waited for in it; return this error", self.id)
    }
}

impl std::error::Error for Suspended {}
