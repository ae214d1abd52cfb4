use gristmill_core::TaskMeta;
use gristmill_core::kit::list::labels_of;
use rusqlite::{Connection, OptionalExtension, Row};

use super::budget::Budget;
use crate::error::Fault;
use crate::sql;
use crate::text::Lossy;

/// So many labels are written in a sweep: a few milliseconds, while others wait to write.
const WRITTEN_AT_ONCE: usize = 3_000;
/// So many tasks are read at a time to be labelled: what they say of themselves may be long.
const READ_AT_ONCE: u8 = 100;

/// Deletes a task's body, with what it is filed under. Returns how many rows that were.
pub(super) fn delete(conn: &Connection, seq: i64) -> Result<usize, Fault> {
    let said = conn.prepare_cached(sql::TASK_META)?.query_row([seq], |row| read(row, 0)).optional()?;
    let mut label = conn.prepare_cached(sql::LABEL_DELETE)?;
    let mut deleted = conn.prepare_cached(sql::TASK_DELETE)?.execute([seq])?;
    for name in said.map(|meta| labels_of(&meta)).unwrap_or_default() {
        deleted += label.execute((name, seq))?;
    }
    Ok(deleted)
}

/// Labels tasks that nobody has labelled, the newest first, so that lists need not look through them any more: those of older
/// programs, and those that came with too many others.
pub(super) fn fill(conn: &Connection) -> Result<(), Fault> {
    let mut label = conn.prepare_cached(sql::LABEL_INSERT)?;
    let mut done = conn.prepare_cached(sql::LABEL_DONE)?;
    let mut budget = Budget::new(WRITTEN_AT_ONCE);
    loop {
        let lacking = lacking(conn)?;
        for (seq, meta) in &lacking {
            let labels = labels_of(meta);
            if !budget.take_as(labels.len().max(1)) {
                return Ok(());
            }
            for name in labels {
                label.execute((name, seq))?;
            }
            done.execute([seq])?;
        }
        if lacking.len() < usize::from(READ_AT_ONCE) {
            return Ok(());
        }
    }
}

fn lacking(conn: &Connection) -> Result<Vec<(i64, TaskMeta)>, Fault> {
    let mut lacking = conn.prepare_cached(sql::LABEL_LACKING)?;
    let lacking = lacking.query_map([READ_AT_ONCE], |row| Ok((row.get::<_, i64>(0)?, read(row, 1)?)))?;
    Ok(lacking.collect::<Result<_, _>>()?)
}

/// What is no JSON of ours says nothing.
fn read(row: &Row<'_>, column: usize) -> rusqlite::Result<TaskMeta> {
    Ok(serde_json::from_str(&row.get::<_, Lossy>(column)?.0).unwrap_or_default())
}
