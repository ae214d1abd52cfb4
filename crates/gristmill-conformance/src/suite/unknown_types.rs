//! Tasks of types that nobody serves: never lost, never burnt, in nobody's way.

use gristmill_core::{NewTask, State, TaskId};

use super::bench::{ALL, Bench, LEASE, QUEUE, secs};
use super::list;

list![
    a_worker_claims_only_what_it_serves,
    what_nobody_serves_stays_ready_and_unburnt,
    it_is_claimed_once_somebody_serves_it,
    it_keeps_its_place_in_line,
    a_flood_of_it_is_in_nobodys_way,
    it_can_be_cancelled_and_expires,
];

/// Old and new versions of a program work side by side, each on the types that it has.
pub async fn a_worker_claims_only_what_it_serves(bench: Bench<'_>) {
    let (old, new) = (of(&bench, "old").await, of(&bench, "new").await);
    let old_worker = bench.worker_for(&[QUEUE], &["old"]).await;
    let new_worker = bench.worker_for(&[QUEUE], &["old", "new"]).await;
    assert_eq!(bench.claim_ids(old_worker, ALL).await, [old]);
    assert_eq!(bench.claim_ids(new_worker, ALL).await, [new]);
}

/// Sweeps and claims of others change nothing about it, for whoever looks.
pub async fn what_nobody_serves_stays_ready_and_unburnt(bench: Bench<'_>) {
    let id = of(&bench, "unknown").await;
    let before = bench.get(id).await;
    let worker = bench.worker().await;
    for _ in 0..3 {
        assert_eq!(bench.claim_ids(worker, ALL).await, []);
        bench.sweep().await;
        bench.beat(worker).await;
        bench.pass(secs(10));
    }
    assert_eq!(bench.get(id).await, before);
    assert_eq!(before.state, State::Ready);
    let ready = gristmill_core::Filter { states: vec![State::Ready], ..Default::default() };
    assert_eq!(bench.list(&ready).await, [id]);
    let queue = &bench.store.queues().await.expect("the store answers")[0];
    assert_eq!((queue.ready, queue.unserved), (1, 1));
}

/// When a worker comes that has the type, the tasks run.
pub async fn it_is_claimed_once_somebody_serves_it(bench: Bench<'_>) {
    let id = of(&bench, "unknown").await;
    let worker = bench.worker().await;
    assert_eq!(bench.claim_ids(worker, ALL).await, []);
    bench.sweep().await;
    let knows = bench.worker_for(&[QUEUE], &["unknown"]).await;
    let claimed = bench.claim_one(knows).await;
    assert_eq!((claimed.lease.id, claimed.attempt, claimed.claim_no), (id, 1, 1));
}

/// Tasks whose workers went away and came back are still in the order of their arrival, with those that came in between.
pub async fn it_keeps_its_place_in_line(bench: Bench<'_>) {
    let first = of(&bench, "a").await;
    let served = bench.worker_for(&[QUEUE], &["b"]).await;
    bench.sweep().await;
    let second = of(&bench, "b").await;
    let third = of(&bench, "a").await;
    bench.sweep().await;
    bench.store.leave(served).await.expect("the store answers");
    bench.pass(LEASE);
    bench.sweep().await;
    let worker = bench.worker_for(&[QUEUE], &["a", "b"]).await;
    assert_eq!(bench.claim_ids(worker, ALL).await, [first, second, third]);
}

/// A thousand of them before it do not keep a task from being claimed.
pub async fn a_flood_of_it_is_in_nobodys_way(bench: Bench<'_>) {
    let flood = (0..ALL).map(|_| NewTask { kind: "unknown".to_owned(), priority: 0, ..bench.task() }).collect();
    bench.enqueue_all(flood).await;
    let id = bench.add().await;
    let worker = bench.worker().await;
    assert_eq!(bench.claim_ids(worker, 1).await, [id]);
}

/// Waiting for somebody who knows the type, it is a task like any other.
pub async fn it_can_be_cancelled_and_expires(bench: Bench<'_>) {
    let cancelled = of(&bench, "unknown").await;
    let late = NewTask { kind: "unknown".to_owned(), expires: Some(secs(5)), ..bench.task() };
    let expired = bench.enqueue(late).await;
    bench.worker().await;
    bench.sweep().await;
    bench.store.cancel(&[cancelled]).await.expect("the store answers");
    bench.pass(secs(5));
    assert_eq!(bench.sweep().await.expired, 1);
    assert_eq!((bench.state(cancelled).await, bench.state(expired).await), (State::Cancelled, State::Expired));
    let knows = bench.worker_for(&[QUEUE], &["unknown"]).await;
    assert_eq!(bench.claim_ids(knows, ALL).await, []);
}

async fn of(bench: &Bench<'_>, kind: &str) -> TaskId {
    bench.enqueue(NewTask { kind: kind.to_owned(), ..bench.task() }).await
}
