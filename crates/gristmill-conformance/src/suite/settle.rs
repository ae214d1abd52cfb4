//! What the end of an attempt makes of its task.

use gristmill_core::{AttemptState, Ending, Failure, FailureReason, NewTask, Progress, Settled, Settlement, State};

use super::bench::{ALL, Bench, secs};
use super::list;

list![
    a_success_keeps_its_result_and_its_attempt,
    a_failure_for_good_ends_the_task,
    a_retry_waits_and_runs_again,
    the_last_failed_attempt_ends_the_task,
    a_retry_without_a_wait_is_ready_at_once,
    a_snooze_gives_the_attempt_back,
    a_release_gives_the_attempt_back,
    a_release_from_a_buffer_leaves_no_trace,
    a_handler_may_cancel_itself,
    a_settled_task_never_runs_again,
    one_answer_a_settlement_and_a_lost_one_hinders_no_other,
    the_error_is_shown_until_the_task_succeeds,
    an_attempt_starts_not_before_its_claim,
];

/// After a success there is a result, byte by byte, and one attempt with its times, logs and progress.
pub async fn a_success_keeps_its_result_and_its_attempt(bench: Bench<'_>) {
    let spec = bench.worker_spec(&["default"], &["work"]);
    bench.store.enter(&spec).await.expect("the store answers");
    let id = bench.add().await;
    let claimed = bench.claim_one(spec.id).await;
    bench.pass(secs(10));
    let data = Some(serde_json::json!({ "found": [1, 2] }));
    let progress = Progress { done: 3, total: Some(3), message: "all".to_owned(), data };
    let result = format!("{{\"text\": \"{}\"}}", "é".repeat(50_000));
    let settled = bench
        .settle_with(Settlement {
            ran_for: secs(4),
            result: Some(result.clone()),
            logs: Some("one\ntwo".to_owned()),
            progress: Some(Box::new(progress.clone())),
            ..Settlement::new(claimed.lease, Ending::Succeeded)
        })
        .await;
    assert_eq!(settled, Settled::Done(State::Succeeded));
    let (task, now) = (bench.get(id).await, bench.env.now());
    assert_eq!((task.state, task.attempt, task.ended_at), (State::Succeeded, 1, Some(now)));
    assert_eq!(task.result.as_ref(), Some(&result), "a result comes back byte by byte");
    assert_eq!(task.error, None);
    let [attempt] = task.attempts.as_slice() else { panic!("one attempt ran, and the task has {:?}", task.attempts) };
    assert_eq!((attempt.attempt, attempt.claim_no, attempt.state), (1, 1, AttemptState::Succeeded));
    assert_eq!((attempt.started_at, attempt.finished_at), (Some(now.saturating_sub(secs(4))), Some(now)));
    assert_eq!(attempt.worker.as_ref(), Some(&spec.name));
    assert_eq!((attempt.logs.as_deref(), attempt.progress.as_ref()), (Some("one\ntwo"), Some(&progress)));
}

/// A handler that asks for no further attempt gets none, however many are left.
pub async fn a_failure_for_good_ends_the_task(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.add().await;
    let claimed = bench.claim_one(worker).await;
    let failure = Failure { chain: vec!["because".to_owned()], ..Failure::new(FailureReason::Error, "no") };
    let settlement = Settlement { failure: Some(Box::new(failure.clone())), ..Settlement::new(claimed.lease, Ending::Failed) };
    assert_eq!(bench.settle_with(settlement).await, Settled::Done(State::Failed));
    let task = bench.get(id).await;
    assert_eq!((task.state, task.error.as_ref()), (State::Failed, Some(&failure)));
    assert_eq!((task.result, task.ended_at), (None, Some(bench.env.now())));
    assert_eq!(task.attempts[0].error, Some(failure));
}

/// A failed attempt waits out its delay and is then run again as the next one.
pub async fn a_retry_waits_and_runs_again(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.add().await;
    let claimed = bench.claim_one(worker).await;
    let settled = bench.settle(claimed.lease, Ending::Retry { delay: secs(5) }).await;
    assert_eq!(settled, Settled::Done(State::Scheduled));
    let task = bench.get(id).await;
    assert_eq!((task.state, task.run_at), (State::Scheduled, bench.env.now().saturating_add(secs(5))));
    bench.pass(secs(4));
    assert_eq!((bench.sweep().await.promoted, bench.claim_ids(worker, ALL).await), (0, vec![]));
    bench.pass(secs(1));
    assert_eq!(bench.sweep().await.promoted, 1);
    let again = bench.claim_one(worker).await;
    assert_eq!((again.lease.id, again.attempt, again.claim_no), (id, 2, 2));
}

/// With `max_attempts` failed attempts the task has failed.
pub async fn the_last_failed_attempt_ends_the_task(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.enqueue(NewTask { max_attempts: 3, ..bench.task() }).await;
    for expected in [State::Ready, State::Ready, State::Failed] {
        let claimed = bench.claim_one(worker).await;
        assert_eq!(bench.settle(claimed.lease, Ending::Retry { delay: secs(0) }).await, Settled::Done(expected));
    }
    assert_eq!(bench.claim_ids(worker, ALL).await, []);
    let attempts: Vec<_> = bench.get(id).await.attempts.iter().map(|row| (row.attempt, row.claim_no, row.state)).collect();
    assert_eq!(attempts, [1, 2, 3].map(|n| (n, n, AttemptState::Failed)));
}

/// A retry that need not wait waits for no sweep.
pub async fn a_retry_without_a_wait_is_ready_at_once(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.add().await;
    let claimed = bench.claim_one(worker).await;
    assert_eq!(bench.settle(claimed.lease, Ending::Retry { delay: secs(0) }).await, Settled::Done(State::Ready));
    assert_eq!(bench.claim_ids(worker, ALL).await, [id]);
}

/// A handler may put itself off for ever without using up an attempt; only the claim number grows.
pub async fn a_snooze_gives_the_attempt_back(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.enqueue(NewTask { max_attempts: 1, ..bench.task() }).await;
    for claim_no in 1..=3 {
        let claimed = bench.claim_one(worker).await;
        assert_eq!((claimed.attempt, claimed.claim_no), (1, claim_no));
        let settled = bench.settle(claimed.lease, Ending::Snooze { delay: secs(2) }).await;
        assert_eq!(settled, Settled::Done(State::Scheduled));
        assert_eq!(bench.get(id).await.attempt, 0);
        bench.pass(secs(2));
        bench.sweep().await;
    }
    let states: Vec<_> = bench.get(id).await.attempts.iter().map(|row| row.state).collect();
    assert_eq!(states, [AttemptState::Snoozed; 3]);
}

/// A worker that stops gives back what runs, and it costs no attempt.
pub async fn a_release_gives_the_attempt_back(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.enqueue(NewTask { max_attempts: 1, ..bench.task() }).await;
    let claimed = bench.claim_one(worker).await;
    bench.pass(secs(3));
    let settlement = Settlement { ran_for: secs(3), ..Settlement::new(claimed.lease, Ending::Released) };
    assert_eq!(bench.settle_with(settlement).await, Settled::Done(State::Ready));
    let task = bench.get(id).await;
    assert_eq!((task.state, task.attempt), (State::Ready, 0));
    assert_eq!(task.attempts.iter().map(|row| row.state).collect::<Vec<_>>(), [AttemptState::Released]);
    let again = bench.claim_one(worker).await;
    assert_eq!((again.attempt, again.claim_no), (1, 2));
}

/// What a worker claimed and gives back without having run it has no place in the task's history.
pub async fn a_release_from_a_buffer_leaves_no_trace(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.add().await;
    let claimed = bench.claim_one(worker).await;
    bench.settle(claimed.lease, Ending::Released).await;
    assert_eq!(bench.get(id).await.attempts, []);
    assert_eq!(bench.claim_one(worker).await.claim_no, 2, "claim numbers only grow");
}

/// A handler that finds its work pointless ends as cancelled.
pub async fn a_handler_may_cancel_itself(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.ended(worker, bench.task(), Ending::Cancelled).await;
    let task = bench.get(id).await;
    assert_eq!((task.state, task.attempts[0].state), (State::Cancelled, AttemptState::Cancelled));
    assert_eq!(task.error.map(|error| error.reason), Some(FailureReason::Cancelled));
}

/// Whatever happens later, a task that ended is not claimed again.
pub async fn a_settled_task_never_runs_again(bench: Bench<'_>) {
    let worker = bench.worker().await;
    for ending in [Ending::Succeeded, Ending::Failed, Ending::Cancelled] {
        bench.ended(worker, bench.task(), ending).await;
    }
    bench.die().await;
    bench.pass(secs(3600));
    bench.sweep().await;
    let fresh = bench.worker().await;
    assert_eq!(bench.claim_ids(fresh, ALL).await, []);
}

/// Settlements of a batch stand and fall alone, and are answered in order.
pub async fn one_answer_a_settlement_and_a_lost_one_hinders_no_other(bench: Bench<'_>) {
    let worker = bench.worker().await;
    for _ in 0..3 {
        bench.add().await;
    }
    let leases: Vec<_> = bench.claim(worker, ALL).await.iter().map(|claimed| claimed.lease).collect();
    bench.settle(leases[1], Ending::Succeeded).await;
    let mut batch: Vec<_> = leases.iter().map(|lease| Settlement::new(*lease, Ending::Failed)).collect();
    // The same lease twice in a batch is settled once.
    batch.push(Settlement::new(leases[0], Ending::Succeeded));
    let failed = Settled::Done(State::Failed);
    let answers = bench.store.settle(batch).await.expect("the store answers");
    assert_eq!(answers, [failed, Settled::LeaseLost, failed, Settled::LeaseLost]);
    assert_eq!(bench.state(leases[0].id).await, State::Failed);
    assert_eq!(bench.state(leases[1].id).await, State::Succeeded);
}

/// What went wrong last is shown while the task waits and when it failed, and no more once it succeeded.
pub async fn the_error_is_shown_until_the_task_succeeds(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.add().await;
    for message in ["first", "second"] {
        let claimed = bench.claim_one(worker).await;
        let failure = Failure::new(FailureReason::Error, message);
        let retry = Settlement::new(claimed.lease, Ending::Retry { delay: secs(0) });
        bench.settle_with(Settlement { failure: Some(Box::new(failure)), ..retry }).await;
        assert_eq!(bench.get(id).await.error.map(|error| error.message).as_deref(), Some(message));
    }
    let claimed = bench.claim_one(worker).await;
    assert_eq!(bench.get(id).await.error.map(|error| error.message).as_deref(), Some("second"));
    bench.settle(claimed.lease, Ending::Succeeded).await;
    let task = bench.get(id).await;
    assert_eq!(task.error, None);
    assert_eq!(task.attempts[0].error.as_ref().map(|error| error.message.as_str()), Some("first"));
}

/// A worker that measures nonsense can't put the start of an attempt before its claim.
pub async fn an_attempt_starts_not_before_its_claim(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.add().await;
    let claimed_at = bench.env.now();
    let claimed = bench.claim_one(worker).await;
    bench.pass(secs(1));
    bench.settle_with(Settlement { ran_for: secs(1_000_000_000), ..Settlement::new(claimed.lease, Ending::Succeeded) }).await;
    assert_eq!(bench.get(id).await.attempts[0].started_at, Some(claimed_at));
}
