//! The commands of operators: queues, workers, kinds, migrate, doctor, completions, init, dev.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::sandbox::{Sandbox, end, until};
use crate::schema::Schema;

#[test]
fn paused_queues_are_not_claimed_from() {
    let sandbox = Sandbox::with_echo();
    let id = sandbox.enqueue("echo", "{}");
    assert_eq!(sandbox.json(&["queues", "pause", "default"]), json!({ "items": [{ "queue": "default", "paused": true }] }));
    let _worker = sandbox.worker(&[]);
    let other = sandbox.ok(&["enqueue", "echo", "--queue", "default"]);
    let queue = sandbox.json(&["queues", "list"])["items"][0].clone();
    assert_eq!((&queue["name"], &queue["paused"], &queue["ready"]), (&json!("default"), &json!(true), &json!(2)));
    assert_eq!(sandbox.show(&id)["state"], "ready");
    sandbox.ok(&["queues", "resume", "default"]);
    sandbox.until_state(&id, "succeeded");
    sandbox.until_state(&other, "succeeded");
    for name in ["", "a\nb"] {
        sandbox.fails(2, &["queues", "pause", name]);
    }
    sandbox.fails(2, &["queues", "pause"]);
}

#[test]
fn workers_and_kinds_are_listed() {
    let sandbox =
        Sandbox::new("[tasks.a]\ncommand = [\"cat\"]\nqueue = \"q\"\nschema = { type = \"object\", properties = { x = {} } }");
    let _worker = sandbox.worker(&["--queues", "default=3,heavy=2"]);
    let workers = sandbox.json(&["workers"])["items"].clone();
    assert_eq!((&workers[0]["alive"], &workers[0]["queues"]), (&json!(true), &json!({ "default": 3, "heavy": 2 })));
    assert_eq!(workers[0]["kinds"], json!(["a", "gristmill.workflow"]));
    let kinds = sandbox.json(&["kinds"])["items"].clone();
    assert_eq!((&kinds[0]["name"], &kinds[0]["policy"]["queue"], &kinds[0]["workers"]), (&json!("a"), &json!("q"), &json!(1)));
    assert!(sandbox.ok(&["kinds"]).contains("TASK TYPE"));
    assert!(sandbox.ok(&["workers"]).contains("default=3,heavy=2"));
}

#[test]
fn migrate_says_what_there_is_to_do_and_does_it() {
    let sandbox = Sandbox::without_config();
    let check = sandbox.run(&["migrate", "--check", "-o", "json"]);
    assert_eq!(check.code, Some(1), "{check:?}");
    assert_eq!(serde_json::from_str::<Value>(&check.stdout).unwrap()["migrations"][0]["applied_at"], Value::Null);
    assert!(!sandbox.path("gristmill.db").exists(), "only looking must not make a file");
    assert!(sandbox.json(&["migrate"])["migrations"][0]["applied_at"].is_string());
    sandbox.ok(&["migrate", "--check"]);
}

#[test]
fn the_doctor_finds_what_is_missing_and_what_is_damaged() {
    let sandbox = Sandbox::new("[tasks.a]\ncommand = [\"no-such-program-anywhere\"]\n[tasks.b]\ncommand = [\"sh\"]");
    sandbox.ok(&["migrate"]);
    let findings = sandbox.json(&["doctor"])["items"].clone();
    let missing: Vec<_> = findings.as_array().unwrap().iter().filter(|finding| finding["code"] == "missing_program").collect();
    assert_eq!(missing.len(), 1);
    assert!(missing[0]["message"].as_str().unwrap().contains("no-such-program-anywhere") && missing[0]["severity"] == "warning");
    assert!(findings.as_array().unwrap().iter().any(|finding| finding["code"] == "integrity" && finding["severity"] == "ok"));
    // Quiet, it says only what is not well, and nothing where all is.
    let quiet = sandbox.ok(&["doctor", "-q"]);
    assert!(quiet.contains("no-such-program-anywhere") && !quiet.contains("integrity"), "{quiet}");
    let well = Sandbox::with_echo();
    well.ok(&["migrate"]);
    assert_eq!(well.ok(&["doctor", "-q"]), "");
    assert_eq!(well.json(&["doctor", "-q"])["items"], json!([]));

    sandbox.enqueue("b", &format!("{{\"x\": \"{}\"}}", "y".repeat(60_000)));
    let path = sandbox.path("gristmill.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8192].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    let ended = sandbox.run(&["doctor"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
}

/// In the tables' description, at the root of a table, within one, and in a file that was cut off.
#[test]
fn the_doctor_names_damage_where_the_file_can_not_even_be_opened() {
    const PAGE: usize = 4096;
    let sandbox = Sandbox::with_echo();
    sandbox.enqueue("echo", &format!("{{\"x\": \"{}\"}}", "y".repeat(60_000)));
    let sound = std::fs::read(sandbox.path("gristmill.db")).unwrap();
    let conn = gristmill_sqlite::rusqlite::Connection::open(sandbox.path("gristmill.db")).unwrap();
    let root = |name: &str| -> usize {
        conn.query_row("SELECT rootpage FROM sqlite_schema WHERE name = ?1", [name], |row| row.get(0)).unwrap()
    };
    let zeroed = |page: usize| {
        let mut bytes = sound.clone();
        bytes[page * PAGE..(page + 1) * PAGE].fill(0);
        bytes
    };
    let mut pages = vec![root("gristmill_migration") - 1, root("gristmill_schedule") - 1, root("gristmill_task") - 1];
    // But for the last one: it is the end of the long arguments, and SQLite keeps no sum of what is written there.
    pages.extend((1..sound.len() / PAGE - 1).step_by(9));
    let mut files: Vec<_> = pages.into_iter().map(|page| (format!("page {page}"), zeroed(page))).collect();
    files.push(("cut off".to_owned(), sound[..sound.len() / 2].to_owned()));
    for (number, (what, bytes)) in files.into_iter().enumerate() {
        let name = format!("damaged-{number}.db");
        sandbox.write(&name, bytes);
        let ended = sandbox.run(&["doctor", "--store", &format!("sqlite:{name}"), "-o", "json"]);
        assert_eq!(ended.code, Some(1), "{what}: {ended:?}");
        let findings = serde_json::from_str::<Value>(&ended.stdout).unwrap()["items"].clone();
        let found = findings.as_array().unwrap().iter().find(|found| found["code"] == "integrity").unwrap().clone();
        assert_eq!(found["severity"], "error", "{what}: {findings}");
        assert!(found["hint"].as_str().unwrap().contains("restore a backup"), "{what}: {found}");
    }
}

#[test]
fn tasks_that_nobody_serves_are_told() {
    let sandbox = Sandbox::with_echo();
    sandbox.ok(&["enqueue", "from.another.version", "--force"]);
    sandbox.ok(&["worker", "--drain"]);
    assert_eq!(sandbox.json(&["queues", "list"])["items"][0]["unserved"], 1);
    let findings = sandbox.json(&["doctor"])["items"].clone();
    let finding = findings.as_array().unwrap().iter().find(|finding| finding["code"] == "unserved").unwrap();
    assert_eq!(finding["severity"], "warning", "{finding}");
}

#[test]
fn the_doctor_sees_what_nobody_serves_as_the_queues_do() {
    what_nobody_serves(Sandbox::with_echo());
}

#[test]
fn so_it_does_on_postgres() {
    let schema = Schema::new();
    what_nobody_serves(Sandbox::with_echo().env("GRISTMILL_STORE", &schema.url()));
}

fn what_nobody_serves(sandbox: Sandbox) {
    let seen = || {
        let queues = sandbox.json(&["queues", "list"])["items"].as_array().unwrap().clone();
        let count: u64 = queues.iter().map(|queue| queue["unserved"].as_u64().unwrap()).sum();
        let findings = sandbox.json(&["doctor"])["items"].as_array().unwrap().clone();
        let finding = findings.into_iter().find(|finding| finding["code"] == "unserved").unwrap();
        (count, finding["severity"].as_str().unwrap().to_owned(), finding["message"].as_str().unwrap().to_owned())
    };
    let said = |count, severity: &str, message: &str| (count, severity.to_owned(), message.to_owned());
    sandbox.ok(&["migrate"]);
    assert_eq!(seen(), said(0, "ok", "no ready tasks that no live worker serves"));
    let id = sandbox.enqueue("echo", "{}");
    assert_eq!(seen(), said(1, "warning", "1 ready tasks, and no worker is alive"));
    let _worker = sandbox.worker(&["--queues", "default=1"]);
    sandbox.until_state(&id, "succeeded");
    sandbox.ok(&["enqueue", "echo", "--queue", "nightly"]);
    assert_eq!(seen(), said(1, "warning", "1 ready tasks that no live worker serves"));
}

#[test]
fn completions_are_for_each_shell() {
    let sandbox = Sandbox::without_config();
    for shell in ["bash", "zsh", "fish"] {
        assert!(sandbox.ok(&["completions", shell]).contains("enqueue"), "{shell}");
    }
    sandbox.fails(2, &["completions", "tcl"]);
    assert!(!sandbox.ok(&["completions", "bash"]).contains("__guard"));
}

#[test]
fn init_writes_a_configuration_that_works_and_keeps_one_that_is_there() {
    let sandbox = Sandbox::without_config();
    assert_eq!(sandbox.ok(&["init"]), "gristmill.toml");
    let task = sandbox.perform("hello", r#"{"name": "wor\"ld"}"#);
    assert_eq!(task["result"], json!({ "greeting": "hello, wor\"ld" }), "{task}");
    sandbox.write("gristmill.toml", "store = \"sqlite:mine.db\"");
    assert!(sandbox.fails(1, &["init"]).contains("--force"));
    assert!(std::fs::read_to_string(sandbox.path("gristmill.toml")).unwrap().contains("mine.db"));
    sandbox.ok(&["init", "--force"]);
    sandbox.ok(&["init", "--config", "other.toml"]);
    assert!(sandbox.path("other.toml").exists());
}

#[test]
fn the_sample_of_the_repository_works() {
    let sample = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../gristmill.toml");
    let sandbox = Sandbox::new(&std::fs::read_to_string(sample).unwrap());
    sandbox.write("text", "one two three");
    assert_eq!(sandbox.perform("hello", r#"{"name": "world"}"#)["result"], json!({ "greeting": "hello, world" }));
    assert_eq!(sandbox.perform("wordcount", r#"{"path": "text"}"#)["result"]["words"], 3);
    let task = sandbox.perform("countdown", r#"{"seconds": 1}"#);
    assert_eq!((&task["result"]["lift_off"], &task["attempts"][0]["logs"]), (&json!(true), &json!("1 seconds left\n")));
}

#[test]
fn dev_runs_everything_and_names_the_next_command() {
    let sandbox = Sandbox::new("[worker]\nqueues = { default = 1 }\n[tasks.hello]\ncommand = [\"cat\"]\nqueue = \"elsewhere\"");
    let mut dev = sandbox.start(&["dev"]);
    dev.hears("dev: started");
    let task = sandbox.ok(&["enqueue", "hello", "--wait", "--wait-timeout", "60s"]);
    assert_eq!(task, "{}");
    dev.signal(Signal::INT);
    let (status, said) = dev.ended();
    assert!(status.success(), "{said}");
    for text in ["sqlite:gristmill.db", "gristmill.toml", "elsewhere=8", "enqueue hello --args '{}' --wait", "1 succeeded"] {
        assert!(said.contains(text), "{text} is missing in {said}");
    }
}

#[test]
fn usage_errors_and_help_have_their_codes() {
    let sandbox = Sandbox::without_config();
    sandbox.fails(2, &[]).contains("Usage");
    sandbox.fails(2, &["frobnicate"]);
    sandbox.fails(2, &["tasks", "list", "-o", "xml"]);
    sandbox.fails(2, &["tasks", "list", "--log", "=:="]);
    let said = sandbox.fails(2, &["tasks", "show", "\u{1b}]0;x\u{7}\u{202e}"]);
    assert!(said.contains("\\u{1b}]0;x\\u{7}\\u{202e}") && !said.contains('\u{1b}'), "{said:?}");
    // Wrong for nothing but its escape, and from the environment.
    let said = sandbox.fails(2, &["worker", "--queues", "a\u{1b}[31m"]);
    assert!(said.contains("holds the control character") && !said.contains('\u{1b}'), "{said:?}");
    let mut command = sandbox.command(&["worker", "--drain"]);
    command.env("GRISTMILL_LEASE", "5\u{1b}[2J");
    let said = end(command, "").stderr;
    assert!(said.contains("not a duration") && !said.contains('\u{1b}'), "{said:?}");
    let help = sandbox.ok(&["--help"]);
    assert!(help.contains("Exit codes") && !help.contains("__guard"), "{help}");
    assert!(sandbox.ok(&["--version"]).contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_doctor_does_not_send_to_the_doctor() {
    let sandbox = Sandbox::with_echo();
    sandbox.write("gristmill.db", "this is no database, though it is long enough to be taken for one by its name");
    assert!(sandbox.fails(3, &["tasks", "list"]).contains("`doctor` looks into it"));
    let said = sandbox.fails(3, &["doctor"]);
    assert!(said.contains("hint: the store is --store") && !said.contains("`doctor`"), "{said}");
}

#[test]
fn a_newer_store_is_refused_in_one_sentence() {
    let sandbox = Sandbox::with_echo();
    sandbox.enqueue("echo", "{}");
    let conn = gristmill_sqlite::rusqlite::Connection::open(sandbox.path("gristmill.db")).unwrap();
    conn.execute("INSERT INTO gristmill_migration VALUES (900, 'sharding', 'x', 0)", []).unwrap();
    let said = sandbox.fails(3, &["tasks", "list"]);
    assert_eq!(said.matches("newer").count(), 1, "{said}");
}

#[test]
fn a_queue_that_nobody_named_before_is_told() {
    let sandbox = Sandbox::with_echo();
    sandbox.ok(&["enqueue", "echo", "--queue", "mailing"]);
    let ended = sandbox.run(&["queues", "pause", "mailign", "mailing", "default"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(
        ended.stderr,
        "the queue `mailign` is new: no task, task type or worker has named it so far; did you mean `mailing`?\n"
    );
    assert_eq!(sandbox.run(&["queues", "resume", "mailign"]).stderr, "", "known by now");
}

/// What a worker held that hangs, or that only looks alive, is set free by hand.
#[test]
fn workers_are_forgotten_and_tasks_released() {
    let sandbox = Sandbox::new("[tasks.hang]\ncommand = [\"sleep\", \"600\"]\nmax_attempts = 1\n");
    let (first, second) = (sandbox.enqueue("hang", "{}"), sandbox.enqueue("hang", "{}"));
    let mut worker = sandbox.worker(&["--queues", "default=3", "--lease", "10m"]);
    sandbox.until_state(&first, "running");
    sandbox.until_state(&second, "running");
    worker.signal(Signal::STOP);
    let id = sandbox.json(&["workers"])["items"][0]["id"].as_str().unwrap().to_owned();

    let released = sandbox.json(&["tasks", "release", &first]);
    assert_eq!(released, json!({ "items": [{ "id": first, "outcome": "released" }] }));
    let task = sandbox.show(&first);
    assert_eq!((&task["state"], &task["attempt"], &task["crashes"]), (&json!("ready"), &json!(0), &json!(0)));
    let again = sandbox.run(&["tasks", "release", &first, "-o", "json"]);
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.stdout.contains("waits") && again.stderr.contains("neither running nor scheduled"), "{again:?}");

    assert_eq!(sandbox.json(&["workers", "forget", &id]), json!({ "worker": id, "tasks": 1 }));
    let task = sandbox.show(&second);
    assert_eq!((&task["state"], &task["crashes"]), (&json!("ready"), &json!(1)));
    assert_eq!(sandbox.json(&["workers", "list"])["items"], json!([]));
    assert!(sandbox.fails(1, &["workers", "forget", &id]).contains("there is no worker"));
    assert!(sandbox.fails(1, &["workers", "forget", "nobody"]).contains("there is no worker `nobody`"));
    sandbox.fails(2, &["tasks", "release"]);

    let later = sandbox.ok(&["enqueue", "hang", "--in", "100d"]);
    assert_eq!(sandbox.json(&["tasks", "release", &later])["items"][0]["outcome"], "released");
    let due = sandbox.json(&["tasks", "list", &format!("state:ready id:{later} due:>=0s")]);
    assert_eq!(due["items"].as_array().unwrap().len(), 1, "it is due: {}", sandbox.show(&later));

    // It finds out that it was forgotten, and goes on under another name.
    worker.signal(Signal::CONT);
    sandbox.until_state(&later, "running");
    worker.hears("this worker was taken for dead, by hand (`workers forget`)");
    worker.signal(Signal::KILL);
}

/// It is asked from another process, says how far it is, and ends as at a first signal.
#[test]
fn a_worker_is_asked_to_end() {
    let sandbox = Sandbox::new("[tasks.slow]\ncommand = [\"sh\", \"-c\", \"until [ -e go ]; do sleep 0.05; done\"]\n");
    let mut worker = sandbox.worker(&["--queues", "default=1", "--prefetch", "0"]);
    let running = sandbox.enqueue("slow", "{}");
    sandbox.until_state(&running, "running");
    let ready = sandbox.enqueue("slow", "{}");
    let of_worker = |field: &str| sandbox.json(&["workers"])["items"][0][field].clone();
    let (id, name) = (of_worker("id"), of_worker("name").as_str().unwrap().to_owned());
    assert_eq!(of_worker("drain"), Value::Null);

    let waiting = sandbox.start(&["workers", "drain", &name, "--wait"]);
    worker.hears("asked by an operator to end");
    assert_eq!(of_worker("drain"), "heard");
    assert!(sandbox.ok(&["workers"]).contains("draining"));
    let drained = json!({ "worker": id, "drain": "heard", "running": 1 });
    assert_eq!(sandbox.json(&["workers", "drain", &name]), drained, "again");
    let late = sandbox.fails(4, &["workers", "drain", &name, "--wait", "--wait-timeout", "50ms"]);
    assert!(late.contains("has heard, and did not end within 50ms: it runs 1 tasks"), "{late}");

    sandbox.write("go", "");
    assert!(waiting.ended().0.success());
    let (status, said) = worker.ended();
    assert!(status.success() && said.contains("1 succeeded"), "{said}");
    assert_eq!(
        (sandbox.show(&running)["state"].clone(), sandbox.show(&ready)["state"].clone()),
        (json!("succeeded"), json!("ready"))
    );
    assert!(sandbox.fails(1, &["workers", "drain", &name]).contains(&format!("there is no worker `{name}`")));
    // Who comes next knows nothing of it.
    let _next = sandbox.worker(&["--queues", "default=1"]);
    sandbox.until_state(&ready, "succeeded");
}

/// One that does not hear is told apart from one that does, and from one that is dead or is not there.
#[test]
fn who_does_not_hear_that_it_is_to_end_is_told() {
    let sandbox = Sandbox::with_echo();
    let deaf = sandbox.worker(&[]);
    let name = sandbox.json(&["workers"])["items"][0]["name"].as_str().unwrap().to_owned();
    let near = sandbox.fails(1, &["workers", "drain", &format!("{name}0")]);
    assert!(near.contains(&format!("did you mean `{name}`?")), "{near}");
    assert!(sandbox.fails(1, &["workers", "forget", &format!("{name}0")]).contains("did you mean"));
    sandbox.fails(2, &["workers", "drain"]);
    sandbox.fails(2, &["workers", "drain", &name, "--wait-timeout", "soon"]);
    assert!(sandbox.fails(2, &["workers", "stop", &name]).contains("drain"));

    deaf.signal(Signal::STOP);
    let said = sandbox.fails(4, &["workers", "drain", &name, "--wait-timeout", "50ms"]);
    assert!(said.contains("was asked, and has not heard of it within 50ms") && said.contains("next heartbeat"), "{said}");
    assert_eq!(sandbox.json(&["workers"])["items"][0]["drain"], "asked");
    assert!(sandbox.ok(&["workers"]).contains("asked to end"));
    deaf.signal(Signal::CONT);
    let (status, said) = deaf.ended();
    assert!(status.success(), "{said}");

    let dead = sandbox.worker(&["--lease", "100ms"]);
    let name = sandbox.json(&["workers"])["items"][0]["name"].as_str().unwrap().to_owned();
    dead.signal(Signal::KILL);
    until("its lease is over", || sandbox.json(&["workers"])["items"][0]["alive"] == false);
    let said = sandbox.fails(1, &["workers", "drain", &name]);
    assert!(said.contains(&format!("the worker `{name}` is dead")) && said.contains("workers forget"), "{said}");
}

#[test]
fn dev_can_be_asked_to_end() {
    let sandbox = Sandbox::with_echo();
    let mut dev = sandbox.start(&["dev"]);
    dev.hears("dev: started");
    let name = sandbox.json(&["workers"])["items"][0]["name"].as_str().unwrap().to_owned();
    sandbox.ok(&["workers", "drain", &name, "--wait"]);
    let (status, said) = dev.ended();
    assert!(status.success() && said.contains("worker ended"), "{said}");
}

/// What the clock did while it was ahead is named, and mended.
#[test]
fn the_doctor_names_what_a_clock_that_was_ahead_left_behind() {
    let sandbox = Sandbox::with_echo();
    let task = sandbox.ok(&["enqueue", "echo", "--in", "1h"]);
    sandbox.ok(&["schedules", "add", "hourly", "--task", "echo", "--every", "1h"]);
    sandbox.ok(&["schedules", "add", "nightly", "--task", "echo", "--cron", "0 3 * * *"]);
    let file = gristmill_sqlite::rusqlite::Connection::open(sandbox.path("gristmill.db")).unwrap();
    // As if all of it had been done a thousand days from now.
    let ms = 1_000_i64 * 86_400_000;
    file.execute("UPDATE gristmill_task SET created_at = created_at + ?1", [ms]).unwrap();
    file.execute(
        "UPDATE gristmill_schedule SET due_at = due_at + ?1, memory = replace(memory, '\"after\":\"2', '\"after\":\"3')",
        [ms],
    )
    .unwrap();
    let finding = |code: &str| {
        let findings = sandbox.json(&["doctor"])["items"].clone();
        findings.as_array().unwrap().iter().find(|finding| finding["code"] == code).cloned()
    };
    let ahead = finding("clock_ahead").unwrap();
    assert_eq!((&ahead["severity"], ahead["hint"].as_str().unwrap().contains("tasks release")), (&json!("warning"), true));
    let frozen = finding("schedules_ahead").unwrap();
    assert!(frozen["message"].as_str().unwrap().contains("2 schedules wait") && frozen["severity"] == "warning", "{frozen}");

    sandbox.ok(&["tasks", "release", &task]);
    assert_eq!(finding("clock_ahead").unwrap()["severity"], "ok");
    sandbox.ok(&["schedules", "reset", "hourly"]);
    assert!(finding("schedules_ahead").unwrap()["message"].as_str().unwrap().contains("nightly"));
    assert!(sandbox.fails(2, &["schedules", "reset", "--all"]).contains("to reset all schedules needs --yes"));
    assert!(sandbox.ok(&["schedules", "reset", "--all", "--dry-run"]).starts_with("NAME"));
    let reset = sandbox.json(&["schedules", "reset", "--all", "--yes"]);
    assert_eq!(reset["items"].as_array().unwrap().len(), 2);
    assert_eq!(finding("schedules_ahead"), None);
    sandbox.fails(2, &["schedules", "reset"]);
    sandbox.fails(2, &["schedules", "reset", "hourly", "--all"]);
    sandbox.fails(1, &["schedules", "reset", "nothing"]);
}

#[test]
fn names_that_nobody_serves_are_told_with_near_ones() {
    let sandbox = Sandbox::new("[tasks.mail]\ncommand = [\"cat\"]\nqueue = \"outgoing\"\n[tasks.echo]\ncommand = [\"cat\"]\n");
    let said = |args: &[&str]| {
        let ended = sandbox.run(args);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.stderr
    };
    assert_eq!(said(&["enqueue", "echo"]), "");
    assert_eq!(said(&["enqueue", "echo", "--queue", "outgoing"]), "");
    let told = "no live worker serves the queue `outgoign`, and no task type waits there by itself; did you mean `outgoing`?";
    // As often as it happens: that it happened before makes it no better.
    for _ in 0..2 {
        assert!(said(&["enqueue", "echo", "--queue", "outgoign"]).contains(told));
    }
    assert!(said(&["schedules", "add", "s", "--task", "echo", "--every", "1h", "--queue", "outgoign"]).contains(told));
    assert!(said(&["schedules", "edit", "s", "--queue", "outgoign"]).contains(told));
    let ended = sandbox
        .run_with_input(&["enqueue", "--jsonl", "-"], "{\"task\": \"echo\", \"queue\": \"outgoign\"}\n".repeat(3).as_str());
    assert_eq!(ended.stderr.matches(told).count(), 1, "{ended:?}");
    assert!(
        said(&["enqueue", "ehco", "--force"])
            .contains("no program has declared the task type `ehco` so far; did you mean `echo`?")
    );
    assert!(said(&["worker", "--drain", "--queues", "defualt"]).contains("the queue `defualt` is new"));
    assert!(said(&["worker", "--drain", "--queues", "defualt"]).contains("did you mean `default`?"));
    sandbox
        .write("gristmill.toml", "[worker]\nqueues = { defualt = 1 }\n[tasks.mail]\ncommand = [\"cat\"]\nqueue = \"deafult\"\n");
    let started = said(&["worker", "--drain"]);
    assert!(started.contains("mail (queue deafult; did you mean `defualt`?)"), "{started}");
    for args in [&["--kind", "mial"][..], &["kind:mial"], &["--kind", "mial", "--count"]] {
        let said = said(&[&["tasks", "list"], args].concat());
        assert!(said.contains("there is no task type `mial`; did you mean `mail`?"), "{said}");
    }
    assert!(
        said(&["tasks", "cancel", "--queue", "outgoin", "--yes"]).contains("there is no queue `outgoin`; did you mean `outgoi")
    );
    assert_eq!(said(&["tasks", "list", "--kind", "mail"]), "");
}

#[test]
fn words_of_other_tools_are_hinted_at() {
    let sandbox = Sandbox::with_echo();
    for (args, tip) in [
        (&["schedules", "remove", "x"][..], "that is `schedules delete` here"),
        (&["schedules", "trigger", "x"], "`schedules run-now`"),
        (&["jobs", "list"], "that is `tasks` here"),
        (&["tasks", "kill", "x"], "`tasks cancel`"),
        (&["tasks", "rm", "x"], "`tasks delete`"),
        (&["queues", "stop", "x"], "`queues pause`"),
        (&["purge"], "`tasks delete`"),
        (&["worker", "--concurrency", "8"], "--queues default=8,heavy=2"),
        (&["worker", "--concurrency=8"], "--queues default=8,heavy=2"),
        (&["worker", "-c", "8"], "--queues default=8,heavy=2"),
        (&["enqueue", "echo", "--delay", "5s"], "--in 5m"),
        (&["enqueue", "echo", "--attempt-timeout", "5s"], "--wait-timeout that of the wait"),
        (&["tasks", "list", "--json"], "-o json"),
        (&["tasks", "list", "--status", "failed"], "--state"),
        (&["tasks", "list", "-tag:test"], "write NOT tag:test"),
        (&["tasks", "cancel", "--all", "-y"], "--yes"),
        (&["tasks", "wait", "--query", "state:ready"], "`tasks list QUERY -o jsonl | jq -r .id`"),
        (&["schedules", "add", "x", "--task", "echo", "--interval", "5m"], "--every 10m"),
    ] {
        let said = sandbox.fails(2, args);
        assert!(said.matches("tip: ").count() == 1 && said.contains(tip), "{args:?}: {said}");
    }
}

#[test]
fn completions_offer_the_names_of_the_store() {
    let sandbox = Sandbox::new("[tasks.mail]\ncommand = [\"cat\"]\nqueue = \"outgoing\"\n[tasks.echo]\ncommand = [\"cat\"]\n");
    assert_eq!(sandbox.run(&["names", "queues"]).stdout, "");
    assert_eq!(sandbox.ok(&["names", "kinds"]), "echo\nmail", "the program's own are there without a store");
    assert!(!sandbox.path("gristmill.db").exists(), "a key was pressed, and a database made");
    sandbox.enqueue("mail", "{}");
    sandbox.ok(&["enqueue", "echo", "--queue", "two words"]);
    sandbox.ok(&["schedules", "add", "nightly", "--task", "echo", "--every", "1h"]);
    assert_eq!(sandbox.ok(&["names", "queues"]), "outgoing");
    assert_eq!(sandbox.ok(&["names", "kinds"]), "echo\ngristmill.workflow\nmail");
    sandbox.write("complete.sh", sandbox.ok(&["completions", "bash"]));
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_gristmill"));
    let complete = |words: &[&str]| {
        let script = format!(
            "PATH={}:$PATH; source ./complete.sh; COMP_WORDS=(gristmill {}); COMP_LINE='gristmill {}'; COMP_CWORD={}; _gristmill gristmill \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"; echo \"${{COMPREPLY[@]}}\"",
            binary.parent().unwrap().display(),
            words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
            words.join(" "),
            words.len(),
        );
        let output = std::process::Command::new("bash").args(["-c", &script]).current_dir(sandbox.path("")).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    assert_eq!(complete(&["tasks", "list", "--queue", "o"]), "outgoing");
    assert_eq!(complete(&["tasks", "list", "--kind", ""]), "echo gristmill.workflow mail");
    assert_eq!(complete(&["enqueue", "m"]), "mail");
    assert_eq!(complete(&["schedules", "pause", "n"]), "nightly");
    // The store of the line is asked, and not the usual one.
    sandbox.ok(&["--store", "sqlite:other.db", "schedules", "add", "hourly", "--task", "echo", "--every", "1h"]);
    assert_eq!(complete(&["--store", "sqlite:other.db", "schedules", "pause", ""]).split(' ').next(), Some("hourly"));
    assert_eq!(complete(&["tasks", "list", "--store", "sqlite:other.db", "--schedule", ""]), "hourly");
    assert_eq!(sandbox.run(&["names", "schedules", "--line", "gristmill --store $ELSEWHERE schedules show "]).stdout, "");
    sandbox.fails(2, &["names", "tags"]);
}

#[test]
fn a_key_that_is_pressed_changes_no_store() {
    let sandbox = Sandbox::with_echo();
    sandbox.ok(&["enqueue", "echo", "--queue", "mail"]);
    let conn = gristmill_sqlite::rusqlite::Connection::open(sandbox.path("gristmill.db")).unwrap();
    let kept = || -> (i64, i64) {
        let counts = "SELECT (SELECT count(*) FROM gristmill_addition), (SELECT count(*) FROM gristmill_kind)";
        conn.query_row(counts, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    };
    let before = kept();
    sandbox.write("gristmill.toml", "[tasks.echo]\ncommand = [\"cat\"]\n[tasks.new]\ncommand = [\"cat\"]\n");
    assert_eq!(sandbox.ok(&["names", "queues"]), "mail");
    assert_eq!(sandbox.ok(&["names", "kinds"]), "echo\ngristmill.workflow\nnew");
    assert_eq!(kept(), before, "nothing is declared");
    // As a version before this one left it.
    conn.execute("DELETE FROM gristmill_addition WHERE number = (SELECT max(number) FROM gristmill_addition)", []).unwrap();
    assert_eq!(sandbox.ok(&["names", "queues"]), "");
    assert_eq!(kept(), (before.0 - 1, before.1), "nothing is brought up to date");
}

#[test]
fn a_queue_is_purged_of_what_waits() {
    let sandbox = Sandbox::with_echo();
    let waits: Vec<String> = (0..3).map(|_| sandbox.ok(&["enqueue", "echo", "--queue", "mail"])).collect();
    let later = sandbox.ok(&["enqueue", "echo", "--queue", "mail", "--in", "1h"]);
    let other = sandbox.ok(&["enqueue", "echo"]);
    assert!(sandbox.fails(2, &["queues", "purge", "mail"]).contains("needs --yes where nobody can be asked"));
    let told = sandbox.fails(1, &["queues", "purge", "mial", "--yes"]);
    assert!(told.contains("there is no queue `mial`") && told.contains("did you mean `mail`?"), "{told}");
    let preview = sandbox.json(&["queues", "purge", "mail", "--dry-run"]);
    assert_eq!((&preview["matching"], sandbox.show(&later)["state"].clone()), (&json!(4), json!("scheduled")));
    let purged = sandbox.json(&["queues", "purge", "mail", "--yes"]);
    assert_eq!((&purged["changed"], &purged["unchanged"]), (&json!(4), &json!(0)));
    for id in waits.iter().chain([&later]) {
        assert_eq!(sandbox.show(id)["state"], json!("cancelled"));
    }
    assert_eq!(sandbox.show(&other)["state"], json!("ready"));
    assert_eq!(sandbox.json(&["queues", "purge", "mail", "--yes"])["changed"], json!(0));
}
