//! `events`, `tasks resume|export`, `workflows export|doctor`, and what `tasks why` says of tasks that wait by their steps.

use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gristmill::{App, Client, Context, Error, Result, task};
use rustix::process::Signal;
use serde_json::json;

use crate::crash::{DRAIN, with_failpoint};
use crate::sandbox::{Sandbox, until};
use crate::schema::Schema;

/// Whether the code has changed.
type Changed = Arc<AtomicBool>;

#[task(name = "order", max_attempts = 9, backoff = fixed("1h"))]
async fn order(cx: &Context<Changed>) -> Result<String> {
    let name = if cx.state.load(Ordering::Relaxed) { "check" } else { "charge" };
    cx.step(name, async || Ok(7)).await?;
    if cx.attempt() == 2 {
        return Err(Error::retry("not yet"));
    }
    let paid = cx.event::<String>("paid:17", None).await?;
    Ok(paid.unwrap_or_default())
}

async fn client(changed: &Changed, url: &str) -> Client {
    App::new(changed.clone()).register::<Order>().connect(url).await.unwrap()
}

/// Runs what is ready, as a worker of the application does.
async fn drain(client: &Client) {
    client.worker().queue("default", 1).drain(true).start().await.unwrap().ended().await;
}

#[test]
fn who_awaits_an_event_is_seen_and_goes_on_when_it_is_sent() {
    let sandbox = Sandbox::with_echo();
    let url = format!("sqlite:{}", sandbox.path("gristmill.db").display());
    sees_and_sends(&sandbox, &url);
}

#[test]
fn who_awaits_an_event_is_seen_and_goes_on_when_it_is_sent_on_postgres() {
    let schema = Schema::new();
    sees_and_sends(&Sandbox::with_echo().env("GRISTMILL_STORE", &schema.url()), &schema.url());
}

fn sees_and_sends(sandbox: &Sandbox, url: &str) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = runtime.block_on(client(&Changed::default(), url));
    let id = runtime.block_on(async { client.enqueue(Order {}).await.unwrap().id() }).to_string();
    runtime.block_on(drain(&client));
    let waiting = sandbox.json(&["events", "list", "--waiting"]);
    assert_eq!(waiting, json!({ "items": [{ "event": "paid:17", "task": id, "until": null }] }));
    let why = sandbox.json(&["tasks", "why", &id]);
    assert_eq!((&why["reasons"][0]["code"], &why["reasons"][0]["event"]), (&json!("awaits_event"), &json!("paid:17")));
    assert!(
        sandbox
            .ok(&["tasks", "why", &id])
            .contains("it awaits the event `paid:17` as its step 2; `events send paid:17` sends it")
    );
    let exported = sandbox.json(&["tasks", "export", &id]);
    assert_eq!(exported["steps"][0], json!({ "position": 0, "name": "charge", "occurrence": 0, "kept": "value", "value": 7 }));
    assert_eq!(exported["steps"][1]["kept"], "event");

    assert_eq!(sandbox.ok(&["events", "send", "paid:17", "\"ann\"", "--keep", "1h"]), "paid:17");
    let again = sandbox.run(&["events", "send", "paid:17", "\"bob\""]);
    assert!(again.code == Some(0) && again.stderr.contains("there is an event `paid:17` already"), "{again:?}");
    assert_eq!(sandbox.json(&["events", "send", "paid:17"]), json!({ "name": "paid:17", "outcome": "exists" }));
    // From a file and from standard input, kept as it was written.
    sandbox.write("large.json", format!("\"{}\"", "x".repeat(300_000)));
    sandbox.ok(&["events", "send", "large", "@large.json"]);
    assert_eq!(sandbox.run_with_input(&["events", "send", "number", "-"], "1e400").code, Some(0));
    assert!(sandbox.ok(&["events", "list", "number", "-o", "jsonl"]).contains("\"payload\":1e400"));
    let events = sandbox.json(&["events", "list", "paid:17"]);
    assert_eq!((&events["items"][0]["payload"], &events["next"]), (&json!("ann"), &json!(null)));
    runtime.block_on(drain(&client));
    let task = sandbox.show(&id);
    assert_eq!((&task["state"], &task["result"]), (&json!("succeeded"), &json!("ann")));
    assert_eq!(sandbox.json(&["events", "list", "--waiting"]), json!({ "items": [] }));
}

#[test]
fn who_stands_still_is_shown_and_resumed() {
    let sandbox = Sandbox::with_echo();
    let url = format!("sqlite:{}", sandbox.path("gristmill.db").display());
    stands_and_resumes(&sandbox, &url);
}

#[test]
fn who_stands_still_is_shown_and_resumed_on_postgres() {
    let schema = Schema::new();
    stands_and_resumes(&Sandbox::with_echo().env("GRISTMILL_STORE", &schema.url()), &schema.url());
}

fn stands_and_resumes(sandbox: &Sandbox, url: &str) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let changed = Changed::default();
    let client = runtime.block_on(client(&changed, url));
    let id = runtime.block_on(async { client.enqueue(Order {}).await.unwrap().id() }).to_string();
    runtime.block_on(drain(&client));
    changed.store(true, Ordering::Relaxed);
    sandbox.ok(&["events", "send", "paid:17", "\"ann\""]);
    runtime.block_on(drain(&client));
    let why = sandbox.json(&["tasks", "why", &id]);
    let reason = &why["reasons"][0];
    assert_eq!(
        (&reason["code"], &reason["position"], &reason["expected"], &reason["found"]),
        (&json!("stands_still"), &json!(0), &json!("charge"), &json!("check"))
    );
    assert!(reason["text"].as_str().unwrap().contains(&format!("`tasks resume {id}` lets it go on")), "{reason}");
    assert_eq!(sandbox.json(&["tasks", "resume", &id]), json!({ "items": [{ "id": id, "outcome": "done" }] }));
    runtime.block_on(drain(&client));
    assert_eq!(
        sandbox.json(&["tasks", "why", &id])["reasons"][0]["code"],
        "stands_still",
        "by the same code it comes no further"
    );
    sandbox.ok(&["tasks", "resume", &id, "--forget"]);
    runtime.block_on(drain(&client));
    assert_eq!(sandbox.show(&id)["result"], "ann");
    let told = sandbox.fails(1, &["tasks", "resume", &id, "--fail"]);
    assert!(told.contains("1 task could not be resumed, as not standing still or not there"), "{told}");
}

/// The stock binary runs a workflow that is a step of another; what stands still is told.
#[test]
fn a_workflow_within_a_workflow_runs_and_is_exported_and_what_stands_still_is_told() {
    nests(&Sandbox::with_echo());
}

#[test]
fn a_workflow_within_a_workflow_runs_and_is_exported_and_what_stands_still_is_told_on_postgres() {
    let schema = Schema::new();
    let sandbox = Sandbox::with_echo().env("GRISTMILL_STORE", &schema.url());
    nests(&sandbox);
    let form = r#"{"name": "pages", "steps": {"resize": {"task": "echo", "args": {"pages": 3}}}}"#;
    let id = schema.text(&format!("SELECT gristmill.enqueue('gristmill.workflow', '{form}')")).unwrap();
    let _worker = sandbox.worker(&[]);
    until("what SQL has started has ended", || sandbox.show(&id)["state"] == "succeeded");
    assert_eq!(sandbox.show(&id)["result"], json!({ "pages": 3 }));
}

fn nests(sandbox: &Sandbox) {
    let form = r#"{"name": "outer", "steps": {
        "first": {"task": "echo", "args": {"n": 1}},
        "rest": {"after": ["first"], "workflow": {"name": "inner", "steps": {
            "second": {"task": "echo", "args": {"n": {"$result": "first", "at": "/n"}}}}}}}}"#;
    let started = sandbox.run_with_input(&["workflows", "start", "-"], form);
    assert_eq!(started.code, Some(0), "{started:?}");
    let id = started.stdout.trim();
    let held = sandbox.json(&["workflows", "doctor"]);
    let codes: Vec<_> = held["items"].as_array().unwrap().iter().map(|item| item["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["no_worker"], "{held}");
    let worker = sandbox.worker(&[]);
    until("the workflow has ended", || sandbox.json(&["workflows", "show", id])["state"] == "succeeded");
    drop(worker);
    assert_eq!(sandbox.json(&["workflows", "doctor"]), json!({ "items": [] }));
    let exported = sandbox.json(&["workflows", "export", id]);
    assert_eq!(exported["workflow"]["name"], "outer");
    let rest = &exported["tasks"][1];
    assert_eq!((&rest["step"], &rest["kind"]), (&json!("rest"), &json!("gristmill.workflow")));
    assert_eq!(rest["steps"][0]["kept"], "replaced");
    let result = sandbox.show(rest["id"].as_str().unwrap());
    assert_eq!(result["result"], json!({ "n": 1 }));
    // As SQL does, with an enqueue.
    let alone = sandbox.ok(&[
        "enqueue",
        "gristmill.workflow",
        "--args",
        r#"{"name": "w", "steps": {"a": {"task": "echo", "args": {"n": 2}}}}"#,
    ]);
    let worker = sandbox.worker(&[]);
    until("the task has ended", || sandbox.show(&alone)["state"] == "succeeded");
    drop(worker);
}

#[test]
fn bad_events_and_ids_are_told() {
    let sandbox = Sandbox::with_echo();
    sandbox.ok(&["migrate"]);
    for (code, args, words) in [
        (2, vec!["events", "send", "paid", "ann"], "it is no JSON"),
        (2, vec!["events", "send", ""], "event: is empty; give it a name"),
        (2, vec!["events", "send", "paid", "--keep", "-1s"], "a duration begins with a number"),
        (1, vec!["tasks", "export", "019a3f5c-8b1e-7c40-9d53-0a4f3b1f0001"], "there is no task"),
        (1, vec!["tasks", "resume", "019a3f5c-8b1e-7c40-9d53-0a4f3b1f0001"], "1 task could not be resumed"),
        (2, vec!["tasks", "resume", "019a3f5c-8b1e-7c40-9d53-0a4f3b1f0001", "--fail", "--forget"], "cannot be used with"),
        (1, vec!["workflows", "export", "019a3f5c-8b1e-7c40-9d53-0a4f3b1f0001"], "there is no workflow"),
        (2, vec!["event", "send"], "events"),
    ] {
        let told = sandbox.fails(code, &args);
        assert!(told.contains(words), "{args:?}: {told}");
    }
}

/// Right before and right after what it waits for is written; and what was written and not answered is not done twice.
#[test]
fn a_worker_that_dies_or_hears_nothing_when_its_task_begins_to_wait_starts_what_that_waits_for_once() {
    for point in ["checkpoint.before=abort", "checkpoint.after=abort", "checkpoint.before=error", "checkpoint.after=error"] {
        let sandbox = Sandbox::with_echo();
        let form = r#"{"name": "inner", "steps": {"a": {"task": "echo", "args": {"n": 2}}}}"#;
        let id = sandbox.enqueue("gristmill.workflow", form);
        let status = with_failpoint(&sandbox, point, DRAIN);
        assert_eq!(status.signal(), point.ends_with("abort").then_some(6), "{point} was not passed");
        sandbox.ok(DRAIN);
        let task = sandbox.show(&id);
        assert_eq!((&task["state"], &task["result"]), (&json!("succeeded"), &json!({ "n": 2 })), "{point}: {task}");
        assert_eq!(sandbox.json(&["workflows", "list"])["items"].as_array().unwrap().len(), 1, "{point}");
        assert_eq!(sandbox.json(&["tasks", "list", "--kind", "echo"])["items"].as_array().unwrap().len(), 1, "{point}");
        sandbox.ok(&["doctor"]);
    }
}

/// The first of many end at once, and the last ones wait for what nobody sends.
#[task(name = "late")]
async fn late(cx: &Context<Changed>, n: u32) -> Result<()> {
    if n >= 1_000 {
        cx.event::<()>("never", None).await?;
    }
    Ok(())
}

#[test]
fn the_doctor_finds_who_waits_behind_a_thousand_that_have_ended() {
    let sandbox = Sandbox::with_echo();
    let url = format!("sqlite:{}", sandbox.path("gristmill.db").display());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = App::new(Changed::default()).register::<Late>().connect(&url).await.unwrap();
        let mut w = client.workflow("many");
        w.each("late", (0..1_002).map(|n| Late { n }));
        w.start().await.unwrap();
        drain(&client).await;
    });
    let held = sandbox.json(&["workflows", "doctor"]);
    let codes: Vec<_> = held["items"].as_array().unwrap().iter().map(|item| item["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["awaits_event", "no_worker", "awaits_event", "no_worker"], "{held}");
}

/// As one whose start was interrupted.
#[test]
fn the_doctor_names_a_group_that_was_left_open_and_what_helps() {
    let sandbox = Sandbox::with_echo();
    let url = format!("sqlite:{}", sandbox.path("gristmill.db").display());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let id = runtime.block_on(async {
        let client = App::new(Changed::default()).register::<Late>().connect(&url).await.unwrap();
        let mut w = client.workflow("grows");
        w.each("late", [Late { n: 1 }]).open();
        let run = w.start().await.unwrap();
        drain(&client).await;
        run.id()
    });
    let held = sandbox.json(&["workflows", "doctor"]);
    let (item, helps) = (&held["items"][0], format!("`workflows cancel {id}` ends it"));
    assert!(item["code"] == "open" && item["text"].as_str().unwrap().ends_with(&helps), "{held}");
    sandbox.ok(&["workflows", "cancel", &id.to_string()]);
    assert_eq!(sandbox.json(&["workflows", "doctor"]), json!({ "items": [] }));
}

#[test]
fn who_interrupts_the_wait_for_a_workflow_is_told_its_id() {
    let sandbox = Sandbox::with_echo();
    sandbox.write("form.json", r#"{"name": "w", "steps": {"a": {"task": "echo", "args": {"n": 2}}}}"#);
    let mut waits = sandbox.start(&["workflows", "start", "form.json", "--wait"]);
    waits.hears("no live worker serves `echo`");
    waits.signal(Signal::INT);
    let (status, said) = waits.ended();
    let id = sandbox.json(&["workflows", "list"])["items"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(status.code(), Some(130), "{said}");
    assert!(said.contains(&format!("the wait for workflow {id} was interrupted")), "{said}");
    assert!(said.contains(&format!("it goes on; `workflows show {id}` tells where it stands")), "{said}");
}
