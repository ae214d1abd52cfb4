//! The functions that drivers call, against what the store does itself.

use std::sync::Arc;
use std::time::Duration;

use gristmill_core::{
    Claim, Claimed, Ending, Env, LeaseRef, NewTask, Note, Overrides, Progress, Retention, Settled, Settlement, Source, State,
    Store, TaskId, Wanted, WorkerId, WorkerSpec,
};
use gristmill_postgres::PostgresStore;
use serde_json::{Value, json};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::common::{Schema, client, task};

const DEADLINE: Duration = Duration::from_secs(60);

/// A store with a worker on it, and a foreign connection.
struct House {
    schema: Schema,
    env: Env,
    store: Arc<PostgresStore>,
    client: Client,
    worker: WorkerId,
}

impl House {
    async fn new() -> Self {
        let (schema, env) = (Schema::new(), Env::system());
        let store = PostgresStore::connect(&schema.url(""), env.clone()).await.unwrap();
        let worker = WorkerSpec {
            id: env.worker_id(),
            name: "w".to_owned(),
            lease: DEADLINE,
            kinds: vec!["mail".into()],
            queues: [("default".to_owned(), 10)].into(),
            version: String::new(),
        };
        store.enter(&worker).await.unwrap();
        Self { schema, env, store, client: client().await, worker: worker.id }
    }

    async fn claimed(&self, over: Overrides) -> Claimed {
        self.store.enqueue(vec![task(&self.env, "mail", over)]).await.unwrap();
        let wanted = vec![Wanted::new("default", 1)];
        let claim = Claim { worker: self.worker, fence: self.env.fence(), wanted, again: false };
        self.store.claim(&claim).await.unwrap().pop().unwrap()
    }

    async fn settle(&self, lease: &LeaseRef, result: Option<&str>, children: &[NewTask]) -> bool {
        let sql = format!("SELECT {}.settle_succeeded($1, $2, 5, $3, NULL, NULL, $4::text::jsonb)", self.schema.0);
        let children: Vec<Value> = children.iter().map(row).collect();
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&lease.id.as_uuid(), &lease.fence.as_uuid(), &result, &Value::from(children).to_string()];
        self.client.query_one(&sql, &params).await.unwrap().get(0)
    }

    async fn hold(&self, lease: &LeaseRef) -> bool {
        let sql = format!("SELECT {}.hold_lease($1, $2)", self.schema.0);
        self.client.query_one(&sql, &[&lease.id.as_uuid(), &lease.fence.as_uuid()]).await.unwrap().get(0)
    }

    /// The row of the history but for identity and moments.
    async fn outcome(&self, id: TaskId) -> Option<Value> {
        let s = &self.schema.0;
        let sql = format!(
            "SELECT (to_jsonb(o) - '{{id,seq,finished_at,started_at,keep_until}}'::text[] || jsonb_build_object(
               'kept', nullif(o.keep_until, 9223372036854775807) - o.finished_at, 'ran', o.started_at <= o.finished_at))::text FROM {s}.outcome o WHERE id = $1"
        );
        let row = self.client.query_opt(&sql, &[&id.as_uuid()]).await.unwrap()?;
        Some(serde_json::from_str(row.get(0)).unwrap())
    }

    async fn count(&self, table: &str) -> i64 {
        self.client.query_one(&format!("SELECT count(*) FROM {}.{table}", self.schema.0), &[]).await.unwrap().get(0)
    }
}

/// A task as `insert_tasks` takes it.
fn row(task: &NewTask) -> Value {
    json!({
        "id": task.id, "queue": task.queue, "kind": task.kind, "priority": task.priority, "max_attempts": task.max_attempts,
        "max_crashes": task.max_crashes, "ack": 0, "retention": 1000, "delay": 0, "args": task.args,
    })
}

#[tokio::test]
async fn a_success_is_settled_as_the_store_does_it() {
    let house = House::new().await;
    for retention in [Retention::For(DEADLINE), Retention::Forever, Retention::None] {
        for noted in [false, true] {
            let over = || Overrides { retention: Some(retention), ..Overrides::default() };
            let (ours, theirs) = (house.claimed(over()).await.lease, house.claimed(over()).await.lease);
            if noted {
                let progress = Progress { done: 1, ..Progress::default() };
                let note = |lease| Note { lease, logs: Some("line".to_owned()), progress: Some(progress.clone()) };
                assert_eq!(house.store.note(vec![note(ours), note(theirs)]).await.unwrap(), [true, true]);
            }
            let mut settlement = Settlement::new(ours, Ending::Succeeded);
            settlement.result = Some("[1]".to_owned());
            assert_eq!(house.store.settle(vec![settlement]).await.unwrap(), [Settled::Done(State::Succeeded)]);
            assert!(house.settle(&theirs, Some("[1]"), &[]).await);
            assert_eq!(house.outcome(theirs.id).await, house.outcome(ours.id).await, "{retention:?}, noted: {noted}");
            assert_eq!(house.store.get(theirs.id).await.unwrap().is_none(), retention == Retention::None);
            assert!(!house.settle(&theirs, None, &[]).await, "it is settled once");
        }
    }
    assert_eq!((house.count("lease").await, house.count("live").await), (0, 0));
}

#[tokio::test]
async fn who_only_asks_whether_a_lease_holds_leaves_it_to_the_short_way() {
    let house = House::new().await;
    let lease = house.claimed(Overrides::default()).await.lease;
    let ask = || vec![Note { lease, logs: None, progress: None }];
    assert_eq!(house.store.note(ask()).await.unwrap(), [true]);
    assert_eq!((house.count("live").await, house.count("lease WHERE noted").await), (0, 0));
    assert_eq!(
        house.store.settle(vec![Settlement::new(lease, Ending::Succeeded)]).await.unwrap(),
        [Settled::Done(State::Succeeded)]
    );
    assert_eq!(house.store.note(ask()).await.unwrap(), [false]);
}

#[tokio::test]
async fn a_stale_fence_settles_and_holds_nothing() {
    let house = House::new().await;
    let lease = house.claimed(Overrides::default()).await.lease;
    let stale = LeaseRef { fence: house.env.fence(), ..lease };
    let child = task(&house.env, "mail", Overrides::default());
    assert!(!house.hold(&stale).await);
    assert!(!house.settle(&stale, None, std::slice::from_ref(&child)).await);
    assert!(house.store.get(child.id).await.unwrap().is_none());
    assert!(house.hold(&lease).await);
    assert!(house.settle(&lease, None, std::slice::from_ref(&child)).await);
    assert_eq!(house.store.get(child.id).await.unwrap().unwrap().state, State::Ready);
}

#[tokio::test]
async fn who_holds_the_lease_keeps_it_from_rescuers_until_the_commit() {
    let house = House::new().await;
    let lease = house.claimed(Overrides::default()).await.lease;
    house.client.batch_execute("BEGIN").await.unwrap();
    assert!(house.hold(&lease).await);
    let expire = format!("UPDATE {}.worker SET expires_at = 0, lost = true", house.schema.0);
    client().await.batch_execute(&expire).await.unwrap();
    assert_eq!(house.store.sweep(10).await.unwrap().rescued, 0);
    assert!(house.settle(&lease, None, &[]).await);
    house.client.batch_execute("COMMIT").await.unwrap();
    assert_eq!(house.store.sweep(10).await.unwrap().rescued, 0);
    assert_eq!(house.store.get(lease.id).await.unwrap().unwrap().state, State::Succeeded);
}

#[tokio::test]
async fn nobody_waits_for_a_name_that_was_used_before() {
    let house = House::new().await;
    let s = &house.schema.0;
    let enqueue =
        |queue: &str, kind: &str| format!("SELECT {s}.enqueue('{kind}', '{{}}', '{{\"force\": true, \"queue\": \"{queue}\"}}')");
    house.client.batch_execute(&enqueue("used", "used")).await.unwrap();
    let other = client().await;
    // Longer than anything here takes but a wait for the other transaction, which ends later.
    other.batch_execute("SET lock_timeout = '2s'").await.unwrap();
    house.client.batch_execute(&format!("BEGIN; {}; {}", enqueue("used", "used"), enqueue("new", "new"))).await.unwrap();
    other.batch_execute(&enqueue("used", "used")).await.unwrap();
    for (queue, kind) in [("new", "used"), ("used", "new")] {
        let error = other.batch_execute(&enqueue(queue, kind)).await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::LOCK_NOT_AVAILABLE), "{error:?}");
    }
    house.client.batch_execute("ROLLBACK").await.unwrap();
    other.batch_execute(&enqueue("new", "new")).await.unwrap();
    assert_eq!(house.count("task").await, 3);
}
