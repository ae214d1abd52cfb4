use std::time::Duration;

use gristmill_core::{Effects, Timestamp};
use rusqlite::{CachedStatement, Connection};

use crate::error::Fault;
use crate::memory::Memory;
use crate::ops::{Budget, Lasts, Report, admit_touched, follow};

/// Labels that one operation writes, some tens of milliseconds; thousands may stand for one task, and nobody else writes meanwhile.
/// Tasks beyond it are labelled by sweeps, and until then lists look through them.
const LABELS_MAX: usize = 10_000;
/// Members of workflows that one operation lets go, cancels or forgets; sweeps do the rest.
const MEMBERS_MAX: usize = 1_000;

/// A part of a transaction that is taken back by itself, if it is.
pub(crate) const WHOLE_BEGIN: &str = "SAVEPOINT gristmill_whole";
pub(crate) const WHOLE_UNDO: &str = "ROLLBACK TO gristmill_whole";
pub(crate) const WHOLE_END: &str = "RELEASE gristmill_whole";

/// An open write transaction and all that an operation in it may touch.
pub(crate) struct Tx<'a> {
    pub(crate) conn: &'a Connection,
    pub(crate) now: Timestamp,
    /// The monotonic clock.
    pub(crate) passed: Duration,
    pub(crate) memory: &'a mut Memory,
    pub(crate) effects: &'a mut Effects,
    /// Labels that may still be written, of [`LABELS_MAX`].
    pub(crate) labels: usize,
    /// What workflows have yet to be told.
    pub(crate) reports: Vec<Report>,
    /// Whether somebody may have been given a slot of a key, or have come to wait for one.
    pub(crate) touched: bool,
    /// The last places of lines, as far as it has looked.
    pub(crate) lasts: Lasts,
    /// How many members something may still be done to, once that has begun.
    members: Option<Budget>,
    kept: Vec<(&'static str, CachedStatement<'a>)>,
}

/// Runs an operation in an open write transaction, and then does what follows for workflows from the ends that it brought about, and for those who wait for slots. There is
/// no other way to one, so that no end can be written without what follows from it.
pub(crate) fn operate<T>(
    conn: &Connection,
    now: Timestamp,
    passed: Duration,
    memory: &mut Memory,
    effects: &mut Effects,
    work: impl FnOnce(&mut Tx<'_>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let mut tx = Tx {
        conn,
        now,
        passed,
        memory,
        effects,
        labels: LABELS_MAX,
        reports: Vec::new(),
        touched: false,
        lasts: Lasts::new(),
        members: None,
        kept: Vec::new(),
    };
    let done = work(&mut tx)?;
    follow(&mut tx)?;
    admit_touched(&mut tx)?;
    // Who was dropped there may be a member, of which others wait for slots in turn.
    while !tx.reports.is_empty() {
        follow(&mut tx)?;
        admit_touched(&mut tx)?;
    }
    Ok(done)
}

impl<'a> Tx<'a> {
    /// How many members something may still be done to: so many from now on, if nobody has said otherwise.
    pub(crate) fn members(&mut self) -> &mut Budget {
        self.members.get_or_insert_with(|| Budget::new(MEMBERS_MAX))
    }

    /// That something may be done to so many members.
    pub(crate) fn allow_members(&mut self, most: usize) {
        self.members = Some(Budget::new(most));
    }

    /// A statement that is run for each of many tasks. It is kept as long as this, since finding it among the connection's and
    /// putting it back there, by its text, costs a good part of what it does.
    pub(crate) fn kept(&mut self, sql: &'static str) -> rusqlite::Result<&mut CachedStatement<'a>> {
        let place = match self.kept.iter().position(|(known, _)| *known == sql) {
            Some(place) => place,
            None => {
                self.kept.push((sql, self.conn.prepare_cached(sql)?));
                self.kept.len() - 1
            }
        };
        Ok(&mut self.kept[place].1)
    }
}

/// Does something as a whole within the transaction: if it is refused or fails, all that it wrote is taken back, and the
/// transaction can go on.
pub(crate) fn whole<T, R>(
    tx: &mut Tx<'_>,
    work: impl FnOnce(&mut Tx<'_>) -> Result<Result<T, R>, Fault>,
) -> Result<Result<T, R>, Fault> {
    let conn = tx.conn;
    let told = tx.reports.len();
    let run = |sql| conn.prepare_cached(sql)?.execute([]).map_err(Fault::from);
    run(WHOLE_BEGIN)?;
    let done = work(tx);
    if !matches!(done, Ok(Ok(_))) {
        // After some errors SQLite has rolled back everything by itself; the first error tells more than that of a savepoint
        // that is gone.
        let back = run(WHOLE_UNDO);
        tx.memory.forget_file();
        tx.reports.truncate(told);
        if done.is_ok() {
            back?;
        }
    }
    let released = run(WHOLE_END);
    if done.is_ok() {
        released?;
    }
    done
}
