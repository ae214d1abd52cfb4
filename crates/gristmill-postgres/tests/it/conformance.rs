use std::sync::{Arc, Mutex};

use gristmill_conformance::{Subject, check_against_model, exercise};
use gristmill_core::{Env, Store, async_trait};
use gristmill_postgres::PostgresStore;

use crate::common::Schema;

/// Stores in schemas that go away with the test.
#[derive(Default)]
struct Schemas(Mutex<Vec<(String, Schema)>>, &'static str);

#[async_trait]
impl Subject for Schemas {
    async fn fresh(&self, env: Env) -> Arc<dyn Store> {
        let schema = Schema::new();
        let store = PostgresStore::connect(&schema.url(self.1), env).await.unwrap();
        // The one before is done with.
        self.0.lock().unwrap().clear();
        self.0.lock().unwrap().push((store.location(), schema));
        store
    }

    async fn reopen(&self, store: Arc<dyn Store>, env: Env) -> Arc<dyn Store> {
        let url = self.0.lock().unwrap().iter().find(|(location, _)| *location == store.location()).unwrap().1.url(self.1);
        drop(store);
        PostgresStore::connect(&url, env).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_does_what_every_store_does() {
    exercise(Schemas::default()).await;
}

/// As behind a pooler: no prepared statements, no settings of the session.
#[tokio::test(flavor = "multi_thread")]
async fn it_does_the_same_with_nothing_that_a_session_keeps() {
    exercise(Schemas(Mutex::default(), "&pgbouncer=true")).await;
}

#[test]
fn it_agrees_with_the_model() {
    check_against_model(64, Schemas::default());
}
