//! The command line of gristmill, for the stock binary and for an application's own.
//!
//! ```no_run
//! use gristmill::{App, Result, task};
//! use std::process::ExitCode;
//!
//! #[task(name = "greet")]
//! async fn greet(name: String) -> Result<String> {
//!     Ok(format!("hello {name}"))
//! }
//!
//! fn main() -> ExitCode {
//!     gristmill_cli::run(App::new(()).register::<Greet>())
//! }
//! ```
//!
//! That program has `my-app worker`, `my-app enqueue greet --args '{"name": "world"}'`, `my-app tasks list` and all other
//! commands of the stock binary, and runs the commands and HTTP targets of a `gristmill.toml` beside its own task types.
//!
//! # Commands as task types
//! A command gets the arguments as JSON on standard input; what it writes to standard output has to be JSON and is the
//! result (nothing means `null`), or is kept as text or not at all (`output`). Exit status 0 is success; any other is a failure
//! that is tried again by the task's backoff, unless it is one of `fail_on`, and so is death by a signal. A program that
//! can't be started fails without another attempt. Lines on standard error are kept as the attempt's log, and their end
//! goes into the failure's message. The environment is empty but for the allowed names, what `set_env` sets, and
//! `GRISTMILL_TASK_ID`, `GRISTMILL_TASK_NAME`, `GRISTMILL_ATTEMPT` and `GRISTMILL_FENCE`; with a `lock` also `GRISTMILL_LOCK` and
//! `GRISTMILL_LOCK_TOKEN`. A command and everything that it started is killed when its attempt ends: by its own end, by a
//! timeout, by a cancellation, or by the death of the worker. Under systemd, set `KillMode=mixed`, so that a stop signals
//! the worker alone and the commands get their grace period.
//!
//! One that takes many tasks at once (`batch`) gets a JSON list of their arguments and answers with a list, one element for each.
//!
//! # Exit codes
//! | code | meaning |
//! | --- | --- |
//! | 0 | done |
//! | 1 | the task or the operation failed |
//! | 2 | usage: wrong arguments or configuration, an unknown task type, arguments that do not fit |
//! | 3 | the store is out of reach |
//! | 4 | it took longer than `--wait-timeout`, or `--timeout` of a workflow |

mod cli;
mod commands;
mod config;
mod connect;
mod defined;
mod exit;
mod kinds;
mod logging;
mod output;
mod policies;
mod size;
mod stores;
mod synonyms;
mod visible;

use std::process::ExitCode;

use gristmill::App;

use crate::cli::{Cli, Command};
use crate::commands::{
    beat, bench, completions, config as config_command, dev, doctor, enqueue, events, init, kinds as kinds_command, limits,
    locks, migrate, names, queues, schedules, tasks, worker, workers, workflows,
};
use crate::connect::Session;
use crate::exit::CliError;
use crate::output::Out;

/// The stack of each thread that runs tasks, as large as a main thread's usual one: handlers that recurse deeply (parsers,
/// cryptography) end the process where they overflow it. Only what is touched takes memory.
const STACK_BYTES: usize = 8 * 1024 * 1024;

/// Runs the command line of this process with an application's task types and those of the configuration file.
///
/// The process may have been started to guard a command (see [`guard_if_asked`]), which is looked at first.
pub fn run<S: Send + Sync + 'static>(app: App<S>) -> ExitCode {
    if let Some(code) = guard_if_asked() {
        return code;
    }
    let cli = match Cli::from_process() {
        Ok(cli) => cli,
        Err(error) => return exit::tell_usage(&error),
    };
    let out = Out::new(cli.global.output);
    output::set_quiet(cli.global.quiet);
    match dispatch(app, cli, &out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.tell(),
    }
}

/// Acts as the guard of a command if this process was started as one, and gives the code to exit with.
///
/// A worker starts its own binary once for each command that it runs. [`run`] sees to it; a program that does slow things
/// or writes to standard output before it calls [`run`] should call this first.
pub fn guard_if_asked() -> Option<ExitCode> {
    kinds::guard::run_if_asked()
}

fn dispatch<S: Send + Sync + 'static>(app: App<S>, mut cli: Cli, out: &Out) -> Result<(), CliError> {
    if let Command::Names(args) = &cli.command {
        args.tell(&mut cli.global)?;
    }
    let global = &cli.global;
    // These need no configuration, and have to work when it is broken.
    match cli.command {
        Command::Init(args) => return init::run(&args, global.config.as_deref(), out),
        Command::Completions(args) => return completions::run(&args, out),
        Command::Config(args) => return config_command::run(args, &app, global, out),
        _ => {}
    }
    if let Ok(points) = std::env::var("GRISTMILL_FAILPOINTS") {
        gristmill::core::failpoint::configure(&points).map_err(|why| CliError::usage(format!("GRISTMILL_FAILPOINTS: {why}")))?;
    }
    logging::start(logging::filter(global, cli.command.is_long()).as_deref(), cli.command.is_long())?;
    let mut builder = if cli.command.is_long() {
        tokio::runtime::Builder::new_multi_thread()
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    if let Command::Worker(worker::Args { threads: Some(threads), .. }) = &cli.command {
        builder.worker_threads((*threads).into());
    }
    let runtime = builder
        .thread_stack_size(STACK_BYTES)
        .enable_all()
        .build()
        .map_err(|error| CliError::failed(format!("the runtime could not be started: {error}")))?;
    if let Command::Bench(args) = cli.command {
        return runtime.block_on(bench::run(args, cli.global.store, out));
    }
    let session = Session::new(app, global)?;
    let done = runtime.block_on(async {
        match cli.command {
            Command::Dev(args) => dev::run(args, session, out).await,
            Command::Worker(args) => worker::run(args, session, out).await,
            Command::Beat => beat::run(session, out).await,
            Command::Schedules(args) => schedules::run(args, session, out).await,
            Command::Enqueue(args) => enqueue::run(*args, session, out).await,
            Command::Tasks(args) => tasks::run(args, session, out).await,
            Command::Workflows(args) => workflows::run(args, session, out).await,
            Command::Events(args) => events::run(args, session, out).await,
            Command::Locks(args) => locks::run(args, session, out).await,
            Command::Queues(args) => queues::run(args, session, out).await,
            Command::Limits(args) => limits::run(args, session, out).await,
            Command::Workers(args) => workers::run(args, session, out).await,
            Command::Kinds(args) => kinds_command::run(args, session, out).await,
            Command::Names(args) => names::run(args, session, out).await,
            Command::Migrate(args) => migrate::run(&args, session, out).await,
            Command::Doctor => doctor::run(session, out).await,
            Command::Bench(_) | Command::Init(_) | Command::Completions(_) | Command::Config(_) => Ok(()),
        }
    });
    // A handler that blocks its thread for ever must not keep the process from its end.
    runtime.shutdown_background();
    done
}
