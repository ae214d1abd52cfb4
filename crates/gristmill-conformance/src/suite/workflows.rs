//! Tasks that wait for tasks: what follows from the end of which, whatever ended it.

use std::collections::BTreeMap;

use gristmill_core::workflow::{
    Draft, DraftError, Extended, Extension, Needs, NewWorkflow, Order, Ordered, Role, Started, StepDraft, StepWord, Tolerance,
    WorkflowFilter, WorkflowRecord, WorkflowState,
};
use gristmill_core::{
    CancelOutcome, DeleteOutcome, Ending, Failure, FailureReason, Membership, NewTask, Retention, RetryOutcome, Settled,
    Settlement, State, TaskId, TaskMeta, WorkerId, WorkflowId,
};

use super::bench::{ALL, Bench, KIND, secs};
use super::list;

list![
    a_chain_goes_step_by_step,
    a_chord_goes_once_with_all_results_in_order,
    empty_groups_and_workflows_are_over_at_once,
    what_nobody_needs_from_the_start_never_runs,
    what_needs_a_success_ends_with_a_failure_and_a_handler_goes,
    every_way_to_end_settles_the_step,
    some_may_fail,
    a_key_is_held_by_one_that_goes_on,
    a_start_can_be_repeated_and_takes_all_or_nothing,
    members_are_added_until_the_step_is_closed,
    a_large_group_goes_in_parts,
    a_cancel_ends_what_waits_and_asks_what_runs,
    nothing_goes_on_while_it_is_paused,
    a_cancel_of_what_is_paused_lets_handlers_run,
    what_was_done_is_undone_from_its_end,
    results_are_kept_until_the_workflow_has_ended,
    a_member_that_is_retried_counts_once,
    a_member_that_is_retried_too_early_waits_with_its_step,
    workflows_are_listed_newest_first,
    what_has_ended_is_forgotten_when_its_time_is_over,
];

/// A step that needs the success of others.
pub(super) fn step(name: &str, after: &[&str]) -> StepDraft<()> {
    let after = after.iter().map(|name| ((*name).to_owned(), Needs::Success)).collect();
    StepDraft { after, ..StepDraft::one(name, KIND, ()) }
}

pub(super) fn group(name: &str, members: usize, after: &[&str]) -> StepDraft<()> {
    StepDraft { after: step(name, after).after, ..StepDraft::group(name, KIND, vec![(); members]) }
}

pub(super) fn handler(name: &str, needs: Needs) -> StepDraft<()> {
    StepDraft { role: Role::Handler(needs), ..step(name, &[]) }
}

/// One run of a workflow on the bench.
pub(super) struct Run<'b, 'a> {
    pub(super) bench: &'b Bench<'a>,
    pub(super) worker: WorkerId,
    pub(super) id: WorkflowId,
    /// The members of each step.
    pub(super) tasks: BTreeMap<String, Vec<TaskId>>,
}

impl<'a> Bench<'a> {
    pub(super) fn workflow(&self, steps: Vec<StepDraft<()>>) -> NewWorkflow {
        let draft =
            Draft { name: "w".to_owned(), key: None, tags: Vec::new(), retention: Retention::default(), deadline: None, steps };
        let new = draft.resolve(self.env.workflow_id(), "{}".to_owned(), |_, _, ()| Ok::<_, DraftError>(self.task()));
        new.expect("the graph is right")
    }

    pub(super) async fn start_workflow(&self, new: NewWorkflow) -> Started {
        self.store.start_workflow(new).await.expect("start")
    }

    pub(super) async fn run<'b>(&'b self, steps: Vec<StepDraft<()>>) -> Run<'b, 'a> {
        self.run_new(self.workflow(steps)).await
    }

    pub(super) async fn run_new<'b>(&'b self, new: NewWorkflow) -> Run<'b, 'a> {
        let worker = self.worker().await;
        let id = new.id;
        let mut tasks: BTreeMap<String, Vec<TaskId>> = BTreeMap::new();
        for member in &new.members {
            let step = member.membership().expect("a member").step.clone();
            tasks.entry(step).or_default().push(member.id);
        }
        assert_eq!(self.start_workflow(new).await, Started::Created);
        Run { bench: self, worker, id, tasks }
    }

    pub(super) async fn of(&self, id: WorkflowId) -> WorkflowRecord {
        self.store.workflow(id).await.expect("workflow").expect("the workflow is kept")
    }
}

impl Run<'_, '_> {
    pub(super) async fn record(&self) -> WorkflowRecord {
        self.bench.of(self.id).await
    }

    pub(super) async fn state(&self) -> WorkflowState {
        self.record().await.state
    }

    pub(super) async fn step(&self, name: &str) -> StepWord {
        self.record().await.steps.iter().find(|step| step.spec.name == name).expect("the step").state()
    }

    pub(super) fn task(&self, name: &str, place: usize) -> TaskId {
        self.tasks[name][place]
    }

    /// Takes all that is ready; which members these are.
    pub(super) async fn claim(&self) -> Vec<(String, gristmill_core::Claimed)> {
        let claimed = self.bench.claim(self.worker, ALL).await;
        let name = |claimed: &gristmill_core::Claimed| {
            let member = claimed.meta.as_ref().and_then(|meta| meta.member.clone()).expect("a claim says what it is of");
            format!("{}{}", member.step, member.place)
        };
        let mut named: Vec<_> = claimed.into_iter().map(|claimed| (name(&claimed), claimed)).collect();
        named.sort_by(|a, b| a.0.cmp(&b.0));
        named
    }

    /// Runs all that is ready, each with its name as its result; those that `fails` names fail. Which members these were.
    pub(super) async fn turn(&self, fails: &[&str]) -> Vec<String> {
        let mut ran = Vec::new();
        for (name, claimed) in self.claim().await {
            let mut settlement = Settlement::new(claimed.lease, Ending::Succeeded);
            if fails.contains(&name.as_str()) {
                settlement.ending = Ending::Failed;
                settlement.failure = Some(Box::new(Failure::new(FailureReason::Error, format!("{name} is broken"))));
            } else {
                settlement.result = Some(format!("\"{name}\""));
            }
            assert!(matches!(self.bench.settle_with(settlement).await, Settled::Done(state) if state.is_final()));
            ran.push(name);
        }
        ran
    }

    /// What is kept of the members of a step, in their order.
    pub(super) async fn results(&self, step: &str) -> Vec<Option<String>> {
        let members = self.bench.store.members(self.id, step, None, ALL).await.expect("members");
        assert!(members.iter().zip(0..).all(|(member, place)| member.place == place), "in their order, and all of them");
        members.into_iter().map(|member| member.result).collect()
    }
}

/// Each once, and none before its time.
pub async fn a_chain_goes_step_by_step(bench: Bench<'_>) {
    let run = bench.run(vec![step("a", &[]), step("b", &["a"]), step("c", &["b"])]).await;
    let states = [bench.state(run.task("a", 0)).await, bench.state(run.task("b", 0)).await];
    assert_eq!(states, [State::Ready, State::Blocked]);
    for name in ["a0", "b0", "c0"] {
        assert_eq!(run.state().await, WorkflowState::Running);
        assert_eq!(run.turn(&[]).await, [name]);
    }
    let record = run.record().await;
    assert_eq!((record.state, record.unhandled, record.finished_at), (WorkflowState::Succeeded, false, Some(bench.env.now())));
    assert_eq!(run.turn(&[]).await, [] as [&str; 0]);
}

/// With one member, too, and behind another step, and with a chord behind it.
pub async fn a_chord_goes_once_with_all_results_in_order(bench: Bench<'_>) {
    let run =
        bench.run(vec![step("a", &[]), group("g", 3, &["a"]), step("b", &["g"]), group("h", 1, &["b"]), step("c", &["h"])]).await;
    assert_eq!(run.turn(&[]).await, ["a0"]);
    // In whatever order they end, and although one of them is tried twice.
    let mut claimed = run.claim().await;
    assert_eq!(claimed.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["g0", "g1", "g2"]);
    let (_, again) = claimed.swap_remove(1);
    bench.settle(again.lease, Ending::Retry { delay: secs(0) }).await;
    for (name, claimed) in claimed.into_iter().rev() {
        let settlement = Settlement { result: Some(format!("\"{name}\"")), ..Settlement::new(claimed.lease, Ending::Succeeded) };
        assert_eq!(bench.settle_with(settlement.clone()).await, Settled::Done(State::Succeeded));
        assert_eq!(bench.settle_with(settlement).await, Settled::LeaseLost, "a repetition counts for nothing");
    }
    assert_eq!(run.turn(&[]).await, ["g1"]);
    let all = ["g0", "g1", "g2"].map(|name| Some(format!("\"{name}\"")));
    assert_eq!(run.results("g").await, all);
    assert_eq!(run.turn(&[]).await, ["b0"]);
    assert_eq!(run.turn(&[]).await, ["h0"]);
    assert_eq!(run.turn(&[]).await, ["c0"]);
    assert_eq!(run.state().await, WorkflowState::Succeeded);
    let page = bench.store.members(run.id, "g", Some(0), 1).await.expect("members");
    assert_eq!(page.iter().map(|member| (member.place, member.task)).collect::<Vec<_>>(), [(1, run.task("g", 1))]);
    assert_eq!(bench.store.members(run.id, "x", None, ALL).await.expect("members"), []);
}

/// What waits for an empty group goes on.
pub async fn empty_groups_and_workflows_are_over_at_once(bench: Bench<'_>) {
    let run = bench.run(vec![group("g", 0, &[]), step("b", &["g"])]).await;
    assert_eq!((run.step("g").await, run.results("g").await), (StepWord::Succeeded, vec![]));
    assert_eq!(run.turn(&[]).await, ["b0"]);
    assert_eq!(run.state().await, WorkflowState::Succeeded);
    let empty = bench.workflow(vec![]);
    let id = empty.id;
    assert_eq!(bench.start_workflow(empty).await, Started::Created);
    assert_eq!(bench.of(id).await.state, WorkflowState::Succeeded);
    let only = bench.run(vec![step("a", &[]), group("g", 0, &["a"])]).await;
    assert_eq!(only.turn(&[]).await, ["a0"]);
    assert_eq!(only.state().await, WorkflowState::Succeeded);
}

/// As the handler of a failure that can't be any more, when all groups are empty.
pub async fn what_nobody_needs_from_the_start_never_runs(bench: Bench<'_>) {
    let run = bench.run(vec![group("g", 0, &[]), handler("bad", Needs::Failure), handler("good", Needs::Success)]).await;
    assert_eq!((run.step("bad").await, bench.state(run.task("bad", 0)).await), (StepWord::Skipped, State::Cancelled));
    assert_eq!(run.turn(&[]).await, ["good0"]);
    assert_eq!(run.state().await, WorkflowState::Succeeded);
}

/// Whatever waits for that, too; what needs any end, or the failure, goes.
pub async fn what_needs_a_success_ends_with_a_failure_and_a_handler_goes(bench: Bench<'_>) {
    let needs = |name: &str, needs| StepDraft { after: vec![("a".to_owned(), needs)], ..step(name, &[]) };
    let run = bench
        .run(vec![
            step("a", &[]),
            step("b", &["a"]),
            group("c", 2, &["b"]),
            needs("any", Needs::End),
            needs("bad", Needs::Failure),
            handler("told", Needs::Failure),
            handler("praised", Needs::Success),
            handler("always", Needs::End),
        ])
        .await;
    assert_eq!(run.turn(&["a0"]).await, ["a0"]);
    let mut words = Vec::new();
    for name in ["a", "b", "c", "any", "bad", "told"] {
        words.push(run.step(name).await);
    }
    use StepWord::{Failed, Running, Skipped, Waiting};
    assert_eq!(words, [Failed, Skipped, Skipped, Running, Running, Waiting]);
    assert_eq!((bench.state(run.task("b", 0)).await, bench.state(run.task("c", 1)).await), (State::Cancelled, State::Cancelled));
    let error = bench.store.members(run.id, "a", None, 1).await.expect("members").remove(0).error.expect("the failure is kept");
    assert_eq!((error.reason, error.message.as_str()), (FailureReason::Error, "a0 is broken"));
    assert_eq!(run.turn(&[]).await, ["any0", "bad0"]);
    assert_eq!(run.turn(&["told0"]).await, ["always0", "told0"]);
    let record = run.record().await;
    assert_eq!((record.state, record.unhandled), (WorkflowState::Failed, true), "a handler that fails for good is seen");
    assert_eq!(bench.state(run.task("praised", 0)).await, State::Cancelled);
}

/// Whatever it is: a failure, an exhausted retry, a crash limit, a cancellation before and during, an expiry, and one by the handler.
pub async fn every_way_to_end_settles_the_step(bench: Bench<'_>) {
    let mut new =
        bench.workflow(vec![group("g", 7, &[]), StepDraft { after: vec![("g".to_owned(), Needs::End)], ..step("b", &[]) }]);
    let last = new.members[6].clone();
    new.members[6] = NewTask { expires: Some(secs(1)), ..last };
    new.members.iter_mut().for_each(|member| (member.max_attempts, member.max_crashes) = (1, 1));
    new.members.iter_mut().take(6).for_each(|member| member.priority = 0);
    let run = bench.run_new(new).await;
    assert_eq!(bench.store.cancel(&[run.task("g", 5)]).await.expect("cancel"), [CancelOutcome::Cancelled]);
    let mut claimed: BTreeMap<String, _> = BTreeMap::new();
    for claim in bench.claim(run.worker, 5).await {
        let member = claim.meta.as_ref().and_then(|meta| meta.member.clone()).expect("a member");
        claimed.insert(format!("g{}", member.place), claim.lease);
    }
    assert_eq!(bench.settle(claimed["g0"], Ending::Failed).await, Settled::Done(State::Failed));
    assert_eq!(bench.settle(claimed["g1"], Ending::Retry { delay: secs(0) }).await, Settled::Done(State::Failed));
    assert_eq!(bench.settle(claimed["g2"], Ending::Cancelled).await, Settled::Done(State::Cancelled));
    assert_eq!(bench.store.cancel(&[run.task("g", 3)]).await.expect("cancel"), [CancelOutcome::CancelRequested]);
    assert_eq!(bench.settle(claimed["g3"], Ending::Failed).await, Settled::Done(State::Cancelled));
    assert_eq!(run.step("g").await, StepWord::Running);
    // The fifth dies with its worker, and the last is not started in time.
    bench.store.start(&[claimed["g4"]]).await.expect("start");
    bench.die().await;
    let record = run.record().await;
    let tally = record.steps[0].row.tally;
    assert_eq!((tally.succeeded, tally.failed, tally.cancelled), (0, 3, 4));
    assert_eq!(record.steps[0].state(), StepWord::Failed);
    assert_eq!(bench.state(run.task("b", 0)).await, State::Ready);
}

/// So many, or so many in a hundred.
pub async fn some_may_fail(bench: Bench<'_>) {
    let tolerant = StepDraft { tolerance: Tolerance::Percent(50), ..group("g", 4, &[]) };
    let run = bench.run(vec![tolerant, step("b", &["g"])]).await;
    assert_eq!(run.turn(&["g1", "g3"]).await.len(), 4);
    assert_eq!(run.results("g").await, [Some("\"g0\"".to_owned()), None, Some("\"g2\"".to_owned()), None]);
    assert_eq!(run.turn(&[]).await, ["b0"]);
    assert_eq!(run.state().await, WorkflowState::Succeeded);
    let strict = StepDraft { tolerance: Tolerance::Count(1), ..group("g", 4, &[]) };
    let run = bench.run(vec![strict, step("b", &["g"])]).await;
    run.turn(&["g1", "g3"]).await;
    assert_eq!((run.step("b").await, run.state().await), (StepWord::Skipped, WorkflowState::Failed));
}

/// Afterwards another may have it.
pub async fn a_key_is_held_by_one_that_goes_on(bench: Bench<'_>) {
    let keyed = || NewWorkflow { key: Some("upload:1".to_owned()), ..bench.workflow(vec![step("a", &[])]) };
    let run = bench.run_new(keyed()).await;
    let second = keyed();
    let task = second.members[0].id;
    assert_eq!(bench.start_workflow(second).await, Started::Exists(run.id));
    assert_eq!(bench.find(task).await, None, "nothing of it is kept");
    let other = NewWorkflow { key: Some("upload:2".to_owned()), ..keyed() };
    assert_eq!(bench.start_workflow(other).await, Started::Created);
    run.turn(&[]).await;
    assert_eq!(bench.start_workflow(keyed()).await, Started::Created);
}

/// As after a lost reply.
pub async fn a_start_can_be_repeated_and_takes_all_or_nothing(bench: Bench<'_>) {
    let new = bench.workflow(vec![step("a", &[]), step("b", &["a"])]);
    let run = bench.run_new(new.clone()).await;
    assert_eq!(bench.start_workflow(new).await, Started::Exists(run.id));
    assert_eq!(run.turn(&[]).await, ["a0"], "it is there once");
    let mut taken = bench.workflow(vec![step("a", &[]), step("b", &["a"])]);
    taken.members[1].id = run.task("a", 0);
    let (id, first) = (taken.id, taken.members[0].id);
    assert_eq!(bench.start_workflow(taken).await, Started::Conflict);
    assert_eq!((bench.store.workflow(id).await.ok(), bench.find(first).await), (Some(None), None));
    let strange = NewWorkflow { id: bench.env.workflow_id(), ..bench.workflow(vec![step("a", &[])]) };
    let error = bench.store.start_workflow(strange).await.expect_err("its members are another's");
    assert!(error.to_string().contains("of no step of this workflow"), "{error}");
    let nameless = NewWorkflow { name: String::new(), ..bench.workflow(vec![]) };
    assert!(bench.store.start_workflow(nameless).await.is_err());
    assert_eq!(bench.store.workflow(bench.env.workflow_id()).await.ok(), Some(None));
}

impl Bench<'_> {
    /// Members of the step with this number, from a place on.
    pub(super) fn more(&self, run: &Run<'_, '_>, (number, step): (u32, &str), from: u32, count: u32) -> Extension {
        let member = |place| {
            let of = Membership { workflow: run.id, number, step: step.to_owned(), place, refers: false };
            NewTask { meta: Some(Box::new(TaskMeta { member: Some(of), ..TaskMeta::default() })), ..self.task() }
        };
        let members = (from..from + count).map(member).collect();
        Extension { workflow: run.id, step: number, from, members, close: false }
    }

    pub(super) async fn extend(&self, extension: Extension) -> Extended {
        self.store.extend_workflow(extension).await.expect("extend")
    }
}

/// Without a gap, and each once; a step that waits has those that wait with it.
pub async fn members_are_added_until_the_step_is_closed(bench: Bench<'_>) {
    let open = |name: &str, after: &[&str]| StepDraft { open: true, ..group(name, 0, after) };
    let run = bench.run(vec![open("g", &[]), open("h", &["g"]), step("b", &["h"])]).await;
    let first = bench.more(&run, (0, "g"), 0, 2);
    assert_eq!(bench.extend(first.clone()).await, Extended::Added(2));
    assert_eq!(bench.extend(first).await, Extended::Added(2), "as after a lost reply");
    assert_eq!(bench.extend(bench.more(&run, (0, "g"), 3, 1)).await, Extended::Gap(2));
    assert_eq!(bench.extend(bench.more(&run, (1, "h"), 0, 1)).await, Extended::Added(1));
    assert_eq!(run.turn(&[]).await, ["g0", "g1"]);
    assert_eq!(run.step("g").await, StepWord::Running, "more may come");
    let last = Extension { close: true, ..bench.more(&run, (0, "g"), 2, 1) };
    assert_eq!(bench.extend(last.clone()).await, Extended::Added(3));
    assert_eq!(bench.extend(last).await, Extended::Added(3));
    assert_eq!(bench.extend(bench.more(&run, (0, "g"), 3, 1)).await, Extended::Closed);
    assert_eq!(run.turn(&[]).await, ["g2"]);
    assert_eq!(run.turn(&[]).await, ["h0"]);
    assert_eq!(bench.extend(Extension { close: true, ..bench.more(&run, (1, "h"), 1, 0) }).await, Extended::Added(1));
    assert_eq!(run.turn(&[]).await, ["b0"], "a step that is closed last goes on then");
    let nobody = Extension { workflow: bench.env.workflow_id(), ..bench.more(&run, (0, "g"), 0, 1) };
    assert_eq!(bench.extend(nobody).await, Extended::NotFound);
    assert_eq!(bench.extend(Extension { step: 9, ..bench.more(&run, (0, "g"), 0, 1) }).await, Extended::NotFound);
    let open = bench.run(vec![open("g", &[])]).await;
    let mut taken = bench.more(&open, (0, "g"), 0, 2);
    taken.members[1].id = run.task("b", 0);
    let first = taken.members[0].id;
    assert_eq!((bench.extend(taken).await, bench.find(first).await), (Extended::Conflict, None));
}

/// So that nobody is held up; sweeps do what is left.
pub async fn a_large_group_goes_in_parts(bench: Bench<'_>) {
    const MEMBERS: u32 = 2_500;
    let run = bench.run(vec![step("a", &[]), StepDraft { open: true, ..group("g", 0, &["a"]) }, step("b", &["g"])]).await;
    for from in [0, 1_000, 2_000] {
        let count = 1_000.min(MEMBERS - from);
        let part = Extension { close: from + count == MEMBERS, ..bench.more(&run, (1, "g"), from, count) };
        assert_eq!(bench.extend(part).await, Extended::Added(from + count));
    }
    assert_eq!(run.turn(&[]).await, ["a0"]);
    let mut ended = 0;
    while ended < MEMBERS {
        bench.sweep().await;
        let claimed = bench.claim(run.worker, ALL).await;
        assert!(!claimed.is_empty(), "after {ended} of {MEMBERS}");
        ended += claimed.len() as u32;
        let settlements = claimed.into_iter().map(|claimed| Settlement::new(claimed.lease, Ending::Succeeded)).collect();
        crate::source::settle_all(&*bench.store, settlements).await;
    }
    assert_eq!(run.turn(&[]).await, ["b0"]);
    assert_eq!(run.state().await, WorkflowState::Succeeded);
}

/// Handlers run then.
pub async fn a_cancel_ends_what_waits_and_asks_what_runs(bench: Bench<'_>) {
    let order = async |id| bench.store.order_workflow(id, Order::Cancel).await.expect("order");
    let open = StepDraft { open: true, ..group("o", 1, &[]) };
    let run = bench.run(vec![group("g", 2, &[]), open, step("b", &["g"]), handler("always", Needs::End)]).await;
    let claimed = bench.claim(run.worker, 1).await.remove(0);
    assert_eq!(order(run.id).await, Ordered::Done(WorkflowState::Cancelling));
    assert_eq!(order(run.id).await, Ordered::Done(WorkflowState::Cancelling));
    assert_eq!(bench.store.heartbeat(run.worker, secs(30)).await.expect("heartbeat").cancel, [claimed.lease]);
    let mut states = Vec::new();
    for (name, place) in [("g", 0), ("g", 1), ("o", 0), ("b", 0)] {
        states.push(bench.state(run.task(name, place)).await);
    }
    states.sort();
    assert_eq!(states, [State::Running, State::Cancelled, State::Cancelled, State::Cancelled]);
    assert_eq!(bench.extend(bench.more(&run, (1, "o"), 1, 1)).await, Extended::Closed);
    assert_eq!(bench.settle(claimed.lease, Ending::Cancelled).await, Settled::Done(State::Cancelled));
    assert_eq!(run.turn(&[]).await, ["always0"]);
    assert_eq!((run.state().await, run.step("b").await), (WorkflowState::Cancelled, StepWord::Skipped));
    assert_eq!(order(run.id).await, Ordered::AlreadyEnded);
    assert_eq!(order(bench.env.workflow_id()).await, Ordered::NotFound);
}

/// What runs goes on.
pub async fn nothing_goes_on_while_it_is_paused(bench: Bench<'_>) {
    let order = async |id, order| bench.store.order_workflow(id, order).await.expect("order");
    let run = bench.run(vec![step("a", &[]), step("b", &["a"])]).await;
    assert_eq!(order(run.id, Order::Pause).await, Ordered::Done(WorkflowState::Paused));
    assert_eq!(run.turn(&[]).await, ["a0"]);
    assert_eq!((run.turn(&[]).await, run.state().await), (vec![], WorkflowState::Paused));
    assert_eq!(order(run.id, Order::Resume).await, Ordered::Done(WorkflowState::Running));
    assert_eq!(run.turn(&[]).await, ["b0"]);
    assert_eq!(order(run.id, Order::Pause).await, Ordered::AlreadyEnded);
}

/// Held, they would never run, and it would never end.
pub async fn a_cancel_of_what_is_paused_lets_handlers_run(bench: Bench<'_>) {
    let order = async |id, order| bench.store.order_workflow(id, order).await.expect("order");
    let run = bench.run(vec![step("a", &[]), step("b", &["a"]), handler("always", Needs::End)]).await;
    assert_eq!(order(run.id, Order::Pause).await, Ordered::Done(WorkflowState::Paused));
    assert_eq!(run.turn(&[]).await, ["a0"]);
    assert_eq!(order(run.id, Order::Cancel).await, Ordered::Done(WorkflowState::Cancelling));
    assert_eq!(order(run.id, Order::Pause).await, Ordered::Done(WorkflowState::Cancelling));
    assert_eq!(run.turn(&[]).await, ["always0"]);
    assert_eq!(run.state().await, WorkflowState::Cancelled);
}

/// One after the other.
pub async fn what_was_done_is_undone_from_its_end(bench: Bench<'_>) {
    let undo = |of: &str| StepDraft { undoes: Some(of.to_owned()), ..step(&format!("undo {of} "), &[]) };
    let run = bench.run(vec![step("a", &[]), step("b", &["a"]), step("c", &["b"]), undo("a"), undo("b"), undo("c")]).await;
    run.turn(&[]).await;
    run.turn(&[]).await;
    assert_eq!(run.turn(&["c0"]).await, ["c0"]);
    assert_eq!(run.turn(&["undo b 0"]).await, ["undo b 0"]);
    assert_eq!(run.turn(&[]).await, ["undo a 0"]);
    let record = run.record().await;
    assert_eq!((record.state, record.unhandled), (WorkflowState::Failed, true), "what could not be undone is seen");
    assert_eq!(run.step("undo c ").await, StepWord::Skipped, "it was not done");
}

/// Whatever their retention says; which counts from their own end then.
pub async fn results_are_kept_until_the_workflow_has_ended(bench: Bench<'_>) {
    let mut new = bench.workflow(vec![step("a", &[]), step("b", &["a"])]);
    new.members.iter_mut().for_each(|member| member.retention = Retention::For(secs(60)));
    new.members[0].retention = Retention::None;
    let run = bench.run_new(new).await;
    run.turn(&[]).await;
    bench.pass(secs(1_000));
    bench.store.prune(ALL).await.expect("prune");
    assert_eq!(run.results("a").await, [Some("\"a0\"".to_owned())]);
    assert_eq!(bench.store.delete(&[run.task("a", 0)]).await.expect("delete"), [DeleteOutcome::Wanted]);
    let worker = bench.worker().await;
    let again = Run { worker, tasks: run.tasks.clone(), ..run };
    assert_eq!(again.turn(&[]).await, ["b0"]);
    bench.store.prune(ALL).await.expect("prune");
    assert_eq!(bench.find(again.task("a", 0)).await, None, "its time is long over");
    assert_eq!(bench.state(again.task("b", 0)).await, State::Succeeded);
    bench.pass(secs(60));
    bench.store.prune(ALL).await.expect("prune");
    assert_eq!(bench.find(again.task("b", 0)).await, None);
    assert_eq!(again.state().await, WorkflowState::Succeeded, "the workflow has a retention of its own");
}

/// Whether its step goes on or has ended: what follows goes once.
pub async fn a_member_that_is_retried_counts_once(bench: Bench<'_>) {
    let run =
        bench.run(vec![group("g", 2, &[]), StepDraft { after: vec![("g".to_owned(), Needs::End)], ..step("b", &[]) }]).await;
    let retry = async |id| bench.store.retry(&[id]).await.expect("retry").remove(0);
    let claimed = bench.claim(run.worker, 1).await.remove(0);
    let id = claimed.lease.id;
    bench.settle(claimed.lease, Ending::Failed).await;
    assert_eq!(retry(id).await, RetryOutcome::Ready);
    let tally = run.record().await.steps[0].row.tally;
    assert_eq!((tally.failed, tally.ended()), (0, 0));
    assert_eq!(run.turn(&[]).await, ["g0", "g1"]);
    assert_eq!(retry(id).await, RetryOutcome::Ready);
    let ran = run.turn(&[]).await;
    assert_eq!(ran.iter().filter(|name| *name == "b0").count(), 1);
    assert_eq!(run.turn(&[]).await, [] as [&str; 0], "what follows has gone");
    assert_eq!((run.state().await, run.step("g").await), (WorkflowState::Succeeded, StepWord::Succeeded));
    // One that is run again after all has ended is kept no longer than any other.
    assert_eq!(retry(id).await, RetryOutcome::Ready);
    assert_eq!(run.turn(&[]).await.len(), 1);
    bench.pass(secs(366 * 86_400));
    bench.sweep().await;
    bench.store.prune(ALL).await.expect("prune");
    assert_eq!(bench.find(id).await, None);
}

/// No step goes before those that it waits for.
pub async fn a_member_that_is_retried_too_early_waits_with_its_step(bench: Bench<'_>) {
    let run = bench.run(vec![step("a", &[]), step("b", &["a"])]).await;
    let b = run.task("b", 0);
    assert_eq!(bench.store.cancel(&[b]).await.expect("cancel"), [CancelOutcome::Cancelled]);
    assert_eq!(bench.store.retry(&[b]).await.expect("retry"), [RetryOutcome::Ready]);
    assert_eq!(bench.state(b).await, State::Blocked);
    assert_eq!(run.turn(&[]).await, ["a0"]);
    assert_eq!(run.turn(&[]).await, ["b0"]);
    assert_eq!(run.state().await, WorkflowState::Succeeded);
}

/// By state, name and key.
pub async fn workflows_are_listed_newest_first(bench: Bench<'_>) {
    let mut ids = Vec::new();
    for (name, key) in [("x", Some("k1")), ("y", None), ("x", Some("k2"))] {
        let new = NewWorkflow { name: name.to_owned(), key: key.map(str::to_owned), ..bench.workflow(vec![step("a", &[])]) };
        ids.push(new.id);
        assert_eq!(bench.start_workflow(new).await, Started::Created);
        bench.pass(secs(1));
    }
    bench.store.order_workflow(ids[1], Order::Pause).await.expect("order");
    let list = async |filter: &WorkflowFilter| {
        let page = bench.store.list_workflows(filter, None, ALL).await.expect("list");
        assert!(page.next.is_none() && page.items.iter().all(|item| item.steps.is_empty()));
        page.items.iter().map(|item| item.id).collect::<Vec<_>>()
    };
    let all = WorkflowFilter::default();
    assert_eq!(list(&all).await, [ids[2], ids[1], ids[0]]);
    assert_eq!(list(&WorkflowFilter { name: Some("x".to_owned()), ..all.clone() }).await, [ids[2], ids[0]]);
    assert_eq!(list(&WorkflowFilter { key: Some("k1".to_owned()), ..all.clone() }).await, [ids[0]]);
    let states = vec![WorkflowState::Paused, WorkflowState::Failed];
    assert_eq!(list(&WorkflowFilter { states, ..all.clone() }).await, [ids[1]]);
    let first = bench.store.list_workflows(&all, None, 2).await.expect("list");
    let rest = bench.store.list_workflows(&all, first.next, 2).await.expect("list");
    assert_eq!((first.items.len(), rest.items[0].id, rest.next), (2, ids[0], None));
}

/// With its steps; its members have their own time.
pub async fn what_has_ended_is_forgotten_when_its_time_is_over(bench: Bench<'_>) {
    let new = NewWorkflow { retention: Retention::For(secs(60)), ..bench.workflow(vec![step("a", &[])]) };
    let run = bench.run_new(new).await;
    bench.pass(secs(1_000));
    bench.store.prune(ALL).await.expect("prune");
    assert_eq!(run.state().await, WorkflowState::Running);
    let worker = bench.worker().await;
    let run = Run { worker, ..run };
    run.turn(&[]).await;
    bench.pass(secs(60));
    bench.store.prune(ALL).await.expect("prune");
    assert_eq!(bench.store.workflow(run.id).await.ok(), Some(None));
    assert_eq!(bench.state(run.task("a", 0)).await, State::Succeeded);
    assert_eq!(bench.store.list_workflows(&WorkflowFilter::default(), None, ALL).await.expect("list").items, []);
}
