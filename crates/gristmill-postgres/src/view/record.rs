use std::sync::Arc;

use gristmill_core::kit::encode::ended_from;
use gristmill_core::kit::row::count;
use gristmill_core::{
    AttemptRecord, AttemptState, Failure, FailureReason, Progress, State, TaskId, TaskMeta, TaskRecord, Timestamp,
};
use serde::de::DeserializeOwned;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::Fault;
use crate::names::Sort;
use crate::ops::place_of;
use crate::session::Session;
use crate::sql::Q;

/// So many are looked for in one statement where many days are kept: each id is compared with all of them.
pub(crate) const OF_DAYS: usize = 50;

/// One task with its history.
pub(crate) async fn get(s: &mut Session<'_>, id: TaskId) -> Result<Option<TaskRecord>, Fault> {
    Ok(records(s, &[id.as_uuid()], true).await?.pop())
}

/// Those of the tasks that are there, in the order of the ids.
pub(super) async fn records(s: &mut Session<'_>, ids: &[Uuid], history: bool) -> Result<Vec<TaskRecord>, Fault> {
    let mut rows = Vec::with_capacity(ids.len());
    if s.spare_days().await? {
        for some in ids.chunks(OF_DAYS) {
            rows.extend(s.rows(Q::RecordOfDays, &[&some, &history]).await?);
        }
    } else {
        rows = s.rows(Q::Record, &[&ids, &history]).await?;
    }
    let mut names = (Vec::new(), Vec::new());
    for row in &rows {
        names.0.push(row.try_get(2)?);
        names.1.push(row.try_get(3)?);
    }
    s.read_names(Sort::Queue, names.0.into_iter()).await?;
    s.read_names(Sort::Kind, names.1.into_iter()).await?;
    rows.iter().map(|row| record(s, row)).collect()
}

fn record(s: &Session<'_>, row: &Row) -> Result<TaskRecord, Fault> {
    let name = |name: Option<Arc<str>>| name.map_or_else(|| "?".to_owned(), |name| name.to_string());
    let place: Option<i32> = row.try_get(11)?;
    let state = match place {
        Some(-1) => State::Running,
        Some(-2) => ended_from(row.try_get::<_, Option<i16>>(20)?.unwrap_or_default().into()),
        Some(code) => place_of(i16::try_from(code).unwrap_or_default()).state(),
        // No table has it, which can't be unless something else wrote to ours.
        None => State::Failed,
    };
    let priority: i16 = row.try_get(4)?;
    let mut record = TaskRecord {
        id: TaskId::from_uuid(row.try_get(0)?),
        queue: name(s.name(Sort::Queue, row.try_get(2)?)),
        kind: name(s.name(Sort::Kind, row.try_get(3)?)),
        state,
        attempt: row.try_get::<_, Option<i32>>(12)?.map_or(0, count),
        max_attempts: count(row.try_get(5)?),
        max_crashes: count(row.try_get(6)?),
        crashes: row.try_get::<_, Option<i32>>(13)?.map_or(0, count),
        priority: u8::try_from(priority).unwrap_or_default(),
        args: row.try_get(9)?,
        result: row.try_get(22)?,
        error: None,
        created_at: Timestamp::from_millis(row.try_get(7)?),
        run_at: Timestamp::from_millis(row.try_get::<_, Option<i64>>(23)?.map_or_else(|| row.try_get(8), Ok)?),
        ended_at: row.try_get::<_, Option<i64>>(21)?.map(Timestamp::from_millis),
        cancel_requested: row.try_get::<_, Option<bool>>(15)?.unwrap_or_default(),
        meta: json::<TaskMeta>(row, 10)?.unwrap_or_default(),
        attempts: Vec::new(),
    };
    if state != State::Succeeded {
        record.error = json(row, 24)?;
    }
    if place.is_none() && record.error.is_none() {
        record.error = Some(Failure::new(FailureReason::Corrupt, "the store lost track of this task; see `doctor`"));
    }
    if let Some(history) = json::<Vec<Past>>(row, 25)? {
        record.attempts = history.into_iter().map(Past::record).collect();
    }
    // Lists go without their attempts, those that run too.
    if let (Some(claim_no), true) = (row.try_get::<_, Option<i32>>(14)?, row.try_get(26)?) {
        record.attempts.push(AttemptRecord {
            attempt: record.attempt,
            claim_no: count(claim_no),
            state: AttemptState::Running,
            started_at: row.try_get::<_, Option<i64>>(16)?.map(Timestamp::from_millis),
            finished_at: None,
            worker: row.try_get(17)?,
            error: None,
            logs: row.try_get(18)?,
            progress: json::<Progress>(row, 19)?,
        });
    }
    Ok(record)
}

/// A row of the history, as the statement puts it together: attempt, claim number, state, start, end, worker, error, logs,
/// progress.
#[derive(serde::Deserialize)]
struct Past(i32, i32, usize, Option<i64>, Option<i64>, Option<String>, Option<String>, Option<String>, Option<String>);

impl Past {
    fn record(self) -> AttemptRecord {
        let Self(attempt, claim_no, state, started_at, finished_at, worker, error, logs, progress) = self;
        AttemptRecord {
            attempt: count(attempt),
            claim_no: count(claim_no),
            state: AttemptState::ALL.get(state).copied().unwrap_or(AttemptState::Failed),
            started_at: started_at.map(Timestamp::from_millis),
            finished_at: finished_at.map(Timestamp::from_millis),
            worker,
            error: parse(error.as_deref()),
            logs,
            progress: parse(progress.as_deref()),
        }
    }
}

/// A column of JSON; `None` if there is none or it can't be read.
fn json<T: DeserializeOwned>(row: &Row, column: usize) -> Result<Option<T>, Fault> {
    Ok(parse(row.try_get(column)?))
}

fn parse<T: DeserializeOwned>(text: Option<&str>) -> Option<T> {
    serde_json::from_str(text?).ok()
}
