use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use gristmill_core::kit::served::{Served, Serves};
use gristmill_core::kit::watch::Watch;
use gristmill_core::{TaskId, Timestamp, WorkerId};
use rusqlite::{Connection, OptionalExtension};
use serde::{Deserialize, Serialize};

use crate::names::{Interned, Kinds, Names};
use crate::ops::{Specs, Walked};
use crate::sql;
use crate::text::Lossy;

/// Ends that others than sweeps brought about and no sweep of this process has told yet; a process without sweeps tells nobody.
const UNTOLD_MAX: usize = 10_000;

/// What the writer remembers of the file. All of it can be read again, and is forgotten after a rollback, which may have
/// taken back the rows it came from.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) names: Names,
    workers: HashMap<WorkerId, Arc<Server>>,
    worker_names: HashMap<i64, Option<Arc<str>>>,
    living: Option<(Vec<String>, Arc<Living>)>,
    /// When the next scheduled task is due, as far as whoever sweeps has been told; `i64::MAX` if none is, `None` if nobody has
    /// looked.
    next_due: Option<i64>,
    untold: Vec<TaskId>,
    /// How far sweeps have walked through who holds and awaits slots.
    pub(crate) walked: Walked,
    /// How far the keys that one task has at once were looked through.
    pub(crate) unique_walked: (i64, String),
    pub(crate) specs: Specs,
    /// What sweeps have seen of the workers, which no rollback takes back.
    pub(crate) watch: Watch,
}

/// A worker, as far as claims ask.
pub(crate) struct Server {
    pub(crate) key: i64,
    text: String,
    epoch: i64,
    /// Without those that are paused.
    kinds: HashSet<String>,
}

impl Server {
    pub(crate) fn serves(&self, kind: &str) -> bool {
        self.kinds.contains(kind)
    }

    /// The numbers of the types that it serves, those of which a task has come so far.
    pub(crate) fn numbers(&self, names: &mut Interned<Kinds>, conn: &Connection) -> rusqlite::Result<BTreeSet<i64>> {
        self.kinds.iter().filter_map(|kind| names.find(conn, kind).transpose()).collect()
    }
}

/// The live workers, from the point of view of one of them.
pub(crate) struct Living {
    pub(crate) served: Served,
    /// Whether all of them look for their tasks in the lines by type. An older program's workers do not, and their sweeps bring back to
    /// their queue all that stands there and is served, whoever serves it.
    pub(crate) all_by_kind: bool,
}

/// What a worker's row says of what it serves.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Serving {
    #[serde(flatten)]
    pub(crate) serves: Serves,
    /// See [`Living::all_by_kind`].
    #[serde(default)]
    pub(crate) by_kind: bool,
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
        let (key, Lossy(text), epoch) = (row.get::<_, i64>(0)?, row.get(2)?, row.get(5)?);
        let is_it = |known: &&Arc<Server>| known.key == key && known.epoch == epoch && known.text == text;
        if let Some(known) = self.workers.get(&id).filter(is_it) {
            return Ok(Some(known.clone()));
        }
        let serves: Serves = serde_json::from_str(&text).unwrap_or_default();
        let mut kinds: HashSet<String> = serves.kinds.into_iter().collect();
        for paused in paused_kinds(conn)? {
            kinds.remove(&paused);
        }
        let server = Arc::new(Server { key, text, epoch, kinds });
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

    /// The live workers. Their rows are read; their texts are read again only when there are others.
    pub(crate) fn living(&mut self, conn: &Connection, now: Timestamp) -> rusqlite::Result<Arc<Living>> {
        let texts = serving(conn, now)?;
        if let Some((_, living)) = self.living.as_ref().filter(|(known, _)| *known == texts) {
            return Ok(living.clone());
        }
        let living = Arc::new(read(&texts));
        self.living = Some((texts, living.clone()));
        Ok(living)
    }
}

/// The task types that are paused, by name.
pub(crate) fn paused_kinds(conn: &Connection) -> rusqlite::Result<HashSet<String>> {
    let mut list = conn.prepare_cached(sql::KIND_PAUSED)?;
    let all = list.query_map([], |row| row.get(0).map(|Lossy(name)| name))?;
    all.collect()
}

/// What live workers serve.
pub(crate) fn served(conn: &Connection, now: Timestamp) -> rusqlite::Result<Served> {
    Ok(read(&serving(conn, now)?).served)
}

fn serving(conn: &Connection, now: Timestamp) -> rusqlite::Result<Vec<String>> {
    let mut list = conn.prepare_cached(sql::WORKER_SERVES)?;
    let all = list.query_map([now.as_millis()], |row| row.get(0).map(|Lossy(serves)| serves))?;
    all.collect()
}

fn read(texts: &[String]) -> Living {
    let all: Vec<Serving> = texts.iter().map(|text| serde_json::from_str(text).unwrap_or_default()).collect();
    Living {
        all_by_kind: all.iter().all(|serving| serving.by_kind),
        served: Served(all.into_iter().map(|serving| serving.serves).collect()),
    }
}
