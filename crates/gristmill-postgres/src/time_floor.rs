use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use gristmill_core::Place;

/// For how long a look at the scheduled tasks begins where the last one ended. A transaction that was open for long brings in tasks that
/// were due before that.
const DUE_AGE: Duration = Duration::from_millis(500);
/// The same for tasks that expire. No claim starts one, whether it was ended or not, so that nobody is in a hurry.
const EXPIRY_AGE: Duration = Duration::from_secs(5);

/// Where the rows begin that are taken in the order of a time. Before it are rows that were taken and are dead: while a transaction keeps
/// the server from removing them, each look would have to pass over all of them.
#[derive(Debug)]
pub(crate) struct TimeFloor {
    age: Duration,
    state: Mutex<Option<Floor>>,
}

#[derive(Clone, Copy, Debug)]
struct Floor {
    at: i64,
    /// When all of them were looked at last, and how long that took.
    since: Instant,
    cost: Duration,
}

impl TimeFloor {
    const fn new(age: Duration) -> Self {
        Self { age, state: Mutex::new(None) }
    }

    /// From where on to look; the lowest number for all.
    pub(crate) fn floor(&self) -> i64 {
        match *self.state.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(Floor { at, since, cost }) if since.elapsed() < self.age.max(cost.saturating_mul(10)) => at,
            _ => i64::MIN,
        }
    }

    /// A look from `floor` on has taken what is before `at`.
    pub(crate) fn raise(&self, floor: i64, at: i64, cost: Duration) {
        let mut known = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match known.as_mut().filter(|_| floor > i64::MIN) {
            Some(known) => known.at = at,
            None => *known = Some(Floor { at, since: Instant::now(), cost }),
        }
    }
}

/// All of a store's.
#[derive(Debug)]
pub(crate) struct TimeFloors {
    pub(crate) due: TimeFloor,
    expiry: [TimeFloor; Place::ALL.len()],
}

impl Default for TimeFloors {
    fn default() -> Self {
        Self { due: TimeFloor::new(DUE_AGE), expiry: [const { TimeFloor::new(EXPIRY_AGE) }; Place::ALL.len()] }
    }
}

impl TimeFloors {
    /// Of the tasks in each place that may expire.
    pub(crate) fn expiries(&self) -> impl Iterator<Item = (Place, &TimeFloor)> {
        Place::ALL.into_iter().zip(&self.expiry)
    }
}
