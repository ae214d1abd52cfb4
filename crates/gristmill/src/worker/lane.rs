use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore};

use crate::core::{Claimed, limits};

/// How far ahead a lane claims: what it runs in this time. Long enough to hide a claim behind the work, short enough that
/// no task waits in a buffer while another worker idles.
const AHEAD: Duration = Duration::from_millis(50);
/// The rate is measured over at least this time.
const MEASURE: Duration = Duration::from_millis(5);
/// The arguments that a lane buffers are at most about so many bytes.
const BUFFER_BYTES: usize = 16 * 1024 * 1024;

/// One queue as this worker serves it: a bounded buffer of claimed tasks, and slots that run them.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) queue: Arc<str>,
    pub(crate) concurrency: u32,
    buffer: Mutex<VecDeque<Claimed>>,
    /// One permit a buffered task: slots wait for it in turn.
    available: Semaphore,
    busy: AtomicUsize,
    done: AtomicU64,
    /// When the buffer falls to this, the fetcher is told.
    low_water: AtomicUsize,
    hungry: Arc<Notify>,
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
    pub(crate) fn new(queue: &str, concurrency: u32, hungry: Arc<Notify>) -> Self {
        Self {
            queue: queue.into(),
            concurrency,
            buffer: Mutex::default(),
            available: Semaphore::new(0),
            busy: AtomicUsize::new(0),
            done: AtomicU64::new(0),
            low_water: AtomicUsize::new(0),
            hungry,
        }
    }

    /// The next task for a slot; `None` when the lane is closed. The slot calls [`done`](Self::done) when it has run it.
    pub(crate) async fn next(&self) -> Option<Claimed> {
        loop {
            self.available.acquire().await.ok()?.forget();
            let (claimed, left) = {
                let mut buffer = self.buffer();
                let claimed = buffer.pop_front();
                if claimed.is_some() {
                    // Under the lock: seen as neither buffered nor busy, the task would be taken for a free slot, and one
                    // too many would be claimed.
                    self.busy.fetch_add(1, Ordering::Relaxed);
                }
                (claimed, buffer.len())
            };
            // Empty if the buffer was taken away in between.
            if let Some(claimed) = claimed {
                if left <= self.low_water.load(Ordering::Relaxed) {
                    self.hungry.notify_one();
                }
                return Some(claimed);
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
    pub(crate) fn add(&self, claimed: Vec<Claimed>) {
        let count = claimed.len();
        self.buffer().extend(claimed);
        self.available.add_permits(count);
    }

    /// Takes away what was not started. No slot will say that it has room: the fetcher is told here, or it might wait for ever.
    pub(crate) fn take_buffered(&self) -> Vec<Claimed> {
        let taken = self.buffer().drain(..).collect();
        self.hungry.notify_one();
        taken
    }

    /// Takes away one task that was not started.
    pub(crate) fn take_one(&self, wanted: impl Fn(&Claimed) -> bool) -> Option<Claimed> {
        let mut buffer = self.buffer();
        let index = buffer.iter().position(wanted)?;
        self.hungry.notify_one();
        buffer.remove(index)
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

    /// How many tasks to claim now; zero while enough are buffered.
    pub(crate) fn want(&self, appetite: &mut Appetite, prefetch_max: usize) -> usize {
        appetite.measure(self.done.load(Ordering::Relaxed));
        let (busy, buffered) = {
            let buffer = self.buffer();
            (self.busy.load(Ordering::Relaxed), buffer.len())
        };
        let free = (self.concurrency as usize).saturating_sub(busy);
        let by_rate = (appetite.per_second * AHEAD.as_secs_f64()) as usize;
        let by_bytes = (BUFFER_BYTES as f64 / appetite.args_bytes.max(1.0)) as usize;
        let ahead = by_rate.min(prefetch_max).min(by_bytes);
        let target = free + ahead;
        self.low_water.store(ahead / 2, Ordering::Relaxed);
        if buffered > ahead / 2 || buffered >= target { 0 } else { (target - buffered).min(limits::BATCH_TASKS_MAX) }
    }

    fn buffer(&self) -> MutexGuard<'_, VecDeque<Claimed>> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Appetite {
    pub(crate) fn new() -> Self {
        Self { measured_at: Instant::now(), done: 0, per_second: 0.0, args_bytes: 0.0 }
    }

    /// Remembers how large the arguments are.
    pub(crate) fn ate(&mut self, claimed: &[Claimed]) {
        let bytes: usize = claimed.iter().map(|claimed| claimed.args.len() + 256).sum();
        self.args_bytes = self.args_bytes.max(1.0).midpoint(bytes as f64 / claimed.len().max(1) as f64);
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

    fn claimed() -> Claimed {
        let env = Env::system();
        Claimed {
            lease: LeaseRef { id: env.task_id(), fence: env.fence(), key: LeaseKey::of_number(1) },
            kind: "k".into(),
            queue: "q".into(),
            attempt: 1,
            claim_no: 1,
            crashes: 0,
            max_attempts: 1,
            report_start: false,
            created_at: Timestamp::from_millis(0),
            args: "{}".to_owned(),
            meta: None,
        }
    }

    /// A fetcher that waits for a slot to be free would wait for ever otherwise: what was taken away, no slot runs to its end.
    #[tokio::test]
    async fn what_is_taken_away_makes_room_that_is_told() {
        let takes: [fn(&Lane) -> usize; 2] =
            [|lane| lane.take_buffered().len(), |lane| usize::from(lane.take_one(|_| true).is_some())];
        for take in takes {
            let hungry = Arc::new(Notify::new());
            let lane = Lane::new("q", 1, hungry.clone());
            lane.add(vec![claimed()]);
            assert_eq!(take(&lane), 1);
            tokio::time::timeout(Duration::from_secs(60), hungry.notified()).await.expect("the fetcher is told");
            assert_eq!(lane.want(&mut Appetite::new(), 0), 1);
        }
    }
}
