//! Tasks of older versions of a type, which its newest code runs: their arguments are upgraded first.

use std::error::Error as StdError;
use std::fmt;

use serde_json::{Value, json};

use crate::core::limits::VERSION_MAX;
use crate::core::{FailureReason, version};
use crate::error::{BoxError, What};
use crate::options::Upgrade;
use crate::{Error, Result, Task, panics};

/// How arguments of an older version become those of the current one.
#[derive(Clone, Copy)]
pub(crate) struct Older {
    pub(crate) from: u32,
    to: u32,
    upgrade: Upgrade,
}

impl Older {
    /// All older versions that a task type can run.
    pub(crate) fn all<T: Task>() -> impl Iterator<Item = Self> {
        let of = |upgrade| (1..T::VERSION).map(move |from| Self { from, to: T::VERSION, upgrade });
        T::UPGRADE.into_iter().flat_map(of)
    }

    /// What is declared of its arguments by a program that has only a way from there: whoever enqueues them must not be asked for those of
    /// the current version.
    pub(crate) fn schema(&self) -> Value {
        json!({ "type": "object", "description": format!("Arguments of version {}, which version {} upgrades.", self.from, self.to) })
    }

    /// The arguments as those of the current version; whether they fit it is the caller's to check.
    ///
    /// # Errors
    /// Whatever is wrong, the task fails for good: the same arguments come to the same.
    pub(crate) fn upgrade(&self, args: &str) -> Result<String> {
        let upgrade = || -> Result<String, (String, BoxError)> {
            let told = |error: BoxError| (error.to_string(), error);
            let args = serde_json::from_str(args).map_err(|error| told(error.into()))?;
            let args = (self.upgrade)(self.from, args).map_err(|error| {
                let text = error.to_string();
                (text.clone(), error.source.unwrap_or_else(|| text.into()))
            })?;
            // A list would be read as a struct's fields in their order.
            if !args.is_object() {
                return Err(told("it gave what is no JSON object".into()));
            }
            Ok(args.to_string())
        };
        // The application's code, also where it says what was wrong.
        let (why, source) = match panics::catch(upgrade) {
            Ok(Ok(args)) => return Ok(args),
            Ok(Err((_, source))) if source.is::<serde_json::Error>() => {
                // It repeats values, and what is kept is shown to people who may not see the arguments.
                tracing::error!(from = self.from, to = self.to, error = %source, "the arguments can't be upgraded");
                ("they are not what it reads; the worker's log says more".to_owned(), None)
            }
            Ok(Err((why, source))) => (why, Some(source)),
            Err(panicked) => (format!("it {}", Error::from(panicked)), None),
        };
        let error = UpgradeError { from: self.from, to: self.to, why, source };
        Err(Error::new(What::Fail, FailureReason::InvalidArgs, error))
    }
}

/// The arguments of a task of an older version could not be made into those of the current one.
#[derive(Debug)]
#[non_exhaustive]
pub struct UpgradeError {
    /// The version under which it was enqueued.
    pub from: u32,
    /// The version of the code.
    pub to: u32,
    why: String,
    source: Option<BoxError>,
}

impl fmt::Display for UpgradeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, why, .. } = self;
        write!(f, "the arguments of version {from} can't be upgraded to version {to}: {why}")
    }
}

impl StdError for UpgradeError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        // Its own text is part of this one.
        self.source.as_ref()?.source()
    }
}

/// What a task type says of its version that can't be.
pub(crate) fn mistake<T: Task>() -> Option<String> {
    let (name, version) = (T::NAME, T::VERSION);
    if !(1..=VERSION_MAX).contains(&version) {
        return Some(format!("its version is {version}; versions are from 1 to {VERSION_MAX}"));
    }
    if version == 1 && T::UPGRADE.is_some() {
        return Some("it has an upgrade, and there is nothing before version 1; say `version = 2`".to_owned());
    }
    match version::split(name) {
        (plain, of) if version > 1 && of > 1 => Some(format!(
            "its name ends in @{of}, as that of version {of} of `{plain}` does, and it has a version beside; name it `{plain}`"
        )),
        _ => None,
    }
}
