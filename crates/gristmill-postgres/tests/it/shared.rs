//! A queue that several services share: one finds its tasks beside all that another one has to do.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gristmill_core::{Claim, Claimed, Env, Overrides, Source, Store, Wanted, WorkerId, WorkerSpec};
use gristmill_postgres::PostgresStore;
use tokio_postgres::Client;

use crate::common::{database, task};
use crate::indexes::Database;

/// What another service has to do. A look at all of it is dear enough to be told from one at nothing.
const BACKLOG: usize = 40_000;
const DEADLINE: Duration = Duration::from_secs(120);

/// A worker of the service that has little to do.
struct Mine {
    store: Arc<PostgresStore>,
    env: Env,
    worker: WorkerId,
}

impl Mine {
    async fn new(url: &str) -> Self {
        let env = Env::system();
        let store = PostgresStore::connect(url, env.clone()).await.unwrap();
        let worker = env.worker_id();
        let spec = WorkerSpec {
            id: worker,
            name: "w".to_owned(),
            lease: 10 * DEADLINE,
            kinds: vec!["mine".into(), "mine.too".into()],
            queues: [("default".to_owned(), 1)].into(),
            version: String::new(),
        };
        store.enter(&spec).await.unwrap();
        Self { store, env, worker }
    }

    async fn enqueue(&self, kind: &str, count: usize) {
        self.store.enqueue((0..count).map(|_| task(&self.env, kind, Overrides::default())).collect()).await.unwrap();
    }

    async fn claim(&self, limit: usize) -> Vec<Claimed> {
        let wanted = vec![Wanted::new("default", limit)];
        self.store.claim(&Claim { worker: self.worker, fence: self.env.fence(), wanted, again: false }).await.unwrap()
    }
}

async fn read(eye: &Client, index: &str) -> i64 {
    let text = "SELECT coalesce(sum(idx_tup_read), 0)::bigint FROM pg_stat_all_indexes WHERE indexrelname = $1";
    eye.query_one(text, &[&index]).await.unwrap().get(0)
}

/// The sessions of a store report what they read when they end.
async fn ended(eye: &Client, name: &str) {
    let until = Instant::now() + DEADLINE;
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1";
    while eye.query_one(sessions, &[&name]).await.unwrap().get::<_, i64>(0) > 0 {
        assert!(Instant::now() < until, "a store that was dropped keeps its connections");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_service_does_not_read_anothers_backlog_again_and_again() {
    let data = Database::new().await;
    let (url, eye) = (data.url(&database()), data.client().await);
    let name = Env::system().fence().as_uuid().simple().to_string();
    let mine = Mine::new(&format!("{url}?application_name=first{name}")).await;
    for _ in 0..BACKLOG / 1_000 {
        mine.enqueue("theirs", 1_000).await;
    }
    // A store has the index from when somebody misses it on.
    let valid = "SELECT count(*) FROM pg_index WHERE indexrelid = to_regclass('ready_by_kind') AND indisvalid";
    let until = Instant::now() + DEADLINE;
    while eye.query_one(valid, &[]).await.unwrap().get::<_, i64>(0) == 0 {
        assert!(Instant::now() < until, "nobody builds the index");
        assert_eq!(mine.claim(10).await.len(), 0);
    }
    drop(mine);
    ended(&eye, &format!("first{name}")).await;
    let before = read(&eye, "ready_pkey").await;
    let mine = Mine::new(&format!("{url}?application_name=second{name}")).await;
    for n in 0..200 {
        let kind = if n % 2 == 0 { "mine" } else { "mine.too" };
        mine.enqueue(kind, 1).await;
        let claimed = mine.claim(10).await;
        assert_eq!(claimed.iter().map(|task| &*task.kind).collect::<Vec<_>>(), [kind]);
        assert_eq!(mine.claim(10).await.len(), 0);
    }
    drop(mine);
    ended(&eye, &format!("second{name}")).await;
    let (in_line, by_kind) = (read(&eye, "ready_pkey").await - before, read(&eye, "ready_by_kind").await);
    // A few looks at all of it, until the worker knows; not one a claim.
    assert!(in_line < 5 * i64::try_from(BACKLOG).unwrap(), "400 claims read {in_line} entries of a queue of {BACKLOG}");
    assert!(by_kind >= 150, "only {by_kind} tasks were found by their type");
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_by_type_at_one_time_take_each_task_once_and_leave_none() {
    let data = Database::new().await;
    let url = data.url(&database());
    let (one, two) = (Mine::new(&url).await, Mine::new(&url).await);
    let index = "CREATE INDEX ready_by_kind ON ready(queue, kind, (priority::integer), seq)";
    data.client().await.batch_execute(index).await.unwrap();
    for mine in [&one, &two] {
        gristmill_postgres::raw::claim_by_kind(&mine.store);
    }
    for _ in 0..10 {
        one.enqueue("mine", 50).await;
        one.enqueue("mine.too", 50).await;
        one.enqueue("theirs", 50).await;
    }
    let all = async |mine: &Mine| {
        let mut ids = Vec::new();
        loop {
            let claimed = mine.claim(7).await;
            // With nothing left that is not being taken, the other one takes it.
            if claimed.is_empty() {
                return ids;
            }
            ids.extend(claimed.iter().map(|task| task.lease.id));
        }
    };
    let (first, second) = tokio::join!(all(&one), all(&two));
    let mut ids = [first, second].concat();
    ids.extend(all(&one).await);
    ids.sort_unstable();
    let count = ids.len();
    ids.dedup();
    assert_eq!((count, ids.len()), (1_000, 1_000));
}
