use std::borrow::Cow;

use serde::Serialize;

use crate::client::EnqueueError;
use crate::core::{InvalidInput, Policy};
use crate::runtime::Runtime;
use crate::task::stored_name;
use crate::{Error, Task, panics, twins};

/// The name and the arguments; whether they fit the schema is known.
#[derive(Debug)]
pub(super) struct Draft<'c> {
    pub(super) name: String,
    pub(super) args: String,
    kind: Kind<'c>,
    /// What the task says it is about.
    pub(super) title: Option<String>,
}

/// What is known of the task type.
#[derive(Debug)]
enum Kind<'c> {
    /// This program runs it, or enqueues it for another that does.
    Known(&'c Policy),
    /// It is a Rust type of this program that it does not say to have.
    Unregistered(Box<Policy>),
    Unknown {
        near: Vec<String>,
    },
}

impl<'c> Draft<'c> {
    pub(super) fn typed<T: Task>(runtime: &'c Runtime, task: &T) -> Result<Self, InvalidInput> {
        let args = json(task)?;
        let name = stored_name::<T>();
        let kind = match runtime.registry.get(&name) {
            None => Kind::Unregistered(Box::new(T::policy())),
            Some(kind) => {
                // Rust's types have checked the rest.
                if kind.schema.is_demanding {
                    kind.check_args(&args, &runtime.limits)?;
                }
                Kind::Known(&kind.spec.policy)
            }
        };
        let title = panics::catch(|| task.title()).unwrap_or_else(|panicked| {
            tracing::warn!(kind = T::NAME, error = %Error::from(panicked), "the title of a task can't be made");
            None
        });
        Ok(Self { name: name.into_owned(), args, kind, title })
    }

    pub(super) fn named(runtime: &'c Runtime, name: &str, args: String) -> Result<Self, InvalidInput> {
        let kind = match runtime.registry.get(name) {
            Some(kind) => {
                kind.check_args(&args, &runtime.limits)?;
                twins::check(&args)?;
                Kind::Known(&kind.spec.policy)
            }
            // Too large is told later, before so much is read.
            None if args.len() > runtime.limits.args_bytes => Kind::Unknown { near: Vec::new() },
            None => {
                twins::check(&args)?;
                Kind::Unknown { near: runtime.registry.near(name) }
            }
        };
        Ok(Self { name: name.to_owned(), args, kind, title: None })
    }

    /// The options of its type; `force` takes one that this program does not know.
    pub(super) fn take_policy(&mut self, force: bool) -> Result<Cow<'c, Policy>, EnqueueError> {
        let name = || self.name.clone();
        match std::mem::replace(&mut self.kind, Kind::Unknown { near: Vec::new() }) {
            Kind::Known(policy) => Ok(Cow::Borrowed(policy)),
            Kind::Unregistered(policy) if force => Ok(Cow::Owned(*policy)),
            Kind::Unregistered(_) => Err(EnqueueError::Unregistered { name: name() }),
            Kind::Unknown { .. } if force => Ok(Cow::Owned(Policy::default())),
            Kind::Unknown { near } => Err(EnqueueError::UnknownTask { name: name(), near }),
        }
    }
}

/// The arguments of a task as JSON text.
pub(super) fn json(args: &impl Serialize) -> Result<String, InvalidInput> {
    serde_json::to_string(args).map_err(|error| InvalidInput::new("args", format!("can't be written as JSON: {error}")))
}

/// The same of a caller who names the task type, and may have taken JSON text for a value.
pub(super) fn json_of_named(args: &impl Serialize) -> Result<String, InvalidInput> {
    let json = json(args)?;
    if json.starts_with('"') {
        let problem = "are a text and not a JSON object such as {\"name\": \"value\"}; text that is JSON already goes as a \
                       `serde_json::value::RawValue`";
        return Err(InvalidInput::new("args", problem));
    }
    Ok(json)
}
