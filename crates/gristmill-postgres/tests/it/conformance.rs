use std::sync::{Arc, Mutex};

use gristmill_conformance::{Subject, check_against_model, exercise};
use gristmill_core::{Env, Store, async_trait};
use gristmill_postgres::PostgresStore;

use crate::common::Schema;

/// Stores in schemas that go away with the test.
#[derive(Default)]
pub(crate) struct Schemas {
    made: Mutex<Vec<(String, Schema)>>,
    /// By way of the pooler.
    pooled: bool,
}

impl Schemas {
    pub(crate) fn pooled() -> Self {
        Self { pooled: true, ..Self::default() }
    }

    fn url(&self, schema: &Schema) -> String {
        if self.pooled { schema.pooled_url("&pgbouncer=true") } else { schema.url("") }
    }

    fn url_of(&self, store: &dyn Store) -> String {
        let made = self.made.lock().unwrap();
        self.url(&made.iter().find(|(location, _)| *location == store.location()).unwrap().1)
    }
}

#[async_trait]
impl Subject for Schemas {
    async fn fresh(&self, env: Env) -> Arc<dyn Store> {
        let schema = Schema::new();
        let store = PostgresStore::connect(&self.url(&schema), env).await.unwrap();
        // The one before is done with.
        self.made.lock().unwrap().clear();
        self.made.lock().unwrap().push((store.location(), schema));
        store
    }

    async fn reopen(&self, store: Arc<dyn Store>, env: Env) -> Arc<dyn Store> {
        let url = self.url_of(&*store);
        drop(store);
        PostgresStore::connect(&url, env).await.unwrap()
    }

    async fn another(&self, store: &Arc<dyn Store>, env: Env) -> Arc<dyn Store> {
        PostgresStore::connect(&self.url_of(&**store), env).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_does_what_every_store_does() {
    exercise(Schemas::default()).await;
}

#[test]
fn it_agrees_with_the_model() {
    check_against_model(64, Schemas::default());
}
