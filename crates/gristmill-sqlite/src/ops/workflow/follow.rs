use std::collections::BTreeMap;

use gristmill_core::kit::encode::step_state_of;
use gristmill_core::workflow::StepState;
use gristmill_core::{Points, State, WorkflowId};
use rusqlite::{Connection, OptionalExtension, params};

use super::chore::{go_on, unkeep};
use super::kept::{Missing, read};
use crate::error::Fault;
use crate::sql;
use crate::tx::Tx;

/// What became of a member.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    /// The task's key.
    pub(crate) key: i64,
    /// The state in which it ended.
    pub(crate) state: State,
}

/// Tells workflows of what became of their members and does what follows, until nothing more does.
pub(crate) fn follow(tx: &mut Tx<'_>) -> Result<(), Fault> {
    while !tx.reports.is_empty() {
        tx.effects.points.add(Points::FOLLOW);
        let mut told: BTreeMap<WorkflowId, Vec<(u32, Report)>> = BTreeMap::new();
        for report in std::mem::take(&mut tx.reports) {
            if let Some((workflow, step)) = step_of(tx.conn, report.key)? {
                told.entry(workflow).or_default().push((step, report));
            }
        }
        for (id, reports) in told {
            match read(tx, id)? {
                Ok(mut kept) => {
                    let is_over = kept.flow.end.is_some();
                    for (step, Report { key, state }) in reports {
                        if is_over {
                            unkeep(tx, key)?;
                            kept.flow.ended_alone(step, state);
                        } else {
                            kept.flow.ended(step, state);
                        }
                    }
                    go_on(tx, &mut kept)?;
                }
                // Nobody wants its members any more, nor will anybody come by and forget them.
                Err(Missing::Gone) => reports.iter().try_for_each(|(_, report)| unkeep(tx, report.key))?,
                // Counted anew once it can be read.
                Err(Missing::Damaged) => {}
            }
        }
    }
    Ok(())
}

/// Whether a member that was retried waits for other steps. That its end is taken back, the file itself has seen to: a trigger does,
/// whoever retries.
pub(in super::super) fn waits(conn: &Connection, key: i64) -> Result<bool, Fault> {
    let mut waits = conn.prepare_cached(sql::MEMBER_WAITS)?;
    let waits = waits.query_row(params![key, step_state_of(StepState::Waits)], |row| row.get(0));
    Ok(waits.optional()?.unwrap_or(false))
}

/// Whether the workflow of a member goes on, and may want its result.
pub(in super::super) fn wants(conn: &Connection, key: i64) -> Result<bool, Fault> {
    let wanted = conn.prepare_cached(sql::MEMBER_WANTED)?.query_row([key], |row| row.get(0));
    Ok(wanted.optional()?.unwrap_or(false))
}

fn step_of(conn: &Connection, key: i64) -> Result<Option<(WorkflowId, u32)>, Fault> {
    let of = conn
        .prepare_cached(sql::MEMBER_OF)?
        .query_row([key], |row| Ok(row.get_ref(0)?.as_blob().ok().and_then(WorkflowId::from_slice).zip(row.get(1)?)));
    Ok(of.optional()?.flatten())
}
