use std::collections::HashSet;

use gristmill_core::kit::row::int;
use gristmill_core::workflow::Chore;
use gristmill_core::{CancelOutcome, TaskId};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::cancel::{block_again, cancel};
use super::flow::{self, Flows, Locked};
use super::limit;
use super::place::{place_of, went};
use super::specs::Specs;
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
    /// Of what is blocked again the history is deleted.
    forgets: bool,
    first: Uuid,
    last: Uuid,
}

/// Does what is to be done to the members of these workflows' steps, as much as one transaction may.
pub(super) async fn work(s: &mut Session<'_>, specs: &Specs, flows: &mut Flows) -> Result<Progress, Fault> {
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
        let (again, mend) = (Chore::Again, Chore::Mend);
        let others = [Chore::Keep, Chore::Cancel, Chore::LetGo, Chore::Unkeep].map(|chore| (chore, false));
        for (chore, forgets) in [(again, false), (again, true), (mend, false), (mend, true)].into_iter().chain(others) {
            let of: Vec<Part> = parts.iter().filter(|part| part.chore == chore && part.forgets == forgets).copied().collect();
            let acted = if of.is_empty() { Acted::default() } else { act(s, (chore, forgets.then_some(specs)), &of).await? };
            if acted.is_any && chore.is_of_retry() {
                // Whoever is blocked again has not ended any more, before anything follows. Of no others: what was reported of them meanwhile is
                // for who lets them go on.
                flow::take_reports(s, flows, &held).await?;
            }
            for (nth, part) in of.iter().enumerate() {
                let Some(locked) = flows.get_mut(&part.workflow) else { continue };
                let is_any = !part.again || acted.is_any;
                progress.is_more |= locked.did(part, acted.held.contains(&nth)) && is_any;
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
            let (high, again) = (of.row.tally.members, aside.again);
            let forgets = locked.flow.run.forgets && matches!(chore, Chore::Again | Chore::Mend);
            wanted.push(Part { workflow: *workflow, step, chore, low, high, is_last: true, again, forgets, first, last });
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

/// What became of some parts.
#[derive(Default)]
struct Acted {
    /// Somebody else has members of these in hand, each by its number among those parts.
    held: HashSet<usize>,
    /// Something was done.
    is_any: bool,
}

/// Does it to members of steps, but to those that somebody else has in hand.
async fn act(s: &mut Session<'_>, (chore, forgets): (Chore, Option<&Specs>), parts: &[Part]) -> Result<Acted, Fault> {
    let mut acted = Acted::default();
    let many_days = s.spare_days().await?;
    for near in together(parts, many_days) {
        let asked = Asked::new(near.iter().map(|n| parts[*n]));
        let some = match chore {
            Chore::LetGo => let_go(s, &asked).await?,
            Chore::Cancel => cancel_free(s, &asked).await?,
            Chore::Unkeep | Chore::Again | Chore::Mend | Chore::Keep => {
                let ids: Vec<Uuid> = members(s, &asked).await?.into_iter().map(|(_, id)| id).collect();
                let is_any = !ids.is_empty() && act_on_ended(s, (chore, forgets), &ids).await?;
                Acted { is_any, ..Acted::default() }
            }
        };
        acted.is_any |= some.is_any;
        acted.held.extend(some.held.into_iter().filter_map(|nth| near.get(nth)));
    }
    Ok(acted)
}

/// What is done to members that have ended, which nobody has in hand for long. Says whether anything was.
async fn act_on_ended(s: &mut Session<'_>, (chore, forgets): (Chore, Option<&Specs>), ids: &[Uuid]) -> Result<bool, Fault> {
    match chore {
        Chore::Unkeep => Ok(unkeep(s, ids).await? > 0),
        Chore::Again => block_again(s, ids, forgets).await,
        Chore::Mend => {
            let rows = s.rows(Q::OutcomeLacking, &[&ids]).await?;
            let lacking = rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<Vec<Uuid>, Fault>>()?;
            let is_any = block_again(s, &lacking, forgets).await?;
            Ok(is_any | (s.execute(Q::Rekeep, &[&ids]).await? > 0))
        }
        Chore::Keep => Ok(s.execute(Q::Rekeep, &[&ids]).await? > 0),
        Chore::LetGo | Chore::Cancel => Ok(false),
    }
}

/// Lets blocked members go.
async fn let_go(s: &mut Session<'_>, asked: &Asked) -> Result<Acted, Fault> {
    let mut acted = Acted::default();
    let now = s.now;
    for row in s.rows(Q::LetGo, &asked.params(&now)).await? {
        match row.try_get(0)? {
            Some(part) => acted.held.extend(nth(part)),
            None => {
                let (place, line) = (place_of(row.try_get(1)?), (row.try_get(2)?, row.try_get(3)?));
                went(s, place, line, u32::try_from(row.try_get::<_, i64>(4)?).unwrap_or(u32::MAX));
                acted.is_any = true;
            }
        }
    }
    Ok(acted)
}

/// Cancels members.
async fn cancel_free(s: &mut Session<'_>, asked: &Asked) -> Result<Acted, Fault> {
    let mut acted = Acted::default();
    let members = members(s, asked).await?;
    let ids: Vec<Uuid> = members.iter().map(|(_, id)| *id).collect();
    let rows = s.rows(Q::HeldLeases, &[&ids]).await?;
    let held = rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<HashSet<Uuid>, Fault>>()?;
    acted.held.extend(members.iter().filter(|(_, id)| held.contains(id)).map(|(part, _)| *part));
    let free: Vec<TaskId> = ids.into_iter().filter(|id| !held.contains(id)).map(TaskId::from_uuid).collect();
    for some in free.chunks(PART as usize) {
        acted.is_any |= cancel(s, some).await?.contains(&CancelOutcome::Cancelled);
    }
    Ok(acted)
}

/// The members of parts in their order, each with the number of its part.
async fn members(s: &mut Session<'_>, asked: &Asked) -> Result<Vec<(usize, Uuid)>, Fault> {
    let mut found = Vec::new();
    for row in s.rows(Q::MemberIds, &asked.params(&None)).await? {
        if let Some(part) = nth(row.try_get(0)?) {
            found.push((part, row.try_get::<_, i32>(1)?, row.try_get(2)?));
        }
    }
    found.sort_unstable_by_key(|(part, place, _)| (*part, *place));
    Ok(found.into_iter().map(|(part, _, id)| (part, id)).collect())
}

/// What statements number from one on.
fn nth(number: i64) -> Option<usize> {
    usize::try_from(number.checked_sub(1)?).ok()
}

/// Parts as statements take them.
struct Asked {
    workflows: Vec<Uuid>,
    steps: Vec<i32>,
    lows: Vec<i32>,
    highs: Vec<i32>,
    firsts: Vec<Uuid>,
    lasts: Vec<Uuid>,
    least: Option<Uuid>,
    greatest: Option<Uuid>,
}

impl Asked {
    fn new(parts: impl Iterator<Item = Part> + Clone) -> Self {
        Self {
            workflows: parts.clone().map(|part| part.workflow).collect(),
            steps: parts.clone().map(|part| int(part.step)).collect(),
            lows: parts.clone().map(|part| int(part.low)).collect(),
            highs: parts.clone().map(|part| int(part.high)).collect(),
            firsts: parts.clone().map(|part| part.first).collect(),
            lasts: parts.clone().map(|part| part.last).collect(),
            least: parts.clone().map(|part| part.first).min(),
            greatest: parts.map(|part| part.last).max(),
        }
    }

    fn params<'a>(&'a self, now: &'a Option<i64>) -> [&'a (dyn ToSql + Sync); 9] {
        let Self { workflows, steps, lows, highs, firsts, lasts, least, greatest } = self;
        [now, workflows, steps, lows, highs, firsts, lasts, least, greatest]
    }
}

/// Keeps members no longer than others. Says of how many it was not so.
async fn unkeep(s: &Session<'_>, ids: &[Uuid]) -> Result<u64, Fault> {
    let query = if s.spares_days() { Q::UnkeepOfDays } else { Q::Unkeep };
    s.execute(query, &[&ids]).await
}

/// Members that are kept for a workflow which is kept no longer itself are kept as others are. Says whether there may be more of them.
pub(super) async fn unkeep_orphans(s: &mut Session<'_>, (workflow, step): (Uuid, i32)) -> Result<bool, Fault> {
    let rows = s.rows(Q::MemberKept, &[&workflow, &step, &limit(PART as usize)]).await?;
    let ids = rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<Vec<Uuid>, Fault>>()?;
    s.spare_days().await?;
    unkeep(s, &ids).await?;
    Ok(ids.len() == PART as usize)
}
