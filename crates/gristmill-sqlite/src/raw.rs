//! The bare statements on one plain connection, without threads and engine: what the file itself can do.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gristmill_core::{
    Claim, Effects, Ending, Env, NewTask, Overrides, Policy, Settlement, StoreError, StoreErrorKind, Wanted, WorkerId,
    WorkerSpec, limits,
};
use rusqlite::Connection;

use crate::error::{Fault, explain};
use crate::memory::Memory;
use crate::options::SqliteOptions;
use crate::tx::{Tx, operate};
use crate::{migrate, open, ops};

const KIND: &str = "gristmill.bench";

/// A file of its own to measure on.
pub struct RawBench {
    conn: Connection,
    memory: Memory,
    env: Env,
    worker: WorkerId,
    what: String,
}

impl RawBench {
    /// Makes the file that `url` names.
    ///
    /// # Errors
    /// If it exists already, or can't be made.
    pub fn create(url: &str) -> Result<Self, StoreError> {
        let options: SqliteOptions = url.parse()?;
        let what = options.location();
        if Path::new(&options.path).exists() {
            return Err(StoreError::new(
                StoreErrorKind::Invalid,
                format!("{what}: the file exists; a raw benchmark wants one of its own"),
            ));
        }
        let env = Env::system();
        let mut conn = open::writer(&options)?;
        migrate::apply(&mut conn, &options, env.now())?;
        let mut bench = Self { conn, memory: Memory::default(), worker: env.worker_id(), env, what };
        let spec = WorkerSpec {
            id: bench.worker,
            name: "bench".to_owned(),
            lease: Duration::from_secs(86_400),
            kinds: vec![KIND.into()],
            queues: [("default".to_owned(), 1)].into(),
            version: String::new(),
        };
        bench.transact(|tx| ops::enter(tx, &spec))?;
        Ok(bench)
    }

    /// Enqueues `count` tasks, `batch` in a transaction. Returns how long that took.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn enqueue_bulk(&mut self, count: usize, batch: usize) -> Result<Duration, StoreError> {
        let since = Instant::now();
        let mut left = count;
        while left > 0 {
            let size = left.min(batch.max(1));
            let task = |n| {
                let (over, id) = (Overrides::default(), self.env.task_id());
                NewTask::resolve(KIND, &Policy::default(), format!("{{\"n\":{n}}}"), over, id, &limits::Limits::default())
            };
            let tasks: Result<Vec<_>, _> = (left - size..left).map(task).collect();
            let tasks = tasks.map_err(|error| StoreError::new(StoreErrorKind::Invalid, error.to_string()))?;
            self.transact(|tx| ops::enqueue(tx, &tasks))?;
            left -= size;
        }
        Ok(since.elapsed())
    }

    /// Claims and settles everything, `batch` in a transaction each. Returns how many and how long that took.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn drain(&mut self, batch: usize) -> Result<(usize, Duration), StoreError> {
        let since = Instant::now();
        let queue: Arc<str> = "default".into();
        let mut count = 0;
        loop {
            let wanted = vec![Wanted::new(queue.clone(), batch.max(1))];
            let claim = Claim { worker: self.worker, fence: self.env.fence(), wanted, again: false };
            let claimed = self.transact(|tx| ops::claim(tx, &claim))?;
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
            self.transact(|tx| settlements.iter().try_for_each(|settlement| ops::settle(tx, settlement).map(drop)))?;
        }
    }

    fn transact<T>(&mut self, run: impl FnOnce(&mut Tx<'_>) -> Result<T, Fault>) -> Result<T, StoreError> {
        let Self { conn, memory, env, what, .. } = self;
        let tx = conn.unchecked_transaction().map_err(|error| explain(error, what))?;
        let done = operate(conn, env.now(), env.monotonic(), memory, &mut Effects::default(), run);
        let done = done.map_err(|fault| fault.explain(what))?;
        tx.commit().map_err(|error| explain(error, what))?;
        Ok(done)
    }
}
