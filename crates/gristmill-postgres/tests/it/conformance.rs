use std::sync::Arc;

use gristmill_conformance::{Subject, check_against_model, check_graphs, exercise, exercise_source, graphs_asked_for};
use gristmill_core::{Env, Store, async_trait};
use gristmill_postgres::PostgresStore;

use crate::common::{Schema, client};

/// One store after the other in a schema that is emptied in between, as making one takes longer than most checks.
pub(crate) struct Schemas {
    schema: Schema,
    /// By way of the pooler.
    pooled: bool,
    /// Tasks are claimed type by type.
    by_kind: bool,
    /// More days are kept than a statement opens.
    many_days: bool,
}

impl Schemas {
    pub(crate) fn direct() -> Self {
        Self { schema: Schema::new(), pooled: false, by_kind: false, many_days: false }
    }

    pub(crate) fn pooled() -> Self {
        Self { pooled: true, ..Self::direct() }
    }

    fn by_kind() -> Self {
        Self { by_kind: true, ..Self::direct() }
    }

    pub(crate) fn many_days() -> Self {
        Self { many_days: true, ..Self::direct() }
    }

    async fn connect(&self, env: Env) -> Arc<dyn Store> {
        let mut store = PostgresStore::connect(&self.url(), env.clone()).await.unwrap();
        if self.many_days {
            // Of 1970, so that they are nobody's; they go when somebody keeps house. A store counts them when it is opened.
            let days = format!("SELECT {}.make_day(day) FROM generate_series(0, 11) AS d(day)", self.schema.0);
            client().await.query(&days, &[]).await.unwrap();
            store = PostgresStore::connect(&self.url(), env).await.unwrap();
        }
        if self.by_kind {
            gristmill_postgres::raw::claim_by_kind(&store);
            let index = format!(
                "CREATE INDEX IF NOT EXISTS ready_by_kind ON {}.ready(queue, kind, (priority::integer), seq)",
                self.schema.0
            );
            client().await.batch_execute(&index).await.unwrap();
        }
        store
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
        self.connect(env).await
    }

    async fn reopen(&self, store: Arc<dyn Store>, env: Env) -> Arc<dyn Store> {
        drop(store);
        self.connect(env).await
    }

    async fn another(&self, _store: &Arc<dyn Store>, env: Env) -> Arc<dyn Store> {
        self.connect(env).await
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

#[test]
fn random_workflows_come_to_their_ends() {
    check_graphs(graphs_asked_for(100), Schemas::direct());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_does_the_same_in_queues_that_others_crowd() {
    exercise(Schemas::by_kind()).await;
    exercise_source(Schemas::by_kind()).await;
}

#[test]
fn it_agrees_with_the_model_in_queues_that_others_crowd() {
    check_against_model(32, Schemas::by_kind());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_does_the_same_where_many_days_are_kept() {
    exercise(Schemas::many_days()).await;
    exercise_source(Schemas::many_days()).await;
}
