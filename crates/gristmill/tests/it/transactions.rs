//! Transactional tasks on PostgreSQL, with each driver, through the whole engine.

use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::Duration;

use gristmill::Handle;
use gristmill::core::failpoint;
use gristmill::error::FailureReason;
use gristmill::record::State;
use gristmill::testing::Harness;

use crate::bank::{Bank, Book, BookAnyway, BookOwn, BookPooled, EACH, End, Home, Then, Via, database, url_of};
use crate::cut::CutAtCommit;
use crate::support::within;

/// How a task ended, in how many attempts, and its error.
async fn end(handle: &Handle<i64>) -> (State, u32, String) {
    let ended = within(handle.ended()).await.unwrap();
    (ended.state, ended.attempt, ended.error.map_or_else(String::new, |error| error.message))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_effect_commits_with_its_success_and_a_failure_undoes_it() {
    let home = Home::new().await;
    let worker = home.client.worker().queue("default", 2).start().await.unwrap();
    for via in EACH {
        let good = home.client.enqueue(Book { via, then: Then::Succeed }).await.unwrap();
        assert_eq!(within(good.result()).await.unwrap(), 7, "{via:?}");
        assert_eq!(home.bank.entries().await, [7], "{via:?}");
        home.bank.clear().await;
        let record = good.status().await.unwrap().unwrap();
        let [attempt] = &record.attempts[..] else { panic!("{record:?}") };
        assert_eq!((record.result.as_deref(), attempt.logs.as_deref()), (Some("7"), Some("booking\n")), "{via:?}");
        assert_eq!(attempt.progress.as_ref().map(|progress| progress.done), Some(1), "{via:?}");
        assert!(attempt.started_at <= attempt.finished_at, "{via:?}: {attempt:?}");
        for (then, says) in [
            (Then::Fail, "no debts"),
            (Then::Panic, "in the middle"),
            (Then::DivideByZero, "division by zero"),
            (Then::Overlook, "an earlier statement of it failed"),
        ] {
            let bad = home.client.enqueue(Book { via, then }).await.unwrap();
            let (state, attempt, message) = end(&bad).await;
            assert_eq!((state, attempt), (State::Failed, 2), "{via:?} {then:?}: {message}");
            let record = bad.status().await.unwrap().unwrap();
            assert!(format!("{:?}", record.error).contains(says), "{via:?} {then:?}: {record:?}");
            let logs: Vec<_> = record.attempts.iter().map(|attempt| attempt.logs.as_deref()).collect();
            assert_eq!(logs, [Some("booking\n"); 2], "they survive the rollback");
            assert_eq!(home.bank.entries().await, [0; 0], "{via:?} {then:?}");
        }
    }
    let report = worker.stop().await;
    assert_eq!((report.succeeded, report.failed, report.leases_lost), (4, 16, 0), "{report}");
    home.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_failed_attempt_wrote_is_kept_where_its_type_says_so() {
    let home = Home::new().await;
    let worker = home.client.worker().queue("default", 1).start().await.unwrap();
    for via in EACH {
        let bad = home.client.enqueue(BookAnyway { via, then: Then::Fail }).await.unwrap();
        assert_eq!(end(&bad).await, (State::Failed, 2, "no debts".to_owned()), "{via:?}");
        assert_eq!(home.bank.entries().await, [7, 7], "{via:?}: of both attempts");
        home.bank.clear().await;

        let good = home.client.enqueue(BookAnyway { via, then: Then::Succeed }).await.unwrap();
        assert_eq!(within(good.result()).await.unwrap(), 7);
        home.bank.clear().await;

        // What can't be committed is not, and the first error is still told.
        let aborted = home.client.enqueue(BookAnyway { via, then: Then::DivideByZero }).await.unwrap();
        let (_, _, message) = end(&aborted).await;
        assert!(message.contains("could not be committed: "), "{via:?}: {message}");
        let record = aborted.status().await.unwrap().unwrap();
        assert!(format!("{:?}", record.error).contains("division by zero"), "{via:?}: {record:?}");
        let panicked = home.client.enqueue(BookAnyway { via, then: Then::Panic }).await.unwrap();
        assert_eq!(end(&panicked).await.0, State::Failed);
        assert_eq!(home.bank.entries().await, [0; 0], "{via:?}");
    }
    worker.stop().await;
    home.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_savepoint_undoes_a_part_and_a_collision_is_tried_again() {
    let home = Home::new().await;
    let worker = home.client.worker().queue("default", 1).start().await.unwrap();
    for via in EACH {
        let nested = home.client.enqueue(Book { via, then: Then::Savepoint }).await.unwrap();
        assert_eq!(within(nested.result()).await.unwrap(), 7);
        assert_eq!(home.bank.entries().await, [7], "{via:?}");
        home.bank.clear().await;

        let collided = home.client.enqueue(Book { via, then: Then::Collide }).await.unwrap();
        assert_eq!(end(&collided).await, (State::Succeeded, 2, String::new()), "{via:?}");
        let record = collided.status().await.unwrap().unwrap();
        assert!(format!("{:?}", record.attempts[0].error).contains("somebody was faster"), "{record:?}");
        assert_eq!(home.bank.entries().await, [7], "{via:?}");
        home.bank.clear().await;
    }
    worker.stop().await;
    home.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_lost_the_task_commits_nothing_whatever_the_policy() {
    for via in EACH {
        let home = Home::new().await;
        for (fail, ends) in [(false, State::Succeeded), (true, State::Failed)] {
            home.bank.probe.close();
            let stale = home.client.worker().queue("default", 1).start().await.unwrap();
            let enqueue = home.client.enqueue(BookAnyway { via, then: Then::Pass { fail } });
            let handle = enqueue.max_attempts(1).await.unwrap();
            home.bank.probe.until(|seen| seen.iter().filter(|entry| *entry == "written").count() % 2 == 1).await;
            sqlx::query("UPDATE worker SET expires_at = 0, lost = true").execute(&home.bank.pool).await.unwrap();
            let other = home.client.worker().queue("default", 1).start().await.unwrap();
            assert_eq!(within(handle.ended()).await.unwrap().state, ends, "{via:?}, by the other worker");
            home.bank.probe.open();
            let lost = format!("attempt 1: the lease on task {} is lost: another worker may have it", handle.id());
            home.bank.probe.until_seen(&lost).await;
            stale.stop().await;
            other.stop().await;
            assert_eq!(home.bank.entries().await, [7], "{via:?}, once");
            home.bank.clear().await;
            let record = handle.status().await.unwrap().unwrap();
            assert_eq!((record.state, record.attempts.len()), (ends, 2), "{record:?}");
        }
        home.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_times_out_leaves_nothing_open() {
    let home = Home::new().await;
    let worker = home.client.worker().queue("default", 1).start().await.unwrap();
    for via in EACH {
        let late = home.client.enqueue(Book { via, then: Then::Hang }).timeout(Duration::from_millis(50)).max_attempts(1);
        let late = late.await.unwrap();
        assert_eq!(end(&late).await.0, State::Failed);
        assert_eq!(late.status().await.unwrap().unwrap().error.unwrap().reason, FailureReason::Timeout);
        // It would wait for a transaction that is still open.
        assert_eq!(within(home.bank.entries()).await, [0; 0], "{via:?}");
    }
    worker.stop().await;
    home.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn children_live_and_die_with_the_transaction() {
    let home = Home::new().await;
    let worker = home.client.worker().queue("default", 1).start().await.unwrap();
    for (n, via) in (1..).zip(EACH) {
        let bad = home.client.enqueue(Book { via, then: Then::Beget { fail: true } }).await.unwrap();
        assert_eq!(end(&bad).await.0, State::Failed);
        let good = home.client.enqueue(Book { via, then: Then::Beget { fail: false } }).await.unwrap();
        within(good.result()).await.unwrap();
        let children = |seen: &[String]| seen.iter().filter(|entry| *entry == "child").count();
        home.bank.probe.until(|seen| children(seen) >= n).await;
        assert_eq!(children(&home.bank.probe.seen()), n, "{via:?}: none of the failed attempts");
    }
    worker.stop().await;
    home.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_settles_in_a_transaction_of_its_own() {
    let home = Home::new().await;
    let worker = home.client.worker().queue("default", 1).start().await.unwrap();
    for (n, via) in (1..).zip([Via::SqlxPool, Via::TokioPostgres]) {
        let kept = home.client.enqueue(BookOwn { via, end: End::Commit }).await.unwrap();
        assert_eq!(within(kept.result()).await.unwrap(), 7, "{via:?}");
        assert_eq!(home.bank.entries().await, [7], "{via:?}");
        home.bank.clear().await;
        let undone = home.client.enqueue(BookOwn { via, end: End::RollBack }).await.unwrap();
        assert_eq!(within(undone.result()).await.unwrap(), 0, "{via:?}: what it returned counts");
        assert_eq!(home.bank.entries().await, [0; 0], "{via:?}");
        home.bank.probe.until(|seen| seen.len() == 2 * n).await;
    }
    let report = worker.stop().await;
    assert_eq!((report.succeeded, report.leases_lost), (8, 0), "{report}, children included");
    home.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_synchronous_call_commits_its_transaction_by_itself() {
    let home = Home::new().await;
    for via in EACH {
        assert_eq!(home.client.call(Book { via, then: Then::Succeed }).await.unwrap(), 7);
        assert_eq!(home.bank.entries().await, [7], "{via:?}");
        home.bank.clear().await;
        assert!(home.client.call(Book { via, then: Then::Fail }).await.is_err());
        assert_eq!(home.bank.entries().await, [0; 0], "{via:?}");
        assert!(home.client.call(BookAnyway { via, then: Then::Fail }).await.is_err());
        assert_eq!(home.bank.entries().await, [7], "{via:?}");
        home.bank.clear().await;
    }
    home.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_test_kit_commits_it_by_itself_too_and_never_twice() {
    let home = Home::new().await;
    let test = Harness::new(home.bank.app()).await.unwrap().twice();
    for via in EACH.into_iter().filter(|via| !matches!(via, Via::Store)) {
        let performed = test.perform(Book { via, then: Then::Succeed }).await;
        assert_eq!(performed.result, Some(7.into()), "{via:?}: {performed:?}");
        assert_eq!(home.bank.entries().await, [7], "{via:?}");
        test.client().enqueue(Book { via, then: Then::Succeed }).await.unwrap();
        assert_eq!(test.drain().await.unwrap(), 1);
        assert_eq!(home.bank.entries().await, [7, 7], "{via:?}");
        home.bank.clear().await;
    }
    home.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_in_transaction_mode_carries_them() {
    let home = Home::new().await;
    let pooled = std::env::var("GRISTMILL_TEST_PGBOUNCER").expect("GRISTMILL_TEST_PGBOUNCER names no pooler");
    let url = format!("{pooled}?schema={}&pgbouncer=true&transactions=2", home.schema);
    let client = home.bank.app().connect(&url).await.unwrap();
    let worker = client.worker().queue("default", 4).start().await.unwrap();
    let tasks: Vec<_> = (0..8).map(|_| client.enqueue(BookPooled {})).collect();
    for handle in client.enqueue_many(tasks).await {
        within(handle.unwrap().result()).await.unwrap();
    }
    worker.stop().await;
    assert_eq!(home.bank.entries().await, [7; 8]);
    home.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_to_the_commit_doubles_nothing_and_hides_no_success() {
    for via in [Via::SqlxPool, Via::TokioPostgres] {
        let proxy = CutAtCommit::start(&database()).await;
        let home = Home::by_way_of(&proxy.url).await;
        let worker = home.client.worker().queue("default", 1).start().await.unwrap();
        proxy.arm();
        let good = home.client.enqueue(Book { via, then: Then::Succeed }).await.unwrap();
        assert_eq!(end(&good).await, (State::Succeeded, 1, String::new()), "{via:?}");
        home.bank.probe.until(|seen| seen.len() == 2).await;
        assert!(home.bank.probe.seen()[1].contains("committing the task's transaction"), "{:?}", home.bank.probe.seen());
        let report = worker.stop().await;
        assert_eq!((report.succeeded, report.failed, report.leases_lost), (1, 0, 0), "{report}");
        assert_eq!(home.bank.entries().await, [7], "{via:?}");
        home.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_around_the_commit_leaves_the_effect_once() {
    for via in EACH {
        for (point, attempts) in [("settle.before_commit", 2), ("settle.after_commit", 1)] {
            let home = Home::new().await;
            let handle = home.client.enqueue(Book { via, then: Then::Succeed }).await.unwrap();
            let mut other = tokio::process::Command::new(std::env::current_exe().unwrap());
            other.args(["transactions::a_process_that_dies", "--exact", "--ignored"]);
            other.env("GRISTMILL_TEST_SCHEMA", &home.schema).env("GRISTMILL_TEST_POINT", format!("{point}=abort"));
            other.stdout(Stdio::null()).stderr(Stdio::null());
            let status = within(other.status()).await.unwrap();
            assert_eq!(status.signal(), Some(6), "{point} was not passed");
            let worker = home.client.worker().queue("default", 1).start().await.unwrap();
            assert_eq!(within(handle.result()).await.unwrap(), 7, "{via:?} {point}");
            worker.stop().await;
            assert_eq!(home.bank.entries().await, [7], "{via:?} {point}");
            let record = handle.status().await.unwrap().unwrap();
            assert_eq!(record.attempts.len(), attempts, "{via:?} {point}: {record:?}");
            home.close().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the other process of a_process_that_dies_around_the_commit_leaves_the_effect_once"]
async fn a_process_that_dies() {
    let Ok(schema) = std::env::var("GRISTMILL_TEST_SCHEMA") else { return };
    let bank = Bank::open(&schema, &database()).await;
    let client = bank.app().connect(&url_of(&schema)).await.unwrap();
    failpoint::configure(&std::env::var("GRISTMILL_TEST_POINT").unwrap()).unwrap();
    let worker = client.worker().queue("default", 1).lease(Duration::from_secs(1)).start().await.unwrap();
    within(std::future::pending::<()>()).await;
    worker.stop().await;
}
