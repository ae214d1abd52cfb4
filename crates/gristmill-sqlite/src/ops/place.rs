use std::collections::HashMap;

use gristmill_core::{Flags, Place, State};
use rusqlite::{OptionalExtension, Row, params_from_iter};

use crate::error::Fault;
use crate::sql;
use crate::step::{Statement, Step, Value};
use crate::tx::Tx;
use crate::whereabouts::{Line, Waiter};

/// The one door in: writes a task into the place where it waits from now on, whatever brings it there. Where that is,
/// [`gristmill_core::place`] says; it has left the place where it was. Returns its state.
pub(super) fn place(tx: &mut Tx<'_>, place: Place, waiter: &Waiter) -> Result<State, Fault> {
    let step = entry(place, waiter);
    tx.kept(step.statement.sql())?.execute(params_from_iter(step.values()))?;
    announce(tx, place, waiter.run_at);
    if place == Place::Ready && waiter.flags.has(Flags::MOVED) {
        let &Waiter { key, queue, priority, line, .. } = waiter;
        tx.conn.prepare_cached(sql::MOVED_INSERT)?.execute([key, queue, priority, line.seq, line.turn])?;
    }
    Ok(place.state())
}

/// The row that a task gets there. An enqueue writes the same, by whatever driver.
pub(crate) fn entry<'a>(place: Place, waiter: &Waiter) -> Step<'a> {
    use Statement::{BlockedInsert, ParkedInsert, ReadyInsert, ReadyInsertFlagged, ScheduledInsert, WaitingInsert};
    let &Waiter { key, queue, kind, priority, run_at, .. } = waiter;
    let (attempt, claim_no, crashes) = (waiter.attempt.into(), waiter.claim_no.into(), waiter.crashes.into());
    let line = waiter.line;
    let moved = waiter.flags.has(Flags::MOVED);
    let task = if moved { key } else { 0 };
    let flags = i64::from(waiter.flags.bits());
    // A place in line is given up for any place that has none.
    let arrived = i64::from(waiter.flags.without(Flags::MOVED).bits());
    let int = Value::Int;
    match place {
        Place::Blocked => Step::new(BlockedInsert, [key, run_at, queue, attempt, claim_no, crashes, arrived].map(int)),
        Place::Scheduled => Step::new(ScheduledInsert, [key, run_at, queue, attempt, claim_no, crashes, arrived].map(int)),
        Place::Waiting => Step::new(WaitingInsert, [key, queue, attempt, claim_no, crashes, arrived].map(int)),
        Place::Ready if flags == 0 => {
            Step::new(ReadyInsert, [queue, priority, line.seq, kind, attempt, claim_no, crashes].map(int))
        }
        Place::Ready => Step::new(
            ReadyInsertFlagged,
            [queue, priority, line.seq, kind, attempt, claim_no, crashes, line.turn, task, flags].map(int),
        ),
        Place::Parked => Step::new(
            ParkedInsert,
            [queue, kind, priority, line.seq, attempt, claim_no, crashes, line.turn, task, flags].map(int),
        ),
    }
}

/// Tells those who look out for what came to a place. What is due later than the next task of which they know is none of their
/// concern yet.
pub(super) fn announce(tx: &mut Tx<'_>, place: Place, run_at: i64) {
    match place {
        Place::Ready => tx.effects.readied = true,
        Place::Scheduled => tx.effects.scheduled |= tx.memory.is_due_sooner(run_at),
        Place::Waiting => tx.touched = true,
        // Nobody looks for it before something else happens.
        Place::Blocked | Place::Parked => {}
    }
}

/// The last places of lines as one operation has come to know them, by queue and priority: looked up once, however many it puts behind them, of
/// however many workflows. Whoever comes into a line meanwhile does so at the place of his arrival, which is nobody else's.
pub(crate) type Lasts = HashMap<(i64, i64), Option<Line>>;

/// A task at the end of its line, behind all that are ready, as one that was held back and comes only now: at the place of its arrival it
/// would pass by those that were ready long before it. It is the last then.
pub(super) fn behind(tx: &mut Tx<'_>, waiter: Waiter) -> Result<Waiter, Fault> {
    let line = (waiter.queue, waiter.priority);
    let known = tx.lasts.get(&line).copied();
    let last = known.map_or_else(|| last(tx, &waiter), Ok)?;
    let arrival = Line::of_arrival(waiter.key);
    let waiter = match last.filter(|last| *last > arrival) {
        Some(last) => Waiter { line: last.behind(), flags: waiter.flags.with(Flags::MOVED), ..waiter },
        None => Waiter { line: arrival, flags: waiter.flags.without(Flags::MOVED), ..waiter },
    };
    tx.lasts.insert(line, Some(waiter.line));
    Ok(waiter)
}

/// A task that comes with its place in line to a line of others: of two who came into their lines behind the same one, one goes behind the other.
pub(super) fn beside(tx: &Tx<'_>, place: Place, waiter: Waiter) -> Result<Waiter, Fault> {
    let Waiter { queue, kind, priority, line: Line { seq, turn }, .. } = waiter;
    if !waiter.flags.has(Flags::MOVED) {
        // That of its arrival is nobody else's.
        return Ok(waiter);
    }
    // No place in line there.
    if matches!(place, Place::Blocked | Place::Scheduled | Place::Waiting) {
        return Ok(waiter);
    }
    // In both: claims put aside what nobody serves, at the place that it has, and it comes back to that.
    let turns = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let ready: (Option<i64>, Option<bool>) =
        tx.conn.prepare_cached(sql::READY_TURNS)?.query_row([queue, priority, seq, turn], turns)?;
    let parked: (Option<i64>, Option<bool>) =
        tx.conn.prepare_cached(sql::PARKED_TURNS)?.query_row([queue, priority, seq, turn, kind], turns)?;
    let is_taken = ready.1 == Some(true) || parked.1 == Some(true);
    Ok(match ready.0.max(parked.0).filter(|_| is_taken) {
        Some(turn) => Waiter { line: Line { seq, turn }.behind(), ..waiter },
        None => waiter,
    })
}

fn last(tx: &Tx<'_>, waiter: &Waiter) -> Result<Option<Line>, Fault> {
    let last = |sql| {
        let mut last = tx.conn.prepare_cached(sql)?;
        last.query_row([waiter.queue, waiter.priority], |row| Ok(Line { seq: row.get(0)?, turn: row.get(1)? })).optional()
    };
    // Those that are parked keep their places in line, and may come back to them.
    Ok(last(sql::READY_LAST)?.max(last(sql::PARKED_LAST)?))
}
