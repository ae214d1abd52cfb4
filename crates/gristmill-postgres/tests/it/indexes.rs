//! Indexes that tables get while they are in use.

use std::time::{Duration, Instant};

use gristmill_core::{Env, Overrides, Store};
use gristmill_postgres::PostgresStore;
use gristmill_postgres::raw::{Index, build_index};
use tokio_postgres::{Client, NoTls};

use crate::common::{database, task};

const BY_KIND: Index = Index { name: "by_kind", table: "task", columns: "kind, seq", predicate: None };
const BY_STATE: Index = Index { name: "by_state", table: "outcome", columns: "state, seq", predicate: Some("state > 1") };

/// A database of its own, as a build waits for all transactions of its database, those of other tests, too.
pub(crate) struct Database(String);

impl Database {
    pub(crate) async fn new() -> Self {
        let name = format!("test_{}", Env::system().fence().as_uuid().simple());
        connect(&database()).await.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        Self(name)
    }

    /// Its URL on the server of this one.
    pub(crate) fn url(&self, server: &str) -> String {
        let (server, _) = server.rsplit_once('/').unwrap();
        format!("{server}/{}", self.0)
    }

    pub(crate) async fn client(&self) -> Client {
        let client = connect(&self.url(&database())).await;
        client.batch_execute("SET search_path = gristmill").await.unwrap();
        client
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE {} WITH (FORCE)", self.0);
        // On a thread with a runtime of its own, as this is dropped within one.
        let done = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { connect(&database()).await.batch_execute(&drop).await.unwrap() });
        });
        assert!(done.join().is_ok() || std::thread::panicking(), "the database {} could not be dropped", self.0);
    }
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A store with some tasks, and a connection that looks at its tables.
struct House {
    database: Database,
    sql: Client,
    store: std::sync::Arc<PostgresStore>,
    env: Env,
}

impl House {
    async fn new() -> Self {
        let (database, env) = (Database::new().await, Env::system());
        let store = PostgresStore::connect(&database.url(&self::database()), env.clone()).await.unwrap();
        let house = Self { sql: database.client().await, database, store, env };
        house.enqueue().await;
        house
    }

    fn url(&self) -> String {
        self.database.url(&database())
    }

    async fn enqueue(&self) {
        self.store.enqueue((0..50).map(|_| task(&self.env, "mail", Overrides::default())).collect()).await.unwrap();
    }

    /// The table has the index, each of its partitions has its part, and all of it is of use.
    async fn is_whole(&self, index: &Index) {
        let name = format!("{}_{}", index.table, index.name);
        let partitions = "SELECT count(*) FROM pg_inherits WHERE inhparent = to_regclass($1)";
        let partitions: i64 = self.sql.query_one(partitions, &[&index.table]).await.unwrap().get(0);
        let parts = "SELECT count(*), bool_and(i.indisvalid AND i.indisready) FROM pg_inherits h JOIN pg_index i ON i.indexrelid = h.inhrelid
                     WHERE h.inhparent = to_regclass($1)";
        let row = self.sql.query_one(parts, &[&name]).await.unwrap();
        assert!(partitions > 1);
        assert_eq!((row.get::<_, i64>(0), row.get::<_, Option<bool>>(1)), (partitions, Some(true)), "{name}");
        let invalid = "SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
                       WHERE c.relnamespace = 'gristmill'::regnamespace AND NOT (i.indisvalid AND i.indisready)";
        let invalid: i64 = self.sql.query_one(invalid, &[]).await.unwrap().get(0);
        assert_eq!(invalid, 0, "{name}");
    }

    /// Makes the partitions of a day that is far off.
    async fn make_day(&self, ahead: i64) {
        let day = self.env.now().as_millis() / 86_400_000 + ahead;
        assert!(self.sql.query_one("SELECT make_day($1)", &[&day]).await.unwrap().get::<_, bool>(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_day_has_its_part_those_that_come_later_too() {
    let house = House::new().await;
    for index in [BY_KIND, BY_STATE] {
        build_index(&house.url(), index).await.unwrap();
        house.is_whole(&index).await;
    }
    house.make_day(20).await;
    for index in [BY_KIND, BY_STATE] {
        house.is_whole(&index).await;
        build_index(&house.url(), index).await.expect("a second time there is nothing to do");
    }
    house.enqueue().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_without_partitions_gets_one_and_a_pooler_is_no_hindrance() {
    let house = House::new().await;
    let pooler = std::env::var("GRISTMILL_TEST_PGBOUNCER").expect("cargo xtask test starts a pooler");
    let url = house.database.url(&pooler) + "?pgbouncer=true";
    build_index(&url, Index { name: "by_kind", table: "ready", columns: "kind", predicate: None }).await.unwrap();
    let valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'ready_by_kind'::regclass";
    assert!(house.sql.query_one(valid, &[]).await.unwrap().get::<_, bool>(0));
    build_index(&url, BY_KIND).await.unwrap();
    house.is_whole(&BY_KIND).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_process_that_died_left_is_made_anew() {
    let house = House::new().await;
    // One part is made, another one was cut short: by a transaction that had to be waited for, and a death meanwhile.
    house.sql.batch_execute("CREATE INDEX CONCURRENTLY task_rest_by_kind ON task_rest(kind, seq)").await.unwrap();
    let today: String = house.sql.query_one("SELECT tableoid::regclass::text FROM task LIMIT 1", &[]).await.unwrap().get(0);
    let holder = house.database.client().await;
    holder.batch_execute(&format!("BEGIN; LOCK TABLE {today} IN ROW EXCLUSIVE MODE")).await.unwrap();
    let cut_short = format!("CREATE INDEX CONCURRENTLY {today}_by_kind ON {today}(kind, seq)");
    house.sql.batch_execute("SET statement_timeout = '50ms'").await.unwrap();
    house.sql.batch_execute(&cut_short).await.unwrap_err();
    house.sql.batch_execute("SET statement_timeout = 0").await.unwrap();
    let valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)";
    let left: bool = house.sql.query_one(valid, &[&format!("{today}_by_kind")]).await.unwrap().get(0);
    assert!(!left, "nothing was cut short");
    holder.batch_execute("ROLLBACK").await.unwrap();
    // A day is made by whoever keeps house, without the index that the table has not yet.
    house.make_day(20).await;
    build_index(&house.url(), BY_KIND).await.unwrap();
    house.is_whole(&BY_KIND).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_builds_and_nobody_waits_for_it() {
    let house = House::new().await;
    let holder = house.database.client().await;
    // A transaction that has written goes on for long.
    holder.batch_execute("BEGIN; LOCK TABLE task IN ROW EXCLUSIVE MODE").await.unwrap();
    let mut builders = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let url = house.url() + "?application_name=builder";
        builders.spawn(async move { build_index(&url, BY_KIND).await });
    }
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'builder' AND query LIKE 'CREATE INDEX%' AND state = 'active'";
    let until = Instant::now() + Duration::from_secs(60);
    let building = async || house.sql.query_one(waits, &[]).await.unwrap().get::<_, i64>(0);
    while building().await == 0 {
        assert!(Instant::now() < until, "nobody builds");
    }
    for _ in 0..20 {
        house.enqueue().await;
        assert_eq!(building().await, 1, "one of them builds, and waits for the transaction");
    }
    holder.batch_execute("COMMIT").await.unwrap();
    for built in builders.join_all().await {
        built.unwrap();
    }
    house.is_whole(&BY_KIND).await;
}
