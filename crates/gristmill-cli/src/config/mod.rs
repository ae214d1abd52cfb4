//! `gristmill.toml`: the store, the worker's options, task types without Rust, and schedules.
//!
//! Flags win over `GRISTMILL_*`, those over the file, and the file over the defaults. A mistake is told with file, line
//! and column, and nothing is started.

mod check;
mod file;
mod mistake;
mod plain;
mod route;
mod schedule;
mod shape;
mod task;
mod values;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use gristmill::app::check_store_url;
use gristmill::options::{KindSpec, Limits, Policy};

pub(crate) use check::Doubt;
pub(crate) use mistake::ConfigError;
use mistake::Source;
pub(crate) use route::{ConfigRoute, QueueEntry, Routing};
pub(crate) use schedule::ConfigSchedule;
use shape::Shape;
pub(crate) use task::Target;

use crate::size::Size;

/// Where the configuration is looked for if nobody says.
pub(crate) const DEFAULT_PATH: &str = "gristmill.toml";
/// The longest file: tens of thousands of schedules.
const BYTES_MAX: u64 = 4 * 1024 * 1024;
/// The store if nobody says.
pub(crate) const DEFAULT_STORE: &str = "sqlite:gristmill.db";

/// What the file says, checked.
#[derive(Debug, Default)]
pub(crate) struct Config {
    /// The file, if there is one.
    pub(crate) path: Option<PathBuf>,
    /// Its text.
    text: String,
    pub(crate) store: Option<String>,
    /// The application's own, but for what the file says.
    pub(crate) limits: Limits,
    pub(crate) worker: WorkerOptions,
    pub(crate) tasks: Vec<TaskType>,
    pub(crate) schedules: Vec<ConfigSchedule>,
    pub(crate) routing: Routing,
    /// The options of task types whose code is in the program, by their names.
    pub(crate) options: Vec<(String, Policy)>,
}

/// What the file says about workers.
#[derive(Debug, Default)]
pub(crate) struct WorkerOptions {
    pub(crate) queues: BTreeMap<String, u32>,
    /// For all queues where the name is empty.
    pub(crate) prefetch: BTreeMap<String, usize>,
    pub(crate) lease: Option<Duration>,
    pub(crate) grace: Option<Duration>,
    pub(crate) poll: Option<Duration>,
    pub(crate) memory_limit: Option<Size>,
}

/// A task type of the file.
#[derive(Debug)]
pub(crate) struct TaskType {
    pub(crate) spec: KindSpec,
    pub(crate) target: Target,
}

impl Config {
    /// Reads the file that was asked for, or the default one if it is there. `limits` are those that the application set, and `own` its
    /// task types.
    ///
    /// # Errors
    /// A file that was asked for and can't be read, or any mistake in it.
    pub(crate) fn load(asked: Option<&Path>, limits: Limits, own: &[KindSpec]) -> Result<Self, ConfigError> {
        let path = asked.unwrap_or(Path::new(DEFAULT_PATH));
        match read(path) {
            Ok(text) => Self::parse(path, &text, limits, own),
            Err(error) if asked.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
                Ok(Self { limits, ..Self::default() })
            }
            Err(error) => Err(ConfigError::unreadable(path, &error)),
        }
    }

    /// Where these keys stand in the file of this configuration, if they do.
    pub(crate) fn place_of(&self, keys: &[&str]) -> Option<String> {
        let path = self.path.as_deref()?;
        Source { path, text: &self.text }.place_if_there(keys)
    }

    fn parse(path: &Path, text: &str, limits: Limits, own: &[KindSpec]) -> Result<Self, ConfigError> {
        let source = Source { path, text };
        let mut told = Told(Vec::new());
        let mut shape = match Shape::read(source) {
            Ok(shape) => shape,
            Err(mistakes) => return Err(ConfigError::all(mistakes).unwrap_or_else(|| source.at(&[], "it can't be read"))),
        };
        let mut file = std::mem::take(&mut shape.file);
        told.0.append(&mut shape.mistakes);
        let routing = Routing::take(&mut file, source, |section, entry| shape.is_broken(section, entry), &mut told.0);
        let limits = told.keep(file.limits.map_or(Ok(limits), |section| section.resolve(limits, source))).unwrap_or(limits);
        if let Some(url) = &file.store {
            told.keep(check_store_url(url).map_err(|error| source.at(&["store"], error)));
        }
        let worker = told.keep(file.worker.resolve(source)).unwrap_or_default();
        let (mut options, mut entries) = (Vec::new(), Vec::new());
        for (name, entry) in file.tasks.into_iter().filter(|(name, _)| !shape.is_broken("tasks", name)) {
            match own.iter().find(|kind| kind.name == name) {
                Some(kind) => options.extend(told.keep(entry.options(kind, source)).map(|policy| (name, policy))),
                None => entries.push((name, entry)),
            }
        }
        let tasks = entries.into_iter().filter_map(|(name, entry)| told.keep(entry.resolve(name, &limits, source))).collect();
        told.0.extend(schedule::same_names(&file.schedule, source));
        let entries = file.schedule.into_iter().enumerate();
        let entries = entries.filter(|(number, _)| !shape.is_broken("schedule", &number.to_string()));
        let schedules = entries.filter_map(|(number, entry)| told.keep(entry.resolve(number, source))).collect();
        match ConfigError::all(told.0) {
            Some(error) => Err(error),
            None => Ok(Self {
                path: Some(path.to_owned()),
                text: text.to_owned(),
                store: file.store,
                limits,
                worker,
                tasks,
                schedules,
                routing,
                options,
            }),
        }
    }
}

/// The text of a file of a bounded size, so that a device or a large file by mistake takes no memory.
fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    if File::open(path)?.take(BYTES_MAX + 1).read_to_string(&mut text)? as u64 > BYTES_MAX {
        return Err(io::Error::other(format!("it is longer than {BYTES_MAX} bytes, which no configuration is")));
    }
    Ok(text)
}

/// The mistakes of all parts, so that whoever mends the file sees all that is wrong with it.
struct Told(Vec<ConfigError>);

impl Told {
    fn keep<T>(&mut self, read: Result<T, ConfigError>) -> Option<T> {
        read.map_err(|mistake| self.0.push(mistake)).ok()
    }
}

#[cfg(test)]
mod tests {
    use gristmill::beat::{CatchUp, Overlap};
    use gristmill::schedule::{Rule, SolarEvent};

    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        Config::parse(Path::new("g.toml"), text, Limits::default(), &[]).map_err(|error| error.to_string())
    }

    #[test]
    fn everything_is_read() {
        let config = read(
            r#"
store = "sqlite:x.db"
[limits]
args_bytes = 1000
[worker]
queues = { default = 8, heavy = 2 }
lease = "2s"
[tasks."email.send"]
command = ["./send", "--now"]
queue = "mail"
max_attempts = 3
max_crashes = 2
backoff = { exponential = "2s", max = "1h" }
timeout = "20s"
retention = "forever"
ack = "early"
expires = "none"
tags = ["mail"]
schema = { type = "object", required = ["to"] }
env = ["PATH"]
set_env = { MODE = "x" }
[tasks.ping]
http = { url = "http://localhost:1/x", secret = "whsec_c2VjcmV0", headers = { x-api = "1" }, retry_4xx = true }
backoff = "100ms"
timeout = "none"
[[schedule]]
name = "nightly"
task = "email.send"
args = { to = "ann" }
cron = "0 3 * * MON-FRI"
timezone = "Europe/Rome"
start = 2027-01-01T00:00:00+01:00
jitter = "30s"
catch_up = { all = 10, window = "1h" }
overlap = "buffer_one"
queue = "mail"
[[schedule]]
name = "dusk"
task = "ping"
solar = "sunset"
at = "51.5,-0.1"
catch_up = "all:5,10m"
"#,
        )
        .unwrap();
        assert_eq!(config.limits.args_bytes, 1000);
        assert_eq!(config.worker.lease, Some(Duration::from_secs(2)));
        let [mail, ping] = &config.tasks[..] else { panic!("{:?}", config.tasks) };
        assert_eq!((mail.spec.name.as_str(), mail.spec.policy.max_crashes), ("email.send", 2));
        assert_eq!(mail.spec.policy.ack, gristmill::options::Ack::Early);
        assert_eq!(mail.spec.schema["required"][0], "to");
        assert!(matches!(mail.target, Target::Command(_)) && matches!(ping.target, Target::Http(_)));
        assert_eq!((mail.spec.policy.expires, ping.spec.policy.timeout), (None, None));
        let [nightly, dusk] = &config.schedules[..] else { panic!("{:?}", config.schedules) };
        let (timing, options) = (&nightly.definition.timing, &nightly.definition.options);
        assert_eq!((&timing.rule, timing.timezone.as_str()), (&Rule::cron("0 3 * * MON-FRI"), "Europe/Rome"));
        assert_eq!(timing.start, Some("2026-12-31T23:00:00Z".parse().unwrap()));
        assert_eq!((timing.jitter, options.queue.as_deref()), (Duration::from_secs(30), Some("mail")));
        assert_eq!((nightly.definition.args["to"].as_str(), nightly.definition.overlap), (Some("ann"), Overlap::BufferOne));
        let all = |max, secs| CatchUp::All { max, window: Duration::from_secs(secs) };
        assert_eq!((nightly.definition.catch_up, dusk.definition.catch_up), (all(10, 3600), all(5, 600)));
        assert_eq!(dusk.definition.timing.rule, Rule::solar(SolarEvent::Sunset, 51.5, -0.1));
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (text, at, says) in [
            ("stroe = \"x\"", "g.toml:1:1:", "did you mean `store`?"),
            ("[worker]\nlease = 5", "g.toml:2:9:", "this is a number, where a string with a duration"),
            ("[worker]\nlease = \"soon\"", "g.toml:2:9:", "not a duration"),
            ("[worker]\nqueues = { a = 0 }", "g.toml:2:12:", "at least 1"),
            ("[worker]\nqueues = { a = \"x\" }", "g.toml:2:16:", "`queues = { default = 8 }`"),
            (
                "[tasks.a]\ncommand = [\"x\"]\n[tasks.a]\ncommand = [\"y\"]",
                "g.toml:3:8:",
                "the key `a` is there twice; the first one is at 1:8",
            ),
            ("[tasks.a]\ncomand = [\"x\"]", "g.toml:2:1:", "did you mean `command`?"),
            ("[tasks.a]\nqueue = \"x\"", "g.toml:1:8:", "what it runs"),
            ("[tasks.a]\ncommand = [\"x\"]\nhttp = { url = \"http://x\" }", "g.toml:3:1:", "not both"),
            ("[tasks.a]\ncommand = []", "g.toml:2:1:", "names no program"),
            ("[tasks.a]\ncommand = [\"x\"]\nbackoff = { exponential = \"2s\", cap = \"1h\" }", "g.toml:3:11:", "backoff is"),
            ("[tasks.a]\ncommand = [\"x\"]\nbatch = { size = 0, wait = \"1s\" }", "g.toml:3:1:", "its size is at least 1"),
            ("[tasks.a]\ncommand = [\"x\"]\nbatch = { size = 10001, wait = \"1s\" }", "g.toml:3:1:", "at most 10000"),
            ("[tasks.a]\ncommand = [\"x\"]\nbatch = { size = 9, wait = \"2m\" }", "g.toml:3:1:", "its wait is at most 1m"),
            ("[tasks.a]\ncommand = [\"x\"]\nbatch = { size = 9, wait = \"soon\" }", "g.toml:3:28:", "not a duration"),
            ("[tasks.a]\ncommand = [\"x\"]\nbatch = { size = 9 }", "g.toml:3:1:", "the key `wait` is missing"),
            (
                "[tasks.a]\ncommand = [\"x\"]\nbatch = { size = -1, wait = \"1s\" }",
                "g.toml:3:18:",
                "`batch = { size = 1000, wait",
            ),
            (
                "[tasks.a]\ncommand = [\"x\"]\nbatch = { size = 9, wait = \"1s\", key = \"{a\" }",
                "g.toml:3:40:",
                "a brace without",
            ),
            (
                "[tasks.a]\ncommand = [\"x\"]\nbatch = { size = 9, wait = \"1s\", keys = \"a\" }",
                "g.toml:3:34:",
                "did you mean `key`?",
            ),
            ("[tasks.a]\ncommand = [\"x\"]\nbatch = 9", "g.toml:3:9:", "a table belongs"),
            ("[tasks.a]\ncommand = [\"x\"]\noutput = \"text\"\nbatch = { size = 9, wait = \"1s\" }", "g.toml:3:1:", "not text"),
            ("[tasks.a]\ncommand = [\"x\"]\npriority = 12", "g.toml:3:1:", "from 0 (first) to 9 (last)"),
            ("[tasks.a]\ncommand = [\"x\"]\nmax_attempts = 0", "g.toml:3:1:", "at least 1"),
            ("[tasks.a]\ncommand = [\"x\"]\nretries = 3\nmax_attempts = 4", "g.toml:3:1:", "say one of them"),
            ("[tasks.a]\ncommand = [\"x\"]\nretries = 4294967295", "g.toml:3:1:", "at most"),
            ("[[route]]\nqueue = \"x\"", "g.toml:1:1:", "the key `match` is missing"),
            ("[[route]]\nmatch = \"\"\nqueue = \"x\"", "g.toml:2:1:", "is empty"),
            ("[[route]]\nmatch = \"a.*\"", "g.toml:1:1:", "says nothing; give it a queue"),
            ("[[route]]\nmatch = \"a.*\"\nqueue = \"{\"", "g.toml:3:1:", "a brace without its other one"),
            ("[[route]]\nmatch = \"a.*\"\npriority = 10", "g.toml:3:1:", "from 0 (first) to 9"),
            ("[[route]]\nmatch = \"a.*\"\ntimeout = \"0s\"", "g.toml:3:1:", "at least 1ms"),
            ("[[route]]\nmatch = \"a.*\"\nqueue = \"x\"\nwhen = { plan = { a = 1 } }", "g.toml:4:10:", "is compared with a text"),
            ("[[route]]\nmatch = \"a.*\"\nqueue = \"x\"\nwhen = { \"a..b\" = 1 }", "g.toml:4:10:", "names no value"),
            ("[[route]]\nmatch = \"a.*\"\nqueue = \"x\"\nwhen = { p = [] }", "g.toml:4:10:", "is compared with a text"),
            ("[[route]]\nmatch = \"a.*\"\nqueue = \"x\"\nwhen = { \"headers.h\" = 5 }", "g.toml:4:10:", "a header is text"),
            ("[[route]]\nmatch = \"a.*\"\nqueue = \"z{ queue }\"", "g.toml:3:1:", "names no value"),
            ("queue_prefix = \"s_\"\n[queues.a]\nexpires = \"1s\"\n[queues.s_a]\nexpires = \"2s\"", "g.toml:2:9:", "keep one"),
            ("[tasks.a]\ncommand = [\"x\"]\nretries = 2147483647", "g.toml:3:1:", "retries is at most 2147483646"),
            ("[[route]]\nmatch = \"a.*\"\nqueu = \"x\"", "g.toml:3:1:", "did you mean `queue`?"),
            ("[route]\nmatch = \"a\"", "g.toml:1:1:", "[[route]]"),
            ("[queues.mail]\nexpires = 5", "g.toml:2:11:", "a string with a duration"),
            ("[queues.mail]\nconcurrency = 0", "g.toml:2:1:", "is no whole number from 1 to 100000"),
            ("[queues.mail]\nfair_by = \"tenant\"", "g.toml:2:1:", "names no argument"),
            ("[queues.mail]\nfair_by = { key = \"{tenant}\", weight = 11 }", "g.toml:2:1:", "from 1 to 10"),
            ("[queues.mail]\nfair_by = \"{tenant}\"\naging = \"1m\"", "g.toml:3:1:", "take one of them"),
            ("[queues.mail]\nfair_by = { weight = 2 }", "g.toml:2:11:", "key"),
            ("[queues.mail]\nlease = \"50ms\"", "g.toml:2:1:", "a lease is at least 100ms"),
            ("[queues.mail]\naging = \"0s\"", "g.toml:2:1:", "aging is at least 1ms and at most 100 years"),
            ("[queues.mail]\naging = \"-1m\"", "g.toml:2:9:", "`-1m` is not a duration"),
            ("[queues.mail]\naging = \"soon\"", "g.toml:2:9:", "`soon` is not a duration"),
            ("[queues.mail]\naging = 10", "g.toml:2:9:", "a string with a duration"),
            ("[queues.mail]\naging = \"1m\"\nageing = \"1m\"", "g.toml:3:1:", "did you mean `aging`?"),
            ("[queues.mail]\nconcurrency = \"4\"", "g.toml:2:15:", "concurrency"),
            ("[queues.\"\"]\nexpires = \"5s\"", "g.toml:1:9:", "is empty"),
            ("queue_prefix = \"\"", "g.toml:1:1:", "is empty"),
            ("[tasks.a]\ncommand = [\"x\"]\nmax_attempts = -1", "g.toml:3:16:", "`max_attempts = 5`"),
            ("[tasks.a]\ncommand = [\"x\"]\nack = \"never\"", "g.toml:3:7:", "unknown value `never`"),
            ("[tasks.a]\ncommand = [\"x\"]\nfail_on = [0]", "g.toml:3:1:", "from 1 to 255"),
            ("[tasks.a]\ncommand = [\"x\"]\nfail_on = [7, 256]", "g.toml:3:15:", "0 to 255 belongs"),
            ("[tasks.a]\ncommand = [\"x\"]\nfail_on = 7", "g.toml:3:11:", "`fail_on = [64, 65]`"),
            ("[tasks.a]\nhttp = { url = \"http://x\" }\nfail_on = [7]", "g.toml:3:1:", "fail_on is for commands"),
            ("[tasks.a]\ncommand = [\"x\"]\noutput = \"yaml\"", "g.toml:3:10:", "`json`, `text`, `none`"),
            ("[tasks.a]\nhttp = { url = \"ftp://x\" }", "g.toml:2:10:", "http or https"),
            ("[tasks.a]\nhttp = { url = \"nowhere\" }", "g.toml:2:10:", "not a URL"),
            ("[tasks.a]\nhttp = { url = \"http://x\", secret = \"whsec_!\" }", "g.toml:2:28:", "base64"),
            ("[tasks.a]\nhttp = { url = \"http://x\" }\ncwd = \"/\"", "g.toml:3:1:", "for commands"),
            ("[tasks.\"a\\nb\"]\ncommand = [\"x\"]", "g.toml:1:8:", "control character"),
            ("[tasks.\"\"]\ncommand = [\"x\"]", "g.toml:1:8:", "is empty"),
            ("[limits]\nargs_bytes = 999999999", "g.toml:2:1:", "at most"),
            ("store = ", "g.toml:1:9:", ""),
            ("store = \"nope\"", "g.toml:1:1:", "write sqlite:PATH"),
            ("store = \"sqlite:x?max_pages=0\"", "g.toml:1:1:", "from 1"),
            ("[worker]\nlease = \"50ms\"", "g.toml:2:1:", "at least 100ms"),
            ("[worker]\nmemory_limit = \"much\"", "g.toml:2:16:", "such as 512MB, 1.5GB"),
            ("[worker]\nmemory_limit = 5", "g.toml:2:16:", "where text in quotes belongs, such as `memory_limit = \"1.5GB\"`"),
            ("[tasks.a]\ncommand = [\"x\"]\nlock = \"a:{b\"", "g.toml:3:8:", "a:{b"),
            ("[tasks.a]\ncommand = [\"x\"]\nlock = 5", "g.toml:3:8:", "`lock = \"tally:{area}\"`"),
            ("[tasks.a]\ncommand = [\"x\"]\nlock = \"\"", "g.toml:3:8:", "is empty"),
            ("[tasks.a]\ncommand = [\"x\"]\nmemory = \"0MB\"", "g.toml:3:10:", "such as 512MB"),
            ("[tasks.a]\nhttp = { url = \"http://x\" }\nmemory = \"1GB\"", "g.toml:3:1:", "memory is for commands"),
            ("[worker]\npoll = \"0s\"", "g.toml:2:1:", "at least 10ms"),
            ("[worker]\nqueues = { a = 100001 }", "g.toml:2:12:", "at most 100000"),
            ("[worker]\nqueues = 8", "g.toml:2:10:", "a table belongs, such as `queues = { default = 8 }`"),
            ("[limits]\nerror_bytes = 1", "g.toml:2:1:", "at least 256"),
            ("[limits]\nchildren = 0", "g.toml:2:1:", "at least 1"),
            ("[tasks]\na = 5", "g.toml:2:5:", "`command = [\"program\", \"argument\"]`"),
            ("[tasks.a]\ncommand = \"x\"", "g.toml:2:11:", "a list belongs, such as `command = [\"program\", \"argument\"]`"),
            ("[tasks.a]\ncommand = [\"x\", 5]", "g.toml:2:17:", "text in quotes belongs"),
            ("[tasks.a]\ncommand = [\"x\", \"a\\u0000b\"]", "g.toml:2:1:", "NUL"),
            ("[tasks.a]\ncommand = [\"x\"]\nenv = [\"A=B\"]", "g.toml:3:1:", "holds no ="),
            ("[tasks.a]\ncommand = [\"x\"]\nset_env = { \"A=B\" = \"\" }", "g.toml:3:13:", "holds no ="),
            ("[tasks.a]\ncommand = [\"x\"]\nset_env = { A = \"\\u0000\" }", "g.toml:3:13:", "NUL"),
            ("[tasks.a]\ncommand = [\"x\"]\ncwd = \"\\u0000\"", "g.toml:3:1:", "NUL"),
            ("[tasks.a]\ncommand = [\"x\"]\ntimeout = \"0s\"", "g.toml:3:1:", "at least 1ms"),
            ("[tasks.a]\ncommand = [\"x\"]\nbackoff = { exponential = \"2h\" }", "g.toml:3:1:", "above its max of 1h"),
            ("[tasks.a]\ncommand = [\"x\"]\nschema = 5", "g.toml:3:1:", "JSON Schema is wrong"),
            ("[tasks.a]\ncommand = [\"x\"]\n[tasks.a.schema]\npattern = \"(\"", "g.toml:3:10:", "JSON Schema is wrong"),
            ("[tasks.a]\nhttp = \"https://x\"", "g.toml:2:8:", "`http = { url ="),
            ("[tasks.a]\nhttp = {}", "g.toml:2:1:", "the key `url` is missing"),
            ("[tasks.a]\ncommand = [\"x\"]\nqueue = \"x\"\n\"queue\" = \"y\"", "g.toml:4:1:", "the first one is at 3:1"),
            ("[[schedule]]\nname = \"a\"\ntask = \"t\"", "g.toml:2:1:", "does not say when"),
            ("[[schedule]]\ntask = \"t\"\ncron = \"@daily\"", "g.toml:1:1:", "the key `name` is missing"),
            ("[schedule]\nname = \"a\"", "g.toml:1:1:", "[[schedule]]"),
            ("[[schedule]]\nname = \"a\"\ntask = \"t\"\ncorn = \"@daily\"", "g.toml:4:1:", "did you mean `cron`?"),
            (
                "[[schedule]]\nname = \"a\"\ntask = \"t\"\ncron = \"@daily\"\n[[schedule]]\nname = \"b\"\ntask = \"t\"\ncron = \"0 24 * * *\"",
                "g.toml:8:1:",
                "allowed is 0 to 23. Did you mean `0`?\n0 24 * * *\n  ^^",
            ),
            (
                "[[schedule]]\nname = \"a\"\ntask = \"t\"\ncron = \"@daily\"\n[[schedule]]\nname = \"a\"\ntask = \"t\"\ncron = \"@daily\"",
                "g.toml:6:1:",
                "two schedules `a`",
            ),
            (
                "[[schedule]]\nname = \"a\"\ntask = \"t\"\ncron = \"@daily\"\ntimezone = \"Europe/Rom\"",
                "g.toml:5:1:",
                "Did you mean `Europe/Rome`?",
            ),
            ("[[schedule]]\nname = \"a\"\ntask = \"t\"\ncron = \"@daily\"\nevery = \"1h\"", "g.toml:5:1:", "cron and every"),
            ("[[schedule]]\nname = \"a\"\ntask = \"t\"\nevery = \"0s\"", "g.toml:4:1:", "from 1s to 36500d"),
            ("[[schedule]]\nname = \"a\"\ntask = \"t\"\nsolar = \"sunset\"", "g.toml:4:1:", "needs a place"),
            (
                "[[schedule]]\nname = \"a\"\ntask = \"t\"\nsolar = \"sunset\"\nat = [151.2, -33.9]",
                "g.toml:5:1:",
                "the latitude comes first",
            ),
            ("[[schedule]]\nname = \"a\"\ntask = \"t\"\nevery = \"1h\"\nat = \"1,2\"", "g.toml:5:1:", "at is for solar"),
            ("[[schedule]]\nname = \"a\"\ntask = \"t\"\non = \"tomorrow\"", "g.toml:4:6:", "RFC 3339"),
            ("[[schedule]]\nname = \"a\"\ntask = \"t\"\nevery = \"1h\"\ncatch_up = \"all:5\"", "g.toml:5:12:", "all:N,WINDOW"),
            ("[[schedule]]\nname = \"a\"\ntask = \"t\"\nevery = \"1h\"\noverlap = \"no\"", "g.toml:5:11:", "buffer_one"),
            (
                "[[schedule]]\nname = \"a\"\ntask = \"t\"\nevery = \"1h\"\nstart = 2027-01-02T00:00:00Z\nend = 2027-01-01T00:00:00Z",
                "g.toml:6:1:",
                "is not after the start",
            ),
            ("[tasks.b]\nqueue = \"x\"\n[tasks.a]\nack = \"late\"\nqueue = \"x\"\nqueue = 1", "g.toml:6:1:", "at 5:1"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.starts_with(at) && error.contains(says), "{text}\ngave {error}\nwanted {at} {says}");
        }
    }

    #[test]
    fn every_bad_schedule_is_told() {
        let schedule = |name: &str, rule: &str| format!("[[schedule]]\nname = \"{name}\"\ntask = \"t\"\n{rule}\n");
        let text = [
            schedule("a", "cron = \"0 24 * * *\""),
            schedule("b", "cron = \"@daily\""),
            schedule("c", "every = \"0s\""),
            schedule("b", "every = \"1h\""),
        ];
        let error = read(&text.concat()).unwrap_err();
        let told: Vec<_> = error.lines().filter_map(|line| line.get(..12).filter(|at| at.starts_with("g.toml"))).collect();
        assert_eq!(told, ["g.toml:4:1: ", "g.toml:12:1:", "g.toml:14:1:"], "{error}");
        assert!(error.contains("\n0 24 * * *\n  ^^\n"), "{error}");
    }

    #[test]
    fn every_mistake_of_the_file_is_told() {
        let text = r#"
stroe = "x"
[worker]
lease = 5
poll = "0s"
[wroker]
x = 1
[tasks.a]
comand = ["x"]
[tasks.b]
command = ["x"]
priority = 12
[tasks.c]
command = ["x"]
timeout = "soon"
[tasks.d]
command = []
http = { url = 5 }
[[schedule]]
name = "a"
task = "t"
cron = 5
[[schedule]]
name = "b"
task = "t"
[[schedule]]
task = "t"
every = "1h"
[limits]
children = 0
"#;
        let error = read(text).unwrap_err();
        let told: Vec<_> = error.lines().filter_map(|line| line.strip_prefix("g.toml:")?.split(':').next()).collect();
        // Of what could not be read nothing else is told: what it lacks may only have been that.
        assert_eq!(told, ["2", "4", "5", "6", "9", "12", "15", "18", "22", "24", "26", "30"], "{error}");
        // Behind a text that is no TOML nothing is certain.
        let error = read("stroe = 1\n[worker\nlease = 5").unwrap_err();
        assert_eq!(error.lines().count(), 1, "{error}");
    }

    #[test]
    fn secrets_are_not_repeated_in_mistakes() {
        for text in [
            "[tasks.a]\nhttp = { url = \"ftp://user:hunter2@x/\", secret = \"whsec_hunter3!\" }",
            "[tasks.a]\nhttp = \"https://user:hunter2@x/\"",
            "[tasks.a]\nhttp = { url = \"http://x\", headers = \"hunter2, expected u32\" }",
        ] {
            let error = read(text).unwrap_err();
            assert!(!error.contains("hunter"), "{error}");
        }
    }
}
