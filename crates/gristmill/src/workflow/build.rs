use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use super::member::MemberDraft;
use super::plan::{Plan, PlanId, Planned, under};
use super::start::{More, Start, Written};
use super::step::{All, Step};
use super::{Failed, IntoSignature, Output, StartError};
use crate::Task;
use crate::client::{Client, Own};
use crate::core::workflow::{Draft, Needs, Role, StepDraft};
use crate::core::{InvalidInput, Overrides, Retention, Timestamp};
use crate::task::stored_name;

/// A workflow that is being written: steps, what each of them takes of others, and what runs when all is over. Made by
/// [`Client::workflow`]; nothing is kept before it is [started](Self::start). See the [module](super).
#[must_use = "a workflow does nothing until it is started"]
pub struct Workflow<'c, W = Own<'c>> {
    place: W,
    name: String,
    key: Option<String>,
    tags: Vec<String>,
    retention: Retention,
    deadline: Option<Duration>,
    plan: Plan,
    /// The members of groups, by the numbers of their steps.
    members: BTreeMap<usize, More<'c>>,
    /// For tasks of all steps.
    common: Overrides,
    /// For those that wait for nothing.
    first: Overrides,
}

impl Client {
    /// Begins to write a workflow. The name says what sort of workflow it is, and is the same for each of its runs.
    ///
    /// ```
    /// use gristmill::{Client, Result, task};
    ///
    /// #[task(name = "process")]
    /// async fn process(upload: u32) -> Result<u32> {
    ///     Ok(upload)
    /// }
    ///
    /// #[task(name = "merge")]
    /// async fn merge(parts: Vec<u32>) -> Result<u32> {
    ///     Ok(parts.iter().sum())
    /// }
    ///
    /// # async fn example(client: Client) -> Result<()> {
    /// let mut w = client.workflow("upload").key("upload:abc");
    /// let parts = w.each("process", (1..=3).map(|upload| Process { upload }));
    /// w.step("merge", Merge::with(parts.results()));
    /// let run = w.start().await?.typed::<u32>();
    /// assert_eq!(run.result().await?, 6);
    /// # Ok(())
    /// # }
    /// ```
    pub fn workflow(&self, name: impl Into<String>) -> Workflow<'_> {
        Workflow::new(Own(self), name.into())
    }
}

impl<'c, W> Workflow<'c, W> {
    pub(crate) fn new(place: W, name: String) -> Self {
        Self {
            place,
            name,
            key: None,
            tags: Vec::new(),
            retention: Retention::default(),
            deadline: None,
            plan: Plan::default(),
            members: BTreeMap::new(),
            common: Overrides::default(),
            first: Overrides::default(),
        }
    }

    /// A key that one run holds at a time: as long as that goes on, another start with the key changes nothing, and gives its handle.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// How long the run is kept once it has ended. Its tasks have their own retention, which begins when the workflow has ended.
    pub fn retention(mut self, retention: Retention) -> Self {
        self.retention = retention;
        self
    }

    /// How long after its start the run is cancelled if it has not ended; its handlers run then. Counted anew with each
    /// [retry](crate::client::Workflows::retry).
    ///
    /// ```
    /// # use gristmill::{Client, Result, task};
    /// # use std::time::Duration;
    /// # #[task(name = "pack")] async fn pack(order: u32) -> Result<u32> { Ok(order) }
    /// # async fn example(client: Client) -> Result<()> {
    /// let mut w = client.workflow("order").deadline(Duration::from_secs(2 * 3600));
    /// w.step("pack", Pack { order: 7 });
    /// let run = w.start().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Adds a label to the run and to each of its tasks.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        let tag = tag.into();
        self.common.tags.push(tag.clone());
        self.tags.push(tag);
        self
    }

    /// Adds a piece of context to each of its tasks.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.common.headers.insert(name.into(), value.into());
        self
    }

    /// Sends the tasks of all steps to this queue, but for those whose step says another.
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.common.queue = Some(queue.into());
        self
    }

    /// The priority of the tasks of all steps, but for those whose step says another: 0 is served first, 9 last.
    pub fn priority(mut self, priority: u8) -> Self {
        self.common.priority = Some(priority);
        self
    }

    /// Lets the first steps, which wait for no other, wait this long.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.first.delay = Some(delay);
        self
    }

    /// Lets the first steps, which wait for no other, wait until then.
    pub fn starts_at(mut self, at: Timestamp) -> Self {
        self.first.run_at = Some(at);
        self
    }

    /// Any option of an enqueue, for the tasks of all steps, but for those that say otherwise.
    pub fn set(mut self, set: impl FnOnce(&mut Overrides)) -> Self {
        set(&mut self.common);
        self
    }

    /// A step of one task. It goes at once, or when those steps have ended of which it takes something, or which it is
    /// [`after`](Step::after).
    pub fn step<M: IntoSignature>(&mut self, name: impl Into<String>, task: M) -> Step<<M::Task as Task>::Output> {
        Step::add(&self.plan, name.into(), task, Role::Work)
    }

    /// A group: a step of any number of tasks of one type. It is over when all of them have ended; at once, and well, if there is none.
    ///
    /// The tasks are made when the workflow is started, and no more than 1,000 of them at a time.
    pub fn each<I>(&mut self, name: impl Into<String>, tasks: I) -> Step<OutputOf<I>, All>
    where
        I: IntoIterator<Item: IntoSignature, IntoIter: Send + 'c>,
    {
        let kind = stored_name::<<I::Item as IntoSignature>::Task>();
        let group = Step::of(&self.plan, StepDraft::group(name, kind, Vec::new()));
        self.members.insert(group.number(), Box::new(tasks.into_iter().map(|task| task.into_signature().member())));
        group
    }

    /// What runs when all work is over and has failed. It can take the [`failure`](Self::failure), and the results of steps.
    pub fn on_failure<M: IntoSignature>(&mut self, name: impl Into<String>, task: M) -> Step<<M::Task as Task>::Output> {
        Step::add(&self.plan, name.into(), task, Role::Handler(Needs::Failure))
    }

    /// What runs when all work is over and has succeeded.
    pub fn on_success<M: IntoSignature>(&mut self, name: impl Into<String>, task: M) -> Step<<M::Task as Task>::Output> {
        Step::add(&self.plan, name.into(), task, Role::Handler(Needs::Success))
    }

    /// What runs when all work is over, whatever became of it, a cancel included.
    pub fn always<M: IntoSignature>(&mut self, name: impl Into<String>, task: M) -> Step<<M::Task as Task>::Output> {
        Step::add(&self.plan, name.into(), task, Role::Handler(Needs::End))
    }

    /// What went wrong, for what runs when all work is over: that of the first task that failed, of the first step that did. Where it may
    /// be that nothing went wrong, an argument takes it as `Option<Failed>`.
    pub fn failure(&self) -> Output<Failed> {
        Output::new(json!({ "$failure": true }), None)
    }

    /// What is written, and where it is to be started.
    pub(crate) fn written(self) -> (Written<'c>, W) {
        let Self { place, name, key, tags, retention, deadline, plan, members, common, first } = self;
        let planned = plan.take();
        let options: Vec<_> = planned.iter().map(|step| Options::of(plan.id(), step, &common, &first)).collect();
        let members = members.into_iter().filter_map(|(number, members)| {
            let options = options.get(number)?.clone();
            let members: More<'c> = Box::new(members.map(move |member| member.and_then(|member| options.give(member))));
            Some((number, members))
        });
        let members = members.collect();
        let steps = planned.into_iter().zip(&options).map(|(step, options)| options.step(step));
        let draft = match common.id {
            Some(_) => Err(InvalidInput::new("id", "is of one task alone, and stands in the options of all").into()),
            None => steps.collect::<Result<Vec<_>, _>>().map(|steps| Draft { name, key, tags, retention, deadline, steps }),
        };
        (Written { draft, more: members, definition: None }, place)
    }

    /// The name by which a task asks for it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl<'c> Workflow<'c> {
    /// The workflow, about to be started.
    pub fn start(self) -> Start<'c, Value> {
        let (Written { draft, more, definition: _ }, Own(client)) = self.written();
        Start::new(client, draft, more)
    }
}

/// What the tasks of a group give.
type OutputOf<I> = <<<I as IntoIterator>::Item as IntoSignature>::Task as Task>::Output;

/// The options of a step's tasks, beside their own.
#[derive(Clone)]
struct Options {
    plan: PlanId,
    common: Overrides,
    /// For one that waits for nothing.
    first: Option<Overrides>,
}

impl Options {
    fn of(plan: PlanId, step: &Planned, common: &Overrides, first: &Overrides) -> Self {
        let common = under(step.options.clone(), common);
        Self { plan, first: step.is_first().then(|| under(common.clone(), first)), common }
    }

    fn give(&self, mut member: MemberDraft) -> Result<MemberDraft, InvalidInput> {
        if let Some(strange) = member.after.iter().find(|need| need.plan != self.plan) {
            let problem =
                format!("refer to the step `{}` of another workflow; take the results of this one's own steps", strange.step);
            return Err(InvalidInput::new("args", problem));
        }
        let options = self.first.as_ref().filter(|_| member.after.is_empty()).unwrap_or(&self.common);
        member.options = under(member.options, options);
        Ok(member)
    }

    fn step(&self, step: Planned) -> Result<StepDraft<MemberDraft>, StartError> {
        let StepDraft { name, kind, role, undoes, after, tolerance, members, group, open, refers } = step.draft;
        let refused = |error: InvalidInput| StartError::member(&name, None, error.into());
        if let Some(strange) = step.strange {
            let problem = format!("names the step `{strange}` of another workflow, for which nothing here can wait");
            return Err(refused(InvalidInput::new("after", problem)));
        }
        if group && step.options.id.is_some() {
            return Err(refused(InvalidInput::new("id", "is of one task alone, and a group has as many as it has members")));
        }
        let members = members.into_iter().map(|member| {
            let mut member = member.and_then(|member| self.give(member)).map_err(refused)?;
            member.options.id = member.options.id.or(step.options.id);
            Ok(member)
        });
        let members = members.collect::<Result<Vec<_>, StartError>>()?;
        Ok(StepDraft { name, kind, role, undoes, after, tolerance, members, group, open, refers })
    }
}

impl<W> fmt::Debug for Workflow<'_, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workflow").field("name", &self.name).field("key", &self.key).finish_non_exhaustive()
    }
}
