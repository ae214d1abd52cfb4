use gristmill_core::durable::{NewEvent, Sent};
use gristmill_core::workflow::{NewWorkflow, Started};
use gristmill_core::{
    CancelOutcome, CancelWithin, EnqueueOutcome, Env, NewTask, Overrides, SendWithin, StartWithin, State, Store, StoreError,
    TaskId, Within,
};
use gristmill_postgres::PostgresStore;

use super::sqlx::{self, Connection, Executor, PgConnection};

use crate::common::{Schema, database, task};
use crate::within::{self, Driver};

struct Sqlx;

impl Driver for Sqlx {
    type Conn = PgConnection;

    async fn connect() -> PgConnection {
        PgConnection::connect(&database()).await.unwrap()
    }

    async fn run(conn: &mut PgConnection, sql: &str) {
        conn.execute(sqlx::QueryBuilder::<sqlx::Postgres>::new(sql).build().persistent(false)).await.unwrap();
    }

    fn insert(
        conn: &mut PgConnection,
        store: &dyn Store,
        tasks: Vec<NewTask>,
    ) -> impl Future<Output = Result<Vec<EnqueueOutcome>, StoreError>> + Send {
        Within::insert(conn, store, tasks)
    }

    fn cancel(
        conn: &mut PgConnection,
        store: &dyn Store,
        id: TaskId,
    ) -> impl Future<Output = Result<CancelOutcome, StoreError>> + Send {
        CancelWithin::cancel(conn, store, id)
    }

    fn start(
        conn: &mut PgConnection,
        store: &dyn Store,
        workflow: NewWorkflow,
    ) -> impl Future<Output = Result<Started, StoreError>> + Send {
        StartWithin::start_workflow(conn, store, workflow)
    }

    fn send(
        conn: &mut PgConnection,
        store: &dyn Store,
        event: NewEvent,
    ) -> impl Future<Output = Result<Sent, StoreError>> + Send {
        SendWithin::send_event(conn, store, event)
    }
}

within::checks! { Sqlx }

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_and_what_is_nested_in_it_are_taken() {
    let (schema, env) = (Schema::new(), Env::system());
    let store = PostgresStore::connect(&schema.url(""), env.clone()).await.unwrap();
    let mut conn = Sqlx::connect().await;
    let (outer, inner) = (task(&env, "mail", Overrides::default()), task(&env, "mail", Overrides::default()));
    let mut tx = conn.begin().await.unwrap();
    Within::insert(&mut tx, &*store, vec![outer.clone()]).await.unwrap();
    let mut savepoint = tx.begin().await.unwrap();
    Within::insert(&mut savepoint, &*store, vec![inner.clone()]).await.unwrap();
    savepoint.rollback().await.unwrap();
    tx.commit().await.unwrap();
    for (task, state) in [(outer, Some(State::Ready)), (inner, None)] {
        assert_eq!(store.get(task.id).await.unwrap().map(|task| task.state), state);
    }
}
