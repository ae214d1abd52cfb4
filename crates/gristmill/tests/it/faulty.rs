//! A source of tasks that panics in one of its operations, as one with a mistake in it would, or fails in another way.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gristmill::core::workflow::Member;
use gristmill::core::{
    Claim, Claimed, Env, LeaseRef, Note, Pulse, Settled, Settlement, Source, StoreError, StoreErrorKind, Swept, TaskId,
    TaskRecord, Wake, WorkerId, WorkerSpec, WorkflowId, async_trait,
};
use gristmill::testing::MemoryBroker;

use crate::support::Probe;

/// What an operation does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It panics, the first time.
    Panics,
    /// It never answers.
    Hangs,
    /// It does what it should, and the first answer is an error.
    LosesItsReply,
    /// It refuses whatever is asked.
    Refuses,
}

pub(crate) struct Faulty {
    inner: Arc<MemoryBroker>,
    probe: Probe,
    operation: &'static str,
    fault: Fault,
    failed: AtomicBool,
    entered: Mutex<Option<WorkerSpec>>,
}

impl Faulty {
    /// Panics the first time that `operation` is asked for, and lets the probe see it.
    pub(crate) fn new(inner: Arc<MemoryBroker>, probe: &Probe, operation: &'static str) -> Arc<Self> {
        Self::with(inner, probe, operation, Fault::Panics)
    }

    /// Fails so when `operation` is asked for.
    pub(crate) fn with(inner: Arc<MemoryBroker>, probe: &Probe, operation: &'static str, fault: Fault) -> Arc<Self> {
        let (failed, entered) = (AtomicBool::new(false), Mutex::default());
        Arc::new(Self { inner, probe: probe.clone(), operation, fault, failed, entered })
    }

    /// What the last worker that entered said of itself.
    pub(crate) fn entered(&self) -> Option<WorkerSpec> {
        self.entered.lock().unwrap().clone()
    }

    async fn pass(&self, operation: &str) {
        if self.operation != operation {
            return;
        }
        match self.fault {
            Fault::Panics if !self.failed.swap(true, Ordering::SeqCst) => {
                self.probe.saw(format!("panic in {operation}"));
                panic!("out of order");
            }
            Fault::Hangs => {
                self.probe.saw(format!("{operation} hangs"));
                std::future::pending().await
            }
            _ => {}
        }
    }

    /// What is answered to an operation that was done.
    fn answer(&self, operation: &str) -> Result<(), StoreError> {
        let fails = match self.fault {
            _ if self.operation != operation => false,
            Fault::LosesItsReply => !self.failed.swap(true, Ordering::SeqCst),
            fault => fault == Fault::Refuses,
        };
        if fails { Err(StoreError::new(StoreErrorKind::Invalid, "out of order")) } else { Ok(()) }
    }
}

#[async_trait]
impl Source for Faulty {
    async fn enter(&self, worker: &WorkerSpec) -> Result<(), StoreError> {
        self.pass("enter").await;
        *self.entered.lock().unwrap() = Some(worker.clone());
        self.inner.enter(worker).await
    }

    async fn leave(&self, worker: WorkerId) -> Result<u64, StoreError> {
        self.pass("leave").await;
        self.inner.leave(worker).await
    }

    async fn heartbeat(&self, worker: WorkerId, lease: Duration) -> Result<Pulse, StoreError> {
        self.pass("heartbeat").await;
        self.inner.heartbeat(worker, lease).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Claimed>, StoreError> {
        self.pass("claim").await;
        self.answer("claim")?;
        let mut claimed = self.inner.claim(claim).await?;
        claimed.iter_mut().for_each(|claimed| claimed.report_start = self.operation == "start");
        Ok(claimed)
    }

    async fn start(&self, leases: &[LeaseRef]) -> Result<Vec<bool>, StoreError> {
        self.pass("start").await;
        self.answer("start")?;
        Ok(vec![true; leases.len()])
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<Settled>, StoreError> {
        self.pass("settle").await;
        self.inner.settle(settlements).await
    }

    async fn note(&self, notes: Vec<Note>) -> Result<Vec<bool>, StoreError> {
        self.pass("note").await;
        self.inner.note(notes).await
    }

    async fn sweep(&self, _: usize) -> Result<Swept, StoreError> {
        self.pass("sweep").await;
        // Ends of which only the source knows, so that it is asked for their records.
        let ended = if self.operation == "record" { vec![Env::system().task_id()] } else { Vec::new() };
        Ok(Swept { ended, ..Swept::default() })
    }

    async fn record(&self, _: TaskId) -> Result<Option<TaskRecord>, StoreError> {
        self.pass("record").await;
        Ok(None)
    }

    async fn members(&self, id: WorkflowId, step: &str, after: Option<u32>, limit: usize) -> Result<Vec<Member>, StoreError> {
        self.pass("members").await;
        let unreachable = |_| StoreError::new(StoreErrorKind::Unreachable, "out of order");
        self.answer("members").map_err(unreachable)?;
        self.inner.members(id, step, after, limit).await
    }

    async fn wait(&self, wake: Wake, timeout: Duration) {
        self.inner.wait(wake, timeout).await;
    }
}
