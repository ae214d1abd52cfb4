use std::sync::Arc;

use gristmill_core::{StoreError, StoreErrorKind};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{FromSql, Type};
use tokio_postgres::{Client, Row};
use tokio_util::task::TaskTracker;

use crate::conn::Connect;
use crate::error::explain;
use crate::sql::Texts;

/// A look at the server, on a connection of its own.
pub struct Server {
    client: Client,
    pub(super) texts: Arc<Texts>,
    what: String,
}

impl Server {
    /// Connects to the database that `url` names.
    ///
    /// # Errors
    /// If the server can't be reached.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        let tasks = TaskTracker::new();
        let connect = Connect::new(url.parse()?, tasks.clone())?;
        let (client, line) = connect.client().await?;
        tasks.spawn(line);
        Ok(Self { client, texts: connect.texts.clone(), what: connect.what.clone() })
    }

    /// How many bytes of write-ahead log there have ever been.
    ///
    /// # Errors
    /// If the server does not tell.
    pub async fn wal_bytes(&self) -> Result<i64, StoreError> {
        self.value("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint").await
    }

    /// Writes a checkpoint, after which the first change of a page writes all of it. Returns false if the role may not.
    ///
    /// # Errors
    /// If the server can't be reached.
    pub async fn checkpoint(&self) -> Result<bool, StoreError> {
        match self.client.batch_execute("CHECKPOINT").await {
            Ok(()) => Ok(true),
            Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => Ok(false),
            Err(error) => Err(explain(error, &self.what)),
        }
    }

    /// The value of a setting.
    ///
    /// # Errors
    /// If there is no such setting.
    pub async fn setting(&self, name: &str) -> Result<String, StoreError> {
        self.value(&format!("SELECT current_setting('{}')", name.replace('\'', "''"))).await
    }

    /// Opens a transaction that keeps the server from removing dead rows, until [`release`](Self::release).
    ///
    /// # Errors
    /// If the server can't be reached.
    pub async fn hold(&self) -> Result<(), StoreError> {
        let hold =
            "SET idle_in_transaction_session_timeout = 0; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM pg_class LIMIT 1";
        self.batch(hold).await
    }

    /// Ends the transaction of [`hold`](Self::hold).
    ///
    /// # Errors
    /// If the server ended it before.
    pub async fn release(&self) -> Result<(), StoreError> {
        self.batch("COMMIT").await
    }

    /// The process ids, on the server's machine, of the connections that have this name.
    ///
    /// # Errors
    /// If the server can't be reached.
    pub async fn backends(&self, application_name: &str) -> Result<Vec<i32>, StoreError> {
        let name = application_name.replace('\'', "''");
        let pids = format!(
            "SELECT coalesce(array_agg(pid), '{{}}') FROM pg_stat_activity WHERE application_name = '{name}' \
                            AND pid <> pg_backend_pid()"
        );
        self.value(&pids).await
    }

    /// Deletes the schema that the URL names, with all that is in it.
    ///
    /// # Errors
    /// If the server can't be written.
    pub async fn drop_schema(&self) -> Result<(), StoreError> {
        self.batch(&self.texts.fill("DROP SCHEMA IF EXISTS {s} CASCADE")).await
    }

    pub(super) async fn batch(&self, sql: &str) -> Result<(), StoreError> {
        self.client.batch_execute(sql).await.map_err(|error| self.explain(error))
    }

    /// The only row that a statement with one text brings.
    pub(super) async fn row(&self, sql: &str, text: &str) -> Result<Row, StoreError> {
        let rows = self.client.query_typed(sql, &[(&text, Type::TEXT)]).await.map_err(|error| self.explain(error))?;
        rows.into_iter().next().ok_or_else(|| self.no_answer(sql))
    }

    pub(super) fn explain(&self, error: tokio_postgres::Error) -> StoreError {
        explain(error, &self.what)
    }

    fn no_answer(&self, sql: &str) -> StoreError {
        StoreError::new(StoreErrorKind::Other, format!("{}: no answer to {sql}", self.what))
    }

    pub(super) async fn value<T: for<'a> FromSql<'a>>(&self, sql: &str) -> Result<T, StoreError> {
        let read = async { self.client.query_typed(sql, &[]).await?.first().map(|row| row.try_get(0)).transpose() };
        read.await.map_err(|error| self.explain(error))?.ok_or_else(|| self.no_answer(sql))
    }
}
