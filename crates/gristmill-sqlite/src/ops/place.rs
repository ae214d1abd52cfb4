use gristmill_core::{Effects, Flags, Place, State};
use rusqlite::{OptionalExtension, params, params_from_iter};

use crate::error::Fault;
use crate::sql;
use crate::step::{Statement, Step, Value};
use crate::tx::Tx;
use crate::whereabouts::Waiter;

/// The one door in: writes a task into the place where it waits from now on, whatever brings it there. Where that is,
/// [`gristmill_core::place`] says; it has left the place where it was. Returns its state.
pub(super) fn place(tx: &mut Tx<'_>, place: Place, waiter: &Waiter) -> Result<State, Fault> {
    let step = entry(place, waiter);
    tx.conn.prepare_cached(step.statement.sql())?.execute(params_from_iter(step.values()))?;
    announce(tx.effects, place);
    if place == Place::Ready {
        // It comes back to a place that they may hide.
        tx.memory.forget_floors();
    }
    Ok(place.state())
}

/// The row that a task gets there. An enqueue writes the same, by whatever driver.
pub(crate) fn entry<'a>(place: Place, waiter: &Waiter) -> Step<'a> {
    use Statement::{BlockedInsert, ParkedInsert, ReadyInsert, ScheduledInsert, WaitingInsert};
    let &Waiter { key, queue, kind, priority, run_at, .. } = waiter;
    let (attempt, claim_no, crashes) = (waiter.attempt.into(), waiter.claim_no.into(), waiter.crashes.into());
    // A place in line is given up for any place that has none.
    let flags = |moved| i64::from(if moved { waiter.flags } else { waiter.flags.without(Flags::MOVED) }.bits());
    let (seq, task) = waiter.stands();
    let int = Value::Int;
    match place {
        Place::Blocked => Step::new(BlockedInsert, [key, run_at, queue, attempt, claim_no, crashes, flags(false)].map(int)),
        Place::Scheduled => Step::new(ScheduledInsert, [key, run_at, queue, attempt, claim_no, crashes, flags(false)].map(int)),
        Place::Waiting => Step::new(WaitingInsert, [key, queue, attempt, claim_no, crashes, flags(false)].map(int)),
        Place::Ready => {
            Step::new(ReadyInsert, [queue, priority, seq, kind, attempt, claim_no, crashes, task, flags(true)].map(int))
        }
        Place::Parked => {
            Step::new(ParkedInsert, [queue, kind, priority, seq, attempt, claim_no, crashes, task, flags(true)].map(int))
        }
    }
}

/// Tells those who look out for what came to a place.
pub(super) fn announce(effects: &mut Effects, place: Place) {
    match place {
        Place::Ready => effects.readied = true,
        Place::Scheduled => effects.scheduled = true,
        // Nobody looks for it before something else happens.
        Place::Blocked | Place::Waiting | Place::Parked => {}
    }
}

/// The same task at the end of its line, behind all that is there, as one that was held back and comes only now.
pub(super) fn behind(tx: &Tx<'_>, waiter: Waiter) -> Result<Waiter, Fault> {
    let mut last = tx.conn.prepare_cached(sql::READY_LAST)?;
    let last = last.query_row(params![waiter.queue, waiter.priority], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    let line = next_in_line(last, waiter.key);
    let flags = if line.is_some() { waiter.flags.with(Flags::MOVED) } else { waiter.flags.without(Flags::MOVED) };
    Ok(Waiter { line: line.unwrap_or(waiter.key), flags, ..waiter })
}

/// Another place in line than that of its arrival, if that is before the last one's. Places are shared, in the order of tasks, so
/// that no row has to make room and whoever arrives later stands behind.
fn next_in_line(last: Option<(i64, i64)>, key: i64) -> Option<i64> {
    let (seq, task) = last.filter(|last| *last > (key, 0))?;
    Some(if task < key { seq } else { seq.saturating_add(1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_line_is_behind_the_last() {
        assert_eq!(next_in_line(None, 3), None);
        assert_eq!(next_in_line(Some((2, 0)), 3), None, "its own place is behind");
        assert_eq!(next_in_line(Some((9, 0)), 3), Some(9), "beside the one that arrived there, and behind it");
        assert_eq!(next_in_line(Some((9, 3)), 4), Some(9));
        assert_eq!(next_in_line(Some((9, 4)), 3), Some(10), "the order of tasks would put it in front");
        for (last, key) in [((9, 0), 3), ((9, 3), 4), ((9, 4), 3), ((3, 2), 3)] {
            let line = next_in_line(Some(last), key);
            assert!(line.map_or((key, 0), |seq| (seq, key)) > last);
        }
    }
}
