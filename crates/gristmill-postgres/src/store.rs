use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use gristmill_core::durable::{Checkpoint, Memories};
use gristmill_core::workflow::Member;
use gristmill_core::{
    Aging, CancelOutcome, Changes, Claim, Claimed, Cursor, DeleteOutcome, Effects, EnqueueOutcome, Env, Filter, Finding, Fleet,
    KindInfo, KindSpec, LeaseRef, LockInfo, LockOutcome, Mark, MoveOutcome, NewTask, Note, Page, Pending, Pulse, QueueInfo,
    ReleaseOutcome, RetryOutcome, Settled, Settlement, Source, State, Store, StoreError, StoreErrorKind, Swept, TaskId,
    TaskRecord, Wake, WorkerId, WorkerInfo, WorkerSpec, WorkflowId, async_trait, check_lock, limits,
};
use tokio_postgres::error::SqlState;
use tokio_util::task::TaskTracker;

use crate::conn::Connect;
use crate::effects::Tidings;
use crate::error::sqlstate;
use crate::inner::{Inner, Kind, run};
use crate::options::PostgresOptions;
#[cfg(feature = "tokio-postgres")]
use crate::pool::Pool;
use crate::sql::Q;
use crate::{check, migrate, ops, pooler, view};

/// So often a lock is asked for that others take and let go of meanwhile, some seconds in all.
const LOCK_TRIES: u32 = 20;

/// A store in one schema of a PostgreSQL database.
///
/// Any number may be open on it, in any number of processes and on any number of machines. Each has a few connections, opened
/// when they are needed: see [`PostgresOptions`]. It works on the runtime that it was opened in. Dropping it closes them.
pub struct PostgresStore {
    inner: Arc<Inner>,
    /// For transactions of handlers.
    #[cfg(feature = "tokio-postgres")]
    handlers: Pool,
}

/// So many times does a prune delete what is left of locks, as much each time as of tasks.
const LOCKS_PRUNED: usize = 20;

/// How long a handler waits for a server that is away, once it is its turn.
#[cfg(feature = "tokio-postgres")]
const PATIENCE_OF_HANDLERS: Duration = Duration::from_secs(5);

impl PostgresStore {
    /// Connects to the database that `url` names, and makes or updates the tables.
    ///
    /// # Errors
    /// - `Invalid`: the URL, see [`PostgresOptions`]; a server that is too old; a pooler that the URL does not speak of.
    /// - `Unreachable`: no server there, a wrong user, password or database, TLS that can't be had; no tables there and `create=false`.
    /// - `ReadOnly`: a server that can't be written, or a role without the right to.
    /// - `NotOurs`: the schema holds other tables only.
    /// - `TooNew`: a newer version has changed its tables.
    /// - `Corrupt`: its tables were made by another build.
    /// - `Busy`: no connection left, or a lock held by others for too long.
    pub async fn connect(url: &str, env: Env) -> Result<Arc<Self>, StoreError> {
        Self::open(url.parse()?, env).await
    }

    /// As [`connect`](Self::connect), with options that were read before.
    ///
    /// # Errors
    /// As there.
    pub async fn open(options: PostgresOptions, env: Env) -> Result<Arc<Self>, StoreError> {
        let tasks = TaskTracker::new();
        let connect = Arc::new(Connect::new(options, tasks.clone())?);
        let conn = connect.open().await?;
        pooler::refuse_unspoken(&conn, &connect, &env).await?;
        migrate::apply(&conn, &connect, &env).await?;
        #[cfg(feature = "tokio-postgres")]
        let handlers = Pool::new(connect.clone(), connect.options.transactions, PATIENCE_OF_HANDLERS, env.clone()).plain();
        let inner = Arc::new(Inner::new(connect, env, tasks));
        inner.pool.put(conn);
        inner.count_days().await;
        Ok(Arc::new(Self {
            inner,
            #[cfg(feature = "tokio-postgres")]
            handlers,
        }))
    }

    /// The options that it was opened with.
    pub fn options(&self) -> &PostgresOptions {
        &self.inner.connect.options
    }

    /// Closes the connections and cancels what runs on them; every call, also one under way, answers `Closed`. Whether a write
    /// that was under way is committed is not known then.
    pub fn close(&self) {
        self.inner.closing.cancel();
        self.inner.pool.close();
        self.inner.reads.close();
        self.inner.beats.close();
        #[cfg(feature = "tokio-postgres")]
        self.handlers.close();
    }

    #[cfg(feature = "tokio-postgres")]
    pub(crate) fn handlers(&self) -> &Pool {
        &self.handlers
    }

    /// Tells of what a handler's transaction has committed.
    #[cfg(any(feature = "sqlx-0_8", feature = "sqlx-0_9", feature = "tokio-postgres"))]
    pub(crate) fn committed(&self, effects: gristmill_core::Effects) {
        let is_member = self.inner.conducting.left_hand(&effects.ended);
        self.inner.tell(Tidings { effects, ..Tidings::default() });
        if is_member {
            self.inner.conduct_apart();
        }
    }

    async fn promote_due(&self, limit: usize) -> Result<Swept, StoreError> {
        let inner = &self.inner;
        inner.dues.look();
        let promoted: Result<_, StoreError> =
            run!(inner, pool, Kind::Single, s => ops::promote(&mut s, &inner.floors.due, limit));
        let ops::Promoted { count: promoted, next, rate } = promoted?;
        inner.admit_apart();
        let rate = inner.admit_due(rate).await?;
        let next_due = inner.dues.found(next.into_iter().chain(rate).min());
        let next_due = if inner.tell_of_events().await { Some(Duration::ZERO) } else { next_due };
        Ok(Swept { promoted, next_due, ..Swept::default() })
    }

    /// For what is in other files: schedules, and work on connections that are not the store's.
    pub(crate) fn inner(&self) -> Arc<Inner> {
        self.inner.clone()
    }

    /// Takes back what dead workers hold, if any may hold something. Returns how many tasks.
    async fn rescue(&self, limit: usize) -> Result<usize, StoreError> {
        let inner = &self.inner;
        let lost: Result<Vec<i64>, StoreError> =
            run!(inner, pool, Kind::Single, s => ops::lose_the_dead(&s, &inner.watch, inner.env.monotonic()));
        let lost = lost?;
        if !inner.rescues.are_due(&lost) {
            return Ok(0);
        }
        let rescued: Result<ops::Rescued, StoreError> = run!(inner, pool, Kind::Transaction, s => ops::rescue(&mut s, limit));
        let rescued = rescued?;
        if rescued.is_all {
            inner.rescues.drained(&lost, inner.fleets().all.size, inner.env.random());
        }
        Ok(rescued.tasks)
    }

    /// A heartbeat; `is_told`: whether the worker hears the answer.
    async fn beat(&self, worker: WorkerId, lease: Duration, is_told: bool) -> Result<Pulse, StoreError> {
        self.inner.signals.looking_for_cancellations(worker);
        let beat = async { run!(&self.inner, beats, Kind::Single, s => ops::heartbeat(&mut s, worker, lease, is_told)) };
        let (pulse, fleets) = match beat.await {
            // The reserved connection broke, and others have taken its place on the server: any of ours will do.
            Err(error) if sqlstate(&error) == Some(&SqlState::TOO_MANY_CONNECTIONS) => {
                run!(&self.inner, pool, Kind::Single, s => ops::heartbeat(&mut s, worker, lease, is_told))
            }
            beat => beat,
        }?;
        if !pulse.alive {
            self.inner.workers.leave(worker);
        }
        self.inner.keep_fleets(worker, pulse.alive.then_some(fleets));
        if pulse.alive {
            self.inner.lives(worker);
        }
        Ok(pulse)
    }

    /// Whether a task has ended or is gone; an error is a reason to look again, too.
    async fn has_ended(&self, id: TaskId) -> bool {
        let open = async {
            run!(&self.inner, reads, Kind::Single, s => async {
                s.spare_days().await?;
                let row = s.row(Q::TaskOpen, &[&id.as_uuid()]).await?;
                Ok(row.map_or(Ok(false), |row| row.try_get(0))?)
            })
        };
        !open.await.unwrap_or(false)
    }
}

#[async_trait]
impl Source for PostgresStore {
    async fn enter(&self, worker: &WorkerSpec) -> Result<(), StoreError> {
        self.inner.beats.reserve().await;
        let entered: Result<(), StoreError> =
            run!(&self.inner, pool, Kind::Single, s => ops::enter(&mut s, &self.inner.workers, worker));
        entered?;
        // Learns how many there are: fifty that start at once must not each take itself for the only one until they beat.
        self.beat(worker.id, worker.lease, false).await?;
        Ok(())
    }

    async fn leave(&self, worker: WorkerId) -> Result<u64, StoreError> {
        let left = self.inner.leave(worker).await;
        if left.is_ok() {
            self.inner.keep_fleets(worker, None);
        }
        self.inner.conduct_reported().await;
        left
    }

    async fn heartbeat(&self, worker: WorkerId, lease: Duration) -> Result<Pulse, StoreError> {
        self.beat(worker, lease, true).await
    }

    fn fleet(&self) -> Fleet {
        self.inner.fleets().all
    }

    async fn cancelled(&self, worker: WorkerId) -> Result<Vec<LeaseRef>, StoreError> {
        self.inner.signals.looking_for_cancellations(worker);
        run!(&self.inner, pool, Kind::Single, s => ops::cancelled(&s, worker))
    }

    async fn heartbeat_apart(&self, worker: WorkerId, lease: Duration) -> Result<Pulse, StoreError> {
        self.inner.beat_apart(worker, lease).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Claimed>, StoreError> {
        // What the server undid may have been the second of several statements, and the first has taken tasks.
        let mut again = claim.again;
        // Before the look, as what comes while it is under way may not be seen by it.
        self.inner.signals.looking_for_tasks(claim.worker);
        let claimed: Result<Vec<Claimed>, StoreError> = run!(&self.inner, pool, Kind::Single, s => {
            let again = std::mem::replace(&mut again, true);
            ops::claim(&mut s, &self.inner.workers, claim, again)
        });
        if claimed.as_ref().is_ok_and(|claimed| !claimed.is_empty()) {
            self.inner.herald.found();
        }
        self.inner.conduct_reported().await;
        self.inner.tell_of_events_apart();
        claimed
    }

    async fn start(&self, leases: &[LeaseRef]) -> Result<Vec<bool>, StoreError> {
        if leases.is_empty() {
            return Ok(Vec::new());
        }
        self.inner.start_leases(leases).await
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<Settled>, StoreError> {
        let settled = self.inner.settle(&settlements).await;
        self.inner.conducting.left_hand(settlements.iter().map(|settlement| &settlement.lease.id));
        self.inner.conduct_reported().await;
        settled
    }

    async fn note(&self, notes: Vec<Note>) -> Result<Vec<bool>, StoreError> {
        if notes.is_empty() {
            return Ok(Vec::new());
        }
        self.inner.note(&notes).await
    }

    async fn sweep(&self, limit: usize) -> Result<Swept, StoreError> {
        let inner = &self.inner;
        inner.make_days().await;
        let promoted = self.promote_due(limit).await;
        let rescued = self.rescue(limit).await;
        let expired: Result<_, StoreError> = run!(inner, pool, Kind::Transaction, s => ops::expire(&mut s, &inner.floors, limit));
        let rest: Result<_, StoreError> = run!(inner, pool, Kind::Single, s => async {
            let unparked = ops::unpark(&mut s, limit).await?;
            ops::park(&mut s, &inner.workers).await?;
            if let Err(error) = ops::fill_labels(&mut s).await {
                // Lists look through them meanwhile; nothing else is to wait for it.
                tracing::warn!(error = %error.explain(&inner.connect.what), "tasks that came before there were labels could not be labelled");
            }
            Ok(unparked)
        });
        let workflows = inner.sweep_workflows().await;
        let waits = inner.sweep_waits().await;
        let slots = inner.sweep_slots().await;
        let (unparked, promoted, rescued, expired, workflows) = (rest?, promoted?, rescued?, expired?, workflows?);
        slots?;
        let more_waits = waits?.then_some(Duration::ZERO);
        let next_due = promoted.next_due.into_iter().chain(workflows).chain(more_waits).min();
        Ok(Swept { rescued, expired, ended: inner.take_untold(), unparked, next_due, ..promoted })
    }

    async fn promote(&self, limit: usize) -> Result<Swept, StoreError> {
        let promoted = self.promote_due(limit).await;
        let workflows = self.inner.go_on_with_workflows().await?;
        let promoted = promoted?;
        Ok(Swept { next_due: promoted.next_due.into_iter().chain(workflows).min(), ..promoted })
    }

    async fn age(&self, aging: &[Aging], limit: usize) -> Result<usize, StoreError> {
        let mut moved = 0;
        for aging in aging {
            let of_queue: Result<usize, StoreError> =
                run!(&self.inner, pool, Kind::Single, s => ops::age(&mut s, aging, limit.saturating_sub(moved)));
            moved += of_queue?;
        }
        Ok(moved)
    }

    async fn prune(&self, limit: usize) -> Result<usize, StoreError> {
        // Those that go with their whole day are not counted: it costs the same whatever the day held.
        self.inner.drop_days().await;
        self.inner.thin_days().await;
        self.inner.build_indexes();
        self.inner.bury_memories(limit).await?;
        self.inner.sweep_keys().await?;
        // They are no tasks, and come in any number.
        for _ in 0..LOCKS_PRUNED {
            let is_more: Result<bool, StoreError> = run!(&self.inner, pool, Kind::Single, s => ops::prune_locks(&s, limit));
            if !is_more? {
                break;
            }
        }
        run!(&self.inner, pool, Kind::Single, s => ops::prune(&mut s, limit))
    }

    async fn record(&self, id: TaskId) -> Result<Option<TaskRecord>, StoreError> {
        self.get(id).await
    }

    async fn pending(&self, queues: &[String], within: Duration) -> Result<Pending, StoreError> {
        // Of one moment: what ends while it is looked for would else be neither running nor told of.
        run!(&self.inner, pool, Kind::Snapshot, s => view::pending(&mut s, self.inner.conducting.specs(), queues, within))
    }

    async fn members(&self, id: WorkflowId, step: &str, after: Option<u32>, limit: usize) -> Result<Vec<Member>, StoreError> {
        run!(&self.inner, reads, Kind::Single, s => view::members(&mut s, id, step, after, limit))
    }

    async fn memories(&self, id: TaskId) -> Result<Memories, StoreError> {
        self.read_memories(id).await
    }

    async fn checkpoint(&self, checkpoint: Checkpoint) -> Result<Settled, StoreError> {
        self.inner.checkpoint(checkpoint).await
    }

    async fn take_lock(&self, lease: &LeaseRef, name: &str) -> Result<LockOutcome, StoreError> {
        check_lock(name)?;
        for tries in 0..LOCK_TRIES {
            let taken: Result<_, StoreError> = run!(&self.inner, pool, Kind::Single, s => ops::take_lock(&s, lease, name));
            if let Some(outcome) = taken? {
                return Ok(outcome);
            }
            // Many who ask at once, each for a moment, would all be too late again.
            self.inner.step_aside(tries).await;
        }
        let message = format!("others take and release the lock `{name}` so fast that nobody can tell who has it; ask again");
        Err(StoreError::new(StoreErrorKind::Busy, message))
    }

    async fn release_lock(&self, lease: &LeaseRef, name: &str) -> Result<bool, StoreError> {
        if check_lock(name).is_err() {
            return Ok(false);
        }
        run!(&self.inner, pool, Kind::Single, s => ops::release_lock(&s, lease, name))
    }

    async fn wait(&self, wake: Wake, timeout: Duration) {
        let (waiter, first) = self.inner.signals.enlist(wake);
        if first {
            if let Wake::Ended(_) = wake {
                self.inner.herald.await_ends();
            }
            self.inner.start_herald();
        }
        let missed = async {
            match wake {
                Wake::Ended(id) => self.has_ended(id).await,
                _ => false,
            }
        };
        let _ = tokio::time::timeout(timeout, waiter.wait(missed)).await;
    }
}

#[async_trait]
impl Store for PostgresStore {
    fn location(&self) -> String {
        self.inner.connect.what.clone()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    async fn declare(&self, kinds: &[KindSpec]) -> Result<(), StoreError> {
        self.inner.declare(kinds).await
    }

    async fn enqueue(&self, tasks: Vec<NewTask>) -> Result<Vec<EnqueueOutcome>, StoreError> {
        limits::check_batch(tasks.len())?;
        if tasks.is_empty() {
            return Ok(Vec::new());
        }
        let has_keys = tasks.iter().any(|task| task.hold.limited);
        let (answer, nobody_works) = self.inner.gather.join(tasks);
        if nobody_works {
            // Apart from this caller, who may go away while others wait.
            self.inner.tasks.spawn(self.inner.clone().serve_callers());
        }
        let answer = answer.await.unwrap_or_else(|_| Err(StoreError::new(StoreErrorKind::Closed, "the store is closed")));
        if has_keys {
            // Whoever ends now, as a command does, would leave it to the next look of somebody else.
            self.inner.admit_touched().await;
        }
        answer
    }

    fn nudge(&self) {
        let effects = Effects { readied: true, scheduled: true, cancelled: true, ..Effects::default() };
        self.inner.tell(Tidings { effects, ..Tidings::default() });
    }

    fn changes(&self, after: Option<Mark>) -> Changes {
        self.inner.signals.changes(after, &self.inner.env)
    }

    async fn get(&self, id: TaskId) -> Result<Option<TaskRecord>, StoreError> {
        run!(&self.inner, reads, Kind::Single, s => view::get(&mut s, id))
    }

    async fn list(&self, filter: &Filter, after: Option<Cursor>, limit: usize) -> Result<Page<TaskRecord>, StoreError> {
        filter.check_list()?;
        run!(&self.inner, reads, Kind::Snapshot, s => view::list(&mut s, filter, after, limit))
    }

    async fn list_ids(&self, filter: &Filter, after: Option<Cursor>, limit: usize) -> Result<Page<TaskId>, StoreError> {
        filter.check_list()?;
        run!(&self.inner, reads, Kind::Snapshot, s => view::list_ids(&mut s, filter, after, limit))
    }

    async fn cancel(&self, ids: &[TaskId]) -> Result<Vec<CancelOutcome>, StoreError> {
        let cancelled = run!(&self.inner, pool, Kind::Single, s => ops::cancel(&mut s, ids));
        self.inner.conduct_reported().await;
        cancelled
    }

    async fn retry(&self, ids: &[TaskId]) -> Result<Vec<RetryOutcome>, StoreError> {
        let retried = run!(&self.inner, pool, Kind::Transaction, s => ops::retry(&mut s, ids));
        self.inner.conduct_reported().await;
        retried
    }

    async fn ids_between(&self, first: TaskId, last: TaskId, limit: usize) -> Result<Vec<TaskId>, StoreError> {
        run!(&self.inner, reads, Kind::Single, s => view::ids_between(&mut s, first, last, limit))
    }

    async fn delete(&self, ids: &[TaskId]) -> Result<Vec<DeleteOutcome>, StoreError> {
        run!(&self.inner, pool, Kind::Transaction, s => ops::delete(&mut s, ids))
    }

    async fn release(&self, ids: &[TaskId]) -> Result<Vec<ReleaseOutcome>, StoreError> {
        let released = run!(&self.inner, pool, Kind::Transaction, s => ops::release(&mut s, ids));
        self.inner.conduct_reported().await;
        released
    }

    async fn forget_worker(&self, worker: WorkerId) -> Result<Option<u64>, StoreError> {
        let inner = &self.inner;
        let held: Result<_, StoreError> = run!(inner, pool, Kind::Single, s => ops::lose_worker(&mut s, worker));
        let Some(held) = held? else { return Ok(None) };
        // One transaction after the other, so that nobody waits for all of them.
        let rescued = loop {
            let rescued: Result<_, StoreError> =
                run!(inner, pool, Kind::Transaction, s => ops::rescue(&mut s, limits::BATCH_TASKS_MAX));
            let rescued = rescued?;
            if rescued.tasks < limits::BATCH_TASKS_MAX {
                break rescued;
            }
        };
        inner.conduct_reported().await;
        // By its row sweeps find what somebody has in hand of its tasks.
        if !rescued.is_all {
            return Ok(Some(held));
        }
        let buried: Result<(), StoreError> =
            run!(inner, pool, Kind::Single, s => ops::bury_worker(&mut s, &inner.workers, worker));
        buried.map(|()| Some(held))
    }

    async fn drain_worker(&self, worker: WorkerId) -> Result<bool, StoreError> {
        run!(&self.inner, pool, Kind::Single, s => ops::drain_worker(&mut s, worker))
    }

    async fn unblock(&self, ids: &[TaskId]) -> Result<Vec<Option<State>>, StoreError> {
        run!(&self.inner, pool, Kind::Single, s => ops::unblock(&mut s, ids))
    }

    async fn admit(&self, ids: &[TaskId]) -> Result<Vec<Option<State>>, StoreError> {
        run!(&self.inner, pool, Kind::Single, s => ops::admit(&mut s, ids))
    }

    async fn move_to(&self, ids: &[TaskId], queue: &str) -> Result<Vec<MoveOutcome>, StoreError> {
        run!(&self.inner, pool, Kind::Single, s => ops::move_to(&mut s, ids, queue))
    }

    async fn pause(&self, queue: &str, paused: bool) -> Result<(), StoreError> {
        run!(&self.inner, pool, Kind::Single, s => ops::pause(&mut s, queue, paused))
    }

    async fn pause_kind(&self, kind: &str, paused: bool) -> Result<(), StoreError> {
        run!(&self.inner, pool, Kind::Single, s => ops::pause_kind(&mut s, kind, paused))
    }

    async fn queues(&self) -> Result<Vec<QueueInfo>, StoreError> {
        run!(&self.inner, reads, Kind::Single, s => view::queues(&mut s))
    }

    async fn workers(&self) -> Result<Vec<WorkerInfo>, StoreError> {
        run!(&self.inner, reads, Kind::Single, s => view::workers(&mut s))
    }

    async fn locks(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<LockInfo>, StoreError> {
        let after = after.unwrap_or_default();
        if prefix.contains('\0') || after.contains('\0') {
            // No name has one, and PostgreSQL takes no such text.
            return Ok(Vec::new());
        }
        run!(&self.inner, reads, Kind::Single, s => view::locks(&mut s, prefix, after, limit))
    }

    async fn locks_of(&self, id: TaskId) -> Result<Vec<LockInfo>, StoreError> {
        run!(&self.inner, reads, Kind::Single, s => view::locks_of(&mut s, id))
    }

    async fn kinds(&self) -> Result<Vec<KindInfo>, StoreError> {
        run!(&self.inner, reads, Kind::Single, s => view::kinds(&mut s))
    }

    async fn check(&self) -> Result<Vec<Finding>, StoreError> {
        run!(&self.inner, reads, Kind::Single, s => check::check(&mut s, &self.inner.env, &self.inner.connect.options))
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        self.close();
    }
}
