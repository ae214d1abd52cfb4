//! `docs/start-rust.md`, followed: its program runs until ctrl-c, and its commands look at what it does.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PAGE: &str = include_str!("../../docs/start-rust.md");

/// Cargo builds the examples before it runs this, next to it.
fn example(name: &str) -> PathBuf {
    let this = std::env::current_exe().unwrap();
    this.parent().and_then(|deps| deps.parent()).unwrap().join("examples").join(name)
}

/// The commands that the page has typed while its program runs.
fn commands() -> Vec<Vec<&'static str>> {
    PAGE.lines().filter_map(|line| line.strip_prefix("$ gristmill ")).map(|line| line.split(' ').collect()).collect()
}

#[test]
fn the_page_does_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Command::new(example("start")).current_dir(folder.path()).stdout(Stdio::piped()).spawn().unwrap();
    // It has all commands of the stock binary.
    let run = |args: &[&str]| Command::new(example("own_binary")).args(args).current_dir(folder.path()).output().unwrap();

    let deadline = Instant::now() + Duration::from_secs(60);
    let is_seen = |filter: &[&str]| {
        let listed =
            run(&[&["--store", "sqlite:start.db", "tasks", "list", "--state", "succeeded", "-o", "jsonl"], filter].concat());
        !listed.stdout.is_empty()
    };
    // The tick of the schedule, and the task that needs a second attempt.
    while !is_seen(&["--schedule", "greet"]) || !is_seen(&["--kind", "fetch"]) {
        assert!(Instant::now() < deadline && program.try_wait().unwrap().is_none(), "in vain");
        std::thread::sleep(Duration::from_millis(20));
    }
    let commands = commands();
    assert_eq!(commands.len(), 4);
    for command in commands {
        let ended = run(&command);
        assert!(ended.status.success() && !ended.stdout.is_empty(), "{command:?}: {ended:?}");
    }

    let id = program.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let output = program.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[..2], ["hello world", "https://example.org in attempt 2"], "{said}");
    // The last one is the worker's report.
    assert!(PAGE.contains(&format!("{}\n{}\n", lines[0], lines[1])) && lines.len() == 3, "{said}");
}
