//! `tasks list|show|cancel|retry`.

use std::io::pipe;

use serde_json::{Value, json};

use crate::sandbox::Sandbox;
use crate::schema::Schema;

#[test]
fn show_tells_the_whole_story() {
    let sandbox = Sandbox::new(
        "[tasks.flaky]\ncommand = [\"sh\", \"-c\", \"echo try >&2; test -e done && echo 42 || { touch done; exit 7; }\"]\nbackoff = \"10ms\"\n",
    );
    let task = sandbox.perform("flaky", r#"{"a": 1}"#);
    for field in [
        "id",
        "kind",
        "queue",
        "state",
        "attempt",
        "max_attempts",
        "priority",
        "args",
        "result",
        "error",
        "created_at",
        "run_at",
        "attempts",
    ] {
        assert!(task.get(field).is_some(), "{field} is missing in {task}");
    }
    assert_eq!(
        (&task["state"], &task["attempt"], &task["result"], &task["error"]),
        (&json!("succeeded"), &json!(2), &json!(42), &Value::Null)
    );
    let attempts = task["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2);
    for field in ["attempt", "state", "started_at", "finished_at", "worker", "error", "logs", "progress"] {
        assert!(attempts[0].get(field).is_some(), "{field} is missing in {task}");
    }
    assert_eq!((&attempts[0]["state"], &attempts[1]["state"]), (&json!("failed"), &json!("succeeded")));
    assert_eq!(attempts[0]["error"]["reason"], "error");
    assert!(attempts[0]["error"]["message"].as_str().unwrap().contains("status 7"));
    assert_eq!((&attempts[0]["error"]["trace"], &attempts[0]["logs"]), (&Value::Null, &json!("try\n")));
    let text = sandbox.ok(&["tasks", "show", task["id"].as_str().unwrap()]);
    assert!(text.contains("succeeded") && text.contains("status 7") && text.contains("  try"), "{text}");
}

#[test]
fn why_says_what_a_task_waits_for() {
    let sandbox = Sandbox::with_echo();
    let codes = |id: &str| {
        let why = sandbox.json(&["tasks", "why", id]);
        let codes = why["reasons"].as_array().unwrap().iter().map(|reason| reason["code"].as_str().unwrap().to_owned());
        (why["state"].as_str().unwrap().to_owned(), codes.collect::<Vec<_>>().join(" "))
    };
    let is = |state: &str, codes: &str| (state.to_owned(), codes.to_owned());
    let first = sandbox.enqueue("echo", "{}");
    assert_eq!(codes(&first), is("ready", "no_worker"));
    let later = sandbox.ok(&["enqueue", "echo", "--args", "{}", "--in", "1h"]).trim().to_owned();
    sandbox.ok(&["queues", "pause", "default"]);
    assert_eq!(codes(&later), is("scheduled", "due queue_paused no_worker"));
    let said = sandbox.ok(&["tasks", "why", &later]);
    assert_eq!(said.lines().count(), 3, "{said}");
    assert!(said.contains("queues resume default") && said.contains("tasks release"), "{said}");
    sandbox.ok(&["queues", "resume", "default"]);
    sandbox.ok(&["worker", "--drain"]);
    assert_eq!(codes(&first), is("succeeded", "ended"));
    let said = sandbox.fails(1, &["tasks", "why", "019a0000-0000-7000-8000-000000000001"]);
    assert!(said.contains("there is no task"), "{said}");
}

#[gristmill::task(name = "survey", title = "survey of {place}")]
async fn survey(cx: &gristmill::Context, place: String) -> gristmill::Result<()> {
    cx.progress_data(1, 2, "half-way", &json!({ "found": [place, "\u{1b}[31m"] }))?;
    Ok(())
}

#[test]
fn titles_and_the_data_of_progress_are_shown() {
    let sandbox = Sandbox::with_echo();
    let plain = sandbox.enqueue("echo", "{}");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let id = runtime.block_on(async {
        let url = format!("sqlite:{}", sandbox.path("gristmill.db").display());
        let client = gristmill::App::new(()).register::<Survey>().connect(&url).await.unwrap();
        let handle = client.enqueue(Survey { place: "the \u{1b}north".into() }).await.unwrap();
        client.worker().queue("default", 1).drain(true).start().await.unwrap().ended().await;
        handle.id().to_string()
    });
    let task = sandbox.show(&id);
    assert_eq!((&task["state"], &task["title"]), (&json!("succeeded"), &json!("survey of the north")), "{task}");
    let progress =
        json!({ "done": 1, "total": 2, "message": "half-way", "data": { "found": ["the \u{1b}north", "\u{1b}[31m"] } });
    assert_eq!(task["attempts"][0]["progress"], progress);
    assert_eq!(sandbox.show(&plain)["title"], Value::Null);
    let listed = sandbox.json(&["tasks", "list", "--kind", "survey"]);
    assert_eq!(listed["items"][0]["title"], "survey of the north");
    for args in [&["tasks", "list"][..], &["tasks", "show", &id]] {
        let text = sandbox.ok(args);
        assert!(text.contains("survey of the north") && !text.contains('\x1b'), "{text:?}");
    }
    assert!(sandbox.ok(&["tasks", "show", &id]).contains("half-way"));
}

#[test]
fn show_of_what_is_not_there_fails() {
    let sandbox = Sandbox::with_echo();
    sandbox.ok(&["migrate"]);
    assert!(sandbox.fails(1, &["tasks", "show", "6f2f1c1e-6b9d-4d4e-9d53-0a4f3b1f0001"]).contains("there is no task"));
    sandbox.fails(2, &["tasks", "show", "seven"]);
}

#[test]
fn lists_are_filtered_and_paged() {
    let sandbox = Sandbox::with_echo();
    sandbox.ok(&["migrate"]);
    assert_eq!(sandbox.json(&["tasks", "list"]), json!({ "items": [], "next": null }));
    let lines: String = (0..25)
        .map(|n| {
            format!("{{\"task\": \"echo\", \"args\": {{\"n\": {n}}}, \"queue\": \"{}\"}}\n", if n % 5 == 0 { "a" } else { "b" })
        })
        .collect();
    assert_eq!(sandbox.run_with_input(&["enqueue", "--jsonl", "-"], &lines).code, Some(0));

    let count = |args: &[&str]| sandbox.json(&[&["tasks", "list"], args].concat())["items"].as_array().unwrap().len();
    assert_eq!(count(&[]), 25);
    assert_eq!(count(&["--queue", "a"]), 5);
    assert_eq!(count(&["--queue", "a", "--state", "ready", "--state", "running"]), 5);
    assert_eq!((count(&["--state", "failed"]), count(&["--kind", "echo"]), count(&["--kind", "other"])), (0, 25, 0));

    let mut seen = Vec::new();
    let mut page = sandbox.json(&["tasks", "list", "--limit", "10"]);
    loop {
        seen.extend(page["items"].as_array().unwrap().iter().map(|task| task["args"]["n"].as_u64().unwrap()));
        let Some(next) = page["next"].as_str().map(str::to_owned) else { break };
        page = sandbox.json(&["tasks", "list", "--limit", "10", "--cursor", &next]);
    }
    assert_eq!(seen, (0..25).rev().collect::<Vec<_>>());

    let lines = sandbox.ok(&["tasks", "list", "--limit", "3", "-o", "jsonl"]);
    assert_eq!(
        lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["args"]["n"].clone()).collect::<Vec<_>>(),
        [24, 23, 22]
    );
    for bad in [&["--limit", "1001"][..], &["--limit", "0"], &["--state", "sleepy"], &["--cursor", "x"]] {
        sandbox.fails(2, &[&["tasks", "list"], bad].concat());
    }
}

#[test]
fn lists_are_filtered_by_time_title_and_words() {
    let sandbox =
        Sandbox::new("[tasks.mail-send]\ncommand = [\"true\"]\ntags = [\"eu-west\"]\n[tasks.other]\ncommand = [\"true\"]\n");
    let id = sandbox.enqueue("mail-send", "{}");
    sandbox.enqueue("other", "{}");
    sandbox.ok(&["worker", "--drain"]);
    let count = |args: &[&str]| sandbox.json(&[&["tasks", "list"], args].concat())["items"].as_array().unwrap().len();
    assert_eq!((count(&["--since", "1h"]), count(&["--until", "1h"])), (2, 0));
    assert_eq!(count(&["--since", "2020-01-01T00:00:00Z", "--until", "2999-01-01T00:00:00Z"]), 2);
    assert_eq!((count(&["--since", "2020-01-01", "--until", "2999-01-01"]), count(&["--since", "2999-01-01"])), (2, 0));
    assert_eq!((count(&["ended:<12h"]), count(&["ended:>12h"])), (2, 0));
    assert_eq!((count(&["--text", "Mail WEST"]), count(&["--text", "mail east"]), count(&["--title", "x"])), (1, 0, 0));
    assert_eq!((count(&["--parent", &id]), count(&["--schedule", "nightly"]), count(&["--worker", "nobody"])), (0, 0, 0));
    let worker = sandbox.show(&id)["attempts"][0]["worker"].as_str().unwrap().to_owned();
    assert_eq!((count(&["--worker", &worker]), count(&["--worker", &worker, "--text", "mail"])), (2, 1));
    let swapped: &[&str] = &["--since", "2027-01-02T00:00:00Z", "--until", "2027-01-01T00:00:00Z"];
    for (bad, why) in [
        (swapped, "--until: is 2027-01-01T00:00:00.000Z, which is not after"),
        (&["--text", "--"], "--text"),
        (&["--text", "."], "has no word"),
        (&["--text", ""], "--text: is empty"),
        (&["--since", "yesterday"], "nor a duration ago"),
        (&["--since", "-1h"], "nor a duration ago"),
        (&["--since", "2027-01-31T09:00:00"], "add Z, or an offset such as +01:00"),
        (&["--parent", "seven"], "seven"),
    ] {
        for verb in ["list", "cancel", "retry"] {
            let told = sandbox.fails(2, &[&["tasks", verb], bad].concat());
            assert!(told.contains(why), "{told}");
        }
    }
    sandbox.fails(2, &["tasks", "cancel", &id, "--text", "mail"]);
    // What has succeeded runs again only if somebody says so.
    assert_eq!(sandbox.json(&["tasks", "retry", "--text", "mail", "--yes"]), json!({ "changed": 0, "unchanged": 0 }));
    assert_eq!(
        sandbox.json(&["tasks", "retry", "--text", "mail", "--state", "succeeded", "--yes"]),
        json!({ "changed": 1, "unchanged": 0 })
    );
    assert_eq!(sandbox.json(&["tasks", "cancel", "--text", "mail", "--yes"]), json!({ "changed": 1, "unchanged": 0 }));
}

#[test]
fn tables_are_plain_and_harmless() {
    let sandbox = Sandbox::new("[tasks.e]\ncommand = [\"sh\", \"-c\", \"printf 'x\\\\033[31my' >&2; exit 1\"]\nmax_attempts = 1");
    let task = sandbox.perform("e", "{}");
    for args in [&["tasks", "list"][..], &["tasks", "show", task["id"].as_str().unwrap()]] {
        let text = sandbox.ok(args);
        assert!(text.contains("failed") && !text.contains('\x1b'), "{text:?}");
    }
}

#[test]
fn a_reader_that_leaves_ends_the_command_quietly() {
    let sandbox = Sandbox::with_echo();
    sandbox.ok(&["migrate"]);
    for args in [&["tasks", "list"][..], &["completions", "bash"], &["--help"]] {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let output = sandbox.command(args).stdout(writer).spawn().unwrap().wait_with_output().unwrap();
        assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn cancelled_tasks_never_start() {
    let sandbox = Sandbox::with_echo();
    let ids = [sandbox.enqueue("echo", "{}"), sandbox.enqueue("echo", "{}")];
    let answer = sandbox.json(&["tasks", "cancel", &ids[0], &ids[1]]);
    assert_eq!(answer["items"], json!([{ "id": ids[0], "outcome": "cancelled" }, { "id": ids[1], "outcome": "cancelled" }]));
    sandbox.ok(&["worker", "--drain"]);
    assert_eq!(
        (sandbox.show(&ids[0])["state"].clone(), sandbox.show(&ids[1])["attempt"].clone()),
        (json!("cancelled"), json!(0))
    );
    let ended = sandbox.run(&["tasks", "cancel", &ids[0], "6f2f1c1e-6b9d-4d4e-9d53-0a4f3b1f0001", "-o", "jsonl"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stdout.contains("already_ended") && ended.stdout.contains("not_found"), "{ended:?}");
}

#[test]
fn ended_tasks_can_be_retried_with_their_history() {
    let sandbox = Sandbox::new("[tasks.once]\ncommand = [\"sh\", \"-c\", \"test -e done\"]\nmax_attempts = 1");
    let task = sandbox.perform("once", "{}");
    let id = task["id"].as_str().unwrap();
    assert_eq!(task["state"], "failed");
    sandbox.write("done", "");
    assert_eq!(sandbox.json(&["tasks", "retry", id])["items"][0]["outcome"], "ready");
    sandbox.fails(1, &["tasks", "retry", id]);
    sandbox.ok(&["worker", "--drain"]);
    let task = sandbox.show(id);
    assert_eq!((&task["state"], task["attempts"].as_array().unwrap().len()), (&json!("succeeded"), 2));
}

#[test]
fn many_are_cancelled_and_retried_by_filter() {
    let sandbox = Sandbox::with_echo();
    let lines = "{\"task\": \"echo\", \"queue\": \"a\"}\n".repeat(3) + &"{\"task\": \"echo\", \"queue\": \"b\"}\n".repeat(2);
    sandbox.run_with_input(&["enqueue", "--jsonl", "-"], &lines);
    for verb in ["cancel", "retry"] {
        assert!(sandbox.fails(2, &["tasks", verb]).contains("which tasks?"));
        sandbox.fails(2, &["tasks", verb, "6f2f1c1e-6b9d-4d4e-9d53-0a4f3b1f0001", "--all"]);
    }
    assert_eq!(sandbox.json(&["tasks", "cancel", "--queue", "a", "--yes"]), json!({ "changed": 3, "unchanged": 0 }));
    assert_eq!(sandbox.ok(&["tasks", "cancel", "--all", "--yes", "-o", "jsonl"]).lines().count(), 2);
    assert_eq!(
        sandbox.json(&["tasks", "retry", "--state", "cancelled", "--queue", "b", "--yes"]),
        json!({ "changed": 2, "unchanged": 0 })
    );
    assert_eq!(sandbox.json(&["tasks", "list", "--state", "ready"])["items"].as_array().unwrap().len(), 2);
}

#[test]
fn a_query_lists_what_matches_and_says_what_is_wrong_with_it() {
    let sandbox = Sandbox::new("[tasks.\"email.send\"]\ncommand = [\"cat\"]\n[tasks.other]\ncommand = [\"cat\"]\n");
    for (name, user) in [("email.send", 42), ("email.send", 7), ("other", 42)] {
        sandbox.enqueue(name, &format!("{{\"user\": {user}}}"));
    }
    sandbox.ok(&["enqueue", "other", "--tag", "test", "--arg", "user=42"]);
    let count = |args: &[&str]| sandbox.json(&[&["tasks", "list"], args].concat())["items"].as_array().unwrap().len();
    assert_eq!(count(&["state:ready"]), 4);
    assert_eq!(count(&["kind:email*", "args.user:42"]), 1);
    assert_eq!(count(&["args.user:42 -tag:test"]), 2);
    assert_eq!(count(&["args.user:>10", "AND", "NOT", "tag:test"]), 2);
    assert_eq!(count(&["--query", "(tag:test OR args.user:7)", "--state", "ready"]), 2);
    assert_eq!(count(&["--query", "age:>1h"]), 0);
    assert!(sandbox.run(&["tasks", "list", "ready"]).stderr.contains("those in that state are state:ready"));
    for (query, says) in [
        ("queue=default", "the condition is queue:default"),
        ("tag:t1,t2", "any of several is (tag:t1 OR tag:t2)"),
        ("emai*", "as in kind:emai*"),
        ("kind:other or kind:email.send", "what joins conditions is OR"),
    ] {
        for command in
            [&["tasks", "list", query][..], &["tasks", "list", "--count", query], &["tasks", "cancel", "--yes", "--query", query]]
        {
            let ended = sandbox.run(command);
            assert!(ended.code == Some(0) && ended.stderr.contains(says), "{command:?}: {ended:?}");
        }
    }
    assert_eq!((count(&["created:<1h"]), count(&["created:>1h"]), count(&["ended:<12h"])), (4, 0, 0));
    let told = |bad: &[&str]| sandbox.fails(2, &[&["tasks", "list"], bad].concat());
    let refusal = told(&["state:sleepy"]);
    assert!(refusal.contains("`sleepy` is not a state") && refusal.contains("state:sleepy\n      ^^^^^^"), "{refusal}");
    assert!(told(&["sate:ready"]).contains("there is no field `sate`; there are state, queue"));
    assert!(told(&["(a", "OR"]).contains("a condition belongs here"));
    assert!(told(&["a", "--query", "b"]).contains("two queries"));
    let pasted = told(&[&"word ".repeat(20_000)]);
    assert!(pasted.contains("at most 2000 bytes") && pasted.len() < 1_000, "{pasted}");
    assert!(sandbox.fails(2, &["tasks", "cancel", "--query", "", "--yes"]).contains("a condition belongs here"));
}

#[test]
fn a_list_has_the_columns_order_and_count_that_are_asked_for() {
    let sandbox = Sandbox::with_echo();
    for (n, priority) in [(1, "7"), (2, "3"), (3, "5")] {
        sandbox.ok(&["enqueue", "echo", "--arg", &format!("n={n}"), "--priority", priority]);
    }
    let table = sandbox.ok(&["tasks", "list", "--columns", "priority,args", "--sort", "priority"]);
    assert_eq!(table, "PRIORITY  ARGS\n3         {\"n\": 2}\n5         {\"n\": 3}\n7         {\"n\": 1}");
    sandbox.ok(&["tasks", "list", "--columns", "args", "--all"]);
    let table = sandbox.ok(&["tasks", "list", "--columns", "priority", "--sort", "-priority", "--limit", "2"]);
    assert_eq!(table, "PRIORITY\n5\n3", "the two newest, and no others");
    assert_eq!(sandbox.ok(&["tasks", "list", "--count"]), "3");
    assert_eq!(sandbox.json(&["tasks", "list", "priority:<6", "--count"]), json!({ "count": 2, "exact": true }));
    let long = "é".repeat(61);
    sandbox.ok(&["enqueue", "echo", "--title", &long]);
    sandbox.ok(&["enqueue", "echo", "--title", &long[2..]]);
    let table = sandbox.ok(&["tasks", "list", "--columns", "title", "--limit", "2"]);
    assert_eq!(table, format!("TITLE\n{}\n{}…", "é".repeat(60), "é".repeat(59)));
    for (bad, says) in [
        (&["--columns", "size"][..], "possible values: id, task"),
        (&["--sort", "size"], "`size` is not a column; there are id, task"),
        (&["--count", "--limit", "3"], "cannot be used with"),
        (&["--watch", "-o", "json"], "--watch shows a table"),
    ] {
        let refusal = sandbox.fails(2, &[&["tasks", "list"], bad].concat());
        assert!(refusal.contains(says), "{bad:?}: {refusal}");
    }
}

#[test]
fn a_watched_list_is_shown_again_when_something_changes() {
    use std::io::{BufRead, BufReader};
    let sandbox = Sandbox::with_echo();
    sandbox.enqueue("echo", "{}");
    let mut child = sandbox.command(&["tasks", "list", "--watch", "--columns", "state"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!([lines.next().unwrap(), lines.next().unwrap()], ["STATE", "ready"]);
    sandbox.ok(&["worker", "--drain"]);
    assert!(lines.any(|line| line == "succeeded"));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn the_beginning_of_an_id_is_enough_where_it_is_unique() {
    let sandbox = Sandbox::with_echo();
    let ids =
        ["019a0000-0000-7000-8000-000000000001", "019a0000-0000-7000-8000-0000000000ff", "019b0000-0000-4000-8000-000000000000"];
    for id in ids {
        sandbox.ok(&["enqueue", "echo", "--id", id]);
    }
    assert_eq!(sandbox.show("019b")["id"], ids[2]);
    assert_eq!(sandbox.json(&["tasks", "cancel", "019b", ids[0]])["items"][0]["id"], ids[2]);
    let several = sandbox.fails(2, &["tasks", "show", "019a0000"]);
    assert!(several.contains("more than one task") && several.contains(ids[0]) && several.contains(ids[1]), "{several}");
    assert!(sandbox.fails(1, &["tasks", "show", "02ab"]).contains("begins with `02ab`"));
    assert!(sandbox.fails(2, &["tasks", "cancel", "state:ready"]).contains("a query stands behind --query"));
    for bad in ["abc", "seven", "019a-0000", "", "019b0000-0000-4000-8000-0000000000001"] {
        let refusal = sandbox.fails(2, &["tasks", "show", bad]);
        assert!(refusal.contains("it is a UUID such as 019a") && refusal.contains("`enqueue` prints it"), "{bad}: {refusal}");
    }
}

#[gristmill::task(name = "surveys")]
async fn surveys(cx: &gristmill::Context) -> gristmill::Result<()> {
    cx.enqueue(Survey { place: "here".into() }).await?;
    Ok(())
}

#[test]
fn the_beginning_of_a_parents_id_is_enough_too() {
    let sandbox = Sandbox::with_echo();
    sandbox.enqueue("echo", "{}");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let id = runtime.block_on(async {
        let url = format!("sqlite:{}", sandbox.path("gristmill.db").display());
        let app = gristmill::App::new(()).register::<Survey>().register::<Surveys>();
        let client = app.connect(&url).await.unwrap();
        let handle = client.enqueue(Surveys {}).await.unwrap();
        client.worker().queue("default", 1).drain(true).start().await.unwrap().ended().await;
        handle.id().to_string()
    });
    let (begin, query) = (&id[..35], format!("parent:{}", id[..35].to_uppercase()));
    for asked in [["--parent", begin], ["--query", &query], ["--query", &format!("parent:{id}")]] {
        let items = sandbox.json(&[&["tasks", "list"][..], &asked].concat())["items"].clone();
        assert_eq!((items.as_array().unwrap().len(), &items[0]["parent"]), (1, &json!(id)), "{asked:?}");
    }
    assert!(sandbox.fails(1, &["tasks", "list", "--parent", "ffff"]).contains("no task whose id begins with `ffff`"));
    assert_eq!(sandbox.json(&["tasks", "delete", "--parent", begin, "--yes"]), json!({ "changed": 1, "unchanged": 0 }));
    assert_eq!(sandbox.json(&["tasks", "list", "--count"])["count"], 2);
}

#[test]
fn waiting_tells_what_became_of_tasks() {
    let sandbox = Sandbox::new("[tasks.echo]\ncommand = [\"cat\"]\n[tasks.fail]\ncommand = [\"false\"]\nmax_attempts = 1\n");
    let (good, bad) = (sandbox.enqueue("echo", "{\"n\": 1}"), sandbox.enqueue("fail", "{}"));
    let late = sandbox.fails(4, &["tasks", "wait", &good, "--wait-timeout", "50ms"]);
    assert!(late.contains("did not end in time"), "{late}");
    let _worker = sandbox.worker(&[]);
    let waited = sandbox.json(&["tasks", "wait", &good]);
    assert_eq!((&waited["items"][0]["state"], &waited["items"][0]["result"]), (&json!("succeeded"), &json!({ "n": 1 })));
    let ended = sandbox.run(&["tasks", "wait", &good, &bad, "-o", "jsonl"]);
    assert_eq!((ended.code, ended.stdout.lines().count()), (Some(1), 2), "{ended:?}");
    assert!(ended.stderr.contains(&format!("task {bad} failed")), "{ended:?}");
    sandbox.fails(1, &["tasks", "wait", "6f2f1c1e-6b9d-4d4e-9d53-0a4f3b1f0001"]);
    sandbox.fails(2, &["tasks", "wait"]);
}

#[test]
fn logs_are_printed_and_followed() {
    let sandbox = Sandbox::new(
        "[tasks.say]\ncommand = [\"sh\", \"-c\", \"echo one >&2; until test -e go; do sleep 0.01; done; echo two >&2; test -e done || { touch done; exit 1; }\"]\nbackoff = \"10ms\"\n",
    );
    let id = sandbox.enqueue("say", "{}");
    let _worker = sandbox.worker(&[]);
    let mut followed = sandbox.command(&["tasks", "logs", "-f", &id]).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(followed.stdout.take().unwrap())).map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), "one");
    sandbox.write("go", "");
    assert_eq!(lines.collect::<Vec<_>>(), ["two", "one", "two"]);
    assert!(crate::sandbox::status(&mut followed).success());
    let all = sandbox.json(&["tasks", "logs", &id]);
    assert_eq!(all["items"].as_array().unwrap().len(), 2, "{all}");
    let line: Value =
        serde_json::from_str(sandbox.ok(&["tasks", "logs", &id, "--attempt", "2", "-o", "jsonl"]).lines().next().unwrap())
            .unwrap();
    assert_eq!((&line["attempt"], &line["line"]), (&json!(2), &json!("one")));
    assert!(sandbox.fails(1, &["tasks", "logs", &id, "--attempt", "7"]).contains("has no attempt 7"));
    sandbox.fails(2, &["tasks", "logs", &id, "-f", "--attempt", "1"]);
    sandbox.fails(2, &["tasks", "logs", &id, "-f", "-o", "json"]);
}

#[test]
fn what_is_done_to_many_is_shown_first_and_needs_a_yes() {
    let sandbox = Sandbox::with_echo();
    let ids: Vec<_> = (0..7).map(|n| sandbox.enqueue("echo", &format!("{{\"n\": {n}}}"))).collect();
    for verb in ["cancel", "retry", "delete"] {
        let refusal = sandbox.fails(2, &["tasks", verb, "--all"]);
        assert!(
            refusal.contains(&format!("to {verb} many tasks at once needs --yes")) && refusal.contains("--dry-run"),
            "{refusal}"
        );
        sandbox.fails(2, &["tasks", verb, "--all", "--yes", "--dry-run"]);
        sandbox.fails(2, &["tasks", verb, &ids[0], "--dry-run"]);
    }
    let preview = sandbox.ok(&["tasks", "cancel", "--query", "args.n:>0", "--dry-run"]);
    assert!(preview.starts_with("6 tasks to cancel, the newest of them:") && preview.lines().count() == 7, "{preview}");
    let preview = sandbox.json(&["tasks", "cancel", "--all", "--dry-run"]);
    assert_eq!(
        (&preview["matching"], &preview["exact"], preview["sample"].as_array().unwrap().len()),
        (&json!(7), &json!(true), 5)
    );
    assert_eq!(sandbox.json(&["tasks", "retry", "--all", "--dry-run"])["matching"], 0);
    assert_eq!(sandbox.json(&["tasks", "list", "--state", "ready"])["items"].as_array().unwrap().len(), 7);
    assert_eq!(sandbox.json(&["tasks", "cancel", "--query", "args.n:<3", "--yes"]), json!({ "changed": 3, "unchanged": 0 }));
    assert_eq!(sandbox.json(&["tasks", "delete", "--all", "--dry-run"])["matching"], 3);
}

#[test]
fn ended_tasks_are_deleted_and_others_are_not() {
    let sandbox = Sandbox::with_echo();
    let (first, second) = (sandbox.enqueue("echo", "{}"), sandbox.enqueue("echo", "{}"));
    sandbox.ok(&["worker", "--drain"]);
    let waits = sandbox.enqueue("echo", "{}");
    let ended = sandbox.run(&["tasks", "delete", &first, &waits, "-o", "jsonl"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stdout.contains("\"deleted\"") && ended.stdout.contains("\"not_ended\""), "{ended:?}");
    assert!(ended.stderr.contains("1 task could not be deleted"), "{ended:?}");
    sandbox.fails(1, &["tasks", "show", &first]);
    assert_eq!(sandbox.json(&["tasks", "delete", "--state", "succeeded", "--yes"]), json!({ "changed": 1, "unchanged": 0 }));
    sandbox.fails(1, &["tasks", "show", &second]);
    assert_eq!(sandbox.show(&waits)["state"], "ready");
    sandbox.fails(2, &["tasks", "delete"]);
}

const LOOKS: [&[&str]; 8] = [
    &["tasks", "list"],
    &["tasks", "show", "6f2f1c1e-6b9d-4d4e-9d53-0a4f3b1f0001"],
    &["tasks", "wait", "6f2f1c1e-6b9d-4d4e-9d53-0a4f3b1f0001"],
    &["queues", "list"],
    &["workers"],
    &["kinds"],
    &["schedules", "list"],
    &["doctor"],
];

#[test]
fn who_only_looks_makes_no_store() {
    let sandbox = Sandbox::with_echo();
    for command in LOOKS {
        let refusal = sandbox.fails(3, command);
        assert!(refusal.contains("there is no store at gristmill.db") && refusal.contains("--store"), "{command:?}: {refusal}");
    }
    assert!(!sandbox.path("gristmill.db").exists());
}

#[test]
fn nor_does_it_on_postgres() {
    let schema = Schema::new();
    let sandbox = Sandbox::with_echo().env("GRISTMILL_STORE", &schema.url());
    let unknown: [&[&str]; 2] = [&["enqueue", "nosuch"], &["schedules", "add", "a", "--task", "nosuch", "--every", "1h"]];
    for command in LOOKS.into_iter().chain(unknown) {
        let refusal = sandbox.fails(3, command);
        assert!(refusal.contains("there is no gristmill in the schema") && refusal.contains("`gristmill migrate`"), "{refusal}");
    }
    let status = sandbox.run(&["migrate", "--check", "-o", "json"]);
    assert_eq!(status.code, Some(1), "{status:?}");
    let status: Value = serde_json::from_str(&status.stdout).unwrap();
    assert!(status["migrations"].as_array().unwrap().iter().all(|step| step["applied_at"].is_null()), "{status}");
    sandbox.ok(&["migrate"]);
    for command in [&["tasks", "list"][..], &["schedules", "list"], &["doctor"]] {
        sandbox.ok(command);
    }
}

/// Mostly somebody is in a wrong folder, where a database would stay behind.
#[test]
fn what_is_refused_makes_no_store() {
    let sandbox = Sandbox::without_config();
    for command in [&["enqueue", "nosuch"][..], &["schedules", "add", "a", "--task", "nosuch", "--every", "1h"]] {
        let refusal = sandbox.fails(2, command);
        assert!(refusal.contains("there is no store at gristmill.db, and no task type `nosuch` here"), "{refusal}");
    }
    sandbox.fails(2, &["schedules", "add", "a", "--task", "nosuch", "--cron", "0 24 * * *"]);
    let lines = sandbox.run_with_input(&["enqueue", "--jsonl", "-"], "{\"task\": \"nosuch\"}\n");
    assert_eq!(lines.code, Some(3), "{lines:?}");
    assert!(!sandbox.path("gristmill.db").exists());
    sandbox.ok(&["enqueue", "nosuch", "--force"]);
    assert!(sandbox.path("gristmill.db").exists());
}
