use serde::{Deserialize, Serialize};

use crate::limits;

/// What went wrong in an attempt, as it is kept with the attempt and shown to whoever asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The class of the failure, for filters and for hooks.
    pub reason: FailureReason,
    /// The error's own text.
    pub message: String,
    /// The texts of its sources, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<String>,
    /// A stack trace, for panics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

/// The class of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureReason {
    /// The handler returned an error.
    Error,
    /// The handler panicked.
    Panic,
    /// It ran longer than its timeout.
    Timeout,
    /// Its worker died, or lost its lease.
    Crashed,
    /// Its arguments do not fit the task type.
    InvalidArgs,
    /// Its result is larger than the limit.
    ResultTooLarge,
    /// What the store kept of it can't be read.
    Corrupt,
    /// It was cancelled.
    Cancelled,
    /// It was not started by its deadline.
    Expired,
}

impl Failure {
    /// A failure without sources or trace.
    pub fn new(reason: FailureReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), chain: Vec::new(), trace: None }
    }

    /// An error and all its sources.
    pub fn from_error(reason: FailureReason, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut failure = Self::new(reason, error.to_string());
        let mut source = error.source();
        while let Some(error) = source.filter(|_| failure.chain.len() < 16) {
            failure.chain.push(error.to_string());
            source = error.source();
        }
        failure
    }

    /// Cuts the texts so that they fit into about `bytes` bytes together.
    pub fn bound(&mut self, bytes: usize) {
        limits::truncate(&mut self.message, bytes / 2);
        let each = bytes / 4 / self.chain.len().max(1);
        for text in &mut self.chain {
            limits::truncate(text, each.max(64));
        }
        if let Some(trace) = &mut self.trace {
            limits::truncate(trace, bytes / 4);
        }
    }
}
