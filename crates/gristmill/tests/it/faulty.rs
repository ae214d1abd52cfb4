//! A source of tasks that panics in one of its operations, as one with a mistake in it would.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gristmill::core::{
    Claim, Claimed, Env, LeaseRef, Note, Pulse, Settled, Settlement, Source, StoreError, Swept, TaskId, TaskRecord, Wake,
    WorkerId, WorkerSpec, async_trait,
};
use gristmill::testing::MemoryBroker;

use crate::support::Probe;

pub(crate) struct Faulty {
    inner: Arc<MemoryBroker>,
    probe: Probe,
    operation: &'static str,
    panicked: AtomicBool,
    entered: Mutex<Option<WorkerSpec>>,
}

impl Faulty {
    /// Panics the first time that `operation` is asked for, and lets the probe see it.
    pub(crate) fn new(inner: Arc<MemoryBroker>, probe: &Probe, operation: &'static str) -> Arc<Self> {
        let (panicked, entered) = (AtomicBool::new(false), Mutex::default());
        Arc::new(Self { inner, probe: probe.clone(), operation, panicked, entered })
    }

    /// What the last worker that entered said of itself.
    pub(crate) fn entered(&self) -> Option<WorkerSpec> {
        self.entered.lock().unwrap().clone()
    }

    fn pass(&self, operation: &str) {
        if self.operation == operation && !self.panicked.swap(true, Ordering::SeqCst) {
            self.probe.saw(format!("panic in {operation}"));
            panic!("out of order");
        }
    }
}

#[async_trait]
impl Source for Faulty {
    async fn enter(&self, worker: &WorkerSpec) -> Result<(), StoreError> {
        *self.entered.lock().unwrap() = Some(worker.clone());
        self.inner.enter(worker).await
    }

    async fn leave(&self, worker: WorkerId) -> Result<u64, StoreError> {
        self.pass("leave");
        self.inner.leave(worker).await
    }

    async fn heartbeat(&self, worker: WorkerId, lease: Duration) -> Result<Pulse, StoreError> {
        self.pass("heartbeat");
        self.inner.heartbeat(worker, lease).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Claimed>, StoreError> {
        self.pass("claim");
        let mut claimed = self.inner.claim(claim).await?;
        claimed.iter_mut().for_each(|claimed| claimed.report_start = self.operation == "start");
        Ok(claimed)
    }

    async fn start(&self, leases: &[LeaseRef]) -> Result<Vec<bool>, StoreError> {
        self.pass("start");
        Ok(vec![true; leases.len()])
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<Settled>, StoreError> {
        self.pass("settle");
        self.inner.settle(settlements).await
    }

    async fn note(&self, notes: Vec<Note>) -> Result<Vec<bool>, StoreError> {
        self.pass("note");
        self.inner.note(notes).await
    }

    async fn sweep(&self, _: usize) -> Result<Swept, StoreError> {
        self.pass("sweep");
        // Ends of which only the source knows, so that it is asked for their records.
        let ended = if self.operation == "record" { vec![Env::system().task_id()] } else { Vec::new() };
        Ok(Swept { ended, ..Swept::default() })
    }

    async fn record(&self, _: TaskId) -> Result<Option<TaskRecord>, StoreError> {
        self.pass("record");
        Ok(None)
    }

    async fn wait(&self, wake: Wake, timeout: Duration) {
        self.inner.wait(wake, timeout).await;
    }
}
