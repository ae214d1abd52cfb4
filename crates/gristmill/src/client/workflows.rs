use std::collections::BTreeMap;

use serde_json::Value;

use crate::client::Client;
use crate::client::enqueue::{REPETITION_MAX, is_broken};
use crate::core::workflow::{
    Draft, Extended, Extension, Member, NewWorkflow, Order, Ordered, Rerun, Retried, Started, Tolerance, Tolerated,
    WorkflowFilter, WorkflowRecord,
};
use crate::core::{Cursor, Page, StoreError, WorkflowId};
use crate::workflow::{Form, MemberDraft, Start, StartError, WorkflowHandle};

/// The workflows of a store: start, look, cancel, pause, resume, retry. Made by [`Client::workflows`]; a workflow is written with
/// [`Client::workflow`].
#[derive(Clone, Copy, Debug)]
pub struct Workflows<'c> {
    client: &'c Client,
}

impl<'c> Workflows<'c> {
    pub(super) fn new(client: &'c Client) -> Self {
        Self { client }
    }

    /// A workflow that somebody wrote with steps by their names, as from JSON, about to be started: `.await` it. Its members' arguments
    /// may have references to results, which need not be told in [`StepDraft::refers`](crate::core::workflow::StepDraft::refers): they are
    /// found here.
    ///
    /// ```
    /// # use gristmill::{Client, Result, task};
    /// use gristmill::core::workflow::{Draft, Needs, StepDraft};
    /// use gristmill::workflow::MemberDraft;
    /// use serde_json::json;
    /// # async fn example(client: Client) -> Result<()> {
    /// let add = StepDraft::one("add", "add", MemberDraft::new(json!({ "a": 1, "b": 2 })));
    /// let mut double = StepDraft::one("double", "add", MemberDraft::new(json!({ "a": { "$result": "add" }, "b": 3 })));
    /// double.after.push(("add".into(), Needs::Success));
    /// let draft = Draft { name: "sums".into(), steps: vec![add, double], ..Draft::default() };
    /// let run = client.workflows().draft(draft).await?;
    /// println!("{}", run.result().await?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn draft(&self, draft: Draft<MemberDraft>) -> Start<'c, Value> {
        Start::new(self.client, Ok(draft), BTreeMap::new())
    }

    /// A workflow in its JSON form, about to be started: `.await` it. It is [checked](Form::check) against the task types that this client
    /// knows, all of it before anything is kept.
    ///
    /// ```
    /// # use gristmill::{Client, Result};
    /// use gristmill::workflow::Form;
    /// # async fn example(client: Client) -> Result<()> {
    /// let form = Form::read(r#"{"name": "one", "steps": {"greet": {"task": "greet", "args": {"name": "world"}}}}"#)?;
    /// let run = client.workflows().form(form).await?;
    /// println!("{}", run.result().await?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn form(&self, form: Form) -> Start<'c, Value> {
        form.start(self.client)
    }

    /// Starts a workflow of which everything is decided. If it was started before under the same id, or if another one holds its
    /// [key](NewWorkflow::key), the handle is that one's, and nothing changes: its id tells.
    ///
    /// # Errors
    /// What is out of a limit; a member with the id of another task; or the store's error, after a repetition if the connection
    /// was lost.
    pub async fn start(&self, workflow: NewWorkflow) -> Result<WorkflowHandle<Value>, StartError> {
        let id = workflow.id;
        let handle = StartError::outcome(self.client, id, self.keep(workflow).await)?;
        self.run_inline().await.map_err(|error| StartError::Store { id, error })?;
        Ok(handle)
    }

    /// Whether it is kept is not known after a connection was lost, but its id is: once more with that starts it at most once.
    async fn keep(&self, workflow: NewWorkflow) -> Result<Started, StoreError> {
        let again = workflow.clone();
        match self.client.store().start_workflow(workflow).await {
            Err(error) if is_broken(&error) => {
                tracing::debug!(workflow = %again.id, %error, "the start of a workflow is tried once more");
                let answer = tokio::time::timeout(REPETITION_MAX, self.client.store().start_workflow(again)).await;
                answer.unwrap_or(Err(error))
            }
            answer => answer,
        }
    }

    /// Adds members to a step that was left open, or closes it, or both. A repetition with the same
    /// [`from`](Extension::from) adds nothing twice.
    ///
    /// # Errors
    /// If there are more than [`BATCH_TASKS_MAX`](crate::core::limits::BATCH_TASKS_MAX), or the store can't be written.
    pub async fn extend(&self, extension: Extension) -> Result<Extended, StoreError> {
        let extended = self.client.store().extend_workflow(extension).await?;
        self.run_inline().await?;
        Ok(extended)
    }

    /// A handle on a workflow that was started before, perhaps elsewhere. Its result is JSON.
    pub fn handle(&self, id: WorkflowId) -> WorkflowHandle<Value> {
        WorkflowHandle::new(self.client.clone(), id)
    }

    /// All that is known about a workflow, with its steps.
    ///
    /// # Errors
    /// If the store can't be read.
    pub async fn get(&self, id: WorkflowId) -> Result<Option<WorkflowRecord>, StoreError> {
        self.client.store().workflow(id).await
    }

    /// A page of the workflows that match, newest first, without steps and definitions; at most `limit` or 1,000.
    ///
    /// # Errors
    /// If the store can't be read.
    pub async fn list(
        &self,
        filter: &WorkflowFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<WorkflowRecord>, StoreError> {
        self.client.store().list_workflows(filter, after, limit).await
    }

    /// A page of the members of a step in their order, from behind the place `after` on: at most `limit`, and as many as have about
    /// [`RESULTS_BYTES_MAX`](crate::core::limits::RESULTS_BYTES_MAX) of results together, as they are stored. None if there is no such
    /// workflow or step, or none are left.
    ///
    /// # Errors
    /// If the store can't be read.
    pub async fn members(&self, id: WorkflowId, step: &str, after: Option<u32>, limit: usize) -> Result<Vec<Member>, StoreError> {
        self.client.store().members(id, step, after, limit).await
    }

    /// Cancels a workflow: what waits ends, what runs is asked to end, and then handlers and what undoes steps run. Its state is
    /// `cancelling` until all that has ended. A pause is over then.
    ///
    /// # Errors
    /// If the store can't be written. A repetition is safe.
    pub async fn cancel(&self, id: WorkflowId) -> Result<Ordered, StoreError> {
        self.order(id, Order::Cancel).await
    }

    /// Holds a workflow: what runs goes on, and no step begins until it is resumed. One that is cancelling is not held.
    ///
    /// # Errors
    /// If the store can't be written. A repetition is safe.
    pub async fn pause(&self, id: WorkflowId) -> Result<Ordered, StoreError> {
        self.order(id, Order::Pause).await
    }

    /// Lets a paused workflow go on.
    ///
    /// # Errors
    /// If the store can't be written. A repetition is safe.
    pub async fn resume(&self, id: WorkflowId) -> Result<Ordered, StoreError> {
        self.order(id, Order::Resume).await
    }

    /// Begins a workflow anew that has ended, under the same id: all of it, or what failed; see [`Retry`](crate::workflow::Retry), which also
    /// says how that is done [without the history](crate::workflow::Retry::without_history) of what runs again. That waits as it did at first,
    /// and its handlers and what undoes steps run again when they are needed. The answer tells why it could not be.
    ///
    /// ```
    /// # use gristmill::{Client, Result, core::WorkflowId};
    /// use gristmill::workflow::{Retried, Retry};
    /// # async fn example(client: Client, id: WorkflowId) -> Result<()> {
    /// match client.workflows().retry(id, Retry::Failed).await? {
    ///     Retried::Done(attempt) => println!("attempt {attempt}: {}", client.workflows().handle(id).result().await?),
    ///     Retried::Gone(step) => println!("members of {step} are no longer kept: start another one"),
    ///     refused => println!("{refused:?}"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the store can't be written. After a lost connection, a repetition may find that it has [not ended](Retried::NotEnded): it was done.
    pub async fn retry(&self, id: WorkflowId, retry: impl Into<Rerun>) -> Result<Retried, StoreError> {
        let retried = self.client.store().retry_workflow(id, retry.into()).await?;
        self.run_inline().await?;
        Ok(retried)
    }

    /// Changes how many members of a step need not succeed, while it runs or waits. A step that has ended keeps its end; a
    /// [retry](Self::retry) keeps the change. Programs of the version before go by what the step was defined with.
    ///
    /// ```
    /// # use gristmill::{Client, Result, core::WorkflowId};
    /// use gristmill::workflow::Tolerance;
    /// # async fn example(client: Client, id: WorkflowId) -> Result<()> {
    /// client.workflows().tolerate(id, "process", Tolerance::Percent(20)).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the store can't be written. A repetition is safe.
    pub async fn tolerate(&self, id: WorkflowId, step: &str, tolerance: Tolerance) -> Result<Tolerated, StoreError> {
        let tolerated = self.client.store().tolerate(id, step, tolerance).await?;
        self.run_inline().await?;
        Ok(tolerated)
    }

    async fn order(&self, id: WorkflowId, order: Order) -> Result<Ordered, StoreError> {
        let ordered = self.client.store().order_workflow(id, order).await?;
        self.run_inline().await?;
        Ok(ordered)
    }

    /// In a test that has no queue: runs what is ready now.
    async fn run_inline(&self) -> Result<(), StoreError> {
        #[cfg(feature = "testing")]
        if let Some(inline) = self.client.inline().get() {
            inline.drain(self.client).await?;
        }
        Ok(())
    }
}
