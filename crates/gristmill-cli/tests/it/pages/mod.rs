//! The documentation, held against the program: each block of code of each page is compiled, run or parsed.
//!
//! | block | checked by |
//! | --- | --- |
//! | `rust` | stands in a file of `examples`, which is compiled: word for word, but for white space |
//! | `sh`, `console` | typed, with what the page says that comes of it; all blocks of a page in one folder |
//! | `toml` | of a page that starts from nothing, used by the commands after it; of configuration.md, taken by the binary; else parsed |
//! | `json` | parsed |
//! | `sql`, `python` of sql.md | `gristmill-postgres/tests/it/languages.rs` |
//! | indented | usage of a command: its help has all options |
//!
//! Behind the language may stand `(checked by FILE)`, or `(unchecked: WHY)`. What is neither is refused.

mod links;
mod page;
mod scenario;
mod usage;

use page::{Block, blocks, files, pages, read, root};
use scenario::Scenario;

use crate::sandbox::Sandbox;

#[test]
fn every_block_of_every_page_is_checked() {
    let rust: Vec<String> = files("examples", ".rs").iter().map(|path| without_blanks(&read(path))).collect();
    let mut wrong = Vec::new();
    for page in pages() {
        let mut scenario = Scenario::new(config(&page).as_deref());
        for block in blocks(&page) {
            if let Err(why) = check(&page, &block, &mut scenario, &rust) {
                wrong.push(format!("{}: {why}", block.place));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

fn check(page: &str, block: &Block, scenario: &mut Scenario, rust: &[String]) -> Result<(), String> {
    if let Some(remark) = &block.remark {
        return match (remark.strip_prefix("checked by "), remark.strip_prefix("unchecked: ")) {
            (Some(file), _) if root().join(file).is_file() => Ok(()),
            (_, Some(why)) if !why.trim().is_empty() => Ok(()),
            _ => Err(format!("neither `checked by FILE` nor `unchecked: WHY`: {remark}")),
        };
    }
    match (page, block.language.as_str()) {
        (_, "rust") if rust.iter().any(|file| file.contains(&without_blanks(&block.text))) => Ok(()),
        (_, "rust") => Err("stands in no file of examples; put it into one of examples/pages, with what it leans on".to_owned()),
        ("docs/start-shell.md", "toml") => {
            scenario.write_config(&block.text);
            Ok(())
        }
        ("docs/configuration.md", "toml") => taken(&block.text),
        (_, "toml") => block.text.parse::<toml::Table>().map(drop).map_err(|error| error.to_string()),
        (_, "json") => serde_json::from_str::<serde_json::Value>(&block.text).map(drop).map_err(|error| error.to_string()),
        (_, "sh" | "console") => scenario.follow(block),
        // Whose examples are all run there, and counted.
        ("docs/sql.md", "sql" | "python") => Ok(()),
        (_, "") => usage::check(block, &Sandbox::without_config()),
        (_, language) => Err(format!("nothing checks `{language}` here: say who does, or why nobody can")),
    }
}

/// The configuration that a page's commands need, where it shows none.
fn config(page: &str) -> Option<String> {
    let names: &[&str] = match page {
        "README.md" => return Some(read("gristmill.toml")),
        "docs/commands.md" | "docs/schedules.md" => &["report.build", "lights.on", "election.close"],
        _ => return None,
    };
    Some(names.iter().map(|name| format!("[tasks.\"{name}\"]\ncommand = [\"cat\"]\n")).collect())
}

/// Whether the binary takes a configuration. The store that it names is not asked.
fn taken(config: &str) -> Result<(), String> {
    let ended = Sandbox::new(config).run(&["migrate", "--store", "sqlite:pages.db"]);
    if ended.code == Some(0) { Ok(()) } else { Err(ended.stderr) }
}

fn without_blanks(text: &str) -> String {
    text.split_whitespace().collect()
}

#[test]
fn a_block_that_nothing_checks_is_refused() {
    let mut scenario = Scenario::new(None);
    let mut refused = |language: &str, remark: Option<&str>, text: &str| {
        let block = Block {
            place: String::new(),
            language: language.to_owned(),
            remark: remark.map(str::to_owned),
            text: text.to_owned(),
        };
        check("docs/new.md", &block, &mut scenario, &[without_blanks("fn main() {}")]).is_err()
    };
    for (language, text) in [
        ("rust", "fn nowhere() {}"),
        ("toml", "a = "),
        ("json", "{"),
        ("sh", "gristmill nothing"),
        ("console", "$ gristmill --version\nceci n'est pas"),
        ("python", "print()"),
        ("", "gristmill worker [--nothing]"),
        ("", "not a command"),
    ] {
        assert!(refused(language, None, text), "{language}: {text}");
        assert!(!refused(language, Some("unchecked: it is a test"), text), "{language}: {text}");
        assert!(refused(language, Some("unchecked: "), text), "{language}: {text}");
        assert!(refused(language, Some("checked by nobody.rs"), text), "{language}: {text}");
    }
    assert!(!refused("rust", None, "fn  main()\n{}"));
    assert!(!refused("console", None, "$ gristmill --version"));
    assert!(!refused("", None, "gristmill worker [--drain] [--queues a=1]"));
}
