//! Keys with a limit: who is given their slots, within the transaction of whatever freed them or brought the task.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::Duration;

use gristmill_core::concurrency::admission::{self, Admitted, Excess, Slots};
use gristmill_core::concurrency::fair::{self, Turns};
use gristmill_core::concurrency::{FAIR, KeyState, Limit, Need, OnExcess, RATE, Spent, evict};
use gristmill_core::kit::encode::to_json;
use gristmill_core::{Flags, Place, TaskMeta, Timestamp};
use rusqlite::{OptionalExtension, Row, params};

use super::budget::Budget;
use super::cancel::{cancel_known, take_waiting};
use super::ended::end_dropped;
use super::facts::facts;
use super::place::{behind, place};
use super::sweep::count;
use crate::error::Fault;
use crate::sql;
use crate::tx::Tx;
use crate::whereabouts::{self, Address, Line, Waiter};

/// So many tasks one operation admits, or sends to another line; the next operations go on.
const ADMITTED_MAX: usize = 1_000;
/// So many keys are looked at together.
const KEYS_MAX: usize = 250;
/// So many of those who wait in one line are looked at together.
const LINE_MAX: usize = 200;
/// So many of those behind one are counted that might take its place.
const BEHIND_MAX: usize = 50;
/// Of so many of those behind one whose keys are not known the keys are looked at with its own.
const TOGETHER_MAX: usize = 100;
/// So many rows of each table one sweep looks through for what was forgotten.
const WALK: usize = 1_000;

/// How far the sweeps of this process have walked.
#[derive(Debug, Default)]
pub(crate) struct Walked {
    slot: Option<(String, i64)>,
    waiting: i64,
    line: String,
    key: String,
}

/// A task gives back what it holds of keys: all, if it has ended; else what it holds for one attempt.
pub(super) fn give_back(tx: &mut Tx<'_>, key: i64, has_ended: bool) -> Result<(), Fault> {
    let freed: Vec<String> = {
        let mut release = tx.conn.prepare_cached(sql::SLOT_RELEASE)?;
        let rows = release.query_map(params![key, has_ended], |row| row.get(0))?;
        rows.collect::<Result<_, _>>()?
    };
    freed.iter().try_for_each(|key| touch(tx, key))
}

fn touch(tx: &mut Tx<'_>, key: &str) -> Result<(), Fault> {
    tx.touched = true;
    tx.conn.prepare_cached(sql::TOUCHED_INSERT)?.execute([key])?;
    Ok(())
}

/// An attempt of a task has begun then, and is over: what it has taken of rates is spent.
pub(super) fn spend(tx: &mut Tx<'_>, task: i64, begun: Timestamp) -> Result<(), Fault> {
    let taken: Vec<(String, u32)> = {
        let mut spend = tx.conn.prepare_cached(sql::SLOT_SPEND)?;
        let rows = spend.query_map([task], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<Result<_, _>>()?
    };
    for (key, cost) in taken {
        let mut state = state_of(tx, &key)?;
        if let Some(rule) = state.rule() {
            state.spent.begun(rule, begun, cost);
        }
        write_spent(tx, &key, &state)?;
        touch(tx, &key)?;
    }
    Ok(())
}

/// What is kept of this key, in the columns of the queries that read it.
pub(crate) fn key_state(key: &str, row: &Row<'_>) -> rusqlite::Result<KeyState> {
    let limit = |count: Option<u32>, rate: Option<String>| match key.starts_with(RATE) {
        true => rate.as_deref().and_then(Limit::of_rate_kept),
        false => count.map(Limit::of),
    };
    let spent: Option<String> = row.get(5)?;
    Ok(KeyState {
        declared: limit(row.get(0)?, row.get(1)?),
        set: limit(row.get(2)?, row.get(3)?),
        taken: row.get::<_, i64>(4)?.unsigned_abs(),
        spent: spent.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default(),
        next: row.get::<_, Option<i64>>(6)?.map(Timestamp::from_millis),
    })
}

/// A limit in two columns: the number, which is 0 of a rate, and the rate.
fn columns(key: &str, limit: Limit) -> (u32, Option<String>) {
    match key.starts_with(RATE) {
        true => (0, Some(limit.kept_of_rate())),
        false => (limit.count, None),
    }
}

fn state_of(tx: &Tx<'_>, key: &str) -> Result<KeyState, Fault> {
    Ok(tx.conn.prepare_cached(sql::KEY_GET)?.query_row([key], |row| key_state(key, row))?)
}

fn write_spent(tx: &Tx<'_>, key: &str, state: &KeyState) -> Result<(), Fault> {
    let (spent, until) = state.kept(tx.now);
    let text = (spent != Spent::default()).then(|| to_json(&spent));
    tx.conn.prepare_cached(sql::KEY_SPEND)?.execute(params![key, text, until.map(Timestamp::as_millis)])?;
    Ok(())
}

/// An operator says how many slots a key has, or that it is again what tasks say.
pub(crate) fn set_limit(tx: &mut Tx<'_>, key: &str, limit: Option<Limit>) -> Result<(), Fault> {
    tx.effects.changed = true;
    let (count, rate) = limit.map(|limit| columns(key, limit)).unzip();
    let count = if key.starts_with(RATE) { Some(0) } else { count };
    tx.conn.prepare_cached(sql::KEY_SET)?.execute(params![key, count, rate.flatten()])?;
    touch(tx, key)
}

/// A far side has said how much it still takes.
pub(crate) fn set_remaining(tx: &mut Tx<'_>, key: &str, left: u32, within: Duration) -> Result<(), Fault> {
    tx.effects.changed = true;
    // Before it is said: what has begun so far, the far side has counted.
    let mut state = begun(tx, key)?;
    state.spent.told(left, tx.now.saturating_add(within));
    write_spent(tx, key, &state)?;
    touch(tx, key)
}

/// What is kept of a key with a rate, once that is spent which has begun.
fn begun(tx: &Tx<'_>, key: &str) -> Result<KeyState, Fault> {
    let begun: Vec<(u32, i64)> = {
        let mut begun = tx.conn.prepare_cached(sql::SLOT_BEGUN)?;
        let rows = begun.query_map([key], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<Result<_, _>>()?
    };
    let mut state = state_of(tx, key)?;
    if let Some(rule) = state.rule() {
        begun.iter().for_each(|(cost, at)| state.spent.begun(rule, Timestamp::from_millis(*at), *cost));
    }
    if !begun.is_empty() {
        write_spent(tx, key, &state)?;
    }
    Ok(state)
}

/// Keys with a rate of which somebody may begin by now are looked at.
pub(super) fn touch_due(tx: &mut Tx<'_>) -> Result<(), Fault> {
    let due: Vec<String> = {
        let mut due = tx.conn.prepare_cached(sql::KEY_DUE)?;
        let rows = due.query_map(params![tx.now.as_millis(), count(KEYS_MAX)], |row| row.get(0))?;
        rows.collect::<Result<_, _>>()?
    };
    due.iter().try_for_each(|key| touch(tx, key))
}

/// Gives slots that are free to those who wait for them, if this operation may have freed or brought any.
pub(crate) fn admit_touched(tx: &mut Tx<'_>) -> Result<(), Fault> {
    if !std::mem::take(&mut tx.touched) {
        return Ok(());
    }
    let mut budget = Budget::new(ADMITTED_MAX);
    while !budget.is_spent() {
        let touched: BTreeSet<String> = {
            let mut take = tx.conn.prepare_cached(sql::TOUCHED_TAKE)?;
            let rows = take.query_map([count(KEYS_MAX)], |row| row.get(0))?;
            rows.collect::<Result<_, _>>()?
        };
        if touched.is_empty() {
            return Ok(());
        }
        admit_lines(tx, touched, &mut budget)?;
    }
    // Whoever claims next goes on.
    tx.effects.readied = true;
    Ok(())
}

/// Looks at the lines of some keys, and with them at all keys that those need who stand first there.
fn admit_lines(tx: &mut Tx<'_>, keys: BTreeSet<String>, budget: &mut Budget) -> Result<(), Fault> {
    let mut looked = keys;
    loop {
        let mut slots = slots_of(tx, &looked)?;
        for key in &looked {
            if let Some(excess) = slots.excess(key)
                && withdraw(tx, key, excess, budget)?
            {
                // They had slots of others of these keys, too.
                slots = slots_of(tx, &looked)?;
            }
        }
        let mut more = BTreeSet::new();
        // Of one that has a limit, one more than there is room for, as the first may hold its slots already; those of fair queues have room for all.
        let fair = looked.iter().filter(|key| key.starts_with(FAIR)).count();
        let most = |key: &str| match slots.free(key) {
            _ if key.starts_with(FAIR) => (ADMITTED_MAX / fair).clamp(1, LINE_MAX),
            free => free.map_or(LINE_MAX, |free| usize::try_from(free).unwrap_or(LINE_MAX).saturating_add(1).min(LINE_MAX)),
        };
        let looks: Vec<(&str, Look)> = looked.iter().map(|key| (key.as_str(), Look::of(most(key)))).collect();
        admission::in_turn(looks, |key, look| {
            let Some((task, text)) = look.next(tx, key)? else { return Ok(ControlFlow::Break(())) };
            if !budget.take() {
                touch(tx, key)?;
                return Ok::<_, Fault>(ControlFlow::Break(()));
            }
            admit_first(tx, key, look, (task, &text), &mut slots, &mut more, budget)
        })?;
        for (key, limit) in slots.learned() {
            let (count, rate) = columns(key, limit);
            let set = rate.as_ref().map(|_| 0);
            tx.conn.prepare_cached(sql::KEY_DECLARE)?.execute(params![key, count, rate, set])?;
        }
        for key in looked.iter().filter(|key| key.starts_with(RATE)) {
            let next = slots.next(key).map(Timestamp::as_millis);
            tx.conn.prepare_cached(sql::KEY_LOOK)?.execute(params![key, next])?;
            tx.effects.scheduled |= next.is_some_and(|next| tx.memory.is_due_sooner(next));
        }
        if more.is_subset(&looked) {
            return Ok(());
        }
        looked.append(&mut more);
    }
}

/// How many slots keys have, if anybody has said so, and how many are taken.
fn slots_of(tx: &Tx<'_>, keys: &BTreeSet<String>) -> Result<Slots, Fault> {
    let mut slots = Slots::at(tx.now);
    for key in keys {
        let state = if key.starts_with(RATE) { begun(tx, key)? } else { state_of(tx, key)? };
        slots.add(key.clone(), state.limit(), state.taken, state.spent);
        if key.starts_with(FAIR) && tx.conn.prepare_cached(sql::KEY_AWAY)?.exists([key])? {
            slots.is_away(key.clone());
        }
    }
    Ok(slots)
}

/// Those who were admitted to a key that has fewer slots by now, and are not claimed, wait again where they came. Whether there was one.
fn withdraw(tx: &mut Tx<'_>, key: &str, excess: Excess, budget: &mut Budget) -> Result<bool, Fault> {
    let unclaimed: Vec<(i64, u32)> = {
        let mut unclaimed = tx.conn.prepare_cached(sql::SLOT_UNCLAIMED)?;
        let rows = unclaimed.query_map(params![key, count(ADMITTED_MAX)], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<Result<_, _>>()?
    };
    let mut ready = Vec::new();
    for (task, cost) in unclaimed {
        let Some(facts) = facts(tx.conn, task)? else { continue };
        if let Some(found @ (Place::Ready | Place::Parked, _)) = whereabouts::find(tx.conn, &facts.address())? {
            ready.push((found, cost));
        }
    }
    let mut is_any = false;
    for (place_now, waiter) in excess.pick(ready) {
        if !budget.take() {
            touch(tx, key)?;
            break;
        }
        whereabouts::remove(tx.conn, place_now, &waiter)?;
        // What a sequence holds until its task has ended, it holds from its first attempt on.
        give_back(tx, waiter.key, waiter.claim_no == 0)?;
        place(tx, Place::Waiting, &waiter)?;
        // It is none that comes: whoever lowers a limit, or says a lower one, ends nobody's work by it.
        if let Some(needs) = needs_of(tx, waiter.key)?.filter(|needs| needs.iter().any(|need| need.on_excess != OnExcess::Wait)) {
            let text = to_json(&OnExcess::once_begun(needs));
            tx.conn.prepare_cached(sql::STANDBY_NEEDS)?.execute(params![waiter.key, text])?;
        }
        is_any = true;
    }
    Ok(is_any)
}

/// The first of a line.
struct Look {
    heads: std::vec::IntoIter<(i64, String)>,
    /// So many are read at once.
    most: usize,
    is_all: bool,
    sent: usize,
}

impl Look {
    fn of(most: usize) -> Self {
        Self { heads: Vec::new().into_iter(), most, is_all: false, sent: 0 }
    }

    fn next(&mut self, tx: &Tx<'_>, line: &str) -> Result<Option<(i64, String)>, Fault> {
        if let Some(head) = self.heads.next() {
            return Ok(Some(head));
        }
        // Nor are more sent away at once: of a line of which all lack another key, each slot that is freed would move all. The next look goes on.
        if self.is_all || self.sent >= LINE_MAX {
            return Ok(None);
        }
        let heads = first_of(tx, line, self.most)?;
        self.is_all = heads.len() < self.most;
        self.heads = heads.into_iter();
        Ok(self.heads.next())
    }
}

/// Decides about the first of a line, and gathers the keys that have to be looked at together with it.
fn admit_first(
    tx: &mut Tx<'_>,
    line: &str,
    look: &mut Look,
    (task, text): (i64, &str),
    slots: &mut Slots,
    more: &mut BTreeSet<String>,
    budget: &mut Budget,
) -> Result<ControlFlow<()>, Fault> {
    let mut needs = read(text);
    if needs.iter().any(|need| need.on_excess != OnExcess::Wait) && has_begun(tx, task)? {
        needs = OnExcess::once_begun(needs);
    }
    let held = if needs.iter().any(|need| need.until_ended) { held(tx, task)? } else { Vec::new() };
    match slots.admit(line, &needs, |key| held.iter().any(|held| held == key)) {
        Admitted::Yes => {
            admit(tx, task, &needs)?;
            touch_represented(tx, line, &needs)?;
        }
        Admitted::Dropped(key) => drop_waiting(tx, line, (task, &needs), OnExcess::Drop, &key)?,
        Admitted::Full(on_excess) => return exceed(tx, line, (task, &needs), on_excess, slots, budget),
        Admitted::Elsewhere(other) => {
            // Its place there may be one that others lose by it.
            if OnExcess::of(&needs, &other) != OnExcess::Wait {
                touch(tx, &other)?;
            }
            tx.conn.prepare_cached(sql::STANDBY_DELETE)?.execute([task])?;
            let stands_for_more = held.is_empty() && !other.starts_with(FAIR) && needs.iter().any(Need::is_turn);
            let insert = if stands_for_more { sql::STANDBY_SEND } else { sql::STANDBY_INSERT };
            tx.conn.prepare_cached(insert)?.execute(params![other, task, text])?;
            look.sent += 1;
            if stands_for_more && line.starts_with(FAIR) {
                tx.conn.prepare_cached(sql::KEY_SENDS)?.execute(params![line, task])?;
                // As long as it is away, nobody else of them goes.
                return Ok(ControlFlow::Break(()));
            }
        }
        Admitted::Unknown => {
            more.extend(needs.into_iter().map(|need| need.key));
            // With those of others behind it, or each look would come one task further.
            let behind = look.heads.by_ref().take(TOGETHER_MAX).flat_map(|(_, text)| read(&text)).map(|need| need.key);
            more.extend(behind.take(KEYS_MAX.saturating_sub(more.len())));
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// The first of a line finds its key full.
fn exceed(
    tx: &mut Tx<'_>,
    line: &str,
    (task, needs): (i64, &[Need]),
    on_excess: OnExcess,
    slots: &Slots,
    budget: &mut Budget,
) -> Result<ControlFlow<()>, Fault> {
    match on_excess {
        OnExcess::KeepNewest => {
            let behind = first_of(tx, line, 2)?.into_iter().find(|(other, _)| *other != task);
            if behind.is_some_and(|(_, text)| OnExcess::of(&read(&text), line) != OnExcess::Drop) {
                drop_waiting(tx, line, (task, needs), on_excess, line)?;
                return Ok(ControlFlow::Continue(()));
            }
        }
        OnExcess::KeepOldest => {
            let mut is_any = true;
            while std::mem::take(&mut is_any) {
                for (other, text) in first_of(tx, line, LINE_MAX)? {
                    let needs = read(&text);
                    if other == task || OnExcess::of(&needs, line) != on_excess || has_begun(tx, other)? {
                        continue;
                    }
                    if !budget.take() {
                        touch(tx, line)?;
                        return Ok(ControlFlow::Break(()));
                    }
                    drop_waiting(tx, line, (other, &needs), on_excess, line)?;
                    is_any = true;
                }
            }
        }
        OnExcess::CancelRunning => {
            let mut behind = 0;
            for (other, text) in first_of(tx, line, BEHIND_MAX)? {
                let need = read(&text).into_iter().find(|need| need.key == line && need.on_excess == on_excess);
                if let Some(need) = need.filter(|_| other != task)
                    && !has_begun(tx, other)?
                {
                    behind += u64::from(need.cost);
                }
                // No further than that: a burst is looked at as often as it has tasks.
                if slots.is_taken_by(line, behind) {
                    break;
                }
            }
            if slots.is_taken_by(line, behind) {
                drop_waiting(tx, line, (task, needs), on_excess, line)?;
                return Ok(ControlFlow::Continue(()));
            }
            let cost = needs.iter().find(|need| need.key == line).map_or(0, |need| need.cost);
            let holders: Vec<(i64, u32, bool)> = {
                let mut holders = tx.conn.prepare_cached(sql::SLOT_ASKED)?;
                let rows = holders.query_map([line], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
                rows.collect::<Result<_, _>>()?
            };
            // Only those that said so themselves: whoever may only enqueue ends nobody else's work.
            let mut consenting = Vec::with_capacity(holders.len());
            for holder in holders {
                let needs = needs_of(tx, holder.0)?.unwrap_or_default();
                consenting.extend((OnExcess::of(&needs, line) == on_excess).then_some(holder));
            }
            for holder in evict(slots.lacking(line, cost), consenting) {
                let Some(facts) = facts(tx.conn, holder)? else { continue };
                tx.effects.changed = true;
                cancel_known(tx, &facts)?;
            }
        }
        _ => {}
    }
    Ok(ControlFlow::Break(()))
}

fn has_begun(tx: &Tx<'_>, task: i64) -> Result<bool, Fault> {
    Ok(tx.conn.prepare_cached(sql::WAITING_BEGUN)?.exists([task])?)
}

/// A waiting task ends, as it is not to wait for a key.
fn drop_waiting(tx: &mut Tx<'_>, line: &str, (task, needs): (i64, &[Need]), on_excess: OnExcess, key: &str) -> Result<(), Fault> {
    // As for one that is let in.
    tx.conn.prepare_cached(sql::STANDBY_DELETE)?.execute([task])?;
    touch_represented(tx, line, needs)?;
    let Some(facts) = facts(tx.conn, task)? else { return admit(tx, task, &[]) };
    if let Some(waiter) = take_waiting(tx, &facts)? {
        end_dropped(tx, &waiter, facts.id, facts.retention, &on_excess.dropped(key))?;
        tx.effects.changed = true;
    }
    Ok(())
}

/// The next of a key of a fair queue that waited in another's line by one of its tasks, which is gone from there.
fn touch_represented(tx: &mut Tx<'_>, line: &str, needs: &[Need]) -> Result<(), Fault> {
    needs.iter().filter(|need| need.is_turn() && need.key != line).try_for_each(|need| touch(tx, &need.key))
}

fn first_of(tx: &Tx<'_>, line: &str, most: usize) -> Result<Vec<(i64, String)>, Fault> {
    let mut heads = tx.conn.prepare_cached(sql::STANDBY_FIRST)?;
    let rows = heads.query_map(params![line, count(most)], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What a task says that it needs; nothing of what can't be read, so that it is admitted and holds nobody up.
fn read(text: &str) -> Vec<Need> {
    serde_json::from_str(text).unwrap_or_default()
}

fn held(tx: &Tx<'_>, task: i64) -> Result<Vec<String>, Fault> {
    let mut keys = tx.conn.prepare_cached(sql::SLOT_KEYS)?;
    let rows = keys.query_map([task], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A waiting task gets its slots and becomes ready.
fn admit(tx: &mut Tx<'_>, task: i64, needs: &[Need]) -> Result<(), Fault> {
    // Before it leaves its place, so that the trigger which sees that finds it in no line, and has nobody look at the key again.
    tx.conn.prepare_cached(sql::STANDBY_DELETE)?.execute([task])?;
    // One without a body is for whoever claims it to set aside; it would wait for ever here.
    let address = facts(tx.conn, task)?.map_or(Address { key: task, queue: 0, kind: 0, priority: 0 }, |facts| facts.address());
    let Some(waiter) = whereabouts::look(tx.conn, Place::Waiting, &address)? else { return Ok(()) };
    for Need { key, cost, until_ended, .. } in needs.iter().filter(|need| !need.is_turn()) {
        tx.conn.prepare_cached(sql::SLOT_INSERT)?.execute(params![key, task, cost, until_ended])?;
    }
    whereabouts::remove(tx.conn, Place::Waiting, &waiter)?;
    let waiter = match needs.iter().find(|need| need.is_turn()) {
        Some(need) => by_turn(tx, waiter, need)?,
        None => behind(tx, waiter)?,
    };
    place(tx, Place::Ready, &waiter)?;
    Ok(())
}

/// A task takes its turn in the line of its queue.
fn by_turn(tx: &mut Tx<'_>, waiter: Waiter, need: &Need) -> Result<Waiter, Fault> {
    let (queue, priority) = (waiter.queue, waiter.priority);
    let of_line = fair::key_of((queue, priority));
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get::<_, Option<String>>(3)?));
    let (last, highest, first, name): (Option<i64>, Option<i64>, Option<i64>, _) =
        tx.conn.prepare_cached(sql::KEY_TURN)?.query_row(params![need.key, queue, priority, fair::PLACE_MIN, of_line], read)?;
    if !name.is_some_and(|name| need.is_turn_in(&name, priority)) {
        return behind(tx, waiter);
    }
    let mut turns = Turns::default();
    turns.look((queue, priority), first, highest);
    turns.remember(&need.key, last);
    let turn = turns.turn((queue, priority), need);
    let until = tx.now.saturating_add(fair::KEPT).as_millis();
    let mut took = tx.conn.prepare_cached(sql::KEY_TOOK_TURN)?;
    took.execute(params![need.key, turn, until])?;
    for (.., highest) in turns.lines() {
        took.execute(params![of_line, highest, until])?;
    }
    drop(took);
    // Whoever comes late looks anew who is the last.
    tx.lasts.remove(&(queue, priority));
    // No two tasks have one key, so that none takes another's place.
    let line = Line { seq: fair::place(turn, 0), turn: waiter.key };
    Ok(Waiter { line, flags: waiter.flags.with(Flags::MOVED), ..waiter })
}

/// Mends what was forgotten, a part of it a sweep: slots of tasks that hold none any more, as a program of an earlier version has ended them, and
/// tasks that wait in no line.
pub(super) fn repair(tx: &mut Tx<'_>) -> Result<(), Fault> {
    tx.touched = true;
    touch_due(tx)?;
    free_forgotten(tx)?;
    line_up_lacking(tx)?;
    touch_idle(tx)
}

/// Keys that have room while somebody waits are looked at once more: should that have been forgotten, nobody else would.
fn touch_idle(tx: &mut Tx<'_>) -> Result<(), Fault> {
    let walked: Vec<(String, bool)> = {
        let mut walk = tx.conn.prepare_cached(sql::STANDBY_IDLE)?;
        let rows = walk.query_map(params![tx.memory.walked.line, count(WALK)], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<Result<_, _>>()?
    };
    for (key, _) in walked.iter().filter(|(_, has_room)| *has_room) {
        touch(tx, key)?;
    }
    tx.memory.walked.line = walked.last().filter(|_| walked.len() == WALK).map(|(key, _)| key.clone()).unwrap_or_default();
    Ok(())
}

fn free_forgotten(tx: &mut Tx<'_>) -> Result<(), Fault> {
    let (key, task) = tx.memory.walked.slot.take().unwrap_or_default();
    let walked: Vec<(String, i64, bool)> = {
        let mut walk = tx.conn.prepare_cached(sql::SLOT_WALK)?;
        let rows = walk.query_map(params![key, task, count(WALK)], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        rows.collect::<Result<_, _>>()?
    };
    for (key, task, until_ended) in &walked {
        if !holds(tx, *task, *until_ended)? {
            tx.conn.prepare_cached(sql::SLOT_DELETE)?.execute(params![key, task])?;
            touch(tx, key)?;
        }
    }
    tx.memory.walked.slot = (walked.len() == WALK).then(|| walked.last().map(|(key, task, _)| (key.clone(), *task))).flatten();
    Ok(())
}

/// Whether a task stands where it holds slots.
fn holds(tx: &Tx<'_>, task: i64, until_ended: bool) -> Result<bool, Fault> {
    let is_held = tx.conn.prepare_cached(sql::LEASE_GET)?.exists([task])?;
    if is_held {
        return Ok(true);
    }
    let Some(facts) = facts(tx.conn, task)? else { return Ok(false) };
    let found = whereabouts::find(tx.conn, &facts.address())?;
    Ok(found.is_some_and(|(place, _)| until_ended || matches!(place, Place::Ready | Place::Parked)))
}

fn line_up_lacking(tx: &mut Tx<'_>) -> Result<(), Fault> {
    let walked: Vec<(i64, bool)> = {
        let mut walk = tx.conn.prepare_cached(sql::STANDBY_LACKING)?;
        let rows = walk.query_map(params![tx.memory.walked.waiting, count(WALK)], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<Result<_, _>>()?
    };
    for (task, lacks) in &walked {
        if *lacks && facts(tx.conn, *task)?.is_none() {
            admit(tx, *task, &[])?;
        } else if *lacks
            && let Some(needs) = needs_of(tx, *task)?
            && let Some(first) = needs.first()
        {
            tx.conn.prepare_cached(sql::STANDBY_INSERT)?.execute(params![first.key, task, to_json(&needs)])?;
            touch(tx, &first.key)?;
        }
    }
    tx.memory.walked.waiting = walked.last().filter(|_| walked.len() == WALK).map_or(0, |(task, _)| *task);
    Ok(())
}

/// What a task says of the keys that it needs, if it has a body.
fn needs_of(tx: &Tx<'_>, task: i64) -> Result<Option<Vec<Need>>, Fault> {
    let meta: Option<Option<String>> = tx.conn.prepare_cached(sql::TASK_META)?.query_row([task], |row| row.get(0)).optional()?;
    let read = |meta: Option<String>| meta.and_then(|meta| serde_json::from_str::<TaskMeta>(&meta).ok()).unwrap_or_default();
    Ok(meta.map(|meta| read(meta).needs))
}

/// Forgets keys of which nothing is left to say, a part of them at once.
pub(super) fn prune(tx: &mut Tx<'_>) -> Result<(), Fault> {
    let walked: Vec<(String, bool)> = {
        let mut idle = tx.conn.prepare_cached(sql::KEY_IDLE)?;
        let rows =
            idle.query_map(params![tx.memory.walked.key, count(WALK), tx.now.as_millis()], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<Result<_, _>>()?
    };
    for (key, _) in walked.iter().filter(|(_, is_idle)| *is_idle) {
        tx.conn.prepare_cached(sql::KEY_DELETE)?.execute([key])?;
    }
    tx.memory.walked.key = walked.last().filter(|_| walked.len() == WALK).map(|(key, _)| key.clone()).unwrap_or_default();
    Ok(())
}
