//! Workflows go on after the commit of the ends that they learn of: an end is only reported in its own transaction, so that one which is open
//! for long holds nothing that others need. Whoever has committed reports conducts the workflows that they are about, each in the hands of one
//! process at a time; who finds one in others' hands leaves it, as they look once more after their commit. What a crash leaves, sweeps do.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use gristmill_core::workflow::{
    Extended, Extension, NewWorkflow, Order, Ordered, Rerun, Retried, Started, Tolerance, Tolerated, WorkflowFilter,
    WorkflowRecord, Workflows,
};
use gristmill_core::{Cursor, Page, StoreError, TaskId, WorkflowId, limits};
use tokio::sync::oneshot;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use crate::error::{is_locked, sqlstate};
use crate::inner::{Inner, Kind, run};
use crate::{PostgresStore, ops, view};

/// So many workflows go on in one transaction.
const TOGETHER: usize = 250;
/// After so many transactions whoever waits for what he caused waits no longer: others may report without end.
const AWAITED: usize = 5;
/// So many transactions more for members of many steps at once, before the rest is left to sweeps.
const FULL_MAX: usize = 20;
/// So many members are known to be run here; no process runs as many at once.
const MEMBERS_MAX: usize = 100_000;
/// How often a process looks through all days for ends that were left owed. Those of workflows that wait for them are found sooner.
const OWED_EVERY_MS: i64 = 600_000;

/// What a process remembers of it.
#[derive(Debug)]
pub(crate) struct Conducting {
    reported: AtomicBool,
    callers: Callers,
    /// Members of workflows that are run here, whose ends a handler's transaction may commit.
    members: Mutex<HashSet<TaskId>>,
    /// More is to be done to members.
    left: AtomicBool,
    owed_at: AtomicI64,
    specs: ops::Specs,
    /// The last workflow of which members were to be dealt with by a sweep: the next one begins behind it.
    chored: Mutex<Uuid>,
}

impl Default for Conducting {
    fn default() -> Self {
        Self {
            reported: AtomicBool::new(false),
            callers: Callers::default(),
            members: Mutex::default(),
            left: AtomicBool::new(false),
            owed_at: AtomicI64::new(i64::MIN),
            specs: ops::Specs::default(),
            chored: Mutex::new(Uuid::nil()),
        }
    }
}

impl Conducting {
    /// What the steps of workflows are, as far as it was read here.
    pub(crate) fn specs(&self) -> &ops::Specs {
        &self.specs
    }

    /// Reports were committed.
    pub(crate) fn reported(&self) {
        self.reported.store(true, Ordering::Release);
    }

    pub(crate) fn is_reported(&self) -> bool {
        self.reported.load(Ordering::Acquire)
    }

    /// More than was done is left to be done to members.
    pub(crate) fn left(&self) {
        self.left.store(true, Ordering::Release);
    }

    /// Members of workflows were claimed.
    pub(crate) fn claimed_members(&self, ids: &[TaskId]) {
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        if members.len() > MEMBERS_MAX {
            // Most were lost, and nobody says so. What is forgotten is left to a sweep.
            members.clear();
        }
        members.extend(ids);
    }

    /// These tasks are run here no longer. Says whether members were among them.
    pub(crate) fn left_hand<'a>(&self, ids: impl IntoIterator<Item = &'a TaskId>) -> bool {
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        let before = members.len();
        if before > 0 {
            ids.into_iter().for_each(|id| _ = members.remove(id));
        }
        members.len() < before
    }
}

/// Those in this process who have committed reports. One of them conducts for all: what another would find is in his hands.
#[derive(Debug, Default)]
struct Callers(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    is_conducted: bool,
    is_anybody: bool,
    answers: Vec<oneshot::Sender<()>>,
}

impl Callers {
    /// Joins; true if nobody conducts, so that the caller has to see to it.
    fn join(&self, done: Option<oneshot::Sender<()>>) -> bool {
        let mut waiting = self.waiting();
        waiting.answers.extend(done);
        waiting.is_anybody = true;
        !std::mem::replace(&mut waiting.is_conducted, true)
    }

    /// Those who have joined since this was last asked; `None` if nobody has, and then the next to come has to conduct.
    fn next(&self) -> Option<Vec<oneshot::Sender<()>>> {
        let mut waiting = self.waiting();
        waiting.is_conducted = std::mem::take(&mut waiting.is_anybody);
        waiting.is_conducted.then(|| std::mem::take(&mut waiting.answers))
    }

    fn is_anybody(&self) -> bool {
        self.waiting().is_anybody
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Two flags and a list, which are whole at every moment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever conducts, from the moment on at which he has joined. Should his runtime end, be it before he is polled once, or he panic, those who
/// wait are let go, and the next to come conducts.
struct Conductor {
    inner: Arc<Inner>,
    is_over: bool,
}

impl Conductor {
    fn new(inner: Arc<Inner>) -> Self {
        Self { inner, is_over: false }
    }

    /// Conducts for whoever has joined, until nobody does any more.
    async fn conduct(mut self) {
        while let Some(waiting) = self.next() {
            if let Err(error) = self.inner.conduct_for(waiting).await {
                tracing::debug!(%error, "workflows go on with the next sweep");
            }
        }
    }

    fn next(&mut self) -> Option<Vec<oneshot::Sender<()>>> {
        let next = self.inner.conducting.callers.next();
        self.is_over = next.is_none();
        next
    }
}

impl Drop for Conductor {
    fn drop(&mut self) {
        if !self.is_over {
            *self.inner.conducting.callers.waiting() = Waiting::default();
        }
    }
}

/// If somebody waits no more, that is well.
fn answer(waiting: &mut Vec<oneshot::Sender<()>>) {
    for done in waiting.drain(..) {
        let _ = done.send(());
    }
}

impl Inner {
    /// Lets workflows go on of whose members something was reported here. Returns when what followed at once is done; whoever waits may go away
    /// meanwhile.
    pub(crate) async fn conduct_reported(self: &Arc<Self>) {
        if self.conducting.reported.swap(false, Ordering::AcqRel) {
            let (done, waiting) = oneshot::channel();
            if self.conducting.callers.join(Some(done)) {
                self.tasks.spawn(Conductor::new(self.clone()).conduct());
            }
            // Nobody answers if it failed: that is told, and left to a sweep.
            let _ = waiting.await;
        }
        self.tell_of_ends().await;
        self.admit_apart();
    }

    /// The same, and nobody waits.
    #[cfg(any(feature = "sqlx-0_8", feature = "sqlx-0_9", feature = "tokio-postgres"))]
    pub(crate) fn conduct_apart(self: &Arc<Self>) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current()
            && self.conducting.callers.join(None)
        {
            self.tasks.spawn_on(Conductor::new(self.clone()).conduct(), &runtime);
        }
    }

    /// Until nothing more is reported, or somebody joins, for whom it is done from the beginning. Whoever waits is answered then: a process that
    /// ends sooner would leave to sweeps what others passed over.
    async fn conduct_for(self: &Arc<Self>, waiting: Vec<oneshot::Sender<()>>) -> Result<(), StoreError> {
        let (mut waiting, mut passed_over, mut transactions) = (waiting, Vec::new(), 0);
        loop {
            let (mut conducted, spent) = self.conduct_told(&passed_over).await?;
            let dealt_with = conducted.taken.len() + conducted.unread.len();
            if dealt_with == 0 {
                return Ok(());
            }
            passed_over.append(&mut conducted.unread);
            let ids: Vec<Uuid> = conducted.taken.into_iter().collect();
            let (mut is_full, mut is_told) = (conducted.progress.is_full, conducted.is_told);
            transactions += spent;
            for _ in 0..FULL_MAX {
                if !is_full {
                    break;
                }
                if transactions >= AWAITED {
                    answer(&mut waiting);
                }
                let more = self.conduct(&ids).await?;
                is_full = more.progress.is_full;
                is_told |= more.is_told;
                transactions += 1;
            }
            if transactions >= AWAITED {
                answer(&mut waiting);
            }
            self.tell_of_ends().await;
            // What others passed over meanwhile is found by the next look, for which somebody waits.
            if dealt_with < TOGETHER && !is_told && self.conducting.callers.is_anybody() {
                return Ok(());
            }
        }
    }

    /// Lets workflows go on of whose members something was reported, but for some and for those that others have in hand. Says in how many
    /// transactions, too.
    async fn conduct_told(self: &Arc<Self>, passed_over: &[Uuid]) -> Result<(ops::Conducted, usize), StoreError> {
        let conducted: Result<ops::Conducted, StoreError> = run!(self, pool, Kind::SingleBriefly, s => {
            ops::conduct_told(&mut s, &self.conducting.specs, passed_over, TOGETHER)
        });
        match conducted {
            Err(error) if error.is_transient() && !is_locked(&error) => Err(error),
            // One of them stands in the way of the others.
            Err(_) => {
                let told: Result<Vec<Uuid>, StoreError> =
                    run!(self, pool, Kind::Single, s => ops::reported(&s, passed_over, TOGETHER));
                let told = told?;
                let mut conducted = self.conduct_each(&told).await;
                conducted.unread = told.iter().filter(|id| !conducted.taken.contains(id)).copied().collect();
                Ok((conducted, told.len()))
            }
            Ok(conducted) => Ok((conducted, 1)),
        }
    }

    /// Lets these workflows go on, but those that somebody has in hand. One that stands in the way of the others goes on by itself, and
    /// without what is done to members if that is where somebody's transaction is in its way.
    async fn conduct(self: &Arc<Self>, ids: &[Uuid]) -> Result<ops::Conducted, StoreError> {
        let together = self.conduct_once(ids, true).await;
        let Err(error) = together else { return together };
        if error.is_transient() && !is_locked(&error) {
            return Err(error);
        }
        Ok(self.conduct_each(ids).await)
    }

    async fn conduct_each(self: &Arc<Self>, ids: &[Uuid]) -> ops::Conducted {
        let mut conducted = ops::Conducted::default();
        for id in ids {
            let mut one = self.conduct_once(&[*id], true).await;
            if one.as_ref().is_err_and(is_locked) {
                one = self.conduct_once(&[*id], false).await;
            }
            match one {
                Ok(one) => {
                    conducted.taken.extend(one.taken);
                    conducted.progress.add(one.progress);
                    conducted.is_told |= one.is_told;
                }
                Err(error) => tracing::warn!(workflow = %id, %error, "this workflow can't go on; a sweep tries again"),
            }
        }
        conducted
    }

    async fn conduct_once(self: &Arc<Self>, ids: &[Uuid], chores: bool) -> Result<ops::Conducted, StoreError> {
        run!(self, pool, Kind::TransactionBriefly, s => ops::conduct(&mut s, &self.conducting.specs, ids, chores))
    }

    /// Looks at workflows that stand still: at each by itself, if one of them stands in the way of the others. True if there are more.
    async fn repair(self: &Arc<Self>, quiet: &[Uuid]) -> bool {
        match self.repair_once(quiet).await {
            Ok(is_more) => return is_more,
            Err(error) if error.is_transient() && !is_locked(&error) => {
                tracing::debug!(%error, "workflows that stand still are looked at later");
                return false;
            }
            Err(_) => {}
        }
        let mut failed = Vec::new();
        for id in quiet.iter().take(TOGETHER) {
            if let Err(error) = self.repair_once(&[*id]).await {
                tracing::warn!(workflow = %id, %error, "this workflow stands still and can't be looked at; a sweep tries again");
                failed.push(*id);
            }
        }
        if let Err(error) = self.look_later(&failed).await {
            tracing::debug!(%error, "they are looked at again with the next sweep");
        }
        quiet.len() > TOGETHER
    }

    async fn look_later(self: &Arc<Self>, ids: &[Uuid]) -> Result<(), StoreError> {
        run!(self, pool, Kind::TransactionBriefly, s => ops::look_later(&s, ids))
    }

    /// Cancels workflows whose deadline has passed.
    async fn cancel_late(self: &Arc<Self>, late: &[Uuid]) {
        for id in late {
            let Err(error) = self.order(WorkflowId::from_uuid(*id), Order::Cancel, true).await else { continue };
            tracing::warn!(workflow = %id, %error, "the deadline of this workflow has passed, and it can't be cancelled; a sweep tries again");
            if !error.is_transient()
                && let Err(error) = self.postpone(*id).await
            {
                tracing::debug!(%error, "it is tried again with the next sweep");
            }
        }
    }

    async fn postpone(self: &Arc<Self>, id: Uuid) -> Result<(), StoreError> {
        run!(self, pool, Kind::TransactionBriefly, s => ops::postpone(&s, id))
    }

    pub(crate) async fn order(self: &Arc<Self>, id: WorkflowId, order: Order, is_late: bool) -> Result<Ordered, StoreError> {
        let mut ordered: Result<Ordered, StoreError> = run!(self, pool, Kind::TransactionBriefly, s =>
            ops::order(&mut s, &self.conducting.specs, id, (order, is_late), true));
        if ordered.as_ref().is_err_and(is_locked) {
            // What is in somebody's hand is cancelled or let go by a sweep.
            ordered = run!(self, pool, Kind::Transaction, s =>
                ops::order(&mut s, &self.conducting.specs, id, (order, is_late), false));
        }
        self.conduct_reported().await;
        ordered
    }

    async fn repair_once(self: &Arc<Self>, quiet: &[Uuid]) -> Result<bool, StoreError> {
        run!(self, pool, Kind::TransactionBriefly, s => ops::repair(&mut s, &self.conducting.specs, quiet))
    }

    /// Does for workflows what was left: reports, members of large steps, what stands still, deadlines, what was left owed. Says how long it
    /// is until there is more to do, `None` if nothing is known of.
    pub(crate) async fn sweep_workflows(self: &Arc<Self>) -> Result<Option<Duration>, StoreError> {
        self.conducting.left.store(false, Ordering::Release);
        self.conducting.reported();
        self.conduct_reported().await;
        let after = *self.conducting.chored.lock().unwrap_or_else(PoisonError::into_inner);
        let due: Result<ops::Due, StoreError> = run!(self, pool, Kind::Single, s => ops::due(&s, after));
        let due = due?;
        if let Some(last) = due.chored.last() {
            *self.conducting.chored.lock().unwrap_or_else(PoisonError::into_inner) = *last;
        }
        let mut is_more = false;
        if !due.chored.is_empty() {
            let progress = self.conduct(&due.chored).await?.progress;
            is_more = progress.is_more || progress.is_full || due.more_chored && progress.is_any;
            // What was told of them meanwhile was passed over by others.
            self.conducting.reported();
        }
        if !due.quiet.is_empty() {
            is_more |= self.repair(&due.quiet).await;
        }
        self.cancel_late(&due.late).await;
        is_more |= due.more_late;
        if due.is_stray {
            let buried: Result<bool, StoreError> = run!(self, pool, Kind::Transaction, s => ops::bury_reports(&mut s));
            is_more |= buried?;
        }
        if self.is_time(&self.conducting.owed_at, OWED_EVERY_MS) {
            let taken: Result<(), StoreError> = run!(self, pool, Kind::Transaction, s => ops::take_owed(&mut s));
            taken?;
        }
        self.conduct_reported().await;
        Ok(if is_more { Some(Duration::ZERO) } else { due.next_late })
    }

    /// Does what is to be done at once to members of a workflow that was just started.
    pub(crate) async fn begin_workflow(self: &Arc<Self>, id: WorkflowId) {
        let _ = self.conduct(&[id.as_uuid()]).await;
        self.conducting.reported();
        self.conduct_reported().await;
    }

    /// The same for whoever promotes, if something was left here that need not wait for a turn to sweep.
    pub(crate) async fn go_on_with_workflows(self: &Arc<Self>) -> Result<Option<Duration>, StoreError> {
        if self.conducting.left.load(Ordering::Acquire) { self.sweep_workflows().await } else { Ok(None) }
    }
}

#[async_trait]
impl Workflows for PostgresStore {
    async fn start_workflow(&self, workflow: NewWorkflow) -> Result<Started, StoreError> {
        let inner = self.inner();
        let (starting, new) = ops::Starting::new(workflow).map_err(|fault| fault.explain(&inner.connect.what))?;
        let started: Result<Started, StoreError> =
            run!(&inner, pool, Kind::Single, s => ops::start_workflow(&mut s, &starting, &new));
        if matches!(started, Ok(Started::Created)) && starting.has_chores() {
            inner.begin_workflow(new.id).await;
        }
        started
    }

    async fn extend_workflow(&self, extension: Extension) -> Result<Extended, StoreError> {
        limits::check_batch(extension.members.len())?;
        let inner = self.inner();
        let extended = run!(&inner, pool, Kind::Single, s => ops::extend(&mut s, &inner.conducting.specs, &extension));
        inner.conduct_reported().await;
        extended
    }

    async fn workflow(&self, id: WorkflowId) -> Result<Option<WorkflowRecord>, StoreError> {
        run!(&self.inner(), reads, Kind::Snapshot, s => view::workflow(&s, id))
    }

    async fn list_workflows(
        &self,
        filter: &WorkflowFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<WorkflowRecord>, StoreError> {
        if [&filter.name, &filter.key].into_iter().flatten().any(|text| text.contains('\0')) {
            return Ok(Page::last(Vec::new()));
        }
        run!(&self.inner(), reads, Kind::Single, s => view::workflows(&s, filter, after, limit))
    }

    async fn order_workflow(&self, id: WorkflowId, order: Order) -> Result<Ordered, StoreError> {
        self.inner().order(id, order, false).await
    }

    async fn retry_workflow(&self, id: WorkflowId, rerun: Rerun) -> Result<Retried, StoreError> {
        let inner = self.inner();
        let mut retried: Result<Retried, StoreError> = Ok(Retried::NotFound);
        // Another that takes its key meanwhile is found by the second look.
        for _ in 0..2 {
            retried = run!(&inner, pool, Kind::TransactionBriefly, s =>
                ops::retry_workflow(&mut s, &inner.conducting.specs, id, rerun, true));
            if retried.as_ref().is_err_and(is_locked) {
                // What is in somebody's hand is dealt with by a sweep.
                retried = run!(&inner, pool, Kind::Transaction, s =>
                    ops::retry_workflow(&mut s, &inner.conducting.specs, id, rerun, false));
            }
            if !retried.as_ref().is_err_and(|error| sqlstate(error) == Some(&SqlState::UNIQUE_VIOLATION)) {
                break;
            }
        }
        inner.conduct_reported().await;
        retried
    }

    async fn tolerate(&self, id: WorkflowId, step: &str, tolerance: Tolerance) -> Result<Tolerated, StoreError> {
        let (inner, change) = (self.inner(), (step, tolerance));
        let mut tolerated: Result<Tolerated, StoreError> = run!(&inner, pool, Kind::TransactionBriefly, s =>
            ops::tolerate(&mut s, &inner.conducting.specs, id, change, true));
        if tolerated.as_ref().is_err_and(is_locked) {
            tolerated =
                run!(&inner, pool, Kind::Transaction, s => ops::tolerate(&mut s, &inner.conducting.specs, id, change, false));
        }
        inner.conduct_reported().await;
        tolerated
    }
}
