//! What `schedules add` and `schedules edit` are told.

use std::time::Duration;

use gristmill::Timestamp;
use gristmill::beat::{CatchUp, Definition, Overlap, parse_args};
use gristmill::schedule::{Rule, SolarEvent};
use serde_json::{Map, Value};

use crate::commands::values::{argument, attempts, duration, key_value, priority};
use crate::exit::CliError;
use crate::policies::{catch_up, overlap, place};

/// What may be said of a schedule; what is left out stays as it is, or is the default.
#[derive(Debug, Default, PartialEq, clap::Args)]
pub(super) struct Said {
    /// Its tasks' arguments, a JSON object
    #[arg(long, value_name = "JSON", value_parser = object)]
    args: Option<Map<String, Value>>,
    /// One argument, beside those of --args; VALUE is JSON or text. May be given more than once
    #[arg(long = "arg", value_name = "KEY=VALUE", value_parser = key_value)]
    single: Vec<(String, String)>,
    #[command(flatten)]
    when: When,
    #[command(flatten)]
    policies: Policies,
    #[command(flatten)]
    tasks: Tasks,
    /// What it is for, for people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

#[derive(Debug, Default, PartialEq, clap::Args)]
#[command(next_help_heading = "When it ticks")]
struct When {
    /// Five fields, six with seconds first, or @daily and its like
    #[arg(long, value_name = "EXPR", group = "rule", allow_hyphen_values = true)]
    cron: Option<String>,
    /// Five fields as Celery reads them: both days must match
    #[arg(long, value_name = "EXPR", group = "rule", allow_hyphen_values = true)]
    crontab: Option<String>,
    /// Again and again at one distance, such as 10m
    #[arg(long, value_name = "DURATION", group = "rule", value_parser = duration, allow_hyphen_values = true)]
    every: Option<Duration>,
    /// What the sun does, such as sunset
    #[arg(long, value_name = "EVENT", group = "rule", requires = "at")]
    solar: Option<SolarEvent>,
    /// Once, such as 2027-01-31T09:00:00Z; with --catch-up also a date that has passed
    #[arg(long, value_name = "RFC3339", group = "rule")]
    on: Option<Timestamp>,
    /// With --solar: where, in degrees north and east
    #[arg(long, value_name = "LAT,LON", value_parser = place, requires = "solar", allow_hyphen_values = true)]
    at: Option<(f64, f64)>,
    /// With --every: on the local clock, 10m at :00, :10, :20
    #[arg(long, requires = "every")]
    aligned: bool,
    /// With --every: the first run now, and not after one distance
    #[arg(long, requires = "every", conflicts_with = "aligned")]
    at_once: bool,
    /// The IANA time zone of its clock, such as Europe/Rome [default: UTC]
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// No tick before this instant; `none` for no such bound
    #[arg(long, value_name = "RFC3339", value_parser = or_none::<Timestamp>)]
    start: Option<OrNone<Timestamp>>,
    /// No tick on this instant or after it; `none` for no such bound
    #[arg(long, value_name = "RFC3339", value_parser = or_none::<Timestamp>)]
    end: Option<OrNone<Timestamp>>,
    /// Tasks start up to so much after their tick
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_hyphen_values = true)]
    jitter: Option<Duration>,
    /// It ends after so many runs; `none` for no such bound
    #[arg(long, value_name = "N", value_parser = runs)]
    max_runs: Option<OrNone<u64>>,
}

#[derive(Debug, Default, PartialEq, clap::Args)]
#[command(next_help_heading = "What becomes of ticks")]
struct Policies {
    /// Ticks for which no beat ran: none, latest, or all:N,WINDOW such as all:100,1h [default: latest]
    #[arg(long, value_name = "POLICY", value_parser = catch_up)]
    catch_up: Option<CatchUp>,
    /// While the task of the tick before has not ended: skip, allow, buffer_one or cancel_previous [default: skip]
    #[arg(long, value_name = "POLICY", value_parser = overlap)]
    overlap: Option<Overlap>,
    /// The least time between two runs; `none` for no such bound
    #[arg(long, value_name = "DURATION", value_parser = span, allow_hyphen_values = true)]
    min_distance: Option<OrNone<Duration>>,
    /// After the n-th failure in a row leave out n ticks, at most so many; 0 for none
    #[arg(long, value_name = "N")]
    penalty: Option<u32>,
}

#[derive(Debug, Default, PartialEq, clap::Args)]
#[command(next_help_heading = "Its tasks")]
struct Tasks {
    /// Another queue than the task type's; empty for that one again
    #[arg(long, value_name = "QUEUE")]
    queue: Option<String>,
    /// 0 is served first, 9 last
    #[arg(long, value_name = "N", value_parser = priority, allow_hyphen_values = true)]
    priority: Option<u8>,
    /// A task that was not started so long after it was due ends as expired; `none` for the task type's own
    #[arg(long, value_name = "DURATION", value_parser = span, allow_hyphen_values = true)]
    expires: Option<OrNone<Duration>>,
    /// The longest that one attempt may run; `none` for the task type's own
    #[arg(long, value_name = "DURATION", value_parser = span, allow_hyphen_values = true)]
    timeout: Option<OrNone<Duration>>,
    /// How many attempts may fail before the task does; `none` for as many as the task type says
    #[arg(long, value_name = "N", value_parser = tries, allow_hyphen_values = true)]
    max_attempts: Option<OrNone<u32>>,
    /// A label, beside those of the task type; may be given more than once; empty for none
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// The argument that is set to the tick's instant; empty for none
    #[arg(long, value_name = "NAME")]
    tick_arg: Option<String>,
}

/// A value, or `none`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct OrNone<T>(Option<T>);

impl Said {
    /// Whether a task type's schema has a say in what the arguments are.
    pub(super) fn needs_schema(&self) -> bool {
        !self.single.is_empty()
    }

    /// A new schedule of this.
    pub(super) fn define(&self, task: String, schema: Option<&Value>) -> Result<Definition, CliError> {
        let rule = self.when.rule().ok_or_else(|| {
            CliError::usage("when? say --cron, --crontab, --every, --solar with --at, or --on")
                .with_hint("--every 10m, --cron '0 3 * * *', --solar sunset --at 51.5,-0.1, --on 2027-01-31T09:00:00Z")
        })?;
        let mut definition = Definition::named(rule, task, Map::new());
        self.apply(&mut definition, schema);
        Ok(definition)
    }

    /// The date that is said, and whether it is said what becomes of one that has passed.
    pub(super) fn date(&self) -> Option<(Timestamp, bool)> {
        Some((self.when.on?, self.policies.catch_up.is_some()))
    }

    /// Changes what is said, and nothing else.
    pub(super) fn apply(&self, to: &mut Definition, schema: Option<&Value>) {
        set(&mut to.timing.rule, self.when.rule());
        let When { timezone, start, end, jitter, max_runs, .. } = &self.when;
        set(&mut to.timing.timezone, timezone.clone());
        set(&mut to.timing.start, start.map(|start| start.0));
        set(&mut to.timing.end, end.map(|end| end.0));
        set(&mut to.timing.jitter, *jitter);
        set(&mut to.max_runs, max_runs.map(|runs| runs.0));
        let Policies { catch_up, overlap, min_distance, penalty } = self.policies;
        set(&mut to.catch_up, catch_up);
        set(&mut to.overlap, overlap);
        set(&mut to.min_distance, min_distance.map(|distance| distance.0));
        set(&mut to.penalty, penalty);
        let Tasks { queue, priority, expires, timeout, max_attempts, tags, tick_arg } = &self.tasks;
        set(&mut to.options.queue, queue.as_deref().map(not_empty));
        set(&mut to.options.priority, priority.map(Some));
        set(&mut to.options.expires, expires.map(|expires| expires.0));
        set(&mut to.options.timeout, timeout.map(|timeout| timeout.0));
        set(&mut to.options.max_attempts, max_attempts.map(|attempts| attempts.0));
        let labels = tags.iter().filter(|tag| !tag.is_empty()).cloned().collect();
        set(&mut to.options.tags, (!tags.is_empty()).then_some(labels));
        set(&mut to.tick_arg, tick_arg.as_deref().map(not_empty));
        set(&mut to.description, self.description.clone());
        set(&mut to.args, self.args.clone());
        for (key, value) in &self.single {
            let property = schema.and_then(|schema| schema.get("properties")?.get(key));
            // It is JSON, or was made so.
            let value = serde_json::from_str(&argument(value, property)).unwrap_or_else(|_| Value::from(value.as_str()));
            to.args.insert(key.clone(), value);
        }
    }
}

impl When {
    fn rule(&self) -> Option<Rule> {
        let solar = self.solar.zip(self.at).map(|(event, (latitude, longitude))| Rule::solar(event, latitude, longitude));
        let every = self.every.map(|every| if self.aligned { Rule::aligned(every) } else { Rule::every(every) });
        let rule = self.cron.as_ref().map(Rule::cron).or(self.crontab.as_ref().map(Rule::crontab)).or(every).or(solar);
        let rule = rule.or(self.on.map(Rule::on));
        if self.at_once { rule.map(Rule::at_once) } else { rule }
    }
}

fn set<T>(to: &mut T, said: Option<T>) {
    if let Some(said) = said {
        *to = said;
    }
}

fn not_empty(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

fn object(text: &str) -> Result<Map<String, Value>, String> {
    parse_args(text).map_err(|error| error.to_string())
}

fn or_none<T: std::str::FromStr>(text: &str) -> Result<OrNone<T>, T::Err> {
    if text == "none" { Ok(OrNone(None)) } else { text.parse().map(|value| OrNone(Some(value))) }
}

fn span(text: &str) -> Result<OrNone<Duration>, String> {
    if text == "none" { Ok(OrNone(None)) } else { duration(text).map(|value| OrNone(Some(value))) }
}

fn tries(text: &str) -> Result<OrNone<u32>, String> {
    if text == "none" { Ok(OrNone(None)) } else { attempts(text).map(|value| OrNone(Some(value))) }
}

fn runs(text: &str) -> Result<OrNone<u64>, String> {
    let runs = or_none::<u64>(text).ok().filter(|runs| runs.0 != Some(0));
    runs.ok_or_else(|| "a number of runs is at least 1, or `none`".to_owned())
}
