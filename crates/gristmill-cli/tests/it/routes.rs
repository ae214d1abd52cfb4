//! Where tasks go by the file: routes, defaults of queues, the prefix of an environment; and how often they run, in others' words.

use serde_json::{Value, json};

use crate::sandbox::Sandbox;
use crate::schema::Schema;

const ROUTED: &str = r#"
[tasks."app.tasks.sync"]
command = ["cat"]
retries = 3

[tasks."app.tasks.notify"]
command = ["cat"]
queue = "own"

[[route]]
match = "app.tasks.*"
queue = "tasks"
timeout = "10m"

[[route]]
match = "app.tasks.notify"
when = { plan = "enterprise" }
queue = "enterprise_{queue}"

[queues.tasks]
expires = "1h"
"#;

fn task(sandbox: &Sandbox, kind: &str, args: Value) -> Value {
    sandbox.show(&sandbox.enqueue(kind, &args.to_string()))
}

#[test]
fn a_file_says_where_tasks_go() {
    routes(&Sandbox::new(ROUTED));
}

#[test]
fn a_file_says_where_tasks_go_on_postgres() {
    let schema = Schema::new();
    routes(&Sandbox::new(ROUTED).env("GRISTMILL_STORE", &schema.url()));
}

fn routes(sandbox: &Sandbox) {
    let sync = task(sandbox, "app.tasks.sync", json!({}));
    assert_eq!((&sync["queue"], &sync["max_attempts"]), (&json!("tasks"), &json!(4)));
    let paid = task(sandbox, "app.tasks.notify", json!({ "plan": "enterprise" }));
    assert_eq!(paid["queue"], json!("enterprise_tasks"), "the exact name comes first");
    let free = task(sandbox, "app.tasks.notify", json!({ "plan": "free" }));
    assert_eq!(free["queue"], json!("tasks"));
    let asked = sandbox.show(&sandbox.ok(&["enqueue", "app.tasks.sync", "--queue", "asked"]));
    assert_eq!(asked["queue"], json!("asked"));
    // A worker that is told of no queues serves those to which routes lead, as far as their names are known.
    sandbox.ok(&["worker", "--drain"]);
    let state = |task: &Value| sandbox.show(task["id"].as_str().unwrap())["state"].clone();
    assert_eq!([&sync, &paid, &free].map(state), [json!("succeeded"), json!("ready"), json!("succeeded")]);
    sandbox.ok(&["worker", "--drain", "--queues", "enterprise_tasks=1"]);
    assert_eq!(state(&paid), json!("succeeded"));
}

#[test]
fn what_is_doubtful_about_routes_is_told() {
    let sandbox = Sandbox::new(&format!(
        "{ROUTED}\n[worker]\nqueues = {{ default = 1, own = 1 }}\n\n[[route]]\nmatch = \"app.taks.*\"\nqueue = \"elsewhere\"\n"
    ));
    let checked = sandbox.json(&["config", "check"]);
    let told: Vec<&str> = checked["warnings"].as_array().unwrap().iter().filter_map(|doubt| doubt["message"].as_str()).collect();
    for says in ["does not have the queue `tasks`", "does not have the queue `elsewhere`", "no task type here fits `app.taks.*`"]
    {
        assert!(told.iter().any(|message| message.contains(says)), "{says}: {told:#?}");
    }
    let shown = sandbox.json(&["config", "show"]);
    let value =
        |key: &str| shown["items"].as_array().unwrap().iter().find(|row| row["key"] == key).map(|row| row["value"].clone());
    assert_eq!(value("route.1.app.tasks.*"), Some(json!("queue tasks, timeout 10m")));
    assert_eq!(value("route.2.app.tasks.notify"), Some(json!("when plan = \"enterprise\", queue enterprise_{queue}")));
    assert_eq!(value("queues.tasks.expires"), Some(json!("1h")));
    assert_eq!(value("tasks.app.tasks.sync.max_attempts"), Some(json!("4")));
}

#[test]
fn environments_that_share_a_store_have_queues_of_their_own() {
    let sandbox = Sandbox::new(
        "queue_prefix = \"staging_\"\n[worker]\nqueues = { default = 1, mail = 1 }\n[tasks.echo]\ncommand = [\"cat\"]\n",
    );
    let id = sandbox.enqueue("echo", "{}");
    let mail = sandbox.ok(&["enqueue", "echo", "--queue", "mail"]);
    assert_eq!(
        (sandbox.show(&id)["queue"].clone(), sandbox.show(&mail)["queue"].clone()),
        (json!("staging_default"), json!("staging_mail"))
    );
    // Another environment on the same store takes none of them.
    sandbox.write("gristmill.toml", "[tasks.echo]\ncommand = [\"cat\"]\n");
    sandbox.ok(&["worker", "--drain"]);
    assert_eq!(sandbox.show(&id)["state"], json!("ready"));
    sandbox.write("gristmill.toml", "queue_prefix = \"staging_\"\n[tasks.echo]\ncommand = [\"cat\"]\n");
    sandbox.ok(&["worker", "--drain", "--queues", "default=1,mail=1"]);
    assert_eq!(
        (sandbox.show(&id)["state"].clone(), sandbox.show(&mail)["state"].clone()),
        (json!("succeeded"), json!("succeeded"))
    );
}

#[test]
fn retries_are_understood_and_said_in_one_way_only() {
    let sandbox = Sandbox::with_echo();
    let line = |text: &str| sandbox.run_with_input(&["enqueue", "--jsonl", "-"], text);
    let id = "019a0000-0000-7000-8000-000000000001";
    let ended = line(&format!("{{\"task\": \"echo\", \"retries\": 2, \"id\": \"{id}\"}}\n"));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(sandbox.show(id)["max_attempts"], json!(3));
    let twice = line("{\"task\": \"echo\", \"retries\": 2, \"max_attempts\": 3}\n");
    assert!(twice.code == Some(1) && twice.stderr.contains("has both `retries` and `max_attempts`"), "{twice:?}");
    let form = r#"{"name": "w", "steps": {"a": {"task": "echo", "retries": 1, "max_attempts": 1}}}"#;
    let refused = sandbox.run_with_input(&["workflows", "start", "-"], form);
    assert!(refused.stderr.contains("has both `retries` and `max_attempts`"), "{refused:?}");
}
