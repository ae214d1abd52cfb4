//! A newer version works on the same tables.

use std::sync::Arc;
use std::time::Duration;

use gristmill_core::{Claim, Env, Filter, Overrides, Source, Store, StoreErrorKind, Timestamp, Wake, Wanted, WorkerSpec};
use gristmill_postgres::PostgresStore;

use crate::common::{Schema, client, task};
use crate::day::{Day, Yardstick};

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_a_newer_version_added_are_no_hindrance() {
    let schema = Schema::new();
    let (env, _) = Env::virtual_time(Timestamp::from_millis(1_800_000_000_000), 1);
    let store: Arc<dyn Store> = PostgresStore::connect(&schema.url(""), env.clone()).await.unwrap();
    let yardstick = Yardstick::new(store.clone(), &env).await;
    let tables = ["task", "ready", "scheduled", "parked", "lease", "live", "outcome", "worker", "queue", "kind"];
    let columns = tables.map(|table| format!("ALTER TABLE {}.{table} ADD COLUMN weight integer NOT NULL DEFAULT 1;", schema.0));
    let sql = client().await;
    sql.batch_execute(&columns.concat()).await.unwrap();
    sql.batch_execute(&format!("INSERT INTO {}.addition VALUES (900, 'weights', 'x', 0)", schema.0)).await.unwrap();
    yardstick.measure(&Day::new(store, &env).live().await, "on tables with one more column").await;
    PostgresStore::connect(&schema.url(""), env.clone()).await.expect("one that is started anew goes on, too");
    sql.batch_execute(&format!("INSERT INTO {}.migration VALUES (900, 'shards', 'x', 0)", schema.0)).await.unwrap();
    let error = PostgresStore::connect(&schema.url(""), env).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::TooNew, "only those that run already go on: {error}");
    assert!(error.to_string().contains("migration 900 (shards)"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn words_that_no_version_wrote_are_read_all_the_same() {
    let (schema, env) = (Schema::new(), Env::system());
    let store = PostgresStore::connect(&schema.url(""), env.clone()).await.unwrap();
    let [new, other] = [(); 2].map(|()| task(&env, "work", Overrides::default()));
    store.enqueue(vec![new.clone(), other.clone()]).await.unwrap();
    store.cancel(&[new.id]).await.unwrap();
    let spec = WorkerSpec {
        id: env.worker_id(),
        name: "w".to_owned(),
        lease: Duration::from_secs(600),
        kinds: vec!["work".into()],
        queues: [("default".to_owned(), 1)].into(),
        version: String::new(),
    };
    store.enter(&spec).await.unwrap();
    let sql = client().await;
    sql.batch_execute(&format!(
        "SET search_path = {}; UPDATE outcome SET state = 99, ended = 9, error = '{{\"reason\":\"eclipse\",\"moon\":1}}';
         UPDATE task SET ack = 7, retention = -9, priority = 12, meta = '{{\"tags\":[\"a\"],\"moon\":\"full\"}}';
         UPDATE kind SET spec = '{{\"policy\":{{\"moon\":1}},\"moon\":2}}';
         UPDATE worker SET serves = '{{\"kinds\":[\"work\"],\"queues\":{{\"default\":1}},\"moons\":[1]}}'",
        schema.0
    ))
    .await
    .unwrap();
    let task = store.get(new.id).await.unwrap().unwrap();
    assert!(task.state.is_final(), "{task:?}");
    assert_eq!(store.list(&Filter::default(), None, 10).await.unwrap().items.len(), 2);
    assert_eq!(store.workers().await.unwrap()[0].kinds, ["work"]);
    assert_eq!(store.kinds().await.unwrap().len(), 1);
    store.sweep(10).await.unwrap();
    let wanted = vec![Wanted::new("default", 10)];
    let claim = Claim { worker: spec.id, fence: env.fence(), wanted, again: false };
    let claimed = store.claim(&claim).await.unwrap();
    assert_eq!(claimed.iter().map(|claimed| claimed.lease.id).collect::<Vec<_>>(), [other.id]);
    assert_eq!(claimed[0].meta.as_ref().unwrap().tags, ["a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_in_newer_words_makes_everybody_look() {
    let (schema, env) = (Schema::new(), Env::system());
    let store = PostgresStore::connect(&schema.url(""), env.clone()).await.unwrap();
    let deadline = Duration::from_secs(60);
    let new = task(&env, "work", Overrides::default());
    let id = new.id;
    store.enqueue(vec![new]).await.unwrap();
    let sql = client().await;
    let channel = schema.channel(&sql).await;
    let waited = tokio::spawn({
        let store = store.clone();
        async move { tokio::time::timeout(deadline, store.wait(Wake::Ended(id), deadline * 2)).await }
    });
    // Nothing but a notification wakes those who wait for an end.
    while !waited.is_finished() {
        for words in ["deadbeefz", "x", "deadbeefe123", "🦀🦀🦀"] {
            sql.batch_execute(&format!("NOTIFY {channel}, '{words}'")).await.unwrap();
        }
        tokio::task::yield_now().await;
    }
    assert!(waited.await.unwrap().is_ok(), "it was not woken");
}
