use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gristmill_core::{TaskId, Wake, WorkerId};
use tokio::sync::Notify;

use crate::effects::Effects;

/// How often one look that has become stale may end somebody's wait at once. More than one, as a wait does not say whose
/// it is, and a bound, as its owner may never look again.
const STALE_MAX: u8 = 8;

/// Who waits for what, and what happened since each last looked.
///
/// A wake-up between a caller's look and its wait must not be lost. So every look is remembered with how many times
/// something had become ready by then; a wait that begins while a look is out of date ends at once.
#[derive(Default)]
pub(crate) struct Signals {
    ready: Notify,
    scheduled: Notify,
    waiting: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    readied: u64,
    scheduled: u64,
    looks: HashMap<WorkerId, Look>,
    sweep: Option<Look>,
    ended: HashMap<TaskId, (usize, Arc<Notify>)>,
}

struct Look {
    saw: u64,
    left: u8,
}

impl Look {
    fn at(saw: u64) -> Self {
        Self { saw, left: STALE_MAX }
    }

    fn is_stale(&mut self, now: u64) -> bool {
        let stale = self.saw < now && self.left > 0;
        self.left -= u8::from(stale);
        stale
    }
}

impl Signals {
    /// Tells of a commit of this process.
    pub(crate) fn committed(&self, effects: &Effects) {
        let mut state = self.state();
        // Looks first: whether they came before or after what is new is not known, and too early is safe.
        let (readied, scheduled) = (state.readied, state.scheduled);
        for worker in &effects.looked {
            state.looks.insert(*worker, Look::at(readied));
        }
        for worker in &effects.left {
            state.looks.remove(worker);
        }
        if effects.swept {
            state.sweep = Some(Look::at(scheduled));
        }
        state.readied += u64::from(effects.readied);
        state.scheduled += u64::from(effects.scheduled);
        if !state.ended.is_empty() {
            for id in &effects.ended {
                if let Some((_, notify)) = state.ended.get(id) {
                    notify.notify_waiters();
                }
            }
        }
        drop(state);
        if effects.readied {
            self.ready.notify_waiters();
        }
        if effects.scheduled {
            self.scheduled.notify_waiters();
        }
    }

    /// Something may have become ready.
    pub(crate) fn ready(&self) {
        self.state().readied += 1;
        self.ready.notify_waiters();
    }

    /// Tells of a commit by somebody else, who did not say what it was.
    pub(crate) fn changed(&self) {
        let mut state = self.state();
        state.readied += 1;
        state.scheduled += 1;
        for (_, notify) in state.ended.values() {
            notify.notify_waiters();
        }
        drop(state);
        self.ready.notify_waiters();
        self.scheduled.notify_waiters();
    }

    /// Whether anybody waits for ready tasks, so that commits of other processes matter.
    pub(crate) fn is_awaited(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    /// Whether anybody waits for the end of some task.
    pub(crate) fn is_any_end_awaited(&self) -> bool {
        !self.state().ended.is_empty()
    }

    /// Begins a wait; true if nobody waited for ready tasks or this end before, so that whoever looks out for other processes
    /// has to be told.
    pub(crate) fn enlist(self: &Arc<Self>, wake: Wake) -> (Waiter, bool) {
        let first = match wake {
            Wake::Ended(id) => {
                let mut state = self.state();
                let entry = state.ended.entry(id).or_default();
                entry.0 += 1;
                entry.0 == 1
            }
            Wake::Ready => self.waiting.fetch_add(1, Ordering::SeqCst) == 0,
            Wake::Scheduled => false,
        };
        (Waiter { signals: self.clone(), wake }, first)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Counters and maps, which are whole at every moment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One wait; ends when it is dropped.
pub(crate) struct Waiter {
    signals: Arc<Signals>,
    wake: Wake,
}

impl Waiter {
    /// Resolves at the next signal. `missed` is asked once it can no longer be missed, and ends the wait if it is true.
    pub(crate) async fn wait(&self, missed: impl Future<Output = bool>) {
        let ended = match self.wake {
            Wake::Ended(id) => self.signals.state().ended.get(&id).map(|(_, notify)| notify.clone()),
            _ => None,
        };
        let notify = match self.wake {
            Wake::Ready => &self.signals.ready,
            Wake::Scheduled => &self.signals.scheduled,
            Wake::Ended(_) => match &ended {
                Some(notify) => notify,
                None => return,
            },
        };
        let mut notified = std::pin::pin!(notify.notified());
        notified.as_mut().enable();
        if self.is_stale() || missed.await {
            return;
        }
        notified.await;
    }

    fn is_stale(&self) -> bool {
        let mut state = self.signals.state();
        let State { readied, scheduled, looks, sweep, .. } = &mut *state;
        match self.wake {
            // All are asked, so that each stale look is used up at the same pace.
            Wake::Ready => looks.values_mut().filter_map(|look| look.is_stale(*readied).then_some(())).count() > 0,
            Wake::Scheduled => sweep.as_mut().is_some_and(|look| look.is_stale(*scheduled)),
            Wake::Ended(_) => false,
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if self.wake == Wake::Ready {
            self.signals.waiting.fetch_sub(1, Ordering::SeqCst);
        }
        if let Wake::Ended(id) = self.wake {
            let mut state = self.signals.state();
            if let Some(entry) = state.ended.get_mut(&id) {
                entry.0 -= 1;
                if entry.0 == 0 {
                    state.ended.remove(&id);
                }
            }
        }
    }
}
