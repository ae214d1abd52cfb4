//! Clocks that are set: who lives loses nothing by it, and who is dead is found all the same.

use gristmill_core::{Ending, Settled, State, Timestamp};

use super::bench::{ALL, Bench, LEASE, QUEUE, secs};
use super::list;

list![
    a_clock_that_is_set_forward_takes_nothing_from_who_lives,
    after_a_step_the_dead_are_found_within_a_lease,
    a_clock_that_was_ahead_does_not_keep_the_dead_alive,
    who_lives_outlives_a_clock_that_is_set_right,
    two_clocks_that_differ_kill_nobody,
];

/// Four years, as a clock may be ahead that has lost its battery.
fn years(now: Timestamp) -> Timestamp {
    now.saturating_add(secs(4 * 365 * 86_400))
}

/// Every lease is over by a clock that is set forward, and every worker goes on as if nothing had been.
pub async fn a_clock_that_is_set_forward_takes_nothing_from_who_lives(bench: Bench<'_>) {
    let (worker, other) = (bench.worker().await, bench.worker().await);
    bench.add().await;
    let held = bench.claim_one(worker).await;
    bench.time.set(years(bench.env.now()));
    assert_eq!(bench.sweep().await.rescued, 0);
    for _ in 0..3 {
        bench.pass(LEASE / 3);
        bench.beat(worker).await;
        bench.beat(other).await;
        assert_eq!(bench.sweep().await.rescued, 0);
    }
    bench.add().await;
    assert_eq!(bench.claim_ids(other, ALL).await.len(), 1);
    assert_eq!(bench.settle(held.lease, Ending::Succeeded).await, Settled::Done(State::Succeeded));
}

/// One that died about then is not heard of any more, and rescued a lease after the step at the latest.
pub async fn after_a_step_the_dead_are_found_within_a_lease(bench: Bench<'_>) {
    let (worker, other) = (bench.worker().await, bench.worker().await);
    let id = bench.add().await;
    bench.claim_one(worker).await;
    bench.time.set(years(bench.env.now()));
    assert_eq!(bench.sweep().await.rescued, 0);
    bench.pass(LEASE - secs(1));
    bench.beat(other).await;
    bench.pass(secs(1));
    assert_eq!(bench.sweep().await.rescued, 1);
    let task = bench.get(id).await;
    assert_eq!((task.state, task.crashes), (State::Ready, 1));
    assert_eq!(bench.claim_ids(other, ALL).await, [id]);
}

/// A worker that died while the clock was ahead has a lease of years, which nobody waits for: neither those who were there nor a
/// process that starts afterwards.
pub async fn a_clock_that_was_ahead_does_not_keep_the_dead_alive(bench: Bench<'_>) {
    let start = bench.env.now();
    let before = bench.worker().await;
    bench.time.set(years(start));
    let dead = bench.worker().await;
    let id = bench.add().await;
    assert_eq!(bench.claim_ids(dead, ALL).await, [id]);
    bench.time.set(start);
    let bench = bench.reopen().await;
    bench.beat(before).await;
    assert_eq!(bench.sweep().await.rescued, 0, "it may be alive, and not have beaten since");
    bench.pass(LEASE - secs(1));
    bench.beat(before).await;
    assert_eq!(bench.sweep().await.rescued, 0);
    bench.pass(secs(1));
    assert_eq!(bench.sweep().await.rescued, 1);
    assert_eq!(bench.state(id).await, State::Ready);
    let workers = bench.store.workers().await.expect("the store answers");
    let dead: Vec<_> = workers.iter().filter(|worker| !worker.alive).map(|worker| worker.id.clone()).collect();
    assert_eq!(dead.len(), 1, "it is shown as dead");
    assert_eq!(bench.claim_ids(before, ALL).await, [id]);
}

/// One that lived while the clock was ahead goes on when it is set right.
pub async fn who_lives_outlives_a_clock_that_is_set_right(bench: Bench<'_>) {
    let start = bench.env.now();
    bench.time.set(years(start));
    let worker = bench.worker().await;
    bench.add().await;
    let held = bench.claim_one(worker).await;
    bench.time.set(start);
    for _ in 0..6 {
        assert_eq!(bench.sweep().await.rescued, 0);
        bench.pass(LEASE / 3);
        bench.beat(worker).await;
    }
    assert_eq!(bench.settle(held.lease, Ending::Succeeded).await, Settled::Done(State::Succeeded));
}

/// A process whose clock is an hour off and another whose clock is right beat in turn, and each sees the other live. (Where time is
/// the server's, these are two servers in turn.)
pub async fn two_clocks_that_differ_kill_nobody(bench: Bench<'_>) {
    let (right, wrong) = (bench.worker().await, bench.worker_for(&[QUEUE], &["work"]).await);
    bench.add().await;
    bench.add().await;
    let held = [bench.claim_one(right).await.lease, bench.claim_one(wrong).await.lease];
    let hour = secs(3_600);
    for _ in 0..12 {
        bench.pass(LEASE / 3);
        bench.beat(right).await;
        assert_eq!(bench.sweep().await.rescued, 0);
        bench.time.set(bench.env.now().saturating_add(hour));
        bench.beat(wrong).await;
        assert_eq!(bench.sweep().await.rescued, 0);
        bench.time.set(bench.env.now().saturating_sub(hour));
    }
    for lease in held {
        assert_eq!(bench.settle(lease, Ending::Succeeded).await, Settled::Done(State::Succeeded));
    }
}
