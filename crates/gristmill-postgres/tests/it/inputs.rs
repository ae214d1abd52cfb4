//! What comes from outside may hold anything: it is kept, or refused with a word of its own, and hinders nobody else.

use std::sync::Arc;
use std::time::Duration;

use gristmill_core::{
    Claim, Claimed, Ending, Env, Failure, FailureReason, Filter, Hold, KindSpec, NewTask, Note, Overrides, Policy, Progress,
    Settled, Settlement, Severity, Source, State, Store, StoreError, StoreErrorKind, TaskMeta, Timestamp, Wanted, WorkerId,
    WorkerSpec, limits,
};
use gristmill_postgres::PostgresStore;
use serde_json::json;

use crate::common::{Schema, client, database, task};
use crate::day::{Day, Yardstick};

const LEASE: Duration = Duration::from_secs(600);

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_with_sql_in_its_name_is_a_schema() {
    let mut schema = Schema::new();
    schema.0 = format!("it's \"; DROP SCHEMA {{s}} $$ -- {}", &schema.0[5..25]);
    let (env, _) = Env::virtual_time(Timestamp::from_millis(1_800_000_000_000), 1);
    let store: Arc<dyn Store> = PostgresStore::connect(&schema.url(""), env.clone()).await.unwrap();
    let yardstick = Yardstick::new(store.clone(), &env).await;
    yardstick.measure(&Day::new(store.clone(), &env).live().await, "in an odd schema").await;
    store.sweep(10).await.unwrap();
    store.prune(10).await.unwrap();
    store.queues().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nul_is_kept_as_its_escape_replaced_where_it_is_prose_and_refused_in_names() {
    let (schema, env) = (Schema::new(), Env::system());
    let store = PostgresStore::connect(&schema.url(""), env.clone()).await.unwrap();
    let nul = "a\0b".to_owned();
    let spec = WorkerSpec { name: nul.clone(), version: nul.clone(), ..worker(&env) };
    store.enter(&spec).await.unwrap();
    assert_eq!(store.workers().await.unwrap()[0].name, "a\u{fffd}b");

    let meta = TaskMeta {
        tags: vec![nul.clone()],
        headers: [(nul.clone(), nul.clone())].into(),
        title: Some(nul.clone()),
        ..TaskMeta::default()
    };
    let new = NewTask { meta: Some(Box::new(meta.clone())), ..task(&env, "work", Overrides::default()) };
    store.enqueue(vec![new.clone()]).await.unwrap();
    assert_eq!(store.get(new.id).await.unwrap().unwrap().meta, meta, "meta is JSON, which has an escape");
    let claimed = claim(&store, spec.id, &env, 1).await.remove(0);
    let progress = Progress { done: 1, message: nul.clone(), ..Progress::default() };
    let note = Note { lease: claimed.lease, logs: Some(nul.clone()), progress: Some(progress.clone()) };
    assert_eq!(store.note(vec![note]).await.unwrap(), [true]);
    let failure = Failure::new(FailureReason::Error, nul.clone());
    let settlement = Settlement {
        failure: Some(Box::new(failure.clone())),
        logs: Some(nul.clone()),
        progress: Some(Box::new(progress.clone())),
        ..Settlement::new(claimed.lease, Ending::Failed)
    };
    assert_eq!(store.settle(vec![settlement]).await.unwrap(), [Settled::Done(State::Failed)]);
    let kept = store.get(new.id).await.unwrap().unwrap();
    assert_eq!(kept.error, Some(failure));
    let [row] = kept.attempts.as_slice() else { panic!("one attempt: {:?}", kept.attempts) };
    assert_eq!((row.logs.as_deref(), row.progress.as_ref()), (Some("a\u{fffd}b"), Some(&progress)));

    let refused = |answer: Result<(), StoreError>| {
        let error = answer.expect_err("a NUL in a name");
        assert_eq!(error.kind(), StoreErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains("NUL"), "{error}");
    };
    for field in 0..3 {
        let mut new = task(&env, "work", Overrides::default());
        nul.clone_into([&mut new.kind, &mut new.queue, &mut new.args][field]);
        refused(store.enqueue(vec![new]).await.map(drop));
    }
    refused(store.pause(&nul, true).await);
    let kind = KindSpec { name: nul.clone(), schema: json!({}), fields: Vec::new(), policy: Policy::default() };
    refused(store.declare(&[kind]).await);
    let error = store.list(&Filter { queue: Some(nul.clone()), ..Filter::default() }, None, 10).await.map(drop).unwrap_err();
    assert_eq!((error.kind(), error.to_string().contains("control character")), (StoreErrorKind::Invalid, true), "{error}");
    let wanted = vec![Wanted::new(nul.as_str(), 1)];
    refused(store.claim(&Claim { worker: spec.id, fence: env.fence(), wanted, again: false }).await.map(drop));
    // And it goes on as if nothing had been said.
    store.enqueue(vec![task(&env, "work", Overrides::default())]).await.unwrap();
    assert_eq!(claim(&store, spec.id, &env, 10).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_text_and_no_unicode_in_json_comes_back_as_it_was() {
    let (schema, env) = (Schema::new(), Env::system());
    let store = PostgresStore::connect(&schema.url(""), env.clone()).await.unwrap();
    let spec = worker(&env);
    store.enter(&spec).await.unwrap();
    let args = r#"{"lone":"\ud800","low":"\udc00\u0000","n":1e999,"n":2}"#;
    let new = NewTask { args: args.to_owned(), ..task(&env, "work", Overrides::default()) };
    store.enqueue(vec![new.clone()]).await.unwrap();
    let claimed = claim(&store, spec.id, &env, 1).await.remove(0);
    assert_eq!(claimed.args, args);
    let success = Settlement { result: Some(args.to_owned()), ..Settlement::new(claimed.lease, Ending::Succeeded) };
    store.settle(vec![success]).await.unwrap();
    assert_eq!(store.get(new.id).await.unwrap().unwrap().result.as_deref(), Some(args));
}

/// The protocol counts a statement's parameters with two bytes.
#[tokio::test(flavor = "multi_thread")]
async fn seventy_thousand_tasks_go_in_and_through_in_bulk() {
    const TASKS: usize = 70_000;
    let (schema, env) = (Schema::new(), Env::system());
    let store = PostgresStore::connect(&schema.url(""), env.clone()).await.unwrap();
    let spec = worker(&env);
    store.enter(&spec).await.unwrap();
    for _ in 0..TASKS / limits::BATCH_TASKS_MAX {
        let tasks = (0..limits::BATCH_TASKS_MAX).map(|_| task(&env, "work", Overrides::default()));
        store.enqueue(tasks.collect()).await.unwrap();
    }
    let claimed = claim(&store, spec.id, &env, TASKS).await;
    assert_eq!(claimed.len(), TASKS);
    let leases: Vec<_> = claimed.iter().map(|claimed| claimed.lease).collect();
    assert!(store.start(&leases).await.unwrap().iter().all(|held| *held));
    let settled = store.settle(leases.iter().map(|lease| Settlement::new(*lease, Ending::Succeeded)).collect()).await.unwrap();
    assert!(settled.iter().all(|settled| *settled == Settled::Done(State::Succeeded)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_without_a_body_does_not_stop_its_queue() {
    let (schema, env) = (Schema::new(), Env::system());
    let store = PostgresStore::connect(&schema.url(""), env.clone()).await.unwrap();
    let spec = worker(&env);
    store.enter(&spec).await.unwrap();
    let tasks = [(); 3].map(|()| task(&env, "work", Overrides::default()));
    store.enqueue(tasks.to_vec()).await.unwrap();
    let sql = client().await;
    sql.execute(&format!("DELETE FROM {}.task WHERE id = $1", schema.0), &[&tasks[0].id.as_uuid()]).await.unwrap();
    let claimed = claim(&store, spec.id, &env, 2).await;
    assert_eq!(claimed.iter().map(|claimed| claimed.lease.id).collect::<Vec<_>>(), [tasks[1].id, tasks[2].id]);
    // And one whose body goes away while it runs.
    sql.execute(&format!("DELETE FROM {}.task WHERE id = $1", schema.0), &[&tasks[1].id.as_uuid()]).await.unwrap();
    let batch = claimed.iter().map(|claimed| Settlement::new(claimed.lease, Ending::Retry { delay: Duration::ZERO })).collect();
    let settled = store.settle(batch).await.unwrap();
    assert_eq!(settled, [Settled::Done(State::Failed), Settled::Done(State::Ready)]);
    assert_eq!(claim(&store, spec.id, &env, 2).await.len(), 1);
    let findings = store.check().await.unwrap();
    let aside = findings.iter().find(|finding| finding.code == "aside").unwrap();
    assert_eq!(aside.severity, Severity::Error);
    assert!(aside.message.contains("its body is missing (1)"), "{aside:?}");
    assert!(findings.iter().all(|finding| finding.code == "aside" || finding.severity != Severity::Error), "{findings:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_whose_numbers_have_no_names_are_told_wherever_they_wait() {
    let (schema, env) = (Schema::new(), Env::system());
    let store = PostgresStore::connect(&schema.url(""), env.clone()).await.unwrap();
    let over = |delay| Overrides { delay: Some(delay), ..Overrides::default() };
    let tasks = vec![
        task(&env, "work", Overrides::default()),
        task(&env, "work", over(LEASE)),
        NewTask { hold: Hold { blocked: true, limited: false }, ..task(&env, "work", Overrides::default()) },
        task(&env, "known", Overrides::default()),
    ];
    store.enqueue(tasks).await.unwrap();
    let finding = async || store.check().await.unwrap().into_iter().find(|finding| finding.code == "unnamed").unwrap();
    assert_eq!(finding().await.severity, Severity::Ok);
    let sql = client().await;
    // As it is after a failover that took the name back.
    let kind = format!("DELETE FROM {}.kind WHERE name = 'work' RETURNING id", schema.0);
    let kind: i32 = sql.query_one(&kind, &[]).await.unwrap().get(0);
    let queue = format!("DELETE FROM {}.queue RETURNING id", schema.0);
    let queue: i32 = sql.query_one(&queue, &[]).await.unwrap().get(0);
    let told = finding().await;
    assert_eq!(told.severity, Severity::Error);
    assert!(told.message.ends_with(&format!(": 3 with the kind {kind}, 4 with the queue {queue}")), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_without_rights_is_told_which_it_lacks() {
    let (schema, env) = (Schema::new(), Env::system());
    let store = PostgresStore::connect(&schema.url(""), env.clone()).await.unwrap();
    let spec = worker(&env);
    store.enter(&spec).await.unwrap();
    store.enqueue(vec![task(&env, "work", Overrides::default())]).await.unwrap();
    let (sql, role) = (client().await, format!("nobody_{}", &schema.0[5..]));
    sql.batch_execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'x'")).await.unwrap();
    let (_, place) = database().split_once('@').map(|(user, place)| (user.to_owned(), place.to_owned())).unwrap();
    let url = format!("postgres://{role}:x@{place}?schema={}", schema.0);
    let connect = PostgresStore::connect(&url, env.clone());
    let error = connect.await.map(drop).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::ReadOnly, "{error}");
    assert!(error.to_string().contains(&format!("permission denied for schema {}", schema.0)), "{error}");

    let grant = format!("GRANT USAGE ON SCHEMA {0} TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA {0} TO {role}", schema.0);
    sql.batch_execute(&grant).await.unwrap();
    let reader = PostgresStore::connect(&url, env.clone()).await.unwrap();
    assert_eq!(reader.list(&Filter::default(), None, 10).await.unwrap().items.len(), 1, "it may look");
    let wanted = vec![Wanted::new("default", 1)];
    let claim = Claim { worker: spec.id, fence: env.fence(), wanted, again: false };
    for (error, says) in [
        (reader.claim(&claim).await.map(drop).unwrap_err(), "permission denied for table"),
        (reader.enqueue(vec![task(&env, "work", Overrides::default())]).await.unwrap_err(), "permission denied for"),
    ] {
        assert_eq!(error.kind(), StoreErrorKind::ReadOnly, "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
    drop(reader);
    sql.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await.unwrap();
}

fn worker(env: &Env) -> WorkerSpec {
    WorkerSpec {
        id: env.worker_id(),
        name: "w".to_owned(),
        lease: LEASE,
        kinds: vec!["work".into()],
        queues: [("default".to_owned(), 1)].into(),
        version: String::new(),
    }
}

async fn claim(store: &PostgresStore, worker: WorkerId, env: &Env, limit: usize) -> Vec<Claimed> {
    let wanted = vec![Wanted::new("default", limit)];
    store.claim(&Claim { worker, fence: env.fence(), wanted, again: false }).await.unwrap()
}
