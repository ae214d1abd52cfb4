//! Tests of an application's tasks: no service, no waiting, no thread.
//!
//! [`Harness`] runs an [`App`] on the in-memory store with a clock that stands still until it is moved. Transactions that a
//! handler opens on the application's own database ([`Context::transaction`](crate::Context::transaction)) are real, and
//! committed by themselves.
//!
//! ```
//! use gristmill::testing::{Harness, assert_enqueued};
//! use gristmill::{App, Context, Result, task};
//! use std::time::Duration;
//!
//! #[task(name = "mail.welcome")]
//! async fn welcome(to: String) -> Result<()> {
//!     let _ = to;
//!     Ok(())
//! }
//!
//! #[task(name = "user.register")]
//! async fn register(cx: &Context, name: String) -> Result<u32> {
//!     cx.enqueue(Welcome { to: name }).delay(Duration::from_secs(3600)).await?;
//!     Ok(7)
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let test = Harness::new(App::new(()).register::<Welcome>().register::<Register>()).await?;
//! let handle = test.client().enqueue(Register { name: "ann".into() }).await?;
//! assert_eq!(test.drain().await?, 1);
//! assert_eq!(handle.result().await?, 7);
//! assert_enqueued!(test, Welcome { to: "ann".into() });
//! test.advance(Duration::from_secs(3600)).await?;
//! assert_eq!(test.drain().await?, 1);
//! # Ok(())
//! # }
//! ```

mod beat;

use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

pub use gristmill_conformance::{MemoryBroker, MemoryStore};

#[doc(hidden)]
pub use beat::assert_one_scheduled;

use crate::app::ConnectError;
use crate::attempt::Attempt;
use crate::client::Client;
use crate::codec::{Part, Payload};
use crate::core::Failure;
use crate::core::{
    Claim, Claimed, Ending, Env, Filter, LeaseKey, LeaseRef, NewTask, Overrides, Progress, Settled, Settlement, State, Store,
    StoreError, StoreErrorKind, TaskId, TaskMeta, VirtualTime, Wanted, WorkerSpec, limits,
};
use crate::hooks::Notice;
use crate::runtime::Runtime;
use crate::worker::execute;
use crate::{App, Task, Timestamp};
pub use crate::{assert_enqueued, assert_scheduled};

/// An application under test. See the [module](self).
#[derive(Debug)]
pub struct Harness {
    client: Client,
    time: VirtualTime,
    inline: Inline,
}

impl Harness {
    /// Connects the application to an empty in-memory store. The clock stands at 2027-01-01T00:00:00Z.
    ///
    /// # Errors
    /// A mistake in a registration.
    pub async fn new<S: Send + Sync + 'static>(app: App<S>) -> Result<Self, ConnectError> {
        let (env, time) = Env::virtual_time(Timestamp::from_millis(1_798_761_600_000), 1);
        let store: Arc<dyn Store> = MemoryStore::new(env.clone());
        let client = app.env(env.clone()).with_store(store).await?;
        Ok(Self { client, time, inline: Inline { env, twice: None } })
    }

    /// As [`new`](Self::new), but each task that succeeds is run once more with the same arguments before its success
    /// counts, as after a crash of the worker between the work and its acknowledgement: the way in which at-least-once
    /// delivery repeats work. The second run has the next attempt's number and a larger fencing token. If it does not
    /// succeed, too, [`drain`](Self::drain) says which task is not idempotent.
    ///
    /// ```
    /// use gristmill::testing::Harness;
    /// use gristmill::{App, Context, Error, FromRef, Result, task};
    /// use std::collections::HashSet;
    /// use std::sync::{Arc, Mutex};
    ///
    /// type Rooms = Arc<Mutex<HashSet<u32>>>;
    ///
    /// #[task(name = "reserve")]
    /// async fn reserve(cx: &Context<Rooms>, room: u32) -> Result<()> {
    ///     if cx.state.lock().expect("no panic").insert(room) { Ok(()) } else { Err(Error::fail("it is taken")) }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let test = Harness::twice(App::new(Rooms::default()).register::<Reserve>()).await?;
    /// test.client().enqueue(Reserve { room: 7 }).await?;
    /// let why = test.drain().await.expect_err("who has the room already?").to_string();
    /// assert!(why.contains("reserve") && why.contains("it is taken"), "{why}");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// A mistake in a registration.
    pub async fn twice<S: Send + Sync + 'static>(app: App<S>) -> Result<Self, ConnectError> {
        let mut harness = Self::new(app).await?;
        harness.inline.twice = Some(Arc::default());
        Ok(harness)
    }

    /// As [`new`](Self::new), but every enqueue runs what is ready before it returns, as if there were no queue.
    ///
    /// # Errors
    /// As there.
    pub async fn inline<S: Send + Sync + 'static>(app: App<S>) -> Result<Self, ConnectError> {
        let harness = Self::new(app).await?;
        let _ = harness.client.inline().set(harness.inline.clone());
        Ok(harness)
    }

    /// The client, to be handed to the code under test.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The current virtual time.
    pub fn now(&self) -> Timestamp {
        self.inline.env.now()
    }

    /// Runs everything that is ready, and what becomes ready through it, one task at a time; returns how many attempts
    /// that were.
    ///
    /// # Errors
    /// None of the in-memory store's own; the type is the seam's. After [`twice`](Self::twice), that a task did not succeed
    /// again; all else has run then all the same.
    pub async fn drain(&self) -> Result<usize, StoreError> {
        self.inline.drain(&self.client).await
    }

    /// Moves the clock, so that what is due by then is ready. Runs nothing.
    ///
    /// # Errors
    /// As [`drain`](Self::drain).
    pub async fn advance(&self, by: Duration) -> Result<(), StoreError> {
        self.time.advance(by);
        sweep(&self.client).await
    }

    /// Runs one attempt of a task outside of any queue, with a context of the test's choice, and tells all that came of it.
    pub fn perform<T: Task>(&self, task: T) -> Perform<'_, T> {
        Perform { harness: self, task, attempt: 1, meta: TaskMeta::default() }
    }

    /// The arguments of all tasks of a type that wait to be run, oldest first.
    ///
    /// # Errors
    /// As [`drain`](Self::drain).
    pub async fn enqueued<T: Task>(&self) -> Result<Vec<Value>, StoreError> {
        let waiting = [State::Blocked, State::Scheduled, State::Waiting, State::Ready].to_vec();
        let filter = Filter { states: waiting, kind: Some(T::NAME.to_owned()), ..Filter::default() };
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = self.client.tasks().list(&filter, after, limits::PAGE_ITEMS_MAX).await?;
            found.extend(page.items.into_iter().map(|task| plain_args(self.client.runtime(), task.id, &task.kind, task.args)));
            after = page.next;
            if after.is_none() {
                found.reverse();
                return Ok(found);
            }
        }
    }
}

/// Asserts that a task with exactly these arguments waits to be run, or (`n of TYPE`) that so many of a type do.
///
/// ```
/// # use gristmill::testing::{Harness, assert_enqueued};
/// # use gristmill::{App, Result, task};
/// # #[task(name = "greet")] async fn greet(name: String) -> Result<()> { let _ = name; Ok(()) }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let test = Harness::new(App::new(()).register::<Greet>()).await?;
/// assert_enqueued!(test, 0 of Greet);
/// test.client().enqueue(Greet { name: "ann".into() }).await?;
/// assert_enqueued!(test, Greet { name: "ann".into() });
/// assert_enqueued!(test, 1 of Greet);
/// # Ok(())
/// # }
/// ```
#[macro_export]
macro_rules! assert_enqueued {
    ($harness:expr, $count:literal of $task:ty) => {{
        let found = $harness.enqueued::<$task>().await.expect("the in-memory store can be read");
        assert_eq!(found.len(), $count, "tasks of `{}` enqueued: {found:#?}", <$task as $crate::Task>::NAME);
    }};
    ($harness:expr, $task:expr) => {{
        $crate::testing::assert_one(&$harness, &$task).await;
    }};
}

/// What [`assert_enqueued!`] calls.
///
/// # Panics
/// If no such task waits to be run.
#[doc(hidden)]
#[expect(clippy::expect_used, reason = "an assertion of a test")]
pub async fn assert_one<T: Task>(harness: &Harness, task: &T) {
    let wanted = serde_json::to_value(task).expect("the task can be written as JSON");
    let found = harness.enqueued::<T>().await.expect("the in-memory store can be read");
    assert!(found.contains(&wanted), "no `{}` with {wanted:#} is enqueued; there are {found:#?}", T::NAME);
}

/// One attempt about to be run by [`Harness::perform`]: set its context, then `.await`.
#[must_use = "nothing runs until it is awaited"]
#[derive(Debug)]
pub struct Perform<'h, T> {
    harness: &'h Harness,
    task: T,
    attempt: u32,
    meta: TaskMeta,
}

impl<T> Perform<'_, T> {
    /// The number of the attempt; 1 if not said.
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// A piece of context.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.meta.headers.insert(name.into(), value.into());
        self
    }

    /// A label.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.meta.tags.push(tag.into());
        self
    }
}

impl<'h, T: Task + Sync> IntoFuture for Perform<'h, T> {
    type Output = Performed;
    type IntoFuture = Pin<Box<dyn Future<Output = Performed> + Send + 'h>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let client = &self.harness.client;
            let args = serde_json::to_string(&self.task).unwrap_or_default();
            let runtime = client.runtime();
            let env = &runtime.env;
            let id = env.task_id();
            let task = NewTask::of(&T::kind(), args, Overrides::default(), id, client.size_limits())
                .and_then(|mut task| runtime.encode_args(&mut task).map(|()| task));
            let task = match task {
                Ok(task) => task,
                Err(invalid) => return Performed::refused(&invalid),
            };
            let mut claimed = Claimed {
                lease: LeaseRef { id, fence: env.fence(), key: LeaseKey::default() },
                kind: T::NAME.into(),
                queue: task.queue.into(),
                attempt: self.attempt,
                claim_no: self.attempt,
                crashes: 0,
                max_attempts: task.max_attempts,
                report_start: false,
                created_at: env.now(),
                expires_in: None,
                args: task.args,
                meta: Some(Box::new(self.meta)),
            };
            let attempt = unclaimed(client, &mut claimed);
            match execute::run(&attempt, claimed).await {
                Some(settlement) => Performed::of(settlement, &attempt),
                None => Performed::refused(&"the attempt has settled itself"),
            }
        })
    }
}

/// What came of one attempt.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Performed {
    /// How it ended.
    pub ending: Ending,
    /// The result, if it succeeded.
    pub result: Option<Value>,
    /// What went wrong, if it did not.
    pub failure: Option<Failure>,
    /// What it logged.
    pub logs: String,
    /// How far it said that it came.
    pub progress: Option<Progress>,
    /// The children that would be committed with its success: names and arguments.
    pub children: Vec<(String, Value)>,
}

impl Performed {
    fn of(settlement: Settlement, attempt: &Attempt) -> Self {
        let runtime = attempt.runtime();
        let payload = Payload { id: attempt.id, name: &attempt.kind, part: Part::Result };
        let children = settlement.children.iter();
        Self {
            ending: settlement.ending,
            result: settlement.result.map(|result| plain(runtime, &payload, result)),
            failure: settlement.failure.map(|failure| *failure),
            logs: settlement.logs.unwrap_or_default(),
            progress: settlement.progress.map(|progress| *progress),
            children: children
                .map(|child| (child.kind.clone(), plain_args(runtime, child.id, &child.kind, child.args.clone())))
                .collect(),
        }
    }

    fn refused(why: &dyn fmt::Display) -> Self {
        let failure = Failure::new(crate::error::FailureReason::InvalidArgs, why.to_string());
        Self {
            ending: Ending::Failed,
            result: None,
            failure: Some(failure),
            logs: String::new(),
            progress: None,
            children: Vec::new(),
        }
    }
}

/// What a test is shown of arguments, whatever codec the application has.
fn plain_args(runtime: &Runtime, id: TaskId, name: &str, args: String) -> Value {
    plain(runtime, &Payload { id, name, part: Part::Args }, args)
}

/// What can't be decoded is shown as it is stored.
fn plain(runtime: &Runtime, payload: &Payload<'_>, stored: String) -> Value {
    let plain = runtime.decode(payload, stored.clone()).unwrap_or(stored);
    serde_json::from_str(&plain).unwrap_or_default()
}

/// Runs what is ready in the caller.
#[derive(Clone, Debug)]
pub(crate) struct Inline {
    env: Env,
    /// Run each success again, and note here what did not succeed then.
    twice: Option<Arc<Mutex<Vec<String>>>>,
}

impl Inline {
    pub(crate) async fn drain(&self, client: &Client) -> Result<usize, StoreError> {
        let mut attempts = 0;
        loop {
            let ran = self.run_ready(client).await?;
            attempts += ran;
            if ran == 0 {
                break;
            }
        }
        let failed = self.twice.as_ref().map(|twice| std::mem::take(&mut *twice.lock().unwrap_or_else(PoisonError::into_inner)));
        match failed.filter(|failed| !failed.is_empty()) {
            None => Ok(attempts),
            Some(failed) => Err(StoreError::new(StoreErrorKind::Other, failed.join("; "))),
        }
    }

    /// One task of each queue.
    async fn run_ready(&self, client: &Client) -> Result<usize, StoreError> {
        let store = client.store();
        sweep(client).await?;
        let queues: BTreeMap<_, _> = store.queues().await?.into_iter().map(|queue| (queue.name, 1)).collect();
        let worker = self.env.worker_id();
        let spec = WorkerSpec {
            id: worker,
            name: "test".to_owned(),
            lease: limits::DURATION_MAX,
            kinds: client.registry().served(),
            queues: queues.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        store.enter(&spec).await?;
        let wanted = queues.keys().map(|queue| Wanted::new(queue.as_str(), 1)).collect();
        let claimed = store.claim(&Claim { worker, fence: self.env.fence(), wanted, again: false }).await?;
        let ran = claimed.len();
        for mut claimed in claimed {
            if claimed.report_start {
                store.start(&[claimed.lease]).await?;
            }
            let again = self.twice.as_ref().map(|failed| (failed, redelivered(&claimed)));
            let attempt = unclaimed(client, &mut claimed);
            // Boxed: a handler may enqueue, which in inline mode drains again.
            let Some(mut settlement) = boxed(execute::run(&attempt, claimed)).await else { continue };
            // What commits with its settlement is never run again.
            let again = again.filter(|_| attempt.settled().is_none());
            if let (Some((failed, mut claimed)), Ending::Succeeded) = (again, settlement.ending) {
                let attempt = unclaimed(client, &mut claimed);
                match boxed(execute::run(&attempt, claimed)).await {
                    // The first end was never written; this one is.
                    Some(second) if second.ending == Ending::Succeeded => settlement = second,
                    second => {
                        let why = second.and_then(|second| second.failure).map_or_else(String::new, |failure| failure.message);
                        let text = format!("`{}` {} succeeded, but not when it was run again: {why}", attempt.kind, attempt.id);
                        failed.lock().unwrap_or_else(PoisonError::into_inner).push(text);
                    }
                }
            }
            let ended = store.settle(vec![settlement.clone()]).await?;
            if let Some(Settled::Done(state)) = ended.first()
                && let Some(notice) = Notice::of(settlement, Some(attempt), *state)
            {
                tell(client, notice).await;
            }
        }
        store.leave(worker).await?;
        Ok(ran)
    }
}

fn boxed<'a>(
    run: impl Future<Output = Option<Settlement>> + Send + 'a,
) -> Pin<Box<dyn Future<Output = Option<Settlement>> + Send + 'a>> {
    Box::pin(run)
}

/// An attempt whose claim is known to no database: its handler's transactions are committed alone, as in a synchronous call.
fn unclaimed(client: &Client, claimed: &mut Claimed) -> Arc<Attempt> {
    let mut attempt = execute::prepare(client.ground(), claimed, None);
    attempt.lease = None;
    Arc::new(attempt)
}

/// The same task as it comes back after its worker died at the end of the work.
fn redelivered(claimed: &Claimed) -> Claimed {
    let Claimed { attempt, claim_no, crashes, .. } = *claimed;
    Claimed { attempt: attempt + 1, claim_no: claim_no + 1, crashes: crashes + 1, ..claimed.clone() }
}

async fn sweep(client: &Client) -> Result<(), StoreError> {
    for id in client.store().sweep(usize::MAX).await?.ended {
        tell(client, Notice::Ended(id)).await;
    }
    Ok(())
}

/// Calls the application's hooks here and now, so that a test sees what they did.
async fn tell(client: &Client, notice: Notice) {
    let hooks = &client.runtime().hooks;
    if !hooks.is_empty() {
        for event in notice.events(&**client.store()).await {
            hooks.tell(&event);
        }
    }
}
