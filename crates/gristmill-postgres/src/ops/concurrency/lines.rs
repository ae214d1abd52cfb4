//! The lines of some keys: who stands first there, and what becomes of him.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::convert::Infallible;
use std::ops::ControlFlow;

use gristmill_core::concurrency::admission::{self, Admitted, Slots};
use gristmill_core::concurrency::fair::Line;
use gristmill_core::concurrency::{FAIR, Need, OnExcess, RATE};
use uuid::Uuid;

use super::TOUCHED_MAX;
use super::going::Going;
use super::keys::{Held, spend_begun};
use crate::error::Fault;
use crate::session::Session;
use crate::sql::Q;

/// So many of those who wait in one line are looked at in one transaction, and so many in all.
const LINE_MAX: u64 = 500;
const LINES_MAX: u64 = 2_000;
/// Of so many of those behind one whose keys are not known the keys are looked at with its own.
const TOGETHER_MAX: usize = 100;
/// But no more keys are looked at together because of one another, or those that one task needs would be taken apart by two looks, again and again.
const KEYS_MAX: usize = TOUCHED_MAX / 4;

/// One who waits.
pub(super) struct Head {
    pub(super) task: Uuid,
    pub(super) seq: i64,
    pub(super) needs: Vec<Need>,
    pub(super) holds: Vec<String>,
    pub(super) line: Line,
}

/// The lines of some keys, which are locked.
pub(super) struct Admitting<'s, 'a> {
    pub(super) s: &'s Session<'a>,
    pub(super) slots: Slots,
    pub(super) going: Going,
    /// Keys that have to be looked at together with these.
    pub(super) more: BTreeSet<String>,
    /// Keys that have to be looked at once more, as there were more than are looked at together.
    pub(super) unfinished: BTreeSet<String>,
    /// Whether those who were sent away, or stood behind somebody, are looked at by now.
    pub(super) is_last: bool,
}

impl Admitting<'_, '_> {
    pub(super) async fn admit(&mut self, held: &mut BTreeMap<String, Held>) -> Result<(), Fault> {
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
        // Those of fair queues last: what is left of the room is theirs.
        let (fair, mut asked): (Vec<_>, Vec<_>) = asked.partition(|(key, _)| key.starts_with(FAIR));
        asked.extend(fair);
        let unfinished = self.look(&shares(asked.into_iter())).await?;
        // Who was sent to another line has left room to those behind him. They are looked at once, so that a line of which all lack
        // another key does not keep everybody busy: the next look goes on.
        if !unfinished.is_empty() {
            self.is_last = true;
            self.look(&shares(unfinished.iter().map(|key| (key.as_str(), LINE_MAX)))).await?;
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
        let rows = self.s.rows(Q::SlotExcess, &[&keys, &least, &most]).await?;
        let back = rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<Vec<Uuid>, Fault>>()?;
        if !back.is_empty() {
            // They are none that come: whoever lowers a limit, or says a lower one, ends nobody's work by it.
            self.s.execute(Q::StandbyCalm, &[&back]).await?;
        }
        Ok(!back.is_empty())
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
                holds: row.try_get::<_, Option<_>>(3)?.unwrap_or_default(),
                seq: row.try_get(4)?,
                line: (row.try_get::<_, i32>(5)?.into(), row.try_get::<_, i16>(6)?.into()),
            };
            if row.try_get::<_, i32>(7)? > 0 {
                head.needs = OnExcess::once_begun(head.needs);
            }
            lines.entry(row.try_get(0)?).or_default().push(head);
        }
        let looks = asked.iter().filter_map(|(key, most)| {
            let heads = lines.remove(*key)?;
            Some((
                *key,
                Look { is_all: (heads.len() as u64) < *most, heads: heads.into_iter(), has_sent: false, has_dropped: false },
            ))
        });
        let mut unfinished = Vec::new();
        let looked: HashSet<&str> = keys.iter().copied().collect();
        let Ok(()) = admission::in_turn(looks.collect::<Vec<_>>(), |key, look| {
            let Some(head) = look.heads.next() else {
                match look {
                    Look { is_all: true, .. } => return Ok(ControlFlow::Break(())),
                    Look { has_dropped: true, .. } if self.is_last => {
                        self.unfinished.insert(key.to_owned());
                    }
                    Look { has_sent: true, .. } | Look { has_dropped: true, .. } => unfinished.push(key.to_owned()),
                    // As many as are looked at together were let in, and there may be room for more.
                    Look { .. } => {
                        self.unfinished.insert(key.to_owned());
                    }
                }
                // Or whoever comes by a fair queue at this moment would be let in before those who stand behind these.
                if !key.starts_with(FAIR) {
                    self.slots.halts(key);
                }
                return Ok::<_, Infallible>(ControlFlow::Break(()));
            };
            Ok(match self.admit_first(key, head, look, &looked) {
                Step::Next => ControlFlow::Continue(()),
                Step::Over => ControlFlow::Break(()),
                Step::Further => {
                    unfinished.push(key.to_owned());
                    ControlFlow::Break(())
                }
            })
        });
        Ok(unfinished)
    }

    /// Decides about the first of a line.
    fn admit_first(&mut self, key: &str, head: Head, look: &mut Look, looked: &HashSet<&str>) -> Step {
        if self.going.knows(head.task) {
            return Step::Next;
        }
        match self.slots.admit(key, &head.needs, |key| head.holds.iter().any(|held| held == key)) {
            Admitted::Yes => {
                self.represented(key, &head.needs, looked);
                self.going.admit(head);
            }
            Admitted::Dropped(full) => {
                self.represented(key, &head.needs, looked);
                self.going.drop_waiting(head.task, OnExcess::Drop, &full);
                look.has_dropped = true;
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
                    return Step::Over;
                }
            }
            Admitted::Full(OnExcess::Wait) => return Step::Over,
            // It matters who stands behind it.
            Admitted::Full(_) if !self.is_last && !look.is_all => return Step::Further,
            Admitted::Full(on_excess) => return self.exceed(key, &head, on_excess, look),
            Admitted::Unknown => {
                self.together(key, head, look);
                return Step::Over;
            }
        }
        Step::Next
    }

    /// The first of a line finds its key full, and is not to wait as all others do.
    fn exceed(&mut self, key: &str, head: &Head, on_excess: OnExcess, look: &mut Look) -> Step {
        let going = &self.going;
        let behind = || look.heads.as_slice().iter().filter(|behind| !going.knows(behind.task));
        let cost = |head: &Head| {
            let need = head.needs.iter().find(|need| need.key == key && need.on_excess == on_excess);
            need.map(|need| u64::from(need.cost))
        };
        let dropped: Vec<Uuid> = match on_excess {
            OnExcess::KeepNewest => {
                let is_followed = behind().next().is_some_and(|behind| OnExcess::of(&behind.needs, key) != OnExcess::Drop);
                is_followed.then_some(head.task).into_iter().collect()
            }
            OnExcess::KeepOldest => behind().filter(|behind| cost(behind).is_some()).map(|behind| behind.task).collect(),
            _ => {
                let mut wanted = 0;
                let takes_all = |cost| {
                    wanted += cost;
                    self.slots.is_taken_by(key, wanted)
                };
                behind().filter_map(cost).any(takes_all).then_some(head.task).into_iter().collect()
            }
        };
        for one in std::iter::once(head).chain(look.heads.as_slice()).filter(|one| dropped.contains(&one.task)) {
            let next = one.needs.iter().filter(|need| need.is_turn() && need.key != key);
            self.unfinished.extend(next.map(|need| need.key.clone()));
        }
        let (is_any, is_first) = (!dropped.is_empty(), dropped.contains(&head.task));
        dropped.into_iter().for_each(|task| self.going.drop_waiting(task, on_excess, key));
        if is_first {
            look.has_dropped = true;
            return Step::Next;
        }
        if on_excess == OnExcess::CancelRunning {
            let cost = cost(head).and_then(|cost| u32::try_from(cost).ok()).unwrap_or_default();
            self.going.lacking.insert(key.to_owned(), self.slots.lacking(key, cost));
        }
        // There may be others behind those.
        if is_any && !look.is_all {
            self.unfinished.insert(key.to_owned());
        }
        Step::Over
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
    /// Whether somebody ended who was not to wait.
    has_dropped: bool,
}

/// What comes after the first of a line.
enum Step {
    /// The next.
    Next,
    /// Nobody.
    Over,
    /// Those behind it have to be known.
    Further,
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
