use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gristmill_core::kit::encode::{NONE, ack_from, to_json};
use gristmill_core::kit::row::count;
use gristmill_core::kit::served::Serves;
use gristmill_core::{
    Ack, Claim, Claimed, Fence, Flags, LeaseRef, Points, TaskId, TaskMeta, Timestamp, Wanted, WorkerId, limits,
};
use serde_json::json;
use tokio_postgres::Row;
use uuid::Uuid;

use super::concurrency::Returns;
use super::ended::{Unstarted, Waited, end_unstarted, expired};
use super::settle::key;
use super::{is_alone, limit};
use crate::conn::Params;
use crate::error::Fault;
use crate::hints::{Begun, Catch};
use crate::names::{Named, Sort};
use crate::session::Session;
use crate::sql::Q;
use crate::workers::{PRIORITIES, Server, Way, Workers};

/// So many ready tasks of types that a worker does not serve are worth another way past them.
const CROWD: i64 = 10_000;
/// How often a claim by type looks again at once for what others may have left it.
const LOOKS: usize = 5;
/// How long a claim waits for a name that somebody has in hand, in milliseconds.
const LOCK_WAIT: &str = "100";
/// The most tasks that one statement takes; whoever wants more is given them by several.
const BATCH_MAX: usize = 5_000;

/// Takes tasks for a worker, in the order of its wishes. A claim that was made before, as far as it got, is made `again`.
pub(crate) async fn claim(s: &mut Session<'_>, workers: &Workers, claim: &Claim, again: bool) -> Result<Vec<Claimed>, Fault> {
    if again {
        s.begin().await?;
        let given = given(s, workers, claim).await?;
        if !given.is_empty() {
            return Ok(given);
        }
    }
    let known = workers.server(s.origin(), claim.worker);
    let was_known = known.is_some();
    let server = match known {
        Some(server) => server,
        None => server(s, workers, claim.worker).await?,
    };
    let begun = workers.hints.begin();
    let mut claiming = Claiming { s, workers, claim, server, claimed: Vec::new(), was_alive: !was_known, begun };
    let worth = if claim.wanted.len() > 1 { claiming.worth_asking().await? } else { None };
    for wanted in &claim.wanted {
        if worth.as_ref().is_none_or(|worth| worth.contains(&*wanted.queue)) {
            claiming.serve(wanted).await?;
        }
    }
    if !claiming.was_alive {
        // No statement ran that would have told.
        server_is_alive(claiming.s, workers, claim.worker).await?;
    }
    let claimed = claiming.claimed;
    let is_member = |claimed: &&Claimed| claimed.meta.as_ref().is_some_and(|meta| meta.member.is_some());
    s.own.claimed_members = claimed.iter().filter(is_member).map(|claimed| claimed.lease.id).collect();
    if !claimed.is_empty() {
        s.effects.points.add(Points::CLAIM);
    }
    Ok(claimed)
}

/// What this very claim took the first time, when its reply was lost. Needs a transaction.
///
/// A first claim that is still under way holds a lock on the worker's row, and is waited for here. One that has not yet come so
/// far finds a later epoch when it does, and takes nothing.
async fn given(s: &mut Session<'_>, workers: &Workers, claim: &Claim) -> Result<Vec<Claimed>, Fault> {
    workers.forget(claim.worker);
    let worker = claim.worker.as_uuid();
    let Some(row) = s.row(Q::WorkerRenew, &[&s.now, &worker]).await? else { return Err(dead(claim.worker)) };
    let key: i64 = row.try_get(0)?;
    s.rows(Q::WorkerEpoch, &[&key]).await?;
    let found = s.rows(Q::LeaseOfClaim, &[&key, &claim.fence.as_uuid()]).await?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let ids = found.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<Vec<Uuid>, Fault>>()?;
    s.spare_days().await?;
    let rows = s.rows(Q::LeaseGiven, &[&s.now, &ids, &key, &claim.fence.as_uuid()]).await?;
    let mut given = Vec::with_capacity(rows.len());
    for row in &rows {
        let queue: i32 = row.try_get(17)?;
        s.read_names(Sort::Queue, [queue].into_iter()).await?;
        s.read_names(Sort::Kind, [row.try_get(2)?].into_iter()).await?;
        let Some(queue) = s.name(Sort::Queue, queue) else { continue };
        // What can't be read was not given; it stays until the worker ends.
        if let Ok(claimed) = read(s, row, claim.fence, &queue)? {
            given.push(claimed);
        }
    }
    Ok(given)
}

fn dead(worker: WorkerId) -> Fault {
    Fault::invalid(format!("worker {worker} is not alive: it never entered, left, or missed its heartbeats"))
}

/// The worker as the store has it, if it is alive.
async fn server(s: &mut Session<'_>, workers: &Workers, id: WorkerId) -> Result<Arc<Server>, Fault> {
    let Some(row) = s.row(Q::WorkerGet, &[&s.now, &id.as_uuid()]).await? else {
        workers.forget(id);
        return Err(dead(id));
    };
    let serves: Serves = serde_json::from_str(row.try_get(3)?).unwrap_or_default();
    let is_whole = intern_kinds(s, &serves).await?;
    let paused: Vec<i32> = row.try_get(4)?;
    let mut kinds: Vec<i32> = serves.kinds.iter().filter_map(|kind| s.id(Sort::Kind, kind)).collect();
    kinds.retain(|kind| !paused.contains(kind));
    kinds.sort_unstable();
    kinds.dedup();
    let server = Arc::new(Server { key: row.try_get(0)?, epoch: row.try_get(1)?, kinds });
    if is_whole {
        workers.keep(s.origin(), id, server.clone());
    }
    Ok(server)
}

/// Gives numbers to the types that a worker serves. False if somebody's open transaction holds the name of one of them: no task that can
/// be claimed is of that type, and the next claim tries again.
async fn intern_kinds(s: &mut Session<'_>, serves: &Serves) -> Result<bool, Fault> {
    let names = || serves.kinds.iter().map(String::as_str);
    if s.is_open() {
        // A repeated claim has the worker's row locked, for which heartbeats would wait with it.
        return find_kinds(s, serves).await;
    }
    let before = s.lock_wait.replace(LOCK_WAIT.to_owned());
    let interned = s.intern(Sort::Kind, names(), false).await;
    s.lock_wait = before;
    match interned {
        Err(fault) if fault.is_locked() => find_kinds(s, serves).await,
        interned => interned.map(|()| true),
    }
}

/// The numbers of those that have one; whether that is all of them.
async fn find_kinds(s: &mut Session<'_>, serves: &Serves) -> Result<bool, Fault> {
    let mut is_whole = true;
    for name in &serves.kinds {
        is_whole &= s.find(Sort::Kind, name).await?.is_some();
    }
    Ok(is_whole)
}

async fn server_is_alive(s: &Session<'_>, workers: &Workers, id: WorkerId) -> Result<(), Fault> {
    if s.row(Q::WorkerGet, &[&s.now, &id.as_uuid()]).await?.is_none() {
        workers.forget(id);
        return Err(dead(id));
    }
    Ok(())
}

struct Claiming<'c, 'a> {
    s: &'c mut Session<'a>,
    workers: &'c Workers,
    claim: &'c Claim,
    server: Arc<Server>,
    claimed: Vec<Claimed>,
    /// Whether it is known that the worker is alive.
    was_alive: bool,
    begun: Begun,
}

impl Claiming<'_, '_> {
    /// Which of the wanted queues have something, so that several that are mostly empty cost one statement and not one each. `None`
    /// if that is not to be known from here, and they are all to be asked.
    async fn worth_asking(&mut self) -> Result<Option<HashSet<String>>, Fault> {
        if let Some(worth) = self.not_dry() {
            return Ok(Some(worth));
        }
        if !self.workers.may_look() {
            return Ok(None);
        }
        let names: Vec<&str> = self.claim.wanted.iter().map(|wanted| &*wanted.queue).collect();
        let Server { key, epoch, kinds } = &*self.server;
        let since = Instant::now();
        let rows = self.s.rows(Q::ReadyLook, &[&self.s.now, key, epoch, &names, kinds]).await?;
        self.workers.looked_around(since.elapsed());
        let mut worth = HashSet::new();
        for row in &rows {
            // What a claim says of a worker that has changed or is none any more is said by one.
            if !row.try_get::<_, bool>(0)? {
                return Ok(None);
            }
            let Some(name) = row.try_get::<_, Option<&str>>(2)? else { continue };
            self.s.keep_name(Sort::Queue, Named { id: row.try_get(1)?, name: name.into(), known: row.try_get(3)? });
            if row.try_get(4)? {
                worth.insert(name.to_owned());
            } else {
                let asked = self.claim.wanted.iter().find(|wanted| &*wanted.queue == name);
                let catch = asked.map(|asked| Catch { wanted: asked.limit, free: asked.free, taken: 0 });
                if let Some(catch) = catch {
                    self.workers.hints.claimed(self.claim.worker, row.try_get(1)?, catch, self.begun);
                }
            }
        }
        self.was_alive = true;
        Ok(Some(worth))
    }

    /// The queues to which something came since the last claim from them; `None` if those are none or all, or that is not known.
    fn not_dry(&self) -> Option<HashSet<String>> {
        let mut worth = HashSet::new();
        for wanted in &self.claim.wanted {
            let queue = self.s.id(Sort::Queue, &wanted.queue)?;
            if !self.workers.hints.is_dry(self.claim.worker, queue) {
                worth.insert(wanted.queue.as_ref().to_owned());
            }
        }
        (!worth.is_empty() && worth.len() < self.claim.wanted.len()).then_some(worth)
    }

    async fn serve(&mut self, Wanted { queue: name, limit: wanted, free }: &Wanted) -> Result<(), Fault> {
        let (wanted, free) = (*wanted, *free);
        if wanted == 0 {
            return Ok(());
        }
        let Some(queue) = self.s.find(Sort::Queue, name).await? else { return Ok(()) };
        let before = self.claimed.len();
        let until = before.saturating_add(wanted);
        let mut looks = LOOKS;
        while self.claimed.len() < until {
            let by_kind = self.goes_by_kind(queue).await?;
            let room = (until - self.claimed.len()).min(BATCH_MAX);
            let floor = self.workers.floor(self.server.key, queue);
            let since = Instant::now();
            let Some(Found { rows, passed_over }) = self.look(by_kind, queue, floor.as_ref(), room).await? else { continue };
            let cost = since.elapsed();
            if floor.is_none() {
                self.workers.looked(self.server.key, queue, cost);
            }
            let found = rows.len();
            let mut lowest = [None; PRIORITIES];
            let late = self.take(&rows, queue, name, &mut lowest).await?;
            if found == room {
                self.workers.raise(self.server.key, queue, lowest);
                continue;
            }
            if floor.is_none() && !by_kind && self.workers.is_dear(self.server.key, queue, cost) {
                self.see_crowd(queue).await?;
            }
            if passed_over && looks > 0 {
                looks -= 1;
            } else if !self.workers.ran_short(self.server.key, queue) && late == 0 {
                break;
            }
        }
        let catch = Catch { wanted, free, taken: self.claimed.len() - before };
        self.workers.hints.claimed(self.claim.worker, queue, catch, self.begun);
        Ok(())
    }

    /// Whether the worker's tasks are looked for type by type.
    async fn goes_by_kind(&mut self, queue: i32) -> Result<bool, Fault> {
        if self.workers.way(self.server.key, queue) == Way::Unknown {
            self.see_crowd(queue).await?;
        }
        Ok(self.workers.way(self.server.key, queue) == Way::ByKind)
    }

    /// Asks whether the queue is full of what other services have to do. An idle worker would read all of it again and again.
    async fn see_crowd(&mut self, queue: i32) -> Result<(), Fault> {
        let Some(row) = self.s.row(Q::ReadyOthers, &[&queue, &self.server.kinds, &CROWD]).await? else { return Ok(()) };
        let (crowded, indexed): (bool, bool) = (row.try_get(0)?, row.try_get(1)?);
        self.workers.saw_crowd(self.server.key, queue, crowded, indexed);
        self.s.own.crowded |= crowded && !indexed;
        Ok(())
    }

    /// One look that takes what it finds; `None` if the worker had changed since it was last read, and was read anew.
    async fn look(
        &mut self,
        by_kind: bool,
        queue: i32,
        floor: Option<&[i64; PRIORITIES]>,
        room: usize,
    ) -> Result<Option<Found>, Fault> {
        let floor = floor.map_or([i64::MIN; PRIORITIES], |floor| *floor);
        let found = if self.s.spare_days().await? {
            self.in_two_steps(by_kind, queue, &floor, room).await?
        } else {
            self.in_one_step(by_kind, queue, &floor, room).await?
        };
        if found.is_none() {
            let before = std::mem::replace(&mut self.server, server(self.s, self.workers, self.claim.worker).await?);
            if self.server.kinds != before.kinds {
                // Below its floors may be what it takes from now on.
                self.workers.look_anew(self.server.key);
            }
            if self.server.epoch == before.epoch {
                // Its lease runs out just now, as two statements see two times.
                return Err(dead(self.claim.worker));
            }
            return Ok(None);
        }
        self.was_alive = true;
        Ok(found)
    }

    async fn in_one_step(
        &mut self,
        by_kind: bool,
        queue: i32,
        floor: &[i64; PRIORITIES],
        room: usize,
    ) -> Result<Option<Found>, Fault> {
        let (query, error) = (if by_kind { Q::ClaimByKind } else { Q::Claim }, to_json(&expired()));
        let (Server { key, epoch, kinds }, fence) = (&*self.server, self.claim.fence.as_uuid());
        let floor = floor.as_slice();
        let mut rows =
            self.s.rows(query, &[&self.s.now, key, epoch, &queue, kinds, &floor, &limit(room), &fence, &error]).await?;
        let Some(first) = rows.first() else { return Ok(None) };
        let passed_over = by_kind && first.try_get(17)?;
        rows.retain(|row| !is_alone(row, 0));
        Ok(Some(Found { rows, passed_over }))
    }

    /// Where many days are kept: a plan for any tasks opens and locks all of them, a plan for those that were found only theirs.
    async fn in_two_steps(
        &mut self,
        by_kind: bool,
        queue: i32,
        floor: &[i64; PRIORITIES],
        room: usize,
    ) -> Result<Option<Found>, Fault> {
        let (query, error) = (if by_kind { Q::FindByKind } else { Q::Find }, to_json(&expired()));
        let (Server { key, epoch, kinds }, fence) = (&*self.server, self.claim.fence.as_uuid());
        let floor = floor.as_slice();
        let found = self.s.rows(query, &[&self.s.now, key, epoch, &queue, kinds, &floor, &limit(room)]).await?;
        let Some(first) = found.first() else { return Ok(None) };
        let passed_over: bool = first.try_get(2)?;
        let (mut places, mut ids) = (Vec::with_capacity(found.len()), Vec::with_capacity(found.len()));
        for row in found.iter().filter(|row| !is_alone(row, 1)) {
            places.push(row.try_get::<_, &str>(0)?);
            ids.push(row.try_get::<_, Uuid>(1)?);
        }
        if ids.is_empty() {
            return Ok(Some(Found { rows: Vec::new(), passed_over }));
        }
        let params: Params<'_> = &[&self.s.now, key, epoch, &queue, &places, &ids, &limit(room), &fence, &error];
        let rows = self.s.rows(Q::ClaimFound, params).await?;
        // Nothing if the worker's epoch is another one by now.
        Ok(if rows.is_empty() { None } else { Some(Found { rows, passed_over }) })
    }

    /// Reads what was taken. Returns how many of them ended instead, because it was too late for them or they can't be read.
    async fn take(
        &mut self,
        rows: &[Row],
        queue: i32,
        name: &Arc<str>,
        lowest: &mut [Option<i64>; PRIORITIES],
    ) -> Result<usize, Fault> {
        let mut kinds = Vec::with_capacity(rows.len());
        // The server is spared the sorting, whose every step moves whole rows.
        let mut line: Vec<(i16, i64, &Row)> = Vec::with_capacity(rows.len());
        for row in rows {
            kinds.push(row.try_get::<_, i32>(2)?);
            line.push((row.try_get(6)?, row.try_get(1)?, row));
        }
        line.sort_unstable_by_key(|(priority, seq, _)| (*priority, *seq));
        self.s.read_names(Sort::Kind, kinds.into_iter()).await?;
        let (mut ended, mut late) = (0, Vec::new());
        for (priority, seq, row) in line {
            if let Some(lowest) = usize::try_from(priority).ok().and_then(|priority| lowest.get_mut(priority)) {
                lowest.get_or_insert(seq);
            }
            if row.try_get(7)? {
                ended += 1;
                late.push(row.try_get(0)?);
                let id = TaskId::from_uuid(row.try_get(0)?);
                self.s.effects.ended.push(id);
                self.s.own.untold.push(id);
                // It may have been a member: a look finds that.
                self.s.own.reported = true;
                continue;
            }
            match read(self.s, row, self.claim.fence, name)? {
                Ok(claimed) => self.claimed.push(claimed),
                Err(why) => {
                    ended += 1;
                    self.set_aside(row, queue, &why).await?;
                }
            }
        }
        // A statement of its own, as claims of others have none for it; should it not come to that, a sweep finds what they held.
        Returns::of_ended(late).write(self.s).await?;
        Ok(ended)
    }

    /// Takes a damaged task out of its queue, says why, and lets whoever waits for it know.
    async fn set_aside(&mut self, row: &Row, queue: i32, why: &str) -> Result<(), Fault> {
        let (id, seq): (Uuid, i64) = (row.try_get(0)?, row.try_get(1)?);
        let (attempt, claim_no, crashes): (i32, i32, i32) = (row.try_get(3)?, row.try_get(4)?, row.try_get(5)?);
        tracing::error!(%id, why, "a task can't be read and was set aside");
        // All of it or nothing: a task without a lease and without an end would be nowhere.
        self.s.begin().await?;
        let kept = json!({
            "queue": queue, "priority": row.try_get::<_, i16>(6)?, "seq": seq, "kind": row.try_get::<_, i32>(2)?,
            "attempt": attempt - 1, "claim_no": claim_no - 1, "crashes": crashes,
        });
        self.s.execute(Q::LeaseDrop, &[&id, &self.claim.fence.as_uuid()]).await?;
        self.s.execute(Q::AsideInsert, &[&self.s.now, &id, &why, &kept.to_string()]).await?;
        let waited = Waited { id, attempt: attempt - 1, claim_no: claim_no - 1, crashes, flags: 0 };
        end_unstarted(self.s, &[waited], &Unstarted::Corrupt(why.to_owned())).await
    }
}

/// What a look brought.
struct Found {
    rows: Vec<Row>,
    /// What others were taking just now may have been all that was looked at.
    passed_over: bool,
}

/// A task that was taken; or why it can't be read, which is its misfortune and not the claim's.
fn read(s: &Session<'_>, row: &Row, fence: Fence, queue: &Arc<str>) -> Result<Result<Claimed, String>, Fault> {
    let Some(args) = row.try_get::<_, Option<&str>>(12)? else { return Ok(Err("its body is missing".to_owned())) };
    if let Err(error) = limits::check_depth("args", args) {
        return Ok(Err(error.to_string()));
    }
    let meta: Option<Box<TaskMeta>> = match row.try_get::<_, Option<&str>>(13)?.map(serde_json::from_str).transpose() {
        Ok(meta) => meta,
        Err(error) => return Ok(Err(format!("its meta can't be read: {error}"))),
    };
    let Some(kind) = s.name(Sort::Kind, row.try_get(2)?) else { return Ok(Err("its task type has no name".to_owned())) };
    let (seq, retention, crashes): (i64, i64, i32) = (row.try_get(14)?, row.try_get(9)?, row.try_get(5)?);
    // A member that a program has brought back which knows no workflows has lost its flag, and not what its body says.
    let of_body = if meta.as_deref().is_some_and(|meta| meta.member.is_some()) { Flags::MEMBER } else { Flags::NONE };
    let key = key(seq, Flags::from_bits(row.try_get(16)?).with(of_body), retention == NONE);
    Ok(Ok(Claimed {
        lease: LeaseRef { id: TaskId::from_uuid(row.try_get(0)?), fence, key },
        kind,
        queue: queue.clone(),
        attempt: count(row.try_get(3)?),
        claim_no: count(row.try_get(4)?),
        crashes: count(crashes),
        max_attempts: count(row.try_get(10)?),
        report_start: crashes > 0 || ack_from(row.try_get::<_, i16>(8)?.into()) == Ack::Early,
        created_at: Timestamp::from_millis(row.try_get(11)?),
        expires_in: row.try_get::<_, Option<i64>>(15)?.map(|left| Duration::from_millis(left.try_into().unwrap_or(0))),
        args: args.to_owned(),
        meta,
    }))
}
