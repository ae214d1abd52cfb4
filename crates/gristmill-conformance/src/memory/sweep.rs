use std::time::Duration;

use gristmill_core::{Aging, AttemptState, Ending, Failure, FailureReason, Standing, State, Swept, Timestamp};

use super::settle::keep_until;
use super::tables::{End, Place, Tables};

/// How long the row of a dead worker is shown before it goes.
const DEAD_WORKER_KEPT: Duration = Duration::from_secs(3600);

impl Tables {
    /// `passed` is the monotonic clock.
    pub(super) fn sweep(&mut self, limit: usize, now: Timestamp, passed: Duration) -> Swept {
        self.lose_the_dead(now, passed);
        self.sweep_memories(now);
        let (promoted, rescued, expired) = (self.promote(limit, now), self.rescue(limit, now), self.expire_due(limit, now));
        self.cancel_overdue(now);
        let more = promoted.max(rescued).max(expired) >= limit;
        Swept {
            promoted,
            rescued,
            expired,
            ended: std::mem::take(&mut self.untold),
            // A task that nobody serves stays where it is here, as it costs nobody anything.
            unparked: 0,
            next_due: if more { Some(Duration::ZERO) } else { self.next_due().map(|at| at.since(now)) },
        }
    }

    /// Puts what has been ready for too long into the most urgent line, at its place.
    pub(super) fn age(&mut self, aging: &[Aging], limit: usize, now: Timestamp) -> usize {
        let mut old: Vec<(i64, i64)> = Vec::new();
        for Aging { queue, after } in aging {
            let lines = self.ready.iter().filter(|((of, _), _)| of == queue).flat_map(|(_, line)| line);
            let is_old = |seq: &i64| {
                let since = self.tasks.get(seq).map(|task| task.created_at.max(task.due));
                since.is_some_and(|since| since.saturating_add(*after) <= now)
            };
            old.extend(lines.filter(|(priority, _, seq)| *priority > 0 && is_old(seq)).map(|(_, line, seq)| (*line, *seq)));
        }
        old.sort_unstable();
        old.truncate(limit);
        for (_, seq) in &old {
            self.update(*seq, |task| task.new.priority = 0);
        }
        old.len()
    }

    /// When the next task is ready, or the next workflow has to end.
    fn next_due(&self) -> Option<Timestamp> {
        [self.scheduled.first().map(|(run_at, _)| *run_at), self.next_deadline(), self.limited.next()].into_iter().flatten().min()
    }

    fn promote(&mut self, limit: usize, now: Timestamp) -> usize {
        let due = first_until(&self.scheduled, now, limit);
        for seq in &due {
            self.update(*seq, |task| {
                task.place = Place::of(Standing { limited: task.new.hold.limited, ..Standing::default() }, task.due)
            });
        }
        due.len()
    }

    pub(super) fn rescue(&mut self, limit: usize, now: Timestamp) -> usize {
        let dead = |worker| self.workers.get(worker).is_none_or(|worker| worker.lost);
        let mut orphans: Vec<_> =
            self.held.iter().filter(|(worker, _)| dead(worker)).flat_map(|(_, held)| held).copied().collect();
        orphans.sort_unstable();
        orphans.truncate(limit);
        for seq in &orphans {
            self.end_for_worker(*seq, Ending::Crashed, now);
            let ended = self.tasks.get(seq).filter(|task| task.state().is_final()).map(|task| task.new.id);
            self.untold.extend(ended);
        }
        orphans.len()
    }

    fn expire_due(&mut self, limit: usize, now: Timestamp) -> usize {
        let late = first_until(&self.expiring, now, limit);
        for seq in &late {
            self.expire(*seq, now);
        }
        late.len()
    }

    /// Ends a task that was not started in time.
    pub(super) fn expire(&mut self, seq: i64, now: Timestamp) {
        let failure = Failure::new(FailureReason::Expired, "not started by its deadline");
        self.end_unstarted(seq, AttemptState::Expired, State::Expired, failure, now);
        self.untold.extend(self.tasks.get(&seq).map(|task| task.new.id));
    }

    /// Ends a task that nobody runs, with a row in its history that says why.
    pub(super) fn end_unstarted(&mut self, seq: i64, row: AttemptState, state: State, why: Failure, now: Timestamp) {
        self.update(seq, |task| {
            let mut row = task.unstarted_row(row, now);
            row.error = Some(why);
            task.claim_no = row.claim_no;
            task.history.push(row);
            task.place = Place::Ended(End {
                state,
                at: now,
                keep_until: keep_until(state, task.new.flags(), task.new.retention, now),
                result: None,
            });
        });
    }

    pub(super) fn prune(&mut self, limit: usize, now: Timestamp) -> usize {
        self.prune_workflows(now);
        self.prune_locks(now);
        let over = first_until(&self.kept_until, now, limit);
        for seq in &over {
            self.remove(*seq);
        }
        // One that still holds something is kept until that is rescued: its name belongs into the history.
        let held = &self.held;
        self.workers.retain(|id, worker| held.contains_key(id) || worker.expires_at.saturating_add(DEAD_WORKER_KEPT) > now);
        over.len() + self.book.prune(limit - over.len(), now)
    }
}

/// The first `limit` entries of an index by time whose time has come.
fn first_until(index: &std::collections::BTreeSet<(Timestamp, i64)>, now: Timestamp, limit: usize) -> Vec<i64> {
    index.range(..=(now, i64::MAX)).take(limit).map(|(_, seq)| *seq).collect()
}
