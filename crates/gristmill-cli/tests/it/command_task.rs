//! Task types that are commands, and all that commands do wrong.

use serde_json::{Value, json};

use crate::sandbox::{Sandbox, is_alive, until};

/// A sandbox with one task type `t` that runs a shell script once.
fn script(script: &str, options: &str) -> Sandbox {
    Sandbox::new(&format!(
        "[limits]\nresult_bytes = 10000\n[tasks.t]\ncommand = [\"sh\", \"-c\", {}]\nmax_attempts = 1\n{options}\n",
        json!(script)
    ))
}

/// The message of a task that failed for good.
#[track_caller]
fn failure(task: &Value) -> &str {
    assert_eq!(task["state"], "failed", "{task}");
    task["error"]["message"].as_str().unwrap()
}

#[test]
fn arguments_go_in_and_json_comes_out() {
    let sandbox = script("cat", "");
    assert_eq!(sandbox.perform("t", r#"{"a": "é \" \n", "b": [1, 2.50]}"#)["result"], json!({ "a": "é \" \n", "b": [1, 2.5] }));
    let sandbox = script("exit 0", "");
    let task = sandbox.perform("t", &format!("{{\"unread\": \"{}\"}}", "x".repeat(100_000)));
    assert_eq!((&task["state"], &task["result"]), (&json!("succeeded"), &Value::Null), "{task}");
}

#[test]
fn output_that_is_not_json_fails() {
    let task = script("echo hello world", "").perform("t", "{}");
    assert!(failure(&task).contains("not JSON") && failure(&task).contains("hello world"), "{task}");
    let task = script("printf '\\377\\376'", "").perform("t", "{}");
    assert!(failure(&task).contains("UTF-8"), "{task}");
}

#[test]
fn the_error_of_plain_text_says_what_to_do_and_output_says_what_it_is() {
    let task = script("echo done", "").perform("t", "{}");
    assert!(failure(&task).contains("standard error") && failure(&task).contains("`output = \"text\"`"), "{task}");
    let result = |text: &str, options: &str| {
        let task = script(text, options).perform("t", "{}");
        assert_eq!(task["state"], "succeeded", "{task}");
        task["result"].clone()
    };
    assert_eq!(result("echo done", "output = \"text\""), "done");
    assert_eq!(result("printf '{\"a\": 1}\\n\\377'", "output = \"text\""), "{\"a\": 1}\n\u{fffd}");
    assert_eq!(result("true", "output = \"text\""), "");
    assert_eq!(result("echo 1", "output = \"json\""), 1);
    // Nothing is kept of it, so that it may be as long as it likes.
    assert_eq!(result("yes | head -c 1000000", "output = \"none\""), Value::Null);
    let task = script("yes | head -c 20000", "output = \"text\"").perform("t", "{}");
    assert!(failure(&task).contains("more than 10000 bytes"), "{task}");
}

#[test]
fn some_exit_statuses_are_final() {
    let options = "max_attempts = 3\nbackoff = \"1ms\"\nfail_on = [7, 64]\n";
    let of = |status: &str| {
        let config = format!("[tasks.t]\ncommand = [\"sh\", \"-c\", \"echo why >&2; {status}\"]\n{options}");
        let task = Sandbox::new(&config).perform("t", "{}");
        assert_eq!(task["state"], "failed", "{task}");
        (task["attempt"].as_u64().unwrap(), task["error"]["message"].as_str().unwrap().to_owned())
    };
    for status in ["7", "64"] {
        let (attempts, why) = of(&format!("exit {status}"));
        assert!(attempts == 1 && why.contains(&format!("status {status}")), "{attempts}: {why}");
        assert!(why.contains("`fail_on`") && why.ends_with("why"), "{why}");
    }
    assert_eq!(of("exit 8").0, 3);
    // Death by a signal is no exit status, though shells write it as one.
    assert_eq!(of("kill -KILL $$").0, 3);
}

#[test]
fn exit_status_and_the_end_of_stderr_are_kept() {
    let task = script("echo first >&2; echo second >&2; exit 65", "").perform("t", "{}");
    assert!(failure(&task).contains("status 65") && failure(&task).contains("second"), "{task}");
    assert_eq!(task["attempts"][0]["logs"], "first\nsecond\n");
}

#[test]
fn failures_are_tried_again() {
    let sandbox = Sandbox::new("[tasks.t]\ncommand = [\"false\"]\nmax_attempts = 3\nbackoff = \"1ms\"");
    let task = sandbox.perform("t", "{}");
    assert_eq!((&task["state"], &task["attempt"], task["attempts"].as_array().unwrap().len()), (&json!("failed"), &json!(3), 3));
}

#[test]
fn a_command_that_is_missing_fails_at_once() {
    for (command, says) in
        [("\"no-such-program\"", "No such file"), ("\"./plain\"", "Permission denied"), ("\"/\"", "Permission denied")]
    {
        let sandbox = Sandbox::new(&format!("[tasks.t]\ncommand = [{command}]\nmax_attempts = 5\nbackoff = \"1ms\""));
        sandbox.write("plain", "not executable");
        let task = sandbox.perform("t", "{}");
        assert!(failure(&task).contains("can't be started") && failure(&task).contains(says), "{task}");
        assert_eq!(task["attempt"], 1);
    }
    #[cfg(target_os = "linux")]
    {
        let sandbox = Sandbox::new("[tasks.t]\ncommand = [\"no-such-program\"]\nmax_attempts = 5\nmemory = \"1GB\"");
        let task = sandbox.perform("t", "{}");
        assert!(failure(&task).contains("`no-such-program` can't be started: it is not there"), "{task}");
        assert_eq!(task["attempt"], 1, "also where it is started by way of what bounds its memory");
    }
    let sandbox = Sandbox::new("[tasks.t]\ncommand = [\"cat\"]\ncwd = \"nowhere\"");
    assert!(failure(&sandbox.perform("t", "{}")).contains("working directory `nowhere`"));
}

#[test]
fn death_by_signal_is_named() {
    let task = script("kill -SEGV $$", "").perform("t", "{}");
    assert!(failure(&task).contains("signal 11 (SIGSEGV)"), "{task}");
    let task = script("echo bye >&2; kill -9 $$", "").perform("t", "{}");
    assert!(failure(&task).contains("SIGKILL") && failure(&task).contains("bye"), "{task}");
}

#[test]
fn a_command_that_hangs_is_killed_with_its_whole_group() {
    let sandbox = script(
        "sleep 300 & echo $! > child; trap '' TERM INT HUP; echo $$ > pid; while :; do sleep 300; done",
        "timeout = \"300ms\"",
    );
    let task = sandbox.perform("t", "{}");
    assert_eq!(task["error"]["reason"], "timeout", "{task}");
    assert!(!is_alive(sandbox.until_pid("pid")));
    assert!(!is_alive(sandbox.until_pid("child")));
}

#[test]
fn children_that_stay_behind_are_killed_and_hold_nothing_up() {
    // They keep the output open; the attempt must not wait for them.
    let text = "setsid sh -c 'echo $$ > a; sleep 300' & (sleep 300 & echo $! > b); sleep 300 & echo $! > c; until test -s a; do :; done; echo 1";
    let sandbox = script(text, "timeout = \"50s\"");
    let task = sandbox.perform("t", "{}");
    assert_eq!((&task["state"], &task["result"]), (&json!("succeeded"), &json!(1)), "{task}");
    for name in ["a", "b", "c"] {
        assert!(!is_alive(sandbox.until_pid(name)), "{name}");
    }
}

#[test]
fn a_flood_of_output_is_cut_and_said_so() {
    let sandbox = script("echo $$ > pid; yes", "");
    let task = sandbox.perform("t", "{}");
    assert!(failure(&task).contains("more than 10000 bytes"), "{task}");
    let pid = sandbox.until_pid("pid");
    until("the command is gone", || !is_alive(pid));
    // Just what fits is no flood; a larger result can be had cut.
    let just = "printf '\"'; head -c 9998 /dev/zero | tr '\\0' x; printf '\"'";
    assert_eq!(script(just, "").perform("t", "{}")["result"].as_str().unwrap().len(), 9998);
    let more = just.replace("9998", "20000");
    assert!(failure(&script(&more, "").perform("t", "{}")).contains("more than 10000 bytes"));
    let task = script(&more, "large_result = \"truncate\"").perform("t", "{}");
    assert_eq!((&task["result"]["truncated"], &task["result"]["bytes"]), (&json!(true), &json!(20002)), "{task}");
}

#[test]
fn a_flood_of_errors_is_bounded() {
    let task = script("head -c 3000000 /dev/zero | tr '\\0' x >&2; yes line | head -n 200000 >&2; echo last >&2; exit 9", "")
        .perform("t", "{}");
    assert!(failure(&task).contains("last") && failure(&task).len() < 8 * 1024, "{}", failure(&task).len());
    assert!(task["attempts"][0]["logs"].as_str().unwrap().len() < 70 * 1024);
}

#[test]
fn the_environment_is_what_was_allowed() {
    let script = r#"printf '{"secret": "%s", "allowed": "%s", "set": "%s", "task": "%s", "attempt": "%s", "id": "%s", "fence": "%s"}' "$SECRET" "$ALLOWED" "$MODE" "$GRISTMILL_TASK_NAME" "$GRISTMILL_ATTEMPT" "$GRISTMILL_TASK_ID" "$GRISTMILL_FENCE""#;
    let config = format!(
        "[tasks.t]\ncommand = [\"sh\", \"-c\", {}]\nenv = [\"PATH\", \"ALLOWED\"]\nset_env = {{ MODE = \"x\" }}\n",
        json!(script)
    );
    let sandbox = Sandbox::new(&config).env("SECRET", "hunter2").env("ALLOWED", "yes");
    let task = sandbox.perform("t", "{}");
    let expected =
        json!({ "secret": "", "allowed": "yes", "set": "x", "task": "t", "attempt": "1", "id": task["id"], "fence": "1" });
    assert_eq!(task["result"], expected);
}

#[test]
fn it_runs_in_its_directory() {
    let sandbox = Sandbox::new("[tasks.t]\ncommand = [\"./here.sh\"]\ncwd = \"inner\"");
    std::fs::create_dir(sandbox.path("inner")).unwrap();
    sandbox.write("inner/here.sh", "#!/bin/sh\nprintf '\"%s\"' \"$(basename \"$PWD\")\"\n");
    std::fs::set_permissions(sandbox.path("inner/here.sh"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    assert_eq!(sandbox.perform("t", "{}")["result"], "inner");
}

#[cfg(target_os = "linux")]
#[test]
fn a_guard_has_a_name_that_people_understand() {
    let task = script("tr -d '\\n' < /proc/$PPID/comm", "output = \"text\"").perform("t", "{}");
    assert_eq!(task["result"], "gristmill-guard", "{task}");
}

#[test]
fn a_guard_that_is_killed_does_not_leave_its_command_running() {
    let sandbox = script("echo $PPID > guard; echo $$ > pid; sleep 300", "");
    let id = sandbox.enqueue("t", "{}");
    let _worker = sandbox.worker(&[]);
    let (guard, pid) = (sandbox.until_pid("guard"), sandbox.until_pid("pid"));
    rustix::process::kill_process(rustix::process::Pid::from_raw(guard).unwrap(), rustix::process::Signal::KILL).unwrap();
    let task = sandbox.until_state(&id, "failed");
    assert!(failure(&task).contains("was killed"), "{task}");
    until("the command is gone", || !is_alive(pid));
}

/// What a command starts is bounded as it is.
#[cfg(target_os = "linux")]
#[test]
fn a_command_takes_no_more_memory_than_it_may() {
    let takes = "head -c 300000000 /dev/zero | tail -c 250000000 > /dev/null";
    let task = |options: &str| script(takes, &format!("output = \"none\"\n{options}")).perform("t", "{}");
    assert_eq!(task("")["state"], json!("succeeded"));
    // From its first moment on, and so for what it starts before anybody could look.
    let limit = "grep -q '^Max address space *100000000 *100000000' /proc/self/limits";
    let forked = script(&format!("({limit}) & wait $!"), "output = \"none\"\nmemory = \"100MB\"");
    assert_eq!(forked.perform("t", "{}")["state"], json!("succeeded"));
    let bounded = task("memory = \"100MB\"");
    assert_eq!(bounded["state"], json!("failed"), "{bounded:#}");
    assert!(failure(&bounded).contains("exited with status"), "{bounded:#}");
}
