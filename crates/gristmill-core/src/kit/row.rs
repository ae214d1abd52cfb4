//! A new task as rows: resolved once, and then only written, by whatever driver.

use serde::Serialize;
use uuid::Uuid;

use super::encode::{ack_of, at, ms, retention_of, to_json};
use crate::{Flags, NewTask, Place, Standing, Timestamp, place};

/// A new task as the tables keep it, with the names of its queue and type. As JSON it is what the functions of a database take.
#[derive(Clone, Debug, Serialize)]
pub struct NewRow<'a> {
    /// The task's id.
    pub id: Uuid,
    /// Its queue.
    pub queue: &'a str,
    /// Its task type.
    pub kind: &'a str,
    /// 0 first … 9 last.
    pub priority: i16,
    /// Failed attempts until it fails.
    pub max_attempts: i32,
    /// Crashes until it fails.
    pub max_crashes: i32,
    /// As [`ack_of`].
    pub ack: i16,
    /// As [`retention_of`].
    pub retention: i64,
    /// When it is due, in milliseconds since 1970, if that is a moment.
    pub at: Option<i64>,
    /// How long it waits first, in milliseconds.
    pub delay: i64,
    /// How long after it is due it may still start, in milliseconds.
    pub expires: Option<i64>,
    /// The moment from which it may not start any more, in milliseconds since 1970; wins over `expires`.
    pub deadline: Option<i64>,
    /// The arguments, as JSON text.
    pub args: &'a str,
    /// What has no column of its own, as JSON text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meta: Option<String>,
    /// Whether it waits for other tasks.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub blocked: bool,
    /// Its [`Flags`].
    #[serde(skip_serializing_if = "is_zero")]
    pub flags: i32,
    /// How long it has its own key, in milliseconds, if that is a period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unique_ms: Option<i64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_zero(flags: &i32) -> bool {
    *flags == 0
}

impl<'a> NewRow<'a> {
    /// The row of a task.
    pub fn of(task: &'a NewTask) -> Self {
        Self {
            id: task.id.as_uuid(),
            queue: &task.queue,
            kind: &task.kind,
            priority: task.priority.into(),
            max_attempts: int(task.max_attempts),
            max_crashes: int(task.max_crashes),
            ack: ack_of(task.ack),
            retention: retention_of(task.retention),
            at: task.run_at.map(at),
            delay: ms(task.delay),
            expires: task.expires.map(ms),
            deadline: task.meta.as_ref().and_then(|meta| meta.expires_at).map(at),
            args: &task.args,
            meta: task.meta.as_deref().map(to_json),
            blocked: task.hold.blocked,
            flags: task.flags().bits(),
            unique_ms: task.unique().and_then(|unique| unique.until.period()).map(ms),
        }
    }

    /// When it is due, for a store whose clock says `now`; both in milliseconds.
    pub fn due(&self, now: i64) -> i64 {
        self.at.unwrap_or_else(|| now.saturating_add(self.delay))
    }

    /// From when on it may not start any more, if ever.
    pub fn expires_at(&self, now: i64) -> Option<i64> {
        self.deadline.or_else(|| self.expires.map(|period| self.due(now).saturating_add(period)))
    }

    /// Where it waits first.
    pub fn place(&self, now: Timestamp) -> Place {
        place(Standing {
            blocked: self.blocked,
            early: self.due(now.as_millis()) > now.as_millis(),
            limited: Flags::from_bits(self.flags).has(Flags::LIMITED),
            unserved: false,
        })
    }
}

/// A count as the tables keep it.
pub fn int(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// What [`int`] gave.
pub fn count(int: i32) -> u32 {
    u32::try_from(int).unwrap_or_default()
}
