//! How long an ended task is kept.

use gristmill_core::{Ending, Filter, NewTask, Retention, State};

use super::bench::{ALL, Bench, LEASE, secs};
use super::list;

list![
    an_ended_task_goes_when_its_time_is_over,
    only_ended_tasks_go,
    what_is_kept_forever_stays,
    nothing_is_kept_of_a_success_that_is_not_to_be_kept,
    a_failure_is_kept_even_then,
    pruning_is_bounded,
    dead_workers_go_too,
];

/// To the millisecond kept, and then gone with its history.
pub async fn an_ended_task_goes_when_its_time_is_over(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.ended(worker, kept(&bench, Retention::For(secs(60))), Ending::Succeeded).await;
    bench.pass(secs(60) - std::time::Duration::from_millis(1));
    assert_eq!(bench.store.prune(ALL).await.ok(), Some(0));
    assert!(bench.find(id).await.is_some());
    bench.pass(std::time::Duration::from_millis(1));
    assert_eq!(bench.store.prune(ALL).await.ok(), Some(1));
    assert_eq!(bench.find(id).await, None);
    assert_eq!(bench.list(&Filter::default()).await, []);
}

/// However old, a task that has not ended is not deleted.
pub async fn only_ended_tasks_go(bench: Bench<'_>) {
    let task = kept(&bench, Retention::For(secs(1)));
    let ready = bench.enqueue(task).await;
    let scheduled = bench.enqueue(NewTask { delay: secs(1_000_000), ..kept(&bench, Retention::For(secs(1))) }).await;
    bench.pass(secs(500_000));
    assert_eq!(bench.store.prune(ALL).await.ok(), Some(0));
    assert_eq!((bench.state(ready).await, bench.state(scheduled).await), (State::Ready, State::Scheduled));
}

/// What somebody wants to keep until he deletes it himself is not deleted.
pub async fn what_is_kept_forever_stays(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.ended(worker, kept(&bench, Retention::Forever), Ending::Failed).await;
    bench.pass(gristmill_core::limits::DURATION_MAX);
    assert_eq!(bench.store.prune(ALL).await.ok(), Some(0));
    assert_eq!(bench.state(id).await, State::Failed);
}

/// Such a task is gone as soon as it succeeded.
pub async fn nothing_is_kept_of_a_success_that_is_not_to_be_kept(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.enqueue(kept(&bench, Retention::None)).await;
    let claimed = bench.claim_one(worker).await;
    bench.settle(claimed.lease, Ending::Succeeded).await;
    assert_eq!(bench.find(id).await, None);
    assert_eq!(bench.list(&Filter::default()).await, []);
}

/// Nobody could learn of its failure otherwise: it is kept for the default time.
pub async fn a_failure_is_kept_even_then(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let failed = bench.ended(worker, kept(&bench, Retention::None), Ending::Failed).await;
    let cancelled = bench.enqueue(kept(&bench, Retention::None)).await;
    bench.store.cancel(&[cancelled]).await.expect("the store answers");
    let Retention::For(period) = Retention::default() else { panic!("the default is a period") };
    bench.pass(period - secs(1));
    assert_eq!(bench.store.prune(ALL).await.ok(), Some(0));
    assert_eq!((bench.state(failed).await, bench.state(cancelled).await), (State::Failed, State::Cancelled));
    bench.pass(secs(1));
    assert_eq!(bench.store.prune(ALL).await.ok(), Some(2));
}

/// At most as many as asked for, so that a long history is deleted in short steps.
pub async fn pruning_is_bounded(bench: Bench<'_>) {
    let worker = bench.worker().await;
    for _ in 0..5 {
        bench.ended(worker, kept(&bench, Retention::For(secs(1))), Ending::Succeeded).await;
    }
    bench.pass(secs(1));
    for expected in [2, 2, 1, 0] {
        assert_eq!(bench.store.prune(2).await.ok(), Some(expected));
    }
}

/// A worker that died is shown for an hour and then forgotten; one that lives is not.
pub async fn dead_workers_go_too(bench: Bench<'_>) {
    let dead = bench.worker().await;
    bench.pass(LEASE + secs(3_590));
    let living = bench.worker().await;
    bench.store.prune(ALL).await.expect("the store answers");
    assert_eq!(workers(&bench).await, [living.to_string(), dead.to_string()]);
    bench.beat(living).await;
    bench.pass(secs(11));
    bench.store.prune(ALL).await.expect("the store answers");
    assert_eq!(workers(&bench).await, [living.to_string()]);
}

fn kept(bench: &Bench<'_>, retention: Retention) -> NewTask {
    NewTask { retention, ..bench.task() }
}

async fn workers(bench: &Bench<'_>) -> Vec<String> {
    bench.store.workers().await.expect("the store answers").into_iter().map(|worker| worker.id).collect()
}
