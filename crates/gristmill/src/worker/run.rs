use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::attempt::Why;
use crate::core::{Ending, StoreError};
use crate::runtime::Ground;
use crate::worker::builder::Config;
use crate::worker::companion::Companion;
use crate::worker::lane::Buffered;
use crate::worker::part::supervised;
use crate::worker::queues::{Changes, Filler, Queues};
use crate::worker::report::ExitReport;
use crate::worker::shared::{Ended, Settler, Shared};
use crate::worker::signals::StopSignals;
use crate::worker::{cancel, fetch, gather, give_back, heartbeat, memory, notes, queues, settle, stall, sweep, tell};

/// Ended attempts that wait to be written; when it is full, no more tasks are started.
const SETTLE_BUFFER: usize = 4_096;
/// After the last handler was told to end, its slot must be free within this time; else the handler blocks its thread.
const STUCK_AFTER: Duration = Duration::from_secs(3);
/// Writing the last outcomes may take so long when the worker stops.
const LAST_WRITES: Duration = Duration::from_secs(10);
/// What the source is still busy with after that, and housekeeping that is under way, may take so long.
const LAST_PART: Duration = Duration::from_secs(1);
/// Signing off may take so long.
const LAST_WORD: Duration = Duration::from_secs(5);
/// And the application's hooks so long, after that.
const LAST_HOOKS: Duration = Duration::from_secs(10);

/// A worker that runs.
///
/// Dropping it does not stop it; [`stop`](Self::stop) does.
#[derive(Debug)]
pub struct Running {
    stop: Stop,
    queues: Queues,
    done: JoinHandle<ExitReport>,
}

impl Running {
    /// A handle that stops the worker, for a signal handler.
    pub fn stopper(&self) -> Stop {
        self.stop.clone()
    }

    /// A handle that changes which queues the worker serves, and with how many tasks at once.
    pub fn queues(&self) -> Queues {
        self.queues.clone()
    }

    /// Runs until one of `signals` asks the process to stop, and then as [`stop`](Self::stop) does; the next one cancels and releases
    /// at once what still runs. `told` hears of each as it comes. Ends, too, when a [`Stop`], a drain or the [loss of its
    /// store](ExitReport::store_error) ends the worker.
    /// [`WorkerBuilder::run`](crate::worker::WorkerBuilder::run) is all of that in one.
    ///
    /// # Cancel safety
    /// The worker goes on.
    pub async fn until_asked(self, mut signals: StopSignals, mut told: impl FnMut(Asked)) -> ExitReport {
        let stop = self.stopper();
        let mut ended = pin!(self.ended());
        let mut next = Asked::ToStop;
        loop {
            tokio::select! {
                report = &mut ended => return report,
                () = signals.next() => {
                    told(next);
                    match std::mem::replace(&mut next, Asked::ToStopNow) {
                        Asked::ToStop => stop.graceful(),
                        Asked::ToStopNow => stop.now(),
                    }
                }
            }
        }
    }

    /// Stops gracefully and waits for the end: no more claims; running tasks get the grace period, then are cancelled and
    /// released without burning an attempt.
    pub async fn stop(self) -> ExitReport {
        self.stop.graceful();
        self.ended().await
    }

    /// Waits until the worker has ended by a [`Stop`], because it has drained its queues, or because an operator has asked it to
    /// ([`Workers::drain`](crate::client::Workers::drain)).
    ///
    /// # Cancel safety
    /// The worker goes on.
    pub async fn ended(self) -> ExitReport {
        self.done.await.unwrap_or_else(|error| {
            tracing::error!(error = %error, "the worker's own task failed");
            ExitReport { panicked: vec![format!("worker: {error}")], ..ExitReport::default() }
        })
    }
}

/// What a signal asks of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The first: no more claims, and running tasks get the grace period.
    ToStop,
    /// Another: running tasks are cancelled and released at once.
    ToStopNow,
}

/// Stops a worker. Cheap to clone.
#[derive(Clone)]
pub struct Stop {
    graceful: CancellationToken,
    now: CancellationToken,
}

impl Stop {
    /// Claims stop at once; running tasks get the grace period, then are cancelled and released.
    pub fn graceful(&self) {
        self.graceful.cancel();
    }

    /// Running tasks are cancelled and released at once.
    pub fn now(&self) {
        self.graceful.cancel();
        self.now.cancel();
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stop").field("graceful", &self.graceful.is_cancelled()).field("now", &self.now.is_cancelled()).finish()
    }
}

/// Makes the worker known to its store and starts its parts.
pub(crate) async fn start(
    ground: Arc<Ground>,
    config: Config,
    companion: Option<Box<dyn Companion>>,
) -> Result<Running, StoreError> {
    let shared = Arc::new(Shared::new(ground, config));
    shared.enter().await?;
    let (queues, changes) = Queues::new(&shared);
    let stop = Stop { graceful: shared.stopping.clone(), now: shared.abandon.clone() };
    let tracker = TaskTracker::new();
    let done = tracker.spawn(supervise(shared, changes, companion));
    tracker.close();
    Ok(Running { stop, queues, done })
}

async fn supervise(shared: Arc<Shared>, changes: Changes, companion: Option<Box<dyn Companion>>) -> ExitReport {
    let (settler, settlements) = shared.settler(SETTLE_BUFFER);
    let (last, end) = (CancellationToken::new(), CancellationToken::new());
    let (slots, parts, writers) = (TaskTracker::new(), TaskTracker::new(), TaskTracker::new());
    let filler = Filler { shared: shared.clone(), slots: slots.clone(), settler: settler.clone() };
    shared.lanes.all().iter().for_each(|lane| filler.fill(lane, lane.concurrency()));
    parts.spawn(supervised(shared.clone(), "queues", unless_over(end.clone(), queues::run(filler, changes))));
    slots.close();
    writers.spawn(supervised(shared.clone(), "settle", settle::run(shared.clone(), settlements, last.clone())));
    writers.close();
    parts.spawn(unless_over(end.clone(), keep_lease(shared.clone(), settler.clone(), end.clone())));
    let cancel = cancel::run(shared.clone(), settler.clone(), end.clone());
    parts.spawn(supervised(shared.clone(), "cancel", unless_over(end.clone(), cancel)));
    let give_back = give_back::run(shared.clone(), settler.clone());
    parts.spawn(supervised(shared.clone(), "give back", unless_over(end.clone(), give_back)));
    if shared.runtime().registry.largest_batch() > 0 {
        parts.spawn(supervised(shared.clone(), "gather", unless_over(end.clone(), gather::run(shared.clone()))));
    }
    parts.spawn(supervised(shared.clone(), "notes", unless_over(end.clone(), notes::run(shared.clone(), end.clone()))));
    if let Some(limit) = shared.config.memory_limit {
        let watch = memory::run(shared.clone(), limit, end.clone());
        parts.spawn(supervised(shared.clone(), "memory", unless_over(end.clone(), watch)));
    }
    if shared.config.maintain {
        parts.spawn(supervised(shared.clone(), "sweep", unless_over(end.clone(), sweep::run(shared.clone(), end.clone()))));
    }
    if let Some(companion) = companion {
        // It stops first, so that another takes the lead while tasks still have their grace.
        let beside = companion.run(shared.stopping.clone());
        parts.spawn(supervised(shared.clone(), companion.name(), unless_over(end.clone(), beside)));
    }
    parts.close();
    let (told, tellers) = (CancellationToken::new(), TaskTracker::new());
    if shared.teller.is_some() {
        tellers.spawn(supervised(shared.clone(), "tell", tell::run(shared.clone(), told.clone())));
    }
    tellers.close();
    stall::watch(&shared);

    // Ends when the worker is asked to stop, or has drained its queues.
    supervised(shared.clone(), "fetch", fetch::run(shared.clone())).await;
    let abandoned = stop(&shared, &slots, settler).await;
    last.cancel();
    // The heartbeat goes on until the last outcomes are written: without a lease they would be refused.
    if tokio::time::timeout(LAST_WRITES, writers.wait()).await.is_err() {
        shared.abandon.cancel();
        if tokio::time::timeout(LAST_PART, writers.wait()).await.is_err() {
            tracing::error!("the store does not answer; the worker ends without the last outcomes");
            shared.counts.unsettled.fetch_add(shared.unwritten() as u64, Ordering::Relaxed);
        }
    }
    end.cancel();
    parts.wait().await;
    // What is stuck is for others, once the lease is over.
    shared.trust.lose();
    if abandoned.is_empty() {
        supervised(shared.clone(), "leave", leave(&shared)).await;
    }
    told.cancel();
    if tokio::time::timeout(LAST_HOOKS, tellers.wait()).await.is_err() {
        tracing::error!("a hook does not return; the worker ends without it");
    }
    let (panicked, store_error, outgrown) = (shared.panicked(), shared.broken.get().cloned(), shared.outgrown.get().copied());
    ExitReport { panicked, store_error, outgrown, ..shared.counts.report(abandoned) }
}

/// Beats until `end`, and after a panic, too: the stop that follows it needs the lease, or outcomes would be refused.
async fn keep_lease(shared: Arc<Shared>, settler: Settler, end: CancellationToken) {
    while !end.is_cancelled() {
        supervised(shared.clone(), "heartbeat", heartbeat::run(shared.clone(), settler.clone(), end.clone())).await;
    }
}

async fn leave(shared: &Shared) {
    match tokio::time::timeout(LAST_WORD, shared.source().leave(shared.id())).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => {
            tracing::warn!(error = %error, "the worker could not be signed off; what it held is free when its lease ends");
        }
        Err(_) => tracing::warn!("the store does not answer; what the worker held is free when its lease ends"),
    }
}

/// Drops a part that waits for the store although all has ended. What it was about, other workers do as well.
async fn unless_over(end: CancellationToken, part: impl Future<Output = ()>) {
    let over = async {
        end.cancelled().await;
        tokio::time::sleep(LAST_PART).await;
    };
    tokio::select! {
        () = part => {}
        () = over => tracing::debug!("the store does not answer; the worker ends without it"),
    }
}

/// Ends what runs; returns the handlers that could not be ended.
async fn stop(shared: &Shared, slots: &TaskTracker, settler: Settler) -> Vec<String> {
    shared.lanes.close(!shared.abandon.is_cancelled());
    for lane in shared.lanes.all().iter() {
        for Buffered { claimed, .. } in lane.take_buffered() {
            // The writer is alive until all senders are gone; a full channel is waited for.
            let _ = settler.send(Ended::new(&claimed, Ending::Released)).await;
        }
    }
    drop(settler);
    tokio::select! {
        () = slots.wait() => return Vec::new(),
        () = tokio::time::sleep(shared.config.grace) => {}
        () = shared.abandon.cancelled() => {}
    }
    shared.ask_all_to_end(Why::Stopping);
    if tokio::time::timeout(STUCK_AFTER, slots.wait()).await.is_ok() {
        return Vec::new();
    }
    let stuck: Vec<_> = shared.running().iter().map(|attempt| format!("{} {}", attempt.kind, attempt.id)).collect();
    for task in &stuck {
        tracing::error!(task, "the handler can't be ended; its lease runs out by itself");
    }
    stuck
}

/// The longest wait between two tries: a store that comes back is at work again within about a second.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Waits before another try: longer after each error, less when the worker stops. Never as long as others do, so that a server
/// that has just come back is not asked by all its workers at one moment.
pub(crate) async fn pause(shared: &Shared, errors: u32) {
    let ceiling = Duration::from_millis(20).saturating_mul(1 << errors.min(8)).min(PAUSE_MAX);
    let wait = ceiling.mul_f64(0.5 + 0.5 * shared.runtime().env.random());
    tokio::select! {
        () = tokio::time::sleep(wait) => {}
        () = shared.abandon.cancelled() => {}
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::App;
    use crate::core::Env;
    use crate::testing::MemoryBroker;
    use crate::worker::{Doing, WorkerError};

    #[derive(Debug)]
    struct Panics;

    impl Companion for Panics {
        fn name(&self) -> &'static str {
            "beat"
        }

        fn prepare(&self) -> Doing<'_, Result<(), WorkerError>> {
            Box::pin(async { Ok(()) })
        }

        fn run(&self, _: CancellationToken) -> Doing<'static, ()> {
            Box::pin(async { panic!("out of step") })
        }
    }

    #[tokio::test]
    async fn what_runs_beside_a_worker_is_supervised_too() {
        let broker = MemoryBroker::new(Env::system());
        let builder = App::new(()).worker_on(broker).unwrap();
        let worker = builder.beside(Panics).start().await.unwrap();
        assert_eq!(worker.ended().await.panicked, ["beat panicked: out of step"]);
    }
}
