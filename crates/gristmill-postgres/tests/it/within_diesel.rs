use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use gristmill_core::durable::{NewEvent, Sent};
use gristmill_core::workflow::{NewWorkflow, Started};
use gristmill_core::{
    CancelOutcome, CancelWithin, EnqueueOutcome, Env, NewTask, Overrides, SendWithin, StartWithin, State, Store, StoreError,
    TaskId, Within,
};
use gristmill_postgres::PostgresStore;

use crate::common::{Schema, database, task};
use crate::within::{self, Driver};

struct Diesel;

impl Driver for Diesel {
    type Conn = AsyncPgConnection;

    async fn connect() -> AsyncPgConnection {
        AsyncPgConnection::establish(&database()).await.unwrap()
    }

    async fn run(conn: &mut AsyncPgConnection, sql: &str) {
        conn.batch_execute(sql).await.unwrap();
    }

    fn insert(
        conn: &mut AsyncPgConnection,
        store: &dyn Store,
        tasks: Vec<NewTask>,
    ) -> impl Future<Output = Result<Vec<EnqueueOutcome>, StoreError>> + Send {
        Within::insert(conn, store, tasks)
    }

    fn cancel(
        conn: &mut AsyncPgConnection,
        store: &dyn Store,
        id: TaskId,
    ) -> impl Future<Output = Result<CancelOutcome, StoreError>> + Send {
        CancelWithin::cancel(conn, store, id)
    }

    fn start(
        conn: &mut AsyncPgConnection,
        store: &dyn Store,
        workflow: NewWorkflow,
    ) -> impl Future<Output = Result<Started, StoreError>> + Send {
        StartWithin::start_workflow(conn, store, workflow)
    }

    fn send(
        conn: &mut AsyncPgConnection,
        store: &dyn Store,
        event: NewEvent,
    ) -> impl Future<Output = Result<Sent, StoreError>> + Send {
        SendWithin::send_event(conn, store, event)
    }
}

within::checks! { Diesel }

#[tokio::test(flavor = "multi_thread")]
async fn the_drivers_own_transaction_keeps_and_drops_its_tasks() {
    let (schema, env) = (Schema::new(), Env::system());
    let store = PostgresStore::connect(&schema.url(""), env.clone()).await.unwrap();
    let mut conn = Diesel::connect().await;
    let (kept, dropped) = (task(&env, "mail", Overrides::default()), task(&env, "mail", Overrides::default()));
    for (task, keep) in [(&kept, true), (&dropped, false)] {
        let done = conn.transaction::<(), diesel::result::Error, _>(async |conn| {
            Within::insert(&mut *conn, &*store, vec![task.clone()]).await.unwrap();
            if keep { Ok(()) } else { Err(diesel::result::Error::RollbackTransaction) }
        });
        assert_eq!(done.await.is_ok(), keep);
    }
    for (task, state) in [(kept, Some(State::Ready)), (dropped, None)] {
        assert_eq!(store.get(task.id).await.unwrap().map(|task| task.state), state);
    }
}
