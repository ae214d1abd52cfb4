use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore};
use tokio_util::task::TaskTracker;

use crate::core::{Claimed, WorkerId, limits};
use crate::worker::gather::{Element, GATHERED_MAX, Gathered, Gatherings};

/// How far ahead a lane claims: what it runs in this time. Long enough to hide a claim behind the work, short enough that
/// no task waits in a buffer while another worker idles.
const AHEAD: Duration = Duration::from_millis(50);
/// What has waited so long in a buffer was claimed on a wrong estimate.
const AHEAD_MAX: Duration = AHEAD.saturating_mul(20);
/// While all slots are busy and none ends, what is buffered waits at least so long before it is given back, and at most `AHEAD_MAX`.
const PATIENCE_MIN: Duration = Duration::from_millis(200);
/// The rate is measured over at least this time.
const MEASURE: Duration = Duration::from_millis(5);
/// The arguments that a lane buffers are at most about so many bytes.
const BUFFER_BYTES: usize = 16 * 1024 * 1024;

/// One queue as this worker serves it: a bounded buffer of claimed tasks, those that are gathered to be run together, and slots that run both.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) queue: Arc<str>,
    /// Its slots, to be waited for when it is served no more.
    pub(crate) slots: TaskTracker,
    /// How many slots it should have.
    concurrency: AtomicU32,
    /// How many are too many, and end once they are free.
    surplus: AtomicU32,
    buffer: Mutex<Buffer>,
    /// One permit for each that waits for a slot: slots wait for it in turn.
    available: Semaphore,
    busy: AtomicUsize,
    done: AtomicU64,
    /// When the buffer falls to this, the fetcher is told.
    low_water: AtomicUsize,
    /// The rate on which it last claimed ahead, as the bits of an `f64`.
    per_second: AtomicU64,
    /// What it claimed ahead was given back, so that the rate is not to be relied on.
    misjudged: AtomicBool,
    hungry: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Buffer {
    waiting: VecDeque<Work>,
    /// What will wait for a slot once it is complete.
    gatherings: Gatherings,
    /// What begins although the lane is closed.
    last: VecDeque<Gathered>,
    /// How many tasks of complete batches wait for a slot.
    in_batches: usize,
}

/// What a slot runs at once.
#[derive(Debug)]
pub(crate) enum Work {
    One(Buffered),
    Batch(Gathered),
}

impl Work {
    /// Since when it waits for a slot.
    fn since(&self) -> tokio::time::Instant {
        match self {
            Self::One(task) => task.since,
            Self::Batch(batch) => batch.since,
        }
    }

    fn into_tasks(self) -> Vec<Buffered> {
        match self {
            Self::One(task) => vec![task],
            Self::Batch(batch) => batch.tasks,
        }
    }
}

impl Buffer {
    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.gatherings.tasks() == 0 && self.last.is_empty()
    }

    fn pop(&mut self) -> Option<Work> {
        let next = self.waiting.pop_front();
        if let Some(Work::Batch(batch)) = &next {
            self.in_batches -= batch.tasks.len();
        }
        next
    }

    /// Complete batches wait for slots; returns how many they are.
    fn push(&mut self, batches: Vec<Gathered>) -> usize {
        let count = batches.len();
        self.in_batches += batches.iter().map(|batch| batch.tasks.len()).sum::<usize>();
        self.waiting.extend(batches.into_iter().map(Work::Batch));
        count
    }

    fn take_waiting(&mut self) -> Vec<Buffered> {
        self.in_batches = 0;
        self.waiting.drain(..).flat_map(Work::into_tasks).collect()
    }

    fn take_one(&mut self, wanted: impl Fn(&Claimed) -> bool) -> Option<Buffered> {
        for at in 0..self.waiting.len() {
            match &mut self.waiting[at] {
                Work::One(task) if wanted(&task.claimed) => return self.waiting.remove(at)?.into_tasks().pop(),
                Work::One(_) => {}
                Work::Batch(batch) => {
                    let Some(place) = batch.tasks.iter().position(|task| wanted(&task.claimed)) else { continue };
                    let task = batch.tasks.remove(place);
                    self.in_batches -= 1;
                    if batch.tasks.is_empty() {
                        self.waiting.remove(at);
                    }
                    return Some(task);
                }
            }
        }
        self.gatherings.take_one(wanted)
    }
}

/// A claimed task that waits for a slot, or for others.
#[derive(Debug)]
pub(crate) struct Buffered {
    pub(crate) claimed: Claimed,
    /// The id under which it was claimed.
    pub(crate) worker: WorkerId,
    /// When the claim was sent.
    pub(crate) since: tokio::time::Instant,
}

impl Buffered {
    /// Whether it may not be started any more. Counted from before the claim, so that nothing starts after its expiry.
    pub(crate) fn is_late(&self) -> bool {
        self.claimed.expires_in.is_some_and(|left| self.since.elapsed() >= left)
    }
}

/// What is remembered of a lane between looks at whether it goes on.
#[derive(Debug)]
pub(crate) struct Pace {
    done: u64,
    /// Since when nothing has ended.
    since: tokio::time::Instant,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self { done: 0, since: tokio::time::Instant::now() }
    }
}

/// What a lane can use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Want {
    /// At most so many tasks.
    pub(crate) limit: usize,
    /// For so many of them slots are free.
    pub(crate) free: usize,
}

/// What the fetcher remembers about a lane between claims.
#[derive(Debug)]
pub(crate) struct Appetite {
    measured_at: Instant,
    done: u64,
    per_second: f64,
    args_bytes: f64,
    /// The most tasks that are run in one call.
    largest_batch: usize,
    /// Which part of what was claimed lately was to be gathered, and so takes no slot by itself.
    gathered: f64,
}

impl Lane {
    /// One whose slots are yet to be added.
    pub(crate) fn new(queue: &str, concurrency: u32, hungry: Arc<Notify>) -> Self {
        let slots = TaskTracker::new();
        // So that whoever waits for it has waited once there are none.
        slots.close();
        Self {
            queue: queue.into(),
            slots,
            concurrency: AtomicU32::new(concurrency),
            surplus: AtomicU32::new(0),
            buffer: Mutex::default(),
            available: Semaphore::new(0),
            busy: AtomicUsize::new(0),
            done: AtomicU64::new(0),
            low_water: AtomicUsize::new(0),
            per_second: AtomicU64::new(0),
            misjudged: AtomicBool::new(false),
            hungry,
        }
    }

    /// How many tasks of it may run at once.
    pub(crate) fn concurrency(&self) -> u32 {
        self.concurrency.load(Ordering::Relaxed)
    }

    /// Sets how many tasks of it may run at once, and returns how many slots have to be added for that. Not to be called by two at
    /// once.
    pub(crate) fn resize(&self, concurrency: u32) -> u32 {
        let before = self.concurrency.swap(concurrency, Ordering::Relaxed);
        self.hungry.notify_one();
        if let Some(fewer) = before.checked_sub(concurrency) {
            self.surplus.fetch_add(fewer, Ordering::AcqRel);
            // A permit without a task wakes one that waits, so that it ends.
            self.available.add_permits(fewer as usize);
            return 0;
        }
        (before..concurrency).filter(|_| !self.take_surplus()).count() as u32
    }

    /// One slot that was too many is none, or is no more.
    fn take_surplus(&self) -> bool {
        self.surplus.fetch_update(Ordering::AcqRel, Ordering::Acquire, |surplus| surplus.checked_sub(1)).is_ok()
    }

    /// The next task for a slot; `None` when the lane is closed or has a slot too many. The slot calls [`done`](Self::done) when it
    /// has run it.
    pub(crate) async fn next(&self) -> Option<Work> {
        loop {
            match self.available.acquire().await {
                Ok(permit) => permit.forget(),
                // Closed.
                Err(_) => return self.last(),
            }
            if self.take_surplus() {
                return None;
            }
            let (next, left) = {
                let mut buffer = self.buffer();
                let next = buffer.pop();
                if next.is_some() {
                    // Under the lock: seen as neither buffered nor busy, the task would be taken for a free slot, and one
                    // too many would be claimed.
                    self.busy.fetch_add(1, Ordering::Relaxed);
                }
                (next, buffer.waiting.len())
            };
            // Empty if the buffer was taken away in between.
            if let Some(next) = next {
                if left <= self.low_water.load(Ordering::Relaxed) {
                    self.hungry.notify_one();
                }
                return Some(next);
            }
        }
    }

    fn last(&self) -> Option<Work> {
        let mut buffer = self.buffer();
        let batch = buffer.last.pop_front()?;
        self.busy.fetch_add(1, Ordering::Relaxed);
        Some(Work::Batch(batch))
    }

    /// A slot is free again.
    pub(crate) fn done(&self) {
        self.busy.fetch_sub(1, Ordering::Release);
        self.done.fetch_add(1, Ordering::Relaxed);
        if self.buffer().waiting.is_empty() {
            self.hungry.notify_one();
        }
    }

    /// Adds claimed tasks and wakes as many slots.
    pub(crate) fn add(&self, tasks: Vec<Buffered>) {
        let count = tasks.len();
        self.buffer().waiting.extend(tasks.into_iter().map(Work::One));
        self.available.add_permits(count);
    }

    /// Adds claimed tasks that are to be run with others.
    pub(crate) fn gather(&self, tasks: Vec<Element<'_>>) {
        self.begin(|gatherings| tasks.into_iter().flat_map(|task| gatherings.add(task)).collect());
    }

    /// When the first batch has waited for long enough.
    pub(crate) fn gathering_due(&self) -> Option<tokio::time::Instant> {
        self.buffer().gatherings.due()
    }

    /// Lets batches begin that have waited for long enough.
    pub(crate) fn begin_due(&self, now: tokio::time::Instant) {
        self.begin(|gatherings| gatherings.take_due(now));
    }

    /// Lets all batches begin, as nothing more comes.
    pub(crate) fn begin_all(&self) {
        self.begin(|gatherings| gatherings.take_oldest(usize::MAX));
    }

    fn begin(&self, take: impl FnOnce(&mut Gatherings) -> Vec<Gathered>) {
        let count = {
            let mut buffer = self.buffer();
            let batches = take(&mut buffer.gatherings);
            buffer.push(batches)
        };
        self.available.add_permits(count);
    }

    /// Takes away what was not started. No slot will say that it has room: the fetcher is told here, or it might wait for ever.
    pub(crate) fn take_buffered(&self) -> Vec<Buffered> {
        let taken = {
            let mut buffer = self.buffer();
            let mut taken = buffer.take_waiting();
            taken.extend(buffer.gatherings.take_tasks());
            taken
        };
        self.hungry.notify_one();
        taken
    }

    /// Takes away one task that was not started.
    pub(crate) fn take_one(&self, wanted: impl Fn(&Claimed) -> bool) -> Option<Buffered> {
        let taken = self.buffer().take_one(wanted)?;
        self.hungry.notify_one();
        Some(taken)
    }

    /// Takes away what was claimed ahead if the estimate behind it has proved wrong, so that others can run it: it waits far longer
    /// than it was to, or all slots are busy and none has ended for as long as two rounds of them should take.
    pub(crate) fn take_stalled(&self, pace: &mut Pace) -> Vec<Buffered> {
        let now = tokio::time::Instant::now();
        let done = self.done.load(Ordering::Relaxed);
        if done != pace.done {
            *pace = Pace { done, since: now };
        }
        let stalled = {
            let mut buffer = self.buffer();
            let Some(first) = buffer.waiting.front().map(Work::since) else { return Vec::new() };
            let all_busy = self.busy.load(Ordering::Relaxed) >= self.concurrency() as usize;
            let stands = all_busy && now - first.max(pace.since) >= self.patience();
            if !stands && now - first < AHEAD_MAX {
                return Vec::new();
            }
            buffer.take_waiting()
        };
        self.misjudged.store(true, Ordering::Relaxed);
        self.hungry.notify_one();
        stalled
    }

    fn patience(&self) -> Duration {
        let per_second = f64::from_bits(self.per_second.load(Ordering::Relaxed));
        let two_rounds = Duration::try_from_secs_f64(2.0 * f64::from(self.concurrency()) / per_second);
        two_rounds.unwrap_or(AHEAD_MAX).clamp(PATIENCE_MIN, AHEAD_MAX)
    }

    /// Whether anything waits for a slot.
    pub(crate) fn has_buffered(&self) -> bool {
        !self.buffer().waiting.is_empty()
    }

    /// Whether nothing is buffered or gathered, and nothing runs.
    pub(crate) fn is_idle(&self) -> bool {
        let buffer = self.buffer();
        buffer.is_empty() && self.busy.load(Ordering::Acquire) == 0
    }

    /// Lets the slots end once they have run what they run. What was gathered begins now, where a slot is free for it and `begins` says so.
    pub(crate) fn close(&self, begins: bool) {
        if begins {
            let mut buffer = self.buffer();
            let free = (self.concurrency() as usize).saturating_sub(self.busy.load(Ordering::Relaxed));
            let last = buffer.gatherings.take_oldest(free);
            buffer.last.extend(last);
        }
        self.available.close();
    }

    /// How many tasks to claim now; none while enough are buffered.
    pub(crate) fn want(&self, appetite: &mut Appetite, prefetch_max: usize) -> Want {
        if self.misjudged.swap(false, Ordering::Relaxed) {
            appetite.begin_anew(self.done.load(Ordering::Relaxed));
        }
        appetite.measure(self.done.load(Ordering::Relaxed));
        self.per_second.store(appetite.per_second.to_bits(), Ordering::Relaxed);
        let (busy, buffered, gathered, room_bytes) = {
            let buffer = self.buffer();
            let gathered = buffer.gatherings.tasks() + buffer.in_batches;
            (self.busy.load(Ordering::Relaxed), buffer.waiting.len(), gathered, buffer.gatherings.room_bytes())
        };
        let concurrency = self.concurrency() as usize;
        if concurrency == 0 {
            return Want::default();
        }
        let free = concurrency.saturating_sub(busy);
        let by_rate = (appetite.per_second * AHEAD.as_secs_f64()) as usize;
        let by_bytes = (BUFFER_BYTES as f64 / appetite.args_bytes.max(1.0)) as usize;
        let ahead = by_rate.min(prefetch_max).min(by_bytes);
        let target = free + ahead;
        self.low_water.store(ahead / 2, Ordering::Relaxed);
        let alone = if buffered > ahead / 2 || buffered >= target { 0 } else { target - buffered };
        // As many calls could begin within that time, each with as many tasks.
        let room = (free + by_rate.min(prefetch_max)).saturating_mul(appetite.largest_batch).min(GATHERED_MAX);
        let room = room.min((room_bytes as f64 / appetite.args_bytes.max(1.0)) as usize).saturating_sub(gathered);
        // What runs alone and waits already is not to be hoarded for the sake of what comes between.
        let room = if buffered > 0 && alone == 0 { 0 } else { room };
        let limit = appetite.with_gathered(alone, room).min(limits::BATCH_TASKS_MAX);
        Want { limit, free: free.saturating_sub(buffered).min(limit) }
    }

    fn buffer(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Appetite {
    pub(crate) fn new() -> Self {
        Self { measured_at: Instant::now(), done: 0, per_second: 0.0, args_bytes: 0.0, largest_batch: 0, gathered: 0.0 }
    }

    /// That of a worker whose handlers take at most so many tasks in one call.
    pub(crate) fn for_batches(largest_batch: usize) -> Self {
        Self { largest_batch, ..Self::new() }
    }

    /// Whether anything may have to be gathered.
    pub(crate) fn is_for_batches(&self) -> bool {
        self.largest_batch > 0
    }

    /// Remembers which part of what was claimed is gathered.
    pub(crate) fn gathers(&mut self, gathered: usize, others: usize) {
        let part = self.gathered.midpoint(gathered as f64 / (gathered + others).max(1) as f64);
        // Halved again and again it would be none only after a thousand claims.
        self.gathered = if part < 0.05 { 0.0 } else { part };
    }

    /// How many tasks to claim where so many are wanted that run alone, and there is room for so many that are gathered. A claim takes what comes
    /// next of both: so many that among them there should be no more of the others than are wanted. It doubles with each claim that brings
    /// nothing but what is gathered.
    fn with_gathered(&self, alone: usize, room: usize) -> usize {
        if self.gathered == 0.0 || room == 0 {
            return alone;
        }
        let both = alone.max(1) as f64 / (1.0 - self.gathered).max(f64::EPSILON);
        (both as usize).clamp(alone, alone.saturating_add(room))
    }

    /// Remembers how large the arguments are.
    pub(crate) fn ate(&mut self, tasks: &[Buffered]) {
        let bytes: usize = tasks.iter().map(|buffered| buffered.claimed.args.len() + 256).sum();
        self.args_bytes = self.args_bytes.max(1.0).midpoint(bytes as f64 / tasks.len().max(1) as f64);
    }

    /// Forgets the rate: what was fast is no measure of what comes now.
    fn begin_anew(&mut self, done: u64) {
        *self = Self { args_bytes: self.args_bytes, done, ..Self::for_batches(self.largest_batch) };
    }

    fn measure(&mut self, done: u64) {
        let elapsed = self.measured_at.elapsed();
        if elapsed >= MEASURE {
            let rate = (done - self.done) as f64 / elapsed.as_secs_f64();
            self.per_second = self.per_second.midpoint(rate);
            self.done = done;
            self.measured_at = Instant::now();
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::core::{Env, LeaseKey, LeaseRef, Timestamp};

    pub(crate) fn buffered() -> Buffered {
        let env = Env::system();
        let claimed = Claimed {
            lease: LeaseRef { id: env.task_id(), fence: env.fence(), key: LeaseKey::of_number(1) },
            kind: "k".into(),
            queue: "q".into(),
            attempt: 1,
            claim_no: 1,
            crashes: 0,
            max_attempts: 1,
            report_start: false,
            created_at: Timestamp::from_millis(0),
            expires_in: None,
            args: "{}".to_owned(),
            meta: None,
        };
        Buffered { claimed, worker: env.worker_id(), since: tokio::time::Instant::now() }
    }

    /// A fetcher that waits for a slot to be free would wait for ever otherwise: what was taken away, no slot runs to its end.
    #[tokio::test]
    async fn what_is_taken_away_makes_room_that_is_told() {
        let takes: [fn(&Lane) -> usize; 2] =
            [|lane| lane.take_buffered().len(), |lane| usize::from(lane.take_one(|_| true).is_some())];
        for take in takes {
            let hungry = Arc::new(Notify::new());
            let lane = Lane::new("q", 1, hungry.clone());
            lane.add(vec![buffered()]);
            assert_eq!(take(&lane), 1);
            tokio::time::timeout(Duration::from_secs(60), hungry.notified()).await.expect("the fetcher is told");
            assert_eq!(lane.want(&mut Appetite::new(), 0), Want { limit: 1, free: 1 });
        }
    }

    #[tokio::test]
    async fn a_lane_has_as_many_slots_as_it_was_last_told() {
        let lane = Lane::new("q", 0, Arc::default());
        assert_eq!(lane.resize(3), 3);
        assert_eq!(lane.resize(1), 0);
        assert_eq!(lane.resize(2), 0, "one of the two that are too many stays");
        assert_eq!(lane.resize(4), 1, "and so does the other");
        assert_eq!(lane.resize(3), 0);
        lane.add(vec![buffered()]);
        assert!(lane.next().await.is_none(), "the first that is free ends");
        assert!(lane.next().await.is_some(), "and leaves the task to the next");
        lane.close(true);
        assert!(lane.next().await.is_none());
    }

    /// A lane of two slots that both are busy, which was so fast before and has claimed three ahead on that.
    async fn stuck(per_second: f64) -> Lane {
        let lane = Lane::new("q", 2, Arc::default());
        lane.per_second.store(per_second.to_bits(), Ordering::Relaxed);
        lane.add((0..5).map(|_| buffered()).collect());
        for _ in 0..2 {
            lane.next().await.unwrap();
        }
        lane
    }

    #[tokio::test(start_paused = true)]
    async fn room_to_claim_ahead_is_no_slot_that_is_free() {
        let lane = Lane::new("q", 2, Arc::default());
        let mut appetite = Appetite { per_second: 1_000.0, ..Appetite::new() };
        assert_eq!(lane.want(&mut appetite, 2_000), Want { limit: 52, free: 2 });
        lane.add(vec![buffered(), buffered()]);
        for _ in 0..2 {
            lane.next().await.unwrap();
        }
        assert_eq!(lane.want(&mut appetite, 2_000), Want { limit: 50, free: 0 });
        lane.add(vec![buffered()]);
        lane.done();
        assert_eq!(lane.want(&mut appetite, 2_000).free, 0, "one slot is free, and one task waits for it");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_claimed_ahead_is_given_back_when_nothing_ends_any_more() {
        for (per_second, patience) in [(1_000.0, 200), (10.0, 400), (0.1, 1_000), (0.0, 1_000)] {
            let (lane, mut pace) = (stuck(per_second).await, Pace::new());
            tokio::time::advance(Duration::from_millis(patience - 1)).await;
            assert!(lane.take_stalled(&mut pace).is_empty(), "{per_second}: it may be a slow one");
            tokio::time::advance(Duration::from_millis(1)).await;
            assert_eq!(lane.take_stalled(&mut pace).len(), 3, "{per_second}");
            let mut appetite = Appetite { per_second: 1_000.0, ..Appetite::new() };
            assert_eq!(lane.want(&mut appetite, 2_000), Want::default(), "and not claimed again at once");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_that_goes_on_keeps_what_it_claimed_for_a_second_at_most() {
        let (lane, mut pace) = (stuck(1_000.0).await, Pace::new());
        for _ in 0..9 {
            tokio::time::advance(Duration::from_millis(100)).await;
            lane.done();
            lane.busy.fetch_add(1, Ordering::Relaxed);
            assert!(lane.take_stalled(&mut pace).is_empty());
        }
        tokio::time::advance(Duration::from_millis(100)).await;
        lane.done();
        assert_eq!(lane.take_stalled(&mut pace).len(), 3, "whether a slot is free or not");
    }
}
