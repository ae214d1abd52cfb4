use crate::client::Client;
use crate::{Context, Result};
use std::time::Duration;

use crate::core::concurrency::{AFTER, Limit, LimitInfo, LimitRecord, RATE, SEQUENCE};
use crate::core::limits::{CONCURRENCY_MAX, DURATION_MAX, PAGE_ITEMS_MAX, check_name};
use crate::core::{InvalidInput, Store, StoreError};

/// The keys with a limit of a store: look, and say how many may run. Made by [`Client::limits`].
///
/// ```no_run
/// # async fn example(client: gristmill::Client) -> gristmill::Result<()> {
/// client.limits().set("openstack:7", 2).await?;
/// if let Some(limit) = client.limits().get("openstack:7").await? {
///     println!("{} of {} taken, {} wait", limit.info.used, limit.info.limit, limit.info.waiting);
/// }
/// client.limits().unset("openstack:7").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct KeyLimits<'c> {
    client: &'c Client,
}

impl<'c> KeyLimits<'c> {
    /// So many holders and waiting tasks of a key are named.
    const NAMED: usize = 100;

    pub(super) fn new(client: &'c Client) -> Self {
        Self { client }
    }

    /// The keys whose names begin with `prefix` and of which there is something to say, by name; behind `after`, the last of the page before. At
    /// most 1,000 a page.
    ///
    /// # Errors
    /// If the store can't be read.
    pub async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<LimitInfo>, StoreError> {
        self.client.store().list_limits(prefix, after, PAGE_ITEMS_MAX).await
    }

    /// One key, with up to 100 of those who hold its slots, and as many of those who wait; `None` if nothing is known of it.
    ///
    /// # Errors
    /// If the store can't be read.
    pub async fn get(&self, key: &str) -> Result<Option<LimitRecord>, StoreError> {
        self.client.store().get_limit(key, Self::NAMED).await
    }

    /// Says how many slots a key has, or of a rate how many may begin in a time, over what tasks say, until [`unset`](Self::unset); 0 lets nobody start.
    /// A number, or a rate: `"10/s".parse::<PerTime>()?`. What a worker has claimed goes on, though it
    /// be more than that; who was admitted and is not claimed waits again. Takes effect before it returns.
    ///
    /// # Errors
    /// `Invalid` for a key that no task could have, a number above 100,000, one above 1 for a sequence, and a rate for a key that has none or the other way round; or if the store can't be written.
    pub async fn set(&self, key: &str, limit: impl Into<Limit>) -> Result<(), StoreError> {
        let limit = limit.into();
        check_name("key", key)?;
        limit.check_for(key)?;
        if limit.count > CONCURRENCY_MAX {
            return Err(InvalidInput::new("limit", format!("is from 0 to {CONCURRENCY_MAX}")).into());
        }
        if limit.count > 1 && [SEQUENCE, AFTER].iter().any(|own| key.starts_with(own)) {
            return Err(InvalidInput::new(
                "limit",
                "of a sequence is 1, or 0 to hold it; more would run its tasks beside each other",
            )
            .into());
        }
        self.client.store().set_limit(key, Some(limit)).await
    }

    /// Lets hold again what tasks say.
    ///
    /// # Errors
    /// If the store can't be written.
    pub async fn unset(&self, key: &str) -> Result<(), StoreError> {
        check_name("key", key)?;
        self.client.store().set_limit(key, None).await
    }

    /// Tells what the far side of a rate has said: it takes only so much more within this time, whoever asks it. So many tasks of the key may begin
    /// until then, and none with 0, as where it said when to come again; what was told before counts no more. Tasks that have been let in and have not
    /// begun wait again. `key` is that of the rule, or as lists show it, with `rate:` before it.
    ///
    /// ```no_run
    /// # async fn example(client: gristmill::Client) -> gristmill::Result<()> {
    /// // The far side has answered "429, Retry-After: 30".
    /// client.limits().remaining("api:example.org", 0, std::time::Duration::from_secs(30)).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Invalid` for a key that no task could have, and a time above 100 years; or if the store can't be written.
    pub async fn remaining(&self, key: &str, left: u32, within: Duration) -> Result<(), StoreError> {
        tell_remaining(&**self.client.store(), key, left, within).await
    }
}

impl<S> Context<S> {
    /// Tells what the far side of a rate has said, as [`remaining`](KeyLimits::remaining) does. What this attempt can't do by now it does later, and
    /// gives its attempt back:
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use gristmill::{Context, Error, Result, task};
    /// # struct Answer { status: u16, retry_after: Duration }
    /// # async fn ask(host: &str) -> Result<Answer> { Ok(Answer { status: 200, retry_after: Duration::ZERO }) }
    ///
    /// #[task(name = "fetch", rate(key = "api:{host}", limit = "10/s"))]
    /// async fn fetch(cx: &Context, host: String) -> Result<()> {
    ///     let answer = ask(&host).await?;
    ///     if answer.status == 429 {
    ///         cx.remaining(&format!("api:{host}"), 0, answer.retry_after).await?;
    ///         return Err(Error::snooze(answer.retry_after));
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// As there.
    pub async fn remaining(&self, key: &str, left: u32, within: Duration) -> Result<()> {
        Ok(tell_remaining(self.inner().store()?, key, left, within).await?)
    }
}

async fn tell_remaining(store: &dyn Store, key: &str, left: u32, within: Duration) -> Result<(), StoreError> {
    let key = if key.starts_with(RATE) { key.to_owned() } else { format!("{RATE}{key}") };
    check_name("key", &key)?;
    if within > DURATION_MAX {
        return Err(InvalidInput::new("within", "is longer than 100 years").into());
    }
    store.set_remaining(&key, left, within).await
}
