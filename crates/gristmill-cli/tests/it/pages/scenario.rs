//! What a page has its reader type, typed: block by block, in one folder.

use std::path::Path;

use super::page::Block;
use crate::sandbox::{Ended, Sandbox, Worker};

/// A page as it is followed: what ran so far left its files, its tasks and its `gristmill dev`.
pub(super) struct Scenario {
    sandbox: Sandbox,
    running: Vec<Worker>,
}

impl Scenario {
    pub(super) fn new(config: Option<&str>) -> Self {
        let sandbox = Sandbox::without_config();
        if let Some(config) = config {
            sandbox.write("gristmill.toml", config);
        }
        // A word count of the sample's.
        sandbox.write("README.md", "one two three");
        Self { sandbox, running: Vec::new() }
    }

    /// Takes a configuration that the page shows.
    pub(super) fn write_config(&self, text: &str) {
        self.sandbox.write("gristmill.toml", text);
    }

    /// Types each command of a block; holds what it says against what the page says that it says.
    pub(super) fn follow(&mut self, block: &Block) -> Result<(), String> {
        for (command, shown) in commands(block) {
            // What builds takes minutes, or asks a registry.
            if command.starts_with("cargo ") && !command.starts_with(CARGO_RUN) {
                continue;
            }
            let command = command.replace(CARGO_RUN, "gristmill ");
            // Stays open in a terminal of its own.
            if command.split(" #").next().unwrap().trim() == "gristmill dev" {
                let mut service = self.sandbox.start(&["dev"]);
                service.hears(": started");
                self.running.push(service);
                continue;
            }
            let ended = self.type_in(&command);
            let expected = if shown.starts_with("error") { 2 } else { 0 };
            if ended.code != Some(expected) {
                return Err(format!("`{command}` should exit with {expected}: {ended:?}"));
            }
            if !says(&ended.stdout, &shown) && !says(&ended.stderr, &shown) {
                return Err(format!("`{command}` says something else than\n{shown}\nnamely\n{}{}", ended.stdout, ended.stderr));
            }
        }
        Ok(())
    }

    fn type_in(&self, command: &str) -> Ended {
        let folder = Path::new(env!("CARGO_BIN_EXE_gristmill")).parent().unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut shell = self.sandbox.command_of("sh", &["-ec", command]);
        shell.env("PATH", format!("{}:{path}", folder.display()));
        crate::sandbox::end(shell, "")
    }
}

/// How a reader of the repository starts the binary.
const CARGO_RUN: &str = "cargo run --release -- ";

/// The commands of a block, each with what is shown under it: of `console` those behind a `$`, of `sh` every line.
fn commands(block: &Block) -> Vec<(String, String)> {
    let mut commands: Vec<(String, String)> = Vec::new();
    let mut goes_on = false;
    for line in block.text.lines() {
        let typed = if block.language == "sh" { (!line.is_empty()).then_some(line) } else { line.strip_prefix("$ ") };
        match (typed, commands.last_mut()) {
            (_, Some((command, _))) if goes_on => command.extend(["\n", line]),
            (Some(typed), _) => commands.push((typed.to_owned(), String::new())),
            (None, Some((_, shown))) => shown.extend([line, "\n"]),
            (None, None) => {}
        }
        let is_typed = goes_on || typed.is_some();
        goes_on = is_typed && line.ends_with('\\');
    }
    commands
}

/// Whether a page shows what was said: `...` stands for anything.
fn says(said: &str, shown: &str) -> bool {
    let said = shape(said);
    let mut rest = said.as_str();
    shape(shown).split("...").all(|part| match rest.split_once(part.trim()) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}

/// A text without what differs from day to day: ids, moments, and the widths of columns.
fn shape(text: &str) -> String {
    let plain = |word| match word {
        _ if is_id(word) => "ID",
        _ if is_moment(word) => "MOMENT",
        word => word,
    };
    let lines = text.lines().map(|line| line.split_whitespace().map(plain).collect::<Vec<_>>().join(" "));
    lines.collect::<Vec<_>>().join("\n")
}

fn is_id(word: &str) -> bool {
    word.len() == 36 && word.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
}

fn is_moment(word: &str) -> bool {
    word.len() > 18 && word.as_bytes()[4] == b'-' && word.as_bytes()[10] == b'T'
}

#[test]
fn commands_are_told_from_what_they_say() {
    let text = "$ one \\\n  two\nsaid\n$ three  # why\n".to_owned();
    let block = Block { place: String::new(), language: "console".to_owned(), remark: None, text };
    let expected = [("one \\\n  two", "said\n"), ("three  # why", "")];
    assert_eq!(commands(&block), expected.map(|(command, shown)| (command.to_owned(), shown.to_owned())));
    let said = "ID     AT\n019ac8f2-7b1e-7c3a-9d58-0f2b6f6f1a2b  2026-11-29T12:00:00Z\nmore\n";
    assert!(says(said, "ID   AT\nffffffff-7b1e-7c3a-9d58-0f2b6f6f1a2b  2027-01-30T00:00:00Z\n"));
    assert!(says(said, "ID\n...\nmore\n") && says(said, ""));
    assert!(!says(said, "more\n...\nID\n") && !says(said, "less\n") && !says("17", "18"));
}
