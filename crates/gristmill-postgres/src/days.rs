//! The partitions of task and outcome: a day each, by the time in the ids. They are made ahead, and dropped as wholes; a day of which
//! little is kept, and more than a drop can carry, is replaced by that.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use gristmill_core::{StoreError, Timestamp};
use tokio::time::Instant;
use tokio_postgres::types::FromSql;

use crate::conn::{Conn, Params};
use crate::error::Fault;
use crate::inner::{Inner, Kind, run};
use crate::sql::{Q, Texts};

const DAY_MS: i64 = 86_400_000;
/// So many days beyond today have their partitions: a night without workers changes nothing.
const AHEAD: i64 = 3;
/// How often a process looks whether a day can go.
const DROP_EVERY_MS: i64 = 60_000;
/// How long it leaves the tables alone after it could not have them: whoever waits for such a lock holds up all who come later.
const LOCKED_FOR_MS: i64 = 600_000;
/// With more days than these, statements that look for tasks by their ids are planned for each call, and then open only the days that
/// they need. Else each opens and locks all of them, which with some hundreds takes longer than the work itself, and fills the
/// server's table of locks. Seven days of retention, today and those ahead are fewer.
const MANY: i64 = 14;
/// Days dropped in one go, by a store that was left alone for long; the next look goes on.
const DROPS_MAX: usize = 31;

const NOT_THINNED: &str = "a day of which little is kept could not be replaced";

/// What a process remembers of the days.
#[derive(Debug)]
pub(crate) struct Days {
    /// The last day that has its partitions, as far as we know.
    made: AtomicI64,
    make_at: AtomicI64,
    drop_at: AtomicI64,
    thin_at: AtomicI64,
    /// How many have partitions, as far as we know.
    kept: AtomicI64,
}

impl Default for Days {
    fn default() -> Self {
        let never = || AtomicI64::new(i64::MIN);
        Self { made: never(), make_at: never(), drop_at: never(), thin_at: never(), kept: AtomicI64::new(0) }
    }
}

impl Days {
    /// Whether so many are kept that a statement is not to open all of them.
    pub(crate) fn are_many(&self) -> bool {
        self.kept.load(Ordering::Relaxed) > MANY
    }
}

/// Makes the partitions for today and the days to come. Returns false if some of them have to be made later. `clock` is that of a test.
pub(crate) async fn make_ahead(conn: &Conn, texts: &Texts, now: Timestamp, clock: Option<i64>) -> Result<bool, Fault> {
    let today = now.as_millis().div_euclid(DAY_MS);
    let mut all = true;
    for day in today..=today + AHEAD {
        all &= value(conn, texts, Q::DayMake, &[&clock, &day]).await?.unwrap_or(false);
    }
    Ok(all)
}

impl Inner {
    /// Makes the partitions for the days to come, if it is time.
    pub(crate) async fn make_days(self: &Arc<Self>) {
        let now = self.env.now();
        let wanted = now.as_millis().div_euclid(DAY_MS) + AHEAD;
        if self.days.made.load(Ordering::Relaxed) >= wanted || !self.is_time(&self.days.make_at, 0) {
            return;
        }
        match self.make_days_now(now).await {
            Ok(true) => _ = self.days.made.fetch_max(wanted, Ordering::Relaxed),
            Ok(false) => {}
            // Nothing is lost by it: tasks of these days go to the default partitions, and are deleted one by one.
            Err(error) => {
                if error.is_transient()
                    && let Err(error) = self.have_days_left_alone().await
                {
                    tracing::debug!(%error, "other processes could not be told to leave the days alone");
                }
                self.leave_alone(&self.days.make_at, "the partitions of the next days could not be made", &error);
            }
        }
    }

    /// Drops the days of which hardly anything is wanted any more, if it is time to look.
    pub(crate) async fn drop_days(self: &Arc<Self>) {
        if !self.is_time(&self.days.drop_at, DROP_EVERY_MS) {
            return;
        }
        self.count_days().await;
        for n in 0..DROPS_MAX {
            match self.drop_day().await {
                Ok(Some(day)) => tracing::debug!(day = %Timestamp::from_millis(day * DAY_MS), "dropped a day of ended tasks"),
                Ok(None) if n == 0 => return,
                Ok(None) => break,
                Err(error) => return self.leave_alone(&self.days.drop_at, "a day of ended tasks could not be dropped", &error),
            }
        }
        if let Err(error) = self.drop_labels().await {
            return self.leave_alone(&self.days.drop_at, "the labels of a day could not be dropped", &error);
        }
        if let Err(error) = self.analyze_days().await {
            tracing::debug!(%error, "the tables could not be analyzed");
        }
    }

    /// Has what is kept of a day take its place where that is little, if it is time to look. It begins at once, before anybody deletes
    /// row by row, and goes on apart from the caller.
    pub(crate) async fn thin_days(self: &Arc<Self>) {
        if !self.is_time(&self.days.thin_at, DROP_EVERY_MS) {
            return;
        }
        match self.begin_thin_day().await {
            Ok(Some(true)) => {}
            Ok(_) => return,
            Err(error) => return self.leave_alone(&self.days.thin_at, NOT_THINNED, &error),
        }
        let inner = self.clone();
        self.tasks.spawn(async move {
            let thinned = tokio::select! {
                biased;
                () = inner.closing.cancelled() => return,
                thinned = inner.thin_day() => thinned,
            };
            if let Err(error) = thinned {
                inner.leave_alone(&inner.days.thin_at, NOT_THINNED, &error);
            }
        });
    }

    /// Takes one step after the other, as long as there are any.
    async fn thin_day(self: &Arc<Self>) -> Result<(), StoreError> {
        loop {
            let begun = Instant::now();
            if self.step_thin_day().await? != Some(true) {
                return Ok(());
            }
            // Nobody else in this process begins with it meanwhile, and half of the time is left to those who make and drop days.
            self.days.thin_at.store(self.env.now().as_millis() + DROP_EVERY_MS, Ordering::Relaxed);
            tokio::time::sleep(begun.elapsed()).await;
        }
    }

    /// Counts the days that have partitions, for [`Days::are_many`].
    pub(crate) async fn count_days(self: &Arc<Self>) {
        match self.day_count().await {
            Ok(days) => self.days.kept.store(days.unwrap_or_default(), Ordering::Relaxed),
            Err(error) => tracing::debug!(%error, "the days could not be counted"),
        }
    }

    async fn day_count(self: &Arc<Self>) -> Result<Option<i64>, StoreError> {
        run!(self, pool, Kind::Single, s => async { value(s.conn()?, s.texts(), Q::DayCount, &[]).await })
    }

    async fn make_days_now(self: &Arc<Self>, now: Timestamp) -> Result<bool, StoreError> {
        run!(self, pool, Kind::Single, s => async { make_ahead(s.conn()?, s.texts(), now, s.now).await })
    }

    /// Tells the other processes that somebody holds the tables, so that they don't each hold up everybody to find that out.
    async fn have_days_left_alone(self: &Arc<Self>) -> Result<u64, StoreError> {
        run!(self, pool, Kind::Single, s => async { s.execute(Q::DayLeave, &[&s.now]).await })
    }

    async fn drop_day(self: &Arc<Self>) -> Result<Option<i64>, StoreError> {
        run!(self, pool, Kind::Single, s => async { value(s.conn()?, s.texts(), Q::DayDrop, &[&s.now]).await })
    }

    async fn begin_thin_day(self: &Arc<Self>) -> Result<Option<bool>, StoreError> {
        run!(self, pool, Kind::Single, s => async { value(s.conn()?, s.texts(), Q::DayThinBegin, &[&s.now]).await })
    }

    async fn step_thin_day(self: &Arc<Self>) -> Result<Option<bool>, StoreError> {
        run!(self, pool, Kind::Single, s => async { value(s.conn()?, s.texts(), Q::DayThin, &[&s.now]).await })
    }

    async fn drop_labels(self: &Arc<Self>) -> Result<Option<bool>, StoreError> {
        run!(self, pool, Kind::Single, s => async { value(s.conn()?, s.texts(), Q::LabelDayDrop, &[]).await })
    }

    async fn analyze_days(self: &Arc<Self>) -> Result<(), StoreError> {
        run!(self, pool, Kind::Single, s => async { s.rows(Q::DayAnalyze, &[]).await.map(drop) })
    }

    /// Whether a moment has come, which then moves on.
    pub(crate) fn is_time(&self, at: &AtomicI64, every: i64) -> bool {
        let now = self.env.now().as_millis();
        let due = at.load(Ordering::Relaxed);
        now >= due && at.compare_exchange(due, now + every, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    fn leave_alone(&self, at: &AtomicI64, what: &'static str, error: &StoreError) {
        // Not all processes at one moment.
        let pause = (LOCKED_FOR_MS as f64 * (0.5 + self.env.random())) as i64;
        at.store(self.env.now().as_millis() + pause, Ordering::Relaxed);
        if error.is_transient() {
            tracing::debug!(%error, "{what} now");
        } else {
            tracing::warn!(%error, "{what}");
        }
    }
}

/// The only value that a statement brings.
async fn value<T: for<'a> FromSql<'a>>(conn: &Conn, texts: &Texts, query: Q, params: Params<'_>) -> Result<Option<T>, Fault> {
    let row = conn.rows(texts, query, params).await?.into_iter().next();
    Ok(row.map_or(Ok(None), |row| row.try_get(0))?)
}
