//! What operators see: queues, workers, task types, and whether all is well.

use gristmill_core::{KindSpec, NewTask, Policy, Severity};

use super::bench::{Bench, LEASE, QUEUE, secs};
use super::list;

list![
    queues_are_counted_by_state,
    the_oldest_ready_task_of_a_queue_is_shown,
    workers_are_shown_with_what_they_said,
    task_types_are_known_once_enqueued_or_declared,
    the_newest_declaration_wins,
    a_healthy_store_has_no_findings_against_it,
];

/// Ready, scheduled and running tasks of every queue, by name; ended ones are not counted.
pub async fn queues_are_counted_by_state(bench: Bench<'_>) {
    let worker = bench.worker().await;
    bench.ended(worker, bench.task(), gristmill_core::Ending::Succeeded).await;
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
