//! A source of tasks that brings no news, as one whose tasks come from other machines, and that records what is asked of it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gristmill::core::{Claim, Claimed, Pulse, Settled, Settlement, Source, StoreError, Wake, WorkerId, WorkerSpec, async_trait};
use gristmill::testing::MemoryBroker;

pub(crate) struct Recorded {
    inner: Arc<MemoryBroker>,
    claims: Mutex<Vec<Vec<(String, usize)>>>,
    late: AtomicBool,
    apart: AtomicUsize,
    drain: AtomicBool,
}

impl Recorded {
    pub(crate) fn new(inner: Arc<MemoryBroker>) -> Arc<Self> {
        let [late, drain] = [false; 2].map(AtomicBool::new);
        Arc::new(Self { inner, claims: Mutex::default(), late, apart: AtomicUsize::new(0), drain })
    }

    /// What the next claim brings is too late to start as soon as it is there.
    pub(crate) fn answer_late(&self) {
        self.late.store(true, Ordering::SeqCst);
    }

    /// Heartbeats from beside the runtime hear that the worker is to end, and no others.
    pub(crate) fn drain_apart(&self) {
        self.drain.store(true, Ordering::SeqCst);
    }

    /// How many heartbeats came from beside the runtime.
    pub(crate) fn beats_apart(&self) -> usize {
        self.apart.load(Ordering::SeqCst)
    }

    /// What each claim wanted.
    pub(crate) fn claims(&self) -> Vec<Vec<(String, usize)>> {
        self.claims.lock().unwrap().clone()
    }

    /// How many claims named this queue.
    pub(crate) fn claims_of(&self, queue: &str) -> usize {
        self.claims().iter().filter(|wanted| wanted.iter().any(|(name, _)| name == queue)).count()
    }
}

#[async_trait]
impl Source for Recorded {
    async fn enter(&self, worker: &WorkerSpec) -> Result<(), StoreError> {
        self.inner.enter(worker).await
    }

    async fn leave(&self, worker: WorkerId) -> Result<u64, StoreError> {
        self.inner.leave(worker).await
    }

    async fn heartbeat(&self, worker: WorkerId, lease: Duration) -> Result<Pulse, StoreError> {
        self.inner.heartbeat(worker, lease).await
    }

    async fn heartbeat_apart(&self, worker: WorkerId, lease: Duration) -> Result<Pulse, StoreError> {
        self.apart.fetch_add(1, Ordering::SeqCst);
        Ok(Pulse { drain: self.drain.load(Ordering::SeqCst), ..self.inner.heartbeat(worker, lease).await? })
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Claimed>, StoreError> {
        self.claims.lock().unwrap().push(claim.wanted.iter().map(|w| (w.queue.to_string(), w.limit)).collect());
        let mut claimed = self.inner.claim(claim).await?;
        if !claimed.is_empty() && self.late.swap(false, Ordering::SeqCst) {
            claimed.iter_mut().for_each(|claimed| claimed.expires_in = Some(Duration::ZERO));
        }
        Ok(claimed)
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<Settled>, StoreError> {
        self.inner.settle(settlements).await
    }

    async fn wait(&self, _: Wake, timeout: Duration) {
        tokio::time::sleep(timeout).await;
    }
}
