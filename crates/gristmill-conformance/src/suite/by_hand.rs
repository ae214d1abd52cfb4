//! What operators do by hand to what nothing else sets free.

use gristmill_core::{
    Ack, AttemptState, CancelOutcome, DeleteOutcome, Ending, EnqueueOutcome, Filter, Hold, NewTask, Pulse, ReleaseOutcome,
    Settled, State, TaskId, TaskMeta,
};

use super::bench::{ALL, Bench, LEASE, secs};
use super::list;

list![
    a_released_task_is_taken_from_its_worker_at_no_cost,
    a_release_of_what_must_not_run_again_ends_it,
    a_scheduled_task_that_is_released_waits_no_longer,
    a_release_leaves_alone_what_neither_runs_nor_is_scheduled,
    what_is_deleted_is_gone_and_what_has_not_ended_stays,
    ids_are_found_by_their_beginning,
    a_forgotten_worker_has_died,
    a_forgotten_worker_that_held_much_holds_nothing,
];

async fn release(bench: &Bench<'_>, id: gristmill_core::TaskId) -> ReleaseOutcome {
    let outcomes = bench.store.release(&[id]).await.expect("release");
    assert_eq!(outcomes.len(), 1, "one answer a task");
    outcomes[0]
}

/// The next claim has it with the same number of attempts, and what its worker says of it is refused. The rest of what that one
/// holds is left alone.
pub async fn a_released_task_is_taken_from_its_worker_at_no_cost(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let (id, other) = (bench.add().await, bench.add().await);
    let held = bench.claim(worker, ALL).await;
    assert_eq!(release(&bench, id).await, ReleaseOutcome::Released);
    assert_eq!(release(&bench, id).await, ReleaseOutcome::Waits);
    let task = bench.get(id).await;
    assert_eq!((task.state, task.attempt, task.crashes), (State::Ready, 0, 0));
    assert_eq!(task.attempts.iter().map(|row| row.state).collect::<Vec<_>>(), [AttemptState::Released]);
    assert_eq!(bench.settle(held[0].lease, Ending::Succeeded).await, Settled::LeaseLost);
    let again = bench.claim_one(worker).await;
    assert_eq!((again.lease.id, again.attempt, again.claim_no), (id, 1, 2));
    for lease in [again.lease, held[1].lease] {
        assert_eq!(bench.settle(lease, Ending::Succeeded).await, Settled::Done(State::Succeeded));
    }
    assert_eq!(release(&bench, other).await, ReleaseOutcome::AlreadyEnded);
    assert_eq!(release(&bench, bench.env.task_id()).await, ReleaseOutcome::NotFound);
}

/// It is with a release by hand as with a worker that stops.
pub async fn a_release_of_what_must_not_run_again_ends_it(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let once = bench.enqueue(NewTask { ack: Ack::Early, ..bench.task() }).await;
    let lease = bench.claim_one(worker).await.lease;
    assert_eq!(bench.store.start(&[lease]).await.expect("start"), [true]);
    let cancelled = bench.add().await;
    bench.claim_one(worker).await;
    assert_eq!(bench.store.cancel(&[cancelled]).await.expect("cancel"), [CancelOutcome::CancelRequested]);
    for (id, state) in [(once, State::Failed), (cancelled, State::Cancelled)] {
        assert_eq!(release(&bench, id).await, ReleaseOutcome::Ended);
        assert_eq!(bench.state(id).await, state);
    }
    assert_eq!(bench.claim_ids(worker, ALL).await, []);
}

/// Whether it was enqueued for later or is to be retried later, and with a limit as far as that lets it.
pub async fn a_scheduled_task_that_is_released_waits_no_longer(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let later = bench.enqueue(NewTask { delay: secs(1_000_000), ..bench.task() }).await;
    let retried = bench.add().await;
    let lease = bench.claim_one(worker).await.lease;
    bench.settle(lease, Ending::Retry { delay: secs(1_000_000) }).await;
    let limited = Hold { limited: true, ..Hold::default() };
    let limited = bench.enqueue(NewTask { delay: secs(1_000_000), hold: limited, ..bench.task() }).await;
    let answers = bench.store.release(&[later, retried, limited]).await.expect("release");
    assert_eq!(answers, [ReleaseOutcome::Released; 3]);
    assert_eq!(bench.state(limited).await, State::Waiting);
    let now = bench.env.now();
    for id in [later, retried, limited] {
        assert_eq!(bench.get(id).await.run_at, now, "it is due when it was released, or was before");
    }
    assert_eq!(bench.claim_ids(worker, ALL).await, [later, retried]);
    assert_eq!(bench.sweep().await.next_due, None);
}

/// Nothing would be gained by it.
pub async fn a_release_leaves_alone_what_neither_runs_nor_is_scheduled(bench: Bench<'_>) {
    let ready = bench.add().await;
    let on_hold = |blocked, limited| NewTask { hold: Hold { blocked, limited }, ..bench.task() };
    let blocked = bench.enqueue(on_hold(true, false)).await;
    let waiting = bench.enqueue(on_hold(false, true)).await;
    let answers = bench.store.release(&[ready, blocked, waiting]).await.expect("release");
    assert_eq!(answers, [ReleaseOutcome::Waits; 3]);
    for (id, state) in [(ready, State::Ready), (blocked, State::Blocked), (waiting, State::Waiting)] {
        assert_eq!(bench.state(id).await, state);
    }
}

/// What it ran has crashed, whether its lease was over or not; it is told so if it lives, and nobody else notices.
pub async fn a_forgotten_worker_has_died(bench: Bench<'_>) {
    let (worker, other) = (bench.worker().await, bench.worker().await);
    let (id, kept) = (bench.add().await, bench.add().await);
    let lost = bench.claim_one(worker).await.lease;
    let held = bench.claim_one(other).await;
    assert_eq!(held.lease.id, kept);
    assert_eq!(bench.store.forget_worker(worker).await.ok(), Some(Some(1)));
    assert_eq!(bench.store.forget_worker(worker).await.ok(), Some(None), "there is none any more");
    let task = bench.get(id).await;
    assert_eq!((task.state, task.attempt, task.crashes), (State::Ready, 1, 1));
    assert_eq!(bench.settle(lost, Ending::Succeeded).await, Settled::LeaseLost);
    let told = bench.store.heartbeat(worker, LEASE).await.expect("heartbeat");
    assert_eq!(told, Pulse::default());
    assert!(bench.store.claim(&bench.wanted(worker, ALL)).await.is_err());
    let workers = bench.store.workers().await.expect("workers");
    assert_eq!(workers.iter().map(|worker| worker.id.clone()).collect::<Vec<_>>(), [other.to_string()]);
    assert_eq!(bench.settle(held.lease, Ending::Succeeded).await, Settled::Done(State::Succeeded));
}

/// However many they are, none is left behind, and those that ended with it are told like others.
pub async fn a_forgotten_worker_that_held_much_holds_nothing(bench: Bench<'_>) {
    let worker = bench.worker().await;
    for _ in 0..3 {
        bench.enqueue_all((0..ALL).map(|_| bench.task()).collect()).await;
        assert_eq!(bench.claim(worker, ALL).await.len(), ALL);
    }
    let last = bench.enqueue(NewTask { max_crashes: 1, ..bench.task() }).await;
    let lease = bench.claim_one(worker).await.lease;
    assert_eq!(lease.id, last);
    assert_eq!(bench.store.forget_worker(worker).await.ok(), Some(Some(3 * ALL as u64 + 1)));
    assert_eq!(bench.state(last).await, State::Failed);
    assert_eq!(bench.sweep().await.ended, [last]);
    let fresh = bench.worker().await;
    assert_eq!(bench.claim(fresh, ALL).await.len(), ALL);
}

/// With its history and all under which it is filed, so that its id is free again.
pub async fn what_is_deleted_is_gone_and_what_has_not_ended_stays(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let meta = Some(Box::new(TaskMeta { tags: vec!["gone".to_owned()], ..TaskMeta::default() }));
    let tagged = NewTask { meta, ..bench.task() };
    let failed = bench.ended(worker, tagged.clone(), Ending::Failed).await;
    let retried = bench.add().await;
    let lease = bench.claim_one(worker).await.lease;
    bench.settle(lease, Ending::Retry { delay: secs(9) }).await;
    let running = bench.add().await;
    bench.claim_one(worker).await;
    let ready = bench.add().await;
    let ids = [failed, retried, failed, running, ready, bench.env.task_id()];
    let outcomes = bench.store.delete(&ids).await.expect("delete");
    let expected = [
        DeleteOutcome::Deleted,
        DeleteOutcome::NotEnded,
        DeleteOutcome::NotFound,
        DeleteOutcome::NotEnded,
        DeleteOutcome::NotEnded,
        DeleteOutcome::NotFound,
    ];
    assert_eq!(outcomes, expected);
    assert_eq!(bench.find(failed).await, None);
    assert_eq!(bench.list(&Filter { tag: Some("gone".to_owned()), ..Filter::default() }).await, []);
    assert_eq!(bench.list(&Filter::default()).await, [ready, running, retried]);
    assert_eq!(bench.store.retry(&[failed]).await.expect("retry"), [gristmill_core::RetryOutcome::NotFound]);
    let again = bench.store.enqueue(vec![NewTask { id: failed, args: "{}".to_owned(), ..tagged }]).await.expect("enqueue");
    assert_eq!(again, [EnqueueOutcome::Created]);
    assert!(bench.get(failed).await.attempts.is_empty());
}

/// Bounded, in the order of the ids, and both ends included.
pub async fn ids_are_found_by_their_beginning(bench: Bench<'_>) {
    let id = |text: &str| text.parse::<TaskId>().expect("an id");
    let ids =
        ["019a0000-0000-7000-8000-000000000001", "019a0000-0000-7000-8000-0000000000ff", "019b0000-0000-4000-8000-000000000000"];
    for text in [ids[1], ids[2], ids[0]] {
        bench.enqueue(NewTask { id: id(text), ..bench.task() }).await;
    }
    let begin = async |text: &str, limit| {
        let (first, last) = TaskId::range_of(text).expect("a beginning");
        bench.store.ids_between(first, last, limit).await.expect("ids")
    };
    let [one, two, three] = ids.map(id);
    assert_eq!(begin("019", 9).await, [one, two, three]);
    assert_eq!(begin("019", 2).await, [one, two]);
    assert_eq!(begin("019a", 9).await, [one, two]);
    assert_eq!(begin(ids[1], 9).await, [two]);
    assert_eq!(begin("02", 9).await, []);
}
