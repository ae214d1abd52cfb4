//! Stores with one fault each, which the suite has to name and the model test has to find.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "tests fail by panicking")]

use std::any::Any;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gristmill_conformance::suite::{checks, exercise};
use gristmill_conformance::{MemoryStore, Subject, check_against_model, check_graphs};
use gristmill_core::concurrency::{KeyLimits, Limit, LimitInfo, LimitRecord, Standby};
use gristmill_core::durable::{Checkpoint, Durable, EventRecord, Memories, NewEvent, Resume, Resumed, Sent, Waiter};
use gristmill_core::workflow::{
    Extended, Extension, Member, NewWorkflow, Order, Ordered, Rerun, Retried, Retry, Started, Tolerance, Tolerated,
    WorkflowFilter, WorkflowRecord, Workflows,
};
use gristmill_core::{
    Advance, Advanced, Aging, CancelOutcome, Changes, Claim, Claimed, Cursor, DeleteOutcome, DueSchedules, Edit, EnqueueOutcome,
    Env, Fence, Filter, Finding, KindInfo, KindSpec, Lead, LeaseRef, LockInfo, LockOutcome, Mark, MoveOutcome, NewTask, Note,
    Page, Pending, Pulse, QueueInfo, ReleaseOutcome, RetryOutcome, Schedule, ScheduleEdit, Schedules, Settled, Settlement,
    Source, State, Store, StoreError, Swept, TaskId, TaskRecord, TickRecord, Wake, WorkerId, WorkerInfo, WorkerSpec, WorkflowId,
    async_trait,
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    IgnoresFences,
    LosesSingleEnqueues,
    CountsNoCrashes,
    RevivesDeadWorkers,
    RunsSettledTasksAgain,
    KeepsChildrenOfFailures,
    CannotCancelWhatRuns,
    DropsNotes,
    ClaimsFromPausedQueues,
    IgnoresPausedKinds,
    MovesOnlyWhatIsReady,
    NothingAges,
    ForgetsDelays,
    ListsOnlyTheFirstPage,
    PruneChangesWhatIsKept,
    MakesTicksAgain,
    AdvancesWhatHasChanged,
    LetsEverybodyLead,
    ForgetsRemovals,
    ForgetsLimits,
    AdmitsWhatDependsOnOthers,
    LosesRefusedChildren,
    ForgetsEnds,
    KeepsDrainsToItself,
    LetsMembersGoEarly,
    ForgetsClosing,
    PausesInsteadOfCancelling,
    RetriesAll,
    ForgetsSteps,
    KeepsEventsToItself,
    ForgetsWhatOperatorsSet,
    HearsNoFarSide,
    LetsLocksRunOut,
    GivesLocksToAll,
}

#[test]
fn locks_that_run_out_under_their_holders_are_noticed() {
    // In random histories few leases last for as long.
    checked(Fault::LetsLocksRunOut, "locks::heartbeats_keep_a_lock_from_a_busy_contender");
}

#[test]
fn locks_that_more_than_one_holds_are_noticed() {
    noticed(Fault::GivesLocksToAll, "locks::of_many_who_ask_at_once_one_is_given_it");
}

#[test]
fn limits_that_are_forgotten_are_noticed() {
    noticed(Fault::ForgetsLimits, "places::a_task_goes_from_place_to_place");
}

#[test]
fn tasks_that_run_before_what_they_depend_on_are_noticed() {
    noticed(Fault::AdmitsWhatDependsOnOthers, "places::a_task_goes_from_place_to_place");
}

#[test]
fn refused_children_that_are_lost_in_silence_are_noticed() {
    noticed(Fault::LosesRefusedChildren, "children::a_child_whose_id_is_anothers_fails_the_attempt");
}

#[test]
fn ends_that_nobody_hears_of_are_noticed() {
    checked(Fault::ForgetsEnds, "wait::whoever_resumes_hears_of_each_end_or_that_some_were_missed");
}

#[test]
fn members_that_go_before_their_step_are_noticed() {
    judged(Fault::LetsMembersGoEarly, "workflows::a_chain_goes_step_by_step", "which must not go yet");
}

#[test]
fn groups_that_stay_open_are_noticed() {
    judged(Fault::ForgetsClosing, "workflows::members_are_added_until_the_step_is_closed", "is Running, and should be");
}

#[test]
fn a_cancel_that_does_half_of_it_is_noticed() {
    let check = "workflows::a_cancel_ends_what_waits_and_asks_what_runs";
    judged(Fault::PausesInsteadOfCancelling, check, "and should be");
}

#[test]
fn a_retry_of_more_than_was_asked_for_is_noticed() {
    let check = "reruns::what_failed_runs_again_and_its_finisher_once_more_with_all_results";
    judged(Fault::RetriesAll, check, "a retry of the whole was answered by Done");
}

#[test]
fn steps_that_are_forgotten_are_noticed() {
    checked(Fault::ForgetsSteps, "durable::what_is_remembered_outlives_the_attempt");
}

#[test]
fn events_that_nobody_is_told_of_are_noticed() {
    checked(Fault::KeepsEventsToItself, "durable::an_event_lets_those_go_on_who_await_it");
}

#[test]
fn limits_that_operators_set_in_vain_are_noticed() {
    checked(Fault::ForgetsWhatOperatorsSet, "concurrency::an_operator_may_set_a_limit");
}

#[test]
fn what_far_sides_say_in_vain_is_noticed() {
    checked(Fault::HearsNoFarSide, "rates::a_far_side_may_say_what_is_left");
}

#[test]
fn fences_that_are_ignored_are_noticed() {
    noticed(Fault::IgnoresFences, "lease::a_stale_lease_changes_nothing");
}

#[test]
fn an_enqueue_that_is_lost_is_noticed() {
    noticed(Fault::LosesSingleEnqueues, "enqueue::a_task_is_kept_as_it_was_given");
}

#[test]
fn crashes_that_are_not_counted_are_noticed() {
    noticed(Fault::CountsNoCrashes, "lease::a_crash_is_an_attempt_and_ends_at_its_limit");
}

#[test]
fn dead_workers_that_come_back_are_noticed() {
    noticed(Fault::RevivesDeadWorkers, "lease::a_dead_worker_is_told_so_and_stays_dead");
}

#[test]
fn settled_tasks_that_run_again_are_noticed() {
    noticed(Fault::RunsSettledTasksAgain, "settle::a_settled_task_never_runs_again");
}

#[test]
fn children_of_failures_are_noticed() {
    noticed(Fault::KeepsChildrenOfFailures, "children::children_of_any_other_ending_are_dropped");
}

#[test]
fn cancellations_that_nobody_is_told_of_are_noticed() {
    noticed(Fault::CannotCancelWhatRuns, "cancel::what_runs_is_told_with_the_next_heartbeat");
}

#[test]
fn workers_that_never_hear_that_they_are_to_end_are_noticed() {
    noticed(Fault::KeepsDrainsToItself, "drain::a_worker_hears_with_its_next_heartbeat_that_it_is_to_end");
}

#[test]
fn notes_that_are_dropped_are_noticed() {
    noticed(Fault::DropsNotes, "notes::a_note_is_seen_while_the_attempt_runs");
}

#[test]
fn pauses_that_are_ignored_are_noticed() {
    noticed(Fault::ClaimsFromPausedQueues, "pause::nothing_is_claimed_from_a_paused_queue");
    noticed(Fault::IgnoresPausedKinds, "pause::nothing_of_a_paused_type_is_claimed");
}

#[test]
fn tasks_that_are_not_moved_are_noticed() {
    noticed(Fault::MovesOnlyWhatIsReady, "moves::whatever_waits_is_moved");
}

#[test]
fn tasks_that_never_age_are_noticed() {
    checked(Fault::NothingAges, "aging::what_has_been_ready_for_long_goes_first");
}

#[test]
fn delays_that_are_forgotten_are_noticed() {
    noticed(Fault::ForgetsDelays, "schedule::nothing_starts_before_it_is_due");
}

#[test]
fn pages_that_are_missing_are_noticed() {
    noticed(Fault::ListsOnlyTheFirstPage, "listing::pages_cover_everything_once");
}

#[test]
fn a_prune_that_touches_what_is_kept_is_noticed() {
    noticed(Fault::PruneChangesWhatIsKept, "retention::an_ended_task_goes_when_its_time_is_over");
}

#[test]
fn ticks_that_make_two_tasks_are_noticed() {
    noticed(Fault::MakesTicksAgain, "ticks::a_tick_makes_its_task_once");
}

#[test]
fn advances_of_what_has_changed_are_noticed() {
    noticed(Fault::AdvancesWhatHasChanged, "ticks::a_stale_advance_writes_nothing");
}

#[test]
fn beats_that_all_lead_are_noticed() {
    noticed(Fault::LetsEverybodyLead, "schedules::one_beat_leads_until_its_lease_ends");
}

#[test]
fn removals_that_are_forgotten_are_noticed() {
    noticed(Fault::ForgetsRemovals, "schedules::an_edit_decides_about_each_as_it_stands");
}

/// Both tests fail on a store with this fault: the check that is named here, and the model test.
fn noticed(fault: Fault, check: &str) {
    checked(fault, check);
    let said = panic_of(|| check_against_model(256, fault));
    assert!(said.starts_with("the store and the model disagree"), "{said}");
}

/// The same for what the model knows nothing of.
fn checked(fault: Fault, check: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let checked = checks().find(|known| known.name == check).expect("there is such a check");
    let said = panic_of(|| runtime.block_on(checked.run(&fault)));
    assert!(said.starts_with(&format!("{check}: ")), "{said}");
}

/// The same for workflows, of which the judge of random ones knows everything.
fn judged(fault: Fault, check: &str, says: &str) {
    checked(fault, check);
    let said = panic_of(|| check_graphs(100, fault));
    assert!(said.starts_with("graph ") && said.contains(says), "{said}");
}

#[test]
fn every_broken_promise_is_reported_at_once() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let said = panic_of(|| runtime.block_on(exercise(Fault::DropsNotes)));
    let named: Vec<_> = said.lines().skip(1).filter_map(|line| line.split_once(": ")).map(|(name, _)| name).collect();
    for check in ["notes::a_note_is_seen_while_the_attempt_runs", "notes::notes_of_a_crashed_attempt_survive_it"] {
        assert!(named.contains(&check), "{check} is not among\n{said}");
    }
}

fn panic_of(test: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(test)).expect_err("nothing was noticed");
    panic.downcast_ref::<String>().expect("a panic with a text").clone()
}

#[async_trait]
impl Subject for Fault {
    async fn fresh(&self, env: Env) -> Arc<dyn Store> {
        Broken::new(env, *self)
    }
}

/// The store in memory, but for one fault.
struct Broken {
    inner: Arc<MemoryStore>,
    env: Env,
    fault: Fault,
    fences: Mutex<HashMap<TaskId, Fence>>,
}

impl Broken {
    fn new(env: Env, fault: Fault) -> Arc<Self> {
        Arc::new(Self { inner: MemoryStore::new(env.clone()), env, fault, fences: Mutex::default() })
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }
}

#[async_trait]
impl Source for Broken {
    async fn enter(&self, worker: &WorkerSpec) -> Result<(), StoreError> {
        self.inner.enter(worker).await
    }

    async fn leave(&self, worker: WorkerId) -> Result<u64, StoreError> {
        self.inner.leave(worker).await
    }

    async fn heartbeat(&self, worker: WorkerId, lease: Duration) -> Result<Pulse, StoreError> {
        let pulse = self.inner.heartbeat(worker, lease).await?;
        let known = !pulse.alive && self.inner.workers().await?.iter().any(|known| known.id == worker.to_string());
        let pulse = if known && self.has(Fault::RevivesDeadWorkers) { Pulse { alive: true, ..pulse } } else { pulse };
        Ok(if self.has(Fault::KeepsDrainsToItself) { Pulse { drain: false, ..pulse } } else { pulse })
    }

    async fn cancelled(&self, worker: WorkerId) -> Result<Vec<LeaseRef>, StoreError> {
        self.inner.cancelled(worker).await
    }

    async fn claim(&self, claim: &Claim) -> Result<Vec<Claimed>, StoreError> {
        if self.has(Fault::ClaimsFromPausedQueues) {
            for wanted in &claim.wanted {
                self.inner.pause(&wanted.queue, false).await?;
            }
        }
        let claimed = self.inner.claim(claim).await?;
        self.fences.lock().unwrap().extend(claimed.iter().map(|claimed| (claimed.lease.id, claimed.lease.fence)));
        Ok(claimed)
    }

    async fn start(&self, leases: &[LeaseRef]) -> Result<Vec<bool>, StoreError> {
        self.inner.start(leases).await
    }

    async fn settle(&self, mut settlements: Vec<Settlement>) -> Result<Vec<Settled>, StoreError> {
        if self.has(Fault::IgnoresFences) {
            let fences = self.fences.lock().unwrap();
            for settlement in &mut settlements {
                settlement.lease.fence = *fences.get(&settlement.lease.id).unwrap_or(&settlement.lease.fence);
            }
        }
        if self.has(Fault::LosesRefusedChildren) {
            for settlement in &mut settlements {
                let mut kept = Vec::new();
                for child in settlement.children.iter().cloned() {
                    let known = self.inner.get(child.id).await?;
                    if known.is_none_or(|known| known.args == child.args) {
                        kept.push(child);
                    }
                }
                settlement.children = kept.into();
            }
        }
        let children: Vec<_> = settlements.iter().map(|settlement| (settlement.lease.id, settlement.children.clone())).collect();
        let settled = self.inner.settle(settlements).await?;
        for (settled, (id, children)) in settled.iter().zip(children) {
            let Settled::Done(state) = settled else { continue };
            if state.is_final() && self.has(Fault::RunsSettledTasksAgain) {
                self.inner.retry(&[id]).await?;
            }
            if *state != State::Succeeded && self.has(Fault::KeepsChildrenOfFailures) {
                self.inner.enqueue(children.to_vec()).await?;
            }
        }
        Ok(settled)
    }

    async fn note(&self, notes: Vec<Note>) -> Result<Vec<bool>, StoreError> {
        let dropped = self.has(Fault::DropsNotes);
        let kept = |note: Note| if dropped { Note { logs: None, progress: None, ..note } } else { note };
        self.inner.note(notes.into_iter().map(kept).collect()).await
    }

    async fn sweep(&self, limit: usize) -> Result<Swept, StoreError> {
        if self.has(Fault::CountsNoCrashes) {
            for worker in self.inner.workers().await? {
                if !worker.alive {
                    self.inner.leave(worker.id.parse().unwrap()).await?;
                }
            }
        }
        self.inner.sweep(limit).await
    }

    async fn age(&self, aging: &[Aging], limit: usize) -> Result<usize, StoreError> {
        if self.has(Fault::NothingAges) { Ok(0) } else { self.inner.age(aging, limit).await }
    }

    async fn prune(&self, limit: usize) -> Result<usize, StoreError> {
        if self.has(Fault::PruneChangesWhatIsKept) {
            // A new end takes the place of the kept one.
            let ended = Filter { states: vec![State::Succeeded], ..Filter::default() };
            let ids: Vec<_> = self.inner.list(&ended, None, limit).await?.items.iter().map(|task| task.id).collect();
            self.inner.retry(&ids).await?;
            self.inner.cancel(&ids).await?;
        }
        self.inner.prune(limit).await
    }

    async fn members(&self, id: WorkflowId, step: &str, after: Option<u32>, limit: usize) -> Result<Vec<Member>, StoreError> {
        self.inner.members(id, step, after, limit).await
    }

    async fn record(&self, id: TaskId) -> Result<Option<TaskRecord>, StoreError> {
        self.get(id).await
    }

    async fn pending(&self, queues: &[String], within: Duration) -> Result<Pending, StoreError> {
        self.inner.pending(queues, within).await
    }

    async fn memories(&self, id: TaskId) -> Result<Memories, StoreError> {
        self.inner.memories(id).await
    }

    async fn checkpoint(&self, mut checkpoint: Checkpoint) -> Result<Settled, StoreError> {
        if self.has(Fault::ForgetsSteps) {
            checkpoint.memories.clear();
        }
        self.inner.checkpoint(checkpoint).await
    }

    async fn take_lock(&self, lease: &LeaseRef, name: &str) -> Result<LockOutcome, StoreError> {
        let mut outcome = self.inner.take_lock(lease, name).await?;
        if let LockOutcome::Busy(holder) = outcome {
            let is_over = self.has(Fault::LetsLocksRunOut) && self.env.now().since(holder.since) > Duration::from_secs(120);
            if is_over || self.has(Fault::GivesLocksToAll) {
                outcome = LockOutcome::Held { token: u64::MAX, since: self.env.now() };
            }
        }
        Ok(outcome)
    }

    async fn release_lock(&self, lease: &LeaseRef, name: &str) -> Result<bool, StoreError> {
        self.inner.release_lock(lease, name).await
    }

    async fn wait(&self, wake: Wake, timeout: Duration) {
        self.inner.wait(wake, timeout).await;
    }
}

#[async_trait]
impl Durable for Broken {
    async fn send_event(&self, event: NewEvent) -> Result<Sent, StoreError> {
        if self.has(Fault::KeepsEventsToItself) { Ok(Sent::Stored) } else { self.inner.send_event(event).await }
    }

    async fn list_events(
        &self,
        name: Option<&str>,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<EventRecord>, StoreError> {
        self.inner.list_events(name, after, limit).await
    }

    async fn list_waiters(&self, name: Option<&str>, limit: usize) -> Result<Vec<Waiter>, StoreError> {
        self.inner.list_waiters(name, limit).await
    }

    async fn resume_task(&self, id: TaskId, how: Resume) -> Result<Resumed, StoreError> {
        self.inner.resume_task(id, how).await
    }
}

#[async_trait]
impl KeyLimits for Broken {
    async fn list_limits(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<LimitInfo>, StoreError> {
        self.inner.list_limits(prefix, after, limit).await
    }

    async fn get_limit(&self, key: &str, most: usize) -> Result<Option<LimitRecord>, StoreError> {
        self.inner.get_limit(key, most).await
    }

    async fn set_limit(&self, key: &str, limit: Option<Limit>) -> Result<(), StoreError> {
        if self.has(Fault::ForgetsWhatOperatorsSet) { Ok(()) } else { self.inner.set_limit(key, limit).await }
    }

    async fn set_remaining(&self, key: &str, left: u32, within: Duration) -> Result<(), StoreError> {
        if self.has(Fault::HearsNoFarSide) { Ok(()) } else { self.inner.set_remaining(key, left, within).await }
    }

    async fn stands_by(&self, id: TaskId) -> Result<Option<Standby>, StoreError> {
        self.inner.stands_by(id).await
    }
}

#[async_trait]
impl Schedules for Broken {
    async fn edit_schedules(&self, names: &[String], edit: &ScheduleEdit) -> Result<Vec<Option<Schedule>>, StoreError> {
        let (edit, forgets) = (edit.clone(), self.has(Fault::ForgetsRemovals));
        let decide: ScheduleEdit = Arc::new(move |name, found, now| match edit(name, found, now)? {
            Edit::Remove if forgets => Ok(Edit::Keep),
            decided => Ok(decided),
        });
        self.inner.edit_schedules(names, &decide).await
    }

    async fn schedule(&self, name: &str) -> Result<Option<Schedule>, StoreError> {
        self.inner.schedule(name).await
    }

    async fn schedules(&self, owner: Option<&str>, after: Option<&str>, limit: usize) -> Result<Vec<Schedule>, StoreError> {
        self.inner.schedules(owner, after, limit).await
    }

    async fn due_schedules(&self, limit: usize) -> Result<DueSchedules, StoreError> {
        self.inner.due_schedules(limit).await
    }

    async fn advance_schedules(&self, mut advances: Vec<Advance>) -> Result<Vec<Advanced>, StoreError> {
        if self.has(Fault::AdvancesWhatHasChanged) {
            for advance in &mut advances {
                let found = self.inner.schedule(&advance.name).await?;
                advance.revision = found.map_or(advance.revision, |found| found.revision);
            }
        }
        let ticks: Vec<_> = advances.iter().map(|advance| advance.ticks.clone()).collect();
        let advanced = self.inner.advance_schedules(advances).await?;
        for (ticks, advanced) in ticks.into_iter().zip(&advanced) {
            let Advanced::Done(new) = advanced else { continue };
            let again = ticks.into_iter().zip(new).filter(|(_, new)| !**new).filter_map(|(tick, _)| tick.task);
            if self.has(Fault::MakesTicksAgain) {
                self.inner.enqueue(again.collect()).await?;
            }
        }
        Ok(advanced)
    }

    async fn ticks(&self, schedule: &str, after: Option<Cursor>, limit: usize) -> Result<Page<TickRecord>, StoreError> {
        self.inner.ticks(schedule, after, limit).await
    }

    async fn lead_beats(&self, beat: WorkerId, lease: Duration) -> Result<Lead, StoreError> {
        let lead = self.inner.lead_beats(beat, lease).await?;
        Ok(if self.has(Fault::LetsEverybodyLead) { Lead { leads: true, ..lead } } else { lead })
    }

    async fn resign_beat(&self, beat: WorkerId) -> Result<(), StoreError> {
        self.inner.resign_beat(beat).await
    }

    async fn task_states(&self, ids: &[TaskId]) -> Result<Vec<Option<State>>, StoreError> {
        self.inner.task_states(ids).await
    }
}

#[async_trait]
impl Workflows for Broken {
    async fn start_workflow(&self, workflow: NewWorkflow) -> Result<Started, StoreError> {
        let members: Vec<_> = workflow.members.iter().map(|member| member.id).collect();
        let started = self.inner.start_workflow(workflow).await?;
        if self.has(Fault::LetsMembersGoEarly) {
            self.inner.unblock(&members).await?;
        }
        Ok(started)
    }

    async fn extend_workflow(&self, mut extension: Extension) -> Result<Extended, StoreError> {
        extension.close &= !self.has(Fault::ForgetsClosing);
        self.inner.extend_workflow(extension).await
    }

    async fn workflow(&self, id: WorkflowId) -> Result<Option<WorkflowRecord>, StoreError> {
        self.inner.workflow(id).await
    }

    async fn list_workflows(
        &self,
        filter: &WorkflowFilter,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<WorkflowRecord>, StoreError> {
        self.inner.list_workflows(filter, after, limit).await
    }

    async fn order_workflow(&self, id: WorkflowId, order: Order) -> Result<Ordered, StoreError> {
        let order = if self.has(Fault::PausesInsteadOfCancelling) && order == Order::Cancel { Order::Pause } else { order };
        self.inner.order_workflow(id, order).await
    }

    async fn retry_workflow(&self, id: WorkflowId, rerun: Rerun) -> Result<Retried, StoreError> {
        let rerun = if self.has(Fault::RetriesAll) { Rerun { what: Retry::All, ..rerun } } else { rerun };
        self.inner.retry_workflow(id, rerun).await
    }

    async fn tolerate(&self, id: WorkflowId, step: &str, tolerance: Tolerance) -> Result<Tolerated, StoreError> {
        self.inner.tolerate(id, step, tolerance).await
    }
}

#[async_trait]
impl Store for Broken {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn changes(&self, after: Option<Mark>) -> Changes {
        let changes = self.inner.changes(after);
        if self.has(Fault::ForgetsEnds) { Changes { ended: Vec::new(), ..changes } } else { changes }
    }

    async fn declare(&self, kinds: &[KindSpec]) -> Result<(), StoreError> {
        self.inner.declare(kinds).await
    }

    async fn enqueue(&self, mut tasks: Vec<NewTask>) -> Result<Vec<EnqueueOutcome>, StoreError> {
        if tasks.len() == 1 && self.has(Fault::LosesSingleEnqueues) {
            return Ok(vec![EnqueueOutcome::Created]);
        }
        if self.has(Fault::ForgetsDelays) {
            tasks.iter_mut().for_each(|task| task.delay = Duration::ZERO);
        }
        if self.has(Fault::ForgetsLimits) {
            tasks.iter_mut().for_each(|task| task.hold.limited = false);
        }
        self.inner.enqueue(tasks).await
    }

    async fn get(&self, id: TaskId) -> Result<Option<TaskRecord>, StoreError> {
        self.inner.get(id).await
    }

    async fn list(&self, filter: &Filter, after: Option<Cursor>, limit: usize) -> Result<Page<TaskRecord>, StoreError> {
        let page = self.inner.list(filter, after, limit).await?;
        Ok(if self.has(Fault::ListsOnlyTheFirstPage) { Page { next: None, ..page } } else { page })
    }

    async fn cancel(&self, ids: &[TaskId]) -> Result<Vec<CancelOutcome>, StoreError> {
        if self.has(Fault::CannotCancelWhatRuns) {
            let mut outcomes = Vec::new();
            for id in ids {
                let running = self.inner.get(*id).await?.is_some_and(|task| task.state == State::Running);
                outcomes.push(if running { CancelOutcome::CancelRequested } else { self.inner.cancel(&[*id]).await?[0] });
            }
            return Ok(outcomes);
        }
        self.inner.cancel(ids).await
    }

    async fn retry(&self, ids: &[TaskId]) -> Result<Vec<RetryOutcome>, StoreError> {
        self.inner.retry(ids).await
    }

    async fn ids_between(&self, first: TaskId, last: TaskId, limit: usize) -> Result<Vec<TaskId>, StoreError> {
        self.inner.ids_between(first, last, limit).await
    }

    async fn delete(&self, ids: &[TaskId]) -> Result<Vec<DeleteOutcome>, StoreError> {
        self.inner.delete(ids).await
    }

    async fn release(&self, ids: &[TaskId]) -> Result<Vec<ReleaseOutcome>, StoreError> {
        self.inner.release(ids).await
    }

    async fn forget_worker(&self, worker: WorkerId) -> Result<Option<u64>, StoreError> {
        self.inner.forget_worker(worker).await
    }

    async fn drain_worker(&self, worker: WorkerId) -> Result<bool, StoreError> {
        self.inner.drain_worker(worker).await
    }

    async fn unblock(&self, ids: &[TaskId]) -> Result<Vec<Option<State>>, StoreError> {
        self.inner.unblock(ids).await
    }

    async fn admit(&self, ids: &[TaskId]) -> Result<Vec<Option<State>>, StoreError> {
        if self.has(Fault::AdmitsWhatDependsOnOthers) {
            self.inner.unblock(ids).await?;
        }
        self.inner.admit(ids).await
    }

    async fn move_to(&self, ids: &[TaskId], queue: &str) -> Result<Vec<MoveOutcome>, StoreError> {
        if self.has(Fault::MovesOnlyWhatIsReady) {
            let mut outcomes = Vec::new();
            for id in ids {
                let ready = self.inner.get(*id).await?.is_some_and(|task| task.state == State::Ready);
                outcomes.push(if ready { self.inner.move_to(&[*id], queue).await?[0] } else { MoveOutcome::Unchanged });
            }
            return Ok(outcomes);
        }
        self.inner.move_to(ids, queue).await
    }

    async fn pause(&self, queue: &str, paused: bool) -> Result<(), StoreError> {
        self.inner.pause(queue, paused).await
    }

    async fn pause_kind(&self, kind: &str, paused: bool) -> Result<(), StoreError> {
        if self.has(Fault::IgnoresPausedKinds) {
            return Ok(());
        }
        self.inner.pause_kind(kind, paused).await
    }

    async fn queues(&self) -> Result<Vec<QueueInfo>, StoreError> {
        self.inner.queues().await
    }

    async fn workers(&self) -> Result<Vec<WorkerInfo>, StoreError> {
        self.inner.workers().await
    }

    async fn locks(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<LockInfo>, StoreError> {
        self.inner.locks(prefix, after, limit).await
    }

    async fn locks_of(&self, id: TaskId) -> Result<Vec<LockInfo>, StoreError> {
        self.inner.locks_of(id).await
    }

    async fn kinds(&self) -> Result<Vec<KindInfo>, StoreError> {
        self.inner.kinds().await
    }

    async fn check(&self) -> Result<Vec<Finding>, StoreError> {
        self.inner.check().await
    }
}
