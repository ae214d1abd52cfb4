use std::sync::Arc;
use std::time::Duration;

use gristmill_core::{
    Claim, Claimed, Ending, Env, NewTask, Overrides, Retention, Settlement, Source, State, Store, TaskId, Timestamp, VirtualTime,
    Wanted, WorkerId, WorkerSpec,
};
use gristmill_postgres::PostgresStore;
use tokio_postgres::{Client, NoTls};

use crate::common::{Schema, database, task};

pub(crate) const DAY: Duration = Duration::from_secs(86_400);
/// 2027-01-15 08:00.
pub(crate) const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// A store whose clock is moved by hand, and a worker on it.
pub(crate) struct House {
    pub(crate) schema: Schema,
    pub(crate) env: Env,
    pub(crate) time: VirtualTime,
    pub(crate) store: Arc<PostgresStore>,
    pub(crate) sql: Client,
    pub(crate) worker: WorkerId,
}

impl House {
    pub(crate) async fn new() -> Self {
        let schema = Schema::new();
        let (env, time) = Env::virtual_time(START, 7);
        let store = PostgresStore::connect(&schema.url(""), env.clone()).await.unwrap();
        let (sql, connection) = tokio_postgres::connect(&database(), NoTls).await.unwrap();
        tokio_util::task::TaskTracker::new().spawn(connection);
        sql.batch_execute(&format!("SET search_path = {}", schema.0)).await.unwrap();
        let mut house = Self { schema, worker: env.worker_id(), env, time, store, sql };
        house.hire().await;
        house
    }

    /// A worker that is alive now.
    pub(crate) async fn hire(&mut self) {
        self.worker = self.env.worker_id();
        let spec = WorkerSpec {
            id: self.worker,
            name: "w".to_owned(),
            lease: 400 * DAY,
            kinds: vec!["mail".into()],
            queues: [("default".to_owned(), 1)].into(),
            version: String::new(),
        };
        self.store.enter(&spec).await.unwrap();
    }

    pub(crate) fn task(&self, retention: Retention) -> NewTask {
        task(&self.env, "mail", Overrides { retention: Some(retention), ..Overrides::default() })
    }

    pub(crate) async fn enqueue(&self, tasks: Vec<NewTask>) -> Vec<TaskId> {
        let ids = tasks.iter().map(|task| task.id).collect();
        self.store.enqueue(tasks).await.unwrap();
        ids
    }

    pub(crate) async fn claim(&self) -> Vec<Claimed> {
        let wanted = vec![Wanted::new("default", 1_000)];
        let claim = Claim { worker: self.worker, fence: self.env.fence(), wanted, again: false };
        self.store.claim(&claim).await.unwrap()
    }

    /// Runs all that is ready.
    pub(crate) async fn run(&self, result: &str) {
        loop {
            let claimed = self.claim().await;
            if claimed.is_empty() {
                return;
            }
            let settle = |claimed: &Claimed| Settlement {
                result: Some(format!("\"{result}\"")),
                ..Settlement::new(claimed.lease, Ending::Succeeded)
            };
            self.store.settle(claimed.iter().map(settle).collect()).await.unwrap();
        }
    }

    /// A day of more than 16 MiB, all of it ended and kept for seven days.
    pub(crate) async fn large_day(&self) -> Vec<TaskId> {
        let week = (0..200).map(|_| self.task(Retention::default())).collect();
        let ids = self.enqueue(week).await;
        // Random letters, which can't be compressed away.
        let letters: String = (0..3_500).map(|_| self.env.fence().as_uuid().simple().to_string()).collect();
        self.run(&letters).await;
        ids
    }

    /// What idle workers do, until nothing is left to do.
    pub(crate) async fn keep_house(&self) {
        self.store.sweep(1_000).await.unwrap();
        while self.store.prune(1_000).await.unwrap() > 0 {}
    }

    pub(crate) async fn pass(&self, days: u32) {
        self.time.advance(days * DAY);
        self.keep_house().await;
    }

    pub(crate) async fn days(&self) -> Vec<String> {
        let text = "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
                    WHERE i.inhparent IN ('task'::regclass, 'outcome'::regclass) AND c.relname ~ '_\\d+$' ORDER BY 1";
        self.sql.query(text, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    pub(crate) async fn partition_of(&self, table: &str, id: TaskId) -> Option<String> {
        let text = format!("SELECT tableoid::regclass::text FROM {table} WHERE id = $1");
        self.sql.query(&text, &[&id.as_uuid()]).await.unwrap().first().map(|row| row.get(0))
    }

    pub(crate) async fn state(&self, id: TaskId) -> Option<State> {
        self.store.get(id).await.unwrap().map(|task| task.state)
    }

    pub(crate) async fn listed(&self) -> Vec<TaskId> {
        let page = self.store.list(&Default::default(), None, 1_000).await.unwrap();
        page.items.iter().map(|task| task.id).collect()
    }
}
