mod check;
mod definition;
mod nested;
mod read;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

pub use nested::NESTED;

use super::plan::under;
use super::{MemberDraft, Start, StartError, Written};
use crate::client::Client;
use crate::core::workflow::{Draft, DraftError, pointer_part};
use crate::core::{InvalidInput, Overrides, Policy};
use crate::runtime::Runtime;

/// The largest form that is read.
pub const FORM_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The most members that the groups of a form have together: each takes about a kilobyte of memory until it is kept.
pub const FORM_MEMBERS_MAX: usize = 250_000;

/// So many mistakes of one form are told. If there are more, mostly all have one reason.
const MISTAKES_MAX: usize = 20;

/// A workflow in its JSON form, which the command line takes, and whoever wants to send one:
///
/// ```json
/// {"name": "upload", "key": "upload:abc", "steps": {
///   "process": {"task": "process", "each": [{"n": 1}, {"n": 2}]},
///   "merge":   {"task": "merge", "after": ["process"], "args": {"results": {"$results": "process"}}},
///   "notify":  {"task": "notify", "after": ["merge"], "args": {"n": {"$result": "merge", "at": "/sum"}}}}}
/// ```
///
/// All that may stand there is told in [docs/commands.md](https://github.com/gristmill/gristmill/blob/main/docs/commands.md#workflows-start). What is wrong is told with its place, up to 20 mistakes at once.
///
/// ```
/// # use gristmill::{Client, Result};
/// use gristmill::workflow::Form;
/// # async fn example(client: Client) -> Result<()> {
/// let form = Form::read(r#"{"name": "one", "steps": {"greet": {"task": "greet", "args": {"name": "world"}}}}"#)?;
/// let run = client.workflows().form(form).await?;
/// println!("{}", run.result().await?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Form {
    draft: Draft<MemberDraft>,
    /// Of each step of the draft where it was written: what undoes a step or waits for its end stands within that.
    places: Vec<Place>,
    definition: String,
    force: bool,
}

/// Where a step of a draft was written.
#[derive(Clone, Debug, Default)]
struct Place {
    /// As a JSON Pointer.
    at: String,
    /// Where what it waits for stands, in the order in which the draft has it.
    after: Vec<String>,
}

/// What is wrong with a form. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormError {
    mistakes: Vec<DraftError>,
}

impl Form {
    /// Reads a form, and checks all of it that can be checked without knowing task types: its words, its graph, and what refers to what.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn read(text: &str) -> Result<Self, FormError> {
        read::read(text)
    }

    /// Replaces the key that it says, if it says one.
    ///
    /// # Errors
    /// A key that can't be one.
    pub fn key(mut self, key: impl Into<String>) -> Result<Self, FormError> {
        let key = key.into();
        crate::core::limits::check_name("key", &key).map_err(|error| FormError::one("/key", error.problem))?;
        self.draft.key = Some(key);
        Ok(self)
    }

    /// Takes task types that this program does not know, for another program that does; see
    /// [`Enqueue::force`](crate::client::Enqueue::force).
    pub fn force(mut self, force: bool) -> Self {
        self.force = force;
        self
    }

    /// The task types of its steps, each once.
    pub fn kinds(&self) -> BTreeSet<&str> {
        self.draft.steps.iter().map(|step| step.kind.as_str()).collect()
    }

    /// The queues that its steps name, each once.
    pub fn queues(&self) -> BTreeSet<&str> {
        let members = self.draft.steps.iter().flat_map(|step| &step.members);
        members.filter_map(|member| member.options.queue.as_deref()).collect()
    }

    /// Checks it against the task types that the client knows: whether they are there, and take these arguments. What stands in the
    /// place of a reference is not known yet, and not checked.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn check(&self, client: &Client) -> Result<(), FormError> {
        check::against_types(self, client.runtime())
    }

    pub(crate) fn start(self, client: &Client) -> Start<'_, Value> {
        let Written { draft, more, definition } = self.written(client.runtime());
        let start = Start::new(client, draft, more);
        match definition {
            Some(definition) => start.definition(definition),
            None => start,
        }
    }

    /// The workflow that it is, wherever it is started, with the name by which a task asks for it.
    pub(crate) fn written(self, runtime: &Runtime) -> Written<'static> {
        let checked = check::against_types(&self, runtime);
        let Self { mut draft, places: _, definition, force } = self;
        draft.steps.iter_mut().flat_map(|step| &mut step.members).for_each(|member| member.force |= force);
        // Arguments that are kept in another form are not to stand there in their plain one.
        let definition = Some(definition).filter(|_| !runtime.has_codecs());
        Written { draft: checked.map(|()| draft).map_err(StartError::Form), more: BTreeMap::new(), definition }
    }

    /// What sort of workflow it is.
    pub(crate) fn name(&self) -> &str {
        &self.draft.name
    }

    /// Changes the options of all its tasks, where they say nothing themselves.
    pub(crate) fn set(&mut self, common: &Overrides) {
        for member in self.draft.steps.iter_mut().flat_map(|step| &mut step.members) {
            member.options = under(std::mem::take(&mut member.options), common);
        }
    }

    /// Takes a task type of other programs, with the options that it has there.
    pub(crate) fn know(&mut self, kind: &str, policy: &Policy) {
        let policy = Arc::new(policy.clone());
        for step in self.draft.steps.iter_mut().filter(|step| step.kind == kind) {
            for member in &mut step.members {
                member.foreign = Some(policy.clone());
            }
        }
    }
}

impl FormError {
    fn one(place: &str, why: impl Into<String>) -> Self {
        Self { mistakes: vec![DraftError { place: place.to_owned(), why: why.into() }] }
    }

    /// What is wrong, in the order in which it was found, each with its place.
    pub fn mistakes(&self) -> &[DraftError] {
        &self.mistakes
    }
}

impl fmt::Display for FormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, mistake) in self.mistakes.iter().enumerate() {
            f.write_str(if nth == 0 { "" } else { "; " })?;
            mistake.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for FormError {}

/// What is wrong so far.
#[derive(Debug, Default)]
struct Mistakes(Vec<DraftError>);

impl Mistakes {
    fn add(&mut self, place: impl Into<String>, why: impl Into<String>) {
        if !self.are_enough() {
            self.0.push(DraftError { place: place.into(), why: why.into() });
        }
    }

    /// About arguments that are at this place; the error has its place within them.
    fn add_args(&mut self, place: &str, error: &InvalidInput) {
        let inner = error.field.strip_prefix("args").unwrap_or_default();
        self.add(format!("{place}{inner}"), error.problem.as_str());
    }

    fn are_enough(&self) -> bool {
        self.0.len() >= MISTAKES_MAX
    }

    fn none_or_error(self) -> Result<(), FormError> {
        if self.0.is_empty() { Ok(()) } else { Err(FormError { mistakes: self.0 }) }
    }
}

/// The place of a key within a place.
fn below(place: &str, key: &str) -> String {
    format!("{place}/{}", pointer_part(key))
}
