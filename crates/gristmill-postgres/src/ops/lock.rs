use gristmill_core::limits::LOCKS_MAX;
use gristmill_core::{LOCK_KEPT_MS, LeaseRef, LockHolder, LockOutcome, TaskId, Timestamp, too_many_locks};

use super::limit;
use crate::error::Fault;
use crate::session::Session;
use crate::sql::Q;

/// Gives a lock to an attempt, or says who has it; `None` if others took it and let it go at this moment, so that it is to be asked for again.
pub(crate) async fn take_lock(s: &Session<'_>, lease: &LeaseRef, name: &str) -> Result<Option<LockOutcome>, Fault> {
    let (id, fence) = (lease.id.as_uuid(), lease.fence.as_uuid());
    let Some(row) = s.row(Q::LockTake, &[&s.now, &name, &id, &fence, &limit(LOCKS_MAX)]).await? else { return Ok(None) };
    let Some(held) = row.try_get::<_, Option<i64>>(0)? else { return Ok(Some(LockOutcome::LeaseLost)) };
    let lock = |token: i64, since| LockOutcome::Held { token: token.unsigned_abs(), since: Timestamp::from_millis(since) };
    if let Some(token) = row.try_get(1)? {
        return Ok(Some(lock(token, row.try_get(2)?)));
    }
    let Some(token) = row.try_get(3)? else {
        return if held >= limit(LOCKS_MAX) { Err(too_many_locks(name).into()) } else { Ok(None) };
    };
    let since: i64 = row.try_get(4)?;
    Ok(Some(match row.try_get(6)? {
        Some(true) => lock(token, since),
        _ => {
            let task = TaskId::from_uuid(row.try_get(5)?);
            LockOutcome::Busy(LockHolder { task, since: Timestamp::from_millis(since) })
        }
    }))
}

/// Lets go of a lock; false if it was not this attempt's.
pub(crate) async fn release_lock(s: &Session<'_>, lease: &LeaseRef, name: &str) -> Result<bool, Fault> {
    Ok(s.execute(Q::LockRelease, &[&name, &lease.id.as_uuid(), &lease.fence.as_uuid()]).await? > 0)
}

/// Deletes the rows of locks that nobody has held for long, at most so many; whether that was less than there may be.
pub(crate) async fn prune_locks(s: &Session<'_>, most: usize) -> Result<bool, Fault> {
    let pruned = s.execute(Q::LockPrune, &[&s.now, &LOCK_KEPT_MS, &limit(most)]).await?;
    Ok(usize::try_from(pruned).is_ok_and(|pruned| pruned >= most))
}
