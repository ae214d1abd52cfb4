//! Commands and HTTP targets that take many tasks at once.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::sandbox::{Sandbox, until};
use crate::schema::Schema;
use crate::server::Server;

/// Records each of its calls, and answers each of the tasks by its arguments.
const LOG: &str = r#"
[tasks."log.write"]
command = ["sh", "-c", '''
echo "$GRISTMILL_BATCH_SIZE $GRISTMILL_BATCH_KEY" >> calls
while test -e wait; do sleep 0.02; done
awk '{ gsub(/^\[|\]$/, ""); gsub(/\},\{/, "}\n{"); print }' | awk '
  BEGIN { printf "[" }
  NR > 1 { printf "," }
  /bad/ { printf "{\"error\": \"a bad one\", \"retry\": false}"; next }
  /unsure/ { printf "{\"error\": \"not now\"}"; next }
  /wrapped/ { printf "{\"ok\": {\"error\": null}}"; next }
  { printf "%s", $0 }
  END { print "]" }'
''']
env = ["PATH"]
max_attempts = 2
backoff = "10ms"
"#;

fn config(batch: &str) -> String {
    format!("{LOG}max_crashes = 2\nbatch = {batch}\n")
}

/// Enqueues an entry each, in one go, and gives their ids.
fn enqueue(sandbox: &Sandbox, all: &[Value]) -> Vec<String> {
    let ids: Vec<_> = (0..all.len()).map(|n| format!("0190a000-0000-7000-8000-{n:012x}")).collect();
    let line = |(id, args): (&String, &Value)| format!("{}\n", json!({ "task": "log.write", "args": args, "id": id }));
    let ended = sandbox.run_with_input(&["enqueue", "--jsonl", "-"], &ids.iter().zip(all).map(line).collect::<String>());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ids
}

fn calls(sandbox: &Sandbox) -> Vec<String> {
    let text = std::fs::read_to_string(sandbox.path("calls")).unwrap_or_default();
    text.lines().map(|line| line.trim_end().to_owned()).collect()
}

#[track_caller]
fn failed(task: &Value, attempts: usize, says: &str) {
    let message = task["error"]["message"].as_str().unwrap_or_default();
    assert!(task["state"] == "failed" && message.contains(says), "{says}: {task:#}");
    assert_eq!(task["attempts"].as_array().unwrap().len(), attempts, "{task:#}");
}

#[test]
fn a_command_takes_many_and_a_bad_one_holds_up_nobody() {
    takes_many(Sandbox::new);
}

#[test]
fn so_it_does_on_postgres() {
    let schema = Schema::new();
    takes_many(|config| Sandbox::new(config).env("GRISTMILL_STORE", &schema.url()));
}

fn takes_many(sandbox: impl FnOnce(&str) -> Sandbox) {
    let sandbox = sandbox(&config("{ size = 100, wait = \"10s\" }"));
    let mut all: Vec<_> = (0..97).map(|n| json!({ "n": n })).collect();
    all.extend([json!({ "how": "bad" }), json!({ "how": "wrapped" }), json!({ "how": "unsure" })]);
    let ids = enqueue(&sandbox, &all);
    sandbox.ok(&["worker", "--drain", "--queues", "default=1"]);
    for (id, args) in ids.iter().zip(&all).take(97) {
        let task = sandbox.show(id);
        assert_eq!((&task["state"], &task["result"]), (&json!("succeeded"), args), "{task:#}");
    }
    failed(&sandbox.show(&ids[97]), 1, "a bad one");
    assert_eq!(sandbox.show(&ids[98])["result"], json!({ "error": null }));
    failed(&sandbox.show(&ids[99]), 2, "not now");
    let calls = calls(&sandbox);
    assert_eq!(calls[0], "100", "{calls:?}");
    assert_eq!(calls.len(), 2, "the second attempt of one: {calls:?}");
    sandbox.ok(&["doctor"]);
}

#[test]
fn a_batch_has_one_key_and_a_task_without_it_fails_alone() {
    let sandbox = Sandbox::new(&config("{ size = 100, wait = \"1s\", key = \"t:{tenant}\" }"));
    let of = |tenant: &str| json!({ "tenant": tenant });
    let ids = enqueue(&sandbox, &[of("a"), of("b"), json!({}), of("a")]);
    sandbox.ok(&["worker", "--drain"]);
    let mut calls = calls(&sandbox);
    calls.sort();
    assert_eq!(calls, ["1 t:b", "2 t:a"]);
    failed(&sandbox.show(&ids[2]), 1, "takes `tenant`, which is not there");
    assert_eq!(sandbox.show(&ids[3])["state"], "succeeded");
}

#[test]
fn an_answer_that_is_no_list_or_too_short_is_everybodys_failure() {
    for (command, says) in [
        ("echo 1", "is not a JSON list with one element for each of 2 tasks"),
        ("echo '[1]'", "the batch has 2 tasks, and its handler gave 1 results"),
        ("echo why >&2; exit 3", "exited with status 3: why"),
    ] {
        let sandbox = Sandbox::new(&format!(
            "[tasks.\"log.write\"]\ncommand = [\"sh\", \"-c\", {}]\nmax_attempts = 1\nbatch = {{ size = 2, wait = \"1s\" }}\n",
            json!(command)
        ));
        let ids = enqueue(&sandbox, &[json!({}), json!({})]);
        sandbox.ok(&["worker", "--drain"]);
        ids.iter().for_each(|id| failed(&sandbox.show(id), 1, says));
    }
    // Nothing at all is `null` for each, as it is for a task alone.
    let sandbox =
        Sandbox::new("[tasks.\"log.write\"]\ncommand = [\"true\"]\nbatch = { size = 2, wait = \"1s\" }\noutput = \"none\"\n");
    let ids = enqueue(&sandbox, &[json!({}), json!({})]);
    sandbox.ok(&["worker", "--drain"]);
    ids.iter().for_each(|id| assert_eq!(sandbox.show(id)["state"], "succeeded"));
}

#[test]
fn a_target_gets_and_answers_a_list() {
    let server = Server::saying("200 OK", "", r#"[{"n": 1}, {"error": "no room", "retry": false}]"#);
    let sandbox = Sandbox::new(&format!(
        "[tasks.\"log.write\"]\nhttp = {{ url = \"http://127.0.0.1:{}/hook\" }}\nbatch = {{ size = 2, wait = \"10s\" }}\n",
        server.port
    ));
    let ids = enqueue(&sandbox, &[json!({ "n": 1 }), json!({ "n": 2 })]);
    sandbox.ok(&["worker", "--drain"]);
    let [request] = &server.seen()[..] else { panic!("{:?}", server.seen()) };
    assert_eq!(request.body.parse::<Value>().unwrap(), json!([{ "n": 1 }, { "n": 2 }]));
    assert_eq!(request.headers["gristmill-batch-size"], "2");
    assert_eq!(request.headers["gristmill-task-name"], "log.write");
    assert!(!request.headers.contains_key("gristmill-task-id"));
    assert_eq!(sandbox.show(&ids[0])["result"], json!({ "n": 1 }));
    failed(&sandbox.show(&ids[1]), 1, "no room");
}

#[test]
fn one_that_is_cancelled_leaves_the_others_alone() {
    let sandbox = Sandbox::new(&config("{ size = 2, wait = \"10s\" }"));
    sandbox.write("wait", "");
    let ids = enqueue(&sandbox, &[json!({ "n": 1 }), json!({ "how": "unsure" })]);
    let worker = sandbox.worker(&["--queues", "default=1"]);
    until("the call has begun", || calls(&sandbox).len() == 1);
    let why = sandbox.json(&["tasks", "why", &ids[0]]);
    let text = why["reasons"][0]["text"].as_str().unwrap();
    assert!(text.contains("in a batch: its worker gathers up to 2 tasks, for up to 10s"), "{why:#}");
    sandbox.ok(&["tasks", "cancel", &ids[1]]);
    std::fs::remove_file(sandbox.path("wait")).unwrap();
    assert_eq!(sandbox.until_state(&ids[0], "succeeded")["result"], json!({ "n": 1 }));
    sandbox.until_state(&ids[1], "cancelled");
    worker.signal(Signal::TERM);
    assert!(worker.ended().0.success());
}

fn crashes(task: &Value) -> usize {
    task["attempts"].as_array().unwrap().iter().filter(|attempt| attempt["state"] == "crashed").count()
}

#[test]
fn a_worker_that_dies_in_the_middle_loses_nothing() {
    dies_in_the_middle(Sandbox::new);
}

#[test]
fn nor_does_one_on_postgres() {
    let schema = Schema::new();
    dies_in_the_middle(|config| Sandbox::new(config).env("GRISTMILL_STORE", &schema.url()));
}

/// Once while its batch is gathered, once more so, and once in the call.
fn dies_in_the_middle(sandbox: impl FnOnce(&str) -> Sandbox) {
    let sandbox = sandbox(&config("{ size = 3, wait = \"1m\" }"));
    sandbox.write("wait", "");
    let mut ids = enqueue(&sandbox, &[json!({ "n": 0 }), json!({ "n": 1 })]);
    let args = ["--queues", "default=1", "--lease", "300ms"];
    let claims = |id: &str| sandbox.show(id)["attempts"].as_array().unwrap().len();
    for claim in 1..=2 {
        let worker = sandbox.worker(&args);
        until("both are gathered", || ids.iter().all(|id| sandbox.show(id)["state"] == "running" && claims(id) >= claim.min(2)));
        worker.signal(Signal::KILL);
        worker.ended();
        // Another one finds that out, whose batches are never complete.
        let rescuer = sandbox.worker(&["--queues", "nothing=1", "--lease", "300ms"]);
        ids.iter().for_each(|id| drop(sandbox.until_state(id, "ready")));
        rescuer.signal(Signal::TERM);
        rescuer.ended();
    }
    assert!(calls(&sandbox).is_empty());
    // Nobody knows of the first time whether they ran; the second time they had not started.
    ids.iter().for_each(|id| assert_eq!(crashes(&sandbox.show(id)), 1, "{:#}", sandbox.show(id)));

    ids.push(sandbox.enqueue("log.write", r#"{"n": 2}"#));
    let worker = sandbox.worker(&args);
    until("the call has begun", || calls(&sandbox) == ["3"]);
    worker.signal(Signal::KILL);
    worker.ended();
    std::fs::remove_file(sandbox.path("wait")).unwrap();
    // That was the second one of the first two, which may be two at most.
    sandbox.ok(&["worker", "--drain", "--queues", "default=1", "--lease", "300ms"]);
    for id in &ids[..2] {
        let task = sandbox.show(id);
        assert_eq!((&task["state"], &task["error"]["reason"]), (&json!("failed"), &json!("crashed")), "{task:#}");
        assert_eq!(crashes(&task), 2, "{task:#}");
    }
    let last = sandbox.show(&ids[2]);
    assert_eq!((&last["state"], crashes(&last)), (&json!("succeeded"), 1), "{last:#}");
    assert_eq!(calls(&sandbox), ["3", "1"]);
    sandbox.ok(&["doctor"]);
}
