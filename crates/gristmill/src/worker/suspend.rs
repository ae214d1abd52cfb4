use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::attempt::Attempt;
use crate::core::durable::Checkpoint;
use crate::core::{Ending, Failure, FailureReason, LeaseRef, Settled, Settlement, State, StoreError, StoreErrorKind, failpoint};
use crate::worker::run::pause;
use crate::worker::settle;
use crate::worker::shared::Shared;

/// After so many tries, some seconds, the log has it.
const TRIES_UNTIL_SAID: u32 = 10;

/// Writes the end of an attempt whose task waits. If it can't be that, the answer is what it is instead.
pub(super) async fn write(shared: &Shared, attempt: &Arc<Attempt>, checkpoint: Checkpoint) -> Option<Settlement> {
    let lease = checkpoint.lease;
    // A try before may have been written, and only its answer have got lost.
    let (mut tries, mut unsure) = (0, false);
    loop {
        match keep(shared, &checkpoint).await {
            Ok(Settled::Done(State::Cancelled)) => {
                let settlement = Settlement::new(lease, Ending::Cancelled);
                if let Some(teller) = &shared.teller {
                    teller.keep(&settlement, attempt);
                }
                settle::done(shared, settlement, State::Cancelled);
                return None;
            }
            Ok(Settled::Done(state)) => {
                tracing::debug!(task = %attempt.id, kind = %attempt.kind, attempt = attempt.attempt, "waits");
                shared.counts.settled(state);
                return None;
            }
            Ok(Settled::LeaseLost) if unsure => return None,
            Ok(Settled::LeaseLost) => {
                settle::lost(shared, &Settlement::new(lease, Ending::Released));
                return None;
            }
            Ok(Settled::Later) => {}
            Err(error) if error.kind() == StoreErrorKind::Invalid => return Some(refused(lease, &error)),
            Err(error) => {
                shared.store_failed("what tasks wait for can't be written", &error);
                let in_vain = error.is_lasting() || !shared.trust.holds();
                if shared.stopping.is_cancelled() && in_vain {
                    shared.counts.unsettled.fetch_add(1, Ordering::Relaxed);
                    return None;
                }
            }
        }
        if shared.abandon.is_cancelled() {
            shared.counts.unsettled.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        (tries, unsure) = (tries + 1, true);
        if tries == TRIES_UNTIL_SAID {
            tracing::warn!(task = %attempt.id, "what the task waits for can't be written yet; trying again");
        }
        pause(shared, tries).await;
    }
}

async fn keep(shared: &Shared, checkpoint: &Checkpoint) -> Result<Settled, StoreError> {
    failpoint::pass("checkpoint.before")?;
    let settled = shared.source().checkpoint(checkpoint.clone()).await?;
    failpoint::pass("checkpoint.after").map(|()| settled)
}

/// What is out of a limit, or can't be kept where the task comes from, no attempt can mend.
pub(crate) fn refused(lease: LeaseRef, error: &StoreError) -> Settlement {
    let failure = Failure::from_error(FailureReason::Error, error);
    Settlement { failure: Some(Box::new(failure)), ..Settlement::new(lease, Ending::Failed) }
}
