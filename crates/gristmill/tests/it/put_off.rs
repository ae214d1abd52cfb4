//! A source that puts the end of one task off, as while somebody's transaction holds it, or whose answer to a settlement gets lost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gristmill::core::{
    Claim, Claimed, Env, LeaseRef, NewTask, Note, Overrides, Pulse, Settled, Settlement, Source, State, Store, StoreError,
    StoreErrorKind, Swept, TaskId, TaskRecord, Wake, WorkerId, WorkerSpec, async_trait,
};
use gristmill::options::Limits;
use gristmill::testing::MemoryStore;
use gristmill::{App, Context, Error, Result, Task, task};

use crate::support::{Heard, Probe, within};

struct PutOff {
    inner: Arc<dyn Store>,
    probe: Probe,
    held: Mutex<Option<TaskId>>,
    loses: AtomicBool,
    /// What has the held one in it fails as a whole.
    refuses: AtomicBool,
}

#[async_trait]
impl Source for PutOff {
    async fn enter(&self, worker: &WorkerSpec) -> Result<(), StoreError> {
        self.inner.enter(worker).await
    }

    async fn leave(&self, worker: WorkerId) -> Result<u64, StoreError> {
        self.inner.leave(worker).await
    }

    async fn heartbeat(&self, worker: WorkerId, lease: Duration) -> Result<Pulse, StoreError> {
        self.inner.heartbeat(worker, lease).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Claimed>, StoreError> {
        self.inner.claim(claim).await
    }

    async fn start(&self, leases: &[LeaseRef]) -> Result<Vec<bool>, StoreError> {
        self.inner.start(leases).await
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<Settled>, StoreError> {
        let held = *self.held.lock().unwrap();
        if self.refuses.load(Ordering::SeqCst) && settlements.iter().any(|settlement| Some(settlement.lease.id) == held) {
            self.probe.saw("refused");
            return Err(StoreError::new(StoreErrorKind::Other, "bigint out of range"));
        }
        let free = settlements.iter().filter(|settlement| Some(settlement.lease.id) != held).cloned().collect();
        let mut answers = self.inner.settle(free).await?.into_iter();
        if self.loses.swap(false, Ordering::SeqCst) {
            return Err(StoreError::new(StoreErrorKind::Unreachable, "the connection broke"));
        }
        let answer = |settlement: &Settlement| match held {
            Some(held) if held == settlement.lease.id => {
                self.probe.saw("put off");
                Settled::Later
            }
            _ => answers.next().unwrap(),
        };
        Ok(settlements.iter().map(answer).collect())
    }

    async fn note(&self, notes: Vec<Note>) -> Result<Vec<bool>, StoreError> {
        self.inner.note(notes).await
    }

    async fn sweep(&self, limit: usize) -> Result<Swept, StoreError> {
        self.inner.sweep(limit).await
    }

    async fn record(&self, id: TaskId) -> Result<Option<TaskRecord>, StoreError> {
        self.inner.record(id).await
    }

    async fn wait(&self, wake: Wake, timeout: Duration) {
        self.inner.wait(wake, timeout).await;
    }
}

#[task(name = "work", max_attempts = 2, backoff = fixed("1h"))]
async fn work(cx: &Context<Probe>, how: String) -> Result<()> {
    cx.state.pass().await;
    match how.as_str() {
        "fails" => Err(Error::fail("no")),
        "again" => Err(Error::retry("not yet")),
        _ => Ok(()),
    }
}

fn source(probe: &Probe) -> Arc<PutOff> {
    let inner = MemoryStore::new(Env::system());
    Arc::new(PutOff {
        inner,
        probe: probe.clone(),
        held: Mutex::default(),
        loses: AtomicBool::new(false),
        refuses: AtomicBool::new(false),
    })
}

async fn enqueue(source: &PutOff, how: &str) -> TaskId {
    let args = format!("{{\"how\":\"{how}\"}}");
    let task = NewTask::of(&Work::kind(), args, Overrides::default(), Env::system().task_id(), &Limits::default()).unwrap();
    let id = task.id;
    source.inner.enqueue(vec![task]).await.unwrap();
    id
}

async fn until_state(source: &PutOff, id: TaskId, state: State) {
    within(async {
        while source.inner.get(id).await.unwrap().unwrap().state != state {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_outcome_that_is_put_off_holds_up_no_other_and_comes_in_the_end() {
    let probe = Probe::default();
    let source = source(&probe);
    let held = enqueue(&source, "fails").await;
    *source.held.lock().unwrap() = Some(held);
    let app = App::new(probe.clone()).register::<Work>();
    let worker = app.worker_on(source.clone()).unwrap().queue("default", 1).start().await.unwrap();
    probe.until_seen("put off").await;
    for _ in 0..5 {
        let other = enqueue(&source, "well").await;
        until_state(&source, other, State::Succeeded).await;
    }
    assert_eq!(source.inner.get(held).await.unwrap().unwrap().state, State::Running);
    // Whether it stops meanwhile or not.
    let goes_on = async {
        probe.until(|seen| seen.len() > 2).await;
        *source.held.lock().unwrap() = None;
    };
    let (report, ()) = within(async { tokio::join!(worker.stop(), goes_on) }).await;
    assert_eq!((report.succeeded, report.failed, report.unsettled), (5, 1, 0), "{report}");
    assert_eq!(source.inner.get(held).await.unwrap().unwrap().state, State::Failed);
}

#[tokio::test]
async fn an_outcome_that_cannot_be_written_holds_up_no_other() {
    let probe = Probe::default();
    let source = source(&probe);
    source.refuses.store(true, Ordering::SeqCst);
    let held = enqueue(&source, "well").await;
    *source.held.lock().unwrap() = Some(held);
    let app = App::new(probe.clone()).register::<Work>();
    let worker = app.worker_on(source.clone()).unwrap().queue("default", 2).start().await.unwrap();
    probe.until_seen("refused").await;
    for _ in 0..5 {
        let others = [enqueue(&source, "well").await, enqueue(&source, "well").await];
        for other in others {
            until_state(&source, other, State::Succeeded).await;
        }
    }
    source.refuses.store(false, Ordering::SeqCst);
    *source.held.lock().unwrap() = None;
    until_state(&source, held, State::Succeeded).await;
    let report = within(worker.stop()).await;
    assert_eq!((report.succeeded, report.unsettled), (11, 0), "{report}");
}

#[tokio::test]
async fn a_lost_answer_to_a_settlement_is_no_lost_lease() {
    for (how, state) in [("well", State::Succeeded), ("fails", State::Failed), ("again", State::Scheduled)] {
        let (heard, _listening) = Heard::listen();
        let probe = Probe::default();
        let source = source(&probe);
        source.loses.store(true, Ordering::SeqCst);
        let id = enqueue(&source, how).await;
        let told = probe.clone();
        let app = App::new(probe.clone()).register::<Work>().on_failed_attempt(move |_| told.saw("told"));
        let worker = app.worker_on(source.clone()).unwrap().queue("default", 1).start().await.unwrap();
        until_state(&source, id, state).await;
        let report = within(worker.stop()).await;
        assert_eq!(report.leases_lost, 0, "{how}: {report}");
        assert_eq!(report.succeeded + report.failed + report.rescheduled, 1, "{how}: {report}");
        assert_eq!(probe.seen().len(), usize::from(how != "well"), "{how}: hooks are told");
        assert!(heard.lines(&["the lease was lost"]).is_empty());
    }
}
