use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::core::limits;
use crate::worker::shared::Shared;

/// Logs and progress are written at most so often; what an attempt says in between goes along.
const EVERY: Duration = Duration::from_millis(200);
/// About so many bytes are written at once.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// Writes logs and progress of running attempts, until `end`.
pub(crate) async fn run(shared: Arc<Shared>, end: CancellationToken) {
    loop {
        tokio::select! {
            () = shared.notes.wake.notified() => {}
            () = end.cancelled() => return,
        }
        let dirty = std::mem::take(&mut *shared.notes.dirty.lock().unwrap_or_else(PoisonError::into_inner));
        // An attempt that has ended meanwhile took its notes along into the settlement.
        let running = dirty.into_iter().filter(|attempt| attempt.lease.is_some_and(|lease| shared.attempt(&lease).is_some()));
        let (later, now): (Vec<_>, Vec<_>) = running.partition(|attempt| attempt.may_be_noted_later());
        // One that has ended meanwhile has nothing more to note.
        let mut noted = now.into_iter().filter_map(|attempt| Some((attempt.note()?, attempt))).peekable();
        while noted.peek().is_some() {
            let (mut notes, mut batch, mut bytes) = (Vec::new(), Vec::new(), 0);
            while notes.len() < limits::BATCH_TASKS_MAX
                && bytes < BYTES_MAX
                && let Some((note, attempt)) = noted.next()
            {
                bytes += note.logs.as_ref().map_or(0, String::len);
                notes.push(note);
                batch.push(attempt);
            }
            if let Err(error) = shared.source().note(notes).await {
                // They are still in memory and go along with the next write or the settlement.
                shared.store_failed("logs and progress can't be written now", &error);
                batch.iter().for_each(|attempt| attempt.note_again());
            }
        }
        if !later.is_empty() {
            shared.notes.dirty.lock().unwrap_or_else(PoisonError::into_inner).extend(later);
            shared.notes.wake.notify_one();
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = end.cancelled() => return,
        }
    }
}
