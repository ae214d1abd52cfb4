use std::time::Duration;

use super::{Failed, FormError, WorkflowHandle};
use crate::client::{Client, EnqueueError};
use crate::core::workflow::{DraftError, Started};
use crate::core::{InvalidInput, StoreError, WorkflowId};

/// Why a workflow was not started. Nothing was kept of it, but for [`Partly`](Self::Partly), and for [`Store`](Self::Store), of which that
/// is not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Its graph is wrong.
    #[error(transparent)]
    Draft(#[from] DraftError),
    /// Its JSON form does not fit the task types.
    #[error(transparent)]
    Form(#[from] FormError),
    /// Something is out of a limit.
    #[error(transparent)]
    Invalid(#[from] InvalidInput),
    /// A member can't be enqueued.
    #[error("{place}: {error}")]
    Member {
        /// Which, as a JSON Pointer into the workflow's JSON form: `/steps/process/each/3`.
        place: String,
        /// Why.
        #[source]
        error: EnqueueError,
    },
    /// A member has the id of another task.
    #[error("workflow {id}: a member has the id of another task")]
    Conflict {
        /// The workflow.
        id: WorkflowId,
    },
    /// It was started, and not all members of a large group could be added.
    #[error(
        "workflow {id} was started, and {} as not all of its members could be added: {error}",
        if *cancelled { "then cancelled," } else { "has to be cancelled," }
    )]
    Partly {
        /// The workflow.
        id: WorkflowId,
        /// Whether it was cancelled, so that nothing waits for what will not come.
        cancelled: bool,
        /// Why.
        #[source]
        error: Box<StartError>,
    },
    /// Members can't be added to a step that is not there.
    #[error("workflow {id} has no step `{step}` that takes these members")]
    Gone {
        /// The workflow.
        id: WorkflowId,
        /// The step.
        step: String,
    },
    /// Members can't be added to a group that has all of its members.
    #[error("the step `{step}` of workflow {id} is closed, and takes no more members")]
    Closed {
        /// The workflow.
        id: WorkflowId,
        /// The step.
        step: String,
    },
    /// The store did not acknowledge. Whether it is kept is certain only after a repetition with the same id.
    #[error("workflow {id} could not be kept: {error}")]
    Store {
        /// The workflow.
        id: WorkflowId,
        /// Why.
        #[source]
        error: StoreError,
    },
}

impl StartError {
    /// About the member at a place of a group, or the one of a step.
    pub(super) fn member(step: &str, place: Option<u32>, error: EnqueueError) -> Self {
        let step = step.replace('~', "~0").replace('/', "~1");
        let place = place.map_or_else(|| format!("/steps/{step}"), |place| format!("/steps/{step}/each/{place}"));
        Self::Member { place, error }
    }

    /// What a store's answer means to the caller.
    pub(crate) fn outcome<O>(
        client: &Client,
        id: WorkflowId,
        started: Result<Started, StoreError>,
    ) -> Result<WorkflowHandle<O>, Self> {
        match started.map_err(|error| Self::Store { id, error })? {
            Started::Created => Ok(WorkflowHandle::new(client.clone(), id)),
            Started::Exists(id) => Ok(WorkflowHandle::new(client.clone(), id)),
            Started::Conflict => Err(Self::Conflict { id }),
        }
    }
}

/// Why a workflow has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Its work failed.
    #[error("workflow {id} failed{}", .failed.as_ref().map(|failed| format!(": {failed}")).unwrap_or_default())]
    Failed {
        /// The workflow.
        id: WorkflowId,
        /// What failed first, if that is still kept.
        failed: Option<Box<Failed>>,
    },
    /// It was cancelled, or what it needs was.
    #[error("workflow {id} was cancelled")]
    Cancelled {
        /// The workflow.
        id: WorkflowId,
    },
    /// It did not end in time; it goes on.
    #[error("workflow {id} did not end within {timeout:?}")]
    TimedOut {
        /// The workflow.
        id: WorkflowId,
        /// How long was waited.
        timeout: Duration,
    },
    /// There is no such workflow, or it is no longer kept.
    #[error("workflow {id} is not kept: there is none with this id, or its retention is over")]
    NotKept {
        /// The workflow.
        id: WorkflowId,
    },
    /// A handler awaits it, which would hold its worker's slot for as long; should all slots do so, nothing would ever run.
    #[error(
        "workflow {id} can't be awaited by a handler, which would hold a slot of its worker for as long: start it with \
         `cx.workflow` and `run` it, put what is to follow into a last step, or enqueue it from one"
    )]
    InHandler {
        /// The workflow.
        id: WorkflowId,
    },
    /// It has succeeded, and a result of a last step is no longer kept.
    #[error("workflow {id} has succeeded, and a result of its step `{step}` is no longer kept")]
    ResultGone {
        /// The workflow.
        id: WorkflowId,
        /// The step.
        step: String,
    },
    /// It has succeeded, and somebody has retried a task by hand whose result is its own.
    #[error("workflow {id} has succeeded, and a task of its step `{step}` runs once more; ask again when that has ended")]
    Reopened {
        /// The workflow.
        id: WorkflowId,
        /// The step.
        step: String,
    },
    /// It has succeeded, and a last step has more results than are read at once.
    #[error(
        "workflow {id} has succeeded, and its step `{step}` has more than {most} bytes of results; read them by pages, with `members`"
    )]
    TooLarge {
        /// The workflow.
        id: WorkflowId,
        /// The step.
        step: String,
        /// So many are read.
        most: usize,
    },
    /// It has succeeded, and its result is of another type.
    #[error("workflow {id} has succeeded, and its result is not what was expected: {source}")]
    Unreadable {
        /// The workflow.
        id: WorkflowId,
        /// Why.
        source: serde_json::Error,
    },
    /// It has succeeded, and the application's codec could not undo the form in which a result is stored.
    #[error("workflow {id} has succeeded, and its result can't be decoded: {problem}")]
    Undecoded {
        /// The workflow.
        id: WorkflowId,
        /// What the codec says.
        problem: String,
    },
    /// The store can't be read.
    #[error("where workflow {id} stands could not be read: {error}")]
    Store {
        /// The workflow.
        id: WorkflowId,
        /// Why.
        #[source]
        error: StoreError,
    },
}
