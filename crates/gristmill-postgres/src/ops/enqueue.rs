use std::collections::{HashMap, HashSet};

use gristmill_core::kit::encode::ms;
use gristmill_core::kit::row::{NewRow, int};
use gristmill_core::unique::{Merge, UniqueKey, Until};
use gristmill_core::{EnqueueOutcome, NewTask, Points, StoreError, StoreErrorKind, TaskId};
use uuid::Uuid;

use super::place::{arrived, place_of};
use super::wait;
use crate::effects::Line;
use crate::error::Fault;
use crate::names::Sort;
use crate::session::Session;
use crate::sql::Q;
use crate::view::OF_DAYS;

/// How often a task is tried whose namesake vanishes each time it is looked at.
const TRIES: usize = 5;

/// Writes new tasks; each answers for itself.
pub(crate) async fn enqueue(s: &mut Session<'_>, tasks: &[&NewTask]) -> Result<Vec<EnqueueOutcome>, Fault> {
    enqueue_after(s, tasks, &[]).await
}

/// The same in a transaction in which some other tasks end, so that these have no keys any more.
pub(super) async fn enqueue_after(
    s: &mut Session<'_>,
    tasks: &[&NewTask],
    ending: &[Uuid],
) -> Result<Vec<EnqueueOutcome>, Fault> {
    check(tasks.iter().copied())?;
    let mut outcomes = vec![None; tasks.len()];
    for _ in 0..TRIES {
        let open: Vec<usize> = (0..tasks.len()).filter(|n| outcomes[*n].is_none()).collect();
        if open.is_empty() {
            break;
        }
        insert(s, tasks, &open, ending, &mut outcomes).await?;
    }
    outcomes.into_iter().map(|outcome| outcome.ok_or_else(vanishing)).collect()
}

/// What no statement could keep is refused before any is sent.
pub(crate) fn check<'n>(tasks: impl IntoIterator<Item = &'n NewTask>) -> Result<(), Fault> {
    for task in tasks {
        for (field, text) in [("args", &task.args), ("queue", &task.queue), ("kind", &task.kind)] {
            if text.contains('\0') {
                return Err(Fault::invalid(format!(
                    "task {}: {field} holds a NUL character, which PostgreSQL can't keep; in JSON write it \\u0000",
                    task.id
                )));
            }
        }
    }
    Ok(())
}

/// Gives numbers to the names that tasks use for the first time.
pub(crate) async fn know<'n>(s: &mut Session<'_>, tasks: impl Iterator<Item = &'n NewTask> + Clone) -> Result<(), Fault> {
    s.intern(Sort::Queue, tasks.clone().map(|task| task.queue.as_str()), true).await?;
    s.intern(Sort::Kind, tasks.map(|task| task.kind.as_str()), true).await
}

/// Inserts those at `open`, and says of each what became of it, or nothing if its namesake was deleted meanwhile.
async fn insert(
    s: &mut Session<'_>,
    tasks: &[&NewTask],
    open: &[usize],
    ending: &[Uuid],
    outcomes: &mut [Option<EnqueueOutcome>],
) -> Result<(), Fault> {
    // Before any key is taken, or new names would be made in its transaction, and others wait for them.
    know(s, open.iter().map(|n| tasks[*n])).await?;
    let open = take_keys(s, tasks, open, ending, outcomes).await?;
    let mut first: HashMap<Uuid, (usize, Line)> = HashMap::with_capacity(open.len());
    let mut columns = Columns::default();
    for &n in &open {
        let task = tasks[n];
        first.entry(task.id.as_uuid()).or_insert_with(|| {
            let name = |sort, name| s.id(sort, name).unwrap_or_default();
            let line = (name(Sort::Queue, &task.queue), name(Sort::Kind, &task.kind));
            columns.push(task, line.0, line.1);
            (n, line)
        });
    }
    if open.is_empty() {
        return Ok(());
    }
    let query = if columns.are_free() { Q::EnqueueFree } else { Q::Enqueue };
    let rows = s.rows(query, &columns.params(&s.now, &s.lock_wait)).await?;
    let mut created = HashSet::with_capacity(rows.len());
    for row in &rows {
        let id = row.try_get::<_, Uuid>(0)?;
        created.insert(id);
        let Some((_, line)) = first.get(&id) else { continue };
        arrived(s, place_of(row.try_get(1)?), *line, wait(row.try_get(2)?));
    }
    if !created.is_empty() {
        s.effects.points.add(Points::ENQUEUE);
        write_into(s, tasks, outcomes, &created).await?;
    }
    let mut taken = Vec::new();
    for &n in &open {
        let (task, id) = (&tasks[n], tasks[n].id.as_uuid());
        match first.get(&id) {
            Some((first, _)) if created.contains(&id) => {
                let same = tasks[*first].kind == task.kind && tasks[*first].args == task.args;
                outcomes[n] = Some(match (*first == n, same) {
                    (true, _) => EnqueueOutcome::Created,
                    (false, true) => EnqueueOutcome::Exists(task.id),
                    (false, false) => EnqueueOutcome::Conflict,
                });
            }
            _ => taken.push(n),
        }
    }
    compare(s, tasks, &taken, outcomes).await
}

/// Writes into those at `created` what others of the same call bring for them.
async fn write_into(
    s: &mut Session<'_>,
    tasks: &[&NewTask],
    outcomes: &[Option<EnqueueOutcome>],
    created: &HashSet<Uuid>,
) -> Result<(), Fault> {
    let (mut into, mut args, mut merges) = (Vec::new(), Vec::new(), Vec::new());
    for (task, outcome) in tasks.iter().zip(outcomes) {
        let Some(merge) = task.unique().and_then(|unique| unique.merge.as_ref()) else { continue };
        let Some(EnqueueOutcome::Exists(holder)) = outcome else { continue };
        if *holder != task.id && created.contains(&holder.as_uuid()) {
            into.push(holder.as_uuid());
            args.push(task.args.as_str());
            merges.push(merge.list());
        }
    }
    if !into.is_empty() {
        s.rows(Q::WriteIntoNew, &[&into, &args, &merges]).await?;
    }
    Ok(())
}

/// Takes the keys of those that have one of their own, in the transaction in which they are written; those at `open` whose keys nobody else has.
async fn take_keys(
    s: &mut Session<'_>,
    tasks: &[&NewTask],
    open: &[usize],
    ending: &[Uuid],
    outcomes: &mut [Option<EnqueueOutcome>],
) -> Result<Vec<usize>, Fault> {
    let (mut asking, mut asked) = (Vec::new(), Asked::default());
    for &n in open {
        if let Some(unique) = tasks[n].unique() {
            asking.push(n);
            asked.push(tasks[n], unique);
        }
    }
    if asking.is_empty() {
        return Ok(open.to_vec());
    }
    let Asked { tasks: of, kinds, keys, periods, lasting, waits, max_waits, args, merges } = &asked;
    let now = s.now;
    let rows =
        s.begin_with(Q::TakeKeys, &[of, kinds, keys, periods, lasting, waits, max_waits, args, merges, &now, &ending]).await?;
    let holders: Vec<Option<Uuid>> = rows.first().map(|row| row.try_get(0)).transpose()?.unwrap_or_default();
    // Those that wait for a slot may have been passed over meanwhile.
    s.own.touched |= holders.iter().any(Option::is_some);
    for (n, holder) in asking.into_iter().zip(holders) {
        outcomes[n] = holder.map(|holder| EnqueueOutcome::Exists(TaskId::from_uuid(holder)));
    }
    Ok(open.iter().copied().filter(|n| outcomes[*n].is_none()).collect())
}

/// Keys that tasks ask for, column by column.
#[derive(Default)]
struct Asked<'a> {
    tasks: Vec<Uuid>,
    kinds: Vec<&'a str>,
    keys: Vec<&'a str>,
    periods: Vec<Option<i64>>,
    lasting: Vec<i16>,
    waits: Vec<Option<i64>>,
    max_waits: Vec<Option<i64>>,
    args: Vec<Option<&'a str>>,
    merges: Vec<Option<&'a str>>,
}

impl<'a> Asked<'a> {
    fn push(&mut self, task: &'a NewTask, UniqueKey { key, until, debounce, merge, .. }: &'a UniqueKey) {
        let number = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        self.tasks.push(task.id.as_uuid());
        self.kinds.push(&task.kind);
        self.keys.push(key);
        self.periods.push(until.period().map(ms));
        self.lasting.push(if debounce.is_some() { 2 } else { (*until == Until::Started).into() });
        self.waits.push(debounce.map(|waits| number(waits.wait_ms)));
        self.max_waits.push(debounce.and_then(|waits| waits.max_wait_ms).map(number));
        self.args.push((debounce.is_some() || merge.is_some()).then_some(task.args.as_str()));
        self.merges.push(merge.as_ref().map(Merge::list));
    }
}

/// Whether the tasks that were there before are the same.
async fn compare(
    s: &mut Session<'_>,
    tasks: &[&NewTask],
    taken: &[usize],
    outcomes: &mut [Option<EnqueueOutcome>],
) -> Result<(), Fault> {
    if taken.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = taken.iter().map(|n| tasks[*n].id.as_uuid()).collect();
    let kinds: Vec<i32> = taken.iter().map(|n| s.id(Sort::Kind, &tasks[*n].kind).unwrap_or_default()).collect();
    // Into one that merges others may have been written meanwhile.
    let is_merged = |task: &NewTask| task.unique().is_some_and(|unique| unique.merge.is_some());
    let args: Vec<Option<&str>> = taken.iter().map(|n| (!is_merged(tasks[*n])).then_some(tasks[*n].args.as_str())).collect();
    let (query, most) = if s.spare_days().await? { (Q::TaskSameOfDays, OF_DAYS) } else { (Q::TaskSame, ids.len()) };
    let mut compared = Vec::with_capacity(ids.len());
    for first in (0..ids.len()).step_by(most) {
        let some = first..ids.len().min(first + most);
        for row in s.rows(query, &[&&ids[some.clone()], &&kinds[some.clone()], &&args[some]]).await? {
            compared.push((first, row.try_get::<_, i64>(0)?, row.try_get::<_, bool>(1)?));
        }
    }
    for (first, place, same) in compared {
        let n = usize::try_from(place - 1).ok().and_then(|place| taken.get(first + place));
        if let Some((n, outcome)) = n.and_then(|n| Some((n, outcomes.get_mut(*n)?))) {
            *outcome = Some(if same { EnqueueOutcome::Exists(tasks[*n].id) } else { EnqueueOutcome::Conflict });
        }
    }
    Ok(())
}

fn vanishing() -> Fault {
    let message = "a task with this id is made and deleted over and over; try again";
    Fault::Store(StoreError::new(StoreErrorKind::Busy, message))
}

/// New tasks, column by column.
#[derive(Default)]
pub(crate) struct Columns<'a> {
    pub(crate) id: Vec<Uuid>,
    pub(crate) queue: Vec<i32>,
    pub(crate) kind: Vec<i32>,
    pub(crate) priority: Vec<i16>,
    pub(crate) max_attempts: Vec<i32>,
    pub(crate) max_crashes: Vec<i32>,
    pub(crate) ack: Vec<i16>,
    pub(crate) retention: Vec<i64>,
    pub(crate) at: Vec<Option<i64>>,
    pub(crate) delay: Vec<i64>,
    pub(crate) expires: Vec<Option<i64>>,
    pub(crate) deadline: Vec<Option<i64>>,
    pub(crate) args: Vec<&'a str>,
    pub(crate) meta: Vec<Option<String>>,
    flags: Vec<Option<i32>>,
    /// The few that wait for others.
    blocked: Vec<Uuid>,
    /// Of members of workflows; empty if there is none, which reads as nothing.
    workflow: Vec<Option<Uuid>>,
    step: Vec<Option<i32>>,
    place: Vec<Option<i32>>,
}

impl<'a> Columns<'a> {
    pub(crate) fn push(&mut self, task: &'a NewTask, queue: i32, kind: i32) {
        let row = NewRow::of(task);
        self.id.push(row.id);
        self.queue.push(queue);
        self.kind.push(kind);
        self.priority.push(row.priority);
        self.max_attempts.push(row.max_attempts);
        self.max_crashes.push(row.max_crashes);
        self.ack.push(row.ack);
        self.retention.push(row.retention);
        self.at.push(row.at);
        self.delay.push(row.delay);
        self.expires.push(row.expires);
        self.deadline.push(row.deadline);
        self.args.push(row.args);
        self.meta.push(row.meta);
        self.flags.push((row.flags != 0).then_some(row.flags));
        if row.blocked {
            self.blocked.push(row.id);
        }
        if let Some(of) = task.membership() {
            let before = self.id.len() - 1;
            self.workflow.resize(before, None);
            self.step.resize(before, None);
            self.place.resize(before, None);
            self.workflow.push(Some(of.workflow.as_uuid()));
            self.step.push(Some(int(of.number)));
            self.place.push(Some(int(of.place)));
        }
    }

    /// Whether nothing but their time holds any of them back.
    fn are_free(&self) -> bool {
        self.blocked.is_empty() && self.flags.iter().all(Option::is_none)
    }

    fn params<'p>(
        &'p self,
        now: &'p Option<i64>,
        lock_wait: &'p Option<String>,
    ) -> [&'p (dyn tokio_postgres::types::ToSql + Sync); 21] {
        [
            now,
            &self.id,
            &self.queue,
            &self.kind,
            &self.priority,
            &self.max_attempts,
            &self.max_crashes,
            &self.ack,
            &self.retention,
            &self.at,
            &self.delay,
            &self.expires,
            &self.deadline,
            &self.args,
            &self.meta,
            &self.flags,
            &self.blocked,
            lock_wait,
            &self.workflow,
            &self.step,
            &self.place,
        ]
    }
}
