//! What makes good for workflows what a crash, a lost wake-up or a broken counter left behind.

use std::collections::BTreeMap;
use std::time::Duration;

use gristmill_core::State;
use gristmill_core::kit::encode::ended_of;
use gristmill_core::kit::row::count;
use gristmill_core::workflow::{Counted, QUIET_MAX};
use tokio_postgres::Row;
use uuid::Uuid;

use super::chores;
use super::flow::{self, Flows};
use super::specs::{Key, Specs};
use super::{limit, wait};
use crate::error::Fault;
use crate::session::Session;
use crate::sql::Q;

/// Of so many workflows members are dealt with by one sweep.
const CHORED: usize = 100;
/// So many that have stood still are looked at by one.
const QUIET: usize = 1_000;
/// So many members are counted anew by one, and the rest of the last workflow.
const COUNTED: u32 = 100_000;
/// A workflow that is counted costs as much as so many members.
const ONE_BY_ONE: u32 = 1_000;
/// Reports of workflows that are gone, and ends that were left owed, which one sweep deals with.
const STRAYS: usize = 1_000;
/// Steps of workflows that are gone with more members than one transaction deals with, after which the rest is left.
const LEFT_MAX: usize = 5;

/// What a sweep has to do for workflows.
#[derive(Debug, Default)]
pub(crate) struct Due {
    /// Something is still to be done to members of these, and maybe of more.
    pub(crate) chored: Vec<Uuid>,
    pub(crate) more_chored: bool,
    /// These have stood still for long.
    pub(crate) quiet: Vec<Uuid>,
    /// Something was told of members whose workflow is gone.
    pub(crate) is_stray: bool,
    /// The deadlines of these have passed, and maybe of more.
    pub(crate) late: Vec<Uuid>,
    pub(crate) more_late: bool,
    /// How long it is until the next one does.
    pub(crate) next_late: Option<Duration>,
}

/// Looks for it, for workflows whose members are still to be dealt with from behind one on.
pub(crate) async fn due(s: &Session<'_>, after: Uuid) -> Result<Due, Fault> {
    let still = i64::try_from(QUIET_MAX.as_millis()).unwrap_or(i64::MAX);
    let Some(row) = s.row(Q::WorkflowDue, &[&s.now, &still, &limit(CHORED), &after, &limit(QUIET)]).await? else {
        return Ok(Due::default());
    };
    let (chored, quiet): (Vec<Uuid>, Vec<Uuid>) = (row.try_get(0)?, row.try_get(1)?);
    let (late, next_late): (Vec<Uuid>, Option<i64>) = (row.try_get(3)?, row.try_get(4)?);
    let (more_chored, more_late) = (chored.len() == CHORED, late.len() == CHORED);
    Ok(Due { more_chored, chored, quiet, is_stray: row.try_get(2)?, more_late, late, next_late: next_late.map(wait) })
}

/// Whether what is blocked in some queues waits for a sweep alone, and not for other tasks. What can't be read goes on by no sweep.
pub(crate) async fn has_to_go_on(s: &Session<'_>, specs: &Specs, queues: &[String]) -> Result<bool, Fault> {
    let rows = s.rows(Q::PendingWorkflows, &[&queues, &limit(STRAYS)]).await?;
    let keys = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<Vec<Key>, Fault>>()?;
    Ok(!specs.of(s, &keys).await?.is_empty())
}

/// Lets workflows go on that have stood still, and counts the members anew of those of their steps that go, unless a member of the step is
/// known that can still end: nothing is missing there as long as it can. Says whether there may be more. Needs a transaction.
pub(crate) async fn repair(s: &mut Session<'_>, specs: &Specs, quiet: &[Uuid]) -> Result<bool, Fault> {
    let locked = flow::lock(s, quiet).await?;
    if locked.is_empty() {
        return Ok(false);
    }
    s.spare_days().await?;
    let mut looks = looks(s, &locked).await?;
    let (mut room, mut seen, mut is_more) = (COUNTED, Seen::default(), quiet.len() == QUIET);
    let (mut whole, mut lacking) = (Vec::new(), Vec::new());
    for key in locked {
        let look = looks.remove(&key.0).unwrap_or_default();
        if room == 0 {
            is_more = true;
            continue;
        }
        seen.workflows.push(key.0);
        if !look.lacking.is_empty() {
            room = room.saturating_sub(ONE_BY_ONE.saturating_add(look.members));
            lacking.push((key, look.lacking));
        } else if !look.is_attested {
            room = room.saturating_sub(look.steps);
            whole.push(key);
        }
    }
    let mut flows = flow::take(s, specs, &whole).await?;
    go_on(s, specs, &mut flows).await?;
    for (key, steps) in lacking {
        let mut flows = flow::take(s, specs, &[key]).await?;
        recount(s, &mut flows, &steps, &mut seen).await?;
        go_on(s, specs, &mut flows).await?;
    }
    // What was told meanwhile was passed over by others.
    s.own.reported = true;
    let Seen { workflows, of, steps, witnesses } = seen;
    s.execute(Q::WorkflowTouch, &[&s.now, &workflows, &of, &steps, &witnesses]).await?;
    Ok(is_more)
}

async fn go_on(s: &mut Session<'_>, specs: &Specs, flows: &mut Flows) -> Result<(), Fault> {
    flows.values_mut().for_each(|locked| locked.flow.go_on());
    chores::work(s, specs, flows).await?;
    flow::write(s, flows).await
}

/// How a workflow stands that stood still.
#[derive(Default)]
struct Look {
    steps: u32,
    /// A member of it is known that can still end.
    is_attested: bool,
    /// Members of these steps may have ended unheard, and so many they are.
    lacking: Vec<i32>,
    members: u32,
}

async fn looks(s: &Session<'_>, locked: &[Key]) -> Result<BTreeMap<Uuid, Look>, Fault> {
    let ids: Vec<Uuid> = locked.iter().map(|(id, _)| *id).collect();
    let number = |n: i64| u32::try_from(n).unwrap_or(u32::MAX);
    let look = |row: &Row| {
        let (steps, members) = (number(row.try_get(1)?), number(row.try_get(4)?));
        Ok((row.try_get(0)?, Look { steps, is_attested: row.try_get(2)?, lacking: row.try_get(3)?, members }))
    };
    s.rows(Q::WitnessLook, &[&ids]).await?.iter().map(look).collect()
}

/// What was looked at.
#[derive(Default)]
struct Seen {
    workflows: Vec<Uuid>,
    /// Of these workflows' steps a member is known that can still end.
    of: Vec<Uuid>,
    steps: Vec<i32>,
    witnesses: Vec<Uuid>,
}

/// Counts the members of steps of one workflow.
async fn recount(s: &mut Session<'_>, flows: &mut Flows, lacking: &[i32], seen: &mut Seen) -> Result<(), Fault> {
    let Some((id, locked)) = flows.iter_mut().next() else { return Ok(()) };
    let (mut steps, mut firsts, mut lasts) = (Vec::new(), Vec::new(), Vec::new());
    for number in lacking {
        if let Some((first, last)) = locked.aside.get(count(*number) as usize).and_then(|aside| aside.bounds) {
            steps.push(*number);
            firsts.push(first);
            lasts.push(last);
        }
    }
    let (Some(least), Some(greatest)) = (firsts.iter().min(), lasts.iter().max()) else { return Ok(()) };
    // Those that were left owed are told, and counted with the next look.
    s.rows(Q::OwedTake, &[least, greatest, &limit(STRAYS)]).await?;
    let workflows = vec![*id; steps.len()];
    for row in s.rows(Q::MemberCount, &[&workflows, &steps, &firsts, &lasts, least, greatest]).await? {
        let number = |n| Ok::<_, Fault>(u32::try_from(row.try_get::<_, i64>(n)?).unwrap_or(u32::MAX));
        let counted =
            Counted { succeeded: number(1)?, failed: number(2)?, cancelled: number(3)?, open: number(4)?, blocked: number(5)? };
        let nth = usize::try_from(row.try_get::<_, i64>(0)? - 1).ok();
        let Some(step) = nth.and_then(|nth| steps.get(nth)) else { continue };
        locked.flow.recounted(count(*step), counted);
        if let Some(witness) = row.try_get(6)? {
            seen.of.push(*id);
            seen.steps.push(*step);
            seen.witnesses.push(witness);
        }
    }
    Ok(())
}

/// Those that can't be looked at are looked at again only after as long as others: they would hide those behind them.
pub(crate) async fn look_later(s: &Session<'_>, ids: &[Uuid]) -> Result<(), Fault> {
    let none: (Vec<Uuid>, Vec<i32>) = Default::default();
    s.execute(Q::WorkflowTouch, &[&s.now, &ids, &none.0, &none.1, &none.0]).await?;
    Ok(())
}

/// The same for those that can't be cancelled although their deadline has passed.
pub(crate) async fn postpone(s: &Session<'_>, id: Uuid) -> Result<(), Fault> {
    let later = i64::try_from(QUIET_MAX.as_millis()).unwrap_or(i64::MAX);
    s.execute(Q::WorkflowPostpone, &[&s.now, &id, &later]).await?;
    Ok(())
}

/// Deals with what was told of members of workflows that are gone. Says whether there may be more. Needs a transaction.
pub(crate) async fn bury_reports(s: &mut Session<'_>) -> Result<bool, Fault> {
    let (mut workflows, mut steps) = (Vec::new(), Vec::new());
    for row in s.rows(Q::ReportOrphans, &[&limit(STRAYS)]).await? {
        let of: (Uuid, i32) = (row.try_get(0)?, row.try_get(1)?);
        // Each may have thousands: what is left is told anew.
        if workflows.len() >= LEFT_MAX || chores::unkeep_orphans(s, of).await? {
            workflows.push(of.0);
            steps.push(of.1);
        }
    }
    if !workflows.is_empty() {
        let ended = vec![ended_of(State::Succeeded); workflows.len()];
        s.execute(Q::ReportInsert, &[&workflows, &steps, &ended]).await?;
    }
    Ok(!workflows.is_empty())
}

/// Tells workflows of ends that a program wrote which does not know what a member is, wherever they are. Needs a transaction.
pub(crate) async fn take_owed(s: &mut Session<'_>) -> Result<(), Fault> {
    let rows = s.rows(Q::OwedLook, &[&limit(STRAYS)]).await?;
    let owed = rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<Vec<Uuid>, Fault>>()?;
    if let (Some(least), Some(greatest)) = (owed.iter().min(), owed.iter().max()) {
        // Whatever opens days for writing opens those of these ids alone.
        s.spare_days().await?;
        s.rows(Q::OwedTake, &[least, greatest, &limit(STRAYS)]).await?;
        s.own.reported = true;
    }
    Ok(())
}
