use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gristmill_core::WorkerId;

/// What is known of where a claim would find nothing, and of how much this process could still take: so that news of one queue are
/// one claim of that queue, and what a worker here takes at once is no news to others.
#[derive(Debug, Default)]
pub(crate) struct Hints {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Counts what came.
    news: u64,
    /// The last that came to a queue.
    came: HashMap<i32, u64>,
    /// The last that came nobody says where.
    came_somewhere: u64,
    workers: HashMap<WorkerId, Worker>,
}

#[derive(Debug, Default)]
struct Worker {
    /// These gave less than was asked for, and nothing that was told has come to them since; and when that was.
    dry: HashMap<i32, Instant>,
    /// For how many more than it got slots were free when it last claimed from a queue.
    room: HashMap<i32, usize>,
}

/// What a claim from a queue asked for, and got.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Catch {
    pub(crate) wanted: usize,
    /// For so many slots are free. The rest would wait, perhaps beside workers that are idle.
    pub(crate) free: usize,
    pub(crate) taken: usize,
}

/// When a claim began: what comes from then on it may not see.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun(u64);

/// News may get lost: a queue is looked at again after this time, whatever is known of it.
const DRY_FOR: Duration = Duration::from_secs(5);
/// Names of queues that are kept at most; beyond that all is forgotten, which is always right.
const QUEUES_MAX: usize = 10_000;

impl Hints {
    /// Something came to a queue.
    pub(crate) fn came(&self, queue: i32) {
        let mut state = self.state();
        if state.came.len() >= QUEUES_MAX {
            state.came.clear();
            state.came_somewhere(false);
        }
        state.news += 1;
        let news = state.news;
        state.came.insert(queue, news);
        for worker in state.workers.values_mut() {
            worker.dry.remove(&queue);
        }
    }

    /// Something came, and nobody says where.
    pub(crate) fn came_somewhere(&self) {
        self.state().came_somewhere(false);
    }

    /// Who waited here has gone, and with it the room that others were not told for.
    pub(crate) fn leave(&self, worker: WorkerId) {
        let mut state = self.state();
        state.workers.remove(&worker);
        state.came_somewhere(true);
    }

    /// A claim begins.
    pub(crate) fn begin(&self) -> Begun {
        Begun(self.state().news)
    }

    /// Whether a worker knows that a queue has nothing for it.
    pub(crate) fn is_dry(&self, worker: WorkerId, queue: i32) -> bool {
        self.state()
            .workers
            .get(&worker)
            .is_some_and(|worker| worker.dry.get(&queue).is_some_and(|since| since.elapsed() < DRY_FOR))
    }

    /// A worker has claimed from a queue.
    pub(crate) fn claimed(&self, worker: WorkerId, queue: i32, Catch { wanted, free, taken }: Catch, begun: Begun) {
        let mut state = self.state();
        let saw_all = state.came_somewhere <= begun.0 && state.came.get(&queue).is_none_or(|came| *came <= begun.0);
        let worker = state.workers.entry(worker).or_default();
        match free.saturating_sub(taken) {
            0 => drop(worker.room.remove(&queue)),
            left => drop(worker.room.insert(queue, left)),
        }
        if taken >= wanted {
            worker.dry.remove(&queue);
        } else if saw_all {
            worker.dry.insert(queue, Instant::now());
        }
    }

    /// Whether one that waits here has room for so many more, which is taken up with it.
    pub(crate) fn has_room(&self, queue: i32, count: u32) -> bool {
        let Ok(count) = usize::try_from(count) else { return false };
        let mut state = self.state();
        let room = state.workers.values_mut().filter_map(|worker| worker.room.get_mut(&queue)).find(|room| **room >= count);
        if let Some(room) = room {
            *room -= count;
            return true;
        }
        false
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Sets that are right or too small at every moment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn came_somewhere(&mut self, and_room: bool) {
        self.news += 1;
        self.came_somewhere = self.news;
        for worker in self.workers.values_mut() {
            worker.dry.clear();
            if and_room {
                worker.room.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use gristmill_core::Env;

    use super::*;

    fn of(wanted: usize, taken: usize) -> Catch {
        Catch { wanted, free: wanted, taken }
    }

    #[test]
    fn a_queue_is_dry_for_who_has_looked_until_something_comes() {
        let (hints, env) = (Hints::default(), Env::system());
        let (one, other) = (env.worker_id(), env.worker_id());
        assert!(!hints.is_dry(one, 1), "nobody has looked");
        hints.claimed(one, 1, of(8, 3), hints.begin());
        hints.claimed(one, 2, of(8, 8), hints.begin());
        assert!(hints.is_dry(one, 1) && !hints.is_dry(one, 2) && !hints.is_dry(other, 1));
        hints.came(2);
        assert!(hints.is_dry(one, 1));
        hints.came(1);
        assert!(!hints.is_dry(one, 1));
        hints.claimed(one, 1, of(8, 0), hints.begin());
        hints.came_somewhere();
        assert!(!hints.is_dry(one, 1));
    }

    #[test]
    fn what_comes_while_a_claim_is_under_way_is_not_forgotten() {
        let (hints, env) = (Hints::default(), Env::system());
        let worker = env.worker_id();
        for come in [(|hints| hints.came(1)) as fn(&Hints), |hints| hints.came_somewhere()] {
            let begun = hints.begin();
            come(&hints);
            hints.claimed(worker, 1, of(8, 0), begun);
            assert!(!hints.is_dry(worker, 1));
        }
        hints.claimed(worker, 1, of(8, 0), hints.begin());
        assert!(hints.is_dry(worker, 1));
    }

    #[test]
    fn room_is_what_a_claim_asked_for_and_did_not_get() {
        let (hints, env) = (Hints::default(), Env::system());
        let worker = env.worker_id();
        assert!(!hints.has_room(1, 1), "nobody has claimed");
        hints.claimed(worker, 1, of(8, 5), hints.begin());
        assert!(!hints.has_room(1, 4), "more than fits is for others, too");
        assert!(hints.has_room(1, 2) && hints.has_room(1, 1) && !hints.has_room(1, 1));
        hints.claimed(worker, 1, of(8, 8), hints.begin());
        assert!(!hints.has_room(1, 1));
        hints.claimed(worker, 1, of(8, 0), hints.begin());
        hints.leave(worker);
        assert!(!hints.has_room(1, 1));
    }

    #[test]
    fn what_a_worker_would_only_claim_ahead_is_told_to_those_that_are_idle() {
        let (hints, env) = (Hints::default(), Env::system());
        let worker = env.worker_id();
        hints.claimed(worker, 1, Catch { wanted: 52, free: 2, taken: 1 }, hints.begin());
        assert!(hints.has_room(1, 1) && !hints.has_room(1, 1));
        hints.claimed(worker, 1, Catch { wanted: 50, free: 0, taken: 0 }, hints.begin());
        assert!(!hints.has_room(1, 1) && hints.is_dry(worker, 1));
    }
}
