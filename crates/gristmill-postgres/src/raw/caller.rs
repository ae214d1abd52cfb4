use std::sync::Arc;

use gristmill_core::{NewTask, StoreError};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error};
use tokio_util::task::TaskTracker;

use crate::conn::Connect;
use crate::error::explain;
use crate::sql::{Q, Texts};
use gristmill_core::kit::encode::to_json;
use gristmill_core::kit::row::NewRow;

/// An application that enqueues in its own transactions, on a connection that has nothing of ours.
pub struct Caller {
    client: Client,
    texts: Arc<Texts>,
    what: String,
}

impl Caller {
    /// Connects to the database that `url` names, and makes a table with one index in its schema, if it isn't there.
    ///
    /// # Errors
    /// If the server can't be reached or written.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        let tasks = TaskTracker::new();
        let connect = Connect::new(url.parse()?, tasks.clone())?;
        let (client, line) = connect.client().await?;
        tasks.spawn(line);
        let caller = Self { client, texts: connect.texts.clone(), what: connect.what.clone() };
        let make = "CREATE TABLE IF NOT EXISTS {s}.bench_plain(id uuid PRIMARY KEY, args text NOT NULL)";
        caller.client.batch_execute(&caller.texts.fill(make)).await.map_err(|error| caller.explain(error))?;
        Ok(caller)
    }

    /// A transaction with one enqueue, as `.within(&transaction)` does it.
    ///
    /// # Errors
    /// If the server can't be written.
    pub async fn enqueue(&self, task: &NewTask) -> Result<(), StoreError> {
        let row = to_json(&[NewRow::of(task)]);
        self.transaction(self.texts.text(Q::CallInsertTasks), &[(&row, Type::TEXT)]).await
    }

    /// The same transaction with one plain insert of as much.
    ///
    /// # Errors
    /// If the server can't be written.
    pub async fn insert(&self, task: &NewTask) -> Result<(), StoreError> {
        let insert = self.texts.fill("INSERT INTO {s}.bench_plain(id, args) VALUES ($1, $2)");
        self.transaction(&insert, &[(&task.id.as_uuid(), Type::UUID), (&task.args, Type::TEXT)]).await
    }

    async fn transaction(&self, sql: &str, params: &[(&(dyn ToSql + Sync), Type)]) -> Result<(), StoreError> {
        let run = async {
            self.client.batch_execute("BEGIN").await?;
            self.client.query_typed(sql, params).await?;
            self.client.batch_execute("COMMIT").await
        };
        run.await.map_err(|error| self.explain(error))
    }

    fn explain(&self, error: Error) -> StoreError {
        explain(error, &self.what)
    }
}
