use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::core::{AttemptState, Ending, Settled, Settlement, State, StoreError, StoreErrorKind, TaskRecord, limits};
use crate::panics;
use crate::worker::run::pause;
use crate::worker::shared::{Ended, Shared};

/// Ends of attempts that wait for somebody else. Beyond it, the others wait, too, so that memory stays bounded.
const PUT_OFF_MAX: usize = 4_096;
/// After so many tries, some seconds, the log has it.
const TRIES_UNTIL_SAID: u32 = 10;
/// So many refusals in a row, with nothing written in between, and what is left of a batch is put off: a source that refuses
/// everything is not asked for each. More than it takes to find one among a thousand by halves.
const REFUSALS_MAX: u32 = 32;

/// Writes the ends of attempts in batches: whatever came in while the last batch was being written. After `last`, which
/// is set when no slot will end any more, it ends once everything is written.
pub(crate) async fn run(shared: Arc<Shared>, ends: mpsc::Receiver<Ended>, last: CancellationToken) {
    let (put_off, later) = mpsc::channel(PUT_OFF_MAX);
    tokio::join!(run_promptly(&shared, ends, last, put_off), run_later(&shared, later));
}

async fn run_promptly(shared: &Shared, mut ends: mpsc::Receiver<Ended>, last: CancellationToken, put_off: mpsc::Sender<Ended>) {
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            biased;
            count = ends.recv_many(&mut batch, limits::BATCH_TASKS_MAX) => {
                if count == 0 {
                    return;
                }
                for batch in parts(std::mem::take(&mut batch)) {
                    for ended in write_caught(shared, batch).await {
                        // The other side ends after this one.
                        let _ = put_off.send(ended).await;
                    }
                }
            }
            // A slot that is stuck still has its sender; what is in the channel is received all the same.
            () = last.cancelled() => ends.close(),
        }
    }
}

/// Tries again what was put off, beside all others: what somebody's open transaction holds may take as long as that.
async fn run_later(shared: &Shared, mut put_off: mpsc::Receiver<Ended>) {
    let (mut waiting, mut tries) = (Vec::new(), 0);
    loop {
        if waiting.is_empty() {
            tries = 0;
            if put_off.recv_many(&mut waiting, limits::BATCH_TASKS_MAX).await == 0 {
                return;
            }
        }
        pause(shared, tries).await;
        tries += 1;
        // All of them: those that one transaction holds must not keep the others waiting.
        while waiting.len() < PUT_OFF_MAX
            && let Ok(ended) = put_off.try_recv()
        {
            waiting.push(ended);
        }
        for batch in parts(std::mem::take(&mut waiting)) {
            waiting.extend(write_caught(shared, batch).await);
        }
        if shared.abandon.is_cancelled() {
            give_up(shared, &waiting);
            shared.written(waiting.len());
            waiting.clear();
        } else if tries == TRIES_UNTIL_SAID && !waiting.is_empty() {
            let (outcomes, task) = (waiting.len(), waiting[0].settlement.lease.id);
            tracing::warn!(outcomes, %task, "outcomes wait, as a transaction that stays open holds their tasks; others are written");
        }
        // Of those that can't be written a store tries some at a time; each time it begins with others.
        let first = (waiting.len() as f64 * shared.runtime().env.random()) as usize;
        let first = first.min(waiting.len());
        waiting.rotate_left(first);
    }
}

/// A panic costs this batch. Others are written still, as the stop that follows depends on it.
async fn write_caught(shared: &Shared, batch: Vec<Ended>) -> Vec<Ended> {
    let count = batch.len();
    let put_off = panics::caught(pin!(write(shared, batch))).await.unwrap_or_else(|panicked| {
        shared.counts.unsettled.fetch_add(count as u64, Ordering::Relaxed);
        shared.part_panicked("settle", panicked);
        Vec::new()
    });
    shared.written(count - put_off.len());
    put_off
}

/// Cuts it so that no part writes more tasks or bytes than one operation of a store should, unless one attempt alone does: while
/// it is written, others wait.
fn parts(all: Vec<Ended>) -> Vec<Vec<Ended>> {
    let (mut parts, mut weight, mut bytes) = (vec![Vec::new()], 0, 0);
    for ended in all {
        let (more, larger) = (ended.settlement.weight(), ended.settlement.bytes());
        let is_full = weight + more > limits::BATCH_TASKS_MAX || bytes + larger > limits::SETTLE_BYTES_MAX;
        if is_full && weight > 0 {
            parts.push(Vec::new());
            (weight, bytes) = (0, 0);
        }
        (weight, bytes) = (weight + more, bytes + larger);
        if let Some(part) = parts.last_mut() {
            part.push(ended);
        }
    }
    parts
}

/// Writes a batch, and returns what has to be tried again apart. One of them may be such that it can't be written: it must not hold up
/// the others, nor what comes after.
async fn write(shared: &Shared, batch: Vec<Ended>) -> Vec<Ended> {
    let mut halves = Halves::of(batch);
    while let Some(part) = halves.parts.pop() {
        match write_whole(shared, part).await {
            Ok(later) => halves.written(later),
            Err(Refused(part)) => halves.refused(part),
        }
    }
    halves.put_off
}

/// What is refused as a whole is written by halves, until those remain that are refused alone.
struct Halves<T> {
    /// To be written, each in one operation, from the last on.
    parts: Vec<Vec<T>>,
    put_off: Vec<T>,
    /// In a row.
    refusals: u32,
}

impl<T> Halves<T> {
    fn of(all: Vec<T>) -> Self {
        Self { parts: vec![all], put_off: Vec::new(), refusals: 0 }
    }

    /// A part was written, but for these.
    fn written(&mut self, later: Vec<T>) {
        self.refusals = 0;
        self.put_off.extend(later);
    }

    fn refused(&mut self, mut part: Vec<T>) {
        self.refusals += 1;
        if self.refusals == REFUSALS_MAX {
            self.put_off.extend(part);
            self.put_off.extend(self.parts.drain(..).flatten());
        } else if part.len() < 2 {
            self.put_off.extend(part);
        } else {
            let second = part.split_off(part.len() / 2);
            self.parts.extend([second, part]);
        }
    }
}

/// They were not written, for a reason that is one outcome's and not the source's state.
struct Refused(Vec<Ended>);

/// Writes a batch in one operation, and returns what the source puts off.
async fn write_whole(shared: &Shared, mut batch: Vec<Ended>) -> Result<Vec<Ended>, Refused> {
    let mut errors = 0;
    loop {
        let settlements = batch.iter().map(|ended| ended.settlement.clone()).collect();
        match shared.source().settle(settlements).await {
            Ok(answers) => {
                let mut put_off = Vec::new();
                for (ended, answer) in batch.into_iter().zip(answers) {
                    match answer {
                        Settled::Done(state) => done(shared, ended.settlement, state),
                        // Somebody may be this worker's own try before, on a connection that broke.
                        Settled::Later => put_off.push(Ended { unsure: true, ..ended }),
                        // A try before this one may have been written, and only its answer have got lost.
                        Settled::LeaseLost => match is_written(shared, &ended).await {
                            Some(state) => done(shared, ended.settlement, state),
                            None => lost(shared, &ended.settlement),
                        },
                    }
                }
                return Ok(put_off);
            }
            Err(error) => {
                errors += 1;
                batch.iter_mut().for_each(|ended| ended.unsure = true);
                shared.store_failed("outcomes can't be written", &error);
                let in_vain = error.is_lasting() || !shared.trust.holds();
                if shared.abandon.is_cancelled() || (shared.stopping.is_cancelled() && in_vain) {
                    give_up(shared, &batch);
                    return Ok(Vec::new());
                }
                if matches!(error.kind(), StoreErrorKind::Invalid | StoreErrorKind::Other) && !error.is_lasting() {
                    return Err(Refused(batch));
                }
                pause(shared, errors).await;
            }
        }
    }
}

pub(super) fn done(shared: &Shared, settlement: Settlement, state: State) {
    if settlement.ending == Ending::Succeeded && state != State::Succeeded {
        let task = settlement.lease.id;
        tracing::warn!(%task, state = %state, "did not succeed: a task that it enqueued can't be kept");
    }
    shared.counts.settled(state);
    if let Some(teller) = &shared.teller {
        teller.settled(settlement, state, shared);
    }
}

pub(super) fn lost(shared: &Shared, settlement: &Settlement) {
    if let Some(teller) = &shared.teller {
        teller.forget(&settlement.lease);
    }
    shared.counts.leases_lost.fetch_add(1, Ordering::Relaxed);
    tracing::warn!(task = %settlement.lease.id, "the lease was lost; this attempt's outcome is dropped");
}

fn give_up(shared: &Shared, batch: &[Ended]) {
    shared.counts.unsettled.fetch_add(batch.len() as u64, Ordering::Relaxed);
    if let Some(teller) = &shared.teller {
        batch.iter().for_each(|ended| teller.forget(&ended.settlement.lease));
    }
}

/// Whether an end of which that is not sure was written before: the state that it left its task in.
async fn is_written(shared: &Shared, ended: &Ended) -> Option<State> {
    if !ended.unsure {
        return None;
    }
    let record: Result<Option<TaskRecord>, StoreError> = shared.source().record(ended.settlement.lease.id).await;
    let is_success = ended.settlement.ending == Ending::Succeeded;
    let Some(record) = record.ok()? else {
        // Of a success of which nothing is kept there is no record.
        return is_success.then_some(State::Succeeded);
    };
    let place = record.attempts.iter().position(|attempt| attempt.claim_no == ended.claim_no)?;
    let is_own = match record.attempts[place].state {
        AttemptState::Succeeded => is_success,
        // Or whoever took the lease away has written it.
        AttemptState::Released => ended.settlement.ending == Ending::Released,
        AttemptState::Crashed | AttemptState::Running => false,
        AttemptState::Failed | AttemptState::Snoozed | AttemptState::Cancelled | AttemptState::Expired => true,
    };
    let is_last = place + 1 == record.attempts.len();
    is_own.then_some(if is_last { record.state } else { State::Ready })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{Env, LeaseKey, LeaseRef, Limits, NewTask, Overrides, Policy};

    fn ended(children: usize, bytes: usize) -> Ended {
        let env = Env::system();
        let lease = LeaseRef { id: env.task_id(), fence: env.fence(), key: LeaseKey::default() };
        let child = || {
            let args = format!("{{\"text\":\"{}\"}}", "x".repeat(bytes));
            NewTask::resolve("child", &Policy::default(), args, Overrides::default(), env.task_id(), &Limits::default()).unwrap()
        };
        let children = (0..children).map(|_| child()).collect();
        Ended { settlement: Settlement { children, ..Settlement::new(lease, Ending::Succeeded) }, claim_no: 1, unsure: false }
    }

    /// How often a source is asked that refuses whatever has one of these in it, and what it has not written in the end.
    fn asked(count: usize, refused: std::ops::Range<usize>) -> (u32, Vec<usize>) {
        let (mut asked, mut written) = (0, Vec::new());
        let mut halves = Halves::of((0..count).collect());
        while let Some(part) = halves.parts.pop() {
            asked += 1;
            if part.iter().any(|nth| refused.contains(nth)) {
                halves.refused(part);
            } else {
                written.extend(part);
                halves.written(Vec::new());
            }
        }
        let mut left = halves.put_off;
        left.sort_unstable();
        let mut all = [written, left.clone()].concat();
        all.sort_unstable();
        assert_eq!(all, (0..count).collect::<Vec<_>>(), "each is written, or tried again");
        (asked, left)
    }

    #[test]
    fn what_is_refused_is_found_by_halves_and_a_source_that_refuses_all_is_not_asked_for_each() {
        assert_eq!(asked(1_000, 0..0), (1, vec![]));
        assert_eq!(asked(1, 0..1), (1, vec![0]));
        for bad in [0, 500, 999] {
            let (asked, left) = asked(1_000, bad..bad + 1);
            assert!(asked <= 21 && left == [bad], "{bad}: {asked}");
        }
        let (several, left) = asked(1_000, 300..310);
        assert!(several <= 100 && left == (300..310).collect::<Vec<_>>(), "{several}: {left:?}");
        let (all, left) = asked(1_000, 0..1_000);
        assert_eq!((all, left.len()), (REFUSALS_MAX, 1_000));
    }

    #[test]
    fn what_is_written_at_once_is_bounded_by_its_weight_and_its_bytes() {
        let plain = || ended(0, 0);
        let many = || ended(600, 0);
        let all = vec![plain(), many(), many(), plain(), plain(), ended(2_000, 0), plain()];
        let sizes: Vec<Vec<usize>> =
            parts(all).iter().map(|part| part.iter().map(|ended| ended.settlement.weight()).collect()).collect();
        assert_eq!(sizes, [vec![1, 601], vec![601, 1, 1], vec![2_001], vec![1]]);
        let large = || ended(40, 250_000);
        assert_eq!(parts(vec![large(), large(), plain()]).iter().map(Vec::len).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(parts((0..1_000).map(|_| plain()).collect()).len(), 1);
    }
}
