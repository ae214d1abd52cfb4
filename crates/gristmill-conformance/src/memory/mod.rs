//! The store in memory; see [`MemoryStore`].

mod book;
mod claim;
mod concurrency;
mod durable;
mod enqueue;
mod locks;
mod operate;
mod schedules;
mod settle;
mod signal;
mod sweep;
mod tables;
mod view;
mod workers;
mod workflows;

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use gristmill_core::concurrency::{KeyLimits, Limit, LimitInfo, LimitRecord, Standby};
use gristmill_core::durable::{Checkpoint, Durable, EventRecord, Memories, NewEvent, Resume, Resumed, Sent, Waiter};
use gristmill_core::kit::check::stands_still;
use gristmill_core::workflow::{
    Extended, Extension, Member, NewWorkflow, Order, Ordered, Rerun, Retried, Started, Tolerance, Tolerated, WorkflowFilter,
    WorkflowRecord, Workflows,
};
use gristmill_core::{
    Aging, CancelOutcome, Changes, Claim, Claimed, Cursor, DeleteOutcome, EnqueueOutcome, Env, Filter, Finding, KindInfo,
    KindSpec, LeaseRef, LockInfo, LockOutcome, Mark, MoveOutcome, NewTask, Note, Page, Pending, Pulse, QueueInfo, ReleaseOutcome,
    RetryOutcome, Settled, Settlement, Severity, Source, State, Store, StoreError, Swept, TaskId, TaskRecord, Timestamp, Wake,
    WorkerId, WorkerInfo, WorkerSpec, WorkflowId,
};

use signal::Signals;
use tables::Tables;

/// A store that keeps everything in memory and loses it when it is dropped.
///
/// It is two things. For gristmill it is the reference model: written as plainly as possible, it says what every operation
/// of a store means, and the real stores are compared with it (`check_against_model`, feature `suite`). For applications it is what
/// tests run on: nothing to install, nothing to clean up, a new empty store at each [`new`](Self::new).
///
/// It keeps every promise of [`Source`] and [`Store`] except durability: what is acknowledged lives as long as the process.
/// It is not for production, and its listings cost more the more it holds.
///
/// All its time comes from the [`Env`]. With [`Env::virtual_time`] the clock stands still until the test moves it, but the
/// timeout of [`Source::wait`] runs in real time, and nobody who waits learns that the clock was moved: call
/// [`nudge`](Self::nudge) after moving it.
///
/// ```
/// use gristmill_conformance::MemoryStore;
/// use gristmill_core::{EnqueueOutcome, Env, NewTask, Overrides, Policy, State, Store};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let env = Env::system();
/// let store = MemoryStore::new(env.clone());
/// let id = env.task_id();
/// let task = NewTask::resolve("mail.send", &Policy::default(), "{}".into(), Overrides::default(), id, &Default::default())?;
/// assert_eq!(store.enqueue(vec![task]).await?, [EnqueueOutcome::Created]);
/// assert_eq!(store.get(id).await?.unwrap().state, State::Ready);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct MemoryStore {
    env: Env,
    tables: Mutex<Tables>,
    signals: Signals,
}

impl MemoryStore {
    /// An empty store that takes its time from `env`.
    pub fn new(env: Env) -> Arc<Self> {
        Arc::new(Self { env, tables: Mutex::default(), signals: Signals::default() })
    }

    /// Wakes everybody who waits, so that they look again: to be called after a virtual clock was moved.
    pub fn nudge(&self) {
        self.signals.nudge();
    }

    /// Forgets what only the process knows, as one that has died and begins anew.
    #[cfg(feature = "suite")]
    pub(crate) fn reopened(&self) {
        self.run(|tables, _| tables.forget_looks());
    }

    /// Runs one operation alone, at one instant, and tells those who wait what it brought about.
    fn run<T>(&self, operation: impl FnOnce(&mut Tables, Timestamp) -> T) -> T {
        // A panic in an operation can only come from a bug in this crate; the tables are then as good as they were.
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        // The clock is read under the lock, so that operations see it in the order in which they take effect.
        let now = self.env.now();
        let answer = operation(&mut tables, now);
        tables.advance_workflows(now);
        while tables.admit_waiting(now) {
            tables.advance_workflows(now);
        }
        let news = tables.take_news();
        drop(tables);
        self.signals.announce(news);
        answer
    }
}

#[async_trait]
impl Source for MemoryStore {
    async fn enter(&self, worker: &WorkerSpec) -> Result<(), StoreError> {
        self.run(|tables, now| tables.enter(worker, now));
        Ok(())
    }

    async fn leave(&self, worker: WorkerId) -> Result<u64, StoreError> {
        Ok(self.run(|tables, now| tables.leave(worker, now)))
    }

    async fn heartbeat(&self, worker: WorkerId, lease: Duration) -> Result<Pulse, StoreError> {
        self.signals.cancelled.looked();
        Ok(self.run(|tables, now| tables.heartbeat(worker, lease, now)))
    }

    async fn cancelled(&self, worker: WorkerId) -> Result<Vec<LeaseRef>, StoreError> {
        self.signals.cancelled.looked();
        Ok(self.run(|tables, _| tables.cancelled(worker)))
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Claimed>, StoreError> {
        self.signals.ready.looked();
        self.run(|tables, now| tables.claim(claim, now))
    }

    async fn start(&self, leases: &[LeaseRef]) -> Result<Vec<bool>, StoreError> {
        Ok(self.run(|tables, _| leases.iter().map(|lease| tables.start(lease)).collect()))
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<Settled>, StoreError> {
        Ok(self.run(|tables, now| settlements.into_iter().map(|settlement| tables.settle(settlement, now)).collect()))
    }

    async fn note(&self, notes: Vec<Note>) -> Result<Vec<bool>, StoreError> {
        Ok(self.run(|tables, _| notes.into_iter().map(|note| tables.note(note)).collect()))
    }

    async fn sweep(&self, limit: usize) -> Result<Swept, StoreError> {
        self.signals.scheduled.looked();
        Ok(self.run(|tables, now| tables.sweep(limit, now, self.env.monotonic())))
    }

    async fn age(&self, aging: &[Aging], limit: usize) -> Result<usize, StoreError> {
        Ok(self.run(|tables, now| tables.age(aging, limit, now)))
    }

    async fn prune(&self, limit: usize) -> Result<usize, StoreError> {
        Ok(self.run(|tables, now| tables.prune(limit, now)))
    }

    async fn record(&self, id: TaskId) -> Result<Option<TaskRecord>, StoreError> {
        self.get(id).await
    }

    async fn pending(&self, queues: &[String], within: Duration) -> Result<Pending, StoreError> {
        Ok(self.run(|tables, now| tables.pending(queues, within, now)))
    }

    async fn members(&self, id: WorkflowId, step: &str, after: Option<u32>, limit: usize) -> Result<Vec<Member>, StoreError> {
        Ok(self.run(|tables, _| tables.members(id, step, after, limit)))
    }

    async fn memories(&self, id: TaskId) -> Result<Memories, StoreError> {
        Ok(self.run(|tables, now| tables.memories(id, now)))
    }

    async fn checkpoint(&self, checkpoint: Checkpoint) -> Result<Settled, StoreError> {
        self.run(|tables, now| tables.checkpoint(checkpoint, now))
    }

    async fn take_lock(&self, lease: &LeaseRef, name: &str) -> Result<LockOutcome, StoreError> {
        self.run(|tables, now| tables.take_lock(lease, name, now))
    }

    async fn release_lock(&self, lease: &LeaseRef, name: &str) -> Result<bool, StoreError> {
        Ok(self.run(|tables, _| tables.release_lock(lease, name)))
    }

    async fn wait(&self, wake: Wake, timeout: Duration) {
        let signal = match wake {
            Wake::Ready => &self.signals.ready,
            Wake::Scheduled => &self.signals.scheduled,
            Wake::Cancelled => &self.signals.cancelled,
            Wake::Changed(mark) => return self.signals.past(mark, timeout).await,
            Wake::Ended(id) => return self.signals.ended.until(timeout, || self.run(|tables, _| !tables.is_live(id))).await,
        };
        signal.next(timeout).await;
    }
}

#[async_trait]
impl Workflows for MemoryStore {
    async fn start_workflow(&self, workflow: NewWorkflow) -> Result<Started, StoreError> {
        self.run(|tables, now| tables.start_workflow(workflow, now))
    }

    async fn extend_workflow(&self, extension: Extension) -> Result<Extended, StoreError> {
        self.run(|tables, now| tables.extend_workflow(extension, now))
    }

    async fn workflow(&self, id: WorkflowId) -> Result<Option<WorkflowRecord>, StoreError> {
        Ok(self.run(|tables, _| tables.workflow(id)))
    }

    async fn list_workflows(
        &self,
        filter: &WorkflowFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<WorkflowRecord>, StoreError> {
        Ok(self.run(|tables, _| tables.list_workflows(filter, after, limit)))
    }

    async fn order_workflow(&self, id: WorkflowId, order: Order) -> Result<Ordered, StoreError> {
        Ok(self.run(|tables, now| tables.order_workflow(id, order, now)))
    }

    async fn retry_workflow(&self, id: WorkflowId, rerun: Rerun) -> Result<Retried, StoreError> {
        Ok(self.run(|tables, now| tables.retry_workflow(id, rerun, now)))
    }

    async fn tolerate(&self, id: WorkflowId, step: &str, tolerance: Tolerance) -> Result<Tolerated, StoreError> {
        Ok(self.run(|tables, now| tables.tolerate(id, step, tolerance, now)))
    }
}

#[async_trait]
impl Durable for MemoryStore {
    async fn send_event(&self, event: NewEvent) -> Result<Sent, StoreError> {
        Ok(self.run(|tables, now| tables.send_event(&event, now)))
    }

    async fn list_events(
        &self,
        name: Option<&str>,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<EventRecord>, StoreError> {
        Ok(self.run(|tables, _| tables.list_events(name, after, limit)))
    }

    async fn list_waiters(&self, name: Option<&str>, limit: usize) -> Result<Vec<Waiter>, StoreError> {
        Ok(self.run(|tables, _| tables.list_waiters(name, limit)))
    }

    async fn resume_task(&self, id: TaskId, how: Resume) -> Result<Resumed, StoreError> {
        Ok(self.run(|tables, now| tables.resume_task(id, how, now)))
    }
}

#[async_trait]
impl KeyLimits for MemoryStore {
    async fn list_limits(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<LimitInfo>, StoreError> {
        Ok(self.run(|tables, now| tables.limits(prefix, after, limit, now)))
    }

    async fn get_limit(&self, key: &str, most: usize) -> Result<Option<LimitRecord>, StoreError> {
        Ok(self.run(|tables, now| tables.limit(key, most, now)))
    }

    async fn set_limit(&self, key: &str, limit: Option<Limit>) -> Result<(), StoreError> {
        self.run(|tables, _| tables.set_limit(key, limit));
        Ok(())
    }

    async fn set_remaining(&self, key: &str, left: u32, within: Duration) -> Result<(), StoreError> {
        self.run(|tables, now| tables.set_remaining(key, left, now.saturating_add(within)));
        Ok(())
    }

    async fn stands_by(&self, id: TaskId) -> Result<Option<Standby>, StoreError> {
        Ok(self.run(|tables, now| tables.stands_by(id, now)))
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn location(&self) -> String {
        "memory:".to_owned()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    async fn declare(&self, kinds: &[KindSpec]) -> Result<(), StoreError> {
        self.run(|tables, _| tables.declare(kinds));
        Ok(())
    }

    async fn enqueue(&self, tasks: Vec<NewTask>) -> Result<Vec<EnqueueOutcome>, StoreError> {
        self.run(|tables, now| tables.enqueue_batch(tasks, now))
    }

    fn changes(&self, after: Option<Mark>) -> Changes {
        self.signals.changes(after, &self.env)
    }

    async fn get(&self, id: TaskId) -> Result<Option<TaskRecord>, StoreError> {
        Ok(self.run(|tables, _| tables.get(id)))
    }

    async fn list(&self, filter: &Filter, after: Option<Cursor>, limit: usize) -> Result<Page<TaskRecord>, StoreError> {
        filter.check_list()?;
        Ok(self.run(|tables, _| tables.list(filter, after, limit)))
    }

    async fn cancel(&self, ids: &[TaskId]) -> Result<Vec<CancelOutcome>, StoreError> {
        Ok(self.run(|tables, now| ids.iter().map(|id| tables.cancel(*id, now)).collect()))
    }

    async fn retry(&self, ids: &[TaskId]) -> Result<Vec<RetryOutcome>, StoreError> {
        Ok(self.run(|tables, _| ids.iter().map(|id| tables.retry(*id, false)).collect()))
    }

    async fn ids_between(&self, first: TaskId, last: TaskId, limit: usize) -> Result<Vec<TaskId>, StoreError> {
        Ok(self.run(|tables, _| tables.ids_between(first, last, limit)))
    }

    async fn delete(&self, ids: &[TaskId]) -> Result<Vec<DeleteOutcome>, StoreError> {
        Ok(self.run(|tables, _| ids.iter().map(|id| tables.delete(*id)).collect()))
    }

    async fn release(&self, ids: &[TaskId]) -> Result<Vec<ReleaseOutcome>, StoreError> {
        Ok(self.run(|tables, now| ids.iter().map(|id| tables.release(*id, now)).collect()))
    }

    async fn forget_worker(&self, worker: WorkerId) -> Result<Option<u64>, StoreError> {
        Ok(self.run(|tables, now| tables.forget_worker(worker, now)))
    }

    async fn drain_worker(&self, worker: WorkerId) -> Result<bool, StoreError> {
        Ok(self.run(|tables, _| tables.drain_worker(worker)))
    }

    async fn unblock(&self, ids: &[TaskId]) -> Result<Vec<Option<State>>, StoreError> {
        Ok(self.run(|tables, now| ids.iter().map(|id| tables.unblock(*id, now)).collect()))
    }

    async fn admit(&self, ids: &[TaskId]) -> Result<Vec<Option<State>>, StoreError> {
        Ok(self.run(|tables, _| ids.iter().map(|id| tables.admit(*id)).collect()))
    }

    async fn move_to(&self, ids: &[TaskId], queue: &str) -> Result<Vec<MoveOutcome>, StoreError> {
        Ok(self.run(|tables, _| ids.iter().map(|id| tables.move_to(*id, queue)).collect()))
    }

    async fn pause(&self, queue: &str, paused: bool) -> Result<(), StoreError> {
        self.run(|tables, _| tables.pause(queue, paused));
        Ok(())
    }

    async fn pause_kind(&self, kind: &str, paused: bool) -> Result<(), StoreError> {
        self.run(|tables, _| tables.pause_kind(kind, paused));
        Ok(())
    }

    async fn queues(&self) -> Result<Vec<QueueInfo>, StoreError> {
        Ok(self.run(|tables, now| tables.queue_infos(now)))
    }

    async fn workers(&self) -> Result<Vec<WorkerInfo>, StoreError> {
        Ok(self.run(|tables, now| tables.worker_infos(now)))
    }

    async fn locks(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<LockInfo>, StoreError> {
        Ok(self.run(|tables, _| tables.locks(prefix, after, limit)))
    }

    async fn locks_of(&self, id: TaskId) -> Result<Vec<LockInfo>, StoreError> {
        Ok(self.run(|tables, _| tables.locks_of(id)))
    }

    async fn kinds(&self) -> Result<Vec<KindInfo>, StoreError> {
        Ok(self.run(|tables, now| tables.kind_infos(now)))
    }

    async fn check(&self) -> Result<Vec<Finding>, StoreError> {
        let memory = Finding::new(
            Severity::Ok,
            "memory",
            "the store is in memory; there is nothing on disk that could be damaged",
            "use a store on disk for anything that must survive the process",
        );
        Ok(vec![memory, stands_still(&self.run(|tables, _| tables.stand_still()))])
    }
}
