use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::core::{Ending, Settled, Settlement, State, limits};
use crate::panics;
use crate::worker::run::pause;
use crate::worker::shared::Shared;

/// Writes the ends of attempts in batches: whatever came in while the last batch was being written. After `last`, which
/// is set when no slot will end any more, it ends once everything is written.
pub(crate) async fn run(shared: Arc<Shared>, mut settlements: mpsc::Receiver<Settlement>, last: CancellationToken) {
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            biased;
            count = settlements.recv_many(&mut batch, limits::BATCH_TASKS_MAX) => {
                if count == 0 {
                    return;
                }
                for batch in parts(std::mem::take(&mut batch)) {
                    let count = batch.len();
                    // A panic here costs this batch. Others are written still, as the stop that follows depends on it.
                    if let Err(panicked) = panics::caught(pin!(write(&shared, batch))).await {
                        shared.counts.unsettled.fetch_add(count as u64, Ordering::Relaxed);
                        shared.part_panicked("settle", panicked);
                    }
                    shared.written(count);
                }
            }
            // A slot that is stuck still has its sender; what is in the channel is received all the same.
            () = last.cancelled() => settlements.close(),
        }
    }
}

/// Cuts it so that no part writes more tasks or bytes than one operation of a store should, unless one attempt alone does: while
/// it is written, others wait.
fn parts(all: Vec<Settlement>) -> Vec<Vec<Settlement>> {
    let (mut parts, mut weight, mut bytes) = (vec![Vec::new()], 0, 0);
    for settlement in all {
        let (more, larger) = (settlement.weight(), settlement.bytes());
        let is_full = weight + more > limits::BATCH_TASKS_MAX || bytes + larger > limits::SETTLE_BYTES_MAX;
        if is_full && weight > 0 {
            parts.push(Vec::new());
            (weight, bytes) = (0, 0);
        }
        (weight, bytes) = (weight + more, bytes + larger);
        if let Some(part) = parts.last_mut() {
            part.push(settlement);
        }
    }
    parts
}

async fn write(shared: &Shared, batch: Vec<Settlement>) {
    let mut errors = 0;
    loop {
        match shared.source().settle(batch.clone()).await {
            Ok(answers) => {
                for (settlement, answer) in batch.into_iter().zip(answers) {
                    match answer {
                        Settled::Done(state) => {
                            if settlement.ending == Ending::Succeeded && state != State::Succeeded {
                                let task = settlement.lease.id;
                                tracing::warn!(%task, state = %state, "did not succeed: a task that it enqueued can't be kept");
                            }
                            shared.counts.settled(state);
                            if let Some(teller) = &shared.teller {
                                teller.settled(settlement, state, shared);
                            }
                        }
                        Settled::LeaseLost => {
                            if let Some(teller) = &shared.teller {
                                teller.forget(&settlement.lease);
                            }
                            shared.counts.leases_lost.fetch_add(1, Ordering::Relaxed);
                            tracing::warn!(task = %settlement.lease.id, "the lease was lost; this attempt's outcome is dropped");
                        }
                    }
                }
                return;
            }
            Err(error) => {
                errors += 1;
                shared.store_failed(&format!("{} outcomes can't be written", batch.len()), &error);
                let in_vain = error.is_lasting() || !shared.trust.holds();
                if shared.abandon.is_cancelled() || (shared.stopping.is_cancelled() && in_vain) {
                    shared.counts.unsettled.fetch_add(batch.len() as u64, Ordering::Relaxed);
                    return;
                }
                pause(shared, errors).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{Env, LeaseKey, LeaseRef, Limits, NewTask, Overrides, Policy};

    fn settlement(children: usize, bytes: usize) -> Settlement {
        let env = Env::system();
        let lease = LeaseRef { id: env.task_id(), fence: env.fence(), key: LeaseKey::default() };
        let child = || {
            let args = format!("{{\"text\":\"{}\"}}", "x".repeat(bytes));
            NewTask::resolve("child", &Policy::default(), args, Overrides::default(), env.task_id(), &Limits::default()).unwrap()
        };
        Settlement { children: (0..children).map(|_| child()).collect(), ..Settlement::new(lease, Ending::Succeeded) }
    }

    #[test]
    fn what_is_written_at_once_is_bounded_by_its_weight_and_its_bytes() {
        let plain = || settlement(0, 0);
        let many = || settlement(600, 0);
        let all = vec![plain(), many(), many(), plain(), plain(), settlement(2_000, 0), plain()];
        let sizes: Vec<Vec<usize>> = parts(all).iter().map(|part| part.iter().map(Settlement::weight).collect()).collect();
        assert_eq!(sizes, [vec![1, 601], vec![601, 1, 1], vec![2_001], vec![1]]);
        let large = || settlement(40, 250_000);
        assert_eq!(parts(vec![large(), large(), plain()]).iter().map(Vec::len).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(parts((0..1_000).map(|_| plain()).collect()).len(), 1);
    }
}
