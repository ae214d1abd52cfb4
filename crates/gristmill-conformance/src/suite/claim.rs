//! What a claim takes, and in which order.

use std::collections::BTreeMap;

use gristmill_core::{AttemptState, Claim, Ending, NewTask, Settled, State, StoreErrorKind, TaskId, TaskMeta, Wanted};
use tokio::task::JoinSet;

use super::bench::{ALL, Bench, LEASE, QUEUE};
use super::list;

list![
    lower_priorities_go_first_then_the_order_of_arrival,
    order_is_that_of_the_enqueues_and_not_of_the_ids,
    each_queue_has_its_own_limit,
    a_claim_brings_all_that_a_handler_needs,
    an_attempt_is_counted_with_its_claim,
    a_task_is_claimed_once,
    concurrent_claims_share_nothing,
    a_claim_whose_reply_was_lost_gives_again_what_it_took,
    a_repeated_claim_that_took_nothing_is_a_claim,
    a_worker_that_never_entered_claims_nothing,
    a_worker_whose_lease_is_over_claims_nothing,
    a_worker_that_left_claims_nothing,
    what_comes_back_keeps_its_place_in_line,
];

/// Priority 0 goes before 9; within a priority the first that came is the first that goes.
pub async fn lower_priorities_go_first_then_the_order_of_arrival(bench: Bench<'_>) {
    let mut by_priority: BTreeMap<u8, Vec<TaskId>> = BTreeMap::new();
    for priority in [5, 0, 9, 5, 0, 9, 5, 1] {
        let id = bench.enqueue(NewTask { priority, ..bench.task() }).await;
        by_priority.entry(priority).or_default().push(id);
    }
    let expected: Vec<_> = by_priority.into_values().flatten().collect();
    let worker = bench.worker().await;
    let mut claimed = bench.claim_ids(worker, 3).await;
    assert_eq!(claimed.len(), 3, "the limit of a claim is a limit");
    claimed.extend(bench.claim_ids(worker, ALL).await);
    assert_eq!(claimed, expected);
}

/// A client whose clock is wrong makes ids that sort elsewhere; its tasks wait in line all the same.
pub async fn order_is_that_of_the_enqueues_and_not_of_the_ids(bench: Bench<'_>) {
    let mut tasks: Vec<_> = (0..5).map(|_| bench.task()).collect();
    tasks.sort_by_key(|task| std::cmp::Reverse(task.id));
    let expected: Vec<_> = tasks.iter().map(|task| task.id).collect();
    for task in tasks {
        bench.enqueue(task).await;
    }
    let worker = bench.worker().await;
    assert_eq!(bench.claim_ids(worker, ALL).await, expected);
}

/// A claim names queues and how many tasks of each; no other queue is touched.
pub async fn each_queue_has_its_own_limit(bench: Bench<'_>) {
    for queue in ["a", "a", "a", "b", "b", "b", "c"] {
        bench.enqueue(NewTask { queue: queue.to_owned(), ..bench.task() }).await;
    }
    let worker = bench.worker_for(&["a", "b", "c"], &["work"]).await;
    let wanted = vec![Wanted::new("a", 2), Wanted::new("b", 1)];
    let claimed =
        bench.store.claim(&Claim { worker, fence: bench.env.fence(), wanted, again: false }).await.expect("the store answers");
    let queues: Vec<_> = claimed.iter().map(|claimed| &*claimed.queue).collect();
    assert_eq!(queues, ["a", "a", "b"]);
}

/// What was claimed carries the task type, the arguments, the limits and the context.
pub async fn a_claim_brings_all_that_a_handler_needs(bench: Bench<'_>) {
    let meta = TaskMeta { tags: vec!["t".to_owned()], timeout_ms: Some(9), ..TaskMeta::default() };
    let args = "{\"to\": \"é\"}".to_owned();
    let task = NewTask { args: args.clone(), max_attempts: 4, meta: Some(Box::new(meta.clone())), ..bench.task() };
    bench.enqueue(task.clone()).await;
    let created_at = bench.env.now();
    bench.pass(LEASE);
    let worker = bench.worker().await;
    let claim = bench.wanted(worker, 1);
    let claimed = bench.store.claim(&claim).await.expect("the store answers");
    let [claimed] = claimed.as_slice() else { panic!("one task is ready, and {claimed:?} was claimed") };
    assert_eq!((claimed.lease.id, claimed.lease.fence), (task.id, claim.fence));
    assert_eq!((&*claimed.kind, &*claimed.queue), (task.kind.as_str(), QUEUE));
    assert_eq!((claimed.args.as_str(), claimed.created_at), (args.as_str(), created_at));
    assert_eq!((claimed.attempt, claimed.claim_no, claimed.crashes, claimed.max_attempts), (1, 1, 0, 4));
    assert_eq!(claimed.meta.as_deref(), Some(&meta));
    assert!(!claimed.report_start, "a task that may be repeated and never crashed starts without a word");
}

/// The attempt is there as soon as the task is claimed, so that a crash counts.
pub async fn an_attempt_is_counted_with_its_claim(bench: Bench<'_>) {
    let id = bench.add().await;
    let spec = bench.worker_spec(&[QUEUE], &["work"]);
    let worker = spec.id;
    bench.store.enter(&spec).await.expect("the store answers");
    bench.claim_one(worker).await;
    let task = bench.get(id).await;
    assert_eq!((task.state, task.attempt), (State::Running, 1));
    let [attempt] = task.attempts.as_slice() else { panic!("one attempt runs, and the task has {:?}", task.attempts) };
    assert_eq!((attempt.attempt, attempt.claim_no, attempt.state), (1, 1, AttemptState::Running));
    assert_eq!((attempt.started_at, attempt.finished_at), (Some(bench.env.now()), None));
    assert_eq!(attempt.worker.as_deref(), Some(spec.name.as_str()));
}

/// What one worker holds no other gets.
pub async fn a_task_is_claimed_once(bench: Bench<'_>) {
    bench.add().await;
    let (first, second) = (bench.worker().await, bench.worker().await);
    assert_eq!(bench.claim(first, ALL).await.len(), 1);
    assert_eq!(bench.claim_ids(first, ALL).await, []);
    assert_eq!(bench.claim_ids(second, ALL).await, []);
}

/// Many workers that claim at once get every task once.
pub async fn concurrent_claims_share_nothing(bench: Bench<'_>) {
    let tasks: Vec<_> = (0..100).map(|_| bench.task()).collect();
    let mut expected: Vec<_> = tasks.iter().map(|task| task.id).collect();
    bench.enqueue_all(tasks).await;
    let mut workers = JoinSet::new();
    for _ in 0..8 {
        let worker = bench.worker().await;
        let claims: Vec<_> = (0..7).map(|_| bench.wanted(worker, 2)).collect();
        let store = bench.store.clone();
        workers.spawn(async move {
            let mut claimed = Vec::new();
            for claim in claims {
                claimed.extend(store.claim(&claim).await.expect("the store answers"));
            }
            claimed
        });
    }
    let mut claimed: Vec<_> = workers.join_all().await.into_iter().flatten().map(|claimed| claimed.lease.id).collect();
    // A store may pass over what others were taking at that very moment; it is there for the next claim.
    let last = bench.worker().await;
    claimed.extend(bench.claim_ids(last, ALL).await);
    claimed.sort_unstable();
    expected.sort_unstable();
    assert_eq!(claimed, expected, "8 workers with room for 112, and one after them, claim 100 tasks");
}

/// A worker that is not known is refused by name, and takes nothing.
pub async fn a_worker_that_never_entered_claims_nothing(bench: Bench<'_>) {
    let id = bench.add().await;
    let stranger = bench.env.worker_id();
    refused(&bench, &bench.wanted(stranger, ALL)).await;
    assert_eq!(bench.get(id).await.attempt, 0);
}

/// A worker that did not beat in time is dead, even if nobody has rescued its tasks yet.
pub async fn a_worker_whose_lease_is_over_claims_nothing(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.add().await;
    bench.pass(LEASE);
    refused(&bench, &bench.wanted(worker, ALL)).await;
    assert_eq!(bench.get(id).await.attempt, 0);
}

/// A worker that left is not known any more.
pub async fn a_worker_that_left_claims_nothing(bench: Bench<'_>) {
    let worker = bench.worker().await;
    bench.add().await;
    bench.store.leave(worker).await.expect("the store answers");
    refused(&bench, &bench.wanted(worker, ALL)).await;
}

/// A task that was released is again before those that came after it.
pub async fn what_comes_back_keeps_its_place_in_line(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let ids = [bench.add().await, bench.add().await, bench.add().await];
    let first = bench.claim_one(worker).await;
    bench.settle(first.lease, Ending::Released).await;
    assert_eq!(bench.claim_ids(worker, ALL).await, ids);
}

async fn refused(bench: &Bench<'_>, claim: &Claim) {
    match bench.store.claim(claim).await {
        Err(error) => assert_eq!(error.kind(), StoreErrorKind::Invalid, "{error}"),
        Ok(claimed) => panic!("a worker that is not alive claimed {claimed:?}"),
    }
}

/// A worker that lives keeps its leases: if it never hears of them, nobody ever runs those tasks.
pub async fn a_claim_whose_reply_was_lost_gives_again_what_it_took(bench: Bench<'_>) {
    for priority in [5, 9, 0] {
        bench.enqueue(NewTask { priority, meta: Some(Box::default()), ..bench.task() }).await;
    }
    let worker = bench.worker().await;
    let other = bench.claim_one(worker).await;
    let claim = bench.wanted(worker, 1);
    let lost = bench.store.claim(&claim).await.expect("the store answers");
    let again = Claim { again: true, ..claim };
    let given = bench.store.claim(&again).await.expect("the store answers");
    assert_eq!(format!("{given:?}"), format!("{lost:?}"), "as it was, and nothing besides");
    assert_ne!(given[0].lease, other.lease);
    assert_eq!(bench.settle(given[0].lease, Ending::Succeeded).await, Settled::Done(State::Succeeded));
}

/// After an error nobody knows whether the claim was made.
pub async fn a_repeated_claim_that_took_nothing_is_a_claim(bench: Bench<'_>) {
    let id = bench.add().await;
    let worker = bench.worker().await;
    let claim = Claim { again: true, ..bench.wanted(worker, ALL) };
    let claimed = bench.store.claim(&claim).await.expect("the store answers");
    assert_eq!(claimed.iter().map(|claimed| claimed.lease.id).collect::<Vec<_>>(), [id]);
}
