use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::journal::{Asked, Place, Wait};
use crate::attempt::Attempt;
use crate::core::durable::{Kept, NEVER};
use crate::core::{InvalidInput, Timestamp, limits};
use crate::{Context, Error, Result};

type Waiting<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// What a sleep is remembered as.
const SLEEP: &str = "sleep";

impl<S> Context<S> {
    /// Waits for so long, and without a slot of the worker, a lease, or an attempt: the attempt ends here, and another comes here again once the time is
    /// over, by the store's clock. See [durable steps](crate::durable). At most 100 years.
    ///
    /// ```
    /// # use gristmill::{Context, Result, task};
    /// # use std::time::Duration;
    /// #[task(name = "remind")]
    /// async fn remind(cx: &Context, who: String) -> Result<()> {
    ///     cx.sleep(Duration::from_secs(3 * 86_400)).await?;
    ///     cx.step("mail", async || Ok(println!("{who}, do you remember?"))).await
    /// }
    /// ```
    ///
    /// # Errors
    /// The store's. In a handler that is a plain `fn` it fails when the attempt ends, with what the handler should return.
    pub fn sleep(&self, time: Duration) -> Waiting<'_, ()> {
        self.sleeps(move |now| now.saturating_add(time.min(NEVER)))
    }

    /// The same until then; a moment that has passed means not at all.
    ///
    /// # Errors
    /// As [`sleep`](Self::sleep).
    pub fn sleep_until(&self, at: Timestamp) -> Waiting<'_, ()> {
        self.sleeps(move |_| at)
    }

    fn sleeps<'a>(&'a self, until: impl FnOnce(Timestamp) -> Timestamp + Send + 'a) -> Waiting<'a, ()> {
        let attempt: &'a Attempt = self.inner();
        let asked = attempt.ask(SLEEP.to_owned());
        let given = async move {
            let (place, until, is_new) = match asked? {
                Asked::New(place) => {
                    attempt.begin_new(&place).await?;
                    (place, until(attempt.store_now().await?), true)
                }
                Asked::Known(place, Kept::Sleeps(until)) => (place, until, false),
                Asked::Known(place, kept) => return Err(attempt.stand_still_at(&place, &kept).await),
                Asked::Elsewhere => return Err(attempt.stand_still().await),
            };
            let now = attempt.store_now().await?;
            if until <= now {
                return Ok(());
            }
            if attempt.journal.lease.is_none() {
                attempt.sleep_here(until.since(now)).await;
                return Ok(());
            }
            let memory = place.keep(Kept::Sleeps(until));
            Err(if is_new {
                attempt.wait_until(memory, until).await
            } else {
                attempt.wait_for(Wait { until: Some(until), ..Wait::of(memory) }).await
            })
        };
        Box::pin(attempt.given(SLEEP, given))
    }

    /// Waits until somebody has [sent](crate::client::Events::send) the event of this name, now or before, for as long as it was kept; `None` if it did not come within
    /// `timeout`. To wait costs nothing, as with [`sleep`](Self::sleep). See [durable steps](crate::durable).
    ///
    /// Events are found by their names alone, in the whole store: put into it what it is about, such as `paid:17`.
    ///
    /// ```
    /// # use gristmill::{Context, Result, task};
    /// # use std::time::Duration;
    /// #[task(name = "order")]
    /// async fn order(cx: &Context, order: u32) -> Result<String> {
    ///     match cx.event::<String>(format!("paid:{order}"), Duration::from_secs(86_400)).await? {
    ///         Some(payer) => Ok(format!("paid by {payer}")),
    ///         None => Ok("never paid".to_owned()),
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// If what the event tells is no `T`, which is final; the store's. In a handler that is a plain `fn` it fails when the attempt ends, with what
    /// the handler should return. In a synchronous [call](crate::Client::call) nothing can be awaited.
    pub fn event<'a, T: DeserializeOwned + 'a>(
        &'a self,
        name: impl Into<String>,
        timeout: impl Into<Option<Duration>>,
    ) -> Waiting<'a, Option<T>> {
        let (attempt, name, timeout): (&'a Attempt, String, _) = (self.inner(), name.into(), timeout.into());
        let checked = limits::check_name("event", &name).map_err(Error::fail);
        let asked = checked.and_then(|()| attempt.ask(name.clone()));
        let event = name.clone();
        let given = async move {
            let (place, until) = match asked? {
                Asked::Known(place, Kept::Value(payload)) => return attempt.read(&place, &payload).map(Some),
                Asked::Known(_, Kept::TimedOut) => return Ok(None),
                Asked::Known(place, Kept::Event { until, .. }) => (place, until),
                Asked::New(place) => {
                    attempt.begin_new(&place).await?;
                    let until = match timeout {
                        Some(timeout) => Some(attempt.store_now().await?.saturating_add(timeout.min(NEVER))),
                        None => None,
                    };
                    return Err(attempt.wait_for_event(place, name, until, true).await);
                }
                Asked::Known(place, kept) => return Err(attempt.stand_still_at(&place, &kept).await),
                Asked::Elsewhere => return Err(attempt.stand_still().await),
            };
            if let Some(until) = until
                && until <= attempt.store_now().await?
            {
                if let Some(payload) = attempt.came_meanwhile(&place, until).await? {
                    return attempt.read(&place, &payload).map(Some);
                }
                attempt.remember(place.keep(Kept::TimedOut)).await?;
                return Ok(None);
            }
            Err(attempt.wait_for_event(place, name, until, false).await)
        };
        Box::pin(async move { attempt.given(&event, given).await })
    }
}

impl Attempt {
    async fn wait_for_event(&self, place: Place, name: String, until: Option<Timestamp>, is_new: bool) -> Error {
        if self.journal.lease.is_none() {
            let why = format!("`{name}` can't be awaited in a task that is called; enqueue it");
            return Error::fail(InvalidInput::new("event", why));
        }
        let memory = place.keep(Kept::Event { name, until });
        match until {
            Some(until) if is_new => self.wait_until(memory, until).await,
            until => self.wait_for(Wait { until, ..Wait::of(memory) }).await,
        }
    }

    /// In a call, which holds its caller anyway. A test's clock does not move by waiting.
    async fn sleep_here(&self, time: Duration) {
        if self.runtime().env.virtual_now().is_none() {
            tokio::time::sleep(time).await;
        }
    }
}
