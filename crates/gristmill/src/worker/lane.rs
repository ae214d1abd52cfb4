use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore};
use tokio_util::task::TaskTracker;

use crate::core::{Claimed, WorkerId, limits};

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

/// One queue as this worker serves it: a bounded buffer of claimed tasks, and slots that run them.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) queue: Arc<str>,
    /// Its slots, to be waited for when it is served no more.
    pub(crate) slots: TaskTracker,
    /// How many slots it should have.
    concurrency: AtomicU32,
    /// How many are too many, and end once they are free.
    surplus: AtomicU32,
    buffer: Mutex<VecDeque<Buffered>>,
    /// One permit a buffered task: slots wait for it in turn.
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

/// A claimed task that waits for a slot.
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
    pub(crate) async fn next(&self) -> Option<Buffered> {
        loop {
            self.available.acquire().await.ok()?.forget();
            if self.take_surplus() {
                return None;
            }
            let (next, left) = {
                let mut buffer = self.buffer();
                let next = buffer.pop_front();
                if next.is_some() {
                    // Under the lock: seen as neither buffered nor busy, the task would be taken for a free slot, and one
                    // too many would be claimed.
                    self.busy.fetch_add(1, Ordering::Relaxed);
                }
                (next, buffer.len())
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

    /// A slot is free again.
    pub(crate) fn done(&self) {
        self.busy.fetch_sub(1, Ordering::Release);
        self.done.fetch_add(1, Ordering::Relaxed);
        if self.buffer().is_empty() {
            self.hungry.notify_one();
        }
    }

    /// Adds claimed tasks and wakes as many slots.
    pub(crate) fn add(&self, tasks: Vec<Buffered>) {
        let count = tasks.len();
        self.buffer().extend(tasks);
        self.available.add_permits(count);
    }

    /// Takes away what was not started. No slot will say that it has room: the fetcher is told here, or it might wait for ever.
    pub(crate) fn take_buffered(&self) -> Vec<Buffered> {
        let taken = self.buffer().drain(..).collect();
        self.hungry.notify_one();
        taken
    }

    /// Takes away one task that was not started.
    pub(crate) fn take_one(&self, wanted: impl Fn(&Claimed) -> bool) -> Option<Buffered> {
        let mut buffer = self.buffer();
        let index = buffer.iter().position(|buffered| wanted(&buffered.claimed))?;
        self.hungry.notify_one();
        buffer.remove(index)
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
            let Some(first) = buffer.front().map(|first| first.since) else { return Vec::new() };
            let all_busy = self.busy.load(Ordering::Relaxed) >= self.concurrency() as usize;
            let stands = all_busy && now - first.max(pace.since) >= self.patience();
            if !stands && now - first < AHEAD_MAX {
                return Vec::new();
            }
            buffer.drain(..).collect()
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
        !self.buffer().is_empty()
    }

    /// Whether nothing is buffered and nothing runs.
    pub(crate) fn is_idle(&self) -> bool {
        let buffer = self.buffer();
        buffer.is_empty() && self.busy.load(Ordering::Acquire) == 0
    }

    /// Lets the slots end once they have run what they run.
    pub(crate) fn close(&self) {
        self.available.close();
    }

    /// How many tasks to claim now; none while enough are buffered.
    pub(crate) fn want(&self, appetite: &mut Appetite, prefetch_max: usize) -> Want {
        if self.misjudged.swap(false, Ordering::Relaxed) {
            appetite.begin_anew(self.done.load(Ordering::Relaxed));
        }
        appetite.measure(self.done.load(Ordering::Relaxed));
        self.per_second.store(appetite.per_second.to_bits(), Ordering::Relaxed);
        let (busy, buffered) = {
            let buffer = self.buffer();
            (self.busy.load(Ordering::Relaxed), buffer.len())
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
        if buffered > ahead / 2 || buffered >= target {
            return Want::default();
        }
        let limit = (target - buffered).min(limits::BATCH_TASKS_MAX);
        Want { limit, free: free.saturating_sub(buffered).min(limit) }
    }

    fn buffer(&self) -> MutexGuard<'_, VecDeque<Buffered>> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Appetite {
    pub(crate) fn new() -> Self {
        Self { measured_at: Instant::now(), done: 0, per_second: 0.0, args_bytes: 0.0 }
    }

    /// Remembers how large the arguments are.
    pub(crate) fn ate(&mut self, tasks: &[Buffered]) {
        let bytes: usize = tasks.iter().map(|buffered| buffered.claimed.args.len() + 256).sum();
        self.args_bytes = self.args_bytes.max(1.0).midpoint(bytes as f64 / tasks.len().max(1) as f64);
    }

    /// Forgets the rate: what was fast is no measure of what comes now.
    fn begin_anew(&mut self, done: u64) {
        *self = Self { args_bytes: self.args_bytes, done, ..Self::new() };
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
mod tests {
    use super::*;
    use crate::core::{Env, LeaseKey, LeaseRef, Timestamp};

    fn buffered() -> Buffered {
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
        lane.close();
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
