use std::future::{Ready, ready};

use gristmill_core::{Env, Inserted, NewTask, StoreError, StoreErrorKind, Within};
use rusqlite::Connection;

use crate::memory::Memory;
use crate::ops;
use crate::tx::{Effects, Tx};

/// Marks [`Within`] for connections of rusqlite.
#[derive(Clone, Copy, Debug)]
pub enum Rusqlite {}

impl Within<Rusqlite> for &Connection {
    type Inserting = Ready<Inserted>;

    /// Joins the transaction that is open on the connection; without one, each statement commits by itself.
    fn insert(self, tasks: Vec<NewTask>) -> Ready<Inserted> {
        ready(insert(self, &tasks))
    }
}

impl Within<Rusqlite> for &rusqlite::Transaction<'_> {
    type Inserting = Ready<Inserted>;

    fn insert(self, tasks: Vec<NewTask>) -> Ready<Inserted> {
        ready(insert(self, &tasks))
    }
}

fn insert(conn: &Connection, tasks: &[NewTask]) -> Inserted {
    // Nothing is remembered: the caller may roll back.
    let mut tx = Tx { conn, now: Env::system().now(), memory: &mut Memory::default(), effects: &mut Effects::default() };
    ops::enqueue(&mut tx, tasks).map_err(|fault| {
        let error = fault.explain(WHAT);
        if is_foreign(&error) { foreign(error) } else { error }
    })
}

pub(crate) const WHAT: &str = "enqueueing in your transaction";

/// Whether the driver says that there are no tables of ours.
fn is_foreign(error: &StoreError) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.to_string().contains("no such table: gristmill_"))
}

pub(crate) fn foreign(error: StoreError) -> StoreError {
    StoreError::new(
        StoreErrorKind::NotOurs,
        format!("{WHAT}: its database has no tables of gristmill; run `gristmill migrate` on it with ?adopt=true first"),
    )
    .with_source(error)
}
