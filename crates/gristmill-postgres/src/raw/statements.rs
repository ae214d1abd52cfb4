use std::sync::Arc;
use std::time::{Duration, Instant};

use gristmill_core::{
    Claim, Ending, Env, NewTask, Overrides, Policy, Retention, Settlement, StoreError, StoreErrorKind, Wanted, WorkerId,
    WorkerSpec, limits,
};
use tokio_util::task::TaskTracker;

use crate::conn::Connect;
use crate::inner::{Inner, Kind, run};
use crate::options::PostgresOptions;
use crate::sql::quote;
use crate::{migrate, ops};

const KIND: &str = "gristmill.bench";

/// A schema of its own to measure in.
pub struct RawBench {
    inner: Arc<Inner>,
    worker: WorkerId,
    retention: Retention,
}

impl RawBench {
    /// Makes the schema that `url` names.
    ///
    /// # Errors
    /// If it exists already, or can't be made.
    pub async fn create(url: &str) -> Result<Self, StoreError> {
        let options: PostgresOptions = url.parse()?;
        if migrate::migration_status(url).await?.iter().any(|step| step.applied_at.is_some()) {
            let message = format!("the schema {} exists; a raw benchmark wants one of its own", quote(&options.schema));
            return Err(StoreError::new(StoreErrorKind::Invalid, message));
        }
        let env = Env::system();
        let tasks = TaskTracker::new();
        let connect = Arc::new(Connect::new(options, tasks.clone())?);
        let conn = connect.open().await?;
        migrate::apply(&conn, &connect, &env).await?;
        let inner = Arc::new(Inner::new(connect, env.clone(), tasks));
        inner.pool.put(conn);
        inner.herald.mute();
        let bench = Self { inner, worker: env.worker_id(), retention: Retention::default() };
        let spec = WorkerSpec {
            id: bench.worker,
            name: "bench".to_owned(),
            lease: Duration::from_secs(86_400),
            kinds: vec![KIND.into()],
            queues: [("default".to_owned(), 1)].into(),
            version: String::new(),
        };
        let entered: Result<(), StoreError> =
            run!(&bench.inner, pool, Kind::Single, s => ops::enter(&mut s, &bench.inner.workers, &spec));
        entered.map(|()| bench)
    }

    /// How long its tasks are kept; seven days unless this says otherwise.
    #[must_use]
    pub fn retention(mut self, retention: Retention) -> Self {
        self.retention = retention;
        self
    }

    /// Enqueues `count` tasks, `batch` in a statement. Returns how long that took.
    ///
    /// # Errors
    /// If the server can't be written.
    pub async fn enqueue_bulk(&mut self, count: usize, batch: usize) -> Result<Duration, StoreError> {
        let since = Instant::now();
        let mut left = count;
        while left > 0 {
            let size = left.min(batch.max(1));
            let task = |n| {
                let over = Overrides { retention: Some(self.retention), ..Overrides::default() };
                let id = self.inner.env.task_id();
                NewTask::resolve(KIND, &Policy::default(), format!("{{\"n\":{n}}}"), over, id, &limits::Limits::default())
            };
            let tasks: Result<Vec<_>, _> = (left - size..left).map(task).collect();
            let tasks = tasks.map_err(|error| StoreError::new(StoreErrorKind::Invalid, error.to_string()))?;
            let tasks: Vec<_> = tasks.iter().collect();
            let enqueued: Result<_, StoreError> = run!(&self.inner, pool, Kind::Single, s => ops::enqueue(&mut s, &tasks));
            enqueued?;
            left -= size;
        }
        Ok(since.elapsed())
    }

    /// Claims and settles everything, `batch` in a statement each. Returns how many and how long that took.
    ///
    /// # Errors
    /// If the server can't be written.
    pub async fn drain(&mut self, batch: usize) -> Result<(usize, Duration), StoreError> {
        let since = Instant::now();
        let queue: Arc<str> = "default".into();
        let mut count = 0;
        loop {
            let wanted = vec![Wanted::new(queue.clone(), batch.max(1))];
            let claim = Claim { worker: self.worker, fence: self.inner.env.fence(), wanted, again: false };
            let claimed: Result<_, StoreError> =
                run!(&self.inner, pool, Kind::Single, s => ops::claim(&mut s, &self.inner.workers, &claim, false));
            let claimed = claimed?;
            if claimed.is_empty() {
                return Ok((count, since.elapsed()));
            }
            count += claimed.len();
            let settlements: Vec<_> = claimed
                .iter()
                .map(|claimed| Settlement {
                    result: Some(claimed.claim_no.to_string()),
                    ran_for: Duration::from_millis(1),
                    ..Settlement::new(claimed.lease, Ending::Succeeded)
                })
                .collect();
            let settled: Result<_, StoreError> = run!(&self.inner, pool, Kind::Single, s => ops::settle(&mut s, &settlements));
            settled?;
        }
    }

    /// Deletes the schema with all that is in it.
    ///
    /// # Errors
    /// If the server can't be written.
    pub async fn remove(self) -> Result<(), StoreError> {
        let held = self.inner.pool.get().await?;
        let drop = format!("DROP SCHEMA {} CASCADE", quote(&self.inner.connect.options.schema));
        held.conn()?.batch(&drop).await.map_err(|error| crate::error::explain(error, &self.inner.connect.what))
    }
}
