//! One task a key, as people and scripts see it, and with many processes that enqueue and die.

use std::collections::BTreeSet;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::sandbox::{Sandbox, Worker, until};
use crate::schema::Schema;

const CONFIG: &str = r#"
[tasks.sync]
command = ["sh", "sync.sh"]
unique = "{repo}"

[tasks.refuse]
command = ["cat"]
unique = { key = "{repo}", on_conflict = "reject" }

[tasks.after]
command = ["sh", "sync.sh"]
unique = { key = "{repo}", on_conflict = "run_after" }

[tasks.collect]
command = ["sh", "sync.sh"]
unique = { key = "{repo}", on_conflict = "collect", list = "items" }

[tasks.replace]
command = ["cat"]
unique = { key = "{repo}", on_conflict = "replace" }

[tasks.hourly]
command = ["cat"]
unique = { until = "1h" }

[tasks.notify]
command = ["cat"]
debounce = { key = "{user}", wait = "1h", max_wait = "2h" }
"#;

/// Goes on once it may.
const SYNC: &str = "cat >> given; echo >> given; echo run >> runs; while [ ! -e go ]; do sleep 0.02; done; echo null";

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new(CONFIG);
    sandbox.write("sync.sh", SYNC);
    sandbox
}

#[test]
fn an_enqueue_whose_key_is_taken_is_answered_with_who_has_it() {
    answered(&sandbox());
}

#[test]
fn an_enqueue_whose_key_is_taken_is_answered_with_who_has_it_on_postgres() {
    let schema = Schema::new();
    answered(&sandbox().env("GRISTMILL_STORE", &schema.url()));
}

fn answered(sandbox: &Sandbox) {
    let first = sandbox.enqueue("sync", r#"{"repo":1}"#);
    assert_eq!(sandbox.enqueue("sync", r#"{"repo":1}"#), first);
    assert_ne!(sandbox.enqueue("sync", r#"{"repo":2}"#), first);
    let held = sandbox.enqueue("refuse", r#"{"repo":1}"#);
    let refused = sandbox.run(&["enqueue", "refuse", "--args", r#"{"repo":1}"#]);
    assert!(refused.code == Some(1) && refused.stderr.contains(&format!("the task {held} has its unique key")), "{refused:?}");
    let hourly = sandbox.enqueue("hourly", "{}");
    sandbox.ok(&["tasks", "cancel", &hourly]);
    assert_eq!(sandbox.enqueue("hourly", "{}"), hourly, "though it has ended");

    let late = sandbox.enqueue("notify", r#"{"user":1,"text":"one"}"#);
    assert_eq!(sandbox.enqueue("notify", r#"{"user":1,"text":"two"}"#), late);
    let task = sandbox.json(&["tasks", "show", &late]);
    assert_eq!((&task["state"], &task["args"]["text"], &task["unique"]), (&json!("scheduled"), &json!("two"), &json!("1")));
    let refused = sandbox.run(&["enqueue", "notify", "--args", r#"{"user":1}"#, "--in", "5s"]);
    assert!(refused.code == Some(2) && refused.stderr.contains("says when the task is due"), "{refused:?}");

    let lines = [
        json!({ "task": "sync", "args": { "repo": 1 } }),
        json!({ "task": "sync", "args": { "repo": 1 }, "unique": false }),
        json!({ "task": "refuse", "args": { "repo": 1 } }),
        json!({ "task": "sync", "args": { "repo": 3 }, "unique": { "key": "{nobody}" } }),
        json!({ "task": "sync", "args": { "repo": 3 }, "unique": { "key": "mine", "until": "soon" } }),
    ];
    sandbox.write("lines.jsonl", lines.map(|line| format!("{line}\n")).concat());
    let told = sandbox.run(&["enqueue", "--jsonl", "lines.jsonl", "-o", "jsonl"]);
    let kept: Vec<Value> = told.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(kept.len() == 2 && kept[0]["id"] == json!(first) && kept[1]["id"] != json!(first), "{told:?}");
    for (line, says) in [(3, "has its unique key"), (4, "takes `nobody`, which is not there"), (5, "or `ended`, or `started`")] {
        let at = told.stderr.lines().find(|told| told.contains(&format!("line {line}:"))).unwrap_or_else(|| panic!("{told:?}"));
        assert!(at.contains(says), "{at}");
    }
}

#[test]
fn what_comes_while_it_runs_has_one_more_run_after_it() {
    after(&sandbox());
}

#[test]
fn what_comes_while_it_runs_has_one_more_run_after_it_on_postgres() {
    let schema = Schema::new();
    after(&sandbox().env("GRISTMILL_STORE", &schema.url()));
}

fn after(sandbox: &Sandbox) {
    let first = sandbox.enqueue("after", r#"{"repo":1}"#);
    assert_eq!(sandbox.enqueue("after", r#"{"repo":1}"#), first, "it has not begun");
    let worker = Worker::spawn(sandbox.command(&["worker", "--no-beat", "--drain", "--queues", "default=4"]));
    let runs = || std::fs::read_to_string(sandbox.path("runs")).unwrap_or_default().lines().count();
    until("it runs", || runs() == 1);
    let second = sandbox.enqueue("after", r#"{"repo":1}"#);
    assert_ne!(second, first);
    assert_eq!(sandbox.enqueue("after", r#"{"repo":1}"#), second);
    let state = |id: &str| sandbox.json(&["tasks", "show", id])["state"].clone();
    assert_eq!((state(&first), state(&second)), (json!("running"), json!("waiting")));
    sandbox.write("go", String::new());
    let (status, said) = worker.ended();
    assert!(status.success(), "{said}");
    assert_eq!((state(&first), state(&second), runs()), (json!("succeeded"), json!("succeeded"), 2));
}

#[test]
fn one_run_has_all_that_came_before_it() {
    collected(&sandbox());
}

#[test]
fn one_run_has_all_that_came_before_it_on_postgres() {
    let schema = Schema::new();
    collected(&sandbox().env("GRISTMILL_STORE", &schema.url()));
}

fn collected(sandbox: &Sandbox) {
    let first = sandbox.enqueue("collect", r#"{"repo":1,"items":[1]}"#);
    assert_eq!(sandbox.enqueue("collect", r#"{"repo":1,"items":["two",3]}"#), first);
    let refused = sandbox.run(&["enqueue", "collect", "--args", r#"{"repo":1,"items":4}"#]);
    assert!(refused.code == Some(2) && refused.stderr.contains("have no list in \"items\""), "{refused:?}");
    let late = sandbox.enqueue("replace", r#"{"repo":1,"n":1}"#);
    assert_eq!(sandbox.enqueue("replace", r#"{"repo":1,"n":2}"#), late);
    assert_eq!(sandbox.json(&["tasks", "show", &late])["args"], json!({ "repo": 1, "n": 2 }));
    let worker = Worker::spawn(sandbox.command(&["worker", "--no-beat", "--drain", "--queues", "default=4"]));
    until("it runs", || sandbox.path("runs").exists());
    let second = sandbox.enqueue("collect", r#"{"repo":1,"items":[5]}"#);
    assert_ne!(second, first);
    assert_eq!(sandbox.enqueue("collect", r#"{"repo":1,"items":[6]}"#), second);
    sandbox.write("go", String::new());
    let (status, said) = worker.ended();
    assert!(status.success(), "{said}");
    let given = std::fs::read_to_string(sandbox.path("given")).unwrap();
    let given: Vec<Value> =
        given.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(given, [json!({ "repo": 1, "items": [1, "two", 3] }), json!({ "repo": 1, "items": [5, 6] })]);
}

#[test]
fn steps_of_workflows_and_tasks_that_are_moved_have_no_part_in_it() {
    apart(&sandbox());
}

#[test]
fn steps_of_workflows_and_tasks_that_are_moved_have_no_part_in_it_on_postgres() {
    let schema = Schema::new();
    apart(&sandbox().env("GRISTMILL_STORE", &schema.url()));
}

fn apart(sandbox: &Sandbox) {
    // A step that is not made would never end, and one whose arguments others change would do their work.
    let form = json!({ "name": "w", "steps": {
        "all": { "task": "sync", "each": [{ "repo": 1 }, { "repo": 1 }] },
        "late": { "task": "notify", "args": { "user": 1, "text": "of the step" } },
        "then": { "task": "refuse", "args": { "repo": { "$result": "late" } }, "after": ["late"] },
    } });
    sandbox.write("form.json", form.to_string());
    sandbox.ok(&["workflows", "start", "form.json"]);
    let member = |task: &Value| !task["workflow"].is_null();
    let listed = || sandbox.json(&["tasks", "list", "--all"])["items"].as_array().unwrap().clone();
    assert_eq!(listed().iter().filter(|task| member(task)).count(), 4);
    let own = [sandbox.enqueue("sync", r#"{"repo":1}"#), sandbox.enqueue("notify", r#"{"user":1,"text":"own"}"#)];
    let all = listed();
    assert!(all.iter().all(|task| member(task) != own.iter().any(|id| task["id"] == json!(id))), "{all:?}");
    let step = all.iter().find(|task| task["step"] == json!("late")).unwrap();
    assert_eq!(step["args"]["text"], json!("of the step"));

    // Whatever is listed can be enqueued elsewhere, due when it was.
    let lines: String = all.iter().filter(|task| !member(task)).map(|task| format!("{task}\n")).collect();
    sandbox.write("moved.jsonl", lines);
    sandbox.ok(&["--store", "sqlite:other.db", "enqueue", "--jsonl", "moved.jsonl", "--strict"]);
    let (before, after) = (sandbox.show(&own[1]), sandbox.json(&["--store", "sqlite:other.db", "tasks", "show", &own[1]]));
    assert_eq!((&after["run_at"], &after["args"]), (&before["run_at"], &before["args"]));
}

#[test]
fn many_processes_that_die_make_one_task() {
    processes(&sandbox());
}

#[test]
fn many_processes_that_die_make_one_task_on_postgres() {
    let schema = Schema::new();
    processes(&sandbox().env("GRISTMILL_STORE", &schema.url()));
}

fn processes(sandbox: &Sandbox) {
    sandbox.ok(&["migrate"]);
    let mut all: Vec<_> = (0..64)
        .map(|_| {
            let mut command = sandbox.command(&["enqueue", "sync", "--args", r#"{"repo":7}"#]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for (n, process) in all.iter_mut().enumerate() {
        if n % 4 == 0 {
            process.kill().unwrap();
        }
    }
    let mut told = BTreeSet::new();
    for process in all {
        let output = process.wait_with_output().unwrap();
        if output.status.success() {
            told.insert(String::from_utf8(output.stdout).unwrap().trim().to_owned());
        }
    }
    let kept = sandbox.json(&["tasks", "list", "--all"]);
    let kept: BTreeSet<String> =
        kept["items"].as_array().unwrap().iter().map(|task| task["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!((kept.len(), &told), (1, &kept), "one task, and all who were told were told of it");
}

#[test]
fn a_mistake_in_a_unique_key_is_told_with_its_place() {
    for (entry, says) in [
        ("unique = 7", "unique = { key"),
        ("unique = \"\"", "is empty"),
        ("unique = { key = \"a{b\" }", "brace"),
        ("unique = { key = \"a\", until = \"soon\" }", "or `ended`, or `started`"),
        ("unique = { key = \"a\", on_conflict = \"explode\" }", "explode"),
        ("unique = { key = \"a\", until = \"1h\", on_conflict = \"run_after\" }", "leave `until` out"),
        ("unique = { kee = \"a\" }", "kee"),
        ("debounce = { key = \"a\" }", "wait"),
        ("debounce = { wait = \"5s\", max_wait = \"1s\" }", "below its `wait`"),
        ("debounce = { wait = \"5s\" }\nunique = \"a\"", "take one of them"),
        (
            "batch = { size = 10, wait = \"1s\" }\nunique = { key = \"a\", on_conflict = \"run_after\" }",
            "lets one run after the other",
        ),
    ] {
        let sandbox = Sandbox::new(&format!("[tasks.work]\ncommand = [\"cat\"]\n{entry}\n"));
        let checked = sandbox.run(&["config", "check"]);
        assert_eq!(checked.code, Some(2), "{entry}: {checked:?}");
        let told = checked.stdout + &checked.stderr;
        assert!(told.contains(says) && told.contains("gristmill.toml:3:"), "{entry}: {told}");
    }
}
