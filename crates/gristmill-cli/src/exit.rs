//! How the process ends: a code for scripts, a message and a hint for people.

use std::fmt::Display;
use std::process::ExitCode;

use gristmill::app::ConnectError;
use gristmill::beat::ScheduleError;
use gristmill::client::{AwaitError, EnqueueError};
use gristmill::core::{QueryError, StoreError, StoreErrorKind};
use gristmill::schedule::RuleError;
use gristmill::worker::WorkerError;
use gristmill::workflow::{FormError, RunError, StartError};

use crate::config::ConfigError;
use crate::output;

/// Why a command did not end well.
#[derive(Debug)]
pub(crate) struct CliError {
    code: u8,
    message: String,
    /// Lines that belong below the message: marks that point into it, or further mistakes.
    below: Vec<String>,
    hint: Option<String>,
}

impl CliError {
    /// The task or the operation failed.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { code: 1, message: message.into(), below: Vec::new(), hint: None }
    }

    /// What was asked for makes no sense.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into(), below: Vec::new(), hint: None }
    }

    /// The store can't be used.
    pub(crate) fn store(message: impl Into<String>) -> Self {
        Self { code: 3, message: message.into(), below: Vec::new(), hint: None }
    }

    /// It took too long.
    pub(crate) fn timed_out(message: impl Into<String>) -> Self {
        Self { code: 4, message: message.into(), below: Vec::new(), hint: None }
    }

    /// A signal ended it, as Ctrl-C does: the code is that of shells.
    pub(crate) fn interrupted(message: impl Into<String>) -> Self {
        Self { code: 130, message: message.into(), below: Vec::new(), hint: None }
    }

    /// Whoever read our output has seen enough: no error, and nobody to tell.
    pub(crate) fn unread() -> Self {
        Self { code: 0, message: String::new(), below: Vec::new(), hint: None }
    }

    /// The same as a mistake of whoever asked, which would have been told if this were otherwise.
    pub(crate) fn and_usage(self, mistake: &str) -> Self {
        Self { code: 2, message: format!("{}, and {mistake}", self.message), ..self }
    }

    pub(crate) fn with_below(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.below.extend(lines);
        self
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says what was done all the same, where only the answer could not be written.
    pub(crate) fn although(mut self, done: impl Display) -> Self {
        self.message = format!("{}; all the same: {done}", self.message);
        self
    }

    /// Says it on standard error.
    pub(crate) fn tell(self) -> ExitCode {
        if self.code != 0 {
            output::complain(&format!("error: {}", self.message));
            self.below.iter().for_each(|line| output::complain(line));
            if let Some(hint) = self.hint {
                output::complain(&format!("hint: {hint}"));
            }
        }
        ExitCode::from(self.code)
    }
}

/// Shows what the argument parser has to say: help and version are no errors.
pub(crate) fn tell_usage(error: &clap::Error) -> ExitCode {
    // A closed pipe is no reason to complain.
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        let code = if error.kind() == StoreErrorKind::Invalid { 2 } else { 3 };
        let hint = match error.kind() {
            // These say what to do.
            StoreErrorKind::Invalid | StoreErrorKind::TooNew => None,
            _ => Some("the store is --store, GRISTMILL_STORE, or `store` in the configuration; `doctor` looks into it"),
        };
        Self { code, message: error.to_string(), below: Vec::new(), hint: hint.map(str::to_owned) }
    }
}

impl From<ConnectError> for CliError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Store(error) => error.into(),
            other => Self::usage(other.to_string()),
        }
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        let mut mistakes = error.mistakes();
        let (message, mut below) = mistakes.next().unwrap_or_default();
        for (message, lines) in mistakes {
            below.push(format!("error: {message}"));
            below.extend(lines);
        }
        Self::usage(message).with_below(below)
    }
}

impl From<WorkerError> for CliError {
    fn from(error: WorkerError) -> Self {
        match error {
            WorkerError::Store(error) => error.into(),
            WorkerError::Schedule(error) => error.into(),
            WorkerError::StoreLost(_) => Self::store(error.to_string()),
            other => Self::usage(other.to_string()),
        }
    }
}

impl From<EnqueueError> for CliError {
    fn from(error: EnqueueError) -> Self {
        match error {
            EnqueueError::Store { error, .. } => error.into(),
            EnqueueError::Conflict { .. } | EnqueueError::Taken { .. } => Self::failed(error.to_string()),
            EnqueueError::UnknownTask { .. } => Self::usage(error.to_string())
                .with_hint("`kinds` lists the task types; --force enqueues one that only another program has"),
            other => Self::usage(other.to_string()),
        }
    }
}

impl From<QueryError> for CliError {
    fn from(error: QueryError) -> Self {
        Self::usage(format!("the query: {error}")).with_below(error.pointer().lines().map(str::to_owned))
    }
}

impl From<RuleError> for CliError {
    fn from(error: RuleError) -> Self {
        let pointer = error.pointer().unwrap_or_default();
        Self::usage(error.to_string()).with_below(pointer.lines().map(str::to_owned))
    }
}

impl From<ScheduleError> for CliError {
    fn from(error: ScheduleError) -> Self {
        match error {
            ScheduleError::Store(error) => error.into(),
            ScheduleError::Rule { error, .. } => error.into(),
            ScheduleError::UnknownTask { .. } => Self::usage(error.to_string()).with_hint("`kinds` lists the task types"),
            ScheduleError::Exists { .. } => {
                Self::failed(error.to_string()).with_hint("`schedules edit` changes it, `schedules delete` deletes it")
            }
            ScheduleError::NotFound { .. } | ScheduleError::Unreadable { .. } => Self::failed(error.to_string()),
            _ => Self::usage(error.to_string()),
        }
    }
}

impl From<AwaitError> for CliError {
    fn from(error: AwaitError) -> Self {
        match error {
            AwaitError::Store { error, .. } => error.into(),
            AwaitError::TimedOut { .. } => Self::timed_out(error.to_string()),
            other => Self::failed(other.to_string()),
        }
    }
}

impl From<FormError> for CliError {
    fn from(error: FormError) -> Self {
        let mut mistakes = error.mistakes().iter().map(|mistake| match mistake.place.as_str() {
            "" => format!("the workflow {}", mistake.why),
            _ => mistake.to_string(),
        });
        let message = mistakes.next().unwrap_or_default();
        Self::usage(message).with_below(mistakes.map(|mistake| format!("error: {mistake}")))
    }
}

impl From<StartError> for CliError {
    fn from(error: StartError) -> Self {
        let message = error.to_string();
        match error {
            StartError::Form(error) => error.into(),
            StartError::Store { error, .. } => error.into(),
            StartError::Draft(_) | StartError::Invalid(_) | StartError::Member { .. } => Self::usage(message),
            StartError::Partly { id, error, .. } => {
                Self { message, ..Self::from(*error) }.with_hint(format!("`workflows show {id}` shows what of it was done"))
            }
            _ => Self::failed(message),
        }
    }
}

impl From<RunError> for CliError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Store { error, .. } => error.into(),
            RunError::TimedOut { .. } => Self::timed_out(error.to_string()),
            RunError::Failed { id, .. } => {
                Self::failed(error.to_string()).with_hint(format!("`workflows show {id}` shows what failed and what was skipped"))
            }
            other => Self::failed(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use gristmill::core::{Env, InvalidInput};

    use super::*;

    #[test]
    fn a_start_that_ends_halfway_has_the_code_of_what_went_wrong() {
        let id = Env::system().workflow_id();
        let partly = |error| CliError::from(StartError::Partly { id, cancelled: true, error: Box::new(error) });
        let store = StoreError::new(StoreErrorKind::Other, "away");
        let kept = partly(StartError::Store { id, error: store });
        assert!(kept.code == 3 && kept.message.contains("was started, and then cancelled"), "{kept:?}");
        assert_eq!(partly(InvalidInput::new("args", "are wrong").into()).code, 2);
    }
}
