use gristmill_core::kit::encode::{ack_from, retention_from};
use gristmill_core::{Ack, Flags, Retention, TaskId};
use rusqlite::{Connection, OptionalExtension};

use crate::error::Fault;
use crate::sql;
use crate::whereabouts::{Address, Waiter};

/// What the body says that settling, cancelling and moving need.
pub(super) struct Facts {
    pub(super) key: i64,
    /// `None` if it is damaged.
    pub(super) id: Option<TaskId>,
    pub(super) queue: i64,
    pub(super) kind: i64,
    pub(super) priority: i64,
    pub(super) max_attempts: u32,
    pub(super) max_crashes: u32,
    pub(super) ack: Ack,
    pub(super) retention: Retention,
    pub(super) expires_at: Option<i64>,
}

/// Those of a task; `None` if it has no body.
pub(super) fn facts(conn: &Connection, key: i64) -> Result<Option<Facts>, Fault> {
    let facts = conn.prepare_cached(sql::TASK_FACTS)?.query_row([key], |row| {
        Ok(Facts {
            key,
            id: row.get_ref(0)?.as_blob().ok().and_then(TaskId::from_slice),
            queue: row.get(1)?,
            kind: row.get(2)?,
            priority: row.get(3)?,
            max_attempts: row.get(4).unwrap_or(1),
            max_crashes: row.get(5).unwrap_or(1),
            ack: ack_from(row.get(6)?),
            retention: retention_from(row.get(7)?),
            expires_at: row.get(8)?,
        })
    });
    Ok(facts.optional()?)
}

/// Those of a task that is known by its id.
pub(super) fn facts_of(conn: &Connection, id: TaskId) -> Result<Option<Facts>, Fault> {
    let key = conn.prepare_cached(sql::TASK_FIND)?.query_row([id.as_bytes().as_slice()], |row| row.get(0)).optional()?;
    key.map_or(Ok(None), |key| facts(conn, key))
}

impl Facts {
    /// Where to look for it.
    pub(super) fn address(&self) -> Address {
        Address { key: self.key, queue: self.queue, kind: self.kind, priority: self.priority }
    }

    /// The task as it comes to a place, at that of its arrival where there is a line. `counts` are attempt, claim number, crashes.
    pub(super) fn waiter(&self, (attempt, claim_no, crashes): (u32, u32, u32), flags: Flags) -> Waiter {
        Waiter {
            queue: self.queue,
            kind: self.kind,
            priority: self.priority,
            attempt,
            claim_no,
            crashes,
            flags: flags.without(Flags::MOVED),
            ..Waiter::unread(self.key)
        }
    }
}
