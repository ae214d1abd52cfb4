//! One `[[schedule]]` of the file: when it ticks, and what task each tick makes.

use std::time::Duration;

use gristmill::beat::{CatchUp, Definition, Origin, Overlap};
use gristmill::core::limits::{PRIORITY_MAX, check_name};
use gristmill::schedule::{Rule, RuleError, SolarEvent, Timing};
use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value};

use super::mistake::{ConfigError, Source};
use super::values::{Instant, Span};
use crate::policies;

/// A schedule of the file.
#[derive(Debug)]
pub(crate) struct ConfigSchedule {
    pub(crate) name: String,
    pub(crate) definition: Definition,
    /// Where its task type and its arguments are written, for mistakes that are found with the store.
    pub(crate) task_place: String,
    pub(crate) args_place: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScheduleEntry {
    name: Option<String>,
    task: Option<String>,
    #[serde(default)]
    args: Map<String, Value>,
    tick_arg: Option<String>,
    cron: Option<String>,
    crontab: Option<String>,
    every: Option<Span>,
    #[serde(default)]
    aligned: bool,
    #[serde(default)]
    at_once: bool,
    solar: Option<String>,
    at: Option<Place>,
    on: Option<Instant>,
    timezone: Option<String>,
    start: Option<Instant>,
    end: Option<Instant>,
    jitter: Option<Span>,
    catch_up: Option<CatchUpEntry>,
    overlap: Option<OverlapEntry>,
    min_distance: Option<Span>,
    penalty: Option<u32>,
    max_runs: Option<u64>,
    queue: Option<String>,
    priority: Option<u8>,
    expires: Option<Span>,
    max_attempts: Option<u32>,
    timeout: Option<Span>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    description: String,
}

/// Names that are there twice, told by the second.
pub(super) fn same_names(entries: &[ScheduleEntry], source: Source<'_>) -> Vec<ConfigError> {
    let second = |(number, entry): (usize, &ScheduleEntry)| {
        let name = entry.name.as_ref()?;
        let twice = entries[..number].iter().any(|earlier| earlier.name.as_ref() == Some(name));
        twice.then(|| {
            let at = ["schedule", &number.to_string(), "name"];
            source.at(&at, format!("there are two schedules `{}`; each has a name of its own", name))
        })
    };
    entries.iter().enumerate().filter_map(second).collect()
}

impl ScheduleEntry {
    /// Checks the `number`th schedule of the file.
    pub(super) fn resolve(mut self, number: usize, source: Source<'_>) -> Result<ConfigSchedule, ConfigError> {
        let number = number.to_string();
        let wrong = |key: &str, message: &dyn std::fmt::Display| source.at(&["schedule", &number, key], message);
        let missing = |key: &str| wrong("", &format!("the key `{key}` is missing"));
        let name = self.name.take().ok_or_else(|| missing("name"))?;
        let task = self.task.take().ok_or_else(|| missing("task"))?;
        check_name("a schedule's name", &name).map_err(|error| wrong("name", &error))?;
        check_name("a task's name", &task).map_err(|error| wrong("task", &error))?;
        if let Some(queue) = &self.queue {
            check_name("queue", queue).map_err(|error| wrong("queue", &error))?;
        }
        if self.priority.is_some_and(|priority| priority > PRIORITY_MAX) {
            return Err(wrong("priority", &"a priority is from 0 (first) to 9 (last)"));
        }
        if self.max_runs == Some(0) {
            return Err(wrong("max_runs", &"max_runs is at least 1; leave it out for no limit"));
        }
        let (rule_key, rule) = self.rule().map_err(|(key, why)| wrong(key, &why))?;
        let timing = Timing {
            timezone: self.timezone.unwrap_or_else(|| "UTC".to_owned()),
            start: self.start.map(|at| at.0),
            end: self.end.map(|at| at.0),
            jitter: self.jitter.map_or(Duration::ZERO, |span| span.0),
            ..Timing::new(rule)
        };
        timing.plan().map_err(|error| wrong(key_of(&error, rule_key), &error).pointing(error.pointer()))?;
        let mut definition = Definition::named(timing, task, self.args);
        definition.tick_arg = self.tick_arg;
        definition.catch_up = self.catch_up.map_or(CatchUp::default(), |entry| entry.0);
        definition.overlap = self.overlap.map_or(Overlap::default(), |entry| entry.0);
        definition.min_distance = self.min_distance.map(|span| span.0);
        definition.penalty = self.penalty.unwrap_or_default();
        definition.max_runs = self.max_runs;
        definition.description = self.description;
        definition.origin = Origin::Config;
        definition.options.queue = self.queue;
        definition.options.priority = self.priority;
        definition.options.expires = self.expires.map(|span| span.0);
        definition.options.max_attempts = self.max_attempts;
        definition.options.timeout = self.timeout.map(|span| span.0);
        definition.options.tags = self.tags;
        let place = |key| source.place_of(&["schedule", &number, key]);
        Ok(ConfigSchedule { name, definition, task_place: place("task"), args_place: place("args") })
    }

    /// The one rule that is written, with its key; or the key that is wrong, and why.
    fn rule(&self) -> Result<(&'static str, Rule), (&'static str, String)> {
        let written = [
            ("cron", self.cron.as_ref().map(Rule::cron)),
            ("crontab", self.crontab.as_ref().map(Rule::crontab)),
            ("every", self.every.map(|every| if self.aligned { Rule::aligned(every.0) } else { Rule::every(every.0) })),
            ("solar", self.solar().transpose()?),
            ("on", self.on.map(|at| Rule::on(at.0))),
        ];
        let mut written = written.into_iter().filter_map(|(key, rule)| Some((key, rule?)));
        let (key, rule) = written.next().ok_or_else(|| {
            ("name", "this schedule does not say when: give it cron, crontab, every, solar with at, or on".to_owned())
        })?;
        if let Some((other, _)) = written.next() {
            return Err((other, format!("a schedule has one rule; this one has {key} and {other}")));
        }
        let only = [("at", self.at.is_some(), "solar"), ("aligned", self.aligned, "every"), ("at_once", self.at_once, "every")];
        if let Some((option, _, of)) = only.into_iter().find(|(_, set, of)| *set && *of != key) {
            return Err((option, format!("{option} is for {of}, and this schedule has {key}")));
        }
        Ok((key, if self.at_once { rule.at_once() } else { rule }))
    }

    fn solar(&self) -> Option<Result<Rule, (&'static str, String)>> {
        let event = self.solar.as_ref()?.parse::<SolarEvent>().map_err(|error| ("solar", error.to_string()));
        let place = self.at.ok_or_else(|| ("solar", "the sun needs a place: write at = \"LATITUDE,LONGITUDE\"".to_owned()));
        Some(event.and_then(|event| place.map(|Place(latitude, longitude)| Rule::solar(event, latitude, longitude))))
    }
}

/// The key that a mistake in a timing is about.
fn key_of(error: &RuleError, rule: &'static str) -> &'static str {
    match error {
        RuleError::UnknownZone { .. } => "timezone",
        RuleError::UnknownEvent { .. } => "solar",
        RuleError::Coordinate { .. } => "at",
        RuleError::Jitter { .. } => "jitter",
        RuleError::EndBeforeStart { .. } => "end",
        _ => rule,
    }
}

/// `"51.5,-0.1"`, or `[51.5, -0.1]`.
#[derive(Clone, Copy, Debug)]
struct Place(f64, f64);

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "wanted a place, such as \"51.5,-0.1\"")]
        enum Written {
            Text(String),
            Degrees(f64, f64),
        }
        match Written::deserialize(deserializer)? {
            Written::Text(text) => policies::place(&text).map(|(lat, lon)| Self(lat, lon)).map_err(de::Error::custom),
            Written::Degrees(lat, lon) => Ok(Self(lat, lon)),
        }
    }
}

/// `"none"`, `"latest"`, `"all:100,1h"`, or `{ all = 100, window = "1h" }`.
#[derive(Debug)]
struct CatchUpEntry(CatchUp);

impl<'de> Deserialize<'de> for CatchUpEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "wanted \"none\", \"latest\", or a table such as { all = 100, window = \"1h\" }")]
        enum Written {
            Text(String),
            All(All),
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct All {
            all: u64,
            window: String,
        }
        let read = match Written::deserialize(deserializer)? {
            Written::Text(text) => policies::catch_up(&text),
            Written::All(All { all, window }) => policies::catch_up_all(all, &window),
        };
        read.map(Self).map_err(de::Error::custom)
    }
}

#[derive(Debug)]
struct OverlapEntry(Overlap);

impl<'de> Deserialize<'de> for OverlapEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        policies::overlap(&String::deserialize(deserializer)?).map(Self).map_err(de::Error::custom)
    }
}
