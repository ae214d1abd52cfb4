//! What a workflow does: it begins, learns what became of its members and goes on, takes more members, and is cancelled or paused. Whoever
//! changes it has its row locked, and looks for reports once more after his commit.

use std::collections::HashSet;

use gristmill_core::kit::encode::{chore_of, ms, retention_of, step_state_of, to_json, workflow_end_of};
use gristmill_core::kit::row::{NewRow, int};
use gristmill_core::workflow::{Extended, Extension, Flow, NewWorkflow, Order, Ordered, Started, StepState, WorkflowState};
use gristmill_core::{EnqueueOutcome, Points, StoreError, StoreErrorKind, WorkflowId};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::chores::{self, Progress};
use super::enqueue::{check, enqueue, know};
use super::flow::{self, Flows, Locked};
use super::limit;
use super::place::came;
use super::specs::{Key, Specs};
use crate::error::Fault;
use crate::names::Sort;
use crate::session::Session;
use crate::sql::Q;

/// A workflow on its way to the function that starts it.
pub(crate) struct Starting {
    text: String,
    flow: Flow,
}

impl Starting {
    /// What is out of range is refused before anything is sent.
    pub(crate) fn new(mut new: NewWorkflow) -> Result<(Self, NewWorkflow), Fault> {
        new.check().map_err(StoreError::from)?;
        check(&new.members)?;
        let texts = [Some(&new.name), new.key.as_ref(), Some(&new.definition)];
        if texts.into_iter().flatten().chain(&new.tags).any(|text| text.contains('\0')) {
            return Err(Fault::invalid("the workflow holds a NUL character, which PostgreSQL can't keep"));
        }
        let flow = Flow::begin(&new);
        new.place_members(&flow);
        Ok((Self { text: text(&new, &flow), flow }, new))
    }

    /// As the function takes it.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether something is to be done to its members at once.
    pub(crate) fn has_chores(&self) -> bool {
        self.flow.steps.iter().any(|step| step.chore.is_some())
    }

    /// What the function's answer says.
    pub(crate) fn started(answer: &str) -> Result<Started, Fault> {
        match answer {
            "created" => Ok(Started::Created),
            "conflict" => Ok(Started::Conflict),
            id => {
                let strange = |_| Fault::Store(StoreError::new(StoreErrorKind::Other, format!("start_workflow answered {id}")));
                id.parse().map(|id| Started::Exists(WorkflowId::from_uuid(id))).map_err(strange)
            }
        }
    }
}

/// A member as the function takes it.
#[derive(Serialize)]
struct Member<'a> {
    #[serde(flatten)]
    task: NewRow<'a>,
    of_step: i32,
    of_place: i32,
}

fn text(new: &NewWorkflow, flow: &Flow) -> String {
    let steps = flow.steps.iter().map(|step| {
        json!({
            "spec": to_json(&*step.spec), "state": step_state_of(step.row.state),
            "chore": chore_of(step.chore.map(|(chore, _)| chore)), "closed": step.row.tally.closed,
        })
    });
    let members = new.members.iter().filter_map(|task| {
        let of = task.membership()?;
        Some(Member { task: NewRow::of(task), of_step: int(of.number), of_place: int(of.place) })
    });
    json!({
        "id": new.id.as_uuid(), "name": new.name, "key": new.key, "tags": new.tags, "retention": retention_of(new.retention),
        "deadline": new.deadline.map(ms),
        "definition": new.definition, "ended": workflow_end_of(flow.end), "steps": steps.collect::<Vec<_>>(),
        "members": members.collect::<Vec<_>>(),
    })
    .to_string()
}

/// Starts a workflow: one statement, once the names that its members use are known.
pub(crate) async fn start_workflow(s: &mut Session<'_>, starting: &Starting, new: &NewWorkflow) -> Result<Started, Fault> {
    know(s, new.members.iter()).await?;
    let now = s.now.map(|now| now.to_string());
    let row = s.row(Q::CallStartWorkflow, &[&starting.text(), &now]).await?;
    let answer: String = row.map_or(Ok(String::new()), |row| row.try_get(0))?;
    let started = Starting::started(answer.trim_matches('"'))?;
    if started == Started::Created {
        s.effects.changed = true;
        for task in new.members.iter().filter(|task| !task.hold.blocked) {
            if task.delay.is_zero() && task.run_at.is_none() {
                let line = |sort, name| s.id(sort, name).unwrap_or_default();
                let line = (line(Sort::Queue, &task.queue), line(Sort::Kind, &task.kind));
                came(s, line, 1);
            } else {
                s.effects.scheduled = true;
            }
        }
    }
    Ok(started)
}

/// What became of workflows that were to go on.
#[derive(Debug, Default)]
pub(crate) struct Conducted {
    /// These were; others have the rest in hand.
    pub(crate) taken: HashSet<Uuid>,
    /// These can't be read.
    pub(crate) unread: Vec<Uuid>,
    pub(crate) progress: Progress,
    /// More was told by what was done to members.
    pub(crate) is_told: bool,
}

/// Lets workflows that nobody else has in hand go on. With `chores`, does what follows for their members, too, which may have to wait for
/// somebody. Needs a transaction.
pub(crate) async fn conduct(s: &mut Session<'_>, specs: &Specs, ids: &[Uuid], chores: bool) -> Result<Conducted, Fault> {
    let locked = flow::lock(s, ids).await?;
    conduct_locked(s, specs, &locked, chores).await
}

/// The same for those that have yet to learn what became of their members, but for some, at most so many.
pub(crate) async fn conduct_told(s: &mut Session<'_>, specs: &Specs, but: &[Uuid], most: usize) -> Result<Conducted, Fault> {
    let locked = flow::lock_told(s, but, most).await?;
    conduct_locked(s, specs, &locked, true).await
}

async fn conduct_locked(s: &mut Session<'_>, specs: &Specs, locked: &[Key], chores: bool) -> Result<Conducted, Fault> {
    if locked.is_empty() {
        return Ok(Conducted::default());
    }
    let mut flows = flow::take(s, specs, locked).await?;
    flows.values_mut().for_each(|locked| locked.flow.go_on());
    let progress = if chores { chores::work(s, specs, &mut flows).await? } else { Progress::default() };
    flow::write(s, &flows).await?;
    s.effects.points.add(Points::FOLLOW);
    let unread = locked.iter().map(|(id, _)| *id).filter(|id| !flows.contains_key(id)).collect();
    Ok(Conducted { taken: flows.into_keys().collect(), unread, progress, is_told: s.own.reported })
}

/// Workflows that have yet to learn what became of their members, but for some.
pub(crate) async fn reported(s: &Session<'_>, but: &[Uuid], most: usize) -> Result<Vec<Uuid>, Fault> {
    let rows = s.rows(Q::ReportLook, &[&but, &limit(most)]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Does what somebody wants of a workflow, or what follows when it is late: its deadline has passed. Needs a transaction.
pub(crate) async fn order(
    s: &mut Session<'_>,
    specs: &Specs,
    id: WorkflowId,
    (order, is_late): (Order, bool),
    chores: bool,
) -> Result<Ordered, Fault> {
    let Some(mut flows) = wait(s, specs, id).await? else { return Ok(Ordered::NotFound) };
    let Some(locked) = flows.get_mut(&id.as_uuid()) else { return Ok(Ordered::NotFound) };
    let had_ended = locked.flow.end.is_some();
    // Whoever has seen that it is late may have looked long ago.
    let is_wanted = !had_ended && (!is_late || s.execute(Q::WorkflowEndLate, &[&s.now, &id.as_uuid()]).await? > 0);
    if is_wanted {
        locked.flow.order(order);
    }
    locked.flow.go_on();
    let state = WorkflowState::of(locked.flow.run, locked.flow.end);
    if chores {
        chores::work(s, specs, &mut flows).await?;
    }
    flow::write(s, &flows).await?;
    Ok(if had_ended { Ordered::AlreadyEnded } else { Ordered::Done(state) })
}

/// Adds members to a step.
pub(crate) async fn extend(s: &mut Session<'_>, specs: &Specs, extension: &Extension) -> Result<Extended, Fault> {
    check(&extension.members)?;
    know(s, extension.members.iter()).await?;
    s.begin().await?;
    let id = extension.workflow;
    let Some(mut flows) = wait(s, specs, id).await? else { return Ok(Extended::NotFound) };
    let Some(locked) = flows.get_mut(&id.as_uuid()) else { return Ok(Extended::NotFound) };
    let extended = add(s, locked, extension).await?;
    locked.flow.go_on();
    chores::work(s, specs, &mut flows).await?;
    // Whatever was answered: what had been told of the members is in it.
    flow::write(s, &flows).await?;
    Ok(extended)
}

async fn add(s: &mut Session<'_>, locked: &mut Locked, extension: &Extension) -> Result<Extended, Fault> {
    let (flow, number) = (&mut locked.flow, extension.step as usize);
    let Some(here) = flow.steps.get(number) else { return Ok(Extended::NotFound) };
    let tally = here.row.tally;
    let Some(done) = tally.members.checked_sub(extension.from) else { return Ok(Extended::Gap(tally.members)) };
    let mut members = extension.members.get(done as usize..).unwrap_or_default().to_vec();
    let Some(blocked) = flow.takes_members(extension.step) else {
        // What is repeated is done already.
        let is_done = members.is_empty() && here.row.state != StepState::Stops;
        return Ok(if is_done { Extended::Added(tally.members) } else { Extended::Closed });
    };
    members.iter_mut().for_each(|member| member.hold.blocked = blocked);
    s.savepoint().await?;
    let outcomes = enqueue(s, &members.iter().collect::<Vec<_>>()).await?;
    if outcomes.iter().any(|outcome| *outcome != EnqueueOutcome::Created) {
        s.undo_to_savepoint().await?;
        return Ok(Extended::Conflict);
    }
    let count = tally.members.saturating_add(u32::try_from(members.len()).unwrap_or(u32::MAX));
    if let Some(here) = flow.steps.get_mut(number) {
        here.row.tally.members = count;
        here.row.tally.closed |= extension.close;
    }
    if let Some(aside) = locked.aside.get_mut(number) {
        let known = aside.bounds.iter().flat_map(|(first, last)| [*first, *last]);
        let all = members.iter().map(|member| member.id.as_uuid()).chain(known);
        let (least, greatest) = all.fold((Uuid::max(), Uuid::nil()), |(least, greatest), id| (least.min(id), greatest.max(id)));
        aside.bounds = Some((least, greatest)).filter(|_| count > 0);
    }
    Ok(Extended::Added(count))
}

/// Locks a workflow, however long somebody has it in hand, and reads it; `None` if there is none. Whoever does looks for reports after his
/// commit: those who conduct have passed it over.
pub(super) async fn wait(s: &mut Session<'_>, specs: &Specs, id: WorkflowId) -> Result<Option<Flows>, Fault> {
    let Some(row) = s.row(Q::WorkflowWait, &[&vec![id.as_uuid()]]).await? else { return Ok(None) };
    let locked: Key = (row.try_get(0)?, row.try_get(1)?);
    s.own.reported = true;
    let flows = flow::take(s, specs, &[locked]).await?;
    if flows.is_empty() {
        let why = format!("the workflow {id} can't be read: the definition of one of its steps is damaged");
        return Err(Fault::Store(StoreError::new(StoreErrorKind::Corrupt, why)));
    }
    Ok(Some(flows))
}
