use std::sync::{Arc, Mutex};

use gristmill_conformance::{Subject, check_against_model, check_graphs, exercise, exercise_source, graphs_asked_for};
use gristmill_core::{Env, Store, async_trait};
use gristmill_sqlite::SqliteStore;

use crate::common::{FAILPOINTS, url};

/// Stores on files that go away with the test.
#[derive(Default)]
struct Files(Mutex<Vec<tempfile::TempDir>>);

#[async_trait]
impl Subject for Files {
    async fn fresh(&self, env: Env) -> Arc<dyn Store> {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::connect(&url(dir.path(), "synchronous=normal"), env).unwrap();
        self.0.lock().unwrap().push(dir);
        store
    }

    async fn reopen(&self, store: Arc<dyn Store>, env: Env) -> Arc<dyn Store> {
        let path = store.location();
        drop(store);
        SqliteStore::connect(&path, env).unwrap()
    }

    async fn another(&self, store: &Arc<dyn Store>, env: Env) -> Arc<dyn Store> {
        SqliteStore::connect(&store.location(), env).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_does_what_every_store_does() {
    let _quiet = FAILPOINTS.read().await;
    exercise(Files::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_does_what_every_source_does() {
    let _quiet = FAILPOINTS.read().await;
    exercise_source(Files::default()).await;
}

#[test]
fn it_agrees_with_the_model() {
    let _quiet = FAILPOINTS.blocking_read();
    check_against_model(64, Files::default());
}

#[test]
fn random_workflows_come_to_their_ends() {
    let _quiet = FAILPOINTS.blocking_read();
    check_graphs(graphs_asked_for(200), Files::default());
}
