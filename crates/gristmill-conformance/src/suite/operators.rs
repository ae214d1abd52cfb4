//! What operators see: queues, workers, task types, and whether all is well.

use gristmill_core::{Ending, KindSpec, NewTask, Policy, Settled, Severity, State, Wanted, WorkerId, WorkerSpec};

use super::bench::{ALL, Bench, KIND, LEASE, QUEUE, secs};
use super::list;

list![
    queues_are_counted_by_state,
    the_oldest_ready_task_of_a_queue_is_shown,
    workers_are_shown_with_what_they_said,
    a_worker_can_say_anew_what_it_serves,
    what_was_claimed_ahead_is_not_counted_as_running,
    task_types_are_known_once_enqueued_or_declared,
    the_newest_declaration_wins,
    a_healthy_store_has_no_findings_against_it,
];

/// Ready, scheduled and running tasks of every queue, by name; ended ones are not counted.
pub async fn queues_are_counted_by_state(bench: Bench<'_>) {
    let worker = bench.worker().await;
    bench.ended(worker, bench.task(), Ending::Succeeded).await;
    for _ in 0..3 {
        bench.add().await;
    }
    bench.claim_one(worker).await;
    bench.enqueue(NewTask { delay: secs(5), ..bench.task() }).await;
    bench.enqueue(NewTask { queue: "a".to_owned(), ..bench.task() }).await;
    let queues = bench.store.queues().await.expect("the store answers");
    let counts: Vec<_> = queues.iter().map(|q| (q.name.as_str(), q.paused, q.ready, q.scheduled, q.running)).collect();
    assert_eq!(counts, [("a", false, 1, 0, 0), (QUEUE, false, 2, 1, 1)]);
}

/// How long the longest waiting task has waited is what tells whether a queue keeps up.
pub async fn the_oldest_ready_task_of_a_queue_is_shown(bench: Bench<'_>) {
    let worker = bench.worker().await;
    bench.add().await;
    bench.pass(secs(1));
    bench.add().await;
    let second_at = bench.env.now();
    bench.pass(secs(1));
    bench.claim_one(worker).await;
    let oldest = || async { bench.store.queues().await.expect("the store answers")[0].oldest_ready_at };
    assert_eq!(oldest().await, Some(second_at));
    bench.claim_one(worker).await;
    assert_eq!(oldest().await, None);
}

/// Newest first, with their lease and how much they hold; a dead one is shown as such.
pub async fn workers_are_shown_with_what_they_said(bench: Bench<'_>) {
    let first = bench.worker().await;
    bench.add().await;
    bench.claim_one(first).await;
    bench.pass(secs(20));
    let spec = bench.worker_spec(&["a", QUEUE], &["work", "other"]);
    bench.store.enter(&spec).await.expect("the store answers");
    bench.pass(secs(10));
    let workers = bench.store.workers().await.expect("the store answers");
    let seen: Vec<_> = workers.iter().map(|w| (w.id.clone(), w.alive, w.running)).collect();
    assert_eq!(seen, [(spec.id.to_string(), true, 0), (first.to_string(), false, 1)]);
    let newest = &workers[0];
    assert_eq!((&newest.name, &newest.version, &newest.queues), (&spec.name, &spec.version, &spec.queues));
    let mut kinds = newest.kinds.clone();
    kinds.sort_unstable();
    assert_eq!(kinds, ["other", "work"]);
    let entered_at = bench.env.now().saturating_sub(secs(10));
    assert_eq!((newest.started_at, newest.expires_at), (entered_at, entered_at.saturating_add(LEASE)));
}

/// One that enters again under its id keeps what it holds and when it began, and serves what it says now.
pub async fn a_worker_can_say_anew_what_it_serves(bench: Bench<'_>) {
    let spec = bench.worker_spec(&[QUEUE], &[KIND]);
    bench.store.enter(&spec).await.expect("the store answers");
    let entered_at = bench.env.now();
    bench.add().await;
    let held = bench.claim_one(spec.id).await;
    bench.enqueue(NewTask { id: bench.env.task_id(), queue: "late".to_owned(), ..bench.task() }).await;
    bench.pass(secs(1));
    let more = WorkerSpec { queues: [(QUEUE.to_owned(), 3), ("late".to_owned(), 1)].into(), ..spec };
    bench.store.enter(&more).await.expect("the store answers");
    let workers = bench.store.workers().await.expect("the store answers");
    let [worker] = workers.as_slice() else { panic!("it is one worker, not {workers:?}") };
    assert_eq!((&worker.queues, worker.started_at, worker.running), (&more.queues, entered_at, 1));
    let mut claim = bench.wanted(more.id, ALL);
    claim.wanted.push(Wanted::new("late", ALL));
    let claimed = bench.store.claim(&claim).await.expect("claim");
    assert_eq!(claimed.iter().map(|task| &*task.queue).collect::<Vec<_>>(), ["late"]);
    assert_eq!(bench.settle(held.lease, Ending::Succeeded).await, Settled::Done(State::Succeeded));
    bench.beat(more.id).await;
}

/// A worker runs as many tasks of a queue as it has slots there; others that it holds wait.
pub async fn what_was_claimed_ahead_is_not_counted_as_running(bench: Bench<'_>) {
    let few = WorkerSpec { queues: [(QUEUE.to_owned(), 2), ("a".to_owned(), 1)].into(), ..bench.worker_spec(&[], &[KIND]) };
    bench.store.enter(&few).await.expect("the store answers");
    let many = bench.worker().await;
    for queue in [QUEUE; 8].into_iter().chain(["a"; 2]) {
        bench.enqueue(NewTask { id: bench.env.task_id(), queue: queue.to_owned(), ..bench.task() }).await;
    }
    let mut claim = bench.wanted(few.id, 5);
    claim.wanted.push(Wanted::new("a", ALL));
    assert_eq!(bench.store.claim(&claim).await.expect("claim").len(), 7);
    assert_eq!(bench.claim(many, ALL).await.len(), 3);
    let queues = bench.store.queues().await.expect("the store answers");
    let counts: Vec<_> = queues.iter().map(|queue| (queue.name.as_str(), queue.running, queue.buffered)).collect();
    assert_eq!(counts, [("a", 1, 1), (QUEUE, 5, 3)]);
    let workers = bench.store.workers().await.expect("the store answers");
    let counts = |id: WorkerId| {
        let worker = workers.iter().find(|worker| worker.id == id.to_string()).expect("it is listed");
        (worker.running, worker.buffered)
    };
    assert_eq!((counts(few.id), counts(many)), ((3, 4), (3, 0)));
}

/// A type without a declaration is shown with what is known: its name, and who serves it.
pub async fn task_types_are_known_once_enqueued_or_declared(bench: Bench<'_>) {
    bench.add().await;
    let declared = kind("declared");
    bench.store.declare(std::slice::from_ref(&declared)).await.expect("the store answers");
    bench.worker().await;
    bench.pass(LEASE);
    bench.worker_for(&[QUEUE], &["declared", "work"]).await;
    let kinds = bench.store.kinds().await.expect("the store answers");
    let seen: Vec<_> = kinds.iter().map(|kind| (kind.name.as_str(), kind.schema.is_some(), kind.workers)).collect();
    assert_eq!(seen, [("declared", true, 1), ("work", false, 1)]);
    assert_eq!(kinds[0].schema, Some(declared.schema));
    assert_eq!(kinds[0].policy, Some(declared.policy));
    assert_eq!(kinds[1].policy, None);
}

/// A program that starts says what its types look like now.
pub async fn the_newest_declaration_wins(bench: Bench<'_>) {
    let first = kind("work");
    let second = KindSpec { policy: Policy { priority: 1, ..Policy::default() }, ..kind("work") };
    for spec in [first, second.clone()] {
        bench.store.declare(&[spec]).await.expect("the store answers");
    }
    let kinds = bench.store.kinds().await.expect("the store answers");
    assert_eq!(kinds.iter().map(|kind| kind.policy.clone()).collect::<Vec<_>>(), [Some(second.policy)]);
}

/// After ordinary work there is nothing to complain of.
pub async fn a_healthy_store_has_no_findings_against_it(bench: Bench<'_>) {
    let worker = bench.worker().await;
    bench.ended(worker, bench.task(), gristmill_core::Ending::Failed).await;
    bench.add().await;
    bench.claim_one(worker).await;
    bench.die().await;
    let findings = bench.store.check().await.expect("the store answers");
    assert!(findings.iter().all(|finding| finding.severity < Severity::Error), "{findings:#?}");
    assert!(!bench.store.location().is_empty());
}

fn kind(name: &str) -> KindSpec {
    KindSpec {
        name: name.to_owned(),
        schema: serde_json::json!({"type": "object", "properties": {"to": {"type": "string"}}}),
        fields: vec!["to".to_owned()],
        policy: Policy::default(),
    }
}
