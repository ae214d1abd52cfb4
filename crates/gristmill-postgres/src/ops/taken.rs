use std::collections::HashMap;

use gristmill_core::kit::row::count;
use gristmill_core::{Ack, Flags, Held, Timestamp};
use tokio_postgres::Row;
use uuid::Uuid;

use super::facts::{Facts, facts};
use crate::conn::Params;
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

    /// Takes the leases with these fences away from whoever holds them, and what was noted of them. Needs a transaction.
    pub(super) async fn take(s: &mut Session<'_>, ids: &[Uuid], fences: &[Uuid]) -> Result<Vec<Self>, Fault> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        s.spare_days().await?;
        let params: Params<'_> = &[&s.now, &ids, &fences];
        // Sent as one, as a body says the same as long as there is a lease; and the bodies first, which nobody locks, so that one error of the
        // server is not followed by another.
        let (facts, rows) = tokio::join!(facts(s, ids), s.rows(Q::LeaseTake, params));
        let (mut facts, rows) = (facts?, rows?);
        let read = |row: &Row| Self::read(row, |id| facts.remove(id));
        let mut all = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        all.sort_unstable_by_key(|taken| taken.seq);
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

    /// The same of leases that were found and locked.
    pub(super) async fn take_found(s: &mut Session<'_>, found: &[Row]) -> Result<Vec<Self>, Fault> {
        let (mut ids, mut fences) = (Vec::with_capacity(found.len()), Vec::with_capacity(found.len()));
        for row in found {
            ids.push(row.try_get(0)?);
            fences.push(row.try_get(1)?);
        }
        Self::take(s, &ids, &fences).await
    }

    fn read(row: &Row, mut facts: impl FnMut(&Uuid) -> Option<Facts>) -> Result<Self, Fault> {
        let id = row.try_get(0)?;
        let facts = facts(&id);
        // A program of before there were flags may have put it into its place, without any.
        let member = if facts.is_some_and(|facts| facts.member.is_some()) { Flags::MEMBER } else { Flags::NONE };
        Ok(Self {
            id,
            seq: row.try_get(1)?,
            retention: row.try_get(2)?,
            claimed_at: row.try_get(3)?,
            attempt: count(row.try_get(4)?),
            claim_no: count(row.try_get(5)?),
            crashes: count(row.try_get(6)?),
            started: row.try_get(7)?,
            cancel: row.try_get(8)?,
            noted: row.try_get(9)?,
            worker: row.try_get(10)?,
            fence: row.try_get(11)?,
            flags: Flags::from_bits(row.try_get(12)?).with(member),
            now: Timestamp::from_millis(row.try_get(13)?),
            logs: None,
            progress: None,
            facts,
        })
    }
}
