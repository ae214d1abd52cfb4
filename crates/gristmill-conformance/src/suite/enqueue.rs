//! What an acknowledged enqueue means.

use std::collections::BTreeMap;

use gristmill_core::limits::BATCH_TASKS_MAX;
use gristmill_core::{Ack, Ending, EnqueueOutcome, Filter, NewTask, Retention, State, StoreErrorKind, TaskMeta};
use tokio::task::JoinSet;

use super::bench::{ALL, Bench, secs};
use super::list;

list![
    a_task_is_kept_as_it_was_given,
    the_same_task_again_changes_nothing,
    another_task_under_the_same_id_is_refused,
    a_conflict_hinders_no_other,
    an_id_twice_in_one_batch_is_one_task,
    the_id_of_an_ended_task_stays_taken,
    the_id_of_a_forgotten_task_is_free,
    the_largest_batch_is_kept,
    a_batch_beyond_the_limit_is_refused_whole,
    one_of_many_concurrent_enqueues_creates,
];

/// All that an enqueue says of a task is there when it is asked for, text by text.
pub async fn a_task_is_kept_as_it_was_given(bench: Bench<'_>) {
    let meta = TaskMeta {
        parent: Some(bench.env.task_id()),
        tags: vec!["urgent".to_owned(), "größer".to_owned()],
        headers: BTreeMap::from([("trace".to_owned(), "00-ab".to_owned())]),
        timeout_ms: Some(1_500),
        title: Some("the report of größer".to_owned()),
        ..TaskMeta::default()
    };
    let task = NewTask {
        kind: "report.build".to_owned(),
        queue: "reports".to_owned(),
        priority: 0,
        max_attempts: 7,
        max_crashes: 2,
        ack: Ack::Early,
        args: "{\"text\": \"naïve \\u0000 \\\"quoted\\\" 中\",  \"n\": 1e400}".to_owned(),
        meta: Some(Box::new(meta.clone())),
        ..bench.task()
    };
    bench.enqueue(task.clone()).await;
    let kept = bench.get(task.id).await;
    let now = bench.env.now();
    assert_eq!((kept.id, kept.kind, kept.queue), (task.id, task.kind, task.queue));
    assert_eq!((kept.priority, kept.max_attempts, kept.max_crashes), (0, 7, 2));
    assert_eq!(kept.args, task.args, "arguments come back byte by byte");
    assert_eq!(kept.meta, meta);
    assert_eq!((kept.state, kept.attempt, kept.crashes), (State::Ready, 0, 0));
    assert_eq!((kept.created_at, kept.run_at, kept.ended_at), (now, now, None));
    assert_eq!((kept.result, kept.error, kept.cancel_requested), (None, None, false));
    assert_eq!(kept.attempts, []);
}

/// A client that never got its answer enqueues again under the same id, and there is one task.
pub async fn the_same_task_again_changes_nothing(bench: Bench<'_>) {
    let task = bench.task();
    bench.enqueue(task.clone()).await;
    let first = bench.get(task.id).await;
    bench.pass(secs(1));
    assert_eq!(bench.enqueue_all(vec![task.clone()]).await, [EnqueueOutcome::Exists(task.id)]);
    assert_eq!(bench.get(task.id).await, first);
    // Only what the task is counts, not when it was asked for again.
    let later = NewTask { delay: secs(60), priority: 0, ..task };
    assert_eq!(bench.enqueue_all(vec![later]).await, [EnqueueOutcome::Exists(first.id)]);
    assert_eq!(bench.list(&Filter::default()).await, [first.id]);
}

/// An id with other arguments or another task type is another task, and is refused.
pub async fn another_task_under_the_same_id_is_refused(bench: Bench<'_>) {
    let task = bench.task();
    bench.enqueue(task.clone()).await;
    let first = bench.get(task.id).await;
    let other_args = NewTask { args: "{\"n\":2}".to_owned(), ..task.clone() };
    let other_kind = NewTask { kind: "other".to_owned(), ..task };
    let outcomes = bench.enqueue_all(vec![other_args, other_kind]).await;
    assert_eq!(outcomes, [EnqueueOutcome::Conflict, EnqueueOutcome::Conflict]);
    assert_eq!(bench.get(first.id).await, first);
}

/// Each task of a batch has its own answer, in order.
pub async fn a_conflict_hinders_no_other(bench: Bench<'_>) {
    let task = bench.task();
    bench.enqueue(task.clone()).await;
    let conflict = NewTask { args: "{\"n\":2}".to_owned(), ..task.clone() };
    let (before, after) = (bench.task(), bench.task());
    let ids = [before.id, after.id];
    let exists = EnqueueOutcome::Exists(task.id);
    let outcomes = bench.enqueue_all(vec![before, conflict, task, after]).await;
    assert_eq!(outcomes, [EnqueueOutcome::Created, EnqueueOutcome::Conflict, exists, EnqueueOutcome::Created]);
    for id in ids {
        assert_eq!(bench.state(id).await, State::Ready);
    }
}

/// An id twice in a batch is the same as twice in a row.
pub async fn an_id_twice_in_one_batch_is_one_task(bench: Bench<'_>) {
    let task = bench.task();
    let conflict = NewTask { args: "{\"n\":2}".to_owned(), ..task.clone() };
    let outcomes = bench.enqueue_all(vec![task.clone(), task.clone(), conflict]).await;
    assert_eq!(outcomes, [EnqueueOutcome::Created, EnqueueOutcome::Exists(task.id), EnqueueOutcome::Conflict]);
    assert_eq!(bench.get(task.id).await.args, task.args);
    assert_eq!(bench.list(&Filter::default()).await, [task.id]);
}

/// A late repetition does not run a task again that has ended.
pub async fn the_id_of_an_ended_task_stays_taken(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let task = bench.task();
    bench.ended(worker, task.clone(), Ending::Succeeded).await;
    assert_eq!(bench.enqueue_all(vec![task.clone()]).await, [EnqueueOutcome::Exists(task.id)]);
    assert_eq!(bench.state(task.id).await, State::Succeeded);
    assert_eq!(bench.claim_ids(worker, ALL).await, []);
}

/// Once nothing is kept of a task, its id is as good as new.
pub async fn the_id_of_a_forgotten_task_is_free(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let task = NewTask { retention: Retention::None, ..bench.task() };
    bench.ended(worker, task.clone(), Ending::Succeeded).await;
    let other = NewTask { args: "{\"n\":2}".to_owned(), ..task };
    bench.enqueue(other).await;
}

/// The largest batch that the contract allows is kept, all of it and in its order.
pub async fn the_largest_batch_is_kept(bench: Bench<'_>) {
    let tasks: Vec<_> = (0..BATCH_TASKS_MAX).map(|_| bench.task()).collect();
    let mut ids: Vec<_> = tasks.iter().map(|task| task.id).collect();
    assert!(bench.enqueue_all(tasks).await.iter().all(|outcome| *outcome == EnqueueOutcome::Created));
    ids.reverse();
    assert_eq!(bench.list(&Filter::default()).await, ids);
}

/// A larger one is refused, all of it.
pub async fn a_batch_beyond_the_limit_is_refused_whole(bench: Bench<'_>) {
    let tasks: Vec<_> = (0..=BATCH_TASKS_MAX).map(|_| bench.task()).collect();
    let refused = bench.store.enqueue(tasks).await.expect_err("a batch beyond the limit");
    assert_eq!(refused.kind(), StoreErrorKind::Invalid, "{refused}");
    assert_eq!(bench.list(&Filter::default()).await, []);
}

/// However many clients enqueue the same task at once, one of them creates it.
pub async fn one_of_many_concurrent_enqueues_creates(bench: Bench<'_>) {
    let task = bench.task();
    let mut clients = JoinSet::new();
    for _ in 0..16 {
        let (store, task) = (bench.store.clone(), task.clone());
        clients.spawn(async move { store.enqueue(vec![task]).await });
    }
    let mut created = 0;
    for outcome in clients.join_all().await {
        match outcome.as_deref() {
            Ok([EnqueueOutcome::Created]) => created += 1,
            Ok([EnqueueOutcome::Exists(_)]) => {}
            other => panic!("the same task enqueued again was answered with {other:?}"),
        }
    }
    assert_eq!(created, 1);
}
