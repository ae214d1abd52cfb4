use gristmill_core::durable::{NewEvent, Sent};
use gristmill_core::workflow::{NewWorkflow, Started};
use gristmill_core::{
    CancelOutcome, CancelWithin, EnqueueOutcome, Env, NewTask, Overrides, SendWithin, StartWithin, State, Store, StoreError,
    TaskId, Within,
};
use gristmill_postgres::PostgresStore;
use tokio_postgres::Client;

use crate::common::{Schema, client, task};
use crate::within::{self, Driver};

struct TokioPostgres;

impl Driver for TokioPostgres {
    type Conn = Client;

    async fn connect() -> Client {
        client().await
    }

    async fn run(conn: &mut Client, sql: &str) {
        conn.batch_execute(sql).await.unwrap();
    }

    fn insert(
        conn: &mut Client,
        store: &dyn Store,
        tasks: Vec<NewTask>,
    ) -> impl Future<Output = Result<Vec<EnqueueOutcome>, StoreError>> + Send {
        Within::insert(&*conn, store, tasks)
    }

    fn cancel(
        conn: &mut Client,
        store: &dyn Store,
        id: TaskId,
    ) -> impl Future<Output = Result<CancelOutcome, StoreError>> + Send {
        CancelWithin::cancel(conn, store, id)
    }

    fn start(
        conn: &mut Client,
        store: &dyn Store,
        workflow: NewWorkflow,
    ) -> impl Future<Output = Result<Started, StoreError>> + Send {
        StartWithin::start_workflow(conn, store, workflow)
    }

    fn send(conn: &mut Client, store: &dyn Store, event: NewEvent) -> impl Future<Output = Result<Sent, StoreError>> + Send {
        SendWithin::send_event(conn, store, event)
    }
}

within::checks! { TokioPostgres }

#[tokio::test(flavor = "multi_thread")]
async fn more_tasks_than_a_statement_has_parameters_are_one_transaction() {
    within::insert_many::<TokioPostgres>(70_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_taken_shared_and_exclusive() {
    let (schema, env) = (Schema::new(), Env::system());
    let store = PostgresStore::connect(&schema.url(""), env.clone()).await.unwrap();
    let mut client = client().await;
    let mut tx = client.transaction().await.unwrap();
    let (shared, exclusive, nested) = (
        task(&env, "mail", Overrides::default()),
        task(&env, "mail", Overrides::default()),
        task(&env, "mail", Overrides::default()),
    );
    Within::insert(&tx, &*store, vec![shared.clone()]).await.unwrap();
    Within::insert(&mut tx, &*store, vec![exclusive.clone()]).await.unwrap();
    let savepoint = tx.transaction().await.unwrap();
    Within::insert(&savepoint, &*store, vec![nested.clone()]).await.unwrap();
    savepoint.rollback().await.unwrap();
    tx.commit().await.unwrap();
    for (task, state) in [(shared, Some(State::Ready)), (exclusive, Some(State::Ready)), (nested, None)] {
        assert_eq!(store.get(task.id).await.unwrap().map(|task| task.state), state);
    }
}
