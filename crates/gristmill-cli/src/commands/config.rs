//! `config`: whether the configuration can be, and what holds.

use gristmill::App;
use gristmill::app::check_store_url;
use gristmill::core::format_duration;
use gristmill::options::{KindSpec, Limits, Policy};
use serde::Serialize;
use serde_json::Value;

use super::worker::{self, FromEnvironment};
use crate::cli::Global;
use crate::config::{
    Config, ConfigRoute, DEFAULT_PATH, DEFAULT_STORE, Doubt, QueueEntry, Routing, Target, TaskType, WorkerOptions,
};
use crate::exit::CliError;
use crate::output::{self, Out, number_of};
use crate::size::Size;
use crate::{logging, stores};

/// Arguments of `config`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Args {
    /// Look for mistakes in the configuration, the environment and the global options; no store is asked
    Check,
    /// Show which values hold, and where each comes from
    Show,
}

/// One value, and where it comes from.
#[derive(Serialize)]
struct Row {
    key: String,
    value: String,
    source: String,
}

pub(crate) fn run<S: Send + Sync + 'static>(args: Args, app: &App<S>, global: &Global, out: &Out) -> Result<(), CliError> {
    let config = Config::load(global.config.as_deref(), app.limits_set(), &app.kinds())?;
    let own = config.with_options(app.kinds());
    if matches!(args, Args::Check) {
        config.check_schedules(&own)?;
    }
    let environment = check_given(&config, &own, global)?;
    match args {
        Args::Check => check(&config, config.doubts(&own), out),
        Args::Show => {
            let rows = Show { config: &config, global, environment, own: app.limits_set() }.rows();
            out.list(&rows, &["key", "value", "from"], |row| vec![row.key.clone(), row.value.clone(), row.source.clone()])
        }
    }
}

/// Refuses what a command would refuse that reads it: flags and variables, and what only together with the program can't be.
fn check_given(config: &Config, own: &[KindSpec], global: &Global) -> Result<FromEnvironment, CliError> {
    if let Some(url) = &global.store {
        let given = if global.sources.store { "--store" } else { "GRISTMILL_STORE" };
        check_store_url(url).map_err(|error| CliError::usage(format!("{given}: {error}")))?;
    }
    if let Some(filter) = &global.log {
        logging::check(filter)?;
    }
    let kinds: Vec<_> = own.iter().cloned().chain(config.tasks.iter().map(|task| task.spec.clone())).collect();
    let queues = worker::queues(&[], &config.worker, &config.used_queues(&kinds), str::to_owned)?;
    if let Some(name) = worker::idle_prefetch(&config.worker.prefetch, &queues) {
        let place = config.place_of(&["worker", "prefetch"]).unwrap_or_default();
        let problem = format!("a prefetch is set for the queue `{name}`, which a worker of this configuration does not serve");
        return Err(CliError::usage(format!("{place}: {problem}")));
    }
    FromEnvironment::read()
}

fn check(config: &Config, warnings: Vec<Doubt>, out: &Out) -> Result<(), CliError> {
    #[derive(Serialize)]
    struct Checked {
        /// `null` if there is none.
        file: Option<String>,
        tasks: u64,
        schedules: u64,
        warnings: Vec<Doubt>,
    }
    let file = config.path.as_ref().map(|path| path.display().to_string());
    if file.is_none() {
        output::note(&format!("there is no {DEFAULT_PATH} here, so that the defaults hold; `init` writes one to start from"));
    }
    for Doubt { place, message } in &warnings {
        output::note(&format!("warning: {place}: {message}"));
    }
    let (tasks, schedules) = (config.tasks.len() as u64, config.schedules.len() as u64);
    out.value(&Checked { file, tasks, schedules, warnings }, |checked| {
        let file = checked.file.as_deref().unwrap_or("no file");
        let (tasks, schedules) = (number_of(checked.tasks, "task type"), number_of(checked.schedules, "schedule"));
        let but = if checked.warnings.is_empty() { "" } else { ", but see the warnings" };
        format!("{file}: no mistakes, {tasks}, {schedules}{but}\n")
    })
}

struct Show<'a> {
    config: &'a Config,
    global: &'a Global,
    environment: FromEnvironment,
    /// The limits that the program sets.
    own: Limits,
}

impl Show<'_> {
    fn rows(&self) -> Vec<Row> {
        let mut rows = vec![self.config_file(), self.store(), self.log()];
        rows.extend(self.worker());
        rows.extend(self.limits());
        rows.extend(self.config.tasks.iter().flat_map(|task| {
            let name = &task.spec.name;
            let value = match &task.target {
                Target::Command(command) => format!("command {}", command.argv.join(" ")),
                // What else is in a URL may be a secret.
                Target::Http(http) => format!("http {}", http.url.origin().ascii_serialization()),
            };
            let what = row(&format!("tasks.{name}"), value, self.place(&["tasks", name]).unwrap_or_default());
            std::iter::once(what).chain(self.options(task))
        }));
        rows.extend(self.config.options.iter().flat_map(|(name, policy)| self.policy(name, policy)));
        rows.extend(self.routing());
        rows.extend(self.config.schedules.iter().map(|schedule| {
            // It was read, so that it has a plan.
            let when = schedule.definition.timing.plan().map(|plan| plan.describe().to_owned()).unwrap_or_default();
            let value = format!("{}: {when}", schedule.definition.task);
            row(&format!("schedule.{}", schedule.name), value, schedule.task_place.clone())
        }));
        rows
    }

    /// The options of a task type. What is in `set_env` may be a secret.
    fn options(&self, task: &TaskType) -> Vec<Row> {
        let json = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        // It is what the store keeps, which can be written.
        let policy = serde_json::to_value(&task.spec.policy).unwrap_or_default();
        let mut options: Vec<_> =
            policy.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), json(value))).collect();
        let output = match &task.target {
            Target::Command(command) => {
                let text = |names: Vec<&str>| names.join(",");
                options.push(("env", text(command.env.iter().map(String::as_str).collect())));
                options.push(("set_env", text(command.set_env.keys().map(String::as_str).collect())));
                let cwd = command.cwd.as_ref().map_or_else(|| "the worker's".to_owned(), |cwd| cwd.display().to_string());
                options.push(("cwd", cwd));
                options.push(("fail_on", json(&command.fail_on.as_slice().into())));
                options.push(("memory", command.memory.map_or_else(|| "none".to_owned(), |bytes| format!("{bytes} bytes"))));
                command.output
            }
            Target::Http(http) => {
                options.push(("http.retry_4xx", http.retry_4xx.to_string()));
                http.output
            }
        };
        let lock = match &task.target {
            Target::Command(command) => &command.lock,
            Target::Http(http) => &http.lock,
        };
        options.push(("lock", lock.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string)));
        options.push(("output", output.as_str().to_owned()));
        let name = &task.spec.name;
        let of = |(key, value): (&str, String)| {
            let keys: Vec<&str> = ["tasks", name].into_iter().chain(key.split('.')).collect();
            row(&format!("tasks.{name}.{key}"), value, self.place(&keys).unwrap_or_else(|| "default".to_owned()))
        };
        options.into_iter().map(of).collect()
    }

    /// The options that a task type of the program has, as far as the file says them.
    fn policy(&self, name: &str, policy: &Policy) -> Vec<Row> {
        let policy = serde_json::to_value(policy).unwrap_or_default();
        let said = |(key, value): (&String, &Value)| {
            let place = self.place(&["tasks", name, key])?;
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            Some(row(&format!("tasks.{name}.{key}"), value, place))
        };
        policy.as_object().into_iter().flatten().filter_map(said).collect()
    }

    /// Where tasks go.
    fn routing(&self) -> Vec<Row> {
        let Routing { routes, queues, prefix } = &self.config.routing;
        let of_route = |route: &ConfigRoute| {
            row(&format!("route.{}.{}", route.number + 1, route.pattern), route.says.clone(), self.config.place_of_route(route))
        };
        let of_queue = |(name, queue): (&String, &QueueEntry)| {
            let said = [
                ("concurrency", queue.concurrency.map(|limit| limit.to_string())),
                ("fair_by", queue.fair_by.as_ref().and_then(|rule| serde_json::to_string(rule).ok())),
                ("lease", queue.lease.map(|lease| format_duration(lease.0))),
                ("aging", queue.aging.map(|after| format_duration(after.0))),
                ("expires", queue.expires.map(|expires| format_duration(expires.0))),
            ];
            let row = |(key, value): (&str, Option<String>)| {
                let place = self.place(&["queues", name, key]).unwrap_or_default();
                Some(row(&format!("queues.{name}.{key}"), value?, place))
            };
            said.into_iter().filter_map(row).collect::<Vec<_>>()
        };
        let prefix = self.place(&["queue_prefix"]).map(|place| row("queue_prefix", prefix.clone(), place));
        routes.iter().map(of_route).chain(queues.iter().flat_map(of_queue)).chain(prefix).collect()
    }

    fn config_file(&self) -> Row {
        let path = self.config.path.as_ref().map_or_else(|| "none".to_owned(), |path| path.display().to_string());
        let source = self.given(self.global.config.is_some(), self.global.sources.config, "--config", "GRISTMILL_CONFIG");
        row("config", path, source.unwrap_or_else(|| "default".to_owned()))
    }

    fn store(&self) -> Row {
        let given = self.given(self.global.store.is_some(), self.global.sources.store, "--store", "GRISTMILL_STORE");
        let url = self.global.store.as_ref().or(self.config.store.as_ref()).map_or(DEFAULT_STORE, String::as_str);
        row("store", stores::shown(url), given.or_else(|| self.place(&["store"])).unwrap_or_else(|| "default".to_owned()))
    }

    fn log(&self) -> Row {
        let given = self.given(self.global.log.is_some(), self.global.sources.log, "--log", "GRISTMILL_LOG");
        let value = self.global.log.clone().unwrap_or_else(|| "info for what goes on, warn for what comes and goes".to_owned());
        row("log", value, given.unwrap_or_else(|| "default".to_owned()))
    }

    fn worker(&self) -> Vec<Row> {
        let WorkerOptions { queues, prefetch, lease, grace, poll, memory_limit } = &self.config.worker;
        let list = |pairs: Vec<String>| pairs.join(",");
        let queues = list(queues.iter().map(|(name, number)| format!("{name}={number}")).collect());
        let ahead = |(name, number): (&String, &usize)| {
            if name.is_empty() { number.to_string() } else { format!("{name}={number}") }
        };
        let prefetch = list(prefetch.iter().map(ahead).collect());
        let set = &self.environment;
        let spans = [("lease", lease, set.lease, "30s"), ("grace", grace, set.grace, "30s"), ("poll", poll, None, "500ms")];
        let texts = [
            ("queues", queues, "those of all task types and default, 8 each"),
            ("prefetch", prefetch, "as many as run within 50 ms"),
        ];
        let mut rows: Vec<Row> = texts.into_iter().map(|(key, value, default)| self.of_worker(key, value, default)).collect();
        rows.extend(spans.into_iter().map(|(key, value, set, default)| match set {
            Some(set) => row(&format!("worker.{key}"), format_duration(set), format!("GRISTMILL_{}", key.to_uppercase())),
            None => self.of_worker(key, value.map(format_duration).unwrap_or_default(), default),
        }));
        rows.push(match set.memory_limit {
            Some(Size(bytes)) => row("worker.memory_limit", format!("{bytes} bytes"), "GRISTMILL_MEMORY_LIMIT".to_owned()),
            None => {
                let value = memory_limit.map(|Size(bytes)| format!("{bytes} bytes")).unwrap_or_default();
                self.of_worker("memory_limit", value, "none")
            }
        });
        if let Some(threads) = set.threads {
            rows.push(row("worker.threads", threads.to_string(), "GRISTMILL_THREADS".to_owned()));
        }
        rows
    }

    fn of_worker(&self, key: &str, value: String, default: &str) -> Row {
        match self.place(&["worker", key]) {
            Some(place) => row(&format!("worker.{key}"), value, place),
            None => row(&format!("worker.{key}"), default.to_owned(), "default".to_owned()),
        }
    }

    fn limits(&self) -> Vec<Row> {
        let default = Limits::default();
        let limits = self.config.limits;
        let each = [
            ("args_bytes", limits.args_bytes, self.own.args_bytes, default.args_bytes),
            ("result_bytes", limits.result_bytes, self.own.result_bytes, default.result_bytes),
            ("error_bytes", limits.error_bytes, self.own.error_bytes, default.error_bytes),
            ("log_bytes", limits.log_bytes, self.own.log_bytes, default.log_bytes),
            ("children", limits.children, self.own.children, default.children),
            ("children_bytes", limits.children_bytes, self.own.children_bytes, default.children_bytes),
        ];
        let source = |key: &str, own: usize, default: usize| {
            let else_own = || if own == default { "default" } else { "the program" }.to_owned();
            self.place(&["limits", key]).unwrap_or_else(else_own)
        };
        each.into_iter()
            .map(|(key, value, own, default)| row(&format!("limits.{key}"), value.to_string(), source(key, own, default)))
            .collect()
    }

    fn place(&self, keys: &[&str]) -> Option<String> {
        self.config.place_of(keys)
    }

    /// The flag or the variable, if one of them was given.
    fn given(&self, given: bool, by_flag: bool, flag: &str, variable: &str) -> Option<String> {
        given.then(|| if by_flag { flag } else { variable }.to_owned())
    }
}

fn row(key: &str, value: String, source: String) -> Row {
    Row { key: key.to_owned(), value, source }
}
