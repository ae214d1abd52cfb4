//! Finding tasks.

use gristmill_core::{Cursor, Ending, Filter, NewTask, State, TaskId, TaskMeta};

use super::bench::{Bench, LEASE, secs};
use super::list;

list![
    every_filter_finds_its_own,
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
    let name = |name: &str| Some(name.to_owned());
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
