use gristmill_core::kit::encode::{ended_from, workflow_end_from};
use gristmill_core::kit::row::{count, int};
use gristmill_core::limits::{PAGE_ITEMS_MAX, RESULTS_BYTES_MAX};
use gristmill_core::workflow::{Member, StepRecord, WorkflowFilter, WorkflowRecord, WorkflowState};
use gristmill_core::{Cursor, Page, State, TaskId, Timestamp, WorkflowId};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::Fault;
use crate::ops::{is_alone, limit as bound, place_of, run_of, step_row, step_spec};
use crate::session::Session;
use crate::sql::Q;

/// How many workflows a page of a list looks through.
const READ: i64 = 10_000;

/// One workflow with its steps.
pub(crate) async fn workflow(s: &Session<'_>, id: WorkflowId) -> Result<Option<WorkflowRecord>, Fault> {
    let Some(row) = s.row(Q::WorkflowGet, &[&id.as_uuid()]).await? else { return Ok(None) };
    let mut steps = Vec::new();
    for row in s.rows(Q::StepList, &[&id.as_uuid()]).await? {
        let spec = step_spec(row.try_get(1)?)?;
        let row = step_row(&spec, row.try_get(2)?, row.try_get(3)?, [4, 5, 6, 7].map(|n| row.try_get(n)), row.try_get(8)?)?;
        steps.push(StepRecord { spec, row });
    }
    Ok(Some(WorkflowRecord { definition: row.try_get(14)?, steps, ..record(&row)? }))
}

/// Workflows that match, newest first. A page may hold fewer than there are, and then says where the next begins.
pub(crate) async fn workflows(
    s: &Session<'_>,
    filter: &WorkflowFilter,
    after: Option<Cursor>,
    limit: usize,
) -> Result<Page<WorkflowRecord>, Fault> {
    let limit = limit.clamp(1, PAGE_ITEMS_MAX);
    let code =
        |state: &WorkflowState| WorkflowState::ALL.iter().position(|known| known == state).and_then(|n| i32::try_from(n).ok());
    let states: Vec<i32> = filter.states.iter().filter_map(code).collect();
    let states = (!filter.states.is_empty()).then_some(states);
    let before = after.map_or(i64::MAX, Cursor::key);
    let rows = s.rows(Q::WorkflowList, &[&before, &bound(limit + 1), &filter.name, &filter.key, &states, &READ]).await?;
    let (seen, last) = match rows.first() {
        Some(row) => (row.try_get(14)?, row.try_get::<_, Option<i64>>(15)?),
        None => (0, None),
    };
    let mut found = Vec::with_capacity(rows.len());
    for row in rows.iter().filter(|row| !is_alone(row, 1)) {
        found.push((row.try_get::<_, i64>(0)?, record(row)?));
    }
    found.sort_unstable_by_key(|(seq, _)| std::cmp::Reverse(*seq));
    let next = if found.len() > limit {
        found.get(limit - 1).map(|(seq, _)| Cursor::after(*seq))
    } else {
        last.filter(|_| seen >= READ).map(Cursor::after)
    };
    Ok(Page { items: found.into_iter().take(limit).map(|(_, record)| record).collect(), next })
}

fn record(row: &Row) -> Result<WorkflowRecord, Fault> {
    let run = run_of(row.try_get(5)?, row.try_get(11)?, row.try_get(6)?);
    let end = workflow_end_from(row.try_get::<_, i16>(7)?.into());
    Ok(WorkflowRecord {
        id: WorkflowId::from_uuid(row.try_get(1)?),
        name: row.try_get(2)?,
        key: row.try_get(3)?,
        tags: serde_json::from_str(row.try_get(4)?).unwrap_or_default(),
        state: WorkflowState::of(run, end),
        unhandled: end.is_some_and(|end| end.unhandled),
        attempt: count(row.try_get(8)?),
        created_at: Timestamp::from_millis(row.try_get(9)?),
        deadline: row.try_get::<_, Option<i64>>(12)?.map(Timestamp::from_millis),
        overdue: row.try_get(13)?,
        finished_at: row.try_get::<_, Option<i64>>(10)?.map(Timestamp::from_millis),
        definition: String::new(),
        steps: Vec::new(),
    })
}

/// Members of a step with their results, in the order of their places.
pub(crate) async fn members(
    s: &mut Session<'_>,
    id: WorkflowId,
    step: &str,
    after: Option<u32>,
    limit: usize,
) -> Result<Vec<Member>, Fault> {
    if step.contains('\0') {
        return Ok(Vec::new());
    }
    let Some(row) = s.row(Q::StepNamed, &[&id.as_uuid(), &step]).await? else { return Ok(Vec::new()) };
    let number: i32 = row.try_get(0)?;
    let Some((first, last)) = row.try_get::<_, Option<Uuid>>(1)?.zip(row.try_get::<_, Option<Uuid>>(2)?) else {
        return Ok(Vec::new());
    };
    s.spare_days().await?;
    let from = int(after.map_or(0, |place| place.saturating_add(1)));
    let (limit, bytes) = (bound(limit.clamp(1, PAGE_ITEMS_MAX)), bound(RESULTS_BYTES_MAX));
    let rows = s.rows(Q::MemberPage, &[&id.as_uuid(), &number, &from, &limit, &first, &last, &bytes]).await?;
    rows.iter().map(member).collect()
}

fn member(row: &Row) -> Result<Member, Fault> {
    let state = match row.try_get::<_, Option<i32>>(2)? {
        Some(-1) => State::Running,
        Some(-2) => ended_from(row.try_get::<_, Option<i16>>(4)?.unwrap_or_default().into()),
        Some(code) => place_of(i16::try_from(code).unwrap_or_default()).state(),
        None => State::Failed,
    };
    let error: Option<&str> = row.try_get::<_, Option<&str>>(6)?.filter(|_| state != State::Succeeded);
    Ok(Member {
        place: count(row.try_get(0)?),
        task: TaskId::from_uuid(row.try_get(1)?),
        state,
        attempt: row.try_get::<_, Option<i32>>(3)?.map_or(0, count),
        result: row.try_get(5)?,
        error: error.and_then(|error| serde_json::from_str(error).ok()),
    })
}
