use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use crate::core::LeaseRef;
use crate::panics;
use crate::worker::apart::Apart;
use crate::worker::shared::{Shared, micros};

/// Watches from a thread of its own, since the runtime's threads may be the ones that are stuck: names every handler that
/// holds a thread of the runtime for too long without an `.await`, and keeps the lease where the heartbeat can't.
pub(crate) fn watch(shared: &Arc<Shared>) {
    let weak = Arc::downgrade(shared);
    let look_every =
        (shared.config.stall / 4).min(shared.config.lease / 8).clamp(Duration::from_millis(10), Duration::from_secs(1));
    let spawned = std::thread::Builder::new().name("gristmill-stall".to_owned()).spawn(move || {
        let (mut named, mut apart) = (HashSet::new(), Apart::new());
        loop {
            match panics::catch(|| look(&weak, &mut named, &mut apart)) {
                Ok(true) => std::thread::park_timeout(look_every),
                Ok(false) => return,
                Err(panicked) => {
                    let Some(shared) = weak.upgrade() else { return };
                    return shared.part_panicked("stall watch", panicked);
                }
            }
        }
    });
    if let Err(error) = spawned {
        tracing::warn!(error = %error, "no thread for the stall watch; handlers that block the runtime will not be named, and may cost the lease");
    }
}

/// Whether the worker is still there.
fn look(shared: &Weak<Shared>, named: &mut HashSet<LeaseRef>, apart: &mut Apart) -> bool {
    let Some(shared) = shared.upgrade() else { return false };
    let now = micros(Instant::now());
    let running = shared.running();
    let mut stuck = HashSet::new();
    for attempt in &running {
        let since = attempt.polled_since.load(Ordering::Relaxed);
        let held_for = Duration::from_micros(now.saturating_sub(since));
        if since == 0 || held_for < shared.config.stall {
            continue;
        }
        let Some(lease) = attempt.lease else { continue };
        stuck.insert(lease);
        if !named.contains(&lease) {
            tracing::warn!(
                task = %attempt.id, kind = %attempt.kind, ms = held_for.as_millis() as u64,
                "the handler blocks a thread of the runtime, and other tasks wait for it: make it `fn` rather than `async fn`, or use `cx.blocking`"
            );
        }
    }
    *named = stuck;
    apart.beat_if_overdue(&shared);
    true
}
