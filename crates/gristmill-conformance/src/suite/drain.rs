//! Workers that an operator asks to end.

use gristmill_core::{Drain, Ending, Pulse, Settled, State, WorkerId, WorkerSpec};

use super::bench::{ALL, Bench, KIND, LEASE, QUEUE};
use super::lease::beat_apart;
use super::list;

list![
    a_worker_hears_with_its_next_heartbeat_that_it_is_to_end,
    a_heartbeat_from_beside_the_runtime_hears_of_it_too,
    the_wish_is_for_one_worker_alone,
    who_is_not_there_is_not_asked,
];

async fn ask(bench: &Bench<'_>, worker: WorkerId) -> bool {
    bench.store.drain_worker(worker).await.expect("the store answers")
}

async fn heartbeat(bench: &Bench<'_>, worker: WorkerId) -> Pulse {
    bench.store.heartbeat(worker, LEASE).await.expect("the store answers")
}

/// How far a worker is, as an operator sees it.
async fn seen(bench: &Bench<'_>, worker: WorkerId) -> Option<Drain> {
    let workers = bench.store.workers().await.expect("the store answers");
    workers.iter().find(|info| info.id == worker.to_string()).expect("the worker is listed").drain
}

/// Whoever asks, and each time from then on, as an answer may get lost. What it holds stays its own, until it leaves.
pub async fn a_worker_hears_with_its_next_heartbeat_that_it_is_to_end(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let (running, buffered) = (bench.add().await, bench.add().await);
    let held = bench.claim(worker, ALL).await;
    assert_eq!((seen(&bench, worker).await, heartbeat(&bench, worker).await.drain), (None, false));
    assert!(bench.other().await.drain_worker(worker).await.expect("the store answers"));
    assert_eq!(seen(&bench, worker).await, Some(Drain::Asked));
    for _ in 0..2 {
        assert_eq!(heartbeat(&bench, worker).await, Pulse { alive: true, drain: true, ..Pulse::default() });
        assert_eq!(seen(&bench, worker).await, Some(Drain::Heard));
    }
    assert!(ask(&bench, worker).await, "again");
    assert_eq!(seen(&bench, worker).await, Some(Drain::Heard));
    bench.pass(LEASE / 2);
    assert_eq!(bench.sweep().await.rescued, 0);
    assert_eq!(bench.settle(held[0].lease, Ending::Succeeded).await, Settled::Done(State::Succeeded));
    assert_eq!(bench.store.leave(worker).await.ok(), Some(1));
    assert_eq!((bench.state(running).await, bench.state(buffered).await), (State::Succeeded, State::Ready));
    assert_eq!(bench.get(buffered).await.attempt, 0);
}

/// It ends as soon as its runtime comes to itself.
pub async fn a_heartbeat_from_beside_the_runtime_hears_of_it_too(bench: Bench<'_>) {
    let worker = bench.worker().await;
    assert!(ask(&bench, worker).await);
    assert_eq!(beat_apart(&bench, worker), Pulse { alive: true, drain: true, ..Pulse::default() });
    assert_eq!(seen(&bench, worker).await, Some(Drain::Heard));
}

/// It keeps it when it says anew what it serves. Others, and who comes after it under its name, go on.
pub async fn the_wish_is_for_one_worker_alone(bench: Bench<'_>) {
    let spec = bench.worker_spec(&[QUEUE], &[KIND]);
    bench.store.enter(&spec).await.expect("the store answers");
    let other = bench.worker().await;
    assert!(ask(&bench, spec.id).await);
    let more = WorkerSpec { queues: [("late".to_owned(), 1)].into(), ..spec };
    bench.store.enter(&more).await.expect("the store answers");
    assert_eq!(seen(&bench, more.id).await, Some(Drain::Asked));
    assert!(heartbeat(&bench, more.id).await.drain);
    let next = WorkerSpec { id: bench.env.worker_id(), ..more.clone() };
    bench.store.enter(&next).await.expect("the store answers");
    bench.store.leave(more.id).await.expect("the store answers");
    for worker in [other, next.id] {
        assert_eq!((heartbeat(&bench, worker).await.drain, seen(&bench, worker).await), (false, None));
    }
}

/// Neither one that never was, nor one that has left, nor one that was taken for dead.
pub async fn who_is_not_there_is_not_asked(bench: Bench<'_>) {
    let (left, dead) = (bench.worker().await, bench.worker().await);
    bench.store.leave(left).await.expect("the store answers");
    bench.pass(LEASE);
    bench.sweep().await;
    for worker in [bench.env.worker_id(), left, dead] {
        assert!(!ask(&bench, worker).await);
    }
    assert_eq!((seen(&bench, dead).await, heartbeat(&bench, dead).await), (None, Pulse::default()));
}
