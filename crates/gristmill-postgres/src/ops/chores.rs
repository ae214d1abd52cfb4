use std::collections::{BTreeMap, HashSet};

use gristmill_core::kit::row::int;
use gristmill_core::workflow::Chore;
use gristmill_core::{CancelOutcome, TaskId};
use uuid::Uuid;

use super::cancel::{block_again, cancel};
use super::flow::{self, Flows, Locked};
use super::limit;
use super::place::unblock;
use crate::error::Fault;
use crate::session::Session;
use crate::sql::Q;

/// So many members of a step are dealt with in one transaction; the others by sweeps, each in one of its own.
const PART: u32 = 1_000;
/// A day, as far as ids tell it: they begin with their time.
const DAY: u128 = 86_400_000 << 80;
/// So many of all steps together.
const AT_ONCE: u32 = 2_000;

/// How far a transaction came with what is to be done to members.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    /// Something was done to members, but to those that are come back to in vain.
    pub(crate) is_any: bool,
    /// More than was done is left to do to a step's members.
    pub(crate) is_more: bool,
    /// The transaction was full before it came to some steps.
    pub(crate) is_full: bool,
}

impl Progress {
    pub(crate) fn add(&mut self, other: Self) {
        let Self { is_any, is_more, is_full } = other;
        self.is_any |= is_any;
        self.is_more |= is_more;
        self.is_full |= is_full;
    }
}

/// Some members of a step, and what is done to them.
#[derive(Clone, Copy)]
struct Part {
    workflow: Uuid,
    step: u32,
    chore: Chore,
    low: u32,
    high: u32,
    is_last: bool,
    again: bool,
    first: Uuid,
    last: Uuid,
}

/// Does what is to be done to the members of these workflows' steps, as much as one transaction may.
pub(super) async fn work(s: &mut Session<'_>, flows: &mut Flows) -> Result<Progress, Fault> {
    let (mut progress, mut room, mut begun) = (Progress::default(), AT_ONCE, HashSet::new());
    let held = |(id, locked): (&Uuid, &Locked)| locked.flow.is_held().then_some(*id);
    let mut held: HashSet<Uuid> = flows.iter().filter_map(held).collect();
    loop {
        // What a retry held goes on once all of its members have been dealt with.
        held.retain(|id| {
            let Some(locked) = flows.get_mut(id).filter(|locked| !locked.flow.is_held()) else { return true };
            locked.flow.go_on();
            false
        });
        let parts = next(flows, &mut begun, &mut room, &mut progress);
        if parts.is_empty() {
            // Whoever promotes goes on with it, and need not wait for his turn to sweep.
            let is_more = progress.is_more || progress.is_full;
            s.own.chored |= is_more;
            s.effects.scheduled |= is_more;
            return Ok(progress);
        }
        let members = members(s, &parts).await?;
        for chore in [Chore::Again, Chore::Mend, Chore::Keep, Chore::Cancel, Chore::LetGo, Chore::Unkeep] {
            let of = |(part, _): &(&Part, &Vec<Uuid>)| part.chore == chore;
            let ids: Vec<Uuid> = parts.iter().zip(&members).filter(of).flat_map(|(_, ids)| ids.iter().copied()).collect();
            let acted = if ids.is_empty() { Acted::default() } else { act(s, chore, ids).await? };
            if acted.is_any && chore.is_of_retry() {
                // Whoever is blocked again has not ended any more, before anything follows.
                flow::take_reports(s, flows).await?;
            }
            for (part, ids) in parts.iter().zip(&members).filter(of) {
                let Some(locked) = flows.get_mut(&part.workflow) else { continue };
                let is_held = ids.iter().any(|id| acted.held.contains(id));
                let is_any = !part.again || acted.is_any;
                progress.is_more |= locked.did(part, is_held) && is_any;
                progress.is_any |= is_any;
            }
        }
    }
}

impl Locked {
    /// A part was done, but for those whom somebody's open transaction holds: they are come back to at last, so that they hold up no others.
    /// Returns whether the rest is to be done at once.
    fn did(&mut self, part: &Part, is_held: bool) -> bool {
        let Some(aside) = self.aside.get_mut(part.step as usize) else { return false };
        if part.low == 0 {
            aside.held_from = None;
        }
        if is_held {
            aside.held_from = Some(aside.held_from.map_or(part.low, |from| from.min(part.low)));
        }
        let next = if part.is_last { aside.held_from.take() } else { Some(part.high) };
        aside.again = next.is_some() && (part.again || part.is_last);
        self.flow.did(part.step, next);
        !part.is_last
    }
}

/// What comes next: of each step one part, and none a second time.
fn next(flows: &Flows, begun: &mut HashSet<(Uuid, u32, Chore)>, room: &mut u32, progress: &mut Progress) -> Vec<Part> {
    let mut wanted = Vec::new();
    for (workflow, locked) in flows {
        for ((step, of), aside) in (0..).zip(&locked.flow.steps).zip(&locked.aside) {
            let Some((chore, low)) = of.chore.filter(|(chore, _)| !begun.contains(&(*workflow, step, *chore))) else { continue };
            let (first, last) = aside.bounds.unwrap_or((Uuid::max(), Uuid::nil()));
            let high = of.row.tally.members;
            wanted.push(Part { workflow: *workflow, step, chore, low, high, is_last: true, again: aside.again, first, last });
        }
    }
    // The small ones first: all of these are done at once, as far as there is room.
    wanted.sort_by_key(|part| part.high.saturating_sub(part.low));
    let mut parts = Vec::new();
    for mut part in wanted {
        let high = part.high.min(part.low.saturating_add(PART.min(*room)));
        if high == part.low && high < part.high {
            // What is come back to may be held as long as somebody likes.
            progress.is_full |= !part.again;
            continue;
        }
        *room -= high.saturating_sub(part.low);
        begun.insert((part.workflow, part.step, part.chore));
        (part.is_last, part.high) = (high >= part.high, high);
        parts.push(part);
    }
    parts
}

/// The members of each part, in their order.
async fn members(s: &mut Session<'_>, parts: &[Part]) -> Result<Vec<Vec<Uuid>>, Fault> {
    let mut found = vec![Vec::new(); parts.len()];
    let many = s.spare_days().await?;
    for near in together(parts, many) {
        let asked: Vec<Part> = near.iter().map(|n| parts[*n]).collect();
        for (n, ids) in near.into_iter().zip(members_near(s, &asked).await?) {
            found[n] = ids;
        }
    }
    Ok(found)
}

/// Which parts are asked for by one statement: where many days are kept, those of about the same time, so that nobody opens all the days
/// between an old workflow and a new one.
fn together(parts: &[Part], many_days: bool) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..parts.len()).collect();
    if !many_days {
        return vec![order];
    }
    order.sort_by_key(|n| parts[*n].first);
    let (mut groups, mut until): (Vec<Vec<usize>>, u128) = (Vec::new(), 0);
    for n in order {
        match groups.last_mut().filter(|_| parts[n].first.as_u128() <= until) {
            Some(group) => group.push(n),
            None => groups.push(vec![n]),
        }
        until = until.max(parts[n].last.as_u128().saturating_add(DAY));
    }
    groups
}

async fn members_near(s: &mut Session<'_>, parts: &[Part]) -> Result<Vec<Vec<Uuid>>, Fault> {
    let workflows: Vec<Uuid> = parts.iter().map(|part| part.workflow).collect();
    let steps: Vec<i32> = parts.iter().map(|part| int(part.step)).collect();
    let lows: Vec<i32> = parts.iter().map(|part| int(part.low)).collect();
    let highs: Vec<i32> = parts.iter().map(|part| int(part.high)).collect();
    let firsts: Vec<Uuid> = parts.iter().map(|part| part.first).collect();
    let lasts: Vec<Uuid> = parts.iter().map(|part| part.last).collect();
    let (least, greatest) = (firsts.iter().min().copied(), lasts.iter().max().copied());
    let rows = s.rows(Q::MemberIds, &[&workflows, &steps, &lows, &highs, &firsts, &lasts, &least, &greatest]).await?;
    let mut found: Vec<BTreeMap<i32, Uuid>> = vec![BTreeMap::new(); parts.len()];
    for row in rows {
        let part = usize::try_from(row.try_get::<_, i64>(0)? - 1).unwrap_or(usize::MAX);
        if let Some(part) = found.get_mut(part) {
            part.insert(row.try_get(1)?, row.try_get(2)?);
        }
    }
    Ok(found.into_iter().map(|part| part.into_values().collect()).collect())
}

/// What became of it.
#[derive(Default)]
struct Acted {
    /// Somebody else has these in hand.
    held: HashSet<Uuid>,
    /// Something was done.
    is_any: bool,
}

/// Does it to members, but to those that somebody else has in hand.
async fn act(s: &mut Session<'_>, chore: Chore, ids: Vec<Uuid>) -> Result<Acted, Fault> {
    let query = match chore {
        Chore::LetGo => Q::HeldBlocked,
        Chore::Cancel => Q::HeldLeases,
        Chore::Unkeep => return Ok(Acted { is_any: s.execute(Q::Unkeep, &[&ids]).await? > 0, ..Acted::default() }),
        Chore::Again => return Ok(Acted { is_any: block_again(s, &ids).await?, ..Acted::default() }),
        Chore::Mend => {
            let rows = s.rows(Q::OutcomeLacking, &[&ids]).await?;
            let lacking = rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<Vec<Uuid>, Fault>>()?;
            let is_any = block_again(s, &lacking).await?;
            return Ok(Acted { is_any: is_any | (s.execute(Q::Rekeep, &[&ids]).await? > 0), ..Acted::default() });
        }
        Chore::Keep => return Ok(Acted { is_any: s.execute(Q::Rekeep, &[&ids]).await? > 0, ..Acted::default() }),
    };
    let rows = s.rows(query, &[&ids]).await?;
    let held = rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<HashSet<Uuid>, Fault>>()?;
    let free: Vec<TaskId> = ids.into_iter().filter(|id| !held.contains(id)).map(TaskId::from_uuid).collect();
    let mut is_any = false;
    for part in free.chunks(PART as usize) {
        is_any |= match chore {
            Chore::LetGo => unblock(s, part).await?.iter().any(Option::is_some),
            Chore::Cancel => cancel(s, part).await?.contains(&CancelOutcome::Cancelled),
            Chore::Unkeep | Chore::Again | Chore::Mend | Chore::Keep => false,
        };
    }
    Ok(Acted { held, is_any })
}

/// Members that are kept for a workflow which is kept no longer itself are kept as others are. Says whether there may be more of them.
pub(super) async fn unkeep_orphans(s: &mut Session<'_>, (workflow, step): (Uuid, i32)) -> Result<bool, Fault> {
    let rows = s.rows(Q::MemberKept, &[&workflow, &step, &limit(PART as usize)]).await?;
    let ids = rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<Vec<Uuid>, Fault>>()?;
    s.spare_days().await?;
    s.execute(Q::Unkeep, &[&ids]).await?;
    Ok(ids.len() == PART as usize)
}
