use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::attempt::Why;
use crate::worker::cancel::pass_on;
use crate::worker::run::pause;
use crate::worker::shared::{Settler, Shared};

/// The longest between two heartbeats, so that a request to cancel arrives soon even under a long lease, and from a source that
/// tells of none.
const BEAT_MAX: Duration = Duration::from_secs(5);

/// The first comes sooner: it tells those that started together of one another.
const FIRST_BEAT: Duration = Duration::from_secs(1);

const RAN_OUT: &str = "this worker's lease ran out";

/// The store knows better than this process, whose lease holds still.
const TAKEN_FOR_DEAD: &str = "this worker was taken for dead, by hand (`workers forget`) or by another's clock";

/// Keeps the worker's lease, one row for the whole process, until `end`.
pub(crate) async fn run(shared: Arc<Shared>, settler: Settler, end: CancellationToken) {
    let beat = (shared.config.lease / 3).min(BEAT_MAX);
    let mut wait = beat.min(FIRST_BEAT);
    let mut errors = 0;
    loop {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = end.cancelled() => return,
        }
        wait = beat;
        let sent = Instant::now();
        let answer = tokio::select! {
            answer = shared.source().heartbeat(shared.id(), shared.config.lease) => answer,
            () = end.cancelled() => return,
        };
        // Also to one whose lease ran out: under its new id nobody would ask it again.
        if let Ok(pulse) = &answer
            && pulse.drain
        {
            shared.drain();
        }
        errors = if answer.is_err() { errors + 1 } else { 0 };
        if answer.is_ok() {
            shared.store_is_written();
        }
        match answer {
            Ok(pulse) if pulse.alive && shared.trust.holds() => {
                shared.trust.extend(sent + shared.config.lease);
                for lease in pulse.cancel {
                    pass_on(&shared, lease, &settler);
                }
            }
            Ok(_) if shared.trust.holds() => start_anew(&shared, &end, TAKEN_FOR_DEAD).await,
            Ok(_) => start_anew(&shared, &end, RAN_OUT).await,
            Err(error) => {
                shared.store_failed("the heartbeat failed", &error);
                if !shared.trust.holds() {
                    start_anew(&shared, &end, RAN_OUT).await;
                }
                pause(&shared, errors).await;
                wait = Duration::ZERO;
            }
        }
    }
}

/// The lease is lost: what this process holds may be somebody else's already. It lets all of it go and becomes
/// another worker.
async fn start_anew(shared: &Shared, end: &CancellationToken, why: &str) {
    shared.trust.lose();
    let buffered: usize = shared.lanes.all().iter().map(|lane| lane.take_buffered().len()).sum();
    let running = shared.running().len();
    shared.counts.leases_lost.fetch_add((buffered + running) as u64, Ordering::Relaxed);
    tracing::error!(running, buffered, "{why}; its tasks are dropped here and go to other workers");
    shared.ask_all_to_end(Why::LeaseLost);
    let mut errors = 0;
    while !end.is_cancelled() && !shared.stopping.is_cancelled() {
        match shared.enter().await {
            Ok(()) => return,
            Err(error) => {
                errors += 1;
                shared.store_failed("the worker can't be made known anew", &error);
                pause(shared, errors).await;
            }
        }
    }
}
