use gristmill_core::kit::encode::{chore_of, retention_from, step_state_of, workflow_end_from, workflow_end_of};
use gristmill_core::workflow::{Flow, FlowStep, Run};
use gristmill_core::{Retention, StoreError, StoreErrorKind, Timestamp, WorkflowId};
use rusqlite::{Connection, OptionalExtension, params};

use super::super::budget::Budget;
use super::super::sweep::count;
use crate::error::Fault;
use crate::sql;
use crate::tx::Tx;
use crate::view::steps;

/// When it was touched last is written no more often than so: with each end of a member, an index would be written, too.
const TOUCHED_MS: i64 = 1_000;

/// One that is to go on, as it was read.
pub(super) struct Kept {
    pub(super) id: WorkflowId,
    /// As it is to be.
    pub(super) flow: Flow,
    was: Flow,
    retention: i64,
    finished_at: Option<i64>,
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
pub(super) fn read(conn: &Connection, id: WorkflowId) -> Result<Result<Kept, Missing>, Fault> {
    let mut get = conn.prepare_cached(sql::WORKFLOW_GET)?;
    let found = get.query_row([id.as_bytes().as_slice()], |row| {
        let flow = Flow {
            run: Run { paused: row.get(0)?, cancelled: row.get(1)? },
            end: workflow_end_from(row.get(2)?),
            steps: Vec::new(),
        };
        Ok(Kept { id, was: flow.clone(), flow, retention: row.get(3)?, finished_at: row.get(4)?, touched_at: row.get(5)? })
    });
    let Some(mut kept) = found.optional()? else { return Ok(Err(Missing::Gone)) };
    let Some(steps) = steps(conn, id)? else {
        tracing::error!(workflow = %id, "the steps of a workflow can't be read; it stands still");
        return Ok(Err(Missing::Damaged));
    };
    kept.was.steps.clone_from(&steps);
    kept.flow.steps = steps;
    Ok(Ok(kept))
}

impl Kept {
    /// Writes what has changed since it was read.
    pub(super) fn write(&mut self, tx: &mut Tx<'_>) -> Result<(), Fault> {
        let mut put = tx.conn.prepare_cached(sql::STEP_PUT)?;
        let id = self.id.as_bytes().as_slice();
        for ((step, was), number) in self.flow.steps.iter().zip(&self.was.steps).zip(0_u32..) {
            if step != was {
                let FlowStep { row, chore, .. } = step;
                let (chore, from) = (chore_of(chore.map(|(chore, _)| chore)), chore.map_or(0, |(_, from)| from));
                let tally = row.tally;
                let counts = [tally.members, u32::from(tally.closed), tally.succeeded, tally.failed, tally.cancelled];
                let [members, closed, succeeded, failed, cancelled] = counts;
                put.execute(params![
                    id,
                    number,
                    step_state_of(row.state),
                    members,
                    closed,
                    succeeded,
                    failed,
                    cancelled,
                    chore,
                    from
                ])?;
                tx.effects.changed = true;
            }
        }
        let Flow { run, end, .. } = &self.flow;
        let now = tx.now.as_millis();
        if self.flow.end.is_some() {
            self.finished_at = self.finished_at.or(Some(now));
        }
        let is_stale = self.flow != self.was && now.abs_diff(self.touched_at) >= TOUCHED_MS.unsigned_abs();
        if is_stale || (*run, *end) != (self.was.run, self.was.end) {
            self.touched_at = now;
            self.put(tx.conn)?;
            tx.effects.changed = true;
        }
        self.was.clone_from(&self.flow);
        Ok(())
    }

    /// That it was looked after.
    pub(super) fn touch(&mut self, tx: &Tx<'_>) -> Result<(), Fault> {
        self.touched_at = tx.now.as_millis();
        self.put(tx.conn)
    }

    fn put(&self, conn: &Connection) -> Result<(), Fault> {
        let Flow { run, end, .. } = &self.flow;
        conn.prepare_cached(sql::WORKFLOW_PUT)?.execute(params![
            self.id.as_bytes().as_slice(),
            run.paused,
            run.cancelled,
            workflow_end_of(*end),
            self.finished_at,
            keep_until(self.retention, self.finished_at),
            self.touched_at
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
