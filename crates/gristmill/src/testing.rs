//! Tests of an application's tasks: no worker, no waiting, and a clock that stands still until it is moved.
//!
//! [`Harness::new`] runs an [`App`] on the in-memory store, and needs no service and no file. Transactions that a handler opens on
//! the application's own database ([`Context::transaction`](crate::Context::transaction)) are real then, and committed by
//! themselves; one of the application's own, for [`within`](crate::client::Enqueue::within), is refused, as there is no database that
//! holds both.
//!
//! [`Harness::connect`] does all the same on a SQLite file or in PostgreSQL, where both work as in production.
//! [`SqliteSandbox`] and [`PostgresSandbox`] give each test a database of its own, which goes away with it.
//!
//! ```
//! use gristmill::testing::{self, Harness, assert_enqueued};
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
//! assert_eq!(test.now(), testing::START);
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
mod error;
mod inline;
mod replay;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

pub use gristmill_conformance::{MemoryBroker, MemoryStore};
#[cfg(feature = "postgres")]
pub use gristmill_postgres::Sandbox as PostgresSandbox;
pub use replay::Replayed;

#[doc(hidden)]
pub use beat::assert_one_scheduled;
pub use error::HarnessError;
pub(crate) use inline::Inline;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteSandbox;

use crate::app::ConnectError;
use crate::attempt::Attempt;
use crate::client::Client;
use crate::codec::{Part, Payload};
use crate::core::Failure;
use crate::core::{
    Claimed, Ending, Env, Filter, LeaseKey, LeaseRef, NewTask, Overrides, Progress, Settlement, State, Store, TaskId, TaskMeta,
    VirtualTime, limits,
};
use crate::runtime::Runtime;
use crate::task::stored_name;
use crate::worker::execute;
use crate::{App, Task, Timestamp};
pub use crate::{assert_enqueued, assert_scheduled};
use inline::{sweep, unclaimed};

/// Where the clock of a test stands at first: 2027-01-01T00:00:00Z.
pub const START: Timestamp = Timestamp::from_millis(1_798_761_600_000);
/// So many attempts and ticks are run before a test is taken for one that never ends, unless it says otherwise.
const STEPS_MAX: usize = 10_000;

/// An application under test. See the [module](self).
#[derive(Debug)]
pub struct Harness {
    client: Client,
    time: VirtualTime,
    inline: Inline,
}

impl Harness {
    /// Connects the application to an empty in-memory store. The clock stands at [`START`], and what is random is the same in
    /// each run.
    ///
    /// # Errors
    /// A mistake in a registration or a schedule.
    pub async fn new<S: Send + Sync + 'static>(app: App<S>) -> Result<Self, ConnectError> {
        let (env, time) = Env::virtual_time(START, 1);
        let store: Arc<dyn Store> = MemoryStore::new(env.clone());
        let client = app.env(env.clone()).with_store(store).await?;
        Self::on(client, time, Inline::alone(env)).await
    }

    /// Connects the application to the store at `url`, as [`App::connect`] does: a SQLite file, or PostgreSQL. What is enqueued in a
    /// transaction of the application's own is there, and a handler's transaction settles its task.
    ///
    /// The clock is the test's own there, too, and stands at [`START`]: the store counts by it, and so does what its transactions
    /// enqueue. What statements of the application's own call (`gristmill.enqueue` in SQL) counts by the server's.
    ///
    /// No worker may run on that store. Give each test a store of its own: a [`SqliteSandbox`], a [`PostgresSandbox`], or whatever
    /// else the application's tests have, such as the database of a `#[sqlx::test]`.
    ///
    /// ```
    /// # #[cfg(feature = "sqlite")] {
    /// use gristmill::sqlite::rusqlite::Connection;
    /// use gristmill::testing::{Harness, SqliteSandbox, assert_enqueued};
    /// use gristmill::{App, Client, Result, task};
    ///
    /// #[task(name = "mail.welcome")]
    /// async fn welcome(to: String) -> Result<String> {
    ///     Ok(format!("welcomed {to}"))
    /// }
    ///
    /// /// What is tested: the customer and the task are there together, or neither is.
    /// async fn sign_up(client: &Client, db: &mut Connection, name: &str) -> Result<()> {
    ///     let tx = db.transaction()?;
    ///     tx.execute("INSERT INTO customer (name) VALUES (?1)", [name])?;
    ///     client.enqueue(Welcome { to: name.into() }).within(&tx).run()?;
    ///     tx.commit()?;
    ///     Ok(())
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// let sandbox = SqliteSandbox::new()?;
    /// let mut db = Connection::open(sandbox.path())?;
    /// db.execute_batch("CREATE TABLE customer (name TEXT NOT NULL UNIQUE)")?;
    /// let test = Harness::connect(App::new(()).register::<Welcome>(), sandbox.store_url()).await?;
    ///
    /// sign_up(test.client(), &mut db, "ann").await?;
    /// assert_enqueued!(test, Welcome { to: "ann".into() });
    /// assert_eq!(test.drain().await?, 1);
    /// assert!(sign_up(test.client(), &mut db, "ann").await.is_err(), "there is one already");
    /// assert_enqueued!(test, 0 of Welcome);
    /// # Ok(())
    /// # }
    /// # }
    /// # #[cfg(not(feature = "sqlite"))] fn main() {}
    /// ```
    ///
    /// # Errors
    /// As [`App::connect`].
    pub async fn connect<S: Send + Sync + 'static>(app: App<S>, url: &str) -> Result<Self, ConnectError> {
        // Random, as the ids of one test must not be those of another on the same store.
        let seed = Env::system().fence().as_uuid().as_u64_pair().0;
        let (env, time) = Env::virtual_time(START, seed);
        let client = app.env(env.clone()).connect(url).await?;
        Self::on(client, time, Inline::settling(env)).await
    }

    async fn on(client: Client, time: VirtualTime, inline: Inline) -> Result<Self, ConnectError> {
        // As the start of a beat does, so that a test can look at them before anything ticks.
        client.sync_own_schedules().await?;
        Ok(Self { client, time, inline })
    }

    /// Runs each task that succeeds once more with the same arguments before its success counts, as after a crash of the worker
    /// between the work and its acknowledgement: the way in which at-least-once delivery repeats work. The second run has the next
    /// attempt's number and a larger fencing token. If it does not succeed, too, [`drain`](Self::drain) says which task is not
    /// idempotent. What commits together with its settlement is not run again, as it never is.
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
    /// let test = Harness::new(App::new(Rooms::default()).register::<Reserve>()).await?.twice();
    /// test.client().enqueue(Reserve { room: 7 }).await?;
    /// let why = test.drain().await.expect_err("who has the room already?").to_string();
    /// assert!(why.contains("reserve") && why.contains("it is taken"), "{why}");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn twice(self) -> Self {
        self.inline.repeat();
        self
    }

    /// Lets every enqueue through the client run what is ready before it returns, as if there were no queue. What is enqueued in a
    /// transaction of the application's own waits for [`drain`](Self::drain), as it is not committed yet.
    #[must_use]
    pub fn inline(self) -> Self {
        let _ = self.client.inline().set(self.inline.clone());
        self
    }

    /// Sets how many attempts, and ticks of schedules, one call may run before it gives up: 10,000 unless said. Tasks that enqueue
    /// each other without end, and a schedule that ticks each second of a year, are told apart from a test that is only long by
    /// this alone.
    #[must_use]
    pub fn steps_max(self, steps: usize) -> Self {
        self.inline.set_steps_max(steps);
        self
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
    /// - [`Endless`](HarnessError::Endless): more than [`steps_max`](Self::steps_max) attempts.
    /// - [`NotRepeatable`](HarnessError::NotRepeatable), after [`twice`](Self::twice): tasks that did not succeed again; all else has
    ///   run then all the same.
    /// - [`Store`](HarnessError::Store): the store's own, of which the one in memory has none.
    pub async fn drain(&self) -> Result<usize, HarnessError> {
        self.inline.drain(&self.client).await
    }

    /// Moves the clock, so that what is due by then is ready. Runs nothing.
    ///
    /// # Errors
    /// As [`drain`](Self::drain).
    pub async fn advance(&self, by: Duration) -> Result<(), HarnessError> {
        self.time.advance(by);
        Ok(sweep(&self.client).await?)
    }

    /// Runs one attempt of a task outside of any queue, with a context of the test's choice, and tells all that came of it. There is
    /// no claim on it that a transaction of the handler could settle, so that what that writes is committed alone.
    pub fn perform<T: Task>(&self, task: T) -> Perform<'_, T> {
        Perform { harness: self, task, attempt: 1, meta: TaskMeta::default() }
    }

    /// The arguments of all tasks of a type that wait to be run, oldest first; those of its current version.
    ///
    /// # Errors
    /// As [`drain`](Self::drain).
    pub async fn enqueued<T: Task>(&self) -> Result<Vec<Value>, HarnessError> {
        let waiting = [State::Blocked, State::Scheduled, State::Waiting, State::Ready].to_vec();
        let filter = Filter { states: waiting, kind: Some(stored_name::<T>().into_owned()), ..Filter::default() };
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
        let found = $harness.enqueued::<$task>().await.expect("the store can be read");
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
    let found = harness.enqueued::<T>().await.expect("the store can be read");
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
                kind: stored_name::<T>().into(),
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
            let attempt = unclaimed(client, &mut claimed, false);
            match execute::run(&attempt, claimed).await {
                Some(execute::End::Settle(settlement)) => Performed::of(settlement, &attempt),
                Some(execute::End::Wait(_)) | None => Performed::refused(&"the attempt has settled itself"),
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
