//! What becomes of tasks whose workers die, leave, or come too late.

use std::time::Duration;

use gristmill_core::{Ack, Ending, NewTask, Settled, Settlement, State, StoreErrorKind};

use super::SourceBench;
use super::bench::{ALL, LEASE};

super::list![
    a_worker_that_beats_keeps_what_it_holds,
    a_dead_worker_is_told_so_and_stays_dead,
    what_a_dead_worker_held_is_delivered_again,
    a_stale_lease_changes_nothing,
    a_lost_lease_hinders_no_other,
    a_settlement_counts_once,
    a_task_that_kills_its_workers_ends,
    what_runs_at_most_once_does_not_come_back,
    a_worker_that_leaves_gives_back_what_it_holds,
];

const SECOND: Duration = Duration::from_secs(1);

async fn beat(bench: &SourceBench, worker: gristmill_core::WorkerId) -> bool {
    bench.source.heartbeat(worker, LEASE).await.expect("heartbeat").alive
}

async fn a_worker_that_beats_keeps_what_it_holds(bench: SourceBench) {
    let (worker, other) = (bench.worker().await, bench.worker().await);
    bench.add().await;
    let claimed = bench.claim_one(worker).await;
    for _ in 0..5 {
        bench.pass(LEASE - SECOND);
        assert!(beat(&bench, worker).await && beat(&bench, other).await);
        assert_eq!(bench.claim_ids(other, ALL).await, []);
    }
    bench.ends(claimed.lease, Ending::Succeeded, State::Succeeded).await;
}

async fn a_dead_worker_is_told_so_and_stays_dead(bench: SourceBench) {
    let worker = bench.worker().await;
    bench.add().await;
    bench.claim_one(worker).await;
    bench.pass(LEASE);
    let other = bench.worker().await;
    bench.claim_one(other).await;
    assert!(!beat(&bench, worker).await);
    assert!(!beat(&bench, worker).await, "a heartbeat that comes too late revives nobody");
    let refused = bench.source.claim(&bench.wanted(worker, ALL)).await.expect_err("a dead worker gets nothing");
    assert_eq!(refused.kind(), StoreErrorKind::Invalid);
}

async fn what_a_dead_worker_held_is_delivered_again(bench: SourceBench) {
    let dead = bench.worker().await;
    let id = bench.add().await;
    bench.claim_one(dead).await;
    bench.pass(LEASE - SECOND);
    let other = bench.worker().await;
    assert_eq!(bench.claim_ids(other, ALL).await, [], "it may still be alive");
    bench.pass(SECOND);
    let again = bench.claim_one(other).await;
    assert_eq!((again.lease.id, again.attempt, again.claim_no, again.crashes), (id, 2, 2, 1));
}

async fn a_stale_lease_changes_nothing(bench: SourceBench) {
    let dead = bench.worker().await;
    bench.add().await;
    let stale = bench.claim_one(dead).await;
    bench.pass(LEASE);
    let other = bench.worker().await;
    let claimed = bench.claim_one(other).await;
    for ending in [Ending::Succeeded, Ending::Failed, Ending::Retry { delay: SECOND }, Ending::Released] {
        assert_eq!(bench.settle(stale.lease, ending).await, Settled::LeaseLost);
    }
    bench.ends(claimed.lease, Ending::Succeeded, State::Succeeded).await;
}

async fn a_lost_lease_hinders_no_other(bench: SourceBench) {
    let worker = bench.worker().await;
    for _ in 0..3 {
        bench.add().await;
    }
    let leases: Vec<_> = bench.claim(worker, ALL).await.into_iter().map(|claimed| claimed.lease).collect();
    bench.ends(leases[1], Ending::Succeeded, State::Succeeded).await;
    let all = leases.iter().map(|lease| Settlement::new(*lease, Ending::Succeeded)).collect();
    let done = Settled::Done(State::Succeeded);
    assert_eq!(bench.source.settle(all).await.expect("settle"), [done, Settled::LeaseLost, done]);
}

async fn a_settlement_counts_once(bench: SourceBench) {
    let worker = bench.worker().await;
    bench.add().await;
    let claimed = bench.claim_one(worker).await;
    bench.ends(claimed.lease, Ending::Retry { delay: SECOND }, State::Scheduled).await;
    assert_eq!(bench.settle(claimed.lease, Ending::Succeeded).await, Settled::LeaseLost);
    bench.pass(SECOND);
    assert_eq!(bench.claim_one(worker).await.attempt, 2);
}

async fn a_task_that_kills_its_workers_ends(bench: SourceBench) {
    bench.publish(NewTask { max_crashes: 2, max_attempts: 1, ..bench.task() }).await;
    for crashes in 0..2 {
        let worker = bench.worker().await;
        assert_eq!(bench.claim_one(worker).await.crashes, crashes);
        bench.pass(LEASE);
    }
    let worker = bench.worker().await;
    assert_eq!(bench.claim_ids(worker, ALL).await, []);
}

async fn what_runs_at_most_once_does_not_come_back(bench: SourceBench) {
    let worker = bench.worker().await;
    bench.publish(NewTask { ack: Ack::Early, ..bench.task() }).await;
    bench.claim_one(worker).await;
    bench.pass(LEASE);
    let other = bench.worker().await;
    assert_eq!(bench.claim_ids(other, ALL).await, []);
}

async fn a_worker_that_leaves_gives_back_what_it_holds(bench: SourceBench) {
    let worker = bench.worker().await;
    let id = bench.add().await;
    let held = bench.claim_one(worker).await;
    assert_eq!(bench.source.leave(worker).await.expect("leave"), 1);
    assert_eq!(bench.settle(held.lease, Ending::Succeeded).await, Settled::LeaseLost);
    let other = bench.worker().await;
    let again = bench.claim_one(other).await;
    assert_eq!((again.lease.id, again.attempt, again.crashes), (id, 1, 0), "it cost no attempt");
}
