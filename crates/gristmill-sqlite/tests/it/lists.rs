use std::time::Duration;

use gristmill_core::{
    Ending, Filter, Overrides, Retention, SCHEDULE_HEADER, Settlement, Source, State, Store, TaskId, Timestamp,
};

use crate::common::{Fixture, enter, succeed, task};

/// More ended tasks than a page may read, written as they lie in the file.
const HISTORY: i64 = 200_000;

fn add_history(fixture: &Fixture) {
    let conn = fixture.raw();
    conn.execute_batch("PRAGMA synchronous = OFF; BEGIN").unwrap();
    let now = fixture.env.now().as_millis();
    conn.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2)
         INSERT INTO gristmill_task(id, queue, kind, priority, max_attempts, max_crashes, ack, retention,
                                    created_at, run_at, args)
         SELECT randomblob(16), (SELECT id FROM gristmill_queue WHERE name = 'default'),
                (SELECT id FROM gristmill_kind WHERE name = 'mail'), 5, 3, 3, 0, 0, ?1 + i, ?1 + i, '{}' FROM n",
        [now, HISTORY],
    )
    .unwrap();
    conn.execute(
        "INSERT INTO gristmill_outcome(seq, claim_no, attempt, crashes, state, ended, finished_at, started_at, worker)
         SELECT seq, 1, 1, 0, 1, 1, created_at, created_at, 'another' FROM gristmill_task WHERE created_at > ?1",
        [now],
    )
    .unwrap();
    conn.execute_batch("COMMIT").unwrap();
    fixture.clock.advance(Duration::from_millis(HISTORY as u64 + 1));
}

fn named(name: &str) -> Option<String> {
    Some(name.to_owned())
}

async fn ids(fixture: &Fixture, filter: &Filter) -> Vec<TaskId> {
    let page = fixture.store.list(filter, None, 10).await.unwrap();
    assert_eq!(page.next, None, "one page finds them: {filter:?}");
    let ids = fixture.store.list_ids(filter, None, 10).await.unwrap();
    assert_eq!(ids.items, page.items.iter().map(|task| task.id).collect::<Vec<_>>());
    ids.items
}

/// A page reads a bounded number of rows, a quarter of this history, so that one which finds what lies behind all of it has not
/// looked through it.
#[tokio::test]
async fn what_is_rare_is_found_behind_a_long_history_in_one_page() {
    let fixture = Fixture::with("synchronous=normal");
    let (store, env) = (&fixture.store, &fixture.env);
    let worker = enter(store, env, &["mail"]).await;
    let mail = || task(env, "mail", Overrides::default());
    let mut started = Vec::new();
    for ending in [Some(Ending::Failed), Some(Ending::Succeeded), None] {
        let new = mail();
        store.enqueue(vec![new.clone()]).await.unwrap();
        let claimed = fixture.claim(worker, 1).await.remove(0);
        if let Some(ending) = ending {
            store.settle(vec![Settlement::new(claimed.lease, ending)]).await.unwrap();
        }
        started.push(new.id);
    }
    let [failed, _, running] = started[..] else { panic!("three were started") };
    let over = Overrides {
        parent: Some(failed),
        title: named("To Ann: 7 rules"),
        tags: vec!["eu-west".to_owned()],
        headers: [(SCHEDULE_HEADER.to_owned(), "nightly".to_owned())].into(),
        ..Overrides::default()
    };
    let child = task(env, "mail", over.clone());
    let later = task(env, "mail", Overrides { delay: Some(Duration::from_secs(9_999_999)), queue: named("b"), ..over });
    let cancelled = mail();
    store.enqueue(vec![child.clone(), later.clone(), cancelled.clone()]).await.unwrap();
    store.cancel(&[cancelled.id]).await.unwrap();
    let until = env.now().saturating_add(Duration::from_millis(1));
    add_history(&fixture);

    let none = Filter::default();
    let states = |states: &[State]| Filter { states: states.to_vec(), ..Filter::default() };
    for (filter, expected) in [
        (states(&[State::Running]), vec![running]),
        (states(&[State::Cancelled]), vec![cancelled.id]),
        (states(&[State::Scheduled]), vec![later.id]),
        (states(&[State::Ready]), vec![child.id]),
        (states(&[State::Ready, State::Failed, State::Running]), vec![child.id, running, failed]),
        (states(&[State::Blocked, State::Waiting]), vec![]),
        (Filter { queue: named("default"), ..states(&[State::Ready]) }, vec![child.id]),
        (Filter { queue: named("b"), ..states(&[State::Scheduled, State::Ready, State::Failed]) }, vec![later.id]),
        (Filter { tag: named("eu-west"), ..none.clone() }, vec![later.id, child.id]),
        (Filter { tag: named("nope"), ..none.clone() }, vec![]),
        (Filter { parent: Some(failed), ..none.clone() }, vec![later.id, child.id]),
        (Filter { parent: Some(running), ..none.clone() }, vec![]),
        (Filter { title: named("To Ann: 7 rules"), ..none.clone() }, vec![later.id, child.id]),
        (Filter { schedule: named("nightly"), states: vec![State::Scheduled], ..none.clone() }, vec![later.id]),
        (Filter { text: named("ann RULES west"), ..none.clone() }, vec![later.id, child.id]),
        (Filter { text: named("nobody"), ..none.clone() }, vec![]),
        (Filter { from: Some(Timestamp::MIN), until: Some(until), states: vec![State::Failed], ..none.clone() }, vec![failed]),
        (
            Filter { worker: named("worker of mail"), states: vec![State::Running, State::Failed], ..none.clone() },
            vec![running, failed],
        ),
        (Filter { queue: named("nowhere"), ..none.clone() }, vec![]),
    ] {
        assert_eq!(ids(&fixture, &filter).await, expected, "{filter:?}");
    }
    // The time before the history is found by halves, as the clock's slack is more than the history's time.
    let before = Filter { until: Some(until), ..none.clone() };
    let found = pages(&fixture, &before).await;
    assert_eq!(found.0, [cancelled.id, later.id, child.id, running, started[1], failed]);
    // What nothing is kept about is looked for task by task, and a page ends before it has read them all.
    let found = pages(&fixture, &Filter { worker: named("worker of mail"), ..none }).await;
    assert_eq!(found.0, [running, started[1], failed]);
    assert!(found.1 > 4, "{} pages", found.1);
}

async fn pages(fixture: &Fixture, filter: &Filter) -> (Vec<TaskId>, usize) {
    let (mut found, mut count, mut after) = (Vec::new(), 0, None);
    loop {
        let page = fixture.store.list_ids(filter, after, 10).await.unwrap();
        found.extend(page.items);
        count += 1;
        match page.next {
            Some(next) => after = Some(next),
            None => return (found, count),
        }
    }
}

/// What an older program enqueues is filed as this one files it, and what goes, goes with its labels.
#[tokio::test]
async fn tasks_of_older_programs_are_labelled_as_the_store_does() {
    let fixture = Fixture::new();
    let titles = ["To Ann", "a.b-c_d#e'f\"g\\h", "ÄÖ ä ß", "100% [x]{y}", "  ", "a a A", "/"];
    let mut tasks = vec![fixture.task("plain")];
    for (n, title) in titles.into_iter().enumerate() {
        let tags = titles.iter().take(n).map(|tag| (*tag).to_owned()).collect();
        let headers = [(SCHEDULE_HEADER.to_owned(), title.to_owned()), ("x".to_owned(), "y".to_owned())].into();
        let parent = Some(tasks[n].id);
        let retention = Some(Retention::None);
        let over = Overrides { title: named(title), tags, headers, parent, retention, ..Overrides::default() };
        tasks.push(task(&fixture.env, "work", over));
    }
    fixture.store.enqueue(tasks).await.unwrap();
    let conn = fixture.raw();
    let labels = || -> Vec<(i64, String)> {
        let mut statement = conn.prepare("SELECT seq, label FROM gristmill_label ORDER BY seq, label").unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    let by_store = labels();
    assert!(by_store.iter().any(|row| row.1 == "w:äö") || by_store.iter().any(|row| row.1 == "w:ÄÖ"), "{by_store:?}");
    // As the version before leaves them; and what no program of ours writes.
    conn.execute_batch(
        "DELETE FROM gristmill_label; UPDATE gristmill_task SET labelled = NULL;
         INSERT INTO gristmill_task(id, queue, kind, priority, max_attempts, max_crashes, ack, retention, created_at, run_at, args, meta)
         VALUES (x'01', 1, 1, 5, 1, 1, 0, 0, 0, 0, '{}', '{broken'), (x'02', 1, 1, 5, 1, 1, 0, 0, 0, 0, '{}', '{\"title\":7}'),
                (x'03', 1, 1, 5, 1, 1, 0, 0, 0, 0, '{}', '{\"tags\":7,\"title\":[\"x y\"]}')",
    )
    .unwrap();
    fixture.store.sweep(100).await.unwrap();
    assert_eq!(labels(), by_store);
    let lacking = "SELECT count(*) FROM gristmill_task WHERE meta IS NOT NULL AND labelled IS NULL";
    assert_eq!(conn.query_row(lacking, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
    let worker = fixture.worker(&["work"]).await;
    succeed(&fixture.store, &fixture.claim(worker, 100).await).await;
    assert_eq!(labels(), [], "they go with their tasks");
}

/// A file of the version before has no labels; lists find everything all the same, before sweeps have written them and after.
#[tokio::test]
async fn what_came_before_labels_is_found_and_is_labelled_by_sweeps() {
    let fixture = Fixture::with("synchronous=normal");
    for n in 0..7 {
        let over = || Overrides { title: named(&format!("number {n}")), tags: vec!["old".to_owned()], ..Overrides::default() };
        let tasks = (0..1_000).map(|k| if k % 10 == n { task(&fixture.env, "work", over()) } else { fixture.task("plain") });
        fixture.store.enqueue(tasks.collect()).await.unwrap();
    }
    let labels = |conn: &rusqlite::Connection| -> i64 {
        conn.query_row("SELECT count(*) FROM gristmill_label", [], |row| row.get(0)).unwrap()
    };
    let conn = fixture.raw();
    let all = labels(&conn);
    conn.execute_batch("DELETE FROM gristmill_label; UPDATE gristmill_task SET labelled = NULL").unwrap();
    let tagged = Filter { tag: named("old"), ..Filter::default() };
    let one = Filter { text: named("number 3"), states: vec![State::Ready], ..Filter::default() };
    let before = (pages(&fixture, &tagged).await.0, pages(&fixture, &one).await.0);
    assert_eq!((before.0.len(), before.1.len()), (700, 100));
    // And what is enqueued meanwhile.
    let over = Overrides { tags: vec!["old".to_owned()], ..Overrides::default() };
    let new = task(&fixture.env, "work", over);
    fixture.store.enqueue(vec![new.clone()]).await.unwrap();
    let expected: Vec<_> = [new.id].into_iter().chain(before.0).collect();
    let mut sweeps = 0;
    while labels(&conn) < all + 2 {
        assert_eq!(pages(&fixture, &tagged).await.0, expected);
        assert_eq!(pages(&fixture, &one).await.0, before.1);
        fixture.store.sweep(100).await.unwrap();
        sweeps += 1;
        assert!(sweeps < 10, "sweeps label them all");
    }
    assert!(sweeps > 1, "a sweep does a bounded part of it");
    assert_eq!(pages(&fixture, &tagged).await.0, expected);
    assert_eq!(pages(&fixture, &one).await.0, before.1);
}
