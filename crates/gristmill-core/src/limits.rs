//! A limit stands on everything that comes from outside; these are their names and default values.

use std::time::Duration;

use crate::{StoreError, StoreErrorKind};

/// The longest name of a task type, queue, tag or header, in bytes.
pub const NAME_BYTES_MAX: usize = 255;
/// The deepest nesting of JSON arguments and results.
pub const JSON_DEPTH_MAX: usize = 128;
/// The largest arguments that any configuration can allow, in bytes.
pub const ARGS_BYTES_CEILING: usize = 16 * 1024 * 1024;
/// The most tasks that one store operation takes; the client splits larger batches.
pub const BATCH_TASKS_MAX: usize = 1_000;
/// The most bytes of tasks that the client hands to a store at once, unless one task alone has more.
pub const BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The most bytes of results, logs and enqueued tasks that a worker settles at once, unless one attempt alone has more.
pub const SETTLE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The most tasks that one call of a handler takes that takes many.
pub const BATCH_SIZE_MAX: usize = 10_000;
/// The longest that a task waits for others to be run with: its worker holds it meanwhile.
pub const BATCH_WAIT_MAX: Duration = Duration::from_secs(60);
/// The most items a page of a list holds.
pub const PAGE_ITEMS_MAX: usize = 1_000;
/// The most rows that one page reads to find its items, so that a rare filter over a long history answers in bounded
/// time with a cursor instead of reading all of it.
pub const PAGE_ROWS_MAX: usize = 50_000;
/// The most tasks that one page reads whole, to ask them what no index answers; see [`Query`](crate::Query).
pub const PAGE_ASKED_MAX: usize = 2_000;
/// The most ends of tasks that a handle of a store remembers for who resumes from a [`Mark`](crate::Mark).
pub const CHANGES_KEPT: usize = 4_096;
/// Above this, a queue's counts are given as "at least": counting further would grow with the backlog.
pub const COUNT_MAX: u64 = 10_000;
/// The longest duration of any option: 100 years.
pub const DURATION_MAX: Duration = Duration::from_secs(100 * 365 * 86_400);
/// The most attempts that can be asked for; this number itself stands for "without limit".
pub const ATTEMPTS_MAX: u32 = u32::MAX >> 1;
/// The lowest priority, served last; 0 is served first.
pub const PRIORITY_MAX: u8 = 9;
/// The longest title of a task, in bytes; the rest is cut off.
pub const TITLE_BYTES_MAX: usize = 255;
/// The largest data that an attempt may show with its progress, in bytes of JSON.
pub const PROGRESS_BYTES_MAX: usize = 16 * 1024;
/// The shortest time limit of an attempt.
pub const TIMEOUT_MIN: Duration = Duration::from_millis(1);
/// The shortest lease of a worker: below it, a busy machine would lose leases for no reason.
pub const LEASE_MIN: Duration = Duration::from_millis(100);
/// The shortest wait of a worker before it looks again for tasks by itself: below it, an idle worker would be a busy one.
pub const POLL_MIN: Duration = Duration::from_millis(10);
/// The most tasks that one worker runs at once in one queue.
pub const CONCURRENCY_MAX: u32 = 100_000;
/// The least that [`Limits::error_bytes`] may be: in less, no error says anything.
pub const ERROR_BYTES_MIN: usize = 256;
/// The most tags of a task, and the most headers.
pub const LABELS_MAX: usize = 64;
/// The most bytes that the headers of a task have together, names and values: every claim reads them, and every child inherits
/// them.
pub const HEADER_BYTES_MAX: usize = 64 * 1024;
/// The most steps of a backoff that is a list; the last one repeats.
pub const BACKOFF_STEPS_MAX: usize = 100;
/// The most steps of a workflow, those that it grew included.
pub const STEPS_MAX: usize = 1_000;
/// The most bytes of results that are put into the arguments of one attempt; who wants more reads them by pages.
pub const RESULTS_BYTES_MAX: usize = 1024 * 1024;
/// The most things that a task with durable steps asks for, all of which are read when an attempt begins.
pub const MEMORIES_MAX: usize = 10_000;
/// The most bytes that a task remembers of them.
pub const MEMORIES_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The most locks that one attempt holds at once.
pub const LOCKS_MAX: usize = 100;
/// The highest version of a task type's arguments: a worker serves all of them, each under a name of its own.
pub const VERSION_MAX: u32 = 100;

/// The configurable limits, in bytes. `Limits::default()` is what an application has that says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest arguments of a task: 256 KiB, at most [`ARGS_BYTES_CEILING`].
    pub args_bytes: usize,
    /// The largest result: 256 KiB. What happens beyond it is the task type's choice ([`Oversize`](crate::Oversize)).
    pub result_bytes: usize,
    /// The longest error text, including its chain and trace: 16 KiB. The rest is cut off, and the text says so.
    pub error_bytes: usize,
    /// The most log text kept with an attempt: 64 KiB. The oldest lines give way, and the log says so.
    pub log_bytes: usize,
    /// The most tasks that one attempt may enqueue through its context.
    pub children: usize,
    /// The most bytes of arguments and of what else is said of them that these tasks may have together: 16 MiB. They wait in
    /// memory for the attempt's success and are written in one transaction, during which nobody else writes to a SQLite file.
    pub children_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            args_bytes: 256 * 1024,
            result_bytes: 256 * 1024,
            error_bytes: 16 * 1024,
            log_bytes: 64 * 1024,
            children: 10_000,
            children_bytes: 16 * 1024 * 1024,
        }
    }
}

/// Why something from outside was refused. The text names the field and the limit and never repeats a payload's values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct InvalidInput {
    /// What was wrong: `args`, `queue`, `args/to`, ...
    pub field: String,
    /// Why, and what would be right.
    pub problem: String,
}

impl InvalidInput {
    /// An error about `field`.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }
}

/// Checks the name of a task type, queue, tag, header or lock.
///
/// # Errors
/// If it is empty, longer than [`NAME_BYTES_MAX`], or holds control characters (they would forge log lines and tables).
pub fn check_name(field: &str, name: &str) -> Result<(), InvalidInput> {
    if name.is_empty() {
        return Err(InvalidInput::new(field, "is empty; give it a name"));
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(InvalidInput::new(field, format!("is {} bytes long; at most {NAME_BYTES_MAX} are allowed", name.len())));
    }
    if let Some(bad) = name.chars().find(|c| c.is_control()) {
        return Err(InvalidInput::new(field, format!("holds the control character {:?}", bad)));
    }
    Ok(())
}

/// Checks that `json` nests at most [`JSON_DEPTH_MAX`] deep, without building anything.
///
/// # Errors
/// If it nests deeper; a parser that recurses over it could overflow its stack.
pub fn check_depth(field: &str, json: &str) -> Result<(), InvalidInput> {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                depth += 1;
                if depth > JSON_DEPTH_MAX {
                    return Err(InvalidInput::new(field, format!("nests deeper than {JSON_DEPTH_MAX} levels")));
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// Checks that a batch has at most [`BATCH_TASKS_MAX`] tasks; for stores.
///
/// # Errors
/// `Invalid` if it has more: one transaction of any size would hold up everybody else for as long.
pub fn check_batch(tasks: usize) -> Result<(), StoreError> {
    if tasks <= BATCH_TASKS_MAX {
        return Ok(());
    }
    let message = format!("can't enqueue {tasks} tasks at once; at most {BATCH_TASKS_MAX}, so split them");
    Err(StoreError::new(StoreErrorKind::Invalid, message))
}

/// A title as it is kept: in one line of at most [`TITLE_BYTES_MAX`] bytes.
pub(crate) fn title(mut text: String) -> String {
    text.retain(|c| !c.is_control());
    if text.len() > TITLE_BYTES_MAX {
        let mut end = TITLE_BYTES_MAX - '…'.len_utf8();
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Cuts `text` to at most `bytes` bytes on a character boundary and says so at its end.
pub fn truncate(text: &mut String, bytes: usize) {
    if text.len() <= bytes {
        return;
    }
    let note = format!("… [{} bytes in all]", text.len());
    let mut end = bytes.saturating_sub(note.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text.push_str(&note);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert!(check_name("queue", "mail.send").is_ok());
        assert!(check_name("queue", "").is_err());
        assert!(check_name("queue", "a\nb").is_err());
        assert!(check_name("queue", &"x".repeat(255)).is_ok());
        assert!(check_name("queue", &"x".repeat(256)).is_err());
    }

    #[test]
    fn depth_ignores_brackets_in_strings() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(check_depth("args", &nested(128)).is_ok());
        assert!(check_depth("args", &nested(129)).is_err());
        assert!(check_depth("args", &format!("{{\"a\": \"{}\\\"{}\"}}", "[".repeat(500), "[".repeat(500))).is_ok());
    }

    #[test]
    fn truncation_says_so_and_keeps_characters_whole() {
        let mut text = "é".repeat(100);
        truncate(&mut text, 61);
        assert!(text.len() <= 61 && text.ends_with("[200 bytes in all]"), "{text}");
    }
}
