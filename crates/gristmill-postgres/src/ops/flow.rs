//! Workflows as they are read to go on, and written when they have.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use gristmill_core::kit::encode::{
    chore_from, chore_of, paused_from, paused_of, step_state_from, step_state_of, tolerance_from, workflow_end_from,
    workflow_end_of,
};
use gristmill_core::kit::row::{count, int};
use gristmill_core::workflow::{Change, Chore, Flow, FlowStep, Run, StepRow, StepSpec, Tally, WorkflowEnd};
use gristmill_core::{StoreError, StoreErrorKind};
use tokio_postgres::Row;
use uuid::Uuid;

use super::limit;
use super::specs::{Definition, Key, Specs};
use crate::conn::Params;
use crate::error::Fault;
use crate::session::Session;
use crate::sql::Q;

/// The least and the greatest id of the members of a step.
pub(super) type Bounds = Option<(Uuid, Uuid)>;

/// What this store keeps of a step besides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Aside {
    pub(super) bounds: Bounds,
    /// From this place on a member was passed over that somebody had in hand.
    pub(super) held_from: Option<u32>,
    /// All members were gone through, and this is a return to such.
    pub(super) again: bool,
}

/// A workflow that is locked.
pub(super) struct Locked {
    pub(super) flow: Flow,
    /// Of each step.
    pub(super) aside: Vec<Aside>,
    was: Was,
}

/// How it stood when it was read.
#[derive(PartialEq, Eq)]
struct Was {
    run: Run,
    end: Option<WorkflowEnd>,
    steps: Vec<StepWas>,
}

type StepWas = (StepRow, Option<(Chore, u32)>, Aside);

impl Was {
    fn of(flow: &Flow, aside: &[Aside]) -> Self {
        let steps = flow.steps.iter().zip(aside).map(|(step, aside)| (step.row, step.chore, *aside)).collect();
        Self { run: flow.run, end: flow.end, steps }
    }
}

/// Those of one transaction.
pub(super) type Flows = BTreeMap<Uuid, Locked>;

/// Locks workflows that nobody else has in hand.
pub(super) async fn lock(s: &Session<'_>, ids: &[Uuid]) -> Result<Vec<Key>, Fault> {
    let rows = s.rows(Q::WorkflowLock, &[&ids]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Locks workflows that have yet to learn what became of their members, but for some and for those that somebody else has in hand, at most so
/// many. Begins a transaction.
pub(super) async fn lock_told(s: &mut Session<'_>, but: &[Uuid], most: usize) -> Result<Vec<Key>, Fault> {
    let rows = s.begin_with(Q::ToldLock, &[&but, &limit(most)]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Reads workflows that are locked by this transaction, and counts what was told of their members since the last time. Those that can't be
/// read are left out, with what was told of them.
pub(super) async fn take(s: &Session<'_>, specs: &Specs, locked: &[Key]) -> Result<Flows, Fault> {
    let specs = specs.of(s, locked).await?;
    let ids: Vec<Uuid> = specs.keys().copied().collect();
    if ids.is_empty() {
        return Ok(Flows::new());
    }
    let params: Params<'_> = &[&ids];
    let (told, rows) = tokio::join!(s.rows(Q::ReportTake, params), s.rows(Q::FlowRead, params));
    let mut read: BTreeMap<Uuid, (Flow, BTreeMap<u32, Step>)> = BTreeMap::new();
    for row in rows? {
        let run = run_of(row.try_get(1)?, row.try_get(18)?, row.try_get(2)?);
        let end = workflow_end_from(row.try_get::<_, i16>(3)?.into());
        let id = row.try_get(0)?;
        let Some(Definition { specs, graph }) = specs.get(&id) else { continue };
        let flow = || Flow { run, end, graph: graph.clone(), steps: Vec::new() };
        let (_, steps) = read.entry(id).or_insert_with(|| (flow(), BTreeMap::new()));
        if let Some(number) = row.try_get::<_, Option<i32>>(4)?.map(count)
            && let Some(spec) = specs.get(number as usize)
        {
            steps.insert(number, Step::read(spec.clone(), &row)?);
        }
    }
    let mut flows = Flows::new();
    for (id, (mut flow, steps)) in read {
        let mut aside = Vec::with_capacity(steps.len());
        for step in steps.into_values() {
            aside.push(step.aside);
            flow.steps.push(step.step);
        }
        let was = Was::of(&flow, &aside);
        flows.insert(id, Locked { flow, aside, was });
    }
    tell(&mut flows, &told?)?;
    Ok(flows)
}

/// Counts what was told of members of some of them since they were read.
pub(super) async fn take_reports(s: &Session<'_>, flows: &mut Flows, of: &HashSet<Uuid>) -> Result<(), Fault> {
    let ids: Vec<Uuid> = of.iter().copied().collect();
    let told = s.rows(Q::ReportTake, &[&ids]).await?;
    tell(flows, &told)
}

fn tell(flows: &mut Flows, told: &[Row]) -> Result<(), Fault> {
    for row in told {
        let change = Change { succeeded: row.try_get(2)?, failed: row.try_get(3)?, cancelled: row.try_get(4)? };
        if let Some(locked) = flows.get_mut(&row.try_get(0)?) {
            locked.flow.changed(count(row.try_get(1)?), change);
        }
    }
    Ok(())
}

/// Writes what has changed of them.
pub(super) async fn write(s: &mut Session<'_>, flows: &Flows) -> Result<(), Fault> {
    let (mut workflows, mut steps) = (Workflows::default(), Steps::default());
    for (id, Locked { flow, aside, was }) in flows {
        workflows.push(*id, flow);
        let now = Was::of(flow, aside);
        s.effects.changed |= now != *was;
        s.own.finished.extend((was.end.is_none() && now.end.is_some()).then_some(*id));
        for (number, (step, (was, now))) in (0..).zip(flow.steps.iter().zip(was.steps.iter().zip(&now.steps))) {
            if was != now {
                steps.push((*id, number), step, &now.2);
            }
        }
    }
    if workflows.id.is_empty() {
        return Ok(());
    }
    s.execute(
        Q::FlowWrite,
        &[
            &s.now,
            &workflows.id,
            &workflows.paused,
            &workflows.cancelled,
            &workflows.ended,
            &steps.workflow,
            &steps.number,
            &steps.state,
            &steps.closed,
            &steps.members,
            &steps.succeeded,
            &steps.failed,
            &steps.cancelled,
            &steps.chore,
            &steps.chore_from,
            &steps.first_id,
            &steps.last_id,
            &steps.held_from,
            &steps.again,
            &workflows.hold,
        ],
    )
    .await?;
    Ok(())
}

/// What a row says of a step.
struct Step {
    step: FlowStep,
    aside: Aside,
}

impl Step {
    fn read(spec: Arc<StepSpec>, row: &Row) -> Result<Self, Fault> {
        let row_of_step =
            row_of(&spec, row.try_get(6)?, row.try_get(7)?, [8, 9, 10, 11].map(|n| row.try_get(n)), row.try_get(17)?)?;
        let chore = chore_from(row.try_get::<_, i16>(12)?.into());
        let chore = chore.map(|chore| Ok::<_, Fault>((chore, count(row.try_get(13)?)))).transpose()?;
        let aside = Aside {
            bounds: row.try_get::<_, Option<Uuid>>(14)?.zip(row.try_get(15)?),
            held_from: row.try_get::<_, Option<i32>>(16)?.map(count),
            again: row.try_get(5)?,
        };
        Ok(Self { step: FlowStep { spec, row: row_of_step, chore }, aside })
    }
}

/// How a step stands, by its columns: the state, whether it is closed, the counts of its members, of successes, failures and cancellations,
/// and how many need not succeed, if that was changed.
pub(crate) fn row_of(
    spec: &StepSpec,
    state: i16,
    closed: bool,
    counts: [Result<i32, tokio_postgres::Error>; 4],
    tolerance: Option<i64>,
) -> Result<StepRow, Fault> {
    let [members, succeeded, failed, cancelled] = counts;
    let tally = Tally {
        members: count(members?),
        closed,
        succeeded: count(succeeded?),
        failed: count(failed?),
        cancelled: count(cancelled?),
    };
    let state = step_state_from(state.into()).ok_or_else(|| {
        let why =
            format!("the workflow can't be read: its step {} stands at {state}, which this version does not know", spec.name);
        StoreError::new(StoreErrorKind::Corrupt, why)
    })?;
    let tolerance = tolerance.and_then(tolerance_from).unwrap_or(spec.tolerance);
    Ok(StepRow { role: spec.role, state, tally, tolerance })
}

/// How its run stands, by its columns: that one is paused which a retry holds is for programs that know of none.
pub(crate) fn run_of(paused: bool, hold: i16, cancelled: bool) -> Run {
    let (paused, forgets) = if hold == 0 { (paused, false) } else { paused_from(hold.into()) };
    Run { paused, cancelled, forgets }
}

#[derive(Default)]
struct Workflows {
    id: Vec<Uuid>,
    paused: Vec<bool>,
    cancelled: Vec<bool>,
    ended: Vec<i16>,
    hold: Vec<i16>,
}

impl Workflows {
    fn push(&mut self, id: Uuid, flow: &Flow) {
        self.id.push(id);
        let code = paused_of(flow.run, flow.is_held());
        self.paused.push(code != 0);
        self.hold.push(if flow.is_held() { code } else { 0 });
        self.cancelled.push(flow.run.cancelled);
        self.ended.push(workflow_end_of(flow.end));
    }
}

#[derive(Default)]
struct Steps {
    workflow: Vec<Uuid>,
    number: Vec<i32>,
    state: Vec<i16>,
    closed: Vec<bool>,
    members: Vec<i32>,
    succeeded: Vec<i32>,
    failed: Vec<i32>,
    cancelled: Vec<i32>,
    chore: Vec<i16>,
    chore_from: Vec<i32>,
    first_id: Vec<Option<Uuid>>,
    last_id: Vec<Option<Uuid>>,
    held_from: Vec<Option<i32>>,
    again: Vec<bool>,
}

impl Steps {
    fn push(&mut self, (workflow, number): (Uuid, i32), step: &FlowStep, aside: &Aside) {
        let tally = step.row.tally;
        self.workflow.push(workflow);
        self.number.push(number);
        self.state.push(step_state_of(step.row.state));
        self.closed.push(tally.closed);
        self.members.push(int(tally.members));
        self.succeeded.push(int(tally.succeeded));
        self.failed.push(int(tally.failed));
        self.cancelled.push(int(tally.cancelled));
        self.chore.push(chore_of(step.chore.map(|(chore, _)| chore)));
        self.chore_from.push(int(step.chore.map_or(0, |(_, from)| from)));
        self.first_id.push(aside.bounds.map(|(first, _)| first));
        self.last_id.push(aside.bounds.map(|(_, last)| last));
        self.held_from.push(aside.held_from.map(int));
        self.again.push(aside.again);
    }
}
