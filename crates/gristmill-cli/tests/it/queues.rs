//! What operators do to queues and task types: pause, move, set; and what ages.

use serde_json::{Value, json};

use crate::sandbox::{Sandbox, until};
use crate::schema::Schema;

#[test]
fn paused_types_are_not_claimed_and_others_pass_them_by() {
    paused_types(&Sandbox::new(TWO_TYPES));
}

#[test]
fn paused_types_are_not_claimed_on_postgresql() {
    let schema = Schema::new();
    paused_types(&Sandbox::new(TWO_TYPES).env("GRISTMILL_STORE", &schema.url()));
}

const TWO_TYPES: &str = "[tasks.a]\ncommand = [\"true\"]\n[tasks.b]\ncommand = [\"true\"]";

fn paused_types(sandbox: &Sandbox) {
    let _worker = sandbox.worker(&[]);
    let first = sandbox.enqueue("a", "{}");
    sandbox.until_state(&first, "succeeded");
    assert_eq!(sandbox.json(&["kinds", "pause", "a"]), json!({ "items": [{ "kind": "a", "paused": true }] }));
    let waits = sandbox.enqueue("a", "{}");
    let other = sandbox.enqueue("b", "{}");
    sandbox.until_state(&other, "succeeded");
    assert_eq!(sandbox.show(&waits)["state"], "ready");
    let why = sandbox.json(&["tasks", "why", &waits])["reasons"].clone();
    assert_eq!((&why[0]["code"], &why[0]["kind"], &why[1]), (&json!("kind_paused"), &json!("a"), &Value::Null), "{why}");
    assert!(why[0]["text"].as_str().unwrap().contains("kinds resume a"), "{why}");
    let kinds = sandbox.json(&["kinds", "list"])["items"].clone();
    assert_eq!((&kinds[0]["name"], &kinds[0]["paused"], &kinds[1]["paused"]), (&json!("a"), &json!(true), &json!(false)));
    assert!(sandbox.ok(&["kinds"]).contains("paused"));
    // One that starts later holds to it, too, and does not wait for it.
    let drained = sandbox.run(&["worker", "--drain"]);
    assert_eq!((drained.code, &sandbox.show(&waits)["state"]), (Some(0), &json!("ready")), "{drained:?}");
    sandbox.ok(&["kinds", "resume", "a"]);
    sandbox.until_state(&waits, "succeeded");
    let new = sandbox.run(&["kinds", "pause", "aa"]);
    assert!(new.code == Some(0) && new.stderr.contains("`aa` is new"), "{new:?}");
    for name in ["", "a\nb"] {
        sandbox.fails(2, &["kinds", "pause", name]);
    }
    sandbox.fails(2, &["kinds", "pause"]);
    let typo = sandbox.run(&["kinds", "stop", "a"]);
    assert!(typo.code == Some(2) && typo.stderr.contains("pause"), "{typo:?}");
}

#[test]
fn what_waits_in_a_queue_is_moved_to_another() {
    moved_queues(&Sandbox::new(TWO_TYPES));
}

#[test]
fn what_waits_in_a_queue_is_moved_on_postgresql() {
    let schema = Schema::new();
    moved_queues(&Sandbox::new(TWO_TYPES).env("GRISTMILL_STORE", &schema.url()));
}

fn moved_queues(sandbox: &Sandbox) {
    let ids: Vec<_> = (0..3).map(|_| sandbox.enqueue("a", "{}")).collect();
    let other = sandbox.enqueue("b", "{}");
    let later = sandbox.json(&["enqueue", "a", "--in", "1h"])["id"].as_str().unwrap().to_owned();
    let asked = sandbox.run(&["queues", "move", "default", "heavy"]);
    assert!(asked.code == Some(2) && asked.stderr.contains("--yes"), "{asked:?}");
    let preview = sandbox.json(&["queues", "move", "default", "heavy", "--kind", "a", "--dry-run"]);
    assert_eq!((&preview["matching"], &preview["exact"]), (&json!(4), &json!(true)));
    assert_eq!(sandbox.show(&ids[0])["queue"], "default");
    let moved = sandbox.run(&["queues", "move", "default", "heavy", "--kind", "a", "--yes", "-o", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&moved.stdout).unwrap(), json!({ "changed": 4, "unchanged": 0 }));
    assert!(moved.stderr.contains("no live worker serves the queue `heavy`"), "{moved:?}");
    for id in ids.iter().chain([&later]) {
        assert_eq!(sandbox.show(id)["queue"], "heavy");
    }
    assert_eq!((&sandbox.show(&other)["queue"], &sandbox.show(&later)["state"]), (&json!("default"), &json!("scheduled")));
    sandbox.ok(&["worker", "--drain", "--queues", "heavy=1"]);
    assert_eq!((&sandbox.show(&ids[2])["state"], &sandbox.show(&other)["state"]), (&json!("succeeded"), &json!("ready")));
    // What is left, of which one is ended, and nothing.
    assert!(sandbox.ok(&["queues", "move", "heavy", "default", "--yes"]).contains("1 moved"));
    assert!(sandbox.ok(&["queues", "move", "heavy", "default", "--yes"]).contains("0 moved"));
    let unknown = sandbox.run(&["queues", "move", "heavi", "default", "--yes"]);
    assert!(unknown.code == Some(1) && unknown.stderr.contains("heavy"), "{unknown:?}");
    for bad in [["default", "default"], ["default", "a\nb"], ["", "default"], ["default", ""]] {
        sandbox.fails(2, &["queues", "move", bad[0], bad[1], "--yes"]);
    }
    sandbox.fails(2, &["queues", "move", "default", "heavy", "--kind", "", "--yes"]);
}

#[test]
fn a_queues_concurrency_is_set_by_its_name() {
    let config = "[tasks.a]\ncommand = [\"true\"]\n[queues.heavy]\nconcurrency = 4";
    let sandbox = Sandbox::new(config);
    let ids: Vec<_> = (0..3).map(|_| sandbox.ok(&["enqueue", "a", "--queue", "heavy"]).trim().to_owned()).collect();
    let key = |args: &[&str]| sandbox.json(args)["items"][0].clone();
    let set = sandbox.run(&["queues", "set", "heavy", "--concurrency", "1", "-o", "json"]);
    assert!(set.code == Some(0) && set.stderr.contains("`queue:heavy`"), "{set:?}");
    let is = |limit: &Value| (limit["key"].clone(), limit["limit"].clone(), limit["set"].clone(), limit["declared"].clone());
    let said = serde_json::from_str::<Value>(&set.stdout).unwrap()["items"][0].clone();
    assert_eq!(is(&said), (json!("queue:heavy"), json!(1), json!(1), json!(4)));
    assert_eq!(is(&key(&["limits", "list", "queue:"])), is(&said), "as `limits set` does it");
    // Closed, nobody starts, and says so to whom.
    sandbox.ok(&["queues", "set", "heavy", "--concurrency", "0"]);
    ids.iter().for_each(|id| assert_eq!(sandbox.show(id)["state"], "waiting"));
    sandbox.ok(&["queues", "set", "heavy", "--no-concurrency"]);
    assert_eq!(key(&["limits", "list", "queue:"])["limit"], 4);
    sandbox.ok(&["worker", "--drain", "--queues", "heavy=2"]);
    ids.iter().for_each(|id| assert_eq!(sandbox.show(id)["state"], "succeeded"));
    for bad in [
        &["queues", "set", "heavy"][..],
        &["queues", "set", "heavy", "--concurrency", "100001"],
        &["queues", "set", "heavy", "--concurrency", "-1"],
        &["queues", "set", "heavy", "--concurrency", "many"],
        &["queues", "set", "heavy", "--concurrency", "1", "--no-concurrency"],
        &["queues", "set", "", "--concurrency", "1"],
    ] {
        sandbox.fails(2, bad);
    }
}

/// Urgent tasks come without an end, and faster than they are done, as long as the other one is not.
#[test]
fn the_least_urgent_task_runs_under_a_stream_of_urgent_ones() {
    stream(&Sandbox::new(STREAM));
}

#[test]
fn the_least_urgent_task_runs_under_a_stream_of_urgent_ones_on_postgresql() {
    let schema = Schema::new();
    stream(&Sandbox::new(STREAM).env("GRISTMILL_STORE", &schema.url()));
}

const STREAM: &str = "[tasks.urgent]\ncommand = [\"sleep\", \"0.05\"]\npriority = 0\n[tasks.low]\ncommand = [\"true\"]\npriority = 9\n\
                      [queues.default]\naging = \"300ms\"";

fn stream(sandbox: &Sandbox) {
    let low = sandbox.enqueue("low", "{}");
    let more = |count: usize| {
        sandbox.write("more.jsonl", "{\"task\":\"urgent\"}\n".repeat(count));
        sandbox.ok(&["enqueue", "--jsonl", "more.jsonl"]);
    };
    more(200);
    let _worker = sandbox.worker(&["--queues", "default=1", "--prefetch", "0"]);
    let mut backlog = 0;
    until("the least urgent one has run", || {
        more(50);
        // Urgent ones wait at every moment, so that it is not its priority by which it is its turn.
        backlog = sandbox.json(&["queues", "list"])["items"][0]["ready"].as_u64().unwrap();
        sandbox.show(&low)["state"] == "succeeded"
    });
    assert!(backlog > 0, "there were urgent ones left");
    assert_eq!(sandbox.show(&low)["priority"], 0, "it is shown with the priority that it has");
}
