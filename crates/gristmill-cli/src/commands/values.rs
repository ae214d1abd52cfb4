//! Values of options. Those that look like options (`-1`) come here too, so that they are told what is wrong with them.

use std::time::Duration;

use gristmill::TaskId;
use gristmill::core::limits::{ATTEMPTS_MAX, DURATION_MAX, PRIORITY_MAX};
use gristmill::options::parse_duration;
use serde_json::Value;
use serde_json::value::RawValue;

/// What an id looks like.
pub(super) const ID_EXAMPLE: &str = "019a3f5c-8b1e-7c40-9d53-0a4f3b1f0001";

/// Reads `5s`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    if text.starts_with('-') {
        return Err("a duration begins with a number and is not negative, such as 100ms, 5s or 1h30m".to_owned());
    }
    parse_duration(text)
}

/// Reads `5s`, or `none`, which takes away what the task type says.
pub(super) fn limit(text: &str) -> Result<Duration, String> {
    if text == "none" { Ok(DURATION_MAX) } else { duration(text).map_err(|why| format!("{why}; or none")) }
}

/// Reads a priority.
pub(super) fn priority(text: &str) -> Result<u8, String> {
    let priority = text.parse().ok().filter(|&priority| priority <= PRIORITY_MAX);
    priority.ok_or_else(|| "a priority is a whole number from 0 (first) to 9 (last)".to_owned())
}

/// Reads how many attempts.
pub(super) fn attempts(text: &str) -> Result<u32, String> {
    from_one(text).ok_or_else(|| format!("a number of attempts is at least 1 and at most {ATTEMPTS_MAX}"))
}

/// Reads how many crashes.
pub(super) fn crashes(text: &str) -> Result<u32, String> {
    let none = "a task that is never to run again after a crash has --ack early";
    from_one(text).ok_or_else(|| format!("a number of crashes is at least 1 and at most {ATTEMPTS_MAX}; {none}"))
}

fn from_one(text: &str) -> Option<u32> {
    text.parse().ok().filter(|count| (1..=ATTEMPTS_MAX).contains(count))
}

/// Reads a task's whole id, as it is given to a new task.
pub(super) fn task_id(text: &str) -> Result<TaskId, String> {
    text.parse().map_err(|_| format!("`{text}` is not a task's id: it is a UUID such as {ID_EXAMPLE}"))
}

/// A value as JSON: text where the schema wants text, so that `zip=12345` stays what it is; else JSON, and text if it is none.
pub(super) fn argument(value: &str, schema: Option<&Value>) -> String {
    let wanted = |name: &str| match schema.and_then(|schema| schema.get("type")) {
        Some(Value::Array(types)) => types.iter().any(|wanted| wanted == name),
        Some(wanted) => wanted == name,
        None => false,
    };
    let is_json = serde_json::from_str::<&RawValue>(value).is_ok();
    let is_text = wanted("string") && !(value == "null" && wanted("null"));
    if is_json && !is_text { value.to_owned() } else { Value::from(value).to_string() }
}

/// Reads `KEY=VALUE`.
pub(super) fn key_value(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    let pair = pair.map(|(key, value)| (key.to_owned(), value.to_owned()));
    pair.ok_or_else(|| "write KEY=VALUE, such as count=3 or name=Ann".to_owned())
}
