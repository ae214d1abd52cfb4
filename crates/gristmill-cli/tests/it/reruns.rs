//! `workflows retry` and `workflows tolerate`, and workflows with a deadline.

use serde_json::{Value, json};

use crate::sandbox::{Sandbox, until};
use crate::schema::Schema;

/// A task type that says what it was told, one that does so once a file is there, one that fails, and one that goes on for ever.
fn sandbox() -> Sandbox {
    Sandbox::new(
        "[tasks.echo]\ncommand = [\"cat\"]\n\
         [tasks.heals]\ncommand = [\"sh\", \"-c\", \"test -e healed && cat\"]\nmax_attempts = 1\n\
         [tasks.fails]\ncommand = [\"false\"]\nmax_attempts = 1\n\
         [tasks.waits]\ncommand = [\"sh\", \"-c\", \"while true; do sleep 0.01; done\"]\n",
    )
}

fn start(sandbox: &Sandbox, form: &str) -> String {
    let ended = sandbox.run_with_input(&["workflows", "start", "-"], form);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.stdout.trim().to_owned()
}

#[test]
fn what_failed_is_retried_and_all_of_it() {
    retries(&sandbox());
}

#[test]
fn what_failed_is_retried_and_all_of_it_on_postgres() {
    let schema = Schema::new();
    retries(&sandbox().env("GRISTMILL_STORE", &schema.url()));
}

fn retries(sandbox: &Sandbox) {
    let form = r#"{"name": "w", "key": "k", "steps": {"a": {"task": "echo", "each": [{"n": 1}]},
        "b": {"task": "heals", "args": {"n": 2}, "after": ["a"]}, "c": {"task": "echo", "args": {"x": {"$result": "b"}}, "after": ["b"]}}}"#;
    let id = start(sandbox, form);
    let shown = || sandbox.json(&["workflows", "show", &id]);
    let attempts = |step: &str| {
        let member = sandbox.json(&["workflows", "members", &id, step])["items"][0]["id"].as_str().unwrap().to_owned();
        sandbox.show(&member)["attempts"].as_array().unwrap().len()
    };
    assert!(sandbox.fails(1, &["workflows", "retry", &id]).contains("has not ended; wait for it, or cancel it"));
    sandbox.ok(&["worker", "--drain"]);
    assert_eq!((&shown()["state"], &shown()["attempt"]), (&json!("failed"), &json!(1)));
    sandbox.fails(2, &["workflows", "retry", &id, "--all", "--failed"]);
    sandbox.write("healed", "");
    let answer = sandbox.json(&["workflows", "retry", &id]);
    let expected = json!({ "id": id, "outcome": "done", "attempt": 2, "step": null, "holder": null });
    assert_eq!(answer, json!({ "items": [expected] }));
    assert_eq!((&shown()["state"], &shown()["attempt"]), (&json!("running"), &json!(2)));
    sandbox.ok(&["worker", "--drain"]);
    assert_eq!((&shown()["state"], &shown()["steps"]["c"]["succeeded"]), (&json!("succeeded"), &json!(1)));
    let last = sandbox.json(&["workflows", "members", &id, "c"]);
    assert_eq!(last["items"][0]["result"], json!({ "x": { "n": 2 } }));
    assert_eq!((attempts("a"), attempts("b")), (1, 2));

    let nothing = sandbox.fails(1, &["workflows", "retry", &id, "--failed-and-after"]);
    assert!(nothing.contains("all of it was done; --all runs all of it again"), "{nothing}");
    let strange = "019a0000-0000-7000-8000-000000000001";
    let both = sandbox.run(&["workflows", "retry", &id, strange, "--all", "-o", "json"]);
    let items: Value = serde_json::from_str(&both.stdout).unwrap();
    assert_eq!(
        (both.code, &items["items"][0]["attempt"], &items["items"][1]["outcome"]),
        (Some(1), &json!(3), &json!("not_found")),
        "{both:?}"
    );
    sandbox.ok(&["worker", "--drain"]);
    assert_eq!((attempts("a"), &shown()["state"]), (2, &json!("succeeded")));
    let answer = sandbox.json(&["workflows", "retry", &id, "--all", "--without-history"]);
    assert_eq!((&answer["items"][0]["attempt"], attempts("a")), (&json!(4), 0));
    sandbox.ok(&["worker", "--drain"]);
    assert_eq!((attempts("a"), attempts("b"), &shown()["state"]), (1, 1, &json!("succeeded")));
    let other = start(sandbox, form);
    let held = sandbox.fails(1, &["workflows", "retry", &id, "--all"]);
    assert!(held.contains(&format!("the workflow {other} holds its key now")), "{held}");
}

#[test]
fn how_many_may_fail_is_changed() {
    tolerates(&sandbox());
}

#[test]
fn how_many_may_fail_is_changed_on_postgres() {
    let schema = Schema::new();
    tolerates(&sandbox().env("GRISTMILL_STORE", &schema.url()));
}

fn tolerates(sandbox: &Sandbox) {
    let id = start(sandbox, r#"{"name": "w", "steps": {"group": {"task": "fails", "each": [{}, {}]}}}"#);
    let answer = sandbox.json(&["workflows", "tolerate", &id, "group", "100%"]);
    assert_eq!(answer, json!({ "id": id, "outcome": "done", "state": "running" }));
    assert_eq!(sandbox.json(&["workflows", "show", &id])["steps"]["group"]["may_fail"], "100%");
    assert!(sandbox.ok(&["workflows", "tolerate", &id, "group", "2"]).contains("the step `group` is running"));
    assert_eq!(sandbox.json(&["workflows", "show", &id])["steps"]["group"]["may_fail"], 2);
    sandbox.ok(&["worker", "--drain"]);
    assert_eq!(sandbox.json(&["workflows", "show", &id])["state"], "succeeded");
    let late = sandbox.fails(1, &["workflows", "tolerate", &id, "group", "0"]);
    assert!(late.contains("the step `group` has ended, and keeps its end"), "{late}");
    assert!(
        sandbox.fails(1, &["workflows", "tolerate", &id, "groop", "1"]).contains("has no step `groop`; did you mean `group`?")
    );
    assert!(sandbox.fails(2, &["workflows", "tolerate", &id, "group", "101%"]).contains("a share of them such as 20%"));
}

#[test]
fn a_workflow_that_has_not_ended_by_its_deadline_is_cancelled() {
    is_in_time(&sandbox());
}

#[test]
fn a_workflow_that_has_not_ended_by_its_deadline_is_cancelled_on_postgres() {
    let schema = Schema::new();
    is_in_time(&sandbox().env("GRISTMILL_STORE", &schema.url()));
}

fn is_in_time(sandbox: &Sandbox) {
    for (deadline, why) in
        [("\"soon\"", "/deadline: "), ("7", "/deadline: "), ("\"0s\"", "/deadline: is less than a millisecond")]
    {
        let form = format!(r#"{{"name": "w", "deadline": {deadline}, "steps": {{}}}}"#);
        let refused = sandbox.run_with_input(&["workflows", "start", "-"], &form);
        assert!(refused.code == Some(2) && refused.stderr.contains(why), "{refused:?}");
    }
    let _worker = sandbox.worker(&[]);
    let form = r#"{"name": "w", "deadline": "100ms", "steps": {"a": {"task": "waits"}}, "always": {"task": "echo"}}"#;
    let id = start(sandbox, form);
    let mut last = Value::Null;
    until("it was cancelled", || {
        last = sandbox.json(&["workflows", "show", &id]);
        !last["finished_at"].is_null()
    });
    assert_eq!((&last["state"], &last["overdue"]), (&json!("cancelled"), &json!(true)), "{last}");
    assert_eq!(last["steps"]["always"]["state"], "succeeded");
    let shown = sandbox.ok(&["workflows", "show", &id]);
    assert!(shown.contains(&format!("{}, and was cancelled for it", last["deadline"].as_str().unwrap())), "{shown}");
    let member = sandbox.json(&["workflows", "members", &id, "a"])["items"][0]["id"].as_str().unwrap().to_owned();
    let why = sandbox.json(&["tasks", "why", &member]);
    assert_eq!(why["reasons"][1]["code"], "workflow_overdue", "{why}");
}
