use async_trait::async_trait;
use gristmill_core::workflow::{
    Extended, Extension, NewWorkflow, Order, Ordered, Started, WorkflowFilter, WorkflowRecord, Workflows,
};
use gristmill_core::{Cursor, Page, StoreError, StoreErrorKind, WorkflowId};

use crate::PostgresStore;

fn missing<T>() -> Result<T, StoreError> {
    Err(StoreError::new(StoreErrorKind::Invalid, "workflows are not there yet"))
}

#[async_trait]
impl Workflows for PostgresStore {
    async fn start_workflow(&self, _: NewWorkflow) -> Result<Started, StoreError> {
        missing()
    }

    async fn extend_workflow(&self, _: Extension) -> Result<Extended, StoreError> {
        missing()
    }

    async fn workflow(&self, _: WorkflowId) -> Result<Option<WorkflowRecord>, StoreError> {
        missing()
    }

    async fn list_workflows(&self, _: &WorkflowFilter, _: Option<Cursor>, _: usize) -> Result<Page<WorkflowRecord>, StoreError> {
        missing()
    }

    async fn order_workflow(&self, _: WorkflowId, _: Order) -> Result<Ordered, StoreError> {
        missing()
    }
}
