use std::borrow::Cow;
use std::future::{Future, IntoFuture, Ready, ready};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::attempt::Attempt;
use crate::beat::{SCHEDULE_HEADER, TICK_HEADER};
use crate::client::draft::Draft;
use crate::client::{Client, Handle};
use crate::core::{
    Ack, Backoff, EnqueueOutcome, InvalidInput, NewTask, Overrides, Policy, Retention, StoreError, TaskId, Timestamp,
};
use crate::runtime::Runtime;
use crate::{Child, Task};

/// By so much the clocks of two machines may differ: what is over by this one's may still be to come by the store's, which decides.
const CLOCKS_DIFFER: Duration = Duration::from_secs(300);

/// A task about to be enqueued: set options, then `.await`.
///
/// Each option says something about this one task; where it says nothing, the task type's
/// [`Policy`](crate::Policy) holds. Nothing happens until it is awaited.
#[must_use = "nothing is enqueued until it is awaited"]
#[derive(Debug)]
pub struct Enqueue<'c, O, W = Own<'c>> {
    runtime: &'c Runtime,
    draft: Result<Draft<'c>, EnqueueError>,
    over: Overrides,
    force: bool,
    place: W,
    output: PhantomData<fn() -> O>,
}

/// Enqueued in a transaction of its own, committed when the `.await` returns.
#[derive(Clone, Copy, Debug)]
pub struct Own<'c>(pub(super) &'c Client);

/// Enqueued by a handler, committed with its success.
#[derive(Debug)]
pub struct InAttempt<'a>(pub(crate) &'a Attempt);

impl<'c, O, W> Enqueue<'c, O, W> {
    pub(crate) fn typed<T: Task>(runtime: &'c Runtime, task: &T, place: W) -> Self {
        let draft = Draft::typed(runtime, task).map_err(EnqueueError::from);
        Self { runtime, draft, over: Overrides::default(), force: false, place, output: PhantomData }
    }

    pub(crate) fn named(runtime: &'c Runtime, name: &str, args: String, place: W) -> Self {
        let draft = Draft::named(runtime, name, args).map_err(EnqueueError::from);
        Self { runtime, draft, over: Overrides::default(), force: false, place, output: PhantomData }
    }

    /// Chooses the id, which makes the enqueue idempotent: again with the same id, type and arguments, it changes nothing.
    pub fn id(mut self, id: TaskId) -> Self {
        self.over.id = Some(id);
        self
    }

    /// Waits this long first, by the store's clock.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.over.delay = Some(delay);
        self
    }

    /// Waits until then, by the store's clock; a moment that has passed means now.
    pub fn at(mut self, at: Timestamp) -> Self {
        self.over.run_at = Some(at);
        self
    }

    /// Sends it to another queue.
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.over.queue = Some(queue.into());
        self
    }

    /// 0 is served first, 9 last.
    pub fn priority(mut self, priority: u8) -> Self {
        self.over.priority = Some(priority);
        self
    }

    /// How many attempts may fail before the task does.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.over.max_attempts = Some(attempts);
        self
    }

    /// How many times it may take its worker down with it.
    pub fn max_crashes(mut self, crashes: u32) -> Self {
        self.over.max_crashes = Some(crashes);
        self
    }

    /// The wait after a failed attempt.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.over.backoff = Some(backoff);
        self
    }

    /// The longest that one attempt may run.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.over.timeout = Some(timeout);
        self
    }

    /// How long after it is due it is still worth starting; later it ends as `expired`. Of this and
    /// [`expires_at`](Self::expires_at) the later call wins.
    pub fn expires(mut self, expires: Duration) -> Self {
        self.over.expires = Some(expires);
        self.over.expires_at = None;
        self
    }

    /// The moment from which it is not worth starting any more, by the store's clock; then it ends as `expired`. A moment
    /// before the task is due is refused, if it is so by more than the five minutes that this program's clock may be ahead.
    ///
    /// ```no_run
    /// # use gristmill::{Client, Result, Timestamp, task};
    /// # #[task(name = "greet")] async fn greet(name: String) -> Result<String> { Ok(name) }
    /// # async fn example(client: Client, closing_time: Timestamp) -> Result<()> {
    /// client.enqueue(Greet { name: "world".into() }).expires_at(closing_time).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn expires_at(mut self, at: Timestamp) -> Self {
        self.over.expires_at = Some(at);
        self.over.expires = None;
        self
    }

    /// What this one task is about, for people who look at lists; instead of [`Task::title`]. One line of at most 255
    /// bytes is kept.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.over.title = Some(title.into());
        self
    }

    /// At least once or at most once.
    pub fn ack(mut self, ack: Ack) -> Self {
        self.over.ack = Some(ack);
        self
    }

    /// How long it is kept once it has ended.
    pub fn retention(mut self, retention: Retention) -> Self {
        self.over.retention = Some(retention);
        self
    }

    /// Adds a label.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.over.tags.push(tag.into());
        self
    }

    /// Adds a piece of context (user, request, trace) that the handler can read and that its children inherit.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.over.headers.insert(name.into(), value.into());
        self
    }

    /// Sets options as one value; for callers that read them from elsewhere.
    pub fn options(mut self, options: Overrides) -> Self {
        self.over = options;
        self
    }

    /// Enqueues a type that this program does not know, for another version that does. Its arguments go unchecked until
    /// they are run; a worker without the type never claims it.
    pub fn force(mut self, force: bool) -> Self {
        self.force = force;
        self
    }

    pub(super) fn at_place<V>(self, place: impl FnOnce(W) -> V) -> Enqueue<'c, O, V> {
        let Self { runtime, draft, over, force, place: before, output } = self;
        Enqueue { runtime, draft, over, force, place: place(before), output }
    }

    pub(super) fn resolve(mut self) -> Result<(NewTask, W), EnqueueError> {
        let draft = self.draft?;
        if let (Some(at), None) = (self.over.expires_at, self.over.run_at)
            && at.saturating_add(CLOCKS_DIFFER) < self.runtime.env.now().saturating_add(self.over.delay.unwrap_or_default())
        {
            return Err(InvalidInput::new("expires_at", "is before the moment at which the task is due").into());
        }
        self.over.title = self.over.title.or(draft.title);
        let policy = match draft.policy {
            Some(policy) => policy,
            None if self.force => Cow::Owned(Policy::default()),
            None => return Err(EnqueueError::UnknownTask { name: draft.name, near: draft.near }),
        };
        let task = self.runtime.new_task(&draft.name, &policy, draft.args, self.over)?;
        Ok((task, self.place))
    }
}

impl<O> Enqueue<'_, O> {
    /// As one of several that go to the store of `client` together.
    pub(super) fn resolve_for(self, client: &Client) -> Result<NewTask, EnqueueError> {
        let (task, Own(own)) = self.resolve()?;
        if !Arc::ptr_eq(own.store(), client.store()) {
            return Err(InvalidInput::new("task", "is of another client, and would go to that one's store").into());
        }
        Ok(task)
    }
}

impl<'c, O: 'c> IntoFuture for Enqueue<'c, O, Own<'c>> {
    type Output = Result<Handle<O>, EnqueueError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'c>>;

    fn into_future(self) -> Self::IntoFuture {
        let resolved = self.resolve();
        Box::pin(async move {
            let (task, Own(client)) = resolved?;
            let id = task.id;
            let outcome = client.store().enqueue(vec![task]).await?;
            #[cfg(feature = "testing")]
            if let Some(inline) = client.inline().get() {
                inline.drain(client).await?;
            }
            outcome_of(client, id, outcome.first())
        })
    }
}

impl<'c, O> IntoFuture for Enqueue<'c, O, InAttempt<'_>> {
    type Output = Result<Child<O>, EnqueueError>;
    type IntoFuture = Ready<Self::Output>;

    fn into_future(mut self) -> Self::IntoFuture {
        let parent = self.place.0;
        self.over.parent = Some(parent.id);
        // A child of a tick's task is no tick.
        let inherited = |name: &str| name != SCHEDULE_HEADER && name != TICK_HEADER;
        for (name, value) in parent.meta.headers.iter().filter(|(name, _)| inherited(name)) {
            self.over.headers.entry(name.clone()).or_insert_with(|| value.clone());
        }
        ready(self.resolve().and_then(|(task, InAttempt(parent))| {
            let id = task.id;
            parent.add_child(task)?;
            Ok(Child::new(id))
        }))
    }
}

pub(super) fn outcome_of<O>(client: &Client, id: TaskId, outcome: Option<&EnqueueOutcome>) -> Result<Handle<O>, EnqueueError> {
    match outcome {
        Some(EnqueueOutcome::Conflict) => Err(EnqueueError::Conflict { id }),
        Some(EnqueueOutcome::Exists(id)) => Ok(Handle::new(client.clone(), *id)),
        Some(EnqueueOutcome::Created) | None => Ok(Handle::new(client.clone(), id)),
    }
}

/// Why a task was not enqueued. Nothing was kept of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnqueueError {
    /// Arguments or options are out of range.
    #[error(transparent)]
    Invalid(#[from] InvalidInput),
    /// This program knows no task type of that name.
    #[error("there is no task type `{name}`{}", hint(near))]
    UnknownTask {
        /// The name.
        name: String,
        /// Names like it.
        near: Vec<String>,
    },
    /// A task with this id but of another type or with other arguments exists.
    #[error("another task has the id {id}; an id can be enqueued again only with the same type and arguments")]
    Conflict {
        /// The id.
        id: TaskId,
    },
    /// The store did not acknowledge. Whether the task is kept is certain only after a repetition with the same id.
    #[error("the task could not be kept: {0}")]
    Store(#[from] StoreError),
}

fn hint(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(", ")) }
}
