use std::fmt;

use serde::{Deserialize, Serialize};

use crate::kit::encode::{at, to_json};
use crate::{Failure, Timestamp, WorkflowId};

/// The position of the memory that says where the code and the others part: behind all of them.
pub const MISMATCH_AT: u32 = u32::MAX >> 1;

/// One thing that a task has asked for, and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Memory {
    /// The how-manieth thing it was that the handler asked for, from 0 on.
    pub position: u32,
    /// What it is called.
    pub name: String,
    /// The how-manieth of that name it was, from 0 on.
    pub occurrence: u32,
    /// What came of it.
    pub kept: Kept,
}

/// What came of something that a task has asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Kept {
    /// This value, as JSON text: of a step, an event, or a workflow.
    Value(String),
    /// It failed for good.
    Failed(Failure),
    /// The code was changed here, and this task began after that.
    Patched,
    /// It sleeps until then.
    Sleeps(Timestamp),
    /// It awaits the event of this name, until then at most. Once that is sent, this is its value.
    Event {
        /// Its name.
        name: String,
        /// When it has waited for long enough.
        until: Option<Timestamp>,
    },
    /// The event did not come in time.
    TimedOut,
    /// It awaits the end of this workflow, which it has started.
    Workflow(WorkflowId),
    /// Its end is that of this workflow: its handler is run no more. Its result is this one, if the workflow succeeds; else that of the workflow.
    Replaced {
        /// What it has become.
        by: WorkflowId,
        /// As JSON text.
        result: Option<String>,
    },
    /// The code no longer asks for what it did. A person has to say how to go on.
    Mismatch(Mismatch),
}

/// Where what the code asks for is no longer what a task remembers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mismatch {
    /// The how-manieth thing it is that the handler asks for.
    pub position: u32,
    /// What is remembered there.
    pub expected: String,
    /// What the code asks for; `None` if it ended before.
    pub found: Option<String>,
    /// Somebody has said that the task is to fail for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fails: bool,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "as its step {} it remembers `{}`, and the code ", u64::from(self.position) + 1, self.expected)?;
        match &self.found {
            Some(found) => write!(f, "asks for `{found}`"),
            None => f.write_str("ends before"),
        }
    }
}

/// What a memory waits for beside its time, in one text by which a store finds it: all memories that wait for the same have the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Awaits {
    /// An event of this name.
    Event(String),
    /// The end of this workflow.
    Workflow(WorkflowId),
}

impl Awaits {
    /// As it is kept.
    pub fn to_text(&self) -> String {
        match self {
            Self::Event(name) => format!("event:{name}"),
            Self::Workflow(id) => format!("workflow:{id}"),
        }
    }
}

/// All that a task remembers, and what time it is where that is kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memories {
    /// The time of the store, by which it is told whether something is over.
    pub now: Timestamp,
    /// By their positions.
    pub kept: Vec<Memory>,
}

/// A [`Kept`] as a store has it in columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptRow {
    /// What it is.
    pub code: i16,
    /// Its value, failure or name as text.
    pub text: Option<String>,
    /// Until when it waits, in milliseconds.
    pub until: Option<i64>,
    /// What it waits for, see [`Awaits::to_text`]; on few rows, and found by an index.
    pub awaits: Option<String>,
}

/// The code of [`Kept::Value`], which a store writes itself when an event arrives.
pub(super) const VALUE: i16 = 0;

impl Kept {
    /// What it waits for, beside its time.
    pub fn awaits(&self) -> Option<Awaits> {
        match self {
            Self::Event { name, .. } => Some(Awaits::Event(name.clone())),
            Self::Workflow(id) | Self::Replaced { by: id, .. } => Some(Awaits::Workflow(*id)),
            Self::Value(_) | Self::Failed(_) | Self::Patched | Self::Sleeps(_) | Self::TimedOut | Self::Mismatch(_) => None,
        }
    }

    /// As columns.
    pub fn to_row(&self) -> KeptRow {
        let (code, text, until) = match self {
            Self::Value(value) => (VALUE, Some(value.clone()), None),
            Self::Failed(failure) => (1, Some(to_json(failure)), None),
            Self::Patched => (2, None, None),
            Self::Sleeps(until) => (3, None, Some(*until)),
            Self::Event { name, until } => (4, Some(name.clone()), *until),
            Self::TimedOut => (5, None, None),
            Self::Workflow(id) => (6, Some(id.to_string()), None),
            Self::Replaced { by, result } => (7, Some(to_json(&(by, result))), None),
            Self::Mismatch(mismatch) => (8, Some(to_json(mismatch)), None),
        };
        KeptRow { code, text, until: until.map(at), awaits: self.awaits().as_ref().map(Awaits::to_text) }
    }

    /// What [`to_row`](Self::to_row) gave; `None` for what no version wrote that this one knows, or for what was damaged. The step can't be read then, and
    /// must not be done again for it.
    pub fn of_row(code: i64, text: Option<String>, until: Option<i64>) -> Option<Self> {
        let until = until.map(Timestamp::from_millis);
        Some(match code {
            0 => Self::Value(text?),
            1 => Self::Failed(serde_json::from_str(&text?).ok()?),
            2 => Self::Patched,
            3 => Self::Sleeps(until?),
            4 => Self::Event { name: text?, until },
            5 => Self::TimedOut,
            6 => Self::Workflow(text?.parse().ok()?),
            7 => {
                let (by, result): (WorkflowId, _) = serde_json::from_str(&text?).ok()?;
                Self::Replaced { by, result }
            }
            8 => Self::Mismatch(serde_json::from_str(&text?).ok()?),
            _ => return None,
        })
    }

    /// Whether it is forgotten when the task is retried by hand, so that it is tried again, unless a value stands behind it, which may have come of
    /// that failure. A workflow that is awaited is forgotten if it has ended or is being cancelled; all is, if the task had succeeded.
    pub const fn is_of_a_failure(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::TimedOut | Self::Mismatch(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Env, FailureReason};

    #[test]
    fn what_is_kept_survives_a_round_trip_and_what_is_damaged_is_seen() {
        let id = WorkflowId::from_uuid(Env::system().task_id().as_uuid());
        let until = Timestamp::from_millis(7);
        let mismatch = Mismatch { position: 3, expected: "charge".to_owned(), found: None, fails: false };
        for (code, kept) in (0..).zip([
            Kept::Value("{\"a\":1}".to_owned()),
            Kept::Failed(Failure::new(FailureReason::Error, "no")),
            Kept::Patched,
            Kept::Sleeps(until),
            Kept::Event { name: "paid:1".to_owned(), until: Some(until) },
            Kept::TimedOut,
            Kept::Workflow(id),
            Kept::Replaced { by: id, result: Some("1".to_owned()) },
            Kept::Mismatch(mismatch.clone()),
        ]) {
            let row = kept.to_row();
            assert_eq!(row.code, code);
            assert_eq!(Kept::of_row(row.code.into(), row.text, row.until), Some(kept));
        }
        assert_eq!(Kept::of_row(99, None, None), None);
        assert_eq!(Kept::of_row(1, Some("{".to_owned()), None), None);
        assert_eq!(Kept::of_row(6, Some("no id".to_owned()), None), None);
        assert_eq!(Kept::Event { name: "a".to_owned(), until: None }.to_row().awaits.as_deref(), Some("event:a"));
        assert_eq!(mismatch.to_string(), "as its step 4 it remembers `charge`, and the code ends before");
    }
}
