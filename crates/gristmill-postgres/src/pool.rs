use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gristmill_core::{Env, StoreError, StoreErrorKind};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::conn::{Conn, Connect};
use crate::error::{has_no_room, sqlstate};

/// A few connections, opened when they are needed and kept.
pub(crate) struct Pool {
    connect: Arc<Connect>,
    idle: Mutex<Vec<Conn>>,
    permits: Semaphore,
    patience: Duration,
    /// Whether connections are left as the server makes them.
    plain: bool,
    /// Whose connections serve where the server has no room for ours.
    spare: Option<Arc<Pool>>,
    env: Env,
}

/// How often a call looks again for a server that is away, as during its restart.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

impl Pool {
    /// A call waits so long, `patience`, for a server that is away or has no connection left. Beyond it the caller is told.
    pub(crate) fn new(connect: Arc<Connect>, size: usize, patience: Duration, env: Env) -> Self {
        Self { connect, idle: Mutex::default(), permits: Semaphore::new(size), patience, plain: false, spare: None, env }
    }

    /// For work that is not ours, and wants none of our settings.
    #[cfg(feature = "tokio-postgres")]
    pub(crate) fn plain(self) -> Self {
        Self { plain: true, ..self }
    }

    /// For work that can be done on another pool's connections, too.
    pub(crate) fn beside(self, spare: &Arc<Self>) -> Self {
        Self { spare: Some(spare.clone()), ..self }
    }

    /// A connection, when one is free.
    pub(crate) async fn get(&self) -> Result<Held<'_>, StoreError> {
        let permit = self.permits.acquire().await.map_err(|_| closed())?;
        let since = tokio::time::Instant::now();
        let conn = loop {
            // Each time: where the server has no room for another connection, one of ours may have come back meanwhile.
            if let Some(conn) = self.idle_one() {
                break conn;
            }
            match self.open().await {
                Ok(conn) => break conn,
                Err(error) => {
                    if let Some(spare) = self.spare.as_ref().filter(|_| has_no_room(&error)) {
                        let mut lent = Box::pin(spare.get()).await?;
                        lent._own = Some(permit);
                        return Ok(lent);
                    }
                    if !may_pass(&error) || since.elapsed() >= self.patience {
                        return Err(error);
                    }
                    tracing::debug!(%error, "the store can't be reached; looking again");
                }
            }
            // Not all at one moment: there may be many of us, and the server has just begun to breathe.
            tokio::time::sleep(LOOK_AGAIN.mul_f64(0.5 + self.env.random())).await;
            if self.permits.is_closed() {
                return Err(closed());
            }
        };
        Ok(Held { pool: self, conn: Some(conn), _permit: permit, _own: None })
    }

    /// Opens a connection for later, if there is none and the server has one left.
    pub(crate) async fn reserve(&self) {
        if let Ok(_permit) = self.permits.try_acquire()
            && self.idle().is_empty()
            && let Ok(conn) = self.open().await
        {
            self.put(conn);
        }
    }

    async fn open(&self) -> Result<Conn, StoreError> {
        if self.plain { self.connect.open_plain().await } else { self.connect.open().await }
    }

    /// One whose server went away while nobody used it is no use to anybody.
    fn idle_one(&self) -> Option<Conn> {
        let mut idle = self.idle();
        idle.retain(|conn| !conn.is_closed());
        idle.pop()
    }

    /// A connection that is known to work, for later.
    pub(crate) fn put(&self, conn: Conn) {
        self.idle().push(conn);
    }

    /// Ends it: every later call answers `Closed`.
    pub(crate) fn close(&self) {
        self.permits.close();
        self.idle().clear();
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Conn>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an error is one of those that pass while the server restarts, another takes over, or somebody leaves. To try a wrong
/// password again and again would do nothing but harm.
fn may_pass(error: &StoreError) -> bool {
    let refused = sqlstate(error).is_some_and(|code| code.code().starts_with("28") || code.code().starts_with("3D"));
    matches!(error.kind(), StoreErrorKind::Unreachable | StoreErrorKind::Busy | StoreErrorKind::ReadOnly) && !refused
}

/// A connection in use. Dropped without [`release`](Self::release), as when a caller goes away in the middle of something, it
/// is closed, and its statement [cancelled](Connect::cancel): the server rolls back what was open on it.
pub(crate) struct Held<'a> {
    pool: &'a Pool,
    conn: Option<Conn>,
    _permit: SemaphorePermit<'a>,
    /// Of the pool that lent it, so that no more have one than that has room for.
    _own: Option<SemaphorePermit<'a>>,
}

impl Held<'_> {
    pub(crate) fn conn(&self) -> Result<&Conn, StoreError> {
        self.conn.as_ref().ok_or_else(closed)
    }

    #[cfg(feature = "tokio-postgres")]
    pub(crate) fn client_mut(&mut self) -> Result<&mut tokio_postgres::Client, StoreError> {
        self.conn.as_mut().map(Conn::client_mut).ok_or_else(closed)
    }

    /// Nothing is under way on it; others may have it.
    pub(crate) fn release(mut self) {
        if let Some(conn) = self.conn.take().filter(|conn| !conn.is_closed())
            && !self.pool.permits.is_closed()
        {
            self.pool.put(conn);
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take().filter(|conn| !conn.is_closed()) {
            self.pool.connect.cancel(&conn);
        }
    }
}

pub(crate) fn closed() -> StoreError {
    StoreError::new(StoreErrorKind::Closed, "the store is closed")
}
