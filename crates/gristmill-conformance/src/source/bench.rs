use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use gristmill_core::{
    Claim, Claimed, Ending, Env, LeaseRef, Limits, NewTask, Overrides, Policy, Settled, Settlement, Source, State, TaskId,
    Timestamp, VirtualTime, Wanted, WorkerId, WorkerSpec,
};

use super::{Outlet, SourceSubject};

/// The lease of the workers that checks use.
pub(super) const LEASE: Duration = Duration::from_secs(30);
/// The queue that checks use unless they are about queues.
pub(super) const QUEUE: &str = "default";
/// The task type that checks use unless they are about task types.
pub(super) const KIND: &str = "work";
/// More than any check has.
pub(super) const ALL: usize = 1_000;

/// A fresh source in virtual time, and the words in which checks speak to it. An error of the source fails the check.
pub struct SourceBench {
    /// The source that is examined.
    pub source: Arc<dyn Source>,
    /// Where its time and the check's ids come from.
    pub env: Env,
    time: VirtualTime,
    outlet: Outlet,
}

impl SourceBench {
    /// A fresh source of the subject.
    pub async fn new(subject: &dyn SourceSubject) -> Self {
        let (env, time) = Env::virtual_time(Timestamp::from_millis(1_800_000_000_000), 1);
        let outlet = subject.open(env.clone()).await;
        Self { source: outlet.source.clone(), env, time, outlet }
    }

    /// A plain task, not yet published.
    pub fn task(&self) -> NewTask {
        let id = self.env.task_id();
        NewTask::resolve(KIND, &Policy::default(), "{}".to_owned(), Overrides::default(), id, &Limits::default())
            .expect("a plain task is within every limit")
    }

    /// Publishes a task.
    pub async fn publish(&self, task: NewTask) -> TaskId {
        let id = task.id;
        (self.outlet.publish)(vec![task]).await.expect("publish");
        id
    }

    /// Publishes a plain task.
    pub async fn add(&self) -> TaskId {
        self.publish(self.task()).await
    }

    /// A new worker that serves the plain queue and task type.
    pub async fn worker(&self) -> WorkerId {
        self.worker_for(QUEUE, KIND).await
    }

    /// A new worker for this queue and task type.
    pub async fn worker_for(&self, queue: &str, kind: &str) -> WorkerId {
        let id = self.env.worker_id();
        let spec = WorkerSpec {
            id,
            name: format!("host-{id}"),
            lease: LEASE,
            kinds: vec![kind.into()],
            queues: [(queue.to_owned(), 10)].into(),
            version: "1.0.0".to_owned(),
        };
        self.source.enter(&spec).await.expect("enter");
        id
    }

    /// A claim of at most `limit` tasks of the plain queue.
    pub fn wanted(&self, worker: WorkerId, limit: usize) -> Claim {
        Claim { worker, fence: self.env.fence(), wanted: vec![Wanted::new(QUEUE, limit)], again: false }
    }

    /// Makes a claim, after the housekeeping that a worker does, and starts what asks for it.
    pub async fn claim_as(&self, claim: &Claim) -> Vec<Claimed> {
        self.source.sweep(ALL).await.expect("sweep");
        let claimed = self.source.claim(claim).await.expect("claim");
        for claimed in claimed.iter().filter(|claimed| claimed.report_start) {
            assert_eq!(self.source.start(&[claimed.lease]).await.expect("start"), [true]);
        }
        claimed
    }

    /// Claims at most `limit` tasks of the plain queue.
    pub async fn claim(&self, worker: WorkerId, limit: usize) -> Vec<Claimed> {
        self.claim_as(&self.wanted(worker, limit)).await
    }

    /// Claims from the plain queue and gives the ids.
    pub async fn claim_ids(&self, worker: WorkerId, limit: usize) -> Vec<TaskId> {
        self.claim(worker, limit).await.iter().map(|claimed| claimed.lease.id).collect()
    }

    /// Claims the one task that can be run.
    pub async fn claim_one(&self, worker: WorkerId) -> Claimed {
        let mut claimed = self.claim(worker, ALL).await;
        assert_eq!(claimed.len(), 1, "one task is delivered");
        claimed.remove(0)
    }

    /// Settles one attempt with nothing but its ending.
    pub async fn settle(&self, lease: LeaseRef, ending: Ending) -> Settled {
        let settled = settle_all(&*self.source, vec![Settlement::new(lease, ending)]).await;
        assert_eq!(settled.len(), 1, "one answer a settlement");
        settled[0]
    }

    /// Settles one attempt, which ends its task in this state.
    pub async fn ends(&self, lease: LeaseRef, ending: Ending, state: State) {
        assert_eq!(self.settle(lease, ending).await, Settled::Done(state));
    }

    /// Lets time pass.
    pub fn pass(&self, by: Duration) {
        self.time.advance(by);
    }
}

impl fmt::Debug for SourceBench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceBench").field("env", &self.env).finish_non_exhaustive()
    }
}

/// Settles these, however often some of them have to be handed over again because of what others do at the moment.
pub(crate) async fn settle_all(source: &dyn Source, settlements: Vec<Settlement>) -> Vec<Settled> {
    let mut answers = source.settle(settlements.clone()).await.expect("settle");
    loop {
        let put_off: Vec<usize> = (0..answers.len()).filter(|n| answers[*n] == Settled::Later).collect();
        if put_off.is_empty() {
            return answers;
        }
        tokio::task::yield_now().await;
        let again = put_off.iter().map(|n| settlements[*n].clone()).collect();
        for (n, answer) in put_off.iter().zip(source.settle(again).await.expect("settle")) {
            answers[*n] = answer;
        }
    }
}
