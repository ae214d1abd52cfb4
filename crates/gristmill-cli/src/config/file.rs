//! The shape of the file. What serde can't say about it is checked where it is resolved.

use std::collections::BTreeMap;

use gristmill::Limits;
use gristmill::core::limits;
use serde::Deserialize;

use super::mistake::{ConfigError, Source};
use super::task::TaskEntry;
use super::values::Span;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) store: Option<String>,
    pub(super) limits: Option<LimitsSection>,
    #[serde(default)]
    pub(super) worker: WorkerSection,
    #[serde(default)]
    pub(super) tasks: BTreeMap<String, TaskEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitsSection {
    args_bytes: Option<usize>,
    result_bytes: Option<usize>,
    error_bytes: Option<usize>,
    log_bytes: Option<usize>,
    children: Option<usize>,
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
        let bytes = |name: &str, value: Option<usize>, default: usize| {
            let value = value.unwrap_or(default);
            if value == 0 || value > limits::ARGS_BYTES_CEILING {
                let problem = format!("is at least 1 and at most {} bytes", limits::ARGS_BYTES_CEILING);
                return Err(source.at(&["limits", name], format!("{name} {problem}")));
            }
            Ok(value)
        };
        Ok(Limits {
            args_bytes: bytes("args_bytes", self.args_bytes, default.args_bytes)?,
            result_bytes: bytes("result_bytes", self.result_bytes, default.result_bytes)?,
            error_bytes: bytes("error_bytes", self.error_bytes, default.error_bytes)?,
            log_bytes: bytes("log_bytes", self.log_bytes, default.log_bytes)?,
            children: self.children.unwrap_or(default.children),
        })
    }
}
