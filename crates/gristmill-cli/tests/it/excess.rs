//! What becomes of tasks for which there is no slot, with a real worker.

use serde_json::json;

use crate::sandbox::{Sandbox, until};
use crate::schema::Schema;

const CONFIG: &str = r#"
[tasks.preview]
command = ["sh", "-c", "cat > args; grep -q old args || exit 0; echo $$ > pid; exec sleep 600"]
concurrency = { key = "preview:{pr}", limit = 1, on_excess = "cancel_running" }

[tasks.sample]
command = ["true"]
concurrency = { key = "sample", limit = 1, on_excess = "drop" }

[tasks.index]
command = ["true"]
concurrency = { key = "index:{repo}", limit = 1, on_excess = "keep_newest" }
"#;

#[test]
fn the_newest_run_takes_the_place_of_the_one_before() {
    newest_wins(&Sandbox::new(CONFIG));
}

#[test]
fn the_newest_run_takes_the_place_of_the_one_before_on_postgres() {
    let schema = Schema::new();
    newest_wins(&Sandbox::new(CONFIG).env("GRISTMILL_STORE", &schema.url()));
}

fn newest_wins(sandbox: &Sandbox) {
    let worker = sandbox.worker(&[]);
    let old = sandbox.enqueue("preview", r#"{"pr":7,"commit":"old"}"#);
    sandbox.until_pid("pid");
    let others = sandbox.enqueue("preview", r#"{"pr":8,"commit":"new"}"#);
    sandbox.until_state(&others, "succeeded");
    let new = sandbox.enqueue("preview", r#"{"pr":7,"commit":"new"}"#);
    sandbox.until_state(&new, "succeeded");
    assert_eq!(sandbox.show(&old)["state"], json!("cancelled"));
    drop(worker);
}

#[test]
fn a_task_that_is_dropped_says_so() {
    dropped(&Sandbox::new(CONFIG));
}

#[test]
fn a_task_that_is_dropped_says_so_on_postgres() {
    let schema = Schema::new();
    dropped(&Sandbox::new(CONFIG).env("GRISTMILL_STORE", &schema.url()));
}

fn dropped(sandbox: &Sandbox) {
    let first = sandbox.enqueue("sample", "{}");
    let second = sandbox.enqueue("sample", "{}");
    until("it is dropped", || sandbox.show(&second)["state"] == json!("cancelled"));
    assert_eq!(sandbox.show(&first)["state"], json!("ready"));
    let shown = sandbox.ok(&["tasks", "show", &second]);
    assert!(shown.contains("dropped: there was no free slot of \"sample\""), "{shown}");
    let why = sandbox.ok(&["tasks", "why", &second]);
    assert!(why.contains(": dropped: there was no free slot of \"sample\""), "{why}");
    let waited = sandbox.run(&["tasks", "wait", &second]);
    assert!(waited.code == Some(1) && waited.stderr.contains("is cancelled: dropped: there was no free slot"), "{waited:?}");
    let ids: Vec<String> = (0..4).map(|_| sandbox.enqueue("index", r#"{"repo":1}"#)).collect();
    let states = || ids.iter().map(|id| sandbox.show(id)["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    until("the newest waits alone", || states() == ["ready", "cancelled", "cancelled", "waiting"]);
    // A step of a workflow is one of those that end.
    let form = r#"{"name":"w","steps":{"a":{"task":"sample","args":{}},"b":{"task":"index","args":{"repo":2},"after":["a"]}}}"#;
    let started = sandbox.run_with_input(&["workflows", "start", "-"], form);
    assert_eq!(started.code, Some(0), "{started:?}");
    let id = started.stdout.trim().to_owned();
    // On PostgreSQL whoever looks next sees to it, and tells its workflow.
    sandbox.ok(&["limits", "set", "sample", "1"]);
    until("its workflow has ended", || sandbox.json(&["workflows", "show", &id])["state"] != json!("running"));
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (entry, says) in [
        ("concurrency = { key = \"a\", limit = 2, on_excess = \"refuse\" }", "keep_newest"),
        ("concurrency = { key = \"a\", limit = 2, on_excess = 7 }", "text in quotes belongs"),
        ("concurrency = { key = \"a\", limit = 2, on_excess = \"drop\" }\nsequence = \"s\"", "take one of them"),
        (
            "concurrency = { key = \"a\", limit = 2, on_excess = \"drop\" }\nunique = { key = \"u\", on_conflict = \"run_after\" }",
            "take one of them",
        ),
    ] {
        let sandbox = Sandbox::new(&format!("[tasks.work]\ncommand = [\"cat\"]\n{entry}\n"));
        let checked = sandbox.run(&["config", "check"]);
        let told = checked.stdout.clone() + &checked.stderr;
        assert!(checked.code == Some(2) && told.contains(says) && told.contains("gristmill.toml:"), "{entry}: {told}");
    }
}
