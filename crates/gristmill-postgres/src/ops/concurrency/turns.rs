//! The turns of those that become ready in fair queues.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use gristmill_core::concurrency::Need;
use gristmill_core::concurrency::fair::{self, Line, PLACE_MIN, Turns};

use super::going::Going;
use super::keys::Held;
use crate::error::Fault;
use crate::session::Session;
use crate::sql::Q;

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

/// What the turns of those that become ready are in their places, in their order; nothing for those whose queue is not fair.
pub(super) async fn take_turns(
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
