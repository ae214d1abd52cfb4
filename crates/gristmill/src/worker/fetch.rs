use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use crate::core::{Claim, StoreErrorKind, Wake, Wanted};
use crate::worker::gather;
use crate::worker::lane::{Appetite, Buffered, Lane, Want};
use crate::worker::lanes::PerLane;
use crate::worker::run::pause;
use crate::worker::shared::Shared;

/// A worker that finds nothing polls twice as seldom each time, so many times.
const POLL_DOUBLINGS: i32 = 3;
/// `--drain` waits for what is due within this time.
const SOON: Duration = Duration::from_secs(1);
/// A claim that is under way when the worker is asked to stop may take so long: one that waits for a server that is away, or
/// for a lock, must not hold up the stop.
const LAST_CLAIM: Duration = Duration::from_secs(1);

/// Claims batches for all lanes, each as much as it can use, until the worker stops.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut lanes = PerLane::new();
    let largest_batch = shared.runtime().registry.largest_batch();
    let mut errors = 0;
    // Since when claims are refused as invalid.
    let mut refused_since = None;
    // A claim that ended in an error may have taken tasks all the same, which nobody else would run while we live.
    let mut unanswered: Option<Claim> = None;
    let mut news = None;
    // Claims since the last that brought anything.
    let mut vain = 0;
    while !shared.stopping.is_cancelled() {
        // What a claim may have taken needs its lane, also if that is served no more.
        if unanswered.is_none() {
            shared.lanes.prune();
        }
        lanes.follow(&shared.lanes, || Hunger { appetite: Appetite::for_batches(largest_batch), dry: false });
        // Looked at each time, not only when all lanes have enough: one that never has must not keep the others waiting. It
        // listens through the claims for other lanes; those count as looks of this worker, and news in between would be lost.
        tokio::select! {
            biased;
            () = until(&mut news) => {
                news = None;
                look_again(&mut lanes);
            }
            () = std::future::ready(()) => {}
        }
        let wanted: Vec<_> = (lanes.iter_mut())
            .map(|(lane, hunger)| {
                let want = if hunger.dry { Want::default() } else { lane.want(&mut hunger.appetite, prefetch(&shared, lane)) };
                Wanted { queue: lane.queue.clone(), limit: want.limit, free: want.free }
            })
            .collect();
        let unanswered_before = unanswered.take().filter(|claim| claim.worker == shared.id());
        if unanswered_before.is_none() && wanted.iter().all(|wanted| wanted.limit == 0) {
            tokio::select! {
                biased;
                () = until(&mut news) => {
                    news = None;
                    look_again(&mut lanes);
                }
                // A lane that was not asked, as it had enough, has slots free: others that are dry must not make it wait.
                () = shared.hungry.notified() => {}
                () = shared.stopping.cancelled() => {}
            }
            continue;
        }
        let claim = unanswered_before.unwrap_or_else(|| Claim {
            worker: shared.id(),
            fence: shared.runtime().env.fence(),
            wanted: wanted.into_iter().filter(|wanted| wanted.limit > 0).collect(),
            again: false,
        });
        let was_idle = shared.is_idle();
        let mut full = Vec::new();
        let fetched = tokio::select! {
            fetched = fetch(&shared, &claim, &mut lanes, &mut full) => fetched,
            // What it may have taken is released when the worker signs off.
            () = no_longer_wanted(&shared) => break,
        };
        if fetched.is_ok() && std::mem::take(&mut errors) > 0 {
            tracing::info!("the store answers again");
        }
        match fetched {
            Ok(fetched) => {
                refused_since = None;
                let asked_all = claim.wanted.len() == lanes.iter().filter(|(lane, _)| lane.concurrency() > 0).count();
                // What ran before this claim may have left more, which it would have brought.
                let is_over = fetched == Fetched::Nothing && asked_all && was_idle;
                vain = if fetched == Fetched::Nothing { vain + 1 } else { 0 };
                let is_drained = async {
                    tokio::select! {
                        is_drained = is_drained(&shared) => is_drained,
                        () = no_longer_wanted(&shared) => false,
                    }
                };
                if shared.config.drain && fetched == Fetched::Nothing && asked_all {
                    // Nothing comes that would be waited for.
                    lanes.iter().for_each(|(lane, _)| lane.begin_all());
                }
                if shared.config.drain && is_over && is_drained.await {
                    shared.stopping.cancel();
                    break;
                }
                if !claim.again {
                    for (lane, hunger) in lanes.iter_mut() {
                        hunger.dry |= claim.wanted.iter().any(|wanted| wanted.queue == lane.queue) && !full.contains(&lane.queue);
                    }
                }
                if lanes.iter().any(|(_, hunger)| hunger.dry) && news.is_none() {
                    let poll = match (shared.config.drain, shared.config.poll) {
                        (true, poll) => poll.min(Duration::from_millis(100)),
                        // Only for news that got lost: fifty idle workers must not ask as if each were the only one.
                        (false, poll) => poll.saturating_mul(1 << (vain - 1).clamp(0, POLL_DOUBLINGS)),
                    };
                    news = Some(shared.source().wait(Wake::Ready, jittered(&shared, poll)));
                }
            }
            Err(error) => {
                errors += 1;
                if error.kind() != StoreErrorKind::Invalid {
                    shared.store_failed("tasks can't be claimed", &error);
                    unanswered = Some(Claim { again: true, ..claim });
                    refused_since = None;
                } else if refused_since.get_or_insert_with(Instant::now).elapsed() > shared.config.lease {
                    // A worker that is not alive any more claims again once its heartbeat has made it known anew. This is another
                    // reason, which nobody would hear of else.
                    shared.store_failed("tasks can't be claimed", &error);
                }
                pause(&shared, errors).await;
            }
        }
    }
}

/// What is remembered of a lane between claims.
#[derive(Debug)]
struct Hunger {
    appetite: Appetite,
    /// Its queue had no more when it was asked: it is not asked again before there is news.
    dry: bool,
}

/// After news, all queues may have something.
fn look_again(lanes: &mut PerLane<Hunger>) {
    lanes.iter_mut().for_each(|(_, hunger)| hunger.dry = false);
}

/// Resolves with the news that is listened for, if it is.
async fn until(news: &mut Option<impl Future<Output = ()> + Unpin>) {
    match news {
        Some(news) => news.await,
        None => std::future::pending().await,
    }
}

#[derive(PartialEq)]
enum Fetched {
    Something,
    /// No queue gave anything.
    Nothing,
}

/// Brings tasks to their lanes; `full` gets the queues that gave all that was asked for, and so may have more.
async fn fetch(
    shared: &Shared,
    claim: &Claim,
    lanes: &mut PerLane<Hunger>,
    full: &mut Vec<Arc<str>>,
) -> Result<Fetched, crate::core::StoreError> {
    let since = Instant::now();
    let mut claimed = shared.source().claim(claim).await?;
    if claim.worker != shared.id() {
        // The worker was given up while the claim was under way; what it got lapses with the old id.
        full.extend(claim.wanted.iter().map(|wanted| wanted.queue.clone()));
        return Ok(Fetched::Something);
    }
    shared.counts.claimed.fetch_add(claimed.len() as u64, Ordering::Relaxed);
    let answer = if claimed.is_empty() && !claim.again { Fetched::Nothing } else { Fetched::Something };
    for (lane, hunger) in lanes.iter_mut() {
        let of_lane = claimed.extract_if(.., |task| task.queue == lane.queue);
        let of_lane: Vec<_> = of_lane.map(|claimed| Buffered { claimed, worker: claim.worker, since }).collect();
        if of_lane.is_empty() {
            continue;
        }
        if claim.wanted.iter().any(|wanted| wanted.queue == lane.queue && wanted.limit <= of_lane.len()) {
            full.push(lane.queue.clone());
        }
        hunger.appetite.ate(&of_lane);
        let alone = if hunger.appetite.is_for_batches() {
            let (gathered, alone) = gather::sorted(shared.runtime(), of_lane);
            hunger.appetite.gathers(gathered.len(), alone.len());
            if !gathered.is_empty() {
                lane.gather(gathered);
                shared.gathering.notify_one();
            }
            alone
        } else {
            of_lane
        };
        lane.add(alone);
        shared.buffered.notify_one();
        shared.taken.notify_one();
    }
    Ok(answer)
}

/// Resolves a moment after the worker was asked to stop.
async fn no_longer_wanted(shared: &Shared) {
    shared.stopping.cancelled().await;
    tokio::select! {
        () = tokio::time::sleep(LAST_CLAIM) => {}
        () = shared.abandon.cancelled() => {}
    }
}

/// How many tasks a lane may claim ahead.
fn prefetch(shared: &Shared, lane: &Lane) -> usize {
    shared.config.prefetch_of.get(&*lane.queue).copied().unwrap_or(shared.config.prefetch)
}

async fn is_drained(shared: &Shared) -> bool {
    let queues: Vec<_> = shared.lanes.queues().into_keys().collect();
    match shared.source().pending(&queues, SOON).await {
        Ok(pending) => pending.is_idle(),
        Err(error) => {
            shared.store_failed("what is left to do can't be read", &error);
            false
        }
    }
}

/// Up to a tenth more or less, so that many workers do not ask at one moment.
fn jittered(shared: &Shared, duration: Duration) -> Duration {
    duration.mul_f64(0.9 + 0.2 * shared.runtime().env.random())
}
