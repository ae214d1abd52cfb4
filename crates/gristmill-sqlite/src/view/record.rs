use gristmill_core::kit::encode::{attempt_state_from, ended_from};
use gristmill_core::{
    AttemptRecord, AttemptState, Failure, FailureReason, Note, Place, Progress, State, TaskId, TaskMeta, TaskRecord, Timestamp,
};
use rusqlite::{OptionalExtension, Row, params};
use serde::de::DeserializeOwned;

use crate::error::Fault;
use crate::ops;
use crate::reader::View;
use crate::sql;
use crate::text::Lossy;
use crate::whereabouts::{self, Address, Waiter};

/// One task with its history.
pub(crate) fn get(view: &mut View<'_>, id: TaskId) -> Result<Option<TaskRecord>, Fault> {
    let find = view.conn.prepare_cached(sql::TASK_FIND)?.query_row([id.as_bytes().as_slice()], |row| row.get(0)).optional()?;
    let Some(seq) = find else { return Ok(None) };
    let Some(stands) = locate(view, seq)? else { return Ok(None) };
    let Some(mut record) = load(view, seq, &stands)? else { return Ok(None) };
    let mut history = view.conn.prepare_cached(sql::OUTCOME_HISTORY)?;
    let rows = history.query_map([seq], attempt)?;
    record.attempts = rows.collect::<Result<_, _>>()?;
    if let Stands::Running { worker, attempt, claim_no, claimed_at, .. } = stands {
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

/// Whether these claims are still the newest of their tasks; one answer each.
pub(crate) fn are_held(view: &View<'_>, notes: &[Note]) -> Result<Vec<bool>, Fault> {
    let mut get = view.conn.prepare_cached(sql::LEASE_MARK)?;
    let is_held = |Note { lease, .. }: &Note| {
        let Some(key) = lease.key.number() else { return Ok(false) };
        let kept: Option<Vec<u8>> = get.query_row([key], |row| row.get(0)).optional()?;
        Ok(kept.is_some_and(|kept| kept == ops::mark(lease.id, lease.fence)))
    };
    notes.iter().map(is_held).collect()
}

/// Where a task stands, from the table that holds it.
#[derive(Debug)]
pub(super) enum Stands {
    Waits(Place, Waiter),
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
        claim_no: u32,
    },
    /// No table has it, which can't be unless the file is damaged.
    Lost,
}

impl Stands {
    pub(super) fn state(&self) -> State {
        match self {
            Self::Waits(place, _) => place.state(),
            Self::Running { .. } => State::Running,
            Self::Ended { state, .. } => *state,
            Self::Lost => State::Failed,
        }
    }
}

/// `None` if there is no such task.
pub(super) fn locate(view: &View<'_>, seq: i64) -> Result<Option<Stands>, Fault> {
    let conn = view.conn;
    let at = |row: &Row<'_>, column| row.get(column).map(Timestamp::from_millis);
    let running = conn.prepare_cached(sql::LEASE_GET)?.query_row([seq], |row| {
        Ok(Stands::Running {
            worker: row.get(0)?,
            attempt: row.get(1)?,
            crashes: row.get(2)?,
            cancel: row.get(3)?,
            claim_no: row.get(4)?,
            claimed_at: at(row, 5)?,
        })
    });
    if let Some(stands) = running.optional()? {
        return Ok(Some(stands));
    }
    let ended = conn.prepare_cached(sql::OUTCOME_FINAL)?.query_row([seq], |row| {
        Ok(Stands::Ended {
            state: ended_from(row.get(3)?),
            attempt: row.get(1)?,
            crashes: row.get(2)?,
            at: at(row, 4)?,
            claim_no: row.get(0)?,
        })
    });
    if let Some(stands) = ended.optional()? {
        return Ok(Some(stands));
    }
    let address = |row: &Row<'_>| Ok(Address { key: seq, queue: row.get(0)?, kind: row.get(1)?, priority: row.get(2)? });
    let address = conn.prepare_cached(sql::TASK_PLACE)?.query_row([seq], address).optional()?;
    let Some(address) = address else { return Ok(None) };
    let found = whereabouts::find(conn, &address)?;
    Ok(Some(found.map_or(Stands::Lost, |(place, waiter)| Stands::Waits(place, waiter))))
}

/// The name of the worker that runs a task, or else ran its last attempt.
pub(super) fn last_worker(view: &View<'_>, seq: i64, stands: &Stands) -> Result<Option<String>, Fault> {
    if let Stands::Running { worker, .. } = stands {
        return worker_name(view, *worker);
    }
    let last = view.conn.prepare_cached(sql::OUTCOME_WORKER)?.query_row([seq], |row| text(row, 0)).optional()?;
    Ok(last.flatten())
}

fn worker_name(view: &View<'_>, key: i64) -> Result<Option<String>, Fault> {
    Ok(view.conn.prepare_cached(sql::WORKER_NAME)?.query_row([key], |row| text(row, 0)).optional()?.flatten())
}

/// The record without its history. Damage is shown as far as it can be read, rather than hiding the task.
pub(super) fn load(view: &mut View<'_>, seq: i64, stands: &Stands) -> Result<Option<TaskRecord>, Fault> {
    let mut body = view.conn.prepare_cached(sql::TASK_RECORD)?;
    let mut rows = body.query([seq])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let Some(id) = row.get_ref(0)?.as_blob().ok().and_then(TaskId::from_slice) else { return Ok(None) };
    let name = |name: Option<std::sync::Arc<str>>| name.map_or_else(|| "?".to_owned(), |name| name.to_string());
    let mut record = TaskRecord {
        id,
        queue: name(view.names.queues.name(view.conn, row.get(1)?)?),
        kind: name(view.names.kinds.name(view.conn, row.get(2)?)?),
        state: stands.state(),
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
    match stands {
        Stands::Waits(place, waiter) => {
            (record.attempt, record.crashes) = (waiter.attempt, waiter.crashes);
            if matches!(place, Place::Blocked | Place::Scheduled) {
                record.run_at = Timestamp::from_millis(waiter.run_at);
            }
        }
        Stands::Running { attempt, crashes, cancel, .. } => {
            (record.attempt, record.crashes, record.cancel_requested) = (*attempt, *crashes, *cancel);
        }
        Stands::Ended { state, attempt, crashes, at, claim_no } => {
            (record.attempt, record.crashes) = (*attempt, *crashes);
            record.ended_at = Some(*at);
            if *state == State::Succeeded {
                let mut result = view.conn.prepare_cached(sql::OUTCOME_RESULT)?;
                record.result = result.query_row(params![seq, claim_no], |row| text(row, 0)).optional()?.flatten();
            }
        }
        Stands::Lost => {
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
    Ok(AttemptRecord {
        attempt: row.get(0)?,
        claim_no: row.get(1)?,
        state: attempt_state_from(row.get(2)?),
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
