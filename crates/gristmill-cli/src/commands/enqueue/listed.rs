//! A task as `tasks list` and `tasks show` print it, taken as a line of an import: what has not run in one store goes on in another.

use std::collections::BTreeMap;

use gristmill::core::{NewTask, Overrides};
use gristmill::record::State;
use gristmill::{TaskId, Timestamp};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// What a listed task says about a new one; and beside it, what says nothing about that.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listed<'a> {
    pub(super) kind: String,
    #[serde(borrow)]
    pub(super) args: Option<&'a RawValue>,
    state: State,
    id: Option<TaskId>,
    queue: Option<String>,
    priority: Option<u8>,
    max_attempts: Option<u32>,
    max_crashes: Option<u32>,
    run_at: Option<Timestamp>,
    title: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    parent: Option<TaskId>,
    #[serde(default)]
    cancel_requested: bool,
    #[serde(default, rename = "attempt")]
    _attempt: IgnoredAny,
    #[serde(default, rename = "crashes")]
    _crashes: IgnoredAny,
    #[serde(default, rename = "result")]
    _result: IgnoredAny,
    #[serde(default, rename = "error")]
    _error: IgnoredAny,
    #[serde(default, rename = "created_at")]
    _created_at: IgnoredAny,
    #[serde(default, rename = "ended_at")]
    _ended_at: IgnoredAny,
    #[serde(default, rename = "attempts")]
    _attempts: IgnoredAny,
}

/// What only a listed task has: a line with both is one, and any other is a line in which such a key is misspelt or out of place.
#[derive(Deserialize)]
struct Marks {
    #[serde(rename = "kind")]
    _kind: IgnoredAny,
    #[serde(rename = "state")]
    _state: IgnoredAny,
}

impl<'a> Listed<'a> {
    /// Reads a line; `None` if it is no listed task.
    ///
    /// # Errors
    /// What can't be read in it.
    pub(super) fn read(line: &'a str) -> Option<serde_json::Result<Self>> {
        serde_json::from_str::<Marks>(line).is_ok().then(|| serde_json::from_str(line))
    }

    /// The options of a new task like it.
    ///
    /// # Errors
    /// A task that has run, or runs: nobody wants it done twice.
    pub(super) fn options(self) -> Result<Overrides, String> {
        match self.state {
            state if state.is_final() => {
                return Err(format!("is a task that has ended ({state}), and would be run again; leave it out"));
            }
            State::Running => {
                return Err("is a task that runs; stop its worker, or `tasks release` it, and list it anew".to_owned());
            }
            State::Blocked => return Err("is a task that waits for others, which no line can say".to_owned()),
            _ if self.cancel_requested => return Err("is a task that somebody cancelled; leave it out".to_owned()),
            _ => {}
        }
        Ok(Overrides {
            id: self.id,
            queue: self.queue,
            priority: self.priority,
            max_attempts: self.max_attempts,
            max_crashes: self.max_crashes,
            run_at: self.run_at,
            title: self.title,
            tags: self.tags,
            headers: self.headers,
            parent: self.parent,
            ..Overrides::default()
        })
    }
}

/// Takes away labels that are there twice: a listed task has those of its type among its own, and a new one gets them anew.
pub(super) fn merge_tags(task: &mut NewTask) {
    let Some(meta) = &mut task.meta else { return };
    let mut seen = std::collections::HashSet::new();
    meta.tags.retain(|tag| seen.insert(tag.clone()));
}
