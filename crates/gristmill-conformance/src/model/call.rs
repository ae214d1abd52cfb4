use std::fmt;

use gristmill_core::{
    CancelOutcome, Claim, Claimed, DeleteOutcome, EnqueueOutcome, Fence, LeaseKey, LeaseRef, LockOutcome, MoveOutcome, NewTask,
    Note, Pulse, ReleaseOutcome, RetryOutcome, Settled, Settlement, State, Store, StoreError, StoreErrorKind, Swept, TaskId,
    WorkerId, WorkerSpec,
};

use super::op::LEASE;

/// Which store is meant: their own keys of a task differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Model,
    Store,
}

/// A lease, with the key that each side gave it.
#[derive(Clone, Copy)]
pub(super) struct Held {
    pub(super) id: TaskId,
    pub(super) fence: Fence,
    pub(super) model_key: LeaseKey,
    pub(super) store_key: LeaseKey,
}

/// An operation with everything that it takes, so that it can be repeated to the letter.
#[derive(Debug)]
pub(super) enum Call {
    Enqueue(Vec<NewTask>),
    Enter(WorkerSpec),
    Leave(WorkerId),
    Heartbeat(WorkerId),
    Claim(Claim),
    Start(Vec<Held>),
    /// The lease in the settlement is of no side; the one beside it counts.
    Settle(Vec<(Held, Settlement)>),
    Note(Held, Note),
    Lock(Held, &'static str),
    Unlock(Held, &'static str),
    Cancel(Vec<TaskId>),
    Retry(Vec<TaskId>),
    Release(Vec<TaskId>),
    Delete(Vec<TaskId>),
    Forget(WorkerId),
    Drain(WorkerId),
    Unblock(Vec<TaskId>),
    Admit(Vec<TaskId>),
    Pause(&'static str, bool),
    PauseKind(&'static str, bool),
    Move(Vec<TaskId>, &'static str),
    Sweep(usize),
}

/// What a store said.
pub(super) enum Answer {
    Done,
    Enqueued(Vec<EnqueueOutcome>),
    Left(u64),
    Pulse(Pulse),
    Claimed(Vec<Claimed>),
    Each(Vec<bool>),
    Settled(Vec<Settled>),
    Locked(LockOutcome),
    Cancelled(Vec<CancelOutcome>),
    Retried(Vec<RetryOutcome>),
    Released(Vec<ReleaseOutcome>),
    Deleted(Vec<DeleteOutcome>),
    Forgot(Option<u64>),
    Asked(bool),
    Moved(Vec<MoveOutcome>),
    WentOn(Vec<Option<State>>),
    Swept(Swept),
    Error(StoreErrorKind, String),
}

impl Held {
    pub(super) fn on(&self, side: Side) -> LeaseRef {
        let key = match side {
            Side::Model => self.model_key,
            Side::Store => self.store_key,
        };
        LeaseRef { id: self.id, fence: self.fence, key }
    }
}

impl Call {
    /// What a caller does when the answer was lost.
    pub(super) fn again(self) -> Self {
        match self {
            Self::Claim(claim) => Self::Claim(Claim { again: true, ..claim }),
            other => other,
        }
    }

    pub(super) async fn perform(&self, store: &dyn Store, side: Side) -> Answer {
        self.ask(store, side).await.unwrap_or_else(|error| Answer::Error(error.kind(), error.to_string()))
    }

    async fn ask(&self, store: &dyn Store, side: Side) -> Result<Answer, StoreError> {
        Ok(match self {
            Self::Enqueue(tasks) => Answer::Enqueued(store.enqueue(tasks.clone()).await?),
            Self::Enter(spec) => {
                store.enter(spec).await?;
                Answer::Done
            }
            Self::Leave(worker) => Answer::Left(store.leave(*worker).await?),
            Self::Heartbeat(worker) => Answer::Pulse(store.heartbeat(*worker, LEASE).await?),
            Self::Claim(claim) => Answer::Claimed(store.claim(claim).await?),
            Self::Start(leases) => {
                let leases: Vec<_> = leases.iter().map(|held| held.on(side)).collect();
                Answer::Each(store.start(&leases).await?)
            }
            Self::Settle(ends) => {
                let on_side = |(held, settlement): &(Held, Settlement)| Settlement { lease: held.on(side), ..settlement.clone() };
                Answer::Settled(store.settle(ends.iter().map(on_side).collect()).await?)
            }
            Self::Note(held, note) => Answer::Each(store.note(vec![Note { lease: held.on(side), ..note.clone() }]).await?),
            Self::Lock(held, name) => Answer::Locked(store.take_lock(&held.on(side), name).await?),
            Self::Unlock(held, name) => Answer::Each(vec![store.release_lock(&held.on(side), name).await?]),
            Self::Cancel(ids) => Answer::Cancelled(store.cancel(ids).await?),
            Self::Retry(ids) => Answer::Retried(store.retry(ids).await?),
            Self::Release(ids) => Answer::Released(store.release(ids).await?),
            Self::Delete(ids) => Answer::Deleted(store.delete(ids).await?),
            Self::Forget(worker) => Answer::Forgot(store.forget_worker(*worker).await?),
            Self::Drain(worker) => Answer::Asked(store.drain_worker(*worker).await?),
            Self::Unblock(ids) => Answer::WentOn(store.unblock(ids).await?),
            Self::Admit(ids) => Answer::WentOn(store.admit(ids).await?),
            Self::Move(ids, queue) => Answer::Moved(store.move_to(ids, queue).await?),
            Self::Pause(queue, paused) => {
                store.pause(queue, *paused).await?;
                Answer::Done
            }
            Self::PauseKind(kind, paused) => {
                store.pause_kind(kind, *paused).await?;
                Answer::Done
            }
            Self::Sweep(limit) => Answer::Swept(store.sweep(*limit).await?),
        })
    }
}

/// The answer without what is the store's own business: its keys, what it put aside, and the words of its errors.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let without_key = |lease: &LeaseRef| LeaseRef { key: LeaseKey::default(), ..*lease };
        match self {
            Self::Done => f.write_str("done"),
            Self::Enqueued(outcomes) => write!(f, "{outcomes:?}"),
            Self::Left(n) => write!(f, "released {n}"),
            Self::Pulse(pulse) => {
                let cancel: Vec<_> = pulse.cancel.iter().map(without_key).collect();
                write!(f, "{:?}", Pulse { cancel, ..*pulse })
            }
            Self::Claimed(claimed) => {
                let claimed = claimed.iter().map(|claimed| Claimed { lease: without_key(&claimed.lease), ..claimed.clone() });
                write!(f, "{:?}", claimed.collect::<Vec<_>>())
            }
            Self::Each(each) => write!(f, "{each:?}"),
            Self::Settled(settled) => write!(f, "{settled:?}"),
            // How large its tokens are is each store's own affair; that they grow is not: see `Invariants`.
            Self::Locked(LockOutcome::Held { since, .. }) => write!(f, "held since {since}"),
            Self::Locked(outcome) => write!(f, "{outcome:?}"),
            Self::Cancelled(outcomes) => write!(f, "{outcomes:?}"),
            Self::Retried(outcomes) => write!(f, "{outcomes:?}"),
            Self::Released(outcomes) => write!(f, "{outcomes:?}"),
            Self::Deleted(outcomes) => write!(f, "{outcomes:?}"),
            Self::Forgot(held) => write!(f, "{held:?}"),
            Self::Moved(outcomes) => write!(f, "{outcomes:?}"),
            Self::Asked(is_there) => write!(f, "{is_there}"),
            Self::WentOn(states) => write!(f, "{states:?}"),
            // Which expiries a claim had found before is each store's own affair; the suite looks at what is told.
            Self::Swept(swept) => write!(f, "{:?}", Swept { unparked: 0, ended: Vec::new(), ..swept.clone() }),
            Self::Error(StoreErrorKind::Invalid, _) => f.write_str("refused as invalid"),
            // No other error has a reason here, and its words are needed to find out which it was.
            Self::Error(kind, text) => write!(f, "error {kind:?}: {text}"),
        }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{:?}", self.id, self.fence)
    }
}
