//! Where a task goes that has not ended: the door in, whatever brings it there. New tasks go through `enqueue.sql` and, in callers'
//! transactions, through the function `insert_tasks`; all of them take the text of [`doors`](crate::doors).

use std::time::Duration;

use gristmill_core::kit::row::int;
use gristmill_core::{Flags, Place, Standing, State, TaskId, Timestamp, place};
use uuid::Uuid;

use super::facts::Facts;
use super::taken::Taken;
use crate::doors::code;
use crate::effects::Line;
use crate::error::Fault;
use crate::session::Session;
use crate::sql::Q;
use crate::workers::PRIORITIES;

/// The last of the priorities.
const PRIORITY_MAX: i16 = PRIORITIES as i16 - 1;

/// A task with all that it takes along.
pub(super) struct Placed {
    id: Uuid,
    seq: i64,
    expires_at: Option<i64>,
    queue: i32,
    kind: i32,
    attempt: u32,
    claim_no: u32,
    crashes: u32,
    priority: i16,
    flags: Flags,
    run_at: Timestamp,
    /// From now until then.
    wait: Duration,
}

impl Placed {
    /// A task whose attempt is over, with its counts.
    pub(super) fn again(taken: &Taken, facts: &Facts, (attempt, crashes): (u32, u32), delay: Duration) -> Self {
        Self {
            id: taken.id,
            seq: taken.seq,
            // What was attempted once no longer expires.
            expires_at: facts.expires_at.filter(|_| attempt == 0),
            queue: facts.queue,
            kind: facts.kind,
            attempt,
            claim_no: taken.claim_no,
            crashes,
            priority: facts.priority,
            flags: taken.flags.without(Flags::MOVED),
            run_at: taken.now.saturating_add(delay),
            wait: delay,
        }
    }

    /// An ended task that is to run once more, with the place where it goes: `blocked`, if it waits for others again. A priority from when it was not checked is brought into its
    /// bounds, and the task found by its id then.
    pub(super) fn anew((id, claim_no): (Uuid, u32), facts: &Facts, blocked: bool, now: Timestamp) -> (Place, Self) {
        let priority = facts.priority.clamp(0, PRIORITY_MAX);
        let flags = if priority == facts.priority { facts.flags } else { facts.flags.with(Flags::MOVED) };
        let place = place(Standing { blocked, limited: flags.has(Flags::LIMITED), ..Standing::default() });
        let task = Self {
            id,
            seq: facts.seq,
            // Whoever retries wants it to run, however late it is.
            expires_at: None,
            queue: facts.queue,
            kind: facts.kind,
            attempt: 0,
            claim_no,
            crashes: 0,
            priority,
            flags,
            run_at: now,
            wait: Duration::ZERO,
        };
        (place, task)
    }
}

/// Tasks on their way to their places, column by column.
#[derive(Default)]
pub(super) struct Places {
    place: Vec<i16>,
    id: Vec<Uuid>,
    seq: Vec<i64>,
    expires_at: Vec<Option<i64>>,
    queue: Vec<i32>,
    kind: Vec<i32>,
    attempt: Vec<i32>,
    claim_no: Vec<i32>,
    crashes: Vec<i32>,
    priority: Vec<i16>,
    flags: Vec<i32>,
    run_at: Vec<i64>,
    wait: Vec<Duration>,
}

impl Places {
    pub(super) fn push(&mut self, place: Place, task: Placed) {
        self.place.push(code(place));
        self.id.push(task.id);
        self.seq.push(task.seq);
        self.expires_at.push(task.expires_at);
        self.queue.push(task.queue);
        self.kind.push(task.kind);
        self.attempt.push(int(task.attempt));
        self.claim_no.push(int(task.claim_no));
        self.crashes.push(int(task.crashes));
        self.priority.push(task.priority);
        self.flags.push(task.flags.bits());
        self.run_at.push(task.run_at.as_millis());
        self.wait.push(task.wait);
    }

    /// Writes all of them, and says in the session's effects what that brings about.
    pub(super) async fn write(&self, s: &mut Session<'_>) -> Result<(), Fault> {
        if self.id.is_empty() {
            return Ok(());
        }
        s.rows(
            Q::Place,
            &[
                &self.place,
                &self.id,
                &self.seq,
                &self.expires_at,
                &self.queue,
                &self.kind,
                &self.attempt,
                &self.claim_no,
                &self.crashes,
                &self.priority,
                &self.flags,
                &self.run_at,
            ],
        )
        .await?;
        for (n, place) in self.place.iter().enumerate() {
            arrived(s, place_of(*place), (self.queue[n], self.kind[n]), self.wait[n]);
            if *place == code(Place::Ready) {
                s.own.returned.push((self.queue[n], self.priority[n], self.seq[n]));
            }
        }
        Ok(())
    }
}

/// Tells who waits for what is now in a place: in which line, and due in what time.
pub(super) fn arrived(s: &mut Session<'_>, place: Place, line: Line, wait: Duration) {
    match place {
        Place::Ready => came(s, line, 1),
        Place::Scheduled => s.own.due = Some(s.own.due.map_or(wait, |due| due.min(wait))),
        Place::Waiting => s.own.touched = true,
        // Nobody waits for these: what lets them go tells.
        Place::Blocked | Place::Parked => {}
    }
}

/// Tells who waits for ready tasks that so many came to a line.
pub(super) fn came(s: &mut Session<'_>, line: Line, count: u32) {
    let sum = s.own.came.entry(line).or_default();
    *sum = sum.saturating_add(count);
}

/// The same, of a task whose line and time a statement does not say.
pub(super) fn arrived_somewhere(s: &mut Session<'_>, place: Place) {
    match place {
        Place::Ready => s.effects.readied = true,
        Place::Scheduled => s.effects.scheduled = true,
        Place::Waiting => s.own.touched = true,
        Place::Blocked | Place::Parked => {}
    }
}

/// The place of a code that a statement brought.
pub(crate) fn place_of(code: i16) -> Place {
    usize::try_from(code).ok().and_then(|code| Place::ALL.get(code).copied()).unwrap_or(Place::Ready)
}

/// Lets blocked tasks go on.
pub(crate) async fn unblock(s: &mut Session<'_>, ids: &[TaskId]) -> Result<Vec<Option<State>>, Fault> {
    let asked = once(ids);
    let mut gone = Vec::new();
    for row in s.rows(Q::Unblock, &[&s.now, &asked]).await? {
        let place = place_of(row.try_get(1)?);
        gone.push((row.try_get(0)?, place));
        went(s, place, (row.try_get(2)?, row.try_get(3)?), 1);
    }
    Ok(went_on(ids, gone))
}

/// So many tasks that were blocked have come to a place, and to a line there if it is ready.
pub(super) fn went(s: &mut Session<'_>, place: Place, line: Line, count: u32) {
    if place == Place::Ready {
        came(s, line, count);
    } else {
        arrived_somewhere(s, place);
    }
}

/// Lets waiting tasks become ready.
pub(crate) async fn admit(s: &mut Session<'_>, ids: &[TaskId]) -> Result<Vec<Option<State>>, Fault> {
    let asked = once(ids);
    let mut gone = Vec::new();
    for row in s.rows(Q::Admit, &[&asked]).await? {
        gone.push((row.try_get(0)?, Place::Ready));
        arrived_somewhere(s, Place::Ready);
    }
    Ok(went_on(ids, gone))
}

/// Each id once, in the order in which they were given.
fn once(ids: &[TaskId]) -> Vec<Uuid> {
    let mut seen = std::collections::HashSet::with_capacity(ids.len());
    ids.iter().map(TaskId::as_uuid).filter(|id| seen.insert(*id)).collect()
}

fn went_on(ids: &[TaskId], gone: Vec<(Uuid, Place)>) -> Vec<Option<State>> {
    let mut gone: std::collections::HashMap<_, _> = gone.into_iter().collect();
    // A second time in one call it has gone already.
    ids.iter().map(|id| gone.remove(&id.as_uuid()).map(Place::state)).collect()
}
