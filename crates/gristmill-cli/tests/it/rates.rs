//! How many tasks with one key begin in a time, with real workers that are killed, and what people see of it.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::sandbox::{Sandbox, Worker, until};
use crate::schema::Schema;

const CONFIG: &str = r#"
[tasks.fetch]
command = ["sh", "fetch.sh"]
rate = { key = "api:{host}", limit = "20/s", burst = 2 }
retention = "none"

[tasks.slow]
command = ["cat"]
rate = { key = "slow:{host}", limit = "1/h" }
"#;

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new(CONFIG);
    sandbox.write("fetch.sh", "cat >/dev/null\ndate +%s%3N >> journal\necho null\n");
    sandbox
}

#[test]
fn no_more_begin_than_the_rate_gives_though_a_worker_dies() {
    begin(&sandbox());
}

#[test]
fn no_more_begin_than_the_rate_gives_though_a_worker_dies_on_postgres() {
    let schema = Schema::new();
    begin(&sandbox().env("GRISTMILL_STORE", &schema.url()));
}

fn begin(sandbox: &Sandbox) {
    const TASKS: usize = 60;
    let line = json!({ "task": "fetch", "args": { "host": "h" }, "max_crashes": 9 }).to_string() + "\n";
    sandbox.write("tasks.jsonl", line.repeat(TASKS));
    sandbox.ok(&["enqueue", "--jsonl", "tasks.jsonl"]);
    let worker = || Worker::spawn(sandbox.command(&["worker", "--no-beat", "--queues", "default=30", "--lease", "1s"]));
    let (doomed, last) = (worker(), worker());
    let begun = || -> Vec<i64> {
        let journal = std::fs::read_to_string(sandbox.path("journal")).unwrap_or_default();
        journal.lines().filter_map(|line| line.parse().ok()).collect()
    };
    until("some have begun", || begun().len() > 10);
    doomed.signal(Signal::KILL);
    until("all have ended", || sandbox.json(&["tasks", "list"])["items"] == json!([]) && begun().len() >= TASKS);
    last.signal(Signal::TERM);
    let (status, said) = last.ended();
    assert!(status.success(), "{said}");
    // Counted is the claim, and the command begins a moment later, so that the first may be late and the last not: by a second, for whatever
    // the machine does.
    let mut begun = begun();
    begun.sort_unstable();
    let took = begun[begun.len() - 1] - begun[0];
    let least = (i64::try_from(begun.len()).unwrap() - 2) * 50;
    assert!(took >= least - 1_000, "{} began within {took} ms, and the rate gives that in {least} ms", begun.len());
    assert_eq!(sandbox.json(&["limits", "list"])["items"], json!([]), "nobody waits any more");
    sandbox.ok(&["doctor"]);
}

#[test]
fn an_operator_sees_and_sets_rates() {
    operator(&sandbox());
}

#[test]
fn an_operator_sees_and_sets_rates_on_postgres() {
    let schema = Schema::new();
    operator(&sandbox().env("GRISTMILL_STORE", &schema.url()));
}

fn operator(sandbox: &Sandbox) {
    let ids: Vec<String> = (0..4).map(|_| sandbox.enqueue("slow", r#"{"host":"h"}"#)).collect();
    let (status, said) = Worker::spawn(sandbox.command(&["worker", "--no-beat", "--drain"])).ended();
    assert!(status.success() && said.contains("left: 3 tasks in the queue `default`"), "{said}");
    let listed = sandbox.json(&["limits", "list", "rate:"])["items"][0].clone();
    assert_eq!(
        (&listed["key"], &listed["limit"], &listed["declared"], &listed["used"], &listed["waiting"]),
        (&json!("rate:slow:h"), &json!("1/h"), &json!("1/h"), &json!(1), &json!(3))
    );
    assert!(listed["next"].is_string(), "{listed}");
    let shown = sandbox.ok(&["limits", "show", "rate:slow:h"]);
    assert!(shown.starts_with("rate:slow:h: 1 of 1 used up, 1/h, 3 waiting; the next may start at "), "{shown}");
    let why = sandbox.ok(&["tasks", "why", &ids[3]]);
    assert!(why.contains("it waits for its turn by the rate `rate:slow:h`, 1/h; 2 stand before it; it may begin at "), "{why}");
    let set = sandbox.json(&["limits", "set", "rate:slow:h", "100/s", "--burst", "2"])["items"][0].clone();
    assert_eq!((&set["limit"], &set["set"], &set["declared"]), (&json!("100/s"), &json!("100/s"), &json!("1/h")));
    let (status, said) = Worker::spawn(sandbox.command(&["worker", "--no-beat", "--drain"])).ended();
    assert!(status.success() && !said.contains("left:"), "what may begin soon is waited for: {said}");
    assert_eq!(sandbox.json(&["tasks", "list", "--state", "succeeded"])["items"].as_array().map(Vec::len), Some(4));
    sandbox.ok(&["limits", "set", "rate:slow:h", "0"]);
    let closed = sandbox.enqueue("slow", r#"{"host":"h"}"#);
    let why = sandbox.ok(&["tasks", "why", &closed]);
    assert!(why.contains("by the rate `rate:slow:h`, 0: nobody may begin; it is the next"), "{why}");
    sandbox.ok(&["limits", "unset", "rate:slow:h"]);
    for bad in [
        &["limits", "set", "rate:k", "4"][..],
        &["limits", "set", "k", "4/s"],
        &["limits", "set", "rate:k", "often"],
        &["limits", "set", "rate:k", "0/s"],
        &["limits", "set", "rate:k", "1/2d"],
        &["limits", "set", "rate:k", "1/s", "--burst", "0"],
        &["limits", "set", "k", "4", "--burst", "2"],
    ] {
        let refused = sandbox.run(bad);
        assert_eq!(refused.code, Some(2), "{bad:?}: {refused:?}");
    }
}

#[test]
fn a_mistake_in_a_rate_is_told_with_its_place() {
    for (entry, says) in [
        ("rate = \"often\"", "is no rate"),
        ("rate = 10", "a rate such as"),
        ("rate = { key = \"a\" }", "limit"),
        ("rate = { key = \"a\", limit = \"10/2d\" }", "a time up to a day"),
        ("rate = { key = \"a\", limit = \"10/s\", burst = 0 }", "rate burst: is no whole number"),
        ("rate = { key = \"a\", limit = \"10/s\", burst = 2, cost = 3 }", "such a task could never start"),
        ("rate = { key = \"rate:a\", limit = \"10/s\" }", "begins with"),
        ("rate = { key = \"a\", limit = \"10/s\", burst = 2, strategy = \"sliding_window\" }", "is of a token bucket"),
        ("rate = { key = \"a\", limit = \"10/s\", strategy = \"leaky\" }", "leaky"),
        ("rate = { key = \"a\", limit = \"10/s\", per = 1 }", "per"),
    ] {
        let sandbox = Sandbox::new(&format!("[tasks.work]\ncommand = [\"cat\"]\n{entry}\n"));
        let checked = sandbox.run(&["config", "check"]);
        assert_eq!(checked.code, Some(2), "{entry}: {checked:?}");
        let told = checked.stdout + &checked.stderr;
        assert!(told.contains(says) && told.contains("gristmill.toml:3:"), "{entry}: {told}");
    }
    let sandbox = sandbox();
    let refused = sandbox.run(&["enqueue", "fetch", "--args", r#"{"hosts":1}"#]);
    assert!(refused.code == Some(2) && refused.stderr.contains("takes `host`, which is not there"), "{refused:?}");
    let line = r#"{"task":"fetch","args":{"host":"h"},"rate":{"key":"own:{host}","limit":"1/m"}}"#;
    let ok = sandbox.run_with_input(&["enqueue", "--jsonl", "-"], &format!("{line}\n{line}\n"));
    assert_eq!(ok.code, Some(0), "{ok:?}");
    let keys: Vec<Value> = sandbox.json(&["limits", "list"])["items"].as_array().cloned().unwrap_or_default();
    assert_eq!(keys.iter().map(|key| key["key"].clone()).collect::<Vec<_>>(), [json!("rate:own:h")]);
    let none = r#"{"task":"fetch","args":{"host":"h"},"rate":[]}"#;
    let ok = sandbox.run_with_input(&["enqueue", "--jsonl", "-"], none);
    assert_eq!(ok.code, Some(0), "{ok:?}");
    assert_eq!(sandbox.json(&["tasks", "list", "--state", "ready"])["items"].as_array().map(Vec::len), Some(2));
}
