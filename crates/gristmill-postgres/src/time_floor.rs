use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use gristmill_core::Place;

/// For how long a look at the scheduled tasks begins where the last one ended. A transaction that was open for long brings in tasks that
/// were due before that.
const DUE_AGE: Duration = Duration::from_millis(500);
/// The same for tasks that expire. No claim starts one, whether it was ended or not, so that nobody is in a hurry.
const EXPIRY_AGE: Duration = Duration::from_secs(5);
/// A look at all that may expire which took no longer than this is made each time: tasks come to a place long after they expired, too.
const EXPIRY_CHEAP: Duration = Duration::from_millis(10);

/// Where the rows begin that are taken in the order of a time. Before it are rows that were taken and are dead: while a transaction keeps
/// the server from removing them, each look would have to pass over all of them.
#[derive(Debug)]
pub(crate) struct TimeFloor {
    age: Duration,
    cheap: Duration,
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
    const fn new(age: Duration, cheap: Duration) -> Self {
        Self { age, cheap, state: Mutex::new(None) }
    }

    /// From where on to look; the lowest number for all.
    pub(crate) fn floor(&self) -> i64 {
        match *self.state.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(Floor { at, since, cost }) if cost >= self.cheap && since.elapsed() < self.age.max(cost.saturating_mul(10)) => {
                at
            }
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
        Self {
            due: TimeFloor::new(DUE_AGE, Duration::ZERO),
            expiry: [const { TimeFloor::new(EXPIRY_AGE, EXPIRY_CHEAP) }; Place::ALL.len()],
        }
    }
}

impl TimeFloors {
    /// Of the tasks in each place that may expire.
    pub(crate) fn expiries(&self) -> impl Iterator<Item = (Place, &TimeFloor)> {
        Place::ALL.into_iter().zip(&self.expiry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_at_all_is_spared_while_it_is_dear() {
        let floor = TimeFloor::new(Duration::from_secs(3_600), EXPIRY_CHEAP);
        assert_eq!(floor.floor(), i64::MIN);
        floor.raise(i64::MIN, 7, EXPIRY_CHEAP / 2);
        assert_eq!(floor.floor(), i64::MIN, "it was cheap");
        floor.raise(i64::MIN, 7, EXPIRY_CHEAP);
        assert_eq!(floor.floor(), 7);
        floor.raise(7, 9, Duration::ZERO);
        assert_eq!(floor.floor(), 9, "what a look from the floor costs says nothing of one at all");
    }
}
