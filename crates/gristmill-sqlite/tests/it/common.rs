use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gristmill_core::{
    Claim, Claimed, Ending, Env, Limits, NewTask, Overrides, Policy, Settled, Settlement, Source, State, Store, Timestamp,
    VirtualTime, Wanted, WorkerId, WorkerSpec,
};
use gristmill_sqlite::SqliteStore;

/// Failpoints are the process's: the test that sets them writes, those that would run into them read.
pub(crate) static FAILPOINTS: tokio::sync::RwLock<()> = tokio::sync::RwLock::const_new(());

/// A store on a file of its own, with a clock that stands still.
pub(crate) struct Fixture {
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) env: Env,
    pub(crate) clock: VirtualTime,
    pub(crate) dir: tempfile::TempDir,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    /// With options after the `?` of the URL.
    pub(crate) fn with(options: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (env, clock) = Env::virtual_time(Timestamp::from_millis(1_800_000_000_000), 7);
        let store = SqliteStore::connect(&url(dir.path(), options), env.clone()).unwrap();
        Self { store, env, clock, dir }
    }

    /// Another handle on the same file.
    pub(crate) fn again(&self, options: &str) -> Arc<SqliteStore> {
        SqliteStore::connect(&url(self.dir.path(), options), self.env.clone()).unwrap()
    }

    /// A plain connection to the file.
    pub(crate) fn raw(&self) -> rusqlite::Connection {
        let conn = rusqlite::Connection::open(self.store.path()).unwrap();
        conn.busy_timeout(Duration::from_secs(5)).unwrap();
        conn
    }

    pub(crate) fn task(&self, kind: &str) -> NewTask {
        task(&self.env, kind, Overrides::default())
    }

    pub(crate) async fn worker(&self, kinds: &[&str]) -> WorkerId {
        enter(&self.store, &self.env, kinds).await
    }

    pub(crate) async fn claim(&self, worker: WorkerId, limit: usize) -> Vec<Claimed> {
        claim(&self.store, &self.env, worker, limit).await
    }

    pub(crate) async fn state(&self, task: &NewTask) -> Option<State> {
        self.store.get(task.id).await.unwrap().map(|record| record.state)
    }
}

pub(crate) fn url(dir: &Path, options: &str) -> String {
    format!("sqlite:{}?{options}", dir.join("gristmill.db").display())
}

pub(crate) fn task(env: &Env, kind: &str, over: Overrides) -> NewTask {
    NewTask::resolve(kind, &Policy::default(), r#"{"n":1}"#.to_owned(), over, env.task_id(), &Limits::default()).unwrap()
}

pub(crate) async fn enter(store: &SqliteStore, env: &Env, kinds: &[&str]) -> WorkerId {
    let id = env.worker_id();
    let spec = WorkerSpec {
        id,
        name: format!("worker of {}", kinds.join(",")),
        lease: Duration::from_secs(30),
        kinds: kinds.iter().map(|kind| (*kind).into()).collect(),
        queues: [("default".to_owned(), 8)].into(),
        version: "1".to_owned(),
    };
    store.enter(&spec).await.unwrap();
    id
}

pub(crate) async fn claim(store: &SqliteStore, env: &Env, worker: WorkerId, limit: usize) -> Vec<Claimed> {
    let wanted = vec![Wanted::new("default", limit)];
    store.claim(&Claim { worker, fence: env.fence(), wanted, again: false }).await.unwrap()
}

pub(crate) fn success(claimed: &Claimed) -> Settlement {
    Settlement { ran_for: Duration::from_millis(1), ..Settlement::new(claimed.lease, Ending::Succeeded) }
}

pub(crate) async fn succeed(store: &SqliteStore, claimed: &[Claimed]) {
    let settled = store.settle(claimed.iter().map(success).collect()).await.unwrap();
    assert!(settled.iter().all(|settled| *settled == Settled::Done(State::Succeeded)), "{settled:?}");
}
