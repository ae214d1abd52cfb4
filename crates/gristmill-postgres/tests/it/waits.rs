//! How those who wait are told on a server, and what is left of tasks deleted, although some of it can't be told, read or reached now.

use std::time::Duration;

use gristmill_core::durable::{Checkpoint, Durable as _, Kept};
use gristmill_core::workflow::{WorkflowState, Workflows as _};
use gristmill_core::{Ending, Overrides, Retention, Settlement, Source as _, State, Store as _};

use crate::durable::{event, remembers, value};
use crate::workflows::{House, STILL, cancels, within};

/// Events, of which nobody was told.
fn sent(names: &str) -> String {
    format!("INSERT INTO event(name, payload, sent_at, keep_until) SELECT name, '7', 0, 9000000000000 FROM {names}")
}

/// So many wait for `event 1` and so on, of whom nothing else is there.
fn wait(count: i64) -> String {
    format!(
        "INSERT INTO memory(task, seq, claim_no, position, occurrence, code, name, text, awaits)
         SELECT gen_random_uuid(), 0, 1, 0, 0, 4, 'w', 'event ' || n, 'event:event ' || n FROM generate_series(1, {count}) AS n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_that_can_not_be_read_keeps_no_other_from_being_cancelled() {
    let house = House::new().await;
    let mut all = [house.waits_for_workflow().await, house.waits_for_workflow().await];
    all.sort_unstable_by_key(|(_, of)| of.as_uuid());
    let (broken, whole) = (all[0].1, all[1].1);
    house.sql.execute("UPDATE step SET spec = '{}' WHERE workflow = $1", &[&broken.as_uuid()]).await.unwrap();
    house.store.cancel(&[all[0].0, all[1].0]).await.unwrap();
    house.sweep().await;
    assert_ne!(house.store.workflow(whole).await.unwrap().unwrap().state, WorkflowState::Running);
    assert_eq!(house.count("memory WHERE child").await, 0, "nobody comes back to it in vain");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_can_not_be_told_now_hold_up_none_behind_them_and_keep_nobody_busy() {
    let house = House::new().await;
    house.run(&wait(1_000)).await;
    let id = house.waits_for("go").await;
    house.run(&sent("(SELECT 'event ' || generate_series(1, 1000) UNION ALL SELECT 'go') AS x(name)")).await;
    let somebody = house.open("SELECT FROM memory WHERE awaits <> 'event:go' FOR UPDATE").await;
    let mut promotions = 0;
    while house.state(id).await != State::Ready {
        within(house.store.promote(1_000)).await.unwrap();
        promotions += 1;
        assert!(promotions < 5, "it is held up");
    }
    let due = within(house.store.promote(1_000)).await.unwrap().next_due;
    assert_ne!(due, Some(Duration::ZERO), "nobody looks again without a pause");
    somebody.batch_execute("ROLLBACK").await.unwrap();
    for _ in 0..3 {
        within(house.store.promote(1_000)).await.unwrap();
    }
    assert_eq!(house.count("event WHERE NOT told").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_can_not_be_told_holds_up_no_other() {
    let house = House::new().await;
    let (bad, good) = (house.waits_for("a").await, house.waits_for("b").await);
    house
        .sql
        .batch_execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'it is damaged'; END$$;
             CREATE TRIGGER refuse BEFORE UPDATE ON memory FOR EACH ROW WHEN (OLD.text = 'a') EXECUTE FUNCTION refuse()",
        )
        .await
        .unwrap();
    house.run(&sent("(VALUES ('a'), ('b')) AS x(name)")).await;
    within(house.store.promote(1_000)).await.unwrap();
    assert_eq!((house.state(bad).await, house.state(good).await), (State::Scheduled, State::Ready));
    // Whoever walks meets it, too.
    let lost = house.waits_for("c").await;
    house.run(&sent("(VALUES ('c')) AS x(name)")).await;
    house.run("UPDATE event SET told = true").await;
    house.sweep().await;
    assert_eq!((house.state(bad).await, house.state(lost).await), (State::Scheduled, State::Ready));
    house.run("DROP TRIGGER refuse ON memory").await;
    house.sweep().await;
    assert_eq!((house.state(bad).await, house.kept(bad).await), (State::Ready, value()));
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_wait_for_events_a_lost_end_of_a_workflow_is_found_at_once() {
    let house = House::new().await;
    house.run(&wait(10_000)).await;
    let (id, _) = house.waits_for_workflow().await;
    house.run("UPDATE workflow SET ended = 1, finished_at = 0").await;
    house.sweep().await;
    assert_eq!(house.state(id).await, State::Ready);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_tasks_and_events_is_deleted_as_fast_as_it_may_come() {
    let house = House::new().await;
    house.run(&wait(5_500)).await;
    house.store.send_event(event("short").kept_for(Duration::ZERO)).await.unwrap();
    assert_eq!(house.store.prune(10_000).await.unwrap(), 1, "whoever prunes goes on with what there is");
    assert_eq!(house.count("memory").await, 0);
    // With its task, not after it.
    let kept = Retention::For(Duration::from_secs(1));
    let lease = house.claimed(Overrides { retention: Some(kept), ..Overrides::default() }).await;
    let memories = vec![remembers(Kept::Value("1".to_owned()))];
    house.store.checkpoint(Checkpoint { memories, ..Checkpoint::new(lease) }).await.unwrap();
    house.sql.batch_execute(&cancels(lease.id)).await.unwrap();
    house.store.settle(vec![Settlement::new(lease, Ending::Cancelled)]).await.unwrap();
    house.time.advance(Duration::from_secs(5));
    assert_eq!(house.store.prune(10_000).await.unwrap(), 1);
    assert_eq!((house.count("task").await, house.count("memory").await), (0, 0));
    house.time.advance(STILL);
    assert_eq!(house.store.prune(10_000).await.unwrap(), 0);
}
