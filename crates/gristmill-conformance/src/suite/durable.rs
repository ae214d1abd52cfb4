//! Durable steps: what a task remembers, how it waits without a worker, and who lets it go on.

use std::time::Duration;

use gristmill_core::durable::{Checkpoint, Due, EVENT_KEPT, Kept, Memory, NewEvent, Sent};
use gristmill_core::workflow::{Ordered, Retried, Retry, Started, StepDraft, StepWord, WorkflowState};
use gristmill_core::{
    CancelOutcome, Claimed, DeleteOutcome, Ending, Failure, FailureReason, LeaseRef, NewTask, ReleaseOutcome, Retention,
    RetryOutcome, Settled, State, StoreErrorKind, TaskId, WorkerId,
};

use super::bench::{ALL, Bench, KIND, secs};
use super::list;

list![
    what_is_remembered_outlives_the_attempt,
    a_stale_worker_remembers_nothing,
    tasks_that_come_with_a_step_are_there_at_once,
    a_checkpoint_is_whole_or_not_at_all,
    to_wait_costs_no_attempt_and_no_history,
    logs_of_what_waits_are_kept,
    what_has_begun_to_wait_no_longer_expires,
    a_cancel_wins_over_waiting,
    an_event_lets_those_go_on_who_await_it,
    an_event_that_comes_first_is_found,
    the_first_event_wins_and_is_kept_for_its_time,
    who_waited_long_enough_goes_on_without_the_event,
    events_and_who_waits_are_listed,
    a_workflow_that_was_started_lets_its_task_go_on,
    a_workflow_that_has_ended_already_is_not_waited_for,
    what_a_cancelled_task_has_started_is_cancelled,
    a_member_that_waits_keeps_its_step_open,
    a_child_left_behind_makes_no_later_sleep_due,
    a_child_left_behind_is_cancelled_with_its_task,
    what_a_task_has_started_that_is_gone_is_cancelled,
    what_a_task_has_started_that_succeeded_goes_on,
    a_repetition_after_a_lost_answer_brings_nothing_again,
    a_value_is_not_waited_for_again,
    an_event_that_was_sent_in_time_is_found_by_who_failed_meanwhile,
    a_backoff_is_not_cut_short,
    a_retry_by_hand_forgets_failures_alone,
    a_retry_of_what_succeeded_forgets_all,
    a_retry_by_hand_awaits_a_child_that_goes_on,
    a_retry_by_hand_is_still_the_workflow_that_it_became,
    who_runs_just_now_is_told_of_an_event_that_is_kept_for_no_time,
    an_event_of_a_clock_that_was_ahead_has_come_in_time,
    what_is_remembered_goes_with_its_task,
    many_wait_for_one,
];

pub(super) fn value(position: u32, name: &str, json: &str) -> Memory {
    remembered(position, name, Kept::Value(json.to_owned()))
}

pub(super) fn remembered(position: u32, name: &str, kept: Kept) -> Memory {
    Memory { position, name: name.to_owned(), occurrence: 0, kept }
}

fn awaits(event: &str) -> Memory {
    remembered(0, event, Kept::Event { name: event.to_owned(), until: None })
}

fn event(name: &str, payload: &str) -> NewEvent {
    NewEvent::new(name, payload).expect("an event within every limit")
}

impl Bench<'_> {
    async fn checkpoint(&self, checkpoint: Checkpoint) -> Settled {
        self.store.checkpoint(checkpoint).await.expect("checkpoint")
    }

    pub(super) async fn remember(&self, lease: LeaseRef, memories: Vec<Memory>) -> Settled {
        self.checkpoint(Checkpoint { memories, ..Checkpoint::new(lease) }).await
    }

    pub(super) async fn suspend(&self, lease: LeaseRef, memory: Memory, due: Due) -> Settled {
        self.checkpoint(Checkpoint { memories: vec![memory], suspend: Some(due), ..Checkpoint::new(lease) }).await
    }

    pub(super) async fn memories(&self, id: TaskId) -> Vec<Memory> {
        let memories = self.store.memories(id).await.expect("memories");
        assert_eq!(memories.now, self.env.now(), "told by the store's clock");
        memories.kept
    }

    async fn send(&self, event: NewEvent) -> Sent {
        self.store.send_event(event).await.expect("send")
    }

    /// Lets time pass in which this worker lives on; what is due then is ready.
    pub(super) async fn pass_with(&self, worker: WorkerId, mut by: Duration) {
        while by > Duration::ZERO {
            let step = by.min(secs(20));
            self.pass(step);
            self.beat(worker).await;
            by -= step;
        }
        self.sweep().await;
    }

    pub(super) async fn none_is_ready(&self, worker: WorkerId) {
        assert_eq!(self.claim_ids(worker, ALL).await, []);
    }

    /// Lets one run that waits.
    pub(super) async fn let_go(&self, id: TaskId) {
        assert_eq!(self.store.release(&[id]).await.expect("release"), [ReleaseOutcome::Released]);
    }

    async fn waits_for(&self, worker: WorkerId, name: &str) -> TaskId {
        let id = self.add().await;
        let lease = self.claim_one(worker).await.lease;
        assert_eq!(self.suspend(lease, awaits(name), Due::Never).await, Settled::Done(State::Scheduled));
        id
    }
}

/// Through a crash of its worker as well.
pub async fn what_is_remembered_outlives_the_attempt(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.add().await;
    let claimed = bench.claim_one(worker).await;
    assert_eq!(bench.memories(id).await, []);
    let failed = remembered(1, "b", Kept::Failed(Failure::new(FailureReason::Error, "no")));
    assert_eq!(bench.remember(claimed.lease, vec![value(0, "a", "1")]).await, Settled::Done(State::Running));
    assert_eq!(bench.remember(claimed.lease, vec![failed.clone(), value(2, "a", "2")]).await, Settled::Done(State::Running));
    // A repetition, as after a lost answer; and what was not over is over.
    assert_eq!(bench.remember(claimed.lease, vec![value(2, "a", "{\"n\": 3}")]).await, Settled::Done(State::Running));
    let all = [value(0, "a", "1"), failed, value(2, "a", "{\"n\": 3}")];
    assert_eq!(bench.memories(id).await, all);
    bench.die().await;
    let worker = bench.worker().await;
    let again = bench.claim_one(worker).await;
    assert_eq!((again.lease.id, bench.memories(id).await), (id, all.to_vec()));
    assert_eq!(bench.settle(again.lease, Ending::Succeeded).await, Settled::Done(State::Succeeded));
    assert_eq!(bench.memories(id).await, all, "for who looks at it later");
}

/// Nor does it end what is another's by now.
pub async fn a_stale_worker_remembers_nothing(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.add().await;
    let stale = bench.claim_one(worker).await.lease;
    bench.die().await;
    let child = bench.task();
    let worker = bench.worker().await;
    let held = bench.claim_one(worker).await.lease;
    let children = vec![child.clone()].into();
    let checkpoint = Checkpoint { children, memories: vec![value(0, "a", "1")], ..Checkpoint::new(stale) };
    assert_eq!(bench.checkpoint(checkpoint.clone()).await, Settled::LeaseLost);
    assert_eq!(bench.checkpoint(Checkpoint { suspend: Some(Due::Never), ..checkpoint }).await, Settled::LeaseLost);
    assert_eq!((bench.memories(id).await, bench.find(child.id).await), (vec![], None));
    assert_eq!(bench.settle(held, Ending::Succeeded).await, Settled::Done(State::Succeeded));
    assert_eq!(bench.remember(held, vec![value(0, "a", "1")]).await, Settled::LeaseLost, "it has ended");
}

/// And stay, whatever becomes of the attempt.
pub async fn tasks_that_come_with_a_step_are_there_at_once(bench: Bench<'_>) {
    let worker = bench.worker().await;
    bench.add().await;
    let lease = bench.claim_one(worker).await.lease;
    let children: Vec<NewTask> = (0..3).map(|_| bench.task()).collect();
    let ids: Vec<_> = children.iter().map(|child| child.id).collect();
    let checkpoint = Checkpoint { children: children.into(), memories: vec![value(0, "a", "1")], ..Checkpoint::new(lease) };
    assert_eq!(bench.checkpoint(checkpoint.clone()).await, Settled::Done(State::Running));
    assert_eq!(bench.checkpoint(checkpoint).await, Settled::Done(State::Running), "a repetition after a lost answer");
    assert_eq!(bench.claim_ids(worker, ALL).await, ids);
    assert_eq!(bench.settle(lease, Ending::Failed).await, Settled::Done(State::Failed));
    assert_eq!(bench.state(ids[0]).await, State::Running);
}

/// A child whose id is another task's, and too much at once.
pub async fn a_checkpoint_is_whole_or_not_at_all(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.add().await;
    let lease = bench.claim_one(worker).await.lease;
    let taken = bench.task();
    bench.enqueue(taken.clone()).await;
    let (fresh, other) = (bench.task(), NewTask { args: "{\"another\":1}".to_owned(), ..taken });
    let whole = Checkpoint { memories: vec![value(0, "a", "1")], ..Checkpoint::new(lease) };
    let conflict = Checkpoint { children: vec![fresh.clone(), other].into(), ..whole.clone() };
    let name = "n".repeat(256);
    let long = Checkpoint { memories: vec![value(0, &name, "1")], ..whole.clone() };
    let many = Checkpoint { memories: (0..1_001).map(|position| value(position, "a", "1")).collect(), ..whole.clone() };
    let suspended = Checkpoint { suspend: Some(Due::Never), ..conflict.clone() };
    for refused in [conflict, long, many, suspended] {
        let error = bench.store.checkpoint(refused).await.expect_err("refused");
        assert_eq!(error.kind(), StoreErrorKind::Invalid, "{error}");
    }
    assert_eq!((bench.memories(id).await, bench.find(fresh.id).await), (vec![], None));
    assert_eq!(bench.state(id).await, State::Running);
    assert_eq!(bench.checkpoint(whole).await, Settled::Done(State::Running), "the lease holds still");
}

/// However often it waits.
pub async fn to_wait_costs_no_attempt_and_no_history(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.enqueue(NewTask { max_attempts: 1, ..bench.task() }).await;
    let mut last = 0;
    for turn in 0..3_u32 {
        let claimed = bench.claim_one(worker).await;
        assert_eq!((claimed.lease.id, claimed.attempt), (id, 1));
        assert!(claimed.claim_no > last, "each claim has its own number");
        last = claimed.claim_no;
        let until = bench.env.now().saturating_add(secs(60));
        let due = if turn == 1 { Due::At(until) } else { Due::In(secs(60)) };
        let sleeps = remembered(turn, "sleep", Kept::Sleeps(until));
        assert_eq!(bench.suspend(claimed.lease, sleeps, due).await, Settled::Done(State::Scheduled));
        assert_eq!(bench.settle(claimed.lease, Ending::Succeeded).await, Settled::LeaseLost);
        let task = bench.get(id).await;
        assert_eq!((task.state, task.attempts.len(), task.run_at), (State::Scheduled, 0, until));
        bench.pass_with(worker, secs(59)).await;
        bench.none_is_ready(worker).await;
        bench.pass_with(worker, secs(1)).await;
    }
    let claimed = bench.claim_one(worker).await;
    assert_eq!((claimed.attempt, bench.memories(id).await.len()), (1, 3));
    // What is due already waits for nothing.
    let past = remembered(3, "sleep", Kept::Sleeps(bench.env.now()));
    assert_eq!(bench.suspend(claimed.lease, past, Due::At(bench.env.now())).await, Settled::Done(State::Ready));
    let claimed = bench.claim_one(worker).await;
    assert_eq!(bench.settle(claimed.lease, Ending::Succeeded).await, Settled::Done(State::Succeeded));
    let task = bench.get(id).await;
    assert_eq!((task.attempts.len(), task.attempt), (1, 1));
}

/// In a row of the history, as there is no other place for them.
pub async fn logs_of_what_waits_are_kept(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.add().await;
    let lease = bench.claim_one(worker).await.lease;
    let logs = Some("charged".to_owned());
    let checkpoint = Checkpoint { logs, suspend: Some(Due::In(secs(5))), ..Checkpoint::new(lease) };
    assert_eq!(bench.checkpoint(checkpoint).await, Settled::Done(State::Scheduled));
    let logs: Vec<_> = bench.get(id).await.attempts.into_iter().map(|attempt| attempt.logs).collect();
    assert_eq!(logs, [Some("charged".to_owned())]);
}

/// It was started in time.
pub async fn what_has_begun_to_wait_no_longer_expires(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.enqueue(NewTask { expires: Some(secs(30)), ..bench.task() }).await;
    let lease = bench.claim_one(worker).await.lease;
    let sleeps = remembered(0, "sleep", Kept::Sleeps(bench.env.now().saturating_add(secs(60))));
    assert_eq!(bench.suspend(lease, sleeps, Due::In(secs(60))).await, Settled::Done(State::Scheduled));
    bench.pass_with(worker, secs(70)).await;
    assert_eq!(bench.claim_ids(worker, ALL).await, [id]);
}

/// Before it waits, and while it does.
pub async fn a_cancel_wins_over_waiting(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.add().await;
    let lease = bench.claim_one(worker).await.lease;
    assert_eq!(bench.store.cancel(&[id]).await.expect("cancel"), [CancelOutcome::CancelRequested]);
    // What was done stays done, and is known.
    assert_eq!(bench.remember(lease, vec![value(0, "a", "1")]).await, Settled::Done(State::Running));
    assert_eq!(bench.suspend(lease, awaits("never"), Due::Never).await, Settled::Done(State::Cancelled));
    assert_eq!(bench.state(id).await, State::Cancelled);
    let id = bench.waits_for(worker, "never").await;
    assert_eq!(bench.store.cancel(&[id]).await.expect("cancel"), [CancelOutcome::Cancelled]);
    assert_eq!(bench.store.list_waiters(None, ALL).await.expect("waiters"), [], "nobody waits any more");
    assert_eq!(bench.send(event("never", "1")).await, Sent::Stored);
    bench.sweep().await;
    assert_eq!(bench.state(id).await, State::Cancelled);
}

/// All of them, and no others.
pub async fn an_event_lets_those_go_on_who_await_it(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let ids = [bench.waits_for(worker, "paid:1").await, bench.waits_for(worker, "paid:1").await];
    let other = bench.waits_for(worker, "paid:2").await;
    bench.none_is_ready(worker).await;
    assert_eq!(bench.send(event("paid:1", "{\"by\": \"me\"}")).await, Sent::Stored);
    assert_eq!(bench.claim_ids(worker, ALL).await, ids);
    for id in ids {
        assert_eq!(bench.memories(id).await, [value(0, "paid:1", "{\"by\": \"me\"}")]);
    }
    assert_eq!(bench.state(other).await, State::Scheduled);
    bench.sweep().await;
    bench.none_is_ready(worker).await;
}

/// Also if it comes between a look and the wait.
pub async fn an_event_that_comes_first_is_found(bench: Bench<'_>) {
    let worker = bench.worker().await;
    assert_eq!(bench.send(event("paid:1", "7")).await, Sent::Stored);
    let id = bench.add().await;
    let lease = bench.claim_one(worker).await.lease;
    assert_eq!(bench.suspend(lease, awaits("paid:1"), Due::Never).await, Settled::Done(State::Ready));
    let again = bench.claim_one(worker).await;
    assert_eq!((again.lease.id, bench.memories(id).await), (id, vec![value(0, "paid:1", "7")]));
}

/// Whoever comes to wait later has missed it.
pub async fn the_first_event_wins_and_is_kept_for_its_time(bench: Bench<'_>) {
    let worker = bench.worker().await;
    assert_eq!(bench.send(event("a", "1").kept_for(secs(60))).await, Sent::Stored);
    assert_eq!(bench.send(event("a", "2")).await, Sent::Exists);
    let page = bench.store.list_events(Some("a"), None, ALL).await.expect("events");
    assert_eq!(page.items.iter().map(|event| event.payload.as_str()).collect::<Vec<_>>(), ["1"]);
    assert_eq!(page.items[0].keep_until, bench.env.now().saturating_add(secs(60)));
    bench.pass_with(worker, secs(60)).await;
    let id = bench.waits_for(worker, "a").await;
    assert_eq!(bench.send(event("a", "3")).await, Sent::Stored, "the first one is gone");
    assert_eq!(bench.claim_ids(worker, ALL).await, [id]);
    assert_eq!(bench.memories(id).await, [value(0, "a", "3")]);
    let page = bench.store.list_events(None, None, ALL).await.expect("events");
    assert_eq!(page.items[0].keep_until.since(page.items[0].sent_at), EVENT_KEPT);
}

/// Its worker decides what that means.
pub async fn who_waited_long_enough_goes_on_without_the_event(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.add().await;
    let lease = bench.claim_one(worker).await.lease;
    let until = bench.env.now().saturating_add(secs(60));
    let memory = remembered(0, "a", Kept::Event { name: "a".to_owned(), until: Some(until) });
    assert_eq!(bench.suspend(lease, memory.clone(), Due::At(until)).await, Settled::Done(State::Scheduled));
    bench.pass_with(worker, secs(61)).await;
    let lease = bench.claim_one(worker).await.lease;
    assert_eq!(bench.memories(id).await, [memory]);
    let over = remembered(0, "a", Kept::TimedOut);
    assert_eq!(bench.remember(lease, vec![over.clone()]).await, Settled::Done(State::Running));
    assert_eq!(bench.send(event("a", "1")).await, Sent::Stored);
    assert_eq!(bench.memories(id).await, [over], "it comes too late");
}

/// By name, or all; page by page.
pub async fn events_and_who_waits_are_listed(bench: Bench<'_>) {
    let worker = bench.worker().await;
    for n in 0..5 {
        assert_eq!(bench.send(event(&format!("e{n}"), &n.to_string())).await, Sent::Stored);
    }
    let mut after = None;
    let mut names = Vec::new();
    loop {
        let page = bench.store.list_events(None, after, 2).await.expect("events");
        names.extend(page.items.into_iter().map(|event| event.name));
        let Some(next) = page.next else { break };
        after = Some(next);
    }
    assert_eq!(names, ["e4", "e3", "e2", "e1", "e0"]);
    let a = bench.waits_for(worker, "a").await;
    let b = bench.waits_for(worker, "b").await;
    let all = bench.store.list_waiters(None, ALL).await.expect("waiters");
    assert_eq!(all.iter().map(|waiter| (waiter.event.as_str(), waiter.task)).collect::<Vec<_>>(), [("a", a), ("b", b)]);
    let one = bench.store.list_waiters(Some("b"), ALL).await.expect("waiters");
    assert_eq!(one.iter().map(|waiter| (waiter.task, waiter.until)).collect::<Vec<_>>(), [(b, None)]);
    assert_eq!(bench.store.list_waiters(None, 1).await.expect("waiters").len(), 1);
}

/// A task that has started a workflow of one step and awaits its end; what it did that with.
pub(super) async fn waits_for_workflow(bench: &Bench<'_>, worker: WorkerId) -> (TaskId, Claimed, gristmill_core::WorkflowId) {
    let id = bench.add().await;
    let lease = bench.claim_one(worker).await.lease;
    let workflow = bench.workflow(vec![StepDraft::one("only", KIND, ())]);
    let of = workflow.id;
    let memories = vec![remembered(0, "w", Kept::Workflow(of))];
    let suspend = Some(Due::Never);
    let checkpoint = Checkpoint { memories, suspend, workflow: Some(Box::new(workflow)), ..Checkpoint::new(lease) };
    assert_eq!(bench.checkpoint(checkpoint).await, Settled::Done(State::Scheduled));
    let member = bench.claim_one(worker).await;
    assert_ne!(member.lease.id, id);
    (id, member, of)
}

/// However that ends.
pub async fn a_workflow_that_was_started_lets_its_task_go_on(bench: Bench<'_>) {
    let worker = bench.worker().await;
    for (ending, state) in [(Ending::Succeeded, WorkflowState::Succeeded), (Ending::Failed, WorkflowState::Failed)] {
        let (id, member, of) = waits_for_workflow(&bench, worker).await;
        bench.none_is_ready(worker).await;
        assert!(matches!(bench.settle(member.lease, ending).await, Settled::Done(_)));
        let again = bench.claim_one(worker).await;
        assert_eq!((again.lease.id, bench.of(of).await.state), (id, state));
        assert_eq!(bench.settle(again.lease, Ending::Succeeded).await, Settled::Done(State::Succeeded));
    }
}

/// Or is there no more.
pub async fn a_workflow_that_has_ended_already_is_not_waited_for(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.add().await;
    let lease = bench.claim_one(worker).await.lease;
    let workflow = bench.workflow(vec![StepDraft::group("none", KIND, Vec::new())]);
    let memories = vec![remembered(0, "w", Kept::Workflow(workflow.id))];
    let mut checkpoint = Checkpoint { memories, workflow: Some(Box::new(workflow)), ..Checkpoint::new(lease) };
    assert_eq!(bench.checkpoint(checkpoint.clone()).await, Settled::Done(State::Running));
    // A repetition after a lost answer starts it once.
    checkpoint.suspend = Some(Due::Never);
    assert_eq!(bench.checkpoint(checkpoint).await, Settled::Done(State::Ready));
    assert_eq!(bench.claim_ids(worker, ALL).await, [id]);
}

/// Nobody would want its result.
pub async fn what_a_cancelled_task_has_started_is_cancelled(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let (id, member, of) = waits_for_workflow(&bench, worker).await;
    assert_eq!(bench.store.cancel(&[id]).await.expect("cancel"), [CancelOutcome::Cancelled]);
    bench.sweep().await;
    assert_eq!(bench.of(of).await.state, WorkflowState::Cancelling);
    assert_eq!(bench.settle(member.lease, Ending::Cancelled).await, Settled::Done(State::Cancelled));
    assert_eq!(bench.of(of).await.state, WorkflowState::Cancelled);
    bench.sweep().await;
    assert_eq!(bench.state(id).await, State::Cancelled);
}

/// It has not ended, and ends once.
pub async fn a_member_that_waits_keeps_its_step_open(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let workflow = bench.workflow(vec![
        StepDraft::one("first", KIND, ()),
        StepDraft {
            after: vec![("first".to_owned(), gristmill_core::workflow::Needs::Success)],
            ..StepDraft::one("then", KIND, ())
        },
    ]);
    let of = workflow.id;
    assert_eq!(bench.store.start_workflow(workflow).await.expect("start"), Started::Created);
    let lease = bench.claim_one(worker).await.lease;
    assert_eq!(bench.suspend(lease, awaits("go"), Due::Never).await, Settled::Done(State::Scheduled));
    bench.sweep().await;
    assert_eq!(bench.of(of).await.steps[1].state(), StepWord::Waiting);
    assert_eq!(bench.send(event("go", "1")).await, Sent::Stored);
    let again = bench.claim_one(worker).await;
    assert_eq!(bench.settle(again.lease, Ending::Succeeded).await, Settled::Done(State::Succeeded));
    let next = bench.claim_one(worker).await;
    assert_eq!(bench.of(of).await.steps[0].row.tally.succeeded, 1);
    assert_eq!(bench.settle(next.lease, Ending::Succeeded).await, Settled::Done(State::Succeeded));
    assert_eq!(bench.of(of).await.state, WorkflowState::Succeeded);
    let order = bench.store.order_workflow(of, gristmill_core::workflow::Order::Cancel).await.expect("order");
    assert_eq!(order, Ordered::AlreadyEnded);
}

/// What succeeded is not done again, and what failed is.
pub async fn a_retry_by_hand_forgets_failures_alone(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.add().await;
    let lease = bench.claim_one(worker).await.lease;
    let failed = Kept::Failed(Failure::new(FailureReason::Error, "no"));
    let handled = [value(0, "a", "1"), remembered(1, "b", failed.clone()), value(2, "because of b", "2")];
    let last = [remembered(3, "c", failed), remembered(4, "d", Kept::TimedOut), remembered(5, "e", Kept::Patched)];
    bench.remember(lease, handled.iter().chain(&last).cloned().collect()).await;
    assert_eq!(bench.settle(lease, Ending::Failed).await, Settled::Done(State::Failed));
    assert_eq!(bench.store.retry(&[id]).await.expect("retry"), [RetryOutcome::Ready]);
    let [first, second, third] = handled;
    assert_eq!(bench.memories(id).await, [first, second, third, remembered(5, "e", Kept::Patched)], "what b led to is done");
}

/// Whoever retries that wants it done once more.
pub async fn a_retry_of_what_succeeded_forgets_all(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.add().await;
    let lease = bench.claim_one(worker).await.lease;
    bench.remember(lease, vec![value(0, "a", "1"), remembered(1, "b", Kept::Patched)]).await;
    assert_eq!(bench.settle(lease, Ending::Succeeded).await, Settled::Done(State::Succeeded));
    assert_eq!(bench.store.retry(&[id]).await.expect("retry"), [RetryOutcome::Ready]);
    assert_eq!(bench.memories(id).await, []);
    // As the retry of a workflow does.
    let workflow = bench.workflow(vec![StepDraft::one("only", KIND, ())]);
    let of = workflow.id;
    assert_eq!(bench.store.start_workflow(workflow).await.expect("start"), Started::Created);
    let mut claimed = bench.claim(worker, ALL).await;
    claimed.retain(|claimed| claimed.lease.id != id);
    let lease = claimed.remove(0).lease;
    bench.remember(lease, vec![value(0, "a", "1")]).await;
    assert_eq!(bench.settle(lease, Ending::Succeeded).await, Settled::Done(State::Succeeded));
    assert_eq!(bench.store.retry_workflow(of, Retry::All.into()).await.expect("retry"), Retried::Done(2));
    bench.sweep().await;
    assert_eq!(bench.memories(lease.id).await, []);
    assert_eq!(bench.claim_ids(worker, ALL).await, [lease.id]);
}

/// One that was cancelled with it, or has ended, is started anew.
pub async fn a_retry_by_hand_awaits_a_child_that_goes_on(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let (id, member, of) = waits_for_workflow(&bench, worker).await;
    let waits = [remembered(0, "w", Kept::Workflow(of))];
    assert_eq!(bench.store.cancel(&[id]).await.expect("cancel"), [CancelOutcome::Cancelled]);
    assert_eq!(bench.get(id).await.error.map(|error| error.message), Some("cancelled while it waited".to_owned()));
    assert_eq!(bench.store.retry(&[id]).await.expect("retry"), [RetryOutcome::Ready]);
    bench.sweep().await;
    assert_eq!((bench.memories(id).await, bench.of(of).await.state), (waits.to_vec(), WorkflowState::Running));
    let lease = bench.claim_one(worker).await.lease;
    let [wait] = waits;
    assert_eq!(bench.suspend(lease, wait, Due::Never).await, Settled::Done(State::Scheduled));
    assert_eq!(bench.store.cancel(&[id]).await.expect("cancel"), [CancelOutcome::Cancelled]);
    bench.sweep().await;
    assert_eq!(bench.of(of).await.state, WorkflowState::Cancelling, "it is seen to after a retry, too");
    assert_eq!(bench.store.retry(&[id]).await.expect("retry"), [RetryOutcome::Ready]);
    assert_eq!(bench.memories(id).await, []);
    assert_eq!(bench.settle(member.lease, Ending::Cancelled).await, Settled::Done(State::Cancelled));
}

/// Before the cancel of the task has reached the workflow, or there would be two of them.
pub async fn a_retry_by_hand_is_still_the_workflow_that_it_became(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.add().await;
    let lease = bench.claim_one(worker).await.lease;
    let workflow = bench.workflow(vec![StepDraft::one("only", KIND, ())]);
    let of = workflow.id;
    let became = remembered(0, "w", Kept::Replaced { by: of, result: None });
    let (memories, suspend) = (vec![became.clone()], Some(Due::Never));
    let checkpoint = Checkpoint { memories, suspend, workflow: Some(Box::new(workflow)), ..Checkpoint::new(lease) };
    assert_eq!(bench.checkpoint(checkpoint).await, Settled::Done(State::Scheduled));
    assert_eq!(bench.store.cancel(&[id]).await.expect("cancel"), [CancelOutcome::Cancelled]);
    assert_eq!(bench.get(id).await.error.map(|error| error.message), Some("cancelled while it waited".to_owned()));
    assert_eq!(bench.store.retry(&[id]).await.expect("retry"), [RetryOutcome::Ready]);
    bench.sweep().await;
    assert_eq!((bench.memories(id).await, bench.of(of).await.state), (vec![became], WorkflowState::Running));
    // Once that is about to end, another attempt is another thing.
    assert_eq!(bench.store.cancel(&[id]).await.expect("cancel"), [CancelOutcome::Cancelled]);
    bench.sweep().await;
    assert!(bench.of(of).await.state.is_final(), "nothing of it has begun");
    assert_eq!(bench.store.retry(&[id]).await.expect("retry"), [RetryOutcome::Ready]);
    assert_eq!(bench.memories(id).await, []);
}

/// It awaited it when that was sent.
pub async fn who_runs_just_now_is_told_of_an_event_that_is_kept_for_no_time(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.add().await;
    let lease = bench.claim_one(worker).await.lease;
    let other = remembered(1, "b", Kept::Event { name: "b".to_owned(), until: None });
    let both = Checkpoint { memories: vec![awaits("a"), other.clone()], suspend: Some(Due::Never), ..Checkpoint::new(lease) };
    assert_eq!(bench.checkpoint(both).await, Settled::Done(State::Scheduled));
    assert_eq!(bench.send(event("a", "1")).await, Sent::Stored);
    let lease = bench.claim_one(worker).await.lease;
    assert_eq!(bench.send(event("b", "2").kept_for(secs(1))).await, Sent::Stored);
    bench.sweep().await;
    bench.pass_with(worker, secs(2)).await;
    assert_eq!(bench.suspend(lease, other, Due::Never).await, Settled::Done(State::Ready));
    assert_eq!(bench.memories(id).await, [value(0, "a", "1"), value(1, "b", "2")]);
}

/// Else its task would be let go for it again and again, and not be given it.
pub async fn an_event_of_a_clock_that_was_ahead_has_come_in_time(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.add().await;
    let now = bench.env.now();
    bench.time.set(now.saturating_add(secs(3_600)));
    assert_eq!(bench.send(event("a", "1").kept_for(secs(7_200))).await, Sent::Stored);
    bench.time.set(now);
    let lease = bench.claim_one(worker).await.lease;
    let until = now.saturating_add(secs(600));
    let waits = remembered(0, "a", Kept::Event { name: "a".to_owned(), until: Some(until) });
    assert_eq!(bench.suspend(lease, waits, Due::At(until)).await, Settled::Done(State::Ready));
    assert_eq!(bench.memories(id).await, [value(0, "a", "1")]);
}

/// Nor does an event that nobody waits for any more.
pub async fn a_child_left_behind_makes_no_later_sleep_due(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let (id, member, of) = waits_for_workflow(&bench, worker).await;
    bench.let_go(id).await;
    let lease = bench.claim_one(worker).await.lease;
    bench.remember(lease, vec![remembered(1, "left", Kept::Event { name: "left".to_owned(), until: None })]).await;
    let sleeps = remembered(2, "sleep", Kept::Sleeps(bench.env.now().saturating_add(secs(60))));
    assert_eq!(bench.suspend(lease, sleeps, Due::In(secs(60))).await, Settled::Done(State::Scheduled));
    assert_eq!(bench.store.list_waiters(None, ALL).await.expect("waiters"), []);
    assert_eq!(bench.settle(member.lease, Ending::Succeeded).await, Settled::Done(State::Succeeded));
    assert_eq!(bench.of(of).await.state, WorkflowState::Succeeded);
    assert_eq!(bench.send(event("left", "1")).await, Sent::Stored);
    bench.sweep().await;
    bench.none_is_ready(worker).await;
    bench.pass_with(worker, secs(60)).await;
    let lease = bench.claim_one(worker).await.lease;
    let sleeps = remembered(3, "sleep", Kept::Sleeps(bench.env.now().saturating_add(secs(60))));
    assert_eq!(bench.suspend(lease, sleeps, Due::In(secs(60))).await, Settled::Done(State::Scheduled));
    assert_eq!(bench.memories(id).await.len(), 4);
}

/// Though it awaits something else by then.
pub async fn a_child_left_behind_is_cancelled_with_its_task(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let (id, _, of) = waits_for_workflow(&bench, worker).await;
    bench.let_go(id).await;
    let lease = bench.claim_one(worker).await.lease;
    let awaits = Memory { position: 1, ..awaits("never") };
    assert_eq!(bench.suspend(lease, awaits, Due::Never).await, Settled::Done(State::Scheduled));
    bench.sweep().await;
    assert_eq!(bench.of(of).await.state, WorkflowState::Running);
    assert_eq!(bench.store.cancel(&[id]).await.expect("cancel"), [CancelOutcome::Cancelled]);
    bench.sweep().await;
    assert_eq!(bench.of(of).await.state, WorkflowState::Cancelling);
}

/// By hand, or as its time is over, before anybody could see to what it has started.
pub async fn what_a_task_has_started_that_is_gone_is_cancelled(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let (id, member, of) = waits_for_workflow(&bench, worker).await;
    assert_eq!(bench.store.cancel(&[id]).await.expect("cancel"), [CancelOutcome::Cancelled]);
    assert_eq!(bench.store.delete(&[id]).await.expect("delete"), [DeleteOutcome::Deleted]);
    bench.sweep().await;
    assert_eq!(bench.of(of).await.state, WorkflowState::Cancelling);
    assert_eq!(bench.settle(member.lease, Ending::Cancelled).await, Settled::Done(State::Cancelled));
    // Whoever is given its id takes nothing over.
    bench.enqueue(NewTask { id, ..bench.task() }).await;
    let lease = bench.claim_one(worker).await.lease;
    assert_eq!((lease.id, bench.memories(id).await), (id, vec![]));
    assert_eq!(bench.settle(lease, Ending::Succeeded).await, Settled::Done(State::Succeeded));

    let brief = bench.enqueue(NewTask { retention: Retention::For(Duration::ZERO), ..bench.task() }).await;
    let lease = bench.claim_one(worker).await.lease;
    let child = bench.workflow(vec![StepDraft::one("only", KIND, ())]);
    let (of, memories) = (child.id, vec![remembered(0, "w", Kept::Workflow(child.id))]);
    let checkpoint = Checkpoint { memories, workflow: Some(Box::new(child)), ..Checkpoint::new(lease) };
    assert_eq!(bench.checkpoint(checkpoint).await, Settled::Done(State::Running));
    assert_eq!(bench.settle(lease, Ending::Cancelled).await, Settled::Done(State::Cancelled));
    bench.store.prune(ALL).await.expect("prune");
    assert_eq!(bench.find(brief).await, None);
    bench.sweep().await;
    assert_eq!(bench.of(of).await.state, WorkflowState::Cancelled);
    // What is left of it is looked for now and then.
    bench.pass(secs(60));
    bench.sweep().await;
    bench.store.prune(ALL).await.expect("prune");
    assert_eq!(bench.memories(brief).await, []);
}

/// Whether anything of the task is kept or not.
pub async fn what_a_task_has_started_that_succeeded_goes_on(bench: Bench<'_>) {
    let worker = bench.worker().await;
    for retention in [Retention::default(), Retention::None] {
        bench.enqueue(NewTask { retention, ..bench.task() }).await;
        let lease = bench.claim_one(worker).await.lease;
        let child = bench.workflow(vec![StepDraft::one("only", KIND, ())]);
        let (of, memories) = (child.id, vec![remembered(0, "w", Kept::Workflow(child.id))]);
        let checkpoint = Checkpoint { memories, workflow: Some(Box::new(child)), ..Checkpoint::new(lease) };
        assert_eq!(bench.checkpoint(checkpoint).await, Settled::Done(State::Running));
        assert_eq!(bench.settle(lease, Ending::Succeeded).await, Settled::Done(State::Succeeded));
        bench.sweep().await;
        assert_eq!(bench.of(of).await.state, WorkflowState::Running);
        let member = bench.claim_one(worker).await.lease;
        assert_eq!(bench.settle(member, Ending::Succeeded).await, Settled::Done(State::Succeeded));
    }
}

/// It may have run, and be gone.
pub async fn a_repetition_after_a_lost_answer_brings_nothing_again(bench: Bench<'_>) {
    let worker = bench.worker().await;
    bench.add().await;
    let lease = bench.claim_one(worker).await.lease;
    let child = NewTask { retention: Retention::None, ..bench.task() };
    let id = child.id;
    let memories = vec![value(0, "a", "1"), value(1, "b", "1")];
    let checkpoint = Checkpoint { children: vec![child].into(), memories, ..Checkpoint::new(lease) };
    assert_eq!(bench.checkpoint(checkpoint.clone()).await, Settled::Done(State::Running));
    let ran = bench.claim_one(worker).await;
    assert_eq!(ran.lease.id, id);
    assert_eq!(bench.settle(ran.lease, Ending::Succeeded).await, Settled::Done(State::Succeeded));
    assert_eq!(bench.find(id).await, None);
    assert_eq!(bench.checkpoint(checkpoint).await, Settled::Done(State::Running));
    bench.none_is_ready(worker).await;
    // Part of it is new.
    let memories = vec![value(1, "b", "1"), value(2, "c", "1")];
    let next = bench.task();
    let id = next.id;
    bench.checkpoint(Checkpoint { children: vec![next].into(), memories, ..Checkpoint::new(lease) }).await;
    assert_eq!(bench.claim_ids(worker, ALL).await, [id]);
}

/// Nor taken for one that did not come in time.
pub async fn a_value_is_not_waited_for_again(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.add().await;
    let lease = bench.claim_one(worker).await.lease;
    let came = value(0, "a", "7");
    bench.remember(lease, vec![came.clone()]).await;
    assert_eq!(bench.suspend(lease, awaits("a"), Due::Never).await, Settled::Done(State::Ready));
    let lease = bench.claim_one(worker).await.lease;
    assert_eq!(bench.memories(id).await, std::slice::from_ref(&came));
    // Whoever says that it came too late has looked.
    let late = remembered(0, "a", Kept::TimedOut);
    bench.remember(lease, vec![late.clone()]).await;
    assert_eq!(bench.memories(id).await, [late]);
    // Another one at its place is another thing.
    assert_eq!(bench.suspend(lease, awaits("b"), Due::Never).await, Settled::Done(State::Scheduled));
    assert_eq!(bench.memories(id).await, [awaits("b")]);
}

/// He was not there to be told.
pub async fn an_event_that_was_sent_in_time_is_found_by_who_failed_meanwhile(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let until = bench.env.now().saturating_add(secs(10));
    let awaits = |until| remembered(0, "a", Kept::Event { name: "a".to_owned(), until });
    let mut held = Vec::new();
    for until in [Some(until), None] {
        let id = bench.add().await;
        let lease = bench.claim_one(worker).await.lease;
        assert_eq!(bench.suspend(lease, awaits(until), Due::In(secs(1))).await, Settled::Done(State::Scheduled));
        bench.let_go(id).await;
        held.push(bench.claim_one(worker).await);
    }
    assert_eq!(bench.send(event("a", "1")).await, Sent::Stored);
    for claimed in &held {
        assert_eq!(bench.settle(claimed.lease, Ending::Retry { delay: secs(60) }).await, Settled::Done(State::Scheduled));
    }
    bench.pass_with(worker, secs(60)).await;
    for claimed in bench.claim(worker, 2).await {
        assert_eq!(bench.memories(claimed.lease.id).await, [value(0, "a", "1")]);
    }
    // This one stopped waiting before.
    let id = bench.add().await;
    let lease = bench.claim_one(worker).await.lease;
    bench.remember(lease, vec![awaits(Some(until))]).await;
    assert_eq!(bench.memories(id).await, [value(0, "a", "1")], "it was sent before that");
    let over = remembered(0, "b", Kept::Event { name: "b".to_owned(), until: Some(until) });
    bench.remember(lease, vec![over.clone()]).await;
    assert_eq!(bench.send(event("b", "1")).await, Sent::Stored);
    assert_eq!(bench.memories(id).await, [over]);
}

/// By what the attempt that failed had waited for before.
pub async fn a_backoff_is_not_cut_short(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let waits = bench.waits_for(worker, "a").await;
    bench.let_go(waits).await;
    let lease = bench.claim_one(worker).await.lease;
    assert_eq!(bench.settle(lease, Ending::Retry { delay: secs(60) }).await, Settled::Done(State::Scheduled));
    let (parent, member, _) = waits_for_workflow(&bench, worker).await;
    bench.let_go(parent).await;
    let lease = bench.claim_one(worker).await.lease;
    assert_eq!(bench.settle(lease, Ending::Retry { delay: secs(60) }).await, Settled::Done(State::Scheduled));
    assert_eq!(bench.send(event("a", "1")).await, Sent::Stored);
    assert_eq!(bench.settle(member.lease, Ending::Succeeded).await, Settled::Done(State::Succeeded));
    bench.sweep().await;
    bench.none_is_ready(worker).await;
    bench.pass_with(worker, secs(60)).await;
    assert_eq!(bench.claim_ids(worker, ALL).await, [waits, parent]);
}

/// By hand, or when its time is over.
pub async fn what_is_remembered_goes_with_its_task(bench: Bench<'_>) {
    let worker = bench.worker().await;
    let id = bench.add().await;
    let lease = bench.claim_one(worker).await.lease;
    bench.remember(lease, vec![value(0, "a", "1")]).await;
    assert_eq!(bench.settle(lease, Ending::Succeeded).await, Settled::Done(State::Succeeded));
    assert_eq!(bench.store.delete(&[id]).await.expect("delete"), [DeleteOutcome::Deleted]);
    bench.sweep().await;
    bench.store.prune(ALL).await.expect("prune");
    assert_eq!(bench.memories(id).await, []);
}

/// More than a sweep moves at once.
pub async fn many_wait_for_one(bench: Bench<'_>) {
    const MANY: usize = 250;
    let worker = bench.worker().await;
    let mut ids = Vec::new();
    for _ in 0..MANY {
        ids.push(bench.waits_for(worker, "go").await);
    }
    assert_eq!(bench.send(event("go", "1")).await, Sent::Stored);
    for _ in 0..4 {
        bench.store.sweep(100).await.expect("sweep");
    }
    let mut claimed = bench.claim_ids(worker, ALL).await;
    claimed.sort_unstable();
    ids.sort_unstable();
    assert_eq!(claimed, ids);
}
