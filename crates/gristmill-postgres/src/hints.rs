use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is known of where a claim would find something, and of how much this process could still take: so that news of one queue are
/// one claim of that queue, and what a worker here takes at once is no news to others.
#[derive(Debug, Default)]
pub(crate) struct Hints {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Something came to these since the last claim.
    queues: BTreeSet<i32>,
    /// Something came somewhere.
    anywhere: bool,
    /// How much more than it got the last claim from a queue has asked for.
    room: HashMap<i32, usize>,
}

impl Hints {
    /// Something came to a queue.
    pub(crate) fn came(&self, queue: i32) {
        self.state().queues.insert(queue);
    }

    /// Something came, and nobody says where.
    pub(crate) fn came_somewhere(&self) {
        self.state().anywhere = true;
    }

    /// Where a claim that is about to be made will find something; `None` if it could be anywhere.
    pub(crate) fn take(&self) -> Option<BTreeSet<i32>> {
        let mut state = self.state();
        let queues = std::mem::take(&mut state.queues);
        (!std::mem::take(&mut state.anywhere) && !queues.is_empty()).then_some(queues)
    }

    /// A claim from a queue asked for `wanted` and got `taken`.
    pub(crate) fn claimed(&self, queue: i32, wanted: usize, taken: usize) {
        let mut state = self.state();
        match wanted.saturating_sub(taken) {
            0 => drop(state.room.remove(&queue)),
            left => drop(state.room.insert(queue, left)),
        }
    }

    /// Whether who waits here has room for so many more, which is taken up with it.
    pub(crate) fn has_room(&self, queue: i32, count: u32) -> bool {
        let mut state = self.state();
        let (Some(room), Ok(count)) = (state.room.get_mut(&queue), usize::try_from(count)) else { return false };
        let left = room.checked_sub(count);
        if let Some(left) = left {
            *room = left;
        }
        left.is_some()
    }

    /// Who waited here has gone.
    pub(crate) fn forget(&self) {
        *self.state() = State { anywhere: true, ..State::default() };
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Sets that are right or too large at every moment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_told_where_only_if_all_that_came_is_known() {
        let hints = Hints::default();
        assert_eq!(hints.take(), None, "nobody said anything: it polls");
        hints.came(1);
        hints.came(2);
        assert_eq!(hints.take(), Some(BTreeSet::from([1, 2])));
        assert_eq!(hints.take(), None);
        hints.came(1);
        hints.came_somewhere();
        assert_eq!(hints.take(), None);
        hints.came(1);
        assert_eq!(hints.take(), Some(BTreeSet::from([1])));
    }

    #[test]
    fn room_is_what_a_claim_asked_for_and_did_not_get() {
        let hints = Hints::default();
        assert!(!hints.has_room(1, 1), "nobody has claimed");
        hints.claimed(1, 8, 5);
        assert!(!hints.has_room(1, 4), "more than fits is for others, too");
        assert!(hints.has_room(1, 2) && hints.has_room(1, 1) && !hints.has_room(1, 1));
        hints.claimed(1, 8, 0);
        hints.claimed(1, 8, 8);
        assert!(!hints.has_room(1, 1));
        hints.claimed(1, 8, 0);
        hints.forget();
        assert!(!hints.has_room(1, 1));
    }
}
