//! Tasks that are not worth starting any more.

use std::time::Duration;

use gristmill_core::{AttemptState, Claim, Ending, FailureReason, NewTask, Settled, State, TaskMeta};

use super::bench::{ALL, Bench, secs};
use super::list;

list![
    a_late_task_is_not_claimed,
    a_sweep_ends_what_is_late,
    the_deadline_counts_from_the_due_time,
    what_was_attempted_once_no_longer_expires,
    late_tasks_do_not_count_to_a_claim,
    a_moment_given_is_the_deadline_whatever_the_delay,
    what_was_too_late_is_told_once,
    a_claim_says_how_long_its_tasks_may_wait,
];

/// A task past its deadline ends as expired instead of being claimed, and its history says so.
pub async fn a_late_task_is_not_claimed(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.enqueue(NewTask { expires: Some(secs(5)), ..bench.task() }).await;
    bench.pass(secs(5));
    assert_eq!(bench.claim_ids(worker, ALL).await, []);
    let (task, now) = (bench.get(id).await, bench.env.now());
    assert_eq!((task.state, task.attempt, task.ended_at), (State::Expired, 0, Some(now)));
    assert_eq!(task.error.as_ref().map(|error| error.reason), Some(FailureReason::Expired));
    let [row] = task.attempts.as_slice() else { panic!("the end is in the history, which is {:?}", task.attempts) };
    assert_eq!((row.state, row.started_at, row.finished_at), (AttemptState::Expired, None, Some(now)));
}

/// Nobody need claim from a queue for its late tasks to end, be they ready or scheduled or in a paused queue.
pub async fn a_sweep_ends_what_is_late(bench: Bench<'_>) {
    let late = NewTask { expires: Some(secs(5)), ..bench.task() };
    bench.enqueue(late.clone()).await;
    bench.enqueue(NewTask { id: bench.env.task_id(), queue: "paused".to_owned(), ..late.clone() }).await;
    bench.store.pause("paused", true).await.expect("the store answers");
    bench.enqueue(NewTask { id: bench.env.task_id(), run_at: Some(bench.env.now().saturating_add(secs(1))), ..late }).await;
    let in_time = bench.add().await;
    bench.pass(secs(4));
    assert_eq!(bench.sweep().await.expired, 0);
    bench.pass(secs(2));
    assert_eq!(bench.sweep().await.expired, 3);
    assert_eq!(bench.sweep().await.expired, 0);
    assert_eq!(bench.state(in_time).await, State::Ready);
}

/// A task that is due later may start for as long after it is due as one that is due now.
pub async fn the_deadline_counts_from_the_due_time(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.enqueue(NewTask { delay: secs(20), expires: Some(secs(5)), ..bench.task() }).await;
    bench.pass(secs(24));
    bench.sweep().await;
    assert_eq!(bench.claim_ids(worker, ALL).await, [id]);
}

/// The deadline is one for the start: a retry may come after it.
pub async fn what_was_attempted_once_no_longer_expires(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.enqueue(NewTask { expires: Some(secs(5)), ..bench.task() }).await;
    let claimed = bench.claim_one(worker).await;
    bench.settle(claimed.lease, Ending::Retry { delay: secs(10) }).await;
    bench.pass(secs(10));
    assert_eq!(bench.sweep().await.expired, 0);
    assert_eq!(bench.claim_ids(worker, ALL).await, [id]);
}

/// A line of late tasks does not keep a claim from those behind it.
pub async fn late_tasks_do_not_count_to_a_claim(bench: Bench<'_>) {
    let worker = bench.worker().await;
    for _ in 0..20 {
        bench.enqueue(NewTask { expires: Some(secs(5)), ..bench.task() }).await;
    }
    let id = bench.add().await;
    bench.pass(secs(5));
    assert_eq!(bench.claim_ids(worker, 1).await, [id]);
}

/// A deadline may be a moment of its own, and then counts from nothing else.
pub async fn a_moment_given_is_the_deadline_whatever_the_delay(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let meta = TaskMeta { expires_at: Some(bench.env.now().saturating_add(secs(10))), ..TaskMeta::default() };
    let timed = NewTask { delay: secs(5), expires: Some(secs(1)), meta: Some(Box::new(meta)), ..bench.task() };
    let started = bench.enqueue(timed.clone()).await;
    let late = bench.enqueue(NewTask { id: bench.env.task_id(), delay: secs(9), ..timed }).await;
    bench.pass(secs(8));
    bench.sweep().await;
    assert_eq!(bench.claim_ids(worker, ALL).await, [started]);
    bench.pass(secs(2));
    assert_eq!(bench.sweep().await.expired, 1);
    assert_eq!(bench.state(late).await, State::Expired);
}

/// A sweep names each task that ended as expired, be it found by the sweep or by a claim before.
pub async fn what_was_too_late_is_told_once(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let late = NewTask { expires: Some(secs(5)), ..bench.task() };
    let claimed = bench.enqueue(late.clone()).await;
    let swept = bench.enqueue(NewTask { id: bench.env.task_id(), queue: "nobodys".to_owned(), ..late }).await;
    bench.pass(secs(5));
    assert_eq!(bench.claim_ids(worker, ALL).await, []);
    let mut ended = bench.sweep().await.ended;
    ended.sort_unstable();
    let mut both = [claimed, swept];
    both.sort_unstable();
    assert_eq!(ended, both);
    assert_eq!(bench.sweep().await.ended, []);
}

/// A worker starts nothing that has become too late in its buffer: it gives it back, and it ends as expired.
pub async fn a_claim_says_how_long_its_tasks_may_wait(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.enqueue(NewTask { expires: Some(secs(5)), ..bench.task() }).await;
    bench.add().await;
    bench.pass(secs(2));
    let claim = bench.wanted(worker, ALL);
    let again = Claim { again: true, ..claim.clone() };
    for claim in [claim, again] {
        let claimed = bench.store.claim(&claim).await.expect("claim");
        assert_eq!(claimed.iter().map(|claimed| claimed.expires_in).collect::<Vec<_>>(), [Some(secs(3)), None]);
        if claim.again {
            bench.pass(secs(3));
            assert_eq!(bench.settle(claimed[0].lease, Ending::Released).await, Settled::Done(State::Ready));
        }
    }
    assert_eq!(bench.claim_ids(worker, ALL).await, []);
    assert_eq!(bench.state(id).await, State::Expired);
    let retried = bench.enqueue(NewTask { id: bench.env.task_id(), expires: Some(secs(5)), ..bench.task() }).await;
    let first = bench.claim_one(worker).await;
    bench.settle(first.lease, Ending::Retry { delay: Duration::ZERO }).await;
    let second = bench.claim_one(worker).await;
    assert_eq!((second.lease.id, second.expires_in), (retried, None), "what was attempted once no longer expires");
}
