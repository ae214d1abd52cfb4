//! Workflows that have ended and are begun anew, and those whose time is limited.

use std::collections::BTreeMap;

use gristmill_core::durable::{Checkpoint, Due, Kept};
use gristmill_core::workflow::{
    Needs, NewWorkflow, Order, Ordered, Rerun, Retried, Retry, Started, StepDraft, StepWord, Tolerance, Tolerated,
    WorkflowFilter, WorkflowState,
};
use gristmill_core::{
    CancelOutcome, DeleteOutcome, Ending, Failure, FailureReason, Retention, RetryOutcome, Settled, Settlement, State, TaskId,
};

use super::bench::{ALL, Bench, KIND, secs};
use super::durable::remembered;
use super::list;
use super::workflows::{Run, group, handler, step};

list![
    what_failed_runs_again_and_its_finisher_once_more_with_all_results,
    a_handler_runs_again_when_it_is_needed_again,
    all_of_it_runs_again,
    what_follows_runs_again_if_that_is_wanted,
    without_the_history_each_begins_as_if_it_had_never_run,
    what_was_cancelled_runs_again,
    what_had_succeeded_before_a_retry_that_was_cancelled_stays_done,
    what_was_undone_is_done_again,
    a_retry_of_what_can_not_be_retried_changes_nothing,
    a_key_is_held_again_or_by_another,
    members_that_are_gone_or_soon_will_be_are_no_help,
    results_are_kept_once_more_until_it_has_ended,
    a_large_step_is_retried_in_parts_whatever_dies_meanwhile,
    how_many_may_fail_changes_while_it_runs,
    what_has_not_ended_by_its_deadline_is_cancelled,
    a_deadline_counts_anew_with_each_retry,
];

impl Run<'_, '_> {
    async fn retry(&self, rerun: impl Into<Rerun>) -> Retried {
        self.bench.store.retry_workflow(self.id, rerun.into()).await.expect("retry")
    }

    /// Begins it anew, and does what is left of that to sweeps.
    async fn again(&self, rerun: impl Into<Rerun>, attempt: u32) {
        assert_eq!(self.retry(rerun).await, Retried::Done(attempt));
        let record = self.record().await;
        assert_eq!((record.attempt, record.finished_at, record.unhandled), (attempt, None, false));
        self.bench.sweep().await;
    }

    /// Runs all that is ready, until nothing is any more. Which members these were.
    async fn turns(&self, fails: &[&str]) -> Vec<String> {
        let mut ran = Vec::new();
        loop {
            let turn = self.turn(fails).await;
            if turn.is_empty() {
                return ran;
            }
            ran.extend(turn);
        }
    }
}

fn of(names: &[&str]) -> Vec<Option<String>> {
    names.iter().map(|name| Some(format!("\"{name}\""))).collect()
}

/// The others keep their results.
pub async fn what_failed_runs_again_and_its_finisher_once_more_with_all_results(bench: Bench<'_>) {
    let run = bench
        .run(vec![step("a", &[]), group("g", 3, &["a"]), step("merge", &["g"]), handler("told", Needs::Failure), step("z", &[])])
        .await;
    assert_eq!(run.turns(&["g1"]).await, ["a0", "z0", "g0", "g1", "g2", "told0"]);
    assert_eq!(run.state().await, WorkflowState::Failed);
    run.again(Retry::Failed, 2).await;
    assert_eq!((run.state().await, run.step("g").await), (WorkflowState::Running, StepWord::Running));
    assert_eq!(run.turn(&[]).await, ["g1"]);
    assert_eq!(run.results("g").await, of(&["g0", "g1", "g2"]));
    assert_eq!(run.turns(&[]).await, ["merge0"]);
    let record = run.record().await;
    assert_eq!((record.state, record.attempt, record.finished_at), (WorkflowState::Succeeded, 2, Some(bench.env.now())));
    assert_eq!(run.step("told").await, StepWord::Skipped);
    assert_eq!(bench.get(run.task("merge", 0)).await.attempt, 1);
}

/// Its step was skipped then, and not all of it has to run for that.
pub async fn what_had_succeeded_before_a_retry_that_was_cancelled_stays_done(bench: Bench<'_>) {
    let after_any_end = vec![("b".to_owned(), Needs::End)];
    let run = bench.run(vec![step("b", &[]), StepDraft { after: after_any_end, ..group("p", 2, &[]) }]).await;
    assert_eq!(run.turns(&["b0", "p1"]).await, ["b0", "p0", "p1"]);
    run.again(Retry::Failed, 2).await;
    assert!(matches!(bench.store.order_workflow(run.id, Order::Cancel).await.expect("order"), Ordered::Done(_)));
    bench.sweep().await;
    assert_eq!((run.state().await, run.step("p").await), (WorkflowState::Cancelled, StepWord::Skipped));
    run.again(Retry::Failed, 3).await;
    assert_eq!(run.turns(&[]).await, ["b0", "p1"]);
    assert_eq!(run.results("p").await, of(&["p0", "p1"]));
}

/// As one that failed is told.
pub async fn a_handler_runs_again_when_it_is_needed_again(bench: Bench<'_>) {
    let run = bench.run(vec![step("a", &[]), handler("told", Needs::Failure), handler("praised", Needs::Success)]).await;
    assert_eq!(run.turns(&["a0", "told0"]).await, ["a0", "told0"]);
    assert!(run.record().await.unhandled);
    run.again(Retry::Failed, 2).await;
    assert_eq!(run.turns(&["a0"]).await, ["a0", "told0"]);
    let record = run.record().await;
    assert_eq!((record.state, record.unhandled), (WorkflowState::Failed, false));
    run.again(Retry::FailedAndAfter, 3).await;
    assert_eq!(run.turns(&[]).await, ["a0", "praised0"]);
    assert_eq!(run.state().await, WorkflowState::Succeeded);
}

/// Also of what succeeded; a group without members too.
pub async fn all_of_it_runs_again(bench: Bench<'_>) {
    let run = bench.run(vec![step("a", &[]), group("none", 0, &["a"]), group("g", 2, &["none"]), step("b", &["g"])]).await;
    for attempt in 2..4 {
        assert_eq!(run.turns(&[]).await, ["a0", "g0", "g1", "b0"]);
        assert_eq!(run.state().await, WorkflowState::Succeeded);
        run.again(Retry::All, attempt).await;
        let mut states = Vec::new();
        for (name, place) in [("a", 0), ("g", 1), ("b", 0)] {
            states.push(bench.state(run.task(name, place)).await);
        }
        assert_eq!(states, [State::Ready, State::Blocked, State::Blocked]);
    }
    let empty = bench.run(vec![]).await;
    assert_eq!(empty.retry(Retry::All).await, Retried::Done(2));
    assert_eq!(empty.state().await, WorkflowState::Succeeded);
}

/// What keeps its result keeps its history. A workflow that was started and goes on is cancelled, as it would be started anew.
pub async fn without_the_history_each_begins_as_if_it_had_never_run(bench: Bench<'_>) {
    let run = bench.run(vec![step("a", &[]), group("g", 2, &["a"])]).await;
    assert_eq!(run.turn(&[]).await, ["a0"]);
    let claimed = bench.claim(run.worker, ALL).await;
    let child = bench.workflow(vec![StepDraft::one("only", KIND, ())]);
    let (of, awaits) = (child.id, remembered(2, "w", Kept::Workflow(child.id)));
    for claimed in &claimed {
        let failed = Failure::new(FailureReason::Error, "declined");
        let memories = vec![remembered(0, "charge", Kept::Value("1".to_owned())), remembered(1, "mail", Kept::Failed(failed))];
        bench.remember(claimed.lease, memories).await;
    }
    let (waits, fails) = (claimed[0].lease, claimed[1].lease);
    let (memories, suspend, workflow) = (vec![awaits], Some(Due::Never), Some(Box::new(child)));
    let checkpoint = Checkpoint { memories, suspend, workflow, ..Checkpoint::new(waits) };
    assert_eq!(bench.store.checkpoint(checkpoint).await.expect("checkpoint"), Settled::Done(State::Scheduled));
    assert_eq!(bench.settle(fails, Ending::Failed).await, Settled::Done(State::Failed));
    assert_eq!(bench.store.cancel(&[waits.id]).await.expect("cancel"), [CancelOutcome::Cancelled]);
    assert_eq!(bench.get(fails.id).await.attempts.len(), 1);
    assert_eq!(run.retry(Retry::Failed.without_history()).await, Retried::Done(2));
    assert_eq!((bench.memories(waits.id).await, bench.memories(fails.id).await), (vec![], vec![]));
    for id in [waits.id, fails.id] {
        let record = bench.get(id).await;
        assert_eq!((record.state, record.attempt, record.attempts.len()), (State::Ready, 0, 0));
        assert_eq!((record.error, record.result), (None, None));
    }
    assert_eq!(bench.get(run.task("a", 0)).await.attempts.len(), 1, "it keeps its result");
    assert_eq!(bench.settle(fails, Ending::Failed).await, Settled::LeaseLost, "what ran before has no say any more");
    bench.sweep().await;
    assert_eq!(bench.of(of).await.state, WorkflowState::Cancelled);
    for claimed in bench.claim(run.worker, ALL).await {
        let ending = if claimed.lease.id == fails.id { Ending::Failed } else { Ending::Succeeded };
        assert!(matches!(bench.settle(claimed.lease, ending).await, Settled::Done(_)));
    }
    let record = bench.get(fails.id).await;
    assert_eq!((record.attempt, record.attempts.len()), (1, 1));
    run.again(Retry::Failed, 3).await;
    assert_eq!(bench.get(fails.id).await.attempts.len(), 1, "the next one that says nothing keeps it");
}

/// Even if it ran, as it need not have succeeded.
pub async fn what_follows_runs_again_if_that_is_wanted(bench: Bench<'_>) {
    let any = StepDraft { after: vec![("a".to_owned(), Needs::End)], ..step("any", &[]) };
    let run = bench.run(vec![step("a", &[]), any, step("then", &["any"]), step("b", &["a"]), step("z", &[])]).await;
    assert_eq!(run.turns(&["a0"]).await, ["a0", "z0", "any0", "then0"]);
    run.again(Retry::Failed, 2).await;
    assert_eq!(run.turns(&["a0"]).await, ["a0"]);
    run.again(Retry::FailedAndAfter, 3).await;
    assert_eq!(run.turn(&[]).await, ["a0"]);
    assert_eq!(run.turn(&[]).await, ["any0", "b0"]);
    assert_eq!(run.turns(&[]).await, ["then0"]);
    assert_eq!(run.state().await, WorkflowState::Succeeded);
}

/// What ran then, and what had not yet begun.
pub async fn what_was_cancelled_runs_again(bench: Bench<'_>) {
    let run = bench.run(vec![step("a", &[]), group("g", 2, &["a"]), step("b", &["g"])]).await;
    assert_eq!(run.turn(&[]).await, ["a0"]);
    let claimed = bench.claim(run.worker, 1).await.remove(0);
    let ordered = bench.store.order_workflow(run.id, Order::Cancel).await.expect("order");
    assert_eq!(ordered, Ordered::Done(WorkflowState::Cancelling));
    assert_eq!(run.retry(Retry::Failed).await, Retried::NotEnded, "one of them still runs");
    bench.settle(claimed.lease, Ending::Cancelled).await;
    assert_eq!(run.state().await, WorkflowState::Cancelled);
    run.again(Retry::Failed, 2).await;
    assert_eq!(run.state().await, WorkflowState::Running, "it is cancelled no longer");
    assert_eq!(run.turns(&[]).await, ["g0", "g1", "b0"]);
    assert_eq!(run.state().await, WorkflowState::Succeeded);
}

/// And undone again, if it has to be.
pub async fn what_was_undone_is_done_again(bench: Bench<'_>) {
    let undo = |of: &str| StepDraft { undoes: Some(of.to_owned()), ..step(&format!("undo {of} "), &[]) };
    let run = bench.run(vec![step("a", &[]), step("b", &["a"]), step("z", &[]), undo("a"), undo("b")]).await;
    assert_eq!(run.turns(&["b0"]).await, ["a0", "z0", "b0", "undo a 0"]);
    run.again(Retry::Failed, 2).await;
    assert_eq!(run.turns(&["b0"]).await, ["a0", "b0", "undo a 0"]);
    run.again(Retry::Failed, 3).await;
    assert_eq!(run.turns(&[]).await, ["a0", "b0"]);
    assert_eq!(run.state().await, WorkflowState::Succeeded);
}

/// And is told why.
pub async fn a_retry_of_what_can_not_be_retried_changes_nothing(bench: Bench<'_>) {
    let run = bench.run(vec![step("a", &[])]).await;
    assert_eq!(bench.store.retry_workflow(bench.env.workflow_id(), Retry::All.into()).await.expect("retry"), Retried::NotFound);
    assert_eq!(run.retry(Retry::All).await, Retried::NotEnded);
    run.turn(&[]).await;
    assert_eq!((run.retry(Retry::Failed).await, run.retry(Retry::FailedAndAfter).await), (Retried::Nothing, Retried::Nothing));
    let record = run.record().await;
    assert_eq!((record.state, record.attempt, record.finished_at.is_some()), (WorkflowState::Succeeded, 1, true));
    // A member that was retried by hand would count for a step that has yet to begin.
    assert_eq!(bench.store.retry(&[run.task("a", 0)]).await.expect("retry"), [RetryOutcome::Ready]);
    assert_eq!(run.retry(Retry::All).await, Retried::NotEnded);
    run.turn(&[]).await;
    assert_eq!(run.retry(Retry::All).await, Retried::Done(2));
    assert_eq!(run.retry(Retry::All).await, Retried::NotEnded);
}

/// While it goes on again, nobody else gets it.
pub async fn a_key_is_held_again_or_by_another(bench: Bench<'_>) {
    let keyed = || NewWorkflow { key: Some("upload:1".to_owned()), ..bench.workflow(vec![step("a", &[])]) };
    let run = bench.run_new(keyed()).await;
    run.turn(&["a0"]).await;
    let other = bench.run_new(keyed()).await;
    assert_eq!(run.retry(Retry::Failed).await, Retried::KeyHeld(other.id));
    assert_eq!((run.state().await, run.record().await.attempt), (WorkflowState::Failed, 1));
    other.turn(&[]).await;
    run.again(Retry::Failed, 2).await;
    assert_eq!(bench.start_workflow(keyed()).await, Started::Exists(run.id));
    let running = WorkflowFilter { states: vec![WorkflowState::Running], ..WorkflowFilter::default() };
    let page = bench.store.list_workflows(&running, None, ALL).await.expect("list");
    assert_eq!(page.items.iter().map(|item| (item.id, item.attempt)).collect::<Vec<_>>(), [(run.id, 2)]);
    assert_eq!(run.turn(&[]).await, ["a0"]);
    assert_eq!(bench.start_workflow(keyed()).await, Started::Created);
}

/// What follows could not have their results, nor could they run.
pub async fn members_that_are_gone_or_soon_will_be_are_no_help(bench: Bench<'_>) {
    let mut new = bench.workflow(vec![group("g", 2, &[]), step("b", &["g"])]);
    new.members.iter_mut().for_each(|member| member.retention = Retention::For(secs(100)));
    let run = bench.run_new(new).await;
    run.turns(&["b0"]).await;
    bench.pass(secs(39));
    assert_eq!(run.retry(Retry::Failed).await, Retried::Done(2), "they are kept for another minute and more");
    let run = Run { worker: bench.worker().await, ..run };
    assert_eq!(run.turns(&["b0"]).await, ["b0"]);
    bench.pass(secs(50));
    assert_eq!(run.retry(Retry::Failed).await, Retried::Gone("g".to_owned()), "they may be gone before they are kept");
    bench.pass(secs(50));
    bench.store.prune(ALL).await.expect("prune");
    assert_eq!(bench.find(run.task("g", 0)).await, None);
    assert_eq!(run.retry(Retry::All).await, Retried::Gone("g".to_owned()));
    assert_eq!((run.state().await, run.record().await.attempt), (WorkflowState::Failed, 2));
}

/// Whatever their retention says.
pub async fn results_are_kept_once_more_until_it_has_ended(bench: Bench<'_>) {
    let mut new = bench.workflow(vec![step("a", &[]), group("g", 2, &["a"]), step("b", &["g"])]);
    new.retention = Retention::For(secs(200));
    new.members.iter_mut().for_each(|member| member.retention = Retention::For(secs(100)));
    let run = bench.run_new(new).await;
    run.turns(&["g1"]).await;
    run.again(Retry::Failed, 2).await;
    bench.pass(secs(1_000));
    bench.store.prune(ALL).await.expect("prune");
    let run = Run { worker: bench.worker().await, ..run };
    assert_eq!(run.results("a").await, of(&["a0"]));
    assert_eq!(bench.store.delete(&[run.task("g", 0)]).await.expect("delete"), [DeleteOutcome::Wanted]);
    assert_eq!(run.turn(&[]).await, ["g1"]);
    assert_eq!(run.results("g").await, of(&["g0", "g1"]));
    assert_eq!(run.turns(&[]).await, ["b0"]);
    bench.pass(secs(150));
    bench.sweep().await;
    bench.store.prune(ALL).await.expect("prune");
    assert_eq!((bench.find(run.task("a", 0)).await, bench.find(run.task("g", 1)).await), (None, None));
    assert_eq!(run.state().await, WorkflowState::Succeeded);
    bench.pass(secs(50));
    bench.store.prune(ALL).await.expect("prune");
    assert_eq!(bench.store.workflow(run.id).await.ok(), Some(None), "its time counts from its last end");
}

/// Nothing of it goes before all of it waits again.
pub async fn a_large_step_is_retried_in_parts_whatever_dies_meanwhile(bench: Bench<'_>) {
    const MEMBERS: u32 = 2_500;
    let run = bench.run(vec![StepDraft { open: true, ..group("g", 0, &[]) }, step("b", &["g"])]).await;
    for from in [0, 1_000, 2_000] {
        let count = 1_000.min(MEMBERS - from);
        let mut part = bench.more(&run, (0, "g"), from, count);
        part.close = from + count == MEMBERS;
        bench.extend(part).await;
    }
    bench.store.order_workflow(run.id, Order::Cancel).await.expect("order");
    while !run.state().await.is_final() || run.record().await.steps[0].open() > 0 {
        bench.sweep().await;
    }
    assert_eq!(run.retry(Retry::Failed).await, Retried::Done(2));
    let (id, tasks): (_, BTreeMap<String, Vec<TaskId>>) = (run.id, run.tasks.clone());
    let bench = bench.reopen().await;
    let run = Run { bench: &bench, worker: bench.worker().await, id, tasks };
    assert_eq!(run.state().await, WorkflowState::Running);
    let mut ended = 0;
    while ended < MEMBERS {
        bench.sweep().await;
        let claimed = run.claim().await;
        assert!(claimed.iter().all(|(name, _)| name.starts_with('g')));
        ended += claimed.len() as u32;
        let settlements = claimed.into_iter().map(|(_, claimed)| Settlement::new(claimed.lease, Ending::Succeeded)).collect();
        crate::source::settle_all(&*bench.store, settlements).await;
    }
    bench.sweep().await;
    let tally = run.record().await.steps[0].row.tally;
    assert_eq!((tally.members, tally.succeeded, tally.ended()), (MEMBERS, MEMBERS, MEMBERS), "each has run once");
    assert_eq!(run.turns(&[]).await, ["b0"]);
    assert_eq!(run.state().await, WorkflowState::Succeeded);
}

/// A step that has ended keeps its end.
pub async fn how_many_may_fail_changes_while_it_runs(bench: Bench<'_>) {
    let tolerate = async |id, step: &str, tolerance| bench.store.tolerate(id, step, tolerance).await.expect("tolerate");
    let run = bench.run(vec![group("g", 4, &[]), step("b", &["g"])]).await;
    let claimed = bench.claim(run.worker, 1).await.remove(0);
    bench.settle(claimed.lease, Ending::Failed).await;
    assert_eq!(tolerate(run.id, "g", Tolerance::Percent(25)).await, Tolerated::Done(StepWord::Running));
    assert_eq!(run.record().await.steps[0].row.tolerance, Tolerance::Percent(25));
    assert_eq!(run.turn(&[]).await.len(), 3);
    assert_eq!(run.step("g").await, StepWord::Succeeded);
    assert_eq!(tolerate(run.id, "g", Tolerance::NONE).await, Tolerated::AlreadyEnded);
    assert_eq!(tolerate(run.id, "x", Tolerance::NONE).await, Tolerated::NoSuchStep);
    assert_eq!(tolerate(bench.env.workflow_id(), "g", Tolerance::NONE).await, Tolerated::NotFound);
    assert_eq!(run.turn(&["b0"]).await, ["b0"]);
    assert_eq!(tolerate(run.id, "b", Tolerance::Count(1)).await, Tolerated::AlreadyEnded);
    run.again(Retry::All, 2).await;
    assert_eq!(run.turn(&["g1"]).await.len(), 4);
    assert_eq!(run.turn(&[]).await, ["b0"], "what was changed stays so");
    // Fewer than have failed already: it fails when the last has ended.
    let strict = bench.run(vec![StepDraft { tolerance: Tolerance::Count(1), ..group("g", 2, &[]) }]).await;
    let claimed = bench.claim(strict.worker, 1).await.remove(0);
    bench.settle(claimed.lease, Ending::Failed).await;
    assert_eq!(tolerate(strict.id, "g", Tolerance::NONE).await, Tolerated::Done(StepWord::Running));
    strict.turn(&[]).await;
    assert_eq!(strict.state().await, WorkflowState::Failed);
}

/// Its handlers run then; one that has ended in time has nothing to do with it.
pub async fn what_has_not_ended_by_its_deadline_is_cancelled(bench: Bench<'_>) {
    let timed = |steps| NewWorkflow { deadline: Some(secs(60)), ..bench.workflow(steps) };
    let run = bench.run_new(timed(vec![step("a", &[]), step("b", &["a"]), handler("always", Needs::End)])).await;
    let quick = bench.run_new(timed(vec![group("g", 0, &[])])).await;
    let record = run.record().await;
    assert_eq!((record.deadline, record.overdue), (Some(bench.env.now().saturating_add(secs(60))), false));
    bench.pass(secs(59));
    let next = bench.sweep().await.next_due.expect("something is due");
    assert!(next <= secs(1), "whoever sweeps knows of it: {next:?}");
    assert_eq!(run.state().await, WorkflowState::Running);
    bench.pass(secs(1));
    bench.sweep().await;
    let record = run.record().await;
    assert_eq!((record.state, record.overdue), (WorkflowState::Cancelling, true));
    assert_eq!(bench.state(run.task("a", 0)).await, State::Cancelled);
    let run = Run { worker: bench.worker().await, ..run };
    assert_eq!(run.turns(&[]).await, ["always0"]);
    let record = run.record().await;
    assert_eq!((record.state, record.overdue), (WorkflowState::Cancelled, true));
    let record = quick.record().await;
    assert_eq!((record.state, record.overdue), (WorkflowState::Succeeded, false));
    let listed = bench.store.list_workflows(&WorkflowFilter::default(), None, ALL).await.expect("list");
    assert_eq!(listed.items.iter().map(|item| item.overdue).collect::<Vec<_>>(), [false, true]);
    // Somebody was faster.
    let cancelled = bench.run_new(timed(vec![step("a", &[]), handler("always", Needs::End)])).await;
    bench.store.order_workflow(cancelled.id, Order::Cancel).await.expect("order");
    bench.pass(secs(60));
    bench.sweep().await;
    let record = cancelled.record().await;
    assert_eq!((record.state, record.overdue), (WorkflowState::Cancelling, false));
    let none = NewWorkflow { deadline: Some(secs(0)), ..bench.workflow(vec![]) };
    assert!(bench.store.start_workflow(none).await.is_err());
}

/// As if it had just been started.
pub async fn a_deadline_counts_anew_with_each_retry(bench: Bench<'_>) {
    let run = bench.run_new(NewWorkflow { deadline: Some(secs(60)), ..bench.workflow(vec![step("a", &[])]) }).await;
    bench.pass(secs(60));
    bench.sweep().await;
    assert_eq!(run.state().await, WorkflowState::Cancelled);
    bench.pass(secs(100));
    run.again(Retry::Failed, 2).await;
    let record = run.record().await;
    assert_eq!((record.state, record.overdue), (WorkflowState::Running, false));
    assert_eq!(record.deadline, Some(bench.env.now().saturating_add(secs(60))));
    bench.pass(secs(60));
    bench.sweep().await;
    assert_eq!((run.state().await, run.record().await.overdue), (WorkflowState::Cancelled, true));
}
