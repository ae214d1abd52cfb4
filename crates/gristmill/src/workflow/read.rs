use std::time::Duration;

use serde_json::Value;

use super::Failed;
use crate::Error;
use crate::codec::{Part, Payload};
use crate::core::limits::{PAGE_ITEMS_MAX, RESULTS_BYTES_MAX};
use crate::core::workflow::{Member, StepEnd, StepRecord, StepState, WorkflowRecord};
use crate::core::{FailureReason, Source, State, StoreError, WorkflowId};
use crate::error::What;
use crate::runtime::Runtime;

/// Reads what became of the members of one workflow, in their plain form.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    pub(crate) source: &'a dyn Source,
    pub(crate) runtime: &'a Runtime,
    pub(crate) workflow: WorkflowId,
}

/// Why that can't be read.
#[derive(Debug)]
pub(crate) enum ReadError {
    Store(StoreError),
    /// There are more than are read at once.
    TooLarge,
    /// The codec can't undo the form in which a result is stored.
    Undecoded(Error),
    /// There is no such task any more.
    Gone,
    /// Somebody has retried the task by hand, so that there is no result until it has ended again.
    Reopened,
    /// A result is no JSON.
    Unreadable(serde_json::Error),
}

impl ReadError {
    /// What it means to the attempt that needs the results of a step: only the store may be readable later.
    pub(crate) fn into_error(self, step: &str) -> Error {
        match self {
            Self::Store(error) => error.into(),
            Self::TooLarge => Error::new(
                What::Fail,
                FailureReason::InvalidArgs,
                format!(
                    "the results that the arguments refer to have more than {ROOM} bytes, those of the step `{step}` included; take them \
                     as `gristmill::workflow::Results`, which reads them by pages"
                ),
            ),
            Self::Undecoded(error) => error,
            Self::Gone => {
                Error::fail(format!("the task of the step `{step}`, whose result the arguments refer to, is no longer kept"))
            }
            // What runs then has the new result, and not none.
            Self::Reopened => Error::snooze(REOPENED),
            Self::Unreadable(error) => Error::fail(format!("a result of the step `{step}` is no JSON: {error}")),
        }
    }
}

impl From<StoreError> for ReadError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Reader<'_> {
    /// A page of the members of a step.
    pub(crate) async fn page(&self, step: &str, after: Option<u32>, limit: usize) -> Result<Vec<Member>, StoreError> {
        self.source.members(self.workflow, step, after, limit).await
    }

    /// The results of all members in their order, `null` for one that has none; of `room` bytes at most, which they then take up. Without
    /// one that is gone, what is left would pass for all.
    pub(crate) async fn results(&self, step: &StepRecord, room: &mut usize) -> Result<Vec<Value>, ReadError> {
        let (mut results, mut after) = (Vec::new(), None);
        loop {
            let page = self.page(&step.spec.name, after, PAGE_ITEMS_MAX).await?;
            if page.is_empty() {
                let are_all = results.len() >= step.row.tally.members as usize;
                return if are_all { Ok(results) } else { Err(ReadError::Gone) };
            }
            for member in page {
                if member.place as usize != results.len() {
                    return Err(ReadError::Gone);
                }
                after = Some(member.place);
                results.push(self.result(&step.spec.kind, member, room)?);
            }
        }
    }

    /// The result of the one member of a step.
    pub(crate) async fn one(&self, step: &str, kind: &str, room: &mut usize) -> Result<Value, ReadError> {
        match self.page(step, None, 1).await?.pop() {
            Some(member) => self.result(kind, member, room),
            None => Err(ReadError::Gone),
        }
    }

    /// The result of a member in its plain form, `null` if it has none.
    pub(crate) fn result(&self, kind: &str, member: Member, room: &mut usize) -> Result<Value, ReadError> {
        let bytes = member.result.as_ref().filter(|_| member.state == State::Succeeded).map_or(0, String::len);
        *room = room.checked_sub(bytes).ok_or(ReadError::TooLarge)?;
        let plain = self.plain(kind, member)?;
        plain.map_or(Ok(Value::Null), |plain| serde_json::from_str(&plain)).map_err(ReadError::Unreadable)
    }

    /// The JSON text of that, if it has one.
    pub(crate) fn plain(&self, kind: &str, member: Member) -> Result<Option<String>, ReadError> {
        if !member.state.is_final() {
            return Err(ReadError::Reopened);
        }
        let stored = member.result.filter(|_| member.state == State::Succeeded);
        let payload = Payload { id: member.task, name: kind, part: Part::Result };
        stored.map(|stored| self.runtime.decode(&payload, stored).map_err(ReadError::Undecoded)).transpose()
    }

    /// What went wrong in a step: that of the first member that failed, or else of the first that did not succeed.
    pub(crate) async fn failure_of(&self, step: &StepRecord) -> Result<Option<Failed>, StoreError> {
        let tally = step.row.tally;
        if tally.failed + tally.cancelled == 0 {
            return Ok(None);
        }
        let wanted = |member: &Member| match tally.failed {
            0 => matches!(member.state, State::Cancelled | State::Expired),
            _ => member.state == State::Failed,
        };
        let mut after = None;
        loop {
            let page = self.page(&step.spec.name, after, PAGE_ITEMS_MAX).await?;
            let Some(last) = page.last() else { return Ok(None) };
            after = Some(last.place);
            if let Some(member) = page.into_iter().find(wanted) {
                return Ok(Failed::of(&step.spec.name, &step.spec.kind, member));
            }
        }
    }

    /// What went wrong in the work of a workflow: in the first step that failed, or else in the first that was cancelled.
    pub(crate) async fn failure(&self, record: &WorkflowRecord) -> Result<Option<Failed>, StoreError> {
        for end in [StepEnd::Failed, StepEnd::Cancelled] {
            if let Some(step) = record.steps.iter().find(|step| super::is_work(step) && step.row.state == StepState::Ended(end)) {
                return self.failure_of(step).await;
            }
        }
        Ok(None)
    }
}

/// How long an attempt is put off that needs the result of a task which is run again; it costs it nothing.
const REOPENED: Duration = Duration::from_secs(1);
/// So many bytes of results are read at once.
pub(crate) const ROOM: usize = RESULTS_BYTES_MAX;
