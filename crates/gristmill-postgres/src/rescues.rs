use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often all of a fleet together look for tasks whose worker has no row, or that a worker took while it was taken for dead. There
/// are hardly ever any.
const ORPHANS_EVERY: Duration = Duration::from_secs(60);

/// When to look for what dead workers hold. That reads all that runs, so that it is done once for each worker that died, and not by every
/// sweep for as long as its row is there for people to see.
#[derive(Debug, Default)]
pub(crate) struct Rescues {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Of the workers that were taken for dead, those that hold nothing any more.
    drained: HashSet<i64>,
    /// When to look whatever is known; now, if this process has never looked.
    orphans_at: Option<Instant>,
}

impl Rescues {
    /// Whether to look, when these workers are those that were taken for dead.
    pub(crate) fn are_due(&self, lost: &[i64]) -> bool {
        let mut state = self.state();
        // One that was only about to be taken for dead may be so later.
        state.drained.retain(|worker| lost.contains(worker));
        state.orphans_at.is_none_or(|at| Instant::now() >= at) || lost.iter().any(|worker| !state.drained.contains(worker))
    }

    /// A look found nothing more, in a fleet of so many. `chance` is between 0 and 1: those that start together are not to look together.
    pub(crate) fn drained(&self, lost: &[i64], fleet: u32, chance: f64) {
        let mut state = self.state();
        state.drained = lost.iter().copied().collect();
        state.orphans_at = Some(Instant::now() + ORPHANS_EVERY.saturating_mul(fleet.max(1)).mul_f64(2.0 * chance));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whole at every moment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_dead_worker_is_a_reason_to_look_until_it_is_drained() {
        let rescues = Rescues::default();
        assert!(rescues.are_due(&[]), "somebody may have died before this process began");
        rescues.drained(&[], 1, 1.0);
        assert!(!rescues.are_due(&[]));
        assert!(rescues.are_due(&[1]));
        assert!(rescues.are_due(&[1]), "somebody else has something of it in hand");
        rescues.drained(&[1], 1, 1.0);
        assert!(!rescues.are_due(&[1]));
        assert!(rescues.are_due(&[1, 2]));
        rescues.drained(&[1, 2], 1, 1.0);
        assert!(!rescues.are_due(&[2]));
        assert!(rescues.are_due(&[1, 2]), "it had lived after all");
        rescues.drained(&[1, 2], 1, 0.0);
        assert!(rescues.are_due(&[1, 2]), "it is time to look for orphans");
    }
}
