use gristmill_core::TaskMeta;
use gristmill_core::kit::list::labels_of;
use rusqlite::{Connection, OptionalExtension, Row};

use super::budget::Budget;
use crate::error::Fault;
use crate::sql;
use crate::text::Lossy;

/// So many tasks of older programs are labelled in a sweep: a few milliseconds, while others wait to write.
const LABELLED_AT_ONCE: i64 = 500;

/// Deletes a task's body, with what it is filed under.
pub(super) fn delete(conn: &Connection, seq: i64) -> Result<(), Fault> {
    let said = conn.prepare_cached(sql::TASK_META)?.query_row([seq], |row| read(row, 0)).optional()?;
    let mut label = conn.prepare_cached(sql::LABEL_DELETE)?;
    for name in said.map(|meta| labels_of(&meta)).unwrap_or_default() {
        label.execute((name, seq))?;
    }
    conn.prepare_cached(sql::TASK_DELETE)?.execute([seq])?;
    Ok(())
}

/// Labels tasks that nobody has labelled, the newest first, so that lists need not look through them any more.
pub(super) fn fill(conn: &Connection) -> Result<(), Fault> {
    let mut lacking = conn.prepare_cached(sql::LABEL_LACKING)?;
    let lacking = lacking.query_map([LABELLED_AT_ONCE], |row| Ok((row.get::<_, i64>(0)?, read(row, 1)?)))?;
    let lacking: Vec<_> = lacking.collect::<Result<_, _>>()?;
    let mut label = conn.prepare_cached(sql::LABEL_INSERT)?;
    let mut done = conn.prepare_cached(sql::LABEL_DONE)?;
    let mut budget = Budget::new(lacking.len());
    for (seq, meta) in lacking {
        if !budget.take() {
            break;
        }
        for name in labels_of(&meta) {
            label.execute((name, seq))?;
        }
        done.execute([seq])?;
    }
    Ok(())
}

/// What is no JSON of ours says nothing.
fn read(row: &Row<'_>, column: usize) -> rusqlite::Result<TaskMeta> {
    Ok(serde_json::from_str(&row.get::<_, Lossy>(column)?.0).unwrap_or_default())
}
