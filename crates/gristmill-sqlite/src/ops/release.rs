use gristmill_core::{Flags, Place, Standing, State, TaskId, place as place_of};
use rusqlite::params;

use super::facts::{Facts, facts_of};
use super::place::{behind, place};
use crate::error::Fault;
use crate::sql;
use crate::tx::Tx;
use crate::whereabouts::{self, Waiter};

/// What a blocked task waited for is done: it goes on to where it belongs. Its state then, `None` if it is not blocked, or not for this program to move.
pub(crate) fn unblock(tx: &mut Tx<'_>, id: TaskId) -> Result<Option<State>, Fault> {
    let Some(waiter) = look(tx, id, Place::Blocked)? else { return Ok(None) };
    unblock_known(tx, waiter)
}

/// The same for one of several of which it is known how they are blocked.
pub(super) fn unblock_known(tx: &mut Tx<'_>, waiter: Waiter) -> Result<Option<State>, Fault> {
    let (early, limited) = (waiter.run_at > tx.now.as_millis(), waiter.flags.has(Flags::LIMITED));
    release(tx, Place::Blocked, waiter, Standing { early, limited, ..Standing::default() })
}

/// The limit of a waiting task admits it. Its state then, `None` if it does not wait, or is not for this program to move.
pub(crate) fn admit(tx: &mut Tx<'_>, id: TaskId) -> Result<Option<State>, Fault> {
    let Some(waiter) = look(tx, id, Place::Waiting)? else { return Ok(None) };
    release(tx, Place::Waiting, waiter, Standing::default())
}

fn look(tx: &Tx<'_>, id: TaskId, place: Place) -> Result<Option<Waiter>, Fault> {
    let Some(facts) = facts_of(tx.conn, id)? else { return Ok(None) };
    Ok(whereabouts::look(tx.conn, place, &facts.address())?)
}

/// What a scheduled task waited for has come before its time: it is due now. False if it is not scheduled, or not for this program to move.
pub(super) fn make_due(tx: &mut Tx<'_>, facts: &Facts) -> Result<bool, Fault> {
    let scheduled = whereabouts::look(tx.conn, Place::Scheduled, &facts.address())?;
    let Some(waiter) = scheduled.filter(|waiter| waiter.flags.unknown().is_none()) else { return Ok(false) };
    whereabouts::remove(tx.conn, Place::Scheduled, &waiter)?;
    let to = place_of(Standing { limited: waiter.flags.has(Flags::LIMITED), ..Standing::default() });
    place(tx, to, &waiter)?;
    tx.conn.prepare_cached(sql::TASK_DUE)?.execute(params![facts.key, tx.now.as_millis()])?;
    Ok(true)
}

/// Lets a task go on from where it was held.
fn release(tx: &mut Tx<'_>, from: Place, waiter: Waiter, standing: Standing) -> Result<Option<State>, Fault> {
    if !waiter.flags.unknown().is_none() {
        // A newer version knows what else it waits for.
        return Ok(None);
    }
    whereabouts::remove(tx.conn, from, &waiter)?;
    let to = place_of(standing);
    let waiter = if to == Place::Ready { behind(tx, waiter)? } else { waiter };
    Ok(Some(place(tx, to, &waiter)?))
}
