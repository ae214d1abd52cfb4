//! A queue that is fair between tenants, as the file says it and a worker serves it.

use serde_json::json;

use crate::sandbox::{Sandbox, Worker};
use crate::schema::Schema;

const CONFIG: &str = r#"
[tasks.import]
command = ["sh", "-c", "cat >> began; echo >> began; echo null"]
queue = "imports"

[queues.imports]
fair_by = { key = "{tenant}", weight = "{weight}" }
"#;

#[test]
fn who_comes_later_is_not_delayed_by_anothers_backlog() {
    served(&Sandbox::new(CONFIG));
}

#[test]
fn who_comes_later_is_not_delayed_by_anothers_backlog_on_postgres() {
    let schema = Schema::new();
    served(&Sandbox::new(CONFIG).env("GRISTMILL_STORE", &schema.url()));
}

fn served(sandbox: &Sandbox) {
    let import =
        |tenant: &str, weight: u32| format!("{}\n", json!({ "task": "import", "args": { "tenant": tenant, "weight": weight } }));
    let lines = import("large", 1).repeat(60) + &import("small", 1).repeat(4) + &import("weighty", 2).repeat(8);
    sandbox.write("lines.jsonl", lines);
    sandbox.ok(&["enqueue", "--jsonl", "lines.jsonl", "--strict"]);
    let refused = sandbox.run(&["enqueue", "import", "--args", r#"{"tenant":"large","weight":11}"#]);
    assert!(refused.code == Some(2) && refused.stderr.contains("it is from 1 to 10"), "{refused:?}");
    let (status, said) = Worker::spawn(sandbox.command(&["worker", "--no-beat", "--drain", "--queues", "imports=1"])).ended();
    assert!(status.success(), "{said}");
    let began = std::fs::read_to_string(sandbox.path("began")).unwrap();
    let began: Vec<&str> = began.lines().filter(|line| !line.is_empty()).collect();
    let last_of = |tenant: &str| began.iter().rposition(|args| args.contains(tenant)).unwrap();
    assert_eq!(began.len(), 72);
    assert!(last_of("small") <= 20 && last_of("weighty") <= 20, "{began:?}");
}
