use std::sync::{Arc, Mutex, PoisonError};

use std::time::Duration;

use gristmill_core::{Env, StoreError, StoreErrorKind};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::conn::{Conn, Connect};

/// A few connections, opened when they are needed and kept.
pub(crate) struct Pool {
    connect: Arc<Connect>,
    idle: Mutex<Vec<Conn>>,
    permits: Semaphore,
    env: Env,
}

/// How long a call waits for a server that is away, as during its restart, and how often it looks. Beyond it the caller is told.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(200);

impl Pool {
    pub(crate) fn new(connect: Arc<Connect>, size: usize, env: Env) -> Self {
        Self { connect, idle: Mutex::default(), permits: Semaphore::new(size), env }
    }

    /// A connection, when one is free.
    pub(crate) async fn get(&self) -> Result<Held<'_>, StoreError> {
        let permit = self.permits.acquire().await.map_err(|_| closed())?;
        let idle = loop {
            // One whose server went away while nobody used it is no use to anybody.
            match self.idle().pop() {
                Some(conn) if conn.is_closed() => {}
                other => break other,
            }
        };
        let conn = match idle {
            Some(conn) => conn,
            None => self.open().await?,
        };
        Ok(Held { pool: self, conn: Some(conn), _permit: permit })
    }

    async fn open(&self) -> Result<Conn, StoreError> {
        let since = tokio::time::Instant::now();
        loop {
            match self.connect.open().await {
                Err(error) if error.kind() == StoreErrorKind::Unreachable && since.elapsed() < PATIENCE => {
                    // Not all at one moment: there may be many of us, and the server has just begun to breathe.
                    tokio::time::sleep(LOOK_AGAIN.mul_f64(0.5 + self.env.random())).await;
                }
                other => return other,
            }
        }
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

/// A connection in use. Dropped without [`release`](Self::release), as when a caller goes away in the middle of something, it
/// is closed: the server rolls back what was open on it.
pub(crate) struct Held<'a> {
    pool: &'a Pool,
    conn: Option<Conn>,
    _permit: SemaphorePermit<'a>,
}

impl Held<'_> {
    pub(crate) fn conn(&self) -> Result<&Conn, StoreError> {
        self.conn.as_ref().ok_or_else(closed)
    }

    /// Nothing is under way on it; others may have it.
    pub(crate) fn release(mut self) {
        if let Some(conn) = self.conn.take().filter(|conn| !conn.is_closed())
            && !self.pool.permits.is_closed()
        {
            self.pool.idle().push(conn);
        }
    }
}

fn closed() -> StoreError {
    StoreError::new(StoreErrorKind::Closed, "the store is closed")
}
