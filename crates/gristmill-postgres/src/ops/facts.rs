use std::collections::HashMap;

use gristmill_core::kit::encode::ack_from;
use gristmill_core::kit::row::count;
use gristmill_core::{Ack, Flags};
use uuid::Uuid;

use crate::error::Fault;
use crate::session::Session;
use crate::sql::Q;

/// What the body of a task says that its way on needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) seq: i64,
    pub(super) queue: i32,
    pub(super) kind: i32,
    pub(super) priority: i16,
    pub(super) max_attempts: u32,
    pub(super) max_crashes: u32,
    pub(super) ack: Ack,
    pub(super) expires_at: Option<i64>,
    pub(super) retention: i64,
    pub(super) flags: Flags,
    /// The workflow and the number of the step of which it is a member.
    pub(super) member: Option<Step>,
}

/// A step: its workflow, and its number there.
pub(super) type Step = (Uuid, i32);

/// Those of some tasks; none of one whose body is missing. A session that [spares days](Session::spare_days) opens only theirs.
pub(super) async fn facts(s: &Session<'_>, ids: &[Uuid]) -> Result<HashMap<Uuid, Facts>, Fault> {
    let mut facts = HashMap::with_capacity(ids.len());
    if ids.is_empty() {
        return Ok(facts);
    }
    for row in s.rows(Q::TaskFacts, &[&ids]).await? {
        let of_one = Facts {
            seq: row.try_get(1)?,
            queue: row.try_get(2)?,
            kind: row.try_get(3)?,
            priority: row.try_get(4)?,
            max_attempts: count(row.try_get(5)?),
            max_crashes: count(row.try_get(6)?),
            ack: ack_from(row.try_get::<_, i16>(7)?.into()),
            expires_at: row.try_get(8)?,
            retention: row.try_get(9)?,
            flags: Flags::from_bits(row.try_get(10)?),
            member: row.try_get::<_, Option<Uuid>>(11)?.zip(row.try_get(12)?),
        };
        facts.insert(row.try_get(0)?, of_one);
    }
    Ok(facts)
}
