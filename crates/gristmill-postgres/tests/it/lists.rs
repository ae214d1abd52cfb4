//! What a task says of itself, and what lists find by it: whoever enqueued it, and whenever.

use gristmill_core::kit::list::labels_of;
use gristmill_core::{Env, Filter, NewTask, Overrides, SCHEDULE_HEADER, Source, State, Store, TaskId, TaskMeta};
use gristmill_postgres::PostgresStore;
use tokio_postgres::Client;

use crate::common::{Schema, client, task};
use crate::connections::until_blocked;

fn named(name: &str) -> Option<String> {
    Some(name.to_owned())
}

async fn labels(client: &Client, schema: &Schema, id: TaskId) -> Vec<String> {
    let sql = format!("SELECT label FROM {}.label WHERE id = $1 ORDER BY label", schema.0);
    client.query(&sql, &[&id.as_uuid()]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

async fn count(client: &Client, schema: &Schema) -> i64 {
    client.query_one(&format!("SELECT count(*) FROM {}.label", schema.0), &[]).await.unwrap().get(0)
}

async fn find(store: &PostgresStore, filter: &Filter) -> Vec<TaskId> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = store.list_ids(filter, after, 10).await.unwrap();
        found.extend(page.items);
        match page.next {
            Some(next) => after = Some(next),
            None => return found,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_labels_tasks_as_core_says() {
    let (schema, env) = (Schema::new(), Env::system());
    let store = PostgresStore::connect(&schema.url(""), env.clone()).await.unwrap();
    let client = client().await;
    let titles = ["To Ann", "a.b-c_d#e'f\"g\\h", "ÄÖ ä ß", "100% [x]{y}", "  ", "a a A", "/"];
    let mut parent = task(&env, "plain", Overrides::default());
    store.enqueue(vec![parent.clone()]).await.unwrap();
    for (n, title) in titles.into_iter().enumerate() {
        let meta = TaskMeta {
            title: named(title),
            tags: titles.iter().take(n).map(|tag| (*tag).to_owned()).collect(),
            headers: [(SCHEDULE_HEADER.to_owned(), title.to_owned()), ("x".to_owned(), "y\0".to_owned())].into(),
            parent: Some(parent.id),
            ..TaskMeta::default()
        };
        let new = NewTask { meta: Some(Box::new(meta.clone())), ..task(&env, "work", Overrides::default()) };
        store.enqueue(vec![new.clone()]).await.unwrap();
        assert_eq!(labels(&client, &schema, new.id).await, labels_of(&meta), "{meta:?}");
        parent = new;
    }
    assert_eq!(find(&store, &Filter { text: named("ann"), ..Filter::default() }).await.len(), titles.len());

    // What SQL enqueues is found as well, and what is no JSON of ours is kept.
    let sql = format!(
        "SELECT {}.enqueue('work', '{{}}', '{{\"force\": true, \"tags\": [\"by-sql\"], \"title\": \"By hand\"}}')",
        schema.0
    );
    let id = TaskId::from_uuid(client.query_one(&sql, &[]).await.unwrap().get(0));
    assert_eq!(find(&store, &Filter { text: named("hand sql"), ..Filter::default() }).await, [id]);
    let sql = format!("SELECT {0}.labels_of('{{broken'), {0}.labels_of('7'), {0}.labels_of('{{\"tags\": 7}}')", schema.0);
    let row = client.query_one(&sql, &[]).await.unwrap();
    assert!((0..3).all(|n| row.get::<_, Vec<String>>(n).is_empty()));

    client.execute(&format!("DELETE FROM {}.task", schema.0), &[]).await.unwrap();
    assert_eq!(count(&client, &schema).await, 0, "they go with their tasks");
}

/// A schema of the version before has no labels; lists find everything all the same, before sweeps have written them and after.
#[tokio::test(flavor = "multi_thread")]
async fn what_came_before_labels_is_found_and_is_labelled_by_sweeps() {
    let (schema, env) = (Schema::new(), Env::system());
    let store = PostgresStore::connect(&schema.url(""), env.clone()).await.unwrap();
    let client = client().await;
    for n in 0..7 {
        let over = || Overrides { title: named(&format!("number {n}")), tags: vec!["old".to_owned()], ..Overrides::default() };
        let over = |k| if k % 250 == n { over() } else { Overrides::default() };
        store.enqueue((0..1_000).map(|k| task(&env, "work", over(k))).collect()).await.unwrap();
    }
    let all = count(&client, &schema).await;
    let forget = format!("DELETE FROM {0}.label; UPDATE {0}.label_gap SET below = 1 + (SELECT max(seq) FROM {0}.task)", schema.0);
    client.batch_execute(&forget).await.unwrap();
    let tagged = Filter { tag: named("old"), ..Filter::default() };
    let one = Filter { text: named("number 3"), states: vec![State::Ready], ..Filter::default() };
    let before = (find(&store, &tagged).await, find(&store, &one).await);
    assert_eq!((before.0.len(), before.1.len()), (28, 4));
    // And what is enqueued meanwhile.
    let new = task(&env, "work", Overrides { tags: vec!["old".to_owned()], ..Overrides::default() });
    store.enqueue(vec![new.clone()]).await.unwrap();
    let expected: Vec<_> = [new.id].into_iter().chain(before.0).collect();
    let mut sweeps = 0;
    while count(&client, &schema).await < all + 2 {
        assert_eq!(find(&store, &tagged).await, expected);
        assert_eq!(find(&store, &one).await, before.1);
        store.sweep(100).await.unwrap();
        sweeps += 1;
        assert!(sweeps < 10, "sweeps end the gap");
    }
    assert!(sweeps > 1, "a sweep does a bounded part of it");
    assert_eq!(find(&store, &tagged).await, expected);
    assert_eq!(find(&store, &one).await, before.1);
}

/// Labels lie in their tasks' days and go with them, but for those of tasks that are carried on.
#[tokio::test(flavor = "multi_thread")]
async fn labels_go_with_their_day() {
    let schema = Schema::new();
    let (env, clock) = Env::virtual_time(gristmill_core::Timestamp::from_millis(1_800_000_000_000), 1);
    let store = PostgresStore::connect(&schema.url(""), env.clone()).await.unwrap();
    let client = client().await;
    let over = || Overrides { tags: vec!["kept".to_owned()], ..Overrides::default() };
    let (waiting, ended) = (task(&env, "work", over()), task(&env, "work", over()));
    store.enqueue(vec![waiting.clone(), ended.clone()]).await.unwrap();
    store.cancel(&[ended.id]).await.unwrap();
    let partitions = async || -> Vec<String> {
        let sql = format!(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = '{}.label'::regclass ORDER BY 1",
            schema.0
        );
        client.query(&sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    };
    let day = partitions().await.into_iter().find(|name| name.ends_with("_20270115")).expect("today has its partition");
    let of_day = async || -> i64 { client.query_one(&format!("SELECT count(*) FROM {day}"), &[]).await.unwrap().get(0) };
    assert!(of_day().await > 0);
    clock.advance(std::time::Duration::from_secs(30 * 86_400));
    for _ in 0..20 {
        store.sweep(100).await.unwrap();
        store.prune(1_000).await.unwrap();
        clock.advance(std::time::Duration::from_secs(3_600));
        if !partitions().await.contains(&day) {
            break;
        }
    }
    assert!(!partitions().await.contains(&day), "{day} is gone");
    assert_eq!(find(&store, &Filter { tag: named("kept"), ..Filter::default() }).await, [waiting.id]);
    assert_eq!(count(&client, &schema).await, 2, "the tag and its word");
}

/// No label is worth a task that is refused, or a sweep that fails.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_index_can_hold_is_kept_without_a_label() {
    let (schema, env) = (Schema::new(), Env::system());
    let store = PostgresStore::connect(&schema.url(""), env.clone()).await.unwrap();
    let client = client().await;
    // Nothing that compresses well.
    let long: String = (0..1_000).map(|_| env.task_id().to_string()).collect();
    let meta =
        TaskMeta { headers: [(SCHEDULE_HEADER.to_owned(), long)].into(), tags: vec!["kept".to_owned()], ..TaskMeta::default() };
    let new = NewTask { meta: Some(Box::new(meta)), ..task(&env, "work", Overrides::default()) };
    store.enqueue(vec![new.clone()]).await.unwrap();
    assert_eq!(labels(&client, &schema, new.id).await, ["t:kept", "w:kept"]);
    client.batch_execute(&format!("TRUNCATE {0}.label; UPDATE {0}.label_gap SET below = 1000000000", schema.0)).await.unwrap();
    store.sweep(100).await.unwrap();
    assert_eq!(labels(&client, &schema, new.id).await, ["t:kept", "w:kept"]);
    // Written by hand.
    for meta in ["{\"parent\":null,\"tags\":[null]}", "{\"tags\":{\"a\":1}}", "[]", "{"] {
        let found = client.query_one(&format!("SELECT {0}.labels_of($1)", schema.0), &[&meta]).await.unwrap();
        assert_eq!(found.get::<_, Vec<Option<String>>>(0), [], "{meta}");
    }
}

/// Many lines are read no deeper than one, and none of their tasks is left out.
#[tokio::test(flavor = "multi_thread")]
async fn ready_tasks_of_many_queues_come_in_their_order() {
    let (schema, env) = (Schema::new(), Env::system());
    let store = PostgresStore::connect(&schema.url(""), env.clone()).await.unwrap();
    let mut ids = Vec::new();
    for n in 0..400_usize {
        let queue = if n % 3 == 0 { "many".to_owned() } else { format!("q{}", n % 40) };
        ids.push(task(&env, "work", Overrides { queue: Some(queue), ..Overrides::default() }));
    }
    let mut expected: Vec<_> = ids.iter().map(|task| task.id).collect();
    for task in ids {
        store.enqueue(vec![task]).await.unwrap();
    }
    expected.reverse();
    assert_eq!(find(&store, &Filter { states: vec![State::Ready], ..Filter::default() }).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_moves_while_a_page_is_read_is_on_it() {
    let (schema, env) = (Schema::new(), Env::system());
    let store = PostgresStore::connect(&schema.url("&lock_timeout=1h&statement_timeout=1h"), env.clone()).await.unwrap();
    let new = task(&env, "work", Overrides::default());
    store.enqueue(vec![new.clone()]).await.unwrap();
    let (mover, watcher) = (client().await, client().await);
    let running = "WITH gone AS (DELETE FROM {s}.ready RETURNING *)
        INSERT INTO {s}.lease(id, fence, seq, worker, retention, claimed_at, queue, attempt, claim_no, crashes, started)
        SELECT id, id, seq, 1, -1, 0, queue, 1, 1, 0, true FROM gone";
    mover.batch_execute(&running.replace("{s}", &schema.0)).await.unwrap();
    // What is scheduled is read before what runs, which is then scheduled anew.
    mover.batch_execute(&format!("BEGIN; LOCK TABLE {}.lease", schema.0)).await.unwrap();
    let page = tokio::spawn({
        let store = store.clone();
        let filter = Filter { states: vec![State::Scheduled, State::Running], ..Filter::default() };
        async move { store.list(&filter, None, 10).await }
    });
    until_blocked(&watcher, &schema.0, 1).await;
    let scheduled = "WITH gone AS (DELETE FROM {s}.lease RETURNING *)
        INSERT INTO {s}.scheduled(id, seq, run_at, queue, kind, attempt, claim_no, crashes, priority)
        SELECT id, seq, 9e12, queue, 1, 1, 1, 0, 5 FROM gone; COMMIT";
    mover.batch_execute(&scheduled.replace("{s}", &schema.0)).await.unwrap();
    let found = page.await.unwrap().unwrap().items;
    assert_eq!(found.iter().map(|task| (task.id, task.state)).collect::<Vec<_>>(), [(new.id, State::Running)]);
    assert_eq!(store.get(new.id).await.unwrap().unwrap().state, State::Scheduled);
}
