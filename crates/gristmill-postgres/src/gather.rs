use std::sync::{Mutex, PoisonError};

use gristmill_core::{EnqueueOutcome, NewTask, StoreError};
use tokio::sync::oneshot;

/// Tasks that one statement takes from several callers; more wait for the next.
const GROUP_MAX: usize = 2_000;

/// Callers that enqueue while a statement is under way share the next one: a lone caller waits for nobody, and a crowd shares
/// one commit.
#[derive(Default)]
pub(crate) struct Gather {
    state: Mutex<State>,
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
        let mut size = 0;
        let fits = state.waiting.iter().take_while(|caller| {
            size += caller.tasks.len();
            size <= GROUP_MAX
        });
        let count = fits.count().max(1);
        Some(state.waiting.drain(..count).collect())
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // A flag and a list, which are whole at every moment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
