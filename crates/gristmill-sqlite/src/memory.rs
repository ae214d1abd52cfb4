use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gristmill_core::kit::served::{Served, Serves};
use gristmill_core::kit::watch::Watch;
use gristmill_core::{TaskId, Timestamp, WorkerId};
use rusqlite::{Connection, OptionalExtension};

use crate::names::Names;
use crate::sql;
use crate::text::Lossy;

/// Ends that others than sweeps brought about and no sweep of this process has told yet; a process without sweeps tells nobody.
const UNTOLD_MAX: usize = 10_000;
/// Floors hide rows that other processes put back below them; this is for how long.
const FLOORS_AGE_MAX: Duration = Duration::from_secs(1);

/// What the writer remembers of the file. All of it can be read again, and is forgotten after a rollback, which may have
/// taken back the rows it came from.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) names: Names,
    workers: HashMap<WorkerId, Arc<Server>>,
    worker_names: HashMap<i64, Option<Arc<str>>>,
    floors: HashMap<(i64, i64, i64), i64>,
    floors_since: Option<Instant>,
    served: Option<(Vec<String>, Arc<Served>)>,
    /// When the next scheduled task is due, as far as whoever sweeps has been told; `i64::MAX` if none is, `None` if nobody has
    /// looked.
    next_due: Option<i64>,
    untold: Vec<TaskId>,
    /// What sweeps have seen of the workers, which no rollback takes back.
    pub(crate) watch: Watch,
}

/// A worker, as far as claims ask.
pub(crate) struct Server {
    pub(crate) key: i64,
    text: String,
    kinds: HashSet<String>,
}

impl Server {
    pub(crate) fn serves(&self, kind: &str) -> bool {
        self.kinds.contains(kind)
    }
}

impl Memory {
    pub(crate) fn forget(&mut self) {
        *self = Self { watch: std::mem::take(&mut self.watch), ..Self::default() };
    }

    /// As [`forget`](Self::forget), for a part of a transaction: what claims before it found stays true.
    pub(crate) fn forget_file(&mut self) {
        let (untold, watch) = (std::mem::take(&mut self.untold), std::mem::take(&mut self.watch));
        *self = Self { untold, watch, ..Self::default() };
    }

    /// The worker, if it is alive.
    pub(crate) fn server(&mut self, conn: &Connection, id: WorkerId, now: Timestamp) -> rusqlite::Result<Option<Arc<Server>>> {
        let mut get = conn.prepare_cached(sql::WORKER_GET)?;
        let mut rows = get.query([id.as_bytes().as_slice()])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        if row.get::<_, i64>(3)? <= now.as_millis() || row.get(4)? {
            return Ok(None);
        }
        let (key, Lossy(text)) = (row.get::<_, i64>(0)?, row.get(2)?);
        if let Some(known) = self.workers.get(&id).filter(|known| known.key == key && known.text == text) {
            return Ok(Some(known.clone()));
        }
        let serves: Serves = serde_json::from_str(&text).unwrap_or_default();
        let server = Arc::new(Server { key, text, kinds: serves.kinds.into_iter().collect() });
        if self.workers.len() > 1_000 {
            self.workers.clear();
        }
        self.workers.insert(id, server.clone());
        Ok(Some(server))
    }

    pub(crate) fn worker_name(&mut self, conn: &Connection, key: i64) -> rusqlite::Result<Option<Arc<str>>> {
        if let Some(name) = self.worker_names.get(&key) {
            return Ok(name.clone());
        }
        let name = conn.prepare_cached(sql::WORKER_NAME)?.query_row([key], |row| row.get(0)).optional()?;
        let name = name.map(|Lossy(name)| Arc::from(name));
        if self.worker_names.len() > 1_000 {
            self.worker_names.clear();
        }
        self.worker_names.insert(key, name.clone());
        Ok(name)
    }

    pub(crate) fn forget_worker(&mut self, id: WorkerId, key: i64) {
        self.workers.remove(&id);
        self.worker_names.remove(&key);
    }

    /// Below these keys, by priority, are only tasks that this worker does not serve. `None` if none are known.
    pub(crate) fn floors(&mut self, worker: i64, queue: i64) -> Option<[i64; 10]> {
        if self.floors_since.is_some_and(|since| since.elapsed() > FLOORS_AGE_MAX) {
            self.forget_floors();
        }
        if self.floors.is_empty() {
            return None;
        }
        let floor = |priority: usize| self.floors.get(&(worker, queue, priority as i64)).copied().unwrap_or(i64::MIN);
        Some(std::array::from_fn(floor))
    }

    pub(crate) fn raise_floor(&mut self, worker: i64, queue: i64, priority: i64, seq: i64) {
        self.floors_since.get_or_insert_with(Instant::now);
        self.floors.insert((worker, queue, priority), seq);
    }

    /// What whoever sweeps is told: he looks again by then.
    pub(crate) fn told_next_due(&mut self, next: Option<i64>) {
        self.next_due = Some(next.unwrap_or(i64::MAX));
    }

    /// Whether it is news to whoever sweeps that a task is due then. He is told.
    pub(crate) fn is_due_sooner(&mut self, run_at: i64) -> bool {
        let sooner = self.next_due.is_none_or(|next| run_at < next);
        self.next_due = self.next_due.map(|next| next.min(run_at));
        sooner
    }

    /// A task ended for good by other means than a sweep; the next one tells it.
    pub(crate) fn note_ended(&mut self, id: TaskId) {
        if self.untold.len() < UNTOLD_MAX {
            self.untold.push(id);
        }
    }

    pub(crate) fn take_untold(&mut self) -> Vec<TaskId> {
        std::mem::take(&mut self.untold)
    }

    /// What live workers serve. Their rows are read; their texts are read again only when there are others.
    pub(crate) fn served(&mut self, conn: &Connection, now: Timestamp) -> rusqlite::Result<Arc<Served>> {
        let texts = serving(conn, now)?;
        if let Some((_, served)) = self.served.as_ref().filter(|(known, _)| *known == texts) {
            return Ok(served.clone());
        }
        let served = Arc::new(read(&texts));
        self.served = Some((texts, served.clone()));
        Ok(served)
    }

    /// To be called whenever a task comes back to a place that a floor may hide.
    pub(crate) fn forget_floors(&mut self) {
        self.floors.clear();
        self.floors_since = None;
    }
}

/// What live workers serve.
pub(crate) fn served(conn: &Connection, now: Timestamp) -> rusqlite::Result<Served> {
    Ok(read(&serving(conn, now)?))
}

fn serving(conn: &Connection, now: Timestamp) -> rusqlite::Result<Vec<String>> {
    let mut list = conn.prepare_cached(sql::WORKER_SERVES)?;
    let all = list.query_map([now.as_millis()], |row| row.get(0).map(|Lossy(serves)| serves))?;
    all.collect()
}

fn read(texts: &[String]) -> Served {
    Served(texts.iter().map(|text| serde_json::from_str::<Serves>(text).unwrap_or_default()).collect())
}
