use gristmill_core::limits::LOCKS_MAX;
use gristmill_core::{LOCK_KEPT_MS, LeaseRef, LockHolder, LockOutcome, StoreError, TaskId, Timestamp, too_many_locks};
use rusqlite::{Connection, OptionalExtension, params};

use super::settle::mark;
use super::sweep::count;
use crate::error::Fault;
use crate::sql;
use crate::tx::Tx;

/// Who holds a lock, as an attempt sees it: itself, another, or nobody. `None` if that attempt's lease is lost.
pub(crate) fn look_at_lock(conn: &Connection, lease: &LeaseRef, name: &str) -> Result<Option<Looked>, Fault> {
    let Some(key) = lease.key.number() else { return Ok(None) };
    let mine = mark(lease.id, lease.fence);
    let kept: Option<Vec<u8>> = conn.prepare_cached(sql::LEASE_MARK)?.query_row([key], |row| row.get(0)).optional()?;
    if kept.is_none_or(|kept| kept != mine) {
        return Ok(None);
    }
    let mut holder = conn.prepare_cached(sql::LOCK_HOLDER)?;
    let found = holder.query_row([name], |row| {
        let (token, since): (i64, _) = (row.get(0)?, Timestamp::from_millis(row.get(3)?));
        if row.get::<_, i64>(1)? == key && row.get_ref(2)?.as_blob()? == mine {
            return Ok(Looked::Answer(LockOutcome::Held { token: token.unsigned_abs(), since }));
        }
        // Of a damaged file, in which a task runs whose body is gone, no id can be told.
        let id = row.get_ref(4)?.as_blob_or_null()?.unwrap_or(&[0; 16]);
        let task = TaskId::from_slice(id).unwrap_or(lease.id);
        Ok(Looked::Answer(LockOutcome::Busy(LockHolder { task, since })))
    });
    Ok(Some(found.optional()?.unwrap_or(Looked::Free { key, mark: mine })))
}

/// What a look at a lock has found.
pub(crate) enum Looked {
    /// There is nothing to do about it.
    Answer(LockOutcome),
    /// Nobody holds it; this is how the row of whoever takes it names the lease of who has looked.
    Free { key: i64, mark: [u8; 16] },
}

/// Gives a lock to an attempt, unless another has it; or says that it would be one too many.
pub(crate) fn take_lock(tx: &mut Tx<'_>, lease: &LeaseRef, name: &str) -> Result<Result<LockOutcome, StoreError>, Fault> {
    let (key, mark) = match look_at_lock(tx.conn, lease, name)? {
        None => return Ok(Ok(LockOutcome::LeaseLost)),
        Some(Looked::Answer(outcome)) => return Ok(Ok(outcome)),
        Some(Looked::Free { key, mark }) => (key, mark),
    };
    let held: i64 = tx.conn.prepare_cached(sql::LOCK_COUNT)?.query_row(params![key, mark], |row| row.get(0))?;
    if held >= LOCKS_MAX as i64 {
        return Ok(Err(too_many_locks(name)));
    }
    let mut take = tx.conn.prepare_cached(sql::LOCK_TAKE)?;
    let token: i64 = take.query_row(params![name, key, mark, tx.now.as_millis()], |row| row.get(0))?;
    Ok(Ok(LockOutcome::Held { token: token.unsigned_abs(), since: tx.now }))
}

/// Lets go of a lock; false if it was not this attempt's.
pub(crate) fn release_lock(tx: &mut Tx<'_>, lease: &LeaseRef, name: &str) -> Result<bool, Fault> {
    let Some(key) = lease.key.number() else { return Ok(false) };
    Ok(tx.conn.prepare_cached(sql::LOCK_RELEASE)?.execute(params![name, key, mark(lease.id, lease.fence)])? > 0)
}

/// Deletes the rows of locks that nobody has held for long, at most so many. Returns how many.
pub(crate) fn prune_locks(tx: &mut Tx<'_>, limit: usize) -> Result<usize, Fault> {
    let until = tx.now.as_millis().saturating_sub(LOCK_KEPT_MS);
    Ok(tx.conn.prepare_cached(sql::LOCK_PRUNE)?.execute(params![until, count(limit)])?)
}
