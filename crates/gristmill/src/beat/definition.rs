use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::decide::CATCH_UP_MAX;
use super::policies::{CatchUp, Overlap};
use crate::core::concurrency::Concurrency;
use crate::core::{Ack, InvalidInput, KindSpec, Overrides, Retention, Timestamp, limits};
use crate::schedule::{Rule, Timing};
use crate::schema::Schema;
use crate::task::stored_name;
use crate::{Task, twins};

/// The longest description of a schedule.
const DESCRIPTION_BYTES_MAX: usize = 4_096;

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
    /// Why it could not be made as it was said; told when it is checked, so that builders need not fail.
    #[serde(skip)]
    pub(super) mistake: Option<InvalidInput>,
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

/// What a schedule's tasks have that differs from their type; the names and meanings of [`Enqueue`](crate::client::Enqueue)'s options.
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
    /// At the times of a cron expression, by the clock of [`tz`](Self::tz) or else UTC: a task like this one.
    ///
    /// ```
    /// use gristmill::beat::{Definition, Overlap};
    /// # use gristmill::{Result, task};
    /// # #[task(name = "report.build")] async fn build_report(year: u32) -> Result<()> { let _ = year; Ok(()) }
    /// let nightly = Definition::cron("0 3 * * *", BuildReport { year: 2027 }).tz("Europe/Rome").overlap(Overlap::Allow);
    /// # assert_eq!(nightly.args["year"], 2027);
    /// ```
    pub fn cron<T: Task>(expr: impl Into<String>, task: T) -> Self {
        Self::of(Rule::cron(expr), task)
    }

    /// Again and again at one distance, from one second to 100 years: a task like this one.
    pub fn every<T: Task>(every: Duration, task: T) -> Self {
        Self::of(Rule::every(every), task)
    }

    /// Once, at this instant: this task.
    pub fn on<T: Task>(at: Timestamp, task: T) -> Self {
        Self::of(at, task)
    }

    /// By any other [`Rule`], or a [`Timing`] with all its bounds: tasks like this one.
    ///
    /// Arguments that can't be written as a JSON object are told by whoever is given the definition.
    pub fn of<T: Task>(timing: impl Into<Timing>, task: T) -> Self {
        Self::named(timing, stored_name::<T>(), task)
    }

    /// The same of a task type that is known only by its name, with arguments that are written as JSON.
    ///
    /// ```
    /// use gristmill::beat::Definition;
    /// use gristmill::schedule::Rule;
    /// use serde_json::json;
    ///
    /// let nightly = Definition::named(Rule::cron("0 3 * * *"), "report.build", json!({ "year": 2027 }));
    /// # assert_eq!(nightly.args["year"], 2027);
    /// ```
    pub fn named(timing: impl Into<Timing>, task: impl Into<String>, args: impl Serialize) -> Self {
        let (args, mistake) = match serde_json::to_value(args) {
            Ok(Value::Object(args)) => (args, None),
            Ok(_) => (Map::new(), Some(InvalidInput::new("args", "are not a JSON object such as {\"name\": \"value\"}"))),
            Err(error) => (Map::new(), Some(InvalidInput::new("args", format!("can't be written as JSON: {error}")))),
        };
        Self {
            timing: timing.into(),
            task: task.into(),
            args,
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
            mistake,
        }
    }

    /// By the clock of this time zone: an IANA name such as `Europe/Rome`.
    #[must_use]
    pub fn tz(mut self, name: impl Into<String>) -> Self {
        self.timing.timezone = name.into();
        self
    }

    /// Gives each task the instant of its tick, as RFC 3339 text in the argument `name`.
    #[must_use]
    pub fn tick_arg(mut self, name: impl Into<String>) -> Self {
        self.tick_arg = Some(name.into());
        self
    }

    /// Sets what its tasks have that differs from their type.
    #[must_use]
    pub fn options(mut self, options: TaskOptions) -> Self {
        self.options = options;
        self
    }

    /// Sets what happens to ticks for which no beat ran.
    #[must_use]
    pub fn catch_up(mut self, catch_up: CatchUp) -> Self {
        self.catch_up = catch_up;
        self
    }

    /// Sets what happens when the task of the tick before has not ended.
    #[must_use]
    pub fn overlap(mut self, overlap: Overlap) -> Self {
        self.overlap = overlap;
        self
    }

    /// Suppresses ticks that come sooner than this after the last run.
    #[must_use]
    pub fn min_distance(mut self, distance: Duration) -> Self {
        self.min_distance = Some(distance);
        self
    }

    /// Suppresses n ticks after the n-th failure in a row, but at most so many.
    #[must_use]
    pub fn penalty(mut self, ticks: u32) -> Self {
        self.penalty = ticks;
        self
    }

    /// Ends it after so many runs.
    #[must_use]
    pub fn max_runs(mut self, runs: u64) -> Self {
        self.max_runs = Some(runs);
        self
    }

    /// Says what it is for.
    #[must_use]
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.description = text.into();
        self
    }

    /// What of it may not be meant: ticks that are made up for come together, so that each finds the task of the one before.
    pub fn notice(&self) -> Option<&'static str> {
        if !matches!(self.catch_up, CatchUp::All { max: 2.., .. }) {
            return None;
        }
        match self.overlap {
            Overlap::Allow => None,
            Overlap::Skip => Some(
                "of the ticks that are made up for only the first runs, as its task has not ended when the others come; with \
                 overlap = allow all do",
            ),
            Overlap::BufferOne => Some(
                "of the ticks that are made up for only the first two run, as one waits for the other and none behind it; with \
                 overlap = allow all do",
            ),
            Overlap::CancelPrevious => Some(
                "of the ticks that are made up for only the last runs, as each supersedes the one before; with overlap = allow all do",
            ),
        }
    }

    /// Checks its arguments against what a task type declares, as the start of a beat does, but without a store.
    ///
    /// ```
    /// use gristmill::beat::Definition;
    /// use gristmill::schedule::Rule;
    /// use gristmill::{App, Result, task};
    ///
    /// #[task(name = "greet")]
    /// async fn greet(name: String) -> Result<String> {
    ///     Ok(name)
    /// }
    ///
    /// let kinds = App::new(()).register::<Greet>().kinds();
    /// let nobody = Definition::named(Rule::cron("@daily"), "greet", serde_json::json!({}));
    /// assert_eq!(nobody.check_args(&kinds[0]).unwrap_err().field, "args/name");
    /// ```
    ///
    /// # Errors
    /// The argument that does not fit, or a schema that is none.
    pub fn check_args(&self, kind: &KindSpec) -> Result<(), InvalidInput> {
        let schema = Schema::compile(&kind.schema).map_err(|error| InvalidInput::new("schema", format!("is wrong: {error}")))?;
        let args = Value::Object(self.all_args(Timestamp::default()));
        schema.check(&args)?;
        // Each of its ticks would be refused, or fail.
        Concurrency::needs(&kind.policy.concurrency, &kind.policy.rate, &kind.name, &args)?;
        kind.policy.unique.as_ref().map_or(Ok(()), |unique| unique.resolve(&kind.name, &args).map(drop))?;
        kind.policy.debounce.as_ref().map_or(Ok(()), |debounce| debounce.resolve(&args).map(drop))?;
        let key = kind.policy.batch.as_ref().and_then(|batch| batch.key.as_ref());
        key.map_or(Ok(()), |key| key.fill(|name| args.get(name)).map(drop))
    }

    /// Checks what neither the timing nor the task type does.
    pub(crate) fn check(&self) -> Result<(), InvalidInput> {
        if let Some(mistake) = &self.mistake {
            return Err(mistake.clone());
        }
        if self.max_runs == Some(0) {
            return Err(InvalidInput::new("max_runs", "is at least 1"));
        }
        if self.min_distance.is_some_and(|distance| distance > limits::DURATION_MAX) {
            return Err(InvalidInput::new("min_distance", "is at most 100 years"));
        }
        if let CatchUp::All { max, window } = self.catch_up {
            if max == 0 || max > CATCH_UP_MAX {
                return Err(InvalidInput::new("catch_up", format!("makes up for 1 to {CATCH_UP_MAX} ticks")));
            }
            if window > limits::DURATION_MAX {
                return Err(InvalidInput::new("catch_up", "has a window of at most 100 years"));
            }
        }
        if self.description.len() > DESCRIPTION_BYTES_MAX {
            return Err(InvalidInput::new("description", format!("has at most {DESCRIPTION_BYTES_MAX} bytes")));
        }
        Ok(())
    }

    /// The arguments of a tick's task.
    pub(crate) fn args_at(&self, tick: Timestamp) -> String {
        Value::Object(self.all_args(tick)).to_string()
    }

    fn all_args(&self, tick: Timestamp) -> Map<String, Value> {
        let mut args = self.args.clone();
        if let Some(name) = &self.tick_arg {
            args.insert(name.clone(), Value::String(tick.to_string()));
        }
        args
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

/// Reads arguments from JSON text: an object in which each key stands once, as an enqueue takes it.
///
/// ```
/// assert_eq!(gristmill::beat::parse_args(r#"{"year": 2027}"#)?["year"], 2027);
/// assert!(gristmill::beat::parse_args(r#"{"year": 2027, "year": 2028}"#).is_err());
/// # Ok::<(), gristmill::error::InvalidInput>(())
/// ```
///
/// # Errors
/// What is wrong with the text.
pub fn parse_args(text: &str) -> Result<Map<String, Value>, InvalidInput> {
    twins::check(text)?;
    serde_json::from_str(text).map_err(|_| InvalidInput::new("args", "are not a JSON object such as {\"name\": \"value\"}"))
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
