//! Tasks that are moved to another queue.

use gristmill_core::{
    CancelOutcome, Claim, Ending, Filter, Hold, MoveOutcome, NewTask, Settled, State, TaskId, Wanted, WorkerId,
};

use super::bench::{ALL, Bench, KIND, QUEUE, secs};
use super::concurrency::need;
use super::list;
use MoveOutcome::{Moved, NotFound, Unchanged};

list![
    whatever_waits_is_moved,
    priority_and_order_stay,
    what_runs_stays_with_its_retries,
    what_nobody_serves_is_moved_to_who_serves_it,
    those_that_came_late_into_their_lines_can_meet,
    one_that_is_put_aside_keeps_its_place,
    only_what_waits_elsewhere_is_moved,
    limits_stay_as_they_are,
];

/// Where they are moved to.
const OTHER: &str = "other";

/// From each place to the same one, with what is known of the task but its queue.
pub async fn whatever_waits_is_moved(bench: Bench<'_>) {
    let ready = bench.add().await;
    let scheduled = bench.enqueue(NewTask { delay: secs(60), ..bench.task() }).await;
    let waiting = bench.enqueue(NewTask { hold: Hold { blocked: false, limited: true }, ..bench.task() }).await;
    let blocked = bench.enqueue(NewTask { hold: Hold { blocked: true, limited: false }, ..bench.task() }).await;
    let late = bench.enqueue(NewTask { expires: Some(secs(5)), ..bench.task() }).await;
    let all = [ready, scheduled, waiting, blocked, late];
    let mut before = Vec::new();
    for id in all {
        before.push(bench.get(id).await);
    }
    assert_eq!(move_to(&bench, &all, OTHER).await, [Moved; 5]);
    for task in &mut before {
        OTHER.clone_into(&mut task.queue);
        assert_eq!(bench.get(task.id).await, *task);
    }
    let of = |queue: &str| Filter { queue: Some(queue.to_owned()), ..Filter::default() };
    assert_eq!(bench.list(&of(QUEUE)).await, []);
    assert_eq!(bench.list(&of(OTHER)).await.len(), 5);
    let counts = bench.store.queues().await.expect("the store answers");
    let counts: Vec<_> = counts.iter().map(|of| (of.name.as_str(), of.ready, of.scheduled, of.waiting, of.blocked)).collect();
    assert_eq!(counts, [(QUEUE, 0, 0, 0, 0), (OTHER, 2, 1, 1, 1)]);
    // And each goes on there.
    bench.pass(secs(60));
    bench.sweep().await;
    assert_eq!(bench.state(late).await, State::Expired);
    bench.store.admit(&[waiting]).await.expect("admit");
    bench.store.unblock(&[blocked]).await.expect("unblock");
    let (here, there) = (bench.worker().await, bench.worker_for(&[OTHER], &[KIND]).await);
    assert_eq!(bench.claim_ids(here, ALL).await, []);
    // Those that were let go now stand behind those that were ready.
    assert_eq!(claim_ids(&bench, there).await, [ready, scheduled, waiting, blocked]);
    assert_eq!(bench.store.cancel(&[late]).await.expect("cancel"), [CancelOutcome::AlreadyEnded]);
}

/// Among themselves, and among those that are there, as if they had come there at first.
pub async fn priority_and_order_stay(bench: Bench<'_>) {
    let of = |queue: &str, priority| NewTask { queue: queue.to_owned(), priority, ..bench.task() };
    let mut ids = Vec::new();
    for (queue, priority) in [(QUEUE, 5), (OTHER, 5), (QUEUE, 9), (QUEUE, 1), (OTHER, 9), (QUEUE, 5), (OTHER, 1)] {
        ids.push(bench.enqueue(of(queue, priority)).await);
    }
    let [a, b, c, d, e, f, g] = ids[..] else { unreachable!("seven were enqueued") };
    // One has claimed there before, and looks for what comes behind.
    let worker = bench.worker_for(&[OTHER], &[KIND]).await;
    assert_eq!(move_to(&bench, &[f, c, a, d], OTHER).await, [Moved; 4]);
    assert_eq!(claim_ids(&bench, worker).await, [d, g, a, b, f, c, e]);
}

/// A running one is left to its queue, where it waits again after its attempt.
pub async fn what_runs_stays_with_its_retries(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.add().await;
    let claimed = bench.claim_one(worker).await;
    assert_eq!(move_to(&bench, &[id], OTHER).await, [Unchanged]);
    assert_eq!(bench.settle(claimed.lease, Ending::Released).await, Settled::Done(State::Ready));
    assert_eq!(bench.get(id).await.queue, QUEUE);
    // Waiting, it can be moved, and its later attempts are there.
    assert_eq!(move_to(&bench, &[id], OTHER).await, [Moved]);
    assert_eq!(bench.claim_ids(worker, ALL).await, []);
    let there = bench.worker_for(&[OTHER], &[KIND]).await;
    let claimed = bench.store.claim(&wanted(&bench, there)).await.expect("claim");
    assert_eq!(claimed.iter().map(|claimed| (claimed.lease.id, &*claimed.queue)).collect::<Vec<_>>(), [(id, OTHER)]);
    assert_eq!(bench.settle(claimed[0].lease, Ending::Released).await, Settled::Done(State::Ready));
    assert_eq!(claim_ids(&bench, there).await, [id]);
}

/// What was put out of the way where nobody serves its type is found where somebody does.
pub async fn what_nobody_serves_is_moved_to_who_serves_it(bench: Bench<'_>) {
    let unknown = bench.enqueue(NewTask { kind: "unknown".to_owned(), ..bench.task() }).await;
    let here = bench.worker().await;
    assert_eq!(bench.claim_ids(here, ALL).await, []);
    bench.sweep().await;
    let there = bench.worker_for(&[OTHER], &["unknown"]).await;
    assert_eq!(move_to(&bench, &[unknown], OTHER).await, [Moved]);
    assert_eq!(claim_ids(&bench, there).await, [unknown]);
}

/// Two of two queues, each of which stands behind the same kind of place, meet in one line: neither is lost, and what is behind stays behind.
pub async fn those_that_came_late_into_their_lines_can_meet(bench: Bench<'_>) {
    let blocked = |queue: &str| NewTask { queue: queue.to_owned(), hold: Hold { blocked: true, limited: false }, ..bench.task() };
    let (first, second, third) = (blocked(QUEUE), blocked(QUEUE), blocked(OTHER));
    let ids = [first.id, second.id, third.id];
    for task in [first, second, third] {
        bench.enqueue(task).await;
    }
    let last = bench.add().await;
    bench.store.unblock(&ids[..2]).await.expect("unblock");
    assert_eq!(move_to(&bench, &[last], OTHER).await, [Moved]);
    bench.store.unblock(&ids[2..]).await.expect("unblock");
    assert_eq!(move_to(&bench, &ids[..2], OTHER).await, [Moved; 2]);
    let worker = bench.worker_for(&[OTHER], &[KIND]).await;
    let claimed = claim_ids(&bench, worker).await;
    let place = |id: TaskId| claimed.iter().position(|claimed| *claimed == id).expect("each is claimed");
    assert_eq!(claimed.len(), 4);
    assert!(place(last) < place(ids[2]) && place(ids[0]) < place(ids[1]), "{claimed:?}");
}

/// And whoever comes after it with the same place in line stands behind it there, too.
pub async fn one_that_is_put_aside_keeps_its_place(bench: Bench<'_>) {
    let blocked = || NewTask { kind: "unserved".to_owned(), hold: Hold { blocked: true, limited: false }, ..bench.task() };
    let tasks = [blocked(), blocked()];
    let ids = [tasks[0].id, tasks[1].id];
    bench.enqueue_all(tasks.to_vec()).await;
    let here = bench.add().await;
    let worker = bench.worker_for(&[OTHER], &[KIND]).await;
    for id in ids {
        // Behind the last that is ready here, each of them.
        bench.store.unblock(&[id]).await.expect("unblock");
        assert_eq!(move_to(&bench, &[id], OTHER).await, [Moved]);
        bench.sweep().await;
        let plain = bench.enqueue(NewTask { queue: OTHER.to_owned(), ..bench.task() }).await;
        assert_eq!(claim_ids(&bench, worker).await, [plain], "what nobody serves is passed by");
        bench.sweep().await;
    }
    let worker = bench.worker_for(&[OTHER], &["unserved"]).await;
    bench.sweep().await;
    assert_eq!(claim_ids(&bench, worker).await, ids);
    assert_eq!(bench.get(here).await.queue, QUEUE);
}

/// Nothing else is touched, and each is answered.
pub async fn only_what_waits_elsewhere_is_moved(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let ended = bench.ended(worker, bench.task(), Ending::Succeeded).await;
    let there = bench.enqueue(NewTask { queue: OTHER.to_owned(), ..bench.task() }).await;
    let here = bench.add().await;
    let nobody = bench.env.task_id();
    let moved = move_to(&bench, &[ended, there, nobody, here, here], OTHER).await;
    assert_eq!(moved, [Unchanged, Unchanged, NotFound, Moved, Unchanged]);
    assert_eq!(move_to(&bench, &[], "new").await, []);
    assert_eq!(bench.get(ended).await.queue, QUEUE);
}

/// A key of which there is one slot is held by one of them in whatever queue, and the next follows in its order.
pub async fn limits_stay_as_they_are(bench: Bench<'_>) {
    let ids = bench.several(3, &[need("k", 1)]).await;
    let worker = bench.worker_for(&[QUEUE, OTHER], &[KIND]).await;
    assert_eq!(bench.states(&ids).await, [State::Ready, State::Waiting, State::Waiting]);
    assert_eq!(move_to(&bench, &ids, OTHER).await, [Moved; 3]);
    for id in ids {
        let claimed = bench.store.claim(&wanted(&bench, worker)).await.expect("claim");
        assert_eq!(claimed.iter().map(|claimed| claimed.lease.id).collect::<Vec<_>>(), [id]);
        bench.settle(claimed[0].lease, Ending::Succeeded).await;
        bench.sweep().await;
    }
}

async fn move_to(bench: &Bench<'_>, ids: &[TaskId], queue: &str) -> Vec<MoveOutcome> {
    bench.store.move_to(ids, queue).await.expect("the store answers")
}

fn wanted(bench: &Bench<'_>, worker: WorkerId) -> Claim {
    Claim { wanted: vec![Wanted::new(OTHER, ALL)], ..bench.wanted(worker, ALL) }
}

async fn claim_ids(bench: &Bench<'_>, worker: WorkerId) -> Vec<TaskId> {
    let claimed = bench.store.claim(&wanted(bench, worker)).await.expect("claim");
    claimed.iter().map(|claimed| claimed.lease.id).collect()
}
