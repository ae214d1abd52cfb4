use gristmill_core::{CancelOutcome, RetryOutcome, State, TaskId};
use rusqlite::{OptionalExtension, Row, params};

use super::settle::{Facts, end_unstarted, facts, make_ready};
use crate::error::Fault;
use crate::sql;
use crate::tx::Tx;

/// Cancels one task: at once if it waits, by request if it runs.
pub(crate) fn cancel(tx: &mut Tx<'_>, id: TaskId) -> Result<CancelOutcome, Fault> {
    let Some((seq, facts)) = find(tx, id)? else { return Ok(CancelOutcome::NotFound) };
    if tx.conn.prepare_cached(sql::LEASE_CANCEL)?.execute([seq])? > 0 {
        return Ok(CancelOutcome::CancelRequested);
    }
    let Some(counts) = take_waiting(tx, seq, &facts)? else { return Ok(CancelOutcome::AlreadyEnded) };
    end_unstarted(tx, seq, id, facts.retention, State::Cancelled, counts)?;
    Ok(CancelOutcome::Cancelled)
}

/// Makes one ended task ready again.
pub(crate) fn retry(tx: &mut Tx<'_>, id: TaskId) -> Result<RetryOutcome, Fault> {
    let Some((seq, facts)) = find(tx, id)? else { return Ok(RetryOutcome::NotFound) };
    let last = tx.conn.prepare_cached(sql::OUTCOME_FINAL)?.query_row([seq], |row| row.get::<_, u32>(0)).optional()?;
    let Some(claim_no) = last else { return Ok(RetryOutcome::NotEnded) };
    tx.conn.prepare_cached(sql::OUTCOME_REOPEN)?.execute(params![seq, claim_no])?;
    // Whoever retries wants it to run, however late it is.
    tx.conn.prepare_cached(sql::TASK_UNEXPIRE)?.execute([seq])?;
    make_ready(tx, (facts.queue, facts.priority, seq, facts.kind), (0, claim_no, 0))?;
    Ok(RetryOutcome::Ready)
}

fn find(tx: &Tx<'_>, id: TaskId) -> Result<Option<(i64, Facts)>, Fault> {
    let seq = tx.conn.prepare_cached(sql::TASK_FIND)?.query_row([id.as_bytes().as_slice()], |row| row.get(0)).optional()?;
    let Some(seq) = seq else { return Ok(None) };
    Ok(facts(tx.conn, seq)?.map(|facts| (seq, facts)))
}

/// Takes a task that waits out of wherever it does; `None` if it does not wait. Returns attempt, claim number, crashes.
pub(super) fn take_waiting(tx: &mut Tx<'_>, seq: i64, facts: &Facts) -> Result<Option<(u32, u32, u32)>, Fault> {
    let conn = tx.conn;
    let &Facts { queue, kind, priority, .. } = facts;
    let counts = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let places: [(&str, &str, &[i64]); 3] = [
        (sql::READY_GET, sql::READY_DELETE, &[queue, priority, seq]),
        (sql::SCHEDULED_GET, sql::SCHEDULED_DELETE, &[seq]),
        (sql::PARKED_GET, sql::PARKED_DELETE, &[queue, kind, priority, seq]),
    ];
    for (get, delete, key) in places {
        let found = conn.prepare_cached(get)?.query_row(rusqlite::params_from_iter(key), counts).optional()?;
        if let Some(found) = found {
            conn.prepare_cached(delete)?.execute(rusqlite::params_from_iter(key))?;
            if let Some(at) = facts.expires_at {
                conn.prepare_cached(sql::EXPIRY_DELETE)?.execute(params![at, seq])?;
            }
            return Ok(Some(found));
        }
    }
    Ok(None)
}
