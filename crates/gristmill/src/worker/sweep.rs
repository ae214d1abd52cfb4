use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::core::Wake;
use crate::worker::run::pause;
use crate::worker::shared::Shared;

/// The most tasks that one sweep moves; more are left for the next, so that no sweep holds up claims for long.
const BATCH: usize = 1_000;
/// Sweeps happen at least so often, or twice a lease if that is shorter: rescues and expiries are noticed by looking.
const EVERY: Duration = Duration::from_secs(1);
/// Ended tasks past their retention are looked for so often.
const PRUNE_EVERY: Duration = Duration::from_secs(2);

/// The store's housekeeping, which any worker may do, until `end`: promotes what is due, rescues what dead workers held,
/// and in idle time deletes what is past its retention.
pub(crate) async fn run(shared: Arc<Shared>, end: CancellationToken) {
    let every = EVERY.min(shared.config.lease / 2);
    let mut errors = 0;
    let mut pruned_at = Instant::now();
    while !end.is_cancelled() {
        let mut wait = every.mul_f64(0.8 + 0.2 * shared.runtime().env.random());
        match shared.source().sweep(BATCH).await {
            Ok(swept) => {
                errors = 0;
                if let Some(teller) = &shared.teller {
                    teller.swept(swept.ended, &shared);
                }
                if swept.rescued > 0 {
                    shared.counts.rescued.fetch_add(swept.rescued as u64, Ordering::Relaxed);
                    tracing::warn!(tasks = swept.rescued, "rescued from dead workers");
                }
                wait = swept.next_due.map_or(wait, |due| due.min(wait));
            }
            Err(error) => {
                errors += 1;
                shared.store_failed("the sweep failed", &error);
                pause(&shared, errors).await;
                continue;
            }
        }
        // Housekeeping waits for idle time, but not for ever: a store that is never idle would never shrink.
        let idle = shared.running().is_empty();
        if pruned_at.elapsed() >= if idle { PRUNE_EVERY } else { PRUNE_EVERY * 5 } {
            match shared.source().prune(BATCH).await {
                // Go on at once if there is more.
                Ok(BATCH..) => wait = Duration::ZERO,
                Ok(_) => pruned_at = Instant::now(),
                Err(error) => {
                    tracing::warn!(error = %error, "ended tasks can't be deleted now");
                    pruned_at = Instant::now();
                }
            }
        }
        if !wait.is_zero() {
            tokio::select! {
                () = shared.source().wait(Wake::Scheduled, wait) => {}
                () = end.cancelled() => {}
            }
        }
    }
}
