//! The commands and their arguments, as clap reads them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::commands::{
    bench, completions, config, dev, enqueue, events, init, kinds, limits, locks, migrate, names, queues, schedules, tasks,
    worker, workers, workflows,
};
use crate::output::Format;
use crate::{synonyms, visible};

/// So many characters of an argument are shown where it is wrong.
const ARG_SHOWN_MAX: usize = 200;

/// One task system for a backend: enqueue, run, watch and mend tasks.
#[derive(Debug, Parser)]
#[command(
    version,
    max_term_width = 120,
    after_help = "Exit codes: 0 done, 1 the task or operation failed, 2 usage, 3 store out of reach, 4 timed out."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command understands.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Where tasks live: sqlite:PATH or postgres://USER@HOST/DATABASE [default: from the configuration, then sqlite:gristmill.db]
    #[arg(long, global = true, env = "GRISTMILL_STORE", hide_env_values = true, value_name = "URL")]
    pub(crate) store: Option<String>,
    /// The configuration file [default: gristmill.toml, if it is there]
    #[arg(long, global = true, env = "GRISTMILL_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The form of the data on standard output
    #[arg(short, long, global = true, value_enum, default_value = "table", value_name = "FORMAT")]
    pub(crate) output: Format,
    /// What is logged to standard error: a level, or TARGET=LEVEL,...
    #[arg(long, global = true, env = "GRISTMILL_LOG", value_name = "FILTER")]
    pub(crate) log: Option<String>,
    /// Say nothing but errors on standard error; wins over --log
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Log more than usual: -v, -vv; wins over --log
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    #[arg(skip)]
    pub(crate) sources: Sources,
}

/// Which of these were given on the command line, rather than by the environment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sources {
    pub(crate) store: bool,
    pub(crate) config: bool,
    pub(crate) log: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything in this process: a worker for all queues, and a beat
    Dev(dev::Args),
    /// Claim and run tasks, with a beat inside, until asked to stop
    Worker(worker::Args),
    /// Turn the ticks of schedules into tasks until asked to stop; any number of beats may run
    Beat,
    /// Add a task, or many from a file of JSON lines
    Enqueue(Box<enqueue::Args>),
    /// List, show, wait for, cancel, retry, release, resume, export and delete tasks, and print their logs
    #[command(subcommand)]
    Tasks(tasks::Args),
    /// Start, list, show, cancel, pause, resume, retry, export and mend workflows: tasks that wait for tasks
    #[command(subcommand)]
    Workflows(workflows::Args),
    /// Send the events that tasks await, and list them
    #[command(subcommand)]
    Events(events::Args),
    /// List the locks that running tasks hold
    #[command(subcommand)]
    Locks(locks::Args),
    /// List, show, make, edit, pause, resume, reset, run and delete schedules
    #[command(subcommand)]
    Schedules(schedules::Args),
    /// List, pause, resume, empty and set queues, and move what waits in them
    #[command(subcommand)]
    Queues(queues::Args),
    /// List and show the keys of which only so many tasks run at once, and say how many
    #[command(subcommand)]
    Limits(limits::Args),
    /// List the workers, ask one to end, or forget one
    Workers(workers::Args),
    /// List the task types that the store knows, pause and resume them
    Kinds(kinds::Args),
    /// What completions ask for
    #[command(hide = true)]
    Names(names::Args),
    /// Bring the store's tables up to date
    Migrate(migrate::Args),
    /// Look for damage, mistakes and settings that hurt
    Doctor,
    /// Check the configuration, or show which values hold and where each comes from
    #[command(subcommand)]
    Config(config::Args),
    /// Measure enqueue, drain and latency on this machine
    Bench(bench::Args),
    /// Write a script that completes commands in a shell
    Completions(completions::Args),
    /// Write a commented configuration to start from
    Init(init::Args),
}

impl Command {
    /// Whether it runs tasks until it is stopped, rather than coming and going.
    pub(crate) fn is_long(&self) -> bool {
        matches!(self, Self::Dev(_) | Self::Worker(_) | Self::Beat | Self::Bench(_))
    }
}

/// One whose words are wrong for nothing but what has to be escaped, or come from the environment: without sequences for terminals, of
/// clap or of others.
fn visible_error(error: &clap::Error) -> clap::Error {
    let lines: Vec<_> = error.to_string().lines().map(visible::escape).collect();
    clap::Error::raw(error.kind(), format!("{}\n", lines.join("\n").trim_start_matches("error: ")))
}

impl Cli {
    /// Reads the arguments of this process.
    ///
    /// # Errors
    /// What is wrong with them; help and version come this way too.
    pub(crate) fn from_process() -> Result<Self, clap::Error> {
        let args: Vec<String> = std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
        let wrong = |error: clap::Error| {
            // As the error repeats what it was given, and others' words may be among that, or a whole file.
            let again = |shown: &dyn Fn(&String) -> String| {
                let shown = args.iter().map(shown).map(OsString::from);
                Self::named().try_get_matches_from(std::iter::once(invoked_as().into()).chain(shown)).err()
            };
            let escaped = again(&|arg| visible::escape(arg)).unwrap_or_else(|| visible_error(&error));
            let short = again(&|arg| visible::escape(&visible::excerpt(arg, ARG_SHOWN_MAX)));
            // What is shortened may be wrong only for that.
            let short = short.filter(|short| short.kind() == escaped.kind() && arg_of(short) == arg_of(&escaped));
            synonyms::explain(short.unwrap_or(escaped), &args)
        };
        let matches = Self::named().try_get_matches().map_err(wrong)?;
        let mut cli = Self::from_arg_matches(&matches)?;
        let is_flag = |name| matches.value_source(name) == Some(ValueSource::CommandLine);
        cli.global.sources = Sources { store: is_flag("store"), config: is_flag("config"), log: is_flag("log") };
        Ok(cli)
    }

    /// The commands under the name of this binary, which may be an application's own.
    pub(crate) fn named() -> clap::Command {
        let path = invoked_as();
        let name =
            Path::new(&path).file_stem().map_or_else(|| "gristmill".to_owned(), |name| name.to_string_lossy().into_owned());
        // The usual line knows nothing of the two ways in which this command is used.
        let usage =
            format!("{name} enqueue [OPTIONS] NAME [--args JSON]\n       {name} enqueue --jsonl FILE|- [--strict] [--force]");
        Self::command().name(name.clone()).bin_name(name).mut_subcommand("enqueue", |enqueue| enqueue.override_usage(usage))
    }
}

/// The option or the argument that is wrong, but for one that is none.
fn arg_of(error: &clap::Error) -> Option<&ContextValue> {
    error.get(ContextKind::InvalidArg).filter(|_| error.kind() != ErrorKind::UnknownArgument)
}

/// How this program was called, to show commands that can be typed again.
pub(crate) fn invoked_as() -> String {
    std::env::args_os()
        .next()
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "gristmill".to_owned())
}
