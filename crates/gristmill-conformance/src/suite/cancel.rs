//! Cancelling: what had not started never starts, and what runs is told.

use gristmill_core::{AttemptState, CancelOutcome, Ending, FailureReason, Hold, NewTask, Pulse, Settled, State, TaskId};

use super::bench::{ALL, Bench, LEASE, secs};
use super::list;

list![
    what_waits_never_starts,
    what_is_scheduled_never_starts,
    what_runs_is_told_with_the_next_heartbeat,
    what_was_let_in_by_hand_is_told_like_any,
    a_request_wins_over_every_ending_but_success,
    a_request_survives_the_worker,
    a_request_survives_a_clean_stop,
    what_ended_stays_as_it_is,
    one_answer_an_id_in_order,
];

/// A task that was acknowledged as cancelled before it started never starts.
pub async fn what_waits_never_starts(bench: Bench<'_>) {
    let id = bench.add().await;
    assert_eq!(cancel(&bench, id).await, CancelOutcome::Cancelled);
    let worker = bench.worker().await;
    assert_eq!(bench.claim_ids(worker, ALL).await, []);
    let (task, now) = (bench.get(id).await, bench.env.now());
    assert_eq!((task.state, task.attempt, task.ended_at), (State::Cancelled, 0, Some(now)));
    assert_eq!(task.error.as_ref().map(|error| error.reason), Some(FailureReason::Cancelled));
    let [row] = task.attempts.as_slice() else { panic!("the cancellation is in the history, which is {:?}", task.attempts) };
    assert_eq!((row.state, row.started_at, row.finished_at), (AttemptState::Cancelled, None, Some(now)));
    assert_eq!((row.attempt, row.claim_no, row.worker.as_ref()), (0, 1, None));
}

/// The same for a task that is due later.
pub async fn what_is_scheduled_never_starts(bench: Bench<'_>) {
    let id = bench.enqueue(NewTask { delay: secs(5), ..bench.task() }).await;
    assert_eq!(cancel(&bench, id).await, CancelOutcome::Cancelled);
    bench.pass(secs(5));
    let worker = bench.worker().await;
    assert_eq!(bench.claim_ids(worker, ALL).await, []);
    assert_eq!(bench.state(id).await, State::Cancelled);
}

/// A running task is flagged; its worker hears of it with each heartbeat, and no other worker does.
pub async fn what_runs_is_told_with_the_next_heartbeat(bench: Bench<'_>) {
    let (worker, other) = (bench.worker().await, bench.worker().await);
    let (first, second) = (bench.add().await, bench.add().await);
    let leases: Vec<_> = bench.claim(worker, ALL).await.iter().map(|claimed| claimed.lease).collect();
    assert_eq!(cancel(&bench, second).await, CancelOutcome::CancelRequested);
    assert_eq!(cancel(&bench, second).await, CancelOutcome::CancelRequested, "asked again, answered again");
    assert!(bench.get(second).await.cancel_requested && !bench.get(first).await.cancel_requested);
    assert_eq!(bench.state(second).await, State::Running);
    let told = Pulse { alive: true, cancel: vec![leases[1]], ..Pulse::default() };
    for _ in 0..2 {
        assert_eq!(bench.store.heartbeat(worker, LEASE).await.ok().as_ref(), Some(&told));
    }
    let nothing = Pulse { alive: true, ..Pulse::default() };
    assert_eq!(bench.store.heartbeat(other, LEASE).await.ok(), Some(nothing));
}

/// The worker knows it by the lease that its claim brought.
pub async fn what_was_let_in_by_hand_is_told_like_any(bench: Bench<'_>) {
    let by_hand = NewTask { hold: Hold { limited: true, ..Hold::NONE }, ..bench.task() };
    let id = bench.enqueue(by_hand).await;
    assert_eq!(bench.store.admit(&[id]).await.expect("admit"), [Some(State::Ready)]);
    let worker = bench.worker().await;
    let claimed = bench.claim_one(worker).await;
    assert_eq!(cancel(&bench, id).await, CancelOutcome::CancelRequested);
    let told = bench.store.heartbeat(worker, LEASE).await.expect("heartbeat").cancel;
    assert_eq!(told, [claimed.lease]);
    assert_eq!(bench.settle(claimed.lease, Ending::Succeeded).await, Settled::Done(State::Succeeded));
}

/// However a task ends whose cancellation was asked for, it is not run again; if it succeeded after all, it succeeded.
pub async fn a_request_wins_over_every_ending_but_success(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let delay = secs(1);
    for (ending, expected) in [
        (Ending::Succeeded, State::Succeeded),
        (Ending::Failed, State::Cancelled),
        (Ending::Retry { delay }, State::Cancelled),
        (Ending::Snooze { delay }, State::Cancelled),
        (Ending::Released, State::Cancelled),
        (Ending::Cancelled, State::Cancelled),
    ] {
        let id = bench.add().await;
        let claimed = bench.claim_one(worker).await;
        assert_eq!(cancel(&bench, id).await, CancelOutcome::CancelRequested);
        assert_eq!(bench.settle(claimed.lease, ending).await, Settled::Done(expected), "{ending:?}");
        let task = bench.get(id).await;
        assert_eq!((task.state, task.ended_at), (expected, Some(bench.env.now())), "{ending:?}");
        assert!(!task.cancel_requested, "nothing of it runs any more");
    }
    assert_eq!(bench.claim_ids(worker, ALL).await, []);
}

/// If the worker dies before it could stop the handler, the task ends as cancelled and is not run again.
pub async fn a_request_survives_the_worker(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.add().await;
    bench.claim_one(worker).await;
    cancel(&bench, id).await;
    assert_eq!(bench.die().await.rescued, 1);
    let task = bench.get(id).await;
    assert_eq!((task.state, task.crashes, task.attempts[0].state), (State::Cancelled, 1, AttemptState::Crashed));
}

/// A worker that leaves gives back what it holds, except for what somebody cancelled.
pub async fn a_request_survives_a_clean_stop(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.add().await;
    bench.claim_one(worker).await;
    cancel(&bench, id).await;
    bench.store.leave(worker).await.expect("the store answers");
    assert_eq!(bench.state(id).await, State::Cancelled);
}

/// An ended task can't be cancelled any more, and a success stays one.
pub async fn what_ended_stays_as_it_is(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.ended(worker, bench.task(), Ending::Succeeded).await;
    let before = bench.get(id).await;
    assert_eq!(cancel(&bench, id).await, CancelOutcome::AlreadyEnded);
    assert_eq!(bench.get(id).await, before);
}

/// Each id of a batch has its own answer, in order, unknown and repeated ones too.
pub async fn one_answer_an_id_in_order(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let (running, waiting) = (bench.add().await, bench.add().await);
    bench.claim_one(worker).await;
    let ids = [bench.env.task_id(), waiting, running, waiting];
    assert_eq!(
        bench.store.cancel(&ids).await.expect("the store answers"),
        [CancelOutcome::NotFound, CancelOutcome::Cancelled, CancelOutcome::CancelRequested, CancelOutcome::AlreadyEnded]
    );
}

async fn cancel(bench: &Bench<'_>, id: TaskId) -> CancelOutcome {
    bench.store.cancel(&[id]).await.expect("the store answers")[0]
}
