//! Finding tasks.

use gristmill_core::{
    Cursor, Ending, Filter, NewTask, Query, SCHEDULE_HEADER, Settlement, State, StoreErrorKind, TaskId, TaskMeta,
};

use super::bench::{ALL, Bench, LEASE, secs};
use super::list;

list![
    every_filter_finds_its_own,
    what_a_task_says_of_itself_finds_it,
    a_time_range_has_its_first_instant_and_not_its_last,
    a_worker_has_what_runs_there_and_what_ran_there_last,
    a_filter_that_can_match_nothing_is_refused,
    a_query_finds_what_matches,
    ids_are_those_of_the_list,
    every_state_is_found_under_its_name,
    pages_cover_everything_once,
    a_page_goes_on_where_it_stopped_while_tasks_come_and_go,
    a_list_shows_what_get_shows_without_the_history,
    what_is_not_there_is_not_found,
];

/// Queue, task type and tag, alone and together.
pub async fn every_filter_finds_its_own(bench: Bench<'_>) {
    let tags = |tags: &[&str]| {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        Some(Box::new(TaskMeta { tags, ..TaskMeta::default() }))
    };
    let a = bench.enqueue(NewTask { queue: "a".to_owned(), meta: tags(&["x", "y"]), ..bench.task() }).await;
    let b = bench.enqueue(NewTask { kind: "b".to_owned(), meta: tags(&["x"]), ..bench.task() }).await;
    let ab = bench.enqueue(NewTask { queue: "a".to_owned(), kind: "b".to_owned(), ..bench.task() }).await;
    let none = Filter::default();
    for (filter, expected) in [
        (none.clone(), vec![ab, b, a]),
        (Filter { queue: name("a"), ..none.clone() }, vec![ab, a]),
        (Filter { kind: name("b"), ..none.clone() }, vec![ab, b]),
        (Filter { tag: name("x"), ..none.clone() }, vec![b, a]),
        (Filter { tag: name("y"), ..none.clone() }, vec![a]),
        (Filter { queue: name("a"), kind: name("b"), ..none.clone() }, vec![ab]),
        (Filter { queue: name("a"), tag: name("x"), states: vec![State::Ready], ..none.clone() }, vec![a]),
        (Filter { queue: name("nowhere"), ..none.clone() }, vec![]),
        (Filter { kind: name("nothing"), ..none.clone() }, vec![]),
        (Filter { tag: name("%"), ..none }, vec![]),
    ] {
        assert_eq!(bench.list(&filter).await, expected, "{filter:?}");
    }
}

/// Parent, title, schedule and words, whoever enqueued it, alone and with other filters.
pub async fn what_a_task_says_of_itself_finds_it(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let parent = bench.add().await;
    let lease = bench.claim_one(worker).await.lease;
    let meta = |meta: TaskMeta| Some(Box::new(meta));
    let title = |title: &str| TaskMeta { title: name(title), ..TaskMeta::default() };
    let child = NewTask { meta: meta(TaskMeta { parent: Some(parent), ..title("Rechnung 42, für Zoë") }), ..bench.task() };
    let child_id = child.id;
    bench.settle_with(Settlement { children: [child].into(), ..Settlement::new(lease, Ending::Succeeded) }).await;
    let headers = [(SCHEDULE_HEADER.to_owned(), "nightly".to_owned())].into();
    let ticked = bench.enqueue(NewTask { meta: meta(TaskMeta { headers, ..title("42") }), ..bench.task() }).await;
    let tags = vec!["eu-west".to_owned(), "back\\slash \"quoted\"".to_owned()];
    let tagged = NewTask { kind: "mail.42".to_owned(), meta: meta(TaskMeta { tags, ..title("rechnung") }), ..bench.task() };
    let tagged = bench.enqueue(tagged).await;
    let delay = secs(9);
    let later = NewTask { delay, meta: meta(title("a%_b")), ..bench.task() };
    let later = bench.enqueue(later).await;
    let none = Filter::default();
    let text = |text: &str| Filter { text: name(text), ..Filter::default() };
    for (filter, expected) in [
        (Filter { parent: Some(parent), ..none.clone() }, vec![child_id]),
        (Filter { parent: Some(child_id), ..none.clone() }, vec![]),
        (Filter { title: name("rechnung"), ..none.clone() }, vec![tagged]),
        (Filter { title: name("42"), ..none.clone() }, vec![ticked]),
        (Filter { title: name("a%_b"), ..none.clone() }, vec![later]),
        (Filter { title: name("a%"), ..none.clone() }, vec![]),
        (Filter { title: name("4"), ..none.clone() }, vec![]),
        (Filter { schedule: name("nightly"), ..none.clone() }, vec![ticked]),
        (Filter { schedule: name("night"), ..none.clone() }, vec![]),
        (Filter { tag: name("back\\slash \"quoted\""), ..none.clone() }, vec![tagged]),
        (text("rechnung"), vec![tagged, child_id]),
        (text("RECHNUNG"), vec![tagged, child_id]),
        (text("42"), vec![tagged, ticked, child_id]),
        (text("42 rechnung"), vec![tagged, child_id]),
        (text("west 42"), vec![tagged]),
        (text("zoë"), vec![child_id]),
        (text("mail"), vec![tagged]),
        (text("slash"), vec![tagged]),
        (text("rech"), vec![]),
        (text("work rechnung"), vec![child_id]),
        (Filter { states: vec![State::Scheduled], ..text("b") }, vec![later]),
        (Filter { states: vec![State::Ready], ..text("b") }, vec![]),
        (Filter { queue: name("nowhere"), ..text("42") }, vec![]),
        (Filter { title: name("42"), ..text("42") }, vec![ticked]),
        (Filter { parent: Some(parent), schedule: name("nightly"), ..none }, vec![]),
    ] {
        assert_eq!(bench.list(&filter).await, expected, "{filter:?}");
    }
}

/// From an instant on, and before one: together exactly what was enqueued in between, by the store's clock.
pub async fn a_time_range_has_its_first_instant_and_not_its_last(bench: Bench<'_>) {
    let mut tasks = Vec::new();
    for _ in 0..5 {
        tasks.insert(0, (bench.env.now(), bench.add().await));
        bench.pass(secs(100));
    }
    let [(_, e), (late, d), (_, c), (early, b), (_, a)] = tasks[..] else { panic!("five tasks") };
    let none = Filter::default();
    let after = early.saturating_add(secs(1));
    for (filter, expected) in [
        (Filter { from: Some(early), ..none.clone() }, vec![e, d, c, b]),
        (Filter { from: Some(after), ..none.clone() }, vec![e, d, c]),
        (Filter { until: Some(late), ..none.clone() }, vec![c, b, a]),
        (Filter { from: Some(early), until: Some(late), ..none.clone() }, vec![c, b]),
        (Filter { from: Some(early), until: Some(late), states: vec![State::Ready], ..none.clone() }, vec![c, b]),
        (Filter { from: Some(early), until: Some(late), states: vec![State::Failed], ..none.clone() }, vec![]),
        (Filter { from: Some(bench.env.now()), ..none.clone() }, vec![]),
        (Filter { until: Some(gristmill_core::Timestamp::from_millis(1)), ..none }, vec![]),
    ] {
        assert_eq!(bench.list(&filter).await, expected, "{filter:?}");
    }
}

/// What a worker runs, and what no other worker has run since; what never ran is no worker's.
pub async fn a_worker_has_what_runs_there_and_what_ran_there_last(bench: Bench<'_>) {
    let (one, other) = (bench.worker().await, bench.worker().await);
    let of = |worker| Filter { worker: Some(format!("host-{worker}")), ..Filter::default() };
    let succeeded = bench.ended(one, bench.task(), Ending::Succeeded).await;
    let retried = bench.add().await;
    let lease = bench.claim_one(one).await.lease;
    bench.settle(lease, Ending::Retry { delay: secs(5) }).await;
    let running = bench.add().await;
    bench.claim_one(one).await;
    bench.add().await;
    assert_eq!(bench.list(&of(one)).await, [running, retried, succeeded]);
    assert_eq!(bench.list(&of(other)).await, []);
    assert_eq!(bench.list(&Filter { states: vec![State::Running], ..of(one) }).await, [running]);
    assert_eq!(bench.list(&Filter { states: vec![State::Scheduled, State::Succeeded], ..of(one) }).await, [retried, succeeded]);
    bench.pass(secs(5));
    bench.sweep().await;
    let claimed = bench.claim(other, ALL).await;
    let lease = claimed.iter().find(|claimed| claimed.lease.id == retried).expect("it is due").lease;
    assert_eq!(bench.list(&of(one)).await, [running, succeeded]);
    bench.settle(lease, Ending::Failed).await;
    assert!(bench.list(&of(other)).await.contains(&retried));
    assert_eq!(bench.list(&of(one)).await, [running, succeeded]);
}

/// Nobody is told that there is nothing, when what they asked for can't be.
pub async fn a_filter_that_can_match_nothing_is_refused(bench: Bench<'_>) {
    bench.add().await;
    let now = Some(bench.env.now());
    for filter in [
        Filter { text: name("  "), ..Filter::default() },
        Filter { text: name(""), ..Filter::default() },
        Filter { from: now, until: now, ..Filter::default() },
        Filter { title: name(""), ..Filter::default() },
    ] {
        let error = bench.store.list(&filter, None, ALL).await.expect_err("it is refused");
        assert_eq!(error.kind(), StoreErrorKind::Invalid, "{error}");
        let error = bench.store.list_ids(&filter, None, ALL).await.expect_err("it is refused");
        assert_eq!(error.kind(), StoreErrorKind::Invalid, "{error}");
    }
}

/// The same tasks in the same order, page by page.
pub async fn ids_are_those_of_the_list(bench: Bench<'_>) {
    let worker = bench.worker().await;
    bench.ended(worker, bench.task(), Ending::Succeeded).await;
    for n in 0..7 {
        let kind = if n % 2 == 0 { "even" } else { "odd" }.to_owned();
        bench.enqueue(NewTask { kind, ..bench.task() }).await;
    }
    for filter in [Filter::default(), Filter { kind: name("odd"), states: vec![State::Ready], ..Filter::default() }] {
        let (mut ids, mut after) = (Vec::new(), None);
        loop {
            let page = bench.store.list_ids(&filter, after, 2).await.expect("the store answers");
            assert!(page.items.len() <= 2, "a page is no longer than asked for");
            ids.extend(page.items);
            let Some(next) = page.next else { break };
            after = Some(next);
        }
        assert_eq!(ids, bench.list(&filter).await, "{filter:?}");
    }
}

/// One task in each state that a task can be in, and each found under its state alone and together with others.
pub async fn every_state_is_found_under_its_name(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let succeeded = bench.ended(worker, bench.task(), Ending::Succeeded).await;
    let failed = bench.ended(worker, bench.task(), Ending::Failed).await;
    let expired = bench.enqueue(NewTask { expires: Some(secs(1)), ..bench.task() }).await;
    bench.pass(secs(1));
    bench.sweep().await;
    let running = bench.add().await;
    bench.claim_one(worker).await;
    let cancelled = bench.add().await;
    bench.store.cancel(&[cancelled]).await.expect("the store answers");
    let scheduled = bench.enqueue(NewTask { delay: secs(1), ..bench.task() }).await;
    let ready = bench.add().await;
    for (state, expected) in [
        (State::Succeeded, succeeded),
        (State::Failed, failed),
        (State::Expired, expired),
        (State::Running, running),
        (State::Cancelled, cancelled),
        (State::Scheduled, scheduled),
        (State::Ready, ready),
    ] {
        assert_eq!(bench.state(expected).await, state);
        assert_eq!(bench.list(&Filter { states: vec![state], ..Filter::default() }).await, [expected], "{state}");
    }
    let some = Filter { states: vec![State::Ready, State::Failed, State::Running], ..Filter::default() };
    assert_eq!(bench.list(&some).await, [ready, running, failed]);
}

/// Page by page, whatever their size: all that matches, newest first, nothing twice.
pub async fn pages_cover_everything_once(bench: Bench<'_>) {
    let mut odd = Vec::new();
    for n in 0..25 {
        let kind = if n % 2 == 1 { "odd" } else { "even" }.to_owned();
        let id = bench.enqueue(NewTask { kind, ..bench.task() }).await;
        if n % 2 == 1 {
            odd.insert(0, id);
        }
    }
    let filter = Filter { kind: Some("odd".to_owned()), ..Filter::default() };
    for limit in [1, 4, 12, 100] {
        assert_eq!(pages(&bench, &filter, None, limit).await, odd, "pages of {limit}");
    }
}

/// New tasks and vanished ones move no page.
pub async fn a_page_goes_on_where_it_stopped_while_tasks_come_and_go(bench: Bench<'_>) {
    let mut ids: Vec<TaskId> = Vec::new();
    for _ in 0..6 {
        ids.insert(0, bench.add().await);
    }
    let filter = Filter::default();
    let first = bench.store.list(&filter, None, 3).await.expect("the store answers");
    assert_eq!(first.items.iter().map(|task| task.id).collect::<Vec<_>>(), ids[..3]);
    bench.add().await;
    bench.store.cancel(&[ids[1], ids[4]]).await.expect("the store answers");
    let next = first.next.expect("three tasks are left").to_string();
    let next = next.parse().expect("a cursor survives as text");
    assert_eq!(pages(&bench, &filter, Some(next), 2).await, ids[3..]);
}

/// The record in a list is the one that `get` gives, but for the attempts.
pub async fn a_list_shows_what_get_shows_without_the_history(bench: Bench<'_>) {
    let worker = bench.worker().await;
    bench.ended(worker, bench.task(), Ending::Succeeded).await;
    bench.ended(worker, bench.task(), Ending::Failed).await;
    bench.add().await;
    bench.claim_one(worker).await;
    bench.pass(LEASE);
    bench.sweep().await;
    bench.enqueue(NewTask { delay: secs(5), ..bench.task() }).await;
    let page = bench.store.list(&Filter::default(), None, 10).await.expect("the store answers");
    assert_eq!(page.items.len(), 4);
    assert_eq!(page.next, None);
    for listed in page.items {
        let mut found = bench.get(listed.id).await;
        found.attempts.clear();
        assert_eq!(listed, found);
    }
}

/// An id that nobody enqueued is no error.
pub async fn what_is_not_there_is_not_found(bench: Bench<'_>) {
    assert_eq!(bench.find(bench.env.task_id()).await, None);
    assert_eq!(bench.list(&Filter::default()).await, []);
}

fn name(name: &str) -> Option<String> {
    Some(name.to_owned())
}

async fn pages(bench: &Bench<'_>, filter: &Filter, mut after: Option<Cursor>, limit: usize) -> Vec<TaskId> {
    let mut ids = Vec::new();
    loop {
        let page = bench.store.list(filter, after, limit).await.expect("the store answers");
        assert!(page.items.len() <= limit, "a page is no longer than asked for");
        ids.extend(page.items.iter().map(|task| task.id));
        match page.next {
            Some(next) => after = Some(next),
            None => return ids,
        }
    }
}

/// What an index answers and what only each task does, joined in every way, and page by page.
pub async fn a_query_finds_what_matches(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let task = |kind: &str, args: &str, tags: &[&str]| {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        let meta = Some(Box::new(TaskMeta { tags, ..TaskMeta::default() }));
        NewTask { kind: kind.to_owned(), args: args.to_owned(), meta, ..bench.task() }
    };
    let failed = bench.ended(worker, NewTask { meta: task("work", "{}", &["vip"]).meta, ..bench.task() }, Ending::Failed).await;
    let first = bench.enqueue(task("email.send", r#"{"user": 42}"#, &["vip", "eu"])).await;
    bench.pass(secs(100));
    let second = bench.enqueue(task("email.receive", r#"{"user": 42}"#, &["eu"])).await;
    let third = bench.enqueue(task("email.send", r#"{"user": 7}"#, &["vip"])).await;
    let named = format!("worker:host-{worker}");
    let (named_too, by_id) = (format!("{named} -state:failed"), format!("id:{first}"));
    for (text, expected) in [
        ("args.user:42", vec![second, first]),
        ("kind:email* -kind:email.receive", vec![third, first]),
        ("kind:email.send args.user:<10", vec![third]),
        ("tag:vip tag:eu", vec![first]),
        ("-state:ready", vec![failed]),
        ("state:failed OR args.user:7", vec![third, failed]),
        ("age:>50s kind:email*", vec![first]),
        ("state:ready state:failed", vec![]),
        (named.as_str(), vec![failed]),
        (named_too.as_str(), vec![]),
        (by_id.as_str(), vec![first]),
    ] {
        let query = Query::parse(text, bench.env.now()).expect(text);
        let filter = Filter { query: Some(query), ..Filter::default() };
        assert_eq!(bench.list(&filter).await, expected, "{text}");
        let ids = bench.store.list_ids(&filter, None, 10).await.expect("list ids").items;
        assert_eq!(ids, expected, "{text}");
    }
    // Page by page, with others between those that match.
    let mut wanted = Vec::new();
    for number in 0..30 {
        let id = bench.enqueue(task("bulk", &format!("{{\"n\": {number}}}"), &[])).await;
        if number % 3 == 0 {
            wanted.insert(0, id);
        }
    }
    let all: Vec<_> = (0..30).step_by(3).map(|number| format!("args.n:{number}")).collect();
    let query = Query::parse(&format!("kind:bulk ({})", all.join(" OR ")), bench.env.now()).expect("a query");
    let filter = Filter { query: Some(query), kind: name("bulk"), ..Filter::default() };
    for limit in [1, 3, 10] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = bench.store.list(&filter, after, limit).await.expect("list");
            assert!(page.items.len() <= limit);
            seen.extend(page.items.into_iter().map(|task| task.id));
            let Some(next) = page.next else { break };
            after = Some(next);
        }
        assert_eq!(seen, wanted, "{limit} a page");
    }
}
