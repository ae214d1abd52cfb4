use std::thread::JoinHandle;

use gristmill_core::{Env, StoreError, StoreErrorKind};
use tokio::sync::oneshot;
use tokio_postgres::Client;
use tokio_postgres::types::Type;
use tokio_util::task::TaskTracker;

use crate::conn::Connect;
use crate::error::explain;
use crate::options::PostgresOptions;
use crate::sql::quote;

/// Options of a store that no driver knows.
const STORES: [&str; 5] = ["pool", "transactions", "notify", "statement_timeout", "lock_timeout"];
/// Those of tests that were killed. So many are dropped before a test begins, each of which takes a moment.
const ABANDONED: &str = "SELECT nspname::text FROM pg_namespace WHERE nspname ~ '^gristmill_test_[0-9a-f]{32}$' LIMIT 20";
/// Held for as long as a sandbox lives: whose lock is free was abandoned.
const TRY_LOCK: &str = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))";

/// Two schemas of one test's own, which are dropped with it: one for the tables of the tasks, and one for those of the application.
///
/// What the application creates and reads by [`database_url`](Self::database_url) without the name of a schema is in the sandbox;
/// types and functions of extensions are found in `public`, if it has some. The test's role needs the right to create schemas in
/// the database, and nothing else. Several tests, of several processes, may have theirs in one database at once.
///
/// They are dropped when this is, also by a panic; it blocks the thread for that long. Of a test that was killed, the next sandbox in
/// the same database drops them. A test's open transactions hold up the drop, for ten seconds at most: end them first.
///
/// ```no_run
/// # async fn example() -> Result<(), gristmill_core::StoreError> {
/// use gristmill_core::Env;
/// let sandbox = gristmill_postgres::Sandbox::new("postgres://app@localhost/test").await?;
/// let store = gristmill_postgres::PostgresStore::connect(sandbox.store_url(), Env::system()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Sandbox {
    schema: String,
    database_url: String,
    store_url: String,
    /// Dropped, it lets the thread go on to its end.
    over: Option<oneshot::Sender<()>>,
    keeper: Option<JoinHandle<()>>,
}

impl Sandbox {
    /// Makes the schemas in the database that `url` names. A schema in the URL is ignored.
    ///
    /// # Errors
    /// - `Invalid`: the URL, or a pooler in it, which would part the sandbox from the session that holds it.
    /// - `ReadOnly`: a role without the right to make schemas.
    /// - As [`PostgresStore::connect`](crate::PostgresStore::connect).
    pub async fn new(url: &str) -> Result<Self, StoreError> {
        let options: PostgresOptions = url.parse()?;
        if options.pgbouncer {
            let message = "a sandbox needs a session of its own for as long as it lives: name the server, and not its pooler";
            return Err(StoreError::new(StoreErrorKind::Invalid, message));
        }
        let schema = format!("gristmill_test_{}", Env::system().fence().as_uuid().simple());
        let (database_url, store_url) = urls(url, &schema);
        let (ready, made) = oneshot::channel();
        let (over, end) = oneshot::channel();
        let name = schema.clone();
        // On a thread with a runtime of its own: that of the test may have ended, or be unwinding, when there is something to drop.
        let keeper = std::thread::spawn(move || keep(options, &name, ready, end));
        let sandbox = Self { schema, database_url, store_url, over: Some(over), keeper: Some(keeper) };
        made.await.unwrap_or_else(|_| Err(StoreError::new(StoreErrorKind::Other, "the thread of a sandbox has ended")))?;
        Ok(sandbox)
    }

    /// The schema of the tasks' tables and functions, for SQL that calls these.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// The database for the application's driver, where its schema comes first in the search path.
    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    /// The database for the store, in the other schema.
    pub fn store_url(&self) -> &str {
        &self.store_url
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.over.take();
        if let Some(Err(_)) = self.keeper.take().map(JoinHandle::join) {
            tracing::warn!(schema = self.schema, "the thread of a sandbox panicked");
        }
    }
}

/// The URLs of both schemas: for drivers and for the store.
fn urls(url: &str, schema: &str) -> (String, String) {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let mut settings = format!("-csearch_path%3D{schema}_app%2Cpublic");
    let (mut drivers, mut stores) = (Vec::new(), Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=').unwrap_or((pair, "")) {
            ("schema", _) => {}
            ("options", said) => settings = format!("{said}%20{settings}"),
            (name, _) if STORES.contains(&name) => stores.push(pair),
            _ => drivers.push(pair),
        }
    }
    let settings = format!("options={settings}");
    drivers.push(&settings);
    let database_url = format!("{base}?{}", drivers.join("&"));
    let store_url = stores.into_iter().fold(format!("{database_url}&schema={schema}"), |url, pair| url + "&" + pair);
    (database_url, store_url)
}

/// Makes the schemas, says so, waits for the end, and drops them.
fn keep(options: PostgresOptions, schema: &str, ready: oneshot::Sender<Result<(), StoreError>>, end: oneshot::Receiver<()>) {
    let what = options.location();
    let both = format!("{}, {}", quote(schema), quote(&format!("{schema}_app")));
    let kept = async {
        let client = match make(options, schema).await {
            Ok(client) => client,
            Err(error) => {
                let _ = ready.send(Err(error));
                return;
            }
        };
        let _ = ready.send(Ok(()));
        // Ends when the sandbox is dropped.
        let _ = end.await;
        if let Err(error) = client.batch_execute(&format!("DROP SCHEMA {both} CASCADE")).await {
            let error = explain(error, &what);
            tracing::warn!(schema, %error, "the schemas of a test were not dropped; the next sandbox in the database will do that");
        }
    };
    // Without a runtime nothing is said, and the other side learns that nobody will.
    if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() {
        runtime.block_on(kept);
    }
}

async fn make(options: PostgresOptions, schema: &str) -> Result<Client, StoreError> {
    let tasks = TaskTracker::new();
    let connect = Connect::new(options, tasks.clone())?;
    let (client, line) = connect.client().await?;
    tasks.spawn(line);
    let made = async {
        client.batch_execute("SET lock_timeout = '10s'").await?;
        drop_abandoned(&client).await?;
        // Before the schema is there, or another test would take it for abandoned.
        client.query_typed(TRY_LOCK, &[(&schema, Type::TEXT)]).await?;
        let app = quote(&format!("{schema}_app"));
        client.batch_execute(&format!("CREATE SCHEMA {}; CREATE SCHEMA {app}", quote(schema))).await
    };
    made.await.map_err(|error| explain(error, &connect.what))?;
    Ok(client)
}

/// Drops what tests have left that were killed.
async fn drop_abandoned(client: &Client) -> Result<(), tokio_postgres::Error> {
    for row in client.query_typed(ABANDONED, &[]).await? {
        let schema: String = row.try_get(0)?;
        let locked = client.query_typed(TRY_LOCK, &[(&schema, Type::TEXT)]).await?;
        if locked.first().is_some_and(|row| row.try_get(0).unwrap_or(false)) {
            let (own, app) = (quote(&schema), quote(&format!("{schema}_app")));
            // Those of another role stay: that is its own matter.
            let _ = client.batch_execute(&format!("DROP SCHEMA IF EXISTS {own}, {app} CASCADE")).await;
            client.query_typed("SELECT pg_advisory_unlock(hashtextextended($1, 0))", &[(&schema, Type::TEXT)]).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_url_says_besides_goes_where_it_is_known() {
        let (database, store) = urls("postgres://me:secret@h/db", "s");
        assert_eq!(database, "postgres://me:secret@h/db?options=-csearch_path%3Ds_app%2Cpublic");
        assert_eq!(store, format!("{database}&schema=s"));
        let (database, store) = urls("postgres://me@h/db?schema=x&pool=2&sslmode=require&options=-cjit%3Doff", "s");
        assert_eq!(database, "postgres://me@h/db?sslmode=require&options=-cjit%3Doff%20-csearch_path%3Ds_app%2Cpublic");
        assert_eq!(store, format!("{database}&schema=s&pool=2"));
        assert_eq!(store.parse::<PostgresOptions>().unwrap().schema, "s");
    }

    #[tokio::test]
    async fn a_pooler_and_a_bad_url_are_refused_before_anything_is_made() {
        for (url, says) in [("postgres://me@h/db?pgbouncer=true", "pooler"), ("mysql://x", "postgres://USER@HOST/DATABASE")] {
            let error = Sandbox::new(url).await.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Invalid, "{error}");
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}
