use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gristmill_core::kit::fnv;
use gristmill_core::{Effects, Fleet, StoreError};
use tokio::runtime::Builder;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_postgres::AsyncMessage;

use crate::effects::Tidings;
use crate::error::explain;
use crate::inner::Inner;
use crate::lookout::{AWAITED_FOR, LISTEN_ON, Lookout, NOTIFY_EVERY, SEATS};
use crate::news::News;

/// What is heard and not understood has to be taken for anything, and is acted upon no more often than this.
const UNKNOWN_EVERY: Duration = Duration::from_millis(40);
/// So many of the idle workers that serve a line answer to a notification of one task in it. More than one, as who is chosen may be
/// busy; the others find by their looks what is left.
const ANSWERS: u32 = 2;
/// How often who awaits ends says so.
const AWAITS_AGAIN: Duration = Duration::from_secs(30);
/// Who has told of so many ends without knowing whether anybody awaits them listens to know it.
const BLIND_MAX: u32 = 20;

/// Tells other processes of commits, and hears of theirs, on a connection of its own.
#[derive(Default)]
pub(crate) struct Herald {
    started: AtomicBool,
    state: Mutex<State>,
    stir: Notify,
    /// Looks since the last that brought something.
    pub(crate) vain: AtomicU32,
    /// Whether the last wake-up was by a look, and nobody had told.
    pub(crate) by_look: AtomicBool,
}

#[derive(Default)]
struct State {
    /// What other processes were not told yet.
    news: News,
    /// Until when some other process wants to hear of ends; it may be so until we have listened for long enough to know.
    awaited: Option<Instant>,
    /// When we said that we do.
    announced: Option<Instant>,
    /// How often ends were told without knowing.
    blind: u32,
    /// Until when to listen, as many end here.
    ends_many_until: Option<Instant>,
    /// Until when a beat of this process leads.
    leads_until: Option<Instant>,
    /// The place among those of its kind that listen.
    seat: Option<u32>,
}

impl Herald {
    /// Takes what others should hear; true if that is anything.
    pub(crate) fn tell(&self, news: News) -> bool {
        let mut state = self.state();
        state.news.add(news);
        state.news != News::default()
    }

    /// Whether another process waits for ends, one of which is about to be told.
    fn are_ends_awaited(&self) -> bool {
        let (mut state, now) = (self.state(), Instant::now());
        if state.awaited.is_none() {
            state.blind = state.blind.saturating_add(1);
        }
        if state.blind >= BLIND_MAX {
            state.ends_many_until = Some(now + LISTEN_ON);
        }
        state.awaited.is_none_or(|until| now < until)
    }

    /// Whether so many tasks end here that it is worth knowing whether anybody waits for them.
    pub(crate) fn ends_many(&self) -> bool {
        self.state().ends_many_until.is_some_and(|until| Instant::now() < until)
    }

    /// From here on we hear of others, who may await ends until then; `None` if we do not.
    pub(crate) fn listens(&self, awaited: Option<Instant>) {
        let mut state = self.state();
        state.awaited = awaited;
        if awaited.is_none() {
            (state.announced, state.blind, state.ends_many_until) = (None, 0, None);
        }
    }

    /// A beat here leads all others for so long, and is the one to act on edits.
    pub(crate) fn leads_beats(&self, lease: Duration) {
        self.state().leads_until = Instant::now().checked_add(lease);
    }

    pub(crate) fn has_leading_beat(&self) -> bool {
        self.state().leads_until.is_some_and(|until| Instant::now() < until)
    }

    /// From here on we have this place among those of our kind that listen.
    pub(crate) fn sits(&self, seat: Option<u32>) {
        self.state().seat = seat;
    }

    /// Resolves when there may be something to tell, or to wait for.
    pub(crate) async fn stirred(&self) {
        self.stir.notified().await;
    }

    /// Somebody here waits for an end.
    pub(crate) fn await_ends(&self) {
        let mut state = self.state();
        if state.announced.is_none_or(|at| at.elapsed() > AWAITS_AGAIN) {
            state.announced = Some(Instant::now());
            state.news.awaits = true;
        }
    }

    /// A look begins.
    pub(crate) fn looks(&self) {
        self.vain.fetch_add(1, Ordering::Relaxed);
    }

    /// A worker here found something to do. What others tell says nothing of what nobody tells.
    pub(crate) fn found(&self) {
        if self.by_look.swap(false, Ordering::Relaxed) {
            self.vain.store(0, Ordering::Relaxed);
        }
    }

    /// Tells and hears nothing: for measurements of bare statements.
    pub(crate) fn mute(&self) {
        self.started.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_news(&self) -> bool {
        self.state().news != News::default()
    }

    /// What others are to be told, if that is anything.
    pub(crate) fn take(&self) -> Option<News> {
        Some(std::mem::take(&mut self.state().news)).filter(|news| *news != News::default())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // News that are added whole, and times.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Sees to it that news travel: from the first that there is to tell or to wait for on.
    pub(crate) fn start_herald(self: &Arc<Self>) {
        if !self.herald.started.swap(true, Ordering::Relaxed) && (self.connect.options.pgbouncer || !self.carry_news_apart()) {
            self.tasks.spawn(self.clone().carry_news());
        }
        self.herald.stir.notify_one();
    }

    /// The same on a thread of its own: a runtime of several threads wakes two of them each time that one of its connections says something,
    /// and that is most of what an idle worker does. A pool's connections stay with the runtime that opens them. False if there is no thread.
    fn carry_news_apart(self: &Arc<Self>) -> bool {
        let Ok(runtime) = Builder::new_current_thread().enable_all().build() else { return false };
        let inner = self.clone();
        std::thread::Builder::new().name("gristmill-news".to_owned()).spawn(move || runtime.block_on(inner.carry_news())).is_ok()
    }

    async fn carry_news(self: Arc<Self>) {
        if self.connect.options.pgbouncer {
            return self.use_pool().await;
        }
        tokio::select! {
            () = self.closing.cancelled() => {}
            () = self.keep_line() => {}
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
            self.herald.listens(None);
            self.herald.sits(None);
            self.dues.forget_told();
            let most = Duration::from_millis(50).saturating_mul(1 << failures.min(4));
            tokio::time::sleep(most.mul_f64(0.5 + 0.5 * self.env.random())).await;
        }
    }

    /// Listens and tells until the line breaks.
    async fn use_line(&self) -> Result<(), StoreError> {
        let (client, mut connection) = self.connect.client().await?;
        let me = format!("{:08x}", self.env.fence().as_uuid().as_u128() as u32);
        let hear = self.hear(&mut connection, &me);
        let tell = async { Lookout::new(self, &client, &me).await?.run().await };
        tokio::select! {
            heard = hear => heard,
            told = tell => told,
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
        let mut readied = news.readied;
        if readied {
            self.workers.hints.came_somewhere();
        }
        for (line, count) in &news.came {
            if self.serves(*line) && self.answers(lot, ANSWERS.max(*count)) {
                self.workers.hints.came(line.0);
                readied = true;
            }
        }
        if readied {
            self.herald.by_look.store(false, Ordering::Relaxed);
        }
        let due = news.due.map(|due| std::time::Instant::now() + due);
        let scheduled = news.scheduled | due.is_some_and(|due| self.dues.heard(due));
        // What became ready for others is news to those who show what there is.
        let changed = !news.came.is_empty();
        // A nudge says that anything may have been committed.
        let cancelled = news.cancelled || (news.readied && news.scheduled);
        self.signals.committed(&Effects { readied, scheduled, cancelled, changed, ended: news.ended, ..Effects::default() });
    }

    /// Whether it is for this process to look, if so many of those that serve a line are to.
    fn answers(&self, lot: u32, most: u32) -> bool {
        let size = self.fleets().alike.size.min(SEATS);
        match self.herald.state().seat {
            Some(seat) => Fleet { size, rank: seat % size.max(1) }.is_chosen(lot, most),
            // With more than those with a seat may take, whoever happens to listen helps. Where there is no worker there are no seats.
            None => most > size || self.workers.trade().is_none(),
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
                self.herald.by_look.store(false, Ordering::Relaxed);
                effects.readied = true;
            }
            // Whoever waits here takes it at once: others would look for nothing.
            // What was given back was so because it could not be run here.
            let is_new = own.returned.is_empty();
            if !(serves && is_awaited && is_new && self.workers.hints.has_room(line.0, *count)) {
                news.add_came(*line, *count);
            }
        }
        if !effects.ended.is_empty() && self.herald.are_ends_awaited() {
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
