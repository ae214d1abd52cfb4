use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use gristmill_core::kit::watch::Watch;
use gristmill_core::{
    AttemptRecord, AttemptState, Drain, Fence, Hold, KindSpec, NewTask, Progress, Standing, State, TaskId, Timestamp, WorkerId,
    WorkerSpec, place,
};

use super::book::Book;
use super::concurrency::Limited;
use super::durable::Remembered;
use super::enqueue::Unique;
use super::locks::Locks;
use super::signal::News;
use super::workflows::{Report, Workflows};

/// Priorities, places in line and keys.
type Line = BTreeSet<(u8, i64, i64)>;

/// All that the store knows. Each task is in one place; everything else is an index over the tasks, kept by [`Tables::update`].
#[derive(Debug, Default)]
pub(super) struct Tables {
    last_seq: i64,
    pub(super) tasks: BTreeMap<i64, Task>,
    pub(super) by_id: HashMap<TaskId, i64>,
    /// Ready tasks by queue and type, each by priority, place in line and key, so that a type which nobody serves costs no claim anything.
    pub(super) ready: BTreeMap<(String, String), Line>,
    pub(super) scheduled: BTreeSet<(Timestamp, i64)>,
    /// Blocked and waiting tasks.
    pub(super) on_hold: BTreeSet<i64>,
    pub(super) expiring: BTreeSet<(Timestamp, i64)>,
    pub(super) kept_until: BTreeSet<(Timestamp, i64)>,
    pub(super) held: BTreeMap<WorkerId, BTreeSet<i64>>,
    pub(super) workers: BTreeMap<WorkerId, Worker>,
    pub(super) last_worker: i64,
    /// What sweeps have seen of them.
    pub(super) watch: Watch,
    /// Every queue that was ever used, and whether it is paused.
    pub(super) queues: BTreeMap<String, bool>,
    /// Every task type that was ever enqueued or declared.
    pub(super) kinds: BTreeMap<String, Option<KindSpec>>,
    pub(super) paused_kinds: BTreeSet<String>,
    /// Schedules and their ticks.
    pub(super) book: Book,
    pub(super) news: News,
    pub(super) workflows: Workflows,
    pub(super) remembered: Remembered,
    /// By task type and key.
    pub(super) unique: HashMap<(String, String), Unique>,
    pub(super) limited: Limited,
    pub(super) locks: Locks,
    /// What ended for good and no sweep has told yet, by a sweep itself or because a claim found it too late.
    pub(super) untold: Vec<TaskId>,
}

/// A task, wherever it stands.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) new: NewTask,
    pub(super) created_at: Timestamp,
    /// When it was due by its enqueue.
    pub(super) due: Timestamp,
    pub(super) expires_at: Option<Timestamp>,
    /// Attempts used; of an ended task, the number of its last one.
    pub(super) attempt: u32,
    pub(super) crashes: u32,
    /// The number of the last claim, or of the end that stands in for one.
    pub(super) claim_no: u32,
    pub(super) place: Place,
    /// Its place in line: its key, unless it took another.
    pub(super) line: i64,
    pub(super) history: Vec<AttemptRecord>,
}

/// Where a task stands.
#[derive(Debug)]
pub(super) enum Place {
    /// Until others are done; then until it is due.
    Blocked(Timestamp),
    Scheduled(Timestamp),
    Waiting,
    Ready,
    Running(Lease),
    Ended(End),
}

/// The claim of a worker on a task.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) worker: WorkerId,
    pub(super) worker_name: String,
    pub(super) fence: Fence,
    pub(super) claimed_at: Timestamp,
    /// False as long as the worker has to report the start and did not.
    pub(super) started: bool,
    pub(super) cancel_requested: bool,
    pub(super) logs: Option<String>,
    pub(super) progress: Option<Progress>,
}

/// How a task ended.
#[derive(Debug)]
pub(super) struct End {
    pub(super) state: State,
    pub(super) at: Timestamp,
    pub(super) keep_until: Option<Timestamp>,
    pub(super) result: Option<String>,
}

/// A worker that entered and has not left.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) spec: WorkerSpec,
    pub(super) started_at: Timestamp,
    pub(super) expires_at: Timestamp,
    /// Its key among workers.
    pub(super) key: i64,
    /// How long its lease is.
    pub(super) lease: Duration,
    /// It was taken for dead.
    pub(super) lost: bool,
    /// Somebody has asked it to end.
    pub(super) drain: Option<Drain>,
}

impl Place {
    /// The place of a new task.
    pub(super) fn at_first(hold: Hold, due: Timestamp, now: Timestamp) -> Self {
        Self::of(Standing { blocked: hold.blocked, early: due > now, limited: hold.limited, unserved: false }, due)
    }

    /// The place of a task that is due then.
    pub(super) fn of(standing: Standing, due: Timestamp) -> Self {
        Self::in_(place(standing), due)
    }

    pub(super) fn in_(place: gristmill_core::Place, due: Timestamp) -> Self {
        match place {
            gristmill_core::Place::Blocked => Self::Blocked(due),
            gristmill_core::Place::Scheduled => Self::Scheduled(due),
            gristmill_core::Place::Waiting => Self::Waiting,
            // A task that nobody serves stays where it is here, as it costs nobody anything.
            gristmill_core::Place::Ready | gristmill_core::Place::Parked => Self::Ready,
        }
    }
}

impl Task {
    pub(super) fn state(&self) -> State {
        match &self.place {
            Place::Blocked(_) => State::Blocked,
            Place::Scheduled(_) => State::Scheduled,
            Place::Waiting => State::Waiting,
            Place::Ready => State::Ready,
            Place::Running(_) => State::Running,
            Place::Ended(end) => end.state,
        }
    }

    pub(super) fn lease(&self) -> Option<&Lease> {
        match &self.place {
            Place::Running(lease) => Some(lease),
            _ => None,
        }
    }

    /// When it expires, if it may still do so: what was attempted once no longer does.
    fn may_expire_at(&self) -> Option<Timestamp> {
        match self.place {
            Place::Blocked(_) | Place::Scheduled(_) | Place::Waiting | Place::Ready if self.attempt == 0 => self.expires_at,
            _ => None,
        }
    }

    pub(super) fn is_expired(&self, now: Timestamp) -> bool {
        self.may_expire_at().is_some_and(|at| at <= now)
    }

    /// The history row of a task that ends without having been claimed for it.
    pub(super) fn unstarted_row(&self, state: AttemptState, now: Timestamp) -> AttemptRecord {
        AttemptRecord {
            attempt: self.attempt,
            claim_no: self.claim_no + 1,
            state,
            started_at: None,
            finished_at: Some(now),
            worker: None,
            error: None,
            logs: None,
            progress: None,
        }
    }
}

impl Worker {
    pub(super) fn is_alive(&self, now: Timestamp) -> bool {
        !self.lost && self.expires_at > now
    }

    pub(super) fn serves(&self, queue: &str, kind: &str) -> bool {
        self.spec.queues.contains_key(queue) && self.spec.kind_names().any(|served| served == kind)
    }
}

/// What a workflow has to learn of a member that was in another state before.
fn reported(task: &Task, before: State) -> Option<Report> {
    let of = task.new.membership()?;
    let (state, back) = match (before.is_final(), task.state()) {
        (false, state) if state.is_final() => (state, false),
        (true, state) if !state.is_final() => (before, true),
        _ => return None,
    };
    Some(Report { workflow: of.workflow, step: of.number, state, back })
}

impl Tables {
    /// Keeps a new task. The caller has made sure that its id is new.
    pub(super) fn insert(&mut self, mut task: Task) {
        task.line = self.next_line();
        self.by_id.insert(task.new.id, self.last_seq);
        self.tasks.insert(self.last_seq, task);
        self.index(self.last_seq);
    }

    /// A place in line behind all that were given.
    pub(super) fn next_line(&mut self) -> i64 {
        self.last_seq += 1;
        self.last_seq
    }

    /// Changes a task, and every index with it. Does nothing if there is no such task.
    pub(super) fn update(&mut self, seq: i64, change: impl FnOnce(&mut Task)) {
        self.unindex(seq);
        if let Some(task) = self.tasks.get_mut(&seq) {
            let before = task.state();
            change(task);
            if let Some(report) = reported(task, before) {
                self.workflows.report(report);
            }
        }
        self.index(seq);
    }

    /// Forgets a task and its history.
    pub(super) fn remove(&mut self, seq: i64) {
        self.unindex(seq);
        if let Some(task) = self.tasks.remove(&seq) {
            self.by_id.remove(&task.new.id);
            self.limited.gone(seq, &task);
            if task.state() != State::Succeeded {
                self.leave_children(task.new.id);
            }
        }
    }

    pub(super) fn by_id(&self, id: TaskId) -> Option<(i64, &Task)> {
        let seq = *self.by_id.get(&id)?;
        Some((seq, self.tasks.get(&seq)?))
    }

    /// Whether somebody can still see the task end.
    pub(super) fn is_live(&self, id: TaskId) -> bool {
        self.by_id(id).is_some_and(|(_, task)| !task.state().is_final())
    }

    pub(super) fn take_news(&mut self) -> News {
        std::mem::take(&mut self.news)
    }

    fn index(&mut self, seq: i64) {
        let Some(task) = self.tasks.get(&seq) else { return };
        self.news.changed = true;
        self.limited.stands(seq, task);
        match &task.place {
            Place::Ready => {
                self.news.ready = true;
                let key = (task.new.queue.clone(), task.new.kind.clone());
                self.ready.entry(key).or_default().insert((task.new.priority, task.line, seq));
            }
            Place::Scheduled(run_at) => {
                self.news.scheduled = true;
                self.scheduled.insert((*run_at, seq));
            }
            Place::Blocked(_) | Place::Waiting => _ = self.on_hold.insert(seq),
            Place::Running(lease) => {
                self.held.entry(lease.worker).or_default().insert(seq);
            }
            Place::Ended(end) => {
                self.news.ended.push(task.new.id);
                self.kept_until.extend(end.keep_until.map(|at| (at, seq)));
            }
        }
        self.expiring.extend(task.may_expire_at().map(|at| (at, seq)));
    }

    fn unindex(&mut self, seq: i64) {
        let Some(task) = self.tasks.get(&seq) else { return };
        match &task.place {
            Place::Ready => {
                let key = (task.new.queue.clone(), task.new.kind.clone());
                if let Some(line) = self.ready.get_mut(&key) {
                    line.remove(&(task.new.priority, task.line, seq));
                    if line.is_empty() {
                        self.ready.remove(&key);
                    }
                }
            }
            Place::Scheduled(run_at) => {
                self.scheduled.remove(&(*run_at, seq));
            }
            Place::Blocked(_) | Place::Waiting => _ = self.on_hold.remove(&seq),
            Place::Running(lease) => {
                if let Some(held) = self.held.get_mut(&lease.worker) {
                    held.remove(&seq);
                    if held.is_empty() {
                        self.held.remove(&lease.worker);
                    }
                }
            }
            Place::Ended(end) => {
                if let Some(at) = end.keep_until {
                    self.kept_until.remove(&(at, seq));
                }
            }
        }
        if let Some(at) = task.may_expire_at() {
            self.expiring.remove(&(at, seq));
        }
    }
}
