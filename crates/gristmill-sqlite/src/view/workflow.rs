use std::cmp::Reverse;
use std::sync::Arc;

use gristmill_core::kit::encode::{chore_from, step_state_from, tolerance_from, workflow_end_from, workflow_end_of};
use gristmill_core::limits::{PAGE_ITEMS_MAX, RESULTS_BYTES_MAX, STEPS_MAX};
use gristmill_core::workflow::{
    self, FlowStep, Member, QUIET_MAX, Run, StepEnd, StepRecord, StepRow, StepSpec, StepState, Tally, WorkflowEnd,
    WorkflowFilter, WorkflowRecord, WorkflowState,
};
use gristmill_core::{Cursor, Flags, Page, State, StoreError, StoreErrorKind, TaskId, Timestamp, WorkflowId};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::record::{json, load, locate};
use crate::error::Fault;
use crate::reader::View;
use crate::sql;
use crate::text::Lossy;

/// Workflows that a sweep counts anew, at most.
const QUIET_AT_ONCE: i64 = 100;
/// Members that it counts before it takes no further workflow: some hundredths of a second, in which it holds up nobody but other reads.
const COUNTED_AT_ONCE: u32 = 20_000;

/// The steps of a workflow in the order of their numbers; `None` if they can't be read. What they are is read, too, unless it is known.
pub(crate) fn steps(conn: &Connection, id: WorkflowId, specs: Option<&[Arc<StepSpec>]>) -> Result<Option<Vec<FlowStep>>, Fault> {
    let mut list = conn.prepare_cached(if specs.is_some() { sql::STEP_ROWS } else { sql::STEP_LIST })?;
    let mut rows = list.query([id.as_bytes().as_slice()])?;
    let mut steps = Vec::new();
    while let Some(row) = rows.next()? {
        let is_next = usize::try_from(row.get::<_, i64>(0)?) == Ok(steps.len());
        let spec = match specs {
            Some(specs) => specs.get(steps.len()).cloned(),
            None => json(row, 1).map(Arc::new),
        };
        let Some(spec) = spec.filter(|_| is_next) else { return Ok(None) };
        let Some(step) = step(spec, row)? else { return Ok(None) };
        steps.push(step);
    }
    Ok(Some(steps))
}

fn step(spec: Arc<StepSpec>, row: &Row<'_>) -> rusqlite::Result<Option<FlowStep>> {
    // What no version wrote is counted anew.
    let count = |column| Ok::<_, rusqlite::Error>(u32::try_from(row.get::<_, i64>(column)?).unwrap_or_default());
    let tally = Tally { members: count(3)?, closed: row.get(4)?, succeeded: count(5)?, failed: count(6)?, cancelled: count(7)? };
    let Some(state) = step_state_from(row.get(2)?) else { return Ok(None) };
    let tolerance = row.get::<_, Option<i64>>(10)?.and_then(tolerance_from).unwrap_or(spec.tolerance);
    let chore = chore_from(row.get(8)?).zip(Some(count(9)?));
    let row = StepRow { role: spec.role, state, tally, tolerance };
    Ok(Some(FlowStep { spec, row, chore }))
}

/// One workflow with its steps.
pub(crate) fn workflow(view: &View<'_>, id: WorkflowId) -> Result<Option<WorkflowRecord>, Fault> {
    let mut get = view.conn.prepare_cached(sql::WORKFLOW_RECORD)?;
    let found = get.query_row([id.as_bytes().as_slice()], |row| Ok(record(row)?.zip(Some(row.get::<_, Lossy>(13)?))));
    let Some(((_, record), Lossy(definition))) = found.optional()?.flatten() else { return Ok(None) };
    let Some(steps) = steps(view.conn, id, None)? else {
        let message =
            format!("the steps of the workflow {id} can't be read, which no gristmill has written; `doctor` names more");
        return Err(StoreError::new(StoreErrorKind::Corrupt, message).into());
    };
    let steps =
        steps.into_iter().map(|FlowStep { spec, row, .. }| StepRecord { spec: Arc::unwrap_or_clone(spec), row }).collect();
    Ok(Some(WorkflowRecord { definition, steps, ..record }))
}

/// Workflows that match, newest first, by whatever finds the fewest.
pub(crate) fn list_workflows(
    view: &View<'_>,
    filter: &WorkflowFilter,
    after: Option<Cursor>,
    limit: usize,
) -> Result<Page<WorkflowRecord>, Fault> {
    let limit = limit.clamp(1, PAGE_ITEMS_MAX);
    let before = after.map_or(i64::MAX, Cursor::key);
    let walk = |sql, value: Option<&dyn rusqlite::ToSql>, found: &mut Vec<(i64, WorkflowRecord)>| -> Result<(), Fault> {
        let mut list = view.conn.prepare_cached(sql)?;
        let mut rows = match value {
            Some(value) => list.query(params![before, value])?,
            None => list.query([before])?,
        };
        let full = found.len() + limit + 1;
        while found.len() < full
            && let Some(row) = rows.next()?
        {
            found.extend(record(row)?.filter(|(_, record)| fits(record, filter)));
        }
        Ok(())
    };
    let mut found = Vec::new();
    match (&filter.key, &filter.name) {
        (Some(key), _) => walk(sql::WORKFLOW_LIST_KEYED, Some(key), &mut found)?,
        (None, Some(name)) => walk(sql::WORKFLOW_LIST_NAMED, Some(name), &mut found)?,
        (None, None) if filter.states.is_empty() => walk(sql::WORKFLOW_LIST, None, &mut found)?,
        (None, None) => {
            for code in codes(&filter.states) {
                walk(sql::WORKFLOW_LIST_ENDED, Some(&code), &mut found)?;
            }
            found.sort_unstable_by_key(|(seq, _)| Reverse(*seq));
        }
    }
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|(seq, _)| Cursor::after(*seq));
    Ok(Page { items: found.into_iter().map(|(_, record)| record).collect(), next })
}

fn fits(record: &WorkflowRecord, filter: &WorkflowFilter) -> bool {
    (filter.states.is_empty() || filter.states.contains(&record.state))
        && filter.name.as_ref().is_none_or(|name| *name == record.name)
        && filter.key.as_ref().is_none_or(|key| record.key.as_ref() == Some(key))
}

/// How those ended that are in one of these states, as codes.
fn codes(states: &[WorkflowState]) -> Vec<i16> {
    let code = |work, unhandled| workflow_end_of(Some(WorkflowEnd { work, unhandled }));
    let both = |work| vec![code(work, false), code(work, true)];
    let of = |state: &WorkflowState| match state {
        WorkflowState::Running | WorkflowState::Paused | WorkflowState::Cancelling => vec![workflow_end_of(None)],
        WorkflowState::Succeeded => both(StepEnd::Succeeded),
        WorkflowState::Failed => both(StepEnd::Failed),
        WorkflowState::Cancelled => both(StepEnd::Cancelled),
    };
    let mut codes: Vec<i16> = states.iter().flat_map(of).collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}

/// A row of the list; `None` if it has no id.
fn record(row: &Row<'_>) -> rusqlite::Result<Option<(i64, WorkflowRecord)>> {
    let Some(id) = row.get_ref(1)?.as_blob().ok().and_then(WorkflowId::from_slice) else { return Ok(None) };
    let run = Run { paused: row.get(5)?, cancelled: row.get(6)?, ..Run::default() };
    let end = workflow_end_from(row.get(7)?);
    let record = WorkflowRecord {
        id,
        name: row.get::<_, Lossy>(2)?.0,
        key: row.get::<_, Option<Lossy>>(3)?.map(|Lossy(key)| key),
        tags: json(row, 4).unwrap_or_default(),
        state: WorkflowState::of(run, end),
        unhandled: end.is_some_and(|end| end.unhandled),
        attempt: row.get(10)?,
        created_at: Timestamp::from_millis(row.get(8)?),
        deadline: row.get::<_, Option<i64>>(11)?.map(Timestamp::from_millis),
        overdue: row.get(12)?,
        finished_at: row.get::<_, Option<i64>>(9)?.map(Timestamp::from_millis),
        definition: String::new(),
        steps: Vec::new(),
    };
    Ok(Some((row.get(0)?, record)))
}

/// Members of a step with what became of them, in the order of their places.
pub(crate) fn members(
    view: &mut View<'_>,
    id: WorkflowId,
    step: &str,
    after: Option<u32>,
    limit: usize,
) -> Result<Vec<Member>, Fault> {
    let conn = view.conn;
    let id = id.as_bytes().as_slice();
    let number = conn.prepare_cached(sql::STEP_NAMED)?.query_row(params![id, step], |row| row.get::<_, i64>(0)).optional()?;
    let Some(number) = number else { return Ok(Vec::new()) };
    let from = after.map_or(0, |place| i64::from(place) + 1);
    let mut list = conn.prepare_cached(sql::MEMBER_LIST)?;
    let mut rows = list.query(params![id, number, from, limit.clamp(1, PAGE_ITEMS_MAX) as i64])?;
    let (mut page, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let (seq, place) = (row.get(0)?, row.get(1)?);
        let Some(task) = row.get_ref(2)?.as_blob().ok().and_then(TaskId::from_slice) else { continue };
        let Some(stands) = locate(view, seq)? else { continue };
        let Some(record) = load(view, seq, &stands)? else { continue };
        bytes += record.result.as_ref().map_or(0, String::len);
        if bytes > RESULTS_BYTES_MAX && !page.is_empty() {
            break;
        }
        let error = record.error.filter(|_| record.state != State::Succeeded);
        page.push(Member { place, task, state: record.state, attempt: record.attempt, result: record.result, error });
    }
    Ok(page)
}

/// A workflow that goes on, with its members as their rows say.
pub(crate) struct Counting {
    pub(crate) id: WorkflowId,
    /// Those of its steps of which something is still to come; `None` if they can't be read.
    pub(crate) steps: Option<Vec<Counted>>,
}

/// A step of it.
pub(crate) struct Counted {
    pub(crate) number: u32,
    /// How it stood when its members were counted.
    pub(crate) seen: FlowStep,
    pub(crate) counted: workflow::Counted,
}

impl Counted {
    /// Whether it is as its members' rows say.
    pub(crate) fn is_right(&self) -> bool {
        let mut mended = self.seen.clone();
        mended.recounted(self.counted);
        mended == self.seen
    }
}

/// Those that have stood still for so long that something may be wrong.
pub(crate) fn quiet_workflows(view: &View<'_>) -> Result<Vec<Counting>, Fault> {
    count_members(view, view.now.saturating_sub(QUIET_MAX), QUIET_AT_ONCE)
}

/// Those that have not changed since then, and stood still for longest; at most so many, and as many as may be counted at once. In one
/// snapshot of the file, in which a step and its members agree, unless something is wrong.
pub(crate) fn count_members(view: &View<'_>, since: Timestamp, most: i64) -> Result<Vec<Counting>, Fault> {
    let ids: Vec<Option<WorkflowId>> = {
        let ahead = since.max(view.now.saturating_add(QUIET_MAX));
        let mut quiet = view.conn.prepare_cached(sql::WORKFLOW_QUIET)?;
        let rows = quiet.query_map([since.as_millis(), most, ahead.as_millis()], |row| {
            Ok(row.get_ref(0)?.as_blob().ok().and_then(WorkflowId::from_slice))
        })?;
        rows.collect::<Result<_, _>>()?
    };
    let mut members = 0_u32;
    let mut found = Vec::new();
    for id in ids.into_iter().flatten() {
        if members >= COUNTED_AT_ONCE {
            break;
        }
        let steps = match steps(view.conn, id, None)? {
            None => None,
            Some(steps) => {
                let open = steps.iter().zip(0_u32..).filter(|(step, _)| is_open(&step.row));
                Some(open.map(|(step, number)| count(view.conn, id, number, step)).collect::<Result<Vec<_>, _>>()?)
            }
        };
        let counted = steps.iter().flatten().map(|step| step.seen.row.tally.members);
        members = counted.fold(members, u32::saturating_add);
        found.push(Counting { id, steps });
    }
    Ok(found)
}

/// Whether members of a step may end, so that it may have missed one. Those of one that waits do not, and would be counted again and again
/// for as long as it does.
fn is_open(row: &StepRow) -> bool {
    match row.state {
        StepState::Waits => false,
        StepState::Goes | StepState::Stops => true,
        StepState::Ended(_) => row.tally.ended() < row.tally.members,
    }
}

fn count(conn: &Connection, id: WorkflowId, number: u32, step: &FlowStep) -> Result<Counted, Fault> {
    let of = params![id.as_bytes().as_slice(), number, Flags::MEMBER.bits()];
    let counted = conn.prepare_cached(sql::STEP_COUNT)?.query_row(of, |row| {
        let count = |column| Ok::<_, rusqlite::Error>(u32::try_from(row.get::<_, i64>(column)?).unwrap_or(u32::MAX));
        let [all, succeeded, failed, cancelled, blocked] = [count(0)?, count(1)?, count(2)?, count(3)?, count(4)?];
        let open = all.saturating_sub(succeeded + failed + cancelled);
        Ok(workflow::Counted { succeeded, failed, cancelled, open, blocked })
    })?;
    Ok(Counted { number, seen: step.clone(), counted })
}

/// Of each step of a workflow how many members have ended and are kept for longer than until then.
pub(crate) fn kept_members(view: &View<'_>, id: WorkflowId, until: Timestamp) -> Result<Vec<u32>, Fault> {
    let mut kept = view.conn.prepare_cached(sql::STEP_KEPT)?;
    let mut rows = kept.query(params![id.as_bytes().as_slice(), until.as_millis()])?;
    let mut counts = Vec::new();
    while let Some(row) = rows.next()? {
        let (Ok(step), Ok(count)) = (usize::try_from(row.get::<_, i64>(0)?), u32::try_from(row.get::<_, i64>(1)?)) else {
            continue;
        };
        if step < STEPS_MAX {
            counts.resize(counts.len().max(step + 1), 0);
            counts[step] = count;
        }
    }
    Ok(counts)
}
