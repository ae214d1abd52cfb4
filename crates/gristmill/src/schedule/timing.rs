use std::time::Duration;

use gristmill_core::{Timestamp, limits};
use serde::{Deserialize, Serialize};

use super::error::RuleError;
use super::plan::Plan;
use super::rule::Rule;

/// The shortest interval of [`Rule::Every`]: one second.
pub const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// The longest interval of [`Rule::Every`]: 100 years.
pub const INTERVAL_MAX: Duration = limits::DURATION_MAX;
/// The largest jitter: one week.
pub const JITTER_MAX: Duration = Duration::from_secs(7 * 86_400);

/// When a schedule ticks, as it was written: a rule, its time zone, its bounds.
///
/// Stored as JSON: `{"rule":{"kind":"cron","expr":"0 3 * * *"},"timezone":"Europe/Rome"}`. Fields that this version does
/// not know are ignored, and those that say nothing are left out. It may say what can't be; [`plan`](Self::plan) checks it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// What makes it tick.
    pub rule: Rule,
    /// The IANA name of the time zone whose local clock the rule is about: `UTC` unless said.
    #[serde(default = "utc", skip_serializing_if = "is_utc")]
    pub timezone: String,
    /// No tick before this instant; a tick on it counts. An interval counts from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Timestamp>,
    /// No tick on this instant or after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Timestamp>,
    /// Where an interval without a start counts from: when the schedule was made, or its rule was changed. Whoever stores
    /// a schedule sets it, by the store's clock; without it, intervals count from 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor: Option<Timestamp>,
    /// A tick's task starts up to so much later, so that many schedules of one rule do not start in one moment; as text:
    /// `"30s"`. Less than [`JITTER_MAX`].
    #[serde(default, with = "text", skip_serializing_if = "Duration::is_zero")]
    pub jitter: Duration,
}

impl Timing {
    /// The rule, in UTC and without bounds.
    pub fn new(rule: Rule) -> Self {
        Self { rule, timezone: utc(), start: None, end: None, anchor: None, jitter: Duration::ZERO }
    }

    /// In this time zone: an IANA name such as `Europe/Rome`.
    #[must_use]
    pub fn tz(mut self, name: impl Into<String>) -> Self {
        self.timezone = name.into();
        self
    }

    /// Not before `start`.
    #[must_use]
    pub fn start(mut self, start: Timestamp) -> Self {
        self.start = Some(start);
        self
    }

    /// Before `end` only.
    #[must_use]
    pub fn end(mut self, end: Timestamp) -> Self {
        self.end = Some(end);
        self
    }

    /// An interval without a start counts from `anchor`.
    #[must_use]
    pub fn anchor(mut self, anchor: Timestamp) -> Self {
        self.anchor = Some(anchor);
        self
    }

    /// Tasks start up to `jitter` after their tick.
    #[must_use]
    pub fn jitter(mut self, jitter: Duration) -> Self {
        self.jitter = jitter;
        self
    }

    /// Checks everything and gives what computes the ticks. Costs some microseconds; a beat keeps the plan.
    ///
    /// # Errors
    /// What can't be, and what would be right: see [`RuleError`]. A timing that would never tick is refused as well.
    pub fn plan(&self) -> Result<Plan, RuleError> {
        Plan::new(self)
    }
}

impl From<Rule> for Timing {
    fn from(rule: Rule) -> Self {
        Self::new(rule)
    }
}

/// Once, at this instant.
impl From<Timestamp> for Timing {
    fn from(at: Timestamp) -> Self {
        Self::new(Rule::on(at))
    }
}

fn utc() -> String {
    "UTC".to_owned()
}

fn is_utc(name: &str) -> bool {
    name == "UTC"
}

/// Durations as text: `"10m"`.
pub(super) mod text {
    use std::borrow::Cow;
    use std::time::Duration;

    use gristmill_core::{format_duration, parse_duration};
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format_duration(*duration))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        parse_duration(&Cow::<'de, str>::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}
