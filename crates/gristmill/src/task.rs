use std::future::Future;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::core::{KindSpec, Policy};
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
/// with a default may be missing.
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

    /// The whole declaration, as stores keep it.
    fn kind() -> KindSpec {
        KindSpec {
            name: Self::NAME.to_owned(),
            schema: schemars::schema_for!(Self).to_value(),
            fields: Self::fields().iter().map(|&field| field.to_owned()).collect(),
            policy: Self::policy(),
        }
    }
}
