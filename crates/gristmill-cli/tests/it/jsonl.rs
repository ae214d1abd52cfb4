//! `enqueue --jsonl`: many tasks, each line for itself.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::sandbox::Sandbox;

const ID: &str = "6f2f1c1e-6b9d-4d4e-9d53-0a4f3b1f0001";

fn mixed() -> String {
    let mut lines = String::new();
    writeln!(
        lines,
        r#"{{"task": "echo", "args": {{"n": 1}}, "queue": "q", "priority": 1, "in": "1h", "tags": ["t"], "id": "{ID}"}}"#
    )
    .unwrap();
    lines.push('\n');
    for bad in [
        "{not json",
        r#"{"task": "ehco"}"#,
        r#"{"task": "echo", "args": [1]}"#,
        r#"{"task": "echo", "prority": 1}"#,
        r#"{"task": "echo", "priority": 77}"#,
        r#"{"task": "echo", "in": "5s", "at": "2100-01-01T00:00:00Z"}"#,
        r#"{"task": "echo", "backoff": "soon"}"#,
        r#"["echo", {}]"#,
    ] {
        writeln!(lines, "{bad}").unwrap();
    }
    writeln!(lines, r#"{{"task": "echo", "id": "{ID}", "args": {{"n": 2}}}}"#).unwrap();
    lines.push_str(r#"{"task": "echo"}"#);
    lines
}

#[test]
fn good_lines_are_kept_and_bad_ones_told_by_number() {
    let sandbox = Sandbox::with_echo();
    sandbox.write("tasks.jsonl", mixed());
    let ended = sandbox.run(&["enqueue", "--jsonl", "tasks.jsonl", "-o", "json"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(serde_json::from_str::<Value>(&ended.stdout).unwrap(), json!({ "enqueued": 2, "bad": 9 }));
    for (line, says) in [
        (3, "key must be a string"),
        (4, "did you mean echo"),
        (5, "not a JSON object"),
        (6, "unknown field `prority`"),
        (7, "from 0 (first) to 9 (last)"),
        (8, "both `in` and `at`"),
        (9, "not a duration"),
        (10, "not a JSON object such as"),
        (11, "another task has the id"),
    ] {
        let told = ended
            .stderr
            .lines()
            .find(|told| told.starts_with(&format!("line {line}: ")))
            .unwrap_or_else(|| panic!("{line}: {ended:?}"));
        assert!(told.contains(says), "{told}");
    }
    let task = sandbox.show(ID);
    assert_eq!(
        (&task["queue"], &task["priority"], &task["state"], &task["tags"]),
        (&json!("q"), &json!(1), &json!("scheduled"), &json!(["t"]))
    );
    assert_eq!(task["args"], json!({ "n": 1 }));
    assert_eq!(sandbox.json(&["tasks", "list"])["items"].as_array().unwrap().len(), 2);
}

#[test]
fn strict_commits_nothing_when_a_line_is_bad() {
    let sandbox = Sandbox::with_echo();
    let refusal = sandbox.run_with_input(&["enqueue", "--jsonl", "-", "--strict"], &mixed());
    assert_eq!(refusal.code, Some(1), "{refusal:?}");
    assert!(
        refusal.stderr.contains("line 11: another task has the id") && refusal.stderr.contains("nothing was enqueued"),
        "{refusal:?}"
    );
    assert_eq!(sandbox.json(&["tasks", "list"])["items"], json!([]));

    // An id that the store has with other arguments is a bad line too.
    sandbox.ok(&["enqueue", "echo", "--id", ID]);
    let lines = format!("{{\"task\": \"echo\"}}\n{{\"task\": \"echo\", \"id\": \"{ID}\", \"args\": {{\"n\": 2}}}}\n");
    let refusal = sandbox.run_with_input(&["enqueue", "--jsonl", "-", "--strict"], &lines);
    assert_eq!(refusal.code, Some(1), "{refusal:?}");
    assert_eq!(sandbox.json(&["tasks", "list"])["items"].as_array().unwrap().len(), 1);
}

#[test]
fn thousands_of_lines_are_run() {
    let sandbox = Sandbox::with_echo();
    let lines: String =
        (0..2500).map(|n| format!("{{\"task\": \"echo\", \"args\": {{\"n\": {n}}}, \"queue\": \"unserved\"}}\n")).collect();
    let ended = sandbox.run_with_input(&["enqueue", "--jsonl", "-", "--strict", "-o", "jsonl"], &lines);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let kept: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(kept.len(), 2500);
    assert_eq!(kept[2499]["line"], 2500);
    assert_eq!(sandbox.show(kept[1234]["id"].as_str().unwrap())["args"], json!({ "n": 1234 }));
    assert_eq!(sandbox.json(&["queues", "list"])["items"][0]["ready"], 2500);
}

#[test]
fn large_lines_are_committed_in_parts() {
    const LARGE: usize = 250_000;
    let sandbox = Sandbox::with_echo();
    let args = format!("{{\"text\": \"{}\"}}", "x".repeat(LARGE));
    let lines: String = (0..80).map(|_| format!("{{\"task\": \"echo\", \"args\": {args}}}\n")).collect();
    // Room for 16 MiB of them, and not for 20 million bytes: in one part, none would be kept.
    let small = format!("sqlite:{}?max_pages=4700", sandbox.path("small.db").display());
    let ended = sandbox.run_with_input(&["--store", &small, "enqueue", "--jsonl", "-", "--strict"], &lines);
    assert_ne!(ended.code, Some(0), "{}", ended.stderr);
    let kept = gristmill::core::limits::BATCH_BYTES_MAX.div_ceil(args.len());
    assert!(ended.stderr.contains(&format!("{kept} tasks are enqueued; line {} and", kept + 1)), "{}", ended.stderr);
}

#[test]
fn lines_that_come_one_by_one_are_not_held_back() {
    use std::io::{BufRead, BufReader, Write as _};
    let sandbox = Sandbox::with_echo();
    let mut command = sandbox.command(&["enqueue", "--jsonl", "-", "-o", "jsonl"]);
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    let (mut stdin, stdout) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    let mut answers = stdout.lines();
    for number in 1..=3 {
        writeln!(stdin, "{{\"task\": \"echo\"}}").unwrap();
        let answer: Value = serde_json::from_str(&answers.next().unwrap().unwrap()).unwrap();
        assert_eq!(answer["line"], number);
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn files_that_can_not_be_read_and_wrong_mixtures_are_refused() {
    let sandbox = Sandbox::with_echo();
    sandbox.fails(2, &["enqueue", "--jsonl", "nowhere.jsonl"]);
    sandbox.fails(2, &["enqueue", "--jsonl", "."]);
    assert!(!sandbox.path("gristmill.db").exists(), "nothing to enqueue, and yet a database was made");
    sandbox.fails(2, &["enqueue", "echo", "--jsonl", "x"]);
    sandbox.fails(2, &["enqueue", "echo", "--strict"]);
}

#[test]
fn bytes_that_are_no_text_are_a_bad_line() {
    let sandbox = Sandbox::with_echo();
    sandbox.write("x.jsonl", b"\xff\xfe\n{\"task\": \"echo\"}\n");
    let ended = sandbox.run(&["enqueue", "--jsonl", "x.jsonl"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), "1 task enqueued\n"));
    assert!(ended.stderr.contains("line 1: is not UTF-8"), "{ended:?}");
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_line() {
    let sandbox = Sandbox::with_echo();
    sandbox.write("x.jsonl", "\u{feff}{\"task\": \"echo\"}\n{\"task\": \"echo\"}\n");
    let ended = sandbox.run(&["enqueue", "--jsonl", "x.jsonl"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), "2 tasks enqueued\n"), "{ended:?}");
    sandbox.write("x.jsonl", "{\"task\": \"echo\"}\n\u{feff}{\"task\": \"echo\"}\n");
    let ended = sandbox.run(&["enqueue", "--jsonl", "x.jsonl"]);
    assert!(ended.code == Some(1) && ended.stderr.contains("line 2: is not a JSON object"), "{ended:?}");
}

/// A run whose reader takes one line and goes away.
fn read_one_line(sandbox: &Sandbox, args: &[&str]) -> (Option<i32>, String) {
    use std::io::{BufRead, BufReader, Read};
    let mut child = sandbox.command(args).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut String::new()).unwrap();
    drop(stdout);
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (child.wait().unwrap().code(), said)
}

#[test]
fn an_import_goes_on_when_nobody_reads_its_answers() {
    let sandbox = Sandbox::with_echo();
    let mut lines = "{\"task\": \"echo\", \"queue\": \"q\"}\n".repeat(9_000);
    sandbox.write("good.jsonl", &lines);
    lines.push_str("{not json\n");
    sandbox.write("bad.jsonl", &lines);
    let import = |file, mode: &[&str]| read_one_line(&sandbox, &[&["enqueue", "--jsonl", file, "-o", "jsonl"], mode].concat());
    let ready = || sandbox.json(&["queues", "list"])["items"][0]["ready"].clone();

    let (code, said) = import("good.jsonl", &["--strict"]);
    assert_eq!((code, said.lines().count()), (Some(0), 1), "nothing but that nobody serves the queue: {said}");
    assert_eq!(ready(), 9_000);
    sandbox.ok(&["tasks", "cancel", "--all", "--yes"]);
    let (code, said) = import("bad.jsonl", &[]);
    assert_eq!(code, Some(1), "its outcome is that of the import: {said}");
    assert!(said.contains("1 line is bad"), "{said}");
    assert_eq!(ready(), 9_000);
}

#[test]
fn many_bad_lines_are_counted_and_json_over_several_lines_is_recognised() {
    let sandbox = Sandbox::with_echo();
    let pretty = "{\n  \"task\": \"echo\"\n}\n".repeat(30);
    let ended = sandbox.run_with_input(&["enqueue", "--jsonl", "-", "-o", "json"], &pretty);
    assert_eq!((ended.code, ended.stdout.contains("\"bad\": 90")), (Some(1), true), "{ended:?}");
    let told = ended.stderr.lines().filter(|line| line.starts_with("line ")).count();
    assert_eq!(told, 20, "{ended:?}");
    assert_eq!(ended.stderr.matches("further bad lines are counted").count(), 1, "{ended:?}");
    assert!(
        ended.stderr.contains("90 lines are bad") && ended.stderr.contains("hint: a line is a whole JSON object"),
        "{ended:?}"
    );
}
