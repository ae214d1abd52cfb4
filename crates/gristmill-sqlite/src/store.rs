use std::any::Any;
use std::path::Path;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use gristmill_core::durable::{Checkpoint, Memories};
use gristmill_core::workflow::Member;
use gristmill_core::{
    Aging, CancelOutcome, Changes, Claim, Claimed, Cursor, DeleteOutcome, EnqueueOutcome, Env, Filter, Finding, KindInfo,
    KindSpec, LeaseRef, LockInfo, LockOutcome, Mark, MoveOutcome, NewTask, Note, Page, Pending, Pulse, QueueInfo, ReleaseOutcome,
    RetryOutcome, Settled, Settlement, Signals, Source, State, Store, StoreError, StoreErrorKind, Swept, TaskId, TaskRecord,
    Wake, WorkerId, WorkerInfo, WorkerSpec, WorkflowId, async_trait, check_lock, limits,
};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use crate::driver::Driver;
use crate::error::{Fault, explain};
use crate::identity::Identity;
use crate::options::SqliteOptions;
use crate::reader::{self, Query, View};
use crate::tx::Tx;
use crate::writer::{self, Message};
use crate::{check, migrate, open, ops, sql, view};

/// Connections kept for [`SqliteStore::transaction`] and [`SqliteStore::lend`].
const SPARE_MAX: usize = 2;
/// So many times does a prune delete what is left of locks, as much each time as of tasks.
const LOCKS_PRUNED: usize = 20;

/// A store in one SQLite file.
///
/// Several may be open on one file, in one process or in many; each has a writer thread and two reader threads. Dropping
/// the last handle finishes what is queued.
pub struct SqliteStore {
    options: SqliteOptions,
    identity: Identity,
    what: String,
    env: Env,
    signals: Arc<Signals>,
    writes: Mutex<Option<Arc<Sender<Message>>>>,
    reads: Mutex<Option<Sender<Query>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    spare: Mutex<Vec<Connection>>,
    walk: Mutex<view::Walk>,
}

impl SqliteStore {
    /// Opens the file that `url` names, makes or updates the tables, and starts the threads.
    ///
    /// Blocks for as long as that takes; call it before the runtime is busy, or in `spawn_blocking`.
    ///
    /// # Errors
    /// - `Invalid`: the URL, see [`SqliteOptions`].
    /// - `Unreachable`: the file can't be opened or made.
    /// - `ReadOnly`: it can't be written.
    /// - `NotOurs`: it is not a SQLite database, or holds other tables only (`?adopt=true` puts ours beside them).
    /// - `TooNew`: a newer version has changed its tables.
    /// - `Corrupt`: it is damaged, or its tables were made by another build.
    /// - `Busy`: another process held it for longer than `busy_timeout`.
    pub fn connect(url: &str, env: Env) -> Result<Arc<Self>, StoreError> {
        Self::open(url.parse()?, env)
    }

    /// As [`connect`](Self::connect), with options that were made in code.
    ///
    /// # Errors
    /// As there.
    pub fn open(options: SqliteOptions, env: Env) -> Result<Arc<Self>, StoreError> {
        let what = options.location();
        let mut conn = open::writer(&options)?;
        migrate::apply(&mut conn, &options, env.now())?;
        // Of a file that can't be written SQLite opens a read-only connection without a word.
        conn.execute_batch("BEGIN IMMEDIATE; ROLLBACK").map_err(|error| open::explain(error, &options))?;
        let identity = Identity::of(&options);
        let signals = Arc::new(Signals::default());
        let (reads, mut threads) = reader::start(&options)?;
        let writer = writer::start(conn, options.clone(), identity.clone(), env.clone(), signals.clone());
        let (writes, thread) = writer.map_err(|error| {
            StoreError::new(StoreErrorKind::Unreachable, "could not start a thread for the store").with_source(error)
        })?;
        threads.push(thread);
        Ok(Arc::new(Self {
            options,
            identity,
            what,
            env,
            signals,
            writes: Mutex::new(Some(writes)),
            reads: Mutex::new(Some(reads)),
            threads: Mutex::new(threads),
            spare: Mutex::default(),
            walk: Mutex::default(),
        }))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.options.path
    }

    /// Finishes what is queued and ends the threads; every later call answers `Closed`. Blocks until then.
    pub fn close(&self) {
        lock(&self.writes).take();
        lock(&self.reads).take();
        lock(&self.spare).clear();
        for thread in std::mem::take(&mut *lock(&self.threads)) {
            if thread.join().is_err() {
                tracing::error!("a thread of the store panicked");
            }
        }
    }

    /// Runs `f` in a write transaction of its own on this file: commits if it returns `Ok`, rolls back if it returns an
    /// error or panics.
    ///
    /// Blocks, for `f` and for other writers; call it in `spawn_blocking`. While it runs nobody else writes to the file,
    /// so keep it short. A write through the store itself that `f` waits for can't begin before `f` ends: it fails as
    /// `Busy` after `busy_timeout`.
    ///
    /// # Errors
    /// What `f` returned; or that the transaction could not be begun or committed (nothing of it was kept then).
    pub fn transaction<T, E: From<StoreError>>(&self, f: impl FnOnce(&Connection) -> Result<T, E>) -> Result<T, E> {
        let mut conn = self.spare()?;
        let done = {
            let begin = conn.transaction_with_behavior(TransactionBehavior::Immediate);
            let tx = begin.map_err(|error| explain(error, &self.what))?;
            // Dropped without a commit, by an error or a panic, it rolls back.
            let done = f(&tx)?;
            tx.commit().map_err(|error| explain(error, &self.what))?;
            done
        };
        self.give_back(conn)?;
        self.changed();
        Ok(done)
    }

    /// A transaction on a connection beside the store's own was committed.
    pub(crate) fn changed(&self) {
        self.signals.changed();
    }

    pub(crate) fn options(&self) -> &SqliteOptions {
        &self.options
    }

    pub(crate) fn looking_for_schedules(&self) {
        self.signals.looking_for_schedules();
    }

    pub(crate) fn env(&self) -> &Env {
        &self.env
    }

    fn spare(&self) -> Result<Connection, StoreError> {
        open::set_patience(self.options.busy_timeout);
        self.take_spare()?.map_or_else(|| open::spare(&self.options), Ok)
    }

    /// A connection that is kept, if there is one.
    pub(crate) fn take_spare(&self) -> Result<Option<Connection>, StoreError> {
        if lock(&self.writes).is_none() {
            return Err(closed());
        }
        self.identity.check()?;
        Ok(lock(&self.spare).pop())
    }

    /// Keeps a connection for the next transaction, unless the file is no longer the one that it wrote to.
    pub(crate) fn give_back(&self, conn: Connection) -> Result<(), StoreError> {
        self.identity.check()?;
        let mut spare = lock(&self.spare);
        if spare.len() < SPARE_MAX {
            spare.push(conn);
        }
        Ok(())
    }

    pub(crate) async fn write<T, F>(&self, weight: usize, run: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, Fault> + Send + 'static,
    {
        let (job, answer) = writer::job(weight, run);
        let sent = lock(&self.writes).as_ref().is_some_and(|writes| writes.send(Message::Job(job)).is_ok());
        if !sent {
            return Err(closed());
        }
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    pub(crate) async fn read<T, F>(&self, look: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut View<'_>) -> Result<T, Fault> + Send + 'static,
    {
        let identity = self.identity.clone();
        let look = move |view: &mut View<'_>| {
            identity.check()?;
            look(view)
        };
        let (query, answer) = reader::query(&self.what, self.env.now(), look);
        let sent = lock(&self.reads).as_ref().is_some_and(|reads| reads.send(query).is_ok());
        if !sent {
            return Err(closed());
        }
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Whether a task has ended or is gone; an error is a reason to look again, too.
    async fn has_ended(&self, id: TaskId) -> bool {
        let look = move |view: &mut View<'_>| {
            let mut open = view.conn.prepare_cached(sql::TASK_OPEN)?;
            Ok(open.query_row([id.as_bytes().as_slice()], |row| row.get(0)).optional()?.unwrap_or(false))
        };
        !self.read(look).await.unwrap_or(false)
    }
}

#[async_trait]
impl Source for SqliteStore {
    async fn enter(&self, worker: &WorkerSpec) -> Result<(), StoreError> {
        let worker = worker.clone();
        self.write(1, move |tx| ops::enter(tx, &worker)).await
    }

    async fn leave(&self, worker: WorkerId) -> Result<u64, StoreError> {
        let mut released = 0;
        // One transaction after the other, so that others write in between.
        loop {
            let (some, has_left) = self.write(1, move |tx| ops::leave(tx, worker)).await?;
            released += some;
            if has_left {
                return Ok(released);
            }
        }
    }

    async fn heartbeat(&self, worker: WorkerId, lease: Duration) -> Result<Pulse, StoreError> {
        self.signals.looking_for_cancellations(worker);
        self.write(1, move |tx| ops::heartbeat(tx, worker, lease)).await
    }

    async fn cancelled(&self, worker: WorkerId) -> Result<Vec<LeaseRef>, StoreError> {
        self.signals.looking_for_cancellations(worker);
        self.read(move |view| ops::cancelled(view.conn, worker)).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Claimed>, StoreError> {
        let claim = claim.clone();
        let weight = claim.wanted.iter().fold(0usize, |sum, wanted| sum.saturating_add(wanted.limit));
        self.write(weight, move |tx| ops::claim(tx, &claim)).await
    }

    async fn start(&self, leases: &[LeaseRef]) -> Result<Vec<bool>, StoreError> {
        let leases = leases.to_vec();
        self.write(leases.len(), move |tx| ops::start(tx, &leases)).await
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<Settled>, StoreError> {
        let weight = settlements.iter().map(Settlement::weight).sum();
        self.write(weight, move |tx| settlements.iter().map(|settlement| ops::settle(tx, settlement)).collect()).await
    }

    async fn note(&self, notes: Vec<Note>) -> Result<Vec<bool>, StoreError> {
        if notes.iter().all(Note::is_empty) {
            // Nothing is to be kept, so that nothing need be written.
            return self.read(move |view| view::are_held(view, &notes)).await;
        }
        self.write(notes.len(), move |tx| ops::note(tx, &notes)).await
    }

    async fn sweep(&self, limit: usize) -> Result<Swept, StoreError> {
        // Counting may take long, and holds up nobody there.
        let walk = lock(&self.walk).clone();
        let look = |view: &mut View<'_>| Ok((view::quiet_workflows(view)?, view::look_for_lost(view, walk)?));
        let (quiet, (lost, walk)) = self.read(look).await?;
        *lock(&self.walk) = walk;
        self.write(limit, move |tx| ops::sweep(tx, limit, &quiet, &lost)).await
    }

    async fn promote(&self, limit: usize) -> Result<Swept, StoreError> {
        self.write(limit, move |tx| ops::promote(tx, limit)).await
    }

    async fn age(&self, aging: &[Aging], limit: usize) -> Result<usize, StoreError> {
        let aging = aging.to_vec();
        let work = move |tx: &mut Tx<'_>| {
            let mut moved = 0;
            for aging in &aging {
                moved += ops::age(tx, aging, limit.saturating_sub(moved))?;
            }
            Ok(moved)
        };
        self.write(limit, work).await
    }

    async fn prune(&self, limit: usize) -> Result<usize, StoreError> {
        // Each in a transaction of its own, so that others write in between. They are no tasks, and come in any number.
        for _ in 0..LOCKS_PRUNED {
            if self.write(limit, move |tx| ops::prune_locks(tx, limit)).await? < limit {
                break;
            }
        }
        self.write(limit, move |tx| ops::prune(tx, limit)).await
    }

    async fn record(&self, id: TaskId) -> Result<Option<TaskRecord>, StoreError> {
        self.get(id).await
    }

    async fn members(
        &self,
        workflow: WorkflowId,
        step: &str,
        after: Option<u32>,
        limit: usize,
    ) -> Result<Vec<Member>, StoreError> {
        let step = step.to_owned();
        self.read(move |view| view::members(view, workflow, &step, after, limit)).await
    }

    async fn memories(&self, id: TaskId) -> Result<Memories, StoreError> {
        self.read(move |view| view::memories(view, id)).await
    }

    async fn checkpoint(&self, checkpoint: Checkpoint) -> Result<Settled, StoreError> {
        let workflow = checkpoint.workflow.as_ref().map_or(0, |workflow| workflow.members.len() + workflow.steps.len());
        let weight = 1 + checkpoint.memories.len() + checkpoint.children.len() + workflow;
        // What is refused has left nothing, and is no reason to undo others' work.
        Ok(self.write(weight, move |tx| ops::checkpoint(tx, &checkpoint)).await??)
    }

    async fn take_lock(&self, lease: &LeaseRef, name: &str) -> Result<LockOutcome, StoreError> {
        check_lock(name)?;
        let (lease, name) = (*lease, name.to_owned());
        let asked = name.clone();
        // Whoever waits asks again and again, and is to cost those who write nothing.
        match self.read(move |view| ops::look_at_lock(view.conn, &lease, &asked)).await? {
            None => Ok(LockOutcome::LeaseLost),
            Some(ops::Looked::Answer(outcome)) => Ok(outcome),
            // What is refused has left nothing, and is no reason to undo others' work.
            Some(ops::Looked::Free { .. }) => self.write(1, move |tx| ops::take_lock(tx, &lease, &name)).await?,
        }
    }

    async fn release_lock(&self, lease: &LeaseRef, name: &str) -> Result<bool, StoreError> {
        let (lease, name) = (*lease, name.to_owned());
        self.write(1, move |tx| ops::release_lock(tx, &lease, &name)).await
    }

    async fn pending(&self, queues: &[String], within: Duration) -> Result<Pending, StoreError> {
        let queues = queues.to_vec();
        self.read(move |view| view::pending(view, &queues, within)).await
    }

    async fn wait(&self, wake: Wake, timeout: Duration) {
        let (waiter, first) = self.signals.enlist(wake);
        if first && let Some(writes) = lock(&self.writes).as_ref() {
            // A writer that is gone wakes nobody; the timeout does.
            let _ = writes.send(Message::Watch);
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
impl Store for SqliteStore {
    fn location(&self) -> String {
        self.what.clone()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    async fn declare(&self, kinds: &[KindSpec]) -> Result<(), StoreError> {
        let kinds = kinds.to_vec();
        self.write(kinds.len(), move |tx| ops::declare(tx, &kinds)).await
    }

    async fn enqueue(&self, tasks: Vec<NewTask>) -> Result<Vec<EnqueueOutcome>, StoreError> {
        limits::check_batch(tasks.len())?;
        self.write(tasks.len(), move |tx| ops::enqueue(tx, &tasks)).await
    }

    fn nudge(&self) {
        self.signals.changed();
    }

    fn changes(&self, after: Option<Mark>) -> Changes {
        self.signals.changes(after, &self.env)
    }

    async fn get(&self, id: TaskId) -> Result<Option<TaskRecord>, StoreError> {
        self.read(move |view| view::get(view, id)).await
    }

    async fn list(&self, filter: &Filter, after: Option<Cursor>, limit: usize) -> Result<Page<TaskRecord>, StoreError> {
        filter.check_list()?;
        let filter = filter.clone();
        self.read(move |view| view::list(view, &filter, after, limit)).await
    }

    async fn list_ids(&self, filter: &Filter, after: Option<Cursor>, limit: usize) -> Result<Page<TaskId>, StoreError> {
        filter.check_list()?;
        let filter = filter.clone();
        self.read(move |view| view::list_ids(view, &filter, after, limit)).await
    }

    async fn cancel(&self, ids: &[TaskId]) -> Result<Vec<CancelOutcome>, StoreError> {
        let ids = ids.to_vec();
        self.write(ids.len(), move |tx| ids.iter().map(|id| ops::cancel(tx, *id)).collect()).await
    }

    async fn retry(&self, ids: &[TaskId]) -> Result<Vec<RetryOutcome>, StoreError> {
        let ids = ids.to_vec();
        self.write(ids.len(), move |tx| ids.iter().map(|id| ops::retry(tx, *id)).collect()).await
    }

    async fn ids_between(&self, first: TaskId, last: TaskId, limit: usize) -> Result<Vec<TaskId>, StoreError> {
        self.read(move |view| view::ids_between(view, first, last, limit)).await
    }

    async fn delete(&self, ids: &[TaskId]) -> Result<Vec<DeleteOutcome>, StoreError> {
        let ids = ids.to_vec();
        self.write(ids.len(), move |tx| ids.iter().map(|id| ops::delete(tx, *id)).collect()).await
    }

    async fn release(&self, ids: &[TaskId]) -> Result<Vec<ReleaseOutcome>, StoreError> {
        let ids = ids.to_vec();
        self.write(ids.len(), move |tx| ids.iter().map(|id| ops::release(tx, *id)).collect()).await
    }

    async fn forget_worker(&self, worker: WorkerId) -> Result<Option<u64>, StoreError> {
        let Some(held) = self.write(1, move |tx| ops::lose_worker(tx, worker)).await? else { return Ok(None) };
        // One transaction after the other, so that others write in between.
        while self.write(ops::RESCUED_AT_ONCE, ops::rescue_for_hand).await? {}
        self.write(1, move |tx| ops::bury_worker(tx, worker)).await?;
        Ok(Some(held))
    }

    async fn drain_worker(&self, worker: WorkerId) -> Result<bool, StoreError> {
        self.write(1, move |tx| ops::drain_worker(tx, worker)).await
    }

    async fn unblock(&self, ids: &[TaskId]) -> Result<Vec<Option<State>>, StoreError> {
        let ids = ids.to_vec();
        self.write(ids.len(), move |tx| ids.iter().map(|id| ops::unblock(tx, *id)).collect()).await
    }

    async fn admit(&self, ids: &[TaskId]) -> Result<Vec<Option<State>>, StoreError> {
        let ids = ids.to_vec();
        self.write(ids.len(), move |tx| ids.iter().map(|id| ops::admit(tx, *id)).collect()).await
    }

    async fn move_to(&self, ids: &[TaskId], queue: &str) -> Result<Vec<MoveOutcome>, StoreError> {
        let (count, ids, queue) = (ids.len(), ids.to_vec(), queue.to_owned());
        let work = move |tx: &mut Tx<'_>| {
            let queue = Driver::new(tx.conn).name(&mut tx.memory.names.queues, &queue)?;
            ids.iter().map(|id| ops::move_to(tx, *id, queue)).collect()
        };
        self.write(count, work).await
    }

    async fn pause(&self, queue: &str, paused: bool) -> Result<(), StoreError> {
        let queue = queue.to_owned();
        self.write(1, move |tx| ops::pause(tx, &queue, paused)).await
    }

    async fn pause_kind(&self, kind: &str, paused: bool) -> Result<(), StoreError> {
        let kind = kind.to_owned();
        self.write(1, move |tx| ops::pause_kind(tx, &kind, paused)).await
    }

    async fn queues(&self) -> Result<Vec<QueueInfo>, StoreError> {
        self.read(view::queues).await
    }

    async fn workers(&self) -> Result<Vec<WorkerInfo>, StoreError> {
        self.read(view::workers).await
    }

    async fn locks(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<LockInfo>, StoreError> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        self.read(move |view| view::locks(view, &prefix, after.as_deref(), limit)).await
    }

    async fn locks_of(&self, id: TaskId) -> Result<Vec<LockInfo>, StoreError> {
        self.read(move |view| view::locks_of(view, id)).await
    }

    async fn kinds(&self) -> Result<Vec<KindInfo>, StoreError> {
        self.read(view::kinds).await
    }

    async fn check(&self) -> Result<Vec<Finding>, StoreError> {
        let options = self.options.clone();
        self.read(move |view| check::check(view, &options)).await
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.close();
    }
}

/// Nobody opens it again, so that whoever tries for ever is to know.
fn closed() -> StoreError {
    StoreError::new(StoreErrorKind::Closed, "the store is closed").lasting()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these hold is only ever replaced or taken as a whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use gristmill_core::{Limits, NewTask, Overrides, Policy};

    use super::*;

    fn task(env: &Env) -> NewTask {
        NewTask::resolve("mail", &Policy::default(), "{}".into(), Overrides::default(), env.task_id(), &Limits::default())
            .unwrap()
    }

    #[tokio::test]
    async fn an_operation_that_panics_costs_nobody_else_anything() {
        let (dir, env) = (tempfile::tempdir().unwrap(), Env::system());
        let store = SqliteStore::connect(&format!("sqlite:{}", dir.path().join("a.db").display()), env.clone()).unwrap();
        // Whatever waits while the file is locked is one group.
        let blocker = open::writer(&store.options).unwrap();
        blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
        let (kept, doomed) = (task(&env), task(&env));
        let (first, second) = (kept.clone(), doomed.clone());
        let panics = store.write(1, move |tx| -> Result<(), Fault> {
            ops::enqueue(tx, std::slice::from_ref(&second))?;
            panic!("out of order")
        });
        let release = async { blocker.execute_batch("ROLLBACK").unwrap() };
        let (enqueued, panicked, ()) = tokio::join!(store.enqueue(vec![first]), panics, release);
        assert!(enqueued.is_ok(), "{enqueued:?}");
        let error = panicked.unwrap_err();
        assert!(error.to_string().contains("out of order") && error.is_transient(), "{error}");
        assert!(store.get(kept.id).await.unwrap().is_some());
        assert!(store.get(doomed.id).await.unwrap().is_none(), "nothing of it was kept");

        for _ in 0..3 {
            let error = store.read(|_| -> Result<(), Fault> { panic!("unreadable") }).await.unwrap_err();
            assert!(error.to_string().contains("unreadable"), "{error}");
        }
        assert!(store.get(kept.id).await.unwrap().is_some());
        store.enqueue(vec![doomed]).await.unwrap();
        store.close();
        assert!(store.enqueue(vec![task(&env)]).await.unwrap_err().is_lasting(), "nobody opens it again");
    }

    #[tokio::test]
    async fn a_group_that_takes_long_is_committed_in_parts() {
        let (dir, env) = (tempfile::tempdir().unwrap(), Env::system());
        let store = SqliteStore::connect(&format!("sqlite:{}", dir.path().join("a.db").display()), env).unwrap();
        let blocker = open::writer(&store.options).unwrap();
        blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
        // Each takes longer than a group may, and says when its transaction began.
        let slow = || {
            store.write(1, |tx| {
                let before = tx.conn.query_row("SELECT count(*) FROM gristmill_aside", [], |row| row.get::<_, i64>(0))?;
                tx.conn.execute(sql::ASIDE_INSERT, rusqlite::params![0, 0, "a test", "x"])?;
                let since = std::time::Instant::now();
                while since.elapsed() < Duration::from_millis(60) {
                    std::hint::spin_loop();
                }
                Ok((before, tx.now))
            })
        };
        let release = async { blocker.execute_batch("ROLLBACK").unwrap() };
        let (a, b, ()) = tokio::join!(slow(), slow(), release);
        let ((_, first), (before, second)) = (a.unwrap(), b.unwrap());
        assert_eq!(before, 1);
        assert!(second > first, "the second has a transaction of its own, which began later");
    }
}
