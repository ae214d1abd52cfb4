//! Workers that die in the middle of a workflow: what joins a group goes once and with every result, whatever was killed.

use std::os::unix::process::ExitStatusExt as _;

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::crash::{DRAIN, RECORD, failpoints_of_workers, run_under_kills, storm_tasks, with_failpoint};
use crate::sandbox::Sandbox;

/// A group, what joins it, a group behind that, and what is told at the end.
fn chord(members: usize) -> String {
    let each: Vec<Value> = (0..members).map(|n| json!({ "n": n })).collect();
    let steps = json!({
        "group": { "task": "record", "each": each },
        "join": { "task": "join", "after": ["group"], "args": { "results": { "$results": "group" } } },
        "behind": { "task": "record", "each": [{}, {}, {}], "after": ["join"] },
    });
    json!({ "name": "chord", "steps": steps, "always": { "task": "record", "args": {} } }).to_string()
}

fn config() -> String {
    format!("{RECORD}\n[tasks.join]\ncommand = [\"cat\"]\nenv = [\"PATH\"]\nmax_crashes = 1000\nbackoff = \"10ms\"\n")
}

fn start(sandbox: &Sandbox, members: usize) -> String {
    let started = sandbox.run_with_input(&["workflows", "start", "-"], &chord(members));
    assert_eq!(started.code, Some(0), "{started:?}");
    started.stdout.trim().to_owned()
}

/// All of it went well, and each member once.
fn check(sandbox: &Sandbox, id: &str, members: usize) {
    let run = sandbox.json(&["workflows", "show", id]);
    assert_eq!((&run["state"], &run["unhandled"]), (&json!("succeeded"), &json!(false)), "{run:#}");
    for (step, count) in [("group", members), ("join", 1), ("behind", 3)] {
        let step = &run["steps"][step];
        assert_eq!((&step["tasks"], &step["succeeded"], &step["waiting"]), (&json!(count), &json!(count), &json!(0)), "{run:#}");
    }
    let joined = sandbox.json(&["workflows", "members", id, "join"]);
    let results = json!({ "results": vec![1; members] });
    assert_eq!((&joined["items"][0]["result"], joined["items"].as_array().unwrap().len()), (&results, 1));
    sandbox.ok(&["doctor"]);
}

#[test]
fn a_chord_survives_a_death_at_any_failpoint() {
    at_any_failpoint(|_| Sandbox::new(&config()));
}

#[test]
fn so_it_does_on_postgres() {
    let server = Cluster::start(&[]);
    at_any_failpoint(|number| {
        let store = format!("{}?schema=chord_{number}", server.url());
        Sandbox::new(&config()).env("GRISTMILL_STORE", &store)
    });
}

fn at_any_failpoint(sandbox: impl Fn(usize) -> Sandbox) {
    let of_workers = failpoints_of_workers().filter(|name| !name.starts_with("enqueue"));
    // What a member's end means to its workflow: on one store it follows in the same transaction, on the other in one of its own.
    for (number, point) in of_workers.chain(["follow.before_commit", "follow.after_commit"]).enumerate() {
        let sandbox = sandbox(number);
        let id = start(&sandbox, 5);
        // At the first time it is passed, and again later in the workflow; points that are not passed then kill nobody.
        for time in ["", "@3"] {
            let status = with_failpoint(&sandbox, &format!("{point}=abort{time}"), DRAIN);
            assert!(status.signal() == Some(6) || !point.starts_with("follow") || !time.is_empty(), "{point} was not passed");
        }
        sandbox.ok(DRAIN);
        check(&sandbox, &id, 5);
    }
}

#[test]
fn a_chord_survives_a_storm_of_kills() {
    storm(&Sandbox::new(&config()));
}

#[test]
fn so_does_one_on_postgres() {
    let server = Cluster::start(&[]);
    storm(&Sandbox::new(&config()).env("GRISTMILL_STORE", &server.url()));
}

fn storm(sandbox: &Sandbox) {
    let members = storm_tasks();
    let id = start(sandbox, members);
    run_under_kills(sandbox, members);
    check(sandbox, &id, members);
}
