//! Tasks that are taken from one store to another, as docs/operations.md has it.

use serde_json::{Value, json};

use crate::sandbox::Sandbox;
use crate::schema::Schema;

const EXPORT: [&str; 8] = ["tasks", "list", "--all", "--state", "ready", "--state", "scheduled", "-ojsonl"];

/// What a store has, oldest first, without the moment at which it got it.
fn tasks(sandbox: &Sandbox, url: &str) -> Vec<Value> {
    let mut tasks = sandbox.json(&["--store", url, "tasks", "list"])["items"].as_array().unwrap().clone();
    tasks.iter_mut().for_each(|task| drop(task.as_object_mut().unwrap().remove("created_at")));
    tasks.reverse();
    tasks
}

fn moves(from: &str, to: &str) {
    let sandbox = Sandbox::new(
        "[tasks.echo]\ncommand = [\"cat\"]\ntags = [\"own\"]\n[tasks.fails]\ncommand = [\"false\"]\nbackoff = \"1h\"\nmax_attempts = 2\n",
    );
    let at = |url: &str, args: &[&str]| sandbox.ok(&[&["--store", url], args].concat());
    at(from, &["enqueue", "fails"]);
    at(from, &["enqueue", "echo", "--args", "{\"was\": \"run\"}"]);
    at(from, &["worker", "--drain"]);
    let options =
        ["--args", "{\"n\": 1.50}", "--queue", "q", "--priority", "2", "--title", "one", "--tag", "t", "--header", "k=v"];
    at(from, &[&["enqueue", "echo", "--max-attempts", "9"][..], &options].concat());
    at(from, &["enqueue", "echo", "--at", "2100-01-01T00:00:00Z"]);

    let exported = at(from, &EXPORT);
    let oldest_first: String = exported.lines().rev().map(|line| format!("{line}\n")).collect();
    let imported = sandbox.run_with_input(&["--store", to, "enqueue", "--jsonl", "-", "--strict"], &oldest_first);
    assert_eq!((imported.code, imported.stdout.as_str()), (Some(0), "3 tasks enqueued\n"), "{imported:?}");

    let mut wanted: Vec<Value> = tasks(&sandbox, from).into_iter().filter(|task| task["state"] != "succeeded").collect();
    // Attempts begin anew; what went wrong before stays where it was.
    assert_eq!((&wanted[0]["attempt"], &wanted[0]["state"]), (&json!(1), &json!("scheduled")));
    (wanted[0]["attempt"], wanted[0]["error"]) = (json!(0), Value::Null);
    let due = |tasks: &mut Vec<Value>| tasks.iter_mut().map(|task| task["run_at"].take()).collect::<Vec<_>>();
    let mut moved = tasks(&sandbox, to);
    assert_eq!(due(&mut moved), due(&mut wanted));
    assert_eq!(moved, wanted);
    assert_eq!(moved[1]["tags"], json!(["own", "t"]));

    // Again, nothing changes.
    let again = sandbox.run_with_input(&["--store", to, "enqueue", "--jsonl", "-"], &oldest_first);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert_eq!(tasks(&sandbox, to).len(), 3);
}

#[test]
fn tasks_move_from_sqlite_to_postgres() {
    moves("sqlite:old.db", &Schema::new().url());
}

#[test]
fn tasks_move_from_postgres_to_sqlite() {
    moves(&Schema::new().url(), "sqlite:new.db");
}

#[test]
fn a_listed_task_that_has_run_is_not_run_again() {
    let sandbox = Sandbox::with_echo();
    let line = |more: &str| format!("{{\"kind\": \"echo\", {more}}}\n");
    let refused = |more: &str, says: &str| {
        let ended = sandbox.run_with_input(&["enqueue", "--jsonl", "-"], &line(more));
        assert!(ended.code == Some(1) && ended.stderr.contains(says), "{more}: {ended:?}");
    };
    for state in ["succeeded", "failed", "cancelled", "expired"] {
        refused(&format!("\"state\": \"{state}\""), &format!("has ended ({state})"));
    }
    refused("\"state\": \"running\"", "`tasks release`");
    refused("\"state\": \"blocked\"", "waits for others");
    refused("\"state\": \"ready\", \"cancel_requested\": true", "somebody cancelled");
    let member = "\"state\": \"ready\", \"step\": \"a\", \"workflow\": \"019a0000-0000-7000-8000-000000000001\"";
    refused(member, "of a workflow");
    refused("\"state\": \"asleep\"", "asleep");
    refused("\"state\": \"ready\", \"prority\": 1", "unknown field `prority`");
    refused("\"state\": \"ready\", \"in\": \"5s\"", "unknown field `in`");
    // Whatever else is written for another reason is no listed task.
    refused("\"args\": {}", "unknown field `kind`");
    let ended = sandbox.run_with_input(&["enqueue", "--jsonl", "-"], "{\"task\": \"echo\", \"state\": \"ready\"}\n");
    assert!(ended.code == Some(1) && ended.stderr.contains("unknown field `state`"), "{ended:?}");
    let ended = sandbox.run_with_input(&["enqueue", "--jsonl", "-"], &line("\"state\": \"ready\""));
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[test]
fn an_export_has_more_than_one_page() {
    let sandbox = Sandbox::with_echo();
    let lines = "{\"task\": \"echo\"}\n".repeat(1100);
    sandbox.run_with_input(&["enqueue", "--jsonl", "-", "--strict"], &lines);
    assert_eq!(sandbox.ok(&EXPORT).lines().count(), 1100);
    assert_eq!(sandbox.json(&["tasks", "list", "--all"])["items"].as_array().unwrap().len(), 1100);
    sandbox.fails(2, &["tasks", "list", "--all", "--limit", "5"]);
    let none = sandbox.run(&["tasks", "list", "--all", "--kind", "ehco", "-o", "jsonl"]);
    assert!(none.stdout.is_empty() && none.stderr.contains("did you mean `echo`?"), "{none:?}");
}
