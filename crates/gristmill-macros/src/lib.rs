//! `#[task]` and `#[derive(Task)]`: how a task type is usually written.
//!
//! Applications use them through the crate `gristmill`, which exports both.

use proc_macro::TokenStream;

mod derive;
mod function;
mod implement;
mod options;
mod signature;
mod value;
mod version;
mod wire;
mod with;

/// Makes a task type of a function.
///
/// The function stays as it is and can still be called, in a unit test for instance. Next to it come a struct, named
/// like the function in PascalCase, with one public field for each argument, and its implementation of `gristmill::Task`.
///
/// ```
/// use gristmill::{Context, Error, Result, task};
/// # #[derive(Clone)] struct Mailer;
/// # impl Mailer { async fn send(&self, _: &str, _: &str) -> std::io::Result<u64> { Ok(7) } }
///
/// /// Sends one email and returns its number.
/// #[task(name = "email.send", queue = "mail", max_attempts = 5, backoff = exponential("2s", max = "1h"), timeout = "30s")]
/// async fn send_email(
///     cx: &Context<Mailer>,
///     to: String,
///     subject: String,
///     #[task(default)] locale: Option<String>,
/// ) -> Result<u64> {
///     if to.is_empty() {
///         return Err(Error::cancel("there is nobody to send it to"));
///     }
///     Ok(cx.state.send(&to, &subject).await?) // `?` on any error: try again
/// }
///
/// let task = SendEmail { to: "ann@example.org".into(), subject: "hello".into(), locale: None };
/// assert_eq!(task.subject, "hello");
/// assert_eq!(<SendEmail as gristmill::Task>::policy().queue, "mail");
/// ```
///
/// # The function
/// - `async fn` runs on the worker's runtime. A plain `fn` is a blocking task: each attempt gets a thread of its own.
/// - The first parameter may be the context, `&Context<State>`. It gives the task its state type, of which
///   `gristmill::FromRef` must make one from the application's state; `&Context`, or none at all, asks for no state. A
///   plain `fn` with a context needs a state that is `Clone`.
/// - All other parameters are arguments: plain names and owned types that serde can write and read and that have a JSON
///   Schema. An argument of type `Option` may be missing. `#[task(default)]` lets any other be missing, too, and take
///   `Default::default()`; `#[task(default = path)]` takes what the function at `path` returns. Doc comments and the
///   attributes of serde and schemars go to the field. Add an argument with a default, and tasks that are already
///   enqueued still run.
/// - It returns `Result<T>` or `Result<T, E>`, where `E` is `gristmill::Error` or any error that converts into it. `T` is
///   kept as JSON.
/// - No generics, lifetimes, `self`, `unsafe`, `const` or `extern`.
///
/// The struct has the function's visibility and doc comment, which becomes the description in its JSON Schema, and
/// derives `Clone`, `Debug`, `Serialize`, `Deserialize` and `JsonSchema`, and implements `Default` if all arguments
/// may be missing, for which the application needs neither serde nor schemars. Attributes of serde and schemars on
/// the function, such as `#[serde(rename_all = "camelCase")]`, go to the struct. A function without arguments makes a
/// struct without fields: `Ping {}`.
///
/// For a step of a [workflow](https://docs.rs/gristmill/latest/gristmill/workflow) there is `SendEmail::with(...)`, too, which takes for each
/// argument a value or what an earlier step gives.
///
/// # Options
/// Only `name` must be given. The others are defaults of the task type; one enqueue can say otherwise.
///
/// | option | value | default |
/// | --- | --- | --- |
/// | `name` | A string literal of 1 to 255 bytes without control characters. It is stored with every task: never change it. | required |
/// | `queue` | The queue it waits in; a name as above. | `"default"` |
/// | `priority` | `0` (first) to `9` (last). | `5` |
/// | `max_attempts` | How many attempts may fail before the task does; at least 1, which means no retry. | `5` |
/// | `max_crashes` | How many times it may take its worker down before it fails; at least 1. | `3` |
/// | `backoff` | The wait after a failed attempt; see below. | `exponential("2s", max = "1h")` |
/// | `timeout` | The longest that one attempt may run, or `"none"`. | `"1h"` |
/// | `kill_after` | How long a handler may go on once its timeout has asked it to end; then it is dropped. | a tenth of the timeout, at most `"5s"` |
/// | `expires` | How long after it is due it is still worth starting, or `"none"`; later it ends as `expired`. | `"none"` |
/// | `ack` | `late`: run again after a crash. `early`: never; it fails as `crashed`. | `late` |
/// | `retention` | How long the ended task is kept; `"none"` keeps nothing of a success, `"forever"` everything. | `"7d"` |
/// | `large_result` | A result above the limit: `fail` the attempt, or `truncate` the result. | `fail` |
/// | `on_error` | What a handler wrote in a transaction of `Context` when it returns an error there: `rollback` undoes it, `commit` keeps it. | `rollback` |
/// | `tags` | A list of labels that its tasks carry, at most 64; names as above. | `[]` |
/// | `title` | What one task is about, for people: a text with arguments in braces, `"{subject} to {to}"`, or the path of a function of the task that returns `String` or `Option<String>`. | none |
/// | `quiet` | A flag: log a success at debug level only. | off |
/// | `concurrency` | How many of its tasks run at once, in all workers together; see below. | no limit |
/// | `rate` | How many of its tasks begin in a time, in all workers together; see below. | no limit |
/// | `version` | The version of the arguments, `1` to `100`: one more when they change in a way that older programs can't read; see below. | `1` |
/// | `upgrade` | The path of a function that makes arguments of an older version into those of this one, or `none`. | required from version 2 on |
/// | `sequence` | A text with arguments in braces: of the tasks for which it says the same, each starts when the one before has ended. | none |
/// | `crate` | Where the crate `gristmill` is found, if it is renamed or re-exported: `crate = my::gristmill`. | `::gristmill` |
///
/// Durations are strings of numbers with the units `ms`, `s`, `m`, `h`, `d` and `w`, such as `"100ms"`, `"1.5h"` or
/// `"1h30m"`, up to 100 years.
///
/// `backoff` has three forms:
/// - `exponential("2s", max = "1h", jitter = true)`: a ceiling of two seconds, doubled after each failure up to one
///   hour; the wait is drawn evenly between zero and the ceiling, or is the ceiling with `jitter = false`. `max` is
///   `"1h"` and `jitter` is `true` where they are not given.
/// - `fixed("5s")`: the same wait each time.
/// - `list("1s", "10s", "5m")`: one after another; the last one repeats.
///
/// `concurrency` is one rule or a list of them, all of which have to admit a task:
/// - `limit(4)`: four of all tasks of the type.
/// - `limit(4, key = "openstack:{settings_id}", cost = "{size}")`: tasks for which `key` says the same share four slots, also with other types whose
///   rules say it, and each takes as many as `cost` says (1 where it is not given). The limit may be an argument, too: `limit("{max}", key = ..)`.
///   `on_excess` says what becomes of a task for which there is no slot: `wait`, where it is not given, `drop`, `keep_newest`, `keep_oldest` or
///   `cancel_running` (`gristmill::options::OnExcess`).
///
/// `rate` is a rate of all tasks of the type, `rate = "10/s"`, or one by key: `rate(key = "api:{host}", limit = "600/h", burst = 5, cost = "{size}")`. `burst`
/// is how many may begin at once after a pause; with `strategy = sliding_window` any hour has 600 at most, all of which may begin at once.
/// For several rates an expression of type `Vec<gristmill::options::Rate>` stands there.
///
/// `version` is for a change of the arguments that no default makes good: a field with another name, type or meaning. Tasks of version 2 are stored
/// as `email.send@2`, so that programs of the version before leave them alone. `upgrade = function` runs those of all versions before, too: it is
/// called as `function(from: u32, args: serde_json::Value)` and returns `Result<serde_json::Value, E>`, of which all errors fail the task
/// for good (`gristmill::options::Upgrade`). `upgrade = none` leaves them to programs that have their code, which may be this one:
/// as a task type of the same name without a version.
///
/// ```
/// use gristmill::{Result, Task, task};
/// use serde_json::{Value, json};
///
/// #[task(name = "email.send", version = 2, upgrade = to_many)]
/// async fn send_email(to: Vec<String>) -> Result<usize> {
///     Ok(to.len())
/// }
///
/// /// Version 1 had one recipient.
/// fn to_many(_from: u32, mut args: Value) -> Result<Value> {
///     args["to"] = json!([args["to"].take()]);
///     Ok(args)
/// }
///
/// assert_eq!((SendEmail::NAME, SendEmail::VERSION), ("email.send", 2));
/// ```
///
/// Literals are checked when the task is compiled. An expression may stand for any value but that of `name`: of type
/// `Duration` for a duration, `gristmill::options::Backoff` for a backoff (a call is written with its path:
/// `backoff = self::steep()`), `gristmill::options::Ack`, `OnError`, `Oversize` and `Retention` likewise. Its value is checked when
/// the task is registered.
///
/// ```
/// use gristmill::{Result, Task, task};
/// use std::time::Duration;
///
/// const NIGHT: &str = "night";
///
/// /// Rebuilds one customer's report; runs on a thread of its own.
/// #[task(name = "report.rebuild", queue = NIGHT, timeout = Duration::from_secs(90), ack = early, tags = ["report"], quiet)]
/// fn rebuild_report(customer: u64, #[task(default = one)] copies: u32) -> Result<u64, std::num::TryFromIntError> {
///     u64::from(copies).checked_mul(customer).map_or_else(|| u8::try_from(customer).map(u64::from), Ok)
/// }
///
/// fn one() -> u32 {
///     1
/// }
///
/// assert_eq!(rebuild_report(4, 2).unwrap(), 8);
/// assert_eq!(RebuildReport::policy().queue, "night");
/// ```
#[proc_macro_attribute]
pub fn task(options: TokenStream, item: TokenStream) -> TokenStream {
    function::expand(options.into(), item.into()).into()
}

/// Makes a task type of a struct with named fields.
///
/// For a task whose arguments are a type of their own, with derives, methods and serde attributes as it likes. The struct
/// derives or implements `Serialize`, `Deserialize` and `JsonSchema`; the handler is its method
/// `async fn handle(self, cx: &Context<State>) -> Result<Output>`.
///
/// ```
/// use gristmill::{Context, Result, Task};
/// use schemars::JsonSchema;
/// use serde::{Deserialize, Serialize};
/// # #[derive(Clone)] struct Images;
///
/// #[derive(Serialize, Deserialize, JsonSchema, Task)]
/// #[task(name = "image.resize", queue = "images", state = Images, output = u64, timeout = "2m")]
/// struct Resize {
///     image: String,
///     #[serde(default)]
///     width: Option<u32>,
/// }
///
/// impl Resize {
///     async fn handle(self, cx: &Context<Images>) -> Result<u64> {
///         cx.log(format!("resizing {}", self.image));
///         Ok(self.width.unwrap_or(640).into())
///     }
/// }
///
/// assert_eq!(Resize::NAME, "image.resize");
/// assert_eq!(Resize::fields(), ["image", "width"]);
/// ```
///
/// # Options
/// All options of [`macro@task`], and four more:
///
/// | option | value | default |
/// | --- | --- | --- |
/// | `state` | The state type of the context that `handle` takes. | `gristmill::context::Stateless` |
/// | `output` | What `handle` returns within its `Result`. | `()` |
/// | `elsewhere` | A flag: the code is in another program, and there is no `handle` and no `upgrade`; the type is added with `App::declare`. | off |
/// | `batch` | `batch(size = 1000, wait = "200ms")`: the handler takes up to so many tasks in one call, of which the first waits so long for others; with `key = "{tenant}"` only those whose arguments make the same text of it. It is `async fn handle(cx: &Batch<State>, tasks: Vec<Self>) -> Result<Vec<Result<Output>>>` then, and the type is added with `App::register_batch`: see `gristmill::batch`. | off |
///
/// The struct gets a function `with` for steps of workflows, as one of [`macro@task`] does, unless serde writes it otherwise than field by
/// field under their names.
///
/// They may be spread over several `#[task(...)]` attributes. Fields take no options: serde's attributes, such as
/// `#[serde(default)]`, hold.
#[proc_macro_derive(Task, attributes(task))]
pub fn derive_task(item: TokenStream) -> TokenStream {
    derive::expand(item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}
