use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::{ChangeLog, Changes, Effects, Env, Mark, TaskId, Wake, WorkerId};

/// How often one look that has become stale may end somebody's wait at once. More than one, as a wait does not say whose
/// it is, and a bound, as its owner may never look again.
const STALE_MAX: u8 = 8;

/// Who waits for what in a store's process, and what happened since each last looked. Stores answer
/// [`Source::wait`](crate::Source::wait) with it.
///
/// A wake-up between a caller's look and its wait must not be lost. So every look is remembered with how many times
/// something had become ready by then; a wait that begins while a look is out of date ends at once.
#[derive(Debug, Default)]
pub struct Signals {
    ready: Notify,
    scheduled: Notify,
    cancelled: Notify,
    changed: Notify,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    readied: u64,
    scheduled: u64,
    cancelled: u64,
    waiting_ready: usize,
    waiting_scheduled: usize,
    waiting_cancelled: usize,
    waiting_changed: usize,
    log: ChangeLog,
    looks: HashMap<WorkerId, Look>,
    cancel_looks: HashMap<WorkerId, Look>,
    sweep: Option<Look>,
    beat: Option<Look>,
    ended: HashMap<TaskId, (usize, Arc<Notify>)>,
}

#[derive(Debug)]
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
    pub fn committed(&self, effects: &Effects) {
        let mut state = self.state();
        // Looks first: whether they came before or after what is new is not known, and too early is safe.
        let (readied, scheduled) = (state.readied, state.scheduled);
        for worker in &effects.looked {
            state.looks.insert(*worker, Look::at(readied));
        }
        for worker in &effects.left {
            state.looks.remove(worker);
            state.cancel_looks.remove(worker);
        }
        if effects.swept {
            state.sweep = Some(Look::at(scheduled));
        }
        state.readied += u64::from(effects.readied);
        state.scheduled += u64::from(effects.scheduled);
        state.cancelled += u64::from(effects.cancelled);
        if !state.ended.is_empty() {
            for id in &effects.ended {
                if let Some((_, notify)) = state.ended.get(id) {
                    notify.notify_waiters();
                }
            }
        }
        let changed = state.log.add(effects);
        drop(state);
        if changed {
            self.changed.notify_waiters();
        }
        if effects.readied {
            self.ready.notify_waiters();
        }
        if effects.scheduled {
            self.scheduled.notify_waiters();
        }
        if effects.cancelled {
            self.cancelled.notify_waiters();
        }
    }

    /// A worker is about to look for ready tasks. For stores whose looks take a while, in which others commit what they do not see;
    /// the others say it with [`Effects::looked`].
    pub fn looking_for_tasks(&self, worker: WorkerId) {
        let mut state = self.state();
        let look = Look::at(state.readied);
        state.looks.insert(worker, look);
    }

    /// Somebody else may have ended tasks.
    pub fn look_for_ends(&self) {
        for (_, notify) in self.state().ended.values() {
            notify.notify_waiters();
        }
    }

    /// Somebody is about to look for due schedules.
    pub fn looking_for_schedules(&self) {
        let mut state = self.state();
        state.beat = Some(Look::at(state.scheduled));
    }

    /// A worker is about to look which of its tasks are to stop.
    pub fn looking_for_cancellations(&self, worker: WorkerId) {
        let mut state = self.state();
        let cancelled = state.cancelled;
        state.cancel_looks.insert(worker, Look::at(cancelled));
    }

    /// Somebody else committed something, by which tasks may have become ready.
    pub fn ready(&self) {
        let mut state = self.state();
        state.readied += 1;
        state.log.add_unknown();
        drop(state);
        self.ready.notify_waiters();
        self.changed.notify_waiters();
    }

    /// What happened since, for [`Store::changes`](crate::Store::changes).
    pub fn changes(&self, after: Option<Mark>, env: &Env) -> Changes {
        self.state().log.since(after, || env.fence())
    }

    /// Tells of a commit by somebody else, who did not say what it was.
    pub fn changed(&self) {
        let mut state = self.state();
        state.readied += 1;
        state.scheduled += 1;
        state.cancelled += 1;
        for (_, notify) in state.ended.values() {
            notify.notify_waiters();
        }
        state.log.add_unknown();
        drop(state);
        self.ready.notify_waiters();
        self.scheduled.notify_waiters();
        self.cancelled.notify_waiters();
        self.changed.notify_waiters();
    }

    /// Whether anybody waits for anything.
    pub fn is_awaited(&self) -> bool {
        let state = self.state();
        let waiting = [state.waiting_ready, state.waiting_scheduled, state.waiting_cancelled, state.waiting_changed];
        waiting.iter().any(|waiting| *waiting > 0) || !state.ended.is_empty()
    }

    /// Whether anybody waits for ready tasks.
    pub fn is_ready_awaited(&self) -> bool {
        self.state().waiting_ready > 0
    }

    /// Whether anybody waits for what is scheduled.
    pub fn is_schedule_awaited(&self) -> bool {
        self.state().waiting_scheduled > 0
    }

    /// Whether anybody waits for requests to stop.
    pub fn is_cancellation_awaited(&self) -> bool {
        self.state().waiting_cancelled > 0
    }

    /// Whether anybody waits for whatever happens.
    pub fn is_change_awaited(&self) -> bool {
        self.state().waiting_changed > 0
    }

    /// Whether anybody waits for the end of some task.
    pub fn is_end_awaited(&self) -> bool {
        !self.state().ended.is_empty()
    }

    /// Begins a wait; true if nobody waited for this before, so that whoever looks out for other processes has to be told.
    pub fn enlist(self: &Arc<Self>, wake: Wake) -> (Waiter, bool) {
        let mut state = self.state();
        let count = state.waiting(wake);
        *count += 1;
        let first = *count == 1;
        drop(state);
        (Waiter { signals: self.clone(), wake }, first)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Counters and maps, which are whole at every moment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn waiting(&mut self, wake: Wake) -> &mut usize {
        match wake {
            Wake::Ready => &mut self.waiting_ready,
            Wake::Scheduled => &mut self.waiting_scheduled,
            Wake::Cancelled => &mut self.waiting_cancelled,
            Wake::Ended(id) => &mut self.ended.entry(id).or_default().0,
            Wake::Changed(_) => &mut self.waiting_changed,
        }
    }
}

/// One wait; ends when it is dropped.
#[derive(Debug)]
pub struct Waiter {
    signals: Arc<Signals>,
    wake: Wake,
}

impl Waiter {
    /// Resolves at the next signal. `missed` is asked once it can no longer be missed, and ends the wait if it is true.
    pub async fn wait(&self, missed: impl Future<Output = bool>) {
        let ended = match self.wake {
            Wake::Ended(id) => self.signals.state().ended.get(&id).map(|(_, notify)| notify.clone()),
            _ => None,
        };
        let notify = match self.wake {
            Wake::Ready => &self.signals.ready,
            Wake::Scheduled => &self.signals.scheduled,
            Wake::Cancelled => &self.signals.cancelled,
            Wake::Changed(_) => &self.signals.changed,
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
        let State { readied, scheduled, cancelled, looks, cancel_looks, sweep, beat, log, .. } = &mut *state;
        // All are asked, so that each stale look is used up at the same pace.
        let any_stale = |looks: &mut HashMap<WorkerId, Look>, now| {
            looks.values_mut().filter_map(|look| look.is_stale(now).then_some(())).count() > 0
        };
        match self.wake {
            Wake::Ready => any_stale(looks, *readied),
            Wake::Cancelled => any_stale(cancel_looks, *cancelled),
            Wake::Scheduled => {
                sweep.iter_mut().chain(beat).filter_map(|look| look.is_stale(*scheduled).then_some(())).count() > 0
            }
            Wake::Changed(mark) => log.is_past(mark),
            Wake::Ended(_) => false,
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut state = self.signals.state();
        let count = state.waiting(self.wake);
        *count -= 1;
        if let (0, Wake::Ended(id)) = (*count, self.wake) {
            state.ended.remove(&id);
        }
    }
}
