use gristmill_core::EnqueueOutcome;
use rusqlite::{CachedStatement, Connection, OptionalExtension, params_from_iter};

use crate::names::{Interned, Names, Naming, Sort};
use crate::plan::Plan;
use crate::step::{Answer, Next, Statement, Step};

/// Runs steps on a connection of rusqlite. Each statement is prepared when it is first needed and kept, as finding it again
/// among the connection's would cost a good part of what it does.
pub(crate) struct Driver<'c> {
    conn: &'c Connection,
    prepared: [Option<CachedStatement<'c>>; Statement::COUNT],
}

impl<'c> Driver<'c> {
    pub(crate) fn new(conn: &'c Connection) -> Self {
        Self { conn, prepared: std::array::from_fn(|_| None) }
    }

    /// Carries out an enqueue.
    pub(crate) fn enqueue(&mut self, names: &mut Names, plan: &mut Plan<'_>) -> rusqlite::Result<EnqueueOutcome> {
        let mut answer = Answer::default();
        loop {
            match plan.step(names, answer) {
                Next::Run(step) => answer = self.run(&step)?,
                Next::Done(outcome) => return Ok(outcome),
            }
        }
    }

    /// The number of a name, given now if it has none.
    pub(crate) fn name<S: Sort>(&mut self, names: &mut Interned<S>, name: &str) -> rusqlite::Result<i64> {
        let mut naming = Naming::default();
        let mut answer = Answer::default();
        loop {
            match naming.step(names, name, answer) {
                Next::Run(step) => answer = self.run(&step)?,
                Next::Done(id) => return Ok(id),
            }
        }
    }

    /// One step.
    pub(crate) fn run(&mut self, step: &Step<'_>) -> rusqlite::Result<Answer> {
        let slot = &mut self.prepared[step.statement as usize];
        let statement = match slot {
            Some(statement) => statement,
            None => slot.insert(self.conn.prepare_cached(step.statement.sql())?),
        };
        let values = params_from_iter(step.values());
        if step.statement.asks() {
            let found = statement.query_row(values, |row| row.get(0)).optional()?;
            return Ok(Answer { found, ..Answer::default() });
        }
        if step.statement.names() {
            let named = statement.query_row(values, |row| row.get(0)).optional()?;
            return Ok(Answer { named, ..Answer::default() });
        }
        let changed = statement.execute(values)? as u64;
        Ok(Answer { changed, key: self.conn.last_insert_rowid(), ..Answer::default() })
    }
}
