//! Too few connections, and statements that nobody waits for any more.

use std::time::Duration;

use gristmill_core::concurrency::KeyLimits as _;
use gristmill_core::{Claim, Env, Overrides, Schedules, Source, Store, StoreErrorKind, Wake, Wanted, WorkerSpec};
use gristmill_postgres::PostgresStore;
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls};

use crate::cluster::Cluster;
use crate::common::{Schema, client, task};

/// However busy the machine is, nothing here takes as long.
const PATIENCE: Duration = Duration::from_secs(60);

fn worker(env: &Env) -> WorkerSpec {
    WorkerSpec {
        id: env.worker_id(),
        name: "test".to_owned(),
        lease: Duration::from_secs(600),
        kinds: vec!["mail".into()],
        queues: [("default".to_owned(), 1)].into(),
        version: String::new(),
    }
}

/// How many statements of gristmill's wait for a lock on a table of this schema.
async fn blocked(client: &Client, schema: &str) -> i64 {
    let sql = "SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation \
               JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND NOT l.granted";
    client.query_one(sql, &[&schema]).await.unwrap().get(0)
}

pub(crate) async fn until_blocked(client: &Client, schema: &str, count: i64) {
    let reached = async {
        while blocked(client, schema).await != count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_is_cancelled_when_its_caller_goes_away_or_the_store_is_closed() {
    let schema = Schema::new();
    // Longer than the test may take: nothing but the cancellation ends a statement in time.
    let store = PostgresStore::connect(&schema.url("&lock_timeout=1h&statement_timeout=1h"), Env::system()).await.unwrap();
    let (locker, watcher) = (client().await, client().await);
    locker.batch_execute(&format!("BEGIN; LOCK TABLE {}.queue", schema.0)).await.unwrap();

    let caller = tokio::spawn({
        let store = store.clone();
        async move { store.queues().await }
    });
    until_blocked(&watcher, &schema.0, 1).await;
    caller.abort();
    until_blocked(&watcher, &schema.0, 0).await;

    let caller = tokio::spawn({
        let store = store.clone();
        async move { store.queues().await }
    });
    until_blocked(&watcher, &schema.0, 1).await;
    store.close();
    assert_eq!(caller.await.unwrap().unwrap_err().kind(), StoreErrorKind::Closed);
    until_blocked(&watcher, &schema.0, 0).await;
    let error = store.queues().await.unwrap_err();
    assert!(error.kind() == StoreErrorKind::Closed && error.is_final(), "its workers and beats end: {error}");
    locker.batch_execute("ROLLBACK").await.unwrap();
}

/// A request to cancel has ended poolers, and with them everybody's connections.
#[tokio::test(flavor = "multi_thread")]
async fn behind_a_pooler_it_goes_on_to_its_end_when_its_caller_goes_away() {
    let schema = Schema::new();
    let store = PostgresStore::connect(&schema.pooled_url("&pgbouncer=true"), Env::system()).await.unwrap();
    let (locker, watcher) = (client().await, client().await);
    locker.batch_execute(&format!("BEGIN; LOCK TABLE {}.queue", schema.0)).await.unwrap();

    let caller = tokio::spawn({
        let store = store.clone();
        async move { store.queues().await }
    });
    until_blocked(&watcher, &schema.0, 1).await;
    caller.abort();
    caller.await.unwrap_err();
    // By then a request to cancel would have come by the same way.
    for _ in 0..10 {
        store.list_limits("", None, 1).await.unwrap();
    }
    assert_eq!(blocked(&watcher, &schema.0).await, 1);
    locker.batch_execute("ROLLBACK").await.unwrap();
    until_blocked(&watcher, &schema.0, 0).await;
    store.queues().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_is_enough_for_fifty_at_once() {
    let (schema, env) = (Schema::new(), Env::system());
    let store = PostgresStore::connect(&schema.url("&pool=1"), env.clone()).await.unwrap();
    let worker = worker(&env);
    store.enter(&worker).await.unwrap();
    let mut callers = JoinSet::new();
    for n in 0..50 {
        let (store, env, worker) = (store.clone(), env.clone(), worker.id);
        callers.spawn(async move {
            let new = task(&env, "mail", Overrides::default());
            store.enqueue(vec![new.clone()]).await.unwrap();
            match n % 5 {
                0 => drop(store.sweep(100).await.unwrap()),
                1 => {
                    let wanted = vec![Wanted::new("default", 1)];
                    store.claim(&Claim { worker, fence: env.fence(), wanted, again: false }).await.unwrap();
                }
                2 => drop(store.cancel(&[new.id]).await.unwrap()),
                3 => store.wait(Wake::Ended(new.id), Duration::from_millis(1)).await,
                _ => drop(store.get(new.id).await.unwrap()),
            }
            assert!(store.heartbeat(worker, Duration::from_secs(600)).await.unwrap().alive);
        });
    }
    tokio::time::timeout(PATIENCE, callers.join_all()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_has_a_connection_although_the_pool_has_none() {
    let (schema, env) = (Schema::new(), Env::system());
    let store = PostgresStore::connect(&schema.url("&pool=1&lock_timeout=1h&statement_timeout=1h"), env.clone()).await.unwrap();
    let worker = worker(&env);
    store.enter(&worker).await.unwrap();
    let (locker, watcher) = (client().await, client().await);
    locker.batch_execute(&format!("BEGIN; LOCK TABLE {}.queue", schema.0)).await.unwrap();
    let stuck = tokio::spawn({
        let store = store.clone();
        async move { store.pause("mail", true).await }
    });
    until_blocked(&watcher, &schema.0, 1).await;
    let beat = store.heartbeat(worker.id, worker.lease);
    assert!(tokio::time::timeout(PATIENCE, beat).await.unwrap().unwrap().alive);
    locker.batch_execute("ROLLBACK").await.unwrap();
    stuck.await.unwrap().unwrap();
}

/// The server processes that have claimed.
async fn claimers(client: &Client, schema: &str) -> Vec<i32> {
    let sql = "SELECT pid FROM pg_stat_activity WHERE strpos(query, $1) > 0 AND strpos(query, 'alive AS') > 0";
    client.query(sql, &[&format!("{schema}\".worker")]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_look_and_go_away_leave_claims_their_connections() {
    let (schema, env) = (Schema::new(), Env::system());
    let store = PostgresStore::connect(&schema.url("&pool=1&lock_timeout=1h&statement_timeout=1h"), env.clone()).await.unwrap();
    let worker = worker(&env);
    store.enter(&worker).await.unwrap();
    let claim = async || {
        let new = task(&env, "mail", Overrides::default());
        store.enqueue(vec![new.clone()]).await.unwrap();
        let wanted = vec![Wanted::new("default", 1)];
        let claim = Claim { worker: worker.id, fence: env.fence(), wanted, again: false };
        let claimed = tokio::time::timeout(PATIENCE, store.claim(&claim)).await.unwrap().unwrap();
        assert_eq!(claimed[0].lease.id, new.id);
    };
    claim().await;
    let (locker, watcher) = (client().await, client().await);
    let before = claimers(&watcher, &schema.0).await;
    assert_eq!(before.len(), 1);
    locker.batch_execute(&format!("BEGIN; LOCK TABLE {}.schedule", schema.0)).await.unwrap();
    let mut readers = JoinSet::new();
    for _ in 0..20 {
        let store = store.clone();
        readers.spawn(async move { store.schedules(None, None, 10).await });
    }
    until_blocked(&watcher, &schema.0, 2).await;
    claim().await;
    readers.shutdown().await;
    until_blocked(&watcher, &schema.0, 0).await;
    claim().await;
    assert_eq!(store.task_states(&[env.task_id()]).await.unwrap(), [None], "as those do who await an end");
    assert_eq!(claimers(&watcher, &schema.0).await, before, "none had to be opened anew");
    locker.batch_execute("ROLLBACK").await.unwrap();
    assert!(store.schedules(None, None, 10).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_room_is_shared_as_far_as_it_goes_and_refuses_in_words() {
    // As a role that is no superuser, for whom the server keeps three connections.
    let server = Cluster::start(&["max_connections=8", "superuser_reserved_connections=3"]);
    server.sql("CREATE ROLE app LOGIN PASSWORD 'app'; GRANT CREATE ON DATABASE gristmill TO app");
    let url = server.url();
    let (_, host) = url.split_once('@').unwrap();
    let url = format!("postgres://app:app@{host}");
    let env = Env::system();
    let store = PostgresStore::connect(&format!("{url}?pool=4"), env.clone()).await.unwrap();
    let worker = worker(&env);
    // With it comes the connection that is kept for heartbeats; others take what is left.
    store.enter(&worker).await.unwrap();
    let mut others = JoinSet::new();
    while let Ok((client, connection)) = tokio_postgres::connect(&url, NoTls).await {
        others.spawn(async move {
            let _client = client;
            connection.await
        });
    }

    let error = PostgresStore::connect(&url, env.clone()).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Busy);
    assert!(error.to_string().contains("max_connections"), "{error}");

    // The pool can't grow; what it has serves all.
    let mut callers = JoinSet::new();
    for _ in 0..20 {
        let (store, new) = (store.clone(), task(&env, "mail", Overrides::default()));
        callers.spawn(async move {
            store.enqueue(vec![new.clone()]).await.unwrap();
            store.get(new.id).await.unwrap().unwrap();
        });
    }
    tokio::time::timeout(PATIENCE, callers.join_all()).await.unwrap();

    // The reserved connection breaks, and somebody else is faster.
    assert!(store.heartbeat(worker.id, worker.lease).await.unwrap().alive);
    server.sql("ALTER ROLE app CONNECTION LIMIT 4");
    let ended = server
        .sql("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE query LIKE '%WITH beat%' AND usename = 'app'");
    assert_eq!(ended, "t");
    let beat = store.heartbeat(worker.id, worker.lease);
    assert!(tokio::time::timeout(PATIENCE, beat).await.unwrap().unwrap().alive);
    others.abort_all();
}
