//! What makes good for workflows what a crash, a lost wake-up or a broken counter left behind.

use std::collections::{BTreeMap, HashSet};

use gristmill_core::kit::row::count;
use gristmill_core::workflow::{Counted, QUIET_MAX};
use uuid::Uuid;

use super::chores;
use super::flow::{self, Flows};
use super::limit;
use crate::error::Fault;
use crate::session::Session;
use crate::sql::Q;

/// So many workflows are looked at by one sweep.
const LOOKED_AT: usize = 100;
/// So many members are counted anew by one, and the rest of the last workflow.
const COUNTED: u32 = 100_000;
/// Reports of workflows that are gone, and ends that were left owed, which one sweep deals with.
const STRAYS: usize = 1_000;

/// What a sweep has to do for workflows.
#[derive(Debug, Default)]
pub(crate) struct Due {
    /// Something is still to be done to members of these.
    pub(crate) chored: Vec<Uuid>,
    /// These have stood still for long.
    pub(crate) quiet: Vec<Uuid>,
    /// Something was told of members whose workflow is gone.
    pub(crate) is_stray: bool,
}

/// Looks for it.
pub(crate) async fn due(s: &Session<'_>) -> Result<Due, Fault> {
    let quiet = i64::try_from(QUIET_MAX.as_millis()).unwrap_or(i64::MAX);
    let Some(row) = s.row(Q::WorkflowDue, &[&s.now, &quiet, &limit(LOOKED_AT)]).await? else { return Ok(Due::default()) };
    Ok(Due { chored: row.try_get(0)?, quiet: row.try_get(1)?, is_stray: row.try_get(2)? })
}

/// Counts the members of workflows anew that have stood still, and lets them go on, but for those of which a member is known that can still
/// end: nothing is missing there as long as it can. Needs a transaction.
pub(crate) async fn repair(s: &mut Session<'_>, quiet: &[Uuid]) -> Result<(), Fault> {
    let rows = s.rows(Q::WorkflowLock, &[&quiet]).await?;
    let locked = rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<Vec<Uuid>, Fault>>()?;
    if locked.is_empty() {
        return Ok(());
    }
    s.spare_days().await?;
    let rows = s.rows(Q::WitnessLook, &[&locked]).await?;
    let attested = rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<HashSet<Uuid>, Fault>>()?;
    let mut seen: BTreeMap<Uuid, Option<Uuid>> = attested.iter().map(|id| (*id, None)).collect();
    let mut room = COUNTED;
    for id in locked.iter().filter(|id| !attested.contains(id)) {
        if room == 0 {
            break;
        }
        let mut flows = flow::take(s, &[*id]).await?;
        let witness = recount(s, &mut flows, &mut room).await?;
        flows.values_mut().for_each(|locked| locked.flow.go_on());
        chores::work(s, &mut flows).await?;
        flow::write(s, &flows).await?;
        seen.insert(*id, witness);
    }
    // What was told meanwhile was passed over by others.
    s.own.reported = true;
    let (ids, witnesses): (Vec<Uuid>, Vec<Option<Uuid>>) = seen.into_iter().unzip();
    s.execute(Q::WorkflowTouch, &[&s.now, &ids, &witnesses]).await?;
    Ok(())
}

/// Counts the members of one workflow. Returns one that can still end.
async fn recount(s: &mut Session<'_>, flows: &mut Flows, room: &mut u32) -> Result<Option<Uuid>, Fault> {
    let Some((id, locked)) = flows.iter_mut().next() else { return Ok(None) };
    let (mut steps, mut firsts, mut lasts) = (Vec::new(), Vec::new(), Vec::new());
    for ((number, step), aside) in (0_i32..).zip(&locked.flow.steps).zip(&locked.aside) {
        let tally = step.row.tally;
        if let Some((first, last)) = aside.bounds.filter(|_| tally.ended() < tally.members) {
            *room = room.saturating_sub(tally.members);
            steps.push(number);
            firsts.push(first);
            lasts.push(last);
        }
    }
    let (Some(least), Some(greatest)) = (firsts.iter().min(), lasts.iter().max()) else { return Ok(None) };
    // Those that were left owed are told, and counted with the next look.
    s.rows(Q::OwedTake, &[least, greatest, &limit(STRAYS)]).await?;
    let workflows = vec![*id; steps.len()];
    let mut witness = None;
    for row in s.rows(Q::MemberCount, &[&workflows, &steps, &firsts, &lasts, least, greatest]).await? {
        let number = |n| Ok::<_, Fault>(u32::try_from(row.try_get::<_, i64>(n)?).unwrap_or(u32::MAX));
        let counted =
            Counted { succeeded: number(1)?, failed: number(2)?, cancelled: number(3)?, open: number(4)?, blocked: number(5)? };
        let nth = usize::try_from(row.try_get::<_, i64>(0)? - 1).ok();
        if let Some(step) = nth.and_then(|nth| steps.get(nth)) {
            locked.flow.recounted(count(*step), counted);
        }
        witness = witness.or(row.try_get(6)?);
    }
    Ok(witness)
}

/// Deals with what was told of members of workflows that are gone. Needs a transaction.
pub(crate) async fn bury_reports(s: &mut Session<'_>) -> Result<(), Fault> {
    for row in s.rows(Q::ReportOrphans, &[&limit(STRAYS)]).await? {
        chores::unkeep_all(s, (row.try_get(0)?, row.try_get(1)?)).await?;
    }
    Ok(())
}

/// Tells workflows of ends that a program wrote which does not know what a member is, wherever they are.
pub(crate) async fn take_owed(s: &mut Session<'_>) -> Result<(), Fault> {
    s.rows(Q::OwedTake, &[&Uuid::nil(), &Uuid::max(), &limit(STRAYS)]).await?;
    s.own.reported = true;
    Ok(())
}
