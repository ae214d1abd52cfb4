use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::{Fence, TaskId, Timestamp, WorkerId, WorkflowId};

/// The one value through which wall time, randomness and identities enter.
///
/// Production uses [`Env::system`]. A test uses [`Env::virtual_time`], whose clock stands still until it is moved and
/// whose randomness follows from a seed, so that a run can be repeated.
#[derive(Clone, Debug, Default)]
pub struct Env {
    inner: Option<Arc<Mutex<Virtual>>>,
}

#[derive(Debug)]
struct Virtual {
    now: Timestamp,
    passed: Duration,
    rng: fastrand::Rng,
}

impl Env {
    /// The machine's clock and the operating system's randomness.
    pub fn system() -> Self {
        Self { inner: None }
    }

    /// A clock that starts at `start` and moves only by [`VirtualTime`], and randomness drawn from `seed`.
    pub fn virtual_time(start: Timestamp, seed: u64) -> (Self, VirtualTime) {
        let inner = Arc::new(Mutex::new(Virtual { now: start, passed: Duration::ZERO, rng: fastrand::Rng::with_seed(seed) }));
        (Self { inner: Some(inner.clone()) }, VirtualTime { inner })
    }

    /// The current wall time.
    #[expect(clippy::disallowed_methods, reason = "this is the one place where wall time enters")]
    pub fn now(&self) -> Timestamp {
        match &self.inner {
            Some(inner) => lock(inner).now,
            None => {
                let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
            }
        }
    }

    /// How much time has passed since some moment of this process, whatever is done to the wall clock. It stands still while the
    /// machine is suspended, on systems where the monotonic clock does.
    pub fn monotonic(&self) -> Duration {
        static SINCE: LazyLock<Instant> = LazyLock::new(Instant::now);
        match &self.inner {
            Some(inner) => lock(inner).passed,
            None => SINCE.elapsed(),
        }
    }

    /// The time of a virtual clock; `None` in production. For stores whose time is their server's: they take this instead.
    pub fn virtual_now(&self) -> Option<Timestamp> {
        self.inner.as_ref().map(|inner| lock(inner).now)
    }

    /// A number in `0.0..1.0`, for jitter.
    pub fn random(&self) -> f64 {
        match &self.inner {
            Some(inner) => lock(inner).rng.f64(),
            None => fastrand::f64(),
        }
    }

    /// A new task id that sorts after those made before it by this process.
    pub fn task_id(&self) -> TaskId {
        TaskId::from_uuid(self.uuid_v7())
    }

    /// A new id for a run of a workflow, which sorts after those made before it by this process.
    pub fn workflow_id(&self) -> WorkflowId {
        WorkflowId::from_uuid(self.uuid_v7())
    }

    /// A new worker id.
    pub fn worker_id(&self) -> WorkerId {
        WorkerId::from_uuid(self.uuid_v7())
    }

    /// A fence that was never given out before.
    #[expect(clippy::disallowed_methods, reason = "this is the one place where randomness enters")]
    pub fn fence(&self) -> Fence {
        Fence::from_uuid(match &self.inner {
            Some(inner) => uuid::Builder::from_random_bytes(lock(inner).rng.u128(..).to_be_bytes()).into_uuid(),
            None => Uuid::new_v4(),
        })
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place where ids are made")]
    fn uuid_v7(&self) -> Uuid {
        match &self.inner {
            Some(inner) => {
                let mut inner = lock(inner);
                let random = inner.rng.u128(..).to_be_bytes();
                let mut tail = [0; 10];
                tail.copy_from_slice(&random[..10]);
                let ms = u64::try_from(inner.now.as_millis()).unwrap_or(0);
                uuid::Builder::from_unix_timestamp_millis(ms, &tail).into_uuid()
            }
            None => Uuid::now_v7(),
        }
    }
}

/// The hand that moves the clock of an [`Env::virtual_time`].
#[derive(Clone, Debug)]
pub struct VirtualTime {
    inner: Arc<Mutex<Virtual>>,
}

impl VirtualTime {
    /// Lets time pass, on the wall clock and on the monotonic one.
    pub fn advance(&self, by: Duration) {
        let mut inner = lock(&self.inner);
        inner.now = inner.now.saturating_add(by);
        inner.passed = inner.passed.saturating_add(by);
    }

    /// Sets the wall clock, backward too, as an administrator or a time service may. No time passes by that.
    pub fn set(&self, now: Timestamp) {
        lock(&self.inner).now = now;
    }
}

fn lock(inner: &Mutex<Virtual>) -> MutexGuard<'_, Virtual> {
    // A panic elsewhere leaves a clock and a generator, which are whole at every moment.
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}
