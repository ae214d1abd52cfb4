//! The server refuses: every statement that writes, in every operation of a worker's day, with every error that passes.

use std::sync::Arc;

use gristmill_core::{Env, Store, Timestamp};
use gristmill_postgres::PostgresStore;

use crate::common::{Schema, client};
use crate::day::{Day, Yardstick};

/// More statements than a day has.
const STATEMENTS_MAX: usize = 2_000;

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_undid_for_anothers_sake_is_done_again_and_nobody_is_told() {
    refuse_everywhere(["40P01", "40001"], true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_took_too_long_is_told_and_done_again() {
    refuse_everywhere(["55P03", "57014"], false).await;
}

/// Raises one of the errors at the first statement that writes a table, then at the second, and so on.
async fn refuse_everywhere(codes: [&str; 2], in_silence: bool) {
    let schema = Schema::new();
    let (env, _) = Env::virtual_time(Timestamp::from_millis(1_800_000_000_000), 1);
    let direct = PostgresStore::connect(&schema.url(""), env.clone()).await.unwrap();
    let yardstick = Yardstick::new(direct.clone(), &env).await;
    let sql = client().await;
    sql.batch_execute(&trap(&schema.0)).await.unwrap();
    // One that has not seen any name yet.
    let mut store: Arc<dyn Store> = PostgresStore::connect(&schema.url(""), env.clone()).await.unwrap();
    for number in 1..STATEMENTS_MAX {
        let code = codes[number % 2];
        let set = format!("ALTER SEQUENCE {0}.passed RESTART; UPDATE {0}.trap SET number = {number}, code = '{code}'", schema.0);
        sql.batch_execute(&set).await.unwrap();
        let day = Day::new(store.clone(), &env);
        let (lived, errors) = day.live_and_count().await;
        let passed: i64 = sql.query_one(&format!("SELECT last_value FROM {}.passed", schema.0), &[]).await.unwrap().get(0);
        if usize::try_from(passed).unwrap() < number {
            assert!(number > 20, "a day has more statements than {number}");
            return;
        }
        // Work for many falls apart where a lock is in the way, and may be whole after all.
        let least = usize::from(!in_silence && code != "55P03");
        assert!((least..=usize::from(!in_silence)).contains(&errors), "{errors} errors by {code} at statement {number}");
        sql.batch_execute(&format!("UPDATE {}.trap SET number = 0", schema.0)).await.unwrap();
        yardstick.measure(&lived, &format!("{code} at statement {number}")).await;
        if number == 10 {
            store = direct.clone();
        }
    }
    panic!("a day has fewer statements than {STATEMENTS_MAX}");
}

/// Counts statements that write, and fails one of them. A sequence is not rolled back.
fn trap(schema: &str) -> String {
    let mut sql = format!(
        "CREATE SEQUENCE {schema}.passed;
         CREATE TABLE {schema}.trap AS SELECT 0 AS number, '' AS code;
         CREATE FUNCTION {schema}.fail() RETURNS trigger LANGUAGE plpgsql AS $$
           BEGIN
             IF nextval('{schema}.passed') = (SELECT number FROM {schema}.trap) THEN
               RAISE EXCEPTION 'by a test' USING ERRCODE = (SELECT code FROM {schema}.trap);
             END IF;
             RETURN NULL;
           END
         $$;"
    );
    for table in ["task", "ready", "scheduled", "lease", "live", "outcome", "worker", "queue", "kind"] {
        sql.push_str(&format!(
            "CREATE TRIGGER trap BEFORE INSERT OR UPDATE OR DELETE ON {schema}.{table}
             FOR EACH STATEMENT EXECUTE FUNCTION {schema}.fail();"
        ));
    }
    sql
}
