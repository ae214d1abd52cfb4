//! Keys with a limit: who is given their slots. Whatever frees a slot or brings a task says in its own transaction that the key was touched;
//! whoever has committed that, or finds it, admits in a transaction of his own, under the locks of the keys. Nobody waits here for somebody's lock:
//! keys that others admit to, and tasks that somebody has in hand, are passed over and looked at again.

use std::collections::{BTreeMap, BTreeSet};

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
    /// Whether there is more to do at once. What others have in hand is not: whoever admits to a key looks once more after his commit, and finds
    /// that it was touched.
    pub(crate) is_more: bool,
}

/// One who waits.
struct Head {
    task: Uuid,
    needs: Vec<Need>,
    holds: Vec<String>,
    is_free: bool,
}

/// Gives slots that are free to those who wait for them, by some of what has changed. Needs a transaction.
pub(crate) async fn admit_touched(s: &mut Session<'_>) -> Result<Admission, Fault> {
    let rows = s.begin_with(Q::TouchedTake, &[&limit(TOUCHED_MAX)]).await?;
    if rows.is_empty() {
        return Ok(Admission::default());
    }
    // What is touched while this goes on is seen to by the next.
    let mut admission = Admission { is_more: true };
    let mut declared: BTreeMap<String, (i64, Option<i32>)> = BTreeMap::new();
    for row in &rows {
        let (id, key, said): (i64, String, Option<i32>) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let newest = declared.entry(key).or_insert((i64::MIN, None));
        if said.is_some() && id > newest.0 {
            *newest = (id, said);
        }
    }
    let keys: Vec<&str> = declared.keys().map(String::as_str).collect();
    let mut limits: BTreeMap<String, Option<i32>> = BTreeMap::new();
    let mut new = Said::default();
    for row in s.rows(Q::KeyHold, &[&keys]).await? {
        let (key, was, set): (String, Option<i32>, Option<i32>) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let said = declared.get(&key).and_then(|(_, said)| *said);
        if said.is_some_and(|said| Some(said) != was) {
            new.add(&key, said);
        }
        limits.insert(key, set.or(said).or(was));
    }
    let mut again = Said::default();
    for (key, (_, said)) in declared.iter().filter(|(key, _)| !limits.contains_key(*key)) {
        again.add(key, *said);
    }
    if limits.is_empty() {
        admission.is_more = rows.len() >= TOUCHED_MAX;
    }
    let mut more = BTreeSet::new();
    let admitted = admit(s, limits, &mut more, &mut new).await?;
    more.iter().for_each(|key| again.add(key, None));
    if !new.keys.is_empty() {
        s.execute(Q::KeyDeclare, &[&new.keys, &new.limits]).await?;
    }
    if !again.keys.is_empty() {
        s.execute(Q::TouchedInsert, &[&again.keys, &again.limits]).await?;
    }
    admitted.write(s).await?;
    Ok(admission)
}

/// Keys with what is said of their limits.
#[derive(Default)]
struct Said {
    keys: Vec<String>,
    limits: Vec<Option<i32>>,
}

impl Said {
    fn add(&mut self, key: &str, limit: Option<i32>) {
        self.keys.push(key.to_owned());
        self.limits.push(limit);
    }
}

/// Decides about those who stand first in the lines of some keys, which are locked. `more` are the keys that have to be looked at again.
async fn admit(
    s: &Session<'_>,
    limits: BTreeMap<String, Option<i32>>,
    more: &mut BTreeSet<String>,
    new: &mut Said,
) -> Result<Going, Fault> {
    let (mut slots, mut going) = (Slots::default(), Going::default());
    if limits.is_empty() {
        return Ok(going);
    }
    let keys: Vec<&str> = limits.keys().map(String::as_str).collect();
    for row in s.rows(Q::SlotUsed, &[&keys]).await? {
        let (key, used): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
        let limit = limits.get(&key).copied().flatten().map(|limit| u32::try_from(limit).unwrap_or_default());
        slots.add(key, limit, used.unsigned_abs());
    }
    // One more than there is room for, as the first may hold its slots already.
    let mut room = LINES_MAX;
    let most: Vec<i64> = keys
        .iter()
        .map(|key| {
            let most = slots.free(key).unwrap_or(LINE_MAX).saturating_add(1).min(LINE_MAX).min(room.max(1));
            room = room.saturating_sub(most);
            i64::try_from(most).unwrap_or(i64::MAX)
        })
        .collect();
    let mut lines: BTreeMap<String, Vec<Head>> = BTreeMap::new();
    for row in s.rows(Q::StandbyFirst, &[&keys, &most]).await? {
        let needs: &str = row.try_get(2)?;
        let head = Head {
            task: row.try_get(1)?,
            // What can't be read needs nothing that is known, and holds nobody up.
            needs: serde_json::from_str(needs).unwrap_or_default(),
            holds: row.try_get::<_, Option<_>>(3)?.unwrap_or_default(),
            is_free: row.try_get::<_, Option<Uuid>>(4)?.is_some(),
        };
        lines.entry(row.try_get(0)?).or_default().push(head);
    }
    for (key, most) in keys.iter().zip(most) {
        let Some(line) = lines.remove(*key) else { continue };
        let is_all = i64::try_from(line.len()).is_ok_and(|len| len < most);
        let mut is_full = false;
        for head in line {
            if !head.is_free {
                continue;
            }
            match slots.admit(key, &head.needs, |key| head.holds.iter().any(|held| held == key)) {
                Admitted::Yes => going.admit(head.task, head.needs),
                Admitted::Elsewhere(other) => going.elsewhere(head.task, other),
                Admitted::Full => is_full = true,
                Admitted::Unknown => {
                    more.extend(head.needs.into_iter().map(|need| need.key));
                    is_full = true;
                }
            }
            if is_full {
                break;
            }
        }
        if !is_full && !is_all {
            more.insert((*key).to_owned());
        }
    }
    for (key, limit) in slots.learned() {
        new.add(key, Some(int(limit)));
    }
    Ok(going)
}

/// Who goes where.
#[derive(Default)]
struct Going {
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
        self.ready.push(task);
        for need in needs {
            self.keys.push(need.key);
            self.tasks.push(task);
            self.costs.push(int(need.cost));
            self.until_ended.push(need.until_ended);
        }
    }

    fn elsewhere(&mut self, task: Uuid, key: String) {
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
    s.execute(Q::TouchedInsert, &[&vec![key], &vec![None::<i32>]]).await?;
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

/// Mends what was forgotten, from where the last walk came to: slots of tasks that hold none any more, and tasks that wait in no line. Forgets keys
/// of which nothing is left to say.
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
