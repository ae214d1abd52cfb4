use std::cell::Cell;
use std::time::{Duration, Instant};

use gristmill_core::{StoreError, StoreErrorKind};
use rusqlite::{Connection, OpenFlags};

use crate::directory;
use crate::error;
use crate::options::{SqliteOptions, Synchronous};

/// Pages of WAL after which the writer copies them back: each checkpoint costs an `fsync` of the main file, and rewriting
/// hot pages once for many commits is what makes it cheap. 4,000 pages bound the WAL to about 16 MiB.
const CHECKPOINT_PAGES: i64 = 4_000;
/// Bounds the memory of a worker, whose goal is to stay below 64 MiB in all.
const CACHE_KIB: i64 = 16 * 1024;

/// A connection that may write.
pub(crate) fn writer(options: &SqliteOptions) -> Result<Connection, StoreError> {
    let what = options.location();
    must_be_a_file(options)?;
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if options.create {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    } else if !options.path.exists() {
        return Err(StoreError::new(StoreErrorKind::Unreachable, format!("{what}: there is no such file, and create=false")));
    }
    let mut conn = Connection::open_with_flags(&options.path, flags).map_err(|error| explain(error, options))?;
    patience(&mut conn, options.busy_timeout).map_err(|error| explain(error, options))?;
    Ok(conn)
}

/// Refuses what SQLite would take for a file: from a pipe it reads for ever, and what a device was told is gone.
fn must_be_a_file(options: &SqliteOptions) -> Result<(), StoreError> {
    // What is not there, or can't be looked at, is told by who opens it.
    let Ok(meta) = std::fs::metadata(&options.path) else { return Ok(()) };
    let problem = match () {
        () if meta.is_file() => return Ok(()),
        () if meta.is_dir() => "it is a directory; name a file in it",
        () => "it is a device, a pipe or a socket and no file; name another",
    };
    Err(StoreError::new(StoreErrorKind::Unreachable, format!("{}: {problem}", options.location())))
}

/// A connection for a transaction beside the store's own work.
pub(crate) fn spare(options: &SqliteOptions) -> Result<Connection, StoreError> {
    let conn = writer(options)?;
    tune(&conn, options).map_err(|error| error::explain(error, &options.location()))?;
    Ok(conn)
}

/// Says why the file can't be opened. SQLite says the same of a directory that is not there and of one where it can't make
/// the files that it needs beside its own.
pub(crate) fn explain(error: rusqlite::Error, options: &SqliteOptions) -> StoreError {
    let what = options.location();
    let can_not_open = error.sqlite_error_code() == Some(rusqlite::ErrorCode::CannotOpen);
    match directory::unwritable(&options.path).filter(|_| can_not_open) {
        Some(why) => StoreError::new(StoreErrorKind::ReadOnly, format!("{what}: {why}")).with_source(error),
        None => error::explain(error, &what),
    }
}

/// What a writing connection is set to, once the file is known to be ours.
pub(crate) fn tune(conn: &Connection, options: &SqliteOptions) -> rusqlite::Result<()> {
    // Changing the mode needs the file for itself and does not ask the busy handler; two processes that open a new file
    // at once would see one fail.
    let since = Instant::now();
    loop {
        match conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0)) {
            Err(error) if is_busy(&error) && since.elapsed() < options.busy_timeout => {
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(error) => return Err(error),
            Ok(_) => break,
        }
    }
    let synchronous = match options.synchronous {
        Synchronous::Full => "FULL",
        Synchronous::Normal => "NORMAL",
    };
    conn.execute_batch(&format!(
        "PRAGMA synchronous = {synchronous}; PRAGMA temp_store = memory; PRAGMA cache_size = -{CACHE_KIB}; \
         PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}; PRAGMA journal_size_limit = 67108864;"
    ))?;
    if let Some(pages) = options.max_pages {
        conn.execute_batch(&format!("PRAGMA max_page_count = {pages}"))?;
    }
    conn.set_prepared_statement_cache_capacity(128);
    Ok(())
}

/// A connection that can't write.
pub(crate) fn reader(options: &SqliteOptions) -> Result<Connection, StoreError> {
    must_be_a_file(options)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let mut conn = Connection::open_with_flags(&options.path, flags)?;
        patience(&mut conn, options.busy_timeout)?;
        conn.execute_batch("PRAGMA temp_store = memory; PRAGMA cache_size = -4096;")?;
        conn.set_prepared_statement_cache_capacity(128);
        Ok(conn)
    };
    open().map_err(|error| explain(error, options))
}

pub(crate) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked))
}

thread_local! {
    /// The patience of the connection that this thread uses, and when its present wait began. SQLite's handler is a plain
    /// function, and a connection stays on its thread while it waits.
    static PATIENCE: Cell<(Duration, Option<Instant>)> = const { Cell::new((Duration::from_secs(5), None)) };
}

/// Says how long connections on this thread wait for a lock.
pub(crate) fn set_patience(timeout: Duration) {
    PATIENCE.set((timeout, None));
}

/// Waits for locks in short uneven steps. SQLite's own handler soon sleeps 100 ms at a time, in step with everybody else.
fn patience(conn: &mut Connection, timeout: Duration) -> rusqlite::Result<()> {
    set_patience(timeout);
    conn.busy_handler(Some(wait_a_little as fn(i32) -> bool))
}

fn wait_a_little(tries: i32) -> bool {
    let (timeout, since) = PATIENCE.get();
    let since = if tries == 0 { Instant::now() } else { since.unwrap_or_else(Instant::now) };
    PATIENCE.set((timeout, Some(since)));
    let waited = since.elapsed();
    if waited >= timeout {
        return false;
    }
    // 0.2 to 2 ms: the low digits of the clock are uneven enough to keep processes out of step.
    let step = Duration::from_micros(200 + u64::from(waited.subsec_nanos()) % 1_800);
    std::thread::sleep(step.min(timeout - waited));
    true
}
