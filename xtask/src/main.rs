//! What a contributor and the continuous integration run: `cargo xtask ci|test|services|soak|bench|footprint`.

mod footprint;
mod older;
mod services;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use services::{Services, Syncs, Which};

/// Of a storm whose length nobody chose. Each fault comes at least once, even if that takes longer.
const STORM_MINUTES: u64 = 2;

/// Checks, tests and measures gristmill.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Everything that a change has to pass: format, lints, tests, features, documentation, examples, two minutes of a storm.
    Ci,
    /// All tests, with PostgreSQL and PgBouncer. Arguments after `--` go to `cargo test`.
    Test {
        #[arg(last = true)]
        rest: Vec<String>,
    },
    /// Runs the examples, each to its end, in a folder of their own.
    Examples,
    /// Starts PostgreSQL and PgBouncer (and installs them with apt-get, if missing), prints their URLs and stays until
    /// ctrl-c.
    Services,
    /// Runs a proof of the tests for longer.
    Soak {
        what: Soak,
        /// Of `beat`: how often its faults happen
        #[arg(long, default_value_t = 50)]
        rounds: u32,
        /// Of `storm`: how long its faults go on, on both stores together
        #[arg(long, default_value_t = STORM_MINUTES)]
        minutes: u64,
        /// Of `storm`: the number that an earlier one printed, for the same faults in the same order
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Counts the crates that a first program needs, with gristmill and with its peers, and measures its cold debug build.
    Footprint {
        /// Count only: no build, which takes minutes each and wants a quiet machine
        #[arg(long)]
        count: bool,
    },
    /// Measures the embedded store and the engine (`gristmill bench`). Arguments after `--` go to it.
    Bench {
        #[arg(last = true)]
        rest: Vec<String>,
    },
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Soak {
    /// Three beats on each store, whose leader is killed, paused and stopped, over schedules that tick each second.
    Beat,
    /// Workers, beats, callers and operators on each store, of two versions, that are killed, paused, cut off and held up by others'
    /// transactions, and whose clock makes trips; what they did is held against what was acknowledged.
    Storm,
}

fn main() -> Result<()> {
    let start = Instant::now();
    match Args::parse().task {
        Task::Ci => ci()?,
        Task::Test { rest } => test(&rest, &Services::start(Which::All, Syncs::Off, &target()?)?)?,
        Task::Examples => examples(&Services::start(Which::Postgres, Syncs::Off, &target()?)?)?,
        Task::Services => serve()?,
        Task::Soak { what: Soak::Beat, rounds, .. } => soak_beat(rounds)?,
        Task::Soak { what: Soak::Storm, minutes, seed, .. } => {
            soak_storm(minutes, seed, &Services::start(Which::All, Syncs::On, &target()?)?)?;
        }
        Task::Footprint { count } => footprint::measure(&cargo_path(), &root(), !count)?,
        Task::Bench { rest } => bench(&rest)?,
    }
    say(&format!("done in {:.0?}", start.elapsed()));
    Ok(())
}

fn ci() -> Result<()> {
    cargo(&["fmt", "--all", "--check"])?;
    cargo(&["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"])?;
    // Without default features, so that nothing leans on a feature it did not ask for.
    for features in
        ["", "testing", "sqlite", "sqlite,sqlx-0_9", "postgres", "postgres,sqlx-0_8", "tokio-postgres", "diesel-postgres"]
    {
        cargo(&["clippy", "-p", "gristmill", "--no-default-features", "--features", features, "--", "-D", "warnings"])?;
    }
    // As users build it.
    cargo(&["clippy", "-p", "gristmill-cli", "--", "-D", "warnings"])?;
    footprint::check_newest(&cargo_path(), &root(), &target()?)?;
    let services = Services::start(Which::All, Syncs::Off, &target()?)?;
    test(&[], &services)?;
    run(Command::new(cargo_path()).current_dir(root()).env("RUSTDOCFLAGS", "-D warnings").args([
        "doc",
        "--workspace",
        "--no-deps",
        "--all-features",
    ]))?;
    examples(&services)?;
    soak_storm(STORM_MINUTES, None, &services)
}

fn test(rest: &[String], services: &Services) -> Result<()> {
    let mut args = vec!["test", "--workspace", "--all-features"];
    args.extend(rest.iter().map(String::as_str));
    let older = older()?;
    let mut variables = services.for_tests();
    variables.push((older::VARIABLE, &older));
    run_with(Command::new(cargo_path()).current_dir(root()).args(args), variables)
}

fn older() -> Result<String> {
    older::build(&cargo_path(), &root(), &target()?)
}

fn soak_beat(rounds: u32) -> Result<()> {
    let services = Services::start(Which::Postgres, Syncs::On, &target()?)?;
    run_with(tests_of_cli("beat_crash").env("GRISTMILL_STORM_LEADERS", rounds.to_string()), services.for_tests())
}

fn soak_storm(minutes: u64, seed: Option<u64>, services: &Services) -> Result<()> {
    let older = older()?;
    let mut variables = services.for_tests();
    variables.push((older::VARIABLE, &older));
    // Half of it on each store.
    let seconds = minutes.saturating_mul(30).to_string();
    let mut command = tests_of_cli("storm::");
    // One store after the other, and what they tell as it comes.
    command.args(["--include-ignored", "--test-threads", "1", "--nocapture"]).env("GRISTMILL_STORM_SECONDS", seconds);
    if let Some(seed) = seed {
        command.env("GRISTMILL_STORM_SEED", seed.to_string());
    }
    run_with(&mut command, variables)
}

/// The tests of the built binary whose names hold this, built as `test` does: by itself it would need every dependency once more.
fn tests_of_cli(name: &str) -> Command {
    let mut command = Command::new(cargo_path());
    command.current_dir(root()).args(["test", "--workspace", "--all-features", "--test", "it", "--", name]);
    command
}

fn examples(services: &Services) -> Result<()> {
    let folder = root().join("examples");
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .with_context(|| format!("reading {}", folder.display()))?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".rs").map(str::to_owned))
        .filter(|name| name != "lib")
        .collect();
    names.sort();
    // As the tests build them: by themselves they would need fewer features, and every dependency once more.
    cargo(&["build", "--workspace", "--all-features", "--examples"])?;
    for name in names {
        let place = tempfile::tempdir()?;
        let program = target()?.join("debug/examples").join(&name);
        // An application's own binary wants a command.
        let args: &[&str] = if name == "own_binary" { &["migrate"] } else { &[] };
        run_with(Command::new(program).args(args).current_dir(place.path()), services.for_applications())?;
    }
    Ok(())
}

fn serve() -> Result<()> {
    let older = older()?;
    let services = Services::start(Which::All, Syncs::On, &target()?)?;
    let mut out = std::io::stdout().lock();
    for (name, value) in services.for_applications().into_iter().chain([(older::VARIABLE, older.as_str())]) {
        writeln!(out, "export {name}={value}")?;
    }
    writeln!(out, "# until ctrl-c, or: kill {}", std::process::id())?;
    out.flush()?;
    services.stay()
}

fn bench(rest: &[String]) -> Result<()> {
    let mut args = vec!["run", "--release", "-p", "gristmill-cli", "--", "bench", "--raw"];
    args.extend(rest.iter().map(String::as_str));
    cargo(&args)
}

fn cargo(args: &[&str]) -> Result<()> {
    run(Command::new(cargo_path()).current_dir(root()).args(args))
}

fn run(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}");
    say(&shown);
    finish(command, &shown)
}

/// Runs a command with variables that are not shown, as they hold the services' password.
fn run_with(command: &mut Command, variables: Vec<(&str, &str)>) -> Result<()> {
    let shown = format!("{command:?}");
    say(&shown);
    finish(command.envs(variables), &shown)
}

fn finish(command: &mut Command, shown: &str) -> Result<()> {
    let status = command.status().with_context(|| format!("starting {shown}"))?;
    if !status.success() {
        bail!("{shown} ended with {status}");
    }
    Ok(())
}

#[expect(clippy::print_stderr, reason = "what a person reads; stdout belongs to the tools")]
fn say(text: &str) {
    eprintln!("xtask: {text}");
}

fn cargo_path() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| ".".into(), Path::to_path_buf)
}

fn target() -> Result<PathBuf> {
    let folder = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    // The examples and servers run in folders of their own, where a relative path would lead elsewhere.
    std::path::absolute(&folder).with_context(|| format!("the folder {}", folder.display()))
}
