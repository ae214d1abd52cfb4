use std::sync::Arc;

use gristmill_core::kit::encode::{chore_of, paused_of, retention_from, step_state_of, workflow_end_from, workflow_end_of};
use gristmill_core::workflow::{Chore, Flow, FlowStep, Run, StepRow, Tally, WorkflowEnd};
use gristmill_core::{Retention, StoreError, StoreErrorKind, Timestamp, WorkflowId};
use rusqlite::{OptionalExtension, params};

use super::super::budget::Budget;
use super::super::durable;
use super::super::sweep::count;
use super::specs::{Key, Known};
use crate::error::Fault;
use crate::sql;
use crate::tx::Tx;
use crate::view::steps;

/// When it was touched last is written no more often than so: with each end of a member, an index would be written, too.
const TOUCHED_MS: u64 = 1_000;

/// One that is to go on, as it was read.
pub(super) struct Kept {
    pub(super) id: WorkflowId,
    /// As it is to be.
    pub(super) flow: Flow,
    /// Of its flow, whether it was held, and of each step what changes, as it was.
    was: (Run, Option<WorkflowEnd>, bool),
    steps_were: Vec<(StepRow, Option<(Chore, u32)>)>,
    retention: i64,
    pub(super) finished_at: Option<i64>,
    touched_at: i64,
}

/// What stands in its place.
pub(super) enum Missing {
    /// It was never there, or its time is over.
    Gone,
    /// Its steps can't be read.
    Damaged,
}

/// Reads one.
pub(super) fn read(tx: &mut Tx<'_>, id: WorkflowId) -> Result<Result<Kept, Missing>, Fault> {
    let mut get = tx.conn.prepare_cached(sql::WORKFLOW_GET)?;
    let found = get.query_row([id.as_bytes().as_slice()], |row| {
        let run = Run { paused: row.get(0)?, cancelled: row.get(1)?, forgets: row.get(7)? };
        let end = workflow_end_from(row.get(2)?);
        let kept = Kept {
            id,
            flow: Flow { run, end, graph: Arc::default(), steps: Vec::new() },
            was: (run, end, false),
            steps_were: Vec::new(),
            retention: row.get(3)?,
            finished_at: row.get(4)?,
            touched_at: row.get(5)?,
        };
        Ok((kept, row.get(6)?))
    });
    let Some((mut kept, created_at)) = found.optional()? else { return Ok(Err(Missing::Gone)) };
    if !read_steps(tx, (id, created_at), &mut kept.flow)? {
        tracing::error!(workflow = %id, "the steps of a workflow can't be read; it stands still");
        return Ok(Err(Missing::Damaged));
    }
    kept.steps_were = kept.flow.steps.iter().map(|step| (step.row, step.chore)).collect();
    kept.was.2 = kept.flow.is_held();
    Ok(Ok(kept))
}

/// Reads its steps, in the order of their numbers, and how they hang together; false if they can't be read. What they are is read once.
fn read_steps(tx: &mut Tx<'_>, key: Key, flow: &mut Flow) -> Result<bool, Fault> {
    let known = tx.memory.specs.of(key).cloned();
    let Some(steps) = steps(tx.conn, key.0, known.as_ref().map(|known| &*known.specs))? else { return Ok(false) };
    let known = known.unwrap_or_else(|| {
        let known = Known::of(&steps);
        tx.memory.specs.keep(key, known.clone());
        known
    });
    (flow.steps, flow.graph) = (steps, known.graph);
    Ok(true)
}

impl Kept {
    /// Writes what has changed since it was read.
    pub(super) fn write(&mut self, tx: &mut Tx<'_>) -> Result<(), Fault> {
        let mut put = tx.conn.prepare_cached(sql::STEP_PUT)?;
        let id = self.id.as_bytes().as_slice();
        let mut has_changed = false;
        for ((step, was), number) in self.flow.steps.iter().zip(&mut self.steps_were).zip(0_u32..) {
            let FlowStep { row, chore, .. } = step;
            if (*row, *chore) == *was {
                continue;
            }
            *was = (*row, *chore);
            has_changed = true;
            let Tally { members, closed, succeeded, failed, cancelled } = row.tally;
            let state = step_state_of(row.state);
            let (chore, from) = (chore_of(chore.map(|(chore, _)| chore)), chore.map_or(0, |(_, from)| from));
            put.execute(params![id, number, state, members, closed, succeeded, failed, cancelled, chore, from])?;
        }
        let stands = (self.flow.run, self.flow.end, self.flow.is_held());
        let now = tx.now.as_millis();
        if self.flow.end.is_some() && self.finished_at.is_none() {
            self.finished_at = Some(now);
            durable::tell_of_end(tx, self.id)?;
        }
        let is_stale = has_changed && now.abs_diff(self.touched_at) >= TOUCHED_MS;
        has_changed |= stands != self.was;
        if is_stale || stands != self.was {
            self.was = stands;
            self.touch(tx)?;
        }
        tx.effects.changed |= has_changed;
        Ok(())
    }

    /// Writes its row, and that something of it was looked after.
    pub(super) fn touch(&mut self, tx: &Tx<'_>) -> Result<(), Fault> {
        self.touched_at = tx.now.as_millis();
        let Flow { run, end, .. } = &self.flow;
        let hold = self.flow.is_held();
        let paused = paused_of(*run, hold);
        tx.conn.prepare_cached(sql::WORKFLOW_PUT)?.execute(params![
            self.id.as_bytes().as_slice(),
            paused != 0,
            run.cancelled,
            workflow_end_of(*end),
            self.finished_at,
            keep_until(self.retention, self.finished_at),
            self.touched_at,
            if hold { paused } else { 0 }
        ])?;
        Ok(())
    }
}

/// Until when one is kept that has ended.
pub(super) fn keep_until(retention: i64, finished_at: Option<i64>) -> Option<i64> {
    let kept_for = match retention_from(retention) {
        Retention::For(period) => period,
        Retention::None => std::time::Duration::ZERO,
        Retention::Forever => return None,
    };
    finished_at.map(|at| Timestamp::from_millis(at).saturating_add(kept_for).as_millis())
}

/// What is said of one whose steps can't be read.
pub(super) fn damaged(id: WorkflowId) -> Fault {
    let message = format!("the steps of the workflow {id} can't be read, which no gristmill has written; `doctor` names more");
    StoreError::new(StoreErrorKind::Corrupt, message).into()
}

/// Deletes those that are kept no longer and of which nothing is left to do; their members have their own time. Returns how many.
pub(in super::super) fn prune(tx: &mut Tx<'_>, limit: usize) -> Result<usize, Fault> {
    let over: Vec<Vec<u8>> = {
        let mut over = tx.conn.prepare_cached(sql::WORKFLOW_OVER)?;
        let rows = over.query_map(params![tx.now.as_millis(), count(limit)], |row| row.get(0))?;
        rows.collect::<Result<_, _>>()?
    };
    let (mut steps, mut workflow) = (tx.conn.prepare_cached(sql::STEP_DELETE)?, tx.conn.prepare_cached(sql::WORKFLOW_DELETE)?);
    // Of rows, as some have many more steps than others.
    let mut budget = Budget::new(usize::MAX);
    let mut rows = 0;
    for (nth, id) in over.iter().enumerate() {
        if !budget.take_as(rows) {
            return Ok(nth);
        }
        rows = steps.execute([id])? + workflow.execute([id])?;
    }
    Ok(over.len())
}
