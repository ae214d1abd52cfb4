use std::fmt;
use std::future::Future;
use std::pin::Pin;

use tokio_util::sync::CancellationToken;

use crate::worker::WorkerError;

/// What a worker runs beside itself for whoever built it, such as the beat of its store. The worker knows no more of it.
pub(crate) trait Companion: fmt::Debug + Send + Sync + 'static {
    /// What the log and the report call it.
    fn name(&self) -> &'static str;

    /// What has to be done before the worker starts; it does not start if this fails.
    fn prepare(&self) -> Doing<'_, Result<(), WorkerError>>;

    /// Runs until `stop`.
    fn run(&self, stop: CancellationToken) -> Doing<'static, ()>;
}

/// The future of one of its steps.
pub(crate) type Doing<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
