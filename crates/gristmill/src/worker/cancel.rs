use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::attempt::Why;
use crate::core::{Ending, LeaseRef, Wake};
use crate::worker::shared::{Ended, Settler, Shared};

/// Looks are at least so far apart: on a file that other processes write to, each commit may be a cancellation.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Without a wake-up there is nothing to look for. Heartbeats bring what a lost one leaves behind.
const WAIT: Duration = Duration::from_secs(60);

/// Passes requests to stop on to handlers as they are made, until `end`; with heartbeats alone they would come seconds later.
pub(crate) async fn run(shared: Arc<Shared>, settler: Settler, end: CancellationToken) {
    loop {
        tokio::select! {
            () = shared.source().wait(Wake::Cancelled, WAIT) => {}
            () = end.cancelled() => return,
        }
        if shared.is_running() || shared.lanes.all().iter().any(|lane| lane.has_buffered()) {
            match shared.source().cancelled(shared.id()).await {
                Ok(cancelled) => cancelled.into_iter().for_each(|lease| pass_on(&shared, lease, &settler)),
                Err(error) => tracing::debug!(error = %error, "cancellations can't be looked for; heartbeats bring them"),
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = end.cancelled() => return,
        }
    }
}

/// Passes a request to stop on to the handler, or ends a task that was not yet started.
pub(crate) fn pass_on(shared: &Shared, lease: LeaseRef, settler: &Settler) {
    if let Some(attempt) = shared.attempt(&lease) {
        attempt.ask_to_end(Why::Requested);
        return;
    }
    // First, so that what is taken out of its lane has somewhere to go.
    let Some(room) = settler.try_reserve() else {
        return tracing::debug!(task = %lease.id, "the cancellation waits for the next heartbeat");
    };
    let buffered = shared.lanes.all().iter().find_map(|lane| lane.take_one(|claimed| claimed.lease == lease));
    if let Some(buffered) = buffered {
        room.send(Ended::new(&buffered.claimed, Ending::Cancelled));
    }
}
