use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::core::{Fleet, Swept, Wake};
use crate::worker::run::pause;
use crate::worker::shared::Shared;

/// The most tasks that one sweep moves; more are left for the next, so that no sweep holds up claims for long.
const BATCH: usize = 1_000;
/// Sweeps happen at least so often, or twice a lease if that is shorter: rescues and expiries are noticed by looking.
const EVERY: Duration = Duration::from_secs(1);
/// One that found nothing to do puts off the next by as much again, up to so many times.
const VAIN_MAX: u32 = 3;
/// The longest between two turns of one worker, however many share them.
const TURN_MAX: Duration = Duration::from_secs(15);
/// And no sooner after one another: every task that is put off may wake them, and thousands of those must not be thousands of looks.
const AT_MOST: Duration = Duration::from_millis(5);
/// Ended tasks past their retention are looked for so often.
const PRUNE_EVERY: Duration = Duration::from_secs(2);

/// The source's housekeeping, which any worker may do, until `end`: promotes what is due, rescues what dead workers held, and in idle
/// time deletes what is past its retention. Where it is shared by many they take turns, so that it costs no more with fifty than with
/// one; the first of them alone promotes at the very moment, and whoever has the next turn does if that one has died.
pub(crate) async fn run(shared: Arc<Shared>, end: CancellationToken) {
    let mut errors = 0;
    let mut pruned_at = Instant::now();
    let mut sweep_at = Instant::now();
    let mut vain = 1;
    while !end.is_cancelled() {
        let next = Instant::now() + AT_MOST;
        let fleet = shared.source().fleet();
        let is_turn = Instant::now() >= sweep_at;
        let done = if is_turn { shared.source().sweep(BATCH).await } else { shared.source().promote(BATCH).await };
        let swept = match done {
            Ok(swept) => swept,
            Err(error) => {
                errors += 1;
                shared.store_failed("the sweep failed", &error);
                pause(&shared, errors).await;
                continue;
            }
        };
        errors = 0;
        if is_turn {
            let is_full = swept.next_due == Some(Duration::ZERO)
                || [swept.rescued, swept.expired, swept.unparked].iter().any(|count| *count >= BATCH);
            let is_vain = [swept.rescued, swept.expired, swept.unparked].iter().all(|count| *count == 0);
            vain = if is_vain { VAIN_MAX.min(vain + 1) } else { 1 };
            sweep_at = Instant::now() + if is_full { Duration::ZERO } else { turn(&shared, fleet, vain) };
        }
        if is_turn && age(&shared).await {
            sweep_at = Instant::now();
        }
        let next_due = swept.next_due;
        tell(&shared, swept);
        // Housekeeping waits for idle time, but not for ever: a store that is never idle would never shrink.
        let idle = shared.running().is_empty();
        let prune_every = if idle { PRUNE_EVERY } else { PRUNE_EVERY * 5 };
        if is_turn && pruned_at.elapsed() >= prune_every {
            match shared.source().prune(BATCH).await {
                // Go on at once if there is more.
                Ok(BATCH..) => sweep_at = Instant::now(),
                Ok(_) => pruned_at = Instant::now(),
                Err(error) => {
                    tracing::warn!(error = %error, "ended tasks can't be deleted now");
                    pruned_at = Instant::now();
                }
            }
        }
        let until_turn = sweep_at.saturating_duration_since(Instant::now());
        let news = async {
            if fleet.rank == 0 {
                // At the latest after a second: what a slow transaction commits may have been due before the last look.
                let wait = until_turn.min(EVERY);
                shared.source().wait(Wake::Scheduled, next_due.map_or(wait, |due| due.min(wait))).await;
            } else if next_due != Some(Duration::ZERO) {
                // Whoever was the first may leave meanwhile, and this one be it.
                while shared.source().fleet().rank > 0 && Instant::now() < sweep_at {
                    tokio::time::sleep(EVERY.min(sweep_at.saturating_duration_since(Instant::now()))).await;
                }
            }
            if next_due != Some(Duration::ZERO) {
                tokio::time::sleep_until(next).await;
            }
        };
        tokio::select! {
            () = news => {}
            () = end.cancelled() => {}
        }
    }
}

/// How long until it is this worker's turn again, after so many sweeps that found nothing.
fn turn(shared: &Shared, fleet: Fleet, vain: u32) -> Duration {
    let every = EVERY.saturating_mul(vain).min(shared.config.lease / 2).saturating_mul(fleet.size);
    // At most so far apart that a fleet that has shrunk is soon seen to. By chance, as nobody has to agree on turns; the chance comes after
    // the bound, or those that start together would sweep together for ever.
    every.min(TURN_MAX).mul_f64(0.6 + 0.4 * shared.runtime().env.random())
}

/// Lets go first what has been ready for too long, in the queues of which this program says so. True if there may be more.
async fn age(shared: &Shared) -> bool {
    let aging = shared.runtime().routes.aging();
    if aging.is_empty() {
        return false;
    }
    shared.source().age(&aging, BATCH).await.map_or_else(
        |error| {
            tracing::warn!(error = %error, "what has been ready for long can't be moved to the front now");
            false
        },
        |aged| aged >= BATCH,
    )
}

/// Tells the log and the application's hooks what a sweep found.
fn tell(shared: &Arc<Shared>, swept: Swept) {
    if let Some(teller) = &shared.teller {
        teller.swept(swept.ended, shared);
    }
    if swept.rescued > 0 {
        shared.counts.rescued.fetch_add(swept.rescued as u64, Ordering::Relaxed);
        tracing::warn!(tasks = swept.rescued, "rescued from dead workers");
    }
}
