//! What it costs to build a first program with gristmill, and one with each of its peers: crates, and a cold debug build.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// A program that does nothing, with what each queue's first page has its reader depend on. `{root}` is this repository.
const PROGRAMS: [(&str, &str); 6] = [
    ("gristmill on SQLite", "gristmill = { path = '{root}/crates/gristmill' }"),
    (
        "gristmill on PostgreSQL",
        "gristmill = { path = '{root}/crates/gristmill', default-features = false, features = ['postgres'] }",
    ),
    (
        "riverqueue on SQLite",
        "riverqueue = { version = '=0.5.0', default-features = false, features = ['sqlite'] }
         sqlx = { version = '0.9', default-features = false, features = ['runtime-tokio', 'sqlite'] }
         serde = { version = '1', features = ['derive'] }",
    ),
    (
        "riverqueue on PostgreSQL",
        "riverqueue = '=0.5.0'
         sqlx = { version = '0.9', default-features = false, features = ['runtime-tokio', 'postgres'] }
         serde = { version = '1', features = ['derive'] }",
    ),
    ("apalis on SQLite", "apalis = '=1.0.0'\napalis-sqlite = '=1.0.0'\nserde = { version = '1', features = ['derive'] }"),
    ("apalis on PostgreSQL", "apalis = '=1.0.0'\napalis-postgres = '1'\nserde = { version = '1', features = ['derive'] }"),
];

/// What one program costs.
struct Cost {
    /// All that is compiled but the program itself.
    crates: usize,
    /// `None` if it was only counted.
    build: Option<Build>,
}

struct Build {
    wall: Duration,
    /// Of cargo, of all compilers and of the build scripts. It depends less on what else the machine does.
    processor: Duration,
}

/// Prints a table. The builds take minutes each, want a quiet machine, and fetch crates from the registry first.
pub(crate) fn measure(cargo: &Path, root: &Path, is_built: bool) -> Result<()> {
    println_row(&["program", "crates", "cold build, s", "processor, s"]);
    println_row(&["---"; 4]);
    for (name, dependencies) in PROGRAMS {
        let cost = cost(cargo, root, dependencies, is_built).with_context(|| name.to_owned())?;
        let seconds =
            |time: fn(&Build) -> Duration| cost.build.as_ref().map_or(String::new(), |b| format!("{:.1}", time(b).as_secs_f64()));
        println_row(&[name, &cost.crates.to_string(), &seconds(|build| build.wall), &seconds(|build| build.processor)]);
    }
    Ok(())
}

/// Checks the quickstart as a new project has it: with the newest versions that the manifests allow, where this repository's lock
/// file has older ones.
pub(crate) fn check_newest(cargo: &Path, root: &Path, target: &Path) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let program = fs::read_to_string(root.join("examples/quickstart.rs"))?;
    write_project(folder.path(), root, "gristmill = { path = '{root}/crates/gristmill', features = ['postgres'] }", &program)?;
    // Kept, so that what has not changed is compiled once.
    let target = target.join("newest");
    crate::run(Command::new(cargo).args(["check", "--quiet"]).current_dir(folder.path()).env("CARGO_TARGET_DIR", target))
}

fn write_project(folder: &Path, root: &Path, dependencies: &str, program: &str) -> Result<()> {
    let root = root.to_str().context("a path that is not UTF-8")?;
    let manifest = format!(
        "[package]\nname = 'first'\nversion = '0.0.0'\nedition = '2024'\n[workspace]\n[dependencies]\n\
         tokio = {{ version = '1', features = ['macros', 'rt-multi-thread'] }}\n{}\n",
        dependencies.replace("{root}", root)
    );
    fs::write(folder.join("Cargo.toml"), manifest)?;
    fs::create_dir(folder.join("src"))?;
    fs::write(folder.join("src/main.rs"), program)?;
    Ok(())
}

fn cost(cargo: &Path, root: &Path, dependencies: &str, is_built: bool) -> Result<Cost> {
    let folder = tempfile::tempdir()?;
    write_project(folder.path(), root, dependencies, "fn main() {}\n")?;
    let command = |args: &[&str]| {
        let mut command = Command::new(cargo);
        command.args(args).current_dir(folder.path()).env("CARGO_TARGET_DIR", folder.path().join("target"));
        command
    };
    crate::run(&mut command(&["fetch", "--quiet"]))?;
    let tree =
        command(&["tree", "--edges", "normal,build", "--prefix", "none", "--no-dedupe"]).stderr(Stdio::inherit()).output()?;
    if !tree.status.success() {
        bail!("cargo tree ended with {}", tree.status);
    }
    let tree = String::from_utf8(tree.stdout)?;
    let mut crates: Vec<&str> = tree.lines().collect();
    crates.sort_unstable();
    crates.dedup();
    let build = is_built.then(|| timed(&mut command(&["build", "--offline", "--quiet"]))).transpose()?;
    Ok(Cost { crates: crates.len().saturating_sub(1), build })
}

fn timed(command: &mut Command) -> Result<Build> {
    let (start, before) = (Instant::now(), of_children()?);
    crate::run(command)?;
    Ok(Build { wall: start.elapsed(), processor: of_children()?.saturating_sub(before) })
}

/// The processor time of all processes that were started from here and have ended.
fn of_children() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").context("the processor time is read from Linux's /proc")?;
    // Behind the program's name, which may hold anything: `cutime` and `cstime` are the 16th and 17th fields, and the state is the 3rd.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    let ticks: u64 = fields.skip(13).take(2).map(|ticks| ticks.parse::<u64>().unwrap_or(0)).sum();
    Ok(Duration::from_millis(ticks.saturating_mul(1_000) / rustix::param::clock_ticks_per_second().max(1)))
}

#[expect(clippy::print_stdout, reason = "it is what was asked for")]
fn println_row(cells: &[&str]) {
    println!("| {} |", cells.join(" | "));
}
