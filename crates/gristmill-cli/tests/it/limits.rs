//! How many tasks with one key run at once, with real workers that are killed and stopped, and what people see of it.

use std::collections::BTreeMap;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::sandbox::{Sandbox, Worker, until};
use crate::schema::Schema;
use crate::versions::older;

const CONFIG: &str = r#"
[tasks.work]
command = ["sh", "work.sh"]
concurrency = { key = "settings:{settings}", limit = 3 }
backoff = "1ms"
max_attempts = 2

[tasks.step]
command = ["sh", "work.sh"]
sequence = "account:{settings}"
backoff = "1ms"
max_attempts = 2
"#;

/// Says when it begins and ends, and fails if it is told to.
const WORK: &str = r#"
args=$(cat)
key=$(printf '%s' "$args" | sed 's/.*"settings":\([0-9]*\).*/\1/')
echo "$GRISTMILL_TASK_ID.$GRISTMILL_FENCE $key begin" >> journal
sleep 0.05
echo "$GRISTMILL_TASK_ID.$GRISTMILL_FENCE $key end" >> journal
case "$args" in *fail*) echo null; exit 1;; esac
echo null
"#;

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new(CONFIG);
    sandbox.write("work.sh", WORK);
    sandbox
}

#[test]
fn no_more_run_than_there_are_slots_though_workers_die() {
    workers_die(&sandbox());
}

#[test]
fn no_more_run_than_there_are_slots_though_workers_die_on_postgres() {
    let schema = Schema::new();
    workers_die(&sandbox().env("GRISTMILL_STORE", &schema.url()));
}

fn workers_die(sandbox: &Sandbox) {
    let lines: String = (0..60)
        .map(|n| {
            let (task, args) = if n % 3 == 2 {
                ("step", json!({ "settings": 9, "n": n }))
            } else {
                ("work", json!({ "settings": n % 3, "n": n }))
            };
            let args = if n % 10 == 0 { json!({ "settings": 0, "fail": n }) } else { args };
            format!("{}\n", json!({ "task": task, "args": args, "max_crashes": 9 }))
        })
        .collect();
    sandbox.write("tasks.jsonl", lines);
    sandbox.ok(&["enqueue", "--jsonl", "tasks.jsonl"]);
    let worker = || Worker::spawn(sandbox.command(&["worker", "--no-beat", "--queues", "default=8", "--lease", "1s"]));
    let (doomed, paused, last) = (worker(), worker(), worker());
    let ends = || std::fs::read_to_string(sandbox.path("journal")).unwrap_or_default().matches(" end").count();
    until("some have ended", || ends() > 8);
    paused.signal(Signal::STOP);
    doomed.signal(Signal::KILL);
    // Whoever is stopped within a write holds up a file until he goes on: then nothing is known.
    let shown = |args: &[&str]| {
        let shown = sandbox.run(&[args, &["-o", "json"]].concat());
        serde_json::from_str::<Value>(&shown.stdout).unwrap_or_default()
    };
    let most = |key: &str| shown(&["limits", "show", key])["used"].as_u64().unwrap_or_default();
    let is_over = || {
        for (key, limit) in [("settings:0", 3), ("settings:1", 3), ("sequence:account:9", 1)] {
            assert!(most(key) <= limit, "{key}");
        }
        let ended = |state| {
            let ended = shown(&["tasks", "list", "--state", state, "--limit", "100"]);
            ended["items"].as_array().map_or(0, Vec::len)
        };
        ended("succeeded") + ended("failed") == 60
    };
    let mut turns = 0;
    until("all have ended", || {
        turns += 1;
        if turns == 3 {
            paused.signal(Signal::CONT);
        }
        is_over()
    });
    paused.signal(Signal::CONT);
    for worker in [paused, last] {
        worker.signal(Signal::TERM);
        let (status, said) = worker.ended();
        assert!(status.success(), "{said}");
    }
    assert_eq!(sandbox.json(&["limits", "list"])["items"], json!([]), "nobody holds anything any more");
    let failed = sandbox.json(&["tasks", "list", "--state", "failed"]);
    assert_eq!(failed["items"].as_array().unwrap().len(), 6);
    overlaps(&std::fs::read_to_string(sandbox.path("journal")).unwrap());
    sandbox.ok(&["doctor"]);
}

/// Of the attempts that ended by themselves, how many ran at once.
fn overlaps(journal: &str) {
    let ended: Vec<&str> = journal.lines().filter_map(|line| line.strip_suffix(" end")).collect();
    let (mut now, mut most): (BTreeMap<&str, usize>, BTreeMap<&str, usize>) = Default::default();
    for line in journal.lines() {
        let (run, what) = line.rsplit_once(' ').unwrap();
        let key = run.rsplit_once(' ').unwrap().1;
        if !ended.contains(&run) {
            continue;
        }
        let now = now.entry(key).or_default();
        if what == "begin" {
            *now += 1
        } else {
            *now = now.saturating_sub(1)
        }
        let most = most.entry(key).or_default();
        *most = (*most).max(*now);
    }
    // What a worker began that was stopped for longer than its lease goes on while others have the slot: its processes were not stopped with it.
    assert!(most["0"] <= 6 && most["1"] <= 6 && most["9"] <= 2, "{most:?}");
}

#[test]
fn an_operator_sees_and_sets_limits() {
    operator(&sandbox());
}

#[test]
fn an_operator_sees_and_sets_limits_on_postgres() {
    let schema = Schema::new();
    operator(&sandbox().env("GRISTMILL_STORE", &schema.url()));
}

fn drained(sandbox: &Sandbox) -> (std::process::ExitStatus, String) {
    Worker::spawn(sandbox.command(&["worker", "--no-beat", "--drain", "--queues", "default=4"])).ended()
}

fn operator(sandbox: &Sandbox) {
    let ids: Vec<String> = (0..5).map(|_| sandbox.enqueue("work", r#"{"settings":1}"#)).collect();
    let row = |used, limit, set, waiting| json!([{ "key": "settings:1", "limit": limit, "declared": 3, "set": set, "used": used, "waiting": waiting }]);
    assert_eq!(sandbox.json(&["limits", "list"])["items"], row(3, 3, Value::Null, 2));
    let why = sandbox.json(&["tasks", "why", &ids[4]]);
    let reason = &why["reasons"][0];
    assert_eq!((&reason["code"], &reason["key"], &reason["before"]), (&json!("limited"), &json!("settings:1"), &json!(1)));
    assert_eq!(sandbox.json(&["limits", "set", "settings:1", "4"])["items"], row(4, 4, json!(4), 1));
    let shown = sandbox.ok(&["limits", "show", "settings:1"]);
    assert!(shown.starts_with("settings:1: 4 of 4 taken, 1 waiting; set by hand, tasks say 3\n"), "{shown}");
    assert!(shown.contains(&format!("held by {}", ids[0])) && shown.contains(&format!("waits   {}", ids[4])), "{shown}");
    assert_eq!(sandbox.json(&["limits", "set", "settings:1", "0"])["items"], row(0, 0, json!(0), 5));
    let (status, said) = drained(sandbox);
    assert!(status.success() && said.contains("left: 5 tasks in the queue `default` that wait for slots of keys"), "{said}");
    assert_eq!(sandbox.json(&["limits", "unset", "settings:1"])["items"], row(3, 3, Value::Null, 2));
    let unknown = sandbox.run(&["limits", "unset", "nobody"]);
    assert!(unknown.code == Some(0) && unknown.stderr.contains("nothing is known of the key `nobody`"), "{unknown:?}");
    let new = sandbox.run(&["limits", "set", "tenant:8", "2"]);
    assert!(new.stderr.contains("no task has said the key `tenant:8` so far"), "{new:?}");
    let unknown = sandbox.run(&["limits", "show", "nobody"]);
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    for bad in [
        &["limits", "set", "k", "-1"][..],
        &["limits", "set", "k", "many"],
        &["limits", "set", "", "1"],
        &["limits", "set", "k", "100001"],
        &["limits", "set", "sequence:s", "2"],
    ] {
        assert_eq!(sandbox.run(bad).code, Some(2), "{bad:?}");
    }
}

#[test]
fn a_mistake_in_a_limit_is_told_with_its_place() {
    for (entry, says) in [
        ("concurrency = { key = \"a\", limit = \"many\" }", "a whole number from 1 to 100000, or an argument in braces"),
        ("concurrency = { key = \"a\", limit = 1, until_ended = true }", "say `sequence`"),
        ("concurrency = { key = \"type:a\", limit = 1 }", "begins with"),
        ("concurrency = 0", "is no whole number from 1 to 100000"),
        ("concurrency = { key = \"a\", limit = 2, cost = 3 }", "such a task could never start"),
        ("concurrency = { key = \"a{b\", limit = 2 }", "brace"),
        ("concurrency = { key = \"a\" }", "limit"),
        ("concurrency = { key = \"a\", limit = 2, on_excess = \"explode\" }", "explode"),
        ("sequence = \"\"", "is empty"),
        ("sequence = 7", "sequence = \"account:{account}\""),
    ] {
        let sandbox = Sandbox::new(&format!("[tasks.work]\ncommand = [\"cat\"]\n{entry}\n"));
        let checked = sandbox.run(&["config", "check"]);
        assert_eq!(checked.code, Some(2), "{entry}: {checked:?}");
        let told = checked.stdout + &checked.stderr;
        assert!(told.contains(says) && told.contains("gristmill.toml:3:"), "{entry}: {told}");
    }
    let sandbox = sandbox();
    let refused = sandbox.run(&["enqueue", "work", "--args", r#"{"setings":1}"#]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("takes `settings`, which is not there"), "{refused:?}");
    let line = r#"{"task":"work","args":{"settings":1},"concurrency":[],"sequence":"s:{settings}"}"#;
    let ok = sandbox.run_with_input(&["enqueue", "--jsonl", "-"], line);
    assert_eq!(ok.code, Some(0), "{ok:?}");
    let keys = sandbox.json(&["limits", "list"]);
    assert_eq!(keys["items"][0]["key"], json!("sequence:s:1"));
}

#[test]
fn what_does_not_go_together_is_refused() {
    let batch = "batch = { size = 10, wait = \"1s\" }";
    for (entry, says) in
        [("sequence = \"s:{id}\"", "lets one run after the other"), ("lock = \"l:{id}\"", "a lock is held by one task")]
    {
        let sandbox = Sandbox::new(&format!("[tasks.work]\ncommand = [\"cat\"]\n{batch}\n{entry}\n"));
        let checked = sandbox.run(&["config", "check"]);
        let told = checked.stdout + &checked.stderr;
        assert!(checked.code == Some(2) && told.contains(says), "{entry}: {told}");
    }
}

#[test]
fn what_a_program_of_the_version_before_has_run_gives_its_slots_back() {
    beside_an_older_one(&Sandbox::new(PLAIN));
}

#[test]
fn what_a_program_of_the_version_before_has_run_gives_its_slots_back_on_postgres() {
    let schema = Schema::new();
    beside_an_older_one(&Sandbox::new(PLAIN).env("GRISTMILL_STORE", &schema.url()));
}

/// As the version before reads it.
const PLAIN: &str = "[tasks.work]\ncommand = [\"cat\"]\n";

fn beside_an_older_one(sandbox: &Sandbox) {
    let line = |n| json!({ "task": "work", "args": { "n": n }, "concurrency": { "key": "k", "limit": 1 } }).to_string() + "\n";
    sandbox.write("tasks.jsonl", (0..4).map(line).collect::<String>());
    sandbox.ok(&["enqueue", "--jsonl", "tasks.jsonl"]);
    // It runs them, and the newer one, which serves another queue, finds what it has left.
    let older = Worker::spawn(sandbox.command_of(&older(), &["worker", "--no-beat", "--queues", "default=4"]));
    let newer = Worker::spawn(sandbox.command(&["worker", "--no-beat", "--queues", "other=1"]));
    until("all have ended", || {
        sandbox.json(&["tasks", "list", "--state", "succeeded"])["items"].as_array().is_some_and(|ended| ended.len() == 4)
    });
    for worker in [older, newer] {
        worker.signal(Signal::TERM);
        let (status, said) = worker.ended();
        assert!(status.success(), "{said}");
    }
}
