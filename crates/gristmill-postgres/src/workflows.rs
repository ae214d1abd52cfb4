//! Workflows go on after the commit of the ends that they learn of: an end is only reported in its own transaction, so that one which is open
//! for long holds nothing that others need. Whoever has committed reports conducts the workflows that they are about, each in the hands of one
//! process at a time; who finds one in others' hands leaves it, as they look once more after their commit. What a crash leaves, sweeps do.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use gristmill_core::workflow::{
    Extended, Extension, NewWorkflow, Order, Ordered, Started, WorkflowFilter, WorkflowRecord, Workflows,
};
use gristmill_core::{Cursor, Page, StoreError, TaskId, WorkflowId, limits};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::error::is_locked;
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

impl Inner {
    /// Lets workflows go on of whose members something was reported here. Returns when what followed at once is done; whoever waits may go away
    /// meanwhile.
    pub(crate) async fn conduct_reported(self: &Arc<Self>) {
        if self.conducting.reported.swap(false, Ordering::AcqRel) {
            let (done, waiting) = oneshot::channel();
            self.tasks.spawn(self.clone().conduct_or_leave(Some(done)));
            // Nobody answers if it failed: that is told, and left to a sweep.
            let _ = waiting.await;
        }
        self.tell_of_ends().await;
    }

    /// The same, and nobody waits.
    #[cfg(any(feature = "sqlx-0_8", feature = "sqlx-0_9", feature = "tokio-postgres"))]
    pub(crate) fn conduct_apart(self: &Arc<Self>) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            self.tasks.spawn_on(self.clone().conduct_or_leave(None), &runtime);
        }
    }

    async fn conduct_or_leave(self: Arc<Self>, done: Option<oneshot::Sender<()>>) {
        if let Err(error) = self.conduct_all(done).await {
            tracing::debug!(%error, "workflows go on with the next sweep");
        }
    }

    async fn conduct_all(self: &Arc<Self>, mut done: Option<oneshot::Sender<()>>) -> Result<(), StoreError> {
        let (mut passed_over, mut transactions): (Vec<Uuid>, usize) = (Vec::new(), 0);
        loop {
            let told: Result<Vec<Uuid>, StoreError> =
                run!(self, pool, Kind::Single, s => ops::reported(&s, &passed_over, TOGETHER));
            let told = told?;
            if told.is_empty() {
                break;
            }
            for more in 0..=FULL_MAX {
                let conducted = self.conduct(&told).await?;
                if more == 0 {
                    passed_over.extend(told.iter().filter(|id| !conducted.taken.contains(id)));
                } else {
                    // What was told while it was in hand here was passed over by others, so that it is looked at again.
                    passed_over.retain(|id| !conducted.taken.contains(id));
                }
                transactions += 1;
                if transactions == AWAITED {
                    // If nobody waits any more, that is well.
                    let _ = done.take().map(|done| done.send(()));
                }
                if !conducted.progress.is_full {
                    break;
                }
            }
            self.tell_of_ends().await;
        }
        Ok(())
    }

    /// Lets these workflows go on, but those that somebody has in hand. One that stands in the way of the others goes on by itself, and
    /// without what is done to members if that is where somebody's transaction is in its way.
    async fn conduct(self: &Arc<Self>, ids: &[Uuid]) -> Result<ops::Conducted, StoreError> {
        let together = self.conduct_once(ids, true).await;
        let Err(error) = together else { return together };
        if error.is_transient() && !is_locked(&error) {
            return Err(error);
        }
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
                }
                Err(error) => tracing::warn!(workflow = %id, %error, "this workflow can't go on; a sweep tries again"),
            }
        }
        Ok(conducted)
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
        for id in quiet.iter().take(TOGETHER) {
            if let Err(error) = self.repair_once(&[*id]).await {
                tracing::warn!(workflow = %id, %error, "this workflow stands still and can't be looked at; a sweep tries again");
            }
        }
        false
    }

    async fn repair_once(self: &Arc<Self>, quiet: &[Uuid]) -> Result<bool, StoreError> {
        run!(self, pool, Kind::TransactionBriefly, s => ops::repair(&mut s, &self.conducting.specs, quiet))
    }

    /// Does for workflows what was left: reports, members of large steps, what stands still, what was left owed. True if there is more.
    pub(crate) async fn sweep_workflows(self: &Arc<Self>) -> Result<bool, StoreError> {
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
        if due.is_stray {
            let buried: Result<bool, StoreError> = run!(self, pool, Kind::Transaction, s => ops::bury_reports(&mut s));
            is_more |= buried?;
        }
        if self.is_time(&self.conducting.owed_at, OWED_EVERY_MS) {
            let taken: Result<(), StoreError> = run!(self, pool, Kind::Transaction, s => ops::take_owed(&mut s));
            taken?;
        }
        self.conduct_reported().await;
        Ok(is_more)
    }

    /// Does what is to be done at once to members of a workflow that was just started.
    pub(crate) async fn begin_workflow(self: &Arc<Self>, id: WorkflowId) {
        let _ = self.conduct(&[id.as_uuid()]).await;
        self.conducting.reported();
        self.conduct_reported().await;
    }

    /// Does what somebody wants of a workflow.
    pub(crate) async fn order(self: &Arc<Self>, id: WorkflowId, order: Order) -> Result<Ordered, StoreError> {
        let mut ordered: Result<Ordered, StoreError> =
            run!(self, pool, Kind::TransactionBriefly, s => ops::order(&mut s, &self.conducting.specs, id, order, true));
        if ordered.as_ref().is_err_and(is_locked) {
            // What is in somebody's hand is cancelled or let go by a sweep.
            ordered = run!(self, pool, Kind::Transaction, s => ops::order(&mut s, &self.conducting.specs, id, order, false));
        }
        self.conduct_reported().await;
        ordered
    }

    /// The same for whoever promotes, if something was left here that need not wait for a turn to sweep.
    pub(crate) async fn go_on_with_workflows(self: &Arc<Self>) -> Result<bool, StoreError> {
        if self.conducting.left.load(Ordering::Acquire) { self.sweep_workflows().await } else { Ok(false) }
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
        self.inner().order(id, order).await
    }
}
