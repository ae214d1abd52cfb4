use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::concurrency::{Concurrency, OnExcess, Rate};
use crate::unique::{Debounce, Unique};
use crate::{Backoff, Batching, limits, parse_duration};

/// What a task type declares about itself: its name, its arguments, and what holds unless an enqueue says otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct KindSpec {
    /// The name under which it is enqueued, for ever: moving the code must not change it.
    pub name: String,
    /// JSON Schema of the arguments.
    pub schema: serde_json::Value,
    /// The names of the arguments in their declared order, for callers that pass them by position.
    pub fields: Vec<String>,
    /// The options.
    pub policy: Policy,
}

/// The options of a task type. Precedence: the single enqueue, then the task type, then these defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// The queue it waits in.
    pub queue: String,
    /// 0 is served first, 9 last.
    pub priority: u8,
    /// How many attempts may fail before the task does. Counts runs, not retries: 1 means "never again". Crashes have
    /// their own limit and do not count here.
    pub max_attempts: u32,
    /// How many times it may take its worker down with it.
    pub max_crashes: u32,
    /// The wait after a failed attempt.
    pub backoff: Backoff,
    /// The longest that one attempt may run; `None` for no limit.
    #[serde(with = "opt_duration")]
    pub timeout: Option<Duration>,
    /// How long a handler may go on once its timeout has asked it to end; then it is dropped.
    /// `None` for a tenth of the timeout, at most 5 s.
    #[serde(
        deserialize_with = "some_duration",
        serialize_with = "opt_duration::serialize",
        skip_serializing_if = "Option::is_none"
    )]
    pub kill_after: Option<Duration>,
    /// How long after its due time it is still worth starting; later it ends as `expired`.
    #[serde(with = "opt_duration")]
    pub expires: Option<Duration>,
    /// Whether a crashed attempt is run again.
    pub ack: Ack,
    /// How long the ended task is kept.
    pub retention: Retention,
    /// What happens to a result above the limit.
    pub large_result: Oversize,
    /// What becomes of a transactional task's writes when it fails.
    // Not written where it is the default: versions that do not know it refuse it.
    #[serde(skip_serializing_if = "OnError::is_default")]
    pub on_error: OnError,
    /// How tasks of it are gathered, if its handler takes many in one call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<Batching>,
    /// Labels that its tasks carry.
    pub tags: Vec<String>,
    /// Log a successful run at debug level only, for routine work that would drown the rest.
    pub quiet: bool,
    /// How many of its tasks may run at once, by key; all rules have to admit a task.
    // Not written where there is none: versions that do not know it refuse it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub concurrency: Vec<Concurrency>,
    /// How many of its tasks may begin in a time, by key; all rules have to admit a task.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rate: Vec<Rate>,
    /// Whether an enqueue makes no task while another with its key is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unique: Option<Unique>,
    /// Whether enqueues with one key are one task, with the arguments of the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub debounce: Option<Debounce>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            queue: "default".to_owned(),
            priority: 5,
            max_attempts: 5,
            max_crashes: 3,
            backoff: Backoff::default(),
            timeout: Some(Duration::from_secs(3600)),
            kill_after: None,
            expires: None,
            ack: Ack::Late,
            retention: Retention::default(),
            large_result: Oversize::Fail,
            on_error: OnError::Rollback,
            batch: None,
            tags: Vec::new(),
            quiet: false,
            concurrency: Vec::new(),
            rate: Vec::new(),
            unique: None,
            debounce: None,
        }
    }
}

impl Policy {
    /// Checks the values against [`limits`].
    ///
    /// # Errors
    /// The first option that is out of range.
    pub fn check(&self) -> Result<(), limits::InvalidInput> {
        limits::check_name("queue", &self.queue)?;
        check_counts(Some(self.priority), Some(self.max_attempts), Some(self.max_crashes))?;
        check_timeout(self.timeout)?;
        self.backoff.check()?;
        Concurrency::check(&self.concurrency, &self.rate)?;
        let is_after = self.unique.as_ref().is_some_and(|unique| unique.on_conflict.takes_turns());
        self.unique.as_ref().map_or(Ok(()), |unique| unique.check_beside(self.concurrency.len() + self.rate.len()))?;
        if is_after && self.concurrency.iter().any(|rule| !rule.on_excess.is_wait()) {
            return Err(OnExcess::beside_turns());
        }
        self.debounce.as_ref().map_or(Ok(()), |debounce| debounce.check_beside(self.unique.as_ref()))?;
        self.batch.as_ref().map_or(Ok(()), Batching::check)?;
        if self.batch.is_some() && (is_after || self.concurrency.iter().any(|rule| rule.until_ended)) {
            let problem = "gathers many tasks for one call, and a sequence lets one run after the other; take one of them";
            return Err(limits::InvalidInput::new("batch", problem));
        }
        check_labels("tags", self.tags.iter())
    }
}

pub(crate) fn check_labels<'a>(
    field: &str,
    labels: impl ExactSizeIterator<Item = &'a String>,
) -> Result<(), limits::InvalidInput> {
    if labels.len() > limits::LABELS_MAX {
        return Err(limits::InvalidInput::new(field, format!("{} given; at most {} are kept", labels.len(), limits::LABELS_MAX)));
    }
    labels.into_iter().try_for_each(|label| limits::check_name(field, label))
}

pub(crate) fn check_timeout(timeout: Option<Duration>) -> Result<(), limits::InvalidInput> {
    if timeout.is_some_and(|timeout| timeout < limits::TIMEOUT_MIN) {
        return Err(limits::InvalidInput::new("timeout", "is at least 1ms; no limit is \"none\""));
    }
    Ok(())
}

pub(crate) fn check_counts(
    priority: Option<u8>,
    attempts: Option<u32>,
    crashes: Option<u32>,
) -> Result<(), limits::InvalidInput> {
    if priority.is_some_and(|p| p > limits::PRIORITY_MAX) {
        return Err(limits::InvalidInput::new("priority", "is from 0 (first) to 9 (last)"));
    }
    for (field, count) in [("max_attempts", attempts), ("max_crashes", crashes)] {
        if count.is_some_and(|n| n == 0 || n > limits::ATTEMPTS_MAX) {
            return Err(limits::InvalidInput::new(field, format!("is at least 1 and at most {}", limits::ATTEMPTS_MAX)));
        }
    }
    Ok(())
}

/// When a task counts as done with: what Celery calls acks early and acks late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ack {
    /// At least once: if its worker dies, another runs it again. For work that can be repeated.
    #[default]
    Late,
    /// At most once: if its worker dies after it started, it fails as `crashed`. For work that must not be repeated.
    Early,
}

/// What happens to a result that is larger than the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Oversize {
    /// The attempt fails, without another.
    #[default]
    Fail,
    /// The result becomes `{"truncated": true, "bytes": n, "head": "..."}`.
    Truncate,
}

/// What becomes of the writes of a handler's transaction when its work returns an error. A panic, a timeout, an aborted
/// transaction and a lost lease undo them in any case; and the failure is recorded in any case, outside of the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// They are undone: the next attempt begins with what there was before.
    #[default]
    Rollback,
    /// They are kept, if the task is still held: the next attempt finds what this one wrote.
    Commit,
}

impl OnError {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How long an ended task is kept with its result and history. In JSON and configuration: `"7d"`, `"none"`, `"forever"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retention {
    /// Nothing is kept of a success. Failures are kept for the default period, as nobody could learn of them otherwise.
    None,
    /// For this long after it ended.
    For(Duration),
    /// Until somebody deletes it.
    Forever,
}

impl Default for Retention {
    /// Seven days.
    fn default() -> Self {
        Self::For(Duration::from_secs(7 * 86_400))
    }
}

impl Serialize for Retention {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_str("none"),
            Self::Forever => serializer.serialize_str("forever"),
            Self::For(period) => serializer.serialize_str(&crate::format_duration(*period)),
        }
    }
}

impl<'de> Deserialize<'de> for Retention {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "none" => Ok(Self::None),
            "forever" => Ok(Self::Forever),
            text => parse_duration(text)
                .map(Self::For)
                .map_err(|why| serde::de::Error::custom(format!("{why}; or \"none\", or \"forever\""))),
        }
    }
}

/// A duration as text, with no word for none.
fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    parse_duration(&String::deserialize(deserializer)?).map(Some).map_err(serde::de::Error::custom)
}

/// Durations as text: `"5s"`; `"none"` for no limit.
pub(crate) mod opt_duration {
    use super::{Deserialize, Deserializer, Duration, Serializer, parse_duration};

    #[expect(clippy::ref_option, reason = "the signature that serde asks for")]
    pub(crate) fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => serializer.serialize_str(&crate::format_duration(*duration)),
            None => serializer.serialize_str("none"),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "none" => Ok(None),
            text => parse_duration(text).map(Some).map_err(serde::de::Error::custom),
        }
    }
}
