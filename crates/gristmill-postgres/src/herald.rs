use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gristmill_core::{Effects, StoreError, TaskId};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_postgres::{AsyncMessage, Client};
use uuid::Uuid;

use crate::error::explain;
use crate::inner::Inner;
use crate::sql::Q;

/// At least so long between two notifications: each takes a lock that all of a database's notifying commits share.
const NOTIFY_EVERY: Duration = Duration::from_millis(5);
/// Ends that one notification names, as its text is bounded; with more, whoever waits for any looks.
const ENDED_MAX: usize = 200;
/// How often we look whether anybody committed anything, while somebody waits for ready tasks: notifications are a courtesy,
/// and those who enqueue in their own transactions give none.
const POLL_EVERY: Duration = Duration::from_millis(40);
/// The same for those who only show what there is.
const SHOW_EVERY: Duration = Duration::from_millis(500);
/// How often the line is tried while nobody waits: one that is dead at its other end says nothing by itself.
const PROBE_EVERY: Duration = Duration::from_secs(20);
/// The longest that the line may take to answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// Tells other processes of commits, and hears of theirs, on a connection of its own.
#[derive(Default)]
pub(crate) struct Herald {
    started: AtomicBool,
    news: Mutex<News>,
    stir: Notify,
}

/// What other processes were not told yet.
#[derive(Debug, Default, PartialEq)]
struct News {
    readied: bool,
    scheduled: bool,
    ended: Vec<TaskId>,
    /// More ended than are named.
    ended_many: bool,
}

impl Herald {
    /// Takes what others should hear; true if that is anything.
    pub(crate) fn tell(&self, effects: &Effects) -> bool {
        if !effects.readied && !effects.scheduled && effects.ended.is_empty() {
            return false;
        }
        let mut news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        news.readied |= effects.readied;
        news.scheduled |= effects.scheduled;
        let room = ENDED_MAX - news.ended.len().min(ENDED_MAX);
        news.ended_many |= effects.ended.len() > room;
        news.ended.extend(effects.ended.iter().take(room));
        true
    }

    /// Tells and hears nothing: for measurements of bare statements.
    pub(crate) fn mute(&self) {
        self.started.store(true, Ordering::Relaxed);
    }

    fn take(&self) -> News {
        std::mem::take(&mut *self.news.lock().unwrap_or_else(PoisonError::into_inner))
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
            // Nobody heard anything meanwhile.
            self.signals.changed();
            let most = Duration::from_millis(50).saturating_mul(1 << failures.min(4));
            tokio::time::sleep(most.mul_f64(0.5 + 0.5 * self.env.random())).await;
        }
    }

    /// Listens and tells until the line breaks.
    async fn use_line(&self) -> Result<(), StoreError> {
        let (client, mut connection) = self.connect.client().await?;
        let me = format!("{:08x}", self.env.fence().as_uuid().as_u128() as u32);
        let channel = self.connect.texts.channel();
        let hear = async {
            while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
                match message {
                    Ok(AsyncMessage::Notification(note)) => self.heard(note.payload(), &me),
                    Ok(_) => {}
                    Err(error) => return Err(explain(error, &self.connect.what)),
                }
            }
            Ok(())
        };
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
        // Parsed once, as it is asked some twenty times a second.
        let look = client.prepare_typed(self.connect.texts.text(Q::Snapshot), &[]).await.map_err(broken)?;
        self.signals.changed();
        let mut snapshot = String::new();
        let mut looked = Instant::now();
        loop {
            let every = match (self.signals.is_ready_awaited(), self.signals.is_change_awaited()) {
                (true, _) => POLL_EVERY.mul_f64(0.8 + 0.4 * self.env.random()),
                (false, true) => SHOW_EVERY,
                (false, false) => PROBE_EVERY,
            };
            tokio::select! {
                () = self.herald.stir.notified() => {
                    let news = self.herald.take();
                    if news != News::default() {
                        let notify = format!("NOTIFY {channel}, '{me}{}'", news.text());
                        client.batch_execute(&notify).await.map_err(broken)?;
                        tokio::time::sleep(NOTIFY_EVERY).await;
                    }
                }
                // Counted from the last look: from here on, what there is to tell twenty times a second would put it off for ever.
                () = tokio::time::sleep_until(looked + every) => {
                    looked = Instant::now();
                    let Ok(seen) = tokio::time::timeout(PROBE_TIMEOUT, client.query_one(&look, &[])).await else { return Ok(()) };
                    let seen = seen.and_then(|row| row.try_get(0)).map_err(broken)?;
                    if seen != snapshot {
                        self.signals.ready();
                    }
                    snapshot = seen;
                }
            }
        }
    }

    fn heard(&self, payload: &str, me: &str) {
        let Some((from, rest)) = payload.split_at_checked(8) else { return self.signals.changed() };
        if from == me {
            return;
        }
        match News::read(rest) {
            Some(News { ended_many: false, readied, scheduled, ended }) => {
                self.signals.committed(&Effects { readied, scheduled, ended, ..Effects::default() });
            }
            // More than is named, or in a newer version's words.
            _ => self.signals.changed(),
        }
    }

    /// Behind a pooler nobody can listen; looking is all there is.
    async fn poll_through_pool(&self) {
        let mut snapshot = String::new();
        loop {
            tokio::time::sleep(POLL_EVERY.mul_f64(0.8 + 0.4 * self.env.random())).await;
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
                    self.signals.changed();
                }
                snapshot = seen;
            }
        }
    }
}

impl News {
    /// As it travels: `r`, `s`, `e` and the ids, or `E` for more than could be named.
    fn text(&self) -> String {
        let mut text = String::new();
        text.extend(self.readied.then_some('r'));
        text.extend(self.scheduled.then_some('s'));
        if self.ended_many {
            text.push('E');
        } else if !self.ended.is_empty() {
            text.push('e');
            for id in &self.ended {
                text.push_str(&id.as_uuid().simple().to_string());
            }
        }
        text
    }

    fn read(text: &str) -> Option<Self> {
        let mut news = Self::default();
        for (at, letter) in text.char_indices() {
            match letter {
                'r' => news.readied = true,
                's' => news.scheduled = true,
                'E' => news.ended_many = true,
                'e' => {
                    let (ids, rest) = text.get(at + 1..)?.as_bytes().as_chunks::<32>();
                    if !rest.is_empty() {
                        return None;
                    }
                    let id = |id: &[u8; 32]| Uuid::try_parse_ascii(id).ok().map(TaskId::from_uuid);
                    news.ended = ids.iter().map(id).collect::<Option<_>>()?;
                    return Some(news);
                }
                _ => return None,
            }
        }
        Some(news)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_survive_their_journey() {
        let (env, _) = gristmill_core::Env::virtual_time(gristmill_core::Timestamp::from_millis(0), 1);
        let ended: Vec<_> = (0..ENDED_MAX).map(|_| env.task_id()).collect();
        for news in [
            News { readied: true, ..News::default() },
            News { scheduled: true, ended_many: true, ..News::default() },
            News { readied: true, scheduled: true, ended, ended_many: false },
        ] {
            let text = news.text();
            assert!(text.len() < 7_900, "the server takes no more than 8000 bytes");
            assert_eq!(News::read(&text), Some(news));
        }
        assert_eq!(News::read("x"), None);
        assert_eq!(News::read("e123"), None);
    }
}
