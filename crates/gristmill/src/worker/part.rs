use std::pin::pin;
use std::sync::Arc;

use crate::panics;
use crate::worker::shared::Shared;

/// Runs a part of the worker to its end. A panic in it is a mistake of gristmill or of its source of tasks; the worker then stops
/// as if it had been asked to, and says so: without one of its parts it would look alive and do nothing.
pub(crate) async fn supervised(shared: Arc<Shared>, name: &'static str, part: impl Future<Output = ()>) {
    if let Err(panicked) = panics::caught(pin!(part)).await {
        shared.part_panicked(name, panicked);
    }
}
