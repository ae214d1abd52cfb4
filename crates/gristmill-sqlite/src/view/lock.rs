use gristmill_core::limits::PAGE_ITEMS_MAX;
use gristmill_core::{LockInfo, TaskId, Timestamp};
use rusqlite::{OptionalExtension, Rows, params};

use crate::error::Fault;
use crate::reader::View;
use crate::sql;
use crate::text::Lossy;

/// Locks that are held, by name.
pub(crate) fn locks(view: &mut View<'_>, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<LockInfo>, Fault> {
    if prefix.contains('\0') {
        // No name has one, and SQLite measures a text up to it.
        return Ok(Vec::new());
    }
    let conn = view.conn;
    let mut list = conn.prepare_cached(sql::LOCK_LIST)?;
    let most = limit.clamp(1, PAGE_ITEMS_MAX) as i64;
    read(view, list.query(params![after.unwrap_or_default(), prefix, most])?)
}

/// Those that the running attempt of a task holds.
pub(crate) fn locks_of(view: &mut View<'_>, id: TaskId) -> Result<Vec<LockInfo>, Fault> {
    let conn = view.conn;
    let find = conn.prepare_cached(sql::TASK_FIND)?.query_row([id.as_bytes().as_slice()], |row| row.get(0)).optional()?;
    let Some(seq): Option<i64> = find else { return Ok(Vec::new()) };
    let mut list = conn.prepare_cached(sql::LOCK_OF)?;
    read(view, list.query([seq])?)
}

fn read(view: &mut View<'_>, mut rows: Rows<'_>) -> Result<Vec<LockInfo>, Fault> {
    let mut locks = Vec::new();
    while let Some(row) = rows.next()? {
        let Some(task) = row.get_ref(3)?.as_blob().ok().and_then(TaskId::from_slice) else { continue };
        locks.push(LockInfo {
            name: row.get::<_, Lossy>(0)?.0,
            token: row.get::<_, i64>(1)?.unsigned_abs(),
            task,
            kind: view.names.kinds.name(view.conn, row.get(4)?)?.map(|name| name.to_string()),
            worker: row.get::<_, Option<Lossy>>(5)?.map(|Lossy(name)| name),
            since: Timestamp::from_millis(row.get(2)?),
        });
    }
    Ok(locks)
}
