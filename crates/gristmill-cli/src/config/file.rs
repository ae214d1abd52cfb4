//! The shape of the file. What serde can't say about it is checked where it is resolved.

use std::collections::BTreeMap;
use std::time::Duration;

use gristmill::core::{format_duration, limits};
use gristmill::options::Limits;
use serde::Deserialize;

use super::WorkerOptions;
use super::mistake::{ConfigError, Source};
use super::route::{QueueEntry, RouteEntry};
use super::schedule::ScheduleEntry;
use super::task::TaskEntry;
use super::values::Span;
use crate::size::Size;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) store: Option<String>,
    pub(super) limits: Option<LimitsSection>,
    #[serde(default)]
    pub(super) worker: WorkerSection,
    #[serde(default)]
    pub(super) tasks: BTreeMap<String, TaskEntry>,
    #[serde(default)]
    pub(super) schedule: Vec<ScheduleEntry>,
    #[serde(default)]
    pub(super) route: Vec<RouteEntry>,
    #[serde(default)]
    pub(super) queues: BTreeMap<String, QueueEntry>,
    pub(super) queue_prefix: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitsSection {
    args_bytes: Option<usize>,
    result_bytes: Option<usize>,
    error_bytes: Option<usize>,
    log_bytes: Option<usize>,
    children: Option<usize>,
    children_bytes: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WorkerSection {
    #[serde(default)]
    pub(super) queues: BTreeMap<String, u32>,
    pub(super) prefetch: Option<PrefetchEntry>,
    pub(super) lease: Option<Span>,
    pub(super) grace: Option<Span>,
    pub(super) poll: Option<Span>,
    pub(super) memory_limit: Option<Size>,
}

/// `prefetch = 100`, or `prefetch = { heavy = 0 }`.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a number of tasks, or a table of queues with a number each")]
pub(super) enum PrefetchEntry {
    All(usize),
    Each(BTreeMap<String, usize>),
}

impl LimitsSection {
    /// What it leaves out stays as it is in `default`.
    pub(super) fn resolve(self, default: Limits, source: Source<'_>) -> Result<Limits, ConfigError> {
        let bytes = |name: &str, min: usize, value: Option<usize>, default: usize| {
            // What the application set is its own affair.
            let Some(value) = value else { return Ok(default) };
            if value < min || value > limits::ARGS_BYTES_CEILING {
                let problem = format!("is at least {min} and at most {} bytes", limits::ARGS_BYTES_CEILING);
                return Err(source.at(&["limits", name], format!("{name} {problem}")));
            }
            Ok(value)
        };
        if self.children == Some(0) {
            return Err(source.at(&["limits", "children"], "children is at least 1"));
        }
        Ok(Limits {
            args_bytes: bytes("args_bytes", 1, self.args_bytes, default.args_bytes)?,
            result_bytes: bytes("result_bytes", 1, self.result_bytes, default.result_bytes)?,
            error_bytes: bytes("error_bytes", limits::ERROR_BYTES_MIN, self.error_bytes, default.error_bytes)?,
            log_bytes: bytes("log_bytes", 1, self.log_bytes, default.log_bytes)?,
            children: self.children.unwrap_or(default.children),
            children_bytes: bytes("children_bytes", 1, self.children_bytes, default.children_bytes)?,
        })
    }
}

impl WorkerSection {
    pub(super) fn resolve(self, source: Source<'_>) -> Result<WorkerOptions, ConfigError> {
        for (queue, concurrency) in &self.queues {
            let at = ["worker", "queues", queue];
            limits::check_name("queue", queue).map_err(|error| source.at(&at, error))?;
            let max = limits::CONCURRENCY_MAX;
            if *concurrency == 0 || *concurrency > max {
                let problem =
                    format!("a queue's concurrency is at least 1 and at most {max}; leave the queue out to not serve it");
                return Err(source.at(&at, problem));
            }
        }
        let span = |name: &str, min: Duration, value: Option<Span>| match value {
            Some(Span(value)) if value < min => {
                let (written, min) = (format_duration(value), format_duration(min));
                Err(source.at(&["worker", name], format!("{name} is at least {min} and at most 36500d; {written} is too short")))
            }
            value => Ok(value.map(|value| value.0)),
        };
        Ok(WorkerOptions {
            lease: span("lease", limits::LEASE_MIN, self.lease)?,
            grace: span("grace", Duration::ZERO, self.grace)?,
            poll: span("poll", limits::POLL_MIN, self.poll)?,
            memory_limit: self.memory_limit,
            queues: self.queues,
            prefetch: match self.prefetch {
                None => BTreeMap::new(),
                Some(PrefetchEntry::All(tasks)) => [(String::new(), tasks)].into(),
                Some(PrefetchEntry::Each(tasks)) => tasks,
            },
        })
    }
}
