use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::{Failure, FailureReason, Filter, SCHEDULE_HEADER, TaskMeta};

fn now() -> Timestamp {
    "2027-01-31T12:00:00Z".parse().unwrap()
}

fn read(text: &str) -> Query {
    Query::parse(text, now()).unwrap_or_else(|error| panic!("{error}\n{}", error.pointer()))
}

fn task() -> TaskRecord {
    let at = |text: &str| text.parse().unwrap();
    TaskRecord {
        id: "019a3f5c-8b1e-7c40-9d53-0a4f3b1f0001".parse().unwrap(),
        kind: "email.send".to_owned(),
        queue: "mail".to_owned(),
        state: State::Failed,
        attempt: 3,
        max_attempts: 3,
        max_crashes: 3,
        crashes: 0,
        priority: 5,
        args: r#"{"user": 42, "big": 123456789012345678, "to": {"name": "Ann B", "ok": true}, "list": [{"n": 1}, {"n": 2.5}], "day": "2027-01-31", "nil": null}"#
            .to_owned(),
        result: Some(r#"["x", "y"]"#.to_owned()),
        error: Some(Failure {
            chain: vec!["Connection refused".to_owned()],
            ..Failure::new(FailureReason::Timeout, "the server (db-1) did not answer")
        }),
        created_at: at("2027-01-31T10:00:00Z"),
        run_at: at("2027-01-31T11:00:00Z"),
        ended_at: None,
        cancel_requested: false,
        meta: TaskMeta {
            tags: vec!["eu-west".to_owned(), "vip".to_owned()],
            headers: [(SCHEDULE_HEADER.to_owned(), "nightly".to_owned()), ("trace".to_owned(), "a-1".to_owned())].into(),
            title: Some("Invoice 7".to_owned()),
            ..TaskMeta::default()
        },
        attempts: Vec::new(),
    }
}

#[test]
fn a_task_is_asked_for_each_condition() {
    let task = task();
    for text in [
        "state:failed",
        "state:failed kind:email* queue:mail tag:vip",
        "-state:ready -tag:test",
        "NOT state:ready AND NOT (tag:test OR tag:other)",
        "(queue:sms OR queue:mail) AND attempt:>2",
        "queue:sms OR kind:*send",
        "kind:e*l.s*d task:email.send",
        "title:\"Invoice 7\" title:Inv* invoice 7",
        "\"INVOICE west\" email",
        "schedule:nightly header.trace:a-*",
        "id:019A3F5C id:019a3f5c-8b1e-7c40-9d53-0a4f3b1f0001",
        "age:>1h age:<3h age:1h..2h age:>=2h age:2h..",
        "created:2027-01-31 created:>2027-01-30 created:<=2027-01-31 created:2027-01-01..2027-01-31 created:<2027-02-01",
        "created:2027-01-31T10:00:00Z created:>=2027-01-31T11:00:00+01:00 due:>2027-01-31T10:00:00Z",
        "created:>1h created:<3h created:1h..2h created:..2h due:>=1h -due:>1h",
        "priority:5 priority:4.. priority:..5 crashes:0 attempt:3",
        "error:timeout error:\"connection REFUSED\" error:\"(db-1)\"",
        "args.user:42 args.user:42.0 args.user:4* args.user:>41 args.user:40..42 args.big:123456789012345678",
        "args.to.name:\"Ann B\" args.to.ok:true args.nil:null args.day:>=2027-01-31 args.day:<2027-02",
        "args.list.n:2.5 args.list.n:>2 args.list.0.n:1 result.1:y",
        "-args.user:43 -args.big:123456789012345677 -args.none:* -args.to.ok:false -args.day:>5",
        "((((state:failed))))",
    ] {
        let query = read(text);
        let query_of_each = |node: &Node| if let Node::All(nodes) = node { nodes.clone() } else { vec![node.clone()] };
        for root in query_of_each(&query.root) {
            assert!(Query { root: root.clone(), ..query.clone() }.matches(&task), "{text}: {root:?}");
        }
        assert_eq!(query.to_string(), text);
    }
    for text in [
        "state:ready",
        "-state:failed",
        "state:failed -tag:vip",
        "kind:email",
        "kind:\"email*\"",
        "kind:send*",
        "tag:eu",
        "title:invoice",
        "invoic",
        "\"invoice 8\"",
        "age:>3h",
        "age:>2h",
        "created:2027-01-30",
        "created:>2027-01-31",
        "ended:>2027-01-01",
        "priority:>5",
        "error:refuse-d",
        "args.user:4",
        "args.user.name:*",
        "args.to:Ann",
        "header.trace:a",
        "header.none:*",
    ] {
        assert!(!read(text).matches(&task), "{text}");
    }
    assert!(
        !read("-error:timeout").matches(&task) && read("-error:timeout").matches(&TaskRecord { error: None, ..task.clone() })
    );
    let tomorrow = TaskRecord { run_at: task.run_at.saturating_add(Duration::from_secs(86_400)), ..task.clone() };
    assert!(!read("due:<5m").matches(&tomorrow) && !read("due:..2h").matches(&tomorrow) && read("due:<2h").matches(&task));
    assert!(!read("args.user:42").matches(&TaskRecord { args: "{damaged".to_owned(), ..task }));
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let deep = "(".repeat(40) + "state:ready" + &")".repeat(40);
    let long = "x".repeat(QUERY_BYTES_MAX + 1);
    for (text, at, says) in [
        ("", 0..0, "a condition belongs here, such as state:failed"),
        ("  ", 2..2, "a condition belongs here"),
        ("state:sleepy", 6..12, "`sleepy` is not a state; they are blocked"),
        ("state:", 0..6, "needs a value right behind the colon"),
        ("state: failed", 0..6, "needs a value right behind the colon"),
        ("queue:mail sate:failed", 11..15, "there is no field `sate`; there are state, queue"),
        ("http://x", 0..4, "stands in quotes"),
        (":x", 0..1, "a field belongs before the colon"),
        ("(state:failed", 0..1, "is not closed"),
        ("state:failed)", 12..13, "closes none"),
        ("()", 1..1, "a condition belongs here"),
        ("state:failed OR", 15..15, "a condition belongs here"),
        ("AND state:failed", 0..3, "a condition belongs here"),
        ("a AND AND b", 6..9, "a condition belongs here"),
        ("NOT", 3..3, "a condition belongs here"),
        ("-", 1..1, "a condition belongs here"),
        ("error:\"timeout", 6..7, "this quotation is not closed"),
        ("age:1h", 4..6, "an age is >1h, <5m or 1h..2h; nothing is exactly so old"),
        ("age:>soon", 4..9, "`soon` is not a duration"),
        ("age:2h..1h", 4..10, "begins above its end"),
        ("age:..", 4..6, "on one side at least"),
        ("ended:12h", 6..9, "how long ago is ended:>1h, ended:<5m or ended:1h..2h; nothing was exactly so long ago"),
        ("ended:12h..2027-01-31", 6..21, "how long ago is ended:>1h"),
        ("ended:>2027-01-31T09:00:00", 6..26, "add Z, or an offset such as +01:00"),
        ("created:tomorrow", 8..16, "neither a moment such as 2027-01-31T09:00:00Z nor a day"),
        ("created:2027-02-30", 8..18, "neither a moment"),
        ("priority:high", 9..13, "priority takes a whole number up to 9"),
        ("priority:10", 9..11, "a whole number up to 9"),
        ("attempt:>-1", 8..11, "a whole number up to"),
        ("args.:5", 0..5, "there is no field `args.`"),
        ("args.a..b:5", 0..9, "there is no field `args.a..b`"),
        ("args.a:>", 7..8, "nothing to compare with"),
        ("parent:seven", 7..12, "is not a task's id"),
        ("id:xyz", 3..6, "is not a task's id"),
        ("tag:\"\"", 4..6, "is empty"),
        ("--", 2..2, "a condition belongs here"),
        ("...", 0..3, "no word to look for"),
        ("worker:w*", 7..9, "by its whole name"),
        ("state:ready OR worker:w-3", 15..25, "not behind a - or within OR"),
        ("-worker:w-3", 1..11, "not behind a - or within OR"),
        (&deep, 32..32, "at most 32 deep"),
        (&long, 0..0, "at most 2000 bytes"),
    ] {
        let error = Query::parse(text, now()).expect_err(text);
        assert!(error.at == at && error.to_string().contains(says), "{text}\ngave {:?} {error}\nwanted {at:?} {says}", error.at);
    }
    let error = Query::parse("tag:ü state:x", now()).unwrap_err();
    assert_eq!(error.pointer(), "tag:ü state:x\n            ^");
}

#[test]
fn of_a_long_query_only_what_is_around_the_mistake_is_shown() {
    let pasted = "x".repeat(1_000_000);
    let error = Query::parse(&pasted, now()).unwrap_err();
    assert_eq!(error.pointer(), format!("{}...\n^", &pasted[..101]));
    let query = format!("tag:{} state:{} tag:{}", "a".repeat(200), "b".repeat(300), "c".repeat(300));
    let (line, marks) =
        (format!("...{} state:{}...", "a".repeat(93), "b".repeat(200)), format!("{}{}", " ".repeat(103), "^".repeat(100)));
    assert_eq!(Query::parse(&query, now()).unwrap_err().pointer(), format!("{line}\n{marks}"));
}

#[test]
fn what_no_index_answers_is_told() {
    for (text, unindexed) in [
        ("state:failed queue:mail age:>1h invoice worker:w-3", &[][..]),
        ("-state:failed (state:ready OR state:failed)", &[]),
        ("kind:email* args.user:42 tag:x", &["kind:email*", "args.user:42"]),
        ("(queue:a OR state:failed)", &["queue:a"]),
        ("-queue:a", &["queue:a"]),
        ("due:2027-01-31 ended:2027-01-31 error:\"a b\"", &["due:2027-01-31", "ended:2027-01-31", "error:\"a b\""]),
    ] {
        assert_eq!(read(text).unindexed(), unindexed, "{text}");
    }
}

/// Whatever matches passes the filter that a store looks for, and if nothing is left to ask, nothing else does.
#[test]
fn what_a_store_looks_for_leaves_nothing_out() {
    let terms = [
        "state:failed",
        "state:ready",
        "queue:mail",
        "queue:sms",
        "kind:email.send",
        "kind:email*",
        "tag:vip",
        "tag:eu-west",
        "schedule:nightly",
        "title:\"Invoice 7\"",
        "invoice",
        "other",
        "created:<2027-01-31T11:00:00Z",
        "created:>=2027-01-31T10:00:00Z",
        "created:>2027-01-31T10:00:00Z",
        "args.user:42",
    ];
    let mut tasks = Vec::new();
    for bits in 0..32 {
        let set = |bit: u32| bits & (1 << bit) != 0;
        let mut task = task();
        task.state = if set(0) { State::Failed } else { State::Ready };
        task.queue = if set(1) { "mail" } else { "sms" }.to_owned();
        task.created_at = if set(2) { task.created_at } else { now() };
        if set(3) {
            task.meta.tags.remove(0);
        }
        if set(4) {
            task.meta = TaskMeta { headers: BTreeMap::new(), title: Some("other".to_owned()), ..task.meta };
        }
        tasks.push(task);
    }
    let admits = |filter: &Filter, task: &TaskRecord| {
        filter.admits_state(task.state)
            && filter.admits_time(task.created_at)
            && filter.queue.as_ref().is_none_or(|queue| *queue == task.queue)
            && filter.admits(&task.kind, &task.meta)
    };
    let mut checked = (0, 0);
    for one in terms {
        for other in terms {
            for third in terms {
                for text in [
                    format!("{one} {other} {third}"),
                    format!("({one} {other}) {third}"),
                    format!("{one} OR {other} {third}"),
                    format!("-{one} ({other} OR -{third})"),
                    format!("NOT ({one} OR {other}) OR NOT ({third} -{one})"),
                ] {
                    let query = read(&text);
                    let narrowed = query.narrow(&Filter::default());
                    for task in &tasks {
                        let wanted = query.matches(task);
                        let Some(narrowed) = &narrowed else {
                            assert!(!wanted, "{text} is not looked for");
                            checked.0 += 1;
                            continue;
                        };
                        let found = admits(&narrowed.filter, task);
                        assert!(found || !wanted, "{text} looks for {:?} and misses {task:?}", narrowed.filter);
                        if narrowed.rest.is_none() {
                            assert_eq!(found, wanted, "{text} looks for {:?} and asks nothing", narrowed.filter);
                            checked.1 += 1;
                        }
                    }
                }
            }
        }
    }
    assert!(checked.0 > 0 && checked.1 > 0, "{checked:?}");
}

#[test]
fn a_filter_and_its_query_both_count() {
    let narrow =
        |filter: Filter, text: &str| read(text).narrow(&filter).map(|narrowed| (narrowed.filter, narrowed.rest.is_some()));
    let named = |name: &str| Some(name.to_owned());
    let queue = || Filter { queue: named("a"), ..Filter::default() };
    assert_eq!(narrow(queue(), "queue:b"), None);
    assert_eq!(narrow(queue(), "queue:a"), Some((queue(), false)));
    let tagged = || Filter { tag: named("x"), ..Filter::default() };
    assert_eq!(narrow(tagged(), "tag:y"), Some((tagged(), true)));
    let failed = || Filter { states: vec![State::Failed], ..tagged() };
    assert_eq!(narrow(tagged(), "queue:a (tag:y state:failed)"), Some((Filter { queue: named("a"), ..failed() }, true)));
    let states = Filter { states: vec![State::Ready, State::Failed], ..Filter::default() };
    assert_eq!(narrow(states.clone(), "-state:ready").unwrap().0.states, [State::Failed]);
    assert_eq!(narrow(states, "state:running"), None);
}

#[test]
fn a_state_is_named_and_not_only_left_over() {
    for (text, named) in
        [("state:failed", true), ("a OR NOT -state:failed", true), ("-state:ready", false), ("-(a state:failed)", false)]
    {
        assert_eq!(Filter { query: Some(read(text)), ..Filter::default() }.names_state(State::Failed), named, "{text}");
    }
    assert!(Filter { states: vec![State::Failed], ..Filter::default() }.names_state(State::Failed));
}

#[test]
fn what_may_be_meant_otherwise_is_told() {
    for (text, says) in [
        ("queue=default", "`queue=default` was looked for as words; the condition is queue:default"),
        ("state:failed args.user=4", "`args.user=4` was looked for as words; the condition is args.user:4"),
        ("tag:t1,t2", "`t1,t2` was looked for as one name; any of several is (tag:t1 OR tag:t2)"),
        ("-(mail* tag:a)", "`mail*` was looked for as a whole word; a `*` stands for anything behind a field, as in kind:mail*"),
        ("state:failed or state:ready", "`or` was looked for as a word; what joins conditions is OR"),
        ("not state:ready", "`not` was looked for as a word; what joins conditions is NOT"),
        ("failed", "`failed` was looked for as a word; those in that state are state:failed"),
    ] {
        assert_eq!(read(text).doubts(), [says], "{text}");
    }
    for text in
        ["state:failed OR kind:mail*", "\"queue=default\" \"or\" \"mail*\" tag:\"t1,t2\"", "a=b invoice", "title:a,b args.x:1,2"]
    {
        assert!(read(text).doubts().is_empty(), "{text}");
    }
}
