//! Starts that are reported: a task that sat in a dead worker's buffer is told apart from one that ran.

use gristmill_core::{Ack, AttemptState, Ending, FailureReason, NewTask, Settled, State};

use super::bench::{ALL, Bench};
use super::list;

list![
    a_task_that_runs_at_most_once_reports_its_start,
    once_started_it_never_runs_again,
    a_crash_before_the_start_costs_nothing,
    a_crash_before_the_start_of_a_further_attempt_costs_nothing,
    leaving_before_the_start_leaves_no_trace,
    one_answer_a_start_in_order,
];

/// The claim says that the start has to be reported, and reporting it again is no harm.
pub async fn a_task_that_runs_at_most_once_reports_its_start(bench: Bench<'_>) {
    let worker = bench.worker().await;
    bench.enqueue(early(&bench)).await;
    let claimed = bench.claim_one(worker).await;
    assert!(claimed.report_start);
    for _ in 0..2 {
        assert_eq!(bench.store.start(&[claimed.lease]).await.expect("the store answers"), [true]);
    }
    assert_eq!(bench.settle(claimed.lease, Ending::Succeeded).await, Settled::Done(State::Succeeded));
}

/// If the worker dies after the start, the task fails as crashed, whatever its crash limit is.
pub async fn once_started_it_never_runs_again(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.enqueue(NewTask { max_crashes: 100, ..early(&bench) }).await;
    let claimed = bench.claim_one(worker).await;
    bench.store.start(&[claimed.lease]).await.expect("the store answers");
    assert_eq!(bench.die().await.rescued, 1);
    let task = bench.get(id).await;
    assert_eq!((task.state, task.crashes), (State::Failed, 1));
    assert_eq!(task.error.map(|error| error.reason), Some(FailureReason::Crashed));
    let other = bench.worker().await;
    assert_eq!(bench.claim_ids(other, ALL).await, []);
}

/// If the worker dies before the start, nothing has happened: the task is ready, and its history is empty.
pub async fn a_crash_before_the_start_costs_nothing(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.enqueue(early(&bench)).await;
    bench.claim_one(worker).await;
    assert_eq!(bench.die().await.rescued, 1);
    let task = bench.get(id).await;
    assert_eq!((task.state, task.attempt, task.crashes), (State::Ready, 0, 0));
    assert_eq!(task.attempts, []);
    let other = bench.worker().await;
    let again = bench.claim_one(other).await;
    assert_eq!((again.attempt, again.claim_no), (1, 2));
}

/// A task that crashed reports its starts from then on, so that a worker which dies with a full buffer poisons none of it.
pub async fn a_crash_before_the_start_of_a_further_attempt_costs_nothing(bench: Bench<'_>) {
    let id = bench.enqueue(NewTask { max_crashes: 2, ..bench.task() }).await;
    let worker = bench.worker().await;
    bench.claim_one(worker).await;
    bench.die().await;
    for _ in 0..3 {
        let worker = bench.worker().await;
        let claimed = bench.claim_one(worker).await;
        assert!(claimed.report_start);
        assert_eq!(claimed.attempt, 2);
        bench.die().await;
        assert_eq!((bench.get(id).await.crashes, bench.state(id).await), (1, State::Ready));
    }
    let rows: Vec<_> = bench.get(id).await.attempts.iter().map(|row| row.state).collect();
    assert_eq!(rows, [AttemptState::Crashed]);
}

/// A worker that leaves with a claim that it never started leaves no attempt behind.
pub async fn leaving_before_the_start_leaves_no_trace(bench: Bench<'_>) {
    let id = bench.enqueue(early(&bench)).await;
    let worker = bench.worker().await;
    bench.claim_one(worker).await;
    assert_eq!(bench.store.leave(worker).await.ok(), Some(1));
    let task = bench.get(id).await;
    assert_eq!((task.state, task.attempt, task.attempts.len()), (State::Ready, 0, 0));
}

/// Each start of a batch has its own answer: a lost one must not run and hinders no other.
pub async fn one_answer_a_start_in_order(bench: Bench<'_>) {
    let worker = bench.worker().await;
    for _ in 0..3 {
        bench.enqueue(early(&bench)).await;
    }
    let leases: Vec<_> = bench.claim(worker, ALL).await.iter().map(|claimed| claimed.lease).collect();
    bench.settle(leases[1], Ending::Released).await;
    assert_eq!(bench.store.start(&leases).await.expect("the store answers"), [true, false, true]);
}

fn early(bench: &Bench<'_>) -> NewTask {
    NewTask { ack: Ack::Early, ..bench.task() }
}
