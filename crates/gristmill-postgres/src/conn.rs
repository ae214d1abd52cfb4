use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gristmill_core::{StoreError, StoreErrorKind};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, Connection, Error, Row, Socket, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::task::TaskTracker;

use crate::error::{explain, has_no_room};
use crate::options::{PostgresOptions, place};
use crate::origin::{BELIEVED_FOR, Origin};
use crate::sql::{Q, Texts};
use crate::tls;

/// The oldest server that is known to work.
const VERSION_MIN: u32 = 14;
/// How long a server may take to say something where the URL says nothing about it.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// How connections of a store are made.
pub(crate) struct Connect {
    pub(crate) options: PostgresOptions,
    pub(crate) texts: Arc<Texts>,
    pub(crate) what: String,
    tls: MakeRustlsConnect,
    tasks: TaskTracker,
    /// The host that was good last; the others are asked after it.
    good: AtomicUsize,
}

impl Connect {
    pub(crate) fn new(options: PostgresOptions, tasks: TaskTracker) -> Result<Self, StoreError> {
        let tls = tls::connector(&options)?;
        Ok(Self {
            texts: Arc::new(Texts::new(&options.schema, options.notify_inside)),
            what: options.location(),
            tls,
            tasks,
            good: AtomicUsize::new(0),
            options,
        })
    }

    /// Opens a connection and makes it ours.
    pub(crate) async fn open(&self) -> Result<Conn, StoreError> {
        let conn = self.open_plain().await?;
        if conn.named {
            conn.batch(&self.settings()).await.map_err(|error| explain(error, &self.what))?;
        }
        Ok(conn)
    }

    /// Opens a connection without any setting of ours.
    pub(crate) async fn open_plain(&self) -> Result<Conn, StoreError> {
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
        Ok(Conn { client, statements: Mutex::default(), named: !self.options.pgbouncer, origin: Mutex::default() })
    }

    /// A connection as the driver makes it, and the half that has to be driven.
    pub(crate) async fn client(&self) -> Result<(Client, Line), StoreError> {
        let configs = &self.options.configs;
        let first = self.good.load(Ordering::Relaxed);
        let mut refusals = Vec::new();
        for at in (0..configs.len()).map(|n| (first + n) % configs.len()) {
            let what = if configs.len() == 1 { self.what.clone() } else { place(&configs[at]) };
            match self.client_of(&configs[at], &what).await {
                Ok(connected) => {
                    self.good.store(at, Ordering::Relaxed);
                    return Ok(connected);
                }
                Err(error) => refusals.push(error),
            }
        }
        Err(together(&self.what, refusals))
    }

    async fn client_of(&self, config: &Config, what: &str) -> Result<(Client, Line), StoreError> {
        // The driver's own timeout ends when the line is up; a server that is frozen says nothing after that.
        let within = config.get_connect_timeout().copied().unwrap_or(ANSWERED_WITHIN);
        match tokio::time::timeout(within, config.connect(self.tls.clone())).await {
            Ok(connected) => connected.map_err(|error| explain(error, what)),
            Err(_) => {
                let message =
                    format!("{what}: no answer within {within:?}; check host, port and firewall, or raise connect_timeout");
                Err(StoreError::new(StoreErrorKind::Unreachable, message))
            }
        }
    }

    /// Asks the server to end the statement that runs on a connection which nobody waits for any more. Else it would go on, with
    /// its locks, until its timeout.
    ///
    /// Not behind a pooler: PgBouncer 1.18 to 1.20 ends, with all of its clients' connections, if the server says anything while the
    /// request is under way (its issues 822 and 904). There the statement goes on to its end, and the connection ends after it.
    pub(crate) fn cancel(&self, conn: &Conn) {
        if self.options.pgbouncer {
            return;
        }
        // Without a runtime the process is about to end, and the server looks by itself whether its client still lives.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (token, tls) = (conn.client.cancel_token(), self.tls.clone());
        let ask = async move {
            if let Ok(Err(error)) = tokio::time::timeout(ANSWERED_WITHIN, token.cancel_query(tls)).await {
                tracing::debug!(%error, "a statement that nobody waits for could not be cancelled");
            }
        };
        self.tasks.spawn_on(ask, &runtime);
    }

    /// The session's settings. The statements are written so that one plan is right whatever the tables hold; the planner,
    /// which may have seen a table while it was empty, is kept from the others. Statements of a client that was killed end soon,
    /// with their locks; a server on another system than Linux may be unable to look, and refuses the setting.
    fn settings(&self) -> String {
        let PostgresOptions { statement_timeout, lock_timeout, .. } = &self.options;
        format!(
            "SET statement_timeout = {}; SET lock_timeout = {}; SET idle_in_transaction_session_timeout = '60s'; \
             SET search_path = pg_catalog; SET default_transaction_isolation = 'read committed'; SET jit = off; \
             SET standard_conforming_strings = on; \
             SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; \
             SET enable_sort = off; SET plan_cache_mode = auto; \
             SELECT set_config('client_connection_check_interval', '2s', false) WHERE version() LIKE '%linux%'",
            statement_timeout.as_millis().min(i32::MAX as u128),
            lock_timeout.as_millis().min(i32::MAX as u128),
        )
    }
}

/// Why none of the hosts can be used. One that can only be read tells most: it may be about to become the primary.
fn together(what: &str, mut refusals: Vec<StoreError>) -> StoreError {
    if refusals.len() < 2 {
        let none = || StoreError::new(StoreErrorKind::Invalid, format!("{what}: the URL names no host"));
        return refusals.pop().unwrap_or_else(none);
    }
    let words: Vec<_> = refusals.iter().map(ToString::to_string).collect();
    let message = format!("{what}: none of the hosts can be used: {}", words.join("; "));
    // A server that is full is one that could be written.
    let (full, read_only) =
        (refusals.iter().position(has_no_room), refusals.iter().position(|error| error.kind() == StoreErrorKind::ReadOnly));
    let telling = full.or(read_only).unwrap_or(refusals.len() - 1);
    let error = refusals.swap_remove(telling);
    StoreError::new(error.kind(), message).with_source(error)
}

/// The half of a connection that carries bytes.
pub(crate) type Line = Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

/// One connection with its prepared statements.
pub(crate) struct Conn {
    client: Client,
    statements: Mutex<HashMap<Q, Statement>>,
    named: bool,
    /// The database that it led to when it was last asked, and when that was.
    origin: Mutex<Option<(Origin, Instant)>>,
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

    #[cfg(feature = "tokio-postgres")]
    pub(crate) fn client_mut(&mut self) -> &mut Client {
        &mut self.client
    }

    /// The database that it leads to, if it was asked not long ago.
    pub(crate) fn origin(&self) -> Option<Origin> {
        let origin = *self.origin.lock().unwrap_or_else(PoisonError::into_inner);
        origin.filter(|(_, asked)| asked.elapsed() < BELIEVED_FOR).map(|(origin, _)| origin)
    }

    pub(crate) fn keep_origin(&self, origin: Origin) {
        *self.origin.lock().unwrap_or_else(PoisonError::into_inner) = Some((origin, Instant::now()));
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
