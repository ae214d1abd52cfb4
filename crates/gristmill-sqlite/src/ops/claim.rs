use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use gristmill_core::kit::encode::{ack_from, retention_from};
use gristmill_core::{
    Ack, Claim, Claimed, Fence, Flags, LeaseKey, LeaseRef, Place, Points, Standing, State, TaskId, TaskMeta, Timestamp, limits,
    place as place_of,
};
use rusqlite::{CachedStatement, Connection, Row, params};

use super::aside::set_aside;
use super::budget::Budget;
use super::ended::end_unstarted;
use super::lines;
use super::place::place;
use super::settle::mark;
use crate::error::Fault;
use crate::memory::{Living, Server};
use crate::sql;
use crate::tx::Tx;
use crate::whereabouts::{self, Line, Waiter};

/// Tasks that are not for this worker past which one look goes; those that it has moved out of the way are not in that of the next.
const PASSED_MAX: usize = 10_000;
/// Tasks that one claim moves out of the way, some milliseconds; the next claims go on. By number and not by time, as a machine that is
/// busy would get nowhere.
const MOVED_MAX: usize = 2_000;
/// So many tasks of others' at the head of a queue are a crowd: they are moved out of the way, each once. Fewer cost less to read again
/// than to move, where two services keep up with what they share.
const CROWD_MIN: usize = 256;
/// Tasks that one claim takes out of its way because they are too late or can't be read. There may be any number of them, and
/// nobody else writes while it is at it; sweeps and the next claims take the rest.
const WASTED_MAX: usize = 1_000;
/// The most bytes of arguments that one claim reads, unless one task alone has more; the next claim takes the rest.
const BYTES_MAX: usize = 16 * 1024 * 1024;

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
        living: None,
        whose: HashMap::new(),
        own: None,
        moved: 0,
        is_cut_short: false,
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
    // What others have freed, or enqueued in transactions of their own.
    tx.touched = true;
    // Whoever asks is to ask again at once: what stands behind those that were in its way, or too much for once, is his.
    tx.effects.readied |= claiming.is_cut_short || claiming.wasted.is_spent() || claiming.is_full();
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

struct Claiming<'a> {
    claim: &'a Claim,
    server: Arc<Server>,
    /// The live workers; read when the first task comes up that this one does not serve.
    living: Option<Arc<Living>>,
    whose: HashMap<i64, Whose>,
    /// The numbers of the types that it serves; asked when something stands in the lines by type.
    own: Option<BTreeSet<i64>>,
    moved: usize,
    /// Whether a look ended before the queue did, and the next comes further.
    is_cut_short: bool,
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
        self.whose.clear();
        let mut room = limit;
        loop {
            let found = self.look(tx, queue, name, room)?;
            for (place, waiter) in &found {
                if self.claimed.len() >= until || !self.take(tx, name, *place, waiter)? {
                    return Ok(());
                }
            }
            // Fewer than asked for: the queue's end, or too much that is not ours.
            if self.claimed.len() >= until || found.len() < room {
                return Ok(());
            }
            // Some were too late or can't be read, and more of them may follow, for each of which a look would be dear.
            room = WASTED_MAX;
        }
    }

    /// The next tasks for this worker, in their order, and where each stands. What is in their way is moved out of it.
    fn look(&mut self, tx: &mut Tx<'_>, queue: i64, name: &str, room: usize) -> Result<Vec<(Place, Waiter)>, Fault> {
        let by_kind = self.by_kind(tx, queue, room)?;
        let (mut found, mut aside, mut others) = (Vec::new(), Vec::new(), Vec::new());
        // Of those by type, how many come before the row; and rows that are not for this worker.
        let (mut before, mut passed) = (0, 0);
        let conn = tx.conn;
        let mut scan = conn.prepare_cached(sql::READY_SCAN)?;
        let mut rows = scan.query([queue])?;
        while let Some(row) = rows.next()? {
            let waiter = waiter(row, queue)?;
            before += by_kind[before..].iter().take_while(|first| first.order() < waiter.order()).count();
            if found.len() + before >= room || passed >= PASSED_MAX {
                break;
            }
            if waiter.flags.unknown().is_none() {
                match self.whose(tx, name, waiter.kind)? {
                    Whose::Mine => {
                        found.push((Place::Ready, waiter));
                        continue;
                    }
                    Whose::Others => others.push(waiter),
                    Whose::Nobodys => aside.push(waiter),
                }
            }
            // What is unusual about the others only newer versions know: they stay where they are.
            passed += 1;
        }
        drop(rows);
        if others.len() >= CROWD_MIN && self.living(tx)?.all_by_kind {
            aside.append(&mut others);
        }
        self.is_cut_short |= passed >= PASSED_MAX && !aside.is_empty();
        for waiter in aside.iter().take(MOVED_MAX - self.moved) {
            self.moved += 1;
            self.remove(conn, Place::Ready, waiter)?;
            place(tx, place_of(Standing { unserved: true, ..Standing::default() }), waiter)?;
        }
        if !by_kind.is_empty() {
            // Also those behind the last row that was looked at: nobody is to be idle while a crowd is moved.
            found.extend(by_kind.into_iter().map(|waiter| (Place::Parked, waiter)));
            found.sort_by_key(|(_, waiter)| waiter.order());
            found.truncate(room);
        }
        Ok(found)
    }

    /// The first of this worker's tasks that stand in the lines by type.
    fn by_kind(&mut self, tx: &mut Tx<'_>, queue: i64, room: usize) -> Result<Vec<Waiter>, Fault> {
        if !lines::any(tx.conn, queue)? {
            return Ok(Vec::new());
        }
        let own = match self.own.take() {
            Some(own) => own,
            None => self.server.numbers(&mut tx.memory.names.kinds, tx.conn)?,
        };
        lines::first(tx.conn, queue, self.own.insert(own), room)
    }

    fn whose(&mut self, tx: &mut Tx<'_>, queue: &str, kind: i64) -> Result<Whose, Fault> {
        if let Some(known) = self.whose.get(&kind) {
            return Ok(*known);
        }
        let whose = match tx.memory.names.kinds.name(tx.conn, kind)? {
            // Damage: taken, so that it is found and set aside.
            None => Whose::Mine,
            Some(name) if self.server.serves(&name) => Whose::Mine,
            Some(name) if self.living(tx)?.served.covers(queue, &name) => Whose::Others,
            Some(_) => Whose::Nobodys,
        };
        self.whose.insert(kind, whose);
        Ok(whose)
    }

    fn living(&mut self, tx: &mut Tx<'_>) -> Result<&Living, Fault> {
        let living = match self.living.take() {
            Some(living) => living,
            None => tx.memory.living(tx.conn, tx.now)?,
        };
        Ok(self.living.insert(living))
    }

    fn remove(&mut self, conn: &Connection, place: Place, waiter: &Waiter) -> Result<(), Fault> {
        let Waiter { queue, priority, line, .. } = *waiter;
        if place == Place::Ready && !waiter.flags.has(Flags::MOVED) {
            self.delete.execute([queue, priority, line.seq, line.turn])?;
        } else {
            whereabouts::remove(conn, place, waiter)?;
        }
        Ok(())
    }

    /// Whether it has read as much as one claim may.
    fn is_full(&self) -> bool {
        self.bytes >= BYTES_MAX
    }

    /// Moves one task from its place to this worker, unless it is too late for it or it can't be read. False if this claim has had
    /// enough of those, or is full.
    fn take(&mut self, tx: &mut Tx<'_>, queue_name: &Arc<str>, place: Place, waiter: &Waiter) -> Result<bool, Fault> {
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
        self.remove(tx.conn, place, waiter)?;
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
