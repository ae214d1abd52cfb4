use std::future::{Ready, ready};
use std::time::Duration;

use gristmill_core::durable::{NewEvent, Sent};
use gristmill_core::workflow::{NewWorkflow, Started};
use gristmill_core::{
    CancelOutcome, CancelWithin, Effects, EnqueueOutcome, LeaseRef, NewTask, Note, Schedule, ScheduleEdit, ScheduleWithin,
    SendWithin, SettleWithin, Settled, Settlement, StartWithin, Store, StoreError, StoreErrorKind, TaskId, Within, store_of,
};
use rusqlite::Connection;

use crate::error::Fault;
use crate::memory::Memory;
use crate::ops;
use crate::store::SqliteStore;
use crate::tx::{Tx, operate};

/// Marks [`Within`] for connections of rusqlite.
#[derive(Clone, Copy, Debug)]
pub enum Rusqlite {}

impl Within<Rusqlite> for &Connection {
    type Doing<T: Send + 'static> = Ready<Result<T, StoreError>>;

    /// Joins the transaction that is open on the connection; without one, each statement commits by itself.
    fn insert(self, store: &dyn Store, tasks: Vec<NewTask>) -> Ready<Result<Vec<EnqueueOutcome>, StoreError>> {
        ready(run(self, store, ENQUEUEING, |tx| ops::enqueue(tx, &tasks)))
    }
}

impl CancelWithin<Rusqlite> for &Connection {
    fn cancel(self, store: &dyn Store, id: TaskId) -> Ready<Result<CancelOutcome, StoreError>> {
        ready(run(self, store, "cancelling in your transaction", |tx| ops::cancel(tx, id)))
    }
}

impl ScheduleWithin<Rusqlite> for &Connection {
    fn edit_schedule(self, store: &dyn Store, name: String, edit: ScheduleEdit) -> Ready<Result<Option<Schedule>, StoreError>> {
        ready(run(self, store, EDITING, |tx| Ok(ops::edit_schedules(tx, &[name], &edit)?.pop().flatten())))
    }
}

impl StartWithin<Rusqlite> for &Connection {
    fn start_workflow(self, store: &dyn Store, workflow: NewWorkflow) -> Ready<Result<Started, StoreError>> {
        ready(run(self, store, STARTING, |tx| ops::start_workflow(tx, workflow)))
    }
}

impl SendWithin<Rusqlite> for &Connection {
    fn send_event(self, store: &dyn Store, event: NewEvent) -> Ready<Result<Sent, StoreError>> {
        ready(run(self, store, SENDING, |tx| ops::send_event(tx, &event)))
    }
}

impl SettleWithin<Rusqlite> for &Connection {
    fn settle(self, store: &dyn Store, settlement: Settlement) -> Ready<Result<Settled, StoreError>> {
        ready(run(self, store, SETTLING, |tx| ops::settle_within(tx, &settlement)))
    }

    fn hold(self, store: &dyn Store, lease: LeaseRef) -> Ready<Result<bool, StoreError>> {
        // A note that says nothing: from this write on nobody else writes to the file.
        let note = Note { lease, logs: None, progress: None };
        ready(run(self, store, SETTLING, |tx| Ok(ops::note(tx, &[note])?.first() == Some(&true))))
    }
}

impl Within<Rusqlite> for &rusqlite::Transaction<'_> {
    type Doing<T: Send + 'static> = Ready<Result<T, StoreError>>;

    fn insert(self, store: &dyn Store, tasks: Vec<NewTask>) -> Ready<Result<Vec<EnqueueOutcome>, StoreError>> {
        let conn: &Connection = self;
        conn.insert(store, tasks)
    }
}

impl CancelWithin<Rusqlite> for &rusqlite::Transaction<'_> {
    fn cancel(self, store: &dyn Store, id: TaskId) -> Ready<Result<CancelOutcome, StoreError>> {
        let conn: &Connection = self;
        conn.cancel(store, id)
    }
}

impl ScheduleWithin<Rusqlite> for &rusqlite::Transaction<'_> {
    fn edit_schedule(self, store: &dyn Store, name: String, edit: ScheduleEdit) -> Ready<Result<Option<Schedule>, StoreError>> {
        let conn: &Connection = self;
        conn.edit_schedule(store, name, edit)
    }
}

impl StartWithin<Rusqlite> for &rusqlite::Transaction<'_> {
    fn start_workflow(self, store: &dyn Store, workflow: NewWorkflow) -> Ready<Result<Started, StoreError>> {
        let conn: &Connection = self;
        StartWithin::start_workflow(conn, store, workflow)
    }
}

impl SendWithin<Rusqlite> for &rusqlite::Transaction<'_> {
    fn send_event(self, store: &dyn Store, event: NewEvent) -> Ready<Result<Sent, StoreError>> {
        let conn: &Connection = self;
        SendWithin::send_event(conn, store, event)
    }
}

impl SettleWithin<Rusqlite> for &rusqlite::Transaction<'_> {
    fn settle(self, store: &dyn Store, settlement: Settlement) -> Ready<Result<Settled, StoreError>> {
        let conn: &Connection = self;
        conn.settle(store, settlement)
    }

    fn hold(self, store: &dyn Store, lease: LeaseRef) -> Ready<Result<bool, StoreError>> {
        let conn: &Connection = self;
        conn.hold(store, lease)
    }
}

fn run<T>(
    conn: &Connection,
    store: &dyn Store,
    what: &str,
    work: impl FnOnce(&mut Tx<'_>) -> Result<T, Fault>,
) -> Result<T, StoreError> {
    let now = store_of::<SqliteStore>(store, SQLITE)?.env().now();
    // Nothing is remembered: the caller may roll back.
    let (memory, effects) = (&mut Memory::default(), &mut Effects::default());
    operate(conn, now, Duration::ZERO, memory, effects, work).map_err(|fault| {
        let error = fault.explain(what);
        if is_foreign(&error) { foreign(what, error) } else { error }
    })
}

/// The store's sort, for people.
pub(crate) const SQLITE: &str = "SQLite";
const SETTLING: &str = "settling in its transaction";
pub(crate) const EDITING: &str = "editing a schedule in your transaction";
pub(crate) const SENDING: &str = "sending an event in your transaction";
pub(crate) const STARTING: &str = "starting a workflow in your transaction";
pub(crate) const ENQUEUEING: &str = "enqueueing in your transaction";

/// Whether the driver says that there are no tables of ours.
fn is_foreign(error: &StoreError) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.to_string().contains("no such table: gristmill_"))
}

pub(crate) fn foreign(what: &str, error: StoreError) -> StoreError {
    StoreError::new(
        StoreErrorKind::NotOurs,
        format!("{what}: its database has no tables of gristmill; run `gristmill migrate` on it with ?adopt=true first"),
    )
    .with_source(error)
}
