use std::sync::atomic::Ordering;
use std::time::Duration;

use gristmill_core::kit::fnv;
use gristmill_core::{StoreError, StoreErrorKind};
use tokio::time::Instant;
use tokio_postgres::{Client, Error, Statement};

use crate::error::{explain, is_locked};
use crate::inner::Inner;
use crate::sql::Q;

/// So many of the idle workers that serve the same listen, as each notification wakes all of a database's sessions that do. The others
/// rest: they look by themselves, and take the seat of one that is busy or gone.
pub(crate) const SEATS: u32 = 4;
/// At least so long between two notifications: each takes a lock that all of a database's notifying commits share. What is heard
/// is acted upon no more often either, as anybody who may connect may notify.
pub(crate) const NOTIFY_EVERY: Duration = Duration::from_millis(5);
/// How often we look whether anybody committed anything, while somebody waits for ready tasks: notifications are a courtesy,
/// and those who enqueue in their own transactions give none.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(40);
/// A look that brings nothing puts off the next by a quarter, for as long as the looks of all such workers together are as many as
/// one alone makes; but not beyond this.
const LOOK_SELDOM: Duration = Duration::from_millis(500);
/// A look at what is ready that took longer than this, through dead rows that something holds, is not repeated soon.
const LOOK_CHEAP: Duration = Duration::from_millis(50);
/// But not later than this.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// How often those look who only show what there is.
const SHOW_EVERY: Duration = Duration::from_millis(500);
/// How often the line is tried while nobody waits: one that is dead at its other end says nothing by itself.
const PROBE_EVERY: Duration = Duration::from_secs(20);
/// The longest that the server may take to answer: one that is frozen says nothing, and nobody here would look any more.
pub(crate) const PROBE_TIMEOUT: Duration = Duration::from_secs(10);
/// Who has said that it awaits ends is told of them for so long, and says so again in time.
pub(crate) const AWAITED_FOR: Duration = Duration::from_secs(60);
/// A reason to listen that comes again within this time does not cost another statement.
pub(crate) const LISTEN_ON: Duration = Duration::from_secs(10);
/// A worker that takes nothing for so long gives up its seat.
const BUSY_FOR: Duration = Duration::from_millis(200);

/// The half of the herald's connection that asks: it tells others, looks what they commit, and listens for as long as there is a reason to.
pub(crate) struct Lookout<'a> {
    inner: &'a Inner,
    client: &'a Client,
    me: &'a str,
    channel: String,
    look: Statement,
    rest: Option<Statement>,
    snapshot: String,
    looked: Instant,
    /// How long the last look at what is ready took, and whether anything was.
    cost: Duration,
    saw_ready: bool,
    listens: bool,
    /// Since when there is no reason to.
    needless: Option<Instant>,
    seat: Option<Seat>,
    /// For whom there was no seat at the last look.
    refused: Option<u64>,
    /// Since when the worker with the seat takes nothing.
    busy: Option<Instant>,
}

/// A lock of the session, so that it is free at once when that ends.
struct Seat {
    key: i64,
    trade: u64,
}

impl<'a> Lookout<'a> {
    /// `me` is what this process is called in what it tells.
    pub(crate) async fn new(inner: &'a Inner, client: &'a Client, me: &'a str) -> Result<Self, StoreError> {
        let broken = |error| explain(error, &inner.connect.what);
        // A notification that a crash of the server loses is lost to nobody: those who wait look by themselves. The server finds out within
        // a minute that this machine is gone, and frees its seat. Nobody cancels what waits here for a lock when the process ends.
        let settings = "SET synchronous_commit = off; SET search_path = pg_catalog; SET enable_seqscan = off; SET lock_timeout = '100ms'; \
                        SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3";
        client.batch_execute(settings).await.map_err(broken)?;
        // Parsed once, as it is asked some twenty times a second.
        let texts = &inner.connect.texts;
        let look = client.prepare_typed(texts.text(Q::Snapshot), Q::Snapshot.types()).await.map_err(broken)?;
        Ok(Self {
            inner,
            client,
            me,
            channel: texts.channel(),
            look,
            rest: None,
            snapshot: String::new(),
            looked: Instant::now(),
            cost: Duration::ZERO,
            saw_ready: false,
            listens: false,
            needless: None,
            seat: None,
            refused: None,
            busy: None,
        })
    }

    /// Until the line breaks.
    pub(crate) async fn run(&mut self) -> Result<(), StoreError> {
        loop {
            if self.inner.signals.is_end_awaited() {
                self.inner.herald.await_ends();
            }
            self.attend().await?;
            self.tell().await?;
            tokio::select! {
                () = self.inner.herald.stirred() => {}
                // Counted from the last look: from here on, what there is to tell twenty times a second would put it off for ever.
                () = tokio::time::sleep_until(self.looked + self.look_every()) => self.look().await?,
                () = until(self.busy, BUSY_FOR) => {}
                () = until(self.needless, LISTEN_ON) => {}
            }
        }
    }

    /// Listens if there is a reason to, for as long as there is one.
    async fn attend(&mut self) -> Result<(), StoreError> {
        self.keep_seat().await?;
        if self.rests().is_some_and(|trade| self.refused != Some(trade)) {
            self.look_as_one_that_rests().await?;
        }
        if self.seat.is_some() || self.inner.has_to_listen() {
            self.needless = None;
            self.listen().await?;
        } else if self.listens && self.needless.get_or_insert_with(Instant::now).elapsed() >= LISTEN_ON {
            self.needless = None;
            self.ask(self.client.batch_execute(&format!("UNLISTEN {}", self.channel))).await?;
            self.listens = false;
            self.inner.herald.listens(None);
        }
        Ok(())
    }

    async fn listen(&mut self) -> Result<(), StoreError> {
        if !self.listens {
            self.ask(self.client.batch_execute(&format!("LISTEN {}", self.channel))).await?;
            self.listens = true;
            // Somebody may have said that he awaits ends while we did not listen, and says so again within this time.
            self.inner.herald.listens(Some(Instant::now() + AWAITED_FOR));
            // What was told before was not heard.
            self.inner.workers.hints.came_somewhere();
            self.inner.signals.changed();
        }
        Ok(())
    }

    /// Gives up a seat that is of no use here: its worker is busy, or serves something else by now.
    async fn keep_seat(&mut self) -> Result<(), StoreError> {
        let Some(Seat { key, trade }) = self.seat else { return Ok(()) };
        if self.inner.signals.is_ready_awaited() {
            self.busy = None;
        } else {
            self.busy.get_or_insert_with(Instant::now);
        }
        let is_busy = self.busy.is_some_and(|since| since.elapsed() >= BUSY_FOR);
        if is_busy || self.inner.workers.trade() != Some(trade) {
            (self.seat, self.busy, self.refused) = (None, None, None);
            self.inner.herald.sits(None);
            self.ask(self.client.batch_execute(&format!("SELECT pg_advisory_unlock({key})"))).await?;
        }
        Ok(())
    }

    /// What the workers serve that wait here without a seat.
    fn rests(&self) -> Option<u64> {
        if self.seat.is_some() || !self.inner.signals.is_ready_awaited() { None } else { self.inner.workers.trade() }
    }

    async fn tell(&mut self) -> Result<(), StoreError> {
        let Some(news) = self.inner.herald.take() else { return Ok(()) };
        if news.awaits {
            // Before the word that we await ends, as whoever hears it tells of them from then on.
            self.listen().await?;
        }
        // The lock that all who notify share may be held for as long as somebody's disk or standby takes, and is worth the wait.
        let notify = format!("BEGIN; SET LOCAL lock_timeout = 0; NOTIFY {}, '{}{}'; COMMIT", self.channel, self.me, news.text());
        if let Err(error) = self.ask(self.client.batch_execute(&notify)).await {
            self.inner.herald.tell(news);
            return Err(error);
        }
        tokio::time::sleep(NOTIFY_EVERY).await;
        Ok(())
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        let rests = self.rests().is_some();
        if rests {
            self.look_as_one_that_rests().await?;
        }
        if !rests || self.inner.signals.is_change_awaited() {
            self.look_for_commits().await?;
        }
        Ok(())
    }

    async fn look_for_commits(&mut self) -> Result<(), StoreError> {
        self.looked = Instant::now();
        self.inner.herald.looks();
        let row = self.ask(self.client.query_one(&self.look, &[])).await?;
        let read = || Ok((row.try_get(0)?, row.try_get(1)?, row.try_get::<_, bool>(2)?));
        let (seen, untold, is_touched) = read().map_err(|error| explain(error, &self.inner.connect.what))?;
        if seen != self.snapshot {
            // Told by whoever wakes of it to claim.
            self.inner.waits.saw_untold(untold);
            if is_touched {
                self.inner.admitting.touched();
            }
            self.inner.saw_something();
        }
        self.snapshot = seen;
        Ok(())
    }

    async fn look_as_one_that_rests(&mut self) -> Result<(), StoreError> {
        let Some(trade) = self.rests() else { return Ok(()) };
        self.looked = Instant::now();
        self.inner.herald.looks();
        let seats = seats(self.inner.connect.texts.schema(), trade);
        let (queues, known) = (self.inner.workers.queues(), self.rest.take());
        let look = async {
            let statement = match known {
                Some(statement) => statement,
                None => self.client.prepare_typed(self.inner.connect.texts.text(Q::RestLook), Q::RestLook.types()).await?,
            };
            self.client.query_one(&statement, &[&seats.as_slice(), &queues]).await.map(|row| (row, statement))
        };
        let row = self.ask(look).await;
        self.cost = self.looked.elapsed();
        self.refused = Some(trade);
        let (row, statement) = match row {
            // Somebody changes the table, and all have to wait for that. No seat was taken: locks of tables come first.
            Err(error) if is_locked(&error) => return Ok(()),
            row => row?,
        };
        self.rest = Some(statement);
        let read = || Ok((row.try_get::<_, Option<i32>>(0)?, row.try_get::<_, bool>(1)?));
        let (seat, is_ready) = read().map_err(|error| explain(error, &self.inner.connect.what))?;
        let seat = seat.and_then(|n| usize::try_from(n - 1).ok());
        if let Some((n, key)) = seat.and_then(|n| Some((n, *seats.get(n)?))) {
            self.seat = Some(Seat { key, trade });
            self.inner.herald.sits(u32::try_from(n).ok());
        }
        // What is still there a moment later those with a seat have left. Who had the seat before may have heard of something just now and left
        // it to the next; who only begins to listen looks then.
        let is_left = is_ready && self.saw_ready;
        self.saw_ready = is_ready && !is_left;
        if is_left || (self.seat.is_some() && self.listens) {
            self.inner.saw_something();
        }
        Ok(())
    }

    /// How long after a look the next one is.
    fn look_every(&self) -> Duration {
        match (self.inner.signals.is_ready_awaited(), self.inner.signals.is_change_awaited()) {
            (true, _) if self.seat.is_some() => self.inner.look_every(true),
            (true, _) if self.cost > LOOK_CHEAP => self.cost.saturating_mul(20).min(LOOK_AGAIN),
            (true, _) if self.saw_ready => LOOK_EVERY,
            (true, _) => self.inner.look_every(false),
            (false, true) => SHOW_EVERY,
            (false, false) => PROBE_EVERY,
        }
    }

    /// Waits for an answer, but not for ever.
    async fn ask<T>(&self, asked: impl Future<Output = Result<T, Error>>) -> Result<T, StoreError> {
        let what = &self.inner.connect.what;
        match tokio::time::timeout(PROBE_TIMEOUT, asked).await {
            Ok(answer) => answer.map_err(|error| explain(error, what)),
            Err(_) => Err(StoreError::new(StoreErrorKind::Unreachable, format!("{what}: the server does not answer"))),
        }
    }
}

impl Inner {
    /// Whether somebody here has to hear at once of what others do, apart from what workers with a seat hear for all of their kind.
    pub(crate) fn has_to_listen(&self) -> bool {
        let signals = &self.signals;
        // Others than the first promote by turns, and other beats than the one that leads look by themselves.
        let schedules = signals.is_schedule_awaited() && (self.fleets().all.rank == 0 || self.herald.has_leading_beat());
        let is_unknown = signals.is_ready_awaited() && self.workers.trade().is_none();
        schedules
            || is_unknown
            || signals.is_end_awaited()
            || signals.is_change_awaited()
            || signals.is_cancellation_awaited()
            || self.herald.ends_many()
    }

    /// How often a worker looks that waits: the longer nothing was found, and the more look, the more seldom.
    pub(crate) fn look_every(&self, is_seated: bool) -> Duration {
        let alike = self.fleets().alike.size;
        let together = LOOK_EVERY.saturating_mul(if is_seated { alike.min(SEATS) } else { alike }).min(LOOK_SELDOM);
        let vain = i32::try_from(self.herald.vain.load(Ordering::Relaxed)).unwrap_or(i32::MAX);
        let stretched = LOOK_EVERY.as_secs_f64() * 1.25f64.powi(vain.min(20));
        together.min(Duration::from_secs_f64(stretched)).mul_f64(0.9 + 0.1 * self.env.random())
    }

    /// Others committed something.
    pub(crate) fn saw_something(&self) {
        self.herald.by_look.store(true, Ordering::Relaxed);
        self.workers.hints.came_somewhere();
        self.signals.ready();
    }
}

/// The locks that are the seats of those in a schema who serve the same.
fn seats(schema: &str, trade: u64) -> [i64; SEATS as usize] {
    std::array::from_fn(|n| fnv(format!("gristmill seat {n} of {trade:x} in {schema}").bytes()).cast_signed())
}

/// Resolves so long after a moment; never without one.
async fn until(since: Option<Instant>, long: Duration) {
    match since {
        Some(since) => tokio::time::sleep_until(since + long).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_seat_is_one_of_a_schema_and_of_what_is_served() {
        let all = [("a", 1), ("a", 2), ("b", 1), ("1 in a", 1)].map(|(schema, trade)| seats(schema, trade));
        assert_eq!(all.as_flattened().iter().collect::<HashSet<_>>().len(), 4 * SEATS as usize);
        // Programs of other versions have the same.
        assert_eq!(seats("gristmill", 1)[0], 7_146_336_555_568_128_259);
    }
}
