use async_trait::async_trait;

use super::{
    Extended, Extension, NewWorkflow, Order, Ordered, Rerun, Retried, Started, Tolerance, Tolerated, WorkflowFilter,
    WorkflowRecord,
};
use crate::{Cursor, Page, StoreError, WorkflowId};

/// What a store does for workflows, beside telling them of the ends of their members and letting go what follows, which it does by itself,
/// at the door out and in the transaction of the end or right after it. What follows says [`advance`](super::advance); a sweep makes good
/// what a crash or a lost wake-up left.
///
/// Members are tasks like any other: they are claimed, cancelled and listed as such. Their results are read by
/// [`Source::members`](crate::Source::members), as workers need them.
#[async_trait]
pub trait Workflows {
    /// Writes a workflow with the members that are known, all of it or nothing, and lets its first steps go.
    ///
    /// # Errors
    /// `Invalid` if it is out of a [limit](NewWorkflow::check), or if the store can't be written; a repetition with the same id is safe.
    async fn start_workflow(&self, workflow: NewWorkflow) -> Result<Started, StoreError>;

    /// Adds members to a step that is open, or closes it, or both.
    ///
    /// # Errors
    /// `Invalid` if there are more than [`BATCH_TASKS_MAX`](crate::limits::BATCH_TASKS_MAX), or if the store can't be written; a repetition is safe.
    async fn extend_workflow(&self, extension: Extension) -> Result<Extended, StoreError>;

    /// One workflow with its steps.
    ///
    /// # Errors
    /// If the store can't be read.
    async fn workflow(&self, id: WorkflowId) -> Result<Option<WorkflowRecord>, StoreError>;

    /// Workflows that match, newest first, without their steps and definitions. At most
    /// [`PAGE_ITEMS_MAX`](crate::limits::PAGE_ITEMS_MAX) a page.
    ///
    /// # Errors
    /// If the store can't be read.
    async fn list_workflows(
        &self,
        filter: &WorkflowFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<WorkflowRecord>, StoreError>;

    /// Begins one anew that has ended: all of it, or what failed. What runs again is blocked again in parts of bounded size, the last of which
    /// may come after this returns; then it goes on as it did at first, under the same id, with the next attempt.
    ///
    /// # Errors
    /// If the store can't be written. A repetition finds that it has not ended.
    async fn retry_workflow(&self, id: WorkflowId, rerun: Rerun) -> Result<Retried, StoreError>;

    /// Changes how many members of a step need not succeed, as long as the step has not ended. A retry of the workflow leaves it so.
    ///
    /// # Errors
    /// If the store can't be written. A repetition is safe.
    async fn tolerate(&self, id: WorkflowId, step: &str, tolerance: Tolerance) -> Result<Tolerated, StoreError>;

    /// Cancels, pauses or resumes one. A cancel ends what waits in steps of bounded size, the last of which may come after this returns, and
    /// asks what runs to end; handlers and what undoes steps run then.
    ///
    /// # Errors
    /// If the store can't be written. A repetition is safe.
    async fn order_workflow(&self, id: WorkflowId, order: Order) -> Result<Ordered, StoreError>;
}
