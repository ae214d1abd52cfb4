//! One `[tasks.NAME]` of the file: what it runs, and its options.

use std::collections::BTreeMap;
use std::path::PathBuf;

use gristmill::app::{Handler, HandlerFuture};
use gristmill::batch::{Batch, BatchHandler, BatchHandlerFuture};
use gristmill::core::concurrency::{Rates, Rules};
use gristmill::core::limits::{self, ARGS_BYTES_CEILING};
use gristmill::options::{
    Ack, Backoff, Batching, Concurrency, Debounce, KindSpec, Limits, Oversize, Policy, Retention, Template, Unique,
};
use gristmill::written::attempts_of;
use gristmill::{App, Context};
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

use super::TaskType;
use super::mistake::{ConfigError, Source};
use super::values::{Limit, Span};
use crate::kinds::{Command, DEFAULT_ENV, Http, Output, Secret};
use crate::size::Size;

/// What a task type of the file runs.
#[derive(Debug)]
pub(crate) enum Target {
    Command(Command),
    Http(Http),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TaskEntry {
    command: Option<Vec<String>>,
    env: Option<Vec<String>>,
    set_env: Option<BTreeMap<String, String>>,
    cwd: Option<PathBuf>,
    fail_on: Option<Vec<u8>>,
    memory: Option<Size>,
    lock: Option<Template>,
    http: Option<HttpEntry>,
    output: Option<Output>,
    schema: Option<serde_json::Value>,
    queue: Option<String>,
    priority: Option<u8>,
    max_attempts: Option<u32>,
    retries: Option<u32>,
    max_crashes: Option<u32>,
    backoff: Option<Backoff>,
    timeout: Option<Limit>,
    expires: Option<Limit>,
    ack: Option<Ack>,
    retention: Option<Retention>,
    large_result: Option<Oversize>,
    batch: Option<BatchEntry>,
    tags: Option<Vec<String>>,
    quiet: Option<bool>,
    concurrency: Option<Rules>,
    sequence: Option<Template>,
    rate: Option<Rates>,
    unique: Option<Unique>,
    debounce: Option<Debounce>,
}

/// `batch = { size = 1000, wait = "200ms" }`. Each of them may be what could not be read.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchEntry {
    size: Option<usize>,
    wait: Option<Span>,
    key: Option<Template>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpEntry {
    url: Option<String>,
    secret: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    retry_4xx: bool,
}

impl TaskEntry {
    pub(super) fn resolve(mut self, name: String, max: &Limits, source: Source<'_>) -> Result<TaskType, ConfigError> {
        let place = Place { source, task: &name };
        limits::check_name("a task's name", &name).map_err(|error| place.at(&[], error))?;
        let policy = self.policy(Policy::default(), &place)?;
        policy.check().map_err(|error| place.at(&[error.field.split(' ').next().unwrap_or_default()], &error))?;
        // A result that is to be cut to the limit has to be read beyond it first.
        let max_output = match policy.large_result {
            Oversize::Fail => max.result_bytes,
            Oversize::Truncate => ARGS_BYTES_CEILING,
        };
        if policy.batch.is_some() && self.lock.is_some() {
            return Err(place.at(&["lock"], "a lock is held by one task, and a batch runs many in one call; take one of them"));
        }
        if policy.batch.is_some() && self.output == Some(Output::Text) {
            let why = "a batch is answered with a JSON list, one element for each task, so that its output is not text";
            return Err(place.at(&["output"], why));
        }
        let target = self.target(max_output, &place)?;
        let schema = self.schema.unwrap_or_else(|| serde_json::json!({ "type": "object" }));
        let spec = KindSpec { name, schema, fields: Vec::new(), policy };
        // What else is wrong with it is told here, where its place is known; after the checks above that is the schema.
        let app = App::new(());
        let app = match spec.policy.batch {
            Some(_) => app.register_batch_handler(spec.clone(), Nothing),
            None => app.register_handler(spec.clone(), Nothing),
        };
        if let Some(mistake) = app.mistake() {
            return Err(Place { source, task: &spec.name }.at(&["schema"], &mistake.problem));
        }
        Ok(TaskType { spec, target })
    }

    /// The options of a task type whose code is in the program: what is said here wins over what the code says.
    pub(super) fn options(mut self, kind: &KindSpec, source: Source<'_>) -> Result<Policy, ConfigError> {
        let place = Place { source, task: &kind.name };
        let set = [
            ("command", self.command.is_some()),
            ("http", self.http.is_some()),
            ("env", self.env.is_some()),
            ("set_env", self.set_env.is_some()),
            ("cwd", self.cwd.is_some()),
            ("fail_on", self.fail_on.is_some()),
            ("memory", self.memory.is_some()),
            ("lock", self.lock.is_some()),
            ("output", self.output.is_some()),
            ("schema", self.schema.is_some()),
        ];
        if let Some((key, _)) = set.into_iter().find(|(_, set)| *set) {
            let why = format!(
                "the task type `{}` is in this program already, so that only its options can be said here, and {key} is none; or rename one",
                kind.name
            );
            return Err(place.at(&[key], why));
        }
        if self.batch.is_some() && kind.policy.batch.is_none() {
            let why = format!("the task type `{}` is in this program, and its handler takes one task at a time", kind.name);
            return Err(place.at(&["batch"], why));
        }
        let policy = self.policy(kind.policy.clone(), &place)?;
        policy.check().map_err(|error| place.at(&[error.field.split(' ').next().unwrap_or_default()], &error))?;
        Ok(policy)
    }

    fn target(&mut self, max_output: usize, place: &Place<'_>) -> Result<Target, ConfigError> {
        match (self.command.take(), self.http.take()) {
            (Some(_), Some(_)) => Err(place.at(&["http"], "a task type has a command or an http target, not both")),
            (None, None) => Err(place.at(
                &[],
                "this task type does not say what it runs: give it command = [\"program\"] or http = { url = \"...\" }",
            )),
            (Some(argv), None) if argv.first().is_none_or(String::is_empty) => {
                Err(place.at(&["command"], "the command names no program: write command = [\"program\", \"argument\"]"))
            }
            (Some(argv), None) => {
                self.check_for_process(&argv, place)?;
                Ok(Target::Command(Command {
                    argv,
                    env: self.env.take().unwrap_or_else(|| DEFAULT_ENV.iter().map(|&name| name.to_owned()).collect()),
                    set_env: self.set_env.take().unwrap_or_default(),
                    cwd: self.cwd.take(),
                    output: self.output.unwrap_or_default(),
                    max_output,
                    fail_on: self.fail_on.take().unwrap_or_default(),
                    memory: self.memory.map(|Size(bytes)| bytes),
                    lock: self.lock.take(),
                }))
            }
            (None, Some(http)) => {
                let set = [
                    ("env", self.env.is_some()),
                    ("set_env", self.set_env.is_some()),
                    ("cwd", self.cwd.is_some()),
                    ("fail_on", self.fail_on.is_some()),
                    ("memory", self.memory.is_some()),
                ];
                if let Some((key, _)) = set.into_iter().find(|(_, set)| *set) {
                    return Err(place.at(&[key], format!("{key} is for commands; an http target has none")));
                }
                let http = http.resolve(self.output.unwrap_or_default(), max_output, place)?;
                Ok(Target::Http(Http { lock: self.lock.take(), ..http }))
            }
        }
    }

    /// Checks what the system could not hand over to a process.
    fn check_for_process(&self, argv: &[String], place: &Place<'_>) -> Result<(), ConfigError> {
        const NUL: &str = "a NUL character can't be handed to a program";
        let is_name = |name: &str| !name.is_empty() && !name.contains(['=', '\0']);
        if argv.iter().any(|argument| argument.contains('\0')) {
            return Err(place.at(&["command"], NUL));
        }
        if self.fail_on.iter().flatten().any(|&status| status == 0) {
            return Err(place.at(&["fail_on"], "exit status 0 is success; those of a failure are from 1 to 255"));
        }
        if self.cwd.as_ref().is_some_and(|cwd| cwd.to_string_lossy().contains('\0')) {
            return Err(place.at(&["cwd"], NUL));
        }
        if let Some(name) = self.env.iter().flatten().find(|name| !is_name(name)) {
            return Err(
                place.at(&["env"], format!("{name:?} is not the name of a variable: it is not empty and holds no = and no NUL"))
            );
        }
        for (name, value) in self.set_env.iter().flatten() {
            let at = ["set_env", name.as_str()];
            if !is_name(name) {
                return Err(place.at(&at, "this is not the name of a variable: it is not empty and holds no = and no NUL"));
            }
            if value.contains('\0') {
                return Err(place.at(&at, NUL));
            }
        }
        Ok(())
    }

    /// The options, where they are not said those of `default`.
    fn policy(&mut self, default: Policy, place: &Place<'_>) -> Result<Policy, ConfigError> {
        let retried = match (self.retries, self.max_attempts) {
            (Some(_), Some(_)) => {
                let why =
                    "retries says how often it runs, and so does max_attempts, which counts the first run, too; say one of them";
                return Err(place.at(&["retries"], why));
            }
            (Some(retries), None) => Some(attempts_of(retries).map_err(|why| place.at(&["retries"], why))?),
            (None, attempts) => attempts,
        };
        // What is said here takes the place of what the code says, of limits and of sequences by themselves.
        let says_unique = self.unique.is_some();
        let (sequences, limits): (Vec<_>, Vec<_>) = default.concurrency.into_iter().partition(|rule| rule.until_ended);
        let mut concurrency = self.concurrency.take().map_or(limits, |rules| rules.0);
        concurrency.extend(self.sequence.take().map_or(sequences, |key| vec![Concurrency::sequence(key)]));
        Ok(Policy {
            queue: self.queue.take().unwrap_or(default.queue),
            priority: self.priority.unwrap_or(default.priority),
            max_attempts: retried.unwrap_or(default.max_attempts),
            max_crashes: self.max_crashes.unwrap_or(default.max_crashes),
            backoff: self.backoff.take().unwrap_or(default.backoff),
            timeout: self.timeout.map_or(default.timeout, |value| value.0),
            // A command and a request are ended at their timeout at once: there is nobody in them to ask.
            kill_after: default.kill_after,
            expires: self.expires.map_or(default.expires, |value| value.0),
            ack: self.ack.unwrap_or(default.ack),
            retention: self.retention.unwrap_or(default.retention),
            large_result: self.large_result.unwrap_or(default.large_result),
            // A command and a request have no transaction of the store.
            on_error: default.on_error,
            batch: self.batch.take().map(|batch| batch.resolve(place)).transpose()?.or(default.batch),
            tags: self.tags.take().unwrap_or(default.tags),
            quiet: self.quiet.unwrap_or(default.quiet),
            concurrency,
            rate: self.rate.take().map_or(default.rate, |rates| rates.0),
            // What is said here of one of them takes the place of either.
            unique: self.unique.take().or(default.unique.filter(|_| self.debounce.is_none())),
            debounce: self.debounce.take().or(default.debounce.filter(|_| !says_unique)),
        })
    }
}

impl BatchEntry {
    fn resolve(self, place: &Place<'_>) -> Result<Batching, ConfigError> {
        let missing = |key: &str| place.at(&["batch"], format!("the key `{key}` is missing"));
        let size = self.size.ok_or_else(|| missing("size"))?;
        let Span(wait) = self.wait.ok_or_else(|| missing("wait"))?;
        Ok(Batching { size, wait, key: self.key })
    }
}

impl HttpEntry {
    fn resolve(self, output: Output, max_output: usize, place: &Place<'_>) -> Result<Http, ConfigError> {
        // Neither the URL nor the secret is repeated: both may hold what nobody should read in a log.
        let url = self.url.as_ref().ok_or_else(|| place.at(&["http"], "the key `url` is missing"))?;
        let url = Url::parse(url).map_err(|error| place.at(&["http", "url"], format!("this is not a URL: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(place.at(&["http", "url"], "the URL has to be http or https, with a host"));
        }
        let secret = self.secret.as_deref().map(Secret::parse).transpose();
        let secret = secret.map_err(|why| place.at(&["http", "secret"], why))?;
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let wrong = |what: &str| place.at(&["http", "headers", name], format!("this is not a header's {what}"));
            let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("name"))?;
            let mut value = HeaderValue::from_str(value).map_err(|_| wrong("value"))?;
            value.set_sensitive(true);
            headers.insert(key, value);
        }
        Ok(Http {
            connections: Default::default(),
            url,
            secret,
            headers,
            retry_4xx: self.retry_4xx,
            lock: None,
            output,
            max_output,
        })
    }
}

/// Stands for the target where only the declaration is looked at.
struct Nothing;

impl Handler for Nothing {
    fn run<'a>(&'a self, _: &'a Context, _: &'a str) -> HandlerFuture<'a> {
        Box::pin(std::future::ready(Ok(String::new())))
    }
}

impl BatchHandler for Nothing {
    fn run<'a>(&'a self, _: &'a Batch, _: &'a [String]) -> BatchHandlerFuture<'a> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
}

/// A task type's place in the file.
struct Place<'a> {
    source: Source<'a>,
    task: &'a str,
}

impl Place<'_> {
    fn at(&self, keys: &[&str], message: impl std::fmt::Display) -> ConfigError {
        let all: Vec<&str> = ["tasks", self.task].iter().chain(keys).copied().collect();
        self.source.at(&all, message)
    }
}
