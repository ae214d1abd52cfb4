//! Slots of keys on a server: lost wake-ups, open transactions, and who looks.

use std::time::Duration;

use gristmill_core::concurrency::{KeyLimits as _, Limit, Need, OnExcess, Pace};
use gristmill_core::{CancelOutcome, Hold, NewTask, Overrides, Source as _, State, Store as _, TaskId, TaskMeta, Wake};

use crate::common::{client, task};
use crate::workflows::{House, within};

impl House {
    fn keyed(&self, key: &str, limit: u32) -> NewTask {
        let needs = vec![Need::of(key, limit)];
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
    let ids = house.keyed_tasks(5).await;
    let caller = client().await;
    caller.batch_execute("BEGIN").await.unwrap();
    let cancel = format!("SELECT {}.cancel_tasks($1::uuid[])", house.schema.0);
    let in_hand: Vec<_> = ids[1..4].iter().map(TaskId::as_uuid).collect();
    caller.execute(&cancel, &[&in_hand]).await.unwrap();
    let claimed = house.claim(1).await;
    within(house.succeed(claimed)).await;
    within(house.sweep()).await;
    let waiting = [State::Waiting; 3];
    assert_eq!(house.standing(&ids).await, [&[State::Succeeded], &waiting[..], &[State::Ready]].concat());
    caller.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(house.store.cancel(&ids[4..]).await.unwrap(), [CancelOutcome::Cancelled]);
    within(house.sweep()).await;
    assert_eq!(house.standing(&ids[1..3]).await, [State::Ready, State::Waiting]);
}

/// Of a fair queue one task of a key waits for a slot in place of all of them; if it is in somebody's hand, the next does.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_that_cancels_who_waits_for_all_of_a_key_holds_up_no_other_of_it() {
    let house = House::new().await;
    let of_a = || {
        let mut task = house.keyed("one", 1);
        let needs = &mut task.meta.as_mut().unwrap().needs;
        needs.insert(0, Need { key: "fair:5:default:a".to_owned(), limit: 100_000, ..needs[0].clone() });
        task
    };
    let tasks = vec![of_a(), of_a(), of_a()];
    let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
    within(house.store.enqueue(tasks)).await.unwrap();
    within(house.sweep()).await;
    let claimed = house.claim(1).await;
    let caller = client().await;
    caller.batch_execute("BEGIN").await.unwrap();
    let cancel = format!("SELECT {}.cancel_tasks($1::uuid[])", house.schema.0);
    caller.execute(&cancel, &[&[ids[1].as_uuid()].as_slice()]).await.unwrap();
    within(house.succeed(claimed)).await;
    within(house.sweep()).await;
    assert_eq!(house.standing(&ids).await, [State::Succeeded, State::Waiting, State::Ready]);
    caller.batch_execute("ROLLBACK").await.unwrap();
    let claimed = house.claim(1).await;
    within(house.succeed(claimed)).await;
    within(house.sweep()).await;
    assert_eq!(house.standing(&ids).await, [State::Succeeded, State::Ready, State::Succeeded]);
}

/// Of whom it is found out by what is kept of him, whatever that says besides.
#[tokio::test(flavor = "multi_thread")]
async fn who_makes_room_may_have_said_anything_else() {
    let house = House::new().await;
    let of = |title: &str| {
        let mut task = house.keyed("a", 1);
        let meta = task.meta.as_mut().unwrap();
        meta.needs[0].on_excess = OnExcess::CancelRunning;
        meta.title = Some(title.to_owned());
        task
    };
    let (first, next) = (of("x\0y"), of(""));
    let ids = [first.id, next.id];
    within(house.store.enqueue(vec![first])).await.unwrap();
    assert_eq!(house.standing(&ids[..1]).await, [State::Ready]);
    within(house.store.enqueue(vec![next])).await.unwrap();
    within(house.sweep()).await;
    assert_eq!(house.standing(&ids).await, [State::Cancelled, State::Ready]);
}

/// A rule is followed though whoever it is about was in somebody's hand when it was looked at.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_in_hand_is_looked_at_again() {
    let house = House::new().await;
    let mut tasks = Vec::new();
    for _ in 0..3 {
        let mut task = house.keyed("a", 1);
        task.meta.as_mut().unwrap().needs[0].on_excess = OnExcess::KeepNewest;
        tasks.push(task);
    }
    let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
    for task in &tasks[..2] {
        within(house.store.enqueue(vec![task.clone()])).await.unwrap();
    }
    let caller = client().await;
    caller.batch_execute("BEGIN").await.unwrap();
    let cancel = format!("SELECT {}.cancel_tasks($1::uuid[])", house.schema.0);
    caller.execute(&cancel, &[&[ids[1].as_uuid()].as_slice()]).await.unwrap();
    within(house.store.enqueue(vec![tasks[2].clone()])).await.unwrap();
    within(house.sweep()).await;
    caller.batch_execute("ROLLBACK").await.unwrap();
    within(house.sweep()).await;
    assert_eq!(house.standing(&ids).await, [State::Ready, State::Cancelled, State::Waiting]);
    assert_eq!(house.count("touched").await, 0);
}

/// A key that somebody has locked by hand is left, and all others go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_locked_holds_up_no_other() {
    let house = House::new().await;
    house.store.set_limit("a", Some(Limit::of(1))).await.unwrap();
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
            house.store.wait(Wake::Ready, Duration::from_millis(100)).await;
            assert!(house.claim(0).await.is_empty());
        }
    })
    .await;
}

/// Whoever may only enqueue may say anything, and an error would be one of whatever lets others go on with it.
#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_read_stands_in_nobodys_way() {
    let house = House::new().await;
    let good = NewTask { delay: Duration::from_secs(1), ..house.keyed("a", 1) };
    within(house.store.enqueue(vec![good.clone()])).await.unwrap();
    let long = "x".repeat(300);
    let bad = [
        r#"[{"key":"k","limit":"x"}]"#.to_owned(),
        r#"[{"key":"k","limit":3000000000}]"#.to_owned(),
        r#"[{"key":"k","limit":1.5}]"#.to_owned(),
        r#"[{"key":"a","limit":-1}]"#.to_owned(),
        r#"[{"limit":1}]"#.to_owned(),
        r#"[{"key":null,"limit":1}]"#.to_owned(),
        r#"[{"key":"k","limit":1,"cost":0}]"#.to_owned(),
        r#"[{"key":"k","limit":1,"until_ended":7}]"#.to_owned(),
        r#"[7]"#.to_owned(),
        r#"7"#.to_owned(),
        r#"[{"key":"\\ud800","limit":1}]"#.to_owned(),
        format!(r#"[{{"key":"{long}","limit":1}}]"#),
    ];
    let insert = format!("SELECT {}.insert_tasks($1::text::jsonb)", house.schema.0);
    let mut ids = Vec::new();
    for needs in &bad {
        let task = NewTask { delay: Duration::from_secs(1), ..house.keyed("a", 1) };
        let mut row = serde_json::to_value(gristmill_core::kit::row::NewRow::of(&task)).unwrap();
        row["meta"] = format!(r#"{{"needs":{needs}}}"#).into();
        house.sql.execute(&insert, &[&serde_json::to_string(&[row]).unwrap()]).await.unwrap();
        ids.push(task.id);
    }
    house.time.advance(Duration::from_secs(2));
    within(house.sweep()).await;
    within(house.sweep()).await;
    assert_eq!(house.standing(&[good.id]).await, [State::Ready]);
    house.claim(100).await;
    let states = house.standing(&ids).await;
    // What a program can read all the same runs without a limit; all else has failed.
    assert!(states.iter().all(|state| [State::Failed, State::Running].contains(state)), "{states:?}");
    assert!(states.iter().filter(|state| **state == State::Failed).count() > 6, "{states:?}");
    // Nor does one without a body wait for ever.
    let ids = house.keyed_tasks(2).await;
    house.run("DELETE FROM slot").await;
    house.run("DELETE FROM standby").await;
    house.sql.execute("DELETE FROM task WHERE id = $1", &[&ids[0].as_uuid()]).await.unwrap();
    within(house.sweep()).await;
    within(house.sweep()).await;
    assert_eq!(house.count("waiting").await, 0);
}

/// However late it is seen to.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_older_task_says_does_not_win() {
    let house = House::new().await;
    let tasks = [house.keyed("a", 9), house.keyed("a", 1)];
    let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
    house.store.set_limit("a", Some(Limit::of(0))).await.unwrap();
    for task in tasks {
        within(house.store.enqueue(vec![task])).await.unwrap();
    }
    house.run("INSERT INTO touched(key, declared, said_by) SELECT 'a', 9, min(seq) FROM waiting").await;
    house.store.set_limit("a", None).await.unwrap();
    within(house.sweep()).await;
    assert_eq!(house.standing(&ids).await, [State::Ready, State::Waiting]);
}

/// Between an end and the admission of the next one nobody is ready, and somebody will be: whoever waits until nothing is left would go away too early.
#[tokio::test(flavor = "multi_thread")]
async fn while_slots_are_to_be_given_something_is_left() {
    let house = House::new().await;
    let queues = ["default".to_owned()];
    let pending = async || house.store.pending(&queues, Duration::ZERO).await.unwrap();
    house.keyed_tasks(1).await;
    house.run("DELETE FROM ready").await;
    house.run("INSERT INTO slot(task, seq, cost, until_ended, key) VALUES (gen_random_uuid(), 0, 1, false, 'b')").await;
    within(house.store.enqueue(vec![house.keyed("b", 1)])).await.unwrap();
    house.run("DELETE FROM touched").await;
    assert!(pending().await.is_idle(), "it waits for somebody who gives nothing back");
    house.run("INSERT INTO touched(key) VALUES ('b')").await;
    assert!(!pending().await.is_idle());
}

/// A handler that settles in its own transaction ends without anybody looking at the key; then it is a sweep's turn, which forgets keys that nobody has.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_begun_is_gathered_before_its_key_is_forgotten() {
    let house = House::new().await;
    let mut rated = house.keyed("rate:k", 1);
    let pace = Some(Pace { per_ms: 3_600_000, most: 1, is_window: true });
    for need in &mut rated.meta.as_mut().unwrap().needs {
        need.pace = pace;
    }
    let (id, again) = (rated.id, NewTask { id: house.env.task_id(), ..rated.clone() });
    let second = again.id;
    house.store.enqueue(vec![rated]).await.unwrap();
    house.sweep().await;
    assert_eq!(house.standing(&[id]).await, [State::Ready]);
    // As settle_succeeded leaves it.
    let now = house.env.now().as_millis();
    house.run("DELETE FROM slot").await;
    house.run("DELETE FROM ready").await;
    house.run(&format!("INSERT INTO begun(key, at, cost) VALUES ('rate:k', {now}, 1)")).await;
    for _ in 0..2 {
        house.sweep().await;
    }
    house.store.enqueue(vec![again]).await.unwrap();
    house.sweep().await;
    assert_eq!(house.standing(&[second]).await, [State::Waiting]);
}

/// Programs that know no rates read there that nobody may begin, and that an operator has said so, so that they forget nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_rate_reads_closed_for_who_knows_none() {
    let house = House::new().await;
    let mut rated = house.keyed("rate:k", 600);
    for need in &mut rated.meta.as_mut().unwrap().needs {
        need.pace = Some(Pace { per_ms: 3_600_000, most: 2, is_window: false });
    }
    house.store.enqueue(vec![rated]).await.unwrap();
    house.sweep().await;
    for limit in [Some("5/s".parse().unwrap()), None] {
        house.store.set_limit("rate:k", limit).await.unwrap();
        let row = house.sql.query_one("SELECT declared, set_to FROM key", &[]).await.unwrap();
        assert_eq!((row.get(0), row.get(1)), (Some(0_i32), Some(0_i32)));
    }
}

/// The room that is left is too little for the first of the line, and nothing changes that but an end.
#[tokio::test(flavor = "multi_thread")]
async fn who_needs_more_than_there_is_keeps_nobody_busy() {
    let house = House::new().await;
    let of = |cost| {
        let mut task = house.keyed("a", 4);
        task.meta.as_mut().unwrap().needs[0].cost = cost;
        task
    };
    let tasks: Vec<_> = [3, 2, 2, 2].map(of).into();
    let ids: Vec<_> = tasks.iter().map(|task| task.id).collect();
    house.store.enqueue(tasks).await.unwrap();
    house.sweep().await;
    assert_eq!(house.standing(&ids).await, [State::Ready, State::Waiting, State::Waiting, State::Waiting]);
    assert_eq!(house.sql.query_one("SELECT count(*) FROM touched", &[]).await.unwrap().get::<_, i64>(0), 0);
}
