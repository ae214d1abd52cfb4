//! Behind a real PgBouncer in transaction mode: consecutive transactions of one connection are on different sessions.

use gristmill_conformance::exercise;
use gristmill_core::{Env, StoreErrorKind};
use gristmill_postgres::PostgresStore;

use crate::common::Schema;
use crate::conformance::Schemas;
use crate::wakes::news_travel;

#[tokio::test(flavor = "multi_thread")]
async fn it_does_behind_a_pooler_what_every_store_does() {
    exercise(Schemas::pooled()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn news_travel_behind_a_pooler_too() {
    let schema = Schema::new();
    news_travel(&schema.pooled_url("&pgbouncer=true")).await;
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
