use std::sync::Arc;
use std::time::Duration;

use crate::core::Ending;
use crate::worker::lane::Pace;
use crate::worker::lanes::PerLane;
use crate::worker::shared::{Ended, Settler, Shared};

/// How often it is looked whether what is buffered comes to its turn.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Gives back what was claimed ahead and does not come to its turn, until the worker stops: other workers may have slots free, and
/// what arrived meanwhile may be more urgent.
pub(crate) async fn run(shared: Arc<Shared>, settler: Settler) {
    let mut paces = PerLane::new();
    while !shared.stopping.is_cancelled() {
        tokio::select! {
            () = until_buffered(&shared) => {}
            () = shared.stopping.cancelled() => return,
        }
        // Slots that wait for the source to keep up are not slow, and it must not have yet more to write.
        if !settler.has_room() {
            continue;
        }
        paces.follow(&shared.lanes, Pace::new);
        for (lane, pace) in paces.iter_mut() {
            let stalled = lane.take_stalled(pace);
            if !stalled.is_empty() {
                tracing::debug!(queue = %lane.queue, tasks = stalled.len(), "slower than before; what was claimed ahead is given back");
            }
            for buffered in stalled {
                if settler.send(Ended::new(&buffered.claimed, Ending::Released)).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Resolves a moment after something is buffered.
async fn until_buffered(shared: &Shared) {
    if !shared.lanes.all().iter().any(|lane| lane.has_buffered()) {
        shared.buffered.notified().await;
    }
    tokio::time::sleep(LOOK_EVERY).await;
}
