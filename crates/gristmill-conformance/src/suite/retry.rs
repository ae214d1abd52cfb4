//! Running an ended task again, because somebody asked for it.

use gristmill_core::{CancelOutcome, Ending, NewTask, Retention, RetryOutcome, State};

use super::bench::{ALL, Bench, secs};
use super::list;

list![
    an_ended_task_runs_again_with_fresh_attempts,
    every_way_to_end_can_be_retried,
    what_has_not_ended_is_left_alone,
    a_retried_task_is_kept_until_it_ends_again,
    a_retried_task_does_not_expire,
];

/// The task is ready under its id, with its history; attempts and crashes count anew, claims go on.
pub async fn an_ended_task_runs_again_with_fresh_attempts(bench: Bench<'_>) {
    let id = bench.enqueue(NewTask { max_attempts: 1, max_crashes: 2, ..bench.task() }).await;
    let crashing = bench.worker().await;
    bench.claim_one(crashing).await;
    bench.die().await;
    let worker = bench.worker().await;
    let claimed = bench.claim_one(worker).await;
    bench.settle(claimed.lease, Ending::Retry { delay: secs(0) }).await;
    assert_eq!(bench.state(id).await, State::Failed);
    assert_eq!(bench.store.retry(&[id]).await.expect("the store answers"), [RetryOutcome::Ready]);
    let task = bench.get(id).await;
    assert_eq!((task.state, task.attempt, task.crashes), (State::Ready, 0, 0));
    assert_eq!((task.ended_at, task.attempts.len()), (None, 2));
    let again = bench.claim_one(worker).await;
    assert_eq!((again.attempt, again.claim_no, again.crashes), (1, 3, 0));
    bench.settle(again.lease, Ending::Succeeded).await;
    assert_eq!(bench.get(id).await.attempts.iter().map(|row| row.claim_no).collect::<Vec<_>>(), [1, 2, 3]);
}

/// Success, failure, cancellation and expiry are all retried, and the answers come in order.
pub async fn every_way_to_end_can_be_retried(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let succeeded = bench.ended(worker, bench.task(), Ending::Succeeded).await;
    let failed = bench.ended(worker, bench.task(), Ending::Failed).await;
    let cancelled = bench.add().await;
    assert_eq!(bench.store.cancel(&[cancelled]).await.expect("the store answers"), [CancelOutcome::Cancelled]);
    let expired = bench.enqueue(NewTask { expires: Some(secs(1)), ..bench.task() }).await;
    bench.pass(secs(1));
    assert_eq!(bench.sweep().await.expired, 1);
    let ids = [succeeded, failed, cancelled, expired];
    assert_eq!(bench.store.retry(&ids).await.expect("the store answers"), [RetryOutcome::Ready; 4]);
    let task = bench.get(succeeded).await;
    assert_eq!((task.state, task.result), (State::Ready, None), "a result that is about to be made again is not shown");
    assert_eq!(bench.claim_ids(worker, ALL).await, ids);
}

/// A task that waits or runs is not touched, and an id that nobody knows is no error.
pub async fn what_has_not_ended_is_left_alone(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let running = bench.add().await;
    bench.claim_one(worker).await;
    let (ready, scheduled) = (bench.add().await, bench.enqueue(NewTask { delay: secs(9), ..bench.task() }).await);
    let before = [bench.get(running).await, bench.get(ready).await, bench.get(scheduled).await];
    let not = RetryOutcome::NotEnded;
    assert_eq!(
        bench.store.retry(&[running, bench.env.task_id(), ready, scheduled]).await.expect("the store answers"),
        [not, RetryOutcome::NotFound, not, not]
    );
    assert_eq!([bench.get(running).await, bench.get(ready).await, bench.get(scheduled).await], before);
}

/// The retention of the first end is over with the retry; a task that waits is never deleted.
pub async fn a_retried_task_is_kept_until_it_ends_again(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let task = NewTask { retention: Retention::For(secs(10)), ..bench.task() };
    let id = bench.ended(worker, task, Ending::Failed).await;
    bench.store.retry(&[id]).await.expect("the store answers");
    bench.pass(secs(20));
    assert_eq!(bench.store.prune(ALL).await.ok(), Some(0));
    assert_eq!(bench.claim_ids(worker, ALL).await, [id]);
}

/// Who asks for a late task to run again knows that it is late.
pub async fn a_retried_task_does_not_expire(bench: Bench<'_>) {
    let id = bench.enqueue(NewTask { expires: Some(secs(1)), ..bench.task() }).await;
    bench.pass(secs(1));
    bench.sweep().await;
    assert_eq!(bench.state(id).await, State::Expired);
    bench.store.retry(&[id]).await.expect("the store answers");
    bench.pass(secs(1_000));
    assert_eq!(bench.sweep().await.expired, 0);
    let worker = bench.worker().await;
    assert_eq!(bench.claim_ids(worker, ALL).await, [id]);
}
