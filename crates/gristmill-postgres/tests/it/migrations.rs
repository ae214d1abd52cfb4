//! Changes of the tables while others work on them.

use std::time::{Duration, Instant};

use gristmill_core::kit::migrate::Effect;
use gristmill_core::{Env, Overrides, Store, StoreErrorKind};
use gristmill_postgres::{PostgresStore, migrate, migration_sql, migration_status};

use crate::common::{Schema, client, task};

/// A schema as the last version left it that knew of no additions.
async fn before_additions() -> Schema {
    let schema = Schema::new();
    let sql = migration_sql(&schema.url("")).unwrap();
    let (migrations, additions) = sql.split_once("\n-- addition 1 ").unwrap();
    assert!(additions.contains("ALTER TABLE"));
    client().await.batch_execute(&format!("BEGIN; {migrations} DROP TABLE {}.addition; COMMIT", schema.0)).await.unwrap();
    schema
}

async fn pending(url: &str) -> Vec<Effect> {
    let steps = migration_status(url).await.unwrap();
    steps.into_iter().filter(|step| step.applied_at.is_none()).map(|step| step.effect).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_without_the_second_list_gets_it() {
    let schema = before_additions().await;
    let url = schema.url("");
    let missing = pending(&url).await;
    assert!(!missing.is_empty() && missing.iter().all(|effect| *effect == Effect::Adds), "{missing:?}");
    let mut migrators = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let url = url.clone();
        migrators.spawn(async move { migrate(&url).await });
    }
    for done in migrators.join_all().await {
        done.unwrap();
    }
    assert_eq!(pending(&url).await, []);
    let env = Env::system();
    let store = PostgresStore::connect(&url, env.clone()).await.unwrap();
    store.enqueue(vec![task(&env, "mail", Overrides::default())]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_holds_a_lock_is_named_and_others_are_let_through() {
    let schema = before_additions().await;
    let s = &schema.0;
    holds_up_nobody(&schema, &schema.url("&lock_timeout=2s"), &schema.url("")).await;
    let columns = format!("SELECT flags FROM {s}.ready, {s}.lease");
    client().await.batch_execute(&columns.replace("flags", "ready.flags, lease.flags")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn so_it_is_behind_a_pooler() {
    let schema = before_additions().await;
    holds_up_nobody(&schema, &schema.pooled_url("&pgbouncer=true&lock_timeout=2s"), &schema.pooled_url("&pgbouncer=true")).await;
}

async fn holds_up_nobody(schema: &Schema, hasty: &str, patient: &str) {
    let s = &schema.0;
    let holder = client().await;
    let pid: i32 = holder.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    // An application that has enqueued, or a claim on a server that is slow.
    holder
        .batch_execute(&format!("SET application_name = 'nightly'; BEGIN; LOCK TABLE {s}.ready IN ROW EXCLUSIVE MODE"))
        .await
        .unwrap();
    let hasty = hasty.to_owned();
    let migrating = tokio::spawn(async move { migrate(&hasty).await });
    // What claims meanwhile waits for less than this: a lock that is waited for in one go would hold it up until the end.
    let other = client().await;
    other.batch_execute("SET lock_timeout = '1500ms'").await.unwrap();
    while !migrating.is_finished() {
        // An error here: the migration holds up claims.
        other.batch_execute(&format!("DELETE FROM {s}.ready")).await.unwrap();
    }
    let error = migrating.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Busy, "{error}");
    for says in ["addition 1 (places)", &format!("pid {pid} "), "\"nightly\"", "idle in transaction", "LOCK TABLE"] {
        assert!(error.to_string().contains(says), "{error}");
    }
    assert!(!pending(&schema.url("")).await.is_empty(), "nothing of it was kept");
    // Who waits for it in time gets it.
    let patient = patient.to_owned();
    let migrating = tokio::spawn(async move { migrate(&patient).await });
    let tries = format!(
        "SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
         WHERE c.relnamespace = '{s}'::regnamespace AND c.relname = 'ready' AND NOT l.granted"
    );
    let until = Instant::now() + Duration::from_secs(60);
    while other.query_one(&tries, &[]).await.unwrap().get::<_, i64>(0) == 0 {
        assert!(Instant::now() < until && !migrating.is_finished(), "it does not try");
    }
    holder.batch_execute("COMMIT").await.unwrap();
    migrating.await.unwrap().unwrap();
    assert_eq!(pending(&schema.url("")).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_owns_no_tables_is_told_who_has_to_migrate() {
    let schema = before_additions().await;
    let s = &schema.0;
    let role = format!("{s}_stranger");
    let sql = client().await;
    sql.batch_execute(&format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT ALL ON SCHEMA {s} TO {role}; GRANT ALL ON ALL TABLES IN SCHEMA {s} TO {role}"
    ))
    .await
    .unwrap();
    let url = schema.url("");
    let (_, rest) = url.split_once('@').unwrap();
    let error = PostgresStore::connect(&format!("postgres://{role}:x@{rest}"), Env::system()).await.map(drop).unwrap_err();
    sql.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await.unwrap();
    assert_eq!(error.kind(), StoreErrorKind::ReadOnly, "{error}");
    assert!(error.to_string().contains("as the role that owns the tables"), "{error}");
}
