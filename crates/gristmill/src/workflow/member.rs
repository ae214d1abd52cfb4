use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;

use super::form::NESTED;
use super::plan::Need;
use crate::client::{EnqueueError, check_deadline};
use crate::core::workflow::{References, references};
use crate::core::{InvalidInput, NewTask, Overrides, Policy};
use crate::runtime::Runtime;

/// A member of a step that somebody wrote: its arguments, in which references stand for results, and the options of an enqueue.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemberDraft {
    /// The arguments, a JSON object. `{"$result": "STEP"}`, `{"$results": "STEP"}` and `{"$failure": "STEP"}` stand for what is put there
    /// when an attempt begins; see [`Reference`](crate::core::workflow::Reference).
    pub args: Value,
    /// What it says that differs from its task type.
    pub options: Overrides,
    /// Whether it is taken though this program does not know its task type.
    pub force: bool,
    /// Whether its arguments come from Rust types, which have checked types and presence.
    pub(super) typed: bool,
    /// The options that another program declared for its task type, which this one does not know.
    pub(super) foreign: Option<Arc<Policy>>,
    /// What its arguments come from.
    pub(super) after: Vec<Need>,
}

impl MemberDraft {
    /// With these arguments, and as its task type says.
    pub fn new(args: Value) -> Self {
        Self { args, ..Self::default() }
    }

    /// Finds what it refers to.
    pub(super) fn prepare(self) -> Result<Prepared, InvalidInput> {
        let refers = references(&self.args).map_err(|error| InvalidInput::new("args", error.to_string()))?;
        let Self { args, options, force, typed, foreign, after } = self;
        Ok(Prepared { args: args.to_string(), refers, options, force, typed, foreign, after })
    }
}

/// A member whose references are known.
#[derive(Debug)]
pub(super) struct Prepared {
    args: String,
    pub(super) refers: References,
    options: Overrides,
    force: bool,
    typed: bool,
    foreign: Option<Arc<Policy>>,
    pub(super) after: Vec<Need>,
}

impl Prepared {
    pub(super) fn bytes(&self) -> usize {
        self.args.len()
    }

    /// The task, as an enqueue makes it; arguments that refer to results are checked when those are known.
    pub(super) fn task(&self, runtime: &Runtime, kind: &str) -> Result<NewTask, EnqueueError> {
        let policy = match runtime.registry.get(kind) {
            Some(known) => {
                if self.refers.is_empty() && (!self.typed || known.schema.is_demanding) {
                    known.check_args(&self.args, &runtime.limits)?;
                }
                Cow::Borrowed(&known.spec.policy)
            }
            None if let Some(foreign) = &self.foreign => Cow::Borrowed(&**foreign),
            None if self.force || kind == NESTED => Cow::Owned(Policy::default()),
            None if self.typed => return Err(EnqueueError::Unregistered { name: kind.to_owned() }),
            None => {
                let near = runtime.registry.near(kind);
                return Err(EnqueueError::UnknownTask { name: kind.to_owned(), near });
            }
        };
        check_deadline(runtime, &self.options)?;
        // It is its workflow that has a key: a member that is not made would never end.
        let options = Overrides { unique: Some(None), debounce: Some(None), ..self.options.clone() };
        Ok(runtime.new_task(kind, &policy, self.args.clone(), options)?)
    }
}
