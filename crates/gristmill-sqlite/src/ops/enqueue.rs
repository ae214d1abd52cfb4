use gristmill_core::kit::list::labels_of;
use gristmill_core::{EnqueueOutcome, NewTask, Points, Timestamp};
use rusqlite::params;

use super::{ack_of, meta_of, retention_of};
use crate::error::Fault;
use crate::sql;
use crate::tx::Tx;

/// Writes new tasks; each answers for itself.
pub(crate) fn enqueue(tx: &mut Tx<'_>, tasks: &[NewTask]) -> Result<Vec<EnqueueOutcome>, Fault> {
    let conn = tx.conn;
    let now = tx.now;
    let mut insert = conn.prepare_cached(sql::TASK_INSERT)?;
    let mut ready = conn.prepare_cached(sql::READY_INSERT)?;
    let mut outcomes = Vec::with_capacity(tasks.len());
    for task in tasks {
        let queue = tx.memory.names.queues.intern(conn, &task.queue)?;
        let kind = tx.memory.names.kinds.intern(conn, &task.kind)?;
        let due = task.due(now);
        let expires_at = task.deadline(now).map(Timestamp::as_millis);
        let added = insert.execute(params![
            task.id.as_bytes().as_slice(),
            queue,
            kind,
            task.priority,
            task.max_attempts,
            task.max_crashes,
            ack_of(task.ack),
            retention_of(task.retention),
            now.as_millis(),
            due.as_millis(),
            expires_at,
            task.args,
            meta_of(task.meta.as_deref()),
        ])?;
        if added == 0 {
            let same = conn
                .prepare_cached(sql::TASK_SAME)?
                .query_row(params![task.id.as_bytes().as_slice(), kind, task.args], |row| row.get::<_, bool>(0))?;
            outcomes.push(if same { EnqueueOutcome::Exists } else { EnqueueOutcome::Conflict });
            continue;
        }
        let seq = conn.last_insert_rowid();
        if let Some(meta) = &task.meta {
            let mut label = conn.prepare_cached(sql::LABEL_INSERT)?;
            for name in labels_of(meta) {
                label.execute(params![name, seq])?;
            }
        }
        if due <= now {
            ready.execute(params![queue, task.priority, seq, kind, 0, 0, 0])?;
            tx.effects.readied = true;
        } else {
            conn.prepare_cached(sql::SCHEDULED_INSERT)?.execute(params![seq, due.as_millis(), queue, 0, 0, 0])?;
            tx.effects.scheduled = true;
        }
        if let Some(at) = expires_at {
            conn.prepare_cached(sql::EXPIRY_INSERT)?.execute(params![at, seq])?;
        }
        tx.effects.points.add(Points::ENQUEUE);
        outcomes.push(EnqueueOutcome::Created);
    }
    Ok(outcomes)
}
