use std::sync::{Mutex, PoisonError};

use gristmill_core::{EnqueueOutcome, NewTask, StoreError};
use tokio::sync::{Semaphore, oneshot};

/// Tasks that one statement takes from several callers; more wait for the next.
const GROUP_MAX: usize = 2_000;
/// And about so many bytes of them, unless one caller alone brings more.
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Connections on which callers are served apart from all others, so that claims are left the rest.
const APART_MAX: usize = 1;

/// Callers that enqueue while a statement is under way share the next one: a lone caller waits for nobody, and a crowd shares
/// one commit.
pub(crate) struct Gather {
    state: Mutex<State>,
    /// For those whose statement has to wait for somebody.
    pub(crate) apart: Semaphore,
}

impl Default for Gather {
    fn default() -> Self {
        Self { state: Mutex::default(), apart: Semaphore::new(APART_MAX) }
    }
}

#[derive(Default)]
struct State {
    running: bool,
    waiting: Vec<Caller>,
}

/// Somebody's tasks, and where the answer goes.
pub(crate) struct Caller {
    pub(crate) tasks: Vec<NewTask>,
    pub(crate) reply: oneshot::Sender<Answer>,
}

/// What each caller is told.
pub(crate) type Answer = Result<Vec<EnqueueOutcome>, StoreError>;

impl Gather {
    /// Joins; true if nobody works for those who wait, so that the caller has to see to it.
    pub(crate) fn join(&self, tasks: Vec<NewTask>) -> (oneshot::Receiver<Answer>, bool) {
        let (reply, answer) = oneshot::channel();
        let mut state = self.state();
        state.waiting.push(Caller { tasks, reply });
        (answer, !std::mem::replace(&mut state.running, true))
    }

    /// The next group, in the order of arrival; `None` when nobody waits, and then the next to come has to work again.
    pub(crate) fn next(&self) -> Option<Vec<Caller>> {
        let mut state = self.state();
        if state.waiting.is_empty() {
            state.running = false;
            return None;
        }
        let (mut size, mut bytes) = (0, 0);
        let fits = state.waiting.iter().take_while(|caller| {
            size += caller.tasks.len();
            bytes += caller.tasks.iter().map(NewTask::bytes).sum::<usize>();
            size <= GROUP_MAX && bytes <= GROUP_BYTES_MAX
        });
        let count = fits.count().max(1);
        Some(state.waiting.drain(..count).collect())
    }

    /// Whoever served them has panicked: true if somebody still waits, for whom another has to begin.
    pub(crate) fn interrupted(&self) -> bool {
        let mut state = self.state();
        state.running = !state.waiting.is_empty();
        state.running
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // A flag and a list, which are whole at every moment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use gristmill_core::{Env, Limits, Overrides, Policy};

    use super::*;

    fn tasks(count: usize, bytes: usize) -> Vec<NewTask> {
        let new = || {
            let args = format!("{{\"x\":\"{}\"}}", "x".repeat(bytes));
            NewTask::resolve("work", &Policy::default(), args, Overrides::default(), Env::system().task_id(), &Limits::default())
                .unwrap()
        };
        (0..count).map(|_| new()).collect()
    }

    #[test]
    fn a_group_is_bounded_by_its_tasks_and_their_bytes() {
        let gather = Gather::default();
        for (count, bytes) in [(1_500, 1), (600, 1), (1, 250_000), (20, 250_000), (1, 1), (1, 1)] {
            drop(gather.join(tasks(count, bytes)));
        }
        let sizes: Vec<usize> = std::iter::from_fn(|| gather.next().map(|group| group.len())).collect();
        assert_eq!(sizes, [1, 2, 1, 2]);
    }

    #[test]
    fn after_a_panic_the_next_serves_those_who_wait() {
        let gather = Gather::default();
        assert!(gather.join(tasks(1, 1)).1);
        assert!(!gather.join(tasks(1, 1)).1, "somebody works already");
        assert!(gather.interrupted(), "they wait still");
        assert_eq!(gather.next().map(|group| group.len()), Some(2));
        assert!(!gather.interrupted());
        assert!(gather.join(tasks(1, 1)).1, "nobody works, so that the next has to");
    }
}
