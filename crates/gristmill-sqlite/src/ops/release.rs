use gristmill_core::{Flags, Place, Standing, State, TaskId, place as place_of};

use super::facts::facts_of;
use super::place::{behind, place};
use crate::error::Fault;
use crate::tx::Tx;
use crate::whereabouts::{self, Waiter};

/// What a blocked task waited for is done: it goes on to where it belongs. Its state then, `None` if it is not blocked.
pub(crate) fn unblock(tx: &mut Tx<'_>, id: TaskId) -> Result<Option<State>, Fault> {
    let now = tx.now.as_millis();
    release(tx, id, Place::Blocked, |_, waiter| {
        let limited = waiter.flags.has(Flags::LIMITED);
        Ok((Standing { early: waiter.run_at > now, limited, ..Standing::default() }, waiter))
    })
}

/// The limit of a waiting task admits it: it becomes ready, behind all that are. Its state then, `None` if it does not wait.
pub(crate) fn admit(tx: &mut Tx<'_>, id: TaskId) -> Result<Option<State>, Fault> {
    // At the place of its arrival it would pass by those that were ready long before it was admitted.
    release(tx, id, Place::Waiting, |tx, waiter| Ok((Standing::default(), behind(tx, waiter)?)))
}

fn release(
    tx: &mut Tx<'_>,
    id: TaskId,
    from: Place,
    onward: impl FnOnce(&Tx<'_>, Waiter) -> Result<(Standing, Waiter), Fault>,
) -> Result<Option<State>, Fault> {
    let Some(facts) = facts_of(tx.conn, id)? else { return Ok(None) };
    let Some(waiter) = whereabouts::look(tx.conn, from, &facts.address())? else { return Ok(None) };
    if !waiter.flags.unknown().is_none() {
        // A newer version knows what else it waits for.
        return Ok(Some(from.state()));
    }
    whereabouts::remove(tx.conn, from, &waiter)?;
    let (standing, waiter) = onward(tx, waiter)?;
    Ok(Some(place(tx, place_of(standing), &waiter)?))
}
