use std::fmt;
use std::str::FromStr;

use crate::State;

/// Which tasks a list, a bulk cancel or a bulk retry is about. Empty fields match everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// In any of these states.
    pub states: Vec<State>,
    /// In this queue.
    pub queue: Option<String>,
    /// Of this task type.
    pub kind: Option<String>,
    /// With this tag.
    pub tag: Option<String>,
}

/// One page of a list, newest task first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items. A page may hold fewer than were asked for, or none, and still have a next one: it stops after it has
    /// read [`PAGE_ROWS_MAX`](crate::limits::PAGE_ROWS_MAX) rows.
    pub items: Vec<T>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<Cursor>,
}

/// A place in a list. Opaque to callers; it stays valid while tasks come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(i64);

impl Cursor {
    /// For stores: the cursor behind the row with this key.
    pub const fn after(key: i64) -> Self {
        Self(key)
    }

    /// For stores: the key that was given to [`after`](Self::after).
    pub const fn key(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{:x}", self.0)
    }
}

impl FromStr for Cursor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let key = text.strip_prefix('c').and_then(|hex| i64::from_str_radix(hex, 16).ok());
        key.filter(|key| *key >= 0)
            .map(Self)
            .ok_or_else(|| format!("`{text}` is not a cursor; use the `next` of an earlier page"))
    }
}
