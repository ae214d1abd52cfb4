use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::read::{ROOM, ReadError, Reader};
use super::{Failed, RunError, is_work};
use crate::client::Client;
use crate::core::workflow::{
    Needs, Ordered, Rerun, Retried, StepEnd, StepRecord, StepState, Tolerance, Tolerated, WorkflowRecord, WorkflowState,
};
use crate::core::{StoreError, Wake, WorkflowId};
use crate::panics;

/// Shorter than a person notices, for what ends right after its last task.
const LOOK_AGAIN_FIRST: Duration = Duration::from_millis(20);
const LOOK_AGAIN_MAX: Duration = Duration::from_secs(1);

/// A hand on one run of a workflow: await its result, look at it, cancel it, pause it, retry it.
///
/// Its result is that of its last step, which is the one that no other waits for; an array of them if that is a group. If there are
/// several, it is an object with the result of each by its name, `null` for one that was skipped.
pub struct WorkflowHandle<O = Value> {
    client: Client,
    id: WorkflowId,
    output: PhantomData<fn() -> O>,
}

impl<O> WorkflowHandle<O> {
    pub(crate) fn new(client: Client, id: WorkflowId) -> Self {
        Self { client, id, output: PhantomData }
    }

    /// The workflow's id.
    pub fn id(&self) -> WorkflowId {
        self.id
    }

    /// The same run, whose result is an `R`; `serde_json::Value` takes any.
    ///
    /// ```
    /// # use gristmill::{Client, Result, core::WorkflowId};
    /// # async fn example(client: Client, id: WorkflowId) -> Result<()> {
    /// let sum: u64 = client.workflows().handle(id).typed::<u64>().result().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn typed<R>(self) -> WorkflowHandle<R> {
        WorkflowHandle::new(self.client, self.id)
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// All that is known about it, with its steps.
    ///
    /// # Errors
    /// If the store can't be read.
    pub async fn status(&self) -> Result<Option<WorkflowRecord>, StoreError> {
        self.client.workflows().get(self.id).await
    }

    /// Cancels it; see [`Workflows::cancel`](crate::client::Workflows::cancel).
    ///
    /// # Errors
    /// If the store can't be written.
    pub async fn cancel(&self) -> Result<Ordered, StoreError> {
        self.client.workflows().cancel(self.id).await
    }

    /// Holds it; see [`Workflows::pause`](crate::client::Workflows::pause).
    ///
    /// # Errors
    /// If the store can't be written.
    pub async fn pause(&self) -> Result<Ordered, StoreError> {
        self.client.workflows().pause(self.id).await
    }

    /// Lets it go on; see [`Workflows::resume`](crate::client::Workflows::resume).
    ///
    /// # Errors
    /// If the store can't be written.
    pub async fn resume(&self) -> Result<Ordered, StoreError> {
        self.client.workflows().resume(self.id).await
    }

    /// Begins it anew once it has ended; see [`Workflows::retry`](crate::client::Workflows::retry).
    ///
    /// # Errors
    /// If the store can't be written.
    pub async fn retry(&self, retry: impl Into<Rerun>) -> Result<Retried, StoreError> {
        self.client.workflows().retry(self.id, retry).await
    }

    /// Changes how many of a step may fail; see [`Workflows::tolerate`](crate::client::Workflows::tolerate).
    ///
    /// # Errors
    /// If the store can't be written.
    pub async fn tolerate(&self, step: &str, tolerance: Tolerance) -> Result<Tolerated, StoreError> {
        self.client.workflows().tolerate(self.id, step, tolerance).await
    }

    /// What went wrong in its work: that of the first member that failed, of the first step that did. `None` if nothing did, or it is no
    /// longer kept.
    ///
    /// # Errors
    /// If the store can't be read, or there is no such workflow.
    pub async fn failure(&self) -> Result<Option<Failed>, RunError> {
        let unread = |error| RunError::Store { id: self.id, error };
        let record = self.status().await.map_err(unread)?.ok_or(RunError::NotKept { id: self.id })?;
        self.reader().failure(&record).await.map_err(unread)
    }

    /// Waits until it has ended, its handlers and what undoes steps included, however long that takes.
    ///
    /// # Errors
    /// If the store can't be read, or the workflow is not (or no longer) there; [`RunError::InHandler`] in a handler.
    ///
    /// # Cancel safety
    /// Nothing is lost; await again.
    pub async fn ended(&self) -> Result<WorkflowRecord, RunError> {
        let id = self.id;
        if panics::is_in_handler() {
            return Err(RunError::InHandler { id });
        }
        let mut look_again = LOOK_AGAIN_FIRST;
        loop {
            let unread = |error| RunError::Store { id, error };
            let record = self.status().await.map_err(unread)?.ok_or(RunError::NotKept { id })?;
            if record.state.is_final() {
                return Ok(record);
            }
            if self.wait(&record, look_again).await.map_err(unread)? {
                look_again = LOOK_AGAIN_FIRST;
            } else {
                look_again = (look_again * 2).min(LOOK_AGAIN_MAX);
            }
        }
    }

    /// Waits for the last member of the last step that has not ended, with which most workflows end, and for `timeout` at most. Whether
    /// that has ended now.
    async fn wait(&self, record: &WorkflowRecord, timeout: Duration) -> Result<bool, StoreError> {
        let is_open = |step: &&StepRecord| !matches!(step.row.state, StepState::Ended(_)) && step.row.tally.members > 0;
        let last = match record.steps.iter().rev().find(is_open) {
            Some(step) => {
                let before = step.row.tally.members.checked_sub(2);
                self.reader().page(&step.spec.name, before, 1).await?.pop()
            }
            None => None,
        };
        let Some(last) = last.filter(|last| !last.state.is_final()) else {
            tokio::time::sleep(timeout).await;
            return Ok(false);
        };
        self.client.store().wait(Wake::Ended(last.task), timeout).await;
        let state = self.client.store().task_states(&[last.task]).await?;
        Ok(state.first().copied().flatten().is_some_and(|state| state.is_final()))
    }

    fn reader(&self) -> Reader<'_> {
        Reader { source: &**self.client.store(), runtime: self.client.runtime(), workflow: self.id }
    }
}

impl<O: DeserializeOwned> WorkflowHandle<O> {
    /// Waits until it has ended, and gives its result.
    ///
    /// ```
    /// # use gristmill::{Client, Result, task};
    /// # #[task(name = "pack")] async fn pack(order: u32) -> Result<u32> { Ok(order) }
    /// # #[task(name = "send")] async fn send(parcel: u32) -> Result<String> { Ok(format!("sent {parcel}")) }
    /// # async fn example(client: Client) -> Result<()> {
    /// let mut w = client.workflow("order");
    /// let parcel = w.step("pack", Pack { order: 7 });
    /// w.step("send", Send::with(parcel.result()));
    /// let run = w.start().await?.typed::<String>();
    /// println!("{}", run.result().await?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// If its work failed, with what did; if it was cancelled; if its result is not an `O`, can't be decoded, is no longer kept, or has more
    /// than [`RESULTS_BYTES_MAX`](crate::core::limits::RESULTS_BYTES_MAX) bytes, though it has succeeded; as [`ended`](Self::ended).
    ///
    /// # Cancel safety
    /// Nothing is lost; await again.
    pub async fn result(&self) -> Result<O, RunError> {
        let (id, record) = (self.id, self.ended().await?);
        match record.state {
            WorkflowState::Succeeded => {}
            WorkflowState::Failed => {
                let failed = self.reader().failure(&record).await.map_err(|error| RunError::Store { id, error })?;
                return Err(RunError::Failed { id, failed: failed.map(Box::new) });
            }
            _ => return Err(RunError::Cancelled { id }),
        }
        serde_json::from_value(value(&self.reader(), &record).await?).map_err(|source| RunError::Unreadable { id, source })
    }

    /// As [`result`](Self::result), but for at most `timeout`. The workflow goes on.
    ///
    /// # Errors
    /// As there, and [`RunError::TimedOut`].
    pub async fn result_within(&self, timeout: Duration) -> Result<O, RunError> {
        match tokio::time::timeout(timeout, self.result()).await {
            Ok(result) => result,
            Err(_) => Err(RunError::TimedOut { id: self.id, timeout }),
        }
    }
}

/// The result of its last step, or of all last steps by their names.
pub(crate) async fn value(reader: &Reader<'_>, record: &WorkflowRecord) -> Result<Value, RunError> {
    let mut room = ROOM;
    let last: Vec<_> = last_steps(&record.steps).collect();
    if let [step] = last.as_slice() {
        return value_of(reader, step, &mut room).await;
    }
    let mut values = Map::with_capacity(last.len());
    for step in last {
        values.insert(step.spec.name.clone(), value_of(reader, step, &mut room).await?);
    }
    Ok(Value::Object(values))
}

async fn value_of(reader: &Reader<'_>, step: &StepRecord, room: &mut usize) -> Result<Value, RunError> {
    let id = reader.workflow;
    let (name, kind) = (&step.spec.name, &step.spec.kind);
    if step.row.state == StepState::Ended(StepEnd::Skipped) {
        return Ok(Value::Null);
    }
    let value = match step.spec.group {
        true => reader.results(step, room).await.map(Value::Array),
        false => reader.one(name, kind, room).await,
    };
    value.map_err(|error| match error {
        ReadError::Store(error) => RunError::Store { id, error },
        ReadError::TooLarge => RunError::TooLarge { id, step: name.clone(), most: ROOM },
        ReadError::Undecoded(error) => RunError::Undecoded { id, problem: error.to_string() },
        ReadError::Gone => RunError::ResultGone { id, step: name.clone() },
        ReadError::Reopened => RunError::Reopened { id, step: name.clone() },
        ReadError::Unreadable(source) => RunError::Unreadable { id, source },
    })
}

/// The steps of the work that no other step of it waits for. What runs when a step fails is none of them, and takes from none that it is
/// one: what comes of the work is not its result.
fn last_steps(steps: &[StepRecord]) -> impl Iterator<Item = &StepRecord> {
    let is_for_failure = for_failure(steps);
    let mut is_last: Vec<bool> =
        steps.iter().zip(&is_for_failure).map(|(step, for_failure)| is_work(step) && !for_failure).collect();
    let goes_on = steps.iter().zip(&is_for_failure).filter(|(step, for_failure)| is_work(step) && !**for_failure);
    for (from, _) in goes_on.flat_map(|(step, _)| &step.spec.after) {
        if let Some(is_last) = is_last.get_mut(*from as usize) {
            *is_last = false;
        }
    }
    steps.iter().zip(is_last).filter_map(|(step, is_last)| is_last.then_some(step))
}

/// Of each step whether it runs only when one fails: it needs that, or the success of one that does.
fn for_failure(steps: &[StepRecord]) -> Vec<bool> {
    let mut found = vec![false; steps.len()];
    let mut next: Vec<usize> = (0..steps.len()).collect();
    let needs = |step: &StepRecord, found: &[bool]| {
        step.spec.after.iter().any(|(from, needs)| match needs {
            Needs::Failure => true,
            Needs::Success => found.get(*from as usize) == Some(&true),
            Needs::End => false,
        })
    };
    // As often as one more is found: those that follow may have been written before.
    loop {
        let before = next.len();
        next.retain(|number| {
            let is = steps.get(*number).is_some_and(|step| needs(step, &found));
            found[*number] |= is;
            !is
        });
        if next.len() == before {
            return found;
        }
    }
}

impl<O> Clone for WorkflowHandle<O> {
    fn clone(&self) -> Self {
        Self::new(self.client.clone(), self.id)
    }
}

impl<O> fmt::Debug for WorkflowHandle<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WorkflowHandle({})", self.id)
    }
}
