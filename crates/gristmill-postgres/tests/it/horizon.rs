//! An old snapshot keeps every dead row: a claim must not pass over all that was claimed before it.

use std::time::{Duration, Instant};

use gristmill_core::{Claim, Ending, Env, Overrides, Settled, Settlement, Source, State, Store, Wanted, WorkerSpec};
use gristmill_postgres::PostgresStore;
use tokio_postgres::Client;

use crate::common::{Schema, client, task};

/// Several thousand are enough to tell apart a cost that grows and one that does not.
const TASKS: usize = 4_000;
/// As a worker with short appetite takes them.
const BATCH: usize = 20;
const DEADLINE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_costs_the_same_while_a_transaction_holds_the_horizon() {
    let (schema, env) = (Schema::new(), Env::system());
    let url = schema.url(&format!("&application_name={}", schema.0));
    let store = PostgresStore::connect(&url, env.clone()).await.unwrap();
    let (old, eye) = (client().await, client().await);
    let look = format!("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM {}.task", schema.0);
    old.batch_execute(&look).await.unwrap();
    let worker = env.worker_id();
    let spec = WorkerSpec {
        id: worker,
        name: "w".to_owned(),
        lease: DEADLINE,
        kinds: vec!["work".into()],
        queues: [("default".to_owned(), 1)].into(),
        version: String::new(),
    };
    store.enter(&spec).await.unwrap();
    for _ in 0..TASKS / 1_000 {
        store.enqueue((0..1_000).map(|_| task(&env, "work", Overrides::default())).collect()).await.unwrap();
    }
    let since = Instant::now();
    let mut done = 0;
    loop {
        let wanted = vec![Wanted::new("default", BATCH)];
        let claimed = store.claim(&Claim { worker, fence: env.fence(), wanted, again: false }).await.unwrap();
        if claimed.is_empty() {
            break;
        }
        let batch = claimed.iter().map(|claimed| Settlement::new(claimed.lease, Ending::Succeeded)).collect();
        let settled = store.settle(batch).await.unwrap();
        done += settled.iter().filter(|settled| **settled == Settled::Done(State::Succeeded)).count();
    }
    assert_eq!(done, TASKS, "each was done once");
    let seconds = usize::try_from(since.elapsed().as_secs()).unwrap();
    // Its sessions report what they read when they end.
    drop(store);
    let read = entries_read(&eye, &schema, "ready_pkey").await;
    old.batch_execute("ROLLBACK").await.unwrap();
    // Each task once, and a look at the whole queue at the beginning, at the end, and once a second. Without the floor it
    // is half of all tasks for each batch, which is a hundred times as much.
    let most = TASKS * (4 + seconds);
    assert!(read >= TASKS && read <= most, "claims read {read} entries of the index for {TASKS} tasks in {seconds} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promotion_costs_the_same_while_a_transaction_holds_the_horizon() {
    let (schema, env) = (Schema::new(), Env::system());
    let url = schema.url(&format!("&application_name={}", schema.0));
    let store = PostgresStore::connect(&url, env.clone()).await.unwrap();
    let (old, eye) = (client().await, client().await);
    let look = format!("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM {}.task", schema.0);
    old.batch_execute(&look).await.unwrap();
    let soon = |n: u64| Overrides { delay: Some(Duration::from_millis(1 + n / 4)), ..Overrides::default() };
    for _ in 0..TASKS / 1_000 {
        store.enqueue((0..1_000).map(|n| task(&env, "work", soon(n))).collect()).await.unwrap();
    }
    let since = Instant::now();
    let mut promoted = 0;
    while promoted < TASKS {
        assert!(since.elapsed() < DEADLINE, "only {promoted} of {TASKS} were promoted");
        promoted += store.sweep(BATCH).await.unwrap().promoted;
    }
    let seconds = usize::try_from(since.elapsed().as_secs()).unwrap();
    drop(store);
    let read = entries_read(&eye, &schema, "scheduled_due").await;
    old.batch_execute("ROLLBACK").await.unwrap();
    // All of them at the beginning and once a second, by the promotion and by the look for the next one. Without the floor it is half of
    // all for each batch, twice.
    let most = TASKS * (4 + 4 * seconds);
    assert!(read >= TASKS && read <= most, "promotions read {read} entries of the index for {TASKS} tasks in {seconds} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn looks_at_the_head_of_a_queue_cost_the_same_while_a_transaction_holds_the_horizon() {
    let (schema, env) = (Schema::new(), Env::system());
    let url = schema.url(&format!("&application_name={}", schema.0));
    let claimer = PostgresStore::connect(&schema.url(""), env.clone()).await.unwrap();
    let store = PostgresStore::connect(&url, env.clone()).await.unwrap();
    let (old, eye) = (client().await, client().await);
    let look = format!("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM {}.task", schema.0);
    old.batch_execute(&look).await.unwrap();
    let worker = env.worker_id();
    let spec = WorkerSpec {
        id: worker,
        name: "w".to_owned(),
        lease: DEADLINE,
        kinds: vec!["work".into()],
        queues: [("default".to_owned(), 1)].into(),
        version: String::new(),
    };
    claimer.enter(&spec).await.unwrap();
    for _ in 0..TASKS / 1_000 {
        claimer.enqueue((0..1_000).map(|_| task(&env, "work", Overrides::default())).collect()).await.unwrap();
    }
    let claim = async |limit| {
        let wanted = vec![Wanted::new("default", limit)];
        claimer.claim(&Claim { worker, fence: env.fence(), wanted, again: false }).await.unwrap().len()
    };
    assert_eq!(claim(TASKS - 1).await, TASKS - 1);
    let since = Instant::now();
    for _ in 0..100 {
        store.sweep(BATCH).await.unwrap();
    }
    assert_eq!(claim(1).await, 1);
    for _ in 0..100 {
        store.sweep(BATCH).await.unwrap();
    }
    let seconds = usize::try_from(since.elapsed().as_secs()).unwrap();
    // What nobody serves is seen at once all the same.
    claimer.enqueue(vec![task(&env, "strange", Overrides::default())]).await.unwrap();
    store.sweep(BATCH).await.unwrap();
    let parked = eye.query_one(&format!("SELECT count(*) FROM {}.parked", schema.0), &[]).await.unwrap();
    assert_eq!(parked.get::<_, i64>(0), 1);
    drop(store);
    drop(claimer);
    let read = entries_read(&eye, &schema, "ready_pkey").await;
    old.batch_execute("ROLLBACK").await.unwrap();
    // All of it by each claim, and by a look once a second; without a floor, by each look.
    let most = TASKS * (8 + 2 * seconds);
    assert!(read <= most, "looks read {read} entries of the index for {TASKS} tasks in {seconds} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_is_read_once_for_a_worker_that_died_and_not_by_every_sweep() {
    let (schema, env) = (Schema::new(), Env::system());
    let store = PostgresStore::connect(&schema.url(""), env.clone()).await.unwrap();
    let url = schema.url(&format!("&application_name={}", schema.0));
    let sweeper = PostgresStore::connect(&url, env.clone()).await.unwrap();
    let eye = client().await;
    let mut workers = Vec::new();
    for _ in 0..2 {
        let worker = env.worker_id();
        let spec = WorkerSpec {
            id: worker,
            name: "w".to_owned(),
            lease: DEADLINE,
            kinds: vec!["work".into()],
            queues: [("default".to_owned(), 1)].into(),
            version: String::new(),
        };
        store.enter(&spec).await.unwrap();
        store.enqueue((0..500).map(|_| task(&env, "work", Overrides::default())).collect()).await.unwrap();
        let wanted = vec![Wanted::new("default", 500)];
        let claim = Claim { worker, fence: env.fence(), wanted, again: false };
        assert_eq!(store.claim(&claim).await.unwrap().len(), 500);
        workers.push(worker);
    }
    let since = Instant::now();
    for _ in 0..50 {
        assert_eq!(sweeper.sweep(1_000).await.unwrap().rescued, 0);
    }
    let lose = format!("UPDATE {}.worker SET lost = true WHERE id = $1", schema.0);
    eye.execute(&lose, &[&workers[0].as_uuid()]).await.unwrap();
    // In parts, and then nothing more.
    for rescued in [200, 200, 100] {
        assert_eq!(sweeper.sweep(200).await.unwrap().rescued, rescued);
    }
    for _ in 0..50 {
        assert_eq!(sweeper.sweep(1_000).await.unwrap().rescued, 0);
    }
    let minutes = usize::try_from(since.elapsed().as_secs() / 60).unwrap();
    drop(sweeper);
    entries_read(&eye, &schema, "lease_pkey").await;
    let read =
        "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_all_tables WHERE schemaname = $1 AND relname = 'lease'";
    let read: i64 = eye.query_one(read, &[&schema.0]).await.unwrap().get(0);
    let looks = 20 + 2 * minutes;
    assert!(usize::try_from(read).unwrap() <= 1_000 * looks, "{read} rows of lease were read for 1000 that run");
}

async fn entries_read(eye: &Client, schema: &Schema, index: &str) -> usize {
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1";
    let until = Instant::now() + DEADLINE;
    while eye.query_one(sessions, &[&schema.0]).await.unwrap().get::<_, i64>(0) > 0 {
        assert!(Instant::now() < until, "a store that was dropped keeps its connections");
        tokio::task::yield_now().await;
    }
    let read = "SELECT idx_tup_read FROM pg_stat_all_indexes WHERE schemaname = $1 AND indexrelname = $2";
    let read: i64 = eye.query_one(read, &[&schema.0, &index]).await.unwrap().get(0);
    usize::try_from(read).unwrap()
}
