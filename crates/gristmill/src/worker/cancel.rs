use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::attempt::Why;
use crate::core::{Ending, LeaseRef, Wake};
use crate::worker::shared::{Ended, Settler, Shared};

/// Looks are at least so far apart: on a file that other processes write to, each commit may be a cancellation. What ends within this
/// time was not worth one.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How often it is looked whether anything is left that could be stopped.
const HOLDS_EVERY: Duration = Duration::from_secs(1);
/// Without a wake-up there is nothing to look for. Heartbeats bring what a lost one leaves behind.
const WAIT: Duration = Duration::from_secs(60);

/// Passes requests to stop on to handlers as they are made, until `end`; with heartbeats alone they would come seconds later.
pub(crate) async fn run(shared: Arc<Shared>, settler: Settler, end: CancellationToken) {
    // A wait knows from the look before it whether it begins too late.
    look(&shared, &settler).await;
    loop {
        tokio::select! {
            () = asked(&shared) => look(&shared, &settler).await,
            () = end.cancelled() => return,
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = end.cancelled() => return,
        }
    }
}

/// Resolves when somebody may want a task to stop that is held here. While there is none nothing is waited for: who waits has to be
/// told of each cancellation in the store.
async fn asked(shared: &Shared) {
    loop {
        if !holds_any(shared) {
            shared.taken.notified().await;
            tokio::time::sleep(LOOK_EVERY).await;
            continue;
        }
        tokio::select! {
            () = shared.source().wait(Wake::Cancelled, WAIT) => return,
            () = until_idle(shared) => {}
        }
    }
}

async fn until_idle(shared: &Shared) {
    while holds_any(shared) {
        tokio::time::sleep(HOLDS_EVERY).await;
    }
}

fn holds_any(shared: &Shared) -> bool {
    !shared.lanes.all().iter().all(|lane| lane.is_idle())
}

async fn look(shared: &Shared, settler: &Settler) {
    match shared.source().cancelled(shared.id()).await {
        Ok(cancelled) => cancelled.into_iter().for_each(|lease| pass_on(shared, lease, settler)),
        Err(error) => tracing::debug!(error = %error, "cancellations can't be looked for; heartbeats bring them"),
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
