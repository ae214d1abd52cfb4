//! What a task remembers, written on the fence of its attempt; how an attempt ends to wait; and who stands still.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gristmill_core::durable::{Awaits, Checkpoint, Due, Kept, MISMATCH_AT, Memory, Resume, Resumed};
use gristmill_core::kit::Word;
use gristmill_core::kit::encode::to_json;
use gristmill_core::kit::row::int;
use gristmill_core::workflow::{NewWorkflow, Order, Started};
use gristmill_core::{
    Ending, EnqueueOutcome, InvalidInput, NewTask, Points, Settled, Settlement, State, StoreError, StoreErrorKind, TaskId,
};
use tokio_postgres::Row;
use uuid::Uuid;

use super::ended::end_attempt;
use super::enqueue::{check, enqueue, know};
use super::limit;
use super::place::{arrived_somewhere, place_of};
use super::specs::Specs;
use super::taken::Taken;
use super::waits::{Awaited, came};
use super::workflow::{Starting, order, start_workflow};
use super::writes::Writes;
use crate::conn::Params;
use crate::error::Fault;
use crate::session::Session;
use crate::sql::Q;
use crate::view;

/// What became of a checkpoint.
pub(crate) struct Checkpointed {
    pub(crate) settled: Settled,
    /// What its task waits for from now on, which may have come just now.
    pub(crate) awaits: Vec<Awaits>,
}

impl From<Settled> for Checkpointed {
    fn from(settled: Settled) -> Self {
        Self { settled, awaits: Vec::new() }
    }
}

/// What can't be kept is refused before anything is sent.
pub(crate) fn check_memories(checkpoint: &Checkpoint) -> Result<(), Fault> {
    checkpoint.check().map_err(StoreError::from)?;
    check(checkpoint.children.iter())?;
    for memory in &checkpoint.memories {
        let text = memory.kept.to_row().text;
        if [Some(&memory.name), text.as_ref()].into_iter().flatten().any(|text| text.contains('\0')) {
            let position = memory.position;
            return Err(Fault::invalid(format!("step {position} holds a NUL character, which PostgreSQL can't keep")));
        }
    }
    Ok(())
}

/// Keeps what an attempt has done so far, and ends it if it is to wait; `starting`: the workflow that is started with it.
pub(crate) async fn checkpoint(
    s: &mut Session<'_>,
    checkpoint: &Checkpoint,
    starting: Option<&(Starting, NewWorkflow)>,
) -> Result<Checkpointed, Fault> {
    let is_alone = checkpoint.children.is_empty() && starting.is_none();
    if !is_alone {
        // Before the transaction, in which others would wait for a new name.
        let members = starting.iter().flat_map(|(_, new)| &new.members);
        know(s, checkpoint.children.iter().chain(members)).await?;
    }
    match checkpoint.suspend {
        Some(due) => suspend(s, checkpoint, due, starting).await,
        None if is_alone => Ok(remember(s, checkpoint).await?.into()),
        None => {
            s.begin().await?;
            // The answer to it was lost: what came with it may have ended and be gone by now, and would be run twice.
            let is_done = is_known(s, checkpoint).await?;
            let settled = remember(s, checkpoint).await?;
            if settled != Settled::LeaseLost && !is_done {
                bring(s, &checkpoint.children, starting).await?;
            }
            Ok(settled.into())
        }
    }
}

/// Whether a task remembers all of this already.
async fn is_known(s: &Session<'_>, checkpoint: &Checkpoint) -> Result<bool, Fault> {
    let Columns { position, name, occurrence, code, .. } = &Columns::of(&checkpoint.memories, false);
    if position.is_empty() {
        return Ok(false);
    }
    let id = checkpoint.lease.id.as_uuid();
    let known = s.row(Q::MemoryKnown, &[&id, position, name, occurrence, code]).await?;
    let known: i64 = known.map_or(Ok(0), |row| row.try_get(0))?;
    Ok(usize::try_from(known).is_ok_and(|known| known == position.len()))
}

/// One statement, which is a transaction by itself.
async fn remember(s: &mut Session<'_>, checkpoint: &Checkpoint) -> Result<Settled, Fault> {
    let columns = Columns::of(&checkpoint.memories, false);
    let Columns { position, name, occurrence, code, text, until, awaits } = &columns;
    let (id, fence) = (checkpoint.lease.id.as_uuid(), checkpoint.lease.fence.as_uuid());
    let held = s.row(Q::MemoryKeep, &[&id, &fence, position, name, occurrence, code, text, until, awaits]).await?;
    s.effects.changed = true;
    Ok(held.map_or(Settled::LeaseLost, |_| Settled::Done(State::Running)))
}

/// Enqueues and starts what comes with a checkpoint; an error if any of it is refused, as then nothing is to be kept.
async fn bring(s: &mut Session<'_>, children: &[NewTask], starting: Option<&(Starting, NewWorkflow)>) -> Result<(), Fault> {
    let refused = |field, problem| Err(StoreError::from(InvalidInput::new(field, problem)).into());
    if !children.is_empty() {
        let children: Vec<&NewTask> = children.iter().collect();
        let outcomes = Box::pin(enqueue(s, &children)).await?;
        if let Some((child, _)) = children.iter().zip(outcomes).find(|(_, outcome)| *outcome == EnqueueOutcome::Conflict) {
            return refused("children", format!("have the id {}, which is another task's", child.id));
        }
    }
    if let Some((starting, new)) = starting
        && start_workflow(s, starting, new).await? == Started::Conflict
    {
        return refused("workflow", "has members whose ids are other tasks'".to_owned());
    }
    Ok(())
}

/// Ends an attempt so that nothing of it remains but what its task remembers. What the task waits for is looked for here and, as it may be
/// committed at this moment, once more after the commit, by whoever called this.
async fn suspend(
    s: &mut Session<'_>,
    checkpoint: &Checkpoint,
    due: Due,
    starting: Option<&(Starting, NewWorkflow)>,
) -> Result<Checkpointed, Fault> {
    s.begin().await?;
    let id = checkpoint.lease.id.as_uuid();
    let taken = Taken::take(s, &[id], &[checkpoint.lease.fence.as_uuid()]).await?.pop();
    let Some(mut taken) = taken else { return Ok(Settled::LeaseLost.into()) };
    s.effects.points.add(Points::SETTLE);
    let (mut writes, mut settlement) = (Writes::default(), Settlement::new(checkpoint.lease, Ending::Cancelled));
    let mut awaits = Vec::new();
    if !taken.held().cancel_requested {
        let (arming, is_told) = arm(s, &taken, &checkpoint.memories).await?;
        awaits = arming;
        bring(s, &checkpoint.children, starting).await?;
        let has_come = take_what_came(s, id, &awaits).await? || is_told;
        if has_come {
            awaits.clear();
        }
        let delay = if has_come { Duration::ZERO } else { due.delay(taken.now) };
        settlement = Settlement { logs: checkpoint.logs.clone(), ..Settlement::new(checkpoint.lease, Ending::Snooze { delay }) };
        // It was started in time.
        if let Some(facts) = taken.facts.as_mut().filter(|facts| facts.expires_at.is_some()) {
            facts.expires_at = None;
            s.execute(Q::TaskUnexpire, &[&vec![id]]).await?;
        }
    }
    let silent = settlement.logs.is_none() && settlement.ending != Ending::Cancelled;
    let word = Word { silent, ran_for: None, ..Word::of(&settlement, taken.started) };
    let state = end_attempt(taken, &word, &mut writes, &mut s.effects);
    writes.flush(s).await?;
    Ok(Checkpointed { settled: Settled::Done(state), awaits })
}

/// Keeps what a task waits for, to be found by it from now on, and by nothing else any more. Locked: whoever tells of it does so before or after
/// this. Returns what that is, and whether some of it was told already.
async fn arm(s: &mut Session<'_>, taken: &Taken, memories: &[Memory]) -> Result<(Vec<Awaits>, bool), Fault> {
    let columns = Columns::of(memories, true);
    let Columns { position, name, occurrence, code, text, until, awaits } = &columns;
    let claim_no = int(taken.claim_no);
    let params: Params<'_> = &[&taken.id, &taken.seq, position, name, occurrence, code, text, until, awaits, &claim_no];
    let kept = s.rows(Q::MemoryPut, params).await?;
    let kept = kept.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<BTreeSet<i32>, Fault>>()?;
    let last: BTreeMap<u32, &Memory> = memories.iter().map(|memory| (memory.position, memory)).collect();
    let (waits, told): (Vec<_>, Vec<_>) = last.into_values().partition(|memory| kept.contains(&int(memory.position)));
    let is_told = told.iter().any(|memory| memory.kept.awaits().is_some());
    Ok((waits.iter().filter_map(|memory| memory.kept.awaits()).collect(), is_told))
}

/// Gives a task that is in no place what has come already of what it waits for. Says whether anything has.
async fn take_what_came(s: &mut Session<'_>, id: Uuid, awaits: &[Awaits]) -> Result<bool, Fault> {
    let came = came(s, &Awaited::of(awaits)).await?;
    came.give_to(s, &[id]).await?;
    Ok(!came.is_nothing())
}

/// What a row says in its columns from one on: code, text, until.
pub(crate) fn kept(task: Uuid, position: i32, row: &Row, from: usize) -> Result<Kept, Fault> {
    let code: i16 = row.try_get(from)?;
    Kept::of_row(code.into(), row.try_get(from + 1)?, row.try_get(from + 2)?).ok_or_else(|| {
        let what = format!("what the task {task} remembers of its step {position} can't be read (code {code})");
        let hint = "it was written by a newer version, or is damaged; what it did is not done again";
        Fault::Store(StoreError::new(StoreErrorKind::Corrupt, format!("{what}: {hint}")))
    })
}

/// Memories as columns.
#[derive(Default)]
struct Columns {
    position: Vec<i32>,
    name: Vec<String>,
    occurrence: Vec<i32>,
    code: Vec<i16>,
    text: Vec<Option<String>>,
    until: Vec<Option<i64>>,
    awaits: Vec<Option<String>>,
}

impl Columns {
    /// With what is waited for, if the task `waits` from now on.
    fn of(memories: &[Memory], waits: bool) -> Self {
        // Of several at one position the last counts, and a statement writes each row once.
        let last: BTreeMap<u32, &Memory> = memories.iter().map(|memory| (memory.position, memory)).collect();
        let mut columns = Self::default();
        for memory in last.into_values() {
            let row = memory.kept.to_row();
            columns.position.push(int(memory.position));
            columns.name.push(memory.name.clone());
            columns.occurrence.push(int(memory.occurrence));
            columns.code.push(row.code);
            columns.text.push(row.text);
            columns.until.push(row.until);
            columns.awaits.push(row.awaits.filter(|_| waits));
        }
        columns
    }
}

/// Lets a task go on that stands still, as its code parted from what it remembers. Needs a transaction.
pub(crate) async fn resume(s: &mut Session<'_>, specs: &Specs, id: TaskId, how: Resume) -> Result<Resumed, Fault> {
    if view::task_states(s, &[id]).await?.first().is_none_or(Option::is_none) {
        return Ok(Resumed::NotFound);
    }
    let (task, at) = (id.as_uuid(), int(MISMATCH_AT));
    let Some(row) = s.row(Q::MemoryAt, &[&task, &at]).await? else { return Ok(Resumed::NotPaused) };
    let Kept::Mismatch(mut mismatch) = kept(task, at, &row, 0)? else { return Ok(Resumed::NotPaused) };
    match how {
        Resume::Again => _ = s.execute(Q::MemoryCut, &[&task, &at]).await?,
        Resume::Forget => {
            cancel_children(s, specs, task, mismatch.position).await?;
            s.execute(Q::MemoryCut, &[&task, &int(mismatch.position)]).await?;
        }
        Resume::Fail => {
            mismatch.fails = true;
            s.execute(Q::MemorySay, &[&task, &at, &to_json(&mismatch)]).await?;
        }
    }
    s.effects.changed = true;
    for row in s.rows(Q::ScheduledRelease, &[&s.now, &vec![task]]).await? {
        arrived_somewhere(s, place_of(row.try_get(1)?));
        s.own.returned_somewhere = true;
    }
    Ok(Resumed::Done)
}

/// Cancels workflows that a task has started from a position on, as nobody would wait for them any more. What follows for their members is left
/// to sweeps. One that can't be read stands in nobody's way.
pub(super) async fn cancel_children(s: &mut Session<'_>, specs: &Specs, task: Uuid, from: u32) -> Result<(), Fault> {
    let mut children = BTreeSet::new();
    for row in s.rows(Q::MemoryChildren, &[&task, &int(from)]).await? {
        if let Ok(Kept::Workflow(id) | Kept::Replaced { by: id, .. }) = kept(task, row.try_get(0)?, &row, 1) {
            children.insert(id);
        }
    }
    for id in children {
        match order(s, specs, id, (Order::Cancel, false), false).await {
            Ok(_) => s.own.chored = true,
            Err(Fault::Store(error)) if error.kind() == StoreErrorKind::Corrupt => {
                tracing::warn!(workflow = %id, %error, "nobody waits for this workflow any more, and it can't be cancelled");
            }
            Err(fault) => return Err(fault),
        }
    }
    Ok(())
}

/// Deletes what is left of tasks that are gone, among so many behind one. Returns the last of them, `None` after the
/// last of all; and how much was deleted.
pub(crate) async fn bury_memories(s: &mut Session<'_>, after: Uuid, most: usize) -> Result<(Option<Uuid>, u64), Fault> {
    let rows = s.rows(Q::MemoryTasks, &[&after, &limit(most)]).await?;
    let tasks = rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<Vec<Uuid>, Fault>>()?;
    let mut buried = 0;
    if !tasks.is_empty() {
        s.spare_days().await?;
        buried = s.execute(Q::MemoryOrphans, &[&tasks]).await?;
    }
    Ok((tasks.last().copied().filter(|_| tasks.len() >= most), buried))
}

#[cfg(test)]
mod tests {
    use gristmill_core::durable::Mismatch;
    use gristmill_core::{Failure, FailureReason, Timestamp, WorkflowId};

    use super::*;

    /// `remembered.sql`, `memory_children.sql` and `memory_forget.sql` name codes.
    #[test]
    fn the_codes_in_statements_are_those_of_core() {
        let by = WorkflowId::from_uuid(Uuid::max());
        let mismatch = Mismatch { position: 0, expected: String::new(), found: None, fails: false };
        let all = [
            Kept::Value(String::new()),
            Kept::Failed(Failure::new(FailureReason::Error, "no")),
            Kept::Patched,
            Kept::Sleeps(Timestamp::from_millis(0)),
            Kept::Event { name: String::new(), until: None },
            Kept::TimedOut,
            Kept::Workflow(by),
            Kept::Replaced { by, result: None },
            Kept::Mismatch(mismatch),
        ];
        let codes =
            |which: fn(&Kept) -> bool| all.iter().filter(|kept| which(kept)).map(|kept| kept.to_row().code).collect::<Vec<_>>();
        assert_eq!(codes(|kept| matches!(kept.awaits(), Some(Awaits::Workflow(_)))), [6, 7]);
        assert_eq!(codes(|kept| matches!(kept.awaits(), Some(Awaits::Event(_)))), [4]);
        assert_eq!(codes(|kept| matches!(kept, Kept::TimedOut)), [5]);
        assert_eq!(codes(Kept::is_of_a_failure), [1, 5, 8]);
        // `memory_forget_children.sql` reads the id behind `["`.
        let text = Kept::Replaced { by, result: None }.to_row().text.unwrap();
        assert_eq!(&text[2..38], by.to_string());
        assert_eq!(codes(|kept| matches!(kept, Kept::Value(_))), [0], "as memory_told.sql writes it");
    }
}
