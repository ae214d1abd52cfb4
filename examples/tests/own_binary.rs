//! An application's own binary is the whole of gristmill for its users; so this runs it from enqueue to result.

use std::path::PathBuf;
use std::process::{Command, Output};

/// Cargo builds the examples before it runs this, next to it.
fn own_binary() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    this.parent().and_then(|deps| deps.parent()).unwrap().join("examples").join("own_binary")
}

fn run(folder: &tempfile::TempDir, args: &[&str]) -> Output {
    Command::new(own_binary()).args(args).current_dir(folder.path()).output().unwrap()
}

#[test]
fn an_applications_own_binary_has_its_tasks_and_all_commands() {
    let folder = tempfile::tempdir().unwrap();
    let enqueued = run(&folder, &["enqueue", "greet", "--args", r#"{"name": "world"}"#]);
    assert!(enqueued.status.success(), "{enqueued:?}");
    let id = String::from_utf8(enqueued.stdout).unwrap();
    assert!(run(&folder, &["worker", "--drain"]).status.success());
    let shown = run(&folder, &["tasks", "show", id.trim(), "-o", "json"]);
    let task: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!((&task["state"], &task["result"]), (&"succeeded".into(), &"hello world".into()), "{task:#}");

    let refused = run(&folder, &["enqueue", "greet", "--args", "{}"]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("name"), "the field is named: {refused:?}");
}
