//! What the SQLite store has beyond the suite's promises about workflows: older programs beside it, broken rows, crashes half way, other
//! processes, and transactions of others.

use std::time::Duration;

use gristmill_core::workflow::{
    Draft, DraftError, Extended, Extension, Needs, NewWorkflow, Order, Role, Started, StepDraft, Tally, WorkflowRecord,
    WorkflowState, Workflows,
};
use gristmill_core::{
    CancelWithin, DeleteOutcome, Ending, Membership, NewTask, Retention, RetryOutcome, SettleWithin, Settled, Settlement,
    Severity, Source, StartWithin, State, Store, StoreErrorKind, Swept, TaskId, TaskMeta, WorkflowId,
};
use gristmill_sqlite::SqliteStore;

use crate::common::{Fixture, claim, success};

pub(crate) const QUIET: Duration = Duration::from_secs(21);

pub(crate) fn step(name: &str, after: &[&str]) -> StepDraft<()> {
    let after = after.iter().map(|name| ((*name).to_owned(), Needs::End)).collect();
    StepDraft { after, ..StepDraft::one(name, "mail", ()) }
}

pub(crate) fn group(name: &str, members: usize, after: &[&str]) -> StepDraft<()> {
    StepDraft { after: step(name, after).after, ..StepDraft::group(name, "mail", vec![(); members]) }
}

impl Fixture {
    pub(crate) fn workflow(&self, steps: Vec<StepDraft<()>>) -> NewWorkflow {
        let draft =
            Draft { name: "w".to_owned(), key: None, tags: Vec::new(), retention: Retention::default(), deadline: None, steps };
        let id = self.env.workflow_id();
        draft.resolve(id, "{}".to_owned(), |_, _, ()| Ok::<_, DraftError>(self.task("mail"))).unwrap()
    }

    /// Starts it; its id and the members in the order of their steps and places.
    pub(crate) async fn start(&self, steps: Vec<StepDraft<()>>) -> (WorkflowId, Vec<TaskId>) {
        let new = self.workflow(steps);
        let started = (new.id, new.members.iter().map(|member| member.id).collect());
        assert_eq!(self.store.start_workflow(new).await.unwrap(), Started::Created);
        started
    }

    pub(crate) async fn of(&self, id: WorkflowId) -> WorkflowRecord {
        self.store.workflow(id).await.unwrap().unwrap()
    }

    pub(crate) async fn tally(&self, id: WorkflowId, step: usize) -> Tally {
        self.of(id).await.steps[step].row.tally
    }

    pub(crate) async fn state_of(&self, id: TaskId) -> State {
        self.store.get(id).await.unwrap().unwrap().state
    }

    pub(crate) async fn sweep(&self) -> Swept {
        self.store.sweep(1_000).await.unwrap()
    }

    pub(crate) async fn codes(&self) -> Vec<String> {
        let findings = self.store.check().await.unwrap().into_iter();
        let bad = findings.filter(|finding| finding.severity > Severity::Ok && finding.code != "unserved");
        bad.map(|finding| finding.code).collect()
    }

    pub(crate) fn number(&self, sql: &str) -> i64 {
        self.raw().query_row(sql, [], |row| row.get(0)).unwrap()
    }

    /// As a program without workflows cancels whatever is ready.
    fn cancel_as_an_older_program(&self, owed: i32) {
        let end = format!(
            "INSERT INTO gristmill_outcome(seq, claim_no, attempt, crashes, state, ended, finished_at, keep_until, flags, owed)
               SELECT seq, claim_no + 1, attempt, crashes, 3, 3, 0, {}, flags, {owed} FROM gristmill_ready;
             DELETE FROM gristmill_ready;",
            i64::MAX
        );
        self.raw().execute_batch(&end).unwrap();
    }
}

#[tokio::test]
async fn an_end_that_an_older_program_has_written_is_told_once() {
    let fixture = Fixture::new();
    let (id, tasks) = fixture.start(vec![group("g", 2, &[]), step("b", &["g"])]).await;
    fixture.cancel_as_an_older_program(4);
    assert_eq!((fixture.tally(id, 0).await.ended(), fixture.codes().await), (0, vec!["owed".to_owned()]));
    assert_eq!(fixture.store.delete(&[tasks[0]]).await.unwrap(), [DeleteOutcome::NotEnded]);
    assert_eq!(fixture.store.retry(&[tasks[0]]).await.unwrap(), [RetryOutcome::NotEnded]);
    for _ in 0..2 {
        fixture.sweep().await;
        assert_eq!((fixture.tally(id, 0).await.cancelled, fixture.state_of(tasks[2]).await), (2, State::Ready));
    }
    fixture.clock.advance(QUIET);
    fixture.sweep().await;
    assert_eq!((fixture.tally(id, 0).await.cancelled, fixture.codes().await), (2, vec![]));
    // What is owed by more than that is for those who know it.
    fixture.cancel_as_an_older_program(4 | 1 << 20);
    fixture.sweep().await;
    assert_eq!((fixture.tally(id, 1).await.ended(), fixture.codes().await), (0, vec!["owed".to_owned()]));
}

/// It knows nothing of steps, and would have it counted twice.
#[tokio::test]
async fn a_retry_by_an_older_program_is_taken_back() {
    let fixture = Fixture::new();
    let worker = fixture.worker(&["mail"]).await;
    let (id, tasks) = fixture.start(vec![group("g", 2, &[]), step("b", &["g"])]).await;
    let failed = fixture.claim(worker, 1).await.remove(0);
    fixture.store.settle(vec![Settlement::new(failed.lease, Ending::Failed)]).await.unwrap();
    assert_eq!(fixture.tally(id, 0).await.failed, 1);
    let retry = "INSERT INTO gristmill_ready(queue, priority, seq, kind, attempt, claim_no, crashes, flags)
                   SELECT t.queue, t.priority, t.seq, t.kind, 0, o.claim_no, 0, o.flags
                     FROM gristmill_outcome o JOIN gristmill_task t ON t.seq = o.seq WHERE o.ended = 2;
                 UPDATE gristmill_outcome SET ended = 0, keep_until = NULL, flags = 0 WHERE ended = 2;";
    fixture.raw().execute_batch(retry).unwrap();
    assert_eq!(fixture.tally(id, 0).await.ended(), 0);
    let again = fixture.claim(worker, 1).await;
    fixture.store.settle(again.iter().map(success).collect()).await.unwrap();
    assert_eq!((fixture.tally(id, 0).await.ended(), fixture.state_of(tasks[2]).await), (1, State::Blocked), "the other one runs");
    let last = fixture.claim(worker, 1).await;
    fixture.store.settle(last.iter().map(success).collect()).await.unwrap();
    assert_eq!((fixture.tally(id, 0).await.succeeded, fixture.state_of(tasks[2]).await), (2, State::Ready));
}

/// Whatever is broken by hand, or lost in a way that nobody thought of.
#[tokio::test]
async fn a_workflow_that_stands_still_is_counted_anew_and_goes_on() {
    let lost_report = "INSERT INTO gristmill_outcome(seq, claim_no, attempt, crashes, state, ended, finished_at, keep_until)
                         SELECT seq, 9, 0, 0, 3, 3, 0, 9223372036854775807 FROM gristmill_ready; DELETE FROM gristmill_ready";
    let too_few = "UPDATE gristmill_step SET succeeded = 0";
    let too_many = "UPDATE gristmill_step SET members = members + 5 WHERE number = 0";
    let unreadable = "UPDATE gristmill_step SET succeeded = -7, failed = 99999999999 WHERE number = 0";
    for broken in [too_few, too_many, unreadable, lost_report] {
        let fixture = Fixture::new();
        let worker = fixture.worker(&["mail"]).await;
        let (id, tasks) = fixture.start(vec![group("g", 3, &[]), step("b", &["g"])]).await;
        let claimed = fixture.claim(worker, 2).await;
        fixture.store.settle(claimed.iter().map(success).collect()).await.unwrap();
        fixture.raw().execute_batch(broken).unwrap();
        let claimed = fixture.claim(worker, 1).await;
        fixture.store.settle(claimed.iter().map(success).collect()).await.unwrap();
        fixture.sweep().await;
        assert_eq!(fixture.state_of(tasks[3]).await, State::Blocked, "{broken}");
        assert!(fixture.codes().await.contains(&"step_count".to_owned()), "{broken}");
        fixture.clock.advance(QUIET);
        fixture.sweep().await;
        let tally = fixture.tally(id, 0).await;
        // Whoever it counts beside those that are there is gone.
        let members = if broken == too_many { 8 } else { 3 };
        assert_eq!(
            (tally.members, tally.ended(), fixture.state_of(tasks[3]).await),
            (members, members, State::Ready),
            "{broken}"
        );
        assert!(!fixture.codes().await.contains(&"step_count".to_owned()), "{broken}");
    }
}

/// Else it would stand still until that time comes.
#[tokio::test]
async fn one_that_was_touched_by_a_clock_that_was_ahead_is_counted_anew() {
    let fixture = Fixture::new();
    let worker = fixture.worker(&["mail"]).await;
    let (_, tasks) = fixture.start(vec![step("a", &[]), step("b", &["a"])]).await;
    let claimed = fixture.claim(worker, 1).await;
    fixture.store.settle(claimed.iter().map(success).collect()).await.unwrap();
    let lost = "UPDATE gristmill_step SET succeeded = 0, state = 1 - number, chore = 0; DELETE FROM gristmill_ready;
                INSERT INTO gristmill_blocked(seq, run_at, queue, attempt, claim_no, crashes, flags)
                  SELECT seq, 0, queue, 0, 0, 0, 4 FROM gristmill_task WHERE step = 1;
                UPDATE gristmill_workflow SET touched_at = touched_at + 3600000";
    fixture.raw().execute_batch(lost).unwrap();
    fixture.sweep().await;
    assert_eq!(fixture.state_of(tasks[1]).await, State::Ready);
}

#[tokio::test]
async fn what_was_to_be_done_to_members_and_was_lost_is_done() {
    let fixture = Fixture::new();
    let (_, tasks) = fixture.start(vec![step("a", &[]), group("g", 2, &["a"])]).await;
    // As if it had gone without them.
    fixture.raw().execute_batch("UPDATE gristmill_step SET state = 1 WHERE number = 1").unwrap();
    assert_eq!(fixture.codes().await, ["step_count"]);
    fixture.clock.advance(QUIET);
    fixture.sweep().await;
    assert_eq!((fixture.state_of(tasks[1]).await, fixture.state_of(tasks[2]).await), (State::Ready, State::Ready));
    fixture.raw().execute_batch("UPDATE gristmill_step SET state = 2 WHERE number = 1").unwrap();
    fixture.clock.advance(QUIET);
    fixture.sweep().await;
    assert_eq!((fixture.state_of(tasks[1]).await, fixture.state_of(tasks[2]).await), (State::Cancelled, State::Cancelled));
    assert_eq!(fixture.codes().await, [""; 0]);
}

/// A member that somebody has deleted by hand is no longer waited for: nobody knows how it ended, and it counts as failed; where more may come, the next one keeps its place.
#[tokio::test]
async fn a_member_that_is_gone_is_not_waited_for() {
    let fixture = Fixture::new();
    let open = StepDraft { open: true, ..group("o", 2, &[]) };
    let (id, tasks) = fixture.start(vec![group("g", 2, &[]), step("b", &["g"]), open]).await;
    fixture.store.cancel(&tasks[1..2]).await.unwrap();
    let gone = "DELETE FROM gristmill_task WHERE place = 0 AND step IN (0, 2); DELETE FROM gristmill_ready WHERE seq IN (1, 4)";
    fixture.raw().execute_batch(gone).unwrap();
    fixture.clock.advance(QUIET);
    fixture.sweep().await;
    let tally = fixture.tally(id, 0).await;
    assert_eq!((tally.members, tally.failed, tally.cancelled, fixture.state_of(tasks[2]).await), (2, 1, 1, State::Ready));
    assert_eq!(fixture.tally(id, 2).await.members, 2, "the next comes to the place behind the last");
}

/// Members that are added in parts.
pub(crate) async fn add(fixture: &Fixture, id: WorkflowId, number: u32, members: u32) {
    for from in (0..members).step_by(1_000) {
        let member = |place| {
            let of = Membership { workflow: id, number, step: "g".to_owned(), place, refers: false };
            NewTask { meta: Some(Box::new(TaskMeta { member: Some(of), ..TaskMeta::default() })), ..fixture.task("mail") }
        };
        let until = members.min(from + 1_000);
        let part = (from..until).map(member).collect();
        let extension = Extension { workflow: id, step: number, from, members: part, close: until == members };
        assert_eq!(fixture.store.extend_workflow(extension).await.unwrap(), Extended::Added(until));
    }
}

/// Each transaction does a bounded part, and what comes after a crash goes on where it stopped: letting go, cancelling and forgetting.
#[tokio::test]
async fn what_is_done_to_many_members_goes_on_after_a_crash() {
    const MEMBERS: u32 = 2_500;
    const AT_ONCE: i64 = 1_000;
    let fixture = Fixture::new();
    let worker = fixture.worker(&["mail"]).await;
    let (id, _) = fixture.start(vec![step("a", &[]), StepDraft { open: true, ..group("g", 0, &["a"]) }]).await;
    add(&fixture, id, 1, MEMBERS).await;
    let claimed = fixture.claim(worker, 1).await;
    fixture.store.settle(claimed.iter().map(success).collect()).await.unwrap();
    // A sweep of a process that knows nothing of the ones before, until nothing is left.
    let go_on = async |left: &str| {
        let mut before = fixture.number(left);
        assert!(before > 0 && before >= i64::from(MEMBERS) - AT_ONCE, "{before} are left at first");
        while before > 0 {
            let fresh = fixture.again("");
            let swept = fresh.sweep(AT_ONCE as usize).await.unwrap();
            let after = fixture.number(left);
            assert!(after < before && before - after <= AT_ONCE, "{before} to {after}");
            assert!(after == 0 || swept.next_due == Some(Duration::ZERO), "there is more to do");
            before = after;
        }
    };
    go_on("SELECT count(*) FROM gristmill_blocked").await;
    assert_ne!(fixture.sweep().await.next_due, Some(Duration::ZERO), "all is done");
    assert_eq!(fixture.number("SELECT count(*) FROM gristmill_ready"), i64::from(MEMBERS));
    fixture.store.order_workflow(id, Order::Cancel).await.unwrap();
    go_on("SELECT count(*) FROM gristmill_ready").await;
    let kept = format!("SELECT count(*) FROM gristmill_outcome WHERE keep_until = {}", i64::MAX);
    while fixture.sweep().await.next_due == Some(Duration::ZERO) {}
    assert_eq!((fixture.of(id).await.state, fixture.number(&kept)), (WorkflowState::Cancelled, 0));
    assert_eq!(fixture.tally(id, 1).await.cancelled, MEMBERS);
}

/// Whoever ends the last one.
#[tokio::test(flavor = "multi_thread")]
async fn members_that_end_in_several_processes_are_counted_once_each() {
    const MEMBERS: usize = 200;
    let fixture = Fixture::with("synchronous=normal");
    let (id, tasks) = fixture.start(vec![group("g", MEMBERS, &[]), step("b", &["g"])]).await;
    let mut processes = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let (store, env) = (fixture.again("synchronous=normal"), fixture.env.clone());
        let worker = fixture.worker(&["mail"]).await;
        processes.spawn(async move {
            let mut ran = Vec::new();
            loop {
                let claimed = claim(&store, &env, worker, 7).await;
                if claimed.is_empty() {
                    return ran;
                }
                ran.extend(claimed.iter().map(|claimed| claimed.lease.id));
                let settled = store.settle(claimed.iter().map(success).collect()).await.unwrap();
                assert!(settled.iter().all(|settled| *settled == Settled::Done(State::Succeeded)));
            }
        });
    }
    let mut ran = processes.join_all().await.concat();
    let worker = fixture.worker(&["mail"]).await;
    let rest = fixture.claim(worker, 10).await;
    ran.extend(rest.iter().map(|claimed| claimed.lease.id));
    fixture.store.settle(rest.iter().map(success).collect()).await.unwrap();
    assert_eq!(ran.iter().filter(|task| **task == tasks[MEMBERS]).count(), 1, "what follows ran once");
    assert_eq!((ran.len(), fixture.of(id).await.state), (MEMBERS + 1, WorkflowState::Succeeded));
}

#[tokio::test]
async fn a_start_lives_and_dies_with_the_callers_transaction() {
    let fixture = Fixture::new();
    let (kept, dropped) = (fixture.workflow(vec![step("a", &[])]), fixture.workflow(vec![step("a", &[])]));
    let mut conn = fixture.raw();
    let start = async |conn: &rusqlite::Connection, new: &NewWorkflow| {
        StartWithin::start_workflow(conn, &*fixture.store, new.clone()).await.unwrap()
    };
    let tx = conn.transaction().unwrap();
    assert_eq!(start(&tx, &kept).await, Started::Created);
    assert_eq!(start(&tx, &kept).await, Started::Exists(kept.id));
    // One that is refused leaves nothing in it.
    let mut taken = fixture.workflow(vec![group("g", 2, &[])]);
    taken.members[1].id = kept.members[0].id;
    assert_eq!(StartWithin::start_workflow(&tx, &*fixture.store, taken.clone()).await.unwrap(), Started::Conflict);
    assert_eq!(fixture.store.workflow(kept.id).await.unwrap(), None, "not before the commit");
    tx.commit().unwrap();
    assert_eq!(fixture.of(kept.id).await.state, WorkflowState::Running);
    assert_eq!(fixture.store.workflow(taken.id).await.unwrap(), None);
    assert!(fixture.store.get(taken.members[0].id).await.unwrap().is_none());
    let tx = conn.transaction().unwrap();
    assert_eq!(start(&tx, &dropped).await, Started::Created);
    tx.rollback().unwrap();
    assert_eq!(fixture.store.workflow(dropped.id).await.unwrap(), None);
    let nameless = NewWorkflow { name: String::new(), ..fixture.workflow(vec![]) };
    let error = StartWithin::start_workflow(&conn, &*fixture.store, nameless).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Invalid);
}

/// A handler's own, or that of whoever cancels.
#[tokio::test]
async fn what_follows_from_an_end_is_part_of_the_transaction_that_ends() {
    let fixture = Fixture::new();
    let worker = fixture.worker(&["mail"]).await;
    let (id, tasks) = fixture.start(vec![step("a", &[]), step("b", &["a"]), step("c", &["b"])]).await;
    let claimed = fixture.claim(worker, 1).await;
    let mut conn = fixture.raw();
    for commits in [false, true] {
        let tx = conn.transaction().unwrap();
        let settled = SettleWithin::settle(&tx, &*fixture.store, success(&claimed[0])).await.unwrap();
        assert_eq!(settled, Settled::Done(State::Succeeded));
        if commits {
            tx.commit().unwrap();
        } else {
            tx.rollback().unwrap();
        }
        let b = if commits { State::Ready } else { State::Blocked };
        assert_eq!((fixture.tally(id, 0).await.ended(), fixture.state_of(tasks[1]).await), (u32::from(commits), b));
    }
    let tx = conn.transaction().unwrap();
    CancelWithin::cancel(&tx, &*fixture.store, tasks[1]).await.unwrap();
    tx.commit().unwrap();
    assert_eq!((fixture.tally(id, 1).await.cancelled, fixture.state_of(tasks[2]).await), (1, State::Ready));
    assert_eq!(fixture.codes().await, [""; 0]);
}

/// A success that is taken back, as one of its children is refused, has not been told.
#[tokio::test]
async fn what_is_taken_back_is_not_told() {
    let fixture = Fixture::new();
    let worker = fixture.worker(&["mail"]).await;
    let other = fixture.task("other");
    fixture.store.enqueue(vec![other.clone()]).await.unwrap();
    let (id, _) = fixture.start(vec![step("a", &[])]).await;
    let claimed = fixture.claim(worker, 1).await;
    let child = NewTask { id: other.id, ..fixture.task("mail") };
    let settlement = Settlement { children: vec![child].into(), ..success(&claimed[0]) };
    assert!(SettleWithin::settle(&fixture.raw(), &*fixture.store, settlement.clone()).await.is_err());
    assert_eq!(fixture.tally(id, 0).await.ended(), 0);
    assert_ne!(fixture.store.settle(vec![settlement]).await.unwrap(), [Settled::LeaseLost]);
    let tally = fixture.tally(id, 0).await;
    assert_eq!((tally.succeeded, tally.ended()), (0, u32::from(tally.failed > 0)));
    assert_eq!(fixture.codes().await, [""; 0]);
}

#[tokio::test]
async fn a_damaged_workflow_stands_still_and_harms_nobody_else() {
    for damage in ["UPDATE gristmill_step SET spec = '{' WHERE number = 1", "DELETE FROM gristmill_step WHERE number = 0"] {
        let fixture = Fixture::new();
        let worker = fixture.worker(&["mail"]).await;
        let (id, tasks) = fixture.start(vec![step("a", &[]), step("b", &["a"])]).await;
        fixture.raw().execute_batch(damage).unwrap();
        let plain = fixture.task("mail");
        fixture.store.enqueue(vec![plain.clone()]).await.unwrap();
        let claimed = fixture.claim(worker, 10).await;
        assert_eq!(claimed.len(), 2);
        let settled = fixture.store.settle(claimed.iter().map(success).collect()).await.unwrap();
        assert_eq!(settled, [Settled::Done(State::Succeeded); 2], "{damage}");
        for error in
            [fixture.store.workflow(id).await.unwrap_err(), fixture.store.order_workflow(id, Order::Cancel).await.unwrap_err()]
        {
            assert_eq!(error.kind(), StoreErrorKind::Corrupt);
            assert!(error.to_string().contains("can't be read") && error.to_string().contains("doctor"), "{error}");
        }
        fixture.clock.advance(QUIET);
        fixture.sweep().await;
        assert_eq!(fixture.codes().await, ["workflow"], "{damage}");
        assert_eq!(fixture.state_of(tasks[1]).await, State::Blocked);
        fixture.raw().execute_batch("UPDATE gristmill_step SET chore = 1").unwrap();
        let pending = fixture.store.pending(&["default".to_owned()], Duration::ZERO).await.unwrap();
        assert!(pending.held && !pending.scheduled, "nobody drains on for what goes on by no sweep: {pending:?}");
        assert_eq!(fixture.store.delete(&[tasks[0]]).await.unwrap(), [DeleteOutcome::Wanted], "it may be mended");
    }
}

#[tokio::test]
async fn steps_go_with_their_workflow_and_those_that_stay_are_found() {
    let fixture = Fixture::new();
    let worker = fixture.worker(&["mail"]).await;
    let mut new = fixture.workflow(vec![step("a", &[]), StepDraft { role: Role::Handler(Needs::Failure), ..step("h", &[]) }]);
    new.retention = Retention::None;
    new.members.iter_mut().for_each(|member| member.retention = Retention::For(Duration::from_secs(600)));
    let (id, a) = (new.id, new.members[0].id);
    fixture.store.start_workflow(new).await.unwrap();
    let claimed = fixture.claim(worker, 1).await;
    fixture.store.settle(claimed.iter().map(success).collect()).await.unwrap();
    assert!(fixture.store.prune(100).await.unwrap() > 0);
    assert_eq!((fixture.store.workflow(id).await.unwrap(), fixture.number("SELECT count(*) FROM gristmill_step")), (None, 0));
    // A member that is run once more is kept no longer than any task.
    assert_eq!(fixture.store.retry(&[a]).await.unwrap(), [RetryOutcome::Ready]);
    let claimed = fixture.claim(worker, 1).await;
    let failed = Settlement::new(claimed[0].lease, Ending::Failed);
    assert_eq!(fixture.store.settle(vec![failed]).await.unwrap(), [Settled::Done(State::Failed)]);
    fixture.clock.advance(Duration::from_secs(600));
    fixture.store.prune(100).await.unwrap();
    assert!(fixture.store.get(a).await.unwrap().is_none());

    fixture.start(vec![step("a", &[])]).await;
    fixture.raw().execute_batch("DELETE FROM gristmill_workflow").unwrap();
    assert_eq!(fixture.codes().await, ["orphan_step"]);
}

/// All that a program of the version before writes.
#[tokio::test]
async fn an_older_program_enqueues_beside_workflows() {
    let fixture = Fixture::new();
    let (_, tasks) = fixture.start(vec![step("a", &[])]).await;
    let older = "INSERT INTO gristmill_task(id, queue, kind, priority, max_attempts, max_crashes, ack, retention, created_at, run_at, expires_at, args, meta, labelled)
                   SELECT zeroblob(16), queue, kind, 5, 3, 3, 0, -1, 0, 0, NULL, '{}', NULL, NULL FROM gristmill_task;
                 INSERT INTO gristmill_ready(queue, priority, seq, kind, attempt, claim_no, crashes) SELECT queue, priority, seq, kind, 0, 0, 0
                   FROM gristmill_task WHERE id = zeroblob(16)";
    fixture.raw().execute_batch(older).unwrap();
    let worker = fixture.worker(&["mail"]).await;
    let claimed = fixture.claim(worker, 10).await;
    assert_eq!(claimed.len(), 2);
    fixture.store.settle(claimed.iter().map(success).collect()).await.unwrap();
    assert_eq!(fixture.state_of(tasks[0]).await, State::Succeeded);
    assert_eq!(fixture.codes().await, [""; 0]);
}

/// What is left to do to members is done at once, wherever the sweeper waits.
#[tokio::test]
async fn whoever_sweeps_is_woken_for_what_is_left() {
    let fixture = Fixture::new();
    let worker = fixture.worker(&["mail"]).await;
    let (id, _) = fixture.start(vec![step("a", &[]), StepDraft { open: true, ..group("g", 0, &["a"]) }]).await;
    add(&fixture, id, 1, 1_500).await;
    fixture.sweep().await;
    let claimed = fixture.claim(worker, 1).await;
    let settle = async { fixture.store.settle(claimed.iter().map(success).collect()).await.unwrap() };
    let wait = fixture.store.wait(gristmill_core::Wake::Scheduled, Duration::from_secs(3_600));
    let (_, woken) = tokio::join!(settle, tokio::time::timeout(Duration::from_secs(60), wait));
    woken.expect("not woken");
    let store: &SqliteStore = &fixture.store;
    while store.promote(1_000).await.unwrap().next_due == Some(Duration::ZERO) {}
    assert_eq!(fixture.number("SELECT count(*) FROM gristmill_blocked"), 0);
}
