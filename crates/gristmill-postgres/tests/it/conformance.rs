use std::sync::Arc;

use gristmill_conformance::{Subject, check_against_model, exercise, exercise_source};
use gristmill_core::{Env, Store, async_trait};
use gristmill_postgres::PostgresStore;

use crate::common::{Schema, client};

/// One store after the other in a schema that is emptied in between, as making one takes longer than most checks.
pub(crate) struct Schemas {
    schema: Schema,
    /// By way of the pooler.
    pooled: bool,
}

impl Schemas {
    pub(crate) fn direct() -> Self {
        Self { schema: Schema::new(), pooled: false }
    }

    pub(crate) fn pooled() -> Self {
        Self { schema: Schema::new(), pooled: true }
    }

    fn url(&self) -> String {
        if self.pooled { self.schema.pooled_url("&pgbouncer=true") } else { self.schema.url("") }
    }

    async fn empty(&self) {
        let client = client().await;
        let tables = "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                      WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname NOT IN ('migration', 'addition')";
        for row in client.query(tables, &[&self.schema.0]).await.unwrap() {
            let table: &str = row.get(0);
            client.batch_execute(&format!("DELETE FROM {}.{table}", self.schema.0)).await.unwrap();
        }
    }
}

#[async_trait]
impl Subject for Schemas {
    async fn fresh(&self, env: Env) -> Arc<dyn Store> {
        self.empty().await;
        PostgresStore::connect(&self.url(), env).await.unwrap()
    }

    async fn reopen(&self, store: Arc<dyn Store>, env: Env) -> Arc<dyn Store> {
        drop(store);
        PostgresStore::connect(&self.url(), env).await.unwrap()
    }

    async fn another(&self, _store: &Arc<dyn Store>, env: Env) -> Arc<dyn Store> {
        PostgresStore::connect(&self.url(), env).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_does_what_every_store_does() {
    exercise(Schemas::direct()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_does_what_every_source_does() {
    exercise_source(Schemas::direct()).await;
}

#[test]
fn it_agrees_with_the_model() {
    check_against_model(64, Schemas::direct());
}
