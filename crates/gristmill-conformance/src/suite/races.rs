//! Two processes at once on the same tasks: each task has one fate, and both sides are told the truth.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use gristmill_core::{
    AttemptState, CancelOutcome, Claimed, Ending, EnqueueOutcome, LeaseRef, NewTask, Note, RetryOutcome, Settled, Settlement,
    State, Store, TaskId,
};

use super::bench::{ALL, Bench, LEASE, QUEUE, secs};
use super::list;
use crate::source::settle_all;

list![
    two_rescuers_rescue_once,
    a_rescuer_and_a_settler_agree,
    two_settlers_settle_once,
    a_success_bears_a_cancellation_and_notes_beside_it,
    a_canceller_and_a_claimer_agree,
    two_cancellers_cancel_once,
    two_promoters_promote_once,
    a_retry_and_a_prune_agree,
    a_pause_and_a_claim_agree,
    one_that_leaves_and_a_settler_agree,
    the_same_ids_in_opposite_orders_are_made_once,
    several_workers_share_nothing,
];

/// Often enough that most orders of the two sides come up.
const ROUNDS: usize = 25;
/// Tasks of each round.
const TASKS: usize = 6;

/// Two sweeps find the same dead worker, and each of its tasks crashes once.
pub async fn two_rescuers_rescue_once(bench: Bench<'_>) {
    let other = bench.other().await;
    for _ in 0..ROUNDS {
        let held = held(&bench).await;
        bench.pass(LEASE);
        let (a, b) = tokio::join!(bench.store.sweep(ALL), late(&bench, other.sweep(ALL)));
        let (a, b) = (a.expect("sweep"), b.expect("sweep"));
        assert_eq!(a.rescued + b.rescued, TASKS, "each lease is rescued once");
        for lease in &held {
            ran(&bench, lease.id, State::Ready, &[AttemptState::Crashed]).await;
        }
        empty(&bench).await;
    }
}

/// A worker that is late with its settlement and whoever rescues its tasks: one of them has each task.
pub async fn a_rescuer_and_a_settler_agree(bench: Bench<'_>) {
    let other = bench.other().await;
    for round in 0..ROUNDS {
        let held = held(&bench).await;
        bench.pass(LEASE);
        // One is settled the long way, every second time.
        let ending = |n| if n == 0 && round % 2 == 0 { Ending::Failed } else { Ending::Succeeded };
        let batch = held.iter().enumerate().map(|(n, lease)| Settlement::new(*lease, ending(n))).collect();
        let (settled, swept) = tokio::join!(late(&bench, settle_all(&*bench.store, batch)), late(&bench, other.sweep(ALL)));
        let swept = swept.expect("sweep");
        let mut crashed = 0;
        for (lease, settled) in held.iter().zip(settled) {
            match settled {
                Settled::Done(State::Failed) => ran(&bench, lease.id, State::Failed, &[AttemptState::Failed]).await,
                Settled::Done(_) => ran(&bench, lease.id, State::Succeeded, &[AttemptState::Succeeded]).await,
                Settled::LeaseLost | Settled::Later => {
                    crashed += 1;
                    ran(&bench, lease.id, State::Ready, &[AttemptState::Crashed]).await;
                }
            }
        }
        assert_eq!(swept.rescued, crashed, "what was not settled was rescued, and nothing besides");
        empty(&bench).await;
    }
}

/// The same settlements twice: one side has written each of them.
pub async fn two_settlers_settle_once(bench: Bench<'_>) {
    let other = bench.other().await;
    for _ in 0..ROUNDS {
        let held = held(&bench).await;
        let batch = |ending| held.iter().map(|lease| Settlement::new(*lease, ending)).collect::<Vec<_>>();
        let (succeeded, failed) = (batch(Ending::Succeeded), batch(Ending::Failed));
        let (a, b) = tokio::join!(settle_all(&*bench.store, succeeded), late(&bench, settle_all(&*other, failed)));
        for (lease, answers) in held.iter().zip(a.into_iter().zip(b)) {
            match answers {
                (Settled::Done(_), Settled::LeaseLost) => {
                    ran(&bench, lease.id, State::Succeeded, &[AttemptState::Succeeded]).await;
                }
                (Settled::LeaseLost, Settled::Done(_)) => ran(&bench, lease.id, State::Failed, &[AttemptState::Failed]).await,
                both => panic!("a lease that was settled by both sides or none: {both:?}"),
            }
        }
    }
}

/// Leases that change while they are settled are settled all the same.
pub async fn a_success_bears_a_cancellation_and_notes_beside_it(bench: Bench<'_>) {
    let other = bench.other().await;
    for _ in 0..ROUNDS {
        let held = held(&bench).await;
        let ids: Vec<_> = held.iter().rev().map(|lease| lease.id).collect();
        let notes = held.iter().map(|lease| Note { lease: *lease, logs: Some("noted".to_owned()), progress: None });
        let batch = held.iter().map(|lease| Settlement::new(*lease, Ending::Succeeded)).collect();
        let (settled, cancelled, noted) = tokio::join!(
            late(&bench, settle_all(&*bench.store, batch)),
            late(&bench, other.cancel(&ids)),
            late(&bench, other.note(notes.collect())),
        );
        let (cancelled, noted) = (cancelled.expect("cancel"), noted.expect("note"));
        assert_eq!(settled, vec![Settled::Done(State::Succeeded); TASKS], "a success wins");
        for answer in cancelled {
            assert!(matches!(answer, CancelOutcome::CancelRequested | CancelOutcome::AlreadyEnded), "{answer:?}");
        }
        for (lease, noted) in held.iter().zip(noted) {
            ran(&bench, lease.id, State::Succeeded, &[AttemptState::Succeeded]).await;
            let logs = bench.get(lease.id).await.attempts[0].logs.clone();
            assert_eq!(logs.is_some(), noted, "a note is kept with its attempt, or refused");
        }
    }
}

/// What is acknowledged as cancelled never starts, and what started is asked to stop.
pub async fn a_canceller_and_a_claimer_agree(bench: Bench<'_>) {
    let other = bench.other().await;
    for _ in 0..ROUNDS {
        let (worker, ids) = (bench.worker().await, added(&bench).await);
        let claim = bench.wanted(worker, ALL);
        let (claimed, cancelled) = tokio::join!(late(&bench, bench.store.claim(&claim)), late(&bench, other.cancel(&ids)));
        let claimed = leases(&claimed.expect("claim"));
        let started: BTreeSet<TaskId> = claimed.iter().map(|lease| lease.id).collect();
        for (id, outcome) in ids.iter().zip(cancelled.expect("cancel")) {
            let expected = if started.contains(id) { CancelOutcome::CancelRequested } else { CancelOutcome::Cancelled };
            assert_eq!(outcome, expected);
        }
        let pulse = bench.store.heartbeat(worker, LEASE).await.expect("heartbeat");
        assert_eq!(pulse.cancel.len(), claimed.len(), "all that started is asked to stop");
        for lease in claimed {
            assert_eq!(bench.settle(lease, Ending::Cancelled).await, Settled::Done(State::Cancelled));
        }
        for id in ids {
            ran(&bench, id, State::Cancelled, &[AttemptState::Cancelled]).await;
        }
    }
}

/// Two who cancel the same tasks in opposite orders: one of them did it.
pub async fn two_cancellers_cancel_once(bench: Bench<'_>) {
    let other = bench.other().await;
    for _ in 0..ROUNDS {
        let ids = added(&bench).await;
        let reversed: Vec<_> = ids.iter().rev().copied().collect();
        let (a, b) = tokio::join!(bench.store.cancel(&ids), late(&bench, other.cancel(&reversed)));
        for ((id, a), b) in ids.iter().zip(a.expect("cancel")).zip(b.expect("cancel").into_iter().rev()) {
            let both = [a, b];
            assert!(
                both.contains(&CancelOutcome::Cancelled) && both.contains(&CancelOutcome::AlreadyEnded),
                "one cancelled it, and the other is told so: {both:?}"
            );
            ran(&bench, *id, State::Cancelled, &[AttemptState::Cancelled]).await;
        }
    }
}

/// What is due becomes ready once.
pub async fn two_promoters_promote_once(bench: Bench<'_>) {
    let other = bench.other().await;
    for _ in 0..ROUNDS {
        let later = (0..TASKS).map(|_| NewTask { delay: secs(5), ..bench.task() }).collect();
        bench.enqueue_all(later).await;
        bench.pass(secs(5));
        let (a, b) = tokio::join!(bench.store.sweep(ALL), late(&bench, other.sweep(ALL)));
        assert_eq!(a.expect("sweep").promoted + b.expect("sweep").promoted, TASKS);
        assert_eq!(empty(&bench).await, TASKS, "each is claimed once");
    }
}

/// A task whose time is over is made ready again or is gone, and never half of each.
pub async fn a_retry_and_a_prune_agree(bench: Bench<'_>) {
    let other = bench.other().await;
    for _ in 0..ROUNDS {
        let worker = bench.worker().await;
        let ids = added(&bench).await;
        let batch = leases(&bench.claim(worker, ALL).await).iter().map(|lease| Settlement::new(*lease, Ending::Failed)).collect();
        settle_all(&*bench.store, batch).await;
        bench.pass(secs(400 * 86_400));
        let (retried, pruned) = tokio::join!(late(&bench, bench.store.retry(&ids)), late(&bench, other.prune(ALL)));
        pruned.expect("prune");
        for (id, outcome) in ids.iter().zip(retried.expect("retry")) {
            match outcome {
                RetryOutcome::Ready => ran(&bench, *id, State::Ready, &[AttemptState::Failed]).await,
                RetryOutcome::NotFound => assert_eq!(bench.find(*id).await, None),
                RetryOutcome::NotEnded => panic!("it had ended"),
            }
        }
        empty(&bench).await;
    }
}

/// Once a pause is acknowledged nothing more is claimed, and what was claimed meanwhile is kept.
pub async fn a_pause_and_a_claim_agree(bench: Bench<'_>) {
    let other = bench.other().await;
    for _ in 0..ROUNDS {
        let worker = bench.worker().await;
        let mut ids: BTreeSet<TaskId> = added(&bench).await.into_iter().collect();
        let claim = bench.wanted(worker, TASKS / 2);
        let (claimed, paused) = tokio::join!(late(&bench, bench.store.claim(&claim)), late(&bench, other.pause(QUEUE, true)));
        paused.expect("pause");
        assert_eq!(bench.claim_ids(worker, ALL).await, [], "the queue is paused");
        other.pause(QUEUE, false).await.expect("pause");
        let rest = bench.claim(worker, ALL).await;
        for claimed in claimed.expect("claim").iter().chain(&rest) {
            assert!(ids.remove(&claimed.lease.id), "a task was claimed twice");
            assert_eq!(bench.settle(claimed.lease, Ending::Succeeded).await, Settled::Done(State::Succeeded));
        }
        assert!(ids.is_empty(), "{ids:?} are lost");
    }
}

/// A worker that leaves gives back what it has not settled.
pub async fn one_that_leaves_and_a_settler_agree(bench: Bench<'_>) {
    let other = bench.other().await;
    for _ in 0..ROUNDS {
        let worker = bench.worker().await;
        added(&bench).await;
        let held = leases(&bench.claim(worker, ALL).await);
        let batch = held.iter().map(|lease| Settlement::new(*lease, Ending::Succeeded)).collect();
        let (settled, released) = tokio::join!(late(&bench, settle_all(&*bench.store, batch)), late(&bench, other.leave(worker)));
        let mut lost = 0;
        for (lease, settled) in held.iter().zip(settled) {
            lost += u64::from(settled == Settled::LeaseLost);
            match settled {
                Settled::Done(_) => ran(&bench, lease.id, State::Succeeded, &[AttemptState::Succeeded]).await,
                Settled::LeaseLost | Settled::Later => ran(&bench, lease.id, State::Ready, &[AttemptState::Released]).await,
            }
        }
        assert_eq!(released.expect("leave"), lost);
        empty(&bench).await;
    }
}

/// Two clients with the same batch, one of them backwards: each task is made once, and nobody is sent away.
pub async fn the_same_ids_in_opposite_orders_are_made_once(bench: Bench<'_>) {
    let other = bench.other().await;
    for _ in 0..ROUNDS {
        let tasks: Vec<_> = (0..100).map(|_| bench.task()).collect();
        let reversed: Vec<_> = tasks.iter().rev().cloned().collect();
        let (a, b) = tokio::join!(bench.store.enqueue(tasks.clone()), late(&bench, other.enqueue(reversed)));
        let outcomes = a.expect("enqueue").into_iter().zip(b.expect("enqueue").into_iter().rev());
        for (task, (a, b)) in tasks.iter().zip(outcomes) {
            let both = [a, b];
            let exists = EnqueueOutcome::Exists(task.id);
            assert!(both.contains(&EnqueueOutcome::Created) && both.contains(&exists), "{both:?}");
        }
        assert_eq!(empty(&bench).await, tasks.len());
    }
}

/// Workers of two processes that empty a queue together run each task once.
pub async fn several_workers_share_nothing(bench: Bench<'_>) {
    let other = bench.other().await;
    let tasks: Vec<_> = (0..500).map(|_| bench.task()).collect();
    let ids: Vec<_> = tasks.iter().map(|task| task.id).collect();
    bench.enqueue_all(tasks).await;
    let work = async |store: Arc<dyn Store>, batch| {
        let worker = bench.worker().await;
        let mut done = 0;
        loop {
            let held = leases(&store.claim(&bench.wanted(worker, batch)).await.expect("claim"));
            if held.is_empty() {
                return done;
            }
            done += held.len();
            let batch = held.iter().map(|lease| Settlement::new(*lease, Ending::Succeeded)).collect();
            let settled = settle_all(&*store, batch).await;
            assert!(settled.iter().all(|settled| *settled == Settled::Done(State::Succeeded)));
        }
    };
    let (store, more) = (bench.store.clone(), other.clone());
    let (a, b, c, d) = tokio::join!(work(store.clone(), 7), work(store, 20), work(more, 11), work(other, 3));
    assert_eq!(a + b + c + d, ids.len());
    for id in ids {
        ran(&bench, id, State::Succeeded, &[AttemptState::Succeeded]).await;
    }
}

/// Something that begins a little later, each time by another while, so that neither side always comes first.
async fn late<T>(bench: &Bench<'_>, what: impl Future<Output = T>) -> T {
    tokio::time::sleep(Duration::from_millis(3).mul_f64(bench.env.random())).await;
    what.await
}

async fn added(bench: &Bench<'_>) -> Vec<TaskId> {
    let tasks: Vec<_> = (0..TASKS).map(|_| bench.task()).collect();
    let ids = tasks.iter().map(|task| task.id).collect();
    bench.enqueue_all(tasks).await;
    ids
}

/// The leases of new tasks that a new worker runs.
async fn held(bench: &Bench<'_>) -> Vec<LeaseRef> {
    let worker = bench.worker().await;
    let ids = added(bench).await;
    let held = leases(&bench.claim(worker, ALL).await);
    assert_eq!(held.iter().map(|lease| lease.id).collect::<Vec<_>>(), ids, "nothing else is ready");
    assert!(bench.store.start(&held).await.expect("start").iter().all(|started| *started));
    held
}

fn leases(claimed: &[Claimed]) -> Vec<LeaseRef> {
    claimed.iter().map(|claimed| claimed.lease).collect()
}

/// Asserts where a task stands and what its history says, with nothing doubled and no gap.
async fn ran(bench: &Bench<'_>, id: TaskId, state: State, history: &[AttemptState]) {
    let task = bench.get(id).await;
    assert_eq!(task.state, state);
    assert_eq!(task.attempts.iter().map(|row| row.state).collect::<Vec<_>>(), history);
    assert_eq!(task.attempts.iter().map(|row| row.claim_no).collect::<Vec<_>>(), (1..=history.len() as u32).collect::<Vec<_>>());
}

/// Runs all that is ready, and says how many that were.
async fn empty(bench: &Bench<'_>) -> usize {
    let worker = bench.worker().await;
    let held = leases(&bench.claim(worker, ALL).await);
    let batch = held.iter().map(|lease| Settlement::new(*lease, Ending::Succeeded)).collect();
    let settled = settle_all(&*bench.store, batch).await;
    assert!(settled.iter().all(|settled| matches!(settled, Settled::Done(State::Succeeded))));
    held.len()
}
