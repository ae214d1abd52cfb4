//! Keys that are locked: what is kept of each, and what tasks say of it.

use std::collections::BTreeMap;

use gristmill_core::Timestamp;
use gristmill_core::concurrency::{KeyState, Limit, RATE, Spent, fair};
use gristmill_core::kit::encode::to_json;
use gristmill_core::kit::row::int;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::Fault;
use crate::session::Session;
use crate::sql::Q;

/// What a task says of a key's limit, and the place of arrival of that task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) limit: Limit,
    pub(super) said_by: i64,
}

impl Word {
    pub(super) fn of(key: &str, count: Option<i32>, rate: Option<&str>, said_by: Option<i64>) -> Option<Self> {
        Some(Self { limit: limit_of(key, count, rate)?, said_by: said_by? })
    }

    /// Of two words about a key that of the task that came later.
    pub(super) fn newer(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        one.into_iter().chain(other).max_by_key(|word| word.said_by)
    }
}

/// A limit of two columns: the number, which is 0 of a rate, and the rate.
pub(super) fn limit_of(key: &str, count: Option<i32>, rate: Option<&str>) -> Option<Limit> {
    match key.starts_with(RATE) {
        true => rate.and_then(Limit::of_rate_kept),
        false => count.map(|limit| Limit::of(u32::try_from(limit).unwrap_or_default())),
    }
}

/// The two columns.
pub(super) fn columns_of(key: &str, limit: Limit) -> (i32, Option<String>) {
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
pub(super) struct Held {
    pub(super) state: KeyState,
    pub(super) said_by: Option<i64>,
    /// Of a fair queue, the turn of the last task that was given one.
    pub(super) turn: Option<i64>,
    /// Whether one of its tasks waits in the line of another, and which one is sent there.
    pub(super) is_away: bool,
    pub(super) away: Option<Uuid>,
    /// Whether its row has to be written.
    pub(super) is_changed: bool,
}

/// Locks those of the keys that nobody else has, and hears what tasks say of them.
pub(super) async fn hold(s: &Session<'_>, said: &BTreeMap<String, Option<Word>>) -> Result<BTreeMap<String, Held>, Fault> {
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
pub(super) async fn spend_begun(s: &Session<'_>, held: &mut BTreeMap<String, Held>) -> Result<(), Fault> {
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
pub(super) async fn write_keys(s: &Session<'_>, held: &BTreeMap<String, Held>, now: Timestamp) -> Result<(), Fault> {
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
pub(super) struct Touched {
    pub(super) keys: Vec<String>,
    pub(super) limits: Vec<Option<i32>>,
    pub(super) paces: Vec<Option<String>>,
    pub(super) said_by: Vec<Option<i64>>,
}

impl Touched {
    pub(super) fn add(&mut self, key: &str, word: Option<Word>) {
        let (limit, rate) = word.map(|word| columns_of(key, word.limit)).unzip();
        self.keys.push(key.to_owned());
        self.limits.push(limit);
        self.paces.push(rate.flatten());
        self.said_by.push(word.map(|word| word.said_by));
    }

    pub(super) async fn write(&self, s: &Session<'_>) -> Result<(), Fault> {
        if !self.keys.is_empty() {
            s.execute(Q::TouchedInsert, &[&self.keys, &self.limits, &self.paces, &self.said_by]).await?;
        }
        Ok(())
    }
}
