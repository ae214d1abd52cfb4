use std::any::Any;
use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::concurrency::KeyLimits;
use crate::durable::Durable;
use crate::workflow::Workflows;
use crate::{
    Changes, Cursor, Filter, KindSpec, LockInfo, Mark, NewTask, Page, Policy, Schedules, Source, State, StoreError, TaskId,
    TaskRecord, Timestamp, WorkerId,
};

/// What clients and operators need of a store, beside what workers do ([`Source`]), beats ([`Schedules`]), workflows
/// ([`Workflows`]), durable steps ([`Durable`]) and operators of keys with a limit ([`KeyLimits`]).
#[async_trait]
pub trait Store: Source + Schedules + Workflows + Durable + KeyLimits {
    /// Where the store is, without secrets: `sqlite:/var/lib/app.db`.
    fn location(&self) -> String;

    /// The concrete store, for adapters that need its own connection.
    fn as_any(&self) -> &dyn Any;

    /// Records what task types declare, so that callers without their code can enqueue and validate. Newest wins.
    ///
    /// # Errors
    /// If the store can't be written.
    async fn declare(&self, kinds: &[KindSpec]) -> Result<(), StoreError>;

    /// Keeps tasks; acknowledged when it returns. At most [`BATCH_TASKS_MAX`](crate::limits::BATCH_TASKS_MAX) at once
    /// (`Invalid` if there are more), all committed together; each item answers for itself, and a conflict hinders no other.
    ///
    /// # Errors
    /// If the store can't be written; then none is kept, or (after a lost reply) all are. A repetition with the same ids
    /// is safe.
    async fn enqueue(&self, tasks: Vec<NewTask>) -> Result<Vec<EnqueueOutcome>, StoreError>;

    /// Hints that something was committed which this handle did not see, such as tasks in a caller's own transaction: whoever
    /// waits, here and in other processes, looks at once and not only at its next look.
    fn nudge(&self) {}

    /// What happened since `after`, in its order, as far as this handle has seen it; without a mark, where things stand now. Asks
    /// nobody and costs nothing: [`Wake::Changed`](crate::Wake::Changed) waits until there is more. What other processes do is
    /// noticed, if not at once, and mostly not what it was: [`Changes::missed`] says so.
    fn changes(&self, after: Option<Mark>) -> Changes;

    /// One task with its history.
    ///
    /// # Errors
    /// If the store can't be read.
    async fn get(&self, id: TaskId) -> Result<Option<TaskRecord>, StoreError>;

    /// Tasks that match, newest first, without their histories. At most
    /// [`PAGE_ITEMS_MAX`](crate::limits::PAGE_ITEMS_MAX) a page.
    ///
    /// # Errors
    /// `Invalid` if the filter can't match anything ([`Filter::check`]); or if the store can't be read.
    async fn list(&self, filter: &Filter, after: Option<Cursor>, limit: usize) -> Result<Page<TaskRecord>, StoreError>;

    /// The ids of tasks that match, newest first, in pages as those of [`list`](Self::list); for whoever does something with all
    /// of them and needs no arguments and results.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    async fn list_ids(&self, filter: &Filter, after: Option<Cursor>, limit: usize) -> Result<Page<TaskId>, StoreError> {
        Ok(self.list(filter, after, limit).await?.map(|task| task.id))
    }

    /// The ids of tasks from `first` to `last`, both included, in their order, at most `limit`: what begins with a part of an id
    /// ([`TaskId::range_of`]).
    ///
    /// # Errors
    /// If the store can't be read.
    async fn ids_between(&self, first: TaskId, last: TaskId, limit: usize) -> Result<Vec<TaskId>, StoreError>;

    /// Cancels tasks. One answer each, in order.
    ///
    /// # Errors
    /// If the store can't be written; then nothing was cancelled.
    async fn cancel(&self, ids: &[TaskId]) -> Result<Vec<CancelOutcome>, StoreError>;

    /// Makes ended tasks ready again, with fresh attempts, under the same id and with their history. One answer each. A member of a
    /// workflow whose step still waits for others waits with it.
    ///
    /// # Errors
    /// If the store can't be written; then nothing was retried.
    async fn retry(&self, ids: &[TaskId]) -> Result<Vec<RetryOutcome>, StoreError>;

    /// Deletes ended tasks with their results and histories, before their retention is over. There is no way back. One answer each,
    /// in order.
    ///
    /// # Errors
    /// If the store can't be written; then nothing was deleted.
    async fn delete(&self, ids: &[TaskId]) -> Result<Vec<DeleteOutcome>, StoreError>;

    /// Lets tasks run now, by hand: one that runs is taken from its worker, at the cost of no attempt, and one that is scheduled
    /// waits no longer. For what nothing else sets free, such as a task of a worker that hangs and still beats, or one that is
    /// due in years as a clock was wrong when it was enqueued. One answer each, in order.
    ///
    /// The worker is not told: its handler runs on until it finds out or ends, and whatever it then reports is refused by the
    /// fence. Meanwhile another worker may run the task. As with a worker that stops, one that had started and runs at most once
    /// has failed then, and one that somebody cancelled is cancelled.
    ///
    /// # Errors
    /// If the store can't be written; then nothing has changed.
    async fn release(&self, ids: &[TaskId]) -> Result<Vec<ReleaseOutcome>, StoreError>;

    /// Takes a worker for dead, by hand and at once: what it holds is rescued as what dead workers held, so that an attempt which
    /// had started counts as a crash, and its row is gone. How many tasks it held; `None` if there is no such worker. If it lives
    /// all the same, its next heartbeat is told that it is dead.
    ///
    /// # Errors
    /// If the store can't be written. What it held may have been taken in part then; a repetition, or any sweep, takes the rest.
    async fn forget_worker(&self, worker: WorkerId) -> Result<Option<u64>, StoreError>;

    /// Asks a worker to end, in whatever process it is: to claim no more, to finish what it runs, and to leave, as at a first signal to
    /// stop. It hears that with its next heartbeat ([`Pulse::drain`](crate::Pulse::drain)), and until then goes on as before;
    /// [`WorkerInfo::drain`] tells how far it is. The wish is the worker's alone: one that is started in its place, under whatever
    /// name, knows nothing of it. False if there is no such worker, or it was taken for dead.
    ///
    /// # Errors
    /// If the store can't be written. A repetition is safe.
    async fn drain_worker(&self, worker: WorkerId) -> Result<bool, StoreError>;

    /// Says of blocked tasks that what they waited for is done: each goes on to where it belongs. One that becomes ready stands
    /// behind all that are ready by then, in the order of the ids. One answer each: its state then, `None` if it is not
    /// blocked, or has a flag that only a newer program knows.
    ///
    /// # Errors
    /// If the store can't be written; then nothing has moved.
    async fn unblock(&self, ids: &[TaskId]) -> Result<Vec<Option<State>>, StoreError>;

    /// Says of waiting tasks that their limit admits them: each becomes ready, behind all that are ready by then, in the order of
    /// the ids. (At the place of its arrival it could overtake those that workers have passed already, and be seen late.) One
    /// answer each: its state then, `None` if it does not wait, or has a flag that only a newer program knows.
    ///
    /// # Errors
    /// If the store can't be written; then nothing has moved.
    async fn admit(&self, ids: &[TaskId]) -> Result<Vec<Option<State>>, StoreError>;

    /// Moves tasks that wait, wherever they do, to another queue: they keep their priorities, their places in line and their limits, and may be claimed from
    /// there. What runs stays in its queue, its later attempts with it. The queue need not exist yet. One answer each.
    ///
    /// # Errors
    /// If the store can't be written; then nothing has moved.
    async fn move_to(&self, ids: &[TaskId], queue: &str) -> Result<Vec<MoveOutcome>, StoreError>;

    /// Stops or resumes the claims from a queue; what runs goes on. The queue need not exist yet.
    ///
    /// # Errors
    /// If the store can't be written.
    async fn pause(&self, queue: &str, paused: bool) -> Result<(), StoreError>;

    /// Stops or resumes the claims of a task type, in all queues: a claim that begins after this has returned takes none, whoever makes it, and
    /// passes them over in their line. What runs goes on. The type need not be known yet. Workers of versions that know nothing of it
    /// take its tasks as ever.
    ///
    /// # Errors
    /// If the store can't be written. It may hold for some workers then; a repetition is safe.
    async fn pause_kind(&self, kind: &str, paused: bool) -> Result<(), StoreError>;

    /// All queues that were ever used or paused, by name.
    ///
    /// # Errors
    /// If the store can't be read.
    async fn queues(&self) -> Result<Vec<QueueInfo>, StoreError>;

    /// All workers that have a heartbeat row, newest first.
    ///
    /// # Errors
    /// If the store can't be read.
    async fn workers(&self) -> Result<Vec<WorkerInfo>, StoreError>;

    /// Locks that are held and whose names begin so, in the order of the names and from behind `after` on; at most `limit` or
    /// [`PAGE_ITEMS_MAX`](crate::limits::PAGE_ITEMS_MAX). What a dead worker's attempts hold is among them until they are rescued.
    ///
    /// # Errors
    /// If the store can't be read.
    async fn locks(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<LockInfo>, StoreError>;

    /// The locks that the running attempt of a task holds, by name.
    ///
    /// # Errors
    /// If the store can't be read.
    async fn locks_of(&self, id: TaskId) -> Result<Vec<LockInfo>, StoreError>;

    /// All task types that were ever declared or enqueued, by name.
    ///
    /// # Errors
    /// If the store can't be read.
    async fn kinds(&self) -> Result<Vec<KindInfo>, StoreError>;

    /// Looks for damage, broken invariants and settings that hurt.
    ///
    /// # Errors
    /// If the store can't be read at all.
    async fn check(&self) -> Result<Vec<Finding>, StoreError>;
}

/// What became of one task of an enqueue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnqueueOutcome {
    /// It is kept.
    Created,
    /// This task was there before and stands for it; nothing changed. Its id is the same if it was enqueued twice, with the same
    /// type and arguments.
    Exists(TaskId),
    /// Another task has this id; nothing changed.
    Conflict,
}

/// What became of one cancellation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelOutcome {
    /// It had not started and never will.
    Cancelled,
    /// It runs; its handler is told within moments, or at the latest with its worker's next heartbeat, and it is not run again even
    /// if its worker dies. It has 5 seconds to end from then on; if it succeeds in that time, the task has succeeded.
    CancelRequested,
    /// It had ended before.
    AlreadyEnded,
    /// There is no such task.
    NotFound,
}

/// What became of one retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryOutcome {
    /// It is ready again.
    Ready,
    /// It has not ended; nothing changed.
    NotEnded,
    /// There is no such task.
    NotFound,
}

/// What became of one deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeleteOutcome {
    /// Nothing is kept of it any more.
    Deleted,
    /// It has not ended, or a newer version has yet to finish its end; nothing changed.
    NotEnded,
    /// It belongs to a workflow that goes on and may want its result; nothing changed.
    Wanted,
    /// There is no such task.
    NotFound,
}

/// What became of one task that was to be released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseOutcome {
    /// It waits for a worker now, or for its limit if it has one.
    Released,
    /// It ran and has ended with that: it runs at most once and had started, or somebody had cancelled it.
    Ended,
    /// It neither ran nor was it scheduled, but waits for a worker, its limit or other tasks; nothing changed.
    Waits,
    /// It had ended before.
    AlreadyEnded,
    /// There is no such task.
    NotFound,
}

/// What became of one task that was to be moved to another queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MoveOutcome {
    /// It waits in that queue now.
    Moved,
    /// It runs, has ended, waits in that queue already, or somebody else has it in hand; nothing changed.
    Unchanged,
    /// There is no such task.
    NotFound,
}

/// A queue, as an operator sees it. Counts stop at [`COUNT_MAX`](crate::limits::COUNT_MAX), so that asking costs the same
/// whatever the backlog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QueueInfo {
    /// Its name.
    pub name: String,
    /// Whether claims are stopped.
    pub paused: bool,
    /// Tasks that may run now, at most the limit of counts.
    pub ready: u64,
    /// Tasks that are due later, at most the limit of counts.
    pub scheduled: u64,
    /// Tasks that wait for others, at most the limit of counts.
    pub blocked: u64,
    /// Tasks that wait for a slot of their limit, at most the limit of counts.
    pub waiting: u64,
    /// Tasks that run.
    pub running: u64,
    /// Tasks that workers have claimed ahead, and that wait for one of their slots. Their state is `running`, too.
    pub buffered: u64,
    /// Ready tasks of types that no live worker serves, at most the limit of counts.
    pub unserved: u64,
    /// When the longest waiting ready task was enqueued.
    pub oldest_ready_at: Option<Timestamp>,
}

/// A worker, as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WorkerInfo {
    /// Its id.
    pub id: String,
    /// Host and process id.
    pub name: String,
    /// Its program's version.
    pub version: String,
    /// Whether its lease holds.
    pub alive: bool,
    /// Whether an operator has asked it to end.
    pub drain: Option<Drain>,
    /// When it started.
    pub started_at: Timestamp,
    /// When its lease ends.
    pub expires_at: Timestamp,
    /// The queues it serves, with its concurrency in each.
    pub queues: BTreeMap<String, u32>,
    /// The task types it serves.
    pub kinds: Vec<String>,
    /// Tasks that it runs: those that it holds, as far as it has slots for them.
    pub running: u64,
    /// Tasks that it has claimed ahead, and that wait for one of its slots.
    pub buffered: u64,
}

/// How far a worker is that was asked to end ([`Store::drain_worker`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Drain {
    /// It has not heard of it, and claims as before. One of a version that knows no such wish never hears of it.
    Asked,
    /// A heartbeat has told it: it claims no more, and leaves when what it runs has ended.
    Heard,
}

/// A task type, as the store knows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KindInfo {
    /// Its name.
    pub name: String,
    /// JSON Schema of its arguments, if it was ever declared.
    pub schema: Option<serde_json::Value>,
    /// Its options, if it was ever declared.
    pub policy: Option<Policy>,
    /// How many live workers serve it.
    pub workers: u64,
    /// Whether claims of it are stopped.
    pub paused: bool,
}

/// One thing that [`Store::check`] found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// A stable name: `integrity`, `orphan_lease`, ...
    pub code: String,
    /// What was found.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl Finding {
    /// Whatever it is.
    pub fn new(severity: Severity, code: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { severity, code: code.to_owned(), message: message.into(), hint: hint.into() }
    }

    /// All is well, and there is nothing to do.
    pub fn ok(code: &str, message: impl Into<String>) -> Self {
        Self::new(Severity::Ok, code, message, "")
    }

    /// Worth a look.
    pub fn warning(code: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, message, hint)
    }

    /// An invariant is broken or data is damaged.
    pub fn error(code: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, message, hint)
    }
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// All is well; said so that the reader knows it was looked at.
    Ok,
    /// Worth a look.
    Warning,
    /// An invariant is broken or data is damaged.
    Error,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scripts depend on them; see [`json`](crate::json).
    #[test]
    fn queues_workers_and_task_types_are_exactly_these() {
        let queue = QueueInfo {
            name: "mail".to_owned(),
            paused: false,
            ready: 1,
            scheduled: 2,
            blocked: 4,
            waiting: 5,
            running: 3,
            buffered: 6,
            unserved: 0,
            oldest_ready_at: Some(Timestamp::from_millis(1_000)),
        };
        let expected = concat!(
            r#"{"name":"mail","paused":false,"ready":1,"scheduled":2,"blocked":4,"waiting":5,"running":3,"buffered":6,"unserved":0,"#,
            r#""oldest_ready_at":"1970-01-01T00:00:01.000Z"}"#
        );
        assert_eq!(serde_json::to_string(&queue).unwrap(), expected);
        let worker = WorkerInfo {
            id: "w".to_owned(),
            name: "host:1".to_owned(),
            version: "1".to_owned(),
            alive: true,
            drain: None,
            started_at: Timestamp::from_millis(1_000),
            expires_at: Timestamp::from_millis(2_000),
            queues: [("mail".to_owned(), 8)].into(),
            kinds: vec!["mail.send".to_owned()],
            running: 0,
            buffered: 0,
        };
        let expected = concat!(
            r#"{"id":"w","name":"host:1","version":"1","alive":true,"drain":null,"started_at":"1970-01-01T00:00:01.000Z","#,
            r#""expires_at":"1970-01-01T00:00:02.000Z","queues":{"mail":8},"kinds":["mail.send"],"running":0,"buffered":0}"#
        );
        assert_eq!(serde_json::to_string(&worker).unwrap(), expected);
        let kind = KindInfo { name: "mail.send".to_owned(), schema: None, policy: None, workers: 2, paused: false };
        let expected = r#"{"name":"mail.send","schema":null,"policy":null,"workers":2,"paused":false}"#;
        assert_eq!(serde_json::to_string(&kind).unwrap(), expected);
    }
}
