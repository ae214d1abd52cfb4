//! Named places at which a test can kill, delay or fail the process.
//!
//! Always compiled in, so that the tested binary is the shipped one; inert (one relaxed load) until [`configure`] is
//! called, which only the CLI does, from `GRISTMILL_FAILPOINTS`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::{StoreError, StoreErrorKind, parse_duration};

/// Every failpoint, in the order in which a task passes them.
pub const NAMES: &[&str] = &[
    "enqueue.before_commit",
    "enqueue.after_commit",
    "claim.before_commit",
    "claim.after_commit",
    "start.before_commit",
    "start.after_commit",
    "execute.before",
    "step.after",
    "checkpoint.before",
    "checkpoint.after",
    "execute.after",
    "settle.before_commit",
    "settle.after_commit",
    "follow.before_commit",
    "follow.after_commit",
    "rescue.before_commit",
    "rescue.after_commit",
    "promote.before_commit",
    "promote.after_commit",
    "release.before_commit",
    "release.after_commit",
    "advance.before_commit",
    "advance.after_commit",
];

static ACTIVE: AtomicBool = AtomicBool::new(false);
static POINTS: Mutex<Vec<Point>> = Mutex::new(Vec::new());

#[derive(Clone, Debug)]
struct Point {
    name: &'static str,
    action: Action,
    /// How many passes are let through first.
    skip: u64,
}

#[derive(Clone, Copy, Debug)]
enum Action {
    Abort,
    Sleep(Duration),
    Error,
}

/// Sets the failpoints from a text such as `settle.before_commit=abort@3;claim.after_commit=sleep(50ms)`.
///
/// Actions are `abort` (the process dies at once, nothing is unwound or flushed), `error` (the operation fails with a
/// transient store error) and `sleep(DURATION)`. `@n` lets the first n-1 passes through; `abort` and `error` then act
/// once.
///
/// # Errors
/// A name or an action that does not exist.
pub fn configure(text: &str) -> Result<(), String> {
    let mut points = Vec::new();
    for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
        let (name, action) = part.split_once('=').ok_or_else(|| format!("`{part}` is not NAME=ACTION"))?;
        let name = NAMES
            .iter()
            .find(|known| **known == name)
            .ok_or_else(|| format!("there is no failpoint `{name}`; there are {}", NAMES.join(", ")))?;
        let (action, nth) = match action.split_once('@') {
            Some((action, nth)) => (action, nth.parse::<u64>().map_err(|_| format!("`@{nth}` is not a count"))?),
            None => (action, 1),
        };
        let action = match action {
            "abort" => Action::Abort,
            "error" => Action::Error,
            other => match other.strip_prefix("sleep(").and_then(|rest| rest.strip_suffix(')')) {
                Some(duration) => Action::Sleep(parse_duration(duration)?),
                None => return Err(format!("`{other}` is not abort, error or sleep(DURATION)")),
            },
        };
        points.push(Point { name, action, skip: nth.saturating_sub(1) });
    }
    ACTIVE.store(!points.is_empty(), Ordering::Relaxed);
    *POINTS.lock().unwrap_or_else(PoisonError::into_inner) = points;
    Ok(())
}

/// Whether any failpoint is set. A store may then commit in steps what it else does in one, so that there is something to
/// fail between.
pub fn is_active() -> bool {
    ACTIVE.load(Ordering::Relaxed)
}

/// Passes the failpoint `name`.
///
/// # Errors
/// A transient [`StoreError`], if the failpoint is set to fail.
#[inline]
pub fn pass(name: &'static str) -> Result<(), StoreError> {
    if ACTIVE.load(Ordering::Relaxed) { act(name) } else { Ok(()) }
}

#[cold]
fn act(name: &'static str) -> Result<(), StoreError> {
    debug_assert!(NAMES.contains(&name), "{name} is missing in NAMES");
    let action = {
        let mut points = POINTS.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(index) = points.iter().position(|point| point.name == name) else { return Ok(()) };
        let point = &mut points[index];
        if point.skip > 0 {
            point.skip -= 1;
            return Ok(());
        }
        let action = point.action;
        if matches!(action, Action::Error) {
            points.remove(index);
        }
        action
    };
    match action {
        Action::Abort => std::process::abort(),
        Action::Error => Err(StoreError::new(StoreErrorKind::Other, format!("failpoint {name}"))),
        Action::Sleep(duration) => {
            std::thread::sleep(duration);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_and_cleared_by_name() {
        assert!(configure("nowhere=abort").unwrap_err().contains("claim.after_commit"));
        assert!(configure("claim.after_commit=explode").is_err());
        configure("claim.after_commit=error@2").unwrap();
        assert!(pass("claim.after_commit").is_ok());
        assert!(pass("claim.after_commit").unwrap_err().is_transient());
        assert!(pass("claim.after_commit").is_ok());
        configure("").unwrap();
    }
}
