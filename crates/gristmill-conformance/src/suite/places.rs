//! Where tasks wait that are held back by others or by a limit, and how they go on.

use gristmill_core::{
    CancelOutcome, Ending, FailureReason, Filter, Hold, NewTask, Retention, RetryOutcome, Settled, State, TaskId,
};

use super::bench::{ALL, Bench, QUEUE, secs};
use super::list;

list![
    a_task_goes_from_place_to_place,
    what_is_held_back_is_not_claimed,
    what_goes_on_stands_behind_those_that_are_ready,
    only_what_is_there_goes_on,
    held_tasks_are_seen_everywhere,
    held_tasks_can_be_cancelled,
    held_tasks_expire,
    a_limited_task_waits_again_after_each_attempt,
    a_retry_waits_for_the_limit_and_not_for_others,
    held_tasks_are_never_pruned,
];

const BLOCKED: Hold = Hold { blocked: true, limited: false };
const LIMITED: Hold = Hold { blocked: false, limited: true };
const BOTH: Hold = Hold { blocked: true, limited: true };

impl Bench<'_> {
    /// Enqueues a plain task that is held back.
    async fn held(&self, hold: Hold) -> TaskId {
        self.enqueue(NewTask { hold, ..self.task() }).await
    }

    async fn unblock(&self, ids: &[TaskId]) -> Vec<Option<State>> {
        self.store.unblock(ids).await.expect("unblock")
    }

    async fn admit(&self, ids: &[TaskId]) -> Vec<Option<State>> {
        self.store.admit(ids).await.expect("admit")
    }
}

/// Other tasks first, then its time, then its slot.
pub async fn a_task_goes_from_place_to_place(bench: Bench<'_>) {
    let id = bench.enqueue(NewTask { hold: BOTH, delay: secs(60), ..bench.task() }).await;
    assert_eq!(bench.state(id).await, State::Blocked);
    assert_eq!(bench.admit(&[id]).await, [None], "it has not come so far");
    assert_eq!(bench.unblock(&[id]).await, [Some(State::Scheduled)]);
    assert_eq!(bench.get(id).await.run_at, bench.env.now().saturating_add(secs(60)));
    bench.pass(secs(60));
    bench.sweep().await;
    assert_eq!(bench.state(id).await, State::Waiting);
    assert_eq!(bench.admit(&[id]).await, [Some(State::Ready)]);
    let worker = bench.worker().await;
    let claimed = bench.claim_one(worker).await;
    assert_eq!((claimed.lease.id, claimed.attempt), (id, 1));
    assert_eq!(bench.settle(claimed.lease, Ending::Succeeded).await, Settled::Done(State::Succeeded));
    // One that became due while it was blocked goes straight on.
    let late = bench.enqueue(NewTask { hold: BLOCKED, delay: secs(1), ..bench.task() }).await;
    bench.pass(secs(2));
    bench.sweep().await;
    assert_eq!(bench.state(late).await, State::Blocked);
    assert_eq!(bench.unblock(&[late]).await, [Some(State::Ready)]);
    let waits = bench.held(BOTH).await;
    assert_eq!(bench.unblock(&[waits]).await, [Some(State::Waiting)]);
}

/// Nor does a sweep let it go.
pub async fn what_is_held_back_is_not_claimed(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let ids = [bench.held(BLOCKED).await, bench.held(LIMITED).await, bench.held(BOTH).await];
    let plain = bench.add().await;
    bench.sweep().await;
    assert_eq!(bench.claim_ids(worker, ALL).await, [plain]);
    let mut states = Vec::new();
    for id in ids {
        states.push(bench.state(id).await);
    }
    assert_eq!(states, [State::Blocked, State::Waiting, State::Blocked]);
}

/// Not at the place of its arrival, which workers may have passed, and in the order of its being let go.
pub async fn what_goes_on_stands_behind_those_that_are_ready(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let held = [bench.held(LIMITED).await, bench.held(BLOCKED).await, bench.held(LIMITED).await];
    let before = bench.add().await;
    assert_eq!(bench.admit(&[held[2]]).await, [Some(State::Ready)]);
    assert_eq!(bench.admit(&[held[0]]).await, [Some(State::Ready)]);
    let between = bench.add().await;
    assert_eq!(bench.unblock(&[held[1]]).await, [Some(State::Ready)]);
    let urgent = bench.enqueue(NewTask { priority: 0, hold: LIMITED, ..bench.task() }).await;
    let after = bench.add().await;
    bench.admit(&[urgent]).await;
    assert_eq!(bench.claim_ids(worker, 3).await, [urgent, before, held[2]]);
    assert_eq!(bench.claim_ids(worker, ALL).await, [held[0], between, held[1], after]);
}

/// Everything else is left as it is, and said to be.
pub async fn only_what_is_there_goes_on(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let ended = bench.ended(worker, bench.task(), Ending::Failed).await;
    let (blocked, waiting) = (bench.held(BLOCKED).await, bench.held(LIMITED).await);
    let scheduled = bench.enqueue(NewTask { delay: secs(9), ..bench.task() }).await;
    let (ready, unknown) = (bench.add().await, bench.env.task_id());
    let ids = [ended, scheduled, ready, unknown, blocked, blocked, waiting];
    assert_eq!(bench.unblock(&ids).await, [None, None, None, None, Some(State::Ready), None, None]);
    assert_eq!(bench.admit(&ids).await, [None, None, None, None, None, None, Some(State::Ready)]);
    assert_eq!(bench.admit(&[waiting, blocked]).await, [None, None]);
    assert_eq!(bench.unblock(&[]).await, []);
    assert_eq!(bench.claim_ids(worker, ALL).await, [ready, blocked, waiting]);
}

/// In lists under their states, in the counts of their queue, and in what is left to do.
pub async fn held_tasks_are_seen_everywhere(bench: Bench<'_>) {
    let (blocked, waiting) = (bench.held(BLOCKED).await, bench.held(LIMITED).await);
    for (state, id) in [(State::Blocked, blocked), (State::Waiting, waiting)] {
        assert_eq!(bench.list(&Filter { states: vec![state], ..Filter::default() }).await, [id]);
        let here = Filter { states: vec![state, State::Failed], queue: Some(QUEUE.to_owned()), ..Filter::default() };
        assert_eq!(bench.list(&here).await, [id]);
    }
    assert_eq!(bench.list(&Filter::default()).await, [waiting, blocked]);
    let queue = bench.store.queues().await.expect("queues").into_iter().find(|queue| queue.name == QUEUE);
    let queue = queue.expect("the queue is used");
    assert_eq!((queue.blocked, queue.waiting, queue.ready, queue.scheduled), (1, 1, 0, 0));
    let pending = bench.store.pending(&[QUEUE.to_owned()], secs(1)).await.expect("pending");
    assert!(pending.held && pending.is_idle(), "{pending:?}");
    let states = bench.store.task_states(&[waiting, blocked]).await.expect("states");
    assert_eq!(states, [Some(State::Waiting), Some(State::Blocked)]);
    for finding in bench.store.check().await.expect("check") {
        assert!(finding.severity <= gristmill_core::Severity::Warning, "{finding:?}");
    }
}

/// At once, like any that waits, and never start then.
pub async fn held_tasks_can_be_cancelled(bench: Bench<'_>) {
    let ids = [bench.held(BLOCKED).await, bench.held(LIMITED).await];
    assert_eq!(bench.store.cancel(&ids).await.expect("cancel"), [CancelOutcome::Cancelled; 2]);
    assert_eq!(bench.unblock(&ids).await, [None, None]);
    assert_eq!(bench.admit(&ids).await, [None, None]);
    for id in ids {
        let task = bench.get(id).await;
        assert_eq!((task.state, task.error.map(|error| error.reason)), (State::Cancelled, Some(FailureReason::Cancelled)));
    }
}

/// Their deadline counts wherever they are.
pub async fn held_tasks_expire(bench: Bench<'_>) {
    let mut ids = Vec::new();
    for hold in [BLOCKED, LIMITED] {
        ids.push(bench.enqueue(NewTask { hold, expires: Some(secs(5)), ..bench.task() }).await);
    }
    bench.pass(secs(5));
    let swept = bench.sweep().await;
    assert_eq!(swept.expired, 2);
    for id in &ids {
        assert_eq!(bench.state(*id).await, State::Expired);
        assert!(swept.ended.contains(id));
    }
}

/// It gave its slot back, whatever ended the attempt.
pub async fn a_limited_task_waits_again_after_each_attempt(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.held(LIMITED).await;
    let delay = secs(3);
    for (ending, state) in [
        (Ending::Retry { delay: secs(0) }, State::Waiting),
        (Ending::Released, State::Waiting),
        (Ending::Snooze { delay }, State::Scheduled),
        (Ending::Retry { delay }, State::Scheduled),
    ] {
        assert_eq!(bench.admit(&[id]).await, [Some(State::Ready)]);
        let lease = bench.claim_one(worker).await.lease;
        assert_eq!(bench.settle(lease, ending).await, Settled::Done(state), "{ending:?}");
        bench.pass(delay);
        bench.beat(worker).await;
        bench.sweep().await;
        assert_eq!(bench.state(id).await, State::Waiting, "{ending:?}");
    }
    bench.admit(&[id]).await;
    bench.claim_one(worker).await;
    bench.die().await;
    assert_eq!(bench.state(id).await, State::Waiting, "its worker died");
    let worker = bench.worker().await;
    bench.admit(&[id]).await;
    let lease = bench.claim_one(worker).await.lease;
    assert_eq!(bench.store.leave(worker).await.expect("leave"), 1);
    assert_eq!(bench.state(id).await, State::Waiting, "its worker left");
    assert_eq!(bench.settle(lease, Ending::Succeeded).await, Settled::LeaseLost);
}

/// What it once waited for is done or given up; a limit holds as ever.
pub async fn a_retry_waits_for_the_limit_and_not_for_others(bench: Bench<'_>) {
    let ids = [bench.held(BLOCKED).await, bench.held(BOTH).await];
    bench.store.cancel(&ids).await.expect("cancel");
    assert_eq!(bench.store.retry(&ids).await.expect("retry"), [RetryOutcome::Ready; 2]);
    assert_eq!(bench.state(ids[0]).await, State::Ready);
    assert_eq!(bench.state(ids[1]).await, State::Waiting);
}

/// However long they are held, and whatever is kept of them once they have ended.
pub async fn held_tasks_are_never_pruned(bench: Bench<'_>) {
    let mut ids = Vec::new();
    for hold in [BLOCKED, LIMITED] {
        ids.push(bench.enqueue(NewTask { hold, retention: Retention::None, ..bench.task() }).await);
    }
    bench.pass(secs(400 * 86_400));
    bench.store.prune(ALL).await.expect("prune");
    bench.sweep().await;
    assert_eq!(bench.unblock(&ids).await, [Some(State::Ready), None]);
    assert_eq!(bench.admit(&ids).await, [None, Some(State::Ready)]);
    let worker = bench.worker().await;
    for id in ids {
        let claimed = bench.claim_one(worker).await;
        assert_eq!(claimed.lease.id, id);
        assert_eq!(bench.settle(claimed.lease, Ending::Succeeded).await, Settled::Done(State::Succeeded));
    }
}
