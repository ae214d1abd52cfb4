use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use gristmill_core::{
    Claim, Claimed, Ending, EnqueueOutcome, Env, Filter, LeaseRef, Limits, NewTask, Overrides, Policy, Settled, Settlement,
    State, Store, Swept, TaskId, TaskRecord, Timestamp, VirtualTime, Wanted, WorkerId, WorkerSpec,
};

use crate::Subject;
use crate::source::settle_all;

/// The lease of the workers that checks use.
pub(super) const LEASE: Duration = Duration::from_secs(30);
/// The queue that checks use unless they are about queues.
pub(crate) const QUEUE: &str = "default";
/// The task type that checks use unless they are about task types.
pub(crate) const KIND: &str = "work";
/// More than any check has: a limit that limits nothing.
pub(super) const ALL: usize = 1_000;

/// A fresh store in virtual time, and the words in which checks speak to it. An error of the store fails the check.
pub struct Bench<'a> {
    /// The store that is examined.
    pub store: Arc<dyn Store>,
    /// Where its time and the check's ids come from.
    pub env: Env,
    /// Moves the clock.
    pub time: VirtualTime,
    subject: &'a dyn Subject,
}

impl<'a> Bench<'a> {
    /// A fresh store of the subject.
    pub async fn new(subject: &'a dyn Subject) -> Self {
        let (env, time) = Env::virtual_time(Timestamp::from_millis(1_800_000_000_000), 1);
        Self { store: subject.fresh(env.clone()).await, env, time, subject }
    }

    /// The same store after its process died.
    #[must_use]
    pub async fn reopen(self) -> Self {
        let store = self.subject.reopen(self.store, self.env.clone()).await;
        Self { store, ..self }
    }

    /// The same store as another process has it.
    pub async fn other(&self) -> Arc<dyn Store> {
        self.subject.another(&self.store, self.env.clone()).await
    }

    /// A plain task, not yet enqueued.
    pub fn task(&self) -> NewTask {
        let id = self.env.task_id();
        NewTask::resolve(KIND, &Policy::default(), "{}".to_owned(), Overrides::default(), id, &Limits::default())
            .expect("a plain task is within every limit")
    }

    /// Enqueues a task, which must be new.
    pub async fn enqueue(&self, task: NewTask) -> TaskId {
        let id = task.id;
        assert_eq!(self.enqueue_all(vec![task]).await, [EnqueueOutcome::Created]);
        id
    }

    /// Enqueues tasks.
    pub async fn enqueue_all(&self, tasks: Vec<NewTask>) -> Vec<EnqueueOutcome> {
        self.store.enqueue(tasks).await.expect("enqueue")
    }

    /// Enqueues a plain task.
    pub async fn add(&self) -> TaskId {
        self.enqueue(self.task()).await
    }

    /// A new worker that serves the plain queue and task type.
    pub async fn worker(&self) -> WorkerId {
        self.worker_for(&[QUEUE], &[KIND]).await
    }

    /// A new worker for these queues and task types. A sweep follows, as it does in a worker that starts.
    pub async fn worker_for(&self, queues: &[&str], kinds: &[&str]) -> WorkerId {
        let spec = self.worker_spec(queues, kinds);
        self.store.enter(&spec).await.expect("enter");
        self.sweep().await;
        spec.id
    }

    /// What such a worker says of itself.
    pub fn worker_spec(&self, queues: &[&str], kinds: &[&str]) -> WorkerSpec {
        let id = self.env.worker_id();
        WorkerSpec {
            id,
            name: format!("host-{id}"),
            lease: LEASE,
            kinds: kinds.iter().map(|kind| (*kind).into()).collect(),
            queues: queues.iter().map(|queue| ((*queue).to_owned(), 10)).collect::<BTreeMap<_, _>>(),
            version: "1.0.0".to_owned(),
        }
    }

    /// A claim of at most `limit` tasks of the plain queue.
    pub fn wanted(&self, worker: WorkerId, limit: usize) -> Claim {
        Claim { worker, fence: self.env.fence(), wanted: vec![Wanted::new(QUEUE, limit)], again: false }
    }

    /// Claims at most `limit` tasks of the plain queue.
    pub async fn claim(&self, worker: WorkerId, limit: usize) -> Vec<Claimed> {
        self.store.claim(&self.wanted(worker, limit)).await.expect("claim")
    }

    /// Claims from the plain queue and gives the ids.
    pub async fn claim_ids(&self, worker: WorkerId, limit: usize) -> Vec<TaskId> {
        self.claim(worker, limit).await.iter().map(|claimed| claimed.lease.id).collect()
    }

    /// Claims the one task that is ready.
    pub async fn claim_one(&self, worker: WorkerId) -> Claimed {
        let mut claimed = self.claim(worker, 1).await;
        claimed.pop().expect("a task that is ready is claimed")
    }

    /// Settles one attempt with nothing but its ending.
    pub async fn settle(&self, lease: LeaseRef, ending: Ending) -> Settled {
        self.settle_with(Settlement::new(lease, ending)).await
    }

    /// Settles one attempt.
    pub async fn settle_with(&self, settlement: Settlement) -> Settled {
        let settled = settle_all(&*self.store, vec![settlement]).await;
        assert_eq!(settled.len(), 1, "one answer a settlement");
        settled[0]
    }

    /// Enqueues a task, runs it, and ends it so.
    pub async fn ended(&self, worker: WorkerId, task: NewTask, ending: Ending) -> TaskId {
        let id = self.enqueue(task).await;
        let claimed = self.claim_one(worker).await;
        assert_eq!(claimed.lease.id, id, "nothing else is ready");
        assert!(matches!(self.settle(claimed.lease, ending).await, Settled::Done(state) if state.is_final()));
        id
    }

    /// A task that is there.
    pub async fn get(&self, id: TaskId) -> TaskRecord {
        self.find(id).await.expect("the task is kept")
    }

    /// A task that may be there.
    pub async fn find(&self, id: TaskId) -> Option<TaskRecord> {
        self.store.get(id).await.expect("get")
    }

    /// Where a task stands.
    pub async fn state(&self, id: TaskId) -> State {
        self.get(id).await.state
    }

    /// The ids that a filter lists, newest first.
    pub async fn list(&self, filter: &Filter) -> Vec<TaskId> {
        let page = self.store.list(filter, None, ALL).await.expect("list");
        page.items.iter().map(|task| task.id).collect()
    }

    /// A sweep of everything.
    pub async fn sweep(&self) -> Swept {
        self.store.sweep(ALL).await.expect("sweep")
    }

    /// Lets time pass.
    pub fn pass(&self, by: Duration) {
        self.time.advance(by);
    }

    /// Lets time pass in which a worker gives no sign of life, and another one finds out.
    pub async fn die(&self) -> Swept {
        self.pass(LEASE);
        self.sweep().await
    }

    /// Keeps a worker alive.
    pub async fn beat(&self, worker: WorkerId) {
        assert!(self.store.heartbeat(worker, LEASE).await.expect("heartbeat").alive, "a worker that beats in time lives");
    }
}

impl fmt::Debug for Bench<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bench").field("store", &self.store.location()).field("env", &self.env).finish_non_exhaustive()
    }
}

/// Seconds, as checks need them often.
pub(super) const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}
