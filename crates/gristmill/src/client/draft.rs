use std::borrow::Cow;

use crate::core::{InvalidInput, Policy};
use crate::runtime::Runtime;
use crate::{Error, Task, panics, twins};

/// The name and the arguments; whether they fit the schema is known.
#[derive(Debug)]
pub(super) struct Draft<'c> {
    pub(super) name: String,
    pub(super) args: String,
    /// Policy of the task type, unless this program does not know it.
    pub(super) policy: Option<Cow<'c, Policy>>,
    pub(super) near: Vec<String>,
    /// What the task says it is about.
    pub(super) title: Option<String>,
}

impl<'c> Draft<'c> {
    pub(super) fn typed<T: Task>(runtime: &'c Runtime, task: &T) -> Result<Self, InvalidInput> {
        let args = serde_json::to_string(task)
            .map_err(|error| InvalidInput::new("args", format!("can't be written as JSON: {error}")))?;
        let policy = match runtime.registry.get(T::NAME) {
            // A client may enqueue what only other programs run; the type's own declaration is as good.
            None => Cow::Owned(T::policy()),
            Some(kind) => {
                // Rust's types have checked the rest.
                if kind.schema.is_demanding {
                    kind.check_args(&args, &runtime.limits)?;
                }
                Cow::Borrowed(&kind.spec.policy)
            }
        };
        let title = panics::catch(|| task.title()).unwrap_or_else(|panicked| {
            tracing::warn!(kind = T::NAME, error = %Error::from(panicked), "the title of a task can't be made");
            None
        });
        Ok(Self { policy: Some(policy), title, ..Self::unknown(T::NAME, args) })
    }

    pub(super) fn named(runtime: &'c Runtime, name: &str, args: String) -> Result<Self, InvalidInput> {
        match runtime.registry.get(name) {
            Some(kind) => {
                kind.check_args(&args, &runtime.limits)?;
                twins::check(&args)?;
                Ok(Self { policy: Some(Cow::Borrowed(&kind.spec.policy)), ..Self::unknown(name, args) })
            }
            // Too large is told later, before so much is read.
            None if args.len() > runtime.limits.args_bytes => Ok(Self::unknown(name, args)),
            None => {
                twins::check(&args)?;
                Ok(Self { near: runtime.registry.near(name), ..Self::unknown(name, args) })
            }
        }
    }

    fn unknown(name: &str, args: String) -> Self {
        Self { name: name.to_owned(), args, policy: None, near: Vec::new(), title: None }
    }
}
