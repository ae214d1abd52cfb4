use std::pin::Pin;

use gristmill_core::durable::{NewEvent, Sent};
use gristmill_core::workflow::{NewWorkflow, Started};
use gristmill_core::{
    Edit, EnqueueOutcome, NewSchedule, NewTask, Schedule, ScheduleEdit, ScheduleWithin, SendWithin, StartWithin, Store,
    StoreError, StoreErrorKind, Timestamp, Within, WorkflowId, store_of,
};

use super::sqlx::sqlite::SqliteRow;
use super::sqlx::{self, Row, SqliteConnection};
use crate::error::meaning;
use crate::names::Names;
use crate::ops::{Start, are_new, rows_of_event, standing};
use crate::plan::Plan;
use crate::sql;
use crate::step::{Answer, Next, Step, Value};
use crate::store::SqliteStore;
use crate::tx::{WHOLE_BEGIN, WHOLE_END, WHOLE_UNDO};
use crate::within::{EDITING, ENQUEUEING, SENDING, SQLITE, STARTING, foreign};

/// Marks [`Within`] for connections of this version of sqlx.
#[derive(Clone, Copy, Debug)]
pub enum Sqlx {}

type Doing<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

impl<'a> Within<Sqlx> for &'a mut SqliteConnection {
    type Doing<T: Send + 'static> = Doing<'a, T>;

    fn insert(self, store: &dyn Store, tasks: Vec<NewTask>) -> Doing<'a, Vec<EnqueueOutcome>> {
        let now = store_of::<SqliteStore>(store, SQLITE).map(|store| store.env().now());
        Box::pin(async move { insert(self, &tasks, now?).await.map_err(|error| explain(error, ENQUEUEING)) })
    }
}

impl<'a> StartWithin<Sqlx> for &'a mut SqliteConnection {
    fn start_workflow(self, store: &dyn Store, workflow: NewWorkflow) -> Doing<'a, Started> {
        let now = store_of::<SqliteStore>(store, SQLITE).map(|store| store.env().now());
        Box::pin(async move {
            let start = Start::new(workflow, now?)?;
            start_workflow(self, &start).await.map_err(|error| explain(error, STARTING))
        })
    }
}

impl<'a> SendWithin<Sqlx> for &'a mut SqliteConnection {
    fn send_event(self, store: &dyn Store, event: NewEvent) -> Doing<'a, Sent> {
        let now = store_of::<SqliteStore>(store, SQLITE).map(|store| store.env().now());
        Box::pin(async move { send_event(self, &event, now?).await.map_err(|error| explain(error, SENDING)) })
    }
}

impl<'a> ScheduleWithin<Sqlx> for &'a mut SqliteConnection {
    fn edit_schedule(self, store: &dyn Store, name: String, edit: ScheduleEdit) -> Doing<'a, Option<Schedule>> {
        let now = store_of::<SqliteStore>(store, SQLITE).map(|store| store.env().now());
        Box::pin(async move { edit_schedule(self, name, &edit, now?).await })
    }
}

impl<'a> Within<Sqlx> for &'a mut sqlx::Transaction<'_, sqlx::Sqlite> {
    type Doing<T: Send + 'static> = Doing<'a, T>;

    fn insert(self, store: &dyn Store, tasks: Vec<NewTask>) -> Doing<'a, Vec<EnqueueOutcome>> {
        let conn: &'a mut SqliteConnection = self;
        conn.insert(store, tasks)
    }
}

impl<'a> StartWithin<Sqlx> for &'a mut sqlx::Transaction<'_, sqlx::Sqlite> {
    fn start_workflow(self, store: &dyn Store, workflow: NewWorkflow) -> Doing<'a, Started> {
        let conn: &'a mut SqliteConnection = self;
        StartWithin::start_workflow(conn, store, workflow)
    }
}

impl<'a> SendWithin<Sqlx> for &'a mut sqlx::Transaction<'_, sqlx::Sqlite> {
    fn send_event(self, store: &dyn Store, event: NewEvent) -> Doing<'a, Sent> {
        let conn: &'a mut SqliteConnection = self;
        SendWithin::send_event(conn, store, event)
    }
}

impl<'a> ScheduleWithin<Sqlx> for &'a mut sqlx::Transaction<'_, sqlx::Sqlite> {
    fn edit_schedule(self, store: &dyn Store, name: String, edit: ScheduleEdit) -> Doing<'a, Option<Schedule>> {
        let conn: &'a mut SqliteConnection = self;
        conn.edit_schedule(store, name, edit)
    }
}

async fn insert(conn: &mut SqliteConnection, tasks: &[NewTask], now: Timestamp) -> Result<Vec<EnqueueOutcome>, sqlx::Error> {
    // Remembered for this call only: the caller may roll back.
    let mut names = Names::default();
    let mut outcomes = Vec::with_capacity(tasks.len());
    for task in tasks {
        let mut plan = Plan::new(task, now);
        let mut answer = Answer::default();
        outcomes.push(loop {
            match plan.step(&mut names, answer) {
                Next::Run(step) => answer = run(conn, &step).await?,
                Next::Done(outcome) => break outcome,
            }
        });
    }
    Ok(outcomes)
}

/// All of it or nothing, whether or not the caller commits.
async fn start_workflow(conn: &mut SqliteConnection, start: &Start) -> Result<Started, sqlx::Error> {
    sqlx::query(WHOLE_BEGIN).execute(&mut *conn).await?;
    let started = write_workflow(conn, start).await;
    if !matches!(started, Ok(Started::Created)) {
        // After some errors SQLite has rolled back everything by itself; the first error tells more than that of a savepoint that is
        // gone.
        let back = sqlx::query(WHOLE_UNDO).execute(&mut *conn).await;
        if started.is_ok() {
            back?;
        }
    }
    let released = sqlx::query(WHOLE_END).execute(conn).await;
    if started.is_ok() {
        released?;
    }
    started
}

async fn write_workflow(conn: &mut SqliteConnection, start: &Start) -> Result<Started, sqlx::Error> {
    if run(conn, &start.run()).await?.changed == 0 {
        let NewWorkflow { id, key, .. } = start.workflow();
        let holder = sqlx::query(sql::WORKFLOW_HOLDER).bind(id.as_bytes().as_slice()).bind(key.as_deref());
        let found = holder.fetch_optional(conn).await?.map(|row| row.try_get::<Vec<u8>, _>(0)).transpose()?;
        return Ok(Started::Exists(found.and_then(|found| WorkflowId::from_slice(&found)).unwrap_or(*id)));
    }
    for step in start.steps() {
        run(conn, &step).await?;
    }
    // What is left to do to members, sweeps do.
    let outcomes = insert(conn, start.members(), start.now()).await?;
    Ok(if are_new(&outcomes) { Started::Created } else { Started::Conflict })
}

/// Whoever awaits it is told by the next sweep.
async fn send_event(conn: &mut SqliteConnection, event: &NewEvent, now: Timestamp) -> Result<Sent, sqlx::Error> {
    let mut changed = 0;
    for step in rows_of_event(event, now) {
        changed = run(conn, &step).await?.changed;
    }
    Ok(if changed > 0 { Sent::Stored } else { Sent::Exists })
}

/// Runs one step of a plan.
async fn run(conn: &mut SqliteConnection, step: &Step<'_>) -> Result<Answer, sqlx::Error> {
    let mut query = sqlx::query(step.statement.sql());
    for value in step.values().iter().copied() {
        query = match value {
            Value::Null => query.bind(None::<i64>),
            Value::Int(int) => query.bind(int),
            Value::Text(text) => query.bind(text),
            Value::Blob(bytes) => query.bind(bytes),
        };
    }
    if step.statement.asks() {
        let row = query.fetch_optional(conn).await?;
        let found = row.map(|row| row.try_get(0)).transpose()?;
        return Ok(Answer { found, ..Answer::default() });
    }
    if step.statement.names() {
        let row = query.fetch_optional(conn).await?;
        let named = row.map(|row| row.try_get::<Vec<u8>, _>(0)).transpose()?;
        return Ok(Answer { named: named.and_then(|id| id.try_into().ok()), ..Answer::default() });
    }
    let done = query.execute(conn).await?;
    Ok(Answer { changed: done.rows_affected(), key: done.last_insert_rowid(), ..Answer::default() })
}

async fn edit_schedule(
    conn: &mut SqliteConnection,
    name: String,
    edit: &ScheduleEdit,
    now: Timestamp,
) -> Result<Option<Schedule>, StoreError> {
    Edit::check(std::slice::from_ref(&name))?;
    let explain = |error| explain(error, EDITING);
    let row = sqlx::query(sql::SCHEDULE_GET).bind(&name).fetch_optional(&mut *conn).await.map_err(explain)?;
    let found = row.map(|row| read(&row)).transpose().map_err(explain)?;
    match Edit::ask(edit, &name, found.as_ref(), now)? {
        Edit::Keep => Ok(found),
        Edit::Put(new) => put(conn, &name, new, found, now).await.map(Some).map_err(explain),
        Edit::Remove => {
            sqlx::query(sql::SCHEDULE_DELETE).bind(&name).execute(conn).await.map_err(explain)?;
            Ok(None)
        }
    }
}

async fn put(
    conn: &mut SqliteConnection,
    name: &str,
    new: NewSchedule,
    found: Option<Schedule>,
    now: Timestamp,
) -> Result<Schedule, sqlx::Error> {
    let revision = sqlx::query(sql::REVISION_NEXT).fetch_one(&mut *conn).await?.try_get(0)?;
    let standing = standing(name, new, found, revision, now);
    sqlx::query(sql::SCHEDULE_PUT)
        .bind(name)
        .bind(&standing.owner)
        .bind(&standing.body)
        .bind(standing.due_at.map(Timestamp::as_millis))
        .bind(&standing.memory)
        .bind(revision)
        .bind(now.as_millis())
        .execute(conn)
        .await?;
    Ok(standing)
}

fn read(row: &SqliteRow) -> Result<Schedule, sqlx::Error> {
    Ok(Schedule {
        name: row.try_get(0)?,
        owner: row.try_get(1)?,
        body: row.try_get(2)?,
        due_at: row.try_get::<Option<i64>, _>(3)?.map(Timestamp::from_millis),
        memory: row.try_get(4)?,
        revision: row.try_get(5)?,
        created_at: Timestamp::from_millis(row.try_get(6)?),
        edited_at: Timestamp::from_millis(row.try_get(7)?),
    })
}

fn explain(error: sqlx::Error, what: &str) -> StoreError {
    let text = error.to_string();
    let code = error.as_database_error().and_then(|error| error.code()?.parse().ok());
    let (kind, hint) = code.and_then(meaning).unwrap_or((StoreErrorKind::Other, &text));
    let error = StoreError::new(kind, format!("{what}: {hint}")).with_source(error);
    if text.contains("no such table: gristmill_") { foreign(what, error) } else { error }
}
