//! Keys with a limit: slots are given in transactions of their own, after the commit of what freed them or brought those who wait, so that no
//! caller's transaction locks a key. One of a process's callers admits for all; what a crash leaves, or a caller's own transaction brings, whoever
//! looks next finds.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gristmill_core::concurrency::{KeyLimits, Limit, LimitInfo, LimitRecord, Standby};
use gristmill_core::{StoreError, TaskId, async_trait};
use tokio::sync::OwnedMutexGuard;

use crate::inner::{Inner, Kind, run};
use crate::store::PostgresStore;
use crate::{ops, view};

/// So many transactions one caller admits in, before the rest is left to the next: others may bring more without end.
const TRANSACTIONS_MAX: usize = 50;

/// After that it is looked again whether somebody may begin of a rate to which others admit.
const HELD_WAIT: Duration = Duration::from_millis(5);
/// The same where it did not come to an end.
const FAILED_WAIT: Duration = Duration::from_millis(200);

/// What a process remembers of it.
#[derive(Debug, Default)]
pub(crate) struct Admitting {
    touched: AtomicBool,
    turn: Arc<tokio::sync::Mutex<()>>,
    walked: Mutex<ops::SlotsWalked>,
    firsts: ops::Firsts,
}

impl Admitting {
    /// Slots were freed, or tasks have come to wait for some.
    pub(crate) fn touched(&self) {
        self.touched.store(true, Ordering::Release);
    }

    fn is_touched(&self) -> bool {
        self.touched.load(Ordering::Acquire)
    }
}

impl Inner {
    /// Gives slots to those who wait, if any were freed, or tasks have come to wait, here or as far as was seen. Nobody waits for it.
    pub(crate) fn admit_apart(self: &Arc<Self>) {
        if self.admitting.is_touched()
            && let Ok(turn) = self.admitting.turn.clone().try_lock_owned()
        {
            self.tasks.spawn(self.clone().admit_and_tell(turn));
        }
    }

    /// The same; returns when that is done, by whomever. Whoever waits may go away meanwhile.
    pub(crate) async fn admit_touched(self: &Arc<Self>) {
        if self.admitting.is_touched() {
            let turn = self.admitting.turn.clone().lock_owned().await;
            let admits = self.tasks.spawn(self.clone().admit_and_tell(turn));
            // A panic there was told where it happened; a sweep goes on.
            let _ = admits.await;
        }
    }

    async fn admit_and_tell(self: Arc<Self>, turn: OwnedMutexGuard<()>) {
        self.clone().admit_by_turn(turn).await;
        // Of those that were dropped some may be members: whoever ends now, as a command does, would leave their workflows to a sweep. Else not, as that
        // admits in its turn: where others have a key in hand, nobody would rest.
        if self.conducting.is_reported() {
            self.conduct_reported().await;
        }
    }

    async fn admit_by_turn(self: Arc<Self>, turn: OwnedMutexGuard<()>) {
        let mut turn = turn;
        loop {
            while self.admitting.touched.swap(false, Ordering::AcqRel) {
                if !self.admit_all().await {
                    // The next to come tries again.
                    return self.admitting.touched();
                }
            }
            drop(turn);
            // Somebody may have come between the last look and that, and left it to whose turn it was.
            turn = match self.admitting.turn.clone().try_lock_owned() {
                Ok(turn) if self.admitting.is_touched() => turn,
                _ => return,
            };
        }
    }

    /// Whether that was all.
    async fn admit_all(self: &Arc<Self>) -> bool {
        for _ in 0..TRANSACTIONS_MAX {
            match self.admit_once().await {
                Ok(admission) if admission.is_more => {}
                Ok(admission) => return !admission.is_held,
                Err(error) => {
                    tracing::debug!(%error, "slots are given with the next sweep");
                    return false;
                }
            }
        }
        false
    }

    async fn admit_once(self: &Arc<Self>) -> Result<ops::Admission, StoreError> {
        run!(self, pool, Kind::SingleBriefly, s => ops::admit_touched(&mut s, &self.admitting.firsts))
    }

    async fn mend(self: &Arc<Self>, walked: &ops::SlotsWalked) -> Result<ops::SlotsWalked, StoreError> {
        run!(self, pool, Kind::TransactionBriefly, s => ops::repair_slots(&mut s, walked))
    }

    /// Lets begin who waits for a rate, if somebody may by now. Returns how long it is until the next may.
    pub(crate) async fn admit_due(self: &Arc<Self>, next: Option<Duration>) -> Result<Option<Duration>, StoreError> {
        if next != Some(Duration::ZERO) {
            return Ok(next);
        }
        self.admitting.touched();
        self.admit_touched().await;
        let next: Result<Option<Duration>, StoreError> = run!(self, reads, Kind::Single, s => ops::next_rate(&mut s));
        // Where others have the key in hand, they look.
        let least = if self.admitting.is_touched() { FAILED_WAIT } else { HELD_WAIT };
        Ok(next?.map(|next| next.max(least)))
    }

    /// Does what was left: gives slots that nobody has given, and mends a part of what was forgotten.
    pub(crate) async fn sweep_slots(self: &Arc<Self>) -> Result<(), StoreError> {
        let walked = self.admitting.walked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let walked = self.mend(&walked).await;
        self.admitting.touched();
        self.admit_touched().await;
        *self.admitting.walked.lock().unwrap_or_else(PoisonError::into_inner) = walked?;
        Ok(())
    }
}

#[async_trait]
impl KeyLimits for PostgresStore {
    async fn list_limits(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<LimitInfo>, StoreError> {
        if [Some(prefix), after].into_iter().flatten().any(|name| name.contains('\0')) {
            return Ok(Vec::new());
        }
        run!(&self.inner(), reads, Kind::Single, s => view::list_limits(&s, prefix, after, limit))
    }

    async fn get_limit(&self, key: &str, most: usize) -> Result<Option<LimitRecord>, StoreError> {
        if key.contains('\0') {
            return Ok(None);
        }
        run!(&self.inner(), reads, Kind::Single, s => view::limit(&s, key, most))
    }

    async fn set_limit(&self, key: &str, limit: Option<Limit>) -> Result<(), StoreError> {
        let inner = self.inner();
        let set: Result<(), StoreError> = run!(&inner, pool, Kind::Single, s => ops::set_limit(&mut s, key, limit));
        inner.admit_touched().await;
        set
    }

    async fn set_remaining(&self, key: &str, left: u32, within: Duration) -> Result<(), StoreError> {
        let inner = self.inner();
        let set: Result<(), StoreError> =
            run!(&inner, pool, Kind::Transaction, s => ops::set_remaining(&mut s, key, left, within));
        inner.admit_touched().await;
        set
    }

    async fn stands_by(&self, id: TaskId) -> Result<Option<Standby>, StoreError> {
        run!(&self.inner(), reads, Kind::Single, s => view::stands_by(&s, id))
    }
}
