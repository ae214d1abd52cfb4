use gristmill_core::{Env, Overrides, Store, StoreErrorKind};
use gristmill_postgres::{PostgresStore, migrate, migration_sql, migration_status};
use tokio_postgres::NoTls;

use crate::common::{Schema, database, task};

async fn refusal(url: &str) -> gristmill_core::StoreError {
    PostgresStore::connect(url, Env::system()).await.map(drop).unwrap_err()
}

async fn sql(text: &str) {
    let (client, connection) = tokio_postgres::connect(&database(), NoTls).await.unwrap();
    let run = async {
        client.batch_execute(text).await.unwrap();
        drop(client);
    };
    let (_, ended) = tokio::join!(run, connection);
    ended.unwrap();
}

#[tokio::test]
async fn each_mistake_in_a_url_has_its_own_words() {
    let database = database();
    let (server, _) = database.rsplit_once('/').unwrap();
    let (_, host) = server.rsplit_once('@').unwrap();
    for (url, kind, says) in [
        ("postgres://me@127.0.0.1:1/x".to_owned(), StoreErrorKind::Unreachable, "nobody listens there"),
        ("postgres://me@no-such-host.invalid/x".to_owned(), StoreErrorKind::Unreachable, "can't be resolved"),
        (format!("{server}/no_such_database"), StoreErrorKind::Unreachable, "does not exist"),
        (format!("postgres://gristmill@{host}/postgres"), StoreErrorKind::Unreachable, "wants a password"),
        (format!("postgres://gristmill:guessed@{host}/postgres"), StoreErrorKind::Unreachable, "the password is wrong"),
        (format!("{database}?sslmode=require"), StoreErrorKind::Unreachable, "TLS"),
        (format!("{database}?scheme=x"), StoreErrorKind::Invalid, "`scheme`"),
    ] {
        let error = refusal(&url).await;
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_may_migrate_at_once() {
    let schema = Schema::new();
    let url = schema.url("");
    assert!(migration_status(&url).await.unwrap().iter().all(|step| step.applied_at.is_none()));
    let mut migrators = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let url = url.clone();
        migrators.spawn(async move { migrate(&url).await });
    }
    for done in migrators.join_all().await {
        assert!(done.unwrap().iter().all(|step| step.applied_at.is_some()));
    }
    assert_eq!(migrate(&url).await.unwrap(), migration_status(&url).await.unwrap(), "a second run changes nothing");
}

#[tokio::test]
async fn what_is_printed_makes_what_migrate_makes() {
    let schema = Schema::new();
    let url = schema.url("");
    sql(&format!("BEGIN; {} COMMIT;", migration_sql(&url).unwrap())).await;
    assert!(migration_status(&url).await.unwrap().iter().all(|step| step.applied_at.is_some()));
    let store = PostgresStore::connect(&url, Env::system()).await.unwrap();
    let new = task(&Env::system(), "mail", Overrides::default());
    store.enqueue(vec![new.clone()]).await.unwrap();
    // Without partitions yet, and after a sweep with them.
    gristmill_core::Source::sweep(&*store, 10).await.unwrap();
    assert_eq!(store.get(new.id).await.unwrap().unwrap().id, new.id);
}

#[tokio::test]
async fn a_newer_schema_a_tampered_one_and_a_foreign_one_are_refused() {
    let schema = Schema::new();
    let (url, name) = (schema.url(""), &schema.0);
    migrate(&url).await.unwrap();
    sql(&format!("INSERT INTO {name}.migration VALUES (900, 'sharding', 'x', 0)")).await;
    let error = refusal(&url).await;
    assert_eq!(error.kind(), StoreErrorKind::TooNew);
    assert!(error.to_string().contains("900 (sharding)"), "{error}");
    sql(&format!("DELETE FROM {name}.migration WHERE number = 900; UPDATE {name}.migration SET checksum = 'x'")).await;
    assert_eq!(refusal(&url).await.kind(), StoreErrorKind::Corrupt);
    sql(&format!("DROP SCHEMA {name} CASCADE; CREATE SCHEMA {name}; CREATE TABLE {name}.customer()")).await;
    assert_eq!(refusal(&url).await.kind(), StoreErrorKind::NotOurs);
}

#[tokio::test]
async fn a_raw_nul_is_refused_and_its_escape_is_kept() {
    let (schema, env) = (Schema::new(), Env::system());
    let store = PostgresStore::connect(&schema.url(""), env.clone()).await.unwrap();
    let mut raw = task(&env, "mail", Overrides::default());
    raw.args = "{\"a\":\"\0\"}".to_owned();
    assert_eq!(store.enqueue(vec![raw.clone()]).await.unwrap_err().kind(), StoreErrorKind::Invalid);
    raw.args = r#"{"a":"\u0000"}"#.to_owned();
    store.enqueue(vec![raw.clone()]).await.unwrap();
    assert_eq!(store.get(raw.id).await.unwrap().unwrap().args, raw.args);
}
