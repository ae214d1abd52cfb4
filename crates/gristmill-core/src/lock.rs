use serde::Serialize;

use crate::{StoreError, StoreErrorKind, TaskId, Timestamp, limits};

/// What became of an attempt's wish for a lock ([`Source::take_lock`](crate::Source::take_lock)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockOutcome {
    /// The attempt holds it, from now on or since it asked before.
    Held {
        /// The fence for outside resources: it grows with each new holder of any lock of the store.
        token: u64,
        /// Since when, by the store's clock.
        since: Timestamp,
    },
    /// Another attempt holds it; nothing has changed.
    Busy(LockHolder),
    /// The asking attempt's lease is lost; it holds nothing any more, and gets nothing.
    LeaseLost,
}

/// Who holds a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockHolder {
    /// The task whose attempt it is.
    pub task: TaskId,
    /// Since when, by the store's clock.
    pub since: Timestamp,
}

/// A lock that is held, as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LockInfo {
    /// Its name.
    pub name: String,
    /// The fence that its holder was given.
    pub token: u64,
    /// The task whose attempt holds it.
    pub task: TaskId,
    /// That task's type; `None` if it can't be read.
    pub kind: Option<String>,
    /// The name of the worker that runs it; `None` if that can't be read.
    pub worker: Option<String>,
    /// Since when, by the store's clock.
    pub since: Timestamp,
}

/// How long the row of a lock that nobody holds any more is kept at least, for the order of its tokens.
pub const LOCK_KEPT_MS: i64 = 3_600_000;

/// Checks the name of a lock; for stores.
///
/// # Errors
/// `Invalid` if it is no [name](limits::check_name).
pub fn check_lock(name: &str) -> Result<(), StoreError> {
    Ok(limits::check_name("lock", name)?)
}

/// What a store says to an attempt that holds [as many locks as it may](limits::LOCKS_MAX).
pub fn too_many_locks(name: &str) -> StoreError {
    let most = limits::LOCKS_MAX;
    let message =
        format!("an attempt may hold at most {most} locks at once, and `{name}` is one more; release those that it is done with");
    StoreError::new(StoreErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Env;

    /// Scripts depend on them; see [`json`](crate::json).
    #[test]
    fn a_lock_is_exactly_this() {
        let task = Env::system().task_id();
        let lock = LockInfo {
            name: "tally:42".to_owned(),
            token: 7,
            task,
            kind: Some("tally.count".to_owned()),
            worker: None,
            since: Timestamp::from_millis(1_000),
        };
        let expected = format!(
            r#"{{"name":"tally:42","token":7,"task":"{task}","kind":"tally.count","worker":null,"since":"1970-01-01T00:00:01.000Z"}}"#
        );
        assert_eq!(serde_json::to_string(&lock).unwrap(), expected);
    }
}
