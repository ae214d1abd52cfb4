use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;

use crate::limits::{BATCH_TASKS_MAX, check_name};
use crate::{Cursor, EnqueueOutcome, NewTask, Page, State, StoreError, StoreErrorKind, TaskId, Timestamp, WorkerId};

/// The header of a tick's task that names its schedule.
pub const SCHEDULE_HEADER: &str = "schedule";
/// How long a store keeps ticks after they were written.
pub const TICKS_KEPT: Duration = Duration::from_secs(90 * 86_400);

/// What beats, clients and operators need of a store for schedules.
///
/// A store keeps schedules, hands out those that are due by its own clock, and makes what a beat decided for them happen at
/// once or not at all. What a rule means, which ticks were missed and whether the last task still runs are not its business:
/// `body` and `memory` are JSON texts that it keeps as they are.
///
/// All writes are batches of at most [`BATCH_TASKS_MAX`](crate::limits::BATCH_TASKS_MAX), `Invalid` beyond that, are atomic,
/// and are safe to repeat after an error.
#[async_trait]
pub trait Schedules: Send + Sync {
    /// Reads the schedules of these names, lets `edit` decide about each, and writes that; all of it as one transaction in
    /// which nobody else changes them. Returns each as it stands afterwards, in order. Whatever is written wakes those who
    /// wait for [`Wake::Scheduled`](crate::Wake::Scheduled).
    ///
    /// `edit` may be called more than once and then has to decide anew. It holds up other writers of the store, so it has to
    /// be quick, and it must not use the store itself.
    ///
    /// # Errors
    /// What `edit` answered, or that it panicked; `Invalid` for a bad name or one that is there twice. Nothing is written
    /// then. Or the store's.
    async fn edit_schedules(&self, names: &[String], edit: &ScheduleEdit) -> Result<Vec<Option<Schedule>>, StoreError>;

    /// The schedule of this name.
    ///
    /// # Errors
    /// If the store can't be read.
    async fn schedule(&self, name: &str) -> Result<Option<Schedule>, StoreError>;

    /// Schedules in the order of their names' bytes, those behind `after`, at most
    /// [`PAGE_ITEMS_MAX`](crate::limits::PAGE_ITEMS_MAX); with `owner` only those that it owns. Fewer than that and than asked
    /// for are the last.
    ///
    /// # Errors
    /// If the store can't be read.
    async fn schedules(&self, owner: Option<&str>, after: Option<&str>, limit: usize) -> Result<Vec<Schedule>, StoreError>;

    /// The schedules that are due by the store's clock, the longest due first, those of one instant by name; at most
    /// [`PAGE_ITEMS_MAX`](crate::limits::PAGE_ITEMS_MAX).
    ///
    /// # Errors
    /// If the store can't be read.
    async fn due_schedules(&self, limit: usize) -> Result<DueSchedules, StoreError>;

    /// Writes what a beat decided: for each schedule that has not changed since it was read, its ticks with their tasks, and
    /// what comes next. A tick that was written before makes no task again, whoever wrote it, and though the schedule was
    /// removed and made anew since. One answer each.
    ///
    /// A tick's task that is there already, with its id, type and arguments, is the tick's. If another task has its id, none is
    /// made, and the tick is written as [`TickOutcome::Failed`].
    ///
    /// Repeated after an error, what was written the first time answers `Stale`.
    ///
    /// # Errors
    /// `Invalid` if a schedule is there twice, or all of them together have too many ticks or cancellations for a batch; or if
    /// the store can't be written. Nothing was written then.
    async fn advance_schedules(&self, advances: Vec<Advance>) -> Result<Vec<Advanced>, StoreError>;

    /// What became of a schedule's ticks, the latest instant first, at most
    /// [`PAGE_ITEMS_MAX`](crate::limits::PAGE_ITEMS_MAX). They outlive the schedule, and
    /// [`Source::prune`](crate::Source::prune) deletes them [`TICKS_KEPT`] after they were written.
    ///
    /// # Errors
    /// If the store can't be read.
    async fn ticks(&self, schedule: &str, after: Option<Cursor>, limit: usize) -> Result<Page<TickRecord>, StoreError>;

    /// Asks for the lead among beats, or extends it, by the store's clock. It only saves work: two who both believe to lead
    /// make each tick's task once all the same.
    ///
    /// Another's lead that would end later than the one that is asked for is over: it was given before the clock was set back,
    /// and its holder may be long dead.
    ///
    /// # Errors
    /// If the store can't be written.
    async fn lead_beats(&self, beat: WorkerId, lease: Duration) -> Result<Lead, StoreError>;

    /// Gives up the lead, so that another beat need not wait for its end. Nothing happens if another has it.
    ///
    /// # Errors
    /// If the store can't be written.
    async fn resign_beat(&self, beat: WorkerId) -> Result<(), StoreError>;

    /// Where these tasks stand, in order; `None` for one that is not kept. Costs a look at each, and reads no body.
    ///
    /// # Errors
    /// If the store can't be read.
    async fn task_states(&self, ids: &[TaskId]) -> Result<Vec<Option<State>>, StoreError>;
}

/// Decides about one schedule: its name, as it stands if there is one, and the store's time.
pub type ScheduleEdit = Arc<dyn Fn(&str, Option<&Schedule>, Timestamp) -> Result<Edit, StoreError> + Send + Sync>;

/// What to do with a schedule.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// Nothing.
    Keep,
    /// Write it so, whether it is there or not.
    Put(NewSchedule),
    /// Delete it; its ticks and its tasks stay.
    Remove,
}

/// A schedule to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct NewSchedule {
    /// The program or the file that defines it and may disable it when it no longer does; `None` for one made at run time.
    pub owner: Option<String>,
    /// What it is, as JSON text.
    pub body: String,
    /// When a beat has to look at it next; `None` while it is paused or has ended.
    pub due_at: Option<Timestamp>,
    /// What the beat remembers of it, as JSON text.
    pub memory: String,
}

/// A schedule, as a store keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Its name, by which everybody speaks of it.
    pub name: String,
    /// See [`NewSchedule::owner`].
    pub owner: Option<String>,
    /// What it is, as JSON text.
    pub body: String,
    /// When a beat has to look at it next.
    pub due_at: Option<Timestamp>,
    /// What the beat remembers of it, as JSON text.
    pub memory: String,
    /// Grows with every change, by whomever, and does not begin anew for one that was removed and is made again: what was
    /// decided about the old one must not be written to the new one.
    pub revision: i64,
    /// When it was first written.
    pub created_at: Timestamp,
    /// When it was last edited; a beat's advance is no edit.
    pub edited_at: Timestamp,
}

/// What is due.
#[derive(Clone, Debug, PartialEq)]
pub struct DueSchedules {
    /// The store's time.
    pub now: Timestamp,
    /// Those that are due.
    pub schedules: Vec<Schedule>,
    /// How long until the next one is due that is not among them, zero if it is due; `None` if there is none.
    pub next_due: Option<Duration>,
}

/// What a beat decided about one schedule.
#[derive(Clone, Debug, PartialEq)]
pub struct Advance {
    /// The schedule.
    pub name: String,
    /// As it was read; if it has another by now, nothing of this is written.
    pub revision: i64,
    /// When it has to be looked at next.
    pub due_at: Option<Timestamp>,
    /// What to remember.
    pub memory: String,
    /// The ticks that are dealt with.
    pub ticks: Vec<Tick>,
    /// Tasks of earlier ticks to cancel, as [`Store::cancel`](crate::Store::cancel) does.
    pub cancel: Vec<TaskId>,
}

/// One tick and what becomes of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    /// The instant that the rule names, without jitter. With the schedule's name it is the tick's identity.
    pub at: Timestamp,
    /// The task to make.
    pub task: Option<NewTask>,
    /// What becomes of it.
    pub outcome: TickOutcome,
    /// Why, for people.
    pub reason: Option<String>,
}

/// What became of a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TickOutcome {
    /// Its task was made.
    Enqueued,
    /// Somebody asked for a run out of turn, and its task was made.
    Manual,
    /// The task of the tick before it had not ended.
    Skipped,
    /// No beat ran when it was due, and it is not made up for.
    Missed,
    /// It came too soon after the last run, or after failures.
    Suppressed,
    /// Its task could not be made.
    Failed,
}

/// What became of an [`Advance`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Advanced {
    /// It is written. Of each tick: whether it is new; one that was there before was left alone, with the task it had.
    Done(Vec<bool>),
    /// The schedule has changed or gone meanwhile, or somebody is changing it; nothing was written.
    Stale,
}

/// A tick, as it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct TickRecord {
    /// The instant that the rule names.
    pub at: Timestamp,
    /// When it was dealt with, by the store's clock.
    pub written_at: Timestamp,
    /// The task that was made.
    pub task: Option<TaskId>,
    /// What became of it.
    pub outcome: TickOutcome,
    /// Why.
    pub reason: Option<String>,
}

/// Who leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lead {
    /// Whether it is the one that asked.
    pub leads: bool,
    /// 1 for the first that leads, and grows each time that the lead passes to another.
    pub term: i64,
}

impl Advance {
    /// Checks a batch; for stores.
    ///
    /// # Errors
    /// `Invalid` if there are too many of them, or of their ticks or cancellations, or a schedule is there twice.
    pub fn check(batch: &[Self]) -> Result<(), StoreError> {
        let ticks = batch.iter().map(|advance| advance.ticks.len()).sum();
        let cancels = batch.iter().map(|advance| advance.cancel.len()).sum();
        check_count("advances", batch.len())?;
        check_count("ticks", ticks)?;
        check_count("cancellations", cancels)?;
        check_once(batch.iter().map(|advance| advance.name.as_str()))
    }
}

impl Edit {
    /// Checks the names of a batch of edits; for stores.
    ///
    /// # Errors
    /// `Invalid` if there are too many, or one is no name or is there twice.
    pub fn check(names: &[String]) -> Result<(), StoreError> {
        check_count("schedules", names.len())?;
        for name in names {
            check_name("schedule", name).map_err(|error| invalid(error.to_string()))?;
        }
        check_once(names.iter().map(String::as_str))
    }

    /// Asks `edit` about a schedule; for stores. A panic becomes an error, as `edit` runs where the store's writes do, and all
    /// of them would end with it.
    ///
    /// # Errors
    /// What `edit` answered, or that it panicked.
    pub fn ask(edit: &ScheduleEdit, name: &str, found: Option<&Schedule>, now: Timestamp) -> Result<Self, StoreError> {
        catch_unwind(AssertUnwindSafe(|| edit(name, found, now)))
            .unwrap_or_else(|_| Err(invalid(format!("the edit of schedule {name:?} panicked; nothing was written"))))
    }
}

impl TickRecord {
    /// How long after its instant the tick was dealt with.
    pub fn lateness(&self) -> Duration {
        self.written_at.since(self.at)
    }

    /// How a new tick is written, given what became of its task; for stores.
    pub fn of(tick: &Tick, made: Option<EnqueueOutcome>, written_at: Timestamp) -> Self {
        let own = tick.task.as_ref().map(|task| task.id);
        let task = match made {
            Some(EnqueueOutcome::Conflict) => None,
            // Another task stands for it.
            Some(EnqueueOutcome::Exists(other)) => Some(other),
            Some(EnqueueOutcome::Created) | None => own,
        };
        let refused = own.is_some() && task.is_none();
        Self {
            at: tick.at,
            written_at,
            task,
            outcome: if refused { TickOutcome::Failed } else { tick.outcome },
            reason: if refused { Some("another task has the id of its task".to_owned()) } else { tick.reason.clone() },
        }
    }
}

impl TickOutcome {
    /// All there are, in the order of their codes in stores.
    pub const ALL: [Self; 6] = [Self::Enqueued, Self::Manual, Self::Skipped, Self::Missed, Self::Suppressed, Self::Failed];

    /// As people and scripts read it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enqueued => "enqueued",
            Self::Manual => "manual",
            Self::Skipped => "skipped",
            Self::Missed => "missed",
            Self::Suppressed => "suppressed",
            Self::Failed => "failed",
        }
    }
}

fn check_count(what: &str, count: usize) -> Result<(), StoreError> {
    if count <= BATCH_TASKS_MAX {
        return Ok(());
    }
    Err(invalid(format!("can't write {count} {what} at once; at most {BATCH_TASKS_MAX}, so split them")))
}

fn check_once<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), StoreError> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(invalid(format!("schedule {name:?} is there twice; a batch can have it once")));
        }
    }
    Ok(())
}

fn invalid(message: String) -> StoreError {
    StoreError::new(StoreErrorKind::Invalid, message)
}
