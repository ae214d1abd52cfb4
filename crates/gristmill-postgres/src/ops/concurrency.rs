//! Keys with a limit: who is given their slots. Whatever frees a slot or brings a task says in its own transaction that the key was touched;
//! whoever has committed that, or finds it, admits in a transaction of his own, under the locks of the keys. Nobody waits here for somebody's lock:
//! keys that others admit to, and tasks that somebody has in hand, are passed over and looked at again.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use gristmill_core::concurrency::admission::{self, Admitted, Slots};
use gristmill_core::concurrency::fair::{self, Line, PLACE_MIN, Turns};
use gristmill_core::concurrency::{FAIR, KeyState, Limit, Need, OnExcess, RATE, Spent};
use gristmill_core::kit::encode::to_json;
use gristmill_core::kit::row::int;
use gristmill_core::{TaskId, Timestamp};
use tokio_postgres::Row;
use uuid::Uuid;

use super::cancel::cancel;
use super::ended::{Unstarted, Waited, end_unstarted};
use super::limit;
use super::place::came;
use crate::error::Fault;
use crate::session::Session;
use crate::sql::Q;

/// So many changes of keys are seen to in one transaction.
const TOUCHED_MAX: usize = 1_000;
/// So many of those who wait in one line are looked at in one transaction, and so many in all.
const LINE_MAX: u64 = 500;
const LINES_MAX: u64 = 2_000;
/// Of so many of those behind one whose keys are not known the keys are looked at with its own.
const TOGETHER_MAX: usize = 100;
/// But no more keys are looked at together because of one another, or those that one task needs would be taken apart by two looks, again and again.
const KEYS_MAX: usize = TOUCHED_MAX / 4;
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

/// One who waits.
struct Head {
    task: Uuid,
    seq: i64,
    needs: Vec<Need>,
    holds: Vec<String>,
    line: Line,
    has_begun: bool,
}

/// Where the lines began in which tasks take turns, when this process last looked. What has been claimed there since an old transaction began is in the way of a look.
#[derive(Debug, Default)]
pub(crate) struct Firsts(Mutex<HashMap<Line, i64>>);

impl Firsts {
    fn of(&self, line: Line) -> Option<i64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&line).copied()
    }

    fn are(&self, turns: &Turns) {
        let firsts = turns.lines().map(|(line, first, _)| (line, first));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(firsts);
    }
}

/// What a task says of a key's limit, and the place of arrival of that task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word {
    limit: Limit,
    said_by: i64,
}

impl Word {
    fn of(key: &str, count: Option<i32>, rate: Option<&str>, said_by: Option<i64>) -> Option<Self> {
        Some(Self { limit: limit_of(key, count, rate)?, said_by: said_by? })
    }

    /// Of two words about a key that of the task that came later.
    fn newer(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        one.into_iter().chain(other).max_by_key(|word| word.said_by)
    }
}

/// A limit of two columns: the number, which is 0 of a rate, and the rate.
fn limit_of(key: &str, count: Option<i32>, rate: Option<&str>) -> Option<Limit> {
    match key.starts_with(RATE) {
        true => rate.and_then(Limit::of_rate_kept),
        false => count.map(|limit| Limit::of(u32::try_from(limit).unwrap_or_default())),
    }
}

/// The two columns.
fn columns_of(key: &str, limit: Limit) -> (i32, Option<String>) {
    match key.starts_with(RATE) {
        true => (0, Some(limit.kept_of_rate())),
        false => (int(limit.count), None),
    }
}

/// What is kept of this key, in the columns of the queries that read it.
pub(crate) fn key_state(key: &str, row: &Row) -> Result<KeyState, Fault> {
    Ok(KeyState {
        declared: limit_of(key, row.try_get(1)?, row.try_get(2)?),
        set: limit_of(key, row.try_get(3)?, row.try_get(4)?),
        spent: row.try_get::<_, Option<&str>>(5)?.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default(),
        taken: row.try_get::<_, i64>(6)?.unsigned_abs(),
        next: row.try_get::<_, Option<i64>>(7)?.map(Timestamp::from_millis),
    })
}

/// A key that is locked.
struct Held {
    state: KeyState,
    said_by: Option<i64>,
    /// Of a fair queue, the turn of the last task that was given one.
    turn: Option<i64>,
    /// Whether one of its tasks waits in the line of another, and which one is sent there.
    is_away: bool,
    away: Option<Uuid>,
    /// Whether its row has to be written.
    is_changed: bool,
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
        exceeded: Vec::new(),
    };
    admitting.admit(&mut held).await?;
    let Admitting { slots, going, mut more, unfinished, .. } = admitting;
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
    drop_waiting(s, &going.dropped).await?;
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

/// Those end that are not to wait for a key; they wait in no line any more.
async fn drop_waiting(s: &mut Session<'_>, dropped: &BTreeMap<(String, OnExcess), Vec<Uuid>>) -> Result<(), Fault> {
    for ((key, on_excess), tasks) in dropped {
        let rows = s.rows(Q::StandbyDrop, &[tasks]).await?;
        let waited = rows.iter().map(Waited::read).collect::<Result<Vec<_>, _>>()?;
        s.effects.changed = true;
        Box::pin(end_unstarted(s, &waited, &Unstarted::Dropped(on_excess.dropped(key)))).await?;
    }
    Ok(())
}

/// Those who hold slots of keys, of which so many are lacking, are cancelled, the oldest first. Which of these keys have one that somebody else has in
/// hand, so that they have to be looked at once more.
async fn evict(s: &mut Session<'_>, lacking: &BTreeMap<String, u64>) -> Result<BTreeSet<String>, Fault> {
    if lacking.is_empty() {
        return Ok(BTreeSet::new());
    }
    let (keys, slots): (Vec<&str>, Vec<i64>) =
        lacking.iter().map(|(key, slots)| (key.as_str(), i64::try_from(*slots).unwrap_or(i64::MAX))).unzip();
    let (mut tasks, mut in_hand) = (Vec::new(), BTreeSet::new());
    for row in s.rows(Q::SlotEvict, &[&keys, &slots]).await? {
        match row.try_get(2)? {
            true => tasks.push(TaskId::from_uuid(row.try_get(1)?)),
            false => {
                in_hand.insert(row.try_get(0)?);
            }
        }
    }
    if !tasks.is_empty() {
        cancel(s, &tasks).await?;
    }
    Ok(in_hand)
}

/// What the turns of those that become ready are in their places, in their order; nothing for those whose queue is not fair.
async fn take_turns(
    s: &Session<'_>,
    going: &Going,
    held: &mut BTreeMap<String, Held>,
    firsts: &Firsts,
) -> Result<Vec<Option<i64>>, Fault> {
    let lines: Vec<Line> = going.turns.iter().flatten().map(|(line, _)| *line).collect::<BTreeSet<_>>().into_iter().collect();
    if lines.is_empty() {
        return Ok(vec![None; going.turns.len()]);
    }
    let mut turns = Turns::default();
    let queues: Vec<i32> = lines.iter().map(|(queue, _)| i32::try_from(*queue).unwrap_or_default()).collect();
    let priorities: Vec<i16> = lines.iter().map(|(_, priority)| i16::try_from(*priority).unwrap_or_default()).collect();
    let least: Vec<i64> = lines.iter().map(|line| firsts.of(*line).unwrap_or(PLACE_MIN)).collect();
    let names: Vec<String> = lines.iter().map(|line| fair::key_of(*line)).collect();
    let rows = s.rows(Q::TurnFirst, &[&queues, &priorities, &least, &names]).await?;
    let mut queue_names = BTreeMap::new();
    for (line, row) in lines.iter().zip(&rows) {
        turns.look(*line, row.try_get(0)?, row.try_get(1)?);
        queue_names.insert(line.0, row.try_get::<_, Option<String>>(2)?.unwrap_or_default());
    }
    let is_its_own = |line: &Line, need: &Need| queue_names.get(&line.0).is_some_and(|name| need.is_turn_in(name, line.1));
    firsts.are(&turns);
    let keys: BTreeSet<&str> = going.turns.iter().flatten().map(|(_, need)| need.key.as_str()).collect();
    keys.iter().for_each(|key| turns.remember(key, held.get(*key).and_then(|held| held.turn)));
    let mut taken = Vec::with_capacity(going.turns.len());
    for turn in &going.turns {
        let own = turn.as_ref().filter(|(line, need)| is_its_own(line, need));
        taken.push(own.map(|(line, need)| fair::of_place(turns.turn(*line, need))));
    }
    for (key, turn) in turns.given() {
        if let Some(held) = held.get_mut(key) {
            (held.turn, held.is_changed) = (Some(turn), true);
        }
    }
    if taken.iter().any(Option::is_some) {
        let highest: Vec<i64> = turns.lines().map(|(_, _, highest)| highest).collect();
        let kept = i64::try_from(fair::KEPT.as_millis()).unwrap_or(i64::MAX);
        s.execute(Q::TurnKeep, &[&s.now, &names, &highest, &kept, &fair::TURN_LAST]).await?;
    }
    Ok(taken)
}

/// Those of the keys that somebody waits for.
async fn waited_for(s: &Session<'_>, keys: impl Iterator<Item = &String>) -> Result<HashSet<String>, Fault> {
    let keys: Vec<&str> = keys.map(String::as_str).collect();
    if keys.is_empty() {
        return Ok(HashSet::new());
    }
    s.rows(Q::StandbyAny, &[&keys]).await?.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Locks those of the keys that nobody else has, and hears what tasks say of them.
async fn hold(s: &Session<'_>, said: &BTreeMap<String, Option<Word>>) -> Result<BTreeMap<String, Held>, Fault> {
    let keys: Vec<&str> = said.keys().map(String::as_str).collect();
    let mut held = BTreeMap::new();
    for row in s.rows(Q::KeyHold, &[&keys]).await? {
        let (key, said_by): (String, Option<i64>) = (row.try_get(8)?, row.try_get(0)?);
        let mut state = key_state(&key, &row)?;
        let before = state.declared.zip(said_by).map(|(limit, said_by)| Word { limit, said_by });
        let word = Word::newer(before, said.get(&key).copied().flatten());
        let is_changed = word != before;
        if let Some(word) = word {
            state.declared = Some(word.limit);
        }
        let (turn, is_away) = (row.try_get(9)?, row.try_get(10)?);
        let said_by = word.map(|word| word.said_by).or(said_by);
        held.insert(key, Held { state, said_by, turn, is_away, away: None, is_changed });
    }
    Ok(held)
}

/// What has begun is spent of those that have a rate, and what has not is taken.
async fn spend_begun(s: &Session<'_>, held: &mut BTreeMap<String, Held>) -> Result<(), Fault> {
    // What has begun of a key whose rule nobody has said stays where it is until somebody does.
    let ruled = |(key, held): &(&String, &Held)| key.starts_with(RATE) && held.state.rule().is_some();
    let rates: Vec<&str> = held.iter().filter(ruled).map(|(key, _)| key.as_str()).collect();
    if rates.is_empty() {
        return Ok(());
    }
    for row in s.rows(Q::SlotBegun, &[&rates]).await? {
        let (key, at, cost): (&str, Option<i64>, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let Some(held) = held.get_mut(key) else { continue };
        let Some(at) = at.map(Timestamp::from_millis) else {
            held.state.taken = cost.unsigned_abs();
            continue;
        };
        held.is_changed = true;
        if let Some(rule) = held.state.rule() {
            held.state.spent.begun(rule, at, u32::try_from(cost).unwrap_or(u32::MAX));
        }
    }
    Ok(())
}

/// Writes those keys that have changed.
async fn write_keys(s: &Session<'_>, held: &BTreeMap<String, Held>, now: Timestamp) -> Result<(), Fault> {
    let mut columns = Columns::default();
    held.iter().filter(|(_, held)| held.is_changed).for_each(|(key, held)| columns.push(key, held, now));
    let Columns { keys, said_by, declared, pace, spent, spent_until, look_at, turns, away } = &columns;
    if !keys.is_empty() {
        s.execute(Q::KeyWrite, &[keys, said_by, declared, pace, spent, spent_until, look_at, turns, away]).await?;
    }
    Ok(())
}

/// Rows of keys, column by column.
#[derive(Default)]
struct Columns<'k> {
    keys: Vec<&'k str>,
    said_by: Vec<Option<i64>>,
    declared: Vec<Option<i32>>,
    pace: Vec<Option<String>>,
    spent: Vec<Option<String>>,
    spent_until: Vec<Option<i64>>,
    look_at: Vec<Option<i64>>,
    turns: Vec<Option<i64>>,
    away: Vec<Option<Uuid>>,
}

impl<'k> Columns<'k> {
    fn push(&mut self, key: &'k str, Held { state, said_by, turn, away, .. }: &Held, now: Timestamp) {
        let (spent, until) = state.kept(now);
        let until = if turn.is_some() { Some(now.saturating_add(fair::KEPT)) } else { until };
        let (declared, rate) = state.declared.map(|limit| columns_of(key, limit)).unzip();
        self.keys.push(key);
        self.said_by.push(*said_by);
        self.declared.push(declared);
        self.pace.push(rate.flatten());
        self.spent.push((spent != Spent::default()).then(|| to_json(&spent)));
        self.spent_until.push(until.map(Timestamp::as_millis));
        self.look_at.push(state.next.map(Timestamp::as_millis));
        self.turns.push(*turn);
        self.away.push(*away);
    }
}

/// Keys that have to be looked at, with what tasks say of their limits.
#[derive(Default)]
struct Touched {
    keys: Vec<String>,
    limits: Vec<Option<i32>>,
    paces: Vec<Option<String>>,
    said_by: Vec<Option<i64>>,
}

impl Touched {
    fn add(&mut self, key: &str, word: Option<Word>) {
        let (limit, rate) = word.map(|word| columns_of(key, word.limit)).unzip();
        self.keys.push(key.to_owned());
        self.limits.push(limit);
        self.paces.push(rate.flatten());
        self.said_by.push(word.map(|word| word.said_by));
    }

    async fn write(&self, s: &Session<'_>) -> Result<(), Fault> {
        if !self.keys.is_empty() {
            s.execute(Q::TouchedInsert, &[&self.keys, &self.limits, &self.paces, &self.said_by]).await?;
        }
        Ok(())
    }
}

/// The lines of some keys, which are locked.
struct Admitting<'s, 'a> {
    s: &'s Session<'a>,
    slots: Slots,
    going: Going,
    /// Keys that have to be looked at together with these.
    more: BTreeSet<String>,
    /// Keys that have to be looked at once more, as there were more than are looked at together.
    unfinished: BTreeSet<String>,
    /// Keys of which others may stand behind those that were dropped.
    exceeded: Vec<String>,
}

impl Admitting<'_, '_> {
    async fn admit(&mut self, held: &mut BTreeMap<String, Held>) -> Result<(), Fault> {
        if held.is_empty() {
            return Ok(());
        }
        self.count(held).await?;
        if self.withdraw(held).await? {
            self.count(held).await?;
        }
        // Two more than there is room for: the first may hold its slots already, and of who finds none it matters whether somebody stands behind him.
        let most = |key: &str| self.slots.free(key).unwrap_or(LINE_MAX).saturating_add(2).min(LINE_MAX);
        // Those of fair queues have room for all; of one that waits in another's line no more than the next goes on.
        let fair = held.keys().filter(|key| key.starts_with(FAIR)).count().max(1);
        let share = (LINES_MAX / fair as u64).clamp(1, LINE_MAX);
        let asked = held.iter().map(|(key, held)| match (key.starts_with(FAIR), held.is_away) {
            (true, true) => (key.as_str(), 1),
            (true, false) => (key.as_str(), share),
            (false, _) => (key.as_str(), most(key)),
        });
        let asked = shares(asked);
        let mut unfinished = self.look(&asked).await?;
        unfinished.append(&mut self.exceeded);
        // Who was sent to another line has left room to those behind him. They are looked at once, so that a line of which all lack
        // another key does not keep everybody busy: the next look goes on.
        if !unfinished.is_empty() {
            self.look(&shares(unfinished.iter().map(|key| (key.as_str(), LINE_MAX)))).await?;
            self.unfinished.extend(self.exceeded.drain(..));
        }
        Ok(())
    }

    async fn count(&mut self, held: &mut BTreeMap<String, Held>) -> Result<(), Fault> {
        spend_begun(self.s, held).await?;
        let others = |(key, held): &(&String, &Held)| !key.starts_with(RATE) || held.state.rule().is_none();
        let limits: Vec<&str> = held.iter().filter(others).map(|(key, _)| key.as_str()).collect();
        if !limits.is_empty() {
            for row in self.s.rows(Q::SlotUsed, &[&limits]).await? {
                let (key, used): (&str, i64) = (row.try_get(0)?, row.try_get(1)?);
                held.entry(key.to_owned()).and_modify(|held| held.state.taken = used.unsigned_abs());
            }
        }
        for (key, Held { state, is_away, .. }) in held {
            self.slots.add(key.clone(), state.limit(), state.taken, state.spent.clone());
            if *is_away {
                self.slots.is_away(key.clone());
            }
        }
        Ok(())
    }

    /// Those who were admitted to keys that have fewer slots by now, and are not claimed, wait again. Whether there was one.
    async fn withdraw(&mut self, held: &BTreeMap<String, Held>) -> Result<bool, Fault> {
        let of_key = |key: &String| self.slots.excess(key).map(|excess| (key.clone(), excess.least, excess.most));
        let too_many: Vec<(String, u64, u64)> = held.keys().filter_map(of_key).collect();
        if too_many.is_empty() {
            return Ok(false);
        }
        let number = |slots: u64| i64::try_from(slots).unwrap_or(i64::MAX);
        let keys: Vec<&str> = too_many.iter().map(|(key, ..)| key.as_str()).collect();
        let least: Vec<i64> = too_many.iter().map(|(_, least, _)| number(*least)).collect();
        let most: Vec<i64> = too_many.iter().map(|(.., most)| number(*most)).collect();
        Ok(self.s.execute(Q::SlotExcess, &[&keys, &least, &most]).await? > 0)
    }

    /// Decides about the first of some lines. Returns those that have room left, and somebody was sent away from.
    async fn look(&mut self, asked: &[(&str, u64)]) -> Result<Vec<String>, Fault> {
        let (keys, most): (Vec<&str>, Vec<i64>) =
            asked.iter().map(|(key, most)| (*key, i64::try_from(*most).unwrap_or(i64::MAX))).unzip();
        let mut lines: BTreeMap<String, Vec<Head>> = BTreeMap::new();
        for row in self.s.rows(Q::StandbyFirst, &[&keys, &most]).await? {
            let needs: &str = row.try_get(2)?;
            let mut head = Head {
                task: row.try_get(1)?,
                // What can't be read needs nothing that is known, and holds nobody up.
                needs: serde_json::from_str(needs).unwrap_or_default(),
                has_begun: row.try_get::<_, i32>(7)? > 0,
                holds: row.try_get::<_, Option<_>>(3)?.unwrap_or_default(),
                seq: row.try_get(4)?,
                line: (row.try_get::<_, i32>(5)?.into(), row.try_get::<_, i16>(6)?.into()),
            };
            if head.has_begun {
                head.needs = OnExcess::once_begun(head.needs);
            }
            lines.entry(row.try_get(0)?).or_default().push(head);
        }
        let looks = asked.iter().filter_map(|(key, most)| {
            let heads = lines.remove(*key)?;
            Some((*key, Look { is_all: (heads.len() as u64) < *most, heads: heads.into_iter(), has_sent: false }))
        });
        let mut unfinished = Vec::new();
        let looked: HashSet<&str> = keys.iter().copied().collect();
        let Ok(()) = admission::in_turn(looks.collect::<Vec<_>>(), |key, look| {
            let Some(head) = look.heads.next() else {
                match look {
                    Look { is_all: true, .. } => {}
                    Look { has_sent: true, .. } => unfinished.push(key.to_owned()),
                    // As many as are looked at together were let in, and there may be room for more.
                    Look { .. } => {
                        self.unfinished.insert(key.to_owned());
                    }
                }
                return Ok::<_, Infallible>(ControlFlow::Break(()));
            };
            Ok(self.admit_first(key, head, look, &looked))
        });
        Ok(unfinished)
    }

    /// Decides about the first of a line.
    fn admit_first(&mut self, key: &str, head: Head, look: &mut Look, looked: &HashSet<&str>) -> ControlFlow<()> {
        if self.going.knows(head.task) {
            return ControlFlow::Continue(());
        }
        match self.slots.admit(key, &head.needs, |key| head.holds.iter().any(|held| held == key)) {
            Admitted::Yes => {
                self.represented(key, &head.needs, looked);
                self.going.admit(head);
            }
            Admitted::Dropped(full) => {
                self.represented(key, &head.needs, looked);
                self.going.drop_waiting(head.task, OnExcess::Drop, &full);
                look.has_sent = true;
            }
            Admitted::Elsewhere(other) => {
                // Its place there may be one that others lose by it.
                if OnExcess::of(&head.needs, &other) != OnExcess::Wait {
                    self.unfinished.insert(other.clone());
                }
                let stands_for_more = head.holds.is_empty() && !other.starts_with(FAIR) && head.needs.iter().any(Need::is_turn);
                self.going.elsewhere(head.task, other, stands_for_more);
                look.has_sent = true;
                if stands_for_more && key.starts_with(FAIR) {
                    self.going.away.push((key.to_owned(), head.task));
                    // As long as it is away, nobody else of them goes.
                    return ControlFlow::Break(());
                }
            }
            Admitted::Full(on_excess) => return self.exceed(key, &head, on_excess, look),
            Admitted::Unknown => {
                self.together(key, head, look);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    /// The first of a line finds its key full.
    fn exceed(&mut self, key: &str, head: &Head, on_excess: OnExcess, look: &mut Look) -> ControlFlow<()> {
        match on_excess {
            OnExcess::KeepNewest if look.heads.len() > 0 => {
                self.represented(key, &head.needs, &HashSet::new());
                self.going.drop_waiting(head.task, on_excess, key);
                return ControlFlow::Continue(());
            }
            OnExcess::KeepOldest => {
                for behind in look.heads.by_ref().filter(|behind| OnExcess::of(&behind.needs, key) == on_excess) {
                    if self.going.knows(behind.task) {
                        continue;
                    }
                    self.represented(key, &behind.needs, &HashSet::new());
                    self.going.drop_waiting(behind.task, on_excess, key);
                }
            }
            OnExcess::CancelRunning => {
                let cost = head.needs.iter().find(|need| need.key == key).map_or(0, |need| need.cost);
                self.going.lacking.insert(key.to_owned(), self.slots.lacking(key, cost));
                return ControlFlow::Break(());
            }
            _ => {}
        }
        // There may be others behind those.
        if on_excess != OnExcess::Wait && !look.is_all {
            self.exceeded.push(key.to_owned());
        }
        ControlFlow::Break(())
    }

    /// The next of a key of a fair queue that waited in another's line by one of its tasks, which is gone from there. Lines of such keys are looked at
    /// after that one, if they are.
    fn represented(&mut self, line: &str, needs: &[Need], looked: &HashSet<&str>) {
        let next = needs.iter().filter(|need| need.is_turn() && need.key != line && !looked.contains(need.key.as_str()));
        self.unfinished.extend(next.map(|need| need.key.clone()));
    }

    /// The keys of the first of a line are to be looked at together; with those of others behind it, or each look would come one task further.
    fn together(&mut self, line: &str, first: Head, look: &mut Look) {
        if self.more.len() >= KEYS_MAX {
            self.unfinished.insert(line.to_owned());
            return;
        }
        self.more.extend(first.needs.into_iter().map(|need| need.key));
        for head in look.heads.by_ref().take(TOGETHER_MAX) {
            if self.more.len() >= KEYS_MAX {
                return;
            }
            self.more.extend(head.needs.into_iter().map(|need| need.key));
        }
    }
}

/// The first of a line.
struct Look {
    heads: std::vec::IntoIter<Head>,
    /// Whether nobody stands behind these.
    is_all: bool,
    /// Whether somebody was sent to another line.
    has_sent: bool,
}

/// How many of each line are looked at, where so many are wanted: all of them together are bounded, and one of each is looked at in any case.
fn shares<'k>(wanted: impl Iterator<Item = (&'k str, u64)>) -> Vec<(&'k str, u64)> {
    let mut room = LINES_MAX;
    let share = |(key, most): (&'k str, u64)| {
        let most = most.min(room.max(1));
        room = room.saturating_sub(most);
        (key, most)
    };
    wanted.map(share).collect()
}

/// Who goes where.
#[derive(Default)]
struct Going {
    known: HashSet<Uuid>,
    ready: Vec<Uuid>,
    keys: Vec<String>,
    tasks: Vec<Uuid>,
    seqs: Vec<i64>,
    costs: Vec<i32>,
    until_ended: Vec<bool>,
    /// Of those that become ready in a fair queue, in which line, and what they need to take their turn there.
    turns: Vec<Option<(Line, Need)>>,
    moved: Vec<Uuid>,
    moved_to: Vec<String>,
    stand_for_more: Vec<bool>,
    /// Those who wait elsewhere for all of a key of a fair queue.
    away: Vec<(String, Uuid)>,
    /// Those who are not to wait, by the key and why.
    dropped: BTreeMap<(String, OnExcess), Vec<Uuid>>,
    /// How many slots of keys are lacking to those for whom others are to make room.
    lacking: BTreeMap<String, u64>,
}

impl Going {
    fn admit(&mut self, head: Head) {
        self.known.insert(head.task);
        self.ready.push(head.task);
        self.turns.push(head.needs.iter().find(|need| need.is_turn()).map(|need| (head.line, need.clone())));
        for need in head.needs.into_iter().filter(|need| !need.is_turn()) {
            self.keys.push(need.key);
            self.tasks.push(head.task);
            self.seqs.push(head.seq);
            self.costs.push(int(need.cost));
            self.until_ended.push(need.until_ended);
        }
    }

    fn drop_waiting(&mut self, task: Uuid, on_excess: OnExcess, key: &str) {
        self.known.insert(task);
        self.dropped.entry((key.to_owned(), on_excess)).or_default().push(task);
    }

    fn knows(&self, task: Uuid) -> bool {
        self.known.contains(&task)
    }

    fn elsewhere(&mut self, task: Uuid, key: String, stands_for_more: bool) {
        self.known.insert(task);
        self.moved.push(task);
        self.moved_to.push(key);
        self.stand_for_more.push(stands_for_more);
    }

    async fn write(&self, s: &mut Session<'_>, turns: &[Option<i64>]) -> Result<(), Fault> {
        if !self.moved.is_empty() {
            s.execute(Q::StandbyMove, &[&self.moved, &self.moved_to, &self.stand_for_more]).await?;
        }
        if self.ready.is_empty() {
            return Ok(());
        }
        let Self { ready, keys, tasks, seqs, costs, until_ended, .. } = self;
        let bits = int(fair::number_bits());
        let rows = s.rows(Q::StandbyAdmit, &[ready, keys, tasks, seqs, costs, until_ended, &turns, &bits]).await?;
        for row in rows {
            let count: i64 = row.try_get(2)?;
            came(s, (row.try_get(0)?, row.try_get(1)?), u32::try_from(count).unwrap_or(u32::MAX));
        }
        Ok(())
    }
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
