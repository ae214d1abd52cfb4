//! What holds for tasks in the caller's own transaction, whatever its driver: each check once, run by all.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gristmill_conformance::MemoryStore;
use gristmill_core::durable::{Checkpoint, Due, Kept, Memory, NewEvent, Sent};
use gristmill_core::workflow::{NewWorkflow, Started, Workflows as _};
use gristmill_core::{
    CancelOutcome, Claim, EnqueueOutcome, Env, NewTask, Overrides, Source, State, Store, StoreError, StoreErrorKind, TaskId,
    Wake, Wanted, WorkerSpec, limits,
};
use gristmill_postgres::PostgresStore;

use crate::common::{Schema, chain, task};
use crate::workflows::{claim, enter};

use EnqueueOutcome::{Conflict, Created, Exists};

/// Far beyond what anything here takes.
const DEADLINE: Duration = Duration::from_secs(60);

/// A driver, as far as the checks need it.
pub(crate) trait Driver: Sized {
    type Conn: Send + 'static;
    async fn connect() -> Self::Conn;
    async fn run(conn: &mut Self::Conn, sql: &str);
    fn insert(
        conn: &mut Self::Conn,
        store: &dyn Store,
        tasks: Vec<NewTask>,
    ) -> impl Future<Output = Result<Vec<EnqueueOutcome>, StoreError>> + Send;
    fn cancel(
        conn: &mut Self::Conn,
        store: &dyn Store,
        id: TaskId,
    ) -> impl Future<Output = Result<CancelOutcome, StoreError>> + Send;
    fn start(
        conn: &mut Self::Conn,
        store: &dyn Store,
        workflow: NewWorkflow,
    ) -> impl Future<Output = Result<Started, StoreError>> + Send;
    fn send(conn: &mut Self::Conn, store: &dyn Store, event: NewEvent) -> impl Future<Output = Result<Sent, StoreError>> + Send;
}

/// Runs all checks with a driver.
macro_rules! checks {
    ($driver:ty) => {
        crate::within::checks! { $driver:
            tasks_live_and_die_with_the_callers_transaction
            a_key_of_its_own_lives_and_dies_with_the_callers_transaction
            a_savepoint_that_is_rolled_back_takes_its_own_tasks_only
            a_waiting_worker_finds_it_after_the_commit_and_not_before
            a_new_name_holds_up_nobody_else
            a_cancellation_commits_and_rolls_back_with_the_transaction
            a_workflow_lives_and_dies_with_the_callers_transaction
            an_event_arrives_at_the_commit_and_never_after_a_rollback
            many_tasks_are_one_transaction
            the_future_can_be_spawned
            a_text_that_can_not_be_kept_is_refused_before_anything_is_sent
            a_schema_of_any_name_is_found
            a_database_without_our_functions_is_named_as_such_and_the_transaction_is_over
            a_missing_right_is_named
            a_serialization_failure_asks_for_another_try
            a_store_of_another_sort_is_refused
        }
    };
    ($driver:ty: $($check:ident)+) => { $(
        #[tokio::test(flavor = "multi_thread")]
        async fn $check() {
            crate::within::$check::<$driver>().await;
        }
    )+ };
}
pub(crate) use checks;

struct Fixture<D: Driver> {
    conn: D::Conn,
    store: Arc<PostgresStore>,
    env: Env,
    schema: Schema,
}

impl<D: Driver> Fixture<D> {
    async fn new() -> Self {
        Self::on(Schema::new()).await
    }

    async fn on(schema: Schema) -> Self {
        let env = Env::system();
        let store = PostgresStore::connect(&schema.url(""), env.clone()).await.unwrap();
        Self { conn: D::connect().await, store, env, schema }
    }

    fn task(&self) -> NewTask {
        task(&self.env, "mail", Overrides::default())
    }

    async fn run(&mut self, sql: &str) {
        D::run(&mut self.conn, sql).await;
    }

    async fn try_insert(&mut self, tasks: &[&NewTask]) -> Result<Vec<EnqueueOutcome>, StoreError> {
        D::insert(&mut self.conn, &*self.store, tasks.iter().copied().cloned().collect()).await
    }

    async fn insert(&mut self, tasks: &[&NewTask]) -> Vec<EnqueueOutcome> {
        self.try_insert(tasks).await.unwrap()
    }

    async fn state(&self, task: &NewTask) -> Option<State> {
        self.store.get(task.id).await.unwrap().map(|task| task.state)
    }
}

pub(crate) async fn a_workflow_lives_and_dies_with_the_callers_transaction<D: Driver>() {
    let mut f = Fixture::<D>::new().await;
    let (kept, dropped) = (chain(&f.env, Some("k")), chain(&f.env, None));
    f.run("BEGIN").await;
    assert_eq!(D::start(&mut f.conn, &*f.store, kept.clone()).await.unwrap(), Started::Created);
    assert_eq!(D::start(&mut f.conn, &*f.store, kept.clone()).await.unwrap(), Started::Exists(kept.id));
    assert_eq!(f.store.workflow(kept.id).await.unwrap(), None, "not before the commit");
    f.run("COMMIT").await;
    let states = [f.state(&kept.members[0]).await, f.state(&kept.members[1]).await];
    assert_eq!(states, [Some(State::Ready), Some(State::Blocked)]);
    assert_eq!(f.store.workflow(kept.id).await.unwrap().unwrap().steps.len(), 2);

    f.run("BEGIN").await;
    assert_eq!(D::start(&mut f.conn, &*f.store, dropped.clone()).await.unwrap(), Started::Created);
    f.run("ROLLBACK").await;
    assert_eq!((f.store.workflow(dropped.id).await.unwrap(), f.state(&dropped.members[0]).await), (None, None));

    // One that is refused leaves the transaction as it was.
    f.run("BEGIN").await;
    let mut taken = chain(&f.env, None);
    taken.members[1].id = kept.members[0].id;
    let other = f.task();
    assert_eq!(D::start(&mut f.conn, &*f.store, taken.clone()).await.unwrap(), Started::Conflict);
    assert_eq!(D::start(&mut f.conn, &*f.store, chain(&f.env, Some("k"))).await.unwrap(), Started::Exists(kept.id));
    assert_eq!(f.insert(&[&other]).await, [Created]);
    f.run("COMMIT").await;
    assert_eq!((f.store.workflow(taken.id).await.unwrap(), f.state(&taken.members[0]).await), (None, None));
    assert_eq!(f.state(&other).await, Some(State::Ready));
}

pub(crate) async fn tasks_live_and_die_with_the_callers_transaction<D: Driver>() {
    let mut f = Fixture::<D>::new().await;
    let (kept, dropped) = (f.task(), f.task());
    let mut other = kept.clone();
    other.args = "{}".to_owned();
    let mut later = f.task();
    later.delay = Duration::from_secs(3600);
    f.run("BEGIN").await;
    assert_eq!(f.insert(&[&kept, &kept, &other, &later]).await, [Created, Exists(kept.id), Conflict, Created]);
    assert_eq!(f.insert(&[&other]).await, [Conflict]);
    assert_eq!(f.state(&kept).await, None, "not before the commit");
    f.run("COMMIT").await;
    assert_eq!(f.state(&kept).await, Some(State::Ready));
    assert_eq!(f.state(&later).await, Some(State::Scheduled));

    f.run("BEGIN").await;
    assert_eq!(f.insert(&[&dropped]).await, [Created]);
    assert_eq!(f.insert(&[&kept]).await, [Exists(kept.id)]);
    assert_eq!(f.insert(&[]).await, []);
    f.run("ROLLBACK").await;
    assert_eq!(f.state(&dropped).await, None);
    let exists = Exists(kept.id);
    assert_eq!(f.store.enqueue(vec![kept, dropped]).await.unwrap(), [exists, Created], "the store sees the same task");
}

pub(crate) async fn a_key_of_its_own_lives_and_dies_with_the_callers_transaction<D: Driver>() {
    let mut f = Fixture::<D>::new().await;
    let of_key = |f: &Fixture<D>| crate::unique::keyed(&f.env, "a");
    let (dropped, kept, plain) = (of_key(&f), of_key(&f), f.task());
    f.run("BEGIN").await;
    assert_eq!(
        f.insert(&[&dropped, &plain, &of_key(&f), &dropped]).await,
        [Created, Created, Exists(dropped.id), Exists(dropped.id)]
    );
    assert_eq!(f.insert(&[&of_key(&f)]).await, [Exists(dropped.id)]);
    f.run("ROLLBACK").await;
    f.run("BEGIN").await;
    assert_eq!(f.insert(&[&kept, &plain]).await, [Created, Created]);
    f.run("COMMIT").await;
    assert_eq!(f.store.enqueue(vec![of_key(&f)]).await.unwrap(), [Exists(kept.id)]);
    f.run("BEGIN").await;
    assert_eq!(f.insert(&[&plain, &of_key(&f)]).await, [Exists(plain.id), Exists(kept.id)]);
    f.run("COMMIT").await;
}

pub(crate) async fn a_savepoint_that_is_rolled_back_takes_its_own_tasks_only<D: Driver>() {
    let mut f = Fixture::<D>::new().await;
    let (before, inside, after) = (f.task(), f.task(), f.task());
    f.run("BEGIN").await;
    f.insert(&[&before]).await;
    f.run("SAVEPOINT one").await;
    f.insert(&[&inside]).await;
    f.run("ROLLBACK TO one").await;
    f.insert(&[&after]).await;
    f.run("COMMIT").await;
    let states = [f.state(&before).await, f.state(&inside).await, f.state(&after).await];
    assert_eq!(states, [Some(State::Ready), None, Some(State::Ready)]);
}

pub(crate) async fn an_event_arrives_at_the_commit_and_never_after_a_rollback<D: Driver>() {
    let mut f = Fixture::<D>::new().await;
    let worker = enter(&*f.store, &f.env).await;
    let new = f.task();
    f.store.enqueue(vec![new.clone()]).await.unwrap();
    let lease = claim(&*f.store, &f.env, worker, 1).await[0].lease;
    let kept = Kept::Event { name: "it's \"paid\"".to_owned(), until: None };
    let memories = vec![Memory { position: 0, name: "paid".to_owned(), occurrence: 0, kept }];
    let checkpoint = Checkpoint { memories, suspend: Some(Due::Never), ..Checkpoint::new(lease) };
    f.store.checkpoint(checkpoint).await.unwrap();
    let event = |payload| NewEvent::new("it's \"paid\"", payload).unwrap();
    for (payload, end, state) in [("1", "ROLLBACK", State::Scheduled), (r#"{"a\\": "\u0000"}"#, "COMMIT", State::Ready)] {
        f.run("BEGIN").await;
        assert_eq!(D::send(&mut f.conn, &*f.store, event(payload)).await.unwrap(), Sent::Stored);
        assert_eq!(D::send(&mut f.conn, &*f.store, event("2")).await.unwrap(), Sent::Exists);
        f.store.sweep(100).await.unwrap();
        assert_eq!(f.state(&new).await, Some(State::Scheduled), "not before the commit");
        f.run(end).await;
        f.store.sweep(100).await.unwrap();
        assert_eq!(f.state(&new).await, Some(state));
    }
    let kept = f.store.memories(new.id).await.unwrap().kept.remove(0).kept;
    assert_eq!(kept, Kept::Value(r#"{"a\\": "\u0000"}"#.to_owned()), "as it was sent");
}

pub(crate) async fn a_waiting_worker_finds_it_after_the_commit_and_not_before<D: Driver>() {
    let mut f = Fixture::<D>::new().await;
    let spec = WorkerSpec {
        id: f.env.worker_id(),
        name: "w".to_owned(),
        lease: DEADLINE,
        kinds: vec!["mail".into()],
        queues: [("default".to_owned(), 1)].into(),
        version: String::new(),
    };
    f.store.enter(&spec).await.unwrap();
    let claim = async |store: &PostgresStore, env: &Env| {
        let wanted = vec![Wanted::new("default", 1)];
        store.claim(&Claim { worker: spec.id, fence: env.fence(), wanted, again: false }).await.unwrap().pop()
    };
    let mail = f.task();
    f.run("BEGIN").await;
    f.insert(&[&mail]).await;
    assert!(claim(&f.store, &f.env).await.is_none());
    // What came later is taken first; the place of the other in line must not be passed for good.
    let later = f.task();
    f.store.enqueue(vec![later.clone()]).await.unwrap();
    assert_eq!(claim(&f.store, &f.env).await.unwrap().lease.id, later.id);
    let since = Instant::now();
    let (store, env) = (f.store.clone(), f.env.clone());
    let found = async {
        loop {
            match claim(&store, &env).await {
                Some(claimed) => break claimed,
                None => store.wait(Wake::Ready, DEADLINE).await,
            }
        }
    };
    let (claimed, ()) = tokio::join!(found, f.run("COMMIT"));
    assert_eq!(claimed.lease.id, mail.id);
    assert!(since.elapsed() < DEADLINE, "it was found by the timeout and not by a look");
}

pub(crate) async fn a_new_name_holds_up_nobody_else<D: Driver>() {
    let mut f = Fixture::<D>::new().await;
    let other = PostgresStore::connect(&f.schema.url("&lock_timeout=1s"), f.env.clone()).await.unwrap();
    let mail = f.task();
    f.run("BEGIN").await;
    f.insert(&[&mail]).await;
    assert_eq!(other.enqueue(vec![f.task()]).await.unwrap(), [Created], "the first of its queue and type, too");
    f.run("ROLLBACK").await;
}

pub(crate) async fn a_cancellation_commits_and_rolls_back_with_the_transaction<D: Driver>() {
    let mut f = Fixture::<D>::new().await;
    let (mail, nobody) = (f.task(), f.task());
    f.store.enqueue(vec![mail.clone()]).await.unwrap();
    for (end, state) in [("ROLLBACK", State::Ready), ("COMMIT", State::Cancelled)] {
        f.run("BEGIN").await;
        for answer in [CancelOutcome::Cancelled, CancelOutcome::AlreadyEnded] {
            assert_eq!(D::cancel(&mut f.conn, &*f.store, mail.id).await.unwrap(), answer, "as the transaction sees it");
        }
        assert_eq!(D::cancel(&mut f.conn, &*f.store, nobody.id).await.unwrap(), CancelOutcome::NotFound);
        f.run(end).await;
        assert_eq!(f.state(&mail).await, Some(state));
    }
}

pub(crate) async fn many_tasks_are_one_transaction<D: Driver>() {
    insert_many::<D>(2 * limits::BATCH_TASKS_MAX + 1).await;
}

pub(crate) async fn insert_many<D: Driver>(count: usize) {
    let mut f = Fixture::<D>::new().await;
    let tasks: Vec<_> = (0..count).map(|_| f.task()).collect();
    f.run("BEGIN").await;
    let outcomes = f.insert(&tasks.iter().collect::<Vec<_>>()).await;
    assert_eq!(outcomes.len(), count);
    assert!(outcomes.iter().all(|outcome| *outcome == Created));
    assert_eq!(f.state(&tasks[0]).await, None);
    f.run("COMMIT").await;
    let (client, schema) = (crate::common::client().await, &f.schema.0);
    let ready = client.query_one(&format!("SELECT count(*) FROM \"{schema}\".ready"), &[]).await.unwrap();
    assert_eq!(ready.get::<_, i64>(0), i64::try_from(count).unwrap());
}

pub(crate) async fn the_future_can_be_spawned<D: Driver>() {
    let f = Fixture::<D>::new().await;
    let mail = f.task();
    let (mut conn, store) = (f.conn, f.store.clone());
    let id = mail.id;
    let spawned = tokio::spawn(async move {
        D::insert(&mut conn, &*store, vec![mail]).await.unwrap();
        D::cancel(&mut conn, &*store, id).await.unwrap()
    });
    assert_eq!(spawned.await.unwrap(), CancelOutcome::Cancelled);
}

pub(crate) async fn a_text_that_can_not_be_kept_is_refused_before_anything_is_sent<D: Driver>() {
    let mut f = Fixture::<D>::new().await;
    let (mut raw, mut escaped) = (f.task(), f.task());
    raw.args = "{\"n\":\"\0\"}".to_owned();
    escaped.args = r#"{"n":"\u0000 and 'quotes' and \"those\""}"#.to_owned();
    f.run("BEGIN").await;
    let error = f.try_insert(&[&escaped, &raw]).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Invalid);
    assert_eq!(f.insert(&[&escaped]).await, [Created], "the transaction is as it was");
    f.run("COMMIT").await;
    assert_eq!(f.store.get(escaped.id).await.unwrap().unwrap().args, escaped.args);
}

pub(crate) async fn a_schema_of_any_name_is_found<D: Driver>() {
    let name = format!("test_$1_$2::text_{}", Env::system().fence().as_uuid().simple());
    let mut f = Fixture::<D>::on(Schema(name)).await;
    let mail = f.task();
    assert_eq!(f.insert(&[&mail]).await, [Created]);
    assert_eq!(f.state(&mail).await, Some(State::Ready));
}

pub(crate) async fn a_database_without_our_functions_is_named_as_such_and_the_transaction_is_over<D: Driver>() {
    let mut f = Fixture::<D>::new().await;
    let mail = f.task();
    let schema = f.schema.0.clone();
    for gone in [
        format!("DROP FUNCTION \"{schema}\".insert_tasks(jsonb), \"{schema}\".cancel_tasks(uuid[], bigint) CASCADE"),
        format!("DROP SCHEMA \"{schema}\" CASCADE"),
    ] {
        f.run(&gone).await;
        f.run("BEGIN").await;
        let error = f.try_insert(&[&mail]).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::NotOurs);
        assert!(error.to_string().contains("run `gristmill migrate`"), "{error}");
        assert!(std::error::Error::source(&error).is_some());
        let error = D::cancel(&mut f.conn, &*f.store, mail.id).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Invalid);
        assert!(error.to_string().contains("roll it back (SQLSTATE 25P02)"), "{error}");
        f.run("ROLLBACK").await;
    }
}

pub(crate) async fn a_missing_right_is_named<D: Driver>() {
    let mut f = Fixture::<D>::new().await;
    f.run("SET ROLE pg_monitor").await;
    let mail = f.task();
    let error = f.try_insert(&[&mail]).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::ReadOnly);
    assert!(error.to_string().contains("permission denied") && error.to_string().contains("42501"), "{error}");
}

pub(crate) async fn a_serialization_failure_asks_for_another_try<D: Driver>() {
    let mut f = Fixture::<D>::new().await;
    let mail = f.task();
    f.run("BEGIN ISOLATION LEVEL REPEATABLE READ").await;
    f.run("SELECT 1").await;
    f.store.enqueue(vec![mail.clone()]).await.unwrap();
    let error = f.try_insert(&[&mail]).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Busy);
    assert!(error.is_transient() && error.to_string().contains("40001"), "{error}");
    f.run("ROLLBACK").await;
    assert_eq!(f.insert(&[&mail]).await, [Exists(mail.id)]);
}

pub(crate) async fn a_store_of_another_sort_is_refused<D: Driver>() {
    let mut f = Fixture::<D>::new().await;
    let (memory, mail) = (MemoryStore::new(f.env.clone()), f.task());
    let id = mail.id;
    let error = D::insert(&mut f.conn, &*memory, vec![mail]).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Invalid);
    assert!(error.to_string().contains("which is not PostgreSQL"), "{error}");
    assert_eq!(D::cancel(&mut f.conn, &*memory, id).await.unwrap_err().kind(), StoreErrorKind::Invalid);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nudge_ends_the_wait() {
    let schema = Schema::new();
    let store = PostgresStore::connect(&schema.url(""), Env::system()).await.unwrap();
    let since = Instant::now();
    // Nobody polls for due times, so that nothing else ends this wait.
    tokio::join!(store.wait(Wake::Scheduled, DEADLINE), async { store.nudge() });
    assert!(since.elapsed() < DEADLINE, "it was ended by the timeout");
}
