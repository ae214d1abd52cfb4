use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use gristmill_core::kit::encode::{ms, to_json};
use gristmill_core::{
    Advance, Advanced, Edit, EnqueueOutcome, Lead, NewSchedule, NewTask, Points, Schedule, ScheduleEdit, StoreError,
    StoreErrorKind, TICKS_KEPT, TaskId, Tick, TickOutcome, TickRecord, Timestamp, WorkerId,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{cancel, enqueue, limit, storable};
use crate::error::Fault;
use crate::session::Session;
use crate::sql::Q;

/// Reads schedules, lets `edit` decide, and writes that. Needs a transaction.
pub(crate) async fn edit_schedules(
    s: &mut Session<'_>,
    names: &[String],
    edit: &ScheduleEdit,
) -> Result<Vec<Option<Schedule>>, Fault> {
    Edit::check(names)?;
    let now = s.now.map(|now| now.to_string());
    let found = s.row(Q::CallSchedulesForEdit, &[&to_json(names), &now]).await?;
    let found = found.map_or(Ok(String::new()), |row| row.try_get(0))?;
    let edits = Edits::decide(names, &found, edit)?;
    if edits.is_nothing() {
        return edits.standing(names, None);
    }
    let (puts, removed) = edits.params();
    let written = s.row(Q::CallWriteSchedules, &[&puts, &removed, &now]).await?;
    let written: String = written.map_or(Ok(String::new()), |row| row.try_get(0))?;
    s.effects.scheduled = true;
    edits.standing(names, Some(&written))
}

/// What becomes of some schedules.
pub(crate) struct Edits {
    found: BTreeMap<String, Row>,
    puts: Vec<Put>,
    removed: Vec<String>,
}

impl Edits {
    /// Asks `edit` about each, given what the function `schedules_for_edit` answered.
    pub(crate) fn decide(names: &[String], answer: &str, edit: &ScheduleEdit) -> Result<Self, Fault> {
        let Found { now, found } = read(answer)?;
        let mut edits = Self { found, puts: Vec::new(), removed: Vec::new() };
        for name in names {
            let standing = edits.found.get(name).map(Row::schedule);
            match Edit::ask(edit, name, standing.as_ref(), Timestamp::from_millis(now))? {
                Edit::Keep => {}
                Edit::Put(new) => edits.puts.push(Put::of(name, new)?),
                Edit::Remove => edits.removed.push(name.clone()),
            }
        }
        Ok(edits)
    }

    pub(crate) fn is_nothing(&self) -> bool {
        self.puts.is_empty() && self.removed.is_empty()
    }

    /// The parameters of the function `write_schedules`.
    pub(crate) fn params(&self) -> (String, String) {
        (to_json(&self.puts), to_json(&self.removed))
    }

    /// How each stands after what that function answered, if it was called.
    pub(crate) fn standing(mut self, names: &[String], answer: Option<&str>) -> Result<Vec<Option<Schedule>>, Fault> {
        for name in &self.removed {
            self.found.remove(name);
        }
        if let Some(answer) = answer {
            self.found.extend(read::<BTreeMap<String, Row>>(answer)?);
        }
        Ok(names.iter().map(|name| self.found.get(name).map(Row::schedule)).collect())
    }
}

#[derive(Deserialize)]
struct Found {
    now: i64,
    found: BTreeMap<String, Row>,
}

#[derive(Deserialize)]
struct Row {
    name: String,
    owner: Option<String>,
    body: String,
    due_at: Option<i64>,
    memory: String,
    revision: i64,
    created_at: i64,
    edited_at: i64,
}

impl Row {
    fn schedule(&self) -> Schedule {
        Schedule {
            name: self.name.clone(),
            owner: self.owner.clone(),
            body: self.body.clone(),
            due_at: self.due_at.map(Timestamp::from_millis),
            memory: self.memory.clone(),
            revision: self.revision,
            created_at: Timestamp::from_millis(self.created_at),
            edited_at: Timestamp::from_millis(self.edited_at),
        }
    }
}

#[derive(Serialize)]
struct Put {
    name: String,
    owner: Option<String>,
    body: String,
    due_at: Option<i64>,
    memory: String,
}

impl Put {
    fn of(name: &str, new: NewSchedule) -> Result<Self, Fault> {
        let NewSchedule { owner, body, due_at, memory } = new;
        if [Some(&body), Some(&memory), owner.as_ref()].into_iter().flatten().any(|text| text.contains('\0')) {
            return Err(Fault::invalid(format!("schedule {name:?} holds a NUL character, which PostgreSQL can't keep")));
        }
        Ok(Self { name: name.to_owned(), owner, body, due_at: due_at.map(Timestamp::as_millis), memory })
    }
}

fn read<'a, T: Deserialize<'a>>(answer: &'a str) -> Result<T, Fault> {
    serde_json::from_str(answer).map_err(|error| {
        let message = format!("the schedules that the database answered can't be read: {error}; run `gristmill migrate`");
        Fault::Store(StoreError::new(StoreErrorKind::Other, message))
    })
}

/// Cancels what was asked for so far, and writes the ticks so far; of each whether it is new.
async fn cancel_and_tick(
    s: &mut Session<'_>,
    advances: &[Advance],
    cancelled: &mut Vec<TaskId>,
    ticks: &mut Vec<(usize, &Tick)>,
) -> Result<Vec<bool>, Fault> {
    if !cancelled.is_empty() {
        cancel(s, &std::mem::take(cancelled)).await?;
    }
    write_ticks(s, advances, &std::mem::take(ticks)).await
}

/// Writes what a beat decided about each schedule that is still as it was. Needs a transaction.
pub(crate) async fn advance_schedules(s: &mut Session<'_>, advances: &[Advance]) -> Result<Vec<Advanced>, Fault> {
    let current = advance_rows(s, advances).await?;
    let mut answers: Vec<_> = advances.iter().map(|_| Advanced::Stale).collect();
    let (mut cancelled, mut ticks, mut new) = (Vec::new(), Vec::new(), Vec::new());
    let mut made: HashSet<TaskId> = HashSet::new();
    for (n, advance) in advances.iter().enumerate().filter(|(n, _)| current.contains(n)) {
        if advance.cancel.iter().any(|id| made.contains(id)) {
            // All that come before it have to be written first, or there would be nothing to cancel yet.
            new.extend(cancel_and_tick(s, advances, &mut cancelled, &mut ticks).await?);
            made.clear();
        }
        cancelled.extend_from_slice(&advance.cancel);
        ticks.extend(advance.ticks.iter().map(|tick| (n, tick)));
        made.extend(advance.ticks.iter().filter_map(|tick| Some(tick.task.as_ref()?.id)));
        answers[n] = Advanced::Done(vec![false; advance.ticks.len()]);
    }
    new.extend(cancel_and_tick(s, advances, &mut cancelled, &mut ticks).await?);
    let mut at = 0;
    for answer in &mut answers {
        if let Advanced::Done(of) = answer {
            let end = at + of.len();
            of.copy_from_slice(&new[at..end]);
            at = end;
        }
    }
    if !current.is_empty() {
        s.effects.points.add(Points::ADVANCE);
    }
    Ok(answers)
}

/// Says which of the schedules were still as they were read, and are now as they should be.
async fn advance_rows(s: &Session<'_>, advances: &[Advance]) -> Result<HashSet<usize>, Fault> {
    let mut order: Vec<usize> = (0..advances.len()).collect();
    order.sort_by_key(|n| &advances[*n].name);
    let names: Vec<&str> = order.iter().map(|n| advances[*n].name.as_str()).collect();
    let revisions: Vec<i64> = order.iter().map(|n| advances[*n].revision).collect();
    let dues: Vec<_> = order.iter().map(|n| advances[*n].due_at.map(Timestamp::as_millis)).collect();
    let memories: Vec<&str> = order.iter().map(|n| advances[*n].memory.as_str()).collect();
    let rows = s.rows(Q::ScheduleAdvance, &[&names, &revisions, &dues, &memories]).await?;
    let places: HashMap<&str, usize> = names.into_iter().zip(order).rev().collect();
    let mut current = HashSet::with_capacity(rows.len());
    for row in &rows {
        current.extend(places.get(row.try_get::<_, &str>(0)?));
    }
    Ok(current)
}

/// Makes the ticks' tasks; of each whether it is new.
async fn write_ticks(s: &mut Session<'_>, advances: &[Advance], ticks: &[(usize, &Tick)]) -> Result<Vec<bool>, Fault> {
    if ticks.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<&str> = ticks.iter().map(|(n, _)| advances[*n].name.as_str()).collect();
    let ats: Vec<i64> = ticks.iter().map(|(_, tick)| tick.at.as_millis()).collect();
    let outcomes: Vec<i16> = ticks.iter().map(|(_, tick)| code_of(tick.outcome)).collect();
    let tasks: Vec<Option<Uuid>> = ticks.iter().map(|(_, tick)| tick.task.as_ref().map(|task| task.id.as_uuid())).collect();
    let reasons: Vec<_> = ticks.iter().map(|(_, tick)| tick.reason.as_deref().map(storable)).collect();
    let rows = s.rows(Q::TickInsert, &[&s.now, &names, &ats, &outcomes, &tasks, &reasons]).await?;
    let mut written = HashSet::with_capacity(rows.len());
    for row in &rows {
        written.insert((row.try_get::<_, &str>(0)?, row.try_get::<_, i64>(1)?));
    }
    let new: Vec<bool> = names.iter().zip(&ats).map(|(name, at)| written.remove(&(*name, *at))).collect();
    make_tasks(s, advances, ticks, &new).await?;
    Ok(new)
}

/// Enqueues the tasks of the ticks that are new; a tick whose task's id is another's is written as failed, and one for which
/// another task stands names that.
async fn make_tasks(s: &mut Session<'_>, advances: &[Advance], ticks: &[(usize, &Tick)], new: &[bool]) -> Result<(), Fault> {
    let made: Vec<_> =
        ticks.iter().zip(new).filter(|(tick, new)| **new && tick.1.task.is_some()).map(|(tick, _)| *tick).collect();
    let tasks: Vec<&NewTask> = made.iter().filter_map(|(_, tick)| tick.task.as_ref()).collect();
    if tasks.is_empty() {
        return Ok(());
    }
    let outcomes = enqueue(s, &tasks).await?;
    let (mut names, mut ats, mut codes, mut reasons, mut others) = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for ((n, tick), outcome) in made.iter().zip(outcomes).filter(|(_, outcome)| *outcome != EnqueueOutcome::Created) {
        let record = TickRecord::of(tick, Some(outcome), Timestamp::MIN);
        others.push(record.task.map(|task| task.as_uuid()));
        names.push(advances[*n].name.as_str());
        ats.push(tick.at.as_millis());
        codes.push(code_of(record.outcome));
        reasons.push(record.reason);
    }
    if !names.is_empty() {
        s.execute(Q::TickCorrect, &[&names, &ats, &codes, &reasons, &others]).await?;
    }
    Ok(())
}

/// Gives or extends the lead among beats.
pub(crate) async fn lead_beats(s: &mut Session<'_>, beat: WorkerId, lease: Duration) -> Result<Lead, Fault> {
    let row = s.row(Q::BeatLead, &[&s.now, &beat.as_uuid(), &ms(lease)]).await?;
    // No row: somebody else has just become the first that leads.
    row.map_or(Ok(Lead { leads: false, term: 1 }), |row| Ok(Lead { leads: row.try_get(0)?, term: row.try_get(1)? }))
}

/// Ends a beat's lead, if it has it.
pub(crate) async fn resign_beat(s: &mut Session<'_>, beat: WorkerId) -> Result<(), Fault> {
    s.execute(Q::BeatResign, &[&beat.as_uuid()]).await?;
    Ok(())
}

/// Deletes the oldest ticks that are kept no longer.
pub(super) async fn prune_ticks(s: &Session<'_>, most: usize) -> Result<usize, Fault> {
    let pruned = s.execute(Q::TickPrune, &[&s.now, &ms(TICKS_KEPT), &limit(most)]).await?;
    Ok(usize::try_from(pruned).unwrap_or(usize::MAX))
}

fn code_of(outcome: TickOutcome) -> i16 {
    TickOutcome::ALL.iter().position(|known| *known == outcome).and_then(|code| i16::try_from(code).ok()).unwrap_or_default()
}
