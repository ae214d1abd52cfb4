use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Result;
use crate::batch::Seat;
use crate::core::durable::Checkpoint;
use crate::core::{
    Claimed, Ending, InvalidInput, LeaseKey, LeaseRef, NewTask, Note, Progress, Settlement, State, Store, TaskId, TaskMeta,
    Template, Timestamp,
};
use crate::durable::{Journal, in_step_of_thread};
use crate::error::LeaseLost;
use crate::lock::Locks;
use crate::middleware::Extensions;
use crate::runtime::{Ground, Runtime};

/// Logs above this are rewritten less often while an attempt runs: each time it is all of them.
const LARGE_BYTES: usize = 8 * 1024;
const LARGE_EVERY: Duration = Duration::from_secs(1);

/// One run of a task in this process: what its context shows, and what it leaves behind.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) id: TaskId,
    pub(crate) kind: Arc<str>,
    pub(crate) queue: Arc<str>,
    pub(crate) attempt: u32,
    pub(crate) claim_no: u32,
    pub(crate) crashes: u32,
    pub(crate) max_attempts: u32,
    pub(crate) created_at: Timestamp,
    pub(crate) meta: Meta,
    /// The claim; a synchronous call has none.
    pub(crate) lease: Option<LeaseRef>,
    pub(crate) since: Instant,
    /// How long it may run, and until when that is.
    pub(crate) timeout: Option<Duration>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) token: CancellationToken,
    /// Cancelled when nothing may be waited for any more.
    pub(crate) abandon: CancellationToken,
    pub(crate) ground: Arc<Ground>,
    /// When the handler's current poll began, in microseconds of the worker's clock; 0 between polls.
    pub(crate) polled_since: AtomicU64,
    why: AtomicU8,
    noted: AtomicBool,
    wake_notes: Option<Arc<NotesQueue>>,
    left: Mutex<Left>,
    /// What works for it on threads of its own, if anything does.
    threads: OnceLock<TaskTracker>,
    pub(crate) extensions: Extensions,
    /// Where it meets the others that are run in the same call, if it is run with any.
    pub(crate) seat: OnceLock<Seat>,
    /// What its task remembers of its durable steps.
    pub(crate) journal: Journal,
    pub(crate) locks: Locks,
}

/// What the handler left behind so far.
#[derive(Debug, Default)]
struct Left {
    logs: String,
    logs_cut: bool,
    /// There are lines that were not handed over yet, to be kept while it runs.
    logs_unnoted: bool,
    noted_at: Option<Instant>,
    progress: Option<Progress>,
    children: Vec<NewTask>,
    children_bytes: usize,
    /// Set when the handler put the settlement into a transaction of its own.
    settled: Option<OwnSettlement>,
}

/// A settlement that a handler made in a transaction of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnSettlement {
    /// Written there; whether it was committed, only the store can tell.
    Perhaps,
    /// Committed, and this is the task's state.
    Committed(State),
    /// Its effect is committed alone, as no store knows of the claim.
    Alone,
}

/// Why a handler was asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Why {
    /// Nobody asked.
    Nothing = 0,
    /// Somebody cancelled the task.
    Requested = 1,
    /// It ran too long.
    Timeout = 2,
    /// The worker stops.
    Stopping = 3,
    /// The worker lost its lease.
    LeaseLost = 4,
    /// Nothing is left of it but to wait.
    Waiting = 5,
}

/// Attempts whose logs or progress changed since they were last written to the store.
#[derive(Debug, Default)]
pub(crate) struct NotesQueue {
    pub(crate) dirty: Mutex<Vec<Arc<Attempt>>>,
    pub(crate) wake: tokio::sync::Notify,
}

/// What most tasks do without; those share one that says nothing.
#[derive(Debug)]
pub(crate) struct Meta(Option<Box<TaskMeta>>);

impl Deref for Meta {
    type Target = TaskMeta;

    fn deref(&self) -> &TaskMeta {
        static NOTHING: LazyLock<TaskMeta> = LazyLock::new(TaskMeta::default);
        self.0.as_deref().unwrap_or(&NOTHING)
    }
}

impl Attempt {
    /// An attempt on a claimed task.
    pub(crate) fn of(
        claimed: &mut Claimed,
        timeout: Option<Duration>,
        ground: &Arc<Ground>,
        notes: Option<Arc<NotesQueue>>,
    ) -> Self {
        Self {
            id: claimed.lease.id,
            kind: claimed.kind.clone(),
            queue: claimed.queue.clone(),
            attempt: claimed.attempt,
            claim_no: claimed.claim_no,
            crashes: claimed.crashes,
            max_attempts: claimed.max_attempts,
            created_at: claimed.created_at,
            meta: Meta(claimed.meta.take()),
            lease: Some(claimed.lease),
            since: Instant::now(),
            timeout,
            deadline: timeout.and_then(|timeout| Instant::now().checked_add(timeout)),
            token: CancellationToken::new(),
            abandon: CancellationToken::new(),
            ground: ground.clone(),
            polled_since: AtomicU64::new(0),
            why: AtomicU8::new(Why::Nothing as u8),
            noted: AtomicBool::new(false),
            wake_notes: notes,
            left: Mutex::default(),
            threads: OnceLock::new(),
            extensions: Extensions::default(),
            seat: OnceLock::new(),
            journal: Journal::new(Some(claimed.lease)),
            locks: Locks::default(),
        }
    }

    /// An attempt that runs in the caller and is kept nowhere.
    pub(crate) fn of_call(task: NewTask, timeout: Option<Duration>, ground: &Arc<Ground>) -> Self {
        let env = &ground.runtime.env;
        let mut claimed = Claimed {
            lease: LeaseRef { id: task.id, fence: env.fence(), key: LeaseKey::default() },
            kind: task.kind.into(),
            queue: task.queue.into(),
            attempt: 1,
            claim_no: 1,
            crashes: 0,
            max_attempts: 1,
            report_start: false,
            created_at: env.now(),
            expires_in: None,
            args: String::new(),
            meta: task.meta,
        };
        let mut attempt = Self::of(&mut claimed, timeout, ground, None);
        attempt.lease = None;
        attempt.journal = Journal::new(None);
        attempt
    }

    /// Whether it runs in its caller, who does nothing else meanwhile, and not in a worker.
    pub(crate) fn runs_inline(&self) -> bool {
        self.wake_notes.is_none()
    }

    /// What its program knows of tasks.
    pub(crate) fn runtime(&self) -> &Runtime {
        &self.ground.runtime
    }

    /// Whether its handler takes many tasks in one call.
    pub(crate) fn takes_many(&self) -> bool {
        self.runtime().registry.get(&self.kind).is_some_and(|kind| kind.many.is_some())
    }

    /// What tasks of its type have to have in common that are run in one call.
    pub(crate) fn batching_key(&self) -> Option<&Template> {
        self.runtime().registry.get(&self.kind)?.spec.policy.batch.as_ref()?.key.as_ref()
    }

    /// The store that its task is in, for a transaction of its handler.
    pub(crate) fn store(&self) -> Result<&dyn Store> {
        self.ground.store()
    }

    /// Asks the handler to end; the first reason stands.
    pub(crate) fn ask_to_end(&self, why: Why) {
        let _ = self.why.compare_exchange(Why::Nothing as u8, why as u8, Ordering::AcqRel, Ordering::Acquire);
        self.token.cancel();
    }

    /// Ends the attempt if nothing but waiting is left of it; asked when what was polled has no more to do.
    pub(crate) fn end_if_it_waits(&self, on_thread: bool) {
        if self.journal.only_waits(on_thread) {
            self.ask_to_end(Why::Waiting);
        }
    }

    pub(crate) fn why(&self) -> Why {
        match self.why.load(Ordering::Acquire) {
            1 => Why::Requested,
            2 => Why::Timeout,
            3 => Why::Stopping,
            4 => Why::LeaseLost,
            5 => Why::Waiting,
            _ => Why::Nothing,
        }
    }

    pub(crate) fn log(self: &Arc<Self>, line: &str) {
        let max = self.runtime().limits.log_bytes;
        {
            let mut left = self.left();
            for c in line.chars() {
                match c {
                    // Whoever shows a log need not know what a terminal obeys, and PostgreSQL keeps no NUL.
                    c if c.is_control() && c != '\t' => left.logs.extend(c.escape_default()),
                    c => left.logs.push(c),
                }
            }
            left.logs.push('\n');
            left.logs_unnoted = true;
            if left.logs.len() > max {
                // The newest lines matter most; cut to three quarters so that not every line moves the text.
                let mut from = left.logs.len() - max / 4 * 3;
                while !left.logs.is_char_boundary(from) {
                    from += 1;
                }
                from = left.logs[from..].find('\n').map_or(from, |end| from + end + 1);
                left.logs.drain(..from);
                left.logs_cut = true;
            }
        }
        self.mark_noted();
    }

    pub(crate) fn set_progress(self: &Arc<Self>, progress: Progress) {
        if self.left().progress.replace(progress.clone()) != Some(progress) {
            self.mark_noted();
        }
    }

    fn mark_noted(self: &Arc<Self>) {
        let Some(queue) = &self.wake_notes else { return };
        if !self.noted.swap(true, Ordering::AcqRel) {
            queue.dirty.lock().unwrap_or_else(PoisonError::into_inner).push(self.clone());
            queue.wake.notify_one();
        }
    }

    /// Logs and progress so far, to be kept while it runs; of logs that are kept already, no word.
    pub(crate) fn note(&self) -> Option<Note> {
        self.noted.store(false, Ordering::Release);
        let lease = self.lease?;
        let mut left = self.left();
        left.noted_at = Some(Instant::now());
        let logs = if std::mem::take(&mut left.logs_unnoted) { left.logs_text() } else { None };
        Some(Note { lease, logs, progress: left.progress.clone() })
    }

    /// What was to be noted was not written: it goes along with the next note.
    pub(crate) fn note_again(self: &Arc<Self>) {
        self.left().logs_unnoted = true;
        self.mark_noted();
    }

    /// Whether it says more than is rewritten as often as others, and has just been noted.
    pub(crate) fn may_be_noted_later(&self) -> bool {
        let left = self.left();
        let large = left.logs_unnoted && left.logs.len() > LARGE_BYTES;
        large && left.noted_at.is_some_and(|at| at.elapsed() < LARGE_EVERY)
    }

    /// Adds all of them, or none. Those that a step enqueues are its own.
    pub(crate) fn add_children(&self, children: Vec<NewTask>) -> Result<(), InvalidInput> {
        let most = self.runtime().limits.children_bytes;
        let Some(children) = self.journal.add_children(self.id, children, most)? else { return Ok(()) };
        let max = self.runtime().limits.children;
        let mut left = self.left();
        if left.children.len() + children.len() > max {
            return Err(InvalidInput::new("children", format!("one attempt may enqueue at most {max} tasks")));
        }
        let bytes = children.iter().map(NewTask::bytes).fold(left.children_bytes, usize::saturating_add);
        if bytes > most {
            let problem =
                format!("the tasks that one attempt enqueues may have at most {most} bytes together; this one makes it {bytes}");
            return Err(InvalidInput::new("children", problem));
        }
        left.children_bytes = bytes;
        left.children.extend(children);
        Ok(())
    }

    pub(crate) fn take_children(&self) -> Vec<NewTask> {
        std::mem::take(&mut self.left().children)
    }

    /// Puts what was left behind into a settlement. It stays here, too: a handler's transaction may be rolled back.
    pub(crate) fn leave_in(&self, settlement: &mut Settlement) {
        let left = self.left();
        left.say_in(settlement);
        if settlement.ending == Ending::Succeeded {
            settlement.children = left.children.as_slice().into();
        }
    }

    /// Puts into the end of an attempt whose task waits what is kept of it all the same.
    pub(crate) fn leave_in_checkpoint(&self, checkpoint: Checkpoint) -> Checkpoint {
        Checkpoint { logs: self.left().logs_text(), ..checkpoint }
    }

    /// The same once the handler has ended: nobody needs here any more what it enqueued, of which there may be much.
    pub(crate) fn move_to(&self, settlement: &mut Settlement) {
        let mut left = self.left();
        left.say_in(settlement);
        let children = std::mem::take(&mut left.children);
        if settlement.ending == Ending::Succeeded {
            settlement.children = children.into();
        }
    }

    /// Remembers that the handler settled the attempt itself.
    pub(crate) fn set_settled(&self, settled: OwnSettlement) {
        self.left().settled = Some(settled);
    }

    pub(crate) fn settled(&self) -> Option<OwnSettlement> {
        self.left().settled
    }

    /// Asks the source whether the claim is still the newest.
    pub(crate) async fn confirm(&self) -> Result<()> {
        match self.lease {
            Some(lease) => self.confirm_by(lease).await,
            None => Ok(()),
        }
    }

    /// The same of a claim that is known to the source, wherever the attempt runs.
    pub(crate) async fn confirm_by(&self, lease: LeaseRef) -> Result<()> {
        let note = Note { lease, logs: None, progress: None };
        match self.ground.source.note(vec![note]).await?.first() {
            Some(true) => Ok(()),
            _ => {
                self.ask_to_end(Why::LeaseLost);
                Err(LeaseLost { id: self.id }.into())
            }
        }
    }

    /// Begins work on a thread of its own, which can't be ended from outside and may outlive the attempt.
    pub(crate) fn spawn_blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        self.threads.get_or_init(TaskTracker::new).spawn_blocking(in_step_of_thread(work))
    }

    /// Whether threads still work for it.
    pub(crate) fn has_threads(&self) -> bool {
        self.threads.get().is_some_and(|threads| !threads.is_empty())
    }

    /// Resolves once none does.
    pub(crate) async fn threads_end(&self) {
        if let Some(threads) = self.threads.get() {
            threads.close();
            threads.wait().await;
        }
    }

    fn left(&self) -> MutexGuard<'_, Left> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Left {
    fn say_in(&self, settlement: &mut Settlement) {
        settlement.logs = self.logs_text();
        settlement.progress = self.progress.clone().map(Box::new);
    }

    fn logs_text(&self) -> Option<String> {
        match (self.logs.is_empty(), self.logs_cut) {
            (true, _) => None,
            (false, false) => Some(self.logs.clone()),
            (false, true) => Some(format!("[earlier lines were cut]\n{}", self.logs)),
        }
    }
}
