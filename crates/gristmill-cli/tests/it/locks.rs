//! Locks that commands hold: under workers that are killed and paused, by a record of the commands' own, and as operators see them.

use std::collections::BTreeMap;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::sandbox::{Sandbox, Worker, until};
use crate::schema::Schema;
use crate::versions::older;

/// Writes a line when it begins and when it ends, with its lock and token, and in between to a resource that refuses a token smaller than the
/// largest that it has seen. One that `waits` does so at its first attempt, within its lock.
const TALLY: &str = r#"
[tasks.tally]
command = ["sh", "-c", '''
say() { printf '%s %s %s %s\n' "$1" "$GRISTMILL_LOCK" "$GRISTMILL_LOCK_TOKEN" "$GRISTMILL_TASK_ID" >> record; }
say enter
if grep -q waits && test "$GRISTMILL_ATTEMPT" = 1; then until test -e go; do sleep 0.02; done; fi
sleep 0.02
last=$(cat "last.$GRISTMILL_LOCK" 2>/dev/null || echo 0)
if test "$GRISTMILL_LOCK_TOKEN" -lt "$last"; then say refused; exit 1; fi
echo "$GRISTMILL_LOCK_TOKEN" > "last.$GRISTMILL_LOCK"
say exit
echo "$GRISTMILL_LOCK_TOKEN"''']
env = ["PATH"]
lock = "tally:{area}"
max_attempts = 3
max_crashes = 1000
backoff = "10ms"
"#;

/// A file of which it is soon told that somebody else writes it.
const IMPATIENT: &str = "sqlite:gristmill.db?busy_timeout=1s";
/// A lease that outlives it to be stopped in the middle of a write, and let go on again: else a worker would end its command itself.
const PATIENT: &[&str] = &["--queues", "default=4", "--lease", "5s"];
const WORKER: &[&str] = &["--queues", "default=4", "--lease", "300ms"];

/// A line of the record: what, which lock, which token, which task.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    what: String,
    lock: String,
    token: u64,
    task: String,
}

fn record(sandbox: &Sandbox) -> Vec<Line> {
    let text = std::fs::read_to_string(sandbox.path("record")).unwrap_or_default();
    let line = |line: &str| match line.split(' ').collect::<Vec<_>>()[..] {
        [what, lock, token, task] => {
            Line { what: what.to_owned(), lock: lock.to_owned(), token: token.parse().unwrap(), task: task.to_owned() }
        }
        _ => panic!("{line}"),
    };
    text.lines().map(line).collect()
}

#[test]
fn no_two_hold_a_lock_at_once_whoever_is_killed_or_paused() {
    is_held_by_one(Sandbox::new(TALLY).env("GRISTMILL_STORE", IMPATIENT));
}

#[test]
fn nor_do_two_on_postgres() {
    let schema = Schema::new();
    is_held_by_one(Sandbox::new(TALLY).env("GRISTMILL_STORE", &schema.url()));
}

fn is_held_by_one(sandbox: Sandbox) {
    const TASKS: usize = 36;
    let lines: String = (0..TASKS).map(|n| format!("{}\n", json!({ "task": "tally", "args": { "area": n % 2 } }))).collect();
    sandbox.write("tasks.jsonl", lines);
    sandbox.ok(&["enqueue", "--jsonl", "tasks.jsonl"]);
    let mut paused = Vec::new();
    let mut workers: Vec<Worker> = (0..3).map(|_| sandbox.worker(WORKER)).collect();
    for kill in 0..5 {
        until("tasks are run", || record(&sandbox).len() > kill * 8);
        let victim = workers.remove(0);
        if kill % 2 == 1 {
            // It wakes up when others have what it held, and its commands go on meanwhile.
            pause(&sandbox, &victim);
            paused.push(victim);
        } else {
            victim.signal(Signal::KILL);
        }
        workers.push(sandbox.worker(WORKER));
    }
    until("they go on without those that are paused", || record(&sandbox).len() > 5 * 8);
    paused.iter().for_each(|worker| worker.signal(Signal::CONT));
    let succeeded = || sandbox.json(&["tasks", "list", "--state", "succeeded", "--limit", "1000"])["items"].clone();
    until("all of them succeed", || succeeded().as_array().unwrap().len() == TASKS);

    // The token of the attempt that had the lock until its end was written.
    let tasks = succeeded();
    let held: BTreeMap<u64, String> = tasks
        .as_array()
        .unwrap()
        .iter()
        .map(|task| {
            let task = sandbox.show(task["id"].as_str().unwrap());
            (task["result"].as_u64().unwrap(), task["id"].as_str().unwrap().to_owned())
        })
        .collect();
    assert_eq!(held.len(), TASKS, "each has a token of its own");
    let record = record(&sandbox);
    for (token, task) in &held {
        let place = |what: &str| record.iter().position(|line| line.token == *token && line.what == what).unwrap();
        let (enter, exit) = (place("enter"), place("exit"));
        assert!(enter < exit && record[enter].task == *task, "{token}: {record:?}");
        for line in record[enter + 1..exit].iter().filter(|line| line.lock == record[enter].lock) {
            // What the command of a worker that is dead or paused has to say may come late; what has the lock does not.
            assert!(line.token < *token && !held.contains_key(&line.token), "{line:?} within {token}: {record:?}");
        }
    }
    assert_eq!(sandbox.json(&["locks", "list"]), json!({ "items": [], "next": null }));
    sandbox.ok(&["doctor"]);
}

/// Stops a process, but not in the middle of a write, within which nobody else could write to its file for as long.
fn pause(sandbox: &Sandbox, worker: &Worker) {
    until("it is stopped between two writes", || {
        worker.signal(Signal::STOP);
        let writes = sandbox.run(&["queues", "pause", "nobody"]).code == Some(0);
        if !writes {
            worker.signal(Signal::CONT);
        }
        writes
    });
}

#[test]
fn a_holder_that_was_paused_is_refused_by_its_token() {
    is_refused(Sandbox::new(TALLY).env("GRISTMILL_STORE", IMPATIENT));
}

#[test]
fn so_is_one_on_postgres() {
    let schema = Schema::new();
    is_refused(Sandbox::new(TALLY).env("GRISTMILL_STORE", &schema.url()));
}

fn is_refused(sandbox: Sandbox) {
    let holder = sandbox.enqueue("tally", r#"{"area": 42, "waits": true}"#);
    let mut paused = sandbox.worker(PATIENT);
    until("it holds the lock", || record(&sandbox).len() == 1);

    // Operators see who has it, and what those wait for that were put off.
    let shown = sandbox.json(&["locks", "list", "tally:"]);
    let lock = &shown["items"][0];
    let token = lock["token"].as_u64().unwrap();
    assert_eq!((&lock["name"], &lock["task"], &lock["kind"]), (&json!("tally:42"), &json!(holder), &json!("tally")), "{shown}");
    assert_eq!((record(&sandbox)[0].token, &shown["next"]), (token, &Value::Null));
    assert!(lock["worker"].is_string() && lock["since"].is_string(), "{shown}");
    assert_eq!(sandbox.json(&["locks", "list", "tall:"])["items"], json!([]));
    assert_eq!(sandbox.json(&["locks", "list", "--limit", "1"])["next"], "tally:42");
    assert_eq!(sandbox.json(&["locks", "list", "--cursor", "tally:42"])["items"], json!([]));
    let table = sandbox.ok(&["locks", "list"]);
    assert!(table.starts_with("LOCK") && table.contains(&holder), "{table}");
    let why = sandbox.json(&["tasks", "why", &holder]);
    assert_eq!((&why["reasons"][0]["code"], &why["reasons"][0]["locks"]), (&json!("running"), &json!(["tally:42"])), "{why}");
    assert!(sandbox.ok(&["tasks", "why", &holder]).contains("it holds the lock `tally:42`"));
    let waiter = sandbox.enqueue("tally", r#"{"area": 42}"#);
    until("it is put off", || sandbox.show(&waiter)["error"].is_object());
    let put_off = sandbox.show(&waiter);
    assert_eq!((&put_off["attempt"], &put_off["crashes"]), (&json!(0), &json!(0)), "{put_off}");
    let says = format!("the lock `tally:42` is held by the task {holder}");
    assert!(put_off["error"]["message"].as_str().unwrap().contains(&says), "{put_off}");
    until("why says so, too", || sandbox.ok(&["tasks", "why", &waiter]).contains(&says));

    // Others take over what a paused worker held, the lock included.
    pause(&sandbox, &paused);
    let other = sandbox.worker(WORKER);
    let second = sandbox.until_state(&holder, "succeeded");
    let first = sandbox.until_state(&waiter, "succeeded");
    assert_eq!(second["attempt"], 2);
    let tokens = [&first, &second].map(|task| task["result"].as_u64().unwrap());
    assert!(tokens.iter().all(|next| *next > token) && tokens[0] != tokens[1], "{tokens:?} follow {token}");

    // Its command lives still, and believes that it has the lock.
    sandbox.write("go", "");
    until("it is refused", || record(&sandbox).iter().any(|line| line.what == "refused"));
    let accepted: Vec<u64> = record(&sandbox).iter().filter(|line| line.what == "exit").map(|line| line.token).collect();
    assert!(accepted.is_sorted() && !accepted.contains(&token), "{accepted:?}");
    paused.signal(Signal::CONT);
    paused.hears("lease ran out");
    for worker in [paused, other] {
        worker.signal(Signal::TERM);
        worker.ended();
    }
    assert_eq!(sandbox.show(&holder)["attempts"], second["attempts"], "nothing changed");
}

/// A program that knows nothing of locks sets them free with what it rescues.
#[test]
fn a_program_of_the_version_before_works_beside_it() {
    let (sandbox, older) = (Sandbox::new(TALLY), older());
    sandbox.write("older.toml", "[tasks.other]\ncommand = [\"true\"]\n");
    sandbox.ok(&["migrate"]);
    let holder = sandbox.enqueue("tally", r#"{"area": 42, "waits": true}"#);
    let killed = sandbox.worker(WORKER);
    until("it holds the lock", || record(&sandbox).len() == 1);
    let mut beside = Worker::spawn(
        sandbox.command_of(&older, &["worker", "--config", "older.toml", "--queues", "default=1", "--lease", "300ms"]),
    );
    beside.hears(": started");
    assert_eq!(sandbox.json(&["locks", "list"])["items"].as_array().unwrap().len(), 1);
    killed.signal(Signal::KILL);
    drop(killed);
    until("it is rescued", || sandbox.json(&["locks", "list"])["items"] == json!([]));
    let worker = sandbox.worker(WORKER);
    let task = sandbox.until_state(&holder, "succeeded");
    assert!(task["result"].as_u64().unwrap() > record(&sandbox)[0].token, "{task}");
    for worker in [worker, beside] {
        worker.signal(Signal::TERM);
        worker.ended();
    }
}

#[test]
fn a_lock_that_arguments_do_not_fill_fails_at_once() {
    let sandbox = Sandbox::new(TALLY);
    for args in ["{}", r#"{"area": null}"#, r#"{"area": {"id": 1}}"#, r#"{"area": "a\nb"}"#] {
        let task = sandbox.perform("tally", args);
        assert_eq!((&task["state"], &task["attempt"]), (&json!("failed"), &json!(1)), "{task}");
        assert!(task["error"]["message"].as_str().unwrap().contains("tally:{area}"), "{task}");
    }
    assert_eq!(record(&sandbox), []);
    let said = sandbox.fails(2, &["locks", "release", "tally:42"]);
    assert!(said.contains("tasks release"), "{said}");
}
