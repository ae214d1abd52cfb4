use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::journal::{Asked, Last, Place, Wait};
use crate::attempt::Attempt;
use crate::beat::{SCHEDULE_HEADER, TICK_HEADER};
use crate::client::InAttempt;
use crate::core::durable::{Checkpoint, Kept, Memory};
use crate::core::limits::BATCH_TASKS_MAX;
use crate::core::workflow::{NewWorkflow, WorkflowRecord, WorkflowState};
use crate::core::{Failure, FailureReason, InvalidInput, Overrides, Retention, StoreError, WorkflowId};
use crate::error::What;
use crate::workflow::read::Reader;
use crate::workflow::{Form, RunError, Workflow, Written, value};
use crate::{Context, Error, Result};

type Waiting<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// Results are kept for so long at least, so that whoever has started a workflow finds them, whatever their own retention says.
const KEPT: Duration = Duration::from_secs(86_400);
/// How long an attempt is put off that can't read what has become of its workflow; it costs it nothing.
const UNREAD: Duration = Duration::from_secs(1);

impl<S> Context<S> {
    /// Begins to write a workflow that this task starts once: to [run](Workflow::run) it and go on with its result, to
    /// [become](Self::replace) it, or to [grow](Self::grow) by it. It is written as [`Client::workflow`](crate::Client::workflow) says; its tasks
    /// are children of this one, and inherit its context. It has at most 1,000 members, and no key. See [durable steps](crate::durable).
    ///
    /// ```
    /// # use gristmill::{Context, Result, task};
    /// # #[task(name = "resize")] async fn resize(page: u32) -> Result<u32> { Ok(page) }
    /// # #[task(name = "bind")] async fn bind(pages: Vec<u32>) -> Result<u32> { Ok(pages.iter().sum()) }
    /// # async fn count_pages(book: u32) -> Result<u32> { Ok(book) }
    /// #[task(name = "print")]
    /// async fn print(cx: &Context, book: u32) -> Result<String> {
    ///     let pages = cx.step("count", async || count_pages(book).await).await?;
    ///     let mut w = cx.workflow("pages");
    ///     let resized = w.each("resize", (0..pages).map(|page| Resize { page }));
    ///     w.step("bind", Bind::with(resized.results()));
    ///     let size: u32 = w.run().await?;
    ///     Ok(format!("{pages} pages, {size}"))
    /// }
    /// ```
    pub fn workflow(&self, name: impl Into<String>) -> Workflow<'_, InAttempt<'_>> {
        let attempt = self.inner();
        Workflow::new(InAttempt(attempt), name.into()).set(|common| *common = attempt.of_children())
    }

    /// Lets this task become a workflow: the handler ends here and runs no more, and the task ends when the workflow does, with its result, as
    /// an argument of another would be, or with its failure. Who waits for the task waits for all of it; its tasks may do the same, to any depth.
    ///
    /// What the handler has [enqueued](Self::enqueue) is kept with that, at most 1,000 tasks. If the task is cancelled, so is the workflow.
    ///
    /// ```
    /// # use gristmill::{Context, Result, task};
    /// # #[task(name = "resize")] async fn resize(page: u32) -> Result<u32> { Ok(page) }
    /// # #[task(name = "bind")] async fn bind(pages: Vec<u32>) -> Result<u32> { Ok(pages.iter().sum()) }
    /// #[task(name = "print")]
    /// async fn print(cx: &Context, pages: u32) -> Result<u32> {
    ///     let mut w = cx.workflow("pages");
    ///     let resized = w.each("resize", (0..pages).map(|page| Resize { page }));
    ///     w.step("bind", Bind::with(resized.results()));
    ///     cx.replace(w).await
    /// }
    /// ```
    ///
    /// # Errors
    /// What is wrong with the workflow, which is final; the store's. It never returns anything else.
    pub fn replace<'a, T: 'a>(&'a self, workflow: Workflow<'a, InAttempt<'a>>) -> Waiting<'a, T> {
        grow(workflow, Ok(None))
    }

    /// As [`replace`](Self::replace), but with this result, once the workflow has succeeded.
    ///
    /// # Errors
    /// As there, and if the value can't be kept.
    pub fn grow<'a, T: Serialize + 'a>(&'a self, workflow: Workflow<'a, InAttempt<'a>>, value: T) -> Waiting<'a, T> {
        grow(workflow, self.inner().stored("its result", &value).map(Some))
    }
}

impl<'a> Workflow<'a, InAttempt<'a>> {
    /// Starts it, once, and waits for its end without a slot, a lease or an attempt; then gives its result, as
    /// [`WorkflowHandle::result`](crate::workflow::WorkflowHandle::result) does. If this task fails or is
    /// cancelled before it ends, so is the workflow cancelled; if it succeeds without it, as by a `select!`, the workflow goes on.
    ///
    /// # Errors
    /// If its work failed, or was cancelled: [`StepFailed`](super::StepFailed), which is final, has the failure of the task that failed first. What is wrong with
    /// the workflow, or its result is no `T`, which is final as well; the store's.
    pub fn run<T: DeserializeOwned + 'a>(self) -> Waiting<'a, T> {
        let name = self.name().to_owned();
        let (written, InAttempt(attempt)) = self.written();
        let asked = attempt.ask(name.clone());
        let given = async move {
            let (place, id) = match asked? {
                Asked::New(place) => {
                    attempt.begin_new(&place).await?;
                    let id = attempt.start_child(&place, written).await?;
                    return Err(attempt.wait_for(Wait::of(place.keep(Kept::Workflow(id)))).await);
                }
                Asked::Known(place, Kept::Value(stored)) => return attempt.read(&place, &attempt.plain(stored)?),
                Asked::Known(place, Kept::Failed(failure)) => return attempt.failed(&place.name, failure),
                Asked::Known(place, Kept::Workflow(id)) => (place, id),
                Asked::Known(place, kept) => return Err(attempt.stand_still_at(&place, &kept).await),
                Asked::Elsewhere => return Err(attempt.stand_still().await),
            };
            let end = {
                // What waits beside it must not end the attempt before it is known whether this one waits.
                let _goes_on = attempt.journal.run();
                attempt.end_of(id).await?
            };
            match end {
                None => Err(attempt.wait_for(Wait::of(place.keep(Kept::Workflow(id)))).await),
                Some(Ok(plain)) => {
                    let stored = attempt.runtime().stored_step(attempt.id, &attempt.kind, plain.clone())?;
                    attempt.remember(place.keep(Kept::Value(stored))).await?;
                    attempt.read(&place, &plain)
                }
                Some(Err(failure)) => {
                    attempt.remember(place.keep(Kept::Failed(failure.clone()))).await?;
                    attempt.failed(&place.name, failure)
                }
            }
        };
        Box::pin(async move { attempt.given(&name, given).await })
    }
}

/// Ends the handler, whose task is what the workflow is from now on.
fn grow<'a, T: 'a>(workflow: Workflow<'a, InAttempt<'a>>, result: Result<Option<String>>) -> Waiting<'a, T> {
    let name = workflow.name().to_owned();
    let (written, InAttempt(attempt)) = workflow.written();
    let asked = attempt.ask(name);
    Box::pin(async move { attempt.becomes(asked?, written, result?).await })
}

impl Attempt {
    /// What tasks have of the one that has started them.
    fn of_children(&self) -> Overrides {
        // A child of a tick's task is no tick.
        let inherited = |name: &String| name != SCHEDULE_HEADER && name != TICK_HEADER;
        let headers = self.meta.headers.clone().into_iter().filter(|(name, _)| inherited(name)).collect();
        Overrides { parent: Some(self.id), headers, ..Overrides::default() }
    }

    /// Lets the task become the workflow that a form is.
    pub(crate) async fn become_form(&self, mut form: Form) -> Result<String> {
        form.set(&self.of_children());
        let name = form.name().to_owned();
        let written = form.written(self.runtime());
        self.becomes(self.ask(name)?, written, None).await
    }

    async fn becomes<T>(&self, asked: Asked, written: Written<'_>, result: Option<String>) -> Result<T> {
        match asked {
            Asked::New(place) => {
                self.begin_new(&place).await?;
                self.become_workflow(&place, written, result).await
            }
            Asked::Known(place, kept) => Err(self.stand_still_at(&place, &kept).await),
            Asked::Elsewhere => Err(self.stand_still().await),
        }
    }

    async fn start_child(&self, place: &Place, written: Written<'_>) -> Result<WorkflowId> {
        let workflow = self.child(written)?;
        let (id, lease) = (workflow.id, self.journal.lease.ok_or_else(in_call)?);
        let memories = vec![place.keep(Kept::Workflow(id))];
        self.keep(Checkpoint { memories, workflow: Some(Box::new(workflow)), ..Checkpoint::new(lease) }).await?;
        Ok(id)
    }

    async fn become_workflow<T>(&self, place: &Place, written: Written<'_>, result: Option<String>) -> Result<T> {
        if self.journal.lease.is_none() {
            return Err(in_call());
        }
        let workflow = Box::new(self.child(written)?);
        let children = self.take_children();
        if children.len() > BATCH_TASKS_MAX {
            let why = format!("that go with a workflow which the task becomes are at most {BATCH_TASKS_MAX}");
            return Err(Error::fail(InvalidInput::new("children", why)));
        }
        let memory = place.keep(Kept::Replaced { by: workflow.id, result });
        self.journal.count(&memory).map_err(Error::fail)?;
        Err(self.wait_for(Wait { last: Some(Last { workflow, children }), ..Wait::of(memory) }).await)
    }

    fn child(&self, written: Written<'_>) -> Result<NewWorkflow> {
        let runtime = self.runtime();
        let instead = "let several steps have them, or a workflow of each part";
        let mut workflow = written.whole(runtime, runtime.env.workflow_id(), instead).map_err(Error::fail)?;
        if workflow.key.is_some() {
            let why = "is for workflows that clients start; a task starts its own once, whatever becomes of its attempts";
            return Err(Error::fail(InvalidInput::new("key", why)));
        }
        workflow.retention = longer(workflow.retention);
        for member in &mut workflow.members {
            member.retention = longer(member.retention);
        }
        Ok(workflow)
    }

    /// How a workflow that this task has started has ended; `None` if it goes on.
    async fn end_of(&self, id: WorkflowId) -> Result<Option<Result<String, Failure>>> {
        if self.journal.replays() {
            return Ok(None);
        }
        let store = self.ground.store()?;
        let failure = |reason, message: String| Ok(Some(Err(Failure::new(reason, message))));
        let Some(record) = store.workflow(id).await.map_err(unread)? else {
            return failure(FailureReason::Error, format!("the workflow {id}, which the task has started, is no longer kept"));
        };
        let reader = Reader { source: &*self.ground.source, runtime: self.runtime(), workflow: id };
        match record.state {
            state if !state.is_final() => Ok(None),
            WorkflowState::Succeeded => match value(&reader, &record).await {
                Ok(value) => Ok(Some(Ok(value.to_string()))),
                Err(RunError::Store { error, .. }) => Err(unread(error)),
                // It is run again by hand, and has a result when that is over.
                Err(error @ RunError::Reopened { .. }) => Err(Error::snooze_because(UNREAD, error)),
                Err(error) => Ok(Some(Err(Failure::from_error(FailureReason::Error, &error)))),
            },
            WorkflowState::Failed => failed(&reader, &record).await.map(|failure| Some(Err(failure))),
            _ => failure(FailureReason::Cancelled, format!("the workflow `{}` {id} was cancelled", record.name)),
        }
    }

    /// The end of a task that has become a workflow: its result, or why it has none, which may be that it still waits.
    pub(crate) async fn end_of_replaced(&self, memory: Memory) -> Result<String> {
        let Kept::Replaced { by, result } = &memory.kept else { return Err(Error::fail("it has become no workflow")) };
        match self.end_of(*by).await? {
            None => {
                self.journal.wait_on(memory);
                Err(Error::new(What::Wait, FailureReason::Error, "the task waits"))
            }
            Some(Ok(plain)) => result.clone().map_or(Ok(plain), |stored| self.plain(stored)),
            Some(Err(failure)) => {
                let what = if failure.reason == FailureReason::Cancelled { What::Cancel } else { What::Fail };
                let name = memory.name;
                Err(Error::new(what, failure.reason, super::StepFailed { name, failure }))
            }
        }
    }
}

/// That of the task that failed first, with the place where it did.
async fn failed(reader: &Reader<'_>, record: &WorkflowRecord) -> Result<Failure> {
    let which = format!("the workflow `{}` {}", record.name, record.id);
    Ok(match reader.failure(record).await.map_err(unread)? {
        Some(failed) => Failure { message: format!("{which} failed: {failed}"), ..failed.failure },
        None => Failure::new(FailureReason::Error, format!("{which} failed")),
    })
}

fn longer(retention: Retention) -> Retention {
    match retention {
        Retention::None => Retention::For(KEPT),
        Retention::For(period) => Retention::For(period.max(KEPT)),
        Retention::Forever => Retention::Forever,
    }
}

fn in_call() -> Error {
    Error::fail(InvalidInput::new("workflow", "can't be awaited in a task that is called; enqueue it"))
}

fn unread(error: StoreError) -> Error {
    match error.is_transient() {
        true => Error::snooze_because(UNREAD, error),
        false => error.into(),
    }
}
