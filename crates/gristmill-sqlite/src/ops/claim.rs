use std::collections::HashMap;
use std::sync::Arc;

use gristmill_core::kit::encode::{ack_from, retention_from};
use gristmill_core::kit::served::Served;
use gristmill_core::{
    Ack, Claim, Claimed, Fence, Flags, LeaseKey, LeaseRef, Points, Standing, State, TaskId, TaskMeta, Timestamp, limits,
    place as place_of,
};
use rusqlite::{CachedStatement, Connection, Row, params};

use super::aside::set_aside;
use super::budget::Budget;
use super::ended::end_unstarted;
use super::place::place;
use super::settle::mark;
use crate::error::Fault;
use crate::memory::Server;
use crate::sql;
use crate::tx::Tx;
use crate::whereabouts::{Line, Waiter};

/// Tasks that one claim moves aside because nobody serves them.
const PARKED_MAX: usize = 1_000;
/// Tasks of other workers that one claim passes over; the floor remembers how far it came.
const SKIPPED_MAX: usize = 10_000;
/// Tasks that one claim takes out of its way because they are too late or can't be read. There may be any number of them, and
/// nobody else writes while it is at it; sweeps and the next claims take the rest.
const WASTED_MAX: usize = 1_000;
/// The most bytes of arguments that one claim reads, unless one task alone has more; the next claim takes the rest.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// Fewer foreign tasks than this at the head of a queue cost less than remembering them.
const FLOOR_MIN: usize = 64;

/// Takes tasks for a worker, in the order of its wishes.
pub(crate) fn claim(tx: &mut Tx<'_>, claim: &Claim) -> Result<Vec<Claimed>, Fault> {
    let conn = tx.conn;
    let Some(server) = tx.memory.server(conn, claim.worker, tx.now)? else {
        return Err(Fault::invalid(format!(
            "worker {} is not alive: it never entered, left, or missed its heartbeats",
            claim.worker
        )));
    };
    if claim.again {
        let given = given(tx, claim, &server)?;
        if !given.is_empty() {
            return Ok(given);
        }
    }
    let mut claiming = Claiming {
        claim,
        server,
        served: None,
        own: HashMap::new(),
        parked: 0,
        wasted: Budget::new(WASTED_MAX),
        bytes: 0,
        body: conn.prepare_cached(sql::TASK_BODY)?,
        delete: conn.prepare_cached(sql::READY_DELETE)?,
        lease: conn.prepare_cached(sql::LEASE_INSERT)?,
        claimed: Vec::new(),
    };
    for wanted in &claim.wanted {
        let Some(queue) = tx.memory.names.queues.find(conn, &wanted.queue)? else { continue };
        let paused = conn.prepare_cached(sql::QUEUE_PAUSED)?.query_row([queue], |row| row.get::<_, bool>(0))?;
        if !paused {
            claiming.serve(tx, queue, &wanted.queue, wanted.limit)?;
        }
    }
    tx.effects.looked.push(claim.worker);
    // Whoever asks is to ask again at once: what stands behind those that were in its way, or too much for once, is his.
    tx.effects.readied |= claiming.wasted.is_spent() || claiming.is_full();
    if !claiming.claimed.is_empty() {
        tx.effects.points.add(Points::CLAIM);
    }
    Ok(claiming.claimed)
}

/// What this very claim took the first time, when its reply was lost.
fn given(tx: &mut Tx<'_>, claim: &Claim, server: &Server) -> Result<Vec<Claimed>, Fault> {
    let conn = tx.conn;
    let mut statement = conn.prepare_cached(sql::LEASE_GIVEN)?;
    let mut rows = statement.query([server.key])?;
    let mut given = Vec::new();
    while let Some(row) = rows.next()? {
        // What can't be read was not given; it stays until the worker ends.
        let Ok(body) = read_body(row) else { continue };
        if row.get_ref(8)?.as_blob().ok() != Some(&mark(body.id, claim.fence)) {
            continue;
        }
        let (key, queue, kind) = (row.get(9)?, row.get(10)?, row.get(11)?);
        let names = &mut tx.memory.names;
        let (Some(queue), Some(kind)) = (names.queues.name(conn, queue)?, names.kinds.name(conn, kind)?) else { continue };
        let counts = (row.get(12)?, row.get(13)?, row.get(14)?);
        given.push(body.claimed(claim.fence, key, (kind, queue), counts, tx.now));
    }
    Ok(given)
}

/// What a look at the head of a queue found.
#[derive(Default)]
struct Scan {
    mine: Vec<Waiter>,
    unserved: Vec<Waiter>,
    skipped: usize,
}

struct Claiming<'a> {
    claim: &'a Claim,
    server: Arc<Server>,
    /// What live workers serve; read when the first task comes up that this worker does not.
    served: Option<Arc<Served>>,
    own: HashMap<i64, Whose>,
    parked: usize,
    wasted: Budget,
    bytes: usize,
    body: CachedStatement<'a>,
    delete: CachedStatement<'a>,
    lease: CachedStatement<'a>,
    claimed: Vec<Claimed>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Mine,
    Others,
    Nobodys,
}

impl Claiming<'_> {
    fn serve(&mut self, tx: &mut Tx<'_>, queue: i64, name: &Arc<str>, limit: usize) -> Result<(), Fault> {
        let until = self.claimed.len().saturating_add(limit);
        // One queue's task may be another's type: who serves what is decided for each queue anew.
        self.own.clear();
        while self.claimed.len() < until {
            let room = until - self.claimed.len();
            let scan = self.scan(tx, queue, name, room)?;
            for waiter in &scan.unserved {
                self.remove(tx.conn, waiter)?;
                place(tx, place_of(Standing { unserved: true, ..Standing::default() }), waiter)?;
            }
            for waiter in &scan.mine {
                if !self.take(tx, name, waiter)? {
                    return Ok(());
                }
            }
            // Fewer than asked for: the queue's end, or too much that is not ours.
            if scan.mine.len() < room {
                break;
            }
        }
        Ok(())
    }

    fn scan(&mut self, tx: &mut Tx<'_>, queue: i64, name: &str, room: usize) -> Result<Scan, Fault> {
        let mut scan = Scan::default();
        let conn = tx.conn;
        match tx.memory.floors(self.server.key, queue) {
            None => {
                let mut rows = conn.prepare_cached(sql::READY_SCAN)?;
                self.walk(tx, queue, name, room, rows.query([queue])?, &mut scan)?;
            }
            Some(floors) => {
                let mut rows = conn.prepare_cached(sql::READY_SCAN_ABOVE)?;
                for (priority, floor) in (0i64..).zip(floors) {
                    if self.walk(tx, queue, name, room, rows.query(params![queue, priority, floor])?, &mut scan)? {
                        break;
                    }
                }
            }
        }
        Ok(scan)
    }

    /// Returns true when the look is over, false at the end of the rows.
    fn walk(
        &mut self,
        tx: &mut Tx<'_>,
        queue: i64,
        name: &str,
        room: usize,
        mut rows: rusqlite::Rows<'_>,
        scan: &mut Scan,
    ) -> Result<bool, Fault> {
        // A floor rises only over an unbroken run of foreign rows from the head of a priority on.
        let mut lead: Option<(i64, i64, usize)> = None;
        let mut broken = None;
        let mut over = false;
        while let Some(row) = rows.next()? {
            let waiter = waiter(row, queue)?;
            match self.whose(tx, name, &waiter)? {
                Whose::Mine => {
                    broken = Some(waiter.priority);
                    scan.mine.push(waiter);
                }
                Whose::Nobodys if self.parked < PARKED_MAX => {
                    self.parked += 1;
                    scan.unserved.push(waiter);
                }
                Whose::Others | Whose::Nobodys => {
                    scan.skipped += 1;
                    if broken != Some(waiter.priority) {
                        let run = lead.filter(|lead| lead.0 == waiter.priority).map_or(0, |lead| lead.2);
                        if run == 0 {
                            self.raise(tx, queue, lead);
                        }
                        lead = Some((waiter.priority, waiter.line.seq, run + 1));
                    }
                }
            }
            if scan.mine.len() >= room || scan.skipped >= SKIPPED_MAX {
                over = true;
                break;
            }
        }
        self.raise(tx, queue, lead);
        Ok(over)
    }

    fn raise(&self, tx: &mut Tx<'_>, queue: i64, lead: Option<(i64, i64, usize)>) {
        if let Some((priority, line, run)) = lead
            && run >= FLOOR_MIN
        {
            // Below it, as others may stand at the same place in line.
            tx.memory.raise_floor(self.server.key, queue, priority, line.saturating_sub(1));
        }
    }

    fn whose(&mut self, tx: &mut Tx<'_>, queue: &str, waiter: &Waiter) -> Result<Whose, Fault> {
        if !waiter.flags.unknown().is_none() {
            // What is unusual about it only newer versions know.
            return Ok(Whose::Others);
        }
        let kind = waiter.kind;
        if let Some(known) = self.own.get(&kind) {
            return Ok(*known);
        }
        let whose = match tx.memory.names.kinds.name(tx.conn, kind)? {
            // Damage: taken, so that it is found and set aside.
            None => Whose::Mine,
            Some(name) if self.server.serves(&name) => Whose::Mine,
            Some(name) => {
                if self.served.is_none() {
                    self.served = Some(tx.memory.served(tx.conn, tx.now)?);
                }
                let served = self.served.as_ref().is_some_and(|served| served.covers(queue, &name));
                if served { Whose::Others } else { Whose::Nobodys }
            }
        };
        self.own.insert(kind, whose);
        Ok(whose)
    }

    fn remove(&mut self, conn: &Connection, waiter: &Waiter) -> Result<(), Fault> {
        let Waiter { queue, priority, line, .. } = *waiter;
        self.delete.execute([queue, priority, line.seq, line.turn])?;
        if waiter.flags.has(Flags::MOVED) {
            conn.prepare_cached(sql::MOVED_DELETE)?.execute([waiter.key])?;
        }
        Ok(())
    }

    /// Whether it has read as much as one claim may.
    fn is_full(&self) -> bool {
        self.bytes >= BYTES_MAX
    }

    /// Moves one task from `ready` to this worker, unless it is too late for it or it can't be read. False if this claim has had
    /// enough of those, or is full.
    fn take(&mut self, tx: &mut Tx<'_>, queue_name: &Arc<str>, waiter: &Waiter) -> Result<bool, Fault> {
        if self.is_full() {
            return Ok(false);
        }
        let kind = tx.memory.names.kinds.name(tx.conn, waiter.kind)?;
        let mut rows = self.body.query([waiter.key])?;
        let body = match rows.next()? {
            None => Err("its body is missing".to_owned()),
            Some(row) => read_body(row),
        };
        drop(rows);
        let now = tx.now.as_millis();
        let late = waiter.attempt == 0 && body.as_ref().is_ok_and(|body| body.expires_at.is_some_and(|at| at <= now));
        if (late || body.is_err() || kind.is_none()) && !self.wasted.take() {
            return Ok(false);
        }
        self.remove(tx.conn, waiter)?;
        let (body, kind) = match (body, kind) {
            (Ok(body), Some(kind)) => (body, kind),
            (Err(why), _) => return set_aside(tx, waiter, &why).map(|()| true),
            (Ok(_), None) => return set_aside(tx, waiter, "its task type has no name").map(|()| true),
        };
        if waiter.attempt == 0
            && let Some(at) = body.expires_at
        {
            tx.conn.prepare_cached(sql::EXPIRY_DELETE)?.execute(params![at, waiter.key])?;
            if late {
                tx.memory.note_ended(body.id);
                end_unstarted(tx, State::Expired, waiter, Some(body.id), retention_from(body.retention))?;
                return Ok(true);
            }
        }
        self.bytes += body.args.len();
        let report_start = body.reports_start(waiter.crashes);
        let (attempt, claim_no) = (waiter.attempt.saturating_add(1), waiter.claim_no.saturating_add(1));
        self.lease.execute(params![
            waiter.key,
            mark(body.id, self.claim.fence),
            self.server.key,
            waiter.queue,
            attempt,
            claim_no,
            waiter.crashes,
            !report_start,
            body.retention,
            now,
            // It has no place in line any more.
            waiter.flags.without(Flags::MOVED).bits(),
        ])?;
        let counts = (attempt, claim_no, waiter.crashes);
        self.claimed.push(body.claimed(self.claim.fence, waiter.key, (kind, queue_name.clone()), counts, tx.now));
        Ok(true)
    }
}

/// A row of `ready`.
fn waiter(row: &Row<'_>, queue: i64) -> rusqlite::Result<Waiter> {
    let seq: i64 = row.get(1)?;
    let flags = Flags::from_bits(row.get(6)?);
    // Nearly all stand where they arrived.
    let (turn, key) = if flags.has(Flags::MOVED) { (row.get(7)?, row.get(8)?) } else { (0, seq) };
    Ok(Waiter {
        key,
        queue,
        kind: row.get(2)?,
        priority: row.get(0)?,
        line: Line { seq, turn },
        run_at: 0,
        attempt: row.get(3)?,
        claim_no: row.get(4)?,
        crashes: row.get(5)?,
        flags,
    })
}

struct Body {
    id: TaskId,
    ack: Ack,
    retention: i64,
    max_attempts: u32,
    created_at: i64,
    expires_at: Option<i64>,
    args: String,
    meta: Option<Box<TaskMeta>>,
}

impl Body {
    fn reports_start(&self, crashes: u32) -> bool {
        crashes > 0 || self.ack == Ack::Early
    }

    fn claimed(
        self,
        fence: Fence,
        key: i64,
        (kind, queue): (Arc<str>, Arc<str>),
        (attempt, claim_no, crashes): (u32, u32, u32),
        now: Timestamp,
    ) -> Claimed {
        let expires_at = self.expires_at.filter(|_| attempt == 1).map(Timestamp::from_millis);
        Claimed {
            lease: LeaseRef { id: self.id, fence, key: LeaseKey::of_number(key) },
            kind,
            queue,
            attempt,
            claim_no,
            crashes,
            max_attempts: self.max_attempts,
            report_start: self.reports_start(crashes),
            created_at: Timestamp::from_millis(self.created_at),
            expires_in: expires_at.map(|at| at.since(now)),
            args: self.args,
            meta: self.meta,
        }
    }
}

/// Errors are texts, not errors: a body that can't be read is its task's misfortune and not the claim's.
fn read_body(row: &Row<'_>) -> Result<Body, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let id = row.get_ref(0).map_err(|e| text(&e))?.as_blob().ok().and_then(TaskId::from_slice);
    let args = row.get_ref(6).map_err(|e| text(&e))?.as_str().map_err(|_| "its arguments are not text")?;
    limits::check_depth("args", args).map_err(|e| text(&e))?;
    let meta = row.get_ref(7).map_err(|e| text(&e))?.as_str_or_null().map_err(|_| "its meta is not text")?;
    Ok(Body {
        id: id.ok_or("its id is not sixteen bytes")?,
        ack: ack_from(row.get(1).map_err(|e| text(&e))?),
        retention: row.get(2).map_err(|e| text(&e))?,
        max_attempts: row.get(3).map_err(|_| "its max_attempts is out of range")?,
        created_at: row.get(4).map_err(|e| text(&e))?,
        expires_at: row.get(5).map_err(|e| text(&e))?,
        args: args.to_owned(),
        meta: match meta {
            None => None,
            Some(meta) => Some(serde_json::from_str(meta).map_err(|error| format!("its meta can't be read: {error}"))?),
        },
    })
}
