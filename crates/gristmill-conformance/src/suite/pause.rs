//! Queues that are stopped.

use gristmill_core::{Claim, Ending, NewTask, Settled, State, Wanted};

use super::bench::{ALL, Bench, QUEUE};
use super::list;

list![nothing_is_claimed_from_a_paused_queue, what_runs_goes_on, other_queues_go_on, a_queue_may_be_paused_before_it_is_used,];

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
