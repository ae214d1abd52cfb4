//! Behind a real PgBouncer in transaction mode: consecutive transactions of one connection are on different sessions.

use std::time::{Duration, Instant};

use gristmill_conformance::exercise;
use gristmill_core::{Claim, Env, Overrides, Source, Store, StoreErrorKind, Wake, Wanted, WorkerSpec};
use gristmill_postgres::PostgresStore;

use crate::common::{Schema, task};
use crate::conformance::Schemas;
use crate::wakes::news_travel;

/// Far beyond what any wake-up takes: a wait that runs into it was not woken.
const DEADLINE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn it_does_behind_a_pooler_what_every_store_does() {
    exercise(Schemas::pooled()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn news_travel_behind_a_pooler_too() {
    let schema = Schema::new();
    news_travel(&schema.pooled_url("&pgbouncer=true")).await;
}

/// Nobody hears behind it, but those who are not behind it do.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_behind_a_pooler_tells_others_of_due_times_cancellations_and_ends() {
    let (schema, env) = (Schema::new(), Env::system());
    let there = PostgresStore::connect(&schema.url(""), env.clone()).await.unwrap();
    let here = PostgresStore::connect(&schema.pooled_url("&pgbouncer=true"), env.clone()).await.unwrap();
    let spec = WorkerSpec {
        id: env.worker_id(),
        name: "w".to_owned(),
        lease: 10 * DEADLINE,
        kinds: vec!["mail".into()],
        queues: [("default".to_owned(), 1)].into(),
        version: String::new(),
    };
    there.enter(&spec).await.unwrap();
    let woken = async |wake| {
        let since = Instant::now();
        there.wait(wake, DEADLINE).await;
        assert!(since.elapsed() < DEADLINE, "{wake:?}: it was found by the timeout and not by a wake-up");
    };

    // Until it listens anything wakes it.
    while there.promote(1).await.unwrap().next_due.is_none() {
        let later = Overrides { delay: Some(Duration::from_secs(3_600)), ..Overrides::default() };
        let (_, enqueued) = tokio::join!(woken(Wake::Scheduled), here.enqueue(vec![task(&env, "mail", later)]));
        enqueued.unwrap();
    }

    let now = task(&env, "mail", Overrides::default());
    let id = now.id;
    here.enqueue(vec![now]).await.unwrap();
    let wanted = vec![Wanted::new("default", 1)];
    there.claim(&Claim { worker: spec.id, fence: env.fence(), wanted, again: false }).await.unwrap();
    let cancelled = async {
        while there.cancelled(spec.id).await.unwrap().is_empty() {
            woken(Wake::Cancelled).await;
        }
    };
    let ids = [id];
    let (_, asked) = tokio::join!(cancelled, here.cancel(&ids));
    asked.unwrap();

    let last = task(&env, "mail", Overrides::default());
    let id = last.id;
    here.enqueue(vec![last]).await.unwrap();
    let ended = async {
        while there.get(id).await.unwrap().is_some_and(|task| !task.state.is_final()) {
            woken(Wake::Ended(id)).await;
        }
    };
    let ids = [id];
    let (_, cancelled) = tokio::join!(ended, here.cancel(&ids));
    cancelled.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_the_url_does_not_speak_of_is_refused() {
    let (schema, env) = (Schema::new(), Env::system());
    // The schema is there, as its migration is not what this is about.
    PostgresStore::connect(&schema.url(""), env.clone()).await.unwrap();
    // Others use the same pooler, and what they do may hide it.
    for _ in 0..100 {
        if let Err(error) = PostgresStore::connect(&schema.pooled_url(""), env.clone()).await.map(drop) {
            assert!(error.to_string().contains("add ?pgbouncer=true to the URL"), "{error}");
            if error.kind() == StoreErrorKind::Invalid {
                return;
            }
        }
    }
    panic!("a pooler in transaction mode was not found out");
}
