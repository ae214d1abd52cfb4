use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use gristmill_core::{StoreError, StoreErrorKind};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Connection, Error, Row, Socket, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::task::TaskTracker;

use crate::error::explain;
use crate::options::PostgresOptions;
use crate::sql::{Q, Texts};
use crate::tls;

/// The oldest server that is known to work.
const VERSION_MIN: u32 = 14;

/// How connections of a store are made.
pub(crate) struct Connect {
    pub(crate) options: PostgresOptions,
    pub(crate) texts: Arc<Texts>,
    pub(crate) what: String,
    tls: MakeRustlsConnect,
    tasks: TaskTracker,
}

impl Connect {
    pub(crate) fn new(options: PostgresOptions, tasks: TaskTracker) -> Result<Self, StoreError> {
        let tls = tls::connector(&options)?;
        Ok(Self { texts: Arc::new(Texts::new(&options.schema)), what: options.location(), tls, tasks, options })
    }

    /// Opens a connection and makes it ours.
    pub(crate) async fn open(&self) -> Result<Conn, StoreError> {
        let (client, connection) = self.client().await?;
        let version =
            connection.parameter("server_version").and_then(|text| text.split(['.', ' ', 'r', 'b', 'd']).next()?.parse().ok());
        let encoding = connection.parameter("server_encoding").map(str::to_owned);
        self.tasks.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the store ended");
            }
        });
        if let Some(version) = version.filter(|version: &u32| *version < VERSION_MIN) {
            let message = format!("{}: the server is PostgreSQL {version}; {VERSION_MIN} or later is needed", self.what);
            return Err(StoreError::new(StoreErrorKind::Invalid, message));
        }
        if let Some(encoding) = encoding.filter(|encoding| encoding != "UTF8") {
            let message = format!("{}: the database's encoding is {encoding}; make one with ENCODING 'UTF8'", self.what);
            return Err(StoreError::new(StoreErrorKind::Invalid, message));
        }
        let conn = Conn { client, statements: Mutex::default(), named: !self.options.pgbouncer };
        if conn.named {
            conn.batch(&self.settings()).await.map_err(|error| explain(error, &self.what))?;
        }
        Ok(conn)
    }

    /// A connection as the driver makes it, and the half that has to be driven.
    pub(crate) async fn client(&self) -> Result<(Client, Line), StoreError> {
        self.options.config.connect(self.tls.clone()).await.map_err(|error| explain(error, &self.what))
    }

    /// The session's settings. The statements are written so that one plan is right whatever the tables hold; the planner,
    /// which may have seen a table while it was empty, is kept from the others.
    fn settings(&self) -> String {
        let PostgresOptions { statement_timeout, lock_timeout, .. } = &self.options;
        format!(
            "SET statement_timeout = {}; SET lock_timeout = {}; SET idle_in_transaction_session_timeout = '60s'; \
             SET search_path = pg_catalog; SET default_transaction_isolation = 'read committed'; SET jit = off; \
             SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; \
             SET enable_sort = off; SET plan_cache_mode = auto",
            statement_timeout.as_millis().min(i32::MAX as u128),
            lock_timeout.as_millis().min(i32::MAX as u128),
        )
    }
}

/// The half of a connection that carries bytes.
pub(crate) type Line = Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

/// One connection with its prepared statements.
pub(crate) struct Conn {
    client: Client,
    statements: Mutex<HashMap<Q, Statement>>,
    named: bool,
}

/// The parameters of a statement.
pub(crate) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

impl Conn {
    /// The rows that a statement brings.
    pub(crate) async fn rows(&self, texts: &Texts, query: Q, params: Params<'_>) -> Result<Vec<Row>, Error> {
        if self.named {
            let statement = self.statement(texts, query).await?;
            return self.client.query(&statement, params).await;
        }
        self.client.query_typed(texts.text(query), &typed(query, params)).await
    }

    /// How many rows a statement wrote.
    pub(crate) async fn execute(&self, texts: &Texts, query: Q, params: Params<'_>) -> Result<u64, Error> {
        if self.named {
            let statement = self.statement(texts, query).await?;
            return self.client.execute(&statement, params).await;
        }
        self.client.execute_typed(texts.text(query), &typed(query, params)).await
    }

    /// Statements without parameters and answers.
    pub(crate) async fn batch(&self, sql: &str) -> Result<(), Error> {
        self.client.batch_execute(sql).await
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    async fn statement(&self, texts: &Texts, query: Q) -> Result<Statement, Error> {
        if let Some(statement) = self.statements.lock().unwrap_or_else(PoisonError::into_inner).get(&query) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare_typed(texts.text(query), query.types()).await?;
        self.statements.lock().unwrap_or_else(PoisonError::into_inner).insert(query, statement.clone());
        Ok(statement)
    }
}

fn typed<'a>(query: Q, params: Params<'a>) -> Vec<(&'a (dyn ToSql + Sync), Type)> {
    params.iter().copied().zip(query.types().iter().cloned()).collect()
}
