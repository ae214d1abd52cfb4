//! `workflows start|list|show|members|cancel|pause|resume`, and what tasks say of the workflow that they are of.

use serde_json::{Value, json};

use crate::sandbox::{Sandbox, until};
use crate::schema::Schema;

const UPLOAD: &str = r#"{"name": "upload", "key": "upload:abc", "steps": {
  "process": {"task": "echo", "each": [{"n": 1}, {"n": 2}]},
  "merge":   {"task": "echo", "after": ["process"], "args": {"results": {"$results": "process"}, "sum": 3}},
  "notify":  {"task": "echo", "after": ["merge"], "args": {"n": {"$result": "merge", "at": "/sum"}}}}}"#;

/// A task type that says what it was told, one that fails with an escape sequence, and one that goes on until a file is there.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new(
        "[tasks.echo]\ncommand = [\"cat\"]\n\
         [tasks.fails]\ncommand = [\"sh\", \"-c\", \"printf 'no \\\\033[31mway' >&2; exit 3\"]\nmax_attempts = 1\n\
         [tasks.waits]\ncommand = [\"sh\", \"-c\", \"until test -e go; do sleep 0.01; done\"]\n",
    );
    sandbox.write("upload.json", UPLOAD);
    sandbox
}

/// Starts a workflow from standard input.
fn start(sandbox: &Sandbox, form: &str) -> String {
    let ended = sandbox.run_with_input(&["workflows", "start", "-"], form);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.stdout.trim().to_owned()
}

fn until_ended(sandbox: &Sandbox, id: &str) -> Value {
    let mut last = Value::Null;
    until(&format!("{id} has ended"), || {
        last = sandbox.json(&["workflows", "show", id]);
        !last["finished_at"].is_null()
    });
    last
}

#[test]
fn a_workflow_is_started_run_and_shown() {
    runs_and_is_shown(&sandbox());
}

#[test]
fn a_workflow_is_started_run_and_shown_on_postgres() {
    let schema = Schema::new();
    runs_and_is_shown(&sandbox().env("GRISTMILL_STORE", &schema.url()));
}

fn runs_and_is_shown(sandbox: &Sandbox) {
    let id = sandbox.ok(&["workflows", "start", "upload.json"]);
    let waiting = sandbox.json(&["workflows", "show", &id]);
    for field in ["id", "name", "key", "state", "attempt", "created_at", "finished_at", "steps"] {
        assert!(waiting.get(field).is_some(), "{field} is missing in {waiting}");
    }
    assert_eq!(
        (&waiting["name"], &waiting["key"], &waiting["state"]),
        (&json!("upload"), &json!("upload:abc"), &json!("running"))
    );
    let process = json!({ "state": "running", "task": "echo", "tasks": 2, "succeeded": 0, "failed": 0, "cancelled": 0, "waiting": 2,
        "open": false, "role": "work", "undoes": null, "after": {}, "may_fail": 0, "reason": null });
    assert_eq!(waiting["steps"]["process"], process);
    assert_eq!(waiting["steps"]["merge"]["after"], json!({ "process": "success" }));
    let tree = sandbox.ok(&["workflows", "show", &id]);
    for line in ["process  running  2 tasks", "└─ merge  waiting  for process", "   └─ notify  waiting  for merge"] {
        assert!(tree.contains(line), "{line} is not in\n{tree}");
    }
    sandbox.ok(&["worker", "--drain"]);
    let ended = until_ended(sandbox, &id);
    assert_eq!((&ended["state"], &ended["steps"]["notify"]["succeeded"]), (&json!("succeeded"), &json!(1)));

    let members = sandbox.json(&["workflows", "members", &id, "process", "--limit", "1"]);
    assert_eq!((&members["items"][0]["result"], &members["next"]), (&json!({ "n": 1 }), &json!("0")));
    let second = sandbox.json(&["workflows", "members", &id, "process", "--cursor", "0"]);
    assert_eq!((&second["items"][0]["result"], &second["next"]), (&json!({ "n": 2 }), &Value::Null));
    let last = sandbox.json(&["workflows", "members", &id, "notify"]);
    assert_eq!(last["items"][0]["result"], json!({ "n": 3 }));
    let task = sandbox.show(last["items"][0]["id"].as_str().unwrap());
    assert_eq!((&task["workflow"], &task["step"]), (&json!(id), &json!("notify")));
    let listed = sandbox.ok(&["tasks", "list", "--columns", "id,workflow,step"]);
    assert_eq!(listed.matches(&id).count(), 4, "{listed}");
    let none = sandbox.fails(1, &["workflows", "members", &id, "notfy"]);
    assert!(none.contains("has no step `notfy`; did you mean `notify`?"), "{none}");
}

#[test]
fn workflows_are_listed_by_pages_and_found_by_the_beginning_of_an_id() {
    let sandbox = sandbox();
    sandbox.ok(&["migrate"]);
    assert_eq!(sandbox.json(&["workflows", "list"]), json!({ "items": [], "next": null }));
    let first = sandbox.ok(&["workflows", "start", "upload.json"]);
    let again = sandbox.run(&["workflows", "start", "upload.json"]);
    assert_eq!((again.code, again.stdout.trim()), (Some(0), first.as_str()));
    assert!(again.stderr.contains("holds the key"), "{again:?}");
    let other = sandbox.ok(&["workflows", "start", "upload.json", "--key", "upload:def"]);
    let empty = start(&sandbox, r#"{"name": "empty", "steps": {}}"#);
    let ids = |args: &[&str]| {
        let listed = sandbox.json(&[&["workflows", "list"], args].concat());
        listed["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&[]), [empty.clone(), other.clone(), first.clone()]);
    assert_eq!(ids(&["--state", "succeeded"]), std::slice::from_ref(&empty));
    assert_eq!(ids(&["--name", "upload", "--state", "running", "--state", "paused"]), [other.clone(), first.clone()]);
    assert_eq!(ids(&["--key", "upload:abc"]), std::slice::from_ref(&first));
    let page = sandbox.json(&["workflows", "list", "--limit", "2"]);
    assert!(page["items"][0].get("steps").is_none(), "{page}");
    assert_eq!(ids(&["--limit", "2", "--cursor", page["next"].as_str().unwrap()]), std::slice::from_ref(&first));
    sandbox.fails(2, &["workflows", "list", "--state", "ready"]);

    // All of it but the last character, which tells them apart.
    let begin = &first[..first.len() - 1];
    assert_eq!(sandbox.json(&["workflows", "show", begin])["id"], json!(first));
    assert!(sandbox.fails(1, &["workflows", "show", "ffffffff"]).contains("none has an id that begins with"));
    assert!(sandbox.fails(1, &["workflows", "show", "019a0000-0000-7000-8000-000000000001"]).contains("there is no workflow"));
    sandbox.fails(2, &["workflows", "show", "seven"]);
    let names = sandbox.ok(&["names", "workflows"]);
    assert!(names.contains(&other) && !names.contains(&empty), "{names}");
}

#[test]
fn whoever_waits_gets_the_result_and_the_end_is_the_exit_code() {
    waits_for_results(&sandbox());
}

#[test]
fn whoever_waits_gets_the_result_and_the_end_is_the_exit_code_on_postgres() {
    let schema = Schema::new();
    waits_for_results(&sandbox().env("GRISTMILL_STORE", &schema.url()));
}

fn waits_for_results(sandbox: &Sandbox) {
    let _worker = sandbox.worker(&[]);
    let wait = |form: &str, more: &[&str]| sandbox.run_with_input(&[&["workflows", "start", "-", "--wait"], more].concat(), form);
    let one = wait(UPLOAD, &[]);
    assert_eq!((one.code, one.stdout.as_str()), (Some(0), "{\"n\":3}\n"), "{one:?}");
    let several = wait(
        r#"{"name": "w", "steps": {"z": {"task": "echo", "args": {"n": 1}}, "a": {"task": "echo", "each": [{"n": 2}], "on_failure": {"task": "echo"}}}}"#,
        &[],
    );
    assert_eq!(
        serde_json::from_str::<Value>(&several.stdout).unwrap(),
        json!({ "z": { "n": 1 }, "a": [{ "n": 2 }] }),
        "{several:?}"
    );

    let failed = wait(
        r#"{"name": "w", "steps": {"bad": {"task": "fails"}, "next": {"task": "echo", "after": ["bad"]}}, "on_failure": {"task": "echo", "args": {"why": {"$failure": true}}}}"#,
        &[],
    );
    assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), ""), "{failed:?}");
    assert!(failed.stderr.contains("step `bad`") && !failed.stderr.contains('\x1b'), "{failed:?}");
    let id = sandbox.json(&["workflows", "list", "--state", "failed"])["items"][0]["id"].as_str().unwrap().to_owned();
    let shown = sandbox.json(&["workflows", "show", &id]);
    assert_eq!(
        (&shown["steps"]["next"]["state"], &shown["steps"]["next"]["reason"]),
        (&json!("skipped"), &json!({ "after": "bad" }))
    );
    let tree = sandbox.ok(&["workflows", "show", &id]);
    assert!(tree.contains("└─ next  skipped") && tree.contains("as bad failed") && !tree.contains('\x1b'), "{tree:?}");
    let member = |step: &str| sandbox.json(&["workflows", "members", &id, step])["items"][0].clone();
    assert_eq!(member("on_failure")["result"]["why"]["step"], "bad");
    let why = sandbox.json(&["tasks", "why", member("next")["id"].as_str().unwrap()]);
    let reason = &why["reasons"][1];
    assert_eq!(
        (&reason["code"], &reason["after"], &reason["task"]),
        (&json!("step_skipped"), &json!("bad"), &member("bad")["id"])
    );

    let slow = wait(r#"{"name": "w", "steps": {"a": {"task": "waits"}}}"#, &["--timeout", "10ms"]);
    assert_eq!(slow.code, Some(4), "{slow:?}");
    assert!(slow.stderr.contains("did not end in time"), "{slow:?}");
    sandbox.write("go", "");
    assert!(sandbox.fails(2, &["workflows", "start", "upload.json", "--timeout", "1s"]).contains("--wait"));
}

#[test]
fn workflows_are_paused_resumed_and_cancelled() {
    obeys_orders(&sandbox());
}

#[test]
fn workflows_are_paused_resumed_and_cancelled_on_postgres() {
    let schema = Schema::new();
    obeys_orders(&sandbox().env("GRISTMILL_STORE", &schema.url()));
}

fn obeys_orders(sandbox: &Sandbox) {
    let form =
        r#"{"name": "w", "steps": {"a": {"task": "waits"}, "b": {"task": "echo", "after": ["a"]}}, "always": {"task": "echo"}}"#;
    let id = start(sandbox, form);
    let answer = sandbox.json(&["workflows", "pause", &id]);
    assert_eq!(answer, json!({ "items": [{ "id": id, "outcome": "done", "state": "paused" }] }));
    let member = |step: &str| sandbox.json(&["workflows", "members", &id, step])["items"][0]["id"].as_str().unwrap().to_owned();
    let why = |step: &str| sandbox.json(&["tasks", "why", &member(step)])["reasons"].clone();
    let reasons = why("b");
    assert_eq!(
        (&reasons[0]["code"], &reasons[0]["steps"], &reasons[1]["code"]),
        (&json!("blocked"), &json!(["a"]), &json!("workflow_paused"))
    );
    assert!(reasons[1]["text"].as_str().unwrap().contains(&format!("workflows resume {id}")), "{reasons}");
    assert!(sandbox.ok(&["workflows", "show", &id]).contains("b  waiting  until the workflow is resumed"));
    sandbox.ok(&["workflows", "resume", &id]);
    assert_eq!(why("always")[0]["steps"], json!(["a", "b"]));

    let _worker = sandbox.worker(&[]);
    sandbox.until_state(&member("a"), "running");
    let answer = sandbox.json(&["workflows", "cancel", &id]);
    assert_eq!(answer["items"][0]["state"], "cancelling");
    let ended = until_ended(sandbox, &id);
    assert_eq!((&ended["state"], &ended["steps"]["b"]["reason"]), (&json!("cancelled"), &json!({ "after": "a" })), "{ended}");
    assert_eq!(ended["steps"]["always"]["state"], "succeeded");
    let again = sandbox.fails(1, &["workflows", "cancel", &id, "019a0000-0000-7000-8000-000000000001"]);
    assert!(again.contains("2 workflows could not be cancelled"), "{again}");
}

#[test]
fn every_mistake_is_told_with_its_place_and_makes_no_database() {
    let sandbox = sandbox();
    let refused = |form: &str, says: &[&str]| {
        let ended = sandbox.run_with_input(&["workflows", "start", "-"], form);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{form}: {ended:?}");
        for says in says {
            assert!(ended.stderr.lines().any(|line| line.starts_with(&format!("error: {says}"))), "{says}: {ended:?}");
        }
    };
    refused("{", &["the workflow is not JSON: EOF"]);
    refused(
        r#"{"name": "w", "steps": {"a": {"task": "echo", "afer": []}, "b": {"task": "echo", "each": {}}}}"#,
        &["/steps/a/afer: unknown field `afer`; did you mean `after`?", "/steps/b/each: is no array"],
    );
    refused(
        r#"{"name": "w", "steps": {"a": {"task": "echo", "after": ["b"]}, "b": {"task": "echo", "after": ["a"]}}}"#,
        &["/steps/a/after: waits for itself"],
    );
    refused(r#"{"name": "w", "steps": {"a": {"task": "echo"}, "a": {"task": "echo"}}}"#, &["/steps/a: is there twice"]);
    refused(
        r#"{"name": "w", "steps": {"a\u001b[31m": {"task": "echo"}}}"#,
        &["/steps/a\\u{1b}[31m: its name holds the control character"],
    );
    sandbox.fails(2, &["workflows", "start", "nowhere.json"]);
    sandbox.fails(2, &["workflows", "start", "."]);
    sandbox.write("bytes.json", b"\xff\xfe");
    sandbox.fails(2, &["workflows", "start", "bytes.json"]);
    sandbox.fails(2, &["workflows", "start", "upload.json", "--key", ""]);
    assert!(!sandbox.path("gristmill.db").exists(), "nothing to start, and yet a database was made");

    let unknown = sandbox.run_with_input(&["workflows", "start", "-"], r#"{"name": "w", "steps": {"a": {"task": "ehco"}}}"#);
    assert!(unknown.code == Some(2) && unknown.stderr.contains("no task type `ehco` here; did you mean `echo`?"), "{unknown:?}");
    assert!(!sandbox.path("gristmill.db").exists(), "nothing to start, and yet a database was made");
    sandbox.ok(&["migrate"]);
    refused(
        r#"{"name": "w", "steps": {"a": {"task": "ehco"}, "b": {"task": "x", "undo": {"task": "y"}}}}"#,
        &[
            "/steps/a/task: there is no task type `ehco`; did you mean echo?",
            "/steps/b/task: there is no task type `x`",
            "/steps/b/undo/task: there is no task type `y`",
        ],
    );
    assert_eq!(sandbox.json(&["workflows", "list"])["items"], json!([]));
    let forced =
        sandbox.run_with_input(&["workflows", "start", "-", "--force"], r#"{"name": "w", "steps": {"a": {"task": "x"}}}"#);
    assert_eq!(forced.code, Some(0), "{forced:?}");
}

#[test]
fn names_do_nothing_to_a_terminal_or_to_graphviz() {
    let sandbox = sandbox();
    let step = "a\"]; \u{202e}b\\";
    let form = json!({ "name": "w\u{2028}\"", "key": "k\u{202e}", "tags": ["\u{202e}"], "steps": {
        step: { "task": "echo", "undo": { "task": "echo" } },
        "next": { "task": "echo", "after": [step], "args": { "x": { "$result": step } } },
    } });
    let id = start(&sandbox, &form.to_string());
    let is_harmless = |text: &str| !text.contains(['\u{202e}', '\u{2028}', '\x1b']);
    for args in [
        &["workflows", "list"][..],
        &["workflows", "show", &id],
        &["workflows", "show", &id, "--dot"],
        &["tasks", "list", "--columns", "step"],
    ] {
        let text = sandbox.ok(args);
        assert!(is_harmless(&text), "{text:?}");
    }
    let dot = sandbox.ok(&["workflows", "show", &id, "--dot"]);
    let name = r#""a\"]; \\u{202e}b\\""#;
    for line in [
        format!("  {name} [label=\"a\\\"]; \\\\u{{202e}}b\\\\\\nrunning\", color=blue];"),
        format!("  {name} -> \"next\";"),
        "digraph \"w\\\\u{2028}\\\"\" {".to_owned(),
    ] {
        assert!(dot.lines().any(|shown| shown == line), "{line} is not in\n{dot}");
    }
    assert!(dot.contains("label=\"undo\", style=dashed"), "{dot}");
    let json = sandbox.run(&["workflows", "show", &id, "-o", "json"]).stdout;
    assert!(is_harmless(&json) && json.contains("\\u202e"), "{json}");
    let failed = sandbox.fails(1, &["workflows", "members", &id, "\u{202e}"]);
    assert!(is_harmless(&failed), "{failed:?}");
}

#[test]
fn a_large_step_is_folded() {
    let sandbox = sandbox();
    let each = |count: usize| (0..count).map(|n| json!({ "n": n })).collect::<Vec<_>>();
    let form = json!({ "name": "w", "steps": { "few": { "task": "echo", "each": each(20) }, "many": { "task": "echo", "each": each(1_500) } } });
    let id = start(&sandbox, &form.to_string());
    let tree = sandbox.ok(&["workflows", "show", &id]);
    assert!(tree.contains("many  running  1500 tasks"), "{tree}");
    assert_eq!(tree.matches("· ").count(), 20, "{tree}");
    let all = sandbox.json(&["workflows", "members", &id, "many", "--limit", "1000"]);
    assert_eq!((all["items"].as_array().unwrap().len(), &all["next"]), (1_000, &json!("999")));
}
