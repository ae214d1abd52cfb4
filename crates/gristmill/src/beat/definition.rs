use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::policies::{CatchUp, Overlap};
use crate::core::{Ack, Overrides, Retention, Timestamp};
use crate::schedule::Timing;

/// What a schedule is, as it is written and stored: when it ticks, what task each tick makes, and what happens to ticks that
/// come late, too soon or on the heels of others.
///
/// Stored as JSON, in which what says nothing is left out and what this version does not know is ignored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Definition {
    /// When it ticks.
    #[serde(flatten)]
    pub timing: Timing,
    /// The task type of its tasks.
    pub task: String,
    /// Their arguments.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub args: Map<String, Value>,
    /// The argument that is set to the tick's instant, as RFC 3339 text, for tasks that have to know for when they run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tick_arg: Option<String>,
    /// What the tasks have that differs from their type.
    #[serde(default, skip_serializing_if = "TaskOptions::is_empty")]
    pub options: TaskOptions,
    /// What happens to ticks for which no beat ran.
    #[serde(default, skip_serializing_if = "is_default")]
    pub catch_up: CatchUp,
    /// What happens when the task of the tick before has not ended.
    #[serde(default, skip_serializing_if = "is_default")]
    pub overlap: Overlap,
    /// The least time between two runs; ticks that come sooner are suppressed.
    #[serde(default, with = "text", skip_serializing_if = "Option::is_none")]
    pub min_distance: Option<Duration>,
    /// After the n-th failure in a row, so many ticks are suppressed: n, but at most this. A success begins anew.
    #[serde(default, skip_serializing_if = "is_default")]
    pub penalty: u32,
    /// After so many runs it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_runs: Option<u64>,
    /// What it is for, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Where it was defined.
    #[serde(default)]
    pub origin: Origin,
    /// An operator paused it. It stays so, whatever its origin says at the next start.
    #[serde(default, skip_serializing_if = "is_default")]
    pub paused: bool,
    /// An operator changed what its origin had defined. It stays so.
    #[serde(default, skip_serializing_if = "is_default")]
    pub edited: bool,
    /// Its origin no longer defines it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub withdrawn: bool,
}

/// Where a schedule was defined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// At run time, by the API or the command line. No start of a program touches it.
    #[default]
    Operator,
    /// In a program's code.
    Code,
    /// In a configuration file.
    Config,
}

/// What a schedule's tasks have that differs from their type; the names and meanings of [`Enqueue`](crate::Enqueue)'s options.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct TaskOptions {
    /// Another queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// 0 first … 9 last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
    /// Failed attempts until it fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// Crashes until it fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_crashes: Option<u32>,
    /// The longest that an attempt may run.
    #[serde(with = "text", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// How long after its start is due it is still worth starting.
    #[serde(with = "text", skip_serializing_if = "Option::is_none")]
    pub expires: Option<Duration>,
    /// How long it is kept once it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// At least once or at most once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ack: Option<Ack>,
    /// Labels, added to the type's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Context for the handler.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
}

impl Definition {
    /// A schedule of this timing that makes tasks of the type `task`.
    pub fn new(timing: Timing, task: impl Into<String>) -> Self {
        Self {
            timing,
            task: task.into(),
            args: Map::new(),
            tick_arg: None,
            options: TaskOptions::default(),
            catch_up: CatchUp::default(),
            overlap: Overlap::default(),
            min_distance: None,
            penalty: 0,
            max_runs: None,
            description: String::new(),
            origin: Origin::default(),
            paused: false,
            edited: false,
            withdrawn: false,
        }
    }

    /// The arguments of a tick's task.
    pub(crate) fn args_at(&self, tick: Timestamp) -> String {
        let mut args = self.args.clone();
        if let Some(name) = &self.tick_arg {
            args.insert(name.clone(), Value::String(tick.to_string()));
        }
        Value::Object(args).to_string()
    }
}

impl TaskOptions {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// As one enqueue says it.
    pub(crate) fn overrides(&self) -> Overrides {
        Overrides {
            queue: self.queue.clone(),
            priority: self.priority,
            max_attempts: self.max_attempts,
            max_crashes: self.max_crashes,
            timeout: self.timeout,
            expires: self.expires,
            retention: self.retention,
            ack: self.ack,
            tags: self.tags.clone(),
            headers: self.headers.clone(),
            ..Overrides::default()
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Durations as text: `"10m"`.
mod text {
    use std::borrow::Cow;
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::core::{format_duration, parse_duration};

    #[expect(clippy::ref_option, reason = "serde gives the field so")]
    pub(super) fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => serializer.serialize_some(&format_duration(*duration)),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        let text = Option::<Cow<'de, str>>::deserialize(deserializer)?;
        text.map(|text| parse_duration(&text).map_err(de::Error::custom)).transpose()
    }
}
