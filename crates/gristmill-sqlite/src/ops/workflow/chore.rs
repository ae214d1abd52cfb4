use gristmill_core::kit::encode::{at, ended_from, retention_from};
use gristmill_core::workflow::Chore;
use gristmill_core::{Flags, Retention, State, Timestamp, WorkflowId, kept_after};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::super::cancel::{cancel_known, retry_known};
use super::super::facts::facts;
use super::super::release::unblock_known;
use super::super::sweep::count;
use super::kept::{Kept, read};
use crate::error::Fault;
use crate::sql;
use crate::tx::Tx;
use crate::whereabouts::Waiter;

/// Members that are read at a time.
const READ_AT_ONCE: i64 = 256;

/// Draws the conclusions from what a workflow was told, does what is to be done to its members, as far as this transaction may, and writes
/// how it stands then. The rest is left to sweeps.
pub(super) fn go_on(tx: &mut Tx<'_>, kept: &mut Kept) -> Result<(), Fault> {
    loop {
        let was_held = kept.flow.is_held();
        kept.flow.go_on();
        if do_chores(tx, kept)? {
            // Whoever sweeps is to do the rest now.
            tx.effects.scheduled |= tx.memory.is_due_sooner(tx.now.as_millis());
            break;
        }
        if !was_held {
            break;
        }
    }
    kept.write(tx)
}

/// True if something is left to do.
fn do_chores(tx: &mut Tx<'_>, kept: &mut Kept) -> Result<bool, Fault> {
    let steps = u32::try_from(kept.flow.steps.len()).unwrap_or(u32::MAX);
    let mut is_left = false;
    for number in 0..steps {
        while let Some((chore, from)) = kept.flow.steps.get(number as usize).and_then(|step| step.chore) {
            let before = part(tx, kept, number, chore, from)?;
            kept.flow.did(number, before);
            if before.is_some() {
                is_left = true;
                break;
            }
        }
    }
    Ok(is_left)
}

/// Goes on with what is left to do to members, of all workflows, at most so many. True if there may be more.
pub(in super::super) fn go_on_with_chores(tx: &mut Tx<'_>, limit: usize) -> Result<bool, Fault> {
    let left: Vec<Option<WorkflowId>> = {
        let mut left = tx.conn.prepare_cached(sql::STEP_CHORES)?;
        let rows = left.query_map([count(limit)], |row| Ok(row.get_ref(0)?.as_blob().ok().and_then(WorkflowId::from_slice)))?;
        rows.collect::<Result<_, _>>()?
    };
    tx.allow_members(limit);
    for id in left.into_iter().flatten() {
        if !tx.members().take() {
            break;
        }
        if let Ok(mut kept) = read(tx, id)? {
            go_on(tx, &mut kept)?;
        }
    }
    Ok(tx.members().is_spent())
}

/// Does something to the members of a step, from a place on. The place from which on it is not done, if there was too much to do.
fn part(tx: &mut Tx<'_>, kept: &mut Kept, step: u32, chore: Chore, from: u32) -> Result<Option<u32>, Fault> {
    let mut from = from;
    loop {
        let members = members(tx.conn, (kept.id, step), chore, from)?;
        for member in &members {
            if !tx.members().take() {
                return Ok(Some(member.place));
            }
            let reopened = match member.todo {
                Todo::LetGo(waiter) => {
                    unblock_known(tx, waiter)?;
                    None
                }
                Todo::Cancel => {
                    if let Some(facts) = facts(tx.conn, member.key)? {
                        cancel_known(tx, &facts)?;
                    }
                    None
                }
                Todo::Unkeep { claim_no, until } => {
                    shorten(tx, member.key, claim_no, until)?;
                    None
                }
                Todo::Again => reopen(tx, member.key, kept.flow.run.forgets)?,
                Todo::Mend => mend(tx, member.key, Some(kept.flow.run.forgets))?,
                Todo::Keep => mend(tx, member.key, None)?,
                Todo::Nothing => None,
            };
            if let Some(state) = reopened {
                kept.flow.reopened(step, state);
            }
            from = member.place.saturating_add(1);
        }
        if (members.len() as i64) < READ_AT_ONCE {
            return Ok(None);
        }
    }
}

/// Blocks one again that has ended, with or without its history; the state in which it had. That its end is taken back, a trigger writes, too;
/// what is written here says the same.
fn reopen(tx: &mut Tx<'_>, key: i64, forgets: bool) -> Result<Option<State>, Fault> {
    let Some(facts) = facts(tx.conn, key)? else { return Ok(None) };
    retry_known(tx, &facts, Some(true), forgets)
}

/// Keeps one that has ended for as long as its workflow goes on; or blocks it again, if it did not succeed and is to be reopened then, with or
/// without its history.
fn mend(tx: &mut Tx<'_>, key: i64, reopened: Option<bool>) -> Result<Option<State>, Fault> {
    let last = tx.conn.prepare_cached(sql::OUTCOME_FINAL)?.query_row([key], |row| Ok((row.get(0)?, ended_from(row.get(3)?))));
    match last.optional()? {
        Some((claim_no, state)) => match reopened.filter(|_| state != State::Succeeded) {
            Some(forgets) => reopen(tx, key, forgets),
            None => keep(tx, key, claim_no, i64::MAX).map(|()| None),
        },
        None => Ok(None),
    }
}

/// One of a step.
struct Member {
    key: i64,
    place: u32,
    todo: Todo,
}

/// What is to be done to one.
#[derive(Clone, Copy)]
enum Todo {
    LetGo(Waiter),
    Cancel,
    Unkeep { claim_no: u32, until: i64 },
    Again,
    Mend,
    Keep,
    Nothing,
}

/// Some of a step, from a place on, with what has to be known of each.
fn members(conn: &Connection, (workflow, step): (WorkflowId, u32), chore: Chore, from: u32) -> Result<Vec<Member>, Fault> {
    let (page, todo): (_, fn(&Row<'_>) -> rusqlite::Result<Todo>) = match chore {
        Chore::LetGo => (sql::MEMBER_BLOCKED, blocked),
        Chore::Cancel => (sql::MEMBER_PAGE, |_| Ok(Todo::Cancel)),
        Chore::Unkeep => (sql::MEMBER_KEPT, kept),
        Chore::Again => (sql::MEMBER_PAGE, |_| Ok(Todo::Again)),
        Chore::Mend => (sql::MEMBER_PAGE, |_| Ok(Todo::Mend)),
        Chore::Keep => (sql::MEMBER_PAGE, |_| Ok(Todo::Keep)),
    };
    let mut page = conn.prepare_cached(page)?;
    let of = params![workflow.as_bytes().as_slice(), step, from, READ_AT_ONCE];
    let rows = page.query_map(of, |row| Ok(Member { key: row.get(0)?, place: row.get(1)?, todo: todo(row)? }))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn blocked(row: &Row<'_>) -> rusqlite::Result<Todo> {
    let Some(attempt) = row.get(5)? else { return Ok(Todo::Nothing) };
    Ok(Todo::LetGo(Waiter {
        queue: row.get(2)?,
        kind: row.get(3)?,
        priority: row.get(4)?,
        attempt,
        claim_no: row.get(6)?,
        crashes: row.get(7)?,
        flags: Flags::from_bits(row.get(8)?),
        run_at: row.get(9)?,
        ..Waiter::unread(row.get(0)?)
    }))
}

fn kept(row: &Row<'_>) -> rusqlite::Result<Todo> {
    let Some(claim_no) = row.get(3)? else { return Ok(Todo::Nothing) };
    let until = kept_until(ended_from(row.get(4)?), retention_from(row.get(2)?), Timestamp::from_millis(row.get(5)?));
    Ok(Todo::Unkeep { claim_no, until })
}

/// A member that has ended is kept no longer than its retention says.
pub(super) fn unkeep(tx: &mut Tx<'_>, key: i64) -> Result<(), Fault> {
    let last = tx.conn.prepare_cached(sql::OUTCOME_FINAL)?.query_row([key], |row| {
        let (state, ended_at) = (ended_from(row.get(3)?), Timestamp::from_millis(row.get(4)?));
        Ok((row.get::<_, u32>(0)?, state, ended_at, Flags::from_bits(row.get(6)?)))
    });
    // What is owed is to be told first.
    let Some((claim_no, state, ended_at, _)) = last.optional()?.filter(|(.., owed)| owed.is_none()) else { return Ok(()) };
    let Some(facts) = facts(tx.conn, key)? else { return Ok(()) };
    shorten(tx, key, claim_no, kept_until(state, facts.retention, ended_at))
}

fn kept_until(state: State, retention: Retention, ended_at: Timestamp) -> i64 {
    match kept_after(state, retention, ended_at) {
        Timestamp::MAX => i64::MAX,
        until => at(until),
    }
}

/// Of one that is kept for ever as long as nobody says otherwise.
fn shorten(tx: &mut Tx<'_>, key: i64, claim_no: u32, until: i64) -> Result<(), Fault> {
    if until < i64::MAX { keep(tx, key, claim_no, until) } else { Ok(()) }
}

fn keep(tx: &mut Tx<'_>, key: i64, claim_no: u32, until: i64) -> Result<(), Fault> {
    tx.kept(sql::OUTCOME_KEEP)?.execute(params![key, claim_no, until])?;
    Ok(())
}
