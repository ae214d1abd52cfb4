use gristmill_core::{
    AttemptRecord, AttemptState, Failure, FailureReason, Progress, State, TaskId, TaskMeta, TaskRecord, Timestamp,
};
use rusqlite::{OptionalExtension, Row, params};
use serde::de::DeserializeOwned;

use crate::error::Fault;
use crate::ops::ended_from;
use crate::reader::View;
use crate::sql;
use crate::text::Lossy;

/// One task with its history.
pub(crate) fn get(view: &mut View<'_>, id: TaskId) -> Result<Option<TaskRecord>, Fault> {
    let find = view.conn.prepare_cached(sql::TASK_FIND)?.query_row([id.as_bytes().as_slice()], |row| row.get(0)).optional()?;
    let Some(seq) = find else { return Ok(None) };
    let Some(place) = locate(view, seq)? else { return Ok(None) };
    let Some(mut record) = load(view, seq, &place)? else { return Ok(None) };
    let mut history = view.conn.prepare_cached(sql::OUTCOME_HISTORY)?;
    let rows = history.query_map([seq], attempt)?;
    record.attempts = rows.collect::<Result<_, _>>()?;
    if let Place::Running { worker, attempt, claim_no, claimed_at, .. } = place {
        let live = |row: &Row<'_>| Ok((text(row, 0)?, json::<Progress>(row, 1)));
        let (logs, progress) = view.conn.prepare_cached(sql::LIVE_GET)?.query_row([seq], live).optional()?.unwrap_or_default();
        let worker = worker_name(view, worker)?;
        record.attempts.push(AttemptRecord {
            attempt,
            claim_no,
            state: AttemptState::Running,
            started_at: Some(claimed_at),
            finished_at: None,
            worker,
            error: None,
            logs,
            progress,
        });
    }
    Ok(Some(record))
}

/// Where a task stands, from the table that holds it.
#[derive(Debug)]
pub(super) enum Place {
    Ready {
        attempt: u32,
        crashes: u32,
    },
    Scheduled {
        run_at: Timestamp,
        attempt: u32,
        crashes: u32,
    },
    Running {
        worker: i64,
        attempt: u32,
        crashes: u32,
        cancel: bool,
        claim_no: u32,
        claimed_at: Timestamp,
    },
    Ended {
        state: State,
        attempt: u32,
        crashes: u32,
        at: Timestamp,
        result: Option<String>,
    },
    /// No table has it, which can't be unless the file is damaged.
    Lost,
}

impl Place {
    pub(super) fn state(&self) -> State {
        match self {
            Self::Ready { .. } => State::Ready,
            Self::Scheduled { .. } => State::Scheduled,
            Self::Running { .. } => State::Running,
            Self::Ended { state, .. } => *state,
            Self::Lost => State::Failed,
        }
    }
}

/// `None` if there is no such task.
pub(super) fn locate(view: &View<'_>, seq: i64) -> Result<Option<Place>, Fault> {
    let conn = view.conn;
    let at = |row: &Row<'_>, column| row.get(column).map(Timestamp::from_millis);
    let running = conn.prepare_cached(sql::LEASE_GET)?.query_row([seq], |row| {
        Ok(Place::Running {
            worker: row.get(0)?,
            attempt: row.get(1)?,
            crashes: row.get(2)?,
            cancel: row.get(3)?,
            claim_no: row.get(4)?,
            claimed_at: at(row, 5)?,
        })
    });
    if let Some(place) = running.optional()? {
        return Ok(Some(place));
    }
    let ended = conn.prepare_cached(sql::OUTCOME_FINAL)?.query_row([seq], |row| {
        Ok(Place::Ended {
            state: ended_from(row.get(3)?),
            attempt: row.get(1)?,
            crashes: row.get(2)?,
            at: at(row, 4)?,
            result: text(row, 5)?,
        })
    });
    if let Some(place) = ended.optional()? {
        return Ok(Some(place));
    }
    let scheduled = conn
        .prepare_cached(sql::SCHEDULED_GET)?
        .query_row([seq], |row| Ok(Place::Scheduled { run_at: at(row, 3)?, attempt: row.get(0)?, crashes: row.get(2)? }));
    if let Some(place) = scheduled.optional()? {
        return Ok(Some(place));
    }
    let key = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
    let key = conn.prepare_cached(sql::TASK_PLACE)?.query_row([seq], key).optional()?;
    let Some((queue, kind, priority)) = key else { return Ok(None) };
    let ready = |row: &Row<'_>| Ok(Place::Ready { attempt: row.get(0)?, crashes: row.get(2)? });
    let place = conn.prepare_cached(sql::READY_GET)?.query_row(params![queue, priority, seq], ready).optional()?;
    if place.is_some() {
        return Ok(place);
    }
    let place = conn.prepare_cached(sql::PARKED_GET)?.query_row(params![queue, kind, priority, seq], ready).optional()?;
    Ok(Some(place.unwrap_or(Place::Lost)))
}

/// The name of the worker that runs a task, or else ran its last attempt.
pub(super) fn last_worker(view: &View<'_>, seq: i64, place: &Place) -> Result<Option<String>, Fault> {
    if let Place::Running { worker, .. } = place {
        return worker_name(view, *worker);
    }
    let last = view.conn.prepare_cached(sql::OUTCOME_WORKER)?.query_row([seq], |row| text(row, 0)).optional()?;
    Ok(last.flatten())
}

fn worker_name(view: &View<'_>, key: i64) -> Result<Option<String>, Fault> {
    Ok(view.conn.prepare_cached(sql::WORKER_NAME)?.query_row([key], |row| text(row, 0)).optional()?.flatten())
}

/// The record without its history. Damage is shown as far as it can be read, rather than hiding the task.
pub(super) fn load(view: &mut View<'_>, seq: i64, place: &Place) -> Result<Option<TaskRecord>, Fault> {
    let mut body = view.conn.prepare_cached(sql::TASK_RECORD)?;
    let mut rows = body.query([seq])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let Some(id) = row.get_ref(0)?.as_blob().ok().and_then(TaskId::from_slice) else { return Ok(None) };
    let name = |name: Option<std::sync::Arc<str>>| name.map_or_else(|| "?".to_owned(), |name| name.to_string());
    let mut record = TaskRecord {
        id,
        queue: name(view.names.queues.name(view.conn, row.get(1)?)?),
        kind: name(view.names.kinds.name(view.conn, row.get(2)?)?),
        state: place.state(),
        attempt: 0,
        max_attempts: row.get(4).unwrap_or_default(),
        max_crashes: row.get(5).unwrap_or_default(),
        crashes: 0,
        priority: row.get(3).unwrap_or_default(),
        args: row.get_ref(8)?.as_bytes().map(|text| String::from_utf8_lossy(text).into_owned()).unwrap_or_default(),
        result: None,
        error: None,
        created_at: Timestamp::from_millis(row.get(6)?),
        run_at: Timestamp::from_millis(row.get(7)?),
        ended_at: None,
        cancel_requested: false,
        meta: json::<TaskMeta>(row, 9).unwrap_or_default(),
        attempts: Vec::new(),
    };
    match place {
        Place::Ready { attempt, crashes } => (record.attempt, record.crashes) = (*attempt, *crashes),
        Place::Scheduled { run_at, attempt, crashes } => {
            (record.attempt, record.crashes, record.run_at) = (*attempt, *crashes, *run_at);
        }
        Place::Running { attempt, crashes, cancel, .. } => {
            (record.attempt, record.crashes, record.cancel_requested) = (*attempt, *crashes, *cancel);
        }
        Place::Ended { attempt, crashes, at, result, .. } => {
            (record.attempt, record.crashes) = (*attempt, *crashes);
            record.ended_at = Some(*at);
            record.result.clone_from(result);
        }
        Place::Lost => {
            record.error = Some(Failure::new(FailureReason::Corrupt, "the store lost track of this task; see `doctor`"));
        }
    }
    if record.state != State::Succeeded && record.error.is_none() {
        let error = view.conn.prepare_cached(sql::OUTCOME_ERROR)?.query_row([seq], |row| failure(row, 0)).optional()?;
        record.error = error.flatten();
    }
    Ok(Some(record))
}

fn attempt(row: &Row<'_>) -> rusqlite::Result<AttemptRecord> {
    let state: i64 = row.get(2)?;
    let known = usize::try_from(state).ok().and_then(|place| AttemptState::ALL.get(place));
    Ok(AttemptRecord {
        attempt: row.get(0)?,
        claim_no: row.get(1)?,
        state: known.copied().unwrap_or(AttemptState::Failed),
        started_at: row.get::<_, Option<i64>>(3)?.map(Timestamp::from_millis),
        finished_at: row.get::<_, Option<i64>>(4)?.map(Timestamp::from_millis),
        worker: text(row, 5)?,
        error: failure(row, 6)?,
        logs: text(row, 7)?,
        progress: json(row, 8),
    })
}

/// A column of JSON; `None` if there is none or it can't be read.
pub(super) fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Option<T> {
    serde_json::from_str(&text(row, column).ok()??).ok()
}

/// Why an attempt failed; that it did is told even if the reason can't be read.
fn failure(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Failure>> {
    let unreadable = || Failure::new(FailureReason::Corrupt, "what was kept of the error can't be read");
    Ok(text(row, column)?.map(|text| serde_json::from_str(&text).unwrap_or_else(|_| unreadable())))
}

fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<String>> {
    Ok(row.get::<_, Option<Lossy>>(column)?.map(|Lossy(text)| text))
}
