use std::borrow::Cow;

use gristmill_core::kit::encode::{attempt_state_of, to_json};
use gristmill_core::{AttemptState, Failure, Flags, Timestamp};
use rusqlite::params;

use crate::error::Fault;
use crate::sql;
use crate::tx::Tx;

/// One row of a task's history: how an attempt ended, or that the task did without one.
pub(super) struct Attempt<'a> {
    pub(super) key: i64,
    pub(super) claim_no: u32,
    pub(super) attempt: u32,
    pub(super) crashes: u32,
    pub(super) state: AttemptState,
    pub(super) started_at: Option<Timestamp>,
    /// The worker's key.
    pub(super) worker: Option<i64>,
    pub(super) result: Option<&'a str>,
    pub(super) error: Option<&'a Failure>,
    pub(super) logs: Option<&'a str>,
    pub(super) progress: Option<Cow<'a, str>>,
}

/// What stands on the row beside the attempt if the task ended with it; nothing if it goes on.
#[derive(Default)]
pub(super) struct Mark {
    /// The code of the final state.
    pub(super) ended: i16,
    pub(super) keep_until: Option<i64>,
    pub(super) flags: Flags,
    pub(super) owed: Flags,
}

/// Writes it.
pub(super) fn write(tx: &mut Tx<'_>, attempt: &Attempt<'_>, mark: &Mark) -> Result<(), Fault> {
    let worker = match attempt.worker {
        Some(key) => tx.memory.worker_name(tx.conn, key)?,
        None => None,
    };
    let now = tx.now.as_millis();
    tx.kept(sql::OUTCOME_INSERT)?.execute(params![
        attempt.key,
        attempt.claim_no,
        attempt.attempt,
        attempt.crashes,
        attempt_state_of(attempt.state),
        now,
        attempt.started_at.map(Timestamp::as_millis),
        worker,
        attempt.result,
        attempt.error.map(to_json),
        attempt.logs,
        attempt.progress.as_deref(),
        mark.ended,
        mark.keep_until,
        mark.flags.bits(),
        mark.owed.bits(),
    ])?;
    Ok(())
}
