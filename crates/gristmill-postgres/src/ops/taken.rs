use std::collections::HashMap;

use gristmill_core::kit::encode::ack_from;
use gristmill_core::kit::row::count;
use gristmill_core::{Ack, Flags, Held, Timestamp};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::error::Fault;
use crate::session::Session;
use crate::sql::Q;

/// A lease that was just taken away, with what the other tables say of its task.
pub(super) struct Taken {
    pub(super) id: Uuid,
    pub(super) fence: Uuid,
    pub(super) seq: i64,
    pub(super) retention: i64,
    pub(super) claimed_at: i64,
    pub(super) attempt: u32,
    pub(super) claim_no: u32,
    pub(super) crashes: u32,
    pub(super) started: bool,
    cancel: bool,
    noted: bool,
    pub(super) flags: Flags,
    pub(super) worker: Option<String>,
    pub(super) logs: Option<String>,
    pub(super) progress: Option<String>,
    /// `None` if its body is missing.
    pub(super) facts: Option<Facts>,
    pub(super) now: Timestamp,
}

/// What the body says that settling needs.
pub(super) struct Facts {
    pub(super) queue: i32,
    pub(super) kind: i32,
    pub(super) priority: i16,
    max_attempts: u32,
    max_crashes: u32,
    ack: Ack,
    pub(super) expires_at: Option<i64>,
}

impl Taken {
    /// For a worker whose row is gone already.
    pub(super) fn name_worker(&mut self, name: &str) {
        self.worker = Some(name.to_owned());
    }

    /// What is judged.
    pub(super) fn held(&self) -> Held {
        let facts = self.facts.as_ref();
        Held {
            attempt: self.attempt,
            crashes: self.crashes,
            max_attempts: facts.map_or(1, |facts| facts.max_attempts),
            max_crashes: facts.map_or(1, |facts| facts.max_crashes),
            ack: facts.map_or(Ack::Late, |facts| facts.ack),
            started: self.started,
            cancel_requested: self.cancel,
            flags: self.flags,
        }
    }

    /// Reads what a statement took, and takes what was noted of it.
    pub(super) async fn all(s: &Session<'_>, rows: &[Row]) -> Result<Vec<Self>, Fault> {
        let mut all = rows.iter().map(Self::read).collect::<Result<Vec<_>, _>>()?;
        let noted: Vec<Uuid> = all.iter().filter(|taken| taken.noted).map(|taken| taken.id).collect();
        if noted.is_empty() {
            return Ok(all);
        }
        let mut notes: HashMap<Uuid, _> = HashMap::with_capacity(noted.len());
        for row in s.rows(Q::LiveTake, &[&noted]).await? {
            notes.insert(row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?));
        }
        for taken in &mut all {
            (taken.logs, taken.progress) = notes.remove(&taken.id).unwrap_or_default();
        }
        Ok(all)
    }

    fn read(row: &Row) -> Result<Self, Fault> {
        let facts = match row.try_get::<_, Option<i32>>(11)? {
            None => None,
            Some(queue) => Some(Facts {
                queue,
                kind: row.try_get(12)?,
                priority: row.try_get(13)?,
                max_attempts: count(row.try_get(14)?),
                max_crashes: count(row.try_get(15)?),
                ack: ack_from(row.try_get::<_, i16>(16)?.into()),
                expires_at: row.try_get(17)?,
            }),
        };
        Ok(Self {
            id: row.try_get(0)?,
            fence: row.try_get(19)?,
            seq: row.try_get(1)?,
            retention: row.try_get(2)?,
            claimed_at: row.try_get(3)?,
            attempt: count(row.try_get(4)?),
            claim_no: count(row.try_get(5)?),
            crashes: count(row.try_get(6)?),
            started: row.try_get(7)?,
            cancel: row.try_get(8)?,
            noted: row.try_get(9)?,
            flags: Flags::from_bits(row.try_get(20)?),
            worker: row.try_get(10)?,
            logs: None,
            progress: None,
            facts,
            now: Timestamp::from_millis(row.try_get(18)?),
        })
    }
}
