use std::future::{Future, IntoFuture, Ready, ready};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::Task;
use crate::attempt::Attempt;
use crate::beat::{SCHEDULE_HEADER, TICK_HEADER};
use crate::client::draft::{self, Draft};
use crate::client::{Client, Handle};
use crate::context::Child;
use crate::core::concurrency::{Concurrency, Rate};
use crate::core::unique::{Debounce, Unique, UniqueKey};
use crate::core::{
    Ack, Backoff, EnqueueOutcome, InvalidInput, NewTask, Overrides, Retention, StoreError, StoreErrorKind, TaskId, Timestamp,
};
use crate::runtime::Runtime;

/// What is kept for less than this may be gone when an enqueue is repeated, and would then be made a second time.
const KEPT_FOR_REPETITION: Duration = Duration::from_secs(60);

/// A repetition may take so long: whoever waits has waited for the first answer already.
pub(super) const REPETITION_MAX: Duration = Duration::from_secs(10);

/// By so much the clocks of two machines may differ: what is over by this one's may still be to come by the store's, which decides.
const CLOCKS_DIFFER: Duration = Duration::from_secs(300);

/// A task about to be enqueued: set options, then `.await`.
///
/// Each option says something about this one task; where it says nothing, the task type's
/// [`Policy`](crate::options::Policy) holds. Nothing happens until it is awaited.
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
pub struct Own<'c>(pub(crate) &'c Client);

/// Enqueued by a handler, committed with its success.
#[derive(Clone, Copy, Debug)]
pub struct InAttempt<'a>(pub(crate) &'a Attempt);

impl<'c, O, W> Enqueue<'c, O, W> {
    pub(crate) fn typed<T: Task>(runtime: &'c Runtime, task: &T, place: W) -> Self {
        let draft = Draft::typed(runtime, task).map_err(EnqueueError::from);
        Self { runtime, draft, over: Overrides::default(), force: false, place, output: PhantomData }
    }

    pub(crate) fn named(runtime: &'c Runtime, name: &str, args: &impl Serialize, place: W) -> Self {
        let draft = draft::json_of_named(args).and_then(|args| Draft::named(runtime, name, args)).map_err(EnqueueError::from);
        Self { runtime, draft, over: Overrides::default(), force: false, place, output: PhantomData }
    }

    /// Chooses the id, which makes the enqueue idempotent: again with the same id, type and arguments, it changes nothing.
    pub fn id(mut self, id: TaskId) -> Self {
        self.over.id = Some(id);
        self
    }

    /// Waits this long first, by the store's clock. Refused together with [`at`](Self::at).
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

    /// How long after it is due it is still worth starting; later it ends as `expired`. Refused together with
    /// [`expires_at`](Self::expires_at).
    pub fn expires(mut self, expires: Duration) -> Self {
        self.over.expires = Some(expires);
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

    /// Lets it run only if a slot of a key is free; in the stead of all limits of the task type, or of its sequences if it is one, and beside those
    /// that were given so before.
    ///
    /// ```no_run
    /// # use gristmill::options::Concurrency;
    /// # use gristmill::{Client, Result, task};
    /// # #[task(name = "provision")] async fn provision(settings_id: u64) -> Result<()> { Ok(()) }
    /// # async fn example(client: Client) -> Result<()> {
    /// let rule = Concurrency::of("openstack:{settings_id}".parse()?, 4);
    /// client.enqueue(Provision { settings_id: 7 }).concurrency(rule).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn concurrency(mut self, rule: Concurrency) -> Self {
        let rules = if rule.until_ended { &mut self.over.sequence } else { &mut self.over.concurrency };
        rules.get_or_insert_default().push(rule);
        self
    }

    /// Lets it begin only when its turn comes by a rate; in the stead of all rates of the task type, and beside those that were given so before.
    ///
    /// ```no_run
    /// # use gristmill::options::Rate;
    /// # use gristmill::{Client, Result, task};
    /// # #[task(name = "fetch")] async fn fetch(host: String) -> Result<()> { Ok(()) }
    /// # async fn example(client: Client) -> Result<()> {
    /// let rule = Rate::of("api:{host}".parse()?, "10/s".parse()?);
    /// client.enqueue(Fetch { host: "example.org".to_owned() }).rate(rule).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn rate(mut self, rule: Rate) -> Self {
        self.over.rate.get_or_insert_default().push(rule);
        self
    }

    /// Makes no task if another of its type with its key is there; in the stead of what the task type says, and `None` is none. The handle is then
    /// that of the other task, or the error [`EnqueueError::Taken`] if the rule says so.
    ///
    /// ```no_run
    /// # use gristmill::options::{Unique, Until};
    /// # #[gristmill::task(name = "sync")]
    /// # async fn sync(repo: u64) -> gristmill::Result<()> { Ok(()) }
    /// # async fn example(client: gristmill::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let rule = Unique::by("{repo}".parse()?).until(Until::Started);
    /// let first = client.enqueue(Sync { repo: 7 }).unique(rule.clone()).await?;
    /// let second = client.enqueue(Sync { repo: 7 }).unique(rule).await?;
    /// assert_eq!(first.id(), second.id());
    /// # Ok(())
    /// # }
    /// ```
    pub fn unique(mut self, rule: impl Into<Option<Unique>>) -> Self {
        self.over.unique = Some(rule.into());
        self
    }

    /// Makes one task of all enqueues with one key that come within a time, with the arguments of the last; in the stead of what the task type says, and
    /// `None` is none. The handle is that of the one task.
    pub fn debounce(mut self, rule: impl Into<Option<Debounce>>) -> Self {
        self.over.debounce = Some(rule.into());
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

    /// Sets options as one value, before any other; for callers that read them from elsewhere. Refused after others, which it
    /// would undo.
    pub fn options(mut self, options: Overrides) -> Self {
        if self.over != Overrides::default() {
            let undone = InvalidInput::new("options", "would undo the options that were set before; set them first");
            self.draft = self.draft.and(Err(undone.into()));
        }
        self.over = options;
        self
    }

    /// Enqueues a type that this program does not know, for another version that does. Its arguments go unchecked until
    /// they are run; a worker without the type never claims it. A Rust type is better [declared](crate::App::declare).
    pub fn force(mut self, force: bool) -> Self {
        self.force = force;
        self
    }

    /// Forgets the type of its result, so that tasks of several types can be enqueued together: its handle gives JSON. The typed
    /// one is [`Client::handle_of`] the same id.
    ///
    /// ```
    /// # use gristmill::{Client, Result, task};
    /// # #[task(name = "greet")] async fn greet(name: String) -> Result<String> { Ok(name) }
    /// # #[task(name = "add")] async fn add(a: u32, b: u32) -> Result<u32> { Ok(a + b) }
    /// # async fn example(client: Client) -> Result<()> {
    /// let greet = client.enqueue(Greet { name: "world".into() }).untyped();
    /// let add = client.enqueue(Add { a: 1, b: 2 }).priority(1).untyped();
    /// client.enqueue_many([greet, add]).await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn untyped(self) -> Enqueue<'c, Value, W> {
        let Self { runtime, draft, over, force, place, output: _ } = self;
        Enqueue { runtime, draft, over, force, place, output: PhantomData }
    }

    pub(super) fn at_place<V>(self, place: impl FnOnce(W) -> V) -> Enqueue<'c, O, V> {
        let Self { runtime, draft, over, force, place: before, output } = self;
        Enqueue { runtime, draft, over, force, place: place(before), output }
    }

    pub(super) fn resolve(mut self) -> Result<(NewTask, W), EnqueueError> {
        let mut draft = self.draft?;
        check_deadline(self.runtime, &self.over)?;
        let policy = draft.take_policy(self.force)?;
        self.over.title = self.over.title.or(draft.title);
        let task = self.runtime.new_task(&draft.name, &policy, draft.args, self.over)?;
        Ok((task, self.place))
    }
}

/// Refuses what would be over before it is due; given both moments, [`NewTask::resolve`] does.
pub(crate) fn check_deadline(runtime: &Runtime, over: &Overrides) -> Result<(), InvalidInput> {
    match (over.expires_at, over.run_at) {
        (Some(at), None)
            if at.saturating_add(CLOCKS_DIFFER) < runtime.env.now().saturating_add(over.delay.unwrap_or_default()) =>
        {
            Err(InvalidInput::new("expires_at", "is before the moment at which the task is due"))
        }
        _ => Ok(()),
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
            let asked = Asked::of(&task);
            let unkept = |error| EnqueueError::Store { id: asked.id, error };
            let outcome = keep(task, |task| client.store().enqueue(vec![task])).await.map_err(unkept)?;
            #[cfg(feature = "testing")]
            if let Some(inline) = client.inline().get() {
                inline.drain(client).await.map_err(|error| unkept(error.into()))?;
            }
            outcome_of(client, asked, outcome.first())
        })
    }
}

impl<'c, O> IntoFuture for Enqueue<'c, O, InAttempt<'_>> {
    type Output = Result<Child<O>, EnqueueError>;
    type IntoFuture = Ready<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        ready(self.child().and_then(|(child, parent)| {
            let id = child.id;
            parent.add_children(vec![child])?;
            Ok(Child::new(id))
        }))
    }
}

impl<'a, O> Enqueue<'_, O, InAttempt<'a>> {
    /// The task as a child of its attempt, which does not have it yet.
    pub(super) fn child(mut self) -> Result<(NewTask, &'a Attempt), EnqueueError> {
        let parent = self.place.0;
        self.over.parent = Some(parent.id);
        // A child of a tick's task is no tick.
        let inherited = |name: &str| name != SCHEDULE_HEADER && name != TICK_HEADER;
        for (name, value) in parent.meta.headers.iter().filter(|(name, _)| inherited(name)) {
            self.over.headers.entry(name.clone()).or_insert_with(|| value.clone());
        }
        let (task, InAttempt(parent)) = self.resolve()?;
        Ok((task, parent))
    }
}

/// Whether a task is kept is not known after a connection was lost, but its id is: once more with that makes it at most once, and
/// saves most callers from having to ask themselves. Of a repetition that is not answered in time either the first error stands. What the store has just waited for, or can't do for want of space, is left to
/// the caller.
async fn keep<F>(task: NewTask, mut enqueue: impl FnMut(NewTask) -> F) -> Result<Vec<EnqueueOutcome>, StoreError>
where
    F: Future<Output = Result<Vec<EnqueueOutcome>, StoreError>>,
{
    let is_kept = match task.retention {
        Retention::None => false,
        Retention::For(period) => period >= KEPT_FOR_REPETITION,
        Retention::Forever => true,
    };
    let again = is_kept.then(|| task.clone());
    match (enqueue(task).await, again) {
        (Err(error), Some(task)) if is_broken(&error) => {
            tracing::debug!(task = %task.id, %error, "an enqueue is tried once more");
            tokio::time::timeout(REPETITION_MAX, enqueue(task)).await.unwrap_or(Err(error))
        }
        (answer, _) => answer,
    }
}

pub(super) fn is_broken(error: &StoreError) -> bool {
    error.is_transient() && matches!(error.kind(), StoreErrorKind::Unreachable | StoreErrorKind::Other)
}

/// What is remembered of a task that went to the store.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) id: TaskId,
    /// Whether it was to be refused if another has its key.
    rejects: bool,
}

impl Asked {
    pub(super) fn of(task: &NewTask) -> Self {
        Self { id: task.id, rejects: task.unique().is_some_and(UniqueKey::rejects) }
    }
}

pub(super) fn outcome_of<O>(client: &Client, asked: Asked, outcome: Option<&EnqueueOutcome>) -> Result<Handle<O>, EnqueueError> {
    let Asked { id, rejects } = asked;
    match outcome {
        Some(EnqueueOutcome::Conflict) => Err(EnqueueError::Conflict { id }),
        Some(EnqueueOutcome::Exists(holder)) if rejects && *holder != id => Err(EnqueueError::Taken { holder: *holder }),
        Some(EnqueueOutcome::Exists(id)) => Ok(Handle::new(client.clone(), *id)),
        Some(EnqueueOutcome::Created) | None => Ok(Handle::new(client.clone(), id)),
    }
}

/// Why a task was not enqueued. Nothing was kept of it, but for [`Store`](Self::Store), of which that is not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnqueueError {
    /// Arguments or options are out of range.
    #[error(transparent)]
    Invalid(#[from] InvalidInput),
    /// Another task has its unique key, and it was to be refused then.
    #[error("the task {holder} has its unique key; it is free once that one has ended, or its period is over")]
    Taken {
        /// That task.
        holder: TaskId,
    },
    /// This program knows no task type of that name.
    #[error("there is no task type `{name}`{}", hint(near))]
    UnknownTask {
        /// The name.
        name: String,
        /// Names like it.
        near: Vec<String>,
    },
    /// A Rust type that this program has not registered: none of its workers would ever run it.
    #[error(
        "this program has no task type `{name}`; add it with `App::register`, or, if another program runs it, with `App::declare`"
    )]
    Unregistered {
        /// The name.
        name: String,
    },
    /// A task with this id but of another type or with other arguments exists.
    #[error("another task has the id {id}; an id can be enqueued again only with the same type and arguments")]
    Conflict {
        /// The id.
        id: TaskId,
    },
    /// The store did not acknowledge, twice if the connection of a single one was lost: that is tried once more, for ten seconds. Whether the task is kept is certain only after a
    /// repetition with the same id.
    #[error("task {id} could not be kept: {error}")]
    Store {
        /// The task; of many in one transaction the first.
        id: TaskId,
        /// Why.
        #[source]
        error: StoreError,
    },
}

fn hint(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{Env, Limits, Policy};

    /// What is told to the caller, and the ids that the store was asked to keep.
    async fn ask(retention: Retention, fault: StoreErrorKind) -> (Result<Vec<EnqueueOutcome>, StoreErrorKind>, Vec<TaskId>) {
        let id = Env::system().task_id();
        let over = Overrides { retention: Some(retention), ..Overrides::default() };
        let task = NewTask::resolve("t", &Policy::default(), "{}".into(), over, id, &Limits::default()).unwrap();
        let mut asked = Vec::new();
        let answer = keep(task, |task| {
            asked.push(task.id);
            // Kept at the first time, whose answer got lost.
            ready(if asked.len() > 1 { Ok(vec![EnqueueOutcome::Exists(id)]) } else { Err(StoreError::new(fault, "gone")) })
        });
        (answer.await.map_err(|error| error.kind()), asked.into_iter().inspect(|asked| assert_eq!(*asked, id)).collect())
    }

    #[tokio::test(start_paused = true)]
    async fn a_repetition_that_is_not_answered_ends_with_the_first_error() {
        let id = Env::system().task_id();
        let task = NewTask::resolve("t", &Policy::default(), "{}".into(), Overrides::default(), id, &Limits::default()).unwrap();
        let mut asked = 0;
        let answer = keep(task, |_| {
            asked += 1;
            let is_first = asked == 1;
            async move {
                if is_first {
                    return Err(StoreError::new(StoreErrorKind::Unreachable, "the first"));
                }
                std::future::pending().await
            }
        });
        assert_eq!(answer.await.unwrap_err().to_string(), "the first");
        assert_eq!(asked, 2);
    }

    #[tokio::test]
    async fn an_enqueue_whose_connection_is_lost_is_tried_once_more_under_its_id() {
        use StoreErrorKind::{Busy, Full, Invalid, Other, Unreachable};
        let week = Retention::default();
        for fault in [Unreachable, Other] {
            let (answer, asked) = ask(week, fault).await;
            assert!(matches!(answer.as_deref(), Ok([EnqueueOutcome::Exists(_)])), "{answer:?}");
            assert_eq!(asked.len(), 2);
        }
        for fault in [Busy, Full, Invalid] {
            assert_eq!(ask(week, fault).await.1.len(), 1, "{fault:?}");
        }
        // It may have run, and be gone.
        for short in [Retention::None, Retention::For(Duration::from_secs(1))] {
            let (answer, asked) = ask(short, Unreachable).await;
            assert_eq!((answer, asked.len()), (Err(Unreachable), 1));
        }
    }
}
