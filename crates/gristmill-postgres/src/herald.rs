use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gristmill_core::kit::fnv;
use gristmill_core::{Effects, StoreError};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_postgres::{AsyncMessage, Client};

use crate::effects::Tidings;
use crate::error::explain;
use crate::inner::Inner;
use crate::news::News;
use crate::sql::Q;

/// At least so long between two notifications: each takes a lock that all of a database's notifying commits share. What is heard
/// is acted upon no more often either, as anybody who may connect may notify.
const NOTIFY_EVERY: Duration = Duration::from_millis(5);
/// The same of what is heard and not understood, which has to be taken for anything.
const UNKNOWN_EVERY: Duration = Duration::from_millis(40);
/// How often we look whether anybody committed anything, while somebody waits for ready tasks: notifications are a courtesy,
/// and those who enqueue in their own transactions give none.
const LOOK_EVERY: Duration = Duration::from_millis(40);
/// A look that brings nothing puts off the next by a quarter, for as long as the looks of all such workers together are as many as
/// one alone makes; but not beyond this.
const LOOK_SELDOM: Duration = Duration::from_millis(500);
/// So many of the idle workers that serve a line answer to a notification of one task in it. More than one, as who is chosen may be
/// busy; the others find by their looks what is left.
const ANSWERS: u32 = 2;
/// How often those look who only show what there is.
const SHOW_EVERY: Duration = Duration::from_millis(500);
/// How often the line is tried while nobody waits: one that is dead at its other end says nothing by itself.
const PROBE_EVERY: Duration = Duration::from_secs(20);
/// The longest that the line may take to answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);
/// Who has said that it awaits ends is told of them for so long, and says so again in time.
const AWAITED_FOR: Duration = Duration::from_secs(60);
const AWAITS_AGAIN: Duration = Duration::from_secs(30);
/// How often scheduled tasks are looked for behind a pooler, where nobody can say that one is due sooner.
const DUE_EVERY: Duration = Duration::from_millis(200);

/// Tells other processes of commits, and hears of theirs, on a connection of its own.
#[derive(Default)]
pub(crate) struct Herald {
    started: AtomicBool,
    state: Mutex<State>,
    stir: Notify,
    /// Looks since the last that brought something.
    vain: AtomicU32,
}

#[derive(Default)]
struct State {
    /// What other processes were not told yet.
    news: News,
    /// Until when some other process wants to hear of ends; it may be so until we have listened for long enough to know.
    awaited: Option<Instant>,
    /// When we said that we do.
    announced: Option<Instant>,
}

impl Herald {
    /// Takes what others should hear; true if that is anything.
    pub(crate) fn tell(&self, news: News) -> bool {
        let mut state = self.state();
        state.news.add(news);
        state.news != News::default()
    }

    /// Whether another process waits for ends.
    pub(crate) fn are_ends_awaited(&self) -> bool {
        self.state().awaited.is_none_or(|until| Instant::now() < until)
    }

    /// Somebody here waits for an end.
    pub(crate) fn await_ends(&self) {
        let mut state = self.state();
        if state.announced.is_none_or(|at| at.elapsed() > AWAITS_AGAIN) {
            state.announced = Some(Instant::now());
            state.news.awaits = true;
        }
    }

    /// A worker here found something to do.
    pub(crate) fn found(&self) {
        self.vain.store(0, Ordering::Relaxed);
    }

    /// Tells and hears nothing: for measurements of bare statements.
    pub(crate) fn mute(&self) {
        self.started.store(true, Ordering::Relaxed);
    }

    fn take(&self) -> News {
        std::mem::take(&mut self.state().news)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // News that are added whole, and times.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Sees to it that news travel: from the first that there is to tell or to wait for on.
    pub(crate) fn start_herald(self: &Arc<Self>) {
        if !self.herald.started.swap(true, Ordering::Relaxed) {
            self.tasks.spawn(self.clone().carry_news());
        }
        self.herald.stir.notify_one();
    }

    async fn carry_news(self: Arc<Self>) {
        let closing = self.closing.clone();
        tokio::select! {
            () = closing.cancelled() => {}
            () = async {
                if self.connect.options.pgbouncer {
                    self.poll_through_pool().await;
                } else {
                    self.keep_line().await;
                }
            } => {}
        }
    }

    /// Keeps a line open, whatever happens to it.
    async fn keep_line(&self) {
        let mut failures = 0;
        loop {
            match self.use_line().await {
                Ok(()) => failures = 0,
                Err(error) => {
                    failures += 1;
                    tracing::debug!(%error, "no wake-ups from other processes; polling meanwhile");
                }
            }
            // Nobody heard anything meanwhile, nor said that ends are awaited.
            self.workers.hints.came_somewhere();
            self.signals.changed();
            self.herald.state().announced = None;
            self.dues.forget_told();
            let most = Duration::from_millis(50).saturating_mul(1 << failures.min(4));
            tokio::time::sleep(most.mul_f64(0.5 + 0.5 * self.env.random())).await;
        }
    }

    /// Listens and tells until the line breaks.
    async fn use_line(&self) -> Result<(), StoreError> {
        let (client, mut connection) = self.connect.client().await?;
        let me = format!("{:08x}", self.env.fence().as_uuid().as_u128() as u32);
        let channel = self.connect.texts.channel();
        let hear = self.hear(&mut connection, &me);
        let tell = self.tell_and_look(&client, &channel, &me);
        tokio::select! {
            heard = hear => heard,
            told = tell => told,
        }
    }

    async fn tell_and_look(&self, client: &Client, channel: &str, me: &str) -> Result<(), StoreError> {
        let broken = |error| explain(error, &self.connect.what);
        // A notification that a crash of the server loses is lost to nobody: those who wait look by themselves.
        let listen = format!("SET synchronous_commit = off; SET search_path = pg_catalog; LISTEN {channel}");
        client.batch_execute(&listen).await.map_err(broken)?;
        // Somebody may have said that he awaits ends while we did not listen, and says so again within this time.
        self.herald.state().awaited = Some(Instant::now() + AWAITED_FOR);
        // Parsed once, as it is asked some twenty times a second.
        let look = client.prepare_typed(self.connect.texts.text(Q::Snapshot), &[]).await.map_err(broken)?;
        self.workers.hints.came_somewhere();
        self.signals.changed();
        let mut snapshot = String::new();
        let mut looked = Instant::now();
        loop {
            if self.signals.is_end_awaited() {
                self.herald.await_ends();
            }
            tokio::select! {
                () = self.herald.stir.notified() => {
                    let news = self.herald.take();
                    if news != News::default() {
                        let notify = format!("NOTIFY {channel}, '{me}{}'", news.text());
                        // A server that is frozen says nothing, and nobody here would look any more.
                        let told = tokio::time::timeout(PROBE_TIMEOUT, client.batch_execute(&notify)).await;
                        let Ok(told) = told else { return Ok(()) };
                        told.map_err(broken)?;
                        tokio::time::sleep(NOTIFY_EVERY).await;
                    }
                }
                // Counted from the last look: from here on, what there is to tell twenty times a second would put it off for ever.
                () = tokio::time::sleep_until(looked + self.look_every()) => {
                    looked = Instant::now();
                    self.herald.vain.fetch_add(1, Ordering::Relaxed);
                    let Ok(seen) = tokio::time::timeout(PROBE_TIMEOUT, client.query_one(&look, &[])).await else { return Ok(()) };
                    let seen = seen.and_then(|row| row.try_get(0)).map_err(broken)?;
                    if seen != snapshot {
                        self.workers.hints.came_somewhere();
                        self.signals.ready();
                    }
                    snapshot = seen;
                }
            }
        }
    }

    /// How long after a look the next one is.
    fn look_every(&self) -> Duration {
        match (self.signals.is_ready_awaited(), self.signals.is_change_awaited()) {
            (true, _) => {
                let vain = i32::try_from(self.herald.vain.load(Ordering::Relaxed)).unwrap_or(i32::MAX);
                let together = LOOK_EVERY.saturating_mul(self.fleets().alike.size).min(LOOK_SELDOM);
                let stretched = LOOK_EVERY.as_secs_f64() * 1.25f64.powi(vain.min(20));
                together.min(Duration::from_secs_f64(stretched)).mul_f64(0.7 + 0.3 * self.env.random())
            }
            (false, true) => SHOW_EVERY,
            (false, false) => PROBE_EVERY,
        }
    }

    /// Hears what others tell until the line breaks, and serves the line meanwhile.
    async fn hear<S, T>(&self, connection: &mut tokio_postgres::Connection<S, T>, me: &str) -> Result<(), StoreError>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
        T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    {
        let mut heard = Heard::default();
        loop {
            let act = async {
                match heard.act_at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                message = poll_fn(|cx| connection.poll_message(cx)) => match message {
                    Some(Ok(AsyncMessage::Notification(note))) => heard.add(note.payload(), me),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(explain(error, &self.connect.what)),
                    None => return Ok(()),
                },
                () = act => self.act_on(heard.take()),
            }
        }
    }

    /// Passes on to those who wait here what others have told.
    fn act_on(&self, Hearsay { news, unknown, own, lot }: Hearsay) {
        if unknown || news.ended_many {
            // More than is named, or in a newer version's words.
            self.workers.hints.came_somewhere();
            self.signals.changed();
        }
        if own {
            // From here on others tell of ends; what ended before they heard of it is seen by another look.
            self.signals.look_for_ends();
        }
        if news.awaits {
            self.herald.state().awaited = Some(Instant::now() + AWAITED_FOR);
        }
        let fleet = self.fleets().alike;
        let mut readied = news.readied;
        if readied {
            self.workers.hints.came_somewhere();
        }
        for (line, count) in &news.came {
            if self.serves(*line) && fleet.is_chosen(lot, ANSWERS.max(*count)) {
                self.workers.hints.came(line.0);
                readied = true;
            }
        }
        let due = news.due.map(|due| std::time::Instant::now() + due);
        let scheduled = news.scheduled | due.is_some_and(|due| self.dues.heard(due));
        // What became ready for others is news to those who show what there is.
        let changed = !news.came.is_empty();
        // A nudge says that anything may have been committed.
        let cancelled = news.cancelled || (news.readied && news.scheduled);
        self.signals.committed(&Effects { readied, scheduled, cancelled, changed, ended: news.ended, ..Effects::default() });
    }

    /// Behind a pooler nobody can listen; looking is all there is.
    async fn poll_through_pool(&self) {
        let mut snapshot = String::new();
        // Of a change those who wait for other than ready tasks are told more seldom, but they are.
        let (mut looked_for_due, mut is_owed) = (Instant::now(), false);
        loop {
            tokio::time::sleep(LOOK_EVERY.mul_f64(0.8 + 0.4 * self.env.random())).await;
            if !self.signals.is_awaited() {
                self.herald.take();
                self.herald.stir.notified().await;
                continue;
            }
            let Ok(held) = self.pool.get().await else { continue };
            let Ok(conn) = held.conn() else { continue };
            let seen = conn.rows(&self.connect.texts, Q::Snapshot, &[]).await;
            if let Ok(seen) = seen.and_then(|rows| rows.first().map_or(Ok(String::new()), |row| row.try_get(0))) {
                held.release();
                if seen != snapshot {
                    self.workers.hints.came_somewhere();
                    self.signals.ready();
                    self.signals.look_for_ends();
                    is_owed = true;
                }
                if is_owed && looked_for_due.elapsed() >= DUE_EVERY {
                    (is_owed, looked_for_due) = (false, Instant::now());
                    self.signals.changed();
                }
                snapshot = seen;
            }
        }
    }

    /// Tells of a commit, in this process at once and in others soon.
    pub(crate) fn tell(self: &Arc<Self>, Tidings { mut effects, own }: Tidings) {
        self.keep(&own);
        let now = std::time::Instant::now();
        let mut news =
            News { readied: effects.readied, scheduled: effects.scheduled, cancelled: effects.cancelled, ..News::default() };
        if effects.readied {
            self.workers.hints.came_somewhere();
        }
        let is_awaited = self.signals.is_ready_awaited();
        for (line, count) in &own.came {
            let serves = self.serves(*line);
            if serves {
                self.workers.hints.came(line.0);
                effects.readied = true;
            }
            // Whoever waits here takes it at once: others would look for nothing.
            // What was given back was so because it could not be run here.
            let is_new = own.returned.is_empty();
            if !(serves && is_awaited && is_new && self.workers.hints.has_room(line.0, *count)) {
                news.add_came(*line, *count);
            }
        }
        if self.herald.are_ends_awaited() {
            news.add_ended(&effects.ended);
        }
        news.due = own.due.filter(|due| self.dues.is_to_be_told(now + *due));
        effects.changed |= !own.came.is_empty();
        effects.scheduled |= own.due.is_some_and(|due| self.dues.is_sooner(now + due));
        self.signals.committed(&effects);
        if news != News::default() && self.herald.tell(news) {
            self.start_herald();
        }
    }
}

/// What was heard and not acted upon yet.
#[derive(Default)]
struct Heard {
    what: Hearsay,
    /// When to act on it.
    act_at: Option<Instant>,
    /// Not before this.
    not_before: Option<Instant>,
}

#[derive(Default)]
struct Hearsay {
    news: News,
    unknown: bool,
    /// Our own word that we await ends has come round.
    own: bool,
    /// The same for all who heard the same, to tell whose turn it is.
    lot: u32,
}

impl Heard {
    fn add(&mut self, payload: &str, me: &str) {
        let (from, rest) = payload.split_at_checked(8).unwrap_or_default();
        let news = if from.is_empty() { None } else { News::read(rest) };
        if from == me {
            let Some(News { awaits: true, .. }) = news else { return };
            self.what.own = true;
        } else {
            self.what.lot = self.what.lot.wrapping_add(fnv(payload.bytes()) as u32);
            match news {
                Some(news) => self.what.news.add(news),
                None => self.what.unknown = true,
            }
        }
        let now = Instant::now();
        let at = self.not_before.map_or(now, |before| before.max(now));
        self.act_at.get_or_insert(at);
    }

    fn take(&mut self) -> Hearsay {
        let what = std::mem::take(&mut self.what);
        self.act_at = None;
        self.not_before = Some(Instant::now() + if what.unknown { UNKNOWN_EVERY } else { NOTIFY_EVERY });
        what
    }
}
