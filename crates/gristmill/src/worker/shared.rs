use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::attempt::{Attempt, NotesQueue, Why};
use crate::core::{Claimed, Ending, LeaseRef, Settlement, Source, StoreError, StoreErrorKind, WorkerId, WorkerSpec};
use crate::panics::Panicked;
use crate::runtime::{Ground, Runtime};
use crate::worker::builder::Config;
use crate::worker::lanes::Lanes;
use crate::worker::report::Counts;
use crate::worker::tell::Teller;

/// What the parts of one worker share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) ground: Arc<Ground>,
    pub(crate) config: Config,
    pub(crate) lanes: Arc<Lanes>,
    pub(crate) hungry: Arc<Notify>,
    /// Told when something was buffered.
    pub(crate) buffered: Notify,
    /// The same, for who passes requests to stop on.
    pub(crate) taken: Notify,
    /// Told when something waits to be run with others.
    pub(crate) gathering: Notify,
    pub(crate) notes: Arc<NotesQueue>,
    pub(crate) counts: Counts,
    pub(crate) trust: Trust,
    /// The way to the application's hooks, if it has any.
    pub(crate) teller: Option<Teller>,
    /// Set when claims have to stop.
    pub(crate) stopping: CancellationToken,
    /// Set when nothing may be waited for any more.
    pub(crate) abandon: CancellationToken,
    /// Set when all handlers were asked to end: one that begins after that is to be asked, too.
    ended: AtomicBool,
    /// What ended a worker that could get no further.
    pub(crate) broken: OnceLock<String>,
    /// What the process took of memory when the worker ended for that.
    pub(crate) outgrown: OnceLock<u64>,
    /// Set while nothing can be written, from the first complaint about it on.
    unwritable: AtomicBool,
    /// Parts that panicked, and what they said.
    panicked: Mutex<BTreeMap<&'static str, String>>,
    /// Ends of attempts that are on their way to the source.
    unwritten: Arc<AtomicUsize>,
    id: Mutex<WorkerId>,
    held: Mutex<HashMap<LeaseRef, Arc<Attempt>>>,
    /// What was complained of, and when.
    said: Mutex<HashMap<String, Instant>>,
}

/// The same complaint about the store is logged at most so often.
const SAY_AGAIN: Duration = Duration::from_secs(10);

impl Shared {
    pub(crate) fn new(ground: Arc<Ground>, config: Config) -> Self {
        let hungry = Arc::new(Notify::new());
        let lanes = Arc::new(Lanes::new(&config.queues, hungry.clone()));
        let id = Mutex::new(ground.runtime.env.worker_id());
        let hooks = &ground.runtime.hooks;
        let teller = (!hooks.is_empty()).then(|| Teller::new(hooks));
        Self {
            ground,
            config,
            lanes,
            hungry,
            buffered: Notify::new(),
            taken: Notify::new(),
            gathering: Notify::new(),
            notes: Arc::default(),
            counts: Counts::default(),
            trust: Trust::default(),
            teller,
            stopping: CancellationToken::new(),
            abandon: CancellationToken::new(),
            ended: AtomicBool::new(false),
            broken: OnceLock::new(),
            outgrown: OnceLock::new(),
            unwritable: AtomicBool::new(false),
            panicked: Mutex::default(),
            unwritten: Arc::default(),
            id,
            held: Mutex::default(),
            said: Mutex::default(),
        }
    }

    /// Where tasks come from.
    pub(crate) fn source(&self) -> &dyn Source {
        &*self.ground.source
    }

    /// What the program knows of tasks.
    pub(crate) fn runtime(&self) -> &Runtime {
        &self.ground.runtime
    }

    /// An operator wants the worker to end: it does, as at a first signal.
    pub(crate) fn drain(&self) {
        if !self.stopping.is_cancelled() {
            tracing::info!("asked by an operator to end: no more claims, running tasks get the grace period");
            self.stopping.cancel();
        }
    }

    /// The way for slots to have the ends of attempts written, and where they arrive.
    pub(crate) fn settler(&self, buffer: usize) -> (Settler, mpsc::Receiver<Ended>) {
        let (sender, receiver) = mpsc::channel(buffer);
        (Settler { sender, unwritten: self.unwritten.clone() }, receiver)
    }

    /// How many ends of attempts are on their way.
    pub(crate) fn unwritten(&self) -> usize {
        self.unwritten.load(Ordering::Acquire)
    }

    /// So many ends of attempts are written, or given up.
    pub(crate) fn written(&self, count: usize) {
        self.unwritten.fetch_sub(count, Ordering::AcqRel);
    }

    /// Whether this worker has nothing under way, so that the source knows of all there is to do.
    pub(crate) fn is_idle(&self) -> bool {
        // In this order: an end is counted as unwritten before its slot is free.
        self.lanes.all().iter().all(|lane| lane.is_idle()) && self.unwritten.load(Ordering::Acquire) == 0
    }

    /// The id under which it claims now.
    pub(crate) fn id(&self) -> WorkerId {
        *self.id.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether what was claimed under this id is still this process's.
    pub(crate) fn is_ours(&self, worker: WorkerId) -> bool {
        // In this order: trust comes back after the id has changed.
        self.trust.holds() && self.id() == worker
    }

    /// Makes it known to the store under a new id, and trusts that for one lease.
    pub(crate) async fn enter(&self) -> Result<(), StoreError> {
        let id = self.runtime().env.worker_id();
        let queues = self.lanes.queues();
        let spec = self.spec(id, queues.clone());
        let sent = Instant::now();
        self.source().enter(&spec).await?;
        *self.id.lock().unwrap_or_else(PoisonError::into_inner) = id;
        self.trust.renew(sent + self.config.lease);
        // Whoever changes them from here on sees the new id; who did so before left it to us.
        if self.lanes.queues() != queues {
            self.tell_queues().await?;
        }
        Ok(())
    }

    /// Tells the store what it serves now.
    pub(crate) async fn tell_queues(&self) -> Result<(), StoreError> {
        self.source().enter(&self.spec(self.id(), self.lanes.queues())).await
    }

    /// What it says of itself.
    pub(crate) fn spec(&self, id: WorkerId, queues: BTreeMap<String, u32>) -> WorkerSpec {
        WorkerSpec {
            id,
            name: self.config.name.clone(),
            lease: self.config.lease,
            kinds: self.runtime().registry.served(),
            queues,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// Says what a store's error means here. One that lasts ends a drain, which would else try for ever; a worker that
    /// is to run goes on, since somebody may mend the store, unless it would have to open it anew.
    pub(crate) fn store_failed(&self, what: &str, error: &StoreError) {
        if error.is_final() {
            if self.broken.set(error.to_string()).is_ok() {
                tracing::error!(error = %error, "{what}, and will not before the store is opened anew; the worker stops");
            }
            self.stopping.cancel();
            return;
        }
        if !error.is_lasting() {
            let can_not_write = matches!(error.kind(), StoreErrorKind::Full | StoreErrorKind::ReadOnly);
            let is_news = !self.was_just_said(what, error);
            if can_not_write && is_news && !self.unwritable.swap(true, Ordering::Relaxed) {
                tracing::error!(error = %error, "{what}: the store can't be written; trying again");
            } else if is_news {
                tracing::warn!(error = %error, "{what}; trying again");
            } else {
                tracing::debug!(error = %error, "{what}; trying again");
            }
            return;
        }
        tracing::error!(error = %error, "{what}, and will not before somebody mends the store; trying again");
        if self.config.drain {
            let _ = self.broken.set(error.to_string());
            self.stopping.cancel();
        }
    }

    /// A heartbeat was written: where nothing could be, something can again.
    pub(crate) fn store_is_written(&self) {
        self.unwritable.store(false, Ordering::Relaxed);
    }

    /// A part of this worker has panicked: it stops, as it can't do its work without.
    pub(crate) fn part_panicked(&self, name: &'static str, panicked: Panicked) {
        let error = Error::from(panicked);
        let trace = error.trace.as_deref().unwrap_or_default();
        tracing::error!(part = name, error = %error, trace, "a part of the worker panicked; the worker stops");
        let mut said = self.panicked.lock().unwrap_or_else(PoisonError::into_inner);
        said.entry(name).or_insert_with(|| error.to_string());
        self.stopping.cancel();
    }

    /// The parts that panicked, for the report.
    pub(crate) fn panicked(&self) -> Vec<String> {
        let panicked = self.panicked.lock().unwrap_or_else(PoisonError::into_inner);
        panicked.iter().map(|(name, said)| format!("{name} {said}")).collect()
    }

    /// Whether the log has the same complaint from a moment ago: a store that is away for an hour must not fill the disk.
    fn was_just_said(&self, what: &str, error: &StoreError) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.retain(|_, at| at.elapsed() < SAY_AGAIN);
        let complaint = format!("{what}: {error}");
        let recent = said.contains_key(&complaint);
        if !recent {
            said.insert(complaint, Instant::now());
        }
        recent
    }

    pub(crate) fn hold(&self, lease: LeaseRef, attempt: &Arc<Attempt>) {
        self.held().insert(lease, attempt.clone());
    }

    pub(crate) fn let_go(&self, lease: &LeaseRef) {
        self.held().remove(lease);
    }

    /// The attempts that run now.
    pub(crate) fn running(&self) -> Vec<Arc<Attempt>> {
        self.held().values().cloned().collect()
    }

    pub(crate) fn attempt(&self, lease: &LeaseRef) -> Option<Arc<Attempt>> {
        self.held().get(lease).cloned()
    }

    pub(crate) fn ask_all_to_end(&self, why: Why) {
        if why == Why::Stopping {
            self.ended.store(true, Ordering::SeqCst);
        }
        for attempt in self.running() {
            attempt.ask_to_end(why);
        }
    }

    /// Whether [`ask_all_to_end`](Self::ask_all_to_end) has asked those that ran then, as the worker stops.
    pub(crate) fn has_asked_all(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    fn held(&self) -> MutexGuard<'_, HashMap<LeaseRef, Arc<Attempt>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Until when this process may believe that its leases are its own.
///
/// Judged on the monotonic clock, which also runs while the process is stopped: a worker that wakes up after its lease
/// finds out here before it starts another task. Once lost, trust under the same worker id never comes back: tasks dropped
/// meanwhile would otherwise stay leased to a living worker that no longer knows them.
#[derive(Debug)]
pub(crate) struct Trust {
    until: AtomicU64,
    lost: AtomicBool,
}

impl Default for Trust {
    fn default() -> Self {
        Self { until: AtomicU64::new(0), lost: AtomicBool::new(true) }
    }
}

impl Trust {
    /// Whether a claimed task may be started.
    pub(crate) fn holds(&self) -> bool {
        if self.lost.load(Ordering::Acquire) {
            return false;
        }
        let holds = micros(Instant::now()) < self.until.load(Ordering::Acquire);
        if !holds {
            self.lost.store(true, Ordering::Release);
        }
        holds
    }

    /// For how long it still holds; `None` if it does not.
    pub(crate) fn left(&self) -> Option<Duration> {
        let left = self.until.load(Ordering::Acquire).checked_sub(micros(Instant::now()))?;
        (left > 0 && !self.lost.load(Ordering::Acquire)).then(|| Duration::from_micros(left))
    }

    /// A heartbeat was accepted. There may be two at once, and the earlier one be answered later.
    pub(crate) fn extend(&self, until: Instant) {
        self.until.fetch_max(micros(until), Ordering::AcqRel);
    }

    /// A new worker id is known to the store.
    pub(crate) fn renew(&self, until: Instant) {
        self.extend(until);
        self.lost.store(false, Ordering::Release);
    }

    pub(crate) fn lose(&self) {
        self.lost.store(true, Ordering::Release);
    }
}

/// Microseconds of the monotonic clock since this process first asked.
pub(crate) fn micros(at: Instant) -> u64 {
    static BASE: LazyLock<Instant> = LazyLock::new(|| Instant::now() - Duration::from_micros(1));
    u64::try_from(at.saturating_duration_since(*BASE).as_micros()).unwrap_or(u64::MAX)
}

/// Where slots put the ends of attempts.
#[derive(Clone, Debug)]
pub(crate) struct Settler {
    sender: mpsc::Sender<Ended>,
    unwritten: Arc<AtomicUsize>,
}

impl Settler {
    /// Waits for room.
    pub(crate) async fn send(&self, ended: Ended) -> Result<(), Unsettled> {
        self.unwritten.fetch_add(1, Ordering::AcqRel);
        self.sender.send(ended).await.map_err(|_| self.refused())
    }

    /// Room for one, if there is any now.
    pub(crate) fn try_reserve(&self) -> Option<Room<'_>> {
        let permit = self.sender.try_reserve().ok()?;
        Some(Room { permit, unwritten: &self.unwritten })
    }

    /// Whether the source keeps up with what ends.
    pub(crate) fn has_room(&self) -> bool {
        self.sender.capacity() > 0
    }

    fn refused(&self) -> Unsettled {
        self.unwritten.fetch_sub(1, Ordering::AcqRel);
        Unsettled
    }
}

/// See [`Settler::try_reserve`].
#[derive(Debug)]
pub(crate) struct Room<'s> {
    permit: mpsc::Permit<'s, Ended>,
    unwritten: &'s AtomicUsize,
}

impl Room<'_> {
    pub(crate) fn send(self, ended: Ended) {
        self.unwritten.fetch_add(1, Ordering::AcqRel);
        self.permit.send(ended);
    }
}

/// An attempt that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) settlement: Settlement,
    /// The number of its claim, by which its record is found.
    pub(crate) claim_no: u32,
    /// A try to write it may have succeeded.
    pub(crate) unsure: bool,
}

impl Ended {
    pub(crate) fn new(claimed: &Claimed, ending: Ending) -> Self {
        Self { settlement: Settlement::new(claimed.lease, ending), claim_no: claimed.claim_no, unsure: false }
    }

    /// That of one which is given back without having run.
    pub(crate) fn released(lease: LeaseRef, claim_no: u32) -> Self {
        Self { settlement: Settlement::new(lease, Ending::Released), claim_no, unsure: false }
    }
}

/// There is nobody who would write it.
#[derive(Debug)]
pub(crate) struct Unsettled;
