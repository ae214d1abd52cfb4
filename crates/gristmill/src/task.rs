use std::borrow::Cow;
use std::future::Future;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::core::{KindSpec, Policy, version};
use crate::{Context, Result};

/// A task type: a struct of named arguments with a name, options and a handler.
///
/// Usually written as an `async fn` under [`#[task]`](macro@crate::task), which expands to exactly this. Written by hand:
///
/// ```
/// use gristmill::context::Stateless;
/// use gristmill::options::Policy;
/// use gristmill::{Context, Result, Task};
/// use schemars::JsonSchema;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, JsonSchema)]
/// struct Resize {
///     image: String,
///     #[serde(default)]
///     width: Option<u32>,
/// }
///
/// impl Task for Resize {
///     const NAME: &'static str = "image.resize";
///     type State = Stateless;
///     type Output = u64;
///
///     fn policy() -> Policy {
///         Policy { queue: "images".into(), max_attempts: 3, ..Policy::default() }
///     }
///
///     async fn run(self, cx: &Context) -> Result<u64> {
///         cx.log(format!("resizing {}", self.image));
///         Ok(self.width.unwrap_or(640).into())
///     }
/// }
/// ```
///
/// Old and new versions of a program may run side by side: unknown fields of the arguments are ignored, and a field
/// with a default may be missing. For any other change of the arguments there is [`VERSION`](Self::VERSION).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a task",
    label = "not a task",
    note = "write `#[task]` above an `async fn`, `#[derive(Task)]` above the arguments struct, or implement `Task` for it"
)]
pub trait Task: Serialize + DeserializeOwned + JsonSchema + Send + 'static {
    /// The name under which it is enqueued. It is part of the stored data: moving or renaming the code must not change it.
    const NAME: &'static str;

    /// Whether its code is in another program, so that this one only enqueues it: `#[derive(Task)]` with the option `elsewhere`. Such a type
    /// is [declared](crate::App::declare), and can't be registered.
    const ELSEWHERE: bool = false;

    /// The version of its arguments, from 1 to 100: one more than before when they change in a way that older programs can't read. What this
    /// program enqueues is stored under the name with `@` and the version behind it from version 2 on, so that no program which does not know
    /// the version takes it. All else that the type says holds for all versions.
    const VERSION: u32 = 1;

    /// Makes arguments of an older version into those of this one. With it a worker runs tasks of all versions before, too; without, it leaves
    /// them to programs that have their code.
    ///
    /// ```
    /// use gristmill::options::Upgrade;
    /// use gristmill::{Context, Result, Task};
    /// use schemars::JsonSchema;
    /// use serde::{Deserialize, Serialize};
    /// use serde_json::{Value, json};
    ///
    /// #[derive(Serialize, Deserialize, JsonSchema)]
    /// struct Send {
    ///     to: Vec<String>,
    /// }
    ///
    /// impl Task for Send {
    ///     const NAME: &'static str = "email.send";
    ///     const VERSION: u32 = 2;
    ///     const UPGRADE: Option<Upgrade> = Some(to_many);
    ///     type State = gristmill::context::Stateless;
    ///     type Output = usize;
    ///
    ///     async fn run(self, _: &Context) -> Result<usize> {
    ///         Ok(self.to.len())
    ///     }
    /// }
    ///
    /// /// Version 1 had one recipient.
    /// fn to_many(_from: u32, mut args: Value) -> Result<Value> {
    ///     args["to"] = json!([args["to"].take()]);
    ///     Ok(args)
    /// }
    ///
    /// assert_eq!(Send::kind().name, "email.send@2");
    /// ```
    const UPGRADE: Option<Upgrade> = None;

    /// What the handler needs: the application's state, or a part of it by [`FromRef`](crate::FromRef).
    type State: Send + Sync + 'static;

    /// What the handler gives back, kept as JSON.
    type Output: Serialize + DeserializeOwned + Send + 'static;

    /// The options that hold unless an enqueue says otherwise.
    fn policy() -> Policy {
        Policy::default()
    }

    /// The names of the arguments in their declared order, for callers that pass arguments by position.
    fn fields() -> &'static [&'static str] {
        &[]
    }

    /// What this one task is about, in a few words for people who look at lists; `None` says nothing. Asked once, by
    /// whoever enqueues it; one line of at most 255 bytes is kept. If it panics, the task has no title.
    fn title(&self) -> Option<String> {
        None
    }

    /// The handler. It may be run more than once for one task: after a failure, and after a crash (see
    /// [`Ack`](crate::options::Ack)).
    ///
    /// # Cancel safety
    /// The future is dropped when the attempt has to end: some time after its timeout or a cancellation, or when the
    /// worker stops and its grace period is over.
    fn run(self, cx: &Context<Self::State>) -> impl Future<Output = Result<Self::Output>> + Send;

    /// The whole declaration, as stores keep it, under the name that they have for this version.
    fn kind() -> KindSpec {
        KindSpec {
            name: stored_name::<Self>().into_owned(),
            schema: schemars::schema_for!(Self).to_value(),
            fields: Self::fields().iter().map(|&field| field.to_owned()).collect(),
            policy: Self::policy(),
        }
    }
}

/// Makes arguments of the version that it is given into those of the current one; see [`Task::UPGRADE`].
///
/// It is called once for each attempt, with the version under which the task was enqueued, however much older that is, and what it gives is checked
/// and read as arguments of the current version are. Written as a row of steps it goes on from any of them:
///
/// ```
/// # use gristmill::Result;
/// # use serde_json::{Value, json};
/// fn upgrade(from: u32, mut args: Value) -> Result<Value> {
///     if from < 2 {
///         args["to"] = json!([args["to"].take()]);
///     }
///     if from < 3 {
///         args["priority"] = json!("normal");
///     }
///     Ok(args)
/// }
/// # assert_eq!(upgrade(1, json!({ "to": "ann" })).unwrap(), json!({ "to": ["ann"], "priority": "normal" }));
/// ```
///
/// It sees nothing but the arguments, so that another attempt would come to the same: whatever its error says, the task fails for good, as one whose
/// arguments do not fit.
pub type Upgrade = fn(from: u32, args: Value) -> Result<Value>;

/// The name under which tasks of this type are stored.
pub(crate) fn stored_name<T: Task>() -> Cow<'static, str> {
    version::stored_name(T::NAME, T::VERSION)
}
