//! The four ways in which a backend runs its business logic, as an operator types them: now, in the background, at a moment,
//! and again and again by configuration.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::sandbox::{Sandbox, until};
use crate::schema::Schema;

const CONFIG: &str = r#"
[tasks.echo]
command = ["cat"]
[[schedule]]
name = "board.poll"
task = "echo"
args = { from = "configuration" }
every = "1s"
"#;

#[test]
fn all_four_run_on_sqlite() {
    all_four(Sandbox::new(CONFIG));
}

#[test]
fn all_four_run_on_postgres() {
    let schema = Schema::new();
    all_four(Sandbox::new(CONFIG).env("GRISTMILL_STORE", &schema.url()));
}

#[test]
fn the_schedule_of_the_sample_runs() {
    let sample = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../gristmill.toml");
    let sandbox = Sandbox::new(&std::fs::read_to_string(sample).unwrap());
    sandbox.write("README.md", "one two three");
    let mut dev = sandbox.start(&["dev"]);
    dev.hears("dev: started");
    let task = sandbox.ok(&["schedules", "run-now", "words"]);
    assert_eq!(sandbox.until_state(&task, "succeeded")["result"]["words"], 3);
}

fn all_four(sandbox: Sandbox) {
    let mut dev = sandbox.start(&["dev"]);
    dev.hears("dev: started");
    // 1. The caller waits for the result.
    assert_eq!(sandbox.ok(&["enqueue", "echo", "--args", r#"{"n":1}"#, "--wait", "--wait-timeout", "60s"]), r#"{"n":1}"#);
    // 2. In the background.
    let background = sandbox.enqueue("echo", r#"{"n":2}"#);
    assert_eq!(sandbox.until_state(&background, "succeeded")["result"], json!({ "n": 2 }));
    // 3. At a moment: one task, and a schedule that can still be moved or called off by its name.
    let far = sandbox.ok(&["enqueue", "echo", "--at", "2100-01-01T09:00:00Z"]);
    assert_eq!(sandbox.show(&far)["state"], "scheduled");
    sandbox.ok(&["schedules", "add", "report", "--task", "echo", "--args", r#"{"n":3}"#, "--on", "2100-01-01T09:00:00Z"]);
    sandbox.ok(&["schedules", "edit", "report", "--on", &soon()]);
    let run = until_run(&sandbox, "report");
    assert_eq!(sandbox.until_state(&run, "succeeded")["result"], json!({ "n": 3 }));
    until("the report has ended", || sandbox.json(&["schedules", "show", "report"])["state"] == "ended");
    // 4. Recurrent, by configuration.
    let run = until_run(&sandbox, "board.poll");
    let task = sandbox.until_state(&run, "succeeded");
    assert_eq!((&task["result"], &task["headers"]["schedule"]), (&json!({ "from": "configuration" }), &json!("board.poll")));
    dev.signal(Signal::TERM);
    let (status, said) = dev.ended();
    assert!(status.success() && said.contains("board.poll"), "{said}");
}

/// A moment in about a second.
fn soon() -> String {
    let now = gristmill::core::Env::system().now();
    now.saturating_add(std::time::Duration::from_secs(1)).to_string()
}

/// Waits for a schedule's first task.
fn until_run(sandbox: &Sandbox, schedule: &str) -> String {
    let mut task = Value::Null;
    until(&format!("{schedule} has run"), || {
        let history = sandbox.json(&["schedules", "history", schedule]);
        let mut tasks = history["items"].as_array().unwrap().iter().map(|tick| tick["task"].clone());
        task = tasks.rfind(|task| !task.is_null()).unwrap_or_default();
        !task.is_null()
    });
    task.as_str().unwrap().to_owned()
}
