//! Schedules in the caller's own transactions on PostgreSQL, and a beat beside them.
#![expect(clippy::disallowed_methods, reason = "what a test spawns ends with the test's runtime")]

use std::time::Duration;

use gristmill::beat::{Definition, Deleted, Overlap, Rescheduled, ScheduleError, Scheduled};
use gristmill::schedule::{Rule, Timing};
use gristmill::{Client, Timestamp};
use tokio_postgres::NoTls;

use crate::bank::{Home, database};
use crate::support::within;

const SECOND: Duration = Duration::from_secs(1);

async fn connect() -> tokio_postgres::Client {
    let (conn, work) = tokio_postgres::connect(&database(), NoTls).await.unwrap();
    tokio::spawn(work);
    conn
}

fn every_second() -> Definition {
    let args = serde_json::json!({"via": "Store", "then": "Succeed"});
    Definition::named(Rule::every(SECOND), "book", args).overlap(Overlap::Allow)
}

fn once(at: Timestamp) -> Definition {
    let mut definition = every_second();
    definition.timing = at.into();
    definition
}

async fn next(client: &Client, name: &str) -> Option<Timestamp> {
    client.schedules().get(name).await.unwrap().and_then(|record| record.next)
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_join_a_transaction_of_tokio_postgres() {
    let home = Home::new().await;
    let (client, mut conn) = (&home.client, connect().await);
    let (one, two): (Timestamp, Timestamp) = ("2127-01-01T00:00:00Z".parse().unwrap(), "2127-01-02T00:00:00Z".parse().unwrap());
    for commits in [false, true] {
        let tx = conn.transaction().await.unwrap();
        assert_eq!(client.schedules().put("close", once(one)).within(&tx).await.unwrap(), Scheduled::Created);
        let moved = client.schedules().reschedule("close", two).within(&tx).await.unwrap();
        assert_eq!(moved, Rescheduled::Moved { from: Some(one), to: two });
        let refused = client.schedules().create("close", every_second()).within(&tx).await;
        assert!(matches!(refused, Err(ScheduleError::Exists { .. })), "{refused:?}");
        assert_eq!(next(client, "close").await, None, "not before the commit");
        if commits {
            tx.commit().await.unwrap()
        } else {
            tx.rollback().await.unwrap()
        }
        assert_eq!(next(client, "close").await, commits.then_some(two));
    }
    let tx = conn.transaction().await.unwrap();
    let removed = client.schedules().delete("close").within(&tx).await.unwrap();
    assert_eq!(removed, Deleted::Deleted { next: Some(two), last_task: None });
    tx.commit().await.unwrap();
    assert_eq!(client.schedules().delete("close").await.unwrap(), Deleted::NotFound);
    home.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_join_a_transaction_of_sqlx() {
    let home = Home::new().await;
    let client = &home.client;
    for commits in [false, true] {
        let mut tx = home.bank.pool.begin().await.unwrap();
        assert_eq!(client.schedules().put("s", every_second()).within(&mut tx).await.unwrap(), Scheduled::Created);
        if commits {
            tx.commit().await.unwrap()
        } else {
            tx.rollback().await.unwrap()
        }
        assert_eq!(next(client, "s").await.is_some(), commits);
    }
    home.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_stays_open_holds_up_its_own_schedule_only() {
    let home = Home::new().await;
    let (client, mut conn) = (&home.client, connect().await);
    client.schedules().put("held", every_second()).await.unwrap();
    client.schedules().put("free", every_second()).await.unwrap();
    let tx = conn.transaction().await.unwrap();
    let later = Timing::new(Rule::every(SECOND * 3_600));
    client.schedules().reschedule("held", later).within(&tx).await.unwrap();
    let beat = client.beat().await.unwrap();
    let ticks = async |name: &str| client.schedules().history(name, None, 100).await.unwrap().items.len();
    within(async {
        while ticks("free").await < 3 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(ticks("held").await, 0, "its ticks wait for the end of the transaction");
    tx.commit().await.unwrap();
    let before = ticks("free").await;
    within(async {
        while ticks("free").await < before + 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(ticks("held").await, 0, "and then it has others");
    beat.stop().await;
    home.close().await;
}
