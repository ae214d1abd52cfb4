//! Tasks that wait go on after the commit of what they wait for: an event is only written in its sender's transaction, and a workflow ended in
//! that of whoever conducts it, so that one which is open for long holds up nobody. Whoever learns of the commit tells those who wait; those who
//! come to wait look once more after their own. What a crash leaves, sweeps do.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gristmill_core::durable::{Awaits, Checkpoint, Durable, EventRecord, Memories, NewEvent, Resume, Resumed, Sent, Waiter};
use gristmill_core::workflow::Order;
use gristmill_core::{Cursor, Page, Settled, StoreError, TaskId, Timestamp, async_trait};
use uuid::Uuid;

use crate::effects::Own;
use crate::error::Fault;
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
    /// Workflows that have ended, which somebody may wait for.
    finished: Mutex<Vec<Uuid>>,
    /// How far the walk through all who wait has come.
    walked: Mutex<Stop>,
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

    fn take_untold(&self) -> bool {
        self.untold.load(Ordering::Acquire) && self.untold.swap(false, Ordering::AcqRel)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Positions, and lists that are changed whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.tell_waiting(came?).await
    }

    /// Tells those who wait for this, which has come. If they are very many, the last of them apart from the caller.
    async fn tell_waiting(self: &Arc<Self>, came: Awaited) -> Result<(), StoreError> {
        if came.is_nothing() {
            return Ok(());
        }
        let mut telling = Telling::new(came);
        for _ in 0..AWAITED {
            telling = self.tell_some(telling).await?;
            if telling.is_done() {
                return Ok(());
            }
        }
        let inner = self.clone();
        self.tasks.spawn(async move {
            while !telling.is_done() {
                telling = match inner.tell_some(telling).await {
                    Ok(telling) => telling,
                    Err(error) => return tracing::debug!(%error, "those who wait are told by the next sweep"),
                };
            }
        });
        Ok(())
    }

    async fn tell_some(self: &Arc<Self>, telling: Telling) -> Result<Telling, StoreError> {
        run!(self, pool, Kind::SingleBriefly, s => ops::tell(&mut s, &telling))
    }

    /// Tells those who wait for workflows that have ended here.
    pub(crate) async fn tell_of_ends(self: &Arc<Self>) {
        let finished = std::mem::take(&mut *locked(&self.waits.finished));
        let came = Awaited { workflows: finished, ..Awaited::default() };
        if let Err(error) = self.tell_waiting(came).await {
            tracing::debug!(%error, "those who wait for the end of a workflow go on with the next sweep");
        }
    }

    /// Tells of events that others have sent, if any were seen. Says whether there are more.
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

    async fn tell_of_untold(self: &Arc<Self>) -> Result<bool, StoreError> {
        let mut after = i64::MIN;
        for _ in 0..PARTS {
            let untold: Result<(Awaited, Option<i64>), StoreError> =
                run!(self, pool, Kind::Single, s => ops::events_untold(&s, after));
            let (events, last) = untold?;
            self.tell_waiting(events).await?;
            let Some(last) = last else { return Ok(false) };
            after = last;
        }
        self.waits.heard();
        Ok(true)
    }

    /// Goes on with the walk through all who wait: tells those whom nobody has told, and cancels what was started by tasks that have ended
    /// before it. Says whether there is more to do at once.
    pub(crate) async fn sweep_waits(self: &Arc<Self>) -> Result<bool, StoreError> {
        let after = locked(&self.waits.walked).clone();
        let walked: Result<ops::Walked, StoreError> = run!(self, pool, Kind::Single, s => ops::walk(&s, &after));
        let ops::Walked { stop, came, elsewhere } = walked?;
        *locked(&self.waits.walked) = stop.unwrap_or_default();
        self.tell_waiting(came).await?;
        if elsewhere.is_empty() {
            return Ok(false);
        }
        let mut unwanted = self.let_go(&elsewhere, false).await?;
        let is_more = unwanted.len() > CANCELLED;
        unwanted.truncate(CANCELLED);
        for (awaits, _) in &unwanted {
            if let Some(Awaits::Workflow(id)) = ops::awaits_of(awaits) {
                self.order(id, Order::Cancel).await?;
            }
        }
        if !unwanted.is_empty() {
            self.let_go(&unwanted, true).await?;
        }
        Ok(is_more)
    }

    async fn let_go(self: &Arc<Self>, who: &[(String, Uuid)], all: bool) -> Result<Vec<(String, Uuid)>, StoreError> {
        run!(self, pool, Kind::TransactionBriefly, s => ops::let_go(&mut s, who, all))
    }

    /// Deletes what is left of tasks that are gone, if it is time to look.
    pub(crate) async fn bury_memories(self: &Arc<Self>) -> Result<(), StoreError> {
        if !self.is_time(&self.waits.bury_at, BURY_EVERY_MS) {
            return Ok(());
        }
        let after = *locked(&self.waits.buried);
        let last: Result<Option<Uuid>, StoreError> =
            run!(self, pool, Kind::Single, s => ops::bury_memories(&mut s, after, BURIED));
        *locked(&self.waits.buried) = last?.unwrap_or_default();
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
        run!(&self.inner(), pool, Kind::Transaction, s => ops::resume(&mut s, id, how))
    }
}
