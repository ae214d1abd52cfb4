use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Task;
use crate::core::InvalidInput;
use crate::task::stored_name;

/// A task with its arguments as a value: an argument of another task, which enqueues it when the time has come. It is still one when it
/// arrives, wherever it was stored; as JSON it is `{"task": NAME, "args": {...}}`.
///
/// ```
/// use gristmill::workflow::Callback;
/// use gristmill::{Client, Context, Result, task};
///
/// #[task(name = "notify")]
/// async fn notify(who: String) -> Result<()> {
///     println!("it is done, {who}");
///     Ok(())
/// }
///
/// /// Knows nothing of what follows.
/// #[task(name = "import")]
/// async fn import(cx: &Context, file: String, then: Callback) -> Result<()> {
///     println!("importing {file}");
///     cx.enqueue_named(then.name(), then.args()).await?;
///     Ok(())
/// }
///
/// # async fn example(client: Client) -> Result<()> {
/// let then = Callback::of(&Notify { who: "ann".into() })?;
/// client.enqueue(Import { file: "a.csv".into(), then }).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Callback {
    task: String,
    args: Value,
}

impl Callback {
    /// That of a task.
    ///
    /// # Errors
    /// If its arguments can't be written as JSON.
    pub fn of<T: Task>(task: &T) -> Result<Self, InvalidInput> {
        let args = serde_json::to_value(task);
        let args = args.map_err(|error| InvalidInput::new("args", format!("can't be written as JSON: {error}")))?;
        Ok(Self { task: stored_name::<T>().into_owned(), args })
    }

    /// The name of the task type, with the version of the arguments behind it if that is not the first.
    pub fn name(&self) -> &str {
        &self.task
    }

    /// The arguments.
    pub fn args(&self) -> &Value {
        &self.args
    }
}

impl JsonSchema for Callback {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Callback".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "A task with its arguments",
            "properties": { "task": { "type": "string" }, "args": { "type": "object" } },
            "required": ["task", "args"],
            "additionalProperties": false,
        })
    }
}
