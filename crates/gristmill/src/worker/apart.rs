use std::time::{Duration, Instant};

use tokio::runtime::Builder;

use crate::attempt::Why;
use crate::core::{Pulse, StoreError};
use crate::worker::execute::SOFT_LIMIT_MAX;
use crate::worker::shared::Shared;

/// Keeps the lease from the thread of the stall watch while handlers that compute hold all threads of the runtime: else healthy tasks
/// would be taken for dead, run again elsewhere, and fail in the end as if they killed their workers.
#[derive(Debug)]
pub(crate) struct Apart {
    not_before: Instant,
}

impl Apart {
    pub(crate) fn new() -> Self {
        Self { not_before: Instant::now() }
    }

    /// Beats if the heartbeat is late, and the lease not yet over. Blocks, for no longer than that.
    pub(crate) fn beat_if_overdue(&mut self, shared: &Shared) {
        let lease = shared.config.lease;
        let Some(left) = shared.trust.left() else { return };
        if left > lease / 2 || Instant::now() < self.not_before || is_out_of_time(shared) {
            return;
        }
        self.not_before = Instant::now() + lease / 8;
        let (id, sent) = (shared.id(), Instant::now());
        let answer = beat(shared, left);
        if let Ok(Some(pulse)) = &answer
            && pulse.drain
        {
            shared.drain();
        }
        // The runtime may have come to itself meanwhile, and the worker have become another.
        if shared.id() != id {
            return;
        }
        match answer {
            Ok(Some(pulse)) if pulse.alive => {
                shared.trust.extend(sent + lease);
                // What is only buffered, the next heartbeat ends.
                for attempt in pulse.cancel.iter().filter_map(|lease| shared.attempt(lease)) {
                    attempt.ask_to_end(Why::Requested);
                }
            }
            Ok(Some(_)) => shared.trust.lose(),
            Ok(None) => tracing::debug!("the store did not answer the heartbeat of a worker whose runtime is held up"),
            Err(error) => shared.store_failed("the heartbeat of a worker whose runtime is held up failed", &error),
        }
    }
}

/// One heartbeat on a runtime of its own; `None` if there is no answer in time.
fn beat(shared: &Shared, within: Duration) -> Result<Option<Pulse>, StoreError> {
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::debug!(error = %error, "no runtime for a heartbeat apart");
            return Ok(None);
        }
    };
    let beat = async {
        let beat = shared.source().heartbeat_apart(shared.id(), shared.config.lease);
        tokio::time::timeout(within, beat).await.ok().transpose()
    };
    let answer = runtime.block_on(beat);
    runtime.shutdown_background();
    answer
}

/// Whether a handler has outlived its timeout by a lease, with nobody to end it: then the process hangs, and its tasks are for others.
fn is_out_of_time(shared: &Shared) -> bool {
    let grace = SOFT_LIMIT_MAX + shared.config.lease;
    let now = tokio::time::Instant::now();
    shared
        .running()
        .iter()
        .any(|attempt| attempt.deadline.is_some_and(|deadline| now.saturating_duration_since(deadline) > grace))
}
