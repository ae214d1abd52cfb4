//! `schedules`, `beat` and `[[schedule]]`: every command, every bad input, and what a running beat makes of them.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::sandbox::{Sandbox, Worker, until};
use crate::schema::Schema;

/// It never ticks while a test runs.
const YEARLY: &[&str] = &["--cron", "0 0 1 1 *"];

const SCHEMA: &str = "[tasks.send]\ncommand = [\"cat\"]\nschema = { type = \"object\", required = [\"to\"], properties = { to = { type = \"string\" } } }\n[tasks.echo]\ncommand = [\"cat\"]\n";

fn add(sandbox: &Sandbox, name: &str, rule: &[&str]) -> Value {
    sandbox.json(&[&["schedules", "add", name, "--task", "echo"], rule].concat())
}

fn show(sandbox: &Sandbox, name: &str) -> Value {
    sandbox.json(&["schedules", "show", name])
}

fn history(sandbox: &Sandbox, name: &str) -> Vec<Value> {
    sandbox.json(&["schedules", "history", name])["items"].as_array().unwrap().clone()
}

fn beat(sandbox: &Sandbox) -> Worker {
    let mut beat = sandbox.start(&["beat"]);
    beat.hears(": started");
    beat
}

#[test]
fn what_is_said_is_shown_and_an_edit_changes_nothing_else() {
    let sandbox = Sandbox::with_echo();
    let made = sandbox.json(&[
        "schedules",
        "add",
        "nightly",
        "--task",
        "echo",
        "--args",
        r#"{"year": 2027}"#,
        "--cron",
        "0 3 * * MON-FRI",
        "--timezone",
        "Europe/Rome",
        "--start",
        "2040-01-01T00:00:00Z",
        "--end",
        "2050-01-01T00:00:00Z",
        "--jitter",
        "30s",
        "--catch-up",
        "all:10,1h",
        "--overlap",
        "buffer_one",
        "--queue",
        "slow",
        "--priority",
        "2",
        "--expires",
        "1h",
        "--max-runs",
        "100",
        "--min-distance",
        "5m",
        "--penalty",
        "3",
        "--tick-arg",
        "at",
        "--description",
        "for the board",
    ]);
    assert_eq!(made, show(&sandbox, "nightly"));
    assert_eq!(made["when"], "at 03:00 on weekdays, Europe/Rome");
    assert_eq!((&made["state"], &made["reason"], &made["last"]), (&json!("active"), &Value::Null, &Value::Null));
    assert_eq!(made["next"], json!({ "utc": "2040-01-02T02:00:00.000Z", "local": "2040-01-02T03:00:00+01:00", "remark": null }));
    let definition = &made["definition"];
    assert_eq!(definition["catch_up"], json!({ "all": { "max": 10, "window_s": 3600 } }));
    assert_eq!((&definition["overlap"], &definition["args"]), (&json!("buffer_one"), &json!({ "year": 2027 })));
    assert_eq!(definition["options"], json!({ "queue": "slow", "priority": 2, "expires": "1h" }));

    let edited = sandbox.json(&["schedules", "edit", "nightly", "--cron", "30 4 * * *", "--end", "none", "--queue", ""]);
    assert_eq!(edited["next"]["utc"], "2040-01-01T03:30:00.000Z");
    let mut expected = definition.clone();
    expected["rule"]["expr"] = json!("30 4 * * *");
    expected.as_object_mut().unwrap().remove("end");
    expected["options"].as_object_mut().unwrap().remove("queue");
    assert_eq!(edited["definition"], expected);

    let text = sandbox.ok(&["schedules", "list"]);
    for word in ["nightly", "at 04:30 every day, Europe/Rome", "echo", "active", "2040-01-01T04:30:00+01:00 Europe/Rome"] {
        assert!(text.contains(word), "{word} is missing in {text}");
    }
    let text = sandbox.ok(&["schedules", "show", "nightly"]);
    for word in ["for the board", "all:10,1h", "buffer_one", "made at run time", r#"{"year":2027}"#] {
        assert!(text.contains(word), "{word} is missing in {text}");
    }
}

#[test]
fn a_schedule_has_the_options_that_one_of_the_file_has() {
    let sandbox = Sandbox::new(SCHEMA);
    let options = ["--timeout", "5m", "--max-attempts", "2", "--tag", "a", "--tag", "b"];
    let args = ["schedules", "add", "s", "--task", "send", "--args", "{\"n\": 1}", "--arg", "to=12", "--arg", "copies=3"];
    let made = sandbox.json(&[&args[..], &options, YEARLY].concat());
    let definition = &made["definition"];
    assert_eq!(definition["args"], json!({ "n": 1, "to": "12", "copies": 3 }));
    assert_eq!(definition["options"], json!({ "max_attempts": 2, "timeout": "5m", "tags": ["a", "b"] }));
    let text = sandbox.ok(&["schedules", "show", "s"]);
    for word in ["timeout     5m", "attempts    2", "tags        a, b"] {
        assert!(text.contains(word), "{word} is missing in {text}");
    }
    let edited = sandbox.json(&["schedules", "edit", "s", "--arg", "to=34", "--tag", "", "--timeout", "none"]);
    assert_eq!(edited["definition"]["args"], json!({ "n": 1, "to": "34", "copies": 3 }));
    assert_eq!(edited["definition"]["options"], json!({ "max_attempts": 2 }));
    let edited = sandbox.json(&["schedules", "edit", "s", "--args", "{\"to\": \"x\"}", "--max-attempts", "none", "--tag", "c"]);
    assert_eq!(edited["definition"]["args"], json!({ "to": "x" }));
    assert_eq!(edited["definition"]["options"], json!({ "tags": ["c"] }));
    for (bad, says) in
        [(["--timeout", "soon"], "not a duration"), (["--max-attempts", "0"], "at least 1"), (["--arg", "to"], "KEY=VALUE")]
    {
        let refusal = sandbox.fails(2, &[&["schedules", "edit", "s"], &bad[..]].concat());
        assert!(refusal.contains(says), "{bad:?}: {refusal}");
    }
}

#[test]
fn whoever_removes_a_schedule_of_a_file_is_told_that_it_comes_back() {
    let sandbox = Sandbox::new(&format!("{SCHEMA}[[schedule]]\nname = \"filed\"\ntask = \"echo\"\ncron = \"@yearly\"\n"));
    add(&sandbox, "own", YEARLY);
    drop(beat(&sandbox));
    let deleted = sandbox.run(&["schedules", "delete", "filed"]);
    assert_eq!((deleted.code, deleted.stdout.as_str()), (Some(0), "deleted\n"));
    assert!(deleted.stderr.contains("`gristmill.toml` defines it, and makes it anew at its next start"), "{deleted:?}");
    assert_eq!(sandbox.run(&["schedules", "delete", "own"]).stderr, "");
    // One that the file has no longer does not come back.
    drop(beat(&sandbox));
    sandbox.write("gristmill.toml", SCHEMA);
    drop(beat(&sandbox));
    assert_eq!(show(&sandbox, "filed")["state"], "withdrawn");
    assert_eq!(sandbox.run(&["schedules", "delete", "filed"]).stderr, "");
}

#[test]
fn the_doctor_names_schedules_whose_task_type_nobody_has() {
    let text = "[[schedule]]\nname = \"s\"\ntask = \"sey\"\nevery = \"1h\"\n";
    let sandbox = Sandbox::new(&format!("{SCHEMA}{text}"));
    drop(beat(&sandbox));
    let undeclared = || {
        let findings = sandbox.json(&["doctor"])["items"].clone();
        findings.as_array().unwrap().iter().find(|finding| finding["code"] == "schedules_undeclared").cloned()
    };
    let finding = undeclared().unwrap();
    assert!(finding["severity"] == "warning" && finding["message"].as_str().unwrap().contains("1 schedules"), "{finding}");
    sandbox.ok(&["schedules", "edit", "s", "--task", "echo"]);
    assert_eq!(undeclared(), None);
}

#[test]
fn each_rule_can_be_written() {
    let sandbox = Sandbox::with_echo();
    for (name, rule, when) in [
        ("cron", &["--cron", "*/7 0 3 * * *"][..], "`*/7 0 3 * * *`"),
        ("crontab", &["--crontab", "0 0 13 * fri"], "Friday"),
        ("every", &["--every", "10m"], "every 10 minutes"),
        ("aligned", &["--every", "1d", "--aligned"], "on the clock"),
        ("solar", &["--solar", "sunset", "--at", "-33.9,151.2"], "at sunset at -33.9, 151.2"),
        ("on", &["--on", "2100-01-31T09:00:00Z"], "once at 2100-01-31T09:00:00Z"),
    ] {
        let made = add(&sandbox, name, rule);
        assert!(made["when"].as_str().unwrap().contains(when), "{name}: {made}");
    }
    let list = sandbox.json(&["schedules", "list"]);
    let names: Vec<_> = list["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect();
    assert_eq!((names, &list["next"]), (vec!["aligned", "cron", "crontab", "every", "on", "solar"], &Value::Null));
    let page = sandbox.json(&["schedules", "list", "--limit", "4"]);
    assert_eq!(page["next"], "every");
    let rest = sandbox.json(&["schedules", "list", "--cursor", "every"]);
    assert_eq!(rest["items"][0]["name"], "on");
    assert_eq!(sandbox.ok(&["schedules", "list", "-o", "jsonl"]).lines().count(), 6);
}

#[test]
fn the_ticks_to_come_are_told_in_both_times_with_what_the_clock_does() {
    let sandbox = Sandbox::with_echo();
    add(&sandbox, "rome", &["--cron", "30 2 * * *", "--timezone", "Europe/Rome", "--start", "2050-03-26T00:00:00Z"]);
    assert_eq!(
        sandbox.json(&["schedules", "next", "rome", "--count", "3"]),
        json!([
            { "utc": "2050-03-26T01:30:00.000Z", "local": "2050-03-26T02:30:00+01:00", "remark": null },
            {
                "utc": "2050-03-27T01:00:00.000Z",
                "local": "2050-03-27T03:00:00+02:00",
                "remark": "in the gap: 02:30 does not exist, runs at 03:00",
            },
            { "utc": "2050-03-28T00:30:00.000Z", "local": "2050-03-28T02:30:00+02:00", "remark": null },
        ])
    );
    assert!(sandbox.ok(&["schedules", "next", "rome"]).lines().count() == 11);
    sandbox.ok(&["schedules", "edit", "rome", "--max-runs", "2"]);
    assert_eq!(sandbox.json(&["schedules", "next", "rome"]).as_array().unwrap().len(), 2);
    sandbox.ok(&["schedules", "pause", "rome"]);
    let ended = sandbox.run(&["schedules", "next", "rome"]);
    assert!(ended.code == Some(0) && ended.stderr.contains("`rome` is paused"), "{ended:?}");
}

#[test]
fn what_makes_no_sense_is_refused_and_nothing_is_made() {
    let sandbox = Sandbox::new(SCHEMA);
    let cases: &[(&[&str], &[&str])] = &[
        (&["--cron", "0 24 * * *"], &["allowed is 0 to 23", "Did you mean `0`?", "\n0 24 * * *\n  ^^"]),
        (&["--cron", "0 0 * * MUN"], &["Did you mean `MON`?"]),
        (&["--crontab", "@daily"], &["`@daily`"]),
        (&["--cron", "0 0 30 2 *"], &["never ticks"]),
        (&["--cron", "@daily", "--timezone", "Europe/Rom"], &["Did you mean `Europe/Rome`?"]),
        (&["--cron", "@daily", "--start", "2030-01-02T00:00:00Z", "--end", "2030-01-01T00:00:00Z"], &["is not after the start"]),
        (&["--every", "0s"], &["from 1s to 36500d"]),
        (&["--every", "-5m"], &["is not negative"]),
        (&["--every", "999ms"], &["from 1s to 36500d"]),
        (&["--every", "40000d"], &["36500d"]),
        (&["--solar", "sunset", "--at", "151.2,-33.9"], &["the latitude comes first"]),
        (&["--solar", "sunet", "--at", "51.5,-0.1"], &["Did you mean `sunset`?"]),
        (&["--solar", "sunset"], &["--at"]),
        (&["--on", "tomorrow"], &["RFC 3339"]),
        (&["--on", "2020-01-01T00:00:00Z"], &["2020-01-01T00:00:00.000Z has passed, 6y", "`enqueue` makes a task now"]),
        (&["--crontab", "0 0 * * 1/9"], &["a step only after `*` or a range; allowed is 0 to 6 or SUN to SAT\n"]),
        (&["--cron", "* * L-3 * *"], &["a distance from it, as in L-3, is not supported"]),
        (&["--cron", "0\u{a0}0 * * *"], &["U+00A0"]),
        (&["--every", "1h", "--cron", "@daily"], &["cannot be used with"]),
        (&["--every", "1h", "--jitter", "8d"], &["at most"]),
        (&["--every", "1h", "--catch-up", "all:5"], &["all:N,WINDOW"]),
        (&["--every", "1h", "--overlap", "maybe"], &["buffer_one"]),
        (&["--every", "1h", "--args", "[1]"], &["object"]),
        (&["--every", "1h", "--args", r#"{"a": 1, "a": 2}"#], &["twice"]),
        (&["--every", "1h", "--task", "snd"], &["there is no task type `snd`; did you mean send?"]),
        (&["--every", "1h", "--task", "send"], &["to"]),
        (&["--every", "1h", "--task", "send", "--args", r#"{"to": 5}"#], &["to"]),
        (&["--every", "1h", "--max-runs", "0"], &["at least 1"]),
        (&[], &["when?"]),
    ];
    for (said, answers) in cases {
        let task: &[&str] = if said.contains(&"--task") { &[] } else { &["--task", "echo"] };
        let error = sandbox.fails(2, &[&["schedules", "add", "x"], task, *said].concat());
        for answer in *answers {
            assert!(error.contains(answer), "{said:?}: {answer} is missing in {error}");
        }
    }
    assert_eq!(sandbox.json(&["schedules", "list"])["items"], json!([]));
}

#[test]
fn a_name_is_taken_once_and_a_wrong_one_is_told() {
    let sandbox = Sandbox::with_echo();
    add(&sandbox, "nightly", YEARLY);
    let error = sandbox.fails(1, &["schedules", "add", "nightly", "--task", "echo", "--every", "1h"]);
    assert!(error.contains("there is a schedule `nightly` already"), "{error}");
    for command in ["show", "edit", "pause", "resume", "run-now", "delete", "next", "history"] {
        let edit: &[&str] = if command == "edit" { &["--every", "1h"] } else { &[] };
        let error = sandbox.fails(1, &[&["schedules", command, "nigthly"], edit].concat());
        assert!(error.contains("there is no schedule `nigthly`") && error.contains("did you mean `nightly`?"), "{error}");
    }
    let error = sandbox.fails(2, &["schedules", "edit", "nightly", "--cron", "60 * * * *"]);
    assert!(error.contains("\n60 * * * *\n^^"), "{error}");
    let error = sandbox.fails(2, &["schedules", "edit", "nightly"]);
    assert!(error.contains("nothing to change") && error.contains("--help"), "{error}");
    sandbox.fails(2, &["schedules", "edit", "nightly", "--on", "2020-01-01T00:00:00Z"]);
    assert_eq!(show(&sandbox, "nightly")["definition"]["rule"]["expr"], YEARLY[1], "nothing was changed");
}

#[test]
fn a_date_that_has_passed_is_run_only_if_it_is_said() {
    let sandbox = Sandbox::with_echo();
    let ended =
        sandbox.run(&["schedules", "add", "past", "--task", "echo", "--on", "2020-01-01T00:00:00Z", "--catch-up", "latest"]);
    assert!(ended.code == Some(0) && ended.stderr.contains("2020-01-01T00:00:00.000Z was 6y"), "{ended:?}");
    let _beat = beat(&sandbox);
    until("it has its run", || !history(&sandbox, "past").is_empty());
    let [tick] = &history(&sandbox, "past")[..] else { panic!("one tick") };
    assert!(
        tick["reason"].as_str().unwrap().starts_with("6y ") && tick["reason"].as_str().unwrap().ends_with("d late"),
        "{tick}"
    );
    let text = sandbox.ok(&["schedules", "history", "past"]);
    assert!(!text.contains("ms"), "people count in years: {text}");
}

#[test]
fn what_another_cron_would_make_of_a_rule_is_told() {
    let sandbox = Sandbox::with_echo();
    let notice = "would want both";
    let add = |name: &str, rule: &[&str]| sandbox.run(&[&["schedules", "add", name, "--task", "echo"], rule].concat());
    let ended = add("odd", &["--cron", "0 0 */2 * MON"]);
    assert!(ended.code == Some(0) && ended.stderr.contains(notice), "{ended:?}");
    let ended = add("even", &["--cron", "0 0 */2 * *"]);
    assert!(ended.code == Some(0) && !ended.stderr.contains(notice), "{ended:?}");
    let ended = sandbox.run(&["schedules", "edit", "even", "--cron", "0 0 13 * */2"]);
    assert!(ended.code == Some(0) && ended.stderr.contains(notice), "{ended:?}");
}

#[test]
fn a_catch_up_of_which_the_overlap_leaves_next_to_nothing_is_told() {
    let file = "[[schedule]]\nname = \"filed\"\ntask = \"echo\"\nevery = \"1h\"\ncatch_up = \"all:5,1h\"\n";
    let sandbox = Sandbox::new(&format!("[tasks.echo]\ncommand = [\"cat\"]\n{file}"));
    let add = |name: &str, overlap: &str| {
        let rule = ["schedules", "add", name, "--task", "echo", "--every", "1h", "--catch-up", "all:5,1h", "--overlap", overlap];
        sandbox.run(&rule)
    };
    for (overlap, told) in
        [("skip", "only the first"), ("buffer_one", "only the first two"), ("cancel_previous", "only the last")]
    {
        let ended = add(overlap, overlap);
        assert!(ended.code == Some(0) && ended.stderr.contains(told), "{ended:?}");
    }
    assert_eq!(add("allow", "allow").stderr, "");
    let ended = sandbox.run(&["schedules", "edit", "allow", "--overlap", "skip"]);
    assert!(ended.code == Some(0) && ended.stderr.contains("only the first"), "{ended:?}");
    let ended = sandbox.run(&["schedules", "edit", "skip", "--catch-up", "all:1,1h"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "one that is made up for finds none before it");
    let worker = beat(&sandbox);
    until("it is written", || sandbox.run(&["schedules", "show", "filed"]).code == Some(0));
    drop(worker);
}

#[test]
fn a_million_missed_ticks_are_one_line_of_the_log() {
    let sandbox = Sandbox::with_echo();
    add(&sandbox, "often", &["--cron", "* * * * * *", "--catch-up", "none"]);
    let file = gristmill_sqlite::rusqlite::Connection::open(sandbox.path("gristmill.db")).unwrap();
    let long_ago = "UPDATE gristmill_schedule SET due_at = 0, memory = json_set(memory, '$.after', '2025-01-01T00:00:00.000Z')";
    assert_eq!(file.execute(long_ago, []).unwrap(), 1);
    let mut beat = beat(&sandbox);
    beat.hears("outcome=\"missed\"");
    beat.signal(Signal::TERM);
    let (_, said) = beat.ended();
    assert_eq!(said.matches("missed").count(), 1, "{said}");
    assert!(said.contains("ticks=100"), "{said}");
}

#[test]
fn every_bad_schedule_of_the_file_is_told() {
    let schedule = |name: &str, rule: &str| format!("[[schedule]]\nname = \"{name}\"\ntask = \"echo\"\ncron = \"{rule}\"\n");
    let sandbox = Sandbox::new(&[schedule("a", "0 24 * * *"), schedule("b", "@daily"), schedule("c", "@dialy")].concat());
    let error = sandbox.fails(2, &["beat"]);
    assert!(error.contains("error: gristmill.toml:4:1: ") && error.contains("\n0 24 * * *\n  ^^\n"), "{error}");
    assert!(error.contains("\nerror: gristmill.toml:12:1: `@dialy`"), "{error}");
}

#[test]
fn a_run_out_of_turn_is_made_at_once_and_is_in_the_history() {
    run_out_of_turn(&Sandbox::with_echo());
}

#[test]
fn a_run_out_of_turn_is_so_on_postgres() {
    let schema = Schema::new();
    run_out_of_turn(&Sandbox::with_echo().env("GRISTMILL_STORE", &schema.url()));
}

fn run_out_of_turn(sandbox: &Sandbox) {
    add(sandbox, "yearly", &[YEARLY, &["--args", r#"{"n":1}"#]].concat());
    assert_eq!(sandbox.json(&["schedules", "history", "yearly"]), json!({ "items": [], "next": null }));
    let run = sandbox.json(&["schedules", "run-now", "yearly"]);
    let id = run["task"].as_str().unwrap();
    sandbox.ok(&["worker", "--drain"]);
    let task = sandbox.show(id);
    assert_eq!((&task["state"], &task["result"]), (&json!("succeeded"), &json!({ "n": 1 })));
    let [tick] = &history(sandbox, "yearly")[..] else { panic!("one tick") };
    let keys: Vec<_> = tick.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["lateness_ms", "outcome", "reason", "task", "tick"]);
    assert_eq!((&tick["outcome"], &tick["task"]), (&json!("manual"), &run["task"]));
    assert!(tick["lateness_ms"].is_u64(), "{tick}");

    let deleted = sandbox.json(&["schedules", "delete", "yearly"]);
    assert_eq!((&deleted["name"], &deleted["outcome"]), (&json!("yearly"), &json!("deleted")));
    sandbox.fails(1, &["schedules", "show", "yearly"]);
    assert_eq!(history(sandbox, "yearly").len(), 1, "its history outlives it");
}

#[test]
fn an_edit_by_another_process_is_live_in_a_running_beat() {
    edit_while_it_runs(&Sandbox::with_echo());
}

#[test]
fn an_edit_is_so_on_postgres() {
    let schema = Schema::new();
    edit_while_it_runs(&Sandbox::with_echo().env("GRISTMILL_STORE", &schema.url()));
}

fn edit_while_it_runs(sandbox: &Sandbox) {
    add(sandbox, "poll", YEARLY);
    let beat = beat(sandbox);
    sandbox.ok(&["schedules", "edit", "poll", "--every", "1s"]);
    // Nobody runs the task of its first run, so that it still waits at the next tick.
    until("it ticks", || history(sandbox, "poll").iter().any(|tick| tick["outcome"] == "skipped"));
    let (shown, ticks) = (show(sandbox, "poll"), history(sandbox, "poll"));
    assert_eq!(shown["last"]["task"], ticks.iter().find(|tick| tick["outcome"] == "enqueued").unwrap()["task"]);
    sandbox.ok(&["schedules", "pause", "poll"]);
    let paused = show(sandbox, "poll");
    assert_eq!((&paused["state"], &paused["next"]), (&json!("paused"), &Value::Null));
    sandbox.ok(&["schedules", "resume", "poll"]);
    let before = history(sandbox, "poll").len();
    until("it ticks again", || history(sandbox, "poll").len() > before);
    beat.signal(Signal::TERM);
    let (status, said) = beat.ended();
    assert!(status.success() && said.contains("beat ended"), "{said}");
}

#[test]
fn edits_of_many_hands_all_stand() {
    let sandbox = Sandbox::with_echo();
    add(&sandbox, "poll", &["--every", "1s"]);
    let _beat = beat(&sandbox);
    let edits = [["--description", "x"], ["--penalty", "3"], ["--max-runs", "999999"], ["--overlap", "allow"], ["--queue", "q"]];
    std::thread::scope(|scope| {
        for edit in &edits {
            scope.spawn(|| sandbox.ok(&[&["schedules", "edit", "poll"][..], edit].concat()));
        }
    });
    let now = show(&sandbox, "poll")["definition"].clone();
    assert_eq!(
        (&now["description"], &now["penalty"], &now["max_runs"], &now["overlap"], &now["options"]["queue"]),
        (&json!("x"), &json!(3), &json!(999_999), &json!("allow"), &json!("q"))
    );
}

const CONFIG: &str = "[tasks.echo]\ncommand = [\"cat\"]\n[[schedule]]\nname = \"yearly\"\ntask = \"echo\"\ncron = \"@yearly\"\n[[schedule]]\nname = \"monthly\"\ntask = \"echo\"\ncron = \"@monthly\"\n";

/// A beat with this configuration starts and ends.
fn restart(sandbox: &Sandbox, config: &str) {
    sandbox.write("gristmill.toml", config);
    let beat = beat(sandbox);
    beat.signal(Signal::TERM);
    let (status, said) = beat.ended();
    assert!(status.success(), "{said}");
}

#[test]
fn what_an_operator_did_survives_a_restart() {
    let sandbox = Sandbox::new(CONFIG);
    let mut first = sandbox.start(&["beat"]);
    first.hears("schedules yearly, monthly");
    first.hears(": started");
    drop(first);
    let shown = show(&sandbox, "yearly");
    assert_eq!((&shown["owner"], &shown["definition"]["origin"]), (&json!("gristmill.toml"), &json!("config")));
    sandbox.ok(&["schedules", "pause", "yearly"]);
    sandbox.ok(&["schedules", "edit", "monthly", "--cron", "@weekly"]);
    add(&sandbox, "mine", YEARLY);
    restart(&sandbox, CONFIG);
    assert_eq!(show(&sandbox, "yearly")["state"], "paused");
    let monthly = show(&sandbox, "monthly");
    assert_eq!((&monthly["definition"]["edited"], &monthly["definition"]["rule"]["expr"]), (&json!(true), &json!("@weekly")));
    assert_eq!(show(&sandbox, "mine")["state"], "active");
    assert!(sandbox.ok(&["schedules", "show", "monthly"]).contains("gristmill.toml, edited since"));
}

#[test]
fn what_a_configuration_no_longer_has_is_withdrawn_and_comes_back_with_it() {
    let sandbox = Sandbox::new(CONFIG);
    restart(&sandbox, CONFIG);
    add(&sandbox, "mine", YEARLY);
    let (without, _) = CONFIG.rsplit_once("[[schedule]]").unwrap();
    restart(&sandbox, without);
    let states = || ["monthly", "yearly", "mine"].map(|name| show(&sandbox, name)["state"].as_str().unwrap().to_owned());
    assert_eq!(states(), ["withdrawn", "active", "active"]);
    restart(&sandbox, CONFIG);
    assert_eq!(states(), ["active", "active", "active"]);
}

#[test]
fn a_schedule_of_the_file_that_can_not_be_is_told_with_its_place() {
    let schedule = "[[schedule]]\nname = \"a\"\ntask = \"send\"\nargs = { to = 5 }\nevery = \"1h\"\n";
    let sandbox = Sandbox::new(&format!("{schedule}{SCHEMA}"));
    for command in ["beat", "worker", "dev"] {
        let error = sandbox.fails(2, &[command]);
        assert!(error.contains("gristmill.toml:4:1: schedule `a`: args/to"), "{command}: {error}");
    }
    // It is nothing to those who run no beat.
    sandbox.ok(&["worker", "--drain"]);
    // The program that has a task type may be started later.
    sandbox.write("gristmill.toml", format!("{}{SCHEMA}", schedule.replace("send", "sned")));
    let mut beat = sandbox.start(&["beat"]);
    beat.hears("gristmill.toml:3:1: no program has declared the task type `sned`");
    beat.hears("did you mean `send`?");
    beat.hears(": started");
}

#[test]
fn a_worker_runs_a_beat_unless_it_is_told_not_to() {
    let every_second = CONFIG.replace("@yearly", "* * * * * *");
    let sandbox = Sandbox::new(&every_second);
    let worker = sandbox.worker(&["--no-beat"]);
    let task = sandbox.enqueue("echo", "{}");
    sandbox.until_state(&task, "succeeded");
    assert_eq!(sandbox.json(&["schedules", "list"])["items"], json!([]));
    drop(worker);
    let _worker = sandbox.worker(&[]);
    until("it ticks", || sandbox.run(&["schedules", "history", "yearly"]).stdout.contains("enqueued"));
    let tick = history(&sandbox, "yearly").into_iter().find(|tick| tick["outcome"] == "enqueued").unwrap();
    sandbox.until_state(tick["task"].as_str().unwrap(), "succeeded");
}

#[test]
fn a_row_that_nobody_can_read_is_set_aside_and_the_rest_go_on() {
    let sandbox = Sandbox::with_echo();
    for name in ["bad", "good"] {
        add(&sandbox, name, &["--every", "1s"]);
    }
    let conn = gristmill_sqlite::rusqlite::Connection::open(sandbox.path("gristmill.db")).unwrap();
    conn.execute("UPDATE gristmill_schedule SET body = '{}' WHERE name = 'bad'", []).unwrap();
    let _beat = beat(&sandbox);
    until("the other one ticks", || !history(&sandbox, "good").is_empty());
    until("it is set aside", || show(&sandbox, "bad")["reason"].as_str().is_some_and(|why| why.contains("can't be read")));
    let shown = show(&sandbox, "bad");
    assert_eq!((&shown["state"], &shown["definition"]), (&json!("set_aside"), &Value::Null));
    assert!(sandbox.ok(&["schedules", "list"]).contains("set aside: "));
    let said = sandbox.run(&["doctor"]);
    assert!(said.code == Some(1) && said.stdout.contains("schedules_aside") && said.stdout.contains("tick: bad"), "{said:?}");
    sandbox.ok(&["schedules", "delete", "bad"]);
    sandbox.ok(&["doctor"]);
}

#[test]
fn the_doctor_says_that_no_beat_runs() {
    let sandbox = Sandbox::with_echo();
    add(&sandbox, "poll", &["--every", "1h"]);
    let codes = || {
        let findings = sandbox.json(&["doctor"])["items"].clone();
        findings.as_array().unwrap().iter().map(|finding| finding["code"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(!codes().contains(&"schedules_overdue".to_owned()));
    let conn = gristmill_sqlite::rusqlite::Connection::open(sandbox.path("gristmill.db")).unwrap();
    conn.execute("UPDATE gristmill_schedule SET due_at = due_at - 2 * 3600 * 1000", []).unwrap();
    assert!(codes().contains(&"schedules_overdue".to_owned()));
}
