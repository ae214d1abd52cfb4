use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gristmill_core::kit::watch::Watch;
use gristmill_core::{Env, Pulse, Signals, StoreError, StoreErrorKind, TaskId, WorkerId, failpoint};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::concurrency::Admitting;
use crate::conn::{Conn, Connect};
use crate::days::Days;
use crate::dues::Dues;
use crate::durable::Waits;
use crate::effects::{Line, Own};
use crate::error::Fault;
use crate::gather::Gather;
use crate::herald::Herald;
use crate::indexes::Building;
use crate::names::{Named, Names, Sort};
use crate::ops;
use crate::origin::{Origin, Origins};
use crate::pool::{Pool, closed};
use crate::rescues::Rescues;
use crate::session::Session;
use crate::sql::Q;
use crate::time_floor::TimeFloors;
use crate::unique::Keys;
use crate::workers::{Fleets, Workers};
use crate::workflows::Conducting;

/// How often work is done again that the server undid for another's sake.
pub(crate) const TRIES: u32 = 6;

/// How long a call waits for a server that is away.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same of a heartbeat, which then tries the other connections.
const PATIENCE_OF_BEATS: Duration = Duration::from_secs(1);
/// How long work for many waits for the lock of an open transaction, before it falls apart. Longer than what locks for a moment needs.
const LOCK_WAIT: Duration = Duration::from_millis(100);
/// The same of work that has fallen apart, each part of which has been held up before: those that wait for other locks are to have their turn.
const LOCK_GLANCE: Duration = Duration::from_millis(5);
/// How much longer than its statements may take an answer is waited for.
const SLACK: Duration = Duration::from_secs(5);

/// All of a store but its handle, for the tasks that work for it.
pub(crate) struct Inner {
    pub(crate) connect: Arc<Connect>,
    pub(crate) env: Env,
    pub(crate) pool: Arc<Pool>,
    /// For those who look. They may be many, wait for long, and go away in the middle of it, which costs a connection each time: none of
    /// those by which tasks are claimed and settled.
    pub(crate) reads: Pool,
    /// Heartbeats wait for nobody: a pool that is busy must not cost the lease.
    pub(crate) beats: Pool,
    pub(crate) origins: Origins,
    names: Names,
    pub(crate) workers: Workers,
    pub(crate) floors: TimeFloors,
    pub(crate) rescues: Rescues,
    pub(crate) signals: Arc<Signals>,
    pub(crate) gather: Gather,
    pub(crate) herald: Herald,
    pub(crate) dues: Dues,
    fleets: Mutex<HashMap<WorkerId, Fleets>>,
    pub(crate) tasks: TaskTracker,
    pub(crate) closing: CancellationToken,
    /// What ended for good and no sweep has told yet.
    untold: Mutex<Vec<TaskId>>,
    /// What sweeps have seen of the workers.
    pub(crate) watch: Mutex<Watch>,
    pub(crate) days: Days,
    pub(crate) building: Building,
    pub(crate) conducting: Conducting,
    pub(crate) admitting: Admitting,
    pub(crate) keys: Keys,
    pub(crate) waits: Waits,
}

/// Runs an operation on a session of its own, again if the server undid it for another's sake, and ends it.
macro_rules! run {
    ($inner:expr, $pool:ident, $kind:expr, $session:ident => $work:expr) => {{
        let inner: &std::sync::Arc<$crate::inner::Inner> = $inner;
        let mut tries = 0;
        loop {
            #[allow(unused_mut, reason = "a look changes nothing of its session")]
            let mut $session = inner.session(&inner.$pool, $kind).await?;
            let fault = match inner.answer($work).await? {
                Ok(done) => match inner.answer($session.end()).await? {
                    Ok((tidings, reply)) => {
                        inner.tell(tidings);
                        break reply.map(|()| done);
                    }
                    Err(fault) => fault,
                },
                // The next one looks for the primary, which may be another host by now.
                Err(fault) if $crate::error::Fault::is_read_only(&fault) => fault,
                Err(fault) => {
                    inner.answer($session.undo(&fault)).await?;
                    fault
                }
            };
            tries += 1;
            if tries == $crate::inner::TRIES || !fault.is_collision() {
                break Err(fault.explain(&inner.connect.what));
            }
            inner.step_aside(tries).await;
        }
    }};
}
pub(crate) use run;

/// Whether an operation has more than one statement that writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Each statement commits by itself.
    Single,
    /// All of it commits together.
    Transaction,
    /// As `Single`, and no lock is waited for long: others wait for this one's end.
    SingleBriefly,
    /// The same of what was held up before.
    SingleAgain,
    /// As `Transaction`, the same.
    TransactionBriefly,
    /// Nothing is written, and all of it sees one moment: a task that moves meanwhile is seen where it was, and not missed.
    Snapshot,
}

impl Kind {
    const fn is_transaction(self) -> bool {
        matches!(self, Self::Transaction | Self::TransactionBriefly | Self::Snapshot)
    }

    /// How long somebody's lock is waited for where others would wait, too.
    const fn lock_wait(self) -> Option<Duration> {
        match self {
            Self::Single | Self::Transaction | Self::Snapshot => None,
            Self::SingleBriefly | Self::TransactionBriefly => Some(LOCK_WAIT),
            Self::SingleAgain => Some(LOCK_GLANCE),
        }
    }
}

impl Inner {
    pub(crate) fn new(connect: Arc<Connect>, env: Env, tasks: TaskTracker) -> Self {
        let (size, reads) = (connect.options.pool, connect.options.reads);
        let pool = Arc::new(Pool::new(connect.clone(), size, PATIENCE, env.clone()));
        Self {
            reads: Pool::new(connect.clone(), reads, PATIENCE, env.clone()).beside(&pool),
            pool,
            beats: Pool::new(connect.clone(), 1, PATIENCE_OF_BEATS, env.clone()),
            origins: Origins::default(),
            names: Names::default(),
            workers: Workers::default(),
            floors: TimeFloors::default(),
            rescues: Rescues::default(),
            signals: Arc::default(),
            gather: Gather::default(),
            herald: Herald::default(),
            dues: Dues::default(),
            fleets: Mutex::default(),
            untold: Mutex::default(),
            watch: Mutex::default(),
            tasks,
            closing: CancellationToken::new(),
            days: Days::default(),
            building: Building::default(),
            conducting: Conducting::default(),
            admitting: Admitting::default(),
            keys: Keys::default(),
            waits: Waits::default(),
            connect,
            env,
        }
    }

    pub(crate) async fn session<'a>(&'a self, pool: &'a Pool, kind: Kind) -> Result<Session<'a>, StoreError> {
        let held = pool.get().await?;
        let explain = |fault: Fault| fault.explain(&self.connect.what);
        let origin = self.answer(self.origin(held.conn()?)).await?.map_err(explain)?;
        let (now, many_days) = (self.env.virtual_now(), self.days.are_many());
        let mut session = Session::new(held, origin, &self.connect.texts, &self.names, now, many_days);
        // A failpoint before the commit needs a commit that is apart from the statement.
        session.lock_wait = kind.lock_wait().map(|wait| self.lock_wait(wait));
        session.sees_one_moment = kind == Kind::Snapshot;
        if kind.is_transaction() || failpoint::is_active() {
            session.begin().await.map_err(explain)?;
        }
        Ok(session)
    }

    /// The database that a connection leads to.
    async fn origin(&self, conn: &Conn) -> Result<Origin, Fault> {
        if let Some(origin) = conn.origin() {
            return Ok(origin);
        }
        let rows = conn.rows(&self.connect.texts, Q::Origin, &[]).await?;
        let sign = rows.first().map_or(Ok(String::new()), |row| row.try_get(0))?;
        let (origin, is_other) = self.origins.seen(sign);
        if is_other {
            tracing::info!(
                store = self.connect.what,
                "the server was replaced, started anew or restored; nothing is taken from before"
            );
            self.workers.forget_numbers();
            self.dues.forget_told();
            self.signals.changed();
        }
        conn.keep_origin(origin);
        Ok(origin)
    }

    /// The number of a name in the last database that was seen.
    pub(crate) fn named(&self, sort: Sort, name: &str) -> Option<Named> {
        self.names.by_name(self.origins.last(), sort, name)
    }

    /// In milliseconds, and no longer than a lock is waited for at all.
    fn lock_wait(&self, wait: Duration) -> String {
        let most = self.connect.options.lock_timeout;
        let wait = if most.is_zero() { wait } else { most.min(wait) };
        wait.as_millis().max(1).to_string()
    }

    /// Waits for a part of an operation, but not for ever: a server that is frozen or vanished says nothing, and one who has
    /// closed the store wants to know nothing. After an error the session is not to be used again; its end cancels the statement.
    pub(crate) async fn answer<T>(&self, part: impl Future<Output = T>) -> Result<T, StoreError> {
        let within = match self.connect.options.statement_timeout {
            Duration::ZERO => Duration::MAX,
            timeout => timeout.saturating_mul(2).saturating_add(SLACK),
        };
        tokio::select! {
            biased;
            answer = part => Ok(answer),
            () = self.closing.cancelled() => Err(closed()),
            () = tokio::time::sleep(within) => {
                let message = format!("{}: the server does not answer; its connection is given up", self.connect.what);
                Err(StoreError::new(StoreErrorKind::Unreachable, message))
            }
        }
    }

    /// A heartbeat on a connection of its own: those of the pools are driven by a runtime that is held up.
    pub(crate) async fn beat_apart(&self, worker: WorkerId, lease: Duration) -> Result<Pulse, StoreError> {
        let pool = Pool::new(self.connect.clone(), 1, PATIENCE_OF_BEATS, self.env.clone());
        let mut session = self.session(&pool, Kind::Single).await?;
        let explain = |fault: Fault| fault.explain(&self.connect.what);
        let (pulse, _) = self.answer(ops::heartbeat(&mut session, worker, lease, true)).await?.map_err(explain)?;
        let (_, reply) = self.answer(session.end()).await?.map_err(explain)?;
        if pulse.alive {
            self.lives(worker);
        }
        reply.map(|()| pulse)
    }

    /// A worker of this process lives, and others that were here may not.
    pub(crate) fn lives(&self, worker: WorkerId) {
        for gone in self.workers.beat(worker) {
            self.keep_fleets(gone, None);
        }
    }

    /// Keeps what a commit means to this process.
    pub(crate) fn keep(self: &Arc<Self>, own: &Own) {
        if !own.untold.is_empty() {
            self.untold.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&own.untold);
        }
        if !own.claimed_members.is_empty() {
            self.conducting.claimed_members(&own.claimed_members);
        }
        if own.reported {
            self.conducting.reported();
        }
        if own.touched {
            self.admitting.touched();
        }
        if own.chored {
            self.conducting.left();
        }
        self.waits.keep(own);
        if own.returned_somewhere {
            self.workers.forget_floors();
        }
        self.workers.lower(&own.returned);
        if own.crowded {
            self.build_by_kind();
        }
    }

    /// Whether a worker of this process may take tasks of a line. Where there is none, whoever waits is told of all.
    pub(crate) fn serves(&self, (queue, kind): Line) -> bool {
        self.workers.serve(&self.names, self.origins.last(), queue, kind)
    }

    /// The living workers, as the last heartbeats told. Of several in this process, the one that has more to do counts: the first of all, and
    /// the one of fewer that serve the same.
    pub(crate) fn fleets(&self) -> Fleets {
        let fleets = self.fleets.lock().unwrap_or_else(PoisonError::into_inner);
        let all = fleets.values().map(|fleets| fleets.all).min_by_key(|fleet| fleet.rank).unwrap_or_default();
        let alike = fleets.values().map(|fleets| fleets.alike).min_by_key(|fleet| fleet.size).unwrap_or_default();
        Fleets { all, alike }
    }

    /// `None` once the worker has left.
    pub(crate) fn keep_fleets(&self, worker: WorkerId, told: Option<Fleets>) {
        let mut fleets = self.fleets.lock().unwrap_or_else(PoisonError::into_inner);
        match told {
            Some(told) => drop(fleets.insert(worker, told)),
            None => drop(fleets.remove(&worker)),
        }
    }

    /// What ended for good since this was last asked.
    pub(crate) fn take_untold(&self) -> Vec<TaskId> {
        std::mem::take(&mut *self.untold.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits a little, longer each time and not as long as the others do.
    pub(crate) async fn step_aside(&self, tries: u32) {
        let most = Duration::from_millis(5).saturating_mul(1 << tries.min(6));
        tokio::time::sleep(most.mul_f64(self.env.random())).await;
    }
}
