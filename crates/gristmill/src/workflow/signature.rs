use std::marker::PhantomData;

use serde_json::{Map, Value};

use super::member::MemberDraft;
use super::output::{Gives, plain};
use super::plan::Need;
use crate::Task;
use crate::core::{InvalidInput, Overrides};

/// A task with its arguments, some of which may be what steps give. Made by `TASK::with`, which `#[task]` and `#[derive(Task)]` write: it
/// takes for each argument, in their order, whatever [gives](Gives) one of its type.
///
/// ```
/// use gristmill::{Client, Result, task};
///
/// #[task(name = "measure")]
/// async fn measure(upload: u32) -> Result<f64> {
///     Ok(f64::from(upload))
/// }
///
/// #[task(name = "report")]
/// async fn report(commit: String, coverage: f64) -> Result<String> {
///     Ok(format!("{commit}: {coverage}"))
/// }
///
/// # async fn example(client: Client) -> Result<()> {
/// let mut w = client.workflow("coverage");
/// let measured = w.step("measure", Measure { upload: 7 });
/// w.step("report", Report::with("abc", measured.result()));
/// # Ok(())
/// # }
/// ```
///
/// There is no `with` for a struct that serde does not write field by field under their names: one with `#[serde(flatten)]`, `skip`,
/// `with` and the like.
#[must_use = "a signature is for a step of a workflow"]
#[derive(Clone, Debug)]
pub struct Signature<T> {
    args: Result<Map<String, Value>, InvalidInput>,
    after: Vec<Need>,
    options: Overrides,
    task: PhantomData<fn() -> T>,
}

impl<T: Task> Signature<T> {
    /// One without arguments, which are given one after the other.
    #[doc(hidden)]
    pub fn begin() -> Self {
        Self { args: Ok(Map::new()), after: Vec::new(), options: Overrides::default(), task: PhantomData }
    }

    /// Adds an argument under its name in JSON.
    #[doc(hidden)]
    pub fn give<A>(mut self, name: &str, argument: impl Gives<A>) -> Self {
        let given = argument.give();
        self.after.extend(given.after);
        self.args = self.args.and_then(|mut args| {
            let place = |error: InvalidInput| InvalidInput::new(format!("{}/{name}", error.field), error.problem);
            args.insert(name.to_owned(), given.value.map_err(place)?);
            Ok(args)
        });
        self
    }

    /// What this one task says that differs from its type, from its step and from its workflow: the options of an enqueue.
    pub fn options(mut self, options: Overrides) -> Self {
        self.options = options;
        self
    }

    pub(super) fn member(self) -> Result<MemberDraft, InvalidInput> {
        let Self { args, after, options, task: _ } = self;
        Ok(MemberDraft { args: Value::Object(args?), options, force: false, typed: true, foreign: None, after })
    }
}

/// What a step can be made of: a task, or a [`Signature`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither a task nor one with arguments from other steps",
    label = "no task",
    note = "give a task such as `Merge {{ parts }}`, or `Merge::with(group.results())`"
)]
pub trait IntoSignature {
    /// The task type.
    type Task: Task;

    /// The task with its arguments.
    fn into_signature(self) -> Signature<Self::Task>;
}

impl<T: Task> IntoSignature for T {
    type Task = T;

    fn into_signature(self) -> Signature<T> {
        let args = plain(&self).and_then(|args| match args {
            Value::Object(args) => Ok(args),
            _ => Err(InvalidInput::new("args", "are not a JSON object such as {\"name\": \"value\"}")),
        });
        let title = crate::panics::catch(|| self.title()).unwrap_or_default();
        Signature { args, options: Overrides { title, ..Overrides::default() }, ..Signature::begin() }
    }
}

impl<T: Task> IntoSignature for Signature<T> {
    type Task = T;

    fn into_signature(self) -> Self {
        self
    }
}
