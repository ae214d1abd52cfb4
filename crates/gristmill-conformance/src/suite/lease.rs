//! Leases: who holds a task, for how long, and that nobody else writes about it.

use gristmill_core::{
    AttemptState, Claim, Ending, FailureReason, LeaseRef, NewTask, Note, Progress, Pulse, Settled, Settlement, State,
    StoreErrorKind, Wanted, WorkerId,
};

use super::bench::{ALL, Bench, LEASE, QUEUE, secs};
use super::list;

list![
    a_heartbeat_keeps_all_that_a_worker_holds,
    a_heartbeat_from_beside_the_runtime_keeps_the_lease,
    a_dead_worker_is_told_so_and_stays_dead,
    a_late_heartbeat_is_in_time_as_long_as_nobody_took_its_tasks,
    the_tasks_of_a_dead_worker_run_again,
    a_crash_is_an_attempt_and_ends_at_its_limit,
    crashes_use_up_no_attempts,
    a_released_task_was_no_crash,
    leaving_gives_everything_back,
    a_stale_lease_changes_nothing,
    a_worker_that_slept_for_three_leases_changes_nothing,
    a_guessed_lease_changes_nothing,
    another_claim_of_the_same_worker_is_another_lease,
    a_sweep_rescues_no_more_than_asked,
    a_worker_long_dead_is_rescued_all_the_same,
];

/// One heartbeat a worker extends the lease of everything it holds.
pub async fn a_heartbeat_keeps_all_that_a_worker_holds(bench: Bench<'_>) {
    let worker = bench.worker().await;
    for _ in 0..3 {
        bench.add().await;
    }
    let claimed = bench.claim(worker, ALL).await;
    for _ in 0..5 {
        bench.pass(LEASE - secs(1));
        bench.beat(worker).await;
        assert_eq!(bench.sweep().await.rescued, 0);
    }
    for claimed in claimed {
        assert_eq!(bench.settle(claimed.lease, Ending::Succeeded).await, Settled::Done(State::Succeeded));
    }
}

/// A worker whose runtime is held up beats from beside it, and is told as ever what to cancel.
pub async fn a_heartbeat_from_beside_the_runtime_keeps_the_lease(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.add().await;
    let lease = bench.claim_one(worker).await.lease;
    for _ in 0..3 {
        bench.pass(LEASE - secs(1));
        assert_eq!(beat_apart(&bench, worker), Pulse { alive: true, ..Pulse::default() });
        assert_eq!(bench.sweep().await.rescued, 0);
    }
    bench.store.cancel(&[id]).await.expect("the store answers");
    assert_eq!(beat_apart(&bench, worker), Pulse { alive: true, cancel: vec![lease], ..Pulse::default() });
}

/// This thread waits meanwhile, and with it the runtime, unless it has others.
pub(super) fn beat_apart(bench: &Bench<'_>, worker: WorkerId) -> Pulse {
    let store = &bench.store;
    let beat = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(store.heartbeat_apart(worker, LEASE))
    };
    std::thread::scope(|scope| scope.spawn(beat).join().expect("it does not panic")).expect("the store answers")
}

/// A heartbeat revives nobody who was taken for dead, even if he held nothing, nor does one of a stranger.
pub async fn a_dead_worker_is_told_so_and_stays_dead(bench: Bench<'_>) {
    let dead = Pulse::default();
    let (worker, idle) = (bench.worker().await, bench.worker().await);
    bench.add().await;
    bench.claim_one(worker).await;
    bench.pass(LEASE);
    assert_eq!(bench.sweep().await.rescued, 1);
    for worker in [worker, idle, worker] {
        assert_eq!(bench.store.heartbeat(worker, LEASE).await.ok(), Some(dead.clone()));
    }
    let error = bench.store.claim(&bench.wanted(worker, ALL)).await.expect_err("it is not alive");
    assert_eq!(error.kind(), StoreErrorKind::Invalid, "{error}");
    assert_eq!(bench.store.heartbeat(bench.env.worker_id(), LEASE).await.ok(), Some(dead));
}

/// A lease that is over by the clock is no more than a reason to look: as long as nobody has done that, the worker has it still.
pub async fn a_late_heartbeat_is_in_time_as_long_as_nobody_took_its_tasks(bench: Bench<'_>) {
    let worker = bench.worker().await;
    bench.add().await;
    let held = bench.claim_one(worker).await;
    bench.pass(LEASE * 2);
    bench.beat(worker).await;
    assert_eq!(bench.sweep().await.rescued, 0);
    bench.add().await;
    assert_eq!(bench.claim_ids(worker, ALL).await.len(), 1);
    assert_eq!(bench.settle(held.lease, Ending::Succeeded).await, Settled::Done(State::Succeeded));
}

/// What a worker held when it died is ready again for the others, as a further attempt.
pub async fn the_tasks_of_a_dead_worker_run_again(bench: Bench<'_>) {
    let spec = bench.worker_spec(&[QUEUE], &["work"]);
    bench.store.enter(&spec).await.expect("the store answers");
    let id = bench.add().await;
    let claimed_at = bench.env.now();
    bench.claim_one(spec.id).await;
    assert_eq!(bench.die().await.rescued, 1);
    let task = bench.get(id).await;
    assert_eq!((task.state, task.attempt, task.crashes), (State::Ready, 1, 1));
    let [row] = task.attempts.as_slice() else { panic!("one attempt crashed, and the task has {:?}", task.attempts) };
    assert_eq!((row.state, row.worker.as_ref()), (AttemptState::Crashed, Some(&spec.name)));
    assert_eq!((row.started_at, row.finished_at), (Some(claimed_at), Some(bench.env.now())));
    assert_eq!(row.error.as_ref().map(|error| error.reason), Some(FailureReason::Crashed));
    let other = bench.worker().await;
    let again = bench.claim_one(other).await;
    assert_eq!((again.lease.id, again.attempt, again.claim_no, again.crashes), (id, 2, 2, 1));
    assert!(again.report_start, "a task that crashed before says when it starts");
}

/// A task that kills its workers ends in `failed`, for the reason that it crashed, and not in a loop.
pub async fn a_crash_is_an_attempt_and_ends_at_its_limit(bench: Bench<'_>) {
    let id = bench.enqueue(NewTask { max_crashes: 3, ..bench.task() }).await;
    for crashes in 1..=3 {
        let worker = bench.worker().await;
        let claimed = bench.claim_one(worker).await;
        assert_eq!(claimed.attempt, crashes);
        assert_eq!(bench.store.start(&[claimed.lease]).await.expect("the store answers"), [true]);
        let told = bench.die().await.ended;
        assert_eq!(told, if crashes == 3 { vec![id] } else { Vec::new() }, "a sweep names what ended with it");
        assert_eq!(bench.get(id).await.crashes, crashes);
    }
    let task = bench.get(id).await;
    assert_eq!((task.state, task.ended_at), (State::Failed, Some(bench.env.now())));
    assert_eq!(task.error.map(|error| error.reason), Some(FailureReason::Crashed));
    let worker = bench.worker().await;
    assert_eq!(bench.claim_ids(worker, ALL).await, []);
}

/// Attempts that crashed leave all of `max_attempts` to those that fail.
pub async fn crashes_use_up_no_attempts(bench: Bench<'_>) {
    let id = bench.enqueue(NewTask { max_attempts: 1, max_crashes: 5, ..bench.task() }).await;
    for _ in 0..2 {
        let worker = bench.worker().await;
        let claimed = bench.claim_one(worker).await;
        assert_eq!(bench.store.start(&[claimed.lease]).await.expect("the store answers"), [true]);
        bench.die().await;
    }
    let worker = bench.worker().await;
    let claimed = bench.claim_one(worker).await;
    assert_eq!((claimed.attempt, claimed.crashes), (3, 2));
    assert_eq!(bench.settle(claimed.lease, Ending::Retry { delay: secs(0) }).await, Settled::Done(State::Failed));
    assert_eq!(bench.get(id).await.crashes, 2);
}

/// A worker that said goodbye in time left no crash behind.
pub async fn a_released_task_was_no_crash(bench: Bench<'_>) {
    let id = bench.enqueue(NewTask { max_crashes: 1, ..bench.task() }).await;
    let worker = bench.worker().await;
    bench.claim_one(worker).await;
    bench.store.leave(worker).await.expect("the store answers");
    assert_eq!(bench.die().await.rescued, 0);
    let task = bench.get(id).await;
    assert_eq!((task.state, task.attempt, task.crashes), (State::Ready, 0, 0));
}

/// A worker that leaves releases all that it holds at once, without burning an attempt, and only what is its own.
pub async fn leaving_gives_everything_back(bench: Bench<'_>) {
    let (stays, leaves) = (bench.worker().await, bench.worker().await);
    let ids = [bench.add().await, bench.add().await, bench.add().await];
    let kept = bench.claim_one(stays).await;
    assert_eq!(bench.claim(leaves, ALL).await.len(), 2);
    assert_eq!(bench.store.leave(leaves).await.ok(), Some(2));
    assert_eq!(bench.store.leave(leaves).await.ok(), Some(0), "leaving again leaves nothing");
    for id in &ids[1..] {
        let task = bench.get(*id).await;
        assert_eq!((task.state, task.attempt), (State::Ready, 0));
        assert_eq!(task.attempts.iter().map(|row| row.state).collect::<Vec<_>>(), [AttemptState::Released]);
    }
    assert_eq!(bench.claim_ids(stays, ALL).await, ids[1..]);
    assert_eq!(bench.settle(kept.lease, Ending::Succeeded).await, Settled::Done(State::Succeeded));
}

/// A worker that was stopped and comes back writes nothing: whatever took the lease from it, every operation is refused.
pub async fn a_stale_lease_changes_nothing(bench: Bench<'_>) {
    // Settled by its own worker, and by nobody since.
    let worker = bench.worker().await;
    let settled = settled_lease(&bench, Ending::Succeeded).await;
    let retried_later = settled_lease(&bench, Ending::Retry { delay: secs(1_000_000) }).await;
    let ready_again = settled_lease(&bench, Ending::Released).await;
    // Given back, and claimed again by the same worker: attempt number and worker are the same, the claim is not.
    bench.add().await;
    let released = bench.claim(worker, ALL).await;
    for claimed in &released {
        bench.settle(claimed.lease, Ending::Released).await;
    }
    bench.claim(worker, ALL).await;
    // Lost with its worker, and claimed by another.
    let dying = bench.worker().await;
    bench.add().await;
    let rescued = bench.claim_one(dying).await.lease;
    bench.pass(LEASE / 2);
    bench.beat(worker).await;
    bench.pass(LEASE / 2);
    assert_eq!(bench.sweep().await.rescued, 1);
    bench.beat(worker).await;
    refuses_everything(&bench, rescued, "rescued").await;
    bench.claim(worker, ALL).await;
    refuses_everything(&bench, rescued, "rescued and claimed again").await;
    refuses_everything(&bench, settled, "settled").await;
    refuses_everything(&bench, retried_later, "waiting for its retry").await;
    refuses_everything(&bench, ready_again, "released and claimed again").await;
    for claimed in released {
        refuses_everything(&bench, claimed.lease, "released and claimed again by the same worker").await;
    }
}

/// A process that was suspended wakes up and goes on as if nothing had happened: all that it does is refused.
pub async fn a_worker_that_slept_for_three_leases_changes_nothing(bench: Bench<'_>) {
    let sleeper = bench.worker().await;
    let ids = [bench.add().await, bench.add().await];
    let wanted = bench.wanted(sleeper, ALL);
    let stale: Vec<_> = bench.store.claim(&wanted).await.expect("claim").iter().map(|claimed| claimed.lease).collect();
    assert_eq!(bench.store.start(&stale).await.expect("the store answers"), [true, true]);
    bench.pass(LEASE * 3);
    assert_eq!(bench.sweep().await.rescued, 2);
    let other = bench.worker().await;
    // The first is another's now; the second waits.
    let lease = bench.claim_one(other).await.lease;
    assert_eq!(lease.id, ids[0]);
    let before = [bench.get(ids[0]).await, bench.get(ids[1]).await];
    for lease in stale {
        refuses_everything(&bench, lease, "of a worker that slept").await;
    }
    assert_eq!(bench.store.heartbeat(sleeper, LEASE).await.ok(), Some(Pulse::default()));
    for again in [false, true] {
        let error = bench.store.claim(&Claim { again, ..wanted.clone() }).await.expect_err("it is not alive");
        assert_eq!(error.kind(), StoreErrorKind::Invalid, "{error}");
    }
    assert_eq!(bench.store.leave(sleeper).await.ok(), Some(0), "it holds nothing that it could give back");
    assert_eq!([bench.get(ids[0]).await, bench.get(ids[1]).await], before);
    assert_eq!(bench.settle(lease, Ending::Succeeded).await, Settled::Done(State::Succeeded));
    assert_eq!(bench.get(ids[0]).await.crashes, 1);
}

/// The fence is the random part of the claim: the task, its attempt number and its row are not enough.
pub async fn a_guessed_lease_changes_nothing(bench: Bench<'_>) {
    let worker = bench.worker().await;
    bench.add().await;
    let lease = bench.claim_one(worker).await.lease;
    refuses_everything(&bench, LeaseRef { fence: bench.env.fence(), ..lease }, "of another claim").await;
    assert_eq!(bench.settle(lease, Ending::Succeeded).await, Settled::Done(State::Succeeded));
}

/// Two claims of one worker have two fences, and each settles its own tasks.
pub async fn another_claim_of_the_same_worker_is_another_lease(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let (_, b) = (bench.add().await, bench.add().await);
    let first = bench.claim_one(worker).await.lease;
    let second = bench.claim_one(worker).await.lease;
    assert_ne!(first.fence, second.fence);
    refuses_everything(&bench, LeaseRef { fence: first.fence, ..second }, "with the fence of another claim").await;
    assert_eq!(bench.settle(first, Ending::Succeeded).await, Settled::Done(State::Succeeded));
    assert_eq!(bench.state(b).await, State::Running);
}

/// The tasks of a worker that held many come back in bounded steps, the oldest first.
pub async fn a_sweep_rescues_no_more_than_asked(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(bench.add().await);
    }
    let wanted = vec![Wanted::new(QUEUE, ALL)];
    bench.store.claim(&Claim { worker, fence: bench.env.fence(), wanted, again: false }).await.expect("the store answers");
    bench.pass(LEASE);
    let fresh = bench.worker_spec(&[QUEUE], &["work"]);
    bench.store.enter(&fresh).await.expect("the store answers");
    for expected in [2, 2, 1, 0] {
        assert_eq!(bench.store.sweep(2).await.map(|swept| swept.rescued).ok(), Some(expected));
        let ready = bench.claim_ids(fresh.id, ALL).await;
        assert_eq!(ready, ids.drain(..expected).collect::<Vec<_>>());
    }
}

/// Dead workers are forgotten after a while, but not before what they held was taken from them.
pub async fn a_worker_long_dead_is_rescued_all_the_same(bench: Bench<'_>) {
    let worker = bench.worker().await;
    for _ in 0..3 {
        bench.add().await;
    }
    assert_eq!(bench.claim_ids(worker, ALL).await.len(), 3);
    bench.pass(secs(400 * 86_400));
    for expected in [1, 1, 1, 0] {
        assert_eq!(bench.store.sweep(1).await.map(|swept| swept.rescued).ok(), Some(expected));
    }
}

async fn settled_lease(bench: &Bench<'_>, ending: Ending) -> LeaseRef {
    let worker = bench.worker().await;
    bench.add().await;
    let lease = bench.claim_one(worker).await.lease;
    assert!(matches!(bench.settle(lease, ending).await, Settled::Done(_)));
    lease
}

/// Tries every write about an attempt with a lease that is not its own, and looks whether anything changed.
async fn refuses_everything(bench: &Bench<'_>, stale: LeaseRef, what: &str) {
    let before = bench.find(stale.id).await;
    let delay = secs(1);
    for ending in [
        Ending::Succeeded,
        Ending::Failed,
        Ending::Retry { delay },
        Ending::Snooze { delay },
        Ending::Released,
        Ending::Cancelled,
    ] {
        assert_eq!(bench.settle(stale, ending).await, Settled::LeaseLost, "a lease {what} was settled with {ending:?}");
    }
    let child = bench.task();
    let child_id = child.id;
    let success = Settlement {
        result: Some("1".to_owned()),
        logs: Some("stale".to_owned()),
        children: [child].into(),
        ..Settlement::new(stale, Ending::Succeeded)
    };
    assert_eq!(bench.settle_with(success).await, Settled::LeaseLost, "a lease {what} was settled with a result");
    assert_eq!(bench.find(child_id).await, None, "a lease {what} made a task");
    let started = bench.store.start(&[stale]).await.expect("the store answers");
    assert_eq!(started, [false], "a lease {what} was started");
    let progress = Some(Progress { done: 1, ..Progress::default() });
    let note = Note { lease: stale, logs: Some("stale".to_owned()), progress };
    assert_eq!(bench.store.note(vec![note]).await.expect("the store answers"), [false], "a lease {what} was noted");
    assert_eq!(bench.find(stale.id).await, before, "a lease {what} was refused and changed the task all the same");
}
