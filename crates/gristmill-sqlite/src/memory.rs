use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gristmill_core::{TaskId, Timestamp, WorkerId};
use rusqlite::{Connection, OptionalExtension};
use serde::{Deserialize, Serialize};

use crate::sql;
use crate::text::Lossy;

/// Above this many names the cache starts anew, so that a queue for every tenant does not fill the memory.
const NAMES_MAX: usize = 100_000;
/// Expiries that claims found and no sweep of this process has told yet; a process without sweeps tells nobody.
const EXPIRED_MAX: usize = 10_000;
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
    expired: Vec<TaskId>,
}

/// A worker, as far as claims ask.
pub(crate) struct Server {
    pub(crate) key: i64,
    text: String,
    kinds: HashSet<String>,
}

/// What a worker serves, as it is kept.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Serves {
    pub(crate) kinds: Vec<String>,
    pub(crate) queues: BTreeMap<String, u32>,
}

impl Server {
    pub(crate) fn serves(&self, kind: &str) -> bool {
        self.kinds.contains(kind)
    }
}

impl Memory {
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    /// The worker, if it is alive.
    pub(crate) fn server(&mut self, conn: &Connection, id: WorkerId, now: Timestamp) -> rusqlite::Result<Option<Arc<Server>>> {
        let mut get = conn.prepare_cached(sql::WORKER_GET)?;
        let mut rows = get.query([id.as_bytes().as_slice()])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        if row.get::<_, i64>(3)? <= now.as_millis() {
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

    /// A claim found that this task is too late; the next sweep tells it.
    pub(crate) fn note_expired(&mut self, id: TaskId) {
        if self.expired.len() < EXPIRED_MAX {
            self.expired.push(id);
        }
    }

    pub(crate) fn take_expired(&mut self) -> Vec<TaskId> {
        std::mem::take(&mut self.expired)
    }

    /// To be called whenever a task comes back to a place that a floor may hide.
    pub(crate) fn forget_floors(&mut self) {
        self.floors.clear();
        self.floors_since = None;
    }
}

/// Which (queue, task type) pairs live workers serve.
#[derive(Debug, Default)]
pub(crate) struct Served(Vec<Serves>);

impl Served {
    pub(crate) fn load(conn: &Connection, now: Timestamp) -> rusqlite::Result<Self> {
        let mut list = conn.prepare_cached(sql::WORKER_SERVES)?;
        let all = list.query_map([now.as_millis()], |row| {
            let Lossy(serves) = row.get(0)?;
            Ok(serde_json::from_str::<Serves>(&serves).unwrap_or_default())
        })?;
        all.collect::<Result<_, _>>().map(Self)
    }

    pub(crate) fn covers(&self, queue: &str, kind: &str) -> bool {
        self.0.iter().any(|serves| serves.queues.contains_key(queue) && serves.kinds.iter().any(|known| known == kind))
    }

    pub(crate) fn workers_of(&self, kind: &str) -> u64 {
        self.0.iter().filter(|serves| serves.kinds.iter().any(|known| known == kind)).count() as u64
    }
}

/// Queues and task types as small integers.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) queues: Interned<Queues>,
    pub(crate) kinds: Interned<Kinds>,
}

/// One sort of name.
pub(crate) struct Interned<S> {
    ids: HashMap<Arc<str>, i64>,
    names: HashMap<i64, Arc<str>>,
    sort: std::marker::PhantomData<S>,
}

impl<S> Default for Interned<S> {
    fn default() -> Self {
        Self { ids: HashMap::new(), names: HashMap::new(), sort: std::marker::PhantomData }
    }
}

/// The statements of one sort of name.
pub(crate) trait Sort {
    const ADD: &'static str;
    const FIND: &'static str;
    const NAME: &'static str;
}

pub(crate) enum Queues {}
pub(crate) enum Kinds {}

impl Sort for Queues {
    const ADD: &'static str = sql::QUEUE_ADD;
    const FIND: &'static str = sql::QUEUE_FIND;
    const NAME: &'static str = sql::QUEUE_NAME;
}

impl Sort for Kinds {
    const ADD: &'static str = sql::KIND_ADD;
    const FIND: &'static str = sql::KIND_FIND;
    const NAME: &'static str = sql::KIND_NAME;
}

impl<S: Sort> Interned<S> {
    /// The number of `name`, if it has one.
    pub(crate) fn find(&mut self, conn: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
        if let Some(id) = self.ids.get(name) {
            return Ok(Some(*id));
        }
        let id = conn.prepare_cached(S::FIND)?.query_row([name], |row| row.get(0)).optional()?;
        if let Some(id) = id {
            self.keep(name.into(), id);
        }
        Ok(id)
    }

    /// The number of `name`, given now if it has none.
    pub(crate) fn intern(&mut self, conn: &Connection, name: &str) -> rusqlite::Result<i64> {
        if let Some(id) = self.find(conn, name)? {
            return Ok(id);
        }
        conn.prepare_cached(S::ADD)?.execute([name])?;
        let id = conn.prepare_cached(S::FIND)?.query_row([name], |row| row.get(0))?;
        self.keep(name.into(), id);
        Ok(id)
    }

    /// The name behind a number.
    pub(crate) fn name(&mut self, conn: &Connection, id: i64) -> rusqlite::Result<Option<Arc<str>>> {
        if let Some(name) = self.names.get(&id) {
            return Ok(Some(name.clone()));
        }
        let name = conn.prepare_cached(S::NAME)?.query_row([id], |row| row.get(0)).optional()?;
        let Some(Lossy(name)) = name else { return Ok(None) };
        let name: Arc<str> = name.into();
        // What is not UTF-8 reads like other names that are not; asked for by such a name, the file has to be asked.
        if name.contains(char::REPLACEMENT_CHARACTER) {
            return Ok(Some(name));
        }
        self.keep(name.clone(), id);
        Ok(Some(name))
    }

    fn keep(&mut self, name: Arc<str>, id: i64) {
        if self.ids.len() >= NAMES_MAX {
            self.ids.clear();
            self.names.clear();
        }
        self.ids.insert(name.clone(), id);
        self.names.insert(id, name);
    }
}
