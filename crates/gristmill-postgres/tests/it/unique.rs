//! One task a key, on a server: callers at once, open transactions, and tasks from SQL.

use std::collections::BTreeSet;
use std::time::Duration;

use gristmill_core::concurrency::{Concurrency, Need, OnExcess};
use gristmill_core::unique::{Merge, OnConflict, Unique, UniqueKey, Until};
use gristmill_core::{
    EnqueueOutcome, Env, Hold, KindSpec, NewTask, Overrides, Policy, Source as _, State, Store as _, TaskId, TaskMeta,
};
use gristmill_postgres::PostgresStore;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use crate::common::{Schema, client, task};
use crate::workflows::{House, within};

use EnqueueOutcome::{Created, Exists};

pub(crate) fn keyed(env: &Env, key: &str) -> NewTask {
    let unique =
        UniqueKey { key: key.to_owned(), until: Until::Ended, on_conflict: OnConflict::Existing, debounce: None, merge: None };
    let meta = Some(Box::new(TaskMeta { unique: Some(unique), ..TaskMeta::default() }));
    NewTask { meta, ..task(env, "mail", Overrides::default()) }
}

/// The first may end in the middle of it, or roll back: there is one at a time, and all know which.
#[tokio::test(flavor = "multi_thread")]
async fn many_callers_at_once_make_one_task() {
    let (schema, env) = (Schema::new(), Env::system());
    let store = PostgresStore::connect(&schema.url(""), env.clone()).await.unwrap();
    for round in 0..5 {
        let mut callers = JoinSet::new();
        for _ in 0..16 {
            let (url, env) = (schema.url("&pool=1"), env.clone());
            callers.spawn(async move {
                let store = PostgresStore::connect(&url, env.clone()).await.unwrap();
                let tasks: Vec<_> = (0..4).map(|n| keyed(&env, &format!("{round}:{}", n % 2))).collect();
                let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
                let outcomes = store.enqueue(tasks).await.unwrap();
                ids.into_iter()
                    .zip(outcomes)
                    .map(|(id, outcome)| match outcome {
                        Created => (id, true),
                        Exists(id) => (id, false),
                        EnqueueOutcome::Conflict => panic!("its id is its own"),
                    })
                    .collect::<Vec<_>>()
            });
        }
        let told: Vec<(TaskId, bool)> = callers.join_all().await.into_iter().flatten().collect();
        let made: BTreeSet<TaskId> = told.iter().filter(|(_, is_made)| *is_made).map(|(id, _)| *id).collect();
        let named: BTreeSet<TaskId> = told.iter().map(|(id, _)| *id).collect();
        assert_eq!((made.len(), &named), (2, &made), "one of each key, and everybody was told of it");
        // In the next round these keys are others'; and those of this one are free, whoever looks.
        store.cancel(&made.into_iter().collect::<Vec<_>>()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_delays_only_callers_with_its_key() {
    let house = House::new().await;
    // The first use of the names of its queue and type.
    within(house.store.enqueue(vec![keyed(&house.env, "first")])).await.unwrap();
    let open = async |key: &str| {
        let id = Uuid::now_v7();
        let row = json!([{
            "id": id, "queue": "default", "kind": "mail", "priority": 5, "max_attempts": 5, "max_crashes": 3, "ack": 0, "retention": -1, "delay": 0,
            "args": "{}", "meta": json!({ "unique": { "key": key } }).to_string(),
        }]);
        (TaskId::from_uuid(id), house.open(&format!("SELECT insert_unique('{row}')")).await)
    };
    for ends in ["COMMIT", "ROLLBACK"] {
        let (id, other) = open(ends).await;
        assert_eq!(within(house.store.enqueue(vec![keyed(&house.env, &format!("not {ends}"))])).await.unwrap(), [Created]);
        let (store, same) = (house.store.clone(), keyed(&house.env, ends));
        let late = tokio::spawn(async move { store.enqueue(vec![same]).await });
        // Whoever shares a statement with it goes on as well.
        assert_eq!(within(house.store.enqueue(vec![task(&house.env, "mail", Overrides::default())])).await.unwrap(), [Created]);
        other.batch_execute(ends).await.unwrap();
        let expected = if ends == "COMMIT" { Exists(id) } else { Created };
        assert_eq!(within(late).await.unwrap().unwrap(), [expected]);
    }
    // One that is there already is told at once, though somebody else asks for it in an open transaction.
    let (_, other) = open("first").await;
    assert!(matches!(within(house.store.enqueue(vec![keyed(&house.env, "first")])).await.unwrap()[..], [Exists(_)]));
    other.batch_execute("ROLLBACK").await.unwrap();
}

/// It could begin before others see what the transaction writes, and nobody would run for that.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_stands_for_an_open_transactions_begins_after_its_end() {
    let house = House::new().await;
    let new = || {
        let unique = UniqueKey {
            key: "a".to_owned(),
            until: Until::Started,
            on_conflict: OnConflict::Existing,
            debounce: None,
            merge: None,
        };
        let meta = Some(Box::new(TaskMeta { unique: Some(unique), ..TaskMeta::default() }));
        NewTask { meta, ..task(&house.env, "mail", Overrides::default()) }
    };
    let first = new();
    let id = first.id;
    assert_eq!(within(house.store.enqueue(vec![first])).await.unwrap(), [Created]);
    let row = json!([{
        "id": Uuid::now_v7(), "queue": "default", "kind": "mail", "priority": 5, "max_attempts": 5, "max_crashes": 3, "ack": 0, "retention": -1,
        "delay": 0, "args": "{}", "meta": json!({ "unique": { "key": "a", "until": "started" } }).to_string(),
    }]);
    let other = house.open("SELECT 1").await;
    let answer: String = other.query_one(&format!("SELECT insert_unique('{row}')::text"), &[]).await.unwrap().get(0);
    assert_eq!(answer, json!([id]).to_string());
    assert!(house.claim(10).await.is_empty(), "it would not see what is not committed yet");
    other.batch_execute("COMMIT").await.unwrap();
    assert_eq!(house.claim(10).await[0].lease.id, id);
    assert_eq!(within(house.store.enqueue(vec![new()])).await.unwrap(), [Created]);
}

/// Nothing is lost between them: each element is seen by one claim, or is in a task that is still there. A claim that began before an enqueue has committed would else
/// take the task with the arguments of before.
#[tokio::test(flavor = "multi_thread")]
async fn what_callers_at_once_bring_is_seen_by_claims_at_once() {
    let house = House::new().await;
    let (callers, each) = (6, 40);
    let mut bringing = JoinSet::new();
    for caller in 0..callers {
        let (store, env) = (house.store.clone(), house.env.clone());
        bringing.spawn(async move {
            for n in 0..each {
                store.enqueue(vec![collecting(&env, caller * each + n, false)]).await.unwrap();
            }
        });
    }
    let mut seen: Vec<u64> = Vec::new();
    let seeing = async {
        while seen.len() < usize::try_from(callers * each).unwrap() {
            for claimed in house.claim(10).await {
                let args: Value = serde_json::from_str(&claimed.args).unwrap();
                seen.extend(args["items"].as_array().unwrap().iter().filter_map(Value::as_u64));
            }
        }
    };
    within(seeing).await;
    within(bringing.join_all()).await;
    assert!(house.claim(10).await.is_empty(), "nothing is seen twice");
    seen.sort_unstable();
    assert_eq!(seen, (0..callers * each).collect::<Vec<u64>>());
}

fn collecting(env: &Env, n: u64, after: bool) -> NewTask {
    let merge = Some(Merge::Collect("items".to_owned()));
    let unique =
        UniqueKey { key: "a".to_owned(), until: Until::Started, on_conflict: OnConflict::Existing, debounce: None, merge };
    let need = Need { until_ended: true, ..Need::of("after:mail:a", 1) };
    let needs = if after { vec![need] } else { Vec::new() };
    let meta = Some(Box::new(TaskMeta { unique: Some(unique), needs, ..TaskMeta::default() }));
    let hold = Hold { limited: after, ..Hold::NONE };
    NewTask { meta, hold, args: format!(r#"{{"items":[{n}]}}"#), ..task(env, "mail", Overrides::default()) }
}

/// Whoever gives slots passes over what somebody holds, and would else not look again before a sweep.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_was_held_while_a_slot_came_free_is_looked_at_again() {
    let house = House::new().await;
    let new = |n| collecting(&house.env, n, true);
    assert_eq!(within(house.store.enqueue(vec![new(1)])).await.unwrap(), [Created]);
    let running = house.claim(10).await;
    assert_eq!(within(house.store.enqueue(vec![new(2)])).await.unwrap(), [Created]);
    let row = json!([{
        "id": Uuid::now_v7(), "queue": "default", "kind": "mail", "priority": 5, "max_attempts": 5, "max_crashes": 3, "ack": 0, "retention": -1,
        "delay": 0, "args": r#"{"items":[3]}"#,
        "meta": json!({ "unique": { "key": "a", "until": "started", "merge": { "collect": "items" } } }).to_string(),
    }]);
    let other = house.open(&format!("SELECT insert_unique('{row}')")).await;
    house.succeed(running).await;
    assert!(house.claim(10).await.is_empty(), "somebody holds it");
    other.batch_execute("COMMIT").await.unwrap();
    assert_eq!(house.count("touched").await, 1, "whoever looks next finds it");
    house.store.sweep(10).await.unwrap();
    assert_eq!(house.claim(10).await[0].args, r#"{"items":[2,3]}"#);
}

/// It is one task all the while, and no other is made beside it.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_while_a_task_is_moved_or_ages_is_written_into_it() {
    let house = House::new().await;
    let first = collecting(&house.env, 1, false);
    let id = first.id;
    assert_eq!(within(house.store.enqueue(vec![first])).await.unwrap(), [Created]);
    let other = house.open("UPDATE ready SET priority = 0; UPDATE task SET priority = 0").await;
    let (store, second) = (house.store.clone(), collecting(&house.env, 2, false));
    let late = tokio::spawn(async move { store.enqueue(vec![second]).await });
    within(async { while house.waiters().await == 0 {} }).await;
    other.batch_execute("COMMIT").await.unwrap();
    assert_eq!(within(late).await.unwrap().unwrap(), [Exists(id)]);
    assert_eq!(house.claim(10).await[0].args, r#"{"items":[1,2]}"#);
}

/// As it was if that is rolled back; and no claim takes it meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_open_transaction_writes_into_a_task_lives_and_dies_with_it() {
    let house = House::new().await;
    let row = |n: u32| {
        json!([{
            "id": Uuid::now_v7(), "queue": "default", "kind": "mail", "priority": 5, "max_attempts": 5, "max_crashes": 3, "ack": 0, "retention": -1,
            "delay": 0, "args": format!(r#"{{"items":[{n}]}}"#),
            "meta": json!({ "unique": { "key": "a", "until": "started", "merge": { "collect": "items" } } }).to_string(),
        }])
    };
    let kept = house.sql.query_one(&format!("SELECT insert_unique('{}')::text", row(1)), &[]).await.unwrap();
    assert_eq!(kept.get::<_, String>(0), "[0]");
    for ends in ["ROLLBACK", "COMMIT"] {
        let other = house.open(&format!("SELECT insert_unique('{}')", row(2))).await;
        assert!(house.claim(10).await.is_empty(), "it would not see what is not committed yet");
        other.batch_execute(ends).await.unwrap();
    }
    let claimed = house.claim(10).await;
    assert_eq!((claimed.len(), claimed[0].args.as_str()), (1, r#"{"items":[1,2]}"#));
}

/// Whoever may only enqueue gives these numbers, and they are added to clocks.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_out_of_range_takes_no_key() {
    let house = House::new().await;
    for (unique, period) in [
        (json!({ "key": "a" }), 9_000_000_000_000_000_i64),
        (json!({ "key": "a" }), -1),
        (json!({ "key": "a".repeat(256) }), 1),
        (json!({ "key": "a", "debounce": { "wait_ms": i64::MAX } }), 0),
        (json!({ "key": "a", "merge": { "collect": "a.b" } }), 0),
    ] {
        let row = json!([{
            "id": Uuid::now_v7(), "queue": "default", "kind": "mail", "priority": 5, "max_attempts": 5, "max_crashes": 3, "ack": 0, "retention": -1,
            "delay": 0, "args": "{}", "meta": json!({ "unique": unique }).to_string(), "unique_ms": period,
        }]);
        let refused = house.sql.query_one(&format!("SELECT insert_unique('{row}')"), &[]).await.unwrap_err();
        assert_eq!(*refused.as_db_error().unwrap().code(), SqlState::INVALID_PARAMETER_VALUE, "{unique}: {refused:?}");
        assert_eq!(house.count("unique_key").await, 0);
    }
}

async fn sql(client: &Client, schema: &Schema, name: &str, args: Value) -> Result<TaskId, tokio_postgres::Error> {
    let sql = format!("SELECT {}.enqueue($1, $2::text::jsonb)", schema.0);
    let row = client.query_one(&sql, &[&name, &args.to_string()]).await?;
    Ok(TaskId::from_uuid(row.get::<_, Uuid>(0)))
}

/// What a type declares of keys holds from SQL as it does from a client.
#[tokio::test(flavor = "multi_thread")]
async fn sql_gives_a_task_the_keys_of_its_type() {
    let (schema, env) = (Schema::new(), Env::system());
    let store = PostgresStore::connect(&schema.url(""), env.clone()).await.unwrap();
    let client = client().await;
    let unique = |text: &str| Unique::by(text.parse().unwrap());
    let policies = [
        ("sync", Policy { unique: Some(unique("repo:{repo.id}")), ..Policy::default() }),
        ("hour", Policy { unique: Some(unique("{{{n}}}").until(Until::For(Duration::from_secs(3600)))), ..Policy::default() }),
        ("only", Policy { unique: Some(Unique::of_type().on_conflict(OnConflict::Reject)), ..Policy::default() }),
        (
            "after",
            Policy {
                unique: Some(unique("{n}").on_conflict(OnConflict::RunAfter)),
                tags: vec!["t".to_owned()],
                ..Policy::default()
            },
        ),
        ("limited@2", Policy { concurrency: vec![Concurrency::of_type(9)], ..Policy::default() }),
        ("replace", Policy { unique: Some(unique("{n}").on_conflict(OnConflict::Replace)), ..Policy::default() }),
        ("collect", Policy { unique: Some(unique("{n}").collect("items")), ..Policy::default() }),
        (
            "late",
            Policy {
                debounce: serde_json::from_value(json!({ "key": "{n}", "wait": "1h", "max_wait": "2h" })).unwrap(),
                ..Policy::default()
            },
        ),
        (
            "rated",
            Policy {
                concurrency: vec![Concurrency::of("{host}".parse().unwrap(), 2)],
                rate: serde_json::from_value(json!([
                    { "key": "api:{host}", "limit": "600/h", "cost": "{size}", "burst": 600 },
                    { "limit": "1000/s", "cost": 2 },
                    { "key": "b:{host}", "limit": "7/90s", "burst": 5, "cost": 3 },
                    { "key": "w", "limit": "5/30s", "strategy": "sliding_window" },
                ]))
                .unwrap(),
                ..Policy::default()
            },
        ),
        (
            "newest",
            Policy {
                concurrency: vec![
                    Concurrency::of("a:{n}".parse().unwrap(), 3),
                    Concurrency { on_excess: OnExcess::KeepNewest, ..Concurrency::of("b:{n}".parse().unwrap(), 1) },
                ],
                ..Policy::default()
            },
        ),
        (
            "limited",
            Policy {
                concurrency: vec![
                    Concurrency::of("tenant:{tenant}".parse().unwrap(), 1),
                    Concurrency { cost: serde_json::from_value(json!("{size}")).unwrap(), ..Concurrency::of_type(9) },
                    Concurrency::sequence("{tenant}".parse().unwrap()),
                ],
                ..Policy::default()
            },
        ),
    ];
    let kinds: Vec<KindSpec> = policies
        .into_iter()
        .map(|(name, policy)| KindSpec { name: name.to_owned(), schema: json!({ "type": "object" }), fields: Vec::new(), policy })
        .collect();
    store.declare(&kinds).await.unwrap();
    let enqueue = async |name: &str, args: Value| sql(&client, &schema, name, args).await;

    // Both ways make the same of the same arguments.
    for (name, args) in [
        ("sync", json!({ "repo": { "id": 7 } })),
        ("hour", json!({ "n": "ü" })),
        ("after", json!({ "n": true })),
        ("limited@2", json!({})),
        ("replace", json!({ "n": 1 })),
        ("collect", json!({ "n": 1, "items": [] })),
        ("limited", json!({ "tenant": 18446744073709551615_u64, "size": 3 })),
        ("rated", json!({ "host": "h", "size": 4 })),
        ("newest", json!({ "n": 7 })),
    ] {
        let kind = kinds.iter().find(|kind| kind.name == name).unwrap();
        let ours = NewTask::of(kind, args.to_string(), Overrides::default(), env.task_id(), &Default::default()).unwrap();
        let theirs = store.get(enqueue(name, args.clone()).await.unwrap()).await.unwrap().unwrap();
        let meta = ours.meta.as_deref().cloned().unwrap_or_default();
        assert_eq!(
            (&theirs.meta.needs, &theirs.meta.unique, &theirs.meta.tags),
            (&meta.needs, &meta.unique, &meta.tags),
            "{name}"
        );
        if meta.unique.is_some() {
            assert_eq!(store.enqueue(vec![ours]).await.unwrap(), [Exists(theirs.id)], "{name}");
        }
        let state = store.get(theirs.id).await.unwrap().unwrap().state;
        assert!(matches!(state, State::Ready | State::Waiting), "{name}: {state}");
    }
    let again = enqueue("sync", json!({ "repo": { "id": 7 } })).await.unwrap();
    assert_eq!(enqueue("sync", json!({ "repo": { "id": "7" } })).await.unwrap(), again);
    assert_ne!(enqueue("sync", json!({ "repo": { "id": 8 } })).await.unwrap(), again);

    for (args, says) in [
        (json!({ "host": "h", "size": 601 }), "make a cost of 601, and there are 600 at most: such a task could never start"),
        (json!({ "host": "rate:h", "size": 1 }), "make the key \"rate:h\", which no limit may have"),
        (json!({ "host": "h", "size": 0 }), "no whole number from 1 to 100000"),
    ] {
        let refused = enqueue("rated", args.clone()).await.unwrap_err();
        let refused = refused.as_db_error().expect("the function refuses").message().to_owned();
        assert!(refused.contains(says), "{args}: {refused}");
    }

    for (name, first, second, both) in [
        ("replace", json!({ "n": 2, "text": "one" }), json!({ "n": 2, "text": "two" }), json!({ "n": 2, "text": "two" })),
        ("collect", json!({ "n": 2, "items": [1] }), json!({ "n": 2, "items": ["2"] }), json!({ "n": 2, "items": [1, "2"] })),
    ] {
        let id = enqueue(name, first).await.unwrap();
        assert_eq!(enqueue(name, second).await.unwrap(), id);
        assert_eq!(serde_json::from_str::<Value>(&store.get(id).await.unwrap().unwrap().args).unwrap(), both);
    }
    let refused = enqueue("collect", json!({ "n": 1, "items": 7 })).await.unwrap_err();
    assert!(refused.as_db_error().unwrap().message().contains("have no list in \"items\""), "{refused:?}");

    let late = enqueue("late", json!({ "n": 1, "text": "one" })).await.unwrap();
    assert_eq!(enqueue("late", json!({ "n": 1, "text": "two" })).await.unwrap(), late);
    let kept = store.get(late).await.unwrap().unwrap();
    assert_eq!(
        (kept.state, serde_json::from_str::<Value>(&kept.args).unwrap()),
        (State::Scheduled, json!({ "n": 1, "text": "two" }))
    );
    let of_type = kinds.iter().find(|kind| kind.name == "late").unwrap();
    let ours = NewTask::of(of_type, r#"{"n": 1}"#.to_owned(), Overrides::default(), env.task_id(), &Default::default()).unwrap();
    assert_eq!(ours.meta.as_ref().and_then(|meta| meta.unique.clone()), kept.meta.unique);
    assert_eq!(store.enqueue(vec![ours]).await.unwrap(), [Exists(late)]);
    let refused =
        client.query(&format!(r#"SELECT {}.enqueue('late', '{{"n": 1}}', '{{"in": "5s"}}')"#, schema.0), &[]).await.unwrap_err();
    assert!(refused.as_db_error().unwrap().message().contains("say when the task is due"), "{refused:?}");

    let first = enqueue("only", json!({})).await.unwrap();
    let refused = enqueue("only", json!({})).await.unwrap_err();
    let refused = refused.as_db_error().unwrap();
    assert_eq!(*refused.code(), SqlState::UNIQUE_VIOLATION);
    assert!(refused.message().contains(&first.to_string()), "{refused}");

    let many = json!([
        { "name": "sync", "args": { "repo": { "id": 9 } } },
        { "name": "limited", "args": { "tenant": 1, "size": 1 } },
        { "name": "sync", "args": { "repo": { "id": 9 } } },
        { "name": "sync", "args": { "repo": { "id": 7 } } },
    ]);
    let rows = client.query(&format!("SELECT {}.enqueue_many($1::text::jsonb)", schema.0), &[&many.to_string()]).await.unwrap();
    let ids: Vec<TaskId> = rows.iter().map(|row| TaskId::from_uuid(row.get(0))).collect();
    assert!(ids[0] == ids[2] && ids[3] == again && ids[1] != ids[0], "{ids:?}");
    assert_eq!(store.get(ids[1]).await.unwrap().unwrap().kind, "limited");

    for (name, args, says) in [
        ("sync", json!({ "repo": 7 }), "which the key \"repo:{repo.id}\" takes"),
        ("sync", json!({ "repo": { "id": null } }), "null, a list or an object"),
        ("sync", json!({ "repo": { "id": 1.5 } }), "no whole number of 64 bits"),
        ("sync", json!({ "repo": [{ "id": 1 }] }), "which the key \"repo:{repo.id}\" takes"),
        ("sync", json!({ "repo": { "id": "x".repeat(251) } }), "longer than 255 bytes"),
        ("sync", json!({ "repo": { "id": "\n" } }), "a control character"),
        ("after", json!({ "n": "x".repeat(250) }), "too long with the task type's name"),
        ("limited", json!({ "tenant": 1, "size": 0 }), "no whole number from 1"),
        ("limited", json!({ "tenant": 1, "size": 10 }), "such a task could never start"),
    ] {
        let refused = enqueue(name, args.clone()).await.unwrap_err();
        let refused = refused.as_db_error().unwrap();
        assert_eq!(*refused.code(), SqlState::INVALID_PARAMETER_VALUE, "{args}");
        assert!(refused.message().contains(says), "{args}: {refused}");
    }
}

/// A process of before has no part in it, and what it leaves is nobody's.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_whose_task_is_gone_without_a_trace_is_free() {
    let house = House::new().await;
    let first = keyed(&house.env, "a");
    let id = first.id;
    assert_eq!(within(house.store.enqueue(vec![first])).await.unwrap(), [Created]);
    house.run(&format!("DELETE FROM ready WHERE id = '{id}'", id = id.as_uuid())).await;
    assert_eq!(within(house.store.enqueue(vec![keyed(&house.env, "a")])).await.unwrap(), [Exists(id)], "for all that is known");
    house.run(&format!("DELETE FROM task WHERE id = '{id}'", id = id.as_uuid())).await;
    assert_eq!(within(house.store.enqueue(vec![keyed(&house.env, "a")])).await.unwrap(), [Created]);
    assert_eq!(house.count("unique_key").await, 1);
    house.run("DELETE FROM ready").await;
    house.run("DELETE FROM task").await;
    house.store.prune(100).await.unwrap();
    assert_eq!(house.count("unique_key").await, 0);
}
