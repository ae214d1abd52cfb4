use std::future::Future;
use std::pin::{Pin, pin};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::current::{Current, InStep};
use super::journal::{Asked, Place};
use crate::attempt::Attempt;
use crate::core::durable::Kept;
use crate::core::failpoint;
use crate::error::What;
use crate::{Context, Result};

impl<S> Context<S> {
    /// Runs a piece of the handler once, and remembers what it gave: a later attempt is given that, and does not run it. See
    /// [durable steps](crate::durable).
    ///
    /// It is run again if its attempt ends before it is over and kept, by a crash for one: as a task's handler, it is to be such that this does no harm. What it
    /// [enqueues](Self::enqueue) is kept with it, or not at all: at most 1,000 tasks. Within it, nothing else can be asked for, and nothing be
    /// waited for without holding the worker's slot.
    ///
    /// ```
    /// # use gristmill::{Context, Result, task};
    /// # async fn charge_card(order: u32) -> Result<String> { Ok(format!("receipt {order}")) }
    /// # #[task(name = "thank")] async fn thank(receipt: String) -> Result<()> { let _ = receipt; Ok(()) }
    /// #[task(name = "order")]
    /// async fn order(cx: &Context, order: u32) -> Result<String> {
    ///     let receipt = cx.step("charge", async || charge_card(order).await).await?;
    ///     cx.step("thank", async || {
    ///         cx.enqueue(Thank { receipt: receipt.clone() }).await?;
    ///         Ok(())
    ///     })
    ///     .await?;
    ///     Ok(receipt)
    /// }
    /// ```
    ///
    /// The name says what it is; several may have the same. Its position is given by this call, and not when the future is first polled, so that steps
    /// that run at once have theirs in the order in which they are written.
    ///
    /// # Errors
    /// What `work` returned. What is [final](crate::Error::fail) is remembered, and each attempt gets it as [`StepFailed`](super::StepFailed); with
    /// any other the step is not over, and the next attempt runs it again: where this one would ask for something new, or wait, it ends with that error. If the value can't be written as JSON, has more than
    /// [`RESULTS_BYTES_MAX`](crate::core::limits::RESULTS_BYTES_MAX) bytes of it, or is remembered and no `T` any more, that is final.
    /// [`LeaseLost`](crate::error::LeaseLost) if another worker has the task, and the store's.
    ///
    /// # Cancel safety
    /// Dropped before its end, it is not known whether it is remembered.
    pub fn step<'a, T, W>(&'a self, name: &str, work: W) -> impl Future<Output = Result<T>> + use<'a, S, T, W>
    where
        T: Serialize + DeserializeOwned,
        W: AsyncFnOnce() -> Result<T>,
    {
        let attempt: &'a Attempt = self.inner();
        let asked = attempt.ask(name.to_owned());
        async move {
            match asked? {
                Asked::New(place) => {
                    attempt.begin_new(&place).await?;
                    attempt.run_step(place, work).await
                }
                Asked::Known(place, Kept::Value(stored)) => attempt.read(&place, &attempt.plain(stored)?),
                Asked::Known(place, Kept::Failed(failure)) => attempt.failed(&place.name, failure),
                Asked::Known(place, kept) => Err(attempt.stand_still_at(&place, &kept).await),
                Asked::Elsewhere => Err(attempt.stand_still().await),
            }
        }
    }

    /// Whether this task does what the code was changed to do here. For a task that has not come here yet, that is so, and stays so; one that was
    /// further already goes on as it began.
    ///
    /// ```
    /// # use gristmill::{Context, Result, task};
    /// # async fn charge(order: u32) -> Result<()> { let _ = order; Ok(()) }
    /// #[task(name = "order")]
    /// async fn order(cx: &Context, order: u32) -> Result<()> {
    ///     if cx.patched("check-fraud").await? {
    ///         cx.step("check", async || Ok(())).await?; // not asked for by those that were charged before this was written
    ///     }
    ///     cx.step("charge", async || charge(order).await).await
    /// }
    /// ```
    ///
    /// Once no task is on its way any more that began before, the `if` can go; then the name has to stay as long as tasks that remember it.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub fn patched<'a>(&'a self, name: impl Into<String>) -> Pin<Box<dyn Future<Output = Result<bool>> + Send + 'a>> {
        let (attempt, name): (&'a Attempt, String) = (self.inner(), name.into());
        if !attempt.journal.is_ahead(&name) {
            return Box::pin(std::future::ready(Ok(false)));
        }
        let asked = attempt.ask(name.clone());
        Box::pin(async move {
            let given = async {
                match asked? {
                    Asked::New(place) => {
                        attempt.begin_new(&place).await?;
                        attempt.remember(place.keep(Kept::Patched)).await.map(|()| true)
                    }
                    Asked::Known(_, Kept::Patched) => Ok(true),
                    Asked::Known(place, kept) => Err(attempt.stand_still_at(&place, &kept).await),
                    Asked::Elsewhere => Err(attempt.stand_still().await),
                }
            };
            attempt.given(&name, given).await
        })
    }
}

impl Attempt {
    async fn run_step<T, W>(&self, place: Place, work: W) -> Result<T>
    where
        T: Serialize,
        W: AsyncFnOnce() -> Result<T>,
    {
        // As long as it is not known whether it has broken the attempt, nothing that waits beside it may end that.
        let _running = self.journal.run_step();
        let name = place.name.clone();
        self.given(&name, self.try_step(place, work)).await
    }

    async fn try_step<T, W>(&self, place: Place, work: W) -> Result<T>
    where
        T: Serialize,
        W: AsyncFnOnce() -> Result<T>,
    {
        self.keep_waits(self.journal.take_unkept()).await?;
        let outcome = {
            let work = pin!(async { work().await });
            InStep { current: Current::new(self.id, place.position), work }.await
        };
        failpoint::pass("step.after")?;
        match outcome {
            Ok(value) => {
                let stored = self.stored(&place.name, &value)?;
                self.remember(place.keep(Kept::Value(stored))).await.map(|()| value)
            }
            Err(error) if error.what == What::Fail => {
                // What it enqueued goes the way of its effects.
                drop(self.journal.take_children(place.position));
                let Some(mut failure) = error.failure() else { return Err(error) };
                failure.bound(self.runtime().limits.error_bytes);
                self.remember(place.keep(Kept::Failed(failure.clone()))).await?;
                self.failed(&place.name, failure)
            }
            Err(error) => {
                drop(self.journal.take_children(place.position));
                Err(error)
            }
        }
    }
}
