use std::collections::{HashMap, HashSet};

use gristmill_core::{Ending, Fence, LeaseRef, NewTask, Note, Points, Settled, Settlement, State, TaskId};
use uuid::Uuid;

use super::encode::{ms, storable, to_json};
use super::enqueue::enqueue;
use super::finish::{Taken, Word, finish};
use super::writes::Writes;
use crate::conn::Params;
use crate::error::Fault;
use crate::session::Session;
use crate::sql::Q;

/// The key of a lease: the order of arrival, and whether nothing is kept of a success, so that a settlement knows beforehand
/// which statement is its.
pub(crate) fn key(seq: i64, forget: bool) -> i64 {
    (seq << 1) | i64::from(forget)
}

/// Writes the end of attempts, each if its claim is still the newest; all of them in one commit, so that an error means none.
pub(crate) async fn settle(s: &mut Session<'_>, settlements: &[Settlement]) -> Result<Vec<Settled>, Fault> {
    let mut answers = vec![Settled::LeaseLost; settlements.len()];
    let mut batch = Batch::sort(settlements);
    let mut done = HashSet::new();
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
    /// All others, and what those statements left over.
    long: Vec<usize>,
}

impl Batch {
    fn sort(settlements: &[Settlement]) -> Self {
        let mut batch = Self { kept: Vec::new(), forgotten: Vec::new(), long: Vec::new() };
        let mut seen: HashSet<(TaskId, Fence)> = HashSet::with_capacity(settlements.len());
        for (n, settlement) in settlements.iter().enumerate() {
            // The same lease twice is settled once.
            if !seen.insert((settlement.lease.id, settlement.lease.fence)) {
                continue;
            }
            let plain = settlement.ending == Ending::Succeeded && settlement.children.is_empty();
            match (plain, settlement.lease.key & 1 == 1) {
                (true, false) => batch.kept.push(n),
                (true, true) => batch.forgotten.push(n),
                (false, _) => batch.long.push(n),
            }
        }
        for part in [&mut batch.kept, &mut batch.forgotten] {
            part.sort_unstable_by_key(|n| settlements[*n].lease.id);
        }
        batch
    }

    fn is_one_statement(&self) -> bool {
        self.long.is_empty() && self.kept.is_empty() != self.forgotten.is_empty()
    }

    /// Answers for what is done, and leaves the rest to the long way.
    fn divide(&mut self, done: &HashSet<Mark>, settlements: &[Settlement], answers: &mut [Settled]) {
        for n in std::mem::take(&mut self.kept).into_iter().chain(std::mem::take(&mut self.forgotten)) {
            if done.contains(&mark(&settlements[n].lease)) {
                answers[n] = Settled::Done(State::Succeeded);
            } else {
                self.long.push(n);
            }
        }
    }
}

/// Settles the plain successes, and says which. All or none of them, if they have to be `whole`.
async fn plain(s: &Session<'_>, settlements: &[Settlement], batch: &Batch, whole: bool) -> Result<HashSet<Mark>, Fault> {
    let mut done = HashSet::new();
    if !batch.kept.is_empty() {
        let chosen = || batch.kept.iter().map(|n| &settlements[*n]);
        let (ids, fences) = leases(chosen().map(|settlement| &settlement.lease));
        let ran: Vec<i64> = chosen().map(|settlement| ms(settlement.ran_for)).collect();
        let results: Vec<_> = chosen().map(|settlement| settlement.result.as_deref().map(storable)).collect();
        let logs: Vec<_> = chosen().map(|settlement| settlement.logs.as_deref().map(storable)).collect();
        let progress: Vec<_> = chosen().map(|settlement| settlement.progress.as_deref().map(to_json)).collect();
        let params: Params<'_> = &[&s.now, &ids, &fences, &ran, &results, &logs, &progress, &whole];
        done.extend(held(&s.rows(Q::SettlePlain, params).await?)?);
    }
    if !batch.forgotten.is_empty() {
        let (ids, fences) = leases(batch.forgotten.iter().map(|n| &settlements[*n].lease));
        done.extend(held(&s.rows(Q::SettleForget, &[&ids, &fences, &whole]).await?)?);
    }
    Ok(done)
}

/// Settles with everything that the tables know.
async fn long(s: &mut Session<'_>, settlements: &[Settlement], which: &[usize], answers: &mut [Settled]) -> Result<(), Fault> {
    let (ids, fences) = leases(which.iter().map(|n| &settlements[*n].lease));
    let rows = s.rows(Q::LeaseTake, &[&s.now, &ids, &fences]).await?;
    let leases = Taken::all(s, &rows).await?.into_iter();
    let mut taken: HashMap<Mark, Taken> = leases.map(|lease| ((lease.id, lease.fence), lease)).collect();
    let mut writes = Writes::default();
    let mut children: Vec<NewTask> = Vec::new();
    // In the order in which they were given, so that children arrive in it.
    let mut which = which.to_vec();
    which.sort_unstable();
    for n in which {
        let settlement = &settlements[n];
        let Some(lease) = taken.remove(&mark(&settlement.lease)) else { continue };
        s.effects.points.add(Points::SETTLE);
        let silent = match settlement.ending {
            // It sat in a buffer and never ran.
            Ending::Released => settlement.ran_for.is_zero(),
            Ending::Crashed => !lease.started,
            _ => false,
        };
        let word = Word {
            ending: settlement.ending,
            ran_for: (settlement.ending != Ending::Crashed).then_some(settlement.ran_for),
            silent,
            result: settlement.result.as_deref(),
            failure: settlement.failure.as_deref(),
            logs: settlement.logs.as_deref(),
            progress: settlement.progress.as_deref(),
        };
        let state = finish(lease, &word, &mut writes, &mut s.effects);
        if state == State::Succeeded {
            children.extend(settlement.children.iter().cloned());
        }
        answers[n] = Settled::Done(state);
    }
    writes.flush(s).await?;
    if !children.is_empty() {
        Box::pin(enqueue(s, &children)).await?;
    }
    Ok(())
}

/// Records that handlers are about to run.
pub(crate) async fn start(s: &mut Session<'_>, leases: &[LeaseRef]) -> Result<Vec<bool>, Fault> {
    let sorted = sorted(leases.iter());
    let (ids, fences) = self::leases(sorted.into_iter());
    let held = held(&s.rows(Q::LeaseStart, &[&ids, &fences]).await?)?;
    s.effects.points.add(Points::START);
    Ok(leases.iter().map(|lease| held.contains(&mark(lease))).collect())
}

/// Keeps logs and progress of running attempts.
pub(crate) async fn note(s: &mut Session<'_>, notes: &[Note]) -> Result<Vec<bool>, Fault> {
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
    let held = held(&s.rows(Q::LeaseNote, &[&ids, &fences, &logs, &progress]).await?)?;
    Ok(notes.iter().map(|note| held.contains(&mark(&note.lease))).collect())
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
