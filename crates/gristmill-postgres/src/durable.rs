//! Tasks that wait go on after the commit of what they wait for: an event is only written in its sender's transaction, and a workflow ended in
//! that of whoever conducts it, so that one which is open for long holds up nobody. Whoever learns of the commit tells those who wait; those who
//! come to wait look once more after their own. What a crash leaves, sweeps do.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gristmill_core::durable::{Awaits, Checkpoint, Durable, EventRecord, Memories, NewEvent, Resume, Resumed, Sent, Waiter};
use gristmill_core::{Cursor, Page, Settled, StoreError, StoreErrorKind, TaskId, Timestamp, WorkflowId, async_trait};
use uuid::Uuid;

use crate::effects::Own;
use crate::error::{Fault, is_locked};
use crate::inner::{Inner, Kind, run};
use crate::ops::{Awaited, Stop, Telling};
use crate::store::PostgresStore;
use crate::{ops, view};

/// After so many transactions whoever tells goes on apart from whoever waits for it.
const AWAITED: usize = 5;
/// So many parts of the events of which nobody was told yet are dealt with at once.
const PARTS: usize = 10;
/// So many workflows that nobody wants any more are cancelled by one sweep.
const CANCELLED: usize = 100;
/// How often a process looks for what is left of tasks that are gone, and among how many tasks.
const BURY_EVERY_MS: i64 = 10_000;
const BURIED: usize = 1_000;

/// What a process remembers of it.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    /// Events were sent of which nobody was told yet.
    untold: AtomicBool,
    /// The first and the last of them, as a look has seen them.
    untold_seen: Mutex<Option<String>>,
    /// How far the telling of them has come.
    untold_after: Mutex<Option<i64>>,
    /// Workflows that have ended, which somebody may wait for.
    finished: Mutex<Vec<Uuid>>,
    /// How far the walks through all who wait have come.
    walked: Mutex<[Option<Stop>; 2]>,
    /// The same of that through the workflows that tasks have started.
    children: Mutex<Option<ops::Child>>,
    /// The same of that through all that is remembered, and when it goes on.
    buried: Mutex<Uuid>,
    bury_at: AtomicI64,
}

impl Waits {
    /// Takes what a commit means to those who wait.
    pub(crate) fn keep(&self, own: &Own) {
        if own.untold_events {
            self.heard();
        }
        if !own.finished.is_empty() {
            locked(&self.finished).extend_from_slice(&own.finished);
        }
    }

    /// Events were sent, by whomever. Whoever claims or promotes next here tells of them.
    pub(crate) fn heard(&self) {
        self.untold.store(true, Ordering::Release);
    }

    /// The first and the last event of which nobody was told yet, as a look has found them. Those that were seen before can't be told now, as
    /// somebody has in hand who waits for them; to try in vain would be seen by the next look.
    pub(crate) fn saw_untold(&self, untold: Option<String>) {
        let mut seen = locked(&self.untold_seen);
        if untold.is_some() && *seen != untold {
            self.heard();
        }
        *seen = untold;
    }

    fn take_untold(&self) -> bool {
        self.untold.load(Ordering::Acquire) && self.untold.swap(false, Ordering::AcqRel)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Positions, and lists that are changed whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether nobody can be told now; else it is somebody's own error, who is to be in nobody's way.
fn is_of_all(error: &StoreError) -> bool {
    error.is_transient() && error.kind() != StoreErrorKind::Other && !is_locked(error)
}

impl Inner {
    /// Keeps what an attempt has done so far, and lets its task go on at once if what it waits for has come at this moment.
    pub(crate) async fn checkpoint(self: &Arc<Self>, mut checkpoint: Checkpoint) -> Result<Settled, StoreError> {
        let explain = |fault: Fault| fault.explain(&self.connect.what);
        ops::check_memories(&checkpoint).map_err(explain)?;
        let starting = checkpoint.workflow.take().map(|workflow| ops::Starting::new(*workflow)).transpose().map_err(explain)?;
        let kept: Result<ops::Checkpointed, StoreError> =
            run!(self, pool, Kind::Single, s => ops::checkpoint(&mut s, &checkpoint, starting.as_ref()));
        let ops::Checkpointed { settled, awaits } = kept?;
        if checkpoint.suspend.is_some() {
            self.conducting.left_hand([&checkpoint.lease.id]);
        }
        if let Some((starting, new)) = &starting
            && starting.has_chores()
            && settled != Settled::LeaseLost
        {
            self.begin_workflow(new.id).await;
        }
        self.conduct_reported().await;
        if !awaits.is_empty()
            && let Err(error) = self.look_again(&awaits).await
        {
            tracing::debug!(%error, "whether what is waited for has come is seen by the next sweep");
        }
        Ok(settled)
    }

    async fn look_again(self: &Arc<Self>, awaits: &[Awaits]) -> Result<(), StoreError> {
        let awaited = Awaited::of(awaits);
        let came: Result<Awaited, StoreError> = run!(self, pool, Kind::Single, s => ops::came(&s, &awaited));
        self.tell_waiting(came?).await.map(drop)
    }

    /// Tells those who wait for this, which has come. If they are very many, the last of them apart from the caller. Says whether anybody was told.
    async fn tell_waiting(self: &Arc<Self>, came: Awaited) -> Result<bool, StoreError> {
        if came.is_nothing() {
            return Ok(false);
        }
        let mut telling = Telling::new(came.clone());
        for _ in 0..AWAITED {
            telling = match self.tell_some(&telling).await {
                Ok(telling) => telling,
                Err(error) if is_of_all(&error) => return Err(error),
                Err(_) => return self.tell_each(came).await,
            };
            if telling.is_done() {
                return Ok(telling.has_told());
            }
        }
        let inner = self.clone();
        self.tasks.spawn(async move {
            if let Err(error) = inner.tell_all(telling, came).await {
                tracing::debug!(%error, "those who wait are told by the next sweep");
            }
        });
        Ok(true)
    }

    async fn tell_all(self: &Arc<Self>, mut telling: Telling, came: Awaited) -> Result<(), StoreError> {
        while !telling.is_done() {
            telling = match self.tell_some(&telling).await {
                Ok(telling) => telling,
                Err(error) if is_of_all(&error) => return Err(error),
                Err(_) => return self.tell_each(came).await.map(drop),
            };
        }
        Ok(())
    }

    /// The same of each by itself, as one of those who wait stands in the way of the others.
    async fn tell_each(self: &Arc<Self>, came: Awaited) -> Result<bool, StoreError> {
        let mut has_told = false;
        for one in came.each() {
            let mut telling = Telling::new(one.clone());
            while !telling.is_done() {
                telling = match self.tell_some(&telling).await {
                    Ok(telling) => telling,
                    Err(error) if is_of_all(&error) => return Err(error),
                    Err(error) => {
                        tracing::warn!(came = ?one, %error, "who waits for this can't be told that it has come; a sweep tries again");
                        break;
                    }
                };
                has_told |= telling.has_told();
            }
        }
        Ok(has_told)
    }

    async fn tell_some(self: &Arc<Self>, telling: &Telling) -> Result<Telling, StoreError> {
        run!(self, pool, Kind::SingleBriefly, s => ops::tell(&mut s, telling))
    }

    /// Tells those who wait for workflows that have ended here.
    pub(crate) async fn tell_of_ends(self: &Arc<Self>) {
        let finished = std::mem::take(&mut *locked(&self.waits.finished));
        let came = Awaited { workflows: finished, ..Awaited::default() };
        if let Err(error) = self.tell_waiting(came).await {
            tracing::debug!(%error, "those who wait for the end of a workflow go on with the next sweep");
        }
    }

    /// Tells of events that others have sent, if any were seen. Says whether to go on with that at once.
    pub(crate) async fn tell_of_events(self: &Arc<Self>) -> bool {
        if !self.waits.take_untold() {
            return false;
        }
        let told = self.tell_of_untold().await;
        told.unwrap_or_else(|error| {
            tracing::debug!(%error, "those who wait for events are told by the next sweep");
            false
        })
    }

    /// The same, and nobody waits.
    pub(crate) fn tell_of_events_apart(self: &Arc<Self>) {
        if self.waits.untold.load(Ordering::Acquire) {
            let inner = self.clone();
            self.tasks.spawn(async move { while inner.tell_of_events().await {} });
        }
    }

    /// Goes on from where the last call came to. What can't be told now, as somebody has in hand who waits for it, is tried again by whoever
    /// promotes.
    async fn tell_of_untold(self: &Arc<Self>) -> Result<bool, StoreError> {
        let mut has_told = false;
        for _ in 0..PARTS {
            let after = locked(&self.waits.untold_after).unwrap_or(i64::MIN);
            let untold: Result<(Awaited, Option<i64>), StoreError> =
                run!(self, pool, Kind::Single, s => ops::events_untold(&s, after));
            let (events, last) = untold?;
            has_told |= self.tell_waiting(events).await?;
            *locked(&self.waits.untold_after) = last;
            if last.is_none() {
                return Ok(false);
            }
        }
        if has_told {
            self.waits.heard();
        }
        Ok(has_told)
    }

    /// Goes on with the walks through all who wait: tells those whom nobody has told, and cancels what was started by tasks that have ended
    /// before it. Says whether there is more to do at once.
    pub(crate) async fn sweep_waits(self: &Arc<Self>) -> Result<bool, StoreError> {
        for (number, walk) in ops::WALKS.into_iter().enumerate() {
            self.walk(number, walk).await?;
        }
        self.cancel_unwanted().await
    }

    async fn walk(self: &Arc<Self>, number: usize, walk: ops::Walk) -> Result<(), StoreError> {
        let after = locked(&self.waits.walked).get(number).cloned().flatten();
        let walked: Result<ops::Walked, StoreError> = run!(self, pool, Kind::Single, s => ops::walk(&s, walk, after.as_ref()));
        let ops::Walked { stop, came, elsewhere } = walked?;
        if let Some(walked) = locked(&self.waits.walked).get_mut(number) {
            *walked = stop;
        }
        self.tell_waiting(came).await?;
        if elsewhere.is_empty() {
            return Ok(());
        }
        run!(self, pool, Kind::TransactionBriefly, s => ops::let_go(&mut s, &elsewhere))
    }

    /// Says whether there are more.
    async fn cancel_unwanted(self: &Arc<Self>) -> Result<bool, StoreError> {
        let after = locked(&self.waits.children).unwrap_or_default();
        let found: Result<ops::Children, StoreError> =
            run!(self, pool, Kind::TransactionBriefly, s => ops::children(&mut s, after, CANCELLED));
        let ops::Children { stop, unwanted } = found?;
        *locked(&self.waits.children) = stop;
        let (is_more, mut is_any) = (unwanted.len() >= CANCELLED, false);
        for (id, children) in unwanted {
            is_any |= self.cancel_child(WorkflowId::from_uuid(id), &children).await?;
        }
        // Not where all of them are in somebody's hand.
        Ok(is_more && is_any)
    }

    /// Cancels a workflow that tasks had started which have ended before it. Says whether it was seen to.
    async fn cancel_child(self: &Arc<Self>, id: WorkflowId, children: &[ops::Child]) -> Result<bool, StoreError> {
        let of = (id, children);
        let mut done: Result<bool, StoreError> =
            run!(self, pool, Kind::TransactionBriefly, s => ops::cancel_child(&mut s, self.conducting.specs(), of, true));
        if done.as_ref().is_err_and(is_locked) {
            // What is in somebody's hand is cancelled by a sweep.
            done = run!(self, pool, Kind::Transaction, s => ops::cancel_child(&mut s, self.conducting.specs(), of, false));
        }
        self.conduct_reported().await;
        let Err(error) = done else { return done };
        tracing::warn!(workflow = %id, %error, "the task that has started this workflow has ended, and it can't be cancelled");
        // Whatever passes is tried again.
        if error.is_transient() {
            return Ok(false);
        }
        let forgotten: Result<(), StoreError> =
            run!(self, pool, Kind::TransactionBriefly, s => ops::forget_children(&mut s, children));
        forgotten.map(|()| true)
    }

    /// Deletes what is left of tasks that are gone, among at least so many tasks, if it is time to look: at once where some of it was found by
    /// the last look, which was not the last.
    pub(crate) async fn bury_memories(self: &Arc<Self>, most: usize) -> Result<(), StoreError> {
        if !self.is_time(&self.waits.bury_at, BURY_EVERY_MS) {
            return Ok(());
        }
        let (mut looked_at, mut is_any) = (0, false);
        while looked_at < most.max(1) {
            let after = *locked(&self.waits.buried);
            let looked: Result<(Option<Uuid>, u64), StoreError> =
                run!(self, pool, Kind::Single, s => ops::bury_memories(&mut s, after, BURIED));
            let (last, buried) = looked?;
            *locked(&self.waits.buried) = last.unwrap_or_default();
            if last.is_none() {
                return Ok(());
            }
            (looked_at, is_any) = (looked_at + BURIED, is_any || buried > 0);
        }
        if is_any {
            self.waits.bury_at.store(i64::MIN, Ordering::Release);
        }
        Ok(())
    }
}

impl PostgresStore {
    pub(crate) async fn read_memories(&self, id: TaskId) -> Result<Memories, StoreError> {
        run!(&self.inner(), pool, Kind::Single, s => view::memories(&s, id))
    }
}

#[async_trait]
impl Durable for PostgresStore {
    async fn send_event(&self, event: NewEvent) -> Result<Sent, StoreError> {
        let inner = self.inner();
        let now = inner.env.virtual_now().map(|now: Timestamp| now.as_millis().to_string());
        let sent: Result<Sent, StoreError> = run!(&inner, pool, Kind::Single, s => ops::send_event(&mut s, &event, &now));
        let sent = sent?;
        if sent == Sent::Stored {
            let came = Awaited { events: vec![event.name().to_owned()], ..Awaited::default() };
            if let Err(error) = inner.tell_waiting(came).await {
                tracing::debug!(%error, "those who wait for an event are told by the next sweep");
            }
        }
        Ok(sent)
    }

    async fn list_events(
        &self,
        name: Option<&str>,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<EventRecord>, StoreError> {
        if name.is_some_and(|name| name.contains('\0')) {
            return Ok(Page::last(Vec::new()));
        }
        run!(&self.inner(), reads, Kind::Single, s => view::events(&s, name, after, limit))
    }

    async fn list_waiters(&self, name: Option<&str>, limit: usize) -> Result<Vec<Waiter>, StoreError> {
        if name.is_some_and(|name| name.contains('\0')) {
            return Ok(Vec::new());
        }
        run!(&self.inner(), reads, Kind::Single, s => view::waiters(&mut s, name, limit))
    }

    async fn resume_task(&self, id: TaskId, how: Resume) -> Result<Resumed, StoreError> {
        let inner = self.inner();
        let resumed: Result<Resumed, StoreError> =
            run!(&inner, pool, Kind::Transaction, s => ops::resume(&mut s, inner.conducting.specs(), id, how));
        inner.conduct_reported().await;
        resumed
    }
}
