use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// For how long a look at the scheduled tasks begins where the last one ended. A transaction that was open for long brings in tasks that
/// were due before that.
const FLOOR_AGE: Duration = Duration::from_millis(500);

/// Where the scheduled tasks begin. Before it are rows that were promoted and are dead: while a transaction keeps the server from removing
/// them, each look would have to pass over all of them.
#[derive(Debug, Default)]
pub(crate) struct DueFloor(Mutex<Option<Floor>>);

#[derive(Clone, Copy, Debug)]
struct Floor {
    run_at: i64,
    /// When all of them were looked at last, and how long that took.
    since: Instant,
    cost: Duration,
}

impl DueFloor {
    /// From where on to look; the lowest number for all.
    pub(crate) fn floor(&self) -> i64 {
        match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(Floor { run_at, since, cost }) if since.elapsed() < FLOOR_AGE.max(cost.saturating_mul(10)) => run_at,
            _ => i64::MIN,
        }
    }

    /// A look from `floor` on has taken what is due before `run_at`.
    pub(crate) fn raise(&self, floor: i64, run_at: i64, cost: Duration) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match known.as_mut().filter(|_| floor > i64::MIN) {
            Some(known) => known.run_at = run_at,
            None => *known = Some(Floor { run_at, since: Instant::now(), cost }),
        }
    }
}
