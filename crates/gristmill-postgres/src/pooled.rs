use std::time::Duration;

use gristmill_core::{StoreError, StoreErrorKind};
use tokio::time::Instant;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Error, Row};

use crate::error::explain;
use crate::inner::Inner;
use crate::lookout::{LOOK_EVERY, PROBE_TIMEOUT};
use crate::news::News;
use crate::pool::closed;
use crate::sql::Q;

/// What this process is called in what it tells: it hears nothing, and so nothing of its own.
const NOBODY: &str = "00000000";
/// How often scheduled tasks are looked for, as nobody can say that one is due sooner.
const DUE_EVERY: Duration = Duration::from_millis(200);
/// At least so long between two notifications, each of which takes a connection that others could use. Nobody says here whether ends are
/// awaited, so that all of them are told.
const NOTIFY_EVERY: Duration = Duration::from_millis(40);
/// How long the last answer is waited for when the store is closed. A statement that is given up is cancelled, and PgBouncer 1.18 has been
/// seen to die of a cancellation at the moment at which its client goes away.
const LAST_ANSWER: Duration = Duration::from_secs(1);

impl Inner {
    /// Behind a pooler nobody can listen: others are told in a transaction of the pool, and of theirs there are looks. Until the store is
    /// closed, and not in the middle of a statement.
    pub(crate) async fn use_pool(&self) {
        let (mut told, mut looks) = (None, Looks::new());
        loop {
            tokio::select! {
                () = self.closing.cancelled() => return,
                () = self.herald.stirred() => {}
                () = tokio::time::sleep_until(looks.at + self.look_through_pool_every()), if self.signals.is_awaited() => {
                    if let Err(error) = self.look_through_pool(&mut looks).await {
                        tracing::debug!(%error, "no look for what others commit; claims go on by polling");
                    }
                }
                () = until(told), if self.herald.has_news() => {}
            }
            if told.is_none_or(|told| Instant::now() >= told)
                && let Some(news) = self.herald.take()
            {
                // Others' ends would be told to nobody.
                let news = News { awaits: false, ..news };
                if let Err(error) = self.tell_through_pool(&news).await {
                    tracing::debug!(%error, "other processes could not be told; trying again");
                    self.herald.tell(news);
                    self.dues.forget_told();
                }
                told = Some(Instant::now() + NOTIFY_EVERY);
            }
        }
    }

    fn look_through_pool_every(&self) -> Duration {
        if self.has_to_listen() { LOOK_EVERY.mul_f64(0.8 + 0.4 * self.env.random()) } else { self.look_every(false) }
    }

    async fn tell_through_pool(&self, news: &News) -> Result<(), StoreError> {
        let (channel, payload) = (self.connect.texts.channel(), format!("{NOBODY}{}", news.text()));
        let params: [(&(dyn ToSql + Sync), Type); 2] = [(&channel, Type::TEXT), (&payload, Type::TEXT)];
        let held = self.pool.get().await?;
        self.in_time(held.conn()?.client().query_typed("SELECT pg_catalog.pg_notify($1, $2)", &params)).await?;
        held.release();
        Ok(())
    }

    async fn look_through_pool(&self, looks: &mut Looks) -> Result<(), StoreError> {
        looks.at = Instant::now();
        self.herald.looks();
        let held = self.pool.get().await?;
        let rows = self.in_time(held.conn()?.rows(&self.connect.texts, Q::Snapshot, &[])).await?;
        held.release();
        let read = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?));
        let seen = rows.first().map_or(Ok((String::new(), None)), read);
        let (seen, untold) = seen.map_err(|error| explain(error, &self.connect.what))?;
        if std::mem::replace(&mut looks.snapshot, seen.clone()) != seen {
            self.waits.saw_untold(untold);
            self.saw_something();
            self.signals.look_for_ends();
            looks.is_owed = true;
        }
        if looks.is_owed && looks.changed_at.elapsed() >= DUE_EVERY {
            (looks.is_owed, looks.changed_at) = (false, Instant::now());
            self.signals.changed();
        }
        Ok(())
    }

    /// Waits for an answer, but not for ever: a pooler that is frozen says nothing, and its connection is given up.
    async fn in_time<T>(&self, asked: impl Future<Output = Result<T, Error>>) -> Result<T, StoreError> {
        let what = &self.connect.what;
        let left = async {
            self.closing.cancelled().await;
            tokio::time::sleep(LAST_ANSWER).await;
        };
        tokio::select! {
            answer = asked => answer.map_err(|error| explain(error, what)),
            () = tokio::time::sleep(PROBE_TIMEOUT) => {
                Err(StoreError::new(StoreErrorKind::Unreachable, format!("{what}: the pooler does not answer")))
            }
            () = left => Err(closed()),
        }
    }
}

/// What is remembered between looks.
struct Looks {
    at: Instant,
    snapshot: String,
    /// Of a change those who wait for other than ready tasks are told more seldom, but they are.
    is_owed: bool,
    changed_at: Instant,
}

impl Looks {
    fn new() -> Self {
        let now = Instant::now();
        Self { at: now, snapshot: String::new(), is_owed: false, changed_at: now }
    }
}

async fn until(at: Option<Instant>) {
    if let Some(at) = at {
        tokio::time::sleep_until(at).await;
    }
}
