//! What the end of an attempt means for the task.

use std::time::Duration;

use gristmill_core::{Ending, NewTask, Settled, Settlement, State};

use super::SourceBench;
use super::bench::{ALL, LEASE};

super::list![
    what_has_ended_is_not_delivered_again,
    a_retry_comes_back_after_its_delay,
    failures_end_at_their_limit,
    a_snooze_costs_no_attempt,
    what_is_given_back_comes_at_once,
    only_the_children_of_a_success_are_delivered,
];

async fn what_has_ended_is_not_delivered_again(bench: SourceBench) {
    for (ending, state) in
        [(Ending::Succeeded, State::Succeeded), (Ending::Failed, State::Failed), (Ending::Cancelled, State::Cancelled)]
    {
        let worker = bench.worker().await;
        bench.add().await;
        bench.ends(bench.claim_one(worker).await.lease, ending, state).await;
        bench.pass(LEASE * 2);
        let worker = bench.worker().await;
        assert_eq!(bench.claim_ids(worker, ALL).await, [], "{ending:?}");
    }
}

async fn a_retry_comes_back_after_its_delay(bench: SourceBench) {
    let worker = bench.worker().await;
    let id = bench.add().await;
    let delay = Duration::from_secs(5);
    bench.ends(bench.claim_one(worker).await.lease, Ending::Retry { delay }, State::Scheduled).await;
    assert_eq!(bench.claim_ids(worker, ALL).await, []);
    bench.pass(delay);
    let again = bench.claim_one(worker).await;
    assert_eq!((again.lease.id, again.attempt, again.claim_no, again.crashes), (id, 2, 2, 0));
}

async fn failures_end_at_their_limit(bench: SourceBench) {
    let worker = bench.worker().await;
    bench.publish(NewTask { max_attempts: 2, ..bench.task() }).await;
    let delay = Duration::from_secs(1);
    bench.ends(bench.claim_one(worker).await.lease, Ending::Retry { delay }, State::Scheduled).await;
    bench.pass(delay);
    bench.ends(bench.claim_one(worker).await.lease, Ending::Retry { delay }, State::Failed).await;
    bench.pass(delay);
    assert_eq!(bench.claim_ids(worker, ALL).await, []);
}

async fn a_snooze_costs_no_attempt(bench: SourceBench) {
    let worker = bench.worker().await;
    bench.publish(NewTask { max_attempts: 1, ..bench.task() }).await;
    let delay = Duration::from_secs(5);
    for claim_no in 1..4 {
        let claimed = bench.claim_one(worker).await;
        assert_eq!((claimed.attempt, claimed.claim_no), (1, claim_no), "only the number of the claim grows");
        bench.ends(claimed.lease, Ending::Snooze { delay }, State::Scheduled).await;
        assert_eq!(bench.claim_ids(worker, ALL).await, []);
        bench.pass(delay);
    }
}

async fn what_is_given_back_comes_at_once(bench: SourceBench) {
    let worker = bench.worker().await;
    bench.publish(NewTask { max_attempts: 1, ..bench.task() }).await;
    bench.ends(bench.claim_one(worker).await.lease, Ending::Released, State::Ready).await;
    let again = bench.claim_one(worker).await;
    assert_eq!((again.attempt, again.claim_no), (1, 2));
}

async fn only_the_children_of_a_success_are_delivered(bench: SourceBench) {
    let worker = bench.worker().await;
    bench.add().await;
    let delay = Duration::from_secs(1);
    for (ending, state) in [(Ending::Retry { delay }, State::Scheduled), (Ending::Succeeded, State::Succeeded)] {
        let claimed = bench.claim_one(worker).await;
        let child = bench.task();
        let id = child.id;
        let settlement = Settlement { children: [child].into(), ..Settlement::new(claimed.lease, ending) };
        assert_eq!(bench.source.settle(vec![settlement]).await.expect("settle"), [Settled::Done(state)]);
        let expected = if state == State::Succeeded { vec![id] } else { Vec::new() };
        assert_eq!(bench.claim_ids(worker, ALL).await, expected);
        bench.pass(delay);
    }
}
