use gristmill_core::concurrency::fair::is_by_turn;
use gristmill_core::{
    AttemptState, CancelOutcome, DeleteOutcome, Ending, Failure, FailureReason, LeaseKey, LeaseRef, MoveOutcome, ReleaseOutcome,
    RetryOutcome, Standing, State, TaskId, Timestamp,
};

use super::tables::{Place, Tables};

impl Tables {
    pub(super) fn cancel(&mut self, id: TaskId, now: Timestamp) -> CancelOutcome {
        let Some((seq, task)) = self.by_id(id) else { return CancelOutcome::NotFound };
        match &task.place {
            Place::Ended(_) => CancelOutcome::AlreadyEnded,
            Place::Running(lease) => {
                let lease = LeaseRef { id, fence: lease.fence, key: LeaseKey::of_number(seq) };
                self.with_lease(&lease, |lease| lease.cancel_requested = true);
                self.news.cancelled = true;
                CancelOutcome::CancelRequested
            }
            Place::Blocked(_) | Place::Scheduled(_) | Place::Waiting | Place::Ready => {
                let when = if task.claim_no > 0 { "cancelled while it waited" } else { "cancelled before it started" };
                let why = Failure::new(FailureReason::Cancelled, when);
                self.end_unstarted(seq, AttemptState::Cancelled, State::Cancelled, why, now);
                CancelOutcome::Cancelled
            }
        }
    }

    /// Makes an ended task ready with fresh counts. Its history and the numbering of its claims go on.
    pub(super) fn retry(&mut self, id: TaskId, forgets: bool) -> RetryOutcome {
        let Some((seq, task)) = self.by_id(id) else { return RetryOutcome::NotFound };
        if !task.state().is_final() {
            return RetryOutcome::NotEnded;
        }
        let (blocked, from) = (self.is_member_blocked(&task.new), task.state());
        self.forget_for_retry(id, from, forgets);
        self.update(seq, |task| {
            if forgets {
                task.history.clear();
            }
            task.attempt = 0;
            task.crashes = 0;
            task.expires_at = None;
            // What it once waited for is done, unless it was cancelled before; but a limit has to admit it anew.
            task.place = Place::of(Standing { blocked, limited: task.new.hold.limited, ..Standing::default() }, task.due);
        });
        RetryOutcome::Ready
    }

    /// Forgets an ended task.
    pub(super) fn delete(&mut self, id: TaskId) -> DeleteOutcome {
        let Some((seq, task)) = self.by_id(id) else { return DeleteOutcome::NotFound };
        if !task.state().is_final() {
            return DeleteOutcome::NotEnded;
        }
        if self.is_wanted(&task.new) {
            return DeleteOutcome::Wanted;
        }
        self.remove(seq);
        DeleteOutcome::Deleted
    }

    /// Takes a running task from its worker, or a scheduled one from its time.
    pub(super) fn release(&mut self, id: TaskId, now: Timestamp) -> ReleaseOutcome {
        let Some((seq, task)) = self.by_id(id) else { return ReleaseOutcome::NotFound };
        match task.place {
            Place::Ended(_) => ReleaseOutcome::AlreadyEnded,
            Place::Blocked(_) | Place::Waiting | Place::Ready => ReleaseOutcome::Waits,
            Place::Scheduled(_) => {
                self.update(seq, |task| {
                    task.place = Place::of(Standing { limited: task.new.hold.limited, ..Standing::default() }, task.due);
                    task.due = task.due.min(now);
                });
                ReleaseOutcome::Released
            }
            Place::Running(_) => {
                self.end_for_worker(seq, Ending::Released, now);
                let ended = self.by_id(id).is_none_or(|(_, task)| task.state().is_final());
                if ended { ReleaseOutcome::Ended } else { ReleaseOutcome::Released }
            }
        }
    }

    /// Lets a blocked task go on to where it belongs.
    pub(super) fn unblock(&mut self, id: TaskId, now: Timestamp) -> Option<State> {
        let (seq, task) = self.by_id(id)?;
        let Place::Blocked(due) = task.place else { return None };
        let standing = Standing { early: due > now, limited: task.new.hold.limited, ..Standing::default() };
        let place = Place::of(standing, due);
        Some(self.go_on(seq, place))
    }

    /// Lets a waiting task become ready.
    pub(super) fn admit(&mut self, id: TaskId) -> Option<State> {
        let (seq, task) = self.by_id(id)?;
        matches!(task.place, Place::Waiting).then(|| self.go_on(seq, Place::Ready))
    }

    /// What becomes ready so stands behind all that are.
    fn go_on(&mut self, seq: i64, place: Place) -> State {
        let line = self.next_line();
        self.update(seq, |task| {
            task.line = line;
            task.place = place;
        });
        self.tasks.get(&seq).map_or(State::Ready, super::tables::Task::state)
    }

    /// Moves a task that waits to another queue, at its place in line.
    pub(super) fn move_to(&mut self, id: TaskId, queue: &str) -> MoveOutcome {
        self.queues.entry(queue.to_owned()).or_default();
        let Some((seq, task)) = self.by_id(id) else { return MoveOutcome::NotFound };
        let waits = !matches!(task.place, Place::Running(_) | Place::Ended(_));
        if !waits || task.new.queue == queue {
            return MoveOutcome::Unchanged;
        }
        // A turn is one among those of its queue.
        let line = if is_by_turn(task.line) { self.next_line() } else { task.line };
        self.update(seq, |task| {
            queue.clone_into(&mut task.new.queue);
            task.line = line;
        });
        MoveOutcome::Moved
    }

    pub(super) fn pause_kind(&mut self, kind: &str, paused: bool) {
        self.kinds.entry(kind.to_owned()).or_default();
        if paused {
            self.paused_kinds.insert(kind.to_owned());
        } else {
            self.paused_kinds.remove(kind);
        }
        self.news.ready |= !paused;
        self.news.changed = true;
    }

    pub(super) fn pause(&mut self, queue: &str, paused: bool) {
        self.queues.insert(queue.to_owned(), paused);
        self.news.ready |= !paused;
        self.news.changed = true;
    }
}
