//! `enqueue` of one task: what is printed, what is refused.

use serde_json::{Value, json};

use crate::sandbox::Sandbox;

const TYPED: &str = r#"
[tasks."email.send"]
command = ["cat"]
schema = { type = "object", required = ["to"], properties = { to = { type = "string" }, count = { type = "integer" } } }
[tasks."email.receive"]
command = ["cat"]
"#;

#[test]
fn prints_the_id_and_keeps_the_options() {
    let sandbox = Sandbox::new(TYPED);
    let id = sandbox.ok(&[
        "enqueue",
        "email.send",
        "--args",
        r#"{"to": "a@b.c"}"#,
        "--queue",
        "mail",
        "--priority",
        "2",
        "--max-attempts",
        "7",
        "--in",
        "1h",
    ]);
    let task = sandbox.show(&id);
    assert_eq!(task["id"], json!(id));
    assert_eq!((&task["kind"], &task["queue"], &task["state"]), (&json!("email.send"), &json!("mail"), &json!("scheduled")));
    assert_eq!((&task["priority"], &task["max_attempts"], &task["attempt"]), (&json!(2), &json!(7), &json!(0)));
    assert_eq!(task["args"], json!({ "to": "a@b.c" }));

    let id = "6f2f1c1e-6b9d-4d4e-9d53-0a4f3b1f0001";
    let answer = sandbox.json(&["enqueue", "email.send", "--args", r#"{"to": "x"}"#, "--id", id, "--at", "2100-01-31T09:00:00Z"]);
    assert_eq!(answer, json!({ "id": id }));
    assert_eq!(sandbox.show(id)["run_at"], "2100-01-31T09:00:00.000Z");
    // Again with the same id nothing changes; with other arguments it is another task, which is refused.
    assert_eq!(sandbox.ok(&["enqueue", "email.send", "--args", r#"{"to": "x"}"#, "--id", id]), id);
    let refusal = sandbox.fails(1, &["enqueue", "email.send", "--args", r#"{"to": "y"}"#, "--id", id]);
    assert!(refusal.contains("another task has the id"), "{refusal}");
}

#[test]
fn waits_for_the_result() {
    let sandbox = Sandbox::new(
        "[tasks.echo]\ncommand = [\"cat\"]\n[tasks.fail]\ncommand = [\"sh\", \"-c\", \"echo broken >&2; exit 3\"]\nmax_attempts = 1",
    );
    let _worker = sandbox.worker(&[]);
    assert_eq!(sandbox.ok(&["enqueue", "echo", "--args", r#"{"n":1.50}"#, "--wait", "--wait-timeout", "60s"]), r#"{"n":1.50}"#);
    let failure = sandbox.fails(1, &["enqueue", "fail", "--wait"]);
    assert!(failure.contains("status 3") && failure.contains("broken"), "{failure}");
}

#[test]
fn a_wait_that_is_too_long_is_its_own_code() {
    let sandbox = Sandbox::with_echo();
    let late = sandbox.fails(4, &["enqueue", "echo", "--wait", "--wait-timeout", "50ms"]);
    assert!(late.contains("did not end in time"), "{late}");
    assert_eq!(late.matches("no live worker serves `echo` in the queue `default`").count(), 1, "{late}");
    assert_eq!(sandbox.json(&["tasks", "list"])["items"][0]["state"], "ready");
}

#[test]
fn unknown_task_types_are_refused_with_near_names() {
    let sandbox = Sandbox::new(TYPED);
    // Before there is a store, and when it knows no more than this program.
    let refusal = sandbox.fails(2, &["enqueue", "email.sned"]);
    assert!(refusal.contains("did you mean `email.send`?"), "{refusal}");
    sandbox.ok(&["migrate"]);
    let refusal = sandbox.fails(2, &["enqueue", "email.sned"]);
    assert!(refusal.contains("did you mean email.send"), "{refusal}");
    assert_eq!(sandbox.json(&["tasks", "list"])["items"], json!([]));

    // With --force it is kept, for a program that has it. A worker without it leaves it alone.
    for args in [r#"{"a": 1, "a": 2}"#, "{not json"] {
        sandbox.fails(2, &["enqueue", "email.sned", "--args", args, "--force"]);
    }
    let id = sandbox.ok(&["enqueue", "email.sned", "--args", r#"{"a": 1}"#, "--force"]);
    sandbox.ok(&["worker", "--drain"]);
    let task = sandbox.show(&id);
    assert_eq!((&task["state"], &task["attempt"], &task["attempts"]), (&json!("ready"), &json!(0), &json!([])));
    // Having been enqueued does not make it known.
    sandbox.fails(2, &["enqueue", "email.sned"]);
}

#[test]
fn types_that_another_program_declared_are_known_and_checked() {
    let sandbox = Sandbox::new(TYPED);
    sandbox.ok(&["migrate"]);
    sandbox.write("gristmill.toml", "");
    sandbox.enqueue("email.send", r#"{"to": "x"}"#);
    let refusal = sandbox.fails(2, &["enqueue", "email.send"]);
    assert!(refusal.contains("args/to: is missing"), "{refusal}");
}

#[test]
fn types_that_another_program_declared_wait_in_their_own_queue() {
    let sandbox = Sandbox::new("[tasks.report]\ncommand = [\"cat\"]\nqueue = \"slow\"\nmax_attempts = 2");
    sandbox.ok(&["migrate"]);
    sandbox.write("gristmill.toml", "");
    let task = sandbox.show(&sandbox.enqueue("report", "{}"));
    assert_eq!((&task["queue"], &task["max_attempts"]), (&json!("slow"), &json!(2)));
}

#[test]
fn bad_arguments_are_refused_by_field_and_nothing_is_kept() {
    let sandbox = Sandbox::new(TYPED);
    let large = format!("{{\"to\": \"{}\"}}", "x".repeat(100_000));
    let deep = format!("{{\"to\": \"x\", \"deep\": {}{}}}", "[".repeat(128), "]".repeat(128));
    for (args, says) in [
        ("[1]", "not a JSON object"),
        ("{", "not JSON"),
        ("{}", "args/to: is missing"),
        (r#"{"to": 5}"#, "args/to: is not of type string"),
        (r#"{"to": "x", "to": "y"}"#, "the key `to` is there twice"),
        (r#"{"to": "x", "more": [{"a": 1, "\u0061": 2}]}"#, "the key `a` is there twice"),
        (r#"{"to": "x", "count": "y"}"#, "args/count: is not of type integer"),
        (deep.as_str(), "nests deeper than 128"),
    ] {
        let refusal = sandbox.fails(2, &["enqueue", "email.send", "--args", args]);
        assert!(refusal.contains(says), "{args}: {refusal}");
    }
    sandbox.write("gristmill.toml", format!("[limits]\nargs_bytes = 50000\n{TYPED}"));
    let refusal = sandbox.fails(2, &["enqueue", "email.send", "--args", &large]);
    assert!(refusal.contains("at most 50000"), "{refusal}");
    assert_eq!(sandbox.json(&["tasks", "list"])["items"], json!([]));
}

#[test]
fn bad_options_are_refused() {
    let sandbox = Sandbox::with_echo();
    let long = "n".repeat(256);
    for (args, says) in [
        (&["--queue", ""][..], "empty"),
        (&["--queue", "a\nb"], "control character"),
        (&["--queue", &long], "at most 255"),
        (&["--priority", "12"], "from 0 (first) to 9 (last)"),
        (&["--priority", "-1"], "from 0 (first) to 9 (last)"),
        (&["--max-attempts", "-1"], "at least 1"),
        (&["--in", "-5s"], "not negative"),
        (&["--wait", "--wait-timeout", "-5s"], "not negative"),
        (&["--max-attempts", "0"], "at least 1"),
        (&["--in", "soon"], "not a duration"),
        (&["--in", "99999999w"], "too long"),
        (&["--at", "tomorrow"], "not an RFC 3339 date"),
        (&["--at", "1969-12-31T23:59:59Z"], "out of range"),
        (&["--at", "2027-01-01T00:00:00Z", "--in", "5s"], "cannot be used with"),
        (&["--id", "seven"], "`seven` is not a task's id"),
        (&["--wait-timeout", "5s"], "--wait"),
        (&["--what"], "unexpected argument"),
        (&["--tag", ""], "empty"),
        (&["--header", "trace"], "NAME=VALUE"),
        (&["--header", "=x"], "NAME=VALUE"),
        (&["--header", "a=1", "--header", "a=2"], "`a` is there twice"),
        (&["--timeout", "-5s"], "not negative"),
        (&["--timeout", "0s"], "at least 1ms"),
        (&["--expires", "soon"], "such as 100ms, 5s or 1h30m; or none"),
        (&["--in", "none"], "not a duration"),
        (&["--retention", "never"], "or \"forever\""),
        (&["--backoff", "soon"], "write 5s"),
        (&["--ack", "never"], "late (run again after a crash)"),
        (&["--max-crashes", "0"], "a number of crashes is at least 1"),
        (&["--arg", "x"], "KEY=VALUE"),
        (&["--arg", "x=1", "--arg", "x=2"], "the key `x` is there twice"),
        (&["--args", "{\"x\": 1}", "--arg", "x=2"], "the key `x` is there twice"),
        (&["--args", "[1]", "--arg", "x=2"], "not a JSON object"),
        (&["--args", "@nowhere.json"], "nowhere.json can't be read"),
        (&["--args", "@."], "can't be read"),
        (&["--args", "@"], "right behind the @ belongs the name of a file"),
        (&["--args", "{x"], "--args @FILE"),
    ] {
        let refusal = sandbox.fails(2, &[&["enqueue", "echo"], args].concat());
        assert!(refusal.contains(says), "{args:?}: {refusal}");
    }
    for name in ["", "a\tb", &long] {
        let refusal = sandbox.fails(2, &["enqueue", name, "--force"]);
        assert!(refusal.contains("task"), "{refusal}");
    }
    sandbox.fails(2, &["enqueue"]);
    assert_eq!(sandbox.json(&["tasks", "list"])["items"], json!([]));
}

#[test]
fn stores_out_of_reach_have_their_own_code() {
    let sandbox = Sandbox::with_echo();
    sandbox.write("other.db", "this is no database, though it is long enough to be taken for one by its name");
    for store in ["sqlite:/nowhere/at/all/x.db", "sqlite:other.db", "sqlite:."] {
        sandbox.fails(3, &["enqueue", "echo", "--store", store]);
    }
    let pipe = std::process::Command::new("mkfifo").arg(sandbox.path("pipe")).status().unwrap();
    assert!(pipe.success());
    for store in ["sqlite:/dev/null", "sqlite:pipe"] {
        for command in [&["enqueue", "echo"][..], &["tasks", "list"], &["migrate", "--check"]] {
            let said = sandbox.fails(3, &[command, &["--store", store]].concat());
            assert!(said.contains("it is a device, a pipe or a socket and no file"), "{said}");
        }
    }
    for store in ["redis://x", "sqlite:", "sqlite:x.db?journal=off"] {
        sandbox.fails(2, &["enqueue", "echo", "--store", store]);
    }
}

#[test]
fn a_full_disk_acknowledges_nothing_and_loses_nothing() {
    let sandbox = Sandbox::with_echo();
    sandbox.enqueue("echo", "{}");
    let pages = std::fs::metadata(sandbox.path("gristmill.db")).unwrap().len() / 4096 + 20;
    let store = format!("sqlite:gristmill.db?max_pages={pages}");
    let args = format!("{{\"x\": \"{}\"}}", "y".repeat(50_000));
    let mut kept = 1;
    let refusal = loop {
        let ended = sandbox.run(&["enqueue", "echo", "--args", &args, "--store", &store]);
        if ended.code != Some(0) {
            break ended;
        }
        kept += 1;
        assert!(kept < 50, "never full");
    };
    assert_eq!(refusal.code, Some(3), "{refusal:?}");
    assert!(refusal.stderr.contains("no space is left"), "{refusal:?}");
    // Space returns: what was acknowledged is there, and nothing else.
    sandbox.ok(&["worker", "--drain"]);
    let items = sandbox.json(&["tasks", "list", "--state", "succeeded"])["items"].as_array().unwrap().len();
    assert_eq!(items, kept);
}

#[test]
fn waiting_tells_a_success_though_the_type_keeps_none() {
    let sandbox = Sandbox::new(
        "[tasks.none]\ncommand = [\"cat\"]\nretention = \"none\"\n[tasks.short]\ncommand = [\"cat\"]\nretention = \"1ms\"\n[tasks.bad]\ncommand = [\"false\"]\nretention = \"none\"\nmax_attempts = 1",
    );
    let _worker = sandbox.worker(&[]);
    for name in ["none", "short"] {
        assert_eq!(sandbox.ok(&["enqueue", name, "--args", r#"{"n": 1}"#, "--wait"]), r#"{"n":1}"#.replace(':', ": "));
    }
    assert!(sandbox.fails(1, &["enqueue", "bad", "--wait"]).contains("exited with status 1"));
}

#[test]
fn the_usage_shows_both_forms() {
    let sandbox = Sandbox::with_echo();
    for said in [sandbox.run(&["enqueue", "--help"]).stdout, sandbox.fails(2, &["enqueue"])] {
        assert!(said.contains("gristmill enqueue [OPTIONS] NAME") && said.contains("gristmill enqueue --jsonl FILE|-"), "{said}");
    }
}

#[test]
fn an_enqueue_takes_what_a_line_takes() {
    let sandbox = Sandbox::new(TYPED);
    let line = r#"{"task": "email.send", "args": {"to": "12345", "count": 3}, "priority": 2, "max_attempts": 4, "max_crashes": 2, "in": "1h", "timeout": "7s", "expires": "1d", "backoff": ["1s", "2s"], "ack": "early", "retention": "forever", "title": "one", "tags": ["a", "b"], "headers": {"trace": "x=y"}}"#;
    assert_eq!(sandbox.run_with_input(&["enqueue", "--jsonl", "-"], line).code, Some(0));
    let options = [
        ["--arg", "to=12345"],
        ["--arg", "count=3"],
        ["--priority", "2"],
        ["--max-attempts", "4"],
        ["--max-crashes", "2"],
        ["--in", "1h"],
        ["--timeout", "7s"],
        ["--expires", "1d"],
        ["--backoff", "1s,2s"],
        ["--ack", "early"],
        ["--retention", "forever"],
        ["--title", "one"],
        ["--tag", "a"],
        ["--tag", "b"],
        ["--header", "trace=x=y"],
    ];
    sandbox.ok(&[&["enqueue", "email.send"], options.concat().as_slice()].concat());
    let items = sandbox.json(&["tasks", "list"])["items"].take();
    let same = |task: &Value| {
        let mut task = task.clone();
        for own in ["id", "created_at", "run_at"] {
            task.as_object_mut().unwrap().remove(own);
        }
        task
    };
    assert_eq!(same(&items[0]), same(&items[1]));
    assert_eq!(items[0]["args"], json!({ "to": "12345", "count": 3 }));
    let shown = sandbox.ok(&["tasks", "show", items[0]["id"].as_str().unwrap()]);
    assert!(shown.contains("headers     trace=x=y"), "{shown}");
}

#[test]
fn none_takes_away_what_the_task_type_says() {
    let sandbox =
        Sandbox::new("[tasks.echo]\ncommand = [\"sleep\", \"0.3\"]\ntimeout = \"1ms\"\nmax_attempts = 1\nexpires = \"1ms\"\n");
    let as_it_is = sandbox.ok(&["enqueue", "echo"]);
    let typed = sandbox.ok(&["enqueue", "echo", "--timeout", "none", "--expires", "none"]);
    let line = r#"{"task": "echo", "id": "019a3f5c-8b1e-7c40-9d53-0a4f3b1f0001", "timeout": "none", "expires": "none"}"#;
    assert_eq!(sandbox.run_with_input(&["enqueue", "--jsonl", "-"], line).code, Some(0));
    sandbox.ok(&["worker", "--drain"]);
    for id in [&typed, "019a3f5c-8b1e-7c40-9d53-0a4f3b1f0001"] {
        assert_eq!(sandbox.show(id)["state"], "succeeded");
    }
    assert_eq!(sandbox.show(&as_it_is)["state"], "expired");
}

#[cfg(target_os = "linux")]
#[test]
fn what_was_enqueued_is_told_though_the_answer_can_not_be_written() {
    let sandbox = Sandbox::with_echo();
    let to_full = |args: &[&str], input: &str| {
        sandbox.write("input", input);
        let mut command = sandbox.command(args);
        command.stdin(std::fs::File::open(sandbox.path("input")).unwrap());
        command.stdout(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = to_full(&["enqueue", "echo"], "");
    let id = sandbox.json(&["tasks", "list"])["items"][0]["id"].as_str().unwrap().to_owned();
    assert!(code == Some(1) && said.contains("output can't be written"), "{said}");
    assert!(said.contains(&format!("the task is enqueued: {id}")), "{said}");
    let (code, said) = to_full(&["enqueue", "--jsonl", "-"], "{\"task\": \"echo\"}\n{\"task\": \"echo\"}\n");
    assert!(code == Some(1) && said.contains("2 tasks are enqueued"), "{said}");
}

#[test]
fn what_is_typed_is_repeated_in_part_where_it_is_long() {
    let sandbox = Sandbox::with_echo();
    sandbox.ok(&["migrate"]);
    let long = "x".repeat(100_000);
    for args in [
        &["enqueue", "echo", "--in", &long][..],
        &["enqueue", "echo", "--backoff", &long],
        &["enqueue", &long],
        &["tasks", "show", &long],
        &["tasks", "list", "--columns", &long],
        &["schedules", "show", &long],
        &["workers", "forget", &long],
        &["--store", &long, "kinds"],
        &["--config", &long, "kinds"],
        &["--log", &long, "kinds"],
        &[&long],
        &[&format!("--{long}")],
    ] {
        let ended = sandbox.run(args);
        assert!(matches!(ended.code, Some(1..=3)) && ended.stderr.len() < 5_000, "{} bytes", ended.stderr.len());
        assert!(ended.stderr.contains("xxx") && ended.stderr.contains(" more) "), "{ended:?}");
    }
    // What is long and right beside what is wrong stays what it is.
    let backoff = format!("[\"1s\"{}]", ", \"1s\"".repeat(90));
    let refusal = sandbox.fails(2, &["enqueue", "echo", "--backoff", &backoff, "--in", "soon"]);
    assert!(refusal.contains("'--in <DURATION>'"), "{refusal}");
}

#[test]
fn arguments_come_from_files_and_standard_input() {
    let sandbox = Sandbox::with_echo();
    sandbox.write("args.json", "{\"n\": 1.50}\n");
    let from_file = sandbox.ok(&["enqueue", "echo", "--args", "@args.json", "--arg", "m=2"]);
    assert_eq!(sandbox.show(&from_file)["args"], json!({ "n": 1.50, "m": 2 }));
    for input in ["-", "@-"] {
        let ended = sandbox.run_with_input(&["enqueue", "echo", "--args", input], "{\"text\": \"ü\"}");
        assert_eq!(sandbox.show(ended.stdout.trim())["args"], json!({ "text": "ü" }), "{ended:?}");
    }
    let sandbox = Sandbox::with_echo();
    sandbox.fails(2, &["enqueue", "echo", "--args", "@nowhere.json"]);
    assert!(!sandbox.path("gristmill.db").exists(), "nothing to enqueue, and yet a database was made");
    sandbox.write("bytes", b"\xff");
    assert!(sandbox.fails(2, &["enqueue", "echo", "--args", "@bytes"]).contains("bytes can't be read"));
}

#[test]
fn the_timeout_of_a_task_is_not_that_of_the_wait() {
    let sandbox = Sandbox::new("[tasks.slow]\ncommand = [\"sleep\", \"600\"]\nmax_attempts = 1");
    let _worker = sandbox.worker(&[]);
    let failure = sandbox.fails(1, &["enqueue", "slow", "--wait", "--timeout", "50ms"]);
    assert!(failure.contains("longer than its timeout"), "{failure}");
    sandbox.fails(4, &["enqueue", "slow", "--wait", "--wait-timeout", "50ms"]);
}
