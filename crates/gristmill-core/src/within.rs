use std::future::Future;

use crate::{EnqueueOutcome, NewTask, StoreError};

/// A caller's own open transaction, of whatever driver, into which tasks can be put: they commit and roll back with it.
///
/// `Driver` only tells implementations apart, so that each store's crate can implement this for types of its driver.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a transaction that tasks can be enqueued in",
    note = "pass `&transaction` of rusqlite, or enable the feature of your driver (`sqlx-sqlite`) and pass `&mut transaction`"
)]
pub trait Within<Driver> {
    /// What inserting returns: ready at once for a synchronous driver.
    type Inserting: Future<Output = Inserted>;

    /// Writes the tasks with fixed statements. Nothing is committed.
    fn insert(self, tasks: Vec<NewTask>) -> Self::Inserting;
}

/// One outcome a task, or why none could be written.
pub type Inserted = Result<Vec<EnqueueOutcome>, StoreError>;
