use std::sync::Arc;
use std::time::Duration;

use gristmill_core::{NewTask, StoreError};

use crate::inner::{Inner, Kind, run};
use crate::names::Sort;
use crate::ops;

/// The longest that it takes: the caller's transaction may itself hold what is waited for, and does without then.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Commits the names of tasks that a caller's transaction is about to use, on a connection of the store's, each once in a
/// process. Left to the transaction, a new name is locked until its commit, and everybody else who enqueues under that name
/// waits for it.
pub(super) async fn commit_names(inner: &Arc<Inner>, tasks: &[NewTask]) {
    let known = |sort, name: &str| inner.named(sort, name).is_some_and(|named| named.known);
    if tasks.iter().all(|task| known(Sort::Queue, &task.queue) && known(Sort::Kind, &task.kind)) {
        return;
    }
    let commit = async { run!(inner, pool, Kind::SingleBriefly, s => ops::know(&mut s, tasks.iter())) };
    let done: Result<Result<(), StoreError>, _> = tokio::time::timeout(TIMEOUT, commit).await;
    if let Ok(Err(error)) = done {
        tracing::debug!(%error, "new names of tasks are left to the caller's transaction");
    }
}
