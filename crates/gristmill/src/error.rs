//! How handlers end when they do not succeed, and what the other errors are made of.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::core::{Ending, TaskId, Timestamp};
use crate::panics;

pub use crate::core::{Failure, FailureReason, InvalidInput, StoreError, StoreErrorKind, TimestampError};
pub use crate::older::UpgradeError;

/// Any error that can be kept with an attempt.
pub type BoxError = Box<dyn StdError + Send + Sync + 'static>;

/// What a handler returns: its output, or an [`Error`] that says what should happen next.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// How a handler ends when it does not succeed: the outcome is a value.
///
/// `?` on any error means *retry*: the attempt has failed, and there is another one if attempts are left. The other
/// outcomes are said explicitly. The error's text and its sources are kept with the attempt.
///
/// Texts, `anyhow::Error`, `eyre::Report` and boxed errors are no [`std::error::Error`], so that `?` alone does not take them. Of
/// these [`ResultExt`] says what should happen: `.or_retry()?`, `.or_fail()?`; and each function here takes them as they are.
///
/// ```
/// use gristmill::{Error, Result, ResultExt};
/// use std::time::Duration;
///
/// fn parse(body: &str) -> Result<u32> {
///     if body.is_empty() {
///         return Err(Error::snooze(Duration::from_secs(30)));      // not there yet: look again later
///     }
///     body.parse().map_err(Error::fail)                             // will never parse: no more attempts
/// }
///
/// fn check(body: &str) -> Result<u32, String> {
///     Err(format!("{body} can't be"))
/// }
///
/// fn both(body: &str) -> Result<u32> {
///     let n = check(body).or_retry()?;                              // a text, or an error of anyhow: say what it means
///     if n > 9 { Err(Error::retry("too many")) } else { parse(body) }
/// }
/// assert!(parse("x").is_err() && both("x").is_err());
/// ```
///
/// It does not implement [`std::error::Error`] itself; that is what lets `?` convert every error into it.
pub struct Error {
    pub(crate) what: What,
    pub(crate) reason: FailureReason,
    pub(crate) trace: Option<String>,
    pub(crate) source: Option<BoxError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Retry(When),
    Fail,
    Cancel,
    Snooze(Duration),
    /// The worker stops before the handler has ended.
    Release,
    /// It waits for what its durable steps wait for; how is said elsewhere.
    Wait,
}

/// When a failed attempt is followed by another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// After the task's backoff.
    Backoff,
    After(Duration),
    At(Timestamp),
}

impl Error {
    /// The attempt failed; try again after the task's backoff, if attempts are left. What `?` does.
    pub fn retry(source: impl Into<BoxError>) -> Self {
        Self::new(What::Retry(When::Backoff), FailureReason::Error, source)
    }

    /// The attempt failed; try again after exactly this long, for a far side that said when to come back.
    pub fn retry_after(delay: Duration, source: impl Into<BoxError>) -> Self {
        Self::new(What::Retry(When::After(delay)), FailureReason::Error, source)
    }

    /// The attempt failed; try again at this moment, for a far side that said until when it is closed. A moment that has
    /// passed means at once. The moment is compared with the worker's clock; the wait then runs by the store's.
    ///
    /// ```
    /// use gristmill::{Error, Result, Timestamp};
    ///
    /// fn check(closed_until: Option<Timestamp>) -> Result<()> {
    ///     match closed_until {
    ///         Some(at) => Err(Error::retry_at(at, "the far side is closed")),
    ///         None => Ok(()),
    ///     }
    /// }
    /// # assert!(check(Some(Timestamp::MAX)).is_err());
    /// ```
    pub fn retry_at(at: Timestamp, source: impl Into<BoxError>) -> Self {
        Self::new(What::Retry(When::At(at)), FailureReason::Error, source)
    }

    /// The task failed, and no attempt could mend it.
    pub fn fail(source: impl Into<BoxError>) -> Self {
        Self::new(What::Fail, FailureReason::Error, source)
    }

    /// The task is no longer wanted: it ends as `cancelled`, with this reason.
    pub fn cancel(source: impl Into<BoxError>) -> Self {
        Self::new(What::Cancel, FailureReason::Cancelled, source)
    }

    /// Nothing failed; run it again later. The attempt is given back, so that a task can wait for as long as it likes.
    pub fn snooze(delay: Duration) -> Self {
        Self { what: What::Snooze(delay), reason: FailureReason::Error, trace: None, source: None }
    }

    /// As [`snooze`](Self::snooze), with the reason, which is kept with the attempt and shown as the task's error for as long as
    /// it waits: nobody would see otherwise why a task comes back again and again.
    pub fn snooze_because(delay: Duration, why: impl Into<BoxError>) -> Self {
        Self::new(What::Snooze(delay), FailureReason::Error, why)
    }

    /// The error behind it, if it is an `E`: for middleware and callers that look at an outcome.
    ///
    /// ```
    /// # use gristmill::Error;
    /// let error = Error::from("x".parse::<u32>().unwrap_err());
    /// assert!(error.downcast_ref::<std::num::ParseIntError>().is_some());
    /// ```
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        let source = self.source.as_ref()?;
        source.downcast_ref().or_else(|| source.downcast_ref::<Common>()?.0.downcast_ref())
    }

    /// Whether the attempt has failed, and why. `None` for a snooze, and for the stop of a worker.
    pub fn reason(&self) -> Option<FailureReason> {
        (!self.is_no_failure()).then_some(self.reason)
    }

    pub(crate) fn new(what: What, reason: FailureReason, source: impl Into<BoxError>) -> Self {
        Self { what, reason, trace: None, source: Some(source.into()) }
    }

    /// The same error for many tasks, which were run in one call. Its trace goes with the first alone, as it is long.
    pub(crate) fn common(self) -> impl FnMut() -> Self {
        let Self { what, reason, mut trace, source } = self;
        let source = source.map(Arc::new);
        move || {
            let source = source.clone().map(|source| Common(source).into());
            Self { what, reason, trace: trace.take(), source }
        }
    }

    pub(crate) fn map_source(mut self, change: impl FnOnce(BoxError) -> BoxError) -> Self {
        self.source = self.source.map(change);
        self
    }

    pub(crate) fn is_lease_lost(&self) -> bool {
        self.downcast_ref::<LeaseLost>().is_some()
    }

    /// How the attempt ends; `backoff` is asked for the wait of a plain retry, and `now` for the time if that matters.
    pub(crate) fn ending(&self, backoff: impl FnOnce() -> Duration, now: impl FnOnce() -> Timestamp) -> Ending {
        match self.what {
            What::Retry(When::Backoff) => Ending::Retry { delay: backoff() },
            What::Retry(When::After(delay)) => Ending::Retry { delay },
            What::Retry(When::At(at)) => Ending::Retry { delay: at.since(now()) },
            What::Fail => Ending::Failed,
            What::Cancel => Ending::Cancelled,
            What::Snooze(delay) => Ending::Snooze { delay },
            What::Release | What::Wait => Ending::Released,
        }
    }

    /// Whether nothing failed: it is to be run again, at no cost.
    pub(crate) fn is_no_failure(&self) -> bool {
        matches!(self.what, What::Snooze(_) | What::Release | What::Wait)
    }

    /// What is kept of it with the attempt. A release is no failure, and a snooze without a reason has nothing to say.
    pub(crate) fn failure(&self) -> Option<Failure> {
        if matches!(self.what, What::Release | What::Wait) || (self.is_no_failure() && self.source.is_none()) {
            return None;
        }
        let told = panics::catch(|| match self.source.as_deref() {
            Some(source) => Failure::from_error(self.reason, source),
            None => Failure::new(self.reason, self.to_string()),
        });
        // The text is the application's code. What it fails to say does not change how the attempt ended.
        let mut failure = told.unwrap_or_else(|panicked| {
            Failure::new(self.reason, format!("the error can't be shown, its text {}", Self::from(panicked)))
        });
        failure.trace.clone_from(&self.trace);
        Some(failure)
    }
}

/// What `?` makes a retry of: any [`std::error::Error`].
///
/// A trait of our own for the words of the compiler, which would end at that one otherwise.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not turned into a `gristmill::Error`, neither by `?` nor as the error that a handler returns",
    label = "is no `std::error::Error`: write `.or_retry()?` or `.or_fail()?`, of `gristmill::ResultExt`",
    note = "texts, `anyhow::Error`, `eyre::Report` and boxed errors are none; a function that a handler calls may return them, and the \
            handler says what they mean"
)]
pub trait Retryable: Into<BoxError> {}

#[diagnostic::do_not_recommend]
impl<E: StdError + Send + Sync + 'static> Retryable for E {}

impl<E: Retryable> From<E> for Error {
    fn from(error: E) -> Self {
        Self::retry(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.source, self.what) {
            (Some(source), _) => source.fmt(f),
            (None, What::Snooze(delay)) => write!(f, "run again in {delay:?}"),
            (None, _) => f.write_str("failed"),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: ", self.what)?;
        match &self.source {
            Some(source) => source.fmt(f),
            None => Ok(()),
        }
    }
}

/// What several tasks failed with at once.
#[derive(Debug)]
struct Common(Arc<BoxError>);

impl fmt::Display for Common {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Common {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

/// The worker that made this call no longer has the task; whatever it would write is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lease on task {id} is lost: another worker may have it")]
pub struct LeaseLost {
    /// The task.
    pub id: TaskId,
}

/// Another task's attempt has the lock that was asked for; see [`Context::lock`](crate::Context::lock).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lock `{name}` is held by the task {task}, since {since}")]
pub struct LockHeld {
    /// The lock.
    pub name: String,
    /// The task whose attempt has it.
    pub task: TaskId,
    /// Since when, by the store's clock.
    pub since: Timestamp,
}

/// Short forms that say what an error means for the task. Beside every [`std::error::Error`] they take texts, boxed errors, and those
/// of anyhow and eyre.
///
/// ```
/// use gristmill::{Result, ResultExt, task};
///
/// #[task(name = "rate.fetch")]
/// async fn fetch_rate(currency: String) -> Result<f64> {
///     let text = ask(&currency).or_retry()?;
///     text.parse().or_fail()
/// }
///
/// /// What some library returns, in whose place there may be an `anyhow::Result` just as well.
/// fn ask(currency: &str) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
///     Err(format!("no answer for {currency}").into())
/// }
/// ```
pub trait ResultExt<T> {
    /// On error, the attempt has failed, and there is another one if attempts are left: what `?` does of itself where it can.
    ///
    /// # Errors
    /// The error, as [`Error::retry`].
    fn or_retry(self) -> Result<T>;

    /// On error, the task fails without another attempt.
    ///
    /// # Errors
    /// The error, as [`Error::fail`].
    fn or_fail(self) -> Result<T>;

    /// On error, the task ends as `cancelled`.
    ///
    /// # Errors
    /// The error, as [`Error::cancel`].
    fn or_cancel(self) -> Result<T>;

    /// On error, run again after `delay` without using up an attempt; the error is kept as the reason.
    ///
    /// # Errors
    /// The error, as [`Error::snooze_because`].
    fn or_snooze(self, delay: Duration) -> Result<T>;
}

impl<T, E: Into<BoxError>> ResultExt<T> for std::result::Result<T, E> {
    fn or_retry(self) -> Result<T> {
        self.map_err(Error::retry)
    }

    fn or_fail(self) -> Result<T> {
        self.map_err(Error::fail)
    }

    fn or_cancel(self) -> Result<T> {
        self.map_err(Error::cancel)
    }

    fn or_snooze(self, delay: Duration) -> Result<T> {
        self.map_err(|error| Error::snooze_because(delay, error))
    }
}
