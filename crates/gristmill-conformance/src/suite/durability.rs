//! What was acknowledged is there after the process died.

use gristmill_core::{Ending, EnqueueOutcome, NewTask, Note, Settled, Settlement, State};

use super::bench::{ALL, Bench, LEASE, secs};
use super::list;

list![
    acknowledged_tasks_survive,
    everything_about_a_task_survives,
    leases_survive_and_run_out,
    a_repetition_after_a_crash_is_one_task,
];

/// Ready and scheduled tasks are there, and the order of the line goes on.
pub async fn acknowledged_tasks_survive(bench: Bench<'_>) {
    let first = bench.add().await;
    let later = bench.enqueue(NewTask { delay: secs(10), ..bench.task() }).await;
    let before = [bench.get(first).await, bench.get(later).await];
    let bench = bench.reopen().await;
    assert_eq!([bench.get(first).await, bench.get(later).await], before);
    let second = bench.add().await;
    let worker = bench.worker().await;
    assert_eq!(bench.claim_ids(worker, ALL).await, [first, second]);
}

/// Results, errors, attempts, notes, requests to cancel, paused queues.
pub async fn everything_about_a_task_survives(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let succeeded = bench.add().await;
    let lease = bench.claim_one(worker).await.lease;
    bench.settle_with(Settlement { result: Some("1".to_owned()), ..Settlement::new(lease, Ending::Succeeded) }).await;
    let failed = bench.ended(worker, bench.task(), Ending::Failed).await;
    let running = bench.add().await;
    let lease = bench.claim_one(worker).await.lease;
    bench.store.note(vec![Note { lease, logs: Some("said".to_owned()), progress: None }]).await.expect("the store answers");
    bench.store.cancel(&[running]).await.expect("the store answers");
    bench.store.pause("stopped", true).await.expect("the store answers");
    let mut before = Vec::new();
    for id in [succeeded, failed, running] {
        before.push(bench.get(id).await);
    }
    let queues = bench.store.queues().await.expect("the store answers");
    let bench = bench.reopen().await;
    for record in before {
        assert_eq!(bench.get(record.id).await, record);
    }
    assert_eq!(bench.store.queues().await.expect("the store answers"), queues);
}

/// A worker of another process goes on as if nothing had happened; a dead one's tasks are rescued in time.
pub async fn leases_survive_and_run_out(bench: Bench<'_>) {
    let (living, dead) = (bench.worker().await, bench.worker().await);
    bench.add().await;
    let kept = bench.claim_one(living).await;
    let lost = bench.add().await;
    bench.claim_one(dead).await;
    let bench = bench.reopen().await;
    bench.pass(LEASE / 2);
    bench.beat(living).await;
    bench.pass(LEASE / 2);
    assert_eq!(bench.sweep().await.rescued, 1);
    assert_eq!((bench.state(lost).await, bench.get(lost).await.crashes), (State::Ready, 1));
    assert_eq!(bench.settle(kept.lease, Ending::Succeeded).await, Settled::Done(State::Succeeded));
}

/// A client whose acknowledgement was lost with the process asks again.
pub async fn a_repetition_after_a_crash_is_one_task(bench: Bench<'_>) {
    let task = bench.task();
    bench.enqueue(task.clone()).await;
    let bench = bench.reopen().await;
    assert_eq!(bench.enqueue_all(vec![task.clone()]).await, [EnqueueOutcome::Exists(task.id)]);
}
