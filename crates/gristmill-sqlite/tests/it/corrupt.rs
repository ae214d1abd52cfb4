use gristmill_core::{FailureReason, RetryOutcome, Severity, State, Store};

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
