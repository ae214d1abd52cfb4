//! A schema of a test's own, in the PostgreSQL database that all tests share.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio_postgres::NoTls;

/// Goes away with the test.
pub(crate) struct Schema {
    database: String,
    name: String,
}

impl Schema {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let database = std::env::var("GRISTMILL_TEST_POSTGRES")
            .unwrap_or_else(|_| panic!("GRISTMILL_TEST_POSTGRES names no database; run cargo xtask test, which starts one"));
        let name = format!("test_cli_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let schema = Self { database, name };
        // What a killed run with the same process id may have left.
        schema.drop_it();
        schema
    }

    /// The store's URL.
    pub(crate) fn url(&self) -> String {
        let mark = if self.database.contains('?') { '&' } else { '?' };
        format!("{}{mark}schema={}", self.database, self.name)
    }

    /// The first column of what a statement answers, in which `gristmill.` is this schema.
    pub(crate) fn text(&self, sql: &str) -> Option<String> {
        let sql = sql.replace("gristmill.enqueue(", &format!("{}.enqueue(", self.name));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answer = runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&self.database, NoTls).await.unwrap();
            tokio::select! {
                _ = connection => panic!("the connection ended early"),
                answer = client.simple_query(&sql) => answer.unwrap(),
            }
        });
        answer.into_iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        })
    }

    fn drop_it(&self) {
        self.text(&format!("DROP SCHEMA IF EXISTS {} CASCADE", self.name));
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        self.drop_it();
    }
}
