use std::fmt;
use std::future::{Future, IntoFuture, Ready};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use serde::Serialize;

use crate::client::{Client, InTransaction, Own, draft};
use crate::core::durable::{EventRecord, NewEvent, Sent, Waiter};
use crate::core::{Cursor, InvalidInput, Page, SendWithin, StoreError};

/// The events that tasks [await](crate::Context::event): send, and look. Made by [`Client::events`].
#[derive(Clone, Copy, Debug)]
pub struct Events<'c> {
    client: &'c Client,
}

impl<'c> Events<'c> {
    pub(super) fn new(client: &'c Client) -> Self {
        Self { client }
    }

    /// An event about to be sent: `.await` it. All tasks that await this name go on with its payload, and so does who comes to wait for it
    /// later, for as long as it is kept. The first one of a name wins: another changes nothing until that is gone.
    ///
    /// ```
    /// # use gristmill::{Client, Result};
    /// use gristmill::durable::Sent;
    /// # async fn example(client: Client) -> Result<()> {
    /// if client.events().send("paid:17", &serde_json::json!({ "by": "ann" })).await? == Sent::Exists {
    ///     println!("it was paid already");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Awaiting it fails if the name or the payload is out of a limit (255 bytes,
    /// [`RESULTS_BYTES_MAX`](crate::core::limits::RESULTS_BYTES_MAX) of JSON), or the store can't be written. A repetition is safe.
    pub fn send(&self, name: impl Into<String>, payload: &(impl Serialize + ?Sized)) -> SendEvent<'c> {
        let event = draft::json(&payload).map_err(|error| InvalidInput::new("payload", error.problem));
        let event = event.and_then(|payload| NewEvent::new(name, payload));
        SendEvent { client: self.client, event, place: Own(self.client) }
    }

    /// A page of the events that are kept, of one name or of all, newest first; at most `limit` or 1,000.
    ///
    /// # Errors
    /// If the store can't be read.
    pub async fn list(&self, name: Option<&str>, after: Option<Cursor>, limit: usize) -> Result<Page<EventRecord>, StoreError> {
        self.client.store().list_events(name, after, limit).await
    }

    /// Who awaits an event of this name, or of any, by name and task; at most `limit` or 1,000.
    ///
    /// # Errors
    /// If the store can't be read.
    pub async fn waiters(&self, name: Option<&str>, limit: usize) -> Result<Vec<Waiter>, StoreError> {
        self.client.store().list_waiters(name, limit).await
    }
}

/// An event about to be sent: `.await` it. See [`Events::send`].
#[must_use = "nothing is sent until it is awaited"]
#[derive(Debug)]
pub struct SendEvent<'c, W = Own<'c>> {
    client: &'c Client,
    event: Result<NewEvent, InvalidInput>,
    place: W,
}

impl<'c> SendEvent<'c> {
    /// Sends it in the caller's own open transaction: who awaits it goes on with the commit, and not at all otherwise. Transactions are those
    /// of [`Enqueue::within`](crate::client::Enqueue::within). The answer holds from the commit on.
    ///
    /// ```
    /// # use gristmill::{Client, Result, core::SendWithin};
    /// /// In the transaction that books the payment.
    /// async fn paid<X: SendWithin<D>, D>(client: &Client, tx: X, order: u32) -> Result<()> {
    ///     client.events().send(format!("paid:{order}"), &()).within(tx).await?;
    ///     Ok(())
    /// }
    /// ```
    pub fn within<X: SendWithin<D>, D>(self, transaction: X) -> SendEvent<'c, InTransaction<'c, X, D>> {
        let Self { client, event, place: _ } = self;
        SendEvent { client, event, place: InTransaction::new(client, transaction) }
    }
}

impl<W> SendEvent<'_, W> {
    /// How long it is kept for who comes to wait for it later: [seven days](crate::durable::EVENT_KEPT) unless said.
    pub fn kept_for(mut self, time: Duration) -> Self {
        self.event = self.event.map(|event| event.kept_for(time));
        self
    }
}

impl<'c> IntoFuture for SendEvent<'c> {
    type Output = Result<Sent, StoreError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'c>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let sent = self.client.store().send_event(self.event?).await?;
            #[cfg(feature = "testing")]
            if let Some(inline) = self.client.inline().get() {
                inline.drain(self.client).await?;
            }
            Ok(sent)
        })
    }
}

impl<'c, X: SendWithin<D>, D> IntoFuture for SendEvent<'c, InTransaction<'c, X, D>> {
    type Output = Result<Sent, StoreError>;
    type IntoFuture = Sending<X::Doing<Sent>>;

    fn into_future(self) -> Self::IntoFuture {
        Sending(match self.event {
            Ok(event) => Doing::Runs(Box::pin(self.place.into_inner().send_event(self.client.store().as_ref(), event))),
            Err(error) => Doing::Refused(Some(error)),
        })
    }
}

impl<'c, X, D> SendEvent<'c, InTransaction<'c, X, D>>
where
    X: SendWithin<D, Doing<Sent> = Ready<Result<Sent, StoreError>>>,
{
    /// Sends it without `.await`, for a driver that is synchronous.
    ///
    /// # Errors
    /// As awaiting it.
    pub fn run(self) -> Result<Sent, StoreError> {
        let event = self.event?;
        self.place.into_inner().send_event(self.client.store().as_ref(), event).into_inner()
    }
}

/// The future of an event that is sent in the caller's transaction; as `Send` as the driver's own.
pub struct Sending<F>(Doing<F>);

enum Doing<F> {
    Runs(Pin<Box<F>>),
    Refused(Option<InvalidInput>),
}

impl<F: Future<Output = Result<Sent, StoreError>>> Future for Sending<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match &mut self.0 {
            Doing::Runs(sending) => sending.as_mut().poll(cx),
            Doing::Refused(error) => error.take().map_or(Poll::Pending, |error| Poll::Ready(Err(error.into()))),
        }
    }
}

impl<F> fmt::Debug for Sending<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sending")
    }
}
