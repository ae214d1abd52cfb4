use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gristmill_core::{ChangeLog, Changes, Effects, Env, Mark, TaskId};
use tokio::sync::watch;

/// Who waits for what: one signal for each sort of news.
#[derive(Debug, Default)]
pub(super) struct Signals {
    pub(super) ready: Signal,
    pub(super) scheduled: Signal,
    pub(super) cancelled: Signal,
    pub(super) ended: Signal,
    changed: Signal,
    log: Mutex<ChangeLog>,
}

/// What an operation brought about that somebody may wait for.
#[derive(Debug, Default)]
pub(super) struct News {
    pub(super) ready: bool,
    pub(super) scheduled: bool,
    pub(super) cancelled: bool,
    pub(super) ended: Vec<TaskId>,
    pub(super) changed: bool,
}

/// A count of events, and how many of them were there when somebody last looked.
#[derive(Debug)]
pub(super) struct Signal {
    happened: watch::Sender<u64>,
    seen: AtomicU64,
}

impl Signals {
    pub(super) fn announce(&self, news: News) {
        let News { ready, scheduled, cancelled, ended, changed } = news;
        let has_ended = !ended.is_empty();
        let effects = Effects { readied: ready, scheduled, cancelled, ended, changed, ..Effects::default() };
        let logged = self.log().add(&effects);
        self.raise([ready, scheduled, cancelled, has_ended, logged]);
    }

    pub(super) fn nudge(&self) {
        self.log().add_unknown();
        self.raise([true; 5]);
    }

    fn raise(&self, happened: [bool; 5]) {
        let signals = [&self.ready, &self.scheduled, &self.cancelled, &self.ended, &self.changed];
        for (signal, happened) in signals.into_iter().zip(happened) {
            if happened {
                signal.raise();
            }
        }
    }

    pub(super) fn changes(&self, after: Option<Mark>, env: &Env) -> Changes {
        self.log().since(after, || env.fence())
    }

    /// Until something happened since.
    pub(super) async fn past(&self, mark: Mark, timeout: Duration) {
        self.changed.until(timeout, || self.log().is_past(mark)).await;
    }

    fn log(&self) -> MutexGuard<'_, ChangeLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Signal {
    fn default() -> Self {
        Self { happened: watch::Sender::new(0), seen: AtomicU64::new(0) }
    }
}

impl Signal {
    fn raise(&self) {
        self.happened.send_modify(|count| *count += 1);
    }

    /// Somebody looks now: what happened before need wake nobody any more.
    pub(super) fn looked(&self) {
        self.seen.fetch_max(*self.happened.borrow(), Ordering::SeqCst);
    }

    /// Resolves at the next event, at once if there was one since somebody last looked (it fell between the look and this
    /// call, and would be lost otherwise), or after `timeout`.
    pub(super) async fn next(&self, timeout: Duration) {
        let mut happened = self.happened.subscribe();
        if *happened.borrow_and_update() > self.seen.load(Ordering::SeqCst) {
            return;
        }
        // Neither can fail in a way that matters: the sender lives as long as the store, and a timeout is an answer too.
        let _ = tokio::time::timeout(timeout, happened.changed()).await;
    }

    /// Resolves when `condition` holds, which is looked at now and after each event, when nudged, or after `timeout`.
    pub(super) async fn until(&self, timeout: Duration, condition: impl Fn() -> bool) {
        // Subscribed before the first look, so that an event in between is not lost.
        let mut happened = self.happened.subscribe();
        let holds = async {
            while !condition() {
                if happened.changed().await.is_err() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(timeout, holds).await;
    }
}
