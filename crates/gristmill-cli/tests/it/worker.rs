//! `worker`: queues, drain, stopping.

use rustix::process::Signal;
use serde_json::json;

use crate::sandbox::{Sandbox, Worker, end, is_alive, until};

const SLOW: &str = "[tasks.slow]\ncommand = [\"sh\", \"-c\", \"echo $$ > pid; sleep 300\"]\n[tasks.echo]\ncommand = [\"cat\"]\n";

#[test]
fn drain_runs_what_is_there_and_ends() {
    let sandbox = Sandbox::with_echo();
    let lines: String =
        (0..20).map(|n| format!("{{\"task\": \"echo\", \"args\": {{\"n\": {n}}}, \"in\": \"{}ms\"}}\n", n * 10)).collect();
    sandbox.run_with_input(&["enqueue", "--jsonl", "-"], &lines);
    let later = sandbox.ok(&["enqueue", "echo", "--in", "1h"]);
    let other = sandbox.ok(&["enqueue", "echo", "--queue", "other"]);
    let ended = sandbox.run(&["worker", "--drain", "--queues", "default=4"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("20 claimed: 20 succeeded") && ended.stdout.is_empty(), "{ended:?}");
    assert_eq!(
        (sandbox.show(&later)["state"].clone(), sandbox.show(&other)["state"].clone()),
        (json!("scheduled"), json!("ready"))
    );
}

#[test]
fn queues_of_all_task_types_are_served_unless_told_otherwise() {
    let sandbox = Sandbox::new("[tasks.a]\ncommand = [\"cat\"]\nqueue = \"x\"");
    assert_eq!(sandbox.perform("a", "{}")["state"], "succeeded");
    let ended = sandbox.run(&["worker", "--drain", "--queues", "default"]);
    assert!(ended.stderr.contains("not served by this worker: a (queue x)"), "{ended:?}");
}

#[test]
fn a_quiet_type_logs_its_failures_and_not_its_successes() {
    let sandbox = Sandbox::new(
        "[tasks.loud]\ncommand = [\"true\"]\n[tasks.quiet]\ncommand = [\"true\"]\nquiet = true\n[tasks.broken]\ncommand = [\"false\"]\nquiet = true\nmax_attempts = 1",
    );
    let ids = ["loud", "quiet", "broken"].map(|name| sandbox.enqueue(name, "{}"));
    let said = sandbox.run(&["worker", "--drain"]).stderr;
    assert_eq!(ids.each_ref().map(|id| said.contains(id.as_str())), [true, false, true], "{said}");
}

#[test]
fn wrong_queues_are_refused() {
    let sandbox = Sandbox::with_echo();
    for queues in ["default=0", "default=x", "=3", "a=1,a=2", "a=999999999"] {
        sandbox.fails(2, &["worker", "--drain", "--queues", queues]);
    }
}

/// Neither its schedules nor its task types, and no store is made.
#[test]
fn a_worker_that_is_refused_changes_nothing() {
    let schedule = "[[schedule]]\nname = \"tick\"\ntask = \"echo\"\nevery = \"1h\"\n";
    let types = "[tasks.echo]\ncommand = [\"cat\"]\n";
    let sandbox = Sandbox::new(&format!("{types}{schedule}"));
    let worker = sandbox.worker(&[]);
    worker.signal(Signal::TERM);
    worker.ended();
    sandbox.write("gristmill.toml", format!("{types}[tasks.other]\ncommand = [\"cat\"]\n"));
    let bad: &[&[&str]] = &[&["--lease", "1ms"], &["--queues", "a=999999999"], &["--queues", "a=1", "--prefetch", "b=1"]];
    for args in bad {
        let said = sandbox.fails(2, &[&["worker"], *args].concat());
        assert!(!said.contains("withdrawn"), "{args:?}: {said}");
    }
    let file = gristmill_sqlite::rusqlite::Connection::open(sandbox.path("gristmill.db")).unwrap();
    let text = |sql: &str| file.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(
        text("SELECT group_concat(name) FROM gristmill_kind"),
        "echo,gristmill.workflow",
        "what did not start declares nothing"
    );
    assert!(!text("SELECT body FROM gristmill_schedule").contains("withdrawn"));
    let empty = Sandbox::new(types);
    for args in bad {
        empty.fails(2, &[&["worker"], *args].concat());
    }
    empty.fails(2, &["dev", "--lease", "1ms"]);
    assert!(!empty.path("gristmill.db").exists());
}

#[test]
fn a_first_signal_lets_running_tasks_end() {
    let sandbox = Sandbox::new(
        "[tasks.wait]\ncommand = [\"sh\", \"-c\", \"echo $$ > pid; until test -e go; do sleep 0.02; done; echo 1\"]",
    );
    let id = sandbox.enqueue("wait", "{}");
    let mut worker = sandbox.worker(&["--grace", "60s"]);
    sandbox.until_pid("pid");
    worker.signal(Signal::TERM);
    worker.hears("stopping: no more claims");
    let late = sandbox.enqueue("wait", "{}");
    sandbox.write("go", "");
    let (status, said) = worker.ended();
    assert!(status.success() && said.contains("1 succeeded"), "{said}");
    assert_eq!((sandbox.show(&id)["state"].clone(), sandbox.show(&late)["attempt"].clone()), (json!("succeeded"), json!(0)));
}

#[test]
fn after_the_grace_period_running_tasks_are_given_back() {
    let sandbox = Sandbox::new(SLOW).env("GRISTMILL_GRACE", "50ms");
    let id = sandbox.enqueue("slow", "{}");
    let worker = sandbox.worker(&[]);
    let pid = sandbox.until_pid("pid");
    worker.signal(Signal::INT);
    let (status, said) = worker.ended();
    assert!(status.success() && said.contains("1 released"), "{said}");
    assert!(!is_alive(pid));
    let task = sandbox.show(&id);
    assert_eq!(
        (&task["state"], &task["attempt"], &task["attempts"][0]["state"]),
        (&json!("ready"), &json!(0), &json!("released"))
    );
}

#[test]
fn a_second_signal_stops_at_once() {
    let sandbox = Sandbox::new(&format!("[worker]\ngrace = \"1h\"\n{SLOW}"));
    let id = sandbox.enqueue("slow", "{}");
    let mut worker = sandbox.worker(&[]);
    let pid = sandbox.until_pid("pid");
    worker.signal(Signal::TERM);
    worker.hears("stopping: no more claims");
    // The same one within 0.2 s would be taken for the first, which `timeout` sends twice.
    worker.signal(Signal::INT);
    let (status, said) = worker.ended();
    assert!(status.success() && said.contains("stopping at once"), "{said}");
    until("the command is gone", || !is_alive(pid));
    assert_eq!(sandbox.show(&id)["state"], "ready");
}

#[test]
fn a_cancelled_task_ends_with_its_command() {
    let sandbox = Sandbox::new(SLOW).env("GRISTMILL_LEASE", "300ms");
    let id = sandbox.enqueue("slow", "{}");
    let _worker = sandbox.worker(&[]);
    let pid = sandbox.until_pid("pid");
    assert_eq!(sandbox.json(&["tasks", "cancel", &id])["items"][0]["outcome"], "cancel_requested");
    let task = sandbox.until_state(&id, "cancelled");
    assert_eq!(task["error"]["reason"], "cancelled");
    assert!(!is_alive(pid));
}

#[test]
fn a_worker_that_is_killed_takes_its_commands_along_and_loses_nothing() {
    // The command forks, leaves the session, and forks once more: nothing of it may stay.
    let script = "echo $$ > pid; setsid sh -c 'echo $$ > pid2; sleep 301 & echo $! > pid3; wait' & (sleep 302 & echo $! > pid4); sleep 303";
    let sandbox =
        Sandbox::new(&format!("[tasks.fork]\ncommand = [\"sh\", \"-c\", {script:?}]\n")).env("GRISTMILL_LEASE", "300ms");
    let id = sandbox.enqueue("fork", "{}");
    let worker = sandbox.worker(&[]);
    let pids = ["pid", "pid2", "pid3", "pid4"].map(|name| sandbox.until_pid(name));
    assert!(pids.into_iter().all(is_alive));
    worker.signal(Signal::KILL);
    worker.ended();
    for pid in pids {
        until("no process is left", || !is_alive(pid));
    }
    // Another worker takes over.
    sandbox.write("gristmill.toml", "[tasks.fork]\ncommand = [\"cat\"]");
    let _second = sandbox.worker(&[]);
    let task = sandbox.until_state(&id, "succeeded");
    assert_eq!((&task["crashes"], &task["attempts"][0]["state"]), (&json!(1), &json!("crashed")));
}

/// Overwrites the page that a table begins with.
fn damage(sandbox: &Sandbox, table: &str) {
    use std::os::unix::fs::FileExt;
    let path = sandbox.path("gristmill.db");
    let page: u64 = {
        let conn = gristmill_sqlite::rusqlite::Connection::open(&path).unwrap();
        conn.query_row("SELECT rootpage FROM sqlite_schema WHERE name = ?1", [table], |row| row.get(0)).unwrap()
    };
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[0xff; 4096], (page - 1) * 4096).unwrap();
}

#[test]
fn a_drain_ends_on_a_damaged_file() {
    for table in ["gristmill_ready", "gristmill_outcome"] {
        let sandbox = Sandbox::with_echo();
        sandbox.enqueue("echo", "{}");
        damage(&sandbox, table);
        let said = sandbox.fails(3, &["worker", "--drain"]);
        assert!(said.contains("the file is damaged"), "{table}: {said}");
    }
}

#[test]
fn a_worker_that_is_to_run_says_aloud_that_its_file_is_damaged() {
    let sandbox = Sandbox::with_echo();
    sandbox.enqueue("echo", "{}");
    damage(&sandbox, "gristmill_ready");
    let mut worker = sandbox.worker(&["--log", "error"]);
    worker.hears("tasks can't be claimed");
    worker.signal(Signal::TERM);
    assert!(worker.ended().0.success());
}

#[test]
fn a_worker_notices_that_its_file_was_removed() {
    let sandbox = Sandbox::with_echo();
    let mut worker = sandbox.worker(&["--log", "error"]);
    for name in ["gristmill.db", "gristmill.db-wal", "gristmill.db-shm"] {
        std::fs::remove_file(sandbox.path(name)).unwrap();
    }
    worker.hears("removed or replaced while it was open");
    // It can do nothing any more, and whoever restarts services is to know.
    let (status, said) = worker.ended();
    assert_eq!(status.code(), Some(3), "{said}");
    assert!(!sandbox.path("gristmill.db").exists());
}

/// Runs the program where no file may grow beyond so many kilobytes, as on a disk that is full.
fn where_files_stay_small(sandbox: &Sandbox, blocks: u32, args: &str) -> std::process::Command {
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" {args}");
    sandbox.command_of("sh", &["-c", &script, env!("CARGO_BIN_EXE_gristmill")])
}

#[test]
fn a_full_disk_is_named_by_whoever_only_looks() {
    let sandbox = Sandbox::with_echo();
    sandbox.enqueue("echo", "{}");
    for command in ["tasks list", "doctor", "worker"] {
        let ended = end(where_files_stay_small(&sandbox, 1, command), "");
        assert_eq!(ended.code, Some(3), "{command}: {ended:?}");
        assert!(ended.stderr.contains("no space or quota is left"), "{command}: {ended:?}");
    }
}

#[test]
fn a_worker_that_can_write_nothing_says_so_as_an_error() {
    let sandbox = Sandbox::with_echo();
    let args = format!("{{\"x\": \"{}\"}}", "y".repeat(20_000));
    for _ in 0..5 {
        sandbox.enqueue("echo", &args);
    }
    // Room for the shared memory, and for little of a log.
    let mut worker = Worker::spawn(where_files_stay_small(&sandbox, 128, "worker --log error"));
    worker.hears("ERROR");
    worker.hears("the store can't be written; trying again");
    worker.signal(Signal::KILL);
    worker.ended();
    sandbox.ok(&["doctor"]);
}

#[test]
fn the_log_says_what_comes_after_a_failed_attempt() {
    let sandbox = Sandbox::new("[tasks.bad]\ncommand = [\"false\"]\nmax_attempts = 2\nbackoff = \"10ms\"");
    sandbox.enqueue("bad", "{}");
    let said = sandbox.run(&["worker", "--drain"]).stderr;
    let next = |line: &str| line.split_once("next=\"").and_then(|(_, rest)| Some(rest.split_once('"')?.0.to_owned()));
    let told: Vec<_> = said.lines().filter_map(next).collect();
    assert_eq!(told, ["again in 10ms", "none, no attempt is left"], "{said}");
    assert!(!said.contains("Retry {"), "{said}");
    assert!(said.contains("worker ended: 2 claimed: 0 succeeded, 1 failed, 1 put off to another attempt"), "{said}");
}

#[test]
fn a_task_that_runs_at_most_once_says_why_it_is_not_run_again() {
    let sandbox = Sandbox::new(&SLOW.replace("[tasks.echo]", "ack = \"early\"\n[tasks.echo]")).env("GRISTMILL_GRACE", "10ms");
    let id = sandbox.enqueue("slow", "{}");
    let worker = sandbox.worker(&[]);
    sandbox.until_pid("pid");
    worker.signal(Signal::TERM);
    let (_, said) = worker.ended();
    assert!(said.contains("next=\"none, it runs at most once\""), "{said}");
    let task = sandbox.show(&id);
    assert_eq!(task["error"]["message"], "the worker stopped while it ran this task, which runs at most once", "{task}");
}

#[test]
fn a_hangup_stops_a_worker_as_gracefully() {
    let sandbox = Sandbox::with_echo();
    let worker = sandbox.worker(&[]);
    worker.signal(Signal::HUP);
    let (status, said) = worker.ended();
    assert!(status.success() && said.contains("stopping: no more claims"), "{said}");
}

#[test]
fn a_drain_says_what_paused_queues_keep() {
    let sandbox = Sandbox::with_echo();
    sandbox.enqueue("echo", "{}");
    sandbox.ok(&["queues", "pause", "default"]);
    let ended = sandbox.run(&["worker", "--drain"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("left: 1 ready tasks in the paused queue `default`"), "{ended:?}");
    sandbox.ok(&["queues", "resume", "default"]);
    assert!(!sandbox.run(&["worker", "--drain"]).stderr.contains("left:"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_memory_limit_below_what_the_process_takes_is_refused() {
    let sandbox = Sandbox::with_echo();
    let told = sandbox.fails(2, &["worker", "--drain", "--memory-limit", "1MB"]);
    assert!(told.contains("memory_limit") && told.contains("before it has begun; give it more"), "{told}");
    assert!(sandbox.fails(2, &["worker", "--memory-limit", "much"]).contains("such as 512MB"));
    sandbox.ok(&["worker", "--drain", "--memory-limit", "10GB"]);
}
