use gristmill_core::{AttemptState, CancelOutcome, Failure, FailureReason, LeaseRef, RetryOutcome, State, TaskId, Timestamp};

use super::tables::{Place, Tables};

impl Tables {
    pub(super) fn cancel(&mut self, id: TaskId, now: Timestamp) -> CancelOutcome {
        let Some((seq, task)) = self.by_id(id) else { return CancelOutcome::NotFound };
        match &task.place {
            Place::Ended(_) => CancelOutcome::AlreadyEnded,
            Place::Running(lease) => {
                let lease = LeaseRef { id, fence: lease.fence, key: seq };
                self.with_lease(&lease, |lease| lease.cancel_requested = true);
                CancelOutcome::CancelRequested
            }
            Place::Ready | Place::Scheduled(_) => {
                let why = Failure::new(FailureReason::Cancelled, "cancelled before it started");
                self.end_unstarted(seq, AttemptState::Cancelled, State::Cancelled, why, now);
                CancelOutcome::Cancelled
            }
        }
    }

    /// Makes an ended task ready with fresh counts. Its history and the numbering of its claims go on.
    pub(super) fn retry(&mut self, id: TaskId) -> RetryOutcome {
        let Some((seq, task)) = self.by_id(id) else { return RetryOutcome::NotFound };
        if !task.state().is_final() {
            return RetryOutcome::NotEnded;
        }
        self.update(seq, |task| {
            task.attempt = 0;
            task.crashes = 0;
            task.expires_at = None;
            task.place = Place::Ready;
        });
        RetryOutcome::Ready
    }

    pub(super) fn pause(&mut self, queue: &str, paused: bool) {
        self.queues.insert(queue.to_owned(), paused);
        self.news.ready |= !paused;
    }
}
