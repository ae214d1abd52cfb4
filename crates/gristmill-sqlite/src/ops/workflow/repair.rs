use gristmill_core::Flags;
use gristmill_core::kit::encode::ended_from;
use rusqlite::params;

use super::super::sweep::{UNKNOWN, count};
use super::chore::{go_on, go_on_with_chores};
use super::follow::Report;
use super::kept::read;
use crate::error::Fault;
use crate::sql;
use crate::tx::Tx;
use crate::view::{Counted, Counting};

/// What sweeps do for workflows: they go on with what is left to do to members, make good what older programs owe, and what was lost
/// however that was possible. True if there may be more of it.
pub(in super::super) fn sweep(tx: &mut Tx<'_>, limit: usize, quiet: &[Counting]) -> Result<bool, Fault> {
    go_on_with_chores(tx, limit)?;
    tell_owed(tx, limit)?;
    for workflow in quiet {
        if !tx.members().take() {
            break;
        }
        mend(tx, workflow)?;
    }
    Ok(tx.members().is_spent())
}

/// Tells steps of the ends that a program without workflows has written, each once.
fn tell_owed(tx: &mut Tx<'_>, limit: usize) -> Result<(), Fault> {
    let owed: Vec<(Report, u32)> = {
        let mut owed = tx.conn.prepare_cached(sql::OUTCOME_OWED)?;
        let rows = owed.query_map(params![Flags::MEMBER.bits(), UNKNOWN, count(limit)], |row| {
            Ok((Report { key: row.get(0)?, state: ended_from(row.get(2)?) }, row.get(1)?))
        })?;
        rows.collect::<Result<_, _>>()?
    };
    for (report, claim_no) in owed {
        if !tx.members().take() {
            break;
        }
        tx.conn.prepare_cached(sql::OUTCOME_TOLD)?.execute(params![report.key, claim_no])?;
        tx.reports.push(report);
    }
    Ok(())
}

/// Puts right what differs from the rows of the members, and lets the workflow go on. It is looked at again only after as long as before, also
/// if it can't be read: else it would hide those behind it.
fn mend(tx: &mut Tx<'_>, quiet: &Counting) -> Result<(), Fault> {
    let read = quiet.steps.as_ref().map(|steps| Ok::<_, Fault>((steps, read(tx, quiet.id)?))).transpose()?;
    let Some((steps, Ok(mut kept))) = read else {
        let later = params![quiet.id.as_bytes().as_slice(), tx.now.as_millis()];
        tx.conn.prepare_cached(sql::WORKFLOW_LOOK_LATER)?.execute(later)?;
        return Ok(());
    };
    for Counted { number, seen, counted } in steps {
        // Whatever has happened since it was counted shows.
        let Some(step) = kept.flow.steps.get_mut(*number as usize).filter(|step| step.row == seen.row) else { continue };
        let was = step.row.tally;
        step.recounted(*counted);
        if step.row.tally != was {
            tracing::warn!(workflow = %quiet.id, step = step.spec.name, ?was, is = ?step.row.tally, "a step had lost count of its members");
        }
    }
    kept.touch(tx)?;
    go_on(tx, &mut kept)
}
