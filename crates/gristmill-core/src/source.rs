use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::durable::{Checkpoint, Memories};
use crate::workflow::Member;
use crate::{
    Fence, KindSpec, LeaseRef, LockOutcome, Mark, Progress, Settled, Settlement, StoreError, StoreErrorKind, TaskId, TaskMeta,
    TaskRecord, Timestamp, WorkerId, WorkflowId,
};

/// What a worker needs: batches of tasks to run, and a place to report to. Stores implement it, and brokers can.
///
/// Every operation is a batch, is atomic, and is safe to repeat after an error: an error means that it happened or that
/// it did not, and the fence keeps a repetition from doing it twice. All time is the source's own.
///
/// A source that only delivers implements what hands out tasks and takes their ends back: [`enter`](Self::enter),
/// [`leave`](Self::leave), [`heartbeat`](Self::heartbeat), [`claim`](Self::claim), [`settle`](Self::settle) and
/// [`wait`](Self::wait). The rest is for sources that keep tasks and know where each of them is; what each default means for the
/// worker is said there. The reference of such a source is `MemoryBroker` in `gristmill-conformance`, which also has the checks
/// that all sources pass (`exercise_source`).
///
/// # Cancel safety
/// A future that is dropped leaves the operation either done or not done, as a lost reply does.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// Makes a worker known, with what it serves. From now on it may claim, for as long as it beats. One that is known already says
    /// anew what it serves, as when its queues are changed while it runs: it keeps what it holds.
    ///
    /// # Errors
    /// If the store can't be written.
    async fn enter(&self, worker: &WorkerSpec) -> Result<(), StoreError>;

    /// Ends a worker: what it still holds is released without burning an attempt. Returns how many tasks that were.
    ///
    /// # Errors
    /// If the store can't be written; the leases then run out by themselves.
    async fn leave(&self, worker: WorkerId) -> Result<u64, StoreError>;

    /// Extends the worker's lease on all that it holds, and brings what it should know. One that comes late may still be in time,
    /// as long as nobody has taken the worker for dead: the clock may have been set, and nothing else be wrong. A worker finds out
    /// by its own clock that it was away for longer than its lease, and then does not rely on it.
    ///
    /// # Errors
    /// If the store can't be written; the lease then runs on.
    async fn heartbeat(&self, worker: WorkerId, lease: Duration) -> Result<Pulse, StoreError>;

    /// The same for a worker whose runtime is held up, by handlers that compute without an `.await`: its heartbeat does not come to its
    /// turn, and yet it runs what it holds. Called from a thread of its own, on a runtime that lasts as long as the call: whatever the
    /// source drives on the application's runtime stands still, its connections included.
    ///
    /// By default [`heartbeat`](Self::heartbeat), which is right for a source that needs nothing of the application's runtime.
    ///
    /// # Errors
    /// As there.
    async fn heartbeat_apart(&self, worker: WorkerId, lease: Duration) -> Result<Pulse, StoreError> {
        self.heartbeat(worker, lease).await
    }

    /// Which of the tasks that a worker holds somebody wants to stop, as its next heartbeat would bring it. Asked at each
    /// [`Wake::Cancelled`] while the worker holds anything, some twenty times a second at most: a look, which writes nothing.
    ///
    /// By default none: the worker then hears of them by its heartbeats alone.
    ///
    /// # Errors
    /// If the store can't be read.
    async fn cancelled(&self, _worker: WorkerId) -> Result<Vec<LeaseRef>, StoreError> {
        Ok(Vec::new())
    }

    /// Takes tasks for a worker: for each wanted queue, lowest priority number first, then in the order of arrival; only
    /// task types that the worker serves; nothing from a paused queue, and nothing of a paused type. A task past its expiry ends instead as `expired`.
    /// The attempt is counted with the claim, so that a crash counts.
    ///
    /// After an error the same claim is to be repeated with [`Claim::again`], or what a lost reply took stays with the
    /// living worker, and nobody runs it.
    ///
    /// # Errors
    /// If the store can't be written, or the worker is not known or no longer alive (nothing is claimed then).
    async fn claim(&self, claim: &Claim) -> Result<Vec<Claimed>, StoreError>;

    /// Records that handlers are about to run, for the claims that ask for it ([`Claimed::report_start`]). One answer a
    /// lease: false if it is lost and must not run.
    ///
    /// By default all may run, which is right for a source whose claims never ask for it.
    ///
    /// # Errors
    /// If the store can't be written; the handlers must not run then.
    async fn start(&self, leases: &[LeaseRef]) -> Result<Vec<bool>, StoreError> {
        Ok(vec![true; leases.len()])
    }

    /// Writes the end of attempts, each on its own fence: a lost lease changes nothing and hinders no other.
    ///
    /// The children of a success ([`Settlement::children`]) are kept with it or not at all in a store. A source that can't bind
    /// them to an acknowledgement passes them on first and acknowledges then: a crash in between repeats both the task and its
    /// children, and loses neither.
    ///
    /// One that somebody else holds up, or that can't be written, holds up none of the others: it is answered
    /// [`Later`](Settled::Later), and is to be tried again. A source that has nobody else's transactions need not know of it.
    ///
    /// # Errors
    /// If the store can't be written; then none is, and all can be tried again. If one alone can't be.
    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<Settled>, StoreError>;

    /// Keeps logs and progress of running attempts, replacing what was kept of them before. One answer a note: false if
    /// the lease is lost.
    ///
    /// By default nothing is kept and every lease is believed: a handler that asks whether its task is still its own is told so,
    /// and finds out only at its settlement if it is not.
    ///
    /// # Errors
    /// If the store can't be written.
    async fn note(&self, notes: Vec<Note>) -> Result<Vec<bool>, StoreError> {
        Ok(vec![true; notes.len()])
    }

    /// The work that no task waits for in particular: promotes what is due, rescues what dead workers held, ends what
    /// has expired, moves aside what nobody serves. At most about `limit` tasks of each.
    ///
    /// By default there is none: such a source redelivers by itself what dead workers held.
    ///
    /// # Errors
    /// If the store can't be written.
    async fn sweep(&self, _limit: usize) -> Result<Swept, StoreError> {
        Ok(Swept::default())
    }

    /// The part of a [`sweep`](Self::sweep) that cannot wait for its turn: makes ready what is due, at most about `limit` tasks, and
    /// says when the next is. Called whenever something is due and whenever [`Wake::Scheduled`] says that something may be sooner.
    ///
    /// By default all of a sweep, which does that too.
    ///
    /// # Errors
    /// If the store can't be written.
    async fn promote(&self, limit: usize) -> Result<Swept, StoreError> {
        self.sweep(limit).await
    }

    /// Lets tasks go first that have been ready for too long: of each of these queues those that were enqueued, and due at first, that long ago come to the most
    /// urgent line, at their places in the order of arrival, and have the priority 0 from then on. It looks at the first of each line, and no further than at `limit` tasks
    /// of it; at most about `limit` in all, returns how many. Called as often as [`sweep`](Self::sweep), where a program says that its queues age.
    ///
    /// By default nothing ages.
    ///
    /// # Errors
    /// If the store can't be written.
    async fn age(&self, _aging: &[Aging], _limit: usize) -> Result<usize, StoreError> {
        Ok(0)
    }

    /// With how many others the housekeeping of this source is shared, as the last heartbeat has told: each then sweeps as much more
    /// seldom, and the first of them alone does what must be done in time.
    ///
    /// By default it is shared with nobody.
    fn fleet(&self) -> Fleet {
        Fleet::default()
    }

    /// Deletes ended tasks whose retention is over, and ticks that were written [`TICKS_KEPT`](crate::TICKS_KEPT) ago; at most
    /// `limit` in all; returns how many. Called in idle time.
    ///
    /// By default there is nothing to delete, as nothing is kept of what has ended.
    ///
    /// # Errors
    /// If the store can't be written.
    async fn prune(&self, _limit: usize) -> Result<usize, StoreError> {
        Ok(0)
    }

    /// What is left to do in these queues; for `--drain` and for tests.
    ///
    /// By default nothing, as far as the source can tell: a worker that drains then ends when it has nothing under way itself and a
    /// claim brings nothing, and leaves what is due later to others.
    ///
    /// # Errors
    /// If the store can't be read.
    async fn pending(&self, _queues: &[String], _within: Duration) -> Result<Pending, StoreError> {
        Ok(Pending::default())
    }

    /// All that is known about a task. A worker asks it for ends that it did not write itself, which its application's hooks are
    /// told, and to learn whether a transaction of a handler was committed whose answer got lost.
    ///
    /// By default nothing is known, as no records are kept: hooks are then told only of ends that this worker wrote.
    ///
    /// # Errors
    /// If the store can't be read.
    async fn record(&self, _id: TaskId) -> Result<Option<TaskRecord>, StoreError> {
        Ok(None)
    }

    /// Members of a step of a workflow with their results, in the order of their places, from behind `after` on, at most `limit` and as many
    /// as have about [`RESULTS_BYTES_MAX`](crate::limits::RESULTS_BYTES_MAX) together, but one at least. None if there is no such workflow or
    /// step. A worker asks it for what the arguments of an attempt refer to.
    ///
    /// By default there are none, as no workflows are kept.
    ///
    /// # Errors
    /// If the store can't be read.
    async fn members(&self, _: WorkflowId, _step: &str, _after: Option<u32>, _limit: usize) -> Result<Vec<Member>, StoreError> {
        Ok(Vec::new())
    }

    /// All that a task remembers of its durable steps. A worker asks it when it begins an attempt of a task that was claimed before.
    /// Of an event that was sent in time it has the value, even if the task was not there to be told.
    ///
    /// By default nothing, as nothing is kept.
    ///
    /// # Errors
    /// If the store can't be read; `Corrupt` if one of them can't be read: what it did must not be done again.
    async fn memories(&self, _id: TaskId) -> Result<Memories, StoreError> {
        Ok(Memories::default())
    }

    /// Keeps what a running attempt has done so far, on its fence: the answer is the state of the task then, `Running` unless the attempt
    /// ends with it.
    ///
    /// One that [suspends](Checkpoint::suspend) gives the attempt back, as a snooze does, and writes no row of the history unless there are logs. The
    /// task no longer expires. What its memories await makes it due, should that have come already at once; what the task awaited before it awaits no
    /// longer. A requested cancellation wins over it: then nothing is written but that.
    ///
    /// One that does not suspend and of which each memory is kept already, with this name, occurrence and code, enqueues and starts nothing: it
    /// is a repetition after a lost answer. What waits for an event, or has waited in vain, does not take the place of that event's value.
    ///
    /// By default refused, as nothing is kept.
    ///
    /// # Errors
    /// `Invalid` if it is out of a [limit](Checkpoint::check), or one of its tasks or its workflow has the id of another one; nothing is
    /// written then. If the store can't be written; a repetition is safe as long as the attempt goes on.
    async fn checkpoint(&self, _checkpoint: Checkpoint) -> Result<Settled, StoreError> {
        Err(StoreError::new(StoreErrorKind::Invalid, "what hands out this task keeps no durable steps; run it from a store"))
    }

    /// Takes a lock for a running attempt, on its fence. Nobody waits here: whoever wants to, asks again.
    ///
    /// It is the attempt's for as long as its lease stands, whatever that ends: its settlement, a checkpoint that suspends it, a release by hand,
    /// a rescue from a worker that is dead. So the worker's heartbeat keeps it, it is free in the moment in which the attempt's end is
    /// committed, and it never runs out beside a handler that runs. An attempt that asks for what it holds is given the same token, which makes
    /// a repetition safe. A token is larger than those of all who held a lock of this name before.
    ///
    /// By default refused, as nothing is kept.
    ///
    /// # Errors
    /// `Invalid` if the name is [none](crate::check_lock), or the attempt holds [`LOCKS_MAX`](crate::limits::LOCKS_MAX) others. If the store
    /// can't be written.
    async fn take_lock(&self, _lease: &LeaseRef, _name: &str) -> Result<LockOutcome, StoreError> {
        Err(StoreError::new(StoreErrorKind::Invalid, "what hands out this task keeps no locks; run it from a store"))
    }

    /// Lets go of a lock before the attempt ends. False if it was not this attempt's, or no longer: then nothing changes, whoever holds it.
    ///
    /// By default nothing is held.
    ///
    /// # Errors
    /// If the store can't be written; a repetition is safe, and says false if the first time did it.
    async fn release_lock(&self, _lease: &LeaseRef, _name: &str) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// Resolves when what is waited for may have happened, and at the latest after `timeout`. May resolve early and for
    /// no reason: callers look again.
    async fn wait(&self, wake: Wake, timeout: Duration);
}

/// A queue whose tasks go before all others of it once they have been ready for long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aging {
    /// Its name in the store.
    pub queue: String,
    /// After what time.
    pub after: Duration,
}

/// What a worker says of itself when it enters.
#[derive(Clone, Debug)]
pub struct WorkerSpec {
    /// Its id, new at every start.
    pub id: WorkerId,
    /// A name for people: host and process id.
    pub name: String,
    /// How long it is taken for alive after its last heartbeat.
    pub lease: Duration,
    /// The task types it has handlers for.
    pub kinds: Vec<ServedKind>,
    /// The queues it serves, with its concurrency in each.
    pub queues: BTreeMap<String, u32>,
    /// The version of the program.
    pub version: String,
}

impl WorkerSpec {
    /// The names of the task types that it serves, which is all that a store keeps of them.
    pub fn kind_names(&self) -> impl Iterator<Item = &str> {
        self.kinds.iter().map(|kind| kind.name.as_str())
    }
}

/// A task type as a worker serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedKind {
    /// Its name.
    pub name: String,
    /// The names of its arguments in their declared order: what a source needs that delivers arguments by position, as Celery's
    /// protocol does, to hand them out by name. Empty if it takes none, or their order is not known.
    pub fields: Vec<String>,
}

impl From<&KindSpec> for ServedKind {
    fn from(kind: &KindSpec) -> Self {
        Self { name: kind.name.clone(), fields: kind.fields.clone() }
    }
}

/// One whose arguments come by name only.
impl From<&str> for ServedKind {
    fn from(name: &str) -> Self {
        Self { name: name.to_owned(), fields: Vec::new() }
    }
}

/// A claim: who, how much of what.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The worker.
    pub worker: WorkerId,
    /// The random part of the fence, made by the caller: if the reply is lost, nobody else can guess it.
    pub fence: Fence,
    /// The queues, and at most how many tasks of each.
    pub wanted: Vec<Wanted>,
    /// A repetition after an error. If the first time did take something, that is given again, as it was and nothing
    /// besides; if it did not, this is a claim like any other. Costs a look at all that the worker holds.
    pub again: bool,
}

/// How many tasks of one queue are wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The queue.
    pub queue: Arc<str>,
    /// At most so many.
    pub limit: usize,
    /// How many of them would start at once; the others would wait for a slot. Whatever else comes is for workers that have one free.
    pub free: usize,
}

impl Wanted {
    /// So many, for all of which there are slots.
    pub fn new(queue: impl Into<Arc<str>>, limit: usize) -> Self {
        Self { queue: queue.into(), limit, free: limit }
    }
}

/// A task that was claimed.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The claim.
    pub lease: LeaseRef,
    /// The task type.
    pub kind: Arc<str>,
    /// The queue it came from.
    pub queue: Arc<str>,
    /// The number of this attempt.
    pub attempt: u32,
    /// The number of this claim of the task, which only grows.
    pub claim_no: u32,
    /// Crashes so far.
    pub crashes: u32,
    /// Failed attempts until it fails.
    pub max_attempts: u32,
    /// Whether the start has to be reported before the handler runs. Asked of a task that crashed before and of one that
    /// runs at most once: a claimed task that sat in a dead worker's buffer is then told apart from one that ran.
    pub report_start: bool,
    /// When it was enqueued.
    pub created_at: Timestamp,
    /// How long after the claim, by the source's clock, it is too late to start it; of first attempts only, as others no longer
    /// expire. A worker gives back what it does not start within it, and the source ends it as `expired`. `None` if it never is
    /// too late, or the source does not say.
    pub expires_in: Option<Duration>,
    /// The arguments, as JSON text.
    pub args: String,
    /// Parent, tags, context, overrides.
    pub meta: Option<Box<TaskMeta>>,
}

/// Logs and progress of a running attempt.
#[derive(Clone, Debug)]
pub struct Note {
    /// The claim.
    pub lease: LeaseRef,
    /// All that it logged so far, bounded.
    pub logs: Option<String>,
    /// How far it has come.
    pub progress: Option<Progress>,
}

impl Note {
    /// Whether it says nothing, and only asks whether the lease still holds.
    pub fn is_empty(&self) -> bool {
        self.logs.is_none() && self.progress.is_none()
    }
}

/// What a heartbeat brings back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pulse {
    /// False if the worker was taken for dead: everything that was held is somebody else's now.
    pub alive: bool,
    /// Running tasks that somebody wants to stop.
    pub cancel: Vec<LeaseRef>,
    /// An operator wants the worker to end: to claim no more, to finish what it runs within its grace period, and to leave. Said with
    /// each heartbeat from then on, as an answer may get lost.
    pub drain: bool,
}

/// The living workers of a source, in an order on which all of them agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fleet {
    /// How many they are; never zero.
    pub size: u32,
    /// How many come before this process's worker.
    pub rank: u32,
}

/// One alone, as is right to suppose until more is known: too many do the work then, and not too few.
impl Default for Fleet {
    fn default() -> Self {
        Self { size: 1, rank: 0 }
    }
}

impl Fleet {
    /// Whether it is this one's turn among `most`, for something that has the number `lot`, the same for all of them.
    pub const fn is_chosen(self, lot: u32, most: u32) -> bool {
        let size = if self.size == 0 { 1 } else { self.size };
        // 64 bits, as the sum of two ranks may not fit into 32.
        let place = (self.rank as u64 + size as u64 - (lot % size) as u64) % size as u64;
        place < most as u64
    }
}

/// What a sweep did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Scheduled tasks that became ready.
    pub promoted: usize,
    /// Leases taken from dead workers.
    pub rescued: usize,
    /// Tasks that ended because they were not started in time.
    pub expired: usize,
    /// The tasks that ended for good: their worker died once too often, or they were not started in time. Those whose
    /// expiry a claim found come with the next sweep that the same process makes of the store. For whoever wants to be
    /// told in this process; a crash in between loses them, and only their records tell then.
    pub ended: Vec<TaskId>,
    /// Tasks that came back because a worker serves their type again.
    pub unparked: usize,
    /// How long until the next task is due, if one is; zero if a limit was reached and more may be waiting, of whatever it did.
    pub next_due: Option<Duration>,
}

/// What is left to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// Something is ready that a worker could claim.
    pub ready: bool,
    /// Something is due soon, or a sweep lets it go. Whether one does need not be looked for while something else is left.
    pub scheduled: bool,
    /// Something is running.
    pub running: bool,
    /// Something waits for other tasks or for a slot. It goes on by what else is left, or by nobody here.
    pub held: bool,
}

impl Pending {
    /// Nothing is left.
    pub const fn is_idle(self) -> bool {
        !self.ready && !self.scheduled && !self.running
    }
}

/// What [`Source::wait`] waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// A task became ready, a queue or a task type was resumed.
    Ready,
    /// A task was scheduled or a schedule edited, so that the next due time may have moved.
    Scheduled,
    /// Somebody wants a running task to stop.
    Cancelled,
    /// This task ended.
    Ended(TaskId),
    /// Anything happened since that mark, as [`Store::changes`](crate::Store::changes) gave it.
    Changed(Mark),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_chosen_as_are_wanted_whatever_the_lot() {
        for size in [1, 2, 3, 50] {
            for lot in [0, 1, 49, u32::MAX] {
                let chosen = |most| (0..size).filter(|rank| Fleet { size, rank: *rank }.is_chosen(lot, most)).count();
                assert_eq!(chosen(3), 3.min(size as usize), "of {size} by {lot}");
                assert_eq!(chosen(u32::MAX), size as usize);
            }
        }
        // What a store counts may be from two moments.
        assert!(Fleet { size: 0, rank: 7 }.is_chosen(5, 3));
        assert!(Fleet { size: 1, rank: u32::MAX }.is_chosen(u32::MAX, 1));
    }
}
