//! Workflows that a crash, damage or a newer program has left behind: what sweeps find, mend, or leave alone.

use std::time::Duration;

use gristmill_core::workflow::{NewWorkflow, Order, Retry, StepDraft, StepWord, WorkflowState, Workflows as _};
use gristmill_core::{Severity, Source, State, Store, StoreErrorKind};

use crate::common::{chain, step, workflow};
use crate::workflows::{House, STILL, settles, within};

/// As when a process dies between its commit and what follows from it.
#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_makes_good_what_a_crash_left_reported() {
    let house = House::new().await;
    let new = chain(&house.env, None);
    house.start(&new).await;
    house.run(&settles(&house.claim(1).await[0])).await;
    assert_eq!(house.word(new.id, 1).await, StepWord::Waiting);
    house.sweep().await;
    assert_eq!((house.word(new.id, 1).await, house.states(&new.members[1..]).await), (StepWord::Running, vec![State::Ready]));
    house.succeed(house.claim(1).await).await;
    assert_eq!(house.store.workflow(new.id).await.unwrap().unwrap().state, WorkflowState::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_broken_by_hand_is_mended_when_it_has_stood_still() {
    let house = House::new().await;
    let run = async |breaks: &str| {
        let new = workflow(&house.env, None, vec![step("g", 2, &[]), step("b", 1, &["g"])]);
        house.start(&new).await;
        let claimed = house.claim(2).await;
        house.run(&settles(&claimed[0])).await;
        house.run(&settles(&claimed[1])).await;
        if breaks.contains("report") {
            house.run(breaks).await;
        }
        house.sweep().await;
        if !breaks.contains("report") {
            // Back to where it was, as if nothing had been let go.
            house.run(breaks).await;
        }
        let b = house.states(&new.members[2..]).await[0];
        if b == State::Ready {
            house.run("WITH gone AS (DELETE FROM ready RETURNING *) INSERT INTO blocked SELECT id, seq, 0, expires_at, queue, kind, \
                       attempt, claim_no, crashes, priority, flags FROM gone").await;
        }
        house.time.advance(STILL);
        house.sweep().await;
        assert_eq!(house.states(&new.members[2..]).await, [State::Ready], "{breaks}");
        house.succeed(house.claim(2).await).await;
        assert_eq!(house.store.workflow(new.id).await.unwrap().unwrap().state, WorkflowState::Succeeded, "{breaks}");
    };
    run("DELETE FROM report").await;
    run("UPDATE step SET succeeded = 0, state = 1 - number WHERE workflow IN (SELECT id FROM workflow WHERE ended = 0)").await;
    run("UPDATE step SET chore = 0 WHERE chore = 1").await;
}

/// Else it would stand still until that time comes.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_touched_by_a_clock_that_was_ahead_is_mended() {
    let house = House::new().await;
    let new = workflow(&house.env, None, vec![step("a", 1, &[]), step("b", 1, &["a"])]);
    house.start(&new).await;
    let claimed = house.claim(1).await;
    house.run(&settles(&claimed[0])).await;
    house.run("DELETE FROM report").await;
    house.run("UPDATE workflow SET quiet_since = quiet_since + 3600000").await;
    house.sweep().await;
    assert_eq!(house.states(&new.members[1..]).await, [State::Ready]);
}

/// One that still runs is no reason to count a group of thousands anew, again and again.
#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_with_a_member_that_can_end_is_not_counted_again() {
    let house = House::new().await;
    let new = workflow(&house.env, None, vec![step("g", 2, &[]), step("b", 1, &["g"])]);
    house.start(&new).await;
    let mut claimed = house.claim(2).await;
    house.time.advance(STILL);
    house.sweep().await;
    // Counted once by now; that a report is lost is seen when the other has ended, too.
    house.run(&settles(&claimed.remove(0))).await;
    house.run("DELETE FROM report").await;
    house.time.advance(STILL);
    house.sweep().await;
    house.succeed(claimed).await;
    house.time.advance(STILL);
    house.sweep().await;
    assert_eq!((house.tally(new.id, 0).await.succeeded, house.word(new.id, 1).await), (2, StepWord::Running));
}

/// What is known of one branch says nothing of the others.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_was_lost_in_one_branch_is_found_while_another_runs() {
    let house = House::new().await;
    let new = workflow(&house.env, None, vec![step("a", 1, &[]), step("long", 1, &[]), step("b", 1, &["a"])]);
    house.start(&new).await;
    let claimed = house.claim(2).await;
    house.time.advance(STILL);
    house.sweep().await;
    let witnesses = "SELECT count(witness) FROM step";
    assert_eq!(house.sql.query_one(witnesses, &[]).await.unwrap().get::<_, i64>(0), 2, "of those that go");
    let a = claimed.iter().find(|claimed| claimed.lease.id == new.members[0].id).unwrap();
    house.run(&settles(a)).await;
    house.run("DELETE FROM report").await;
    house.time.advance(STILL);
    house.sweep().await;
    assert_eq!((house.word(new.id, 0).await, house.word(new.id, 2).await), (StepWord::Succeeded, StepWord::Running));
}

/// However it came there: by damage, or by a program that is newer.
#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_that_can_not_be_read_holds_up_no_other() {
    let house = House::new().await;
    let (broken, whole, lost) = (chain(&house.env, None), chain(&house.env, None), chain(&house.env, None));
    for new in [&broken, &whole, &lost] {
        house.start(new).await;
    }
    for claimed in house.claim(3).await {
        house.run(&settles(&claimed)).await;
    }
    let (broken_id, lost_id) = (broken.id.as_uuid(), lost.id.as_uuid());
    let breaks = "UPDATE step SET spec = '{}', chore = 3 WHERE workflow = $1";
    assert_eq!(house.sql.execute(breaks, &[&broken_id]).await.unwrap(), broken.steps.len() as u64);
    house.sql.execute("DELETE FROM report WHERE workflow = $1", &[&lost_id]).await.unwrap();
    house.sweep().await;
    assert_eq!(house.word(whole.id, 1).await, StepWord::Running);
    house.time.advance(STILL);
    house.sweep().await;
    assert_eq!(house.word(lost.id, 1).await, StepWord::Running);
    let order = house.store.order_workflow(broken.id, Order::Cancel).await.unwrap_err();
    assert_eq!(order.kind(), StoreErrorKind::Corrupt);
    let told: i64 = house.sql.query_one("SELECT count(*) FROM report WHERE workflow = $1", &[&broken_id]).await.unwrap().get(0);
    assert_eq!(told, 1, "it is kept until somebody has mended it");
    let pending = house.store.pending(&["default".to_owned()], Duration::ZERO).await.unwrap();
    assert!(pending.held && !pending.scheduled, "nobody drains on for what goes on by no sweep: {pending:?}");
}

/// By a newer program, and what would follow from it nobody here can say.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_in_a_state_that_nobody_knows_is_left_alone() {
    let house = House::new().await;
    let (strange, whole) = (chain(&house.env, None), chain(&house.env, None));
    house.start(&strange).await;
    house.start(&whole).await;
    let id = strange.id.as_uuid();
    house.sql.execute("UPDATE step SET state = 9 WHERE workflow = $1 AND number = 0", &[&id]).await.unwrap();
    for claimed in house.claim(2).await {
        house.run(&settles(&claimed)).await;
    }
    house.sweep().await;
    house.time.advance(STILL);
    house.sweep().await;
    assert_eq!(house.word(whole.id, 1).await, StepWord::Running);
    let told = "SELECT count(*), (SELECT state FROM step WHERE workflow = $1 AND number = 0) FROM report WHERE workflow = $1";
    let row = house.sql.query_one(told, &[&id]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i16>(1)), (1, 9), "what was told is kept for whoever knows it");
    let ordered = house.store.order_workflow(strange.id, Order::Cancel).await.unwrap_err();
    let retried = house.store.retry_workflow(strange.id, Retry::All.into()).await.unwrap_err();
    for error in [house.store.workflow(strange.id).await.unwrap_err(), ordered, retried] {
        assert_eq!(error.kind(), StoreErrorKind::Corrupt);
        assert!(error.to_string().contains("which this version does not know"), "{error}");
    }
    let pending = house.store.pending(&["default".to_owned()], Duration::ZERO).await.unwrap();
    assert!(pending.held && !pending.scheduled, "nobody drains on for what goes on by no sweep: {pending:?}");
    house.sql.execute("UPDATE step SET state = 1 WHERE workflow = $1 AND number = 0", &[&id]).await.unwrap();
    house.sweep().await;
    assert_eq!(house.word(strange.id, 1).await, StepWord::Running);
}

/// From the sweep that counts anew, and from the one that cancels what is late, which is not to begin at once again for them either.
#[tokio::test(flavor = "multi_thread")]
async fn workflows_that_can_not_be_read_hide_no_others() {
    let house = House::new().await;
    let strange = "WITH made AS (
        INSERT INTO workflow(id, retention, created_at, quiet_since, name, tags, definition, deadline_at)
        SELECT gen_random_uuid(), 0, 0, 0, 'w', '[]', '{}', 1800000000000 FROM generate_series(1, 300) RETURNING id
      ) INSERT INTO step(workflow, number, members, state, closed, spec)
        SELECT id, 0, 1, 9, true, '{\"name\":\"a\",\"kind\":\"mail\",\"role\":\"work\"}' FROM made";
    assert_eq!(house.run(strange).await, 300);
    let lost = chain(&house.env, None);
    house.start(&lost).await;
    let open = StepDraft { open: true, ..step("o", 0, &[]) };
    let late = NewWorkflow { deadline: Some(Duration::from_secs(1)), ..workflow(&house.env, None, vec![open]) };
    house.start(&late).await;
    let claimed = house.claim(1).await.remove(0);
    house.run(&settles(&claimed)).await;
    house.run("DELETE FROM report").await;
    house.time.advance(STILL);
    let mut sweeps = 0;
    while house.word(lost.id, 1).await != StepWord::Running || !house.store.workflow(late.id).await.unwrap().unwrap().overdue {
        house.sweep().await;
        sweeps += 1;
        assert!(sweeps < 10, "they are hidden");
    }
    let next = within(house.store.sweep(1_000)).await.unwrap().next_due;
    assert_ne!(next, Some(Duration::ZERO), "nobody sweeps without a pause for what can't be read");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_tells_of_workflows_that_no_sweep_looks_at() {
    let house = House::new().await;
    let new = chain(&house.env, None);
    house.start(&new).await;
    let told = async || {
        let findings = house.store.check().await.unwrap();
        findings.into_iter().find(|finding| finding.code == "workflows").unwrap().severity
    };
    assert_eq!(told().await, Severity::Ok);
    house.time.advance(20 * STILL);
    assert_eq!(told().await, Severity::Warning);
    house.sweep().await;
    assert_eq!(told().await, Severity::Ok);
}
