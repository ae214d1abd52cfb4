//! Versions of a task type's arguments in the file: a name that ends in `@` and a number.

use serde_json::json;

use crate::sandbox::Sandbox;
use crate::schema::Schema;

const OLD: &str = r#"
[tasks."mail.send"]
command = ["cat"]
concurrency = 2
"#;

const NEW: &str = r#"
[tasks."mail.send@2"]
command = ["cat"]
concurrency = 2

[[route]]
match = "mail.send"
queue = "mail"
"#;

#[test]
fn a_worker_leaves_tasks_of_a_version_that_it_does_not_know() {
    leaves(&Sandbox::new(OLD));
}

#[test]
fn so_it_does_on_postgres() {
    let schema = Schema::new();
    leaves(&Sandbox::new(OLD).env("GRISTMILL_STORE", &schema.url()));
}

fn leaves(sandbox: &Sandbox) {
    sandbox.write("new.toml", NEW);
    let new = |args: &[&str]| sandbox.ok(&[args, &["--config", "new.toml"]].concat());
    let first = sandbox.enqueue("mail.send", r#"{"to": "ann"}"#);
    let second = new(&["enqueue", "mail.send@2", "--args", r#"{"to": ["ann"]}"#]);
    sandbox.ok(&["worker", "--drain", "--queues", "default=2,mail=2"]);
    let state = |id: &str| sandbox.show(id)["state"].clone();
    assert_eq!((state(&first), state(&second)), (json!("succeeded"), json!("ready")));
    let shown = sandbox.show(&second);
    assert_eq!((&shown["kind"], &shown["queue"]), (&json!("mail.send@2"), &json!("mail")), "{shown:#}");

    // And the other way round.
    let third = sandbox.enqueue("mail.send", r#"{"to": "bob"}"#);
    new(&["worker", "--drain", "--queues", "default=2,mail=2"]);
    assert_eq!((state(&second), state(&third)), (json!("succeeded"), json!("ready")));
    let kinds = sandbox.ok(&["kinds"]);
    assert!(kinds.contains("mail.send ") && kinds.contains("mail.send@2"), "{kinds}");
    for (kind, tasks) in [("mail.send", [&first, &third].as_slice()), ("mail.send@2", &[&second])] {
        let listed = sandbox.ok(&["tasks", "list", "--kind", kind]);
        assert!(tasks.iter().all(|id| listed.contains(id.as_str())) && listed.matches(kind).count() == tasks.len(), "{listed}");
    }
    sandbox.ok(&["doctor"]);
}
