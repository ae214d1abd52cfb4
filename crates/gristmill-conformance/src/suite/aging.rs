//! Queues whose tasks go first once they have been ready for long.

use gristmill_core::{Aging, Ending, Hold, NewTask, State, TaskId, WorkerId};

use super::bench::{ALL, Bench, QUEUE, secs};
use super::list;

list![
    what_has_been_ready_for_long_goes_first,
    the_oldest_goes_first,
    what_has_not_been_ready_for_long_stays,
    the_time_counts_from_when_it_was_due,
    what_is_held_back_does_not_age,
    only_so_many_age_at_once,
    what_stands_behind_one_that_was_due_later_ages,
    what_stands_behind_others_types_ages,
    what_came_late_into_its_line_ages,
    an_aged_task_is_a_task_like_any_other,
];

/// However many urgent ones come: the least urgent is claimed next, once it has waited for long enough, and they follow.
pub async fn what_has_been_ready_for_long_goes_first(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let low = of(&bench, 9).await;
    for _ in 0..5 {
        bench.pass(secs(1));
        of(&bench, 0).await;
        let urgent = of(&bench, 0).await;
        assert_eq!(age(&bench, 10).await, 0);
        assert_eq!(claim(&bench, worker, 2).await[1], urgent, "as long as it is not old enough the urgent ones go first");
    }
    bench.pass(secs(5));
    let urgent = [of(&bench, 0).await, of(&bench, 0).await, of(&bench, 0).await];
    assert_eq!(claim(&bench, worker, 1).await, [urgent[0]]);
    assert_eq!(age(&bench, 10).await, 1);
    assert_eq!(age(&bench, 10).await, 0, "it is there already");
    assert_eq!(claim(&bench, worker, 1).await, [low]);
    assert_eq!(claim(&bench, worker, ALL).await, urgent[1..]);
}

/// Of those of all priorities, in the order of their arrival.
pub async fn the_oldest_goes_first(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let mut ids = Vec::new();
    for priority in [5, 1, 9, 9, 2, 0, 5] {
        ids.push(of(&bench, priority).await);
    }
    bench.pass(secs(10));
    let young = [of(&bench, 0).await, of(&bench, 1).await];
    assert_eq!(age(&bench, 10).await, 6);
    assert_eq!(claim(&bench, worker, ALL).await, ids.into_iter().chain(young).collect::<Vec<_>>());
}

/// And of another queue none.
pub async fn what_has_not_been_ready_for_long_stays(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let elsewhere = bench.enqueue(NewTask { queue: "other".to_owned(), priority: 9, ..bench.task() }).await;
    let old = of(&bench, 7).await;
    bench.pass(secs(6));
    let young = of(&bench, 3).await;
    bench.pass(secs(4));
    let urgent = of(&bench, 1).await;
    assert_eq!(age(&bench, 10).await, 1);
    assert_eq!(bench.store.age(&[], ALL).await.expect("the store answers"), 0);
    assert_eq!((bench.get(young).await.priority, bench.get(elsewhere).await.priority), (3, 9));
    assert_eq!(claim(&bench, worker, ALL).await, [old, urgent, young]);
}

/// And not from its enqueue.
pub async fn the_time_counts_from_when_it_was_due(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let late = bench.enqueue(NewTask { priority: 9, delay: secs(8), ..bench.task() }).await;
    bench.pass(secs(12));
    bench.sweep().await;
    let urgent = of(&bench, 0).await;
    assert_eq!(age(&bench, 10).await, 0);
    bench.pass(secs(6));
    assert_eq!(age(&bench, 10).await, 1);
    assert_eq!(claim(&bench, worker, ALL).await, [late, urgent]);
}

/// Only what is ready does.
pub async fn what_is_held_back_does_not_age(bench: Bench<'_>) {
    let waiting = bench.enqueue(NewTask { hold: Hold { blocked: false, limited: true }, priority: 9, ..bench.task() }).await;
    let scheduled = bench.enqueue(NewTask { delay: secs(100), priority: 9, ..bench.task() }).await;
    let worker = bench.worker().await;
    let running = of(&bench, 9).await;
    assert_eq!(claim(&bench, worker, 1).await, [running]);
    bench.pass(secs(20));
    assert_eq!(age(&bench, 10).await, 0);
    for id in [waiting, scheduled, running] {
        assert_eq!(bench.get(id).await.priority, 9);
    }
}

/// The rest is left to the next call.
pub async fn only_so_many_age_at_once(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(of(&bench, 9).await);
    }
    bench.pass(secs(10));
    let aging = [Aging { queue: QUEUE.to_owned(), after: secs(10) }];
    let mut moved = Vec::new();
    for _ in 0..4 {
        moved.push(bench.store.age(&aging, 2).await.expect("the store answers"));
    }
    assert_eq!(moved, [2, 2, 1, 0]);
    assert_eq!(claim(&bench, worker, ALL).await, ids);
}

/// That one came before, and is ready for a moment only.
pub async fn what_stands_behind_one_that_was_due_later_ages(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let late = bench.enqueue(NewTask { priority: 9, delay: secs(12), ..bench.task() }).await;
    let low = of(&bench, 9).await;
    bench.pass(secs(12));
    bench.sweep().await;
    let urgent = of(&bench, 0).await;
    assert_eq!(age(&bench, 10).await, 1);
    assert_eq!(claim(&bench, worker, ALL).await, [low, urgent, late]);
}

/// A crowd of another service, which may be out of the way, holds up no one that is old; and is itself found by those that serve it.
pub async fn what_stands_behind_others_types_ages(bench: Bench<'_>) {
    let other = bench.worker_for(&[QUEUE], &["other"]).await;
    let worker = bench.worker().await;
    let crowd = (0..500).map(|_| NewTask { kind: "other".to_owned(), priority: 3, ..bench.task() });
    let crowd: Vec<_> = crowd.collect();
    let ids: Vec<_> = crowd.iter().map(|task| task.id).collect();
    bench.enqueue_all(crowd).await;
    let low = of(&bench, 9).await;
    assert_eq!(claim(&bench, worker, ALL).await, [low]);
    let low = of(&bench, 9).await;
    bench.sweep().await;
    bench.pass(secs(10));
    let young = bench.enqueue(NewTask { kind: "other".to_owned(), priority: 1, ..bench.task() }).await;
    let urgent = of(&bench, 0).await;
    while age(&bench, 10).await > 0 {}
    assert_eq!(claim(&bench, worker, ALL).await, [low, urgent]);
    assert_eq!(claim(&bench, other, ALL).await, ids.into_iter().chain([young]).collect::<Vec<_>>());
}

/// One that stands behind those that were ready before it, and meets another there that stands behind the same one: neither is lost.
pub async fn what_came_late_into_its_line_ages(bench: Bench<'_>) {
    let held = |priority| NewTask { priority, hold: Hold { blocked: true, limited: false }, ..bench.task() };
    let (low, urgent) = (bench.enqueue(held(9)).await, bench.enqueue(held(0)).await);
    let first = of(&bench, 9).await;
    bench.store.unblock(&[low]).await.expect("unblock");
    let worker = bench.worker().await;
    bench.pass(secs(10));
    let aging = [Aging { queue: QUEUE.to_owned(), after: secs(10) }];
    assert_eq!(bench.store.age(&aging, 1).await.expect("the store answers"), 1);
    assert_eq!(bench.get(first).await.priority, 0);
    bench.store.unblock(&[urgent]).await.expect("unblock");
    assert_eq!(age(&bench, 10).await, 1);
    let young = of(&bench, 0).await;
    let claimed = claim(&bench, worker, ALL).await;
    assert!(claimed.len() == 4 && claimed[0] == first && claimed[3] == young, "{claimed:?}");
    assert!(claimed[1..3].contains(&low) && claimed[1..3].contains(&urgent), "{claimed:?}");
}

/// It is seen, cancelled, and comes back as any of priority 0.
pub async fn an_aged_task_is_a_task_like_any_other(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let (cancelled, returned) = (of(&bench, 9).await, of(&bench, 8).await);
    bench.pass(secs(10));
    assert_eq!(age(&bench, 10).await, 2);
    for id in [cancelled, returned] {
        let task = bench.get(id).await;
        assert_eq!((task.state, task.priority), (State::Ready, 0));
    }
    assert_eq!(bench.store.queues().await.expect("the store answers")[0].ready, 2);
    bench.store.cancel(&[cancelled]).await.expect("cancel");
    assert_eq!(bench.state(cancelled).await, State::Cancelled);
    let claimed = bench.claim_one(worker).await;
    assert_eq!(claimed.lease.id, returned);
    let urgent = of(&bench, 1).await;
    bench.settle(claimed.lease, Ending::Released).await;
    assert_eq!(claim(&bench, worker, ALL).await, [returned, urgent]);
}

async fn of(bench: &Bench<'_>, priority: u8) -> TaskId {
    bench.enqueue(NewTask { priority, ..bench.task() }).await
}

async fn claim(bench: &Bench<'_>, worker: WorkerId, limit: usize) -> Vec<TaskId> {
    bench.claim_ids(worker, limit).await
}

/// What has been ready for so many seconds goes first. How many did.
async fn age(bench: &Bench<'_>, after: u64) -> usize {
    let aging = [Aging { queue: QUEUE.to_owned(), after: secs(after) }];
    bench.store.age(&aging, ALL).await.expect("the store answers")
}
