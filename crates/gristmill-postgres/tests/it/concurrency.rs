//! Slots of keys on a server: lost wake-ups, open transactions, and who looks.

use gristmill_core::concurrency::{KeyLimits as _, Need};
use gristmill_core::{CancelOutcome, Hold, NewTask, Overrides, Source as _, State, Store as _, TaskId, TaskMeta, Wake};

use crate::common::{client, task};
use crate::workflows::{House, within};

impl House {
    fn keyed(&self, key: &str, limit: u32) -> NewTask {
        let needs = vec![Need { key: key.to_owned(), limit, cost: 1, until_ended: false }];
        let meta = Some(Box::new(TaskMeta { needs, ..TaskMeta::default() }));
        NewTask { meta, hold: Hold { limited: true, ..Hold::NONE }, ..task(&self.env, "mail", Overrides::default()) }
    }

    async fn keyed_tasks(&self, count: usize) -> Vec<TaskId> {
        let tasks: Vec<_> = (0..count).map(|_| self.keyed("a", 1)).collect();
        let ids = tasks.iter().map(|task| task.id).collect();
        within(self.store.enqueue(tasks)).await.unwrap();
        ids
    }

    async fn standing(&self, ids: &[TaskId]) -> Vec<State> {
        let mut states = Vec::new();
        for id in ids {
            states.push(self.store.get(*id).await.unwrap().unwrap().state);
        }
        states
    }
}

/// Whatever was forgotten, as a process died at it or one of an earlier version has ended a task.
#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_finds_what_nobody_was_told() {
    let house = House::new().await;
    let ids = house.keyed_tasks(3).await;
    let forget = "DELETE FROM touched";
    // A slot of which the holder is gone.
    house.run("DELETE FROM ready").await;
    house.run(forget).await;
    house.sweep().await;
    assert_eq!(house.standing(&ids[1..]).await, [State::Ready, State::Waiting]);
    // A slot that was given back, and nobody heard of it.
    house.run("DELETE FROM ready").await;
    house.run("DELETE FROM slot").await;
    house.run(forget).await;
    house.sweep().await;
    assert_eq!(house.standing(&ids[2..]).await, [State::Ready]);
    // One that stands in no line.
    let ids = house.keyed_tasks(2).await;
    assert_eq!(house.standing(&ids).await, [State::Waiting; 2]);
    house.run("DELETE FROM standby").await;
    house.run("DELETE FROM ready").await;
    house.run("DELETE FROM slot").await;
    house.run(forget).await;
    house.sweep().await;
    assert_eq!(house.standing(&ids).await, [State::Ready, State::Waiting]);
    house.sweep().await;
    assert_eq!((house.count("touched").await, house.count("slot").await), (0, 1));
}

/// One that a caller's transaction brings takes no slot before its commit, and holds up nobody.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_that_enqueues_holds_up_nobody() {
    let house = House::new().await;
    // The first use of the names of its queue and type.
    within(house.store.enqueue(vec![house.keyed("b", 1)])).await.unwrap();
    house.run("DELETE FROM ready").await;
    let mine = house.keyed("a", 1);
    let row = serde_json::to_string(&[gristmill_core::kit::row::NewRow::of(&mine)]).unwrap();
    let caller = client().await;
    caller.batch_execute("BEGIN").await.unwrap();
    let insert = format!("SELECT {}.insert_tasks($1::text::jsonb)", house.schema.0);
    caller.execute(&insert, &[&row]).await.unwrap();
    let others = house.keyed_tasks(2).await;
    assert_eq!(house.standing(&others).await, [State::Ready, State::Waiting]);
    let claimed = house.claim(1).await;
    caller.batch_execute("COMMIT").await.unwrap();
    house.succeed(claimed).await;
    house.sweep().await;
    assert_eq!(house.standing(&[mine.id]).await, [State::Ready], "it came first");
    assert_eq!(house.standing(&others).await, [State::Succeeded, State::Waiting]);
}

/// One that somebody has in hand is passed over, and its key goes on.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_that_cancels_holds_up_nobody() {
    let house = House::new().await;
    let ids = house.keyed_tasks(3).await;
    let caller = client().await;
    caller.batch_execute("BEGIN").await.unwrap();
    let cancel = format!("SELECT {}.cancel_tasks(ARRAY[$1::uuid])", house.schema.0);
    caller.execute(&cancel, &[&ids[1].as_uuid()]).await.unwrap();
    let claimed = house.claim(1).await;
    within(house.succeed(claimed)).await;
    within(house.sweep()).await;
    assert_eq!(house.standing(&ids).await, [State::Succeeded, State::Waiting, State::Ready]);
    caller.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(house.store.cancel(&ids[2..]).await.unwrap(), [CancelOutcome::Cancelled]);
    within(house.sweep()).await;
    assert_eq!(house.standing(&ids[1..]).await, [State::Ready, State::Cancelled]);
}

/// A key that somebody has locked by hand is left, and all others go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_locked_holds_up_no_other() {
    let house = House::new().await;
    house.store.set_limit("a", Some(1)).await.unwrap();
    let caller = house.open("SELECT FROM key WHERE key = 'a' FOR UPDATE").await;
    let other = house.keyed("b", 1);
    let ids = [house.keyed("a", 1), other];
    let all: Vec<TaskId> = ids.iter().map(|task| task.id).collect();
    within(house.store.enqueue(ids.to_vec())).await.unwrap();
    assert_eq!(house.standing(&all).await, [State::Waiting, State::Ready]);
    caller.batch_execute("ROLLBACK").await.unwrap();
    within(house.sweep()).await;
    assert_eq!(house.standing(&all).await, [State::Ready; 2]);
}

/// As soon as the commit is seen, without a sweep.
#[tokio::test(flavor = "multi_thread")]
async fn an_idle_worker_sees_what_a_callers_transaction_has_brought() {
    let house = House::new().await;
    let mine = house.keyed("a", 1);
    let row = serde_json::to_string(&[gristmill_core::kit::row::NewRow::of(&mine)]).unwrap();
    let caller = client().await;
    let insert = format!("SELECT {}.insert_tasks($1::text::jsonb)", house.schema.0);
    house.claim(1).await;
    caller.execute(&insert, &[&row]).await.unwrap();
    within(async {
        while house.standing(&[mine.id]).await != [State::Ready] {
            house.store.wait(Wake::Ready, std::time::Duration::from_millis(100)).await;
            assert!(house.claim(0).await.is_empty());
        }
    })
    .await;
}
