use gristmill_core::{FailureReason, RetryOutcome, Severity, Source, State, Store};

use crate::common::{Fixture, succeed};

#[tokio::test]
async fn a_task_that_cannot_be_read_is_set_aside_and_the_queue_goes_on() {
    let fixture = Fixture::new();
    let worker = fixture.worker(&["mail"]).await;
    let tasks: Vec<_> = (0..5).map(|_| fixture.task("mail")).collect();
    fixture.store.enqueue(tasks.clone()).await.unwrap();
    fixture
        .raw()
        .execute_batch(
            "DELETE FROM gristmill_task WHERE seq = 1;
             UPDATE gristmill_task SET meta = '{\"tags\": 7' WHERE seq = 2;
             UPDATE gristmill_task SET args = CAST(x'7bff7d' AS TEXT) WHERE seq = 3;
             UPDATE gristmill_ready SET kind = 77 WHERE seq = 4;",
        )
        .unwrap();
    let claimed = fixture.claim(worker, 10).await;
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].lease.id, tasks[4].id);
    succeed(&fixture.store, &claimed).await;

    assert!(fixture.store.get(tasks[0].id).await.unwrap().is_none());
    for task in &tasks[1..4] {
        let record = fixture.store.get(task.id).await.unwrap().unwrap();
        assert_eq!(record.state, State::Failed, "whoever waits for it learns that it will not run");
        assert_eq!(record.error.unwrap().reason, FailureReason::Corrupt);
    }
    let reasons: i64 =
        fixture.raw().query_row("SELECT count(DISTINCT reason) FROM gristmill_aside", [], |row| row.get(0)).unwrap();
    assert_eq!(reasons, 4);
    let findings = fixture.store.check().await.unwrap();
    assert!(findings.iter().any(|finding| finding.code == "aside" && finding.severity == Severity::Error), "{findings:?}");
}

#[tokio::test]
async fn a_task_that_was_mended_can_be_retried() {
    let fixture = Fixture::new();
    let worker = fixture.worker(&["mail"]).await;
    let mail = fixture.task("mail");
    fixture.store.enqueue(vec![mail.clone()]).await.unwrap();
    fixture.raw().execute_batch("UPDATE gristmill_task SET meta = 'oops'").unwrap();
    assert!(fixture.claim(worker, 1).await.is_empty());
    fixture.raw().execute_batch("UPDATE gristmill_task SET meta = NULL").unwrap();
    assert_eq!(fixture.store.retry(&[mail.id]).await.unwrap(), [RetryOutcome::Ready]);
    succeed(&fixture.store, &fixture.claim(worker, 1).await).await;
}

#[tokio::test]
async fn text_that_is_not_utf8_harms_no_other_row() {
    let fixture = Fixture::new();
    let worker = fixture.worker(&["mail", "gone"]).await;
    let tasks: Vec<_> = ["mail", "gone", "mail"].iter().map(|kind| fixture.task(kind)).collect();
    fixture.store.enqueue(tasks.clone()).await.unwrap();
    let first = fixture.claim(worker, 1).await;
    succeed(&fixture.store, &first).await;
    fixture
        .raw()
        .execute_batch(
            "UPDATE gristmill_outcome SET result = CAST(x'22ff22' AS TEXT), logs = CAST(x'61ff' AS TEXT), worker = CAST(x'ff' AS TEXT);
             UPDATE gristmill_kind SET name = CAST(x'67ff' AS TEXT) WHERE name = 'gone';
             INSERT INTO gristmill_queue(name) VALUES (CAST(x'ff' AS TEXT));",
        )
        .unwrap();
    // Another handle, which has cached no name.
    let store = fixture.again("");
    let record = store.get(tasks[0].id).await.unwrap().unwrap();
    assert_eq!(record.result.as_deref(), Some("\"\u{fffd}\""));
    assert_eq!(record.attempts[0].logs.as_deref(), Some("a\u{fffd}"));
    assert_eq!(store.get(tasks[1].id).await.unwrap().unwrap().kind, "g\u{fffd}");
    let all = store.list(&gristmill_core::Filter::default(), None, 10).await.unwrap();
    assert_eq!(all.items.len(), 3);
    assert_eq!(store.queues().await.unwrap().len(), 2);
    assert_eq!(store.kinds().await.unwrap().len(), 2);
    assert_eq!(store.retry(&[tasks[0].id]).await.unwrap(), [RetryOutcome::Ready]);

    let worker = crate::common::enter(&store, &fixture.env, &["mail"]).await;
    fixture.clock.advance(std::time::Duration::from_secs(20));
    let claimed = crate::common::claim(&store, &fixture.env, worker, 10).await;
    assert_eq!(claimed.iter().map(|claimed| claimed.lease.id).collect::<Vec<_>>(), [tasks[0].id, tasks[2].id]);
    succeed(&store, &claimed).await;

    let findings = store.check().await.unwrap();
    let text = findings.iter().find(|finding| finding.code == "text").unwrap();
    assert_eq!(text.severity, Severity::Error);
    for named in ["3 rows", "gristmill_outcome 1", "gristmill_kind 2", "gristmill_queue 2"] {
        assert!(text.message.contains(named), "{named}: {text:?}");
    }
    assert!(findings.iter().all(|finding| finding.code != "aside" || finding.severity == Severity::Ok), "{findings:?}");
}

#[tokio::test]
async fn logs_that_are_not_utf8_do_not_keep_their_attempt_from_ending() {
    let fixture = Fixture::new();
    let worker = fixture.worker(&["mail"]).await;
    fixture.store.enqueue(vec![fixture.task("mail")]).await.unwrap();
    let claimed = fixture.claim(worker, 1).await;
    let note = gristmill_core::Note { lease: claimed[0].lease, logs: Some("x".to_owned()), progress: None };
    fixture.store.note(vec![note]).await.unwrap();
    fixture.raw().execute_batch("UPDATE gristmill_live SET logs = CAST(x'ff' AS TEXT)").unwrap();
    succeed(&fixture.store, &claimed).await;
    let record = fixture.store.get(claimed[0].lease.id).await.unwrap().unwrap();
    assert_eq!(record.attempts[0].logs.as_deref(), Some("\u{fffd}"));
}

#[tokio::test]
async fn an_error_that_cannot_be_read_is_still_an_error() {
    let fixture = Fixture::new();
    let worker = fixture.worker(&["mail"]).await;
    fixture.store.enqueue(vec![fixture.task("mail")]).await.unwrap();
    let claimed = fixture.claim(worker, 1).await;
    let failed = gristmill_core::Settlement::new(claimed[0].lease, gristmill_core::Ending::Failed);
    let failure = Some(Box::new(gristmill_core::Failure::new(FailureReason::Error, "no such address")));
    fixture.store.settle(vec![gristmill_core::Settlement { failure, ..failed }]).await.unwrap();
    fixture.raw().execute_batch("UPDATE gristmill_outcome SET error = CAST(x'ff' AS TEXT)").unwrap();
    let record = fixture.store.get(claimed[0].lease.id).await.unwrap().unwrap();
    assert_eq!(record.error.unwrap().reason, FailureReason::Corrupt);
    assert_eq!(record.attempts[0].error.as_ref().unwrap().reason, FailureReason::Corrupt);
}
