use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use crate::attempt::Attempt;
use crate::context::Stateless;
use crate::core::{FailureReason, InvalidInput};
use crate::error::What;
use crate::{Context, Error, FromRef, Result, Task};

/// The code of a task type without its Rust types: JSON in, JSON out.
///
/// [`Task`] is what applications write. This is for task types that are known only at run time, such as the commands and
/// HTTP targets of a configuration file; they are registered with [`App::register_handler`](crate::App::register_handler).
pub trait Handler: Send + Sync + 'static {
    /// Runs one attempt. `args` is the JSON text of an object that fits the task type's schema; the result is JSON text.
    ///
    /// # Errors
    /// As a task's handler: the error says what should happen next.
    fn run<'a>(&'a self, cx: &'a Context, args: &'a str) -> HandlerFuture<'a>;
}

/// What [`Handler::run`] returns.
pub type HandlerFuture<'a> = Pin<Box<dyn Future<Output = Result<String>> + Send + 'a>>;

/// The form in which the engine holds every handler.
pub(crate) trait Run: Send + Sync + 'static {
    fn run(&self, attempt: Arc<Attempt>, args: String) -> Pin<Box<dyn Future<Output = Result<String>> + Send + '_>>;
}

/// A [`Task`] with the state of its application.
pub(crate) struct Typed<T, S> {
    pub(crate) state: Arc<S>,
    pub(crate) task: PhantomData<fn() -> T>,
}

impl<T, S> Run for Typed<T, S>
where
    T: Task,
    T::State: FromRef<S>,
    S: Send + Sync + 'static,
{
    fn run(&self, attempt: Arc<Attempt>, args: String) -> Pin<Box<dyn Future<Output = Result<String>> + Send + '_>> {
        Box::pin(async move {
            let task: T = serde_json::from_str(&args).map_err(|error| misfit(&attempt, &args, &error))?;
            drop(args);
            let cx = Context::new(T::State::from_ref(&self.state), attempt);
            let output = task.run(&cx).await?;
            serde_json::to_string(&output).map_err(|error| Error::fail(format!("the result can't be written as JSON: {error}")))
        })
    }
}

/// The failure of arguments that do not fit the Rust type. It is kept and shown to people who may not see the arguments,
/// so it names the field and no value; serde's own text, which repeats values, goes to the log.
#[cold]
pub(crate) fn misfit(attempt: &Attempt, args: &str, error: &serde_json::Error) -> Error {
    tracing::error!(task = %attempt.id, kind = %attempt.kind, error = %error, "the arguments do not fit the task type");
    let told = attempt.runtime().registry.get(&attempt.kind).and_then(|kind| {
        let value = serde_json::from_str(args).ok()?;
        kind.schema.check_kept(&value).err()
    });
    let told = told.unwrap_or_else(|| {
        // The schema allows what the type refuses; the place says more than nothing.
        let (line, column) = (error.line(), error.column());
        InvalidInput::new("args", format!("do not fit the task type (line {line}, column {column} of the JSON)"))
    });
    Error::new(What::Fail, FailureReason::InvalidArgs, told)
}

/// A [`Handler`].
pub(crate) struct Dynamic<H>(pub(crate) H);

impl<H: Handler> Run for Dynamic<H> {
    fn run(&self, attempt: Arc<Attempt>, args: String) -> Pin<Box<dyn Future<Output = Result<String>> + Send + '_>> {
        Box::pin(async move {
            let cx = Context::new(Stateless, attempt);
            self.0.run(&cx, &args).await
        })
    }
}
