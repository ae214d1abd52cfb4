//! Keys with a limit: who is given their slots. Whatever frees a slot or brings a task says in its own transaction that the key was touched;
//! whoever has committed that, or finds it, admits in a transaction of his own, under the locks of the keys. Nobody waits here for somebody's lock:
//! keys that others admit to, and tasks that somebody has in hand, are passed over and looked at again.

mod going;
mod keys;
mod lines;
mod turns;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use gristmill_core::Timestamp;
use gristmill_core::concurrency::admission::Slots;
use gristmill_core::concurrency::{Limit, RATE};
use uuid::Uuid;

pub(crate) use keys::key_state;
pub(crate) use turns::Firsts;

use super::limit;
use crate::error::Fault;
use crate::session::Session;
use crate::sql::Q;
use going::{Going, drop_waiting, evict};
use keys::{Held, Touched, Word, columns_of, hold, spend_begun, write_keys};
use lines::Admitting;
use turns::take_turns;

/// So many changes of keys are seen to in one transaction.
const TOUCHED_MAX: usize = 1_000;
/// A line of a rate of which nobody could be let in, and nobody was found to wait, is looked at again after this.
const LATER: Duration = Duration::from_secs(1);
/// So many rows of each table are looked through at once for what was forgotten.
const WALK: usize = 1_000;

/// What one transaction that admits has come to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Admission {
    /// Whether there may be more to do at once.
    pub(crate) is_more: bool,
    /// Whether others admitted to one of its keys, which has to be looked at once more when they are done.
    pub(crate) is_held: bool,
}

/// Gives slots that are free to those who wait for them, by some of what has changed. Needs a transaction.
pub(crate) async fn admit_touched(s: &mut Session<'_>, firsts: &Firsts) -> Result<Admission, Fault> {
    let now = s.now;
    let rows = s.begin_with(Q::TouchedTake, &[&now, &limit(TOUCHED_MAX)]).await?;
    let Some(first) = rows.first() else { return Ok(Admission::default()) };
    let now = Timestamp::from_millis(first.try_get(4)?);
    let mut said: BTreeMap<String, Option<Word>> = BTreeMap::new();
    for row in &rows {
        let key: String = row.try_get(0)?;
        let word = Word::of(&key, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
        let newest = said.entry(key).or_default();
        *newest = Word::newer(*newest, word);
    }
    let mut held = hold(s, &said).await?;
    let mut again = Touched::default();
    for (key, word) in said.iter().filter(|(key, _)| !held.contains_key(*key)) {
        again.add(key, *word);
    }
    let mut is_held = !again.keys.is_empty();
    let mut admitting = Admitting {
        s,
        slots: Slots::at(now),
        going: Going::default(),
        more: BTreeSet::new(),
        unfinished: BTreeSet::new(),
        is_last: false,
    };
    admitting.admit(&mut held).await?;
    let Admitting { slots, mut going, mut more, unfinished, .. } = admitting;
    for (key, limit) in slots.learned() {
        // Whoever says it next is newer.
        if let Some(held) = held.get_mut(key) {
            (held.state.declared, held.said_by, held.is_changed) = (Some(limit), Some(0), true);
        }
    }
    // Those first that are to be looked at together.
    for key in more.iter().chain(unfinished.difference(&more)) {
        again.add(key, None);
    }
    for (key, task) in &going.away {
        if let Some(held) = held.get_mut(key) {
            (held.away, held.is_changed) = (Some(*task), true);
        }
    }
    let turns = take_turns(s, &going, &mut held, firsts).await?;
    going.write(s, &turns).await?;
    drop_waiting(s, std::mem::take(&mut going.dropped)).await?;
    let in_hand = evict(s, &going.lacking).await?;
    is_held |= !in_hand.is_empty();
    in_hand.iter().for_each(|key| again.add(key, None));
    more.extend(in_hand);
    let mut next = None;
    // Where nobody may begin at all, no time changes that.
    let is_open = |held: &Held| held.state.limit().is_none_or(|limit| limit.count > 0);
    let still = held.iter().filter(|(key, held)| key.starts_with(RATE) && slots.next(key).is_none() && is_open(held));
    let waited = waited_for(s, still.map(|(key, _)| key)).await?;
    for (key, held) in held.iter_mut().filter(|(key, _)| key.starts_with(RATE)) {
        // Somebody has the first of the line in hand, or there were more than are looked at together.
        let later = waited.contains(key).then(|| now.saturating_add(LATER));
        let looked = slots.next(key).or(later);
        held.is_changed |= held.state.next.is_some() || looked.is_some();
        held.state.next = looked;
        next = next.into_iter().chain(held.state.next).min();
    }
    if let Some(next) = next {
        let wait = next.since(now);
        s.own.due = Some(s.own.due.map_or(wait, |due| due.min(wait)));
    }
    write_keys(s, &held, now).await?;
    again.write(s).await?;
    // Others may have passed over a key while it was locked here. But not of those that are only waited for together with one that others hold.
    let is_any_done = held.keys().any(|key| !more.contains(key));
    let is_any_new = more.iter().any(|key| !said.contains_key(key));
    Ok(Admission { is_more: rows.len() >= TOUCHED_MAX || is_any_done || is_any_new, is_held })
}

/// Those of the keys that somebody waits for.
async fn waited_for(s: &Session<'_>, keys: impl Iterator<Item = &String>) -> Result<HashSet<String>, Fault> {
    let keys: Vec<&str> = keys.map(String::as_str).collect();
    if keys.is_empty() {
        return Ok(HashSet::new());
    }
    s.rows(Q::StandbyAny, &[&keys]).await?.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// What some tasks hold no more.
#[derive(Default)]
pub(super) struct Returns {
    tasks: Vec<Uuid>,
    ended: Vec<bool>,
    began: Vec<Option<i64>>,
}

impl Returns {
    /// An attempt of this one that began then is over, or the task has ended with it.
    pub(super) fn add(&mut self, task: Uuid, has_ended: bool, began: i64) {
        self.tasks.push(task);
        self.ended.push(has_ended);
        self.began.push(Some(began));
    }

    /// These have ended without an attempt, whether they hold anything or not.
    pub(super) fn of_ended(tasks: impl IntoIterator<Item = Uuid>) -> Self {
        let tasks: Vec<Uuid> = tasks.into_iter().collect();
        Self { ended: vec![true; tasks.len()], began: vec![None; tasks.len()], tasks }
    }

    pub(super) async fn write(&self, s: &mut Session<'_>) -> Result<(), Fault> {
        if !self.tasks.is_empty() {
            s.own.touched |= s.execute(Q::SlotGiveBack, &[&self.tasks, &self.ended, &self.began]).await? > 0;
        }
        Ok(())
    }
}

/// An operator says how many slots a key has, or that it is again what tasks say.
pub(crate) async fn set_limit(s: &mut Session<'_>, key: &str, limit: Option<Limit>) -> Result<(), Fault> {
    s.begin().await?;
    let (count, rate) = limit.map(|limit| columns_of(key, limit)).unzip();
    let count = if key.starts_with(RATE) { Some(0) } else { count };
    s.execute(Q::KeySet, &[&key, &count, &rate.flatten()]).await?;
    touch(s, key).await
}

/// A far side has said how much it still takes. Needs a transaction.
pub(crate) async fn set_remaining(s: &mut Session<'_>, key: &str, left: u32, within: Duration) -> Result<(), Fault> {
    let now = s.now;
    let Some(row) = s.row(Q::KeyLock, &[&now, &key]).await? else { return touch(s, key).await };
    let (said_by, now) = (row.try_get(0)?, Timestamp::from_millis(row.try_get(9)?));
    let mut held = BTreeMap::from([(
        key.to_owned(),
        Held { state: key_state(key, &row)?, said_by, turn: None, is_away: false, away: None, is_changed: true },
    )]);
    // Before it is said: what has begun so far, the far side has counted.
    spend_begun(s, &mut held).await?;
    held.values_mut().for_each(|held| held.state.spent.told(left, now.saturating_add(within)));
    write_keys(s, &held, now).await?;
    touch(s, key).await
}

async fn touch(s: &mut Session<'_>, key: &str) -> Result<(), Fault> {
    let mut touched = Touched::default();
    touched.add(key, None);
    touched.write(s).await?;
    (s.own.touched, s.effects.changed) = (true, true);
    Ok(())
}

/// How long it is until somebody who waits for a rate may begin; nothing, if that was before now.
pub(crate) async fn next_rate(s: &mut Session<'_>) -> Result<Option<Duration>, Fault> {
    let now = s.now;
    let row = s.row(Q::KeyNext, &[&now]).await?;
    let wait: Option<i64> = row.map_or(Ok(None), |row| row.try_get(0))?;
    Ok(wait.map(super::wait))
}

/// How far walks have come, where they have not come to an end.
#[derive(Clone, Debug, Default)]
pub(crate) struct SlotsWalked {
    slot: (String, Uuid),
    waiting: Uuid,
    line: String,
    key: String,
}

/// Mends what was forgotten, from where the last walk came to: slots of tasks that hold none any more, tasks that wait in no line, and keys that have
/// room while somebody waits. Forgets keys of which nothing is left to say.
pub(crate) async fn repair_slots(s: &mut Session<'_>, walked: &SlotsWalked) -> Result<SlotsWalked, Fault> {
    let mut next = SlotsWalked::default();
    let row = s.row(Q::SlotRepair, &[&walked.slot.0, &walked.slot.1, &limit(WALK)]).await?;
    if let Some(row) = row {
        if row.try_get(0)? {
            next.slot = (row.try_get(1)?, row.try_get(2)?);
        }
        s.own.touched |= row.try_get::<_, bool>(3)?;
    }
    if let Some(row) = s.row(Q::StandbyLacking, &[&walked.waiting, &limit(WALK)]).await? {
        next.waiting = row.try_get::<_, Option<Uuid>>(0)?.unwrap_or_default();
        s.own.touched |= row.try_get::<_, bool>(1)?;
    }
    if let Some(row) = s.row(Q::StandbyIdle, &[&walked.line, &limit(WALK)]).await? {
        next.line = row.try_get::<_, Option<String>>(0)?.unwrap_or_default();
        s.own.touched |= row.try_get::<_, bool>(1)?;
    }
    if let Some(row) = s.row(Q::KeyPrune, &[&s.now, &walked.key, &limit(WALK)]).await? {
        next.key = row.try_get::<_, Option<String>>(0)?.unwrap_or_default();
    }
    Ok(next)
}
