//! What enqueues and calls tasks, awaits them, and looks after them; with the builders, futures, answers and errors of that.

mod bulk;
mod call;
mod cancel;
mod companion;
mod draft;
mod enqueue;
mod events;
mod handle;
mod kinds;
mod limits;
mod locks;
mod many;
mod queues;
mod schedule_change;
mod schedules;
mod tasks;
mod watch;
mod within;
mod workers;
mod workflows;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

pub use bulk::BulkReport;
pub use call::{Call, CallError};
pub use cancel::Cancel;
use companion::Beside;
pub(crate) use enqueue::check_deadline;
pub use enqueue::{Enqueue, EnqueueError, InAttempt, Own};
pub use events::{Events, SendEvent, Sending};
pub use handle::{AwaitError, Handle};
pub use kinds::Kinds;
pub use limits::KeyLimits;
pub use locks::Locks;
pub use many::{EnqueueMany, IntoEnqueue};
pub use queues::Queues;
pub use schedule_change::{Changing, ScheduleChange};
pub use schedules::Schedules;
pub use tasks::Tasks;
pub use watch::Watch;
pub use within::{InTransaction, Inserting};
pub use workers::Workers;
pub use workflows::Workflows;

use crate::Task;
use crate::beat::{Definition, Origin, RunningBeat, ScheduleError, SyncReport};
pub use crate::core::{CancelOutcome, Changes, DeleteOutcome, Mark, MoveOutcome, ReleaseOutcome, RetryOutcome};
use crate::core::{Limits, Store, TaskId, Wake};
use crate::registry::Registry;
use crate::runtime::{Ground, Runtime};
use crate::worker::WorkerBuilder;

/// The application's hand on its tasks: enqueue, call, await, look, cancel, retry.
///
/// Cheap to clone and to share. Made by [`App::connect`](crate::App::connect).
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Store>,
    ground: Arc<Ground>,
    program: Program,
    #[cfg(feature = "testing")]
    inline: std::sync::OnceLock<crate::testing::Inline>,
}

/// What a program calls itself, and the schedules that it defines.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) schedules: Vec<(String, Definition)>,
}

impl Client {
    pub(crate) fn new(store: Arc<dyn Store>, runtime: Arc<Runtime>, program: Program) -> Self {
        Self {
            inner: Arc::new(Inner {
                ground: Arc::new(Ground::of_store(store.clone(), runtime)),
                store,
                program,
                #[cfg(feature = "testing")]
                inline: std::sync::OnceLock::new(),
            }),
        }
    }

    /// Enqueues a task: acknowledged, and never lost from then on, when the returned builder has been awaited.
    ///
    /// ```no_run
    /// # use gristmill::{Client, Result, task};
    /// # use std::time::Duration;
    /// # #[task(name = "greet")] async fn greet(name: String) -> Result<String> { Ok(name) }
    /// # async fn example(client: Client) -> Result<()> {
    /// let handle = client.enqueue(Greet { name: "world".into() }).delay(Duration::from_secs(5)).priority(2).await?;
    /// let greeting = handle.result().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn enqueue<T: Task>(&self, task: T) -> Enqueue<'_, T::Output> {
        Enqueue::typed(self.runtime(), &task, Own(self))
    }

    /// Enqueues a task by the name of its type, with arguments that are written as JSON, and checked against the type's schema: a
    /// `serde_json::Value`, a struct of one's own, or, for text that is JSON already and is to be kept as it is, a
    /// `serde_json::value::RawValue`. Its handle gives a `serde_json::Value`.
    ///
    /// ```
    /// # use gristmill::{Client, Result};
    /// use serde_json::json;
    /// # async fn example(client: Client) -> Result<()> {
    /// let handle = client.enqueue_named("report.build", json!({ "year": 2026 })).await?;
    /// println!("{}", handle.result().await?["pages"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn enqueue_named(&self, name: &str, args: impl Serialize) -> Enqueue<'_, Value> {
        Enqueue::named(self.runtime(), name, &args, Own(self))
    }

    /// Enqueues many tasks in few commits, each with its own outcome: one bad item hinders no other. They are tasks, or what
    /// [`enqueue`](Self::enqueue) returned for them with options; those of several types need
    /// [`untyped`](Enqueue::untyped).
    ///
    /// Commits [`BATCH_TASKS_MAX`](crate::core::limits::BATCH_TASKS_MAX) at a time, or fewer of about
    /// [`BATCH_BYTES_MAX`](crate::core::limits::BATCH_BYTES_MAX). For all or nothing, put them into a transaction of your own with
    /// [`EnqueueMany::within`].
    ///
    /// ```no_run
    /// # use gristmill::{Client, Result, task};
    /// # #[task(name = "greet")] async fn greet(name: String) -> Result<String> { Ok(name) }
    /// # async fn example(client: Client) -> Result<()> {
    /// for outcome in client.enqueue_many((0..1_000).map(|n| Greet { name: format!("number {n}") })).await {
    ///     println!("{}", outcome?.id());
    /// }
    /// let later = (0..1_000).map(|n| client.enqueue(Greet { name: format!("number {n}") }).priority(9));
    /// client.enqueue_many(later).await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn enqueue_many<'a, I>(&'a self, tasks: I) -> EnqueueMany<I, Own<'a>>
    where
        I: IntoIterator<Item: IntoEnqueue<'a, Own<'a>>>,
    {
        EnqueueMany::new(tasks, Own(self))
    }

    /// Tells waiting workers that a transaction of the caller's own was committed, so that they look at once. Without it they find
    /// its tasks within about 40 ms on PostgreSQL, and a few milliseconds on SQLite. Returns before anybody was told; never fails.
    ///
    /// ```
    /// # #[cfg(feature = "sqlite")] {
    /// # use gristmill::{Client, Result, sqlite::rusqlite::Transaction, task};
    /// # #[task(name = "greet")] async fn greet(name: String) -> Result<String> { Ok(name) }
    /// # async fn example(client: Client, tx: Transaction<'_>) -> Result<()> {
    /// client.enqueue(Greet { name: "world".into() }).within(&tx).run()?;
    /// tx.commit()?;
    /// client.nudge();
    /// # Ok(())
    /// # }
    /// # }
    /// ```
    pub fn nudge(&self) {
        self.store().nudge();
    }

    /// What happened in the store since `after`, for whoever shows it; waits for up to `timeout` until there is something. Begin with
    /// [`Store::changes`] and `None`, and resume from each answer's mark. See [`Changes`] for what it can't know.
    ///
    /// Cancel safe: nothing is lost, as the mark stays with the caller.
    ///
    /// ```
    /// # use gristmill::{Client, core::{Changes, Mark}};
    /// # use std::time::Duration;
    /// # async fn example(client: Client) {
    /// let mut mark: Mark = client.store().changes(None).mark;
    /// loop {
    ///     let Changes { mark: next, ended, missed } = client.changes(mark, Duration::from_secs(20)).await;
    ///     if missed {
    ///         println!("read all again");
    ///     }
    ///     for id in ended {
    ///         println!("{id} has ended");
    ///     }
    ///     mark = next;
    /// }
    /// # }
    /// ```
    pub async fn changes(&self, after: Mark, timeout: Duration) -> Changes {
        self.store().wait(Wake::Changed(after), timeout).await;
        self.store().changes(Some(after))
    }

    /// Runs a task here and now and gives back its result: the synchronous pathway. It is checked and timed as a queued
    /// one, but not queued, not kept, and not run again. [`Call::timeout`] gives it a deadline of its own.
    ///
    /// Awaiting it fails with what the handler returned, a panic, a timeout, or arguments that do not fit: a [`CallError`].
    pub fn call<T: Task>(&self, task: T) -> Call<'_, T::Output> {
        Call::typed(self, &task)
    }

    /// Runs a task by name; see [`call`](Self::call). Arguments and result are JSON, as of
    /// [`enqueue_named`](Self::enqueue_named).
    pub fn call_named(&self, name: &str, args: impl Serialize) -> Call<'_, Value> {
        Call::named(self, name, &args)
    }

    /// A handle on a task of this type that was enqueued before, perhaps elsewhere.
    ///
    /// ```
    /// # use gristmill::{Client, Result, TaskId, task};
    /// # #[task(name = "greet")] async fn greet(name: String) -> Result<String> { Ok(name) }
    /// # async fn example(client: Client, id: TaskId) -> Result<()> {
    /// let greeting: String = client.handle_of::<Greet>(id).result().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn handle_of<T: Task>(&self, id: TaskId) -> Handle<T::Output> {
        Handle::new(self.clone(), id)
    }

    /// The same on a task of whatever type: its result is JSON.
    pub fn handle(&self, id: TaskId) -> Handle<Value> {
        Handle::new(self.clone(), id)
    }

    /// The name that a queue has in the store: with the [prefix](crate::App::queue_prefix), if there is one.
    pub fn real_queue(&self, name: &str) -> String {
        self.runtime().routes.real(name).into_owned()
    }

    /// The tasks of the store: look, cancel, retry, release.
    pub fn tasks(&self) -> Tasks<'_> {
        Tasks::new(self)
    }

    /// The keys of which only so many tasks run at once: look, and say how many.
    pub fn limits(&self) -> KeyLimits<'_> {
        KeyLimits::new(self)
    }

    /// The queues of the store: look, pause, resume.
    pub fn queues(&self) -> Queues<'_> {
        Queues::new(self)
    }

    /// The schedules of the store: look, put, edit, pause, run now, delete.
    pub fn schedules(&self) -> Schedules<'_> {
        Schedules::new(self)
    }

    /// The workers on the store, in whatever process: look, forget.
    pub fn workers(&self) -> Workers<'_> {
        Workers::new(self)
    }

    /// The events that tasks await: send, and look at them and at who waits.
    pub fn events(&self) -> Events<'_> {
        Events::new(self)
    }

    /// The locks that running attempts hold: look.
    pub fn locks(&self) -> Locks<'_> {
        Locks::new(self)
    }

    /// The workflows of the store: start, look, cancel, pause, resume.
    pub fn workflows(&self) -> Workflows<'_> {
        Workflows::new(self)
    }

    /// The task types that the store has heard of, from any program.
    pub fn kinds(&self) -> Kinds<'_> {
        Kinds::new(self)
    }

    /// Builds a worker that runs in this process.
    pub fn worker(&self) -> WorkerBuilder {
        WorkerBuilder::new(self.ground().clone(), Some(Box::new(Beside(self.clone()))))
    }

    /// Starts a beat in this process: it turns the ticks of stored schedules into tasks. Any number may run, in any number of
    /// processes; each tick makes one task. Before, the schedules of this program ([`App::schedule`](crate::App::schedule)) are
    /// written. A worker runs a beat unless it is told not to ([`WorkerBuilder::beat`]).
    ///
    /// # Errors
    /// A schedule of the program that can't be, or whose name is another's; or the store's.
    pub async fn beat(&self) -> Result<RunningBeat, ScheduleError> {
        self.sync_own_schedules().await?;
        Ok(RunningBeat::start(self.store().clone(), self.runtime().clone()))
    }

    /// Writes the schedules of the program itself.
    pub(crate) async fn sync_own_schedules(&self) -> Result<SyncReport, ScheduleError> {
        let Program { name, schedules } = &self.inner.program;
        self.schedules().sync(name, Origin::Code, schedules.clone()).await
    }

    /// The store, for what has no method here.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.inner.store
    }

    /// The limits on what comes from outside.
    pub(crate) fn size_limits(&self) -> &Limits {
        &self.runtime().limits
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.runtime().registry
    }

    /// What this program knows of tasks.
    pub(crate) fn runtime(&self) -> &Arc<Runtime> {
        &self.ground().runtime
    }

    /// What attempts stand on that run here.
    pub(crate) fn ground(&self) -> &Arc<Ground> {
        &self.inner.ground
    }

    #[cfg(feature = "testing")]
    pub(crate) fn inline(&self) -> &std::sync::OnceLock<crate::testing::Inline> {
        &self.inner.inline
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("store", &self.store().location()).field("kinds", self.registry()).finish_non_exhaustive()
    }
}
