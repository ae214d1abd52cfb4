use std::time::Duration;

use gristmill_core::{Effects, Timestamp};
use rusqlite::Connection;

use crate::error::Fault;
use crate::memory::Memory;

/// An open write transaction and all that an operation in it may touch.
pub(crate) struct Tx<'a> {
    pub(crate) conn: &'a Connection,
    pub(crate) now: Timestamp,
    /// The monotonic clock.
    pub(crate) passed: Duration,
    pub(crate) memory: &'a mut Memory,
    pub(crate) effects: &'a mut Effects,
}

/// Does something as a whole within the transaction: if it is refused or fails, all that it wrote is taken back, and the
/// transaction can go on.
pub(crate) fn whole<T, R>(
    tx: &mut Tx<'_>,
    work: impl FnOnce(&mut Tx<'_>) -> Result<Result<T, R>, Fault>,
) -> Result<Result<T, R>, Fault> {
    let conn = tx.conn;
    let run = |sql| conn.prepare_cached(sql)?.execute([]).map_err(Fault::from);
    run("SAVEPOINT gristmill_whole")?;
    let done = work(tx);
    if !matches!(done, Ok(Ok(_))) {
        // After some errors SQLite has rolled back everything by itself; the first error tells more than that of a savepoint
        // that is gone.
        let back = run("ROLLBACK TO gristmill_whole");
        tx.memory.forget_file();
        if done.is_ok() {
            back?;
        }
    }
    let released = run("RELEASE gristmill_whole");
    if done.is_ok() {
        released?;
    }
    done
}
