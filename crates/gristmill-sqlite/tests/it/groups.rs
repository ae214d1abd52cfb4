use std::sync::Arc;

use gristmill_core::{Claim, EnqueueOutcome, Settled, Source, State, Store, StoreErrorKind, Wanted, failpoint};

use crate::common::{FAILPOINTS, Fixture, succeed, success};

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_enqueuers_share_commits_and_each_is_answered() {
    let fixture = Arc::new(Fixture::new());
    // Whatever arrives while the file is locked is one group.
    let blocker = fixture.raw();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let fixture = fixture.clone();
        callers.spawn(async move {
            let task = fixture.task("mail");
            let outcomes = fixture.store.enqueue(vec![task.clone(), task.clone()]).await.unwrap();
            assert_eq!(outcomes, [EnqueueOutcome::Created, EnqueueOutcome::Exists(task.id)]);
            task
        });
    }
    blocker.execute_batch("ROLLBACK").unwrap();
    let tasks = callers.join_all().await;
    for task in &tasks {
        assert_eq!(fixture.state(task).await, Some(State::Ready));
    }
    let kept: i64 = fixture.raw().query_row("SELECT count(*) FROM gristmill_ready", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, 64);
}

#[tokio::test]
async fn one_refused_operation_does_not_undo_its_neighbours() {
    let fixture = Fixture::new();
    let mail = fixture.task("mail");
    let stranger = Claim {
        worker: fixture.env.worker_id(),
        fence: fixture.env.fence(),
        wanted: vec![Wanted::new("default", 1)],
        again: false,
    };
    let blocker = fixture.raw();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let release = async { blocker.execute_batch("ROLLBACK").unwrap() };
    let (refused, kept, ()) = tokio::join!(fixture.store.claim(&stranger), fixture.store.enqueue(vec![mail.clone()]), release);
    assert_eq!(refused.unwrap_err().kind(), StoreErrorKind::Invalid);
    assert_eq!(kept.unwrap(), [EnqueueOutcome::Created]);
    assert_eq!(fixture.state(&mail).await, Some(State::Ready));
}

#[tokio::test]
async fn failures_around_the_commit_are_either_nothing_or_a_lost_reply() {
    let _alone = FAILPOINTS.write().await;
    let fixture = Fixture::new();
    let worker = fixture.worker(&["failpoint"]).await;

    failpoint::configure("start.before_commit=error").unwrap();
    let task = fixture.task("failpoint");
    fixture.store.enqueue(vec![task.clone()]).await.unwrap();
    let claimed = fixture.claim(worker, 1).await;
    let leases = [claimed[0].lease];
    assert!(fixture.store.start(&leases).await.unwrap_err().is_transient());
    assert_eq!(fixture.store.start(&leases).await.unwrap(), [true]);

    failpoint::configure("release.before_commit=error;rescue.after_commit=error").unwrap();
    let error = fixture.store.leave(worker).await.unwrap_err();
    assert_eq!(error.to_string(), "failpoint release.before_commit");
    assert_eq!(fixture.state(&task).await, Some(State::Running), "nothing was written");

    fixture.clock.advance(std::time::Duration::from_secs(31));
    let error = fixture.store.sweep(10).await.unwrap_err();
    assert_eq!(error.to_string(), "failpoint rescue.after_commit");
    assert_eq!(fixture.state(&task).await, Some(State::Ready), "it was written, only the reply was lost");
    failpoint::configure("").unwrap();

    let worker = fixture.worker(&["failpoint"]).await;
    let again = fixture.claim(worker, 1).await;
    let stale = fixture.store.settle(vec![success(&claimed[0])]).await.unwrap();
    assert_eq!(stale, [Settled::LeaseLost]);
    succeed(&fixture.store, &again).await;
}

#[tokio::test]
async fn names_given_in_a_transaction_that_failed_are_not_remembered() {
    let fixture = Fixture::with("max_pages=82");
    let mut big = fixture.task("huge");
    big.queue = "doomed".to_owned();
    big.args = format!(r#"{{"text":"{}"}}"#, "x".repeat(1_000_000));
    assert_eq!(fixture.store.enqueue(vec![big]).await.unwrap_err().kind(), StoreErrorKind::Full);
    // Had the numbers been remembered, these would stand in a queue without a name.
    let mut small = fixture.task("tiny");
    small.queue = "next".to_owned();
    let mut last = fixture.task("huge");
    last.queue = "doomed".to_owned();
    fixture.store.enqueue(vec![small, last]).await.unwrap();
    let queues: Vec<_> = fixture.store.queues().await.unwrap().into_iter().map(|queue| (queue.name, queue.ready)).collect();
    assert_eq!(queues, [("doomed".to_owned(), 1), ("next".to_owned(), 1)]);
}
