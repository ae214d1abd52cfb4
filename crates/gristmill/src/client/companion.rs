use tokio_util::sync::CancellationToken;

use crate::beat;
use crate::client::Client;
use crate::worker::{Companion, Doing, WorkerError};

/// The beat that a worker on a store runs beside itself.
#[derive(Debug)]
pub(super) struct Beside(pub(super) Client);

impl Companion for Beside {
    fn name(&self) -> &'static str {
        "beat"
    }

    fn prepare(&self) -> Doing<'_, Result<(), WorkerError>> {
        Box::pin(async move { Ok(self.0.sync_own_schedules().await.map(drop)?) })
    }

    fn run(&self, stop: CancellationToken) -> Doing<'static, ()> {
        let beat = beat::run(self.0.store().clone(), self.0.runtime().clone(), stop);
        // The worker finds out by itself what ended it.
        Box::pin(async { drop(beat.await) })
    }
}
