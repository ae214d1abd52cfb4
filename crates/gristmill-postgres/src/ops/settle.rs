use std::collections::{HashMap, HashSet};

use gristmill_core::kit::Word;
use gristmill_core::kit::encode::{ms, to_json};
use gristmill_core::{
    Ending, EnqueueOutcome, Fence, Flags, LeaseKey, LeaseRef, NewTask, Note, Points, Settled, Settlement, State, TaskId,
};
use uuid::Uuid;

use super::ended::end_attempt;
use super::enqueue::enqueue_after;
use super::storable;
use super::taken::Taken;
use super::writes::Writes;
use crate::conn::Params;
use crate::error::Fault;
use crate::session::Session;
use crate::sql::Q;

const FORGET: i64 = 1;
const MEMBER: i64 = 2;
const LIMITED: i64 = 4;

/// The key of a lease: the order of arrival, and, so that a settlement knows beforehand which statement is its, whether its task is a member of a
/// workflow or holds slots of keys, and whether nothing is kept of a success.
pub(crate) fn key(seq: i64, flags: Flags, forget: bool) -> LeaseKey {
    let says = |is: bool, what: i64| if is { what } else { 0 };
    let of_flags = says(flags.has(Flags::MEMBER), MEMBER) | says(flags.has(Flags::LIMITED), LIMITED);
    LeaseKey::of_number((seq << 3) | of_flags | says(forget, FORGET))
}

fn says(key: LeaseKey, what: i64) -> bool {
    key.number().is_some_and(|number| number & what != 0)
}

/// Writes the end of attempts, each if its claim is still the newest; all of them in one commit, so that an error means none.
pub(crate) async fn settle(s: &mut Session<'_>, settlements: &[Settlement]) -> Result<Vec<Settled>, Fault> {
    let mut answers = vec![Settled::LeaseLost; settlements.len()];
    let mut batch = Batch::sort(settlements);
    let mut done = HashSet::new();
    if (!batch.forgotten.is_empty() || !batch.members.is_empty()) && s.spare_days().await? {
        // Whose members they are is asked of their days alone there.
        batch.long.append(&mut batch.members);
    }
    // One statement is a transaction by itself, if it does all that there is to do.
    if batch.is_one_statement() && !s.is_open() {
        done = match plain(s, settlements, &batch, true).await {
            Err(fault) if fault.is_not_whole() => HashSet::new(),
            done => done?,
        };
    }
    if done.is_empty() && !settlements.is_empty() {
        s.begin().await?;
        done = plain(s, settlements, &batch, false).await?;
    }
    batch.divide(&done, settlements, &mut answers);
    for (settlement, _) in settlements.iter().zip(&answers).filter(|(_, answer)| **answer != Settled::LeaseLost) {
        s.effects.ended.push(settlement.lease.id);
        s.effects.points.add(Points::SETTLE);
    }
    if !batch.long.is_empty() {
        batch.long.sort_unstable_by_key(|n| settlements[*n].lease.id);
        long(s, settlements, &batch.long, &mut answers).await?;
    }
    Ok(answers)
}

/// The same, but of what somebody else has in hand: that is left to a later try. Needs a transaction.
pub(crate) async fn settle_free(s: &mut Session<'_>, settlements: &[Settlement]) -> Result<Vec<Settled>, Fault> {
    let held = held_by_others(s, settlements.iter().map(|settlement| &settlement.lease)).await?;
    let free: Vec<usize> = (0..settlements.len()).filter(|n| !held.contains(&mark(&settlements[*n].lease))).collect();
    let chosen: Vec<Settlement> = free.iter().map(|n| settlements[*n].clone()).collect();
    let mut answers = vec![Settled::Later; settlements.len()];
    for (n, answer) in free.into_iter().zip(settle(s, &chosen).await?) {
        answers[n] = answer;
    }
    Ok(answers)
}

/// Locks those leases that are free; returns the others that are there.
async fn held_by_others<'a>(s: &Session<'_>, of: impl Iterator<Item = &'a LeaseRef>) -> Result<HashSet<Mark>, Fault> {
    let (ids, fences) = leases(sorted(of).into_iter());
    let (mut free, mut there) = (HashSet::new(), HashSet::new());
    for row in s.rows(Q::LeaseFree, &[&ids, &fences]).await? {
        let mark: Mark = (row.try_get(0)?, row.try_get(1)?);
        if row.try_get(2)? {
            free.insert(mark)
        } else {
            there.insert(mark)
        };
    }
    Ok(&there - &free)
}

/// A task and the fence of its claim.
type Mark = (Uuid, Uuid);

fn mark(lease: &LeaseRef) -> Mark {
    (lease.id.as_uuid(), lease.fence.as_uuid())
}

/// Which settlements go which way.
struct Batch {
    /// Plain successes that are kept.
    kept: Vec<usize>,
    /// Plain successes of which nothing is kept.
    forgotten: Vec<usize>,
    /// Those of members of workflows.
    members: Vec<usize>,
    /// Those that hold slots of keys, and are kept.
    limited: Vec<usize>,
    /// All others, and what those statements left over.
    long: Vec<usize>,
}

impl Batch {
    fn sort(settlements: &[Settlement]) -> Self {
        let mut batch =
            Self { kept: Vec::new(), forgotten: Vec::new(), members: Vec::new(), limited: Vec::new(), long: Vec::new() };
        let mut seen: HashSet<(TaskId, Fence)> = HashSet::with_capacity(settlements.len());
        for (n, settlement) in settlements.iter().enumerate() {
            // The same lease twice is settled once.
            if !seen.insert((settlement.lease.id, settlement.lease.fence)) {
                continue;
            }
            let plain = settlement.ending == Ending::Succeeded && settlement.children.is_empty();
            let key = settlement.lease.key;
            let part = match (plain, says(key, MEMBER), says(key, LIMITED), says(key, FORGET)) {
                (true, false, false, false) => &mut batch.kept,
                (true, false, false, true) => &mut batch.forgotten,
                (true, true, false, _) => &mut batch.members,
                (true, false, true, false) => &mut batch.limited,
                _ => &mut batch.long,
            };
            part.push(n);
        }
        for part in [&mut batch.kept, &mut batch.forgotten, &mut batch.members, &mut batch.limited] {
            part.sort_unstable_by_key(|n| settlements[*n].lease.id);
        }
        batch
    }

    fn is_one_statement(&self) -> bool {
        let parts = [&self.kept, &self.forgotten, &self.members, &self.limited];
        self.long.is_empty() && parts.iter().filter(|part| !part.is_empty()).count() == 1
    }

    /// Answers for what is done, and leaves the rest to the long way.
    fn divide(&mut self, done: &HashSet<Mark>, settlements: &[Settlement], answers: &mut [Settled]) {
        for n in [&mut self.kept, &mut self.forgotten, &mut self.members, &mut self.limited].into_iter().flat_map(std::mem::take)
        {
            if done.contains(&mark(&settlements[n].lease)) {
                answers[n] = Settled::Done(State::Succeeded);
            } else {
                self.long.push(n);
            }
        }
    }
}

/// Settles the plain successes, and says which. All or none of them, if they have to be `whole`.
async fn plain(s: &mut Session<'_>, settlements: &[Settlement], batch: &Batch, whole: bool) -> Result<HashSet<Mark>, Fault> {
    let mut done = HashSet::new();
    let parts = [(Q::SettlePlain, &batch.kept), (Q::SettleMembers, &batch.members), (Q::SettleLimited, &batch.limited)];
    for (query, part) in parts {
        if part.is_empty() {
            continue;
        }
        let chosen = || part.iter().map(|n| &settlements[*n]);
        let (ids, fences) = leases(chosen().map(|settlement| &settlement.lease));
        let ran: Vec<i64> = chosen().map(|settlement| ms(settlement.ran_for)).collect();
        let results: Vec<_> = chosen().map(|settlement| settlement.result.as_deref().map(storable)).collect();
        let logs: Vec<_> = chosen().map(|settlement| settlement.logs.as_deref().map(storable)).collect();
        let progress: Vec<_> = chosen().map(|settlement| settlement.progress.as_deref().map(to_json)).collect();
        let params: Params<'_> = &[&s.now, &ids, &fences, &ran, &results, &logs, &progress, &whole, &s.lock_wait];
        done.extend(held(&s.rows(query, params).await?)?);
        s.own.reported |= query == Q::SettleMembers;
        s.own.touched |= query == Q::SettleLimited;
    }
    if !batch.forgotten.is_empty() {
        let (ids, fences) = leases(batch.forgotten.iter().map(|n| &settlements[*n].lease));
        let query = if s.spares_days() { Q::SettleForgetOfDays } else { Q::SettleForget };
        let forgotten = held(&s.rows(query, &[&ids, &fences, &whole, &s.lock_wait]).await?)?;
        if s.spares_days() && !forgotten.is_empty() {
            s.execute(Q::TaskDelete, &[&forgotten.iter().map(|mark| mark.0).collect::<Vec<_>>()]).await?;
        }
        done.extend(forgotten);
    }
    Ok(done)
}

/// Settles with everything that the tables know.
async fn long(s: &mut Session<'_>, settlements: &[Settlement], which: &[usize], answers: &mut [Settled]) -> Result<(), Fault> {
    let (ids, fences) = leases(which.iter().map(|n| &settlements[*n].lease));
    let leases = Taken::take(s, &ids, &fences).await?.into_iter();
    let mut taken: HashMap<Mark, Taken> = leases.map(|lease| ((lease.id, lease.fence), lease)).collect();
    // In the order in which they were given, so that children arrive in it.
    let mut which = which.to_vec();
    which.sort_unstable();
    which.retain(|n| taken.contains_key(&mark(&settlements[*n].lease)));
    let refused = bear(s, settlements, &which).await?;
    let mut writes = Writes::default();
    for n in which {
        let Some(lease) = taken.remove(&mark(&settlements[n].lease)) else { continue };
        let failed = refused.get(&n).map(|child| settlements[n].refused(*child));
        let settlement = failed.as_ref().unwrap_or(&settlements[n]);
        s.effects.points.add(Points::SETTLE);
        let word = Word::of(settlement, lease.started);
        answers[n] = Settled::Done(end_attempt(lease, &word, &mut writes, &mut s.effects));
    }
    writes.flush(s).await
}

/// Enqueues the children of those that succeeded. Of a settlement one of whose children is refused, as another task has its id,
/// none is kept; these are returned with the refused one.
async fn bear(s: &mut Session<'_>, settlements: &[Settlement], which: &[usize]) -> Result<HashMap<usize, TaskId>, Fault> {
    let mut refused = HashMap::new();
    loop {
        let parents = which.iter().filter(|n| settlements[**n].ending == Ending::Succeeded && !refused.contains_key(*n));
        let (mut children, mut parent_of): (Vec<&NewTask>, Vec<usize>) = (Vec::new(), Vec::new());
        for n in parents {
            let own = &settlements[*n].children;
            children.extend(own.iter());
            parent_of.extend(own.iter().map(|_| *n));
        }
        if children.is_empty() {
            return Ok(refused);
        }
        // What was kept of a refused one's siblings has to go.
        s.begin().await?;
        s.savepoint().await?;
        let ending: Vec<Uuid> = which.iter().map(|n| settlements[*n].lease.id.as_uuid()).collect();
        let outcomes = Box::pin(enqueue_after(s, &children, &ending)).await?;
        let before = refused.len();
        for ((n, child), outcome) in parent_of.iter().zip(&children).zip(outcomes) {
            if outcome == EnqueueOutcome::Conflict {
                refused.entry(*n).or_insert(child.id);
            }
        }
        if refused.len() == before {
            return Ok(refused);
        }
        s.undo_to_savepoint().await?;
    }
}

/// Records that handlers are about to run.
pub(crate) async fn start(s: &mut Session<'_>, leases: &[LeaseRef]) -> Result<Vec<bool>, Fault> {
    let sorted = sorted(leases.iter());
    let (ids, fences) = self::leases(sorted.into_iter());
    let held = held(&s.rows(Q::LeaseStart, &[&ids, &fences, &s.lock_wait]).await?)?;
    s.effects.points.add(Points::START);
    Ok(leases.iter().map(|lease| held.contains(&mark(lease))).collect())
}

/// Keeps logs and progress of running attempts.
pub(crate) async fn note(s: &mut Session<'_>, notes: &[Note]) -> Result<Vec<bool>, Fault> {
    s.effects.changed = true;
    // Of several notes about one attempt the last word of each sort counts, as if they had come one by one.
    let mut last: HashMap<Mark, (Option<String>, Option<String>)> = HashMap::new();
    for note in notes {
        let entry = last.entry(mark(&note.lease)).or_default();
        if let Some(logs) = &note.logs {
            entry.0 = Some(storable(logs).into_owned());
        }
        if let Some(progress) = &note.progress {
            entry.1 = Some(to_json(progress));
        }
    }
    let sorted = sorted(notes.iter().map(|note| &note.lease));
    let (ids, fences) = leases(sorted.into_iter());
    let (logs, progress): (Vec<_>, Vec<_>) =
        ids.iter().zip(&fences).map(|key| last.remove(&(*key.0, *key.1)).unwrap_or_default()).unzip();
    let held = held(&s.rows(Q::LeaseNote, &[&ids, &fences, &logs, &progress, &s.lock_wait]).await?)?;
    Ok(notes.iter().map(|note| held.contains(&mark(&note.lease))).collect())
}

/// Keeps what is said of those attempts whose lease nobody else has in hand. Needs a transaction.
pub(crate) async fn note_free(s: &mut Session<'_>, notes: &[Note]) -> Result<(), Fault> {
    let held = held_by_others(s, notes.iter().map(|note| &note.lease)).await?;
    let free: Vec<Note> = notes.iter().filter(|note| !held.contains(&mark(&note.lease))).cloned().collect();
    note(s, &free).await.map(drop)
}

/// Each lease once, in the order of the ids.
fn sorted<'a>(leases: impl Iterator<Item = &'a LeaseRef>) -> Vec<&'a LeaseRef> {
    let mut sorted: Vec<_> = leases.collect();
    sorted.sort_unstable_by_key(|lease| (lease.id, lease.fence));
    sorted.dedup_by_key(|lease| (lease.id, lease.fence));
    sorted
}

fn leases<'a>(leases: impl Iterator<Item = &'a LeaseRef>) -> (Vec<Uuid>, Vec<Uuid>) {
    leases.map(mark).unzip()
}

fn held(rows: &[tokio_postgres::Row]) -> Result<HashSet<Mark>, Fault> {
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}
