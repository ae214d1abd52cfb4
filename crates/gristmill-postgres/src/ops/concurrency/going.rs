//! Who goes where, and is written there: those that become ready, wait elsewhere, or end.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use gristmill_core::concurrency::fair::{self, Line};
use gristmill_core::concurrency::{Need, OnExcess};
use gristmill_core::kit::row::int;
use gristmill_core::{Failure, TaskId};
use uuid::Uuid;

use super::super::cancel::cancel;
use super::super::ended::{Unstarted, Waited, end_unstarted};
use super::super::place::came;
use super::lines::Head;
use crate::error::Fault;
use crate::session::Session;
use crate::sql::Q;

/// Who goes where.
#[derive(Default)]
pub(super) struct Going {
    pub(super) known: HashSet<Uuid>,
    pub(super) ready: Vec<Uuid>,
    pub(super) keys: Vec<String>,
    pub(super) tasks: Vec<Uuid>,
    pub(super) seqs: Vec<i64>,
    pub(super) costs: Vec<i32>,
    pub(super) until_ended: Vec<bool>,
    /// Of those that become ready in a fair queue, in which line, and what they need to take their turn there.
    pub(super) turns: Vec<Option<(Line, Need)>>,
    pub(super) moved: Vec<Uuid>,
    pub(super) moved_to: Vec<String>,
    pub(super) stand_for_more: Vec<bool>,
    /// Those who wait elsewhere for all of a key of a fair queue.
    pub(super) away: Vec<(String, Uuid)>,
    /// Those who are not to wait, and why.
    pub(super) dropped: HashMap<Uuid, Failure>,
    /// How many slots of keys are lacking to those for whom others are to make room.
    pub(super) lacking: BTreeMap<String, u64>,
}

impl Going {
    pub(super) fn admit(&mut self, head: Head) {
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

    pub(super) fn drop_waiting(&mut self, task: Uuid, on_excess: OnExcess, key: &str) {
        self.known.insert(task);
        self.dropped.insert(task, on_excess.dropped(key));
    }

    pub(super) fn knows(&self, task: Uuid) -> bool {
        self.known.contains(&task)
    }

    pub(super) fn elsewhere(&mut self, task: Uuid, key: String, stands_for_more: bool) {
        self.known.insert(task);
        self.moved.push(task);
        self.moved_to.push(key);
        self.stand_for_more.push(stands_for_more);
    }

    pub(super) async fn write(&self, s: &mut Session<'_>, turns: &[Option<i64>]) -> Result<(), Fault> {
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

/// Those end that are not to wait for a key; they wait in no line any more.
pub(super) async fn drop_waiting(s: &mut Session<'_>, dropped: HashMap<Uuid, Failure>) -> Result<(), Fault> {
    if dropped.is_empty() {
        return Ok(());
    }
    let tasks: Vec<Uuid> = dropped.keys().copied().collect();
    let rows = s.rows(Q::StandbyDrop, &[&tasks]).await?;
    let waited = rows.iter().map(Waited::read).collect::<Result<Vec<_>, _>>()?;
    s.effects.changed = true;
    Box::pin(end_unstarted(s, &waited, &Unstarted::Dropped(dropped))).await
}

/// Those who hold slots of keys, of which so many are lacking, are cancelled, the oldest first. Which of these keys have one that somebody else has in
/// hand, so that they have to be looked at once more.
pub(super) async fn evict(s: &mut Session<'_>, lacking: &BTreeMap<String, u64>) -> Result<BTreeSet<String>, Fault> {
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
