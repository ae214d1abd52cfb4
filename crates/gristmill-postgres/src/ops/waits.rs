//! Who waits for an event or for the end of a workflow, and what lets him go on.
//!
//! Whoever tells looks after the commit of what he tells of, and whoever comes to wait looks after his own, so that no order of the two loses
//! a wake-up. Nobody waits here for somebody's lock: what others have in hand is told later.

use std::collections::{BTreeMap, BTreeSet};

use gristmill_core::durable::{Awaits, Kept, NewEvent, Sent};
use gristmill_core::kit::encode::{ended_from, ms};
use gristmill_core::workflow::Order;
use gristmill_core::{Place, State, StoreError, StoreErrorKind, WorkflowId};
use uuid::Uuid;

use super::limit;
use super::memory::kept;
use super::place::{arrived_somewhere, came as came_to, place_of};
use super::specs::Specs;
use super::workflow::order;
use crate::error::Fault;
use crate::session::Session;
use crate::sql::Q;

/// So many are told in one transaction.
const TOLD: usize = 1_000;
/// So many events are told of at once.
const EVENTS: usize = 100;
/// So many of those who wait are looked at by one sweep.
const WALK: usize = 2_000;

/// What is waited for, or has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Awaited {
    /// The names of events.
    pub(crate) events: Vec<String>,
    pub(crate) workflows: Vec<Uuid>,
}

impl Awaited {
    pub(crate) fn of<'a>(all: impl IntoIterator<Item = &'a Awaits>) -> Self {
        let (mut events, mut workflows) = (BTreeSet::new(), BTreeSet::new());
        for awaits in all {
            match awaits {
                Awaits::Event(name) => _ = events.insert(name.clone()),
                Awaits::Workflow(id) => _ = workflows.insert(id.as_uuid()),
            }
        }
        Self { events: events.into_iter().collect(), workflows: workflows.into_iter().collect() }
    }

    pub(crate) fn is_nothing(&self) -> bool {
        self.events.is_empty() && self.workflows.is_empty()
    }

    /// Each by itself.
    pub(crate) fn each(self) -> impl Iterator<Item = Self> {
        let events = self.events.into_iter().map(|name| Self { events: vec![name], ..Self::default() });
        events.chain(self.workflows.into_iter().map(|id| Self { workflows: vec![id], ..Self::default() }))
    }

    fn event_texts(&self) -> Vec<String> {
        self.events.iter().map(|name| Awaits::Event(name.clone()).to_text()).collect()
    }

    fn workflow_texts(&self) -> Vec<String> {
        self.workflows.iter().map(|id| Awaits::Workflow(WorkflowId::from_uuid(*id)).to_text()).collect()
    }

    /// Has these tasks wait for it no longer: what an event told is theirs now. Not those that stand where one waits.
    pub(crate) async fn give_to(&self, s: &Session<'_>, tasks: &[Uuid]) -> Result<(), Fault> {
        let pairs = |texts: Vec<String>| -> Vec<(String, Uuid)> {
            texts.into_iter().flat_map(|text| tasks.iter().map(move |task| (text.clone(), *task))).collect()
        };
        self.give(s, &pairs(self.event_texts()), &pairs(self.workflow_texts())).await?;
        Ok(())
    }

    async fn give(&self, s: &Session<'_>, of_events: &[(String, Uuid)], others: &[(String, Uuid)]) -> Result<u64, Fault> {
        let mut given = 0;
        if !of_events.is_empty() {
            let (awaits, tasks): (Vec<&str>, Vec<Uuid>) = of_events.iter().map(|(awaits, task)| (awaits.as_str(), *task)).unzip();
            let names: Vec<&str> = awaits.iter().map(|awaits| name_of(awaits).unwrap_or_default()).collect();
            given = s.execute(Q::MemoryTold, &[&s.now, &awaits, &names, &tasks]).await?;
        }
        Ok(given + disarm(s, others).await?)
    }
}

/// The name of the event that is awaited.
fn name_of(awaits: &str) -> Option<&str> {
    awaits.strip_prefix("event:")
}

/// What a text says that is awaited; `None` if it was damaged.
pub(crate) fn awaits_of(text: &str) -> Option<Awaits> {
    if let Some(name) = name_of(text) {
        return Some(Awaits::Event(name.to_owned()));
    }
    text.strip_prefix("workflow:")?.parse().ok().map(|id| Awaits::Workflow(WorkflowId::from_uuid(id)))
}

async fn disarm(s: &Session<'_>, who: &[(String, Uuid)]) -> Result<u64, Fault> {
    if who.is_empty() {
        return Ok(0);
    }
    let (awaits, tasks): (Vec<&str>, Vec<Uuid>) = who.iter().map(|(awaits, task)| (awaits.as_str(), *task)).unzip();
    s.execute(Q::MemoryDisarm, &[&awaits, &tasks]).await
}

/// Keeps an event. Those who wait for it are told after the commit.
pub(crate) async fn send_event(s: &mut Session<'_>, event: &NewEvent, now: &Option<String>) -> Result<Sent, Fault> {
    let kept = ms(event.kept()).to_string();
    let row = s.row(Q::CallKeepEvent, &[&event.name(), &event.payload(), &kept, now]).await?;
    let answer: String = row.map_or(Ok(String::new()), |row| row.try_get(0))?;
    s.effects.changed = true;
    sent(answer.trim_matches('"'))
}

/// What the function's answer says.
pub(crate) fn sent(answer: &str) -> Result<Sent, Fault> {
    match answer {
        "stored" => Ok(Sent::Stored),
        "exists" => Ok(Sent::Exists),
        _ => Err(Fault::Store(StoreError::new(StoreErrorKind::Other, format!("send_event answered {answer}")))),
    }
}

/// What of this has come.
pub(crate) async fn came(s: &Session<'_>, awaited: &Awaited) -> Result<Awaited, Fault> {
    let mut came = Awaited::default();
    if awaited.is_nothing() {
        return Ok(came);
    }
    for row in s.rows(Q::WaitCame, &[&s.now, &awaited.events, &awaited.workflows]).await? {
        came.events.extend(row.try_get::<_, Option<String>>(0)?);
        came.workflows.extend(row.try_get::<_, Option<Uuid>>(1)?);
    }
    Ok(came)
}

/// Telling those who wait for something that has come, part by part: of each text, behind which task it goes on.
pub(crate) struct Telling {
    came: Awaited,
    after: BTreeMap<String, Uuid>,
    is_done: bool,
    has_told: bool,
}

impl Telling {
    pub(crate) fn new(came: Awaited) -> Self {
        let after = came.event_texts().into_iter().chain(came.workflow_texts()).map(|text| (text, Uuid::nil())).collect();
        Self { came, after, is_done: false, has_told: false }
    }

    /// Whether everybody was told, but for those whom somebody has in hand.
    pub(crate) fn is_done(&self) -> bool {
        self.is_done
    }

    /// Whether anybody was told, or nobody waits any more for one that was not told before.
    pub(crate) fn has_told(&self) -> bool {
        self.has_told
    }
}

/// Tells the next of those who wait. Returns how far it is then.
pub(crate) async fn tell(s: &mut Session<'_>, telling: &Telling) -> Result<Telling, Fault> {
    let Telling { came, after, has_told, .. } = telling;
    let texts: Vec<&String> = after.keys().collect();
    let mut next = Telling { came: came.clone(), after: after.clone(), is_done: true, has_told: *has_told };
    // Mostly nobody does, and then it is no transaction.
    let awaited = s.rows(Q::WaitLook, &[&texts]).await?;
    if !awaited.is_empty() {
        s.begin().await?;
        let awaited = awaited.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<Vec<String>, Fault>>()?;
        let behind: Vec<Uuid> = awaited.iter().map(|text| after.get(text).copied().unwrap_or_default()).collect();
        let rows = s.rows(Q::WaitHeard, &[&awaited, &behind, &limit(TOLD)]).await?;
        let (mut heard, mut tasks, mut seqs, mut claims) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for row in &rows {
            let (awaits, task): (String, Uuid) = (row.try_get(0)?, row.try_get(1)?);
            heard.push((awaits, task));
            tasks.push(task);
            seqs.push(row.try_get::<_, i64>(2)?);
            claims.push(row.try_get::<_, i32>(3)?);
        }
        release(s, (&seqs, &tasks, &claims)).await?;
        let (of_events, others): (Vec<_>, Vec<_>) = heard.iter().cloned().partition(|(awaits, _)| name_of(awaits).is_some());
        next.has_told |= came.give(s, &of_events, &others).await? > 0;
        next.is_done = heard.len() < TOLD;
        for (awaits, task) in heard {
            next.after.insert(awaits, task);
        }
    }
    if next.is_done && !came.events.is_empty() {
        next.has_told |= s.execute(Q::EventTold, &[&came.event_texts(), &came.events]).await? > 0;
    }
    s.effects.changed = true;
    Ok(next)
}

/// Makes tasks due that stand where one waits, but for those that somebody has in hand.
async fn release(s: &mut Session<'_>, (seqs, tasks, claims): (&[i64], &[Uuid], &[i32])) -> Result<(), Fault> {
    for row in s.rows(Q::WaitRelease, &[&s.now, &seqs, &tasks, &claims]).await? {
        match place_of(row.try_get(0)?) {
            Place::Ready => came_to(s, (row.try_get(1)?, row.try_get(2)?), 1),
            place => arrived_somewhere(s, place),
        }
        s.own.returned_somewhere = true;
    }
    Ok(())
}

/// Events of which nobody was told yet, behind one on, with the number of the last of them; `None` after the last of all.
pub(crate) async fn events_untold(s: &Session<'_>, after: i64) -> Result<(Awaited, Option<i64>), Fault> {
    let rows = s.rows(Q::EventUntold, &[&after, &limit(EVENTS)]).await?;
    let events = rows.iter().map(|row| Ok(row.try_get(1)?)).collect::<Result<Vec<String>, Fault>>()?;
    let last = rows.last().map(|row| row.try_get(0)).transpose()?.filter(|_| rows.len() == EVENTS);
    Ok((Awaited { events, workflows: Vec::new() }, last))
}

/// What a walk goes through: what is behind the first text, and before the second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk(&'static str, &'static str);

/// All who wait for workflows, and all others.
pub(crate) const WALKS: [Walk; 2] = [Walk("workflow:", "workflow;"), Walk("", "workflow:")];

/// Where a walk has come to.
pub(crate) type Stop = (String, Uuid);

/// What a sweep has found among those who wait.
#[derive(Default)]
pub(crate) struct Walked {
    /// From behind this one on the next goes on; `None`: from the first.
    pub(crate) stop: Option<Stop>,
    /// It has come, and some still wait for it.
    pub(crate) came: Awaited,
    /// These are not where one waits: they run, have ended or are gone.
    pub(crate) elsewhere: Vec<(String, Uuid)>,
}

/// Looks at the next of those who wait.
pub(crate) async fn walk(s: &Session<'_>, Walk(low, high): Walk, after: Option<&Stop>) -> Result<Walked, Fault> {
    let (text, task) = after.map_or((low, Uuid::nil()), |(text, task)| (text.as_str(), *task));
    let rows = s.rows(Q::WaitWalk, &[&text, &task, &high, &limit(WALK)]).await?;
    let (mut awaited, mut walked) = (BTreeSet::new(), Walked::default());
    for row in &rows {
        let (text, task): (String, Uuid) = (row.try_get(0)?, row.try_get(1)?);
        if !row.try_get::<_, bool>(2)? {
            walked.elsewhere.push((text.clone(), task));
        }
        awaited.insert(text);
    }
    if rows.len() == WALK {
        walked.stop = rows.last().map(|row| Ok::<_, Fault>((row.try_get(0)?, row.try_get(1)?))).transpose()?;
    }
    let awaited: Vec<Awaits> = awaited.iter().filter_map(|text| awaits_of(text)).collect();
    walked.came = came(s, &Awaited::of(&awaited)).await?;
    Ok(walked)
}

/// Workflows that tasks stand waiting for, among the first so many who wait for any.
pub(crate) async fn awaited_workflows(s: &Session<'_>, most: i64) -> Result<Vec<Uuid>, Fault> {
    let mut workflows = Vec::new();
    for row in s.rows(Q::WaitWalk, &[&WALKS[0].0, &Uuid::nil(), &WALKS[0].1, &most]).await? {
        if let (true, Some(Awaits::Workflow(id))) = (row.try_get(2)?, awaits_of(row.try_get(0)?)) {
            workflows.push(id.as_uuid());
        }
    }
    Ok(workflows)
}

/// Has those of these tasks that have ended wait no longer. Needs a transaction.
pub(crate) async fn let_go(s: &mut Session<'_>, who: &[(String, Uuid)]) -> Result<(), Fault> {
    let tasks: Vec<Uuid> = who.iter().map(|(_, task)| *task).collect();
    let ended = ended(s, &tasks).await?;
    let of_ended: Vec<_> = who.iter().filter(|(_, task)| ended.contains_key(task)).cloned().collect();
    disarm(s, &of_ended).await?;
    Ok(())
}

async fn ended(s: &mut Session<'_>, tasks: &[Uuid]) -> Result<BTreeMap<Uuid, State>, Fault> {
    s.spare_days().await?;
    let rows = s.rows(Q::WaitEnded, &[&tasks]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, ended_from(row.try_get::<_, i16>(1)?.into())))).collect()
}

/// A memory of a workflow that a task has started, by the task and the position.
pub(crate) type Child = (Uuid, i32);

/// What a sweep has found among the workflows that tasks have started.
#[derive(Default)]
pub(crate) struct Children {
    /// From behind this one on the next goes on; `None`: from the first.
    pub(crate) stop: Option<Child>,
    /// Nobody wants these any more, as their tasks have ended before them.
    pub(crate) unwanted: BTreeMap<Uuid, Vec<Child>>,
}

/// Looks at the next of the workflows that tasks have started, at most so many unwanted ones. Those that are left alone are not found again.
/// Needs a transaction.
pub(crate) async fn children(s: &mut Session<'_>, after: Child, most: usize) -> Result<Children, Fault> {
    let rows = s.rows(Q::ChildWalk, &[&after.0, &after.1, &limit(WALK)]).await?;
    let (mut elsewhere, mut found) = (Vec::new(), Children::default());
    for row in &rows {
        let child: Child = (row.try_get(0)?, row.try_get(1)?);
        found.stop = Some(child).filter(|_| rows.len() == WALK);
        if !row.try_get::<_, bool>(5)? {
            let by = match kept(child.0, child.1, row, 2) {
                Ok(Kept::Workflow(id) | Kept::Replaced { by: id, .. }) => Some(id.as_uuid()),
                _ => None,
            };
            elsewhere.push((child, by));
        }
    }
    let over = over(s, elsewhere.iter().map(|(child, _)| *child)).await?;
    let mut alone = Vec::new();
    for (child, by) in elsewhere {
        match (over.get(&child), by) {
            (None, _) => {}
            // What can't be read is nobody's.
            (Some(State::Succeeded), _) | (Some(_), None) => alone.push(child),
            (Some(_), Some(by)) => {
                if found.unwanted.len() >= most && !found.unwanted.contains_key(&by) {
                    break;
                }
                found.unwanted.entry(by).or_default().push(child);
                found.stop = if found.unwanted.len() >= most { Some(child) } else { found.stop };
            }
        }
    }
    disown(s, &alone).await?;
    Ok(found)
}

/// Of these those whose tasks have ended, or are gone, and in which state, as far as it matters; that stays so until the commit. One that is gone
/// had succeeded, unless whoever deleted it said otherwise.
async fn over(s: &mut Session<'_>, children: impl Iterator<Item = Child> + Clone) -> Result<BTreeMap<Child, State>, Fault> {
    let tasks: Vec<Uuid> = children.clone().map(|(task, _)| task).collect();
    if tasks.is_empty() {
        return Ok(BTreeMap::new());
    }
    let ended = ended(s, &tasks).await?;
    let (known, others): (Vec<Child>, Vec<Child>) = children.partition(|(task, _)| ended.contains_key(task));
    let mut over: BTreeMap<Child, State> = known.into_iter().filter_map(|child| Some((child, *ended.get(&child.0)?))).collect();
    let (tasks, positions): (Vec<Uuid>, Vec<i32>) = others.into_iter().unzip();
    if !tasks.is_empty() {
        for row in s.rows(Q::ChildGone, &[&tasks, &positions]).await? {
            let state = if row.try_get(2)? { State::Failed } else { State::Succeeded };
            over.insert((row.try_get(0)?, row.try_get(1)?), state);
        }
    }
    Ok(over)
}

/// Cancels a workflow that these have started, if their tasks still have ended or are gone: one that was retried meanwhile awaits it again, and
/// whoever retries one now waits for this. It is not found again then. Says whether it was done. Needs a transaction.
pub(crate) async fn cancel_child(
    s: &mut Session<'_>,
    specs: &Specs,
    (id, children): (WorkflowId, &[Child]),
    chores: bool,
) -> Result<bool, Fault> {
    let over = over(s, children.iter().copied()).await?;
    // One that was retried may have succeeded meanwhile, and then its workflow is its own affair.
    let is_unwanted = children.iter().all(|child| over.get(child).is_some_and(|state| *state != State::Succeeded));
    if is_unwanted {
        order(s, specs, id, (Order::Cancel, false), chores).await?;
        disown(s, children).await?;
    }
    Ok(is_unwanted)
}

/// Those of these whose tasks have ended, or are gone, are not found again, as what they have started can't be cancelled. Needs a transaction.
pub(crate) async fn forget_children(s: &mut Session<'_>, children: &[Child]) -> Result<(), Fault> {
    let over: Vec<Child> = over(s, children.iter().copied()).await?.into_keys().collect();
    disown(s, &over).await
}

async fn disown(s: &Session<'_>, children: &[Child]) -> Result<(), Fault> {
    if !children.is_empty() {
        let (tasks, positions): (Vec<Uuid>, Vec<i32>) = children.iter().copied().unzip();
        s.execute(Q::ChildDone, &[&tasks, &positions]).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_awaited_is_read_as_core_writes_it() {
        let id = WorkflowId::from_uuid(Uuid::max());
        for awaits in [Awaits::Event("paid: 1".to_owned()), Awaits::Event(String::new()), Awaits::Workflow(id)] {
            assert_eq!(awaits_of(&awaits.to_text()), Some(awaits));
        }
        for damaged in ["", "event", "workflow:", "workflow:7", "other:1"] {
            assert_eq!(awaits_of(damaged), None, "{damaged}");
        }
    }
}
