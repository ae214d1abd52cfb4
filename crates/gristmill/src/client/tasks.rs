use super::bulk::{self, BulkReport};
use super::cancel::Cancel;
use crate::client::Client;
use crate::core::durable::{Resume, Resumed};
use crate::core::limits::{PAGE_ITEMS_MAX, check_name};
use crate::core::workflow::{StepWord, WorkflowRecord};
use crate::core::{
    CancelOutcome, Cursor, DeleteOutcome, Filter, MoveOutcome, Page, ReleaseOutcome, RetryOutcome, State, StoreError, TaskId,
    TaskRecord, Why, WhyMember,
};
use crate::durable::Recorded;

/// The tasks of a store: look, cancel, retry, release, delete; one, or all that match. Made by [`Client::tasks`].
#[derive(Clone, Copy, Debug)]
pub struct Tasks<'c> {
    client: &'c Client,
}

impl<'c> Tasks<'c> {
    pub(super) fn new(client: &'c Client) -> Self {
        Self { client }
    }

    /// All that is known about a task; `None` if there is none with this id, or it is no longer kept.
    ///
    /// # Errors
    /// If the store can't be read.
    pub async fn get(&self, id: TaskId) -> Result<Option<TaskRecord>, StoreError> {
        self.client.store().get(id).await
    }

    /// Why a task does not run now: its time, other steps of its workflow, a paused queue, no worker that serves it, no free slot, ...;
    /// `None` if there is none with this id. For people: it reads all queues and workers, and they are not of one moment.
    ///
    /// ```
    /// # use gristmill::{Client, Result, TaskId};
    /// # async fn example(client: Client, id: TaskId) -> Result<()> {
    /// for reason in client.tasks().why(id).await?.into_iter().flat_map(|why| why.reasons) {
    ///     println!("{reason}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the store can't be read.
    pub async fn why(&self, id: TaskId) -> Result<Option<Why>, StoreError> {
        let store = self.client.store();
        let Some(task) = store.get(id).await? else { return Ok(None) };
        let workflow = match &task.meta.member {
            Some(of) => store.workflow(of.workflow).await?,
            None => None,
        };
        let culprit = match (&task.meta.member, &workflow) {
            (Some(of), Some(workflow)) => self.culprit(workflow, of.number).await?,
            _ => None,
        };
        let member = workflow.as_ref().map(|workflow| WhyMember { workflow, culprit });
        let memories = match task.state {
            State::Scheduled => store.memories(id).await?.kept,
            _ => Vec::new(),
        };
        let mut why = Why::of(&task, member, &memories, &store.queues().await?, &store.workers().await?);
        if let Some(batching) = self.client.registry().get(&task.kind).and_then(|kind| kind.spec.policy.batch.as_ref()) {
            why.in_batches(batching);
        }
        let waits = !task.state.is_final() && task.state != State::Running;
        if waits && store.kinds().await?.iter().any(|kind| kind.name == task.kind && kind.paused) {
            why = why.with_paused_kind(&task.kind);
        }
        Ok(Some(match task.state {
            State::Running => why.with_locks(store.locks_of(id).await?),
            State::Waiting => why.with_standby(store.stands_by(id).await?),
            _ => why,
        }))
    }

    /// The first member that did not end as it had to, of the step with which it began that this one was skipped.
    async fn culprit(&self, workflow: &WorkflowRecord, step: u32) -> Result<Option<TaskId>, StoreError> {
        /// A person waits for the answer, and a step may have a hundred thousand members.
        const PAGES_ASKED: usize = 10;
        let step = workflow.began_with(step).and_then(|number| workflow.steps.get(number as usize));
        let Some(step) = step.filter(|step| matches!(step.state(), StepWord::Failed | StepWord::Cancelled)) else {
            return Ok(None);
        };
        // Of a step that failed others may have been cancelled, which is not why.
        let wanted = |state: State| match step.state() {
            StepWord::Failed => state == State::Failed,
            _ => state.is_final() && state != State::Succeeded,
        };
        let mut after = None;
        for _ in 0..PAGES_ASKED {
            let page = self.client.store().members(workflow.id, &step.spec.name, after, PAGE_ITEMS_MAX).await?;
            if let Some(found) = page.iter().find(|member| wanted(member.state)) {
                return Ok(Some(found.task));
            }
            let Some(last) = page.last() else { break };
            after = Some(last.place);
        }
        Ok(None)
    }

    /// A page of tasks, newest first, without their histories; at most `limit` or 1,000.
    ///
    /// ```
    /// # use gristmill::{Client, Result};
    /// use gristmill::record::{Filter, State};
    /// # async fn example(client: Client) -> Result<()> {
    /// let failed = Filter { states: vec![State::Failed], kind: Some("email.send".to_owned()), ..Filter::default() };
    /// let mut after = None;
    /// loop {
    ///     let page = client.tasks().list(&failed, after, 100).await?;
    ///     for task in &page.items {
    ///         println!("{} {:?}", task.id, task.error);
    ///     }
    ///     after = page.next;
    ///     if after.is_none() {
    ///         break;
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the store can't be read.
    pub async fn list(&self, filter: &Filter, after: Option<Cursor>, limit: usize) -> Result<Page<TaskRecord>, StoreError> {
        self.client.store().list(filter, after, limit.clamp(1, PAGE_ITEMS_MAX)).await
    }

    /// Cancels a task. The answer says what happened; a task that was answered with
    /// [`Cancelled`](CancelOutcome::Cancelled) never starts. [`Cancel::within`] does it in the caller's own transaction.
    ///
    /// Awaiting it fails if the store can't be written.
    pub fn cancel(&self, id: TaskId) -> Cancel<'c> {
        Cancel::new(self.client, id)
    }

    /// Makes an ended task ready again, with fresh attempts, under its id and with its history.
    ///
    /// # Errors
    /// If the store can't be written.
    pub async fn retry(&self, id: TaskId) -> Result<RetryOutcome, StoreError> {
        Ok(self.client.store().retry(&[id]).await?.into_iter().next().unwrap_or(RetryOutcome::NotFound))
    }

    /// Lets a task run now, by hand: takes one that runs from its worker, at the cost of no attempt, and one that is scheduled from
    /// its time. What a handler does that still runs it is not undone; its end is refused. See
    /// [`Store::release`](crate::core::Store::release).
    ///
    /// # Errors
    /// If the store can't be written.
    pub async fn release(&self, id: TaskId) -> Result<ReleaseOutcome, StoreError> {
        let outcomes = self.client.store().release(&[id]).await?;
        Ok(outcomes.first().copied().unwrap_or(ReleaseOutcome::NotFound))
    }

    /// A task with all that it remembers of its durable steps, as it is stored: to be looked at, or
    /// [replayed](crate::testing::Harness::replay) against the code of today. `None` if there is none with this id.
    ///
    /// # Errors
    /// If the store can't be read.
    pub async fn export(&self, id: TaskId) -> Result<Option<Recorded>, StoreError> {
        let store = self.client.store();
        let Some(task) = store.get(id).await? else { return Ok(None) };
        Ok(Some(Recorded::of(task, store.memories(id).await?)))
    }

    /// Lets a task go on that stands still, as its code no longer asks for what it remembers of its [durable steps](crate::durable): as it is,
    /// for code that does; as if it remembered nothing from there on; or not at all, so that it fails.
    ///
    /// ```
    /// # use gristmill::{Client, Result, TaskId};
    /// use gristmill::durable::Resume;
    /// # async fn example(client: Client, id: TaskId) -> Result<()> {
    /// client.tasks().resume(id, Resume::Again).await?; // once the code is as it was
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the store can't be written. A repetition is safe.
    pub async fn resume(&self, id: TaskId, how: Resume) -> Result<Resumed, StoreError> {
        self.client.store().resume_task(id, how).await
    }

    /// Deletes an ended task with its result and history, before its retention is over. There is no way back.
    ///
    /// ```
    /// # use gristmill::{Client, Result, TaskId};
    /// use gristmill::client::DeleteOutcome;
    /// # async fn example(client: Client, id: TaskId) -> Result<()> {
    /// if client.tasks().delete(id).await? == DeleteOutcome::NotEnded {
    ///     client.tasks().cancel(id).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If the store can't be written.
    pub async fn delete(&self, id: TaskId) -> Result<DeleteOutcome, StoreError> {
        Ok(self.client.store().delete(&[id]).await?.into_iter().next().unwrap_or(DeleteOutcome::NotFound))
    }

    /// Cancels all tasks that match and have not ended. `each` hears of every one, as it happens.
    ///
    /// # Errors
    /// If the store can't be read or written; what was reported to `each` stands.
    pub async fn cancel_all(&self, filter: &Filter, each: impl FnMut(TaskId, CancelOutcome)) -> Result<BulkReport, StoreError> {
        bulk::cancel(self.client, filter, each).await
    }

    /// Retries all tasks that match and have ended. Those that have succeeded are left alone, unless
    /// [`Filter::states`] names them. `each` hears of every one, as it happens.
    ///
    /// # Errors
    /// As [`cancel_all`](Self::cancel_all).
    pub async fn retry_all(&self, filter: &Filter, each: impl FnMut(TaskId, RetryOutcome)) -> Result<BulkReport, StoreError> {
        bulk::retry(self.client, filter, each).await
    }

    /// Moves all tasks that match and wait to another queue, the oldest first, in batches: they keep their priorities, their order and their limits. What runs
    /// stays where it is, with its later attempts, and so does what comes meanwhile. `each` hears of every one, as it happens. The name
    /// is that of the store, with the [prefix](crate::App::queue_prefix) if there is one.
    ///
    /// ```
    /// # use gristmill::{Client, Result};
    /// use gristmill::record::Filter;
    /// # async fn example(client: Client) -> Result<()> {
    /// let heavy = Filter { queue: Some("default".to_owned()), kind: Some("report.build".to_owned()), ..Filter::default() };
    /// let report = client.tasks().move_all(&heavy, "heavy", |_, _| {}).await?;
    /// println!("{} moved", report.changed);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Invalid` for a name that no queue can have; and as [`cancel_all`](Self::cancel_all).
    pub async fn move_all(
        &self,
        filter: &Filter,
        queue: &str,
        each: impl FnMut(TaskId, MoveOutcome),
    ) -> Result<BulkReport, StoreError> {
        check_name("queue", queue)?;
        bulk::move_to(self.client, filter, queue, each).await
    }

    /// Deletes all tasks that match and have ended, whatever their end was, with their results and histories. There is no way back:
    /// [`list`](Self::list) shows beforehand which they are. `each` hears of every one, as it happens.
    ///
    /// ```
    /// # use gristmill::{Client, Result};
    /// use gristmill::record::{Filter, State};
    /// # async fn example(client: Client) -> Result<()> {
    /// let expired = Filter { states: vec![State::Expired], queue: Some("mail".to_owned()), ..Filter::default() };
    /// let report = client.tasks().delete_all(&expired, |id, outcome| println!("{id} {outcome:?}")).await?;
    /// println!("{} deleted", report.changed);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`cancel_all`](Self::cancel_all).
    pub async fn delete_all(&self, filter: &Filter, each: impl FnMut(TaskId, DeleteOutcome)) -> Result<BulkReport, StoreError> {
        bulk::delete(self.client, filter, each).await
    }
}
