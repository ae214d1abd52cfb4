use gristmill_core::kit::encode::{at, ended_from};
use gristmill_core::workflow::Chore;
use gristmill_core::{Flags, State, Timestamp, WorkflowId, kept_after};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::super::cancel::{cancel_known, retry_known};
use super::super::facts::facts;
use super::super::place::Lasts;
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
        if let Ok(mut kept) = read(tx.conn, id)? {
            go_on(tx, &mut kept)?;
        }
    }
    Ok(tx.members().is_spent())
}

/// Does something to the members of a step, from a place on. The place from which on it is not done, if there was too much to do.
fn part(tx: &mut Tx<'_>, kept: &mut Kept, step: u32, chore: Chore, from: u32) -> Result<Option<u32>, Fault> {
    let (mut from, mut lasts) = (from, Lasts::default());
    loop {
        let members = members(tx.conn, (kept.id, step), chore, from)?;
        for member in &members {
            if !tx.members().take() {
                return Ok(Some(member.place));
            }
            if let Some(state) = do_to(tx, &mut lasts, chore, member)? {
                kept.flow.reopened(step, state);
            }
            from = member.place.saturating_add(1);
        }
        if (members.len() as i64) < READ_AT_ONCE {
            return Ok(None);
        }
    }
}

/// The state in which it had ended, if it has not any more.
fn do_to(tx: &mut Tx<'_>, lasts: &mut Lasts, chore: Chore, member: &Member) -> Result<Option<State>, Fault> {
    let key = member.key;
    match (chore, member.blocked) {
        (Chore::LetGo, Some(waiter)) => unblock_known(tx, lasts, waiter).map(|_| None),
        (Chore::LetGo, None) => Ok(None),
        (Chore::Cancel, _) => {
            if let Some(facts) = facts(tx.conn, key)? {
                cancel_known(tx, &facts)?;
            }
            Ok(None)
        }
        (Chore::Unkeep, _) => unkeep(tx, key).map(|()| None),
        (Chore::Again, _) => reopen(tx, key),
        (Chore::Mend | Chore::Keep, _) => {
            let last =
                tx.conn.prepare_cached(sql::OUTCOME_FINAL)?.query_row([key], |row| Ok((row.get(0)?, ended_from(row.get(3)?))));
            match last.optional()? {
                Some((_, state)) if chore == Chore::Mend && state != State::Succeeded => reopen(tx, key),
                Some((claim_no, _)) => keep(tx, key, claim_no, i64::MAX).map(|()| None),
                None => Ok(None),
            }
        }
    }
}

/// Blocks one again that has ended. That its end is taken back, a trigger writes, too; what is written here says the same.
fn reopen(tx: &mut Tx<'_>, key: i64) -> Result<Option<State>, Fault> {
    let Some(facts) = facts(tx.conn, key)? else { return Ok(None) };
    retry_known(tx, &facts, Some(true))
}

fn keep(tx: &Tx<'_>, key: i64, claim_no: u32, until: i64) -> Result<(), Fault> {
    tx.conn.prepare_cached(sql::OUTCOME_KEEP)?.execute(params![key, claim_no, until])?;
    Ok(())
}

/// Some of a step.
struct Member {
    key: i64,
    place: u32,
    /// Asked only of those that are to be let go.
    blocked: Option<Waiter>,
}

fn members(conn: &Connection, (workflow, step): (WorkflowId, u32), chore: Chore, from: u32) -> Result<Vec<Member>, Fault> {
    let is_asked = chore == Chore::LetGo;
    let mut page = conn.prepare_cached(if is_asked { sql::MEMBER_BLOCKED } else { sql::MEMBER_PAGE })?;
    let member = |row: &Row<'_>| {
        let (key, place) = (row.get(0)?, row.get(1)?);
        let blocked = match is_asked && row.get::<_, Option<i64>>(5)?.is_some() {
            true => Some(Waiter {
                queue: row.get(2)?,
                kind: row.get(3)?,
                priority: row.get(4)?,
                attempt: row.get(5)?,
                claim_no: row.get(6)?,
                crashes: row.get(7)?,
                flags: Flags::from_bits(row.get(8)?),
                run_at: row.get(9)?,
                ..Waiter::unread(key)
            }),
            false => None,
        };
        Ok(Member { key, place, blocked })
    };
    let rows = page.query_map(params![workflow.as_bytes().as_slice(), step, from, READ_AT_ONCE], member)?;
    Ok(rows.collect::<Result<_, _>>()?)
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
    let until = match kept_after(state, facts.retention, ended_at) {
        Timestamp::MAX => i64::MAX,
        until => at(until),
    };
    keep(tx, key, claim_no, until)
}
