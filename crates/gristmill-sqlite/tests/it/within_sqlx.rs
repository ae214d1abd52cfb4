use gristmill_core::{EnqueueOutcome, State, StoreErrorKind, Within};
use sqlx::{Connection, SqliteConnection};

use crate::common::Fixture;

#[tokio::test]
async fn tasks_live_and_die_with_the_callers_transaction() {
    let fixture = Fixture::new();
    let mut conn = SqliteConnection::connect(&format!("sqlite:{}", fixture.store.path().display())).await.unwrap();
    let (kept, dropped) = (fixture.task("mail"), fixture.task("mail"));
    let mut other = kept.clone();
    other.args = "{}".to_owned();
    let mut later = fixture.task("mail");
    later.delay = std::time::Duration::from_secs(3600);
    later.expires = Some(std::time::Duration::from_secs(5));

    let mut tx = conn.begin().await.unwrap();
    let tasks = vec![kept.clone(), kept.clone(), other, later.clone()];
    let outcomes = Within::insert(&mut tx, &*fixture.store, tasks).await.unwrap();
    use EnqueueOutcome::{Conflict, Created, Exists};
    assert_eq!(outcomes, [Created, Exists, Conflict, Created]);
    assert_eq!(fixture.state(&kept).await, None, "not before the commit");
    tx.commit().await.unwrap();
    assert_eq!(fixture.state(&kept).await, Some(State::Ready));
    assert_eq!(fixture.state(&later).await, Some(State::Scheduled));

    let mut tx = conn.begin().await.unwrap();
    assert_eq!(Within::insert(&mut *tx, &*fixture.store, vec![dropped.clone()]).await.unwrap(), [Created]);
    tx.rollback().await.unwrap();
    assert_eq!(fixture.state(&dropped).await, None);
}

#[tokio::test]
async fn a_database_without_our_tables_is_named_as_such() {
    let fixture = Fixture::new();
    let mut conn = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    let error = Within::insert(&mut conn, &*fixture.store, vec![fixture.task("mail")]).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::NotOurs);
    assert!(error.to_string().contains("no tables of gristmill"), "{error}");
}
