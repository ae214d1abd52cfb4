//! Tasks that are due later, and a clock that is set forward and back.

use gristmill_core::{NewTask, State, Timestamp};

use super::bench::{ALL, Bench, LEASE, secs};
use super::list;

list![
    a_delay_runs_by_the_clock_of_the_store,
    an_instant_in_the_past_is_now,
    an_instant_wins_over_a_delay,
    nothing_starts_before_it_is_due,
    promotion_is_bounded_and_in_order_of_time,
    what_is_promoted_keeps_its_place_in_line,
    a_sweep_says_when_the_next_task_is_due,
    a_clock_set_back_loses_nothing,
    the_farthest_instant_is_kept,
];

/// A delay counts from the enqueue, in the store's time.
pub async fn a_delay_runs_by_the_clock_of_the_store(bench: Bench<'_>) {
    let id = bench.enqueue(NewTask { delay: secs(90), ..bench.task() }).await;
    let (task, now) = (bench.get(id).await, bench.env.now());
    assert_eq!((task.state, task.created_at, task.run_at), (State::Scheduled, now, now.saturating_add(secs(90))));
}

/// What was due before it was enqueued is ready, and still says when it was due.
pub async fn an_instant_in_the_past_is_now(bench: Bench<'_>) {
    let past = bench.env.now().saturating_sub(secs(3600));
    for run_at in [past, Timestamp::MIN, bench.env.now()] {
        let id = bench.enqueue(NewTask { run_at: Some(run_at), ..bench.task() }).await;
        let task = bench.get(id).await;
        assert_eq!((task.state, task.run_at), (State::Ready, run_at));
    }
}

/// Given both, only the instant counts.
pub async fn an_instant_wins_over_a_delay(bench: Bench<'_>) {
    let run_at = bench.env.now().saturating_add(secs(10));
    let id = bench.enqueue(NewTask { run_at: Some(run_at), delay: secs(99), ..bench.task() }).await;
    assert_eq!(bench.get(id).await.run_at, run_at);
}

/// One millisecond before its time a task is not claimed; at its time it is.
pub async fn nothing_starts_before_it_is_due(bench: Bench<'_>) {
    let id = bench.enqueue(NewTask { delay: secs(10), ..bench.task() }).await;
    let worker = bench.worker().await;
    bench.pass(secs(10) - std::time::Duration::from_millis(1));
    assert_eq!(bench.sweep().await.promoted, 0);
    assert_eq!(bench.claim_ids(worker, ALL).await, []);
    bench.pass(std::time::Duration::from_millis(1));
    assert_eq!(bench.sweep().await.promoted, 1);
    assert_eq!(bench.claim_ids(worker, ALL).await, [id]);
}

/// A great many tasks due at once are promoted in steps, those first that were due first.
pub async fn promotion_is_bounded_and_in_order_of_time(bench: Bench<'_>) {
    let mut ids = Vec::new();
    for delay in [4, 2, 3, 1, 5] {
        ids.push((delay, bench.enqueue(NewTask { delay: secs(delay), ..bench.task() }).await));
    }
    ids.sort_unstable();
    let mut due: Vec<_> = ids.into_iter().map(|(_, id)| id).collect();
    bench.pass(secs(10));
    let worker = bench.worker_spec(&["default"], &["work"]);
    bench.store.enter(&worker).await.expect("the store answers");
    for expected in [2, 2, 1] {
        assert_eq!(bench.store.sweep(2).await.map(|swept| swept.promoted).ok(), Some(expected));
        let mut promoted = bench.claim_ids(worker.id, ALL).await;
        promoted.sort_unstable();
        let mut first: Vec<_> = due.drain(..expected).collect();
        first.sort_unstable();
        assert_eq!(promoted, first);
    }
}

/// A task that was enqueued first and waited goes before one that came later and did not wait.
pub async fn what_is_promoted_keeps_its_place_in_line(bench: Bench<'_>) {
    let delayed = bench.enqueue(NewTask { delay: secs(1), ..bench.task() }).await;
    let ready = bench.add().await;
    bench.pass(secs(1));
    let worker = bench.worker().await;
    assert_eq!(bench.claim_ids(worker, ALL).await, [delayed, ready]);
}

/// The time to the next due task; none if there is none, zero if the limit of the sweep left some behind.
pub async fn a_sweep_says_when_the_next_task_is_due(bench: Bench<'_>) {
    assert_eq!(bench.sweep().await.next_due, None);
    for delay in [70, 30, 50] {
        bench.enqueue(NewTask { delay: secs(delay), ..bench.task() }).await;
    }
    assert_eq!(bench.sweep().await.next_due, Some(secs(30)));
    bench.pass(secs(29));
    assert_eq!(bench.sweep().await.next_due, Some(secs(1)));
    bench.pass(secs(22));
    assert_eq!(bench.store.sweep(1).await.map(|swept| swept.next_due).ok(), Some(Some(secs(0))));
    assert_eq!(bench.sweep().await.next_due, Some(secs(19)));
}

/// When somebody sets the clock back, tasks wait longer, but all of them run, and no lease is lost by it.
pub async fn a_clock_set_back_loses_nothing(bench: Bench<'_>) {
    let start = bench.env.now();
    let delayed = bench.enqueue(NewTask { delay: secs(10), ..bench.task() }).await;
    let worker = bench.worker().await;
    let running = bench.add().await;
    assert_eq!(bench.claim_ids(worker, ALL).await, [running]);
    bench.time.set(start.saturating_sub(secs(3600)));
    assert_eq!(bench.sweep().await, gristmill_core::Swept { next_due: Some(secs(3610)), ..Default::default() });
    let ready = bench.add().await;
    bench.beat(worker).await;
    assert_eq!(bench.claim_ids(worker, ALL).await, [ready]);
    bench.time.set(start.saturating_add(LEASE));
    assert_eq!(bench.sweep().await.promoted, 1);
    assert_eq!(bench.state(delayed).await, State::Ready);
    // By the clock the lease is over, but the clock was set: whoever lives is heard of within a lease.
    assert_eq!(bench.state(running).await, State::Running);
    bench.pass(LEASE);
    assert_eq!(bench.sweep().await.rescued, 2);
    assert_eq!(bench.state(running).await, State::Ready, "nobody was heard of");
}

/// The end of time is a time like any other, and counting beyond it stops there.
pub async fn the_farthest_instant_is_kept(bench: Bench<'_>) {
    let task = NewTask { run_at: Some(Timestamp::MAX), expires: Some(secs(1)), ..bench.task() };
    let id = bench.enqueue(task).await;
    let far = bench.enqueue(NewTask { delay: gristmill_core::limits::DURATION_MAX, ..bench.task() }).await;
    assert_eq!(bench.get(id).await.run_at, Timestamp::MAX);
    assert_eq!(bench.state(far).await, State::Scheduled);
}
