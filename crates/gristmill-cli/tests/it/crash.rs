//! Workers that die: killed at every failpoint, at random under load, by their own tasks, and paused past their lease.
//!
//! The tasks write an independent record, one JSON line at each start and end, and what the store says is held against it.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use gristmill::core::failpoint;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::sandbox::{Sandbox, Worker, status, until};
use crate::server::Server;

/// A task type that records its start and its end.
pub(crate) const RECORD: &str = r#"
[tasks.record]
command = ["sh", "-c", '''
say() { printf '{"event":"%s","id":"%s","attempt":%s}\n' "$1" "$GRISTMILL_TASK_ID" "$GRISTMILL_ATTEMPT" >> record.jsonl; }
say start; sleep 0.02; say end; echo 1''']
env = ["PATH"]
max_attempts = 3
max_crashes = 1000
backoff = "10ms"
"#;

/// What the tasks themselves recorded.
#[derive(Debug, Default)]
pub(crate) struct Record {
    starts: BTreeMap<String, usize>,
    ends: BTreeMap<String, usize>,
}

impl Record {
    pub(crate) fn read(sandbox: &Sandbox) -> Self {
        let text = std::fs::read_to_string(sandbox.path("record.jsonl")).unwrap_or_default();
        let mut record = Self::default();
        for line in text.lines() {
            let event: Value = serde_json::from_str(line).unwrap();
            let counts = if event["event"] == "start" { &mut record.starts } else { &mut record.ends };
            *counts.entry(event["id"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        record
    }

    pub(crate) fn starts_of(&self, id: &str) -> usize {
        self.starts.get(id).copied().unwrap_or_default()
    }

    pub(crate) fn len(&self) -> usize {
        self.starts.values().sum::<usize>() + self.ends.values().sum::<usize>()
    }
}

/// One line of a bulk enqueue a task, with ids of our own, every third due a little later.
pub(crate) fn lines(count: usize) -> (Vec<String>, String) {
    let ids: Vec<_> = (0..count).map(|n| format!("0190a000-0000-7000-8000-{n:012x}")).collect();
    let line = |(n, id): (usize, &String)| {
        let delay = if n % 3 == 0 { "50ms" } else { "0s" };
        format!("{}\n", json!({ "task": "record", "args": { "n": n }, "id": id, "in": delay }))
    };
    let text = ids.iter().enumerate().map(line).collect();
    (ids, text)
}

/// Holds what the store says about tasks against the record: nothing lost, nothing run after its end, every start kept.
pub(crate) fn check(sandbox: &Sandbox, ids: &[String]) {
    let record = Record::read(sandbox);
    for id in ids {
        let task = sandbox.show(id);
        let attempts = task["attempts"].as_array().unwrap();
        assert_eq!(task["state"], "succeeded", "{task:#}\n{}", record.len());
        let ended = |state: &str| attempts.iter().filter(|attempt| attempt["state"] == state).count();
        assert_eq!(ended("succeeded"), 1, "settled once: {task:#}");
        assert_eq!(attempts.last().unwrap()["state"], "succeeded", "and last: {task:#}");
        assert_eq!(ended("succeeded") + ended("crashed") + ended("released"), attempts.len(), "{task:#}");
        let starts = record.starts_of(id);
        assert!(record.ends.contains_key(id), "it says that it succeeded, but never ended: {task:#}");
        assert!(starts <= attempts.len(), "{starts} starts, but the history has {}: {task:#}", attempts.len());
    }
    sandbox.ok(&["doctor"]);
}

/// Its output is not read: what it leaves behind when it is killed may hold the pipes for a while.
pub(crate) fn with_failpoint(sandbox: &Sandbox, point: &str, args: &[&str]) -> ExitStatus {
    let mut command = sandbox.command(args);
    command.env("GRISTMILL_FAILPOINTS", point).stdout(Stdio::null()).stderr(Stdio::null());
    status(&mut command.spawn().unwrap())
}

pub(crate) const DRAIN: &[&str] = &["worker", "--drain", "--queues", "default=4", "--lease", "200ms"];

/// Those of beats are tried where beats are, and so are those of workflows and of durable steps.
pub(crate) fn failpoints_of_workers() -> impl Iterator<Item = &'static str> {
    let elsewhere = ["advance", "follow", "step", "checkpoint"];
    failpoint::NAMES.iter().copied().filter(move |name| !elsewhere.iter().any(|part| name.starts_with(part)))
}

#[test]
fn a_worker_that_dies_at_any_failpoint_loses_nothing() {
    for point in failpoints_of_workers() {
        let sandbox = Sandbox::new(RECORD);
        let (mut ids, text) = lines(9);
        sandbox.write("tasks.jsonl", &text);
        let enqueue: &[&str] = &["enqueue", "--jsonl", "tasks.jsonl"];
        if point.starts_with("enqueue") {
            let status = with_failpoint(&sandbox, &format!("{point}=abort"), enqueue);
            assert_eq!(status.signal(), Some(6), "{point} was not passed");
        }
        // Again with the same ids, which changes nothing if the first time was committed.
        sandbox.ok(enqueue);
        // A first death, so that there is something to rescue and a start to report.
        let status = with_failpoint(&sandbox, "execute.before=abort@3", DRAIN);
        assert_eq!(status.signal(), Some(6), "execute.before was not passed");
        // On a slow machine that worker has made ready all that was due a little later; this is left for the next one.
        ids.push(sandbox.ok(&["enqueue", "record", "--in", "10ms"]));
        if !point.starts_with("enqueue") {
            let status = with_failpoint(&sandbox, &format!("{point}=abort"), DRAIN);
            assert_eq!(status.signal(), Some(6), "{point} was not passed");
        }
        sandbox.ok(DRAIN);
        check(&sandbox, &ids);
    }
}

#[test]
fn a_lost_reply_at_any_failpoint_doubles_nothing() {
    for point in failpoints_of_workers().filter(|name| !name.starts_with("enqueue")) {
        let sandbox = Sandbox::new(RECORD);
        let (ids, text) = lines(6);
        sandbox.run_with_input(&["enqueue", "--jsonl", "-"], &text);
        let status = with_failpoint(&sandbox, &format!("{point}=error@2"), DRAIN);
        assert!(status.success(), "{point}: {status}");
        sandbox.ok(DRAIN);
        check(&sandbox, &ids);
    }
}

/// How many tasks the storm has; `GRISTMILL_STORM_TASKS=10000` makes it a long one.
pub(crate) fn storm_tasks() -> usize {
    std::env::var("GRISTMILL_STORM_TASKS").ok().and_then(|text| text.parse().ok()).unwrap_or(150)
}

#[test]
fn commands_and_http_calls_survive_a_storm_of_kills() {
    storm(Sandbox::new);
}

#[test]
fn they_survive_it_on_postgres() {
    let server = Cluster::start(&[]);
    storm(|config| Sandbox::new(config).env("GRISTMILL_STORE", &server.url()));
}

fn storm(sandbox: impl FnOnce(&str) -> Sandbox) {
    let count = storm_tasks();
    let server = Server::saying("200 OK", "", "{\"ok\": true}");
    let http = format!(
        "[tasks.post]\nhttp = {{ url = \"http://127.0.0.1:{}/\" }}\nmax_crashes = 1000\nbackoff = \"10ms\"\n",
        server.port
    );
    let sandbox = sandbox(&format!("{RECORD}{http}"));
    let (ids, text) = lines(count);
    let posts: String = (0..count).map(|n| format!("{}\n", json!({ "task": "post", "args": { "n": n } }))).collect();
    sandbox.write("tasks.jsonl", format!("{text}{posts}"));
    sandbox.ok(&["enqueue", "--jsonl", "tasks.jsonl"]);

    run_under_kills(&sandbox, count);

    check(&sandbox, &ids[..ids.len().min(300)]);
    let counted = |state: &str| {
        let (mut counted, mut cursor) = (0, None::<String>);
        loop {
            let mut args = vec!["tasks", "list", "--state", state, "--limit", "1000"];
            if let Some(cursor) = &cursor {
                args.extend(["--cursor", cursor]);
            }
            let page = sandbox.json(&args);
            counted += page["items"].as_array().unwrap().len();
            cursor = page["next"].as_str().map(str::to_owned);
            if cursor.is_none() {
                return counted;
            }
        }
    };
    assert_eq!(counted("succeeded"), 2 * count, "all of them end well");
}

/// Runs all there is, of which so many tasks record that they run, by workers that are killed in the middle of it.
pub(crate) fn run_under_kills(sandbox: &Sandbox, count: usize) {
    let args = ["--queues", "default=8", "--lease", "300ms"];
    let mut workers: Vec<Worker> = (0..2).map(|_| sandbox.worker(&args)).collect();
    let step = (count / 8).max(1);
    for kill in 0..8 {
        // Work goes on between the kills, so that each hits workers in the middle of it.
        until("tasks are run", || Record::read(sandbox).len() > kill * step);
        let victim = workers.remove(0);
        victim.signal(Signal::KILL);
        drop(victim);
        workers.push(sandbox.worker(&args));
    }
    drop(workers);
    let ended = sandbox.run(&["worker", "--drain", "--queues", "default=8", "--lease", "300ms"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[test]
fn a_task_that_kills_its_worker_fails_and_its_neighbours_do_not() {
    // The worker is the parent of the command's guard.
    let sandbox = Sandbox::new(&format!(
        "{RECORD}\n[tasks.poison]\ncommand = [\"sh\", \"-c\", '''kill -9 $(cut -d\" \" -f4 /proc/$PPID/stat); sleep 60''']\nenv = [\"PATH\"]\nmax_crashes = 3\n"
    ));
    let poison = sandbox.enqueue("poison", "{}");
    let (ids, text) = lines(30);
    sandbox.run_with_input(&["enqueue", "--jsonl", "-"], &text);
    let mut deaths = 0;
    while sandbox.run(DRAIN).code.is_none() {
        deaths += 1;
        assert!(deaths <= 3, "the crash limit does not end it");
    }
    assert_eq!(deaths, 3);
    let task = sandbox.show(&poison);
    assert_eq!((&task["state"], &task["error"]["reason"]), (&json!("failed"), &json!("crashed")), "{task:#}");
    assert_eq!(task["attempts"].as_array().unwrap().len(), 3);
    check(&sandbox, &ids);
}

#[test]
fn a_worker_that_was_paused_past_its_lease_changes_nothing_any_more() {
    pause_past_the_lease(Sandbox::new);
}

#[test]
fn nor_does_one_on_postgres() {
    let server = Cluster::start(&[]);
    pause_past_the_lease(|config| Sandbox::new(config).env("GRISTMILL_STORE", &server.url()));
}

fn pause_past_the_lease(sandbox: impl FnOnce(&str) -> Sandbox) {
    let sandbox = sandbox(
        "[tasks.slow]\ncommand = [\"sh\", \"-c\", \"echo $$ > pid; until test -e go; do sleep 0.02; done; echo $GRISTMILL_ATTEMPT\"]\nenv = [\"PATH\"]\n",
    );
    let id = sandbox.enqueue("slow", "{}");
    let args = ["--queues", "default=1", "--lease", "300ms"];
    let mut paused = sandbox.worker(&args);
    sandbox.until_pid("pid");
    paused.signal(Signal::STOP);
    let since = Instant::now();
    let other = sandbox.worker(&args);
    // The paused worker's attempt is rescued, and the other one starts its own.
    until("the second attempt runs", || sandbox.show(&id)["attempt"] == 2);
    sandbox.write("go", "");
    let task = sandbox.until_state(&id, "succeeded");
    assert_eq!(task["result"], 2, "{task:#}");
    until("three leases are over", || since.elapsed() > Duration::from_millis(900));
    paused.signal(Signal::CONT);
    paused.hears("lease ran out");
    other.signal(Signal::TERM);
    other.ended();
    // Under a new id it goes on.
    let next = sandbox.enqueue("slow", "{}");
    sandbox.until_state(&next, "succeeded");
    paused.signal(Signal::TERM);
    let (_, said) = paused.ended();
    assert!(said.contains("leases lost"), "{said}");
    let after = sandbox.show(&id);
    assert_eq!((&after["result"], &after["attempts"]), (&json!(2), &task["attempts"]), "nothing changed");
}
