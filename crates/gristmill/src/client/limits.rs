use crate::client::Client;
use crate::core::concurrency::{AFTER, LimitInfo, LimitRecord, SEQUENCE};
use crate::core::limits::{CONCURRENCY_MAX, PAGE_ITEMS_MAX, check_name};
use crate::core::{InvalidInput, StoreError};

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

    /// Says how many slots a key has, over what tasks say, until [`unset`](Self::unset); 0 lets nobody start. What a worker has claimed goes on, though it
    /// be more than that; who was admitted and is not claimed waits again. Takes effect before it returns.
    ///
    /// # Errors
    /// `Invalid` for a key that no task could have, a number above 100,000, or one above 1 for a sequence; or if the store can't be written.
    pub async fn set(&self, key: &str, limit: u32) -> Result<(), StoreError> {
        check_name("key", key)?;
        if limit > CONCURRENCY_MAX {
            return Err(InvalidInput::new("limit", format!("is from 0 to {CONCURRENCY_MAX}")).into());
        }
        if limit > 1 && [SEQUENCE, AFTER].iter().any(|own| key.starts_with(own)) {
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
}
