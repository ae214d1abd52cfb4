use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What this much before its time was told is told again: whoever promotes may look just now.
const MARGIN: Duration = Duration::from_millis(20);

/// When the next scheduled task is due, as far as this process knows. A task that is due later wakes nobody: whoever promotes the one
/// before it finds it then.
#[derive(Debug, Default)]
pub(crate) struct Dues {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When somebody here looks at the latest.
    next: Option<Instant>,
    /// When somebody elsewhere does, as it was told of a task that is due then.
    told: Option<Instant>,
    /// The soonest that came while a look was under way, which may not have seen it.
    unseen: Option<Instant>,
}

impl Dues {
    /// A task is due then; true if nobody here would look in time.
    pub(crate) fn is_sooner(&self, due: Instant) -> bool {
        let mut state = self.state();
        state.unseen = Some(sooner(state.unseen, due));
        let is_sooner = state.next.is_none_or(|next| due < next);
        if is_sooner {
            state.next = Some(due);
        }
        is_sooner
    }

    /// The same; true if nobody elsewhere would.
    pub(crate) fn is_to_be_told(&self, due: Instant) -> bool {
        let mut state = self.state();
        let in_time = |told: &Instant| *told <= due && *told > Instant::now() + MARGIN;
        if state.told.as_ref().is_some_and(in_time) {
            return false;
        }
        state.told = Some(due);
        true
    }

    /// Others were told of a task that is due then.
    pub(crate) fn heard(&self, due: Instant) -> bool {
        let mut state = self.state();
        if state.told.is_none_or(|told| due < told || told <= Instant::now()) {
            state.told = Some(due);
        }
        drop(state);
        self.is_sooner(due)
    }

    /// What was told may not have arrived.
    pub(crate) fn forget_told(&self) {
        self.state().told = None;
    }

    /// Somebody begins to look.
    pub(crate) fn look(&self) {
        self.state().unseen = None;
    }

    /// What the look found. Returns when to look again, of which it may not have seen all.
    pub(crate) fn found(&self, wait: Option<Duration>) -> Option<Duration> {
        let mut state = self.state();
        let now = Instant::now();
        let seen = wait.map(|wait| now + wait);
        state.next = match (seen, state.unseen) {
            (Some(seen), unseen) => Some(sooner(unseen, seen)),
            (None, unseen) => unseen,
        };
        state.next.map(|next| next.saturating_duration_since(now))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Times that are right or too early at every moment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sooner(known: Option<Instant>, due: Instant) -> Instant {
    known.map_or(due, |known| known.min(due))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn what_is_due_later_than_the_next_wakes_nobody() {
        let (dues, now) = (Dues::default(), Instant::now());
        assert!(dues.is_sooner(now + HOUR), "nothing was known");
        assert!(!dues.is_sooner(now + HOUR * 2));
        assert!(dues.is_sooner(now + HOUR / 2));
        dues.look();
        assert_eq!(dues.found(None), None);
        assert!(dues.is_sooner(now + HOUR * 3), "nothing was left");
    }

    #[test]
    fn what_comes_while_somebody_looks_is_not_forgotten() {
        let (dues, now) = (Dues::default(), Instant::now());
        dues.look();
        assert!(dues.is_sooner(now + HOUR));
        let again = dues.found(Some(HOUR * 2)).unwrap();
        assert!(again <= HOUR);
        dues.look();
        assert!(dues.found(Some(HOUR * 2)).unwrap() > HOUR);
    }

    #[test]
    fn others_are_told_once_of_what_they_look_for_in_time() {
        let (dues, now) = (Dues::default(), Instant::now());
        assert!(dues.is_to_be_told(now + HOUR));
        assert!(!dues.is_to_be_told(now + HOUR * 2));
        assert!(dues.is_to_be_told(now + HOUR / 2));
        assert!(dues.is_to_be_told(now), "sooner than anything");
        assert!(dues.is_to_be_told(now + HOUR), "what was told is over");
        assert!(dues.heard(now + HOUR / 4));
        assert!(!dues.is_to_be_told(now + HOUR / 2), "somebody else has told of a sooner one");
    }
}
