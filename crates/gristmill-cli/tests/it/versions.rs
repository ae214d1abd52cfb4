//! Programs of a released version and of today on one store, as while a deploy goes on: the newer one migrates while the older one
//! works, which is started anew, and which goes on alone when the newer one is rolled back.

use rustix::process::Signal;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::crash::{RECORD, Record, check, lines};
use crate::sandbox::{Sandbox, Worker, until};

/// The released program.
pub(crate) fn older() -> String {
    std::env::var("GRISTMILL_TEST_OLDER")
        .unwrap_or_else(|_| panic!("GRISTMILL_TEST_OLDER names no program; run cargo xtask test, which builds one"))
}

/// So many slots that tasks are under way whenever something happens, and so few that they last.
const SLOTS: &[&str] = &["worker", "--queues", "default=2"];
/// Of each version.
const TASKS: usize = 120;

fn start(sandbox: &Sandbox, program: &str) -> Worker {
    let mut worker = Worker::spawn(sandbox.command_of(program, SLOTS));
    worker.hears(": started");
    worker
}

fn stop(worker: Worker) {
    worker.signal(Signal::TERM);
    let (status, said) = worker.ended();
    assert!(status.success(), "{said}");
    for bad in ["ERROR", "panicked", "lease ran out"] {
        assert!(!said.contains(bad), "{said}");
    }
}

/// Waits until more tasks were run than now.
fn until_it_goes_on(sandbox: &Sandbox) {
    let before = Record::read(sandbox).len();
    until("tasks are run", || Record::read(sandbox).len() > before + 8);
}

/// A deploy that is rolled back.
fn deploy_and_roll_back(sandbox: &Sandbox) {
    let (older, newer) = (older(), env!("CARGO_BIN_EXE_gristmill"));
    let (ids, text) = lines(2 * TASKS);
    let lines: Vec<_> = text.split_inclusive('\n').collect();
    let enqueue = |program: &str, lines: &[&str]| {
        sandbox.write("tasks.jsonl", lines.concat());
        sandbox.ok_of(program, &["enqueue", "--jsonl", "tasks.jsonl"]);
    };

    enqueue(&older, &lines[..TASKS]);
    let worker = start(sandbox, &older);
    until_it_goes_on(sandbox);
    // What there is to do is nothing that would stop the older programs; it is done while they work.
    let said = sandbox.run(&["migrate", "--check", "-o", "json"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("additions are pending") && said.stderr.contains("go on beside them"), "{said:?}");
    let steps: Value = serde_json::from_str(&said.stdout).unwrap();
    let pending = |list: &str| steps[list].as_array().unwrap().iter().filter(|step| step["applied_at"].is_null()).count();
    assert_eq!(pending("migrations"), 0, "{steps:#}");
    assert!(pending("additions") > 0, "the versions have nothing to get along about: {steps:#}");
    sandbox.ok(&["migrate"]);
    until_it_goes_on(sandbox);

    // The newer ones come beside it, with new work, and the older one is started anew.
    let newcomer = start(sandbox, newer);
    enqueue(newer, &lines[TASKS..TASKS + TASKS / 2]);
    stop(worker);
    let worker = start(sandbox, &older);
    until_it_goes_on(sandbox);

    // Rolled back in the middle of its work, some of which is only due later.
    enqueue(newer, &lines[TASKS + TASKS / 2..]);
    until_it_goes_on(sandbox);
    stop(newcomer);
    let all = |state: &str| {
        let list = ["tasks", "list", "--state", state, "--limit", "1000", "-o", "json"];
        let page: Value = serde_json::from_str(&sandbox.ok_of(&older, &list)).unwrap();
        page["items"].as_array().unwrap().len()
    };
    until("the older one finishes it all", || all("succeeded") == 2 * TASKS);
    // It knows no wish to end, and whoever asks is told so.
    let name = sandbox.json(&["workers"])["items"][0]["name"].as_str().unwrap().to_owned();
    let said = sandbox.fails(4, &["workers", "drain", &name, "--wait-timeout", "50ms"]);
    assert!(said.contains("has not heard of it") && said.contains("of a version that knows no such wish"), "{said}");
    stop(worker);

    check(sandbox, &ids);
    let record = Record::read(sandbox);
    for id in &ids {
        let task = sandbox.show(id);
        assert_eq!(task["crashes"], 0, "nobody took a task from one that works: {task:#}");
        assert_eq!(record.starts_of(id), 1, "nothing twice: {task:#}");
    }
    sandbox.ok_of(&older, &["doctor"]);
    sandbox.ok(&["migrate", "--check"]);
}

#[test]
fn a_deploy_that_is_rolled_back_loses_nothing() {
    deploy_and_roll_back(&Sandbox::new(RECORD));
}

#[test]
fn nor_does_one_on_postgres() {
    let server = Cluster::start(&[]);
    deploy_and_roll_back(&Sandbox::new(RECORD).env("GRISTMILL_STORE", &server.url()));
}
