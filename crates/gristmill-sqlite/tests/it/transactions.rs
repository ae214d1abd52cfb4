use gristmill_core::{
    Claimed, EnqueueOutcome, LeaseRef, NewTask, Note, SettleWithin, Settled, Settlement, Source, State, Store, StoreError,
    StoreErrorKind, Within,
};
use gristmill_sqlite::Rusqlite;
use rusqlite::{Connection, TransactionBehavior};

use crate::common::{Fixture, success};

type Inserted = Result<Vec<EnqueueOutcome>, StoreError>;

fn insert<W>(fixture: &Fixture, within: W, tasks: Vec<NewTask>) -> Inserted
where
    W: Within<Rusqlite, Doing<Vec<EnqueueOutcome>> = std::future::Ready<Inserted>>,
{
    within.insert(&*fixture.store, tasks).into_inner()
}

fn settle(fixture: &Fixture, conn: &Connection, claimed: &Claimed) -> Result<Settled, StoreError> {
    conn.settle(&*fixture.store, success(claimed)).into_inner()
}

#[tokio::test]
async fn tasks_live_and_die_with_the_callers_transaction() {
    let fixture = Fixture::new();
    let mut conn = fixture.raw();
    let (kept, dropped) = (fixture.task("mail"), fixture.task("mail"));
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    let outcomes = insert(&fixture, &tx, vec![kept.clone(), kept.clone()]).unwrap();
    assert_eq!(outcomes, [EnqueueOutcome::Created, EnqueueOutcome::Exists(kept.id)]);
    assert_eq!(fixture.state(&kept).await, None, "not before the commit");
    tx.commit().unwrap();
    assert_eq!(fixture.state(&kept).await, Some(State::Ready));

    conn.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(insert(&fixture, &conn, vec![dropped.clone()]).unwrap(), [EnqueueOutcome::Created]);
    conn.execute_batch("ROLLBACK").unwrap();
    assert_eq!(fixture.state(&dropped).await, None);
}

#[test]
fn a_database_without_our_tables_is_named_as_such() {
    let fixture = Fixture::new();
    let conn = Connection::open_in_memory().unwrap();
    let error = insert(&fixture, &conn, vec![fixture.task("mail")]).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::NotOurs);
    assert!(error.to_string().contains("no tables of gristmill"), "{error}");
}

#[tokio::test]
async fn an_effect_and_its_settlement_commit_together_or_not_at_all() {
    let fixture = Fixture::new();
    let worker = fixture.worker(&["mail"]).await;
    fixture.raw().execute_batch("CREATE TABLE effect(n INTEGER)").unwrap();
    let mail = fixture.task("mail");
    fixture.store.enqueue(vec![mail.clone()]).await.unwrap();
    let claimed = fixture.claim(worker, 1).await;
    let effects = || -> i64 { fixture.raw().query_row("SELECT count(*) FROM effect", [], |row| row.get(0)).unwrap() };

    let failed: Result<(), StoreError> = fixture.store.transaction(|conn| {
        conn.execute("INSERT INTO effect VALUES (1)", []).unwrap();
        assert_eq!(settle(&fixture, conn, &claimed[0])?, Settled::Done(State::Succeeded));
        Err(StoreError::new(StoreErrorKind::Other, "changed my mind"))
    });
    assert_eq!(failed.unwrap_err().to_string(), "changed my mind");
    assert_eq!((effects(), fixture.state(&mail).await), (0, Some(State::Running)));

    let store = fixture.store.clone();
    let panicked = std::thread::spawn(move || {
        store.transaction(|conn| -> Result<(), StoreError> {
            conn.execute("INSERT INTO effect VALUES (1)", []).unwrap();
            panic!("in the middle")
        })
    });
    assert!(panicked.join().is_err());
    assert_eq!(effects(), 0);

    let settled: Result<_, StoreError> = fixture.store.transaction(|conn| {
        conn.execute("INSERT INTO effect VALUES (1)", []).unwrap();
        settle(&fixture, conn, &claimed[0])
    });
    assert_eq!(settled.unwrap(), Settled::Done(State::Succeeded));
    assert_eq!((effects(), fixture.state(&mail).await), (1, Some(State::Succeeded)));

    // The same fence again: somebody has settled it, and nothing changes.
    let stale: Result<_, StoreError> = fixture.store.transaction(|conn| settle(&fixture, conn, &claimed[0]));
    assert_eq!(stale.unwrap(), Settled::LeaseLost);
    let held: Result<_, StoreError> = fixture.store.transaction(|conn| conn.hold(&*fixture.store, claimed[0].lease).into_inner());
    assert!(!held.unwrap(), "nor is there a lease to hold");
}

#[tokio::test]
async fn a_child_that_is_refused_undoes_the_settlement_and_says_which() {
    let fixture = Fixture::new();
    let worker = fixture.worker(&["mail"]).await;
    let (mail, other) = (fixture.task("mail"), fixture.task("other"));
    fixture.store.enqueue(vec![mail.clone(), other.clone()]).await.unwrap();
    let claimed = fixture.claim(worker, 1).await;
    let (first, refused) = (fixture.task("first"), NewTask { id: other.id, ..fixture.task("mail") });
    let settlement = Settlement { children: [first.clone(), refused].into(), ..success(&claimed[0]) };
    let kept: Result<(), StoreError> = fixture.store.transaction(|conn| {
        let error = conn.settle(&*fixture.store, settlement.clone()).into_inner().unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Invalid);
        assert!(error.to_string().contains(&other.id.to_string()), "{error}");
        // Whoever commits nevertheless has not settled it.
        Ok(())
    });
    kept.unwrap();
    assert_eq!((fixture.state(&first).await, fixture.state(&mail).await), (None, Some(State::Running)));
    let settled: Result<_, StoreError> = fixture.store.transaction(|conn| settle(&fixture, conn, &claimed[0]));
    assert_eq!(settled.unwrap(), Settled::Done(State::Succeeded));
}

#[tokio::test]
async fn names_given_for_children_that_were_refused_are_not_remembered() {
    let fixture = Fixture::new();
    let worker = fixture.worker(&["mail"]).await;
    let (mail, other) = (fixture.task("mail"), fixture.task("mail"));
    fixture.store.enqueue(vec![mail.clone(), other.clone()]).await.unwrap();
    let claimed = fixture.claim(worker, 2).await;
    let doomed = NewTask { queue: "doomed".to_owned(), ..fixture.task("huge") };
    let refused = NewTask { id: other.id, ..fixture.task("tiny") };
    let settlement = Settlement { children: [doomed, refused].into(), ..success(&claimed[0]) };
    assert_eq!(fixture.store.settle(vec![settlement]).await.unwrap(), [Settled::Done(State::Failed)]);
    let small = NewTask { queue: "next".to_owned(), ..fixture.task("tiny") };
    let last = NewTask { queue: "doomed".to_owned(), ..fixture.task("huge") };
    fixture.store.enqueue(vec![small.clone(), last.clone()]).await.unwrap();
    for task in [small, last] {
        let record = fixture.store.get(task.id).await.unwrap().unwrap();
        assert_eq!((record.queue, record.kind), (task.queue, task.kind));
    }
}

/// Asking whether a claim still holds keeps nothing, and so is no reason for a commit.
#[tokio::test]
async fn whoever_only_asks_for_its_lease_writes_nothing() {
    let fixture = Fixture::new();
    let worker = fixture.worker(&["mail"]).await;
    fixture.store.enqueue(vec![fixture.task("mail")]).await.unwrap();
    let lease = fixture.claim(worker, 1).await[0].lease;
    let raw = fixture.raw();
    let commits = || -> i64 { raw.query_row("PRAGMA data_version", [], |row| row.get(0)).unwrap() };
    let before = commits();
    let ask = async |lease| fixture.store.note(vec![Note { lease, logs: None, progress: None }]).await.unwrap();
    assert_eq!(ask(lease).await, [true]);
    assert_eq!(ask(LeaseRef { fence: fixture.env.fence(), ..lease }).await, [false]);
    assert_eq!(commits(), before);
    let said = Note { lease, logs: Some("at it".to_owned()), progress: None };
    assert_eq!(fixture.store.note(vec![said]).await.unwrap(), [true]);
    assert_ne!(commits(), before);
    assert_eq!(ask(lease).await, [true]);
    let task = fixture.store.get(lease.id).await.unwrap().unwrap();
    assert_eq!(task.attempts[0].logs.as_deref(), Some("at it"), "what was kept stays");
}
