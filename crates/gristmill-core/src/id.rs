use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Env;

/// The identity of a task: a UUIDv7 that the client makes, so that it is known before the commit.
///
/// Any UUID is accepted from a caller (Celery's ids are version 4); those that gristmill makes sort by time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskId(Uuid);

impl TaskId {
    /// A new id, which sorts after those made before it by this process. For a caller who wants to know it before the enqueue,
    /// or to repeat that.
    ///
    /// ```
    /// use gristmill_core::TaskId;
    ///
    /// assert!(TaskId::new() < TaskId::new());
    /// ```
    #[expect(clippy::new_without_default, reason = "a default is the same each time")]
    pub fn new() -> Self {
        Env::system().task_id()
    }
}

/// The identity of one worker process start. A restarted worker is another worker: host names and process ids repeat,
/// and a repeated identity would let the dead one's leases look alive.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkerId(Uuid);

/// The identity of one run of a workflow: a UUIDv7 that the client makes, so that it is known before the commit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkflowId(Uuid);

/// The random part of a claim. Together with the task's id it fences every write about a running attempt.
///
/// It never repeats, unlike the attempt number (a snooze or a clean stop gives that back) or a worker's name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fence(Uuid);

macro_rules! uuid_newtype {
    ($name:ident, $what:literal) => {
        impl $name {
            #[doc = concat!("Wraps a UUID as ", $what, ".")]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID itself.
            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }

            /// The sixteen bytes, as stores keep them.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// Reads what [`as_bytes`](Self::as_bytes) gave; `None` unless there are sixteen bytes.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                Uuid::from_slice(bytes).ok().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0.hyphenated())
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

impl TaskId {
    /// The first and the last id that begin with `text`, written with or without hyphens; `None` if none does.
    ///
    /// ```
    /// use gristmill_core::TaskId;
    ///
    /// let (first, last) = TaskId::range_of("019a3f5c-8").unwrap();
    /// assert_eq!(first.to_string(), "019a3f5c-8000-0000-0000-000000000000");
    /// assert_eq!(last.to_string(), "019a3f5c-8fff-ffff-ffff-ffffffffffff");
    /// assert_eq!(TaskId::range_of("019a-3f5c"), None);
    /// ```
    pub fn range_of(text: &str) -> Option<(Self, Self)> {
        let text = text.to_ascii_lowercase();
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        let missing = 32usize.checked_sub(digits.len())?;
        let filled = |with: &str| Uuid::parse_str(&(digits.clone() + &with.repeat(missing))).ok().map(Self);
        let bounds = (filled("0")?, filled("f")?);
        let is_whole = digits == text || bounds.0.to_string().starts_with(&text);
        (is_whole && !digits.is_empty()).then_some(bounds)
    }
}

uuid_newtype!(TaskId, "a task's id");
uuid_newtype!(WorkflowId, "a workflow's id");
uuid_newtype!(WorkerId, "a worker's id");
uuid_newtype!(Fence, "a fence");
