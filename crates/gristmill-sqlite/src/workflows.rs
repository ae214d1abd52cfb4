use gristmill_core::workflow::{
    Extended, Extension, KEPT_MIN, NewWorkflow, Order, Ordered, Rerun, Retried, Started, Tolerance, Tolerated, WorkflowFilter,
    WorkflowRecord, Workflows,
};
use gristmill_core::{Cursor, Page, StoreError, WorkflowId, async_trait};

use crate::store::SqliteStore;
use crate::{ops, view};

#[async_trait]
impl Workflows for SqliteStore {
    async fn start_workflow(&self, workflow: NewWorkflow) -> Result<Started, StoreError> {
        let weight = workflow.members.len() + workflow.steps.len();
        self.write(weight, move |tx| ops::start_workflow(tx, workflow.clone())).await
    }

    async fn extend_workflow(&self, extension: Extension) -> Result<Extended, StoreError> {
        self.write(extension.members.len(), move |tx| ops::extend_workflow(tx, &extension)).await
    }

    async fn workflow(&self, id: WorkflowId) -> Result<Option<WorkflowRecord>, StoreError> {
        self.read(move |view| view::workflow(view, id)).await
    }

    async fn list_workflows(
        &self,
        filter: &WorkflowFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<WorkflowRecord>, StoreError> {
        let filter = filter.clone();
        self.read(move |view| view::list_workflows(view, &filter, after, limit)).await
    }

    async fn order_workflow(&self, id: WorkflowId, order: Order) -> Result<Ordered, StoreError> {
        self.write(1, move |tx| ops::order_workflow(tx, id, order)).await
    }

    async fn retry_workflow(&self, id: WorkflowId, rerun: Rerun) -> Result<Retried, StoreError> {
        // Counting may take long, and holds up nobody there; what is kept for long enough is still there when this is written.
        let kept = self.read(move |view| view::kept_members(view, id, view.now.saturating_add(KEPT_MIN))).await?;
        self.write(1, move |tx| ops::retry_workflow(tx, id, rerun, &kept)).await
    }

    async fn tolerate(&self, id: WorkflowId, step: &str, tolerance: Tolerance) -> Result<Tolerated, StoreError> {
        let step = step.to_owned();
        self.write(1, move |tx| ops::tolerate(tx, id, &step, tolerance)).await
    }
}
