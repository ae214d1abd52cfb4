use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::attempt::Attempt;
use crate::core::{Ending, LeaseRef, Settlement, State, TaskId};
use crate::hooks::{Hooks, Notice};
use crate::panics;
use crate::worker::shared::Shared;

/// Ends that wait for the application's hooks. Beyond it they are dropped: settling waits for nobody's hook.
const WAITING_MAX: usize = 1_024;
/// Among them at most so many successes: a flood of those must not push out the failures.
const SUCCESSES_MAX: usize = WAITING_MAX / 2;
/// So many are told in one go, on a thread where a hook may block.
const BATCH: usize = 64;

/// The way from where ends are written to the application's hooks; there is none without hooks.
#[derive(Debug)]
pub(crate) struct Teller {
    sender: mpsc::Sender<Notice>,
    receiver: Mutex<Option<mpsc::Receiver<Notice>>>,
    /// Whether there is a hook for successes.
    tells_successes: bool,
    /// Attempts whose end is being written and may be told.
    attempts: Mutex<HashMap<LeaseRef, Arc<Attempt>>>,
}

impl Teller {
    pub(crate) fn new(hooks: &Hooks) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let tells_successes = !hooks.on_succeeded.is_empty();
        Self { sender, receiver: Mutex::new(Some(receiver)), tells_successes, attempts: Mutex::default() }
    }

    /// Keeps what a settlement does not say, until it is written.
    pub(crate) fn keep(&self, settlement: &Settlement, attempt: &Arc<Attempt>) {
        if self.may_tell(settlement) {
            self.attempts().insert(settlement.lease, attempt.clone());
        }
    }

    /// A settlement was acknowledged.
    pub(crate) fn settled(&self, settlement: Settlement, state: State, shared: &Shared) {
        if !self.may_tell(&settlement) {
            return;
        }
        let attempt = self.attempts().remove(&settlement.lease);
        if state == State::Succeeded && !self.tells_successes {
            return;
        }
        if let Some(notice) = Notice::of(settlement, attempt, state) {
            self.send(notice, shared);
        }
    }

    /// A handler has settled by itself, and that is committed.
    pub(crate) fn committed(&self, attempt: &Arc<Attempt>, state: State, shared: &Shared) {
        if state == State::Succeeded && self.tells_successes {
            self.send(Notice::Succeeded { attempt: attempt.clone(), ran_for: attempt.since.elapsed() }, shared);
        }
    }

    /// A settlement was refused, or given up.
    pub(crate) fn forget(&self, lease: &LeaseRef) {
        self.attempts().remove(lease);
    }

    /// A sweep has ended these tasks.
    pub(crate) fn swept(&self, ended: Vec<TaskId>, shared: &Shared) {
        for id in ended {
            self.send(Notice::Ended(id), shared);
        }
    }

    /// Whether there may be something to tell of it: a success fails if a child of it can't be kept.
    fn may_tell(&self, settlement: &Settlement) -> bool {
        self.tells_successes || settlement.ending != Ending::Succeeded || !settlement.children.is_empty()
    }

    fn send(&self, notice: Notice, shared: &Shared) {
        let waiting = WAITING_MAX - self.sender.capacity();
        let is_flooded = matches!(notice, Notice::Succeeded { .. }) && waiting >= SUCCESSES_MAX;
        if is_flooded || self.sender.try_send(notice).is_err() {
            shared.counts.untold.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn attempts(&self) -> MutexGuard<'_, HashMap<LeaseRef, Arc<Attempt>>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Calls the hooks. After `last`, which is set when nothing more will be written, it ends once everything is told.
pub(crate) async fn run(shared: Arc<Shared>, last: CancellationToken) {
    let receiver =
        shared.teller.as_ref().and_then(|teller| teller.receiver.lock().unwrap_or_else(PoisonError::into_inner).take());
    let Some(mut receiver) = receiver else { return };
    let mut untold = 0;
    let mut notices = Vec::new();
    loop {
        tokio::select! {
            biased;
            count = receiver.recv_many(&mut notices, BATCH) => {
                if count == 0 {
                    return;
                }
                // A panic here costs these; others are told still.
                if let Err(panicked) = panics::caught(pin!(tell(&shared, std::mem::take(&mut notices)))).await {
                    shared.counts.untold.fetch_add(count as u64, Ordering::Relaxed);
                    shared.part_panicked("tell", panicked);
                }
                let now = shared.counts.untold.load(Ordering::Relaxed);
                if now > untold {
                    tracing::warn!(dropped = now - untold, "hooks are slower than what they are told; these were not told");
                    untold = now;
                }
            }
            () = last.cancelled() => receiver.close(),
        }
    }
}

async fn tell(shared: &Shared, notices: Vec<Notice>) {
    let mut events = Vec::with_capacity(notices.len());
    for notice in notices {
        events.extend(notice.events(shared.source()).await);
    }
    let hooks = shared.runtime().hooks.clone();
    let told = tokio::task::spawn_blocking(move || events.iter().for_each(|event| hooks.tell(event))).await;
    if let Err(error) = told {
        tracing::error!(error = %error, "hooks could not be called");
    }
}
