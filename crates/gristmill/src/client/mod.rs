//! What enqueues and calls tasks, awaits them, and looks after them; with the builders, futures, answers and errors of that.

mod bulk;
mod call;
mod companion;
mod draft;
mod enqueue;
mod handle;
mod many;
mod schedule_change;
mod timetable;
mod within;

use std::sync::Arc;
use std::time::Duration;

pub use bulk::BulkReport;
pub use call::{Call, CallError};
use companion::Beside;
pub use enqueue::{Enqueue, EnqueueError, InAttempt, Own};
pub use handle::{AwaitError, Handle};
pub use many::EnqueueMany;
pub use schedule_change::{Changing, ScheduleChange};
pub use timetable::Timetable;
pub use within::{Cancel, InTransaction, Inserting};

use crate::Task;
use crate::beat::{self, Definition, Origin, RunningBeat, ScheduleError, Scheduled, SyncReport};
pub use crate::core::{CancelOutcome, Changes, Mark, ReleaseOutcome, RetryOutcome};
use crate::core::{
    Cursor, Filter, KindInfo, Limits, Page, QueueInfo, Store, StoreError, TaskId, TaskRecord, Wake, WorkerId, WorkerInfo,
};
use crate::registry::Registry;
use crate::runtime::{Ground, Runtime};
use crate::schedule::Timing;
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

    /// Enqueues a task by the name of its type, with arguments as JSON text. They are checked against the type's schema.
    pub fn enqueue_named(&self, name: &str, args: impl Into<String>) -> Enqueue<'_, serde_json::Value> {
        Enqueue::named(self.runtime(), name, args.into(), Own(self))
    }

    /// Enqueues many tasks in few commits, each with its own options and its own outcome: one bad item hinders no other.
    ///
    /// Commits [`BATCH_TASKS_MAX`](crate::core::limits::BATCH_TASKS_MAX) at a time. For all or nothing, put
    /// them into a transaction of your own with [`EnqueueMany::within`].
    ///
    /// ```no_run
    /// # use gristmill::{Client, Result, task};
    /// # #[task(name = "greet")] async fn greet(name: String) -> Result<String> { Ok(name) }
    /// # async fn example(client: Client) -> Result<()> {
    /// let tasks = (0..1_000).map(|n| client.enqueue(Greet { name: format!("number {n}") }));
    /// for outcome in client.enqueue_many(tasks).await {
    ///     println!("{}", outcome?.id());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn enqueue_many<'c, O, I>(&self, tasks: I) -> EnqueueMany<'_, I>
    where
        I: IntoIterator<Item = Enqueue<'c, O>>,
    {
        EnqueueMany { client: self, tasks, place: Own(self) }
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

    /// Runs a task by name; see [`call`](Self::call). The result is JSON text.
    pub fn call_named(&self, name: &str, args: impl Into<String>) -> Call<'_, String> {
        Call::named(self, name, args.into())
    }

    /// A handle on a task that was enqueued before, perhaps elsewhere.
    pub fn handle<O>(&self, id: TaskId) -> Handle<O> {
        Handle::new(self.clone(), id)
    }

    /// All that is known about a task; `None` if there is none with this id, or it is no longer kept.
    ///
    /// # Errors
    /// If the store can't be read.
    pub async fn get(&self, id: TaskId) -> Result<Option<TaskRecord>, StoreError> {
        self.store().get(id).await
    }

    /// A page of tasks, newest first, without their histories.
    ///
    /// # Errors
    /// If the store can't be read.
    pub async fn list(&self, filter: &Filter, after: Option<Cursor>, limit: usize) -> Result<Page<TaskRecord>, StoreError> {
        self.store().list(filter, after, limit.clamp(1, crate::core::limits::PAGE_ITEMS_MAX)).await
    }

    /// Cancels a task. The answer says what happened; a task that was answered with
    /// [`Cancelled`](CancelOutcome::Cancelled) never starts.
    ///
    /// # Errors
    /// If the store can't be written.
    pub async fn cancel(&self, id: TaskId) -> Result<CancelOutcome, StoreError> {
        Ok(self.store().cancel(&[id]).await?.into_iter().next().unwrap_or(CancelOutcome::NotFound))
    }

    /// Makes an ended task ready again, with fresh attempts, under its id and with its history.
    ///
    /// # Errors
    /// If the store can't be written.
    pub async fn retry(&self, id: TaskId) -> Result<RetryOutcome, StoreError> {
        Ok(self.store().retry(&[id]).await?.into_iter().next().unwrap_or(RetryOutcome::NotFound))
    }

    /// Lets a task run now, by hand: takes one that runs from its worker, at the cost of no attempt, and one that is scheduled from
    /// its time. What a handler does that still runs it is not undone; its end is refused. See [`Store::release`].
    ///
    /// # Errors
    /// If the store can't be written.
    pub async fn release(&self, id: TaskId) -> Result<ReleaseOutcome, StoreError> {
        let outcomes = self.store().release(&[id]).await?;
        Ok(outcomes.first().copied().unwrap_or(ReleaseOutcome::NotFound))
    }

    /// Takes a worker for dead, by hand and at once: what it held runs again, and an attempt that had started has crashed. How many
    /// tasks it held; `None` if there is no such worker. See [`Store::forget_worker`].
    ///
    /// # Errors
    /// If the store can't be written; a repetition takes what is left.
    pub async fn forget_worker(&self, worker: WorkerId) -> Result<Option<u64>, StoreError> {
        self.store().forget_worker(worker).await
    }

    /// Cancels all tasks that match and have not ended. `each` hears of every one, as it happens.
    ///
    /// # Errors
    /// If the store can't be read or written; what was reported to `each` stands.
    pub async fn cancel_all(&self, filter: &Filter, each: impl FnMut(TaskId, CancelOutcome)) -> Result<BulkReport, StoreError> {
        bulk::cancel(self, filter, each).await
    }

    /// Retries all tasks that match and have ended. Those that have succeeded are left alone, unless
    /// [`Filter::states`](crate::core::Filter::states) names them. `each` hears of every one, as it happens.
    ///
    /// # Errors
    /// As [`cancel_all`](Self::cancel_all).
    pub async fn retry_all(&self, filter: &Filter, each: impl FnMut(TaskId, RetryOutcome)) -> Result<BulkReport, StoreError> {
        bulk::retry(self, filter, each).await
    }

    /// Stops the claims from a queue until it is resumed; what runs goes on.
    ///
    /// # Errors
    /// If the store can't be written.
    pub async fn pause(&self, queue: &str) -> Result<(), StoreError> {
        self.store().pause(queue, true).await
    }

    /// Resumes a queue.
    ///
    /// # Errors
    /// If the store can't be written.
    pub async fn resume(&self, queue: &str) -> Result<(), StoreError> {
        self.store().pause(queue, false).await
    }

    /// All queues.
    ///
    /// # Errors
    /// If the store can't be read.
    pub async fn queues(&self) -> Result<Vec<QueueInfo>, StoreError> {
        self.store().queues().await
    }

    /// All workers that beat, and those that stopped beating a short time ago.
    ///
    /// # Errors
    /// If the store can't be read.
    pub async fn workers(&self) -> Result<Vec<WorkerInfo>, StoreError> {
        self.store().workers().await
    }

    /// All task types that the store has heard of, from any program.
    ///
    /// # Errors
    /// If the store can't be read.
    pub async fn kinds(&self) -> Result<Vec<KindInfo>, StoreError> {
        self.store().kinds().await
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

    /// Writes a schedule, whether there is one of this name or not. What has run stays remembered; a changed timing counts from
    /// now; a pause stays until [`Timetable::resume`]. One that a program or a file defines is the operator's edit from then
    /// on, which no start of theirs undoes.
    ///
    /// Awaiting it fails with a [`ScheduleError`] if its timing can't be or has no tick to come, if no program has declared its
    /// task type, or if its arguments or options are out of range.
    ///
    /// ```
    /// # use gristmill::{Client, beat::ScheduleError};
    /// use gristmill::beat::Definition;
    /// use gristmill::schedule::{Rule, Timing};
    /// # async fn example(client: Client) -> Result<(), ScheduleError> {
    /// let nightly = Timing::new(Rule::cron("0 3 * * *")).timezone("Europe/Rome");
    /// client.schedule("nightly-report", Definition::new(nightly, "report.build")).await?;
    /// for tick in client.schedules().next("nightly-report", 3).await? {
    ///     println!("{} = {}", tick.local, tick.utc);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn schedule(&self, name: impl Into<String>, definition: Definition) -> ScheduleChange<'_, Scheduled> {
        ScheduleChange::put(self, name.into(), Ok(definition), false)
    }

    /// The same of a task and a timing, with all else as [`Definition::new`] has it.
    ///
    /// ```
    /// # use gristmill::{Client, Result, Timestamp, beat::ScheduleError, task};
    /// # #[task(name = "election.close")] async fn close_election(id: u32) -> Result<()> { let _ = id; Ok(()) }
    /// # async fn example(client: Client, closes_at: Timestamp) -> Result<(), ScheduleError> {
    /// client.schedule_task("election:7:close", closes_at, &CloseElection { id: 7 }).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn schedule_task<T: Task>(
        &self,
        name: impl Into<String>,
        timing: impl Into<Timing>,
        task: &T,
    ) -> ScheduleChange<'_, Scheduled> {
        ScheduleChange::put(self, name.into(), Definition::of(timing.into(), task), false)
    }

    /// The schedules of the store: look, reschedule, pause, run now, remove.
    pub fn schedules(&self) -> Timetable<'_> {
        Timetable::new(self)
    }

    /// Makes the stored schedules of `owner` what `schedules` say: writes those that are new or changed, and withdraws those
    /// that it no longer defines. An operator's pauses and edits stay, and so does what an operator made, though it has the
    /// name of one of them. For front ends that read definitions from files of their own.
    ///
    /// A task type that nobody has declared yet is no error, as the program that has it may start later.
    ///
    /// # Errors
    /// A definition that can't be; a name that another owner has ([`ScheduleError::Owned`]), in which case others may have been
    /// written; or the store's.
    pub async fn sync_schedules(
        &self,
        owner: &str,
        origin: Origin,
        schedules: Vec<(String, Definition)>,
    ) -> Result<SyncReport, ScheduleError> {
        beat::sync(&**self.store(), self.runtime(), owner, origin, schedules).await
    }

    /// Writes the schedules of the program itself.
    pub(crate) async fn sync_own_schedules(&self) -> Result<SyncReport, ScheduleError> {
        let Program { name, schedules } = &self.inner.program;
        self.sync_schedules(name, Origin::Code, schedules.clone()).await
    }

    /// The store, for what has no method here.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.inner.store
    }

    /// The limits on what comes from outside.
    pub fn limits(&self) -> &Limits {
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
