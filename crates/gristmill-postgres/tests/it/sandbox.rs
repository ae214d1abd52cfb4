use gristmill_core::{EnqueueOutcome, Env, Overrides, Store};
use gristmill_postgres::{PostgresStore, Sandbox};

use crate::common::{client, database, task};

/// How many schemas there are of these names.
async fn count(names: &[String]) -> i64 {
    let sql = "SELECT count(*) FROM pg_namespace WHERE nspname::text = ANY($1)";
    client().await.query_one(sql, &[&names]).await.unwrap().get(0)
}

fn names(sandbox: &Sandbox) -> [String; 2] {
    [sandbox.schema().to_owned(), format!("{}_app", sandbox.schema())]
}

#[tokio::test]
async fn it_goes_away_with_the_test_and_takes_all_along() {
    let sandbox = Sandbox::new(&database()).await.unwrap();
    let names = names(&sandbox);
    let env = Env::system();
    let store = PostgresStore::connect(sandbox.store_url(), env.clone()).await.unwrap();
    assert_eq!(store.enqueue(vec![task(&env, "mail", Overrides::default())]).await.unwrap(), [EnqueueOutcome::Created]);
    let (driver, connection) = tokio_postgres::connect(sandbox.database_url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    driver.batch_execute("CREATE TABLE customer (name text); INSERT INTO customer VALUES ('ann')").await.unwrap();
    let table = format!("SELECT count(*) FROM {}.customer", names[1]);
    assert_eq!(client().await.query_one(&table, &[]).await.unwrap().get::<_, i64>(0), 1, "names without a schema are in it");
    assert_eq!(count(&names).await, 2);
    drop(sandbox);
    assert_eq!(count(&names).await, 0);
}

#[tokio::test]
async fn it_goes_away_with_a_test_that_panics() {
    let (told, asked) = tokio::sync::oneshot::channel();
    let test = tokio::spawn(async move {
        let sandbox = Sandbox::new(&database()).await.unwrap();
        told.send(names(&sandbox)).unwrap();
        assert!(sandbox.schema().is_empty(), "as a test that fails");
    });
    let names = asked.await.unwrap();
    assert!(test.await.unwrap_err().is_panic());
    assert_eq!(count(&names).await, 0);
}

#[tokio::test]
async fn what_a_killed_test_left_is_dropped_by_the_next_and_nothing_that_lives() {
    let alive = Sandbox::new(&database()).await.unwrap();
    let abandoned = format!("gristmill_test_{}", Env::system().fence().as_uuid().simple());
    client().await.batch_execute(&format!("CREATE SCHEMA {abandoned}; CREATE TABLE {abandoned}.task (id int)")).await.unwrap();
    // More than one may be needed, as each drops a few, and other tests leave some as well.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while count(std::slice::from_ref(&abandoned)).await > 0 {
        assert!(std::time::Instant::now() < deadline, "it is never dropped");
        drop(Sandbox::new(&database()).await.unwrap());
    }
    assert_eq!(count(&names(&alive)).await, 2);
}
