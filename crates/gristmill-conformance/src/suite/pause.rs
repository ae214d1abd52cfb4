//! Queues and task types that are stopped.

use std::time::Duration;

use gristmill_core::{Claim, Ending, NewTask, Settled, State, TaskId, Wanted};

use super::bench::{ALL, Bench, KIND, QUEUE};
use super::list;

list![
    nothing_is_claimed_from_a_paused_queue,
    what_runs_goes_on,
    other_queues_go_on,
    a_queue_may_be_paused_before_it_is_used,
    nothing_of_a_paused_type_is_claimed,
    what_runs_of_a_paused_type_goes_on,
    others_pass_by_a_paused_type,
    a_paused_type_is_paused_in_all_queues,
    a_paused_type_is_paused_for_who_comes_later,
    a_worker_that_serves_nothing_else_is_not_kept_by_a_paused_type,
];

/// While it is paused a queue takes tasks and gives none; resumed, it gives them in their order.
pub async fn nothing_is_claimed_from_a_paused_queue(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let first = bench.add().await;
    pause(&bench, QUEUE, true).await;
    pause(&bench, QUEUE, true).await;
    let second = bench.add().await;
    assert_eq!(bench.claim_ids(worker, ALL).await, []);
    assert_eq!(bench.state(first).await, State::Ready);
    pause(&bench, QUEUE, false).await;
    assert_eq!(bench.claim_ids(worker, ALL).await, [first, second]);
}

/// A running task settles as ever, and what it becomes waits.
pub async fn what_runs_goes_on(bench: Bench<'_>) {
    let worker = bench.worker().await;
    bench.add().await;
    bench.add().await;
    let claimed = bench.claim(worker, ALL).await;
    pause(&bench, QUEUE, true).await;
    assert_eq!(bench.settle(claimed[0].lease, Ending::Succeeded).await, Settled::Done(State::Succeeded));
    assert_eq!(bench.settle(claimed[1].lease, Ending::Released).await, Settled::Done(State::Ready));
    assert_eq!(bench.claim_ids(worker, ALL).await, []);
}

/// A claim over several queues gets what the others have.
pub async fn other_queues_go_on(bench: Bench<'_>) {
    for queue in ["a", "b"] {
        bench.enqueue(NewTask { queue: queue.to_owned(), ..bench.task() }).await;
    }
    pause(&bench, "a", true).await;
    let worker = bench.worker_for(&["a", "b"], &["work"]).await;
    let wanted = ["a", "b"].map(|queue| Wanted::new(queue, ALL)).to_vec();
    let claim = Claim { worker, fence: bench.env.fence(), wanted, again: false };
    let claimed = bench.store.claim(&claim).await.expect("the store answers");
    assert_eq!(claimed.iter().map(|claimed| &*claimed.queue).collect::<Vec<_>>(), ["b"]);
}

/// Pausing comes first: the queue is then there, and its first task waits.
pub async fn a_queue_may_be_paused_before_it_is_used(bench: Bench<'_>) {
    pause(&bench, QUEUE, true).await;
    let queues = bench.store.queues().await.expect("the store answers");
    assert_eq!(queues.iter().map(|queue| (queue.name.as_str(), queue.paused)).collect::<Vec<_>>(), [(QUEUE, true)]);
    bench.add().await;
    let worker = bench.worker().await;
    assert_eq!(bench.claim_ids(worker, ALL).await, []);
}

async fn pause(bench: &Bench<'_>, queue: &str, paused: bool) {
    bench.store.pause(queue, paused).await.expect("the store answers");
}

/// From the moment at which its type is paused none of its tasks is claimed, also by a worker that has claimed some before; resumed, they come in their order.
pub async fn nothing_of_a_paused_type_is_claimed(bench: Bench<'_>) {
    let worker = bench.worker_for(&[QUEUE], &["a", "b"]).await;
    let first = of(&bench, "a").await;
    assert_eq!(bench.claim_ids(worker, 1).await, [first]);
    let second = of(&bench, "a").await;
    pause_kind(&bench, "a", true).await;
    pause_kind(&bench, "a", true).await;
    let third = of(&bench, "a").await;
    let other = of(&bench, "b").await;
    assert_eq!(bench.claim_ids(worker, ALL).await, [other], "what is behind a paused type is not held up");
    assert_eq!(bench.claim_ids(worker, ALL).await, []);
    bench.sweep().await;
    assert_eq!(bench.claim_ids(worker, ALL).await, []);
    assert_eq!(bench.state(second).await, State::Ready);
    pause_kind(&bench, "a", false).await;
    assert_eq!(bench.claim_ids(worker, ALL).await, [second, third], "resumed, they are claimed at once");
}

/// As of a paused queue.
pub async fn what_runs_of_a_paused_type_goes_on(bench: Bench<'_>) {
    let worker = bench.worker().await;
    bench.add().await;
    bench.add().await;
    let claimed = bench.claim(worker, ALL).await;
    pause_kind(&bench, KIND, true).await;
    assert_eq!(bench.settle(claimed[0].lease, Ending::Succeeded).await, Settled::Done(State::Succeeded));
    assert_eq!(bench.settle(claimed[1].lease, Ending::Released).await, Settled::Done(State::Ready));
    assert_eq!(bench.claim_ids(worker, ALL).await, []);
    pause_kind(&bench, KIND, false).await;
    assert_eq!(bench.claim_ids(worker, ALL).await, [claimed[1].lease.id]);
}

/// A thousand tasks of a paused type, more urgent than all others, keep no other from being claimed, and come in their order when it is resumed.
pub async fn others_pass_by_a_paused_type(bench: Bench<'_>) {
    pause_kind(&bench, "a", true).await;
    let worker = bench.worker_for(&[QUEUE], &["a", "b"]).await;
    let crowd: Vec<_> = (0..ALL).map(|_| NewTask { kind: "a".to_owned(), priority: 0, ..bench.task() }).collect();
    let ids: Vec<_> = crowd.iter().map(|task| task.id).collect();
    bench.enqueue_all(crowd).await;
    for _ in 0..3 {
        let other = of(&bench, "b").await;
        assert_eq!(bench.claim_ids(worker, ALL).await, [other]);
        bench.sweep().await;
    }
    pause_kind(&bench, "a", false).await;
    let last = of(&bench, "b").await;
    assert_eq!(bench.claim_ids(worker, 2 * ALL).await, ids.into_iter().chain([last]).collect::<Vec<_>>());
}

/// And of each of them its tasks are claimed again at once.
pub async fn a_paused_type_is_paused_in_all_queues(bench: Bench<'_>) {
    let worker = bench.worker_for(&["a", "b"], &["x", "y"]).await;
    let claim = async || {
        let wanted = ["a", "b"].map(|queue| Wanted::new(queue, ALL)).to_vec();
        let claim = Claim { worker, fence: bench.env.fence(), wanted, again: false };
        let claimed = bench.store.claim(&claim).await.expect("the store answers");
        claimed.iter().map(|claimed| claimed.lease.id).collect::<Vec<_>>()
    };
    let task = |queue: &str, kind: &str| NewTask { queue: queue.to_owned(), kind: kind.to_owned(), ..bench.task() };
    let paused = [bench.enqueue(task("a", "x")).await, bench.enqueue(task("b", "x")).await];
    pause_kind(&bench, "x", true).await;
    let other = bench.enqueue(task("b", "y")).await;
    assert_eq!(claim().await, [other]);
    assert_eq!(claim().await, []);
    let other = bench.enqueue(task("a", "y")).await;
    assert_eq!(claim().await, [other]);
    pause_kind(&bench, "x", false).await;
    assert_eq!(claim().await, paused);
}

/// It is kept: a worker that enters later, and another process, claim none either, and whoever lists the types sees it.
pub async fn a_paused_type_is_paused_for_who_comes_later(bench: Bench<'_>) {
    pause_kind(&bench, KIND, true).await;
    let bench = bench.reopen().await;
    let id = bench.add().await;
    let worker = bench.worker().await;
    assert_eq!(bench.claim_ids(worker, ALL).await, []);
    let paused = || async {
        let kinds = bench.store.kinds().await.expect("the store answers");
        kinds.iter().filter(|kind| kind.paused).map(|kind| kind.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(paused().await, [KIND]);
    bench.other().await.pause_kind(KIND, false).await.expect("the store answers");
    assert_eq!(bench.claim_ids(worker, ALL).await, [id], "whoever resumes it, it is resumed for all");
    bench.other().await.pause_kind(KIND, true).await.expect("the store answers");
    bench.add().await;
    assert_eq!(bench.claim_ids(worker, ALL).await, [], "and so it is with a pause");
    assert_eq!(paused().await, [KIND]);
}

/// Whoever waits for all to be done does not wait for what is paused.
pub async fn a_worker_that_serves_nothing_else_is_not_kept_by_a_paused_type(bench: Bench<'_>) {
    bench.worker().await;
    bench.add().await;
    let pending = || async { bench.store.pending(&[QUEUE.to_owned()], Duration::ZERO).await.expect("the store answers") };
    assert!(pending().await.ready);
    pause_kind(&bench, KIND, true).await;
    assert!(!pending().await.ready);
    pause_kind(&bench, KIND, false).await;
    assert!(pending().await.ready);
}

async fn of(bench: &Bench<'_>, kind: &str) -> TaskId {
    bench.enqueue(NewTask { kind: kind.to_owned(), ..bench.task() }).await
}

async fn pause_kind(bench: &Bench<'_>, kind: &str, paused: bool) {
    bench.store.pause_kind(kind, paused).await.expect("the store answers");
}
