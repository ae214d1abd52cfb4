//! An application on PostgreSQL with a table of its own beside gristmill's, and tasks that write to it in every way there is.
#![expect(clippy::disallowed_methods, reason = "what a test spawns ends with the test's runtime")]

use std::str::FromStr;

use gristmill::{App, Client, Context, Error, Result, task};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection, PgPool};
use tokio_postgres::{NoTls, Transaction};

use crate::support::Probe;

/// Which connection a task's transaction is on.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) enum Via {
    SqlxPool,
    SqlxConnection,
    TokioPostgres,
    Store,
}

pub(crate) const EACH: [Via; 4] = [Via::SqlxPool, Via::SqlxConnection, Via::TokioPostgres, Via::Store];

/// What a task does once it has written its entry.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) enum Then {
    Succeed,
    Fail,
    Panic,
    /// Writes once more in a savepoint, and undoes only that.
    Savepoint,
    /// A statement fails, and with it the transaction.
    DivideByZero,
    /// The same, and the handler makes nothing of it.
    Overlook,
    /// The first attempt is told that it collided with somebody.
    Collide,
    /// The first attempt waits for the gate, and then fails if it is to.
    Pass {
        fail: bool,
    },
    /// Waits for ever, in a statement if it can be cancelled.
    Hang,
    /// Enqueues a child, and then fails if it is to.
    Beget {
        fail: bool,
    },
}

#[task(name = "book", max_attempts = 2, backoff = fixed("0s"), kill_after = "10ms")]
pub(crate) async fn book(cx: &Context<Bank>, via: Via, then: Then) -> Result<i64> {
    transact(cx, via, then).await
}

#[task(name = "book.anyway", max_attempts = 2, backoff = fixed("0s"), on_error = commit)]
pub(crate) async fn book_anyway(cx: &Context<Bank>, via: Via, then: Then) -> Result<i64> {
    transact(cx, via, then).await
}

/// What a handler does that opens and ends its transaction by itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) enum End {
    Commit,
    RollBack,
}

#[task(name = "book.own", max_attempts = 1)]
pub(crate) async fn book_own(cx: &Context<Bank>, via: Via, end: End) -> Result<i64> {
    cx.enqueue(Child {}).await?;
    if matches!(via, Via::TokioPostgres) {
        let mut client = cx.state.client().await;
        let tx = client.transaction().await?;
        tx.execute("INSERT INTO entry VALUES (7)", &[]).await?;
        cx.settle_in(&tx, &7).await?;
        if end == End::Commit { tx.commit().await? } else { tx.rollback().await? }
    } else {
        let mut tx = cx.state.pool.begin().await?;
        sqlx::query("INSERT INTO entry VALUES (7)").execute(&mut *tx).await?;
        cx.settle_in(&mut tx, &7).await?;
        if end == End::Commit { tx.commit().await? } else { tx.rollback().await? }
    }
    Ok(if end == End::Commit { 7 } else { 0 })
}

/// Behind a pooler no setting stays, such as where tables are looked for.
#[task(name = "book.pooled", max_attempts = 1)]
pub(crate) async fn book_pooled(cx: &Context<Bank>) -> Result<u64> {
    let insert = format!("INSERT INTO {}.entry VALUES ($1)", cx.state.schema);
    cx.transaction(cx.postgres()?, async |tx| Ok(tx.execute(&insert, &[&7i64]).await?)).await
}

#[task(name = "child")]
pub(crate) async fn child(cx: &Context<Bank>) -> Result<()> {
    cx.state.probe.saw("child");
    Ok(())
}

async fn transact(cx: &Context<Bank>, via: Via, then: Then) -> Result<i64> {
    let bank = &cx.state;
    cx.log("booking");
    cx.progress(1, 2, "half way");
    let done = match via {
        Via::SqlxPool => cx.transaction(&bank.pool, async |db| with_sqlx(cx, db, then).await).await,
        Via::SqlxConnection => {
            let mut db = bank.pool.acquire().await?;
            cx.transaction(&mut *db, async |db| with_sqlx(cx, db, then).await).await
        }
        Via::TokioPostgres => {
            let mut client = bank.client().await;
            cx.transaction(&mut client, async |tx| with_tokio_postgres(cx, tx, then, false).await).await
        }
        Via::Store => cx.transaction(cx.postgres()?, async |tx| with_tokio_postgres(cx, tx, then, true).await).await,
    };
    if let Err(error) = &done {
        bank.probe.saw(format!("attempt {}: {error}", cx.attempt()));
    }
    done
}

async fn with_sqlx(cx: &Context<Bank>, db: &mut PgConnection, then: Then) -> Result<i64> {
    sqlx::query("INSERT INTO entry VALUES (7)").execute(&mut *db).await?;
    cx.state.probe.saw("written");
    match then {
        Then::Savepoint => {
            let mut inner = db.begin().await?;
            sqlx::query("INSERT INTO entry VALUES (8)").execute(&mut *inner).await?;
            inner.rollback().await?;
        }
        Then::DivideByZero => sqlx::query("SELECT 1 / 0").execute(db).await.map(drop)?,
        Then::Overlook => assert!(sqlx::query("SELECT 1 / 0").execute(db).await.is_err()),
        Then::Collide if cx.attempt() == 1 => sqlx::query(COLLISION).execute(db).await.map(drop)?,
        _ => decide(cx, then).await?,
    }
    Ok(7)
}

async fn with_tokio_postgres(cx: &Context<Bank>, tx: &mut Transaction<'_>, then: Then, cancellable: bool) -> Result<i64> {
    tx.execute("INSERT INTO entry VALUES (7)", &[]).await?;
    cx.state.probe.saw("written");
    match then {
        Then::Savepoint => {
            let inner = tx.transaction().await?;
            inner.execute("INSERT INTO entry VALUES (8)", &[]).await?;
            inner.rollback().await?;
        }
        Then::DivideByZero => tx.batch_execute("SELECT 1 / 0").await?,
        Then::Overlook => assert!(tx.batch_execute("SELECT 1 / 0").await.is_err()),
        Then::Collide if cx.attempt() == 1 => tx.batch_execute(COLLISION).await?,
        Then::Hang if cancellable => tx.batch_execute("SELECT pg_sleep(600)").await?,
        _ => decide(cx, then).await?,
    }
    Ok(7)
}

const COLLISION: &str = "DO 'BEGIN RAISE EXCEPTION ''somebody was faster'' USING ERRCODE = ''40001''; END'";

/// What needs no connection.
async fn decide(cx: &Context<Bank>, then: Then) -> Result<()> {
    let fail = match then {
        Then::Panic => panic!("in the middle"),
        Then::Pass { fail } => {
            if cx.attempt() == 1 {
                cx.state.probe.pass().await;
            }
            fail
        }
        Then::Hang => std::future::pending().await,
        Then::Beget { fail } => {
            cx.enqueue(Child {}).await?;
            fail
        }
        then => then == Then::Fail,
    };
    if fail { Err(Error::retry("no debts")) } else { Ok(()) }
}

/// The application's state.
#[derive(Clone)]
pub(crate) struct Bank {
    pub(crate) pool: PgPool,
    pub(crate) probe: Probe,
    url: String,
    schema: String,
}

impl Bank {
    /// With its own connections to `url`, which may lead through a proxy.
    pub(crate) async fn open(schema: &str, url: &str) -> Self {
        let options = PgConnectOptions::from_str(url).unwrap().options([("search_path", schema)]);
        let pool = PgPool::connect_lazy_with(options);
        Self { pool, probe: Probe::default(), url: url.to_owned(), schema: schema.to_owned() }
    }

    pub(crate) async fn client(&self) -> tokio_postgres::Client {
        let mut config = tokio_postgres::Config::from_str(&self.url).unwrap();
        config.options(format!("-c search_path={}", self.schema));
        let (client, connection) = config.connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    pub(crate) fn app(&self) -> App<Self> {
        App::new(self.clone())
            .register::<Book>()
            .register::<BookAnyway>()
            .register::<BookOwn>()
            .register::<BookPooled>()
            .register::<Child>()
    }

    /// What is in its table; waits for transactions that are open on it.
    pub(crate) async fn entries(&self) -> Vec<i64> {
        let mut tx = self.pool.begin().await.unwrap();
        sqlx::query("LOCK TABLE entry").execute(&mut *tx).await.unwrap();
        sqlx::query_scalar("SELECT cents FROM entry").fetch_all(&mut *tx).await.unwrap()
    }

    pub(crate) async fn clear(&self) {
        sqlx::query("TRUNCATE entry").execute(&self.pool).await.unwrap();
    }
}

/// The database that tests make their schemas in.
pub(crate) fn database() -> String {
    std::env::var("GRISTMILL_TEST_POSTGRES")
        .unwrap_or_else(|_| panic!("GRISTMILL_TEST_POSTGRES names no database; run cargo xtask test, which starts one"))
}

/// The store's URL. Its own connections find the application's table, too.
pub(crate) fn url_of(schema: &str) -> String {
    let database = database();
    let mark = if database.contains('?') { '&' } else { '?' };
    format!("{database}{mark}schema={schema}&options=-csearch_path%3D{schema}")
}

/// A schema with both sorts of tables, which goes away with the test.
pub(crate) struct Home {
    pub(crate) schema: String,
    pub(crate) bank: Bank,
    pub(crate) client: Client,
}

impl Home {
    pub(crate) async fn new() -> Self {
        Self::by_way_of(&database()).await
    }

    /// With the application's own connections to `url`.
    pub(crate) async fn by_way_of(url: &str) -> Self {
        let schema = format!("test_{}", gristmill::core::Env::system().fence().as_uuid().simple());
        let bank = Bank::open(&schema, url).await;
        let client = bank.app().connect(&url_of(&schema)).await.unwrap();
        sqlx::query("CREATE TABLE entry (cents bigint NOT NULL)").execute(&bank.pool).await.unwrap();
        Self { schema, bank, client }
    }

    /// Drops the schema; not done for a test that fails, whose tables may tell why.
    pub(crate) async fn close(self) {
        let client = self.bank.client().await;
        client.batch_execute(&format!("DROP SCHEMA {} CASCADE", self.schema)).await.unwrap();
    }
}
