//! What the SQLite store has beyond the suite's promises about workflows that are begun anew, and about those that it can't read.

use std::time::Duration;

use gristmill_core::workflow::{NewWorkflow, Order, Retried, Retry, StepDraft, WorkflowState, Workflows};
use gristmill_core::{Ending, Settlement, Source, State, Store, StoreErrorKind};

use crate::common::{Fixture, success};
use crate::workflows::{QUIET, add, group, step};

/// Nothing goes before all of it waits again; until then a program of the version before finds it paused, and its steps waiting.
#[tokio::test]
async fn a_retry_goes_on_after_a_crash() {
    const MEMBERS: u32 = 2_500;
    const AT_ONCE: i64 = 1_000;
    let fixture = Fixture::new();
    let (id, _) = fixture.start(vec![StepDraft { open: true, ..group("g", 0, &[]) }, step("b", &["g"])]).await;
    add(&fixture, id, 0, MEMBERS).await;
    fixture.store.order_workflow(id, Order::Cancel).await.unwrap();
    while fixture.sweep().await.next_due == Some(Duration::ZERO) {}
    assert_eq!(fixture.store.retry_workflow(id, Retry::Failed.into()).await.unwrap(), Retried::Done(2));
    let ended = "SELECT count(*) FROM gristmill_outcome WHERE ended <> 0";
    let mut before = fixture.number(ended);
    assert!(before >= i64::from(MEMBERS) - AT_ONCE, "{before} are left at first");
    while before > 0 {
        // As a program of the version before writes it that finds it paused.
        fixture.raw().execute_batch("UPDATE gristmill_workflow SET paused = 1").unwrap();
        assert_eq!(fixture.number("SELECT count(*) FROM gristmill_ready"), 0);
        assert_eq!(fixture.number("SELECT count(*) FROM gristmill_step WHERE state <> 0"), 0);
        let stands = "SELECT paused <> 0 AND ended = 0 AND keep_until IS NULL FROM gristmill_workflow";
        assert_eq!((fixture.number(stands), fixture.of(id).await.state), (1, WorkflowState::Running));
        // Of a process that knows nothing of the ones before.
        fixture.again("").sweep(AT_ONCE as usize).await.unwrap();
        let after = fixture.number(ended);
        assert!(after < before && before - after <= AT_ONCE, "{before} to {after}");
        before = after;
    }
    while fixture.sweep().await.next_due == Some(Duration::ZERO) {}
    assert_eq!(fixture.number("SELECT count(*) FROM gristmill_ready"), i64::from(MEMBERS));
    assert_eq!(fixture.number("SELECT paused FROM gristmill_workflow"), 0);
    assert_eq!((fixture.tally(id, 0).await.ended(), fixture.codes().await), (0, vec![]));
}

/// Their time may be over before a retry comes to them.
#[tokio::test]
async fn members_that_a_retry_has_yet_to_see_to_are_not_pruned() {
    const MEMBERS: u32 = 2_500;
    let fixture = Fixture::new();
    let (id, _) = fixture.start(vec![StepDraft { open: true, ..group("g", 0, &[]) }]).await;
    add(&fixture, id, 0, MEMBERS).await;
    fixture.store.order_workflow(id, Order::Cancel).await.unwrap();
    while fixture.sweep().await.next_due == Some(Duration::ZERO) {}
    let (other, tasks) = fixture.start(vec![step("a", &[])]).await;
    fixture.store.order_workflow(other, Order::Cancel).await.unwrap();
    assert_eq!(fixture.store.retry_workflow(id, Retry::Failed.into()).await.unwrap(), Retried::Done(2));
    fixture.raw().execute_batch("UPDATE gristmill_outcome SET keep_until = 1 WHERE ended <> 0").unwrap();
    assert_eq!(fixture.store.prune(10_000).await.unwrap(), 1);
    assert_eq!(fixture.store.get(tasks[0]).await.unwrap(), None);
    while fixture.sweep().await.next_due == Some(Duration::ZERO) {}
    assert_eq!(fixture.number("SELECT count(*) FROM gristmill_ready"), i64::from(MEMBERS));
}

/// What somebody wants of it meanwhile holds once it goes on.
#[tokio::test]
async fn a_pause_and_a_cancel_hold_once_a_retry_has_begun() {
    for (order, then) in [(Order::Pause, WorkflowState::Paused), (Order::Cancel, WorkflowState::Cancelled)] {
        let fixture = Fixture::new();
        let (id, _) = fixture.start(vec![StepDraft { open: true, ..group("g", 0, &[]) }]).await;
        add(&fixture, id, 0, 2_500).await;
        fixture.store.order_workflow(id, Order::Cancel).await.unwrap();
        while fixture.sweep().await.next_due == Some(Duration::ZERO) {}
        assert_eq!(fixture.store.retry_workflow(id, Retry::Failed.into()).await.unwrap(), Retried::Done(2));
        fixture.store.order_workflow(id, order).await.unwrap();
        while fixture.again("").sweep(1_000).await.unwrap().next_due == Some(Duration::ZERO) {}
        assert_eq!((fixture.of(id).await.state, fixture.number("SELECT count(*) FROM gristmill_ready")), (then, 0));
    }
}

/// A program of the version before writes workflows without what these have, and reads them beside it.
#[tokio::test]
async fn a_workflow_of_the_version_before_is_retried() {
    let fixture = Fixture::new();
    let worker = fixture.worker(&["mail"]).await;
    let (id, tasks) = fixture.start(vec![step("a", &[])]).await;
    let failed = fixture.claim(worker, 1).await.remove(0);
    fixture.store.settle(vec![Settlement::new(failed.lease, Ending::Failed)]).await.unwrap();
    fixture.raw().execute_batch("UPDATE gristmill_workflow SET deadline = NULL, deadline_at = NULL").unwrap();
    assert_eq!(fixture.of(id).await.deadline, None);
    assert_eq!(fixture.store.retry_workflow(id, Retry::Failed.into()).await.unwrap(), Retried::Done(2));
    assert_eq!((fixture.state_of(tasks[0]).await, fixture.of(id).await.attempt), (State::Ready, 2));
}

/// What would follow from it nobody here can say.
#[tokio::test]
async fn a_step_in_a_state_that_nobody_knows_is_left_alone() {
    let fixture = Fixture::new();
    let worker = fixture.worker(&["mail"]).await;
    let (id, tasks) = fixture.start(vec![step("a", &[]), step("b", &["a"])]).await;
    fixture.raw().execute_batch("UPDATE gristmill_step SET state = 9 WHERE number = 0").unwrap();
    let claimed = fixture.claim(worker, 1).await;
    fixture.store.settle(claimed.iter().map(success).collect()).await.unwrap();
    fixture.clock.advance(QUIET);
    fixture.sweep().await;
    assert_eq!(fixture.number("SELECT state FROM gristmill_step WHERE number = 0"), 9);
    assert_eq!((fixture.state_of(tasks[1]).await, fixture.codes().await), (State::Blocked, vec!["workflow".to_owned()]));
    let retried = fixture.store.retry_workflow(id, Retry::All.into()).await.unwrap_err();
    for error in [fixture.store.workflow(id).await.unwrap_err(), retried] {
        assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    }
    // Whoever knows it goes on.
    fixture.raw().execute_batch("UPDATE gristmill_step SET state = 1 WHERE number = 0").unwrap();
    fixture.clock.advance(QUIET);
    fixture.sweep().await;
    assert_eq!(fixture.state_of(tasks[1]).await, State::Ready);
}

/// From the sweep that counts anew, and from the one that cancels what is late, which is not to begin at once again for them either.
#[tokio::test]
async fn workflows_that_can_not_be_read_hide_no_others() {
    let fixture = Fixture::new();
    let late = |steps| NewWorkflow { deadline: Some(QUIET), ..fixture.workflow(steps) };
    for _ in 0..150 {
        fixture.store.start_workflow(late(vec![step("a", &[])])).await.unwrap();
    }
    fixture.raw().execute_batch("UPDATE gristmill_step SET spec = '{'; DELETE FROM gristmill_ready").unwrap();
    fixture.clock.advance(Duration::from_secs(2));
    let (_, tasks) = fixture.start(vec![step("a", &[]), step("b", &["a"])]).await;
    let lost = "INSERT INTO gristmill_outcome(seq, claim_no, attempt, crashes, state, ended, finished_at, keep_until)
                  SELECT seq, 9, 0, 0, 3, 3, 0, 9223372036854775807 FROM gristmill_ready; DELETE FROM gristmill_ready";
    fixture.raw().execute_batch(lost).unwrap();
    let in_time = late(vec![step("c", &[])]);
    fixture.store.start_workflow(in_time.clone()).await.unwrap();
    fixture.clock.advance(QUIET + Duration::from_secs(2));
    for _ in 0..3 {
        let next = fixture.sweep().await.next_due;
        assert_ne!(next, Some(Duration::ZERO));
    }
    assert_eq!(fixture.state_of(tasks[1]).await, State::Ready);
    assert_eq!(fixture.of(in_time.id).await.state, WorkflowState::Cancelled);
}
