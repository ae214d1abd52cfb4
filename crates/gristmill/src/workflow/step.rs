use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde_json::{Map, Value};

use super::plan::{Need, Plan, Planned};
use super::{Failed, IntoSignature, Output, Results};
use crate::Task;
use crate::core::workflow::{Needs, Role, StepDraft, Tolerance};
use crate::core::{Overrides, Timestamp};
use crate::task::stored_name;

/// A step of a workflow that is being written: what it gives, what it waits for, and its options. It may be kept, cloned and given away;
/// once the workflow was started, it only names its step.
///
/// `O` is what its task gives, `S` says how many there are of it: [`One`], [`All`] or [`Most`].
pub struct Step<O, S = One> {
    plan: Plan,
    number: usize,
    name: String,
    output: PhantomData<fn() -> (O, S)>,
}

/// A group: a step with any number of tasks, all of which have to succeed. A [`Step`] with a list of results.
pub type Group<O> = Step<O, All>;

/// One task.
#[derive(Clone, Copy, Debug)]
pub enum One {}

/// A group that succeeds if all of its tasks do.
#[derive(Clone, Copy, Debug)]
pub enum All {}

/// A group of which some may fail, so that not each of them has a result.
#[derive(Clone, Copy, Debug)]
pub enum Most {}

/// How many tasks a group's success takes.
pub trait Many: sealed::Sealed {
    /// What whoever takes each result, if there is one, needs of the group.
    #[doc(hidden)]
    const OUTCOMES: Needs;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::All {}
    impl Sealed for super::Most {}
}

impl Many for All {
    const OUTCOMES: Needs = Needs::End;
}

impl Many for Most {
    const OUTCOMES: Needs = Needs::Success;
}

impl<O> Step<O> {
    /// Its result. Who takes it waits for the step's success.
    pub fn result(&self) -> Output<O> {
        self.refer("$result", "", Needs::Success)
    }

    /// A part of its result, by a [JSON Pointer](https://www.rfc-editor.org/rfc/rfc6901) such as `"/coverage"`, which may be of whatever type
    /// the argument is. If there is nothing at that place when the task begins, it fails for good and says so; if there is something of
    /// another type, too.
    pub fn at<P>(&self, pointer: &str) -> Output<P> {
        self.refer("$result", pointer, Needs::Success)
    }

    /// Its result, or `None` if it did not succeed. Who takes it waits for its end, however it ends.
    pub fn outcome(&self) -> Output<Option<O>> {
        self.refer("$result", "", Needs::End)
    }
}

impl<O> Step<O, All> {
    /// The results of all of its tasks in their order. Who takes them waits for the group's success.
    ///
    /// They are put into the argument up to [`RESULTS_BYTES_MAX`](crate::core::limits::RESULTS_BYTES_MAX) together; for more than that take
    /// [`pages`](Self::pages).
    pub fn results(&self) -> Output<Vec<O>> {
        self.refer("$results", "", Needs::Success)
    }

    /// A part of each of its results, by a JSON Pointer; see [`Step::at`].
    pub fn results_at<P>(&self, pointer: &str) -> Output<Vec<P>> {
        self.refer("$results", pointer, Needs::Success)
    }

    /// All of its results, to be read by pages: for a group of any size. Who takes them waits for the group's success.
    pub fn pages(&self) -> Output<Results<O>> {
        self.page(Needs::Success)
    }

    /// Lets so many of its tasks fail, or be cancelled: it succeeds all the same. It gives [`outcomes`](Self::outcomes) then.
    pub fn may_fail(self, tasks: u32) -> Step<O, Most> {
        self.tolerate(Tolerance::Count(tasks))
    }

    /// Lets so many in a hundred of its tasks fail, rounded down.
    pub fn may_fail_percent(self, percent: u8) -> Step<O, Most> {
        self.tolerate(Tolerance::Percent(percent.min(100)))
    }

    fn tolerate(self, tolerance: Tolerance) -> Step<O, Most> {
        self.plan.change(self.number, |step| step.draft.tolerance = tolerance);
        Step { plan: self.plan, number: self.number, name: self.name, output: PhantomData }
    }
}

impl<O> Step<O, Most> {
    /// As [`Step::pages`], with `None` for each task that did not succeed.
    pub fn pages(&self) -> Output<Results<Option<O>>> {
        self.page(Needs::Success)
    }
}

impl<O, S: Many> Step<O, S> {
    /// The results of its tasks in their order, `None` for each that did not succeed. Who takes them waits for the success of a group of
    /// which some may fail, and for the end of any other, however it ends.
    pub fn outcomes(&self) -> Output<Vec<Option<O>>> {
        self.refer("$results", "", S::OUTCOMES)
    }

    /// Leaves it open when the workflow is started: it can't end until its last members were added, with
    /// [`WorkflowHandle::extend`](super::WorkflowHandle::extend), and it was closed.
    pub fn open(self) -> Self {
        self.change(|step| step.draft.open = true)
    }

    fn page<R>(&self, needs: Needs) -> Output<Results<R>> {
        let results: Results<R> = Results::of(&self.name);
        Output::new(serde_json::to_value(results).unwrap_or_default(), Some(self.need(needs)))
    }
}

impl<O, S> Step<O, S> {
    pub(super) fn add<M: IntoSignature<Task: Task<Output = O>>>(plan: &Plan, name: String, task: M, role: Role) -> Self {
        let draft = StepDraft::one(name, stored_name::<M::Task>(), task.into_signature().member());
        Self::of(plan, StepDraft { role, ..draft })
    }

    pub(super) fn of(plan: &Plan, draft: StepDraft<Result<super::MemberDraft, crate::core::InvalidInput>>) -> Self {
        let name = draft.name.clone();
        Self { plan: plan.clone(), number: plan.add(draft), name, output: PhantomData }
    }

    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What went wrong in it: that of its first task that failed. Who takes it waits for the step's failure, and never runs otherwise.
    pub fn failure(&self) -> Output<Failed> {
        self.refer("$failure", "", Needs::Failure)
    }

    /// Lets it wait for the success of another step, of which it takes nothing.
    pub fn after<P, T>(self, other: &Step<P, T>) -> Self {
        self.after_when(other, Needs::Success)
    }

    /// Lets it wait for another step, and says what it needs of that, whatever its arguments say: that it succeeds, that it fails, or that
    /// it ends. If that can't be any more, this one is skipped.
    pub fn after_when<P, T>(self, other: &Step<P, T>, needs: Needs) -> Self {
        let plan = self.plan.id();
        self.change(|step| step.wait_for(plan, other.need(needs)))
    }

    /// A step that runs if this one fails. A failure that is handled is one all the same: the workflow has failed.
    ///
    /// ```
    /// # use gristmill::{Client, Result, task, workflow::Failed};
    /// # #[task(name = "pack")] async fn pack(order: u32) -> Result<u32> { Ok(order) }
    /// #[task(name = "tell")]
    /// async fn tell(order: u32, failed: Failed) -> Result<()> {
    ///     println!("order {order}: {failed}");
    ///     Ok(())
    /// }
    ///
    /// # async fn example(client: Client) -> Result<()> {
    /// let mut w = client.workflow("order");
    /// let parcel = w.step("pack", Pack { order: 7 });
    /// parcel.on_failure("tell", Tell::with(7, parcel.failure()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_failure<M: IntoSignature>(&self, name: impl Into<String>, task: M) -> Step<<M::Task as Task>::Output> {
        self.then(name, task, Needs::Failure)
    }

    /// A step that runs if this one succeeds.
    pub fn on_success<M: IntoSignature>(&self, name: impl Into<String>, task: M) -> Step<<M::Task as Task>::Output> {
        self.then(name, task, Needs::Success)
    }

    /// A step that runs when this one has ended, however it did.
    pub fn always<M: IntoSignature>(&self, name: impl Into<String>, task: M) -> Step<<M::Task as Task>::Output> {
        self.then(name, task, Needs::End)
    }

    fn then<M: IntoSignature>(&self, name: impl Into<String>, task: M, needs: Needs) -> Step<<M::Task as Task>::Output> {
        Step::add(&self.plan, name.into(), task, Role::Work).after_when(self, needs)
    }

    /// What undoes this step: it runs if the step has succeeded and the work as a whole has not. Those of several steps run one after the
    /// other, the last step's first. If it fails for good, the workflow says that somebody has to look.
    pub fn undo<M: IntoSignature>(&self, name: impl Into<String>, task: M) -> Step<<M::Task as Task>::Output> {
        let undo = Step::add(&self.plan, name.into(), task, Role::Work);
        undo.change(|step| step.draft.undoes = Some(self.name.clone()))
    }

    /// Sends its tasks to another queue.
    pub fn queue(self, queue: impl Into<String>) -> Self {
        self.set(|over| over.queue = Some(queue.into()))
    }

    /// 0 is served first, 9 last.
    pub fn priority(self, priority: u8) -> Self {
        self.set(|over| over.priority = Some(priority))
    }

    /// How many attempts of each of its tasks may fail before that does.
    pub fn max_attempts(self, attempts: u32) -> Self {
        self.set(|over| over.max_attempts = Some(attempts))
    }

    /// The longest that one attempt may run.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.set(|over| over.timeout = Some(timeout))
    }

    /// Does not begin before this long after the start of the workflow.
    pub fn delay(self, delay: Duration) -> Self {
        self.set(|over| over.delay = Some(delay))
    }

    /// Does not begin before then.
    pub fn starts_at(self, at: Timestamp) -> Self {
        self.set(|over| over.run_at = Some(at))
    }

    /// Adds a label to its tasks.
    pub fn tag(self, tag: impl Into<String>) -> Self {
        self.set(|over| over.tags.push(tag.into()))
    }

    /// Adds a piece of context to its tasks.
    pub fn header(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.set(|over| _ = over.headers.insert(name.into(), value.into()))
    }

    /// What people are told its tasks are about.
    pub fn title(self, title: impl Into<String>) -> Self {
        self.set(|over| over.title = Some(title.into()))
    }

    /// Any option of an enqueue, for each of its tasks.
    ///
    /// ```
    /// # use gristmill::{Client, Result, task};
    /// # use gristmill::options::Ack;
    /// # #[task(name = "pack")] async fn pack(order: u32) -> Result<u32> { Ok(order) }
    /// # async fn example(client: Client) -> Result<()> {
    /// let mut w = client.workflow("order");
    /// w.step("pack", Pack { order: 7 }).set(|options| options.ack = Some(Ack::Early));
    /// # Ok(())
    /// # }
    /// ```
    pub fn set(self, set: impl FnOnce(&mut Overrides)) -> Self {
        self.change(|step| set(&mut step.options))
    }

    fn change(self, change: impl FnOnce(&mut Planned)) -> Self {
        self.plan.change(self.number, change);
        self
    }

    fn refer<R>(&self, what: &str, at: &str, needs: Needs) -> Output<R> {
        let mut reference = Map::new();
        reference.insert(what.to_owned(), self.name.as_str().into());
        if !at.is_empty() {
            reference.insert("at".to_owned(), at.into());
        }
        Output::new(Value::Object(reference), Some(self.need(needs)))
    }

    fn need(&self, needs: Needs) -> Need {
        Need { plan: self.plan.id(), step: self.name.clone(), needs }
    }
}

impl<O, S> AsRef<str> for Step<O, S> {
    fn as_ref(&self) -> &str {
        &self.name
    }
}

impl<O, S> Clone for Step<O, S> {
    fn clone(&self) -> Self {
        Self { plan: self.plan.clone(), number: self.number, name: self.name.clone(), output: PhantomData }
    }
}

impl<O, S> fmt::Debug for Step<O, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Step({})", self.name)
    }
}
