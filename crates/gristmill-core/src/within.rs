use std::future::Future;

use crate::durable::{NewEvent, Sent};
use crate::workflow::{NewWorkflow, Started};
use crate::{
    CancelOutcome, EnqueueOutcome, LeaseRef, NewTask, Schedule, ScheduleEdit, Settled, Settlement, Store, StoreError,
    StoreErrorKind, TaskId,
};

/// A caller's own open transaction, of whatever driver, in which tasks can be put: they commit and roll back with it.
///
/// `Driver` only tells implementations apart, so that each store's crate can implement this for types of its driver.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a transaction that tasks can be enqueued in",
    note = "pass `&transaction` of rusqlite; for others enable the feature of your driver: `sqlx-0_8` or `sqlx-0_9`, that of \
            your version (`&mut transaction`), `tokio-postgres` (`&transaction`), `diesel-postgres` (`&mut connection`), and that \
            of the store: `sqlite` or `postgres`",
    note = "a transaction of a pool has to be dereferenced: `&*transaction`, `&mut *connection`"
)]
pub trait Within<Driver>: Sized {
    /// What an operation returns: ready at once for a synchronous driver.
    type Doing<T: Send + 'static>: Future<Output = Result<T, StoreError>>;

    /// Writes the tasks, any number of them, and answers for each. Nothing is committed. `store` is the client's: it knows
    /// where its tables are, and has to be of the driver's sort ([`store_of`]).
    fn insert(self, store: &dyn Store, tasks: Vec<NewTask>) -> Self::Doing<Vec<EnqueueOutcome>>;
}

/// A transaction in which tasks can be cancelled, too.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a transaction that tasks can be cancelled in",
    note = "pass `&transaction` of rusqlite or tokio-postgres, `&mut transaction` of sqlx on PostgreSQL, or `&mut connection` of \
            diesel-async, with the feature of the driver enabled"
)]
pub trait CancelWithin<Driver>: Within<Driver> {
    /// Cancels a task. Nothing is committed.
    fn cancel(self, store: &dyn Store, id: TaskId) -> Self::Doing<CancelOutcome>;
}

/// A transaction in which workflows can be started, too.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a transaction that workflows can be started in",
    note = "pass `&transaction` of rusqlite or tokio-postgres, `&mut transaction` of sqlx, or `&mut connection` of diesel-async, with \
            the feature of the driver enabled"
)]
pub trait StartWithin<Driver>: Within<Driver> {
    /// Starts a workflow as [`Workflows::start_workflow`](crate::workflow::Workflows::start_workflow) does: it goes on when the transaction is committed, or
    /// never was. Nothing is committed.
    fn start_workflow(self, store: &dyn Store, workflow: NewWorkflow) -> Self::Doing<Started>;
}

/// A transaction in which events can be sent, too.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a transaction that events can be sent in",
    note = "pass `&transaction` of rusqlite or tokio-postgres, `&mut transaction` of sqlx, or `&mut connection` of diesel-async, with \
            the feature of the driver enabled"
)]
pub trait SendWithin<Driver>: Within<Driver> {
    /// Sends an event as [`Durable::send_event`](crate::durable::Durable::send_event) does: whoever awaits it goes on when the transaction is committed.
    /// Nothing is committed.
    fn send_event(self, store: &dyn Store, event: NewEvent) -> Self::Doing<Sent>;
}

/// A transaction in which schedules can be edited, too.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a transaction that schedules can be edited in",
    note = "pass `&transaction` of rusqlite or tokio-postgres, `&mut transaction` of sqlx, or `&mut connection` of \
            diesel-async, with the feature of the driver enabled"
)]
pub trait ScheduleWithin<Driver>: Within<Driver> {
    /// Edits a schedule as [`Schedules::edit_schedules`](crate::Schedules::edit_schedules) does, and answers how it stands then;
    /// nobody else edits or advances it until the transaction ends. Nothing is committed. If `edit` refuses, nothing is
    /// written.
    fn edit_schedule(self, store: &dyn Store, name: String, edit: ScheduleEdit) -> Self::Doing<Option<Schedule>>;
}

/// A transaction in which the attempt that opened it can be settled, too.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a transaction that an attempt can be settled in",
    note = "pass `&transaction` of rusqlite or tokio-postgres, or `&mut transaction` of sqlx on PostgreSQL, with the feature of the \
            driver enabled"
)]
pub trait SettleWithin<Driver>: Within<Driver> {
    /// Writes the end of an attempt that succeeded. Nothing is committed; if the lease is lost, nothing is written.
    fn settle(self, store: &dyn Store, settlement: Settlement) -> Self::Doing<Settled>;

    /// Keeps the lease from everybody else until the transaction ends, so that only a holder commits. False: it is lost.
    fn hold(self, store: &dyn Store, lease: LeaseRef) -> Self::Doing<bool>;
}

/// The concrete store behind a client, for drivers that belong to it alone; `sort` is its name for people.
///
/// # Errors
/// `Invalid` if the client's tasks are in a store of another sort.
pub fn store_of<'s, S: Store>(store: &'s dyn Store, sort: &str) -> Result<&'s S, StoreError> {
    store.as_any().downcast_ref().ok_or_else(|| {
        let message = format!(
            "the client's tasks are in {}, which is not {sort}; give the transaction to a client of its own database",
            store.location()
        );
        StoreError::new(StoreErrorKind::Invalid, message)
    })
}
