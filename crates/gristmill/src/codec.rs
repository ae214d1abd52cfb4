//! Another form for what is stored of a task's arguments and result: sealed, compressed, or somewhere else.
//!
//! A [`Codec`] turns JSON into JSON where arguments and results go into the store, and back where they come out: before the handler
//! of a worker, and in [`Handle::result`](crate::Handle::result). All else sees the stored form: lists, the command line, SQL,
//! [`Handle::status`](crate::Handle::status). Handlers, typed results and the check of arguments against the type's schema see the plain
//! one.
//!
//! ```
//! use gristmill::codec::{Codec, Payload};
//! use gristmill::{App, Error, Result, ResultExt, task};
//! use serde_json::{Value, json};
//!
//! /// Not a cipher.
//! struct Backwards;
//!
//! impl Codec for Backwards {
//!     fn encode(&self, _: &Payload<'_>, plain: String) -> Result<String> {
//!         Ok(json!({ "backwards": plain.chars().rev().collect::<String>() }).to_string())
//!     }
//!
//!     fn decode(&self, _: &Payload<'_>, stored: String) -> Result<String> {
//!         let value: Value = serde_json::from_str(&stored).or_fail()?;
//!         match value.get("backwards").and_then(Value::as_str) {
//!             Some(text) => Ok(text.chars().rev().collect()),
//!             None => Ok(stored), // from before there was a codec, or from SQL
//!         }
//!     }
//! }
//!
//! #[task(name = "greet")]
//! async fn greet(name: String) -> Result<String> {
//!     Ok(format!("hello {name}"))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let url = format!("sqlite:{}", dir.path().join("app.db").display());
//! let client = App::new(()).register::<Greet>().codec_for::<Greet>(Backwards).connect(&url).await?;
//! let worker = client.worker().queue("default", 4).start().await?;
//! let handle = client.enqueue(Greet { name: "ann".into() }).await?;
//! assert_eq!(handle.result().await?, "hello ann");
//! let kept = handle.status().await?.ok_or("it is kept")?;
//! assert_eq!(kept.args, r#"{"backwards":"}\"nna\":\"eman\"{"}"#);
//! worker.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! # What is not encoded
//! Titles, tags, headers, logs, progress and the texts of errors are for people, and stay as they are. So do the arguments in the
//! definition of a schedule: its ticks' tasks are encoded when a beat of this program makes them. A beat of a program without the
//! codec, the stock binary's for one, makes tasks with plain arguments, as SQL and other clients do: a codec should pass on what it
//! did not encode. A synchronous call stores nothing and has nothing to encode, but for its children.

use std::sync::Arc;

use serde::de::IgnoredAny;

use crate::core::{FailureReason, InvalidInput, NewTask, Oversize, TaskId, TaskRecord, limits};
use crate::error::What;
use crate::middleware::Applies;
use crate::runtime::Runtime;
use crate::{App, Error, Result, Task, panics};

/// Another form for stored arguments and results; see the [module](self).
///
/// Both methods run where they may not block: keys are fetched before the application starts, or kept up to date beside it.
pub trait Codec: Send + Sync + 'static {
    /// Makes the form that is stored: JSON text, for arguments that of an object. The limits on arguments and results hold for the
    /// plain form and for this one.
    ///
    /// To let an enqueue be repeated with the same id, the same arguments have to be encoded to the same text: others are refused as
    /// those of another task.
    ///
    /// # Errors
    /// Of arguments, the enqueue is refused with this text. Of a result, the attempt ends as if its handler had returned the error;
    /// what it did is done.
    fn encode(&self, payload: &Payload<'_>, plain: String) -> Result<String>;

    /// Undoes it.
    ///
    /// # Errors
    /// Of arguments, the attempt ends as if its handler had returned the error, so that it says what comes next:
    /// [`Error::fail`] for what no attempt could read, and
    /// [`Error::snooze_because`] for a key that this process does not have yet. Of a result, whoever
    /// awaits it gets [`AwaitError::Undecoded`](crate::client::AwaitError::Undecoded).
    fn decode(&self, payload: &Payload<'_>, stored: String) -> Result<String>;
}

/// Of what a text is the arguments or the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Payload<'a> {
    /// The task.
    pub id: TaskId,
    /// The name of its type.
    pub name: &'a str,
    /// Which of the two.
    pub part: Part,
}

impl<'a> Payload<'a> {
    /// That of this task; for tests of a codec.
    pub fn new(id: TaskId, name: &'a str, part: Part) -> Self {
        Self { id, name, part }
    }
}

/// What of a task is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// Its arguments.
    Args,
    /// Its result.
    Result,
    /// What one of its [durable steps](crate::durable) gave. What an event tells is not encoded, as anybody may send one.
    Step,
}

impl Part {
    /// Its name, to bind an encoded text to its place.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Args => "args",
            Self::Result => "result",
            Self::Step => "step",
        }
    }
}

impl<S: Send + Sync + 'static> App<S> {
    /// Stores arguments and results of all task types in the form that this codec makes. Of several, the first is applied first, and
    /// undone last.
    #[must_use]
    pub fn codec(self, codec: impl Codec) -> Self {
        self.encoded(Applies::ToAll, codec)
    }

    /// The same for one task type. A program that only enqueues or awaits its tasks needs the codec as well.
    #[must_use]
    pub fn codec_for<T: Task>(self, codec: impl Codec) -> Self {
        self.encoded(Applies::To(T::NAME), codec)
    }

    /// The same for all task types whose name `applies` says yes to.
    #[must_use]
    pub fn codec_if(self, applies: impl Fn(&str) -> bool + Send + Sync + 'static, codec: impl Codec) -> Self {
        self.encoded(Applies::If(Box::new(applies)), codec)
    }

    fn encoded(mut self, applies: Applies, codec: impl Codec) -> Self {
        self.layers.codecs.push(applies, Arc::new(codec));
        self
    }
}

impl Runtime {
    /// Puts a new task's arguments into the form that is stored.
    pub(crate) fn encode_args(&self, task: &mut NewTask) -> Result<(), InvalidInput> {
        if !self.is_encoded(&task.kind) {
            return Ok(());
        }
        let refused = |problem: String| InvalidInput::new("args", problem);
        // They would stand in a task for which they were not encoded, and be no lists for the store.
        if task.unique().is_some_and(|unique| unique.merge.is_some()) {
            let problem = "writes arguments into another task, and those of this type are encoded for one task each; take `existing` or `run_after`";
            return Err(InvalidInput::new("unique", problem));
        }
        let payload = Payload { id: task.id, name: &task.kind, part: Part::Args };
        let encoded = self.encode(&payload, std::mem::take(&mut task.args));
        task.args = encoded.map_err(|error| refused(format!("can't be encoded: {error}")))?;
        if task.args.len() > self.limits.args_bytes {
            let (bytes, most) = (task.args.len(), self.limits.args_bytes);
            return Err(refused(format!("are {bytes} bytes of JSON once encoded; at most {most} are allowed")));
        }
        check_json("args", &task.args, "once encoded")?;
        if task.args.trim_start().starts_with('{') { Ok(()) } else { Err(refused("are no JSON object once encoded".to_owned())) }
    }

    /// The plain form of stored arguments or of a stored result.
    pub(crate) fn decode(&self, payload: &Payload<'_>, stored: String) -> Result<String> {
        if !self.is_encoded(payload.name) {
            return Ok(stored);
        }
        let decode = || self.layers.codecs.of(payload.name).rev().try_fold(stored, |text, codec| codec.decode(payload, text));
        panics::catch(decode).unwrap_or_else(|panicked| Err(panicked.into()))
    }

    /// The plain form of an ended task's result, if it has one.
    pub(crate) fn decode_result(&self, task: &mut TaskRecord) -> Result<()> {
        if let Some(stored) = task.result.take() {
            let payload = Payload { id: task.id, name: &task.kind, part: Part::Result };
            task.result = Some(self.decode(&payload, stored)?);
        }
        Ok(())
    }

    /// The form in which a result is stored, within its limit.
    pub(crate) fn stored_result(&self, id: TaskId, name: &str, plain: String, oversize: Oversize) -> Result<String> {
        // Of a middleware, or of a handler without Rust types: nobody could read it back.
        check_json("result", &plain, "from its handler or a middleware").map_err(Error::fail)?;
        let most = self.limits.result_bytes;
        let plain = if plain.len() <= most { plain } else { too_large(&plain, plain.len(), oversize, most)? };
        if !self.is_encoded(name) {
            return Ok(plain);
        }
        let encode = |plain| -> Result<String> {
            let stored = self.encode(&Payload { id, name, part: Part::Result }, plain)?;
            check_json("result", &stored, "once encoded").map(|()| stored).map_err(Error::fail)
        };
        let stored = encode(plain.clone())?;
        if stored.len() <= most {
            return Ok(stored);
        }
        let cut = encode(too_large(&plain, stored.len(), oversize, most)?)?;
        if cut.len() <= most { Ok(cut) } else { too_large(&cut, cut.len(), Oversize::Fail, most) }
    }

    /// The form in which it is stored what a durable step gave.
    pub(crate) fn stored_step(&self, id: TaskId, name: &str, plain: String) -> Result<String> {
        if !self.is_encoded(name) {
            return Ok(plain);
        }
        let stored = self.encode(&Payload { id, name, part: Part::Step }, plain)?;
        check_json("step", &stored, "once encoded").map(|()| stored).map_err(Error::fail)
    }

    fn encode(&self, payload: &Payload<'_>, plain: String) -> Result<String> {
        let encode = || self.layers.codecs.of(payload.name).try_fold(plain, |text, codec| codec.encode(payload, text));
        panics::catch(encode).unwrap_or_else(|panicked| Err(panicked.into()))
    }

    /// Whether there are codecs at all.
    pub(crate) fn has_codecs(&self) -> bool {
        !self.layers.codecs.is_empty()
    }

    fn is_encoded(&self, name: &str) -> bool {
        // If the application can't say it for a panic, it is told of that by what follows.
        !self.layers.codecs.is_empty() && panics::catch(|| self.layers.codecs.of(name).next().is_some()).unwrap_or(true)
    }
}

/// What stands for a result of `bytes`, which are too many.
fn too_large(plain: &str, bytes: usize, oversize: Oversize, most: usize) -> Result<String> {
    match oversize {
        Oversize::Fail => Err(Error::new(
            What::Fail,
            FailureReason::ResultTooLarge,
            format!("the result is {bytes} bytes of JSON; at most {most} are kept"),
        )),
        Oversize::Truncate => {
            // The head is quoted once more, which can double it.
            let mut end = (most / 3).min(plain.len());
            while !plain.is_char_boundary(end) {
                end -= 1;
            }
            Ok(serde_json::json!({ "truncated": true, "bytes": plain.len(), "head": &plain[..end] }).to_string())
        }
    }
}

fn check_json(field: &str, text: &str, when: &str) -> Result<(), InvalidInput> {
    limits::check_depth(field, text)?;
    serde_json::from_str::<IgnoredAny>(text)
        .map(drop)
        .map_err(|error| InvalidInput::new(field, format!("no JSON {when}: {error}")))
}
