//! A worker's day: every operation of a store once or more, each repeated until it is answered, as the engine does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gristmill_core::{
    CancelOutcome, Claim, Claimed, Ending, EnqueueOutcome, Env, LeaseRef, NewTask, Note, Overrides, Progress, Retention,
    RetryOutcome, Settled, Settlement, Severity, Store, StoreError, TaskId, Wanted, WorkerId, WorkerSpec,
};

use crate::common::task;

/// An undisturbed day, and a look at the store past all that disturbs.
pub(crate) struct Yardstick {
    direct: Arc<dyn Store>,
    records: Vec<String>,
}

impl Yardstick {
    pub(crate) async fn new(direct: Arc<dyn Store>, env: &Env) -> Self {
        let ids = Day::new(direct.clone(), env).live().await;
        let records = records(&*direct, &ids).await;
        Self { direct, records }
    }

    /// The tasks of a disturbed day ended as those of an undisturbed one, and nobody holds anything.
    pub(crate) async fn measure(&self, ids: &[TaskId], what: &str) {
        assert_eq!(records(&*self.direct, ids).await, self.records, "{what}");
        let held: u64 = self.direct.workers().await.unwrap().iter().map(|worker| worker.running).sum();
        assert_eq!(held, 0, "a lease is left with a worker that does not know of it: {what}");
        let findings = self.direct.check().await.unwrap();
        assert!(findings.iter().all(|finding| finding.severity != Severity::Error), "{what}: {findings:?}");
    }
}

/// What became of each task, without what differs from day to day.
async fn records(store: &dyn Store, ids: &[TaskId]) -> Vec<String> {
    let mut records = Vec::new();
    for id in ids {
        records.push(match store.get(*id).await.unwrap() {
            None => "nothing is kept of it".to_owned(),
            Some(task) => {
                let rows = task.attempts.iter().map(|row| {
                    let why = row.error.as_ref().map(|error| error.reason);
                    format!("{} (claim {}) {:?} {why:?} {:?}", row.attempt, row.claim_no, row.state, row.logs)
                });
                let rows = rows.collect::<Vec<_>>().join(", ");
                format!("{} {:?} {:?} crashes={} [{rows}]", task.args, task.state, task.result, task.crashes)
            }
        });
    }
    records
}

/// A worker's day, each of its tasks with a fate of its own.
pub(crate) struct Day {
    store: Arc<dyn Store>,
    env: Env,
    worker: WorkerId,
    /// Of each task that was claimed and not settled.
    held: Vec<Claimed>,
    errors: AtomicUsize,
}

const FATES: [&str; 9] = ["kept", "plain", "forgotten", "noted", "retried", "failed", "parent", "cancelled", "elsewhere"];

impl Day {
    pub(crate) fn new(store: Arc<dyn Store>, env: &Env) -> Self {
        Self { store, env: env.clone(), worker: env.worker_id(), held: Vec::new(), errors: AtomicUsize::default() }
    }

    /// Its tasks.
    pub(crate) async fn live(self) -> Vec<TaskId> {
        self.live_and_count().await.0
    }

    /// Its tasks, and how many calls ended in an error.
    pub(crate) async fn live_and_count(mut self) -> (Vec<TaskId>, usize) {
        let tasks: Vec<NewTask> = FATES.iter().map(|fate| self.task(fate)).collect();
        let child = self.task("child");
        let waiting = NewTask { queue: "unserved".to_owned(), ..self.task("cancelled while it waited") };
        let all: Vec<TaskId> = tasks.iter().chain([&child, &waiting]).map(|task| task.id).collect();
        let fate = |id: TaskId| FATES[all.iter().position(|known| *known == id).unwrap()];
        let new = [tasks, vec![waiting.clone()]].concat();
        for outcome in self.repeat(async || self.store.enqueue(new.clone()).await).await {
            assert!(matches!(outcome, EnqueueOutcome::Created | EnqueueOutcome::Exists(_)));
        }
        self.enter().await;
        self.claim(all[..FATES.len()].iter().copied().collect()).await;
        let leases: Vec<LeaseRef> = self.held.iter().map(|claimed| claimed.lease).collect();
        assert!(self.repeat(async || self.store.start(&leases).await).await.iter().all(|held| *held));
        let lease = |name: &str| *leases.iter().find(|lease| fate(lease.id) == name).unwrap();
        let progress = Some(Progress { done: 1, ..Progress::default() });
        let note = Note { lease: lease("noted"), logs: Some("half of it".to_owned()), progress };
        assert_eq!(self.repeat(async || self.store.note(vec![note.clone()]).await).await, [true]);

        let ids = [lease("cancelled").id, waiting.id];
        let [running, waited] = *self.repeat(async || self.store.cancel(&ids).await).await else { panic!("two answers") };
        assert_eq!(running, CancelOutcome::CancelRequested);
        assert!(matches!(waited, CancelOutcome::Cancelled | CancelOutcome::AlreadyEnded));
        let pulse = self.repeat(async || self.store.heartbeat(self.worker, Duration::from_secs(30)).await).await;
        assert!(pulse.alive && pulse.cancel == [lease("cancelled")], "{pulse:?}");

        let delay = Duration::ZERO;
        let batch = leases.iter().map(|lease| match fate(lease.id) {
            "retried" => Settlement::new(*lease, Ending::Retry { delay }),
            "failed" => Settlement::new(*lease, Ending::Failed),
            "cancelled" => Settlement::new(*lease, Ending::Cancelled),
            "parent" => Settlement { children: [child.clone()].into(), ..succeeded(*lease) },
            _ => succeeded(*lease),
        });
        // A batch that looks plain and holds one that is not, then one that is mixed.
        let (plain, mixed) = batch.partition(|settlement| ["kept", "plain", "noted"].contains(&fate(settlement.lease.id)));
        self.settle(plain).await;
        self.settle(mixed).await;
        self.claim([lease("retried").id, child.id].into()).await;
        self.succeed().await;
        let failed = lease("failed").id;
        let [again] = *self.repeat(async || self.store.retry(&[failed]).await).await else { panic!("one answer") };
        assert!(matches!(again, RetryOutcome::Ready | RetryOutcome::NotEnded));
        self.claim([failed].into()).await;
        assert!(self.repeat(async || self.store.leave(self.worker).await).await <= 1);

        (self.worker, self.held) = (self.env.worker_id(), Vec::new());
        self.enter().await;
        self.claim([failed].into()).await;
        self.succeed().await;
        self.repeat(async || self.store.leave(self.worker).await).await;
        (all, self.errors.into_inner())
    }

    fn task(&self, fate: &str) -> NewTask {
        let task = task(&self.env, "work", Overrides::default());
        NewTask {
            args: format!("{{\"fate\":\"{fate}\"}}"),
            queue: if fate == "elsewhere" { "other" } else { "default" }.to_owned(),
            retention: if fate == "forgotten" { Retention::None } else { task.retention },
            ..task
        }
    }

    async fn enter(&self) {
        let spec = WorkerSpec {
            id: self.worker,
            name: "w".to_owned(),
            lease: Duration::from_secs(30),
            kinds: vec!["work".into()],
            queues: [("default".to_owned(), 1), ("other".to_owned(), 1)].into(),
            version: String::new(),
        };
        self.repeat(async || self.store.enter(&spec).await).await;
    }

    /// Claims until these are held, each once.
    async fn claim(&mut self, mut expected: BTreeSet<TaskId>) {
        for _ in 0..5 {
            let wanted = ["default", "other"].map(|queue| Wanted::new(queue, 20)).to_vec();
            let mut claim = Claim { worker: self.worker, fence: self.env.fence(), wanted, again: false };
            let claimed = self.repeat(async || {
                let answer = self.store.claim(&claim).await;
                claim.again = true;
                answer
            });
            for claimed in claimed.await {
                assert!(expected.remove(&claimed.lease.id), "{} was claimed twice, or out of place", claimed.lease.id);
                self.held.push(claimed);
            }
            if expected.is_empty() {
                return;
            }
        }
        panic!("{expected:?} can't be claimed");
    }

    async fn succeed(&mut self) {
        let batch = self.held.iter().map(|claimed| succeeded(claimed.lease)).collect();
        self.settle(batch).await;
    }

    /// An answer to a repetition may be that the lease is gone, which the records then have to explain.
    async fn settle(&mut self, mut batch: Vec<Settlement>) {
        while !batch.is_empty() {
            let mut tries = 0;
            let answers = self.repeat(async || {
                tries += 1;
                self.store.settle(batch.clone()).await
            });
            let answers = answers.await;
            let lost = answers.iter().filter(|answer| **answer == Settled::LeaseLost).count();
            assert!(lost == 0 || (tries > 1 && lost == batch.len()), "a settlement is whole or not at all: {answers:?}");
            // What was put off comes again.
            let answered = batch.into_iter().zip(answers);
            batch = answered.filter(|(_, answer)| *answer == Settled::Later).map(|(settlement, _)| settlement).collect();
        }
        self.held.clear();
    }

    /// Calls again after an error, as the engine does.
    async fn repeat<T>(&self, mut call: impl AsyncFnMut() -> Result<T, StoreError>) -> T {
        let mut errors = 0;
        loop {
            match call().await {
                Ok(answer) => return answer,
                Err(error) => {
                    errors += 1;
                    self.errors.fetch_add(1, Ordering::Relaxed);
                    assert!(error.is_transient() && errors < 5, "{error}");
                }
            }
        }
    }
}

fn succeeded(lease: LeaseRef) -> Settlement {
    Settlement { result: Some("42".to_owned()), ..Settlement::new(lease, Ending::Succeeded) }
}
