use std::time::Duration;

use crate::attempt::Attempt;
use crate::core::{FailureReason, StoreErrorKind};
use crate::durable::Begin;
use crate::error::What;
use crate::{Error, Result};

/// How long an attempt is put off that can't read what its task remembers; it costs it nothing.
const UNREAD: Duration = Duration::from_secs(1);
/// The same if what is there can't be read by this program, and perhaps by a newer one.
const UNREADABLE: Duration = Duration::from_secs(60);

/// Reads what earlier attempts have left. If the handler is not to run, its end instead: a result, or an error.
pub(super) async fn begin(attempt: &Attempt) -> Result<Option<String>> {
    if attempt.journal.lease.is_none() {
        return Ok(None);
    }
    let memories = tokio::select! {
        biased;
        memories = attempt.ground.source.memories(attempt.id) => memories,
        // Whoever asks says what becomes of it.
        () = attempt.token.cancelled() => return Err(Error::snooze(UNREAD)),
    };
    let memories = match memories {
        Ok(memories) => memories,
        Err(error) if error.is_transient() => return Err(Error::snooze_because(UNREAD, error)),
        // It must not be done again, nor the task be lost for it.
        Err(error) if error.kind() == StoreErrorKind::Corrupt => return Err(Error::snooze_because(UNREADABLE, error)),
        Err(error) => return Err(error.into()),
    };
    match attempt.journal.begin(memories, attempt.runtime().env.now()) {
        Begin::Run => Ok(None),
        Begin::Replaced(memory) => attempt.end_of_replaced(memory).await.map(Some),
        Begin::Fails(mismatch) => {
            Err(Error::new(What::Fail, FailureReason::Error, format!("the code has changed under it: {mismatch}")))
        }
    }
}
