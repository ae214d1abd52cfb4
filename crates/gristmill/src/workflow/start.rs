use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::future::{Future, IntoFuture, Ready};
use std::iter::Peekable;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use serde_json::Value;

use super::known::{Known, both};
use super::member::{MemberDraft, Prepared};
use super::plan::Need;
use super::{StartError, WorkflowHandle};
use crate::client::{Client, InTransaction, Own};
use crate::core::limits::{BATCH_BYTES_MAX, BATCH_TASKS_MAX};
use crate::core::workflow::{Draft, DraftError, Extended, Extension, NewWorkflow, Started, StepDraft, pointer_part};
use crate::core::{InvalidInput, Membership, NewTask, StartWithin, StoreError, TaskMeta, WorkflowId};
use crate::runtime::Runtime;

/// A workflow about to be started: `.await` it. Made by [`Workflow::start`](super::Workflow::start) and
/// [`Workflows::draft`](crate::client::Workflows::draft).
///
/// The first 1,000 members go with the start, in one transaction; those of larger groups follow in batches of as many, and are made only
/// then, so that a group of any size takes up the room of one batch. Until its last member is in, a group can't end.
///
/// # Cancel safety
/// Dropped before its end, it is not known whether the workflow was started, and a large group may be left open: such a workflow goes on
/// as far as it gets, and is to be cancelled.
#[must_use = "nothing is started until it is awaited"]
pub struct Start<'c, O, W = Own<'c>> {
    client: &'c Client,
    draft: Result<Draft<MemberDraft>, StartError>,
    /// More members of groups, by the numbers of their steps.
    more: BTreeMap<usize, More<'c>>,
    id: WorkflowId,
    definition: Option<String>,
    place: W,
    output: PhantomData<fn() -> O>,
}

/// Members that are made when they are needed.
pub(super) type More<'c> = Box<dyn Iterator<Item = Result<MemberDraft, InvalidInput>> + Send + 'c>;

impl<'c, O> Start<'c, O> {
    pub(crate) fn new(
        client: &'c Client,
        draft: Result<Draft<MemberDraft>, StartError>,
        more: BTreeMap<usize, More<'c>>,
    ) -> Self {
        let id = client.runtime().env.workflow_id();
        Self { client, draft, more, id, definition: None, place: Own(client), output: PhantomData }
    }

    /// Starts it in the caller's own open transaction: it goes on when that is committed, or never was. Transactions are those of
    /// [`Enqueue::within`](crate::client::Enqueue::within).
    ///
    /// It has at most 1,000 members then. A larger group is [left open](super::Group::open), and its members are added after the commit,
    /// by [`WorkflowHandle::extend`].
    ///
    /// Awaiting it fails as awaiting the start by itself does, or if the transaction can't write, its database has no tables of
    /// gristmill, or the client's store is of another sort.
    ///
    /// ```
    /// # use gristmill::{Client, Result, core::StartWithin, task};
    /// # #[task(name = "pack")] async fn pack(order: u32) -> Result<u32> { Ok(order) }
    /// # #[task(name = "send")] async fn send(parcel: u32) -> Result<()> { let _ = parcel; Ok(()) }
    /// /// In the transaction that writes the order.
    /// async fn order<X: StartWithin<D>, D>(client: &Client, tx: X) -> Result<()> {
    ///     let mut w = client.workflow("order");
    ///     let parcel = w.step("pack", Pack { order: 7 });
    ///     w.step("send", Send::with(parcel.result()));
    ///     w.start().within(tx).await?;
    ///     Ok(())
    /// }
    /// ```
    pub fn within<X: StartWithin<D>, D>(self, transaction: X) -> Start<'c, O, InTransaction<'c, X, D>> {
        let Self { client, draft, more, id, definition, place: _, output } = self;
        Start { client, draft, more, id, definition, place: InTransaction::new(client, transaction), output }
    }
}

impl<'c, O, W> Start<'c, O, W> {
    /// Chooses the id, which makes the start idempotent: again with the same id, it changes nothing.
    pub fn id(mut self, id: WorkflowId) -> Self {
        self.id = id;
        self
    }

    /// How it was defined, for people: JSON text, kept with the run. Without it, what the workflow is made of, without arguments.
    pub fn definition(mut self, definition: impl Into<String>) -> Self {
        self.definition = Some(definition.into());
        self
    }

    /// Checks all of it, as a start does, and starts nothing: what it is made of, as JSON, for tests of its shape. Of a large group that are
    /// the first 1,000 members.
    ///
    /// ```
    /// # use gristmill::{Client, Result, task};
    /// # #[task(name = "pack")] async fn pack(order: u32) -> Result<u32> { Ok(order) }
    /// # #[task(name = "send")] async fn send(parcel: u32) -> Result<()> { let _ = parcel; Ok(()) }
    /// # fn example(client: Client) -> Result<()> {
    /// let mut w = client.workflow("order");
    /// let parcel = w.step("pack", Pack { order: 7 });
    /// w.step("send", Send::with(parcel.result()));
    /// assert_eq!(w.start().check()?["steps"]["send"], serde_json::json!({ "task": "send", "after": ["pack"] }));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As a start, but for the store's.
    pub fn check(self) -> Result<Value, StartError> {
        let (Begun { new, .. }, _) = self.begin()?;
        Ok(serde_json::from_str(&new.definition).unwrap_or(Value::String(new.definition)))
    }

    /// Makes all that goes with the start.
    fn begin(self) -> Result<(Begun<'c>, W), StartError> {
        let Self { client, draft, more, id, definition, place, output: _ } = self;
        let (new, rest) = Written { draft, more, definition }.begin(client.runtime(), id)?;
        Ok((Begun { client, new, rest }, place))
    }
}

/// A workflow that is written, wherever it is started.
pub(crate) struct Written<'c> {
    pub(super) draft: Result<Draft<MemberDraft>, StartError>,
    /// More members of groups, by the numbers of their steps.
    pub(super) more: BTreeMap<usize, More<'c>>,
    /// As of [`Start::definition`].
    pub(super) definition: Option<String>,
}

impl<'c> Written<'c> {
    /// Makes all that goes with its start, and says what is to follow.
    fn begin(self, runtime: &Runtime, id: WorkflowId) -> Result<(NewWorkflow, Vec<Rest<'c>>), StartError> {
        let Self { draft, mut more, definition } = self;
        let Draft { name, key, tags, retention, deadline, steps } = draft?;
        // Those go in any case: they are few, and steps have no other way to get their one member.
        let single = steps.iter().filter(|step| !step.group).map(|step| step.members.len()).sum::<usize>();
        let (mut room, mut bytes) = (BATCH_TASKS_MAX.saturating_sub(single), 0);
        let (mut prepared, mut rest, mut single_bytes) = (Vec::with_capacity(steps.len()), Vec::new(), 0);
        for (step, number) in steps.into_iter().zip(0_u32..) {
            let StepDraft { name, kind, role, undoes, after, tolerance, members, group, open, refers } = step;
            let given = members.into_iter().map(Ok);
            let members: More<'c> = match more.remove(&(number as usize)) {
                Some(more) => Box::new(given.chain(more)),
                None => Box::new(given),
            };
            let mut rest_of =
                Rest { number, step: name, kind, group, given: 0, open, members: members.peekable(), known: Known::default() };
            let mut first = Vec::new();
            while (!group || (room > 0 && bytes < BATCH_BYTES_MAX))
                && let Some(member) = rest_of.next()
            {
                let member = member?;
                room -= usize::from(group);
                bytes += member.bytes();
                if !group {
                    single_bytes += member.bytes();
                }
                first.push(member);
            }
            let mut step = StepDraft {
                name: rest_of.step.clone(),
                kind: rest_of.kind.clone(),
                role,
                undoes,
                after,
                tolerance,
                members: first,
                group,
                open,
                refers,
            };
            let said: Vec<_> = step.after.iter().map(|(name, _)| name.clone()).collect();
            refer(&mut step)?;
            if rest_of.members.peek().is_some() {
                step.open = true;
                rest.push((rest_of, said));
            }
            prepared.push(step);
        }
        if single_bytes > BATCH_BYTES_MAX {
            let problem = format!(
                "of steps with one have {single_bytes} bytes of arguments; at most {BATCH_BYTES_MAX} go with a start: keep what is large \
                 elsewhere, and give a reference to it"
            );
            return Err(InvalidInput::new("members", problem).into());
        }
        let draft = Draft { name, key, tags, retention, deadline, steps: prepared };
        let definition = definition.unwrap_or_else(|| super::definition::of(&draft));
        let new = draft.resolve(id, definition, |step, place, member: &Prepared| {
            member.task(runtime, &step.kind).map_err(|error| StartError::member(&step.name, step.group.then_some(place), error))
        })?;
        new.check()?;
        let specs: Vec<_> = new.steps.iter().map(|step| &step.spec).collect();
        let rest = rest.into_iter().map(|(rest, said)| Rest { known: Known::of(rest.number, &specs, &said), ..rest });
        let rest = rest.collect();
        Ok((new, rest))
    }

    /// Makes all of it, for a start with which nothing can follow.
    pub(crate) fn whole(self, runtime: &Runtime, id: WorkflowId, instead: &str) -> Result<NewWorkflow, StartError> {
        let (new, rest) = self.begin(runtime, id)?;
        let Some(Rest { step, .. }) = rest.first() else { return Ok(new) };
        let problem = format!(
            "are more than {BATCH_TASKS_MAX}, or have more than {BATCH_BYTES_MAX} bytes, which one transaction does not take; {}",
            instead.replace("STEP", step)
        );
        Err(InvalidInput::new("members", problem).into())
    }
}

/// Says of a step what its members refer to, and so wait for.
fn refer(step: &mut StepDraft<Prepared>) -> Result<(), DraftError> {
    let is_work = step.is_work();
    let mut refers: HashSet<_> = step.refers.iter().cloned().collect();
    // What was said of a step in particular holds.
    let (said, mut of_members) = (step.after.clone(), Vec::<(String, _)>::new());
    for member in &step.members {
        for reference in &member.refers {
            if refers.insert(reference.clone()) {
                step.refers.push(reference.clone());
            }
        }
        for Need { step: name, needs, .. } in &member.after {
            if !is_work || said.iter().any(|(after, _)| after == name) {
                continue;
            }
            match of_members.iter_mut().find(|(after, _)| after == name) {
                None => of_members.push((name.clone(), *needs)),
                Some((_, before)) => {
                    *before = both(*before, *needs).ok_or_else(|| DraftError {
                        place: format!("/steps/{}/args", pointer_part(&step.name)),
                        why: format!(
                            "need both the success and the failure of the step `{name}`, of which only one can be; take its `outcome`, or \
                             say with `after_when` when this is to run"
                        ),
                    })?;
                }
            }
        }
    }
    step.after.extend(of_members);
    Ok(())
}

/// All that goes with a start, and what follows it.
struct Begun<'c> {
    client: &'c Client,
    new: NewWorkflow,
    rest: Vec<Rest<'c>>,
}

/// A group of which members are to follow.
pub(super) struct Rest<'c> {
    pub(super) number: u32,
    pub(super) step: String,
    pub(super) kind: String,
    pub(super) group: bool,
    /// So many members it has got.
    pub(super) given: u32,
    /// Whether somebody else adds to it later, and closes it.
    pub(super) open: bool,
    pub(super) members: Peekable<More<'c>>,
    /// What members can refer to.
    pub(super) known: Known,
}

impl Begun<'_> {
    async fn start<O>(self) -> Result<WorkflowHandle<O>, StartError> {
        let Self { client, new, rest } = self;
        let id = new.id;
        let handle = client.workflows().start(new).await?;
        // Another run stands for it, which gets its members from whoever started it.
        if handle.id() == id {
            for mut rest in rest {
                // One that takes no more was cancelled, or is skipped: what would be added would not run.
                if let Err(error) = rest.hand_in(client, id).await {
                    return Err(given_up(client, id, error).await);
                }
            }
        }
        Ok(WorkflowHandle::new(client.clone(), handle.id()))
    }
}

/// A workflow that can't get all of its members would wait for them for ever.
async fn given_up(client: &Client, id: WorkflowId, error: StartError) -> StartError {
    let cancelled = client.workflows().cancel(id).await;
    if let Err(error) = &cancelled {
        tracing::warn!(workflow = %id, %error, "a workflow that lacks members can't be cancelled");
    }
    StartError::Partly { id, cancelled: cancelled.is_ok(), error: Box::new(error) }
}

impl Rest<'_> {
    fn next(&mut self) -> Option<Result<Prepared, StartError>> {
        let member = self.members.next()?.and_then(MemberDraft::prepare);
        let at = self.group.then_some(self.given);
        self.given += 1;
        Some(member.map_err(|error| StartError::member(&self.step, at, error.into())))
    }

    /// Hands in all that are left, in batches, and closes the group unless it is to stay open. Whether it took them.
    pub(super) async fn hand_in(&mut self, client: &Client, id: WorkflowId) -> Result<bool, StartError> {
        loop {
            let from = self.given;
            let members = self.batch(client, id)?;
            let is_last = self.members.peek().is_none();
            let extension = Extension { workflow: id, step: self.number, from, members, close: is_last && !self.open };
            let unkept = |error| StartError::Store { id, error };
            let extended = match client.workflows().extend(extension.clone()).await {
                Err(error) if error.is_transient() => client.workflows().extend(extension).await.map_err(unkept)?,
                extended => extended.map_err(unkept)?,
            };
            match extended {
                Extended::Added(_) if !is_last => {}
                Extended::Added(_) => return Ok(true),
                Extended::Closed => return Ok(false),
                Extended::Conflict => return Err(StartError::Conflict { id }),
                Extended::Gap(_) | Extended::NotFound => return Err(StartError::Gone { id, step: self.step.clone() }),
            }
        }
    }

    fn batch(&mut self, client: &Client, id: WorkflowId) -> Result<Vec<NewTask>, StartError> {
        let (mut tasks, mut bytes) = (Vec::new(), 0);
        while tasks.len() < BATCH_TASKS_MAX && bytes < BATCH_BYTES_MAX {
            let place = self.given;
            let Some(member) = self.next() else { break };
            let member = member?;
            let refused = |error| StartError::member(&self.step, Some(place), error);
            self.known.check(&member).map_err(|error| refused(error.into()))?;
            let mut task = member.task(client.runtime(), &self.kind).map_err(refused)?;
            let refers = !member.refers.is_empty();
            let of = Membership { workflow: id, number: self.number, step: self.step.clone(), place, refers };
            task.meta.get_or_insert_with(|| Box::new(TaskMeta::default())).member = Some(of);
            bytes += task.bytes();
            tasks.push(task);
        }
        Ok(tasks)
    }
}

impl<'c, O: 'c> IntoFuture for Start<'c, O> {
    type Output = Result<WorkflowHandle<O>, StartError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'c>>;

    fn into_future(self) -> Self::IntoFuture {
        let begun = self.begin();
        Box::pin(async move { begun?.0.start().await })
    }
}

impl<'c, O, X: StartWithin<D>, D> Start<'c, O, InTransaction<'c, X, D>> {
    /// The driver's part, and what its answer is for.
    fn insert(self) -> Result<(X::Doing<Started>, Answer<'c>), StartError> {
        let Self { client, draft, more, id, definition, place, output: _ } = self;
        let written = Written { draft, more, definition };
        let new = written.whole(client.runtime(), id, "leave `STEP` open, and add them after the commit")?;
        let answer = Answer { client, id: new.id };
        Ok((place.into_inner().start_workflow(client.store().as_ref(), new), answer))
    }
}

impl<'c, O, X: StartWithin<D>, D> IntoFuture for Start<'c, O, InTransaction<'c, X, D>> {
    type Output = Result<WorkflowHandle<O>, StartError>;
    type IntoFuture = Starting<'c, X::Doing<Started>, O>;

    fn into_future(self) -> Self::IntoFuture {
        let step = match self.insert() {
            Ok((doing, answer)) => Step::Running(Box::pin(doing), answer),
            Err(error) => Step::Refused(Some(error)),
        };
        Starting { step, output: PhantomData }
    }
}

impl<'c, O, X, D> Start<'c, O, InTransaction<'c, X, D>>
where
    X: StartWithin<D, Doing<Started> = Ready<Result<Started, StoreError>>>,
{
    /// Starts it without `.await`, for a driver that is synchronous.
    ///
    /// # Errors
    /// As awaiting it.
    pub fn run(self) -> Result<WorkflowHandle<O>, StartError> {
        let (doing, answer) = self.insert()?;
        answer.of(doing.into_inner())
    }
}

struct Answer<'c> {
    client: &'c Client,
    id: WorkflowId,
}

impl Answer<'_> {
    fn of<O>(&self, started: Result<Started, StoreError>) -> Result<WorkflowHandle<O>, StartError> {
        StartError::outcome(self.client, self.id, started)
    }
}

/// The future of a start in the caller's transaction; as `Send` as the driver's own.
pub struct Starting<'c, F, O> {
    step: Step<'c, F>,
    output: PhantomData<fn() -> O>,
}

enum Step<'c, F> {
    Refused(Option<StartError>),
    Running(Pin<Box<F>>, Answer<'c>),
}

impl<F: Future<Output = Result<Started, StoreError>>, O> Future for Starting<'_, F, O> {
    type Output = Result<WorkflowHandle<O>, StartError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.step {
            Step::Refused(error) => error.take().map_or(Poll::Pending, |error| Poll::Ready(Err(error))),
            Step::Running(doing, answer) => doing.as_mut().poll(cx).map(|started| answer.of(started)),
        }
    }
}

impl<F, O> fmt::Debug for Starting<'_, F, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Starting")
    }
}

impl<O, W: fmt::Debug> fmt::Debug for Start<'_, O, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.draft.as_ref().map(|draft| &draft.name);
        f.debug_struct("Start").field("workflow", &name).field("id", &self.id).field("place", &self.place).finish_non_exhaustive()
    }
}
