use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use gristmill_core::{StoreError, Timestamp};
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::error::Fault;
use crate::names::Names;
use crate::open;
use crate::options::SqliteOptions;
use crate::writer::panicked;

/// Two: a long page of a list does not keep a single look waiting.
const THREADS: usize = 2;

/// A read in one consistent snapshot of the file.
pub(crate) struct View<'a> {
    pub(crate) conn: &'a Connection,
    pub(crate) names: &'a mut Names,
    pub(crate) now: Timestamp,
}

/// What a reader thread is sent.
pub(crate) type Query = Box<dyn FnOnce(&Connection, &mut Names) + Send>;

/// Makes a query of a closure.
pub(crate) fn query<T, F>(what: &str, now: Timestamp, look: F) -> (Query, oneshot::Receiver<Result<T, StoreError>>)
where
    T: Send + 'static,
    F: FnOnce(&mut View<'_>) -> Result<T, Fault> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    let what = what.to_owned();
    let query = move |conn: &Connection, names: &mut Names| {
        let looked = catch_unwind(AssertUnwindSafe(|| snapshot(conn, names, now, look)));
        let brought = looked.unwrap_or_else(|panic| {
            if !conn.is_autocommit() {
                let _ = conn.execute_batch("ROLLBACK");
            }
            Err(panicked(&what, &*panic).into())
        });
        let brought = brought.map_err(|fault| fault.explain(&what));
        // A caller that has gone away does not want to know.
        let _ = reply.send(brought);
    };
    (Box::new(query), answer)
}

/// Starts the threads that read.
pub(crate) fn start(options: &SqliteOptions) -> Result<(Sender<Query>, Vec<JoinHandle<()>>), StoreError> {
    let (sender, queries) = channel::<Query>();
    let queries = Arc::new(Mutex::new(queries));
    let mut threads = Vec::with_capacity(THREADS);
    for _ in 0..THREADS {
        let conn = open::reader(options)?;
        let (queries, timeout) = (queries.clone(), options.busy_timeout);
        let thread = std::thread::Builder::new().name("gristmill-read".to_owned()).spawn(move || {
            open::set_patience(timeout);
            let mut names = Names::default();
            while let Some(query) = next(&queries) {
                query(&conn, &mut names);
            }
        });
        threads.push(thread.map_err(|error| {
            StoreError::new(gristmill_core::StoreErrorKind::Unreachable, "could not start a thread for the store")
                .with_source(error)
        })?);
    }
    Ok((sender, threads))
}

fn next(queries: &Mutex<Receiver<Query>>) -> Option<Query> {
    queries.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

fn snapshot<T, F>(conn: &Connection, names: &mut Names, now: Timestamp, look: F) -> Result<T, Fault>
where
    F: FnOnce(&mut View<'_>) -> Result<T, Fault>,
{
    conn.prepare_cached("BEGIN")?.execute([])?;
    let brought = look(&mut View { conn, names, now });
    // Nothing was written, so that there is nothing that its failure could lose.
    let _ = conn.prepare_cached("COMMIT").and_then(|mut end| end.execute([]));
    if !conn.is_autocommit() {
        let _ = conn.execute_batch("ROLLBACK");
    }
    brought
}
