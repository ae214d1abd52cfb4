//! What the SQLite store has beyond the suite's promises about durable steps: transactions of others, broken rows, crashes, older programs,
//! wake-ups that were lost, and what all that costs.

use std::time::Duration;

use gristmill_core::durable::{Checkpoint, Due, Durable, Kept, MISMATCH_AT, Memory, Mismatch, NewEvent, Resume, Sent};
use gristmill_core::workflow::{StepDraft, WorkflowState};
use gristmill_core::{
    Claimed, DeleteOutcome, Ending, EnqueueOutcome, Failure, FailureReason, LeaseRef, NewTask, Note, Retention, RetryOutcome,
    SendWithin, Settled, Settlement, Source, State, Store, StoreErrorKind, TaskId, Wake, WorkerId, WorkflowId,
};

use crate::common::{Fixture, claim, enter, succeed};

const REMEMBERED: &str = "SELECT count(*) FROM gristmill_memory";
const AWAITED: &str = "SELECT count(*) FROM gristmill_memory WHERE awaits IS NOT NULL AND dropped = 0";
/// Far beyond what any wake-up takes.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn event(name: &str) -> NewEvent {
    NewEvent::new(name, "7").unwrap()
}

fn memory(position: u32, kept: Kept) -> Memory {
    Memory { position, name: "a".to_owned(), occurrence: position, kept }
}

fn value(position: u32) -> Memory {
    memory(position, Kept::Value("1".to_owned()))
}

fn awaits(name: &str) -> Memory {
    memory(0, Kept::Event { name: name.to_owned(), until: None })
}

fn keeps(lease: LeaseRef, memories: Vec<Memory>) -> Checkpoint {
    Checkpoint { memories, ..Checkpoint::new(lease) }
}

fn suspends(lease: LeaseRef, memory: Memory) -> Checkpoint {
    Checkpoint { suspend: Some(Due::Never), ..keeps(lease, vec![memory]) }
}

impl Fixture {
    /// A task that a worker runs.
    async fn running(&self, worker: WorkerId, task: NewTask) -> Claimed {
        assert_eq!(self.store.enqueue(vec![task]).await.unwrap(), [EnqueueOutcome::Created]);
        self.claim(worker, 1).await.remove(0)
    }

    async fn checkpoint(&self, checkpoint: Checkpoint) -> Settled {
        self.store.checkpoint(checkpoint).await.unwrap()
    }

    /// A task that stands still for an event.
    pub(crate) async fn waits_for(&self, worker: WorkerId, name: &str) -> TaskId {
        let lease = self.running(worker, self.task("mail")).await.lease;
        assert_eq!(self.checkpoint(suspends(lease, awaits(name))).await, Settled::Done(State::Scheduled));
        lease.id
    }

    /// And one that does for a workflow, with the claim of that one's only member.
    async fn waits_for_workflow(&self, worker: WorkerId) -> (TaskId, WorkflowId, Claimed) {
        let lease = self.running(worker, self.task("mail")).await.lease;
        let workflow = self.workflow(vec![StepDraft::one("only", "mail", ())]);
        let id = workflow.id;
        let checkpoint = suspends(lease, memory(0, Kept::Workflow(id)));
        let checkpoint = Checkpoint { workflow: Some(Box::new(workflow)), ..checkpoint };
        assert_eq!(self.checkpoint(checkpoint).await, Settled::Done(State::Scheduled));
        (lease.id, id, self.claim(worker, 1).await.remove(0))
    }

    async fn remembered(&self, id: TaskId) -> Vec<Memory> {
        self.store.memories(id).await.unwrap().kept
    }

    async fn fail(&self, lease: LeaseRef) {
        let failed = self.store.settle(vec![Settlement::new(lease, Ending::Failed)]).await.unwrap();
        assert_eq!(failed, [Settled::Done(State::Failed)]);
    }
}

#[tokio::test]
async fn an_event_lives_and_dies_with_the_callers_transaction() {
    let fixture = Fixture::new();
    let worker = fixture.worker(&["mail"]).await;
    let id = fixture.waits_for(worker, "paid").await;
    let mut conn = fixture.raw();
    let tx = conn.transaction().unwrap();
    assert_eq!(SendWithin::send_event(&tx, &*fixture.store, event("paid")).await.unwrap(), Sent::Stored);
    assert_eq!(SendWithin::send_event(&tx, &*fixture.store, event("paid")).await.unwrap(), Sent::Exists);
    tx.rollback().unwrap();
    fixture.sweep().await;
    assert_eq!((fixture.state_of(id).await, fixture.remembered(id).await), (State::Scheduled, vec![awaits("paid")]));
    let tx = conn.transaction().unwrap();
    assert_eq!(SendWithin::send_event(&tx, &*fixture.store, event("paid")).await.unwrap(), Sent::Stored);
    assert_eq!(fixture.state_of(id).await, State::Scheduled, "not before the commit");
    tx.commit().unwrap();
    let got = Memory { kept: Kept::Value("7".to_owned()), ..awaits("paid") };
    assert_eq!((fixture.state_of(id).await, fixture.remembered(id).await), (State::Ready, vec![got]));
    let elsewhere = rusqlite::Connection::open_in_memory().unwrap();
    let error = SendWithin::send_event(&elsewhere, &*fixture.store, event("paid")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::NotOurs);
}

/// They were told by another process, which looks out for what others write.
#[tokio::test]
async fn whoever_claims_is_woken_by_an_event_that_another_process_sends() {
    let fixture = Fixture::new();
    let worker = fixture.worker(&["mail"]).await;
    let id = fixture.waits_for(worker, "paid").await;
    assert!(fixture.claim(worker, 1).await.is_empty());
    let other = fixture.again("");
    let wait = tokio::time::timeout(PATIENCE, fixture.store.wait(Wake::Ready, PATIENCE * 2));
    let (sent, woken) = tokio::join!(other.send_event(event("paid")), wait);
    assert_eq!(sent.unwrap(), Sent::Stored);
    woken.expect("not woken");
    assert_eq!(fixture.claim(worker, 1).await[0].lease.id, id);
}

/// Killed between a step and the end, and while it waits: what is kept is kept.
#[tokio::test]
async fn what_is_remembered_survives_a_crash() {
    let fixture = Fixture::new();
    let worker = fixture.worker(&["mail"]).await;
    let lease = fixture.running(worker, fixture.task("mail")).await.lease;
    assert_eq!(fixture.checkpoint(keeps(lease, vec![value(0)])).await, Settled::Done(State::Running));
    fixture.store.close();
    let store = fixture.again("");
    fixture.clock.advance(Duration::from_secs(40));
    for _ in 0..2 {
        store.sweep(10).await.unwrap();
        fixture.clock.advance(Duration::from_secs(20));
    }
    let worker = enter(&store, &fixture.env, &["mail"]).await;
    let again = claim(&store, &fixture.env, worker, 1).await.remove(0);
    assert_eq!((again.lease.id, again.claim_no > 1), (lease.id, true));
    assert_eq!(store.memories(lease.id).await.unwrap().kept, [value(0)]);
    assert_eq!(store.checkpoint(keeps(lease, vec![value(1)])).await.unwrap(), Settled::LeaseLost);
    let suspended = store.checkpoint(suspends(again.lease, Memory { position: 1, ..awaits("paid") })).await.unwrap();
    assert_eq!(suspended, Settled::Done(State::Scheduled));
    store.close();
    let store = fixture.again("");
    assert_eq!(store.send_event(event("paid")).await.unwrap(), Sent::Stored);
    let worker = enter(&store, &fixture.env, &["mail"]).await;
    let last = claim(&store, &fixture.env, worker, 1).await.remove(0);
    assert_eq!(store.memories(last.lease.id).await.unwrap().kept.len(), 2);
    succeed(&store, &[last]).await;
}

/// It must not be done again, so that the task can't run; others can.
#[tokio::test]
async fn what_cannot_be_read_is_told_with_its_task_and_position() {
    for damage in
        ["code = 99", "code = 1, text = '{'", "text = CAST(x'22ff22' AS TEXT)", "text = NULL", "name = CAST(x'ff' AS TEXT)"]
    {
        let fixture = Fixture::new();
        let worker = fixture.worker(&["mail"]).await;
        let lease = fixture.running(worker, fixture.task("mail")).await.lease;
        let other = fixture.running(worker, fixture.task("mail")).await.lease;
        fixture.checkpoint(keeps(lease, vec![value(0), value(1)])).await;
        fixture.checkpoint(keeps(other, vec![value(0)])).await;
        assert_eq!(fixture.codes().await, [""; 0]);
        fixture.raw().execute_batch(&format!("UPDATE gristmill_memory SET {damage} WHERE position = 1")).unwrap();
        let error = fixture.store.memories(lease.id).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{damage}");
        for told in [lease.id.to_string(), "position 1".to_owned(), "doctor".to_owned()] {
            assert!(error.to_string().contains(&told), "{told}: {error}");
        }
        assert_eq!(fixture.remembered(other.id).await, [value(0)]);
        assert_eq!(fixture.codes().await, ["memory"], "{damage}");
        // It can still wait, and end.
        let waits = Memory { position: 2, ..awaits("paid") };
        assert_eq!(fixture.checkpoint(suspends(lease, waits)).await, Settled::Done(State::Scheduled));
        assert_eq!(fixture.store.send_event(event("paid")).await.unwrap(), Sent::Stored);
        fixture.fail(fixture.claim(worker, 1).await[0].lease).await;
    }
}

#[tokio::test]
async fn a_damaged_wait_harms_nobody_else() {
    let fixture = Fixture::new();
    let worker = fixture.worker(&["mail"]).await;
    let ids = [fixture.waits_for(worker, "paid").await, fixture.waits_for(worker, "paid").await];
    let damage = "UPDATE gristmill_memory SET code = 99, awaits = CAST(x'6576656e743aff' AS TEXT) WHERE task = ?1";
    fixture.raw().execute(damage, [ids[0].as_bytes().as_slice()]).unwrap();
    for _ in 0..3 {
        fixture.sweep().await;
    }
    assert_eq!(fixture.store.list_waiters(None, 10).await.unwrap().len(), 1);
    assert_eq!(fixture.store.send_event(event("paid")).await.unwrap(), Sent::Stored);
    assert_eq!((fixture.state_of(ids[0]).await, fixture.state_of(ids[1]).await), (State::Scheduled, State::Ready));
    let mismatch = Mismatch { position: 0, expected: "a".to_owned(), found: None, fails: false };
    let lease = fixture.claim(worker, 1).await[0].lease;
    fixture.checkpoint(suspends(lease, Memory { position: MISMATCH_AT, ..memory(0, Kept::Mismatch(mismatch)) })).await;
    fixture.raw().execute_batch(&format!("UPDATE gristmill_memory SET text = '{{' WHERE position = {MISMATCH_AT}")).unwrap();
    let error = fixture.store.resume_task(lease.id, Resume::Again).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    assert!(error.to_string().contains(&lease.id.to_string()), "{error}");
}

/// However that was possible.
#[tokio::test]
async fn who_was_not_told_of_what_came_is_let_go_by_a_sweep() {
    let fixture = Fixture::new();
    let worker = fixture.worker(&["mail"]).await;
    let told = fixture.waits_for(worker, "paid").await;
    let never = fixture.waits_for(worker, "never").await;
    let lost = "INSERT INTO gristmill_event(name, sent_at, keep_until, untold, payload) VALUES ('paid', 0, 1 << 60, 0, '7')";
    fixture.raw().execute_batch(lost).unwrap();
    assert_eq!(fixture.codes().await, ["lost_wait"]);
    fixture.sweep().await;
    assert_eq!((fixture.state_of(told).await, fixture.state_of(never).await), (State::Ready, State::Scheduled));
    assert_eq!(fixture.remembered(told).await[0].kept, Kept::Value("7".to_owned()));
    for broken in ["UPDATE gristmill_workflow SET ended = 1 WHERE ended = 0", "DELETE FROM gristmill_workflow"] {
        let fixture = Fixture::new();
        let worker = fixture.worker(&["mail"]).await;
        let (id, ..) = fixture.waits_for_workflow(worker).await;
        fixture.sweep().await;
        assert_eq!(fixture.state_of(id).await, State::Scheduled);
        fixture.raw().execute_batch(broken).unwrap();
        assert!(fixture.codes().await.contains(&"lost_wait".to_owned()), "{broken}");
        fixture.sweep().await;
        assert_eq!(fixture.state_of(id).await, State::Ready, "{broken}");
    }
}

/// A sweep looks at a bounded part of those who wait, and the next one at the next.
#[tokio::test]
async fn the_look_for_lost_wake_ups_comes_round_to_all_who_wait() {
    let fixture = Fixture::new();
    let worker = fixture.worker(&["mail"]).await;
    let last = fixture.waits_for(worker, "z").await;
    let first = fixture.waits_for(worker, "0").await;
    // Others, which stand between them in the order of what they await.
    let others = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 2500)
        INSERT INTO gristmill_memory(task, position, name, occurrence, code, awaits, text)
          SELECT m.task, 1 + n, 'a', n, 4, 'event:m' || n, 'm' || n FROM n, (SELECT task FROM gristmill_memory WHERE awaits = 'event:z') m;
        INSERT INTO gristmill_event(name, sent_at, keep_until, untold, payload) VALUES ('z', 0, 1 << 60, 0, '7')";
    fixture.raw().execute_batch(others).unwrap();
    fixture.sweep().await;
    assert_eq!(fixture.state_of(last).await, State::Scheduled);
    for _ in 0..2 {
        fixture.sweep().await;
    }
    assert_eq!(fixture.state_of(last).await, State::Ready);
    fixture.raw().execute_batch("UPDATE gristmill_event SET name = '0'").unwrap();
    fixture.sweep().await;
    assert_eq!(fixture.state_of(first).await, State::Ready, "from the beginning");
}

/// What an attempt that failed puts off is put off, whatever else the task has waited for.
#[tokio::test]
async fn a_delay_after_a_failure_is_not_cut_short_by_sweeps() {
    let fixture = Fixture::new();
    let worker = fixture.worker(&["mail"]).await;
    let (id, _, member) = fixture.waits_for_workflow(worker).await;
    succeed(&fixture.store, &[member]).await;
    let lease = fixture.claim(worker, 1).await.remove(0).lease;
    let retry = Settlement::new(lease, Ending::Retry { delay: Duration::from_secs(60) });
    assert_eq!(fixture.store.settle(vec![retry]).await.unwrap(), [Settled::Done(State::Scheduled)]);
    for _ in 0..3 {
        fixture.sweep().await;
    }
    assert_eq!((fixture.state_of(id).await, fixture.codes().await), (State::Scheduled, vec![]));
}

/// Their waits are looked at once, and no more.
#[tokio::test]
async fn what_tasks_that_have_ended_wait_for_is_dropped_until_a_retry() {
    let fixture = Fixture::new();
    let worker = fixture.worker(&["mail"]).await;
    let id = fixture.waits_for(worker, "paid").await;
    let (cancelled, of, member) = fixture.waits_for_workflow(worker).await;
    fixture.store.cancel(&[id, cancelled]).await.unwrap();
    assert_eq!(fixture.number(AWAITED), 2);
    fixture.sweep().await;
    assert_eq!((fixture.number(AWAITED), fixture.of(of).await.state), (0, WorkflowState::Cancelling));
    let done = fixture.store.settle(vec![Settlement::new(member.lease, Ending::Cancelled)]).await.unwrap();
    assert_eq!((done, fixture.of(of).await.state), (vec![Settled::Done(State::Cancelled)], WorkflowState::Cancelled));
    assert_eq!(fixture.store.retry(&[id]).await.unwrap(), [RetryOutcome::Ready]);
    assert_eq!((fixture.number(AWAITED), fixture.remembered(id).await), (1, vec![awaits("paid")]));
    let lease = fixture.claim(worker, 1).await.remove(0).lease;
    assert_eq!(fixture.checkpoint(suspends(lease, awaits("paid"))).await, Settled::Done(State::Scheduled));
    assert_eq!(fixture.store.send_event(event("paid")).await.unwrap(), Sent::Stored);
    assert_eq!(fixture.state_of(id).await, State::Ready);
}

/// It may well outlive whoever has started it.
#[tokio::test]
async fn what_a_task_that_succeeded_has_started_goes_on() {
    let fixture = Fixture::new();
    let worker = fixture.worker(&["mail"]).await;
    let claimed = fixture.running(worker, fixture.task("mail")).await;
    let workflow = fixture.workflow(vec![StepDraft::one("only", "mail", ())]);
    let of = workflow.id;
    let started = keeps(claimed.lease, vec![memory(0, Kept::Workflow(of))]);
    fixture.checkpoint(Checkpoint { workflow: Some(Box::new(workflow)), ..started }).await;
    succeed(&fixture.store, &[claimed]).await;
    fixture.sweep().await;
    assert_eq!((fixture.number(AWAITED), fixture.of(of).await.state), (0, WorkflowState::Running));
}

/// A damaged workflow that was left behind keeps no sweep from its work.
#[tokio::test]
async fn a_workflow_left_behind_that_cannot_be_read_stops_no_sweep() {
    let fixture = Fixture::new();
    let worker = fixture.worker(&["mail"]).await;
    let (id, ..) = fixture.waits_for_workflow(worker).await;
    fixture.raw().execute_batch("UPDATE gristmill_step SET spec = '{'").unwrap();
    fixture.store.cancel(&[id]).await.unwrap();
    fixture.sweep().await;
    assert_eq!((fixture.number(AWAITED), fixture.codes().await), (0, vec!["workflow".to_owned()]));
}

/// The statement has codes; core says which are of a failure. One by a program that knows nothing of it leaves it to the next.
#[tokio::test]
async fn a_retry_forgets_what_failed() {
    let fixture = Fixture::new();
    let worker = fixture.worker(&["mail"]).await;
    let (failure, until) = (Failure::new(FailureReason::Error, "no"), fixture.env.now());
    let by = fixture.env.workflow_id();
    let mismatch = Mismatch { position: 3, expected: "a".to_owned(), found: None, fails: true };
    let all = [
        Kept::Value("1".to_owned()),
        Kept::Failed(failure),
        Kept::Patched,
        Kept::Sleeps(until),
        Kept::Event { name: "e".to_owned(), until: Some(until) },
        Kept::TimedOut,
        Kept::Workflow(by),
        Kept::Replaced { by, result: None },
        Kept::Mismatch(mismatch),
    ];
    let all: Vec<_> = (0..).zip(all).map(|(position, kept)| memory(position, kept)).collect();
    // The workflow is gone.
    let is_left =
        |memory: &&Memory| !memory.kept.is_of_a_failure() && !matches!(memory.kept, Kept::Workflow(_) | Kept::Replaced { .. });
    let left: Vec<_> = all.iter().filter(is_left).cloned().collect();
    assert!(left.len() < all.len());
    for by_an_older_program in [false, true] {
        let lease = fixture.running(worker, fixture.task("mail")).await.lease;
        fixture.checkpoint(keeps(lease, all.clone())).await;
        fixture.fail(lease).await;
        assert_eq!(fixture.remembered(lease.id).await, all);
        if by_an_older_program {
            let retry = "INSERT INTO gristmill_ready(queue, priority, seq, kind, attempt, claim_no, crashes, flags)
                           SELECT t.queue, t.priority, t.seq, t.kind, 0, o.claim_no, 0, o.flags
                             FROM gristmill_outcome o JOIN gristmill_task t ON t.seq = o.seq WHERE o.ended = 2;
                         UPDATE gristmill_outcome SET ended = 0, keep_until = NULL, flags = 0 WHERE ended = 2;";
            fixture.raw().execute_batch(retry).unwrap();
        } else {
            assert_eq!(fixture.store.retry(&[lease.id]).await.unwrap(), [RetryOutcome::Ready]);
        }
        assert_eq!(fixture.remembered(lease.id).await, if by_an_older_program { all.clone() } else { left.clone() });
        succeed(&fixture.store, &fixture.claim(worker, 1).await).await;
    }
}

/// By each of the ways.
#[tokio::test]
async fn what_is_remembered_goes_with_its_task_in_the_same_transaction() {
    let fixture = Fixture::new();
    let worker = fixture.worker(&["mail"]).await;
    let unkept = || NewTask { retention: Retention::None, ..fixture.task("mail") };
    // At its first claim, and at a later one.
    let first = fixture.running(worker, unkept()).await;
    fixture.checkpoint(keeps(first.lease, vec![value(0)])).await;
    let note = Note { lease: first.lease, logs: Some("x".to_owned()), progress: None };
    assert_eq!(fixture.store.note(vec![note]).await.unwrap(), [true]);
    succeed(&fixture.store, &[first]).await;
    assert_eq!(fixture.number(REMEMBERED), 0);
    let lease = fixture.running(worker, unkept()).await.lease;
    let later = Checkpoint { suspend: Some(Due::In(Duration::from_secs(9))), ..keeps(lease, vec![value(0)]) };
    fixture.checkpoint(later).await;
    fixture.store.release(&[lease.id]).await.unwrap();
    succeed(&fixture.store, &fixture.claim(worker, 1).await).await;
    assert_eq!(fixture.number(REMEMBERED), 0);
    // By hand, and one of the same id begins with nothing.
    let task = NewTask { retention: Retention::For(Duration::from_secs(60)), ..fixture.task("mail") };
    for prunes in [false, true] {
        let claimed = fixture.running(worker, task.clone()).await;
        fixture.checkpoint(keeps(claimed.lease, vec![value(0)])).await;
        succeed(&fixture.store, &[claimed]).await;
        if prunes {
            fixture.clock.advance(Duration::from_secs(61));
            assert!(fixture.store.prune(10).await.unwrap() > 0);
        } else {
            assert_eq!(fixture.store.delete(&[task.id]).await.unwrap(), [DeleteOutcome::Deleted]);
        }
        assert_eq!((fixture.number(REMEMBERED), fixture.state(&task).await), (0, None));
    }
}

/// It leaves what they remembered, and their number to the next task.
#[tokio::test]
async fn what_an_older_program_deletes_is_forgotten_by_a_sweep() {
    let fixture = Fixture::new();
    let worker = fixture.worker(&["mail"]).await;
    let kept = fixture.running(worker, fixture.task("mail")).await;
    fixture.checkpoint(keeps(kept.lease, vec![value(0)])).await;
    fixture.waits_for(worker, "paid").await;
    let gone = fixture.running(worker, fixture.task("mail")).await;
    fixture.checkpoint(keeps(gone.lease, vec![value(0), value(1)])).await;
    let deletes =
        "DELETE FROM gristmill_task WHERE seq > 1; DELETE FROM gristmill_lease WHERE seq > 1; DELETE FROM gristmill_scheduled";
    fixture.raw().execute_batch(deletes).unwrap();
    let next = fixture.running(worker, fixture.task("mail")).await;
    assert_eq!((next.lease.key.number(), fixture.remembered(next.lease.id).await), (Some(2), vec![]));
    assert_eq!(fixture.number(REMEMBERED), 4);
    fixture.sweep().await;
    assert_eq!((fixture.number(REMEMBERED), fixture.remembered(kept.lease.id).await), (1, vec![value(0)]));
}

/// So many wait for one event that one transaction would hold up others: sweeps tell the rest, at once, and also of an event that is kept
/// for no time at all.
#[tokio::test]
async fn an_event_for_many_is_told_in_parts() {
    const MANY: i64 = 2_500;
    let fixture = Fixture::with("synchronous=normal");
    let worker = fixture.worker(&["mail"]).await;
    for _ in 0..MANY / 500 {
        fixture.store.enqueue((0..500).map(|_| fixture.task("mail")).collect()).await.unwrap();
        for claimed in fixture.claim(worker, 500).await {
            assert_eq!(fixture.checkpoint(suspends(claimed.lease, awaits("go"))).await, Settled::Done(State::Scheduled));
        }
    }
    fixture.sweep().await;
    let wait = tokio::time::timeout(PATIENCE, fixture.store.wait(Wake::Scheduled, PATIENCE * 2));
    let (sent, woken) = tokio::join!(fixture.store.send_event(event("go").kept_for(Duration::ZERO)), wait);
    woken.expect("whoever sweeps is to do the rest now");
    assert_eq!(sent.unwrap(), Sent::Stored);
    let ready = || fixture.number("SELECT count(*) FROM gristmill_ready");
    assert!((1..=1_000).contains(&ready()), "{}", ready());
    assert!(fixture.store.pending(&["default".to_owned()], Duration::ZERO).await.unwrap().scheduled, "nobody leaves before");
    fixture.store.prune(100).await.unwrap();
    assert_eq!(fixture.store.send_event(event("go")).await.unwrap(), Sent::Exists, "it is being told");
    // By programs that know nothing of one another.
    let mut before = ready();
    while fixture.again("").promote(1_000).await.unwrap().next_due == Some(Duration::ZERO) {
        assert!(ready() - before <= 1_000);
        before = ready();
    }
    assert_eq!((ready(), fixture.codes().await), (MANY, vec!["synchronous".to_owned()]));
    assert!(fixture.store.prune(100).await.unwrap() > 0);
    assert_eq!(fixture.number("SELECT count(*) FROM gristmill_event"), 0);
}

/// What others wrote in the same group is committed.
#[tokio::test]
async fn a_checkpoint_that_is_refused_takes_nothing_of_others_with_it() {
    let fixture = Fixture::new();
    let worker = fixture.worker(&["mail"]).await;
    let other = fixture.task("other");
    fixture.store.enqueue(vec![other.clone()]).await.unwrap();
    let leases = [(); 2].map(|()| fixture.task("mail"));
    fixture.store.enqueue(leases.to_vec()).await.unwrap();
    let claimed = fixture.claim(worker, 2).await;
    let taken = NewTask { id: other.id, ..fixture.task("mail") };
    let fresh = fixture.task("mail");
    let refused = Checkpoint { children: vec![fresh.clone(), taken].into(), ..suspends(claimed[0].lease, awaits("go")) };
    let kept = keeps(claimed[1].lease, vec![value(0)]);
    // They come to the writer together, as it waits for its turn.
    let blocker = fixture.raw();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let release = async { blocker.execute_batch("ROLLBACK").unwrap() };
    let (first, second, ()) = tokio::join!(fixture.store.checkpoint(refused), fixture.store.checkpoint(kept), release);
    assert_eq!((first.unwrap_err().kind(), second.unwrap()), (StoreErrorKind::Invalid, Settled::Done(State::Running)));
    assert_eq!((fixture.remembered(claimed[0].lease.id).await, fixture.state(&fresh).await), (vec![], None));
    assert_eq!(fixture.remembered(claimed[1].lease.id).await, [value(0)]);
    succeed(&fixture.store, &claimed).await;
}

/// Also what was noted while it ran.
#[tokio::test]
async fn logs_are_kept_when_an_attempt_comes_to_wait() {
    let fixture = Fixture::new();
    let worker = fixture.worker(&["mail"]).await;
    let lease = fixture.running(worker, fixture.task("mail")).await.lease;
    fixture.store.note(vec![Note { lease, logs: Some("noted".to_owned()), progress: None }]).await.unwrap();
    assert_eq!(fixture.checkpoint(suspends(lease, awaits("go"))).await, Settled::Done(State::Scheduled));
    let attempts = fixture.store.get(lease.id).await.unwrap().unwrap().attempts;
    assert_eq!(attempts.iter().map(|attempt| attempt.logs.as_deref()).collect::<Vec<_>>(), [Some("noted")]);
    assert_eq!(fixture.number("SELECT count(*) FROM gristmill_live"), 0);
}

#[tokio::test]
async fn a_page_of_events_is_bounded_in_bytes() {
    let fixture = Fixture::new();
    let large = format!("\"{}\"", "x".repeat(400_000));
    for n in 0..7 {
        let sent = fixture.store.send_event(NewEvent::new(format!("e{n}"), large.clone()).unwrap()).await.unwrap();
        assert_eq!(sent, Sent::Stored);
    }
    let (mut names, mut pages, mut after) = (Vec::new(), 0, None);
    loop {
        let page = fixture.store.list_events(None, after, 100).await.unwrap();
        names.extend(page.items.into_iter().map(|event| event.name));
        pages += 1;
        let Some(next) = page.next else { break };
        after = Some(next);
    }
    assert_eq!((names, pages), (["e6", "e5", "e4", "e3", "e2", "e1", "e0"].map(str::to_owned).to_vec(), 3));
    assert_eq!(fixture.store.list_events(Some("e3"), None, 100).await.unwrap().items.len(), 1);
}
