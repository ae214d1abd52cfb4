//! What comes from tasks reaches no terminal and no line of a log as it is: it could forge a line, or move the cursor.

use rustix::process::Signal;
use serde_json::json;

use crate::sandbox::Sandbox;
use crate::server::Server;

/// What a forger would write: a line of the log, the title of the window, an empty screen, colours by a single byte, and text in
/// the other direction.
const BAD: &str =
    "bad\n2026-11-28T00:00:00.000000Z ERROR gristmill::store: FORGED\r\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{202e}x";

/// A name may hold no control character, but marks of direction.
const NAME: &str = "f\u{202e}";

fn forger() -> Sandbox {
    let script = "printf %s \"$BAD\" >&2; exit 1";
    Sandbox::new(&format!(
        "[tasks.{name}]\ncommand = [\"sh\", \"-c\", {script}]\nset_env = {{ BAD = {bad} }}\nmax_attempts = 1\nqueue = {name}\n",
        name = json!(NAME),
        script = json!(script),
        bad = json!(BAD).to_string().replace('\u{9b}', "\\u009b"),
    ))
}

#[track_caller]
fn harmless(said: &str) {
    let hidden = |c: char| c != '\n' && (c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c));
    assert!(!said.contains(hidden), "{said:?}");
    assert!(!said.lines().any(|line| line.starts_with("2026-11-28T00:00")), "{said}");
}

#[test]
fn what_a_task_writes_forges_no_line_of_the_log() {
    let sandbox = forger();
    let line = json!({ "task": NAME, "headers": { "user": BAD }, "tags": [NAME] });
    let ended = sandbox.run_with_input(&["enqueue", "--jsonl", "-"], &line.to_string());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let said = sandbox.run(&["worker", "--drain", "--log", "debug"]).stderr;
    assert!(said.contains("did not succeed") && said.contains("FORGED"), "{said}");
    harmless(&said);
}

#[test]
fn what_a_task_writes_is_shown_in_its_place() {
    let sandbox = forger();
    let id = sandbox.enqueue(NAME, "{}");
    sandbox.run(&["worker", "--drain"]);
    for args in [
        &["tasks", "list"][..],
        &["tasks", "list", "-o", "json"],
        &["tasks", "list", "-o", "jsonl"],
        &["tasks", "show", &id],
        &["tasks", "show", &id, "-o", "json"],
        &["queues", "list"],
        &["kinds", "-o", "jsonl"],
        &["workers"],
    ] {
        let ended = sandbox.run(args);
        assert_eq!(ended.code, Some(0), "{args:?}: {ended:?}");
        harmless(&ended.stdout);
        harmless(&ended.stderr);
    }
    // The JSON says what there is all the same.
    let task = sandbox.show(&id);
    assert_eq!((&task["kind"], &task["queue"]), (&json!(NAME), &json!(NAME)));
    assert!(task["error"]["message"].as_str().unwrap().contains(BAD), "{task}");
}

#[test]
fn whoever_waits_for_a_task_is_told_its_error_in_one_line() {
    let sandbox = forger();
    let mut dev = sandbox.start(&["dev"]);
    dev.hears(": started");
    let said = sandbox.fails(1, &["enqueue", NAME, "--wait"]);
    assert_eq!((said.lines().count(), said.contains(r"bad\n2026-11-28")), (1, true), "{said}");
    harmless(&said);
    harmless(&sandbox.fails(2, &["enqueue", BAD]));
    harmless(&sandbox.fails(1, &["schedules", "show", BAD]));
    dev.signal(Signal::TERM);
    let (_, said) = dev.ended();
    assert!(said.contains("FORGED"), "{said}");
    harmless(&said);
}

#[test]
fn an_answer_by_http_is_no_better() {
    let server = Server::saying("400 Bad Request", "", BAD);
    let sandbox = Sandbox::new(&format!("[tasks.t]\nhttp = {{ url = \"http://127.0.0.1:{}/\" }}\n", server.port));
    let id = sandbox.enqueue("t", "{}");
    harmless(&sandbox.run(&["worker", "--drain"]).stderr);
    harmless(&sandbox.ok(&["tasks", "show", &id]));
}

#[test]
fn a_line_of_json_is_one_line_and_a_result_means_what_it_meant() {
    let sandbox = Sandbox::with_echo();
    let args = "{\"a\":\r\n [1.50,\n \"\u{202e}\u{7f}\"]}";
    let id = sandbox.enqueue("echo", args);
    let worker = sandbox.worker(&[]);
    sandbox.until_state(&id, "succeeded");
    let lines = sandbox.ok(&["tasks", "list", "-o", "jsonl"]);
    assert_eq!(lines.lines().count(), 1, "{lines}");
    harmless(&lines);
    let result = sandbox.ok(&["enqueue", "echo", "--args", args, "--wait"]);
    harmless(&result);
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!((value(&result), result.contains("1.50")), (value(args), true));
    assert_eq!(value(&lines)["args"], value(args));
    drop(worker);
}
