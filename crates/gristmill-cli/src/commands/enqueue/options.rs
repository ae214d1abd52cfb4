//! What one task may say that differs from its task type: the same as in a line of `--jsonl`.

use std::collections::BTreeMap;
use std::time::Duration;

use gristmill::core::Overrides;
use gristmill::options::{Ack, Backoff, Retention};
use gristmill::{TaskId, Timestamp};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::commands::values::{attempts, crashes, duration, limit, priority, task_id};
use crate::exit::CliError;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Options of the task")]
#[group(conflicts_with = "jsonl")]
pub(super) struct TaskOptions {
    /// Another queue than the task type's
    #[arg(long, value_name = "QUEUE")]
    queue: Option<String>,
    /// 0 is served first, 9 last
    #[arg(long, value_name = "N", value_parser = priority, allow_hyphen_values = true)]
    priority: Option<u8>,
    /// Wait this long first
    #[arg(long = "in", value_name = "DURATION", value_parser = duration, allow_hyphen_values = true, conflicts_with = "at")]
    delay: Option<Duration>,
    /// Wait until then, such as 2027-01-31T09:00:00Z
    #[arg(long, value_name = "RFC3339")]
    at: Option<Timestamp>,
    /// The id; again with the same id, task type and arguments, nothing changes
    #[arg(long, value_name = "UUID", value_parser = task_id)]
    id: Option<TaskId>,
    /// What this one task is about, for people
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// A label, beside those of the task type; may be given more than once
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Context for the handler and its children; may be given more than once
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// How many attempts may fail before the task does
    #[arg(long, value_name = "N", value_parser = attempts, allow_hyphen_values = true)]
    max_attempts: Option<u32>,
    /// How many times it may take its worker down with it
    #[arg(long, value_name = "N", value_parser = crashes, allow_hyphen_values = true)]
    max_crashes: Option<u32>,
    /// The wait after a failed attempt: 5s, or 1s,10s,5m, or the JSON of an exponential one
    #[arg(long, value_name = "BACKOFF", value_parser = backoff, allow_hyphen_values = true)]
    backoff: Option<Backoff>,
    /// The longest that one attempt may run; for how long this command waits, see --wait-timeout
    #[arg(long, value_name = "DURATION|none", value_parser = limit, allow_hyphen_values = true)]
    timeout: Option<Duration>,
    /// If it was not started this long after it was due, it ends as expired
    #[arg(long, value_name = "DURATION|none", value_parser = limit, allow_hyphen_values = true)]
    expires: Option<Duration>,
    /// late: run again after a crash; early: never
    #[arg(long, value_name = "late|early", value_parser = ack)]
    ack: Option<Ack>,
    /// How long the ended task is kept; none keeps nothing of a success
    #[arg(long, value_name = "DURATION|none|forever", value_parser = retention, allow_hyphen_values = true)]
    retention: Option<Retention>,
}

impl TaskOptions {
    /// As the library takes them.
    ///
    /// # Errors
    /// A header that is said twice.
    pub(super) fn overrides(self) -> Result<Overrides, CliError> {
        let mut headers = BTreeMap::new();
        for (name, value) in self.headers {
            if headers.insert(name.clone(), value).is_some() {
                return Err(CliError::usage(format!("--header: `{name}` is there twice; a header has one value")));
            }
        }
        Ok(Overrides {
            id: self.id,
            queue: self.queue,
            priority: self.priority,
            max_attempts: self.max_attempts,
            max_crashes: self.max_crashes,
            ack: self.ack,
            retention: self.retention,
            expires: self.expires,
            timeout: self.timeout,
            backoff: self.backoff,
            delay: self.delay,
            run_at: self.at,
            title: self.title,
            tags: self.tags,
            headers,
            ..Overrides::default()
        })
    }
}

/// Reads what serde reads from a JSON text.
fn word<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(Value::from(text)).map_err(|error| error.to_string())
}

fn retention(text: &str) -> Result<Retention, String> {
    word(text)
}

fn ack(text: &str) -> Result<Ack, String> {
    word(text).map_err(|_| "there are late (run again after a crash) and early (never)".to_owned())
}

/// Reads `5s`, `1s,10s,5m`, or JSON as in the configuration.
fn backoff(text: &str) -> Result<Backoff, String> {
    let read = match text {
        _ if text.starts_with(['{', '[']) => serde_json::from_str(text),
        _ if text.contains(',') => serde_json::from_value(text.split(',').map(str::trim).collect()),
        _ => serde_json::from_value(Value::from(text)),
    };
    read.map_err(|error| format!("{error}; write 5s, 1s,10s,5m or '{{\"exponential\": \"2s\", \"max\": \"1h\"}}'"))
}

/// Reads `NAME=VALUE`.
fn header(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    pair.map(|(name, value)| (name.to_owned(), value.to_owned())).ok_or_else(|| "write NAME=VALUE".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoffs_are_read_as_people_write_them() {
        let secs = Duration::from_secs;
        assert_eq!(backoff("5s"), Ok(Backoff::Fixed(secs(5))));
        assert_eq!(backoff("1s, 10s"), Ok(Backoff::List(vec![secs(1), secs(10)])));
        let exponential = Backoff::Exponential { base: secs(2), max: secs(60), jitter: true };
        assert_eq!(backoff(r#"{"exponential": "2s", "max": "1m"}"#), Ok(exponential));
        for text in ["soon", "1s,soon", "{", "[5]"] {
            assert!(backoff(text).unwrap_err().ends_with("\"1h\"}'"), "{text}");
        }
    }
}
