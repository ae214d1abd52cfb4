//! Keys with a limit: who is given their slots. Whatever frees a slot or brings a task says in its own transaction that the key was touched;
//! whoever has committed that, or finds it, admits in a transaction of his own, under the locks of the keys. Nobody waits here for somebody's lock:
//! keys that others admit to, and tasks that somebody has in hand, are passed over and looked at again.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use gristmill_core::concurrency::Need;
use gristmill_core::concurrency::admission::{Admitted, Slots};
use gristmill_core::kit::row::int;
use uuid::Uuid;

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
    needs: Vec<Need>,
    holds: Vec<String>,
}

/// A limit, and the place of arrival of the task that says it.
type Word = (i32, i64);

/// Gives slots that are free to those who wait for them, by some of what has changed. Needs a transaction.
pub(crate) async fn admit_touched(s: &mut Session<'_>) -> Result<Admission, Fault> {
    let rows = s.begin_with(Q::TouchedTake, &[&limit(TOUCHED_MAX)]).await?;
    if rows.is_empty() {
        return Ok(Admission::default());
    }
    let mut said: BTreeMap<String, Option<Word>> = BTreeMap::new();
    for row in &rows {
        let word = row.try_get::<_, Option<i32>>(1)?.zip(row.try_get(2)?);
        let newest = said.entry(row.try_get(0)?).or_default();
        *newest = newer(*newest, word);
    }
    let keys: Vec<&str> = said.keys().map(String::as_str).collect();
    let (mut limits, mut new, mut again) = (BTreeMap::new(), Said::default(), Said::default());
    for row in s.rows(Q::KeyHold, &[&keys]).await? {
        let (key, before): (String, Option<Word>) = (row.try_get(0)?, row.try_get::<_, Option<i32>>(1)?.zip(row.try_get(2)?));
        let word = newer(before, said.get(&key).copied().flatten());
        if word != before {
            new.add(&key, word);
        }
        limits.insert(key, row.try_get::<_, Option<i32>>(3)?.or(word.map(|word| word.0)));
    }
    for (key, word) in said.iter().filter(|(key, _)| !limits.contains_key(*key)) {
        again.add(key, *word);
    }
    let is_held = !again.keys.is_empty();
    let mut admitting = Admitting { s, slots: Slots::default(), going: Going::default(), more: BTreeSet::new() };
    admitting.admit(&limits).await?;
    let Admitting { slots, going, more, .. } = admitting;
    for (key, limit) in slots.learned() {
        // Whoever says it next is newer.
        new.add(key, Some((int(limit), 0)));
    }
    // Looked at together with what they were looked at for.
    for key in &more {
        again.add(key, None);
    }
    new.write(s, Q::KeyDeclare).await?;
    again.write(s, Q::TouchedInsert).await?;
    going.write(s).await?;
    // Others may have passed over a key while it was locked here. But not of those that are only waited for together with one that others hold.
    let is_any_done = limits.keys().any(|key| !more.contains(key));
    let is_any_new = more.iter().any(|key| !said.contains_key(key));
    Ok(Admission { is_more: rows.len() >= TOUCHED_MAX || is_any_done || is_any_new, is_held })
}

/// Of two words about a key that of the task that came later.
fn newer(one: Option<Word>, other: Option<Word>) -> Option<Word> {
    one.into_iter().chain(other).max_by_key(|word| word.1)
}

/// Keys with what is said of their limits.
#[derive(Default)]
struct Said {
    keys: Vec<String>,
    limits: Vec<Option<i32>>,
    said_by: Vec<Option<i64>>,
}

impl Said {
    fn add(&mut self, key: &str, word: Option<Word>) {
        self.keys.push(key.to_owned());
        self.limits.push(word.map(|word| word.0));
        self.said_by.push(word.map(|word| word.1));
    }

    async fn write(&self, s: &Session<'_>, query: Q) -> Result<(), Fault> {
        if !self.keys.is_empty() {
            s.execute(query, &[&self.keys, &self.limits, &self.said_by]).await?;
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
}

impl Admitting<'_, '_> {
    async fn admit(&mut self, limits: &BTreeMap<String, Option<i32>>) -> Result<(), Fault> {
        if limits.is_empty() {
            return Ok(());
        }
        let keys: Vec<&str> = limits.keys().map(String::as_str).collect();
        self.count(&keys, limits).await?;
        if self.withdraw(&keys).await? {
            self.count(&keys, limits).await?;
        }
        // One more than there is room for, as the first may hold its slots already.
        let most = |key: &str| self.slots.free(key).unwrap_or(LINE_MAX).saturating_add(1).min(LINE_MAX);
        let asked = shares(keys.iter().map(|key| (*key, most(key))));
        let unfinished = self.look(&asked).await?;
        // Who was sent to another line has left room to those behind him. They are looked at once, so that a line of which all lack
        // another key does not keep everybody busy: the next look goes on.
        if !unfinished.is_empty() {
            self.look(&shares(unfinished.iter().map(|key| (key.as_str(), LINE_MAX)))).await?;
        }
        Ok(())
    }

    async fn count(&mut self, keys: &[&str], limits: &BTreeMap<String, Option<i32>>) -> Result<(), Fault> {
        for row in self.s.rows(Q::SlotUsed, &[&keys]).await? {
            let (key, used): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
            let limit = limits.get(&key).copied().flatten().map(|limit| u32::try_from(limit).unwrap_or_default());
            self.slots.add(key, limit, used.unsigned_abs());
        }
        Ok(())
    }

    /// Those who were admitted to keys that have fewer slots by now, and are not claimed, wait again. Whether there was one.
    async fn withdraw(&mut self, keys: &[&str]) -> Result<bool, Fault> {
        let of_key = |key: &&str| self.slots.excess(key).map(|excess| ((*key).to_owned(), excess.least, excess.most));
        let too_many: Vec<(String, u64, u64)> = keys.iter().filter_map(of_key).collect();
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
            let head = Head {
                task: row.try_get(1)?,
                // What can't be read needs nothing that is known, and holds nobody up.
                needs: serde_json::from_str(needs).unwrap_or_default(),
                holds: row.try_get::<_, Option<_>>(3)?.unwrap_or_default(),
            };
            lines.entry(row.try_get(0)?).or_default().push(head);
        }
        let mut unfinished = Vec::new();
        for (key, most) in asked {
            let Some(line) = lines.remove(*key) else { continue };
            let is_all = (line.len() as u64) < *most;
            if self.admit_line(key, line) && !is_all {
                unfinished.push((*key).to_owned());
            }
        }
        Ok(unfinished)
    }

    /// Whether somebody was sent away, and the line has room left.
    fn admit_line(&mut self, key: &str, line: Vec<Head>) -> bool {
        let mut is_any_sent = false;
        for head in line {
            if self.going.knows(head.task) {
                continue;
            }
            match self.slots.admit(key, &head.needs, |key| head.holds.iter().any(|held| held == key)) {
                Admitted::Yes => self.going.admit(head.task, head.needs),
                Admitted::Elsewhere(other) => {
                    self.going.elsewhere(head.task, other);
                    is_any_sent = true;
                }
                Admitted::Full => return false,
                Admitted::Unknown => {
                    self.more.extend(head.needs.into_iter().map(|need| need.key));
                    return false;
                }
            }
        }
        is_any_sent
    }
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
    costs: Vec<i32>,
    until_ended: Vec<bool>,
    moved: Vec<Uuid>,
    moved_to: Vec<String>,
}

impl Going {
    fn admit(&mut self, task: Uuid, needs: Vec<Need>) {
        self.known.insert(task);
        self.ready.push(task);
        for need in needs {
            self.keys.push(need.key);
            self.tasks.push(task);
            self.costs.push(int(need.cost));
            self.until_ended.push(need.until_ended);
        }
    }

    fn knows(&self, task: Uuid) -> bool {
        self.known.contains(&task)
    }

    fn elsewhere(&mut self, task: Uuid, key: String) {
        self.known.insert(task);
        self.moved.push(task);
        self.moved_to.push(key);
    }

    async fn write(&self, s: &mut Session<'_>) -> Result<(), Fault> {
        if !self.moved.is_empty() {
            s.execute(Q::StandbyMove, &[&self.moved, &self.moved_to]).await?;
        }
        if self.ready.is_empty() {
            return Ok(());
        }
        let rows = s.rows(Q::StandbyAdmit, &[&self.ready, &self.keys, &self.tasks, &self.costs, &self.until_ended]).await?;
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
}

impl Returns {
    /// An attempt of this one is over, or the task has ended.
    pub(super) fn add(&mut self, task: Uuid, has_ended: bool) {
        self.tasks.push(task);
        self.ended.push(has_ended);
    }

    /// These have ended, whether they hold anything or not.
    pub(super) fn of_ended(tasks: impl IntoIterator<Item = Uuid>) -> Self {
        let tasks: Vec<Uuid> = tasks.into_iter().collect();
        Self { ended: vec![true; tasks.len()], tasks }
    }

    pub(super) async fn write(&self, s: &mut Session<'_>) -> Result<(), Fault> {
        if !self.tasks.is_empty() {
            s.own.touched |= s.execute(Q::SlotGiveBack, &[&self.tasks, &self.ended]).await? > 0;
        }
        Ok(())
    }
}

/// An operator says how many slots a key has, or that it is again what tasks say.
pub(crate) async fn set_limit(s: &mut Session<'_>, key: &str, limit: Option<u32>) -> Result<(), Fault> {
    s.begin().await?;
    s.execute(Q::KeySet, &[&key, &limit.map(int)]).await?;
    s.execute(Q::TouchedInsert, &[&vec![key], &vec![None::<i32>], &vec![None::<i64>]]).await?;
    (s.own.touched, s.effects.changed) = (true, true);
    Ok(())
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
    if let Some(row) = s.row(Q::KeyPrune, &[&walked.key, &limit(WALK)]).await? {
        next.key = row.try_get::<_, Option<String>>(0)?.unwrap_or_default();
    }
    Ok(next)
}
